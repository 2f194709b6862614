//! What people may think of asking, and what is learnt from the answers.

use witan_app::{
    App, Error, Outcome, Position, Request,
    entry::{Entered, Introduction},
    invitations::InvitationInput,
    join_tokens::Door,
    opening::OpeningInput,
    organizations::OrganizationInput,
    rooms::RoomInput,
    units::UnitInput,
    users::NewUser,
};
use witan_domain::{
    AccountRole, Actor, Aggregate, CorrelationId, InvitationId, MessageId, OrganizationId, ParticipantId, PersonId,
    RoleScope, RoomId, SessionId, SessionRole, Timestamp, UnitId, UserId, participant::MediaSource, person::Ground,
    settings::Purpose,
};

use super::{Random, START};

/// Who asks for what. The correlation tells its events from all others.
#[derive(Clone, Debug)]
pub struct Call {
    pub actor: Actor,
    pub correlation: CorrelationId,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Found { slug: String },
    GrantPrivacy { to: UserId },
    CreateUnit { parent: Option<UnitId>, slug: String },
    MoveUnit { unit: UnitId, parent: Option<UnitId> },
    ArchiveUnit { unit: UnitId },
    CreateUser { login: String, unit: Option<UnitId> },
    RenameUser { user: UserId, login: String },
    SetActive { user: UserId, active: bool },
    Grant { user: UserId, role: AccountRole },
    Revoke { user: UserId, role: AccountRole },
    CreateRoom { unit: UnitId, slug: String, purpose: Purpose },
    RenameRoom { room: RoomId, slug: String },
    EnableRoom { room: RoomId, enable: bool },
    ArchiveRoom { room: RoomId },
    Invite { room: RoomId, role: SessionRole },
    RevokeInvitation { invitation: InvitationId },
    Exchange { invitation: InvitationId, secret: String },
    Open { room: RoomId },
    End { session: SessionId },
    Lock { session: SessionId, lock: bool },
    Extend { session: SessionId },
    Ticket { session: SessionId },
    Knock { token: String },
    Join { token: String },
    JoinAdmitted { session: SessionId },
    AdmitAll { session: SessionId },
    Moderate { session: SessionId, participant: ParticipantId, how: Moderation },
    Leave { session: SessionId },
    Withdraw { session: SessionId },
    Resume { session: SessionId },
    Send { session: SessionId, text: String },
    RemoveMessage { session: SessionId, message: MessageId },
    Erase { person: PersonId },
    Come,
    Go,
}

#[derive(Clone, Copy, Debug)]
pub enum Moderation {
    Admit,
    Deny,
    Hold,
    Release,
    Remove,
    Mute,
    Promote,
}

/// An answer, as far as it can be compared with another.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub made: Made,
    pub position: Option<Position>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    Nothing,
    Organization(OrganizationId, UserId, String),
    Unit(UnitId),
    User(UserId, PersonId),
    Room(RoomId),
    Invitation(InvitationId, String),
    Session(SessionId),
    Token(String),
    Participant(OrganizationId, SessionId, ParticipantId, String),
    Message(MessageId),
}

/// What people know of, whether it is still there or not.
#[derive(Default)]
pub struct Known {
    pub organizations: Vec<(OrganizationId, UserId)>,
    users: Vec<(OrganizationId, UserId, PersonId)>,
    units: Vec<(OrganizationId, UnitId)>,
    pub rooms: Vec<(OrganizationId, RoomId)>,
    invitations: Vec<(InvitationId, String)>,
    pub sessions: Vec<(OrganizationId, SessionId)>,
    tokens: Vec<String>,
    participants: Vec<(OrganizationId, SessionId, ParticipantId)>,
    messages: Vec<(SessionId, MessageId)>,
    /// Whose erasure was acknowledged.
    pub erased: Vec<(OrganizationId, PersonId)>,
}

impl Call {
    pub fn is_by_token(&self) -> bool {
        matches!(self.what, What::Knock { .. } | What::Join { .. })
    }
}

/// Does what the call asks for. The same call is the same request: its key is its number.
pub async fn run(app: &std::sync::Arc<App>, call: &Call) -> Result<Told, Error> {
    let mut request = Request::by(call.actor.clone(), call.correlation);
    let input = format!("{:?}", call.what);
    request.idempotency = Some(app.idempotency_key(&call.actor, &call.correlation.to_string(), input.as_bytes()));
    let request = &request;
    let (made, position) = match &call.what {
        What::Found { slug } => {
            let input = OrganizationInput { slug: slug.clone(), full_name: "A clinic".into(), ..Default::default() };
            let founded = app.create_organization(request, &input, &user("owner", None)).await?;
            (Made::Organization(founded.organization, founded.owner, founded.api_key), founded.outcome.position)
        }
        What::GrantPrivacy { to } => {
            let (role, scope) = (AccountRole::PrivacyOfficer, RoleScope::Organization);
            (Made::Nothing, app.grant_role(request, *to, role, scope, None).await?.position())
        }
        What::CreateUnit { parent, slug } => {
            let input = UnitInput { slug: slug.clone(), full_name: "A unit".into(), ..Default::default() };
            let (unit, outcome) = app.create_unit(request, *parent, &input).await?;
            (Made::Unit(unit), outcome.position)
        }
        What::MoveUnit { unit, parent } => done(app.move_unit(request, *unit, *parent).await?),
        What::ArchiveUnit { unit } => done(app.archive_unit(request, *unit).await?),
        What::CreateUser { login, unit } => {
            let (user, outcome) = app.create_user(request, &user(login, *unit)).await?;
            let person = outcome.state.facts().map(|facts| facts.person).expect("it was just made");
            (Made::User(user, person), outcome.position)
        }
        What::RenameUser { user: id, login } => done(app.update_user(request, *id, &user(login, None)).await?),
        What::SetActive { user, active: true } => done(app.reactivate_user(request, *user).await?),
        What::SetActive { user, active: false } => done(app.deactivate_user(request, *user).await?),
        What::Grant { user, role } => {
            let outcome = app.grant_role(request, *user, *role, RoleScope::Organization, None).await?;
            (Made::Nothing, outcome.position())
        }
        What::Revoke { user, role } => {
            let outcome = app.revoke_role(request, *user, *role, RoleScope::Organization).await?;
            (Made::Nothing, outcome.position())
        }
        What::CreateRoom { unit, slug, purpose } => {
            let (room, outcome) = app.create_room(request, *unit, &room(slug, *purpose)).await?;
            (Made::Room(room), outcome.position)
        }
        What::RenameRoom { room: id, slug } => {
            done(app.update_room(request, *id, &room(slug, Purpose::Meeting)).await?)
        }
        What::EnableRoom { room, enable: true } => done(app.enable_room(request, *room).await?),
        What::EnableRoom { room, enable: false } => done(app.disable_room(request, *room).await?),
        What::ArchiveRoom { room } => done(app.archive_room(request, *room).await?),
        What::Invite { room, role } => {
            let input = InvitationInput {
                display_name: "Pat".into(),
                email: None,
                external_id: None,
                role: *role,
                not_before: Timestamp::from_seconds(START),
                not_after: Timestamp::from_seconds(START + 10 * 86_400),
            };
            let created = app.create_invitation(request, *room, &input).await?;
            (Made::Invitation(created.invitation, created.secret), created.outcome.position)
        }
        What::RevokeInvitation { invitation } => done(app.revoke_invitation(request, *invitation).await?),
        What::Exchange { invitation, secret } => {
            (Made::Token(app.exchange_invitation(request, *invitation, secret).await?.token), None)
        }
        What::Open { room } => {
            let (session, outcome) = app.open_session(request, *room, &OpeningInput::default()).await?;
            (Made::Session(session), outcome.position)
        }
        What::End { session } => done(app.end_session(request, *session).await?),
        What::Lock { session, lock: true } => done(app.lock_session(request, *session).await?),
        What::Lock { session, lock: false } => done(app.unlock_session(request, *session).await?),
        What::Extend { session } => done(app.extend_session(request, *session, 10).await?),
        What::Ticket { session } => {
            (Made::Token(app.create_join_token(request, Door::Session(*session), None).await?.token), None)
        }
        What::Knock { token } => entered(app.knock(request, token, &introduction()).await?),
        What::Join { token } => entered(app.join_by_token(request, token, &introduction()).await?),
        What::JoinAdmitted { session } => done(app.join_by_admission(request, *session).await?),
        What::AdmitAll { session } => done(app.admit_all(request, *session).await?),
        What::Moderate { session, participant, how } => {
            let (session, participant) = (*session, *participant);
            done(match how {
                Moderation::Admit => app.admit_participant(request, session, participant).await?,
                Moderation::Deny => app.deny_participant(request, session, participant, None).await?,
                Moderation::Hold => app.hold_participant(request, session, participant).await?,
                Moderation::Release => app.release_participant(request, session, participant).await?,
                Moderation::Remove => app.remove_participant(request, session, participant, false, None).await?,
                Moderation::Mute => {
                    app.mute_participant(request, session, participant, MediaSource::Microphone).await?
                }
                Moderation::Promote => {
                    app.change_participant_role(request, session, participant, SessionRole::CoHost).await?
                }
            })
        }
        What::Leave { session } => done(app.leave_session(request, *session).await?),
        What::Withdraw { session } => done(app.withdraw_knock(request, *session).await?),
        What::Resume { session } => done(app.resume_participation(request, *session).await?),
        What::Send { session, text } => {
            let (message, outcome) = app.send_message(request, *session, text).await?;
            (Made::Message(message), outcome.position)
        }
        What::RemoveMessage { session, message } => done(app.remove_message(request, *session, *message).await?),
        What::Erase { person } => done(app.erase_person(request, *person, Ground::Request).await?),
        What::Come => {
            app.connection_opened(&call.actor);
            (Made::Nothing, None)
        }
        What::Go => {
            app.connection_closed(&call.actor);
            (Made::Nothing, None)
        }
    };
    Ok(Told { made, position })
}

fn done<A: Aggregate>(outcome: Outcome<A>) -> (Made, Option<Position>) {
    (Made::Nothing, outcome.position)
}

fn entered(entered: Entered) -> (Made, Option<Position>) {
    let Entered { organization, session, participant, resume_secret, outcome } = entered;
    (Made::Participant(organization, session, participant, resume_secret), outcome.position)
}

fn user(login: &str, unit: Option<UnitId>) -> NewUser {
    NewUser { login: login.into(), name: format!("Name of {login}"), unit, ..NewUser::default() }
}

fn room(slug: &str, purpose: Purpose) -> RoomInput {
    RoomInput {
        name: "A room".into(),
        slug: slug.into(),
        description: String::new(),
        purpose,
        owner: None,
        logo_url: None,
        not_before: None,
        not_after: None,
    }
}

fn introduction() -> Introduction {
    Introduction { display_name: "Somebody".into(), device: None }
}

impl Known {
    pub fn learns(&mut self, call: &Call, told: &Told) {
        let tenant = call.actor.organization();
        match (&told.made, tenant) {
            (Made::Organization(organization, owner, _), _) => self.organizations.push((*organization, *owner)),
            (Made::Unit(unit), Some(tenant)) => self.units.push((tenant, *unit)),
            (Made::User(user, person), Some(tenant)) => self.users.push((tenant, *user, *person)),
            (Made::Room(room), Some(tenant)) => self.rooms.push((tenant, *room)),
            (Made::Invitation(invitation, secret), _) => self.invitations.push((*invitation, secret.clone())),
            (Made::Session(session), Some(tenant)) => self.sessions.push((tenant, *session)),
            (Made::Token(token), _) => self.tokens.push(token.clone()),
            (Made::Participant(organization, session, participant, _), _) => {
                self.participants.push((*organization, *session, *participant));
            }
            (Made::Message(message), _) => {
                if let What::Send { session, .. } = call.what {
                    self.messages.push((session, *message));
                }
            }
            _ => {}
        }
        if let (What::Erase { person }, Some(tenant)) = (&call.what, tenant) {
            self.erased.push((tenant, *person));
        }
    }

    /// Something that somebody may ask now: mostly what can be done, sometimes what can't.
    pub fn chooses(&self, random: &mut Random, number: u64, founding: bool) -> Option<Call> {
        let (actor, what) = self.who_and_what(random, number, founding)?;
        Some(Call { actor, correlation: CorrelationId(u128::from(number)), what })
    }

    fn who_and_what(&self, random: &mut Random, number: u64, founding: bool) -> Option<(Actor, What)> {
        if self.organizations.is_empty() || (founding && self.organizations.len() < 2 && random.one_in(20)) {
            return Some((Actor::Operator, What::Found { slug: format!("clinic-{number}") }));
        }
        let &(organization, owner) = random.of(&self.organizations)?;
        let owner_acts = Actor::User { organization, user: owner, key: None };
        let own_units: Vec<_> = own(&self.units, organization);
        let own_rooms: Vec<_> = own(&self.rooms, organization);
        if own_units.is_empty() {
            return Some((owner_acts, What::CreateUnit { parent: None, slug: format!("unit-{number}") }));
        }
        if own_rooms.is_empty() {
            return Some((owner_acts, self.new_room(random, &own_units, number)?));
        }
        let users: Vec<_> = self.users.iter().filter(|(tenant, ..)| *tenant == organization).collect();
        // Now and then someone who may not, or of another organization.
        let who = match random.below(10) {
            0 => random.of(&self.users).map(|(tenant, user, _)| Actor::User {
                organization: *tenant,
                user: *user,
                key: None,
            }),
            _ => None,
        };
        let who = who.unwrap_or(owner_acts);
        match random.below(100) {
            0..=4 => Some((who, self.of_units(random, &own_units, number)?)),
            5..=14 => Some((who, self.of_users(random, &users, &own_units, number, owner)?)),
            15..=22 => Some((who, self.of_rooms(random, &own_units, &own_rooms, number)?)),
            23..=34 => Some((who, self.of_entry(random, &own_rooms)?)),
            35..=44 => Some((who, What::Open { room: *random.of(&own_rooms)? })),
            45..=54 => Some((Actor::Anonymous, self.of_tokens(random)?)),
            55..=74 => self.of_participants(random),
            _ => self.of_moderators(random, who),
        }
    }

    fn new_room(&self, random: &mut Random, units: &[UnitId], number: u64) -> Option<What> {
        let purpose = if random.one_in(2) { Purpose::Meeting } else { Purpose::Consultation };
        Some(What::CreateRoom { unit: *random.of(units)?, slug: format!("room-{}", number % 20), purpose })
    }

    fn of_units(&self, random: &mut Random, units: &[UnitId], number: u64) -> Option<What> {
        let (unit, parent) = (*random.of(units)?, random.of(units).copied());
        Some(match random.below(4) {
            0 | 1 => What::CreateUnit { parent: parent.filter(|_| random.one_in(2)), slug: format!("unit-{number}") },
            2 => What::MoveUnit { unit, parent },
            _ => What::ArchiveUnit { unit },
        })
    }

    fn of_users(
        &self,
        random: &mut Random,
        users: &[&(OrganizationId, UserId, PersonId)],
        units: &[UnitId],
        number: u64,
        owner: UserId,
    ) -> Option<What> {
        let login = format!("login-{}", number % 15);
        let Some(&&(_, user, person)) = random.of(users) else {
            return Some(What::CreateUser { login, unit: random.of(units).copied() });
        };
        let role = *random.of(&[AccountRole::Host, AccountRole::Admin, AccountRole::Member, AccountRole::Auditor])?;
        Some(match random.below(10) {
            0..=2 => What::CreateUser { login, unit: random.of(units).copied() },
            3 => What::RenameUser { user, login },
            4 => What::SetActive { user, active: random.one_in(4) },
            5 => What::Grant { user, role },
            6 => What::Revoke { user, role },
            7 => What::GrantPrivacy { to: owner },
            _ => What::Erase { person },
        })
    }

    fn of_rooms(&self, random: &mut Random, units: &[UnitId], rooms: &[RoomId], number: u64) -> Option<What> {
        let room = *random.of(rooms)?;
        Some(match random.below(8) {
            0..=3 => self.new_room(random, units, number)?,
            4 => What::RenameRoom { room, slug: format!("room-{}", number % 20) },
            5 => What::EnableRoom { room, enable: false },
            6 => What::EnableRoom { room, enable: true },
            _ => What::ArchiveRoom { room },
        })
    }

    fn of_entry(&self, random: &mut Random, rooms: &[RoomId]) -> Option<What> {
        let role = *random.of(&[SessionRole::Participant, SessionRole::Host, SessionRole::Observer])?;
        let invite = What::Invite { room: *random.of(rooms)?, role };
        Some(match random.below(6) {
            0 | 1 => invite,
            2 => What::RevokeInvitation { invitation: random.of(&self.invitations)?.0 },
            _ => What::Ticket { session: late(random, &self.sessions)?.1 },
        })
    }

    fn of_tokens(&self, random: &mut Random) -> Option<What> {
        let exchange = |random: &mut Random| {
            let (invitation, secret) = random.of(&self.invitations)?;
            Some(What::Exchange { invitation: *invitation, secret: secret.clone() })
        };
        match random.below(5) {
            0 | 1 => exchange(random),
            2 => Some(What::Join { token: late(random, &self.tokens)?.clone() }),
            _ => match late(random, &self.tokens) {
                Some(token) => Some(What::Knock { token: token.clone() }),
                None => exchange(random),
            },
        }
    }

    fn of_participants(&self, random: &mut Random) -> Option<(Actor, What)> {
        let &(organization, session, participant) = late(random, &self.participants)?;
        let what = match random.below(16) {
            0..=3 => What::JoinAdmitted { session },
            4..=8 => What::Send { session, text: format!("a message, {}", random.next()) },
            9 => What::Leave { session },
            10 => What::Withdraw { session },
            11 => What::Resume { session },
            12 => What::Come,
            13 => What::Go,
            _ => {
                let (of, message) = *random.of(&self.messages)?;
                What::RemoveMessage { session: of, message }
            }
        };
        Some((Actor::Participant { organization, session, participant }, what))
    }

    fn of_moderators(&self, random: &mut Random, who: Actor) -> Option<(Actor, What)> {
        let &(_, session) = late(random, &self.sessions)?;
        let within: Vec<_> = self.participants.iter().filter(|(_, of, _)| *of == session).collect();
        let how = *random.of(&[
            Moderation::Admit,
            Moderation::Admit,
            Moderation::Deny,
            Moderation::Hold,
            Moderation::Release,
            Moderation::Remove,
            Moderation::Mute,
            Moderation::Promote,
        ])?;
        let what = match (random.below(10), random.of(&within)) {
            (0, _) => What::End { session },
            (1, _) => What::Lock { session, lock: random.one_in(2) },
            (2, _) => What::Extend { session },
            (3 | 4, _) | (_, None) => What::AdmitAll { session },
            (_, Some((_, session, participant))) => {
                What::Moderate { session: *session, participant: *participant, how }
            }
        };
        // Someone in the session may be its host.
        let inside = random.of(&within).filter(|_| random.below(2) == 0);
        let who = inside.map_or(who, |(organization, session, participant)| Actor::Participant {
            organization: *organization,
            session: *session,
            participant: *participant,
        });
        Some((who, what))
    }
}

fn own<T: Copy>(all: &[(OrganizationId, T)], organization: OrganizationId) -> Vec<T> {
    all.iter().filter(|(tenant, _)| *tenant == organization).map(|(_, one)| *one).collect()
}

/// Mostly one of the newest: what is old has mostly ended.
fn late<'a, T>(random: &mut Random, all: &'a [T]) -> Option<&'a T> {
    let from = if random.one_in(5) { 0 } else { all.len().saturating_sub(4) };
    random.of(&all[from..])
}
