//! The state after one more event. Status, counts and deadlines' beginnings are derived here, and nowhere stored in an
//! event.

use crate::{
    ParticipantId, PersonId, Timestamp,
    participant::{
        Arrival, Consent, KnockTimeoutReason, LeaveReason, Participant, ParticipantState as State,
        ParticipantStep as Step,
    },
    settings::{DuplicateEntry, SettingName, SettingValue},
};

use super::{
    KnockTimedOut, ParticipantLeft, SessionEvent, SessionPrepared, SessionRecord, SessionState,
    SessionStatus as Status,
    state::{Finish, SettingChange, StatusChange},
};

pub(super) fn evolve(state: SessionState, event: &SessionEvent, at: Timestamp) -> SessionState {
    match (state, event) {
        (SessionState::Absent, SessionEvent::SessionPrepared(prepared)) => {
            SessionState::Live(Box::new(SessionRecord::new(prepared, at)))
        }
        (SessionState::Live(mut facts), event) => {
            let moderated = facts.moderators_count > 0;
            facts.apply(event, at);
            if !belongs_to_the_end(event) {
                facts.settle(moderated, at);
            }
            if facts.finish.is_some() { SessionState::Closed(facts) } else { SessionState::Live(facts) }
        }
        // No decision leads here: nothing happens before a session is prepared or after it is closed.
        (state @ (SessionState::Absent | SessionState::Closed(_)), _) => state,
    }
}

/// Whether the event only clears the session for its end: who leaves then makes it neither empty nor hostless.
fn belongs_to_the_end(event: &SessionEvent) -> bool {
    matches!(
        event,
        SessionEvent::ParticipantLeft(ParticipantLeft { reason: LeaveReason::SessionEnded, .. })
            | SessionEvent::KnockTimedOut(KnockTimedOut { reason: KnockTimeoutReason::SessionEnded, .. })
    )
}

impl SessionRecord {
    fn new(prepared: &SessionPrepared, at: Timestamp) -> Self {
        Self {
            session: prepared.session,
            organization: prepared.organization,
            unit: prepared.unit,
            room: prepared.room,
            purpose: prepared.purpose,
            opened_by: prepared.opened_by,
            record: prepared.record.clone(),
            continues: prepared.continues,
            settings: (*prepared.settings).clone(),
            setting_changes: Vec::new(),
            status: Status::Preparing,
            status_changes: vec![StatusChange { at, status: Status::Preparing }],
            participants: Vec::new(),
            locked_since: None,
            prepared_at: at,
            ready_at: None,
            first_joined_at: None,
            started_at: None,
            finish: None,
            present_count: 0,
            waiting_count: 0,
            moderators_count: 0,
            present_peak: 0,
            empty_since: Some(at),
            host_away_since: None,
            interrupted_since: None,
            warned_minutes: Default::default(),
            redeemed_tokens: Default::default(),
            admitted: Default::default(),
            denied: Default::default(),
            banned: Default::default(),
        }
    }

    fn apply(&mut self, event: &SessionEvent, at: Timestamp) {
        use SessionEvent as E;
        match event {
            E::SessionPrepared(_) => {}
            E::SessionReady(_) => self.ready_at = Some(at),
            E::ParticipantKnocked(e) => self.arrive(&e.arrival, State::Knocking, Step::Knocked, at),
            E::ParticipantAdmitted(e) => {
                if let Some(person) = self.go(e.participant, State::Admitted, Step::Admitted { ground: e.ground }, at) {
                    self.admitted.insert(person);
                    self.denied.remove(&person);
                }
            }
            E::ParticipantDenied(e) => {
                if let Some(person) =
                    self.go(e.participant, State::Denied, Step::Denied { reason: e.reason.clone() }, at)
                {
                    self.admitted.remove(&person);
                    self.denied.insert(person);
                }
            }
            E::KnockWithdrawn(e) => {
                self.go(e.participant, State::Withdrawn, Step::Withdrew { reason: e.reason }, at);
            }
            E::KnockUnanswered(e) => self.with(e.participant, |participant| {
                participant.alerted_at = Some(at);
                participant.note(Step::KnockUnanswered, at);
            }),
            E::KnockTimedOut(e) => {
                self.go(e.participant, State::TimedOut, Step::KnockTimedOut { reason: e.reason }, at);
            }
            E::ParticipantJoined(e) => self.join(e.participant, e.arrival.as_deref(), at),
            E::ParticipantDropped(e) => {
                self.go(e.participant, State::Reconnecting, Step::Dropped, at);
            }
            E::ParticipantReconnected(e) => self.reconnect(e.participant, at),
            E::ParticipantLeft(e) => {
                self.go(e.participant, State::Left, Step::Left { reason: e.reason }, at);
            }
            E::ParticipantHeld(e) => self.hold(e.participant, at),
            E::ParticipantReleased(e) => self.release(e.participant, at),
            E::ParticipantMoved(e) => {
                self.go(e.participant, State::Moved, Step::Moved { to: e.to }, at);
            }
            E::ParticipantRemoved(e) => {
                let step = Step::Removed { ban: e.ban, reason: e.reason.clone() };
                if let Some(person) = self.go(e.participant, State::Removed, step, at) {
                    self.admitted.remove(&person);
                    if e.ban {
                        self.banned.insert(person);
                    }
                }
            }
            E::ParticipantMuted(e) => self.with(e.participant, |participant| {
                participant.muted.insert(e.source);
                participant.note(Step::Muted { source: e.source }, at);
            }),
            E::ParticipantUnmuted(e) => self.with(e.participant, |participant| {
                participant.muted.remove(&e.source);
                participant.note(Step::Unmuted { source: e.source }, at);
            }),
            E::ParticipantRoleChanged(e) => self.change(e.participant, |participant| {
                participant.note(Step::RoleChanged { from: participant.role, to: e.role }, at);
                participant.role = e.role;
            }),
            E::SessionLocked(_) => self.locked_since = Some(at),
            E::SessionUnlocked(_) => self.locked_since = None,
            E::SessionExtended(e) => {
                let minutes = self.settings.values.duration_max_minutes.saturating_add(e.minutes);
                self.set(SettingValue::DurationMaxMinutes(minutes), at);
            }
            E::LimitWarned(e) => {
                self.warned_minutes.insert(e.minutes_left);
            }
            E::SettingChanged(e) => self.set(e.value.clone(), at),
            E::ConsentGiven(e) => self.with(e.participant, |participant| {
                withdraw(participant, |consent| consent.purpose == e.purpose, at);
                participant.consents.push(Consent {
                    purpose: e.purpose,
                    text_version: e.text_version.clone(),
                    language: e.language.clone(),
                    given_by: e.given_by,
                    given_at: at,
                    withdrawn_at: None,
                });
            }),
            E::ConsentWithdrawn(e) => {
                self.with(e.participant, |participant| {
                    withdraw(participant, |consent| consent.purpose == e.purpose, at)
                });
            }
            E::SessionInterrupted(_) => self.interrupted_since = Some(at),
            E::SessionResumed(_) => self.interrupted_since = None,
            E::SessionEnded(e) => self.finish = Some(Finish { at, reason: e.reason }),
        }
    }

    /// Someone new. (An id that is known is no one new; no decision brings it twice.)
    fn arrive(&mut self, arrival: &Arrival, state: State, step: Step, at: Timestamp) {
        if self.participant(arrival.participant).is_none() {
            self.redeemed_tokens.insert(arrival.token, arrival.participant);
            self.participants.push(Participant::new(arrival, state, step, at));
            self.count(self.participants.len() - 1, 1);
        }
    }

    fn join(&mut self, id: ParticipantId, arrival: Option<&Arrival>, at: Timestamp) {
        match arrival {
            Some(arrival) => self.arrive(arrival, State::Joined, Step::Joined, at),
            None => {
                self.go(id, State::Joined, Step::Joined, at);
            }
        }
        if let Some(person) = self.participant(id).map(|participant| participant.person) {
            self.admitted.insert(person);
            self.first_joined_at.get_or_insert(at);
            // Where this entry takes over, the other one leaves in the same append: they are not two at once.
            let entries = self.present().filter(|participant| participant.person == person).count();
            if entries == 1 || self.settings.values.duplicate_entry == DuplicateEntry::Allow {
                self.present_peak = self.present_peak.max(self.present_count);
            }
        }
    }

    fn reconnect(&mut self, id: ParticipantId, at: Timestamp) {
        let held = self.participant(id).is_some_and(|participant| participant.held);
        self.go(id, if held { State::OnHold } else { State::Joined }, Step::Reconnected, at);
    }

    /// Who is reconnecting stays so, and comes back on hold.
    fn hold(&mut self, id: ParticipantId, at: Timestamp) {
        self.with(id, |participant| participant.held = true);
        match self.participant(id).map(|participant| participant.state) {
            Some(State::Reconnecting) => self.with(id, |participant| participant.note(Step::Held, at)),
            Some(_) | None => {
                self.go(id, State::OnHold, Step::Held, at);
            }
        }
    }

    fn release(&mut self, id: ParticipantId, at: Timestamp) {
        self.with(id, |participant| participant.held = false);
        match self.participant(id).map(|participant| participant.state) {
            Some(State::Reconnecting) => self.with(id, |participant| participant.note(Step::Released, at)),
            Some(_) | None => {
                self.go(id, State::Joined, Step::Released, at);
            }
        }
    }

    fn set(&mut self, value: SettingValue, at: Timestamp) {
        if value.name() == SettingName::DurationMaxMinutes {
            self.warned_minutes.clear();
        }
        self.settings.set_in_session(value.clone());
        self.setting_changes.push(SettingChange { at, value });
    }

    /// Moves a participant to a state that may follow theirs, and says whose presence it is.
    fn go(&mut self, id: ParticipantId, next: State, step: Step, at: Timestamp) -> Option<PersonId> {
        let participant = self.participant(id).filter(|participant| participant.state.may_become(next))?;
        let person = participant.person;
        self.change(id, |participant| {
            participant.state = next;
            participant.since = at;
            participant.note(step, at);
        });
        Some(person)
    }

    fn with(&mut self, id: ParticipantId, change: impl FnOnce(&mut Participant)) {
        if let Some(participant) = self.participants.iter_mut().find(|participant| participant.participant == id) {
            change(participant);
        }
    }

    /// As `with`, for what the counts depend on: state and role.
    fn change(&mut self, id: ParticipantId, change: impl FnOnce(&mut Participant)) {
        if let Some(index) = self.participants.iter().position(|participant| participant.participant == id) {
            self.count(index, -1);
            change(&mut self.participants[index]);
            self.count(index, 1);
        }
    }

    /// Adds one participant to the counts, or takes them out.
    fn count(&mut self, index: usize, by: i32) {
        let participant = &self.participants[index];
        let (present, waiting) = (participant.state.is_in(), participant.state.is_waiting());
        let moderator = present && participant.role.moderates();
        for (count, counts) in [
            (&mut self.present_count, present),
            (&mut self.waiting_count, waiting),
            (&mut self.moderators_count, moderator),
        ] {
            if counts {
                *count = count.saturating_add_signed(by);
            }
        }
    }

    /// Brings what is derived in line with what just happened; `moderated` says whether a host was in before.
    fn settle(&mut self, moderated: bool, at: Timestamp) {
        if self.moderators_count > 0 {
            self.host_away_since = None;
        } else if moderated {
            self.host_away_since = Some(at);
        }
        if self.present_count + self.waiting_count > 0 {
            self.empty_since = None;
        } else {
            self.empty_since.get_or_insert(at);
        }
        while let Some(status) = self.next_status() {
            self.status = status;
            self.status_changes.push(StatusChange { at, status });
            if status == Status::InProgress && self.started_at.is_none() {
                self.started_at = Some(at);
                // The maximum counts from now on: what was said of the time before holds no more.
                self.warned_minutes.clear();
            }
        }
    }

    /// The table of product.md, section 4, one step at a time: one event may make two (an interrupted session that comes
    /// back without its host is in progress, and waits).
    fn next_status(&self) -> Option<Status> {
        if self.finish.is_some() {
            return (self.status != Status::Closed).then_some(Status::Closed);
        }
        let starts = self.present_count > 0 && !self.awaits_host();
        let anyone_came = self.present_count + self.waiting_count > 0;
        match self.status {
            Status::Preparing => self.ready_at.map(|_| Status::Ready),
            Status::Ready if starts => Some(Status::InProgress),
            Status::Ready if anyone_came => Some(Status::Waiting),
            Status::Waiting if starts => Some(Status::InProgress),
            Status::InProgress if self.interrupted_since.is_some() => Some(Status::Interrupted),
            Status::InProgress if self.awaits_host() => Some(Status::Waiting),
            Status::Interrupted if self.interrupted_since.is_none() => Some(Status::InProgress),
            Status::Ready | Status::Waiting | Status::InProgress | Status::Interrupted | Status::Closed => None,
        }
    }
}

/// Withdraws the standing consents that are meant: a new consent replaces the one before it.
fn withdraw(participant: &mut Participant, meant: impl Fn(&Consent) -> bool, at: Timestamp) {
    for consent in participant.consents.iter_mut().filter(|consent| consent.stands() && meant(consent)) {
        consent.withdrawn_at = Some(at);
    }
}
