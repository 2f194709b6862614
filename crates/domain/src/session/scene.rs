//! A session to play in tests: given what happened, when a command comes, then these events or that rejection.

use crate::{
    Aggregate, InvitationId, OrganizationId, ParticipantId, PersonId, Private, RoomId, SessionId, SessionRole,
    Timestamp, TokenId, UnitId, UserId,
    participant::{Arrival, Participant, ParticipantState},
    private::Ciphertext,
    settings::{EffectiveSettings, Purpose, SettingValue},
    text::SecretHash,
};

use super::*;

pub(crate) const SESSION: SessionId = SessionId(100);
pub(crate) const DOCTOR: PersonId = PersonId(1);
pub(crate) const PATIENT: PersonId = PersonId(2);
pub(crate) const SISTER: PersonId = PersonId(3);

pub(crate) fn private(person: PersonId, text: &str) -> Private {
    Private { person, ciphertext: Ciphertext(text.as_bytes().to_vec()) }
}

/// Participant `n` redeems token `n`: a number is one entry.
pub(crate) fn arrival(n: u128, person: PersonId, role: SessionRole) -> Arrival {
    Arrival {
        participant: ParticipantId(n),
        person,
        user: role.moderates().then_some(UserId(n)),
        invitation: (!role.moderates()).then_some(InvitationId(n)),
        role,
        display_name: private(person, "a name"),
        external_id: Some(private(person, "an id")),
        device: None,
        token: TokenId(n),
        resume_secret_sha256: SecretHash([n as u8; 32]),
        moved: false,
    }
}

pub(crate) struct Scene {
    pub(crate) state: SessionState,
    pub(crate) now: Timestamp,
}

impl Scene {
    /// A session that is prepared with these settings over the built-in ones, and ready.
    pub(crate) fn ready(settings: &[SettingValue]) -> Self {
        let mut scene = Self { state: SessionState::Absent, now: Timestamp::from_seconds(1_000_000) };
        scene.does(scene.prepare(settings, false));
        scene
    }

    /// As a consultation: lobby on, waits for its host, holds when the host leaves.
    pub(crate) fn consultation() -> Self {
        let mut scene = Self::ready(&[]);
        scene.state = SessionState::Absent;
        let settings = crate::settings::resolve(Purpose::Consultation, &Default::default(), &[], &Default::default());
        let prepare = PrepareSession { settings, ..scene.prepare(&[], false) };
        scene.does(prepare);
        scene
    }

    pub(crate) fn prepare(&self, settings: &[SettingValue], media_needed: bool) -> PrepareSession {
        let mut effective = EffectiveSettings::default();
        for value in settings {
            effective.set_in_session(value.clone());
        }
        PrepareSession {
            session: SESSION,
            organization: OrganizationId(7),
            unit: UnitId(8),
            room: RoomId(9),
            purpose: Purpose::Consultation,
            settings: effective,
            opened_by: Opener::User(UserId(1)),
            record: Some(private(PATIENT, "file 4711")),
            continues: None,
            media_needed,
            now: self.now,
        }
    }

    pub(crate) fn decide(&self, command: impl Into<SessionCommand>) -> Result<Vec<SessionEvent>, SessionRejection> {
        Session::decide(&self.state, &command.into())
    }

    /// The command is accepted, and its events happen.
    #[track_caller]
    pub(crate) fn does(&mut self, command: impl Into<SessionCommand>) -> Vec<SessionEvent> {
        let command = command.into();
        let events = Session::decide(&self.state, &command).unwrap_or_else(|no| panic!("{}: {no}", command.name()));
        for event in &events {
            self.happens(event);
        }
        events
    }

    pub(crate) fn happens(&mut self, event: &SessionEvent) {
        self.state = Session::evolve(std::mem::take(&mut self.state), event, self.now);
    }

    #[track_caller]
    pub(crate) fn refuses(&self, command: impl Into<SessionCommand>, no: SessionRejection) {
        assert_eq!(self.decide(command), Err(no));
    }

    #[track_caller]
    pub(crate) fn adds_nothing(&self, command: impl Into<SessionCommand>) {
        assert_eq!(self.decide(command), Ok(Vec::new()));
    }

    pub(crate) fn after(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus_seconds(seconds);
        self
    }

    /// Comes in directly, by a grant without a lobby.
    #[track_caller]
    pub(crate) fn joins(&mut self, n: u128, person: PersonId, role: SessionRole) -> Vec<SessionEvent> {
        self.does(self.join(n, person, role))
    }

    pub(crate) fn join(&self, n: u128, person: PersonId, role: SessionRole) -> JoinSession {
        let entry = Entry::Token { arrival: Box::new(arrival(n, person, role)), lobby: false };
        JoinSession { entry, now: self.now }
    }

    #[track_caller]
    pub(crate) fn knocks(&mut self, n: u128, person: PersonId) -> Vec<SessionEvent> {
        self.does(self.knock(n, person))
    }

    pub(crate) fn knock(&self, n: u128, person: PersonId) -> Knock {
        Knock { arrival: arrival(n, person, SessionRole::Participant), lobby: true, now: self.now }
    }

    #[track_caller]
    pub(crate) fn admits(&mut self, n: u128) -> Vec<SessionEvent> {
        self.does(AdmitParticipant { participant: ParticipantId(n), now: self.now })
    }

    pub(crate) fn enter(&self, n: u128) -> JoinSession {
        JoinSession { entry: Entry::Admission { participant: ParticipantId(n) }, now: self.now }
    }

    pub(crate) fn leave(&self, n: u128) -> LeaveSession {
        LeaveSession { participant: ParticipantId(n), now: self.now }
    }

    pub(crate) fn end(&self) -> EndSession {
        EndSession { reason: EndReason::EndedByHost, now: self.now }
    }

    pub(crate) fn facts(&self) -> &SessionRecord {
        self.state.record().unwrap()
    }

    pub(crate) fn status(&self) -> SessionStatus {
        self.facts().status
    }

    pub(crate) fn participant(&self, n: u128) -> &Participant {
        self.facts().participant(ParticipantId(n)).unwrap()
    }

    pub(crate) fn stands(&self, n: u128) -> ParticipantState {
        self.participant(n).state
    }

    /// Every status so far.
    pub(crate) fn statuses(&self) -> Vec<SessionStatus> {
        self.facts().status_changes.iter().map(|change| change.status).collect()
    }
}

pub(crate) fn kinds(events: &[SessionEvent]) -> Vec<&'static str> {
    events.iter().map(crate::aggregate::EventPayload::kind).collect()
}
