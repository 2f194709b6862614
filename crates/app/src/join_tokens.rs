//! Join tokens: who may come to a session's door, asked when a token is made and again when it is redeemed.
//!
//! Users and invitees come by what is theirs; strangers by a grant for anyone or for who knows the password. A stranger
//! is told nothing until a grant is for them: no such room, no session, a wrong password and no grant are one answer.

use std::{collections::BTreeSet, sync::Arc};

use sha2::{Digest, Sha256};
use witan_auth::{JOIN_TOKEN_SECONDS_MAX, JoinToken, Operation, Resource, ResourceKind, Scopes};
use witan_domain::{
    Actor, Aggregate, OrganizationId, PersonId, RoomId, SessionId, Timestamp, TokenId, UserId,
    invitation::Invitation,
    policy::{self, Access, EffectivePolicies, Facts, PasswordHash},
    room::{Room, RoomFacts},
    session::{Session, SessionState},
    text::SecretHash,
};

use crate::{
    App, Error, Request,
    access::{Invited, LevelsAbove},
    sessions::session_resource,
    streams::Loaded,
};

/// How many tokens a room gives to strangers at once: a webinar's guests, who come in its first minute.
pub const STRANGERS_AT_ONCE: u32 = 300;
/// After how long it gives one more.
pub const STRANGER_INTERVAL_MILLIS: u32 = 200;

/// Where someone wants to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Session(SessionId),
    /// Into the session that is live in this room.
    Room(RoomId),
}

/// A join token and when it ends.
pub struct Ticket {
    pub token: String,
    pub expires: Timestamp,
    pub claims: JoinToken,
}

/// What is behind a door.
struct Behind {
    door: Door,
    room: RoomFacts,
    above: LevelsAbove,
    policies: EffectivePolicies,
    session: Option<Arc<Loaded<Session>>>,
}

/// By what of their own someone comes; by nothing: a stranger.
#[derive(Clone, Copy)]
struct Coming {
    person: PersonId,
    user: Option<UserId>,
    invited: Option<Invited>,
    password: Option<SecretHash>,
}

impl Behind {
    fn resource(&self, actor: &Actor) -> Resource {
        match &self.session {
            Some(session) => session_resource(actor, self.room.organization, &session.state),
            None => Resource {
                kind: ResourceKind::Session,
                organization: Some(self.room.organization),
                unit: Some(self.room.unit),
                room: Some(self.room.room),
                id: self.room.room.to_string(),
                ..Resource::default()
            },
        }
    }

    fn live(&self) -> Result<&witan_domain::session::SessionRecord, Error> {
        let live = self.session.as_ref().and_then(|session| session.state.live());
        live.ok_or_else(|| match self.door {
            Door::Session(_) => session_not_live(),
            Door::Room(_) => no_live_session(),
        })
    }
}

impl App {
    /// A join token for whoever may enter the session: a user of the organization, or someone without an account or an
    /// invitation where a grant is for anyone, or for who knows the password.
    pub async fn create_join_token(
        &self,
        request: &Request,
        door: Door,
        password: Option<&str>,
    ) -> Result<Ticket, Error> {
        match request.actor {
            Actor::Anonymous => self.stranger_s_ticket(request, door, password).await,
            Actor::User { .. } | Actor::Participant { .. } | Actor::System | Actor::Operator => {
                self.user_s_ticket(request, door, password).await
            }
        }
    }

    async fn user_s_ticket(&self, request: &Request, door: Door, password: Option<&str>) -> Result<Ticket, Error> {
        let organization = request.organization()?;
        let behind = self.behind(organization, door)?;
        let (room, policies) = (&behind.room, &behind.policies);
        let passwords = self.shown_passwords(request, room.room, &policies.join, password).await?;
        let moved = match door {
            Door::Session(session) => self.moved_here(request, session)?,
            Door::Room(_) => None,
        };
        // A participant comes from one session to another by a move alone.
        let grant = match request.actor {
            Actor::Participant { .. } => moved.is_some(),
            Actor::User { .. } | Actor::Anonymous | Actor::System | Actor::Operator => !passwords.is_empty(),
        };
        let resource = Resource { grant, ..behind.resource(&request.actor) };
        self.authorise(request, Operation::CreateJoinToken, &resource).await?;
        hold_participation(request)?;
        let session = behind.live()?.session;
        if let Some(there) = moved {
            return self.moved_ticket(request, organization, session, &there);
        }
        let shown = passwords.first().map(fingerprint);
        let facts = Facts { passwords, ..self.access_facts(request, room, &behind.above, None)? };
        let access = policies.may_join(&facts);
        let access = access.ok_or_else(|| Error::Forbidden { reference: request.correlation.to_string() })?;
        let user = crate::rooms::acting_user(request)?;
        let person = self.user_state(organization, user)?.facts().map_err(Error::rejected)?.person;
        let coming = Coming { person, user: Some(user), invited: None, password: shown };
        let token = TokenId(self.id_for(request, &format!("join token {session}")));
        self.signed(room, session, access, coming, token)
    }

    /// Always a new token for a new person, whatever the idempotency key: two strangers may choose the same one. Nothing
    /// is recorded before the token is redeemed.
    async fn stranger_s_ticket(&self, request: &Request, door: Door, password: Option<&str>) -> Result<Ticket, Error> {
        let refused = |place| self.refuse_stranger(request, place, password);
        let Some(behind) = self.behind_whosever(door)? else {
            return Err(match door {
                Door::Session(session) => refused(session.0),
                Door::Room(room) => refused(room.0),
            });
        };
        let (room, policies) = (&behind.room, &behind.policies);
        let passwords = self.shown_passwords(request, room.room, &policies.join, password).await?;
        let shown = passwords.first().map(fingerprint);
        let access = policies.may_join(&Facts { passwords, ..Facts::default() });
        let access = access.ok_or_else(|| refused(room.room.0))?;
        let resource = Resource { grant: true, ..behind.resource(&request.actor) };
        let allowed = self.authorise(request, Operation::CreateJoinToken, &resource).await;
        allowed.map_err(|_| refused(room.room.0))?;
        let session = behind.live()?.session;
        if !self.strangers.take(room.room, self.sources.now()) {
            return Err(Error::Rejected {
                code: "TOO_MANY_GUESTS",
                field: None,
                message: "Too many guests are coming at once: try again in a few seconds.".into(),
            });
        }
        let person = PersonId(self.sources.ulid());
        let coming = Coming { person, user: None, invited: None, password: shown };
        self.signed(room, session, access, coming, TokenId(self.sources.ulid()))
    }

    /// A join token for an invitee, by the invitation's secret, while the invitation is good.
    pub(crate) fn invited_ticket(
        &self,
        request: &Request,
        room: &RoomFacts,
        invited: Invited,
        token: TokenId,
    ) -> Result<Ticket, Error> {
        let mut access = self.invited_access(request, room, invited)?;
        let session = room.live_session.ok_or_else(no_live_session)?;
        // Before the window opens they may knock and no more.
        access.lobby |= invited.early;
        let coming = Coming { person: invited.person, user: None, invited: Some(invited), password: None };
        self.signed(room, session, access, coming, token)
    }

    /// How an invitee enters, if the room takes invitations now.
    pub(crate) fn invited_access(
        &self,
        request: &Request,
        room: &RoomFacts,
        invited: Invited,
    ) -> Result<Access, Error> {
        let above = self.levels_above(room)?;
        let policies = above.policies(room.details.purpose, &room.policies);
        let facts = self.access_facts(request, room, &above, Some(invited))?;
        policies.may_join(&facts).ok_or_else(|| Error::Rejected {
            code: "INVITATION_NOT_ACCEPTED",
            field: None,
            message: "The room takes no invitations now.".into(),
        })
    }

    /// How the bearer of a token enters now: a grant that was taken away, an invitation that was revoked and a password
    /// that was changed since the token was made let nobody in any more.
    pub(crate) fn access_now(&self, token: &JoinToken) -> Result<Access, Error> {
        if !token.user.map_or(Ok(true), |user| self.is_active(token.organization, user))? {
            return Err(right_is_gone());
        }
        if token.moved {
            return self.access_by_move(token);
        }
        let behind = self.behind(token.organization, Door::Session(token.session))?;
        let mut facts = match token.user {
            Some(user) => self.user_facts(&behind.room, &behind.above, user)?,
            None => Facts::default(),
        };
        let mut early = false;
        if let Some(invitation) = token.invitation {
            let loaded = self.load_own::<Invitation>(Some(token.organization), &Invitation::stream(invitation))?;
            let now = self.sources.now();
            // To this room: one to another is no right to this one.
            let good = loaded.state.good_at(now).ok().filter(|good| good.room == behind.room.room);
            let invited = good.map(|good| Invited::at(good, now));
            facts.invited = invited.map(|invited| invited.role);
            early = invited.is_some_and(|invited| invited.early);
        }
        let password = policy::password(&behind.policies.join);
        let known = password.filter(|hash| token.password == Some(fingerprint(hash)));
        facts.passwords = known.cloned().into_iter().collect::<BTreeSet<PasswordHash>>();
        let mut access = behind.policies.may_join(&facts).ok_or_else(right_is_gone)?;
        access.lobby |= early;
        Ok(by_setting(access, token.person, behind.session.as_ref().map(|session| &session.state)))
    }

    fn behind(&self, organization: OrganizationId, door: Door) -> Result<Behind, Error> {
        let (room, session) = match door {
            Door::Session(session) => {
                let session = self.load_own::<Session>(Some(organization), &Session::stream(session))?;
                let room = session.state.record().map(|record| record.room);
                (room.ok_or(Error::NotFound { what: "session" })?, Some(session))
            }
            Door::Room(room) => (room, None),
        };
        let room = self.room_state(organization, room)?.facts().map_err(Error::rejected)?.clone();
        let session = match (session, room.live_session) {
            (None, Some(live)) => {
                let session = self.load_own::<Session>(Some(organization), &Session::stream(live))?;
                // The room knows of it a moment before its stream begins.
                session.version.is_some().then_some(session)
            }
            (session, _) => session,
        };
        let above = self.levels_above(&room)?;
        let policies = above.policies(room.details.purpose, &room.policies);
        Ok(Behind { door, room, above, policies, session })
    }

    /// The same for who belongs to no organization: whose it is follows from what the door is to.
    fn behind_whosever(&self, door: Door) -> Result<Option<Behind>, Error> {
        let organization = match door {
            Door::Session(session) => self.streams.load::<Session>(&Session::stream(session))?.organization,
            Door::Room(room) => self.streams.load::<Room>(&Room::stream(room))?.organization,
        };
        let Some(organization) = organization else { return Ok(None) };
        match self.behind(organization, door) {
            Ok(behind) => Ok(Some(behind)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn signed(
        &self,
        room: &RoomFacts,
        session: SessionId,
        access: Access,
        coming: Coming,
        id: TokenId,
    ) -> Result<Ticket, Error> {
        let organization = room.organization;
        let loaded = self.load_own::<Session>(Some(organization), &Session::stream(session))?;
        if loaded.state.record().is_some_and(|record| record.room != room.room) {
            return Err(no_live_session());
        }
        let access = by_setting(access, coming.person, Some(&loaded.state));
        let claims = JoinToken {
            id,
            organization,
            session,
            person: coming.person,
            user: coming.user,
            invitation: coming.invited.map(|invited| invited.invitation),
            password: coming.password,
            role: access.role,
            lobby: access.lobby,
            moved: false,
        };
        self.ticket(claims)
    }

    pub(crate) fn ticket(&self, claims: JoinToken) -> Result<Ticket, Error> {
        let now = self.sources.now();
        let token = self.tokens.sign(&claims, now).map_err(Error::fault)?;
        Ok(Ticket { token, expires: now.plus_seconds(JOIN_TOKEN_SECONDS_MAX), claims })
    }
}

/// Who comes in by the token acts as a participant, whom no key limits: a key that leads to less makes none.
fn hold_participation(request: &Request) -> Result<(), Error> {
    if request.scopes.as_ref().is_none_or(Scopes::hold_participation) {
        return Ok(());
    }
    let needed: Vec<_> = Scopes::of_participation().names().collect();
    Err(Error::Rejected {
        code: "KEY_SCOPES_TOO_NARROW",
        field: None,
        message: format!(
            "A join token leads to all that a participant may do: the API key has to have no scopes, or all of {}.",
            needed.join(", ")
        ),
    })
}

/// A grant's lobby holds whatever the setting says: a floor may have put it there. The setting adds to it.
fn by_setting(access: Access, person: PersonId, session: Option<&SessionState>) -> Access {
    let live = session.and_then(SessionState::live);
    let setting = live.is_some_and(|live| live.lobby_applies(person, access.role));
    Access { lobby: access.lobby || setting, ..access }
}

pub(crate) fn right_is_gone() -> Error {
    Error::Rejected {
        code: "JOIN_TOKEN_INVALID",
        field: Some("joinToken".into()),
        message: "What this join token was given for holds no more: ask for a new one.".into(),
    }
}

/// By which a token names the password that its bearer knows.
fn fingerprint(hash: &PasswordHash) -> SecretHash {
    SecretHash(Sha256::digest(&hash.0).into())
}

pub(crate) fn session_not_live() -> Error {
    Error::rejected(witan_domain::session::SessionRejection::SessionNotLive)
}

fn no_live_session() -> Error {
    Error::Rejected {
        code: "NO_LIVE_SESSION",
        field: None,
        message: "The room has no live session now: try again when it is opened.".into(),
    }
}
