//! Access is live: whoever is in a live session, or at its door, by a grant that was taken away goes; whose grant leads
//! to less than it did loses the role. Looked at is what holds now, so an old event read again harms nobody.
//!
//! Who came by a password stays when it changes: nobody knows any more which one they knew. Who was moved here by a host
//! stays while their account is active and their invitation stands.

use witan_domain::{
    Aggregate, InvitationId, OrganizationId, RoomId, SessionId, SessionRole, UserId,
    invitation::{Invitation, InvitationEvent, InvitationState, InvitationStatus},
    organization::{Organization, OrganizationEvent},
    participant::{Participant, ParticipantStep},
    policy::{self, Access, EffectivePolicies, Facts},
    room::{Room, RoomEvent},
    session::{
        ChangeParticipantRole, DenyParticipant, RemoveParticipant, Session, SessionCommand, SessionRecord, SessionState,
    },
    units::{Units, UnitsEvent},
    user::{User, UserEvent},
};
use witan_event_store::Recorded;

use super::{because_of, settled};
use crate::{App, Error, access::LevelsAbove};

/// Whose access an event may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    User(UserId),
    Invitation(InvitationId),
    Room(RoomId),
    Everyone,
}

impl Touched {
    fn has(self, session: &SessionRecord, there: &Participant) -> bool {
        match self {
            Self::User(user) => there.user == Some(user),
            Self::Invitation(invitation) => there.invitation == Some(invitation),
            Self::Room(room) => session.room == room,
            Self::Everyone => true,
        }
    }
}

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let Some(organization) = recorded.envelope.organization() else { return Ok(()) };
    let Some(touched) = touched(recorded)? else { return Ok(()) };
    // Which sessions are live, and who has which role, is asked of read models that know at least this event.
    if !app.directory.wait_for(recorded.position.0).await {
        return Err(Error::Unavailable("The read models do not show the change of access yet.".into()));
    }
    for session in app.lookups.live_sessions(organization)? {
        review(app, recorded, organization, session, touched).await?;
    }
    Ok(())
}

fn touched(recorded: &Recorded) -> Result<Option<Touched>, Error> {
    let envelope = &recorded.envelope;
    let (kind, schema, data) = (envelope.kind(), envelope.schema(), envelope.data());
    Ok(match envelope.category() {
        User::CATEGORY => of_user(&User::decode(kind, schema, data)?, envelope.stream_id()),
        Organization::CATEGORY => of_organization(&Organization::decode(kind, schema, data)?),
        Units::CATEGORY => of_units(&Units::decode(kind, schema, data)?),
        Room::CATEGORY => of_room(&Room::decode(kind, schema, data)?, envelope.stream_id()),
        Invitation::CATEGORY => of_invitation(&Invitation::decode(kind, schema, data)?, envelope.stream_id()),
        _ => None,
    })
}

fn of_user(event: &UserEvent, user: &str) -> Option<Touched> {
    match event {
        UserEvent::UserUpdated(_) | UserEvent::UserDeactivated(_) | UserEvent::RoleRevoked(_) => {
            user.parse().ok().map(Touched::User)
        }
        UserEvent::UserCreated(_) | UserEvent::UserReactivated(_) | UserEvent::RoleGranted(_) => None,
    }
}

fn of_organization(event: &OrganizationEvent) -> Option<Touched> {
    match event {
        OrganizationEvent::OwnerRevoked(revoked) => Some(Touched::User(revoked.user)),
        OrganizationEvent::OrganizationPoliciesSet(_) => Some(Touched::Everyone),
        OrganizationEvent::OrganizationCreated(_)
        | OrganizationEvent::OrganizationUpdated(_)
        | OrganizationEvent::OrganizationSettingsSet(_)
        | OrganizationEvent::OwnerGranted(_)
        | OrganizationEvent::OrganizationSuspended(_)
        | OrganizationEvent::OrganizationReactivated(_)
        | OrganizationEvent::OrganizationClosed(_) => None,
    }
}

fn of_units(event: &UnitsEvent) -> Option<Touched> {
    match event {
        UnitsEvent::UnitMoved(_) | UnitsEvent::UnitPoliciesSet(_) => Some(Touched::Everyone),
        UnitsEvent::UnitCreated(_)
        | UnitsEvent::UnitUpdated(_)
        | UnitsEvent::UnitArchived(_)
        | UnitsEvent::UnitSettingsSet(_) => None,
    }
}

fn of_room(event: &RoomEvent, room: &str) -> Option<Touched> {
    match event {
        RoomEvent::RoomUpdated(_)
        | RoomEvent::RoomPoliciesSet(_)
        | RoomEvent::RoomPersonAdded(_)
        | RoomEvent::RoomPersonRemoved(_) => room.parse().ok().map(Touched::Room),
        RoomEvent::RoomCreated(_)
        | RoomEvent::RoomSettingsSet(_)
        | RoomEvent::RoomDisabled(_)
        | RoomEvent::RoomEnabled(_)
        | RoomEvent::RoomArchived(_)
        | RoomEvent::SessionOpened(_)
        | RoomEvent::SessionReleased(_) => None,
    }
}

fn of_invitation(event: &InvitationEvent, invitation: &str) -> Option<Touched> {
    match event {
        InvitationEvent::InvitationRevoked(_) => invitation.parse().ok().map(Touched::Invitation),
        InvitationEvent::InvitationCreated(_)
        | InvitationEvent::InvitationExchanged(_)
        | InvitationEvent::InviteeCameToDesk(_)
        | InvitationEvent::InviteeLeftDesk(_)
        | InvitationEvent::WaitUnanswered(_)
        | InvitationEvent::WaitTimedOut(_) => None,
    }
}

async fn review(
    app: &App,
    recorded: &Recorded,
    organization: OrganizationId,
    session: SessionId,
    touched: Touched,
) -> Result<(), Error> {
    for command in commands(app, organization, session, touched)? {
        settled(app.command_session(&because_of(recorded)?, organization, session, command).await)?;
    }
    Ok(())
}

fn commands(
    app: &App,
    organization: OrganizationId,
    session: SessionId,
    touched: Touched,
) -> Result<Vec<SessionCommand>, Error> {
    let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
    let Some(live) = SessionState::live(&loaded.state) else { return Ok(Vec::new()) };
    let concerned = |there: &&Participant| !there.state.is_final() && touched.has(live, there);
    let mut concerned = live.participants.iter().filter(concerned).peekable();
    if concerned.peek().is_none() {
        return Ok(Vec::new());
    }
    let room = app.room_state(organization, live.room)?.facts().map_err(Error::rejected)?.clone();
    let above = app.levels_above(&room)?;
    let policies = above.policies(room.details.purpose, &room.policies);
    let mut commands = Vec::new();
    for there in concerned {
        let facts = facts(app, &room, &above, there)?;
        commands.extend(follows(app, there, access(&policies, &facts, there)));
    }
    Ok(commands)
}

fn facts(
    app: &App,
    room: &witan_domain::room::RoomFacts,
    above: &LevelsAbove,
    there: &Participant,
) -> Result<Facts, Error> {
    let mut facts = match there.user {
        Some(user) => app.user_facts(room, above, user)?,
        None => Facts::default(),
    };
    if let Some(invitation) = there.invitation {
        facts.invited = standing(app, room.organization, invitation)?;
    }
    Ok(facts)
}

/// The role that an invitation gives until it is revoked: the end of its window sends nobody away who is in.
fn standing(app: &App, organization: OrganizationId, invitation: InvitationId) -> Result<Option<SessionRole>, Error> {
    let loaded = app.load_own::<Invitation>(Some(organization), &Invitation::stream(invitation))?;
    Ok(match &loaded.state {
        InvitationState::Present(facts) if facts.status != InvitationStatus::Revoked => Some(facts.details.role),
        InvitationState::Present(_) | InvitationState::Absent => None,
    })
}

/// How the participant would be let in now.
fn access(policies: &EffectivePolicies, facts: &Facts, there: &Participant) -> Option<Access> {
    let account_gone = there.user.is_some() && !facts.organization_user;
    let invitation_gone = there.invitation.is_some() && facts.invited.is_none();
    if account_gone || (there.moved && invitation_gone) {
        return None;
    }
    if there.moved {
        return Some(Access { role: there.role, lobby: false });
    }
    let by_password = policy::password(&policies.join).is_some() && there.invitation.is_none();
    policies.may_join(facts).or(by_password.then_some(Access { role: SessionRole::Participant, lobby: false }))
}

/// A role that a host gave in the session is the session's own.
fn follows(app: &App, there: &Participant, access: Option<Access>) -> Option<SessionCommand> {
    let (participant, now) = (there.participant, app.sources.now());
    let Some(access) = access else {
        return Some(if there.state.is_in() {
            RemoveParticipant { participant, ban: false, reason: None, now }.into()
        } else {
            DenyParticipant { participant, reason: None, now }.into()
        });
    };
    let given_here = there.timeline.iter().any(|moment| matches!(moment.step, ParticipantStep::RoleChanged { .. }));
    // The roles are declared from the highest down.
    let less = access.role > there.role;
    (less && !given_here).then(|| ChangeParticipantRole { participant, role: access.role, now }.into())
}
