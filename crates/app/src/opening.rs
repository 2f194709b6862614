//! Opening a session, and the join tokens that lead to its door.
//!
//! The room is the one that knows its live session, so opening is recorded there first; then the session's own stream
//! begins. If that is cut short, the reactor `sessions` goes on with it.

use witan_auth::{JOIN_TOKEN_SECONDS_MAX, JoinToken, Operation, Scopes};
use witan_domain::{
    Actor, Aggregate, OrganizationId, PersonId, RoomId, SessionId, Timestamp, TokenId, UserId,
    policy::Access,
    room::{OpenSession, ReleaseSession, Room, RoomFacts, SessionOpened},
    session::{EndSession, MarkSessionReady, Opener, PrepareSession, Session, SessionState, SessionStatus},
    settings::SettingValue,
};
use witan_event_store::{Direction, Position};
use witan_media::MediaMode;

use crate::{
    App, Error, Outcome, Request,
    access::Invited,
    personal::Text,
    rooms::{ROOM, room_resource},
};

pub const RECORD_ID_CHARS_MAX: usize = 200;

/// What the opener chooses.
#[derive(Clone, Debug, Default)]
pub struct OpeningInput {
    /// The record that the session belongs to: a patient's file, say.
    pub record_id: Option<String>,
    pub continues: Option<SessionId>,
    pub settings: Vec<SettingValue>,
}

/// A join token and when it ends.
pub struct Ticket {
    pub token: String,
    pub expires: Timestamp,
    pub claims: JoinToken,
}

impl App {
    /// Opens a session in the room and makes it ready, if media is not needed or is there.
    pub async fn open_session(
        &self,
        request: &Request,
        room: RoomId,
        input: &OpeningInput,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        let organization = request.organization()?;
        let state = self.room_state(organization, room)?;
        let facts = state.facts().map_err(Error::rejected)?.clone();
        let above = self.levels_above(&facts)?;
        self.authorise(request, Operation::OpenSession, &room_resource(organization, &state)).await?;
        self.release_closed(request, &facts).await?;
        let session = SessionId(self.id_for(request, "session"));
        let record = self.protect_record(request, organization, room, session, input.record_id.as_deref()).await?;
        let chosen = above.settings(facts.details.purpose, &facts.settings).opened_with(&input.settings);
        let opened_by = match request.actor {
            Actor::User { user, .. } => Opener::User(user),
            Actor::Participant { .. } | Actor::Anonymous => Opener::Guest,
            Actor::System | Actor::Operator => Opener::System,
        };
        if let Some(before) = input.continues {
            self.check_continued(organization, before)?;
        }
        let task = self.begin_room(request, room, Operation::OpenSession).await?;
        let command = OpenSession {
            session,
            organization_active: above.organization_active(),
            settings: chosen.map_err(Error::rejected)?,
            opened_by,
            record,
            continues: input.continues,
            now: task.now(),
        };
        let opened = SessionOpened {
            session,
            settings: Box::new(command.settings.clone()),
            opened_by,
            record: command.record.clone(),
            continues: command.continues,
        };
        task.finish(&command.into()).await?;
        let prepared = self.prepare_session(&request.step(), &facts, &opened).await?;
        Ok((session, Outcome { position: self.prepared_position(session)?, ..prepared }))
    }

    /// The second step of opening: the session's own stream. Finds itself done when the reactor was faster.
    pub(crate) async fn prepare_session(
        &self,
        request: &Request,
        room: &RoomFacts,
        opened: &SessionOpened,
    ) -> Result<Outcome<Session>, Error> {
        // The opening was authorised as a whole; who opened it stands in the command.
        let request = Request { actor: Actor::System, scopes: None, expected_version: None, ..request.clone() };
        let (organization, session) = (room.organization, opened.session);
        let stream = Session::stream(session);
        let there = self.load_own::<Session>(Some(organization), &stream)?;
        let outcome = if there.version.is_some() {
            Outcome { state: there.state.clone(), version: there.version, position: None }
        } else {
            let record = self.record_in_session(room, session, opened.record.as_ref())?;
            let command = PrepareSession {
                session,
                organization,
                unit: room.unit,
                room: room.room,
                purpose: room.details.purpose,
                settings: (*opened.settings).clone(),
                opened_by: opened.opened_by,
                record,
                continues: opened.continues,
                media_needed: self.media.mode() == MediaMode::Sfu,
                now: self.sources.now(),
            };
            self.command_session(&request, organization, session, command.into()).await?
        };
        let preparing = outcome.state.live().is_some_and(|live| live.status == SessionStatus::Preparing);
        // Asked again, the session is ready by now, or has ended: then there is no media to open.
        if self.media.mode() == MediaMode::None || !preparing {
            return Ok(outcome);
        }
        match self.media.open_session(session).await {
            Ok(()) => {
                let ready = MarkSessionReady { now: self.sources.now() };
                let request = Request::system(request.correlation, request.causation);
                self.command_session(&request, organization, session, ready.into()).await
            }
            Err(error) => {
                // The reactor `media` tries again; meanwhile the session is PREPARING, which its readers see.
                tracing::warn!(%session, %error, "media is not ready for the session");
                Ok(outcome)
            }
        }
    }

    /// Where the session's first steps stand, whoever took them: this request, an earlier try of it, or the reactor.
    fn prepared_position(&self, session: SessionId) -> Result<Option<Position>, Error> {
        let steps = self.store.read_stream(&Session::stream(session), 0, Direction::Forward, 2)?;
        Ok(steps.last().map(|recorded| recorded.position))
    }

    /// Each stream has field keys of its own: what the room's stream holds is protected anew for the session's.
    fn record_in_session(
        &self,
        room: &RoomFacts,
        session: SessionId,
        record: Option<&witan_domain::Private>,
    ) -> Result<Option<witan_domain::Private>, Error> {
        let Some(record) = record else { return Ok(None) };
        let stream = Room::stream(room.room);
        let Some(text) = self.reveal(room.organization, &stream, "record", record)? else { return Ok(None) };
        let text = Text::required("recordId", &text, RECORD_ID_CHARS_MAX)?;
        self.protect(room.organization, record.person, &Session::stream(session), "record", text).map(Some)
    }

    /// A room whose session has closed a moment ago may not know it yet.
    async fn release_closed(&self, request: &Request, room: &RoomFacts) -> Result<(), Error> {
        let Some(live) = room.live_session else { return Ok(()) };
        let closed = matches!(self.session_state(room.organization, live), Ok(SessionState::Closed(_)));
        if closed {
            self.release_session(&Request::system(request.correlation, None), room.organization, room.room, live)
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn release_session(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        session: SessionId,
    ) -> Result<(), Error> {
        let task = self
            .begin::<Room>(request, Some(organization), room, Operation::OpenSession, ROOM, |state| {
                room_resource(organization, state)
            })
            .await?;
        task.finish(&ReleaseSession { session }.into()).await.map(|_| ())
    }

    /// Ends a room's live session because the room was closed.
    pub(crate) async fn end_for_room(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<(), Error> {
        let command = EndSession { reason: witan_domain::session::EndReason::RoomDisabled, now: self.sources.now() };
        crate::reactors::settled(self.command_session(request, organization, session, command.into()).await)
    }

    fn check_continued(&self, organization: OrganizationId, before: SessionId) -> Result<(), Error> {
        match self.session_state(organization, before) {
            Ok(SessionState::Closed(_)) => Ok(()),
            Ok(SessionState::Live(_) | SessionState::Absent) | Err(Error::NotFound { .. }) => Err(Error::Rejected {
                code: "SESSION_NOT_CLOSED",
                field: Some("continues".into()),
                message: "Only a closed session of this organization can be continued.".into(),
            }),
            Err(error) => Err(error),
        }
    }

    /// A record's id is as personal as whose record it is: it belongs to a person of its own.
    async fn protect_record(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        session: SessionId,
        record_id: Option<&str>,
    ) -> Result<Option<witan_domain::Private>, Error> {
        let Some(record_id) = record_id else { return Ok(None) };
        let text = Text::required("recordId", record_id.trim(), RECORD_ID_CHARS_MAX)?;
        let fresh = PersonId(self.id_for(request, &format!("record of {session}")));
        let person = self.person_for(organization, Some(&format!("record {}", text.as_str())), fresh).await?;
        self.protect(organization, person, &Room::stream(room), "record", text).map(Some)
    }

    /// A join token for a user who may enter the session.
    pub async fn create_join_token(&self, request: &Request, session: SessionId) -> Result<Ticket, Error> {
        let organization = request.organization()?;
        let state = self.session_state(organization, session)?;
        let live = state.live().ok_or(session_not_live())?;
        let room = self.room_state(organization, live.room)?;
        let facts = room.facts().map_err(Error::rejected)?;
        let above = self.levels_above(facts)?;
        let policies = above.policies(facts.details.purpose, &facts.policies);
        let access = policies.may_join(&self.access_facts(request, facts, &above, None)?);
        let resource = crate::sessions::session_resource(&request.actor, organization, &state);
        self.authorise(request, Operation::CreateJoinToken, &resource).await?;
        hold_participation(request)?;
        let access = access.ok_or_else(|| Error::Forbidden { reference: request.correlation.to_string() })?;
        let (user, person) = self.acting_person(request, organization)?;
        self.ticket(request, organization, session, access, Some(user), person, None)
    }

    /// A join token for an invitee, by the invitation's secret, while the invitation is good.
    pub(crate) fn invited_ticket(
        &self,
        request: &Request,
        room: &RoomFacts,
        invited: Invited,
        token: TokenId,
    ) -> Result<Ticket, Error> {
        let above = self.levels_above(room)?;
        let policies = above.policies(room.details.purpose, &room.policies);
        let facts = self.access_facts(request, room, &above, Some(invited))?;
        let Some(access) = policies.may_join(&facts) else {
            return Err(Error::Rejected {
                code: "INVITATION_NOT_ACCEPTED",
                field: None,
                message: "The room takes no invitations now.".into(),
            });
        };
        let session = room.live_session.ok_or(Error::Rejected {
            code: "NO_LIVE_SESSION",
            field: None,
            message: "The room has no live session now: try again when it is opened.".into(),
        })?;
        self.signed(room.organization, session, access, None, invited.person, Some(invited), token)
    }

    fn ticket(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        access: Access,
        user: Option<UserId>,
        person: PersonId,
        invited: Option<Invited>,
    ) -> Result<Ticket, Error> {
        let token = TokenId(self.id_for(request, &format!("join token {session}")));
        self.signed(organization, session, access, user, person, invited, token)
    }

    fn signed(
        &self,
        organization: OrganizationId,
        session: SessionId,
        access: Access,
        user: Option<UserId>,
        person: PersonId,
        invited: Option<Invited>,
        id: TokenId,
    ) -> Result<Ticket, Error> {
        let now = self.sources.now();
        // A grant's lobby holds whatever the setting says: a floor may have put it there. The setting adds to it.
        let by_setting = self.session_state(organization, session)?;
        let by_setting = by_setting.live().is_some_and(|live| live.settings.values.lobby);
        let lobby = access.lobby || (by_setting && !access.role.moderates());
        let claims = JoinToken {
            id,
            organization,
            session,
            person,
            user,
            invitation: invited.map(|invited| invited.invitation),
            role: access.role,
            lobby,
        };
        let token = self.tokens.sign(&claims, now).map_err(Error::fault)?;
        Ok(Ticket { token, expires: now.plus_seconds(JOIN_TOKEN_SECONDS_MAX), claims })
    }

    fn acting_person(&self, request: &Request, organization: OrganizationId) -> Result<(UserId, PersonId), Error> {
        let user = crate::rooms::acting_user(request)?;
        let state = self.user_state(organization, user)?;
        Ok((user, state.facts().map_err(Error::rejected)?.person))
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

pub(crate) fn session_not_live() -> Error {
    Error::rejected(witan_domain::session::SessionRejection::SessionNotLive)
}
