//! Sessions: moderating, ending, and what `app` needs to know of one. Entry is in `entry.rs`, chat in `chat.rs`.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Actor, Aggregate, OrganizationId, ParticipantId, SessionId, SessionRole,
    participant::{ConsentPurpose, MediaSource, Participant, ParticipantState},
    session::{
        AdmitAll, AdmitParticipant, ChangeParticipantRole, ChangeSessionSetting, DenyParticipant, EndReason,
        EndSession, ExtendSession, GiveConsent, HoldParticipant, LeaveSession, LockSession, MoveParticipant, MuteAll,
        MuteParticipant, ReconnectParticipant, ReleaseParticipant, RemoveParticipant, Session, SessionCommand,
        SessionRecord, SessionState, UnlockSession, UnmuteParticipant, WithdrawConsent, WithdrawKnock,
    },
    settings::SettingValue,
};

use crate::{
    App, Error, Outcome, Request,
    execute::{Presence, Task},
    personal::Text,
};

pub(crate) const SESSION: Presence = Presence::Needed("session");

/// What the actor is to this session.
pub fn session_resource(actor: &Actor, organization: OrganizationId, state: &SessionState) -> Resource {
    let mut resource =
        Resource { kind: ResourceKind::Session, organization: Some(organization), ..Resource::default() };
    if let Some(record) = state.record() {
        resource.unit = Some(record.unit);
        resource.room = Some(record.room);
        resource.id = record.session.to_string();
        let mut acting = presences(actor, record).filter(|there| acts_as(actor, there));
        resource.session_role = acting.clone().find(|there| there.state.is_in()).map(|there| there.role);
        resource.own = acting.any(|there| !there.state.is_final());
        resource.took_part = took_part(actor, record);
    }
    resource
}

/// Whether the actor was in. Who was removed from a live session reads no more of it, whatever they still hold.
fn took_part(actor: &Actor, record: &SessionRecord) -> bool {
    let joined = || presences(actor, record).filter(|there| there.joined_at().is_some());
    let Some(newest) = joined().last() else { return false };
    let sent_away = newest.state == ParticipantState::Removed && !joined().any(|there| there.state.is_in());
    record.finish.is_some() || !(sent_away || record.banned.contains(&newest.person))
}

/// A resume secret acts as its own participant and as no other of the same person: an entry that another has taken over
/// has no rights any more.
fn acts_as(actor: &Actor, there: &Participant) -> bool {
    match actor {
        Actor::Participant { participant, .. } => *participant == there.participant,
        Actor::User { .. } | Actor::System | Actor::Operator | Actor::Anonymous => true,
    }
}

/// The actor's own participants in this session, in the order they came.
fn presences<'a>(actor: &'a Actor, record: &'a SessionRecord) -> impl Iterator<Item = &'a Participant> + Clone {
    // Someone who came back is a new participant of the same person.
    let person = match actor {
        Actor::Participant { session, participant, .. } if *session == record.session => {
            record.participant(*participant).map(|found| found.person)
        }
        _ => None,
    };
    let user = match actor {
        Actor::User { user, .. } => Some(*user),
        _ => None,
    };
    record
        .participants
        .iter()
        .filter(move |there| person == Some(there.person) || (user.is_some() && there.user == user))
}

/// A free text about someone, not yet protected.
#[derive(Clone, Debug)]
pub struct Reason(pub String);

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 500;

impl App {
    /// What is asked of a session as it is at this moment.
    pub(crate) fn session_resource_now(
        &self,
        actor: &Actor,
        organization: OrganizationId,
        session: SessionId,
    ) -> Resource {
        match self.session_state(organization, session) {
            Ok(state) => session_resource(actor, organization, &state),
            Err(_) => session_resource(actor, organization, &SessionState::Absent),
        }
    }

    pub(crate) async fn begin_session<'a>(
        &'a self,
        request: &'a Request,
        session: SessionId,
        operation: Operation,
    ) -> Result<Task<'a, Session>, Error> {
        let organization = request.organization()?;
        self.begin::<Session>(request, Some(organization), session, operation, SESSION, move |state| {
            session_resource(&request.actor, organization, state)
        })
        .await
    }

    /// A command of witan itself.
    pub(crate) async fn command_session(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        command: SessionCommand,
    ) -> Result<Outcome<Session>, Error> {
        let task = self
            .begin::<Session>(
                request,
                Some(organization),
                session,
                Operation::EndSession,
                Presence::Optional,
                |state| session_resource(&request.actor, organization, state),
            )
            .await?;
        task.finish(&command).await
    }

    /// Ends the session for all: `EndSession`.
    pub async fn end_session(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::EndSession).await?;
        let role = session_resource(&request.actor, request.organization()?, task.state()).session_role;
        let reason = match role {
            Some(role) if role.moderates() => EndReason::EndedByHost,
            _ => EndReason::EndedByAdmin,
        };
        let now = task.now();
        task.finish(&EndSession { reason, now }.into()).await
    }

    pub async fn lock_session(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::LockSession).await?;
        let now = task.now();
        task.finish(&LockSession { now }.into()).await
    }

    pub async fn unlock_session(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::UnlockSession).await?;
        let now = task.now();
        task.finish(&UnlockSession { now }.into()).await
    }

    pub async fn extend_session(
        &self,
        request: &Request,
        session: SessionId,
        minutes: u32,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::ExtendSession).await?;
        let now = task.now();
        task.finish(&ExtendSession { minutes, now }.into()).await
    }

    pub async fn change_session_setting(
        &self,
        request: &Request,
        session: SessionId,
        value: SettingValue,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::ChangeSessionSetting).await?;
        let now = task.now();
        task.finish(&ChangeSessionSetting { value, now }.into()).await
    }

    pub async fn admit_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::AdmitParticipant).await?;
        let now = task.now();
        task.finish(&AdmitParticipant { participant, now }.into()).await
    }

    pub async fn admit_all(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::AdmitAll).await?;
        let now = task.now();
        task.finish(&AdmitAll { now }.into()).await
    }

    pub async fn deny_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        reason: Option<Reason>,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::DenyParticipant).await?;
        let reason = self.protect_reason(&task, participant, reason)?;
        let now = task.now();
        task.finish(&DenyParticipant { participant, reason, now }.into()).await
    }

    pub async fn hold_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::HoldParticipant).await?;
        let now = task.now();
        task.finish(&HoldParticipant { participant, now }.into()).await
    }

    pub async fn release_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::ReleaseParticipant).await?;
        let now = task.now();
        task.finish(&ReleaseParticipant { participant, now }.into()).await
    }

    pub async fn move_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        to: SessionId,
    ) -> Result<Outcome<Session>, Error> {
        let operation = Operation::MoveParticipant;
        // A retry is answered as before, whatever has become of the other session.
        if let Some(outcome) = self.answered::<Session>(request, request.organization()?, session, operation)? {
            return Ok(outcome);
        }
        let task = self.begin_session(request, session, operation).await?;
        let moved = task.state().record().and_then(|record| record.participant(participant));
        let moderates = moved.is_some_and(|moved| moved.role.moderates());
        self.may_move_to(request, to, moderates).await?;
        let now = task.now();
        task.finish(&MoveParticipant { participant, to, now }.into()).await
    }

    /// Moving lets someone into another session, in the role that they have here: that takes the right to admit there too,
    /// and, of who moderates here, to say who moderates there.
    async fn may_move_to(&self, request: &Request, to: SessionId, moderates: bool) -> Result<(), Error> {
        let organization = request.organization()?;
        let target = self.load_own::<Session>(Some(organization), &Session::stream(to))?;
        if target.state.live().is_none() {
            return Err(Error::Rejected {
                code: "TARGET_SESSION_NOT_LIVE",
                field: Some("toSessionId".into()),
                message: "The session to move to is not a live session of this organization.".into(),
            });
        }
        let resource = session_resource(&request.actor, organization, &target.state);
        self.authorise(request, Operation::AdmitParticipant, &resource).await?;
        if moderates {
            self.authorise(request, Operation::ChangeParticipantRole, &resource).await?;
        }
        Ok(())
    }

    pub async fn remove_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        ban: bool,
        reason: Option<Reason>,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::RemoveParticipant).await?;
        let reason = self.protect_reason(&task, participant, reason)?;
        let now = task.now();
        task.finish(&RemoveParticipant { participant, ban, reason, now }.into()).await
    }

    pub async fn mute_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::MuteParticipant).await?;
        let now = task.now();
        task.finish(&MuteParticipant { participant, source, now }.into()).await
    }

    /// Takes a mute back: a host's right, and nobody's own.
    pub async fn unmute_participant(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::UnmuteParticipant).await?;
        let now = task.now();
        task.finish(&UnmuteParticipant { participant, source, now }.into()).await
    }

    pub async fn mute_all(
        &self,
        request: &Request,
        session: SessionId,
        source: MediaSource,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::MuteAll).await?;
        let now = task.now();
        task.finish(&MuteAll { source, now }.into()).await
    }

    pub async fn change_participant_role(
        &self,
        request: &Request,
        session: SessionId,
        participant: ParticipantId,
        role: SessionRole,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::ChangeParticipantRole).await?;
        let now = task.now();
        task.finish(&ChangeParticipantRole { participant, role, now }.into()).await
    }

    /// The actor consents for themselves, or, as a guardian, for `participant`.
    pub async fn give_consent(
        &self,
        request: &Request,
        session: SessionId,
        participant: Option<ParticipantId>,
        purpose: ConsentPurpose,
        text_version: String,
        language: String,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::GiveConsent).await?;
        let given_by = own_participant(request, task.state())?;
        let participant = participant.unwrap_or(given_by);
        let now = task.now();
        let command = GiveConsent { participant, purpose, text_version, language, given_by, now };
        task.finish(&command.into()).await
    }

    /// The actor withdraws their own consent, or, as a guardian, that of `participant`.
    pub async fn withdraw_consent(
        &self,
        request: &Request,
        session: SessionId,
        participant: Option<ParticipantId>,
        purpose: ConsentPurpose,
    ) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::WithdrawConsent).await?;
        let withdrawn_by = own_participant(request, task.state())?;
        let participant = participant.unwrap_or(withdrawn_by);
        let now = task.now();
        task.finish(&WithdrawConsent { participant, purpose, withdrawn_by, now }.into()).await
    }

    /// The actor leaves.
    pub async fn leave_session(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::LeaveSession).await?;
        let participant = own_participant(request, task.state())?;
        let now = task.now();
        task.finish(&LeaveSession { participant, now }.into()).await
    }

    /// The actor goes away from the lobby.
    pub async fn withdraw_knock(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::WithdrawKnock).await?;
        let participant = own_participant(request, task.state())?;
        let now = task.now();
        task.finish(&WithdrawKnock { participant, now }.into()).await
    }

    /// The actor is back after a drop, by their resume secret.
    pub async fn resume_participation(&self, request: &Request, session: SessionId) -> Result<Outcome<Session>, Error> {
        let task = self.begin_session(request, session, Operation::ResumeParticipation).await?;
        let participant = own_participant(request, task.state())?;
        let now = task.now();
        task.finish(&ReconnectParticipant { participant, now }.into()).await
    }

    fn protect_reason(
        &self,
        task: &Task<'_, Session>,
        participant: ParticipantId,
        reason: Option<Reason>,
    ) -> Result<Option<witan_domain::Private>, Error> {
        let (Some(Reason(text)), Some(record)) = (reason, task.state().record()) else { return Ok(None) };
        let text = Text::required("reason", &text, REASON_CHARS_MAX)?;
        // Whose data it is: the person that it concerns.
        let Some(about) = record.participant(participant) else { return Ok(None) };
        self.protect(record.organization, about.person, task.stream(), "reason", text).map(Some)
    }
}

/// The participant that the actor is in this session: the one of their token, or their account's newest that is there.
pub(crate) fn own_participant(request: &Request, state: &SessionState) -> Result<ParticipantId, Error> {
    let own = match (&request.actor, state.record()) {
        (Actor::Participant { participant, .. }, _) => Some(*participant),
        (actor, Some(record)) => {
            let there = presences(actor, record).filter(|there| !there.state.is_final()).last();
            there.or_else(|| presences(actor, record).last()).map(|there| there.participant)
        }
        (_, None) => None,
    };
    own.ok_or(Error::Rejected {
        code: "PARTICIPANT_NOT_IN",
        field: None,
        message: "You are not in this session.".into(),
    })
}
