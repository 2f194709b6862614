//! Random sessions: whatever is asked, in whichever order, what must never happen does not.

use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree};

use crate::{
    Aggregate, OrganizationId, ParticipantId, PersonId, RoomId, SessionId, SessionRole, Timestamp, UnitId, UserId,
    aggregate::EventPayload,
    deadline::{self, deadlines},
    participant::{ConsentPurpose, MediaSource, ParticipantState, ParticipantStep},
    settings::{DuplicateEntry, EffectiveSettings, Purpose, SettingValue, WhenHostLeaves},
};

use super::{scene::*, *};

const COMMANDS: usize = 120;
const ARRIVALS: u128 = 30;
const OPENED_AT: Timestamp = Timestamp::from_seconds(1_000_000);

fn participant() -> impl Strategy<Value = ParticipantId> {
    (1..ARRIVALS).prop_map(ParticipantId)
}

/// A few entries of few people, so that they meet: sometimes with another one's token.
fn any_arrival() -> impl Strategy<Value = crate::participant::Arrival> {
    (1..ARRIVALS, prop::sample::select(&SessionRole::ALL[..]), prop::bool::weighted(0.1)).prop_map(
        |(n, role, stolen)| {
            let mut arrival = arrival(n, PersonId(n % 4), role);
            if stolen {
                arrival.token = crate::TokenId(n + 1);
            }
            arrival
        },
    )
}

fn setting() -> impl Strategy<Value = SettingValue> {
    use SettingValue as V;
    prop_oneof![
        (0..5_u32).prop_map(V::ParticipantsMax),
        (0..40_u32).prop_map(V::DurationMaxMinutes),
        (0..20_u32).prop_map(V::EmptyTimeoutMinutes),
        any::<bool>().prop_map(V::WaitForHost),
        any::<bool>().prop_map(V::Lobby),
        any::<bool>().prop_map(V::Chat),
        any::<bool>().prop_map(V::Registry),
        prop_oneof![
            Just(WhenHostLeaves::Continue),
            Just(WhenHostLeaves::Hold),
            (0..10_u32).prop_map(|minutes| WhenHostLeaves::EndAfter { minutes })
        ]
        .prop_map(V::WhenHostLeaves),
    ]
}

fn duplicate_entry() -> impl Strategy<Value = DuplicateEntry> {
    prop_oneof![Just(DuplicateEntry::TakeOver), Just(DuplicateEntry::Refuse), Just(DuplicateEntry::Allow)]
}

fn prepare() -> impl Strategy<Value = PrepareSession> {
    let settings = (prop::collection::vec(setting(), 0..5), duplicate_entry()).prop_map(|(values, duplicate)| {
        let mut settings = EffectiveSettings::default();
        settings.values.duplicate_entry = duplicate;
        for value in values.into_iter().filter(|value| value.validate().is_ok()) {
            settings.set_in_session(value);
        }
        settings
    });
    (settings, any::<bool>()).prop_map(|(settings, media_needed)| PrepareSession {
        session: SESSION,
        organization: OrganizationId(7),
        unit: UnitId(8),
        room: RoomId(9),
        purpose: Purpose::Meeting,
        settings,
        opened_by: Opener::User(UserId(1)),
        record: None,
        continues: None,
        media_needed,
        now: Timestamp(0),
    })
}

/// Any command; its clock is set when it is issued.
fn command(now: Timestamp) -> impl Strategy<Value = SessionCommand> {
    let role = prop::sample::select(&SessionRole::ALL[..]);
    let source = || prop::sample::select(&MediaSource::ALL[..]);
    let purpose = || prop::sample::select(&ConsentPurpose::ALL[..]);
    let entering = prop_oneof![
        (any_arrival(), any::<bool>()).prop_map(move |(arrival, lobby)| Knock { arrival, lobby, now }.into()),
        (any_arrival(), any::<bool>()).prop_map(move |(arrival, lobby)| {
            JoinSession { entry: Entry::Token { arrival: Box::new(arrival), lobby }, now }.into()
        }),
        participant().prop_map(move |participant| JoinSession { entry: Entry::Admission { participant }, now }.into()),
        participant().prop_map(move |participant| AdmitParticipant { participant, now }.into()),
        participant().prop_map(move |participant| WithdrawKnock { participant, now }.into()),
        participant().prop_map(move |participant| DenyParticipant { participant, reason: None, now }.into()),
        participant().prop_map(move |participant| MarkKnockUnanswered { participant, now }.into()),
        participant().prop_map(move |participant| TimeOutKnock { participant, now }.into()),
    ];
    let being_in = prop_oneof![
        participant().prop_map(move |participant| DropParticipant { participant, now }.into()),
        participant().prop_map(move |participant| ReconnectParticipant { participant, now }.into()),
        participant().prop_map(move |participant| TimeOutReconnection { participant, now }.into()),
        participant().prop_map(move |participant| LeaveSession { participant, now }.into()),
        participant().prop_map(move |participant| HoldParticipant { participant, now }.into()),
        participant().prop_map(move |participant| ReleaseParticipant { participant, now }.into()),
        (participant(), purpose(), participant(), 0..3_u32).prop_map(
            move |(participant, purpose, given_by, version)| {
                let (text_version, language) = (format!("v{version}"), "en".to_owned());
                GiveConsent { participant, purpose, text_version, language, given_by, now }.into()
            }
        ),
        (participant(), purpose(), participant()).prop_map(move |(participant, purpose, withdrawn_by)| {
            WithdrawConsent { participant, purpose, withdrawn_by, now }.into()
        }),
    ];
    let moderating = prop_oneof![
        (participant(), 99..102_u128)
            .prop_map(move |(participant, to)| { MoveParticipant { participant, to: SessionId(to), now }.into() }),
        (participant(), any::<bool>())
            .prop_map(move |(participant, ban)| { RemoveParticipant { participant, ban, reason: None, now }.into() }),
        (participant(), source())
            .prop_map(move |(participant, source)| MuteParticipant { participant, source, now }.into()),
        (participant(), source())
            .prop_map(move |(participant, source)| UnmuteParticipant { participant, source, now }.into()),
        source().prop_map(move |source| MuteAll { source, now }.into()),
        (participant(), role)
            .prop_map(move |(participant, role)| ChangeParticipantRole { participant, role, now }.into()),
        prop_oneof![
            Just(SessionCommand::from(AdmitAll { now })),
            Just(LockSession { now }.into()),
            Just(UnlockSession { now }.into())
        ],
    ];
    let living = prop_oneof![
        Just(SessionCommand::from(MarkSessionReady { now })),
        Just(InterruptSession { now }.into()),
        Just(ResumeSession { now }.into()),
        prop_oneof![Just(10), Just(2), 0..20_u32]
            .prop_map(move |minutes_left| WarnOfLimit { minutes_left, now }.into()),
        (0..300_u32).prop_map(move |minutes| ExtendSession { minutes, now }.into()),
        setting().prop_map(move |value| ChangeSessionSetting { value, now }.into()),
        prepare().prop_map(move |prepare| PrepareSession { now, ..prepare }.into()),
    ];
    let ending = prop_oneof![
        prop::sample::select(&EndReason::ALL[..]).prop_map(move |reason| EndSession { reason, now }.into()),
        Just(SessionCommand::from(EndEmptySession { now })),
        Just(EndUnattendedSession { now }.into()),
        Just(EndOverlongSession { now }.into()),
        Just(EndHostlessSession { now }.into()),
        Just(EndUnrecoveredSession { now }.into()),
    ];
    prop_oneof![40 => entering, 24 => being_in, 20 => moderating, 15 => living, 1 => ending]
}

/// One step of a script. Aimed, its participant is one of those who are there then; else anyone, or nobody.
#[derive(Clone, Debug)]
struct Step {
    command: SessionCommand,
    aim: Option<prop::sample::Index>,
}

/// A session's script: what it is opened with, then commands, each some time after the one before.
fn script() -> impl Strategy<Value = (PrepareSession, Vec<Step>)> {
    let wait = prop_oneof![8 => 0..5_u64, 3 => 10..60_u64, 1 => 60..900_u64];
    let aim = prop::option::weighted(0.8, any::<prop::sample::Index>());
    let step = (wait, command(Timestamp(0)), aim);
    (prepare(), prop::collection::vec(step, 0..COMMANDS)).prop_map(|(prepare, steps)| {
        let mut now = OPENED_AT;
        let steps = steps.into_iter().map(|(seconds, mut command, aim)| {
            now = now.plus_seconds(seconds);
            command.set_now(now);
            Step { command, aim }
        });
        (prepare, steps.collect())
    })
}

/// Whom the command is about, where it is about someone who is there already.
fn target(command: &mut SessionCommand) -> Option<&mut ParticipantId> {
    use SessionCommand as C;
    match command {
        C::WithdrawKnock(WithdrawKnock { participant, .. })
        | C::AdmitParticipant(AdmitParticipant { participant, .. })
        | C::DenyParticipant(DenyParticipant { participant, .. })
        | C::MarkKnockUnanswered(MarkKnockUnanswered { participant, .. })
        | C::TimeOutKnock(TimeOutKnock { participant, .. })
        | C::JoinSession(JoinSession { entry: Entry::Admission { participant }, .. })
        | C::DropParticipant(DropParticipant { participant, .. })
        | C::ReconnectParticipant(ReconnectParticipant { participant, .. })
        | C::TimeOutReconnection(TimeOutReconnection { participant, .. })
        | C::LeaveSession(LeaveSession { participant, .. })
        | C::HoldParticipant(HoldParticipant { participant, .. })
        | C::ReleaseParticipant(ReleaseParticipant { participant, .. })
        | C::MoveParticipant(MoveParticipant { participant, .. })
        | C::RemoveParticipant(RemoveParticipant { participant, .. })
        | C::MuteParticipant(MuteParticipant { participant, .. })
        | C::UnmuteParticipant(UnmuteParticipant { participant, .. })
        | C::ChangeParticipantRole(ChangeParticipantRole { participant, .. })
        | C::GiveConsent(GiveConsent { participant, .. })
        | C::WithdrawConsent(WithdrawConsent { participant, .. }) => Some(participant),
        _ => None,
    }
}

/// A session that is watched: whatever happens in it is checked.
struct Watched {
    state: SessionState,
    log: Vec<SessionEvent>,
    /// Who was denied, or removed for good, and not admitted since.
    kept_out: BTreeSet<PersonId>,
}

impl Watched {
    fn prepared(prepare: PrepareSession) -> Self {
        let mut session = Self { state: SessionState::Absent, log: Vec::new(), kept_out: BTreeSet::new() };
        session.runs(&PrepareSession { now: OPENED_AT, ..prepare }.into()).unwrap();
        session
    }

    fn plays(&mut self, script: &[Step], mut after_each: impl FnMut(&SessionState)) {
        for step in script {
            let mut command = step.command.clone();
            let participants = &self.state.record().unwrap().participants;
            let there: Vec<_> = participants.iter().filter(|participant| !participant.state.is_final()).collect();
            if let (Some(aim), Some(target), false) = (step.aim, target(&mut command), there.is_empty()) {
                *target = there[aim.index(there.len())].participant;
            }
            if let SessionCommand::GiveConsent(consent) = &mut command
                && consent.given_by.0.is_multiple_of(2)
            {
                consent.given_by = consent.participant;
            }
            if let SessionCommand::WithdrawConsent(consent) = &mut command
                && consent.withdrawn_by.0.is_multiple_of(2)
            {
                consent.withdrawn_by = consent.participant;
            }
            let _rejected = self.runs(&command);
            after_each(&self.state);
        }
    }

    fn runs(&mut self, command: &SessionCommand) -> Result<usize, SessionRejection> {
        let before = self.state.record().map_or(0, |facts| facts.present_count);
        let closed = matches!(self.state, SessionState::Closed(_));
        let events = Session::decide(&self.state, command)?;
        assert!(!closed || events.is_empty(), "closed is final");
        for event in &events {
            self.happens(event, command.now());
        }
        let facts = self.state.record().unwrap();
        let present_max = facts.settings.values.participants_max.max(before);
        assert!(facts.present_count <= present_max, "{} let in one too many", command.name());
        check_duplicates(facts);
        if !matches!(command, SessionCommand::ExtendSession(_)) {
            let again = Session::decide(&self.state, command);
            assert!(again.as_ref().map_or(true, Vec::is_empty), "{} again adds {again:?}", command.name());
        }
        Ok(events.len())
    }

    fn happens(&mut self, event: &SessionEvent, at: Timestamp) {
        let person = |id| self.state.record().and_then(|facts| facts.participant(id)).map(|found| found.person);
        match event {
            SessionEvent::ParticipantAdmitted(e) => {
                self.kept_out.remove(&person(e.participant).unwrap());
            }
            SessionEvent::ParticipantDenied(e) => {
                self.kept_out.insert(person(e.participant).unwrap());
            }
            SessionEvent::ParticipantJoined(e) => {
                let person = e.arrival.as_ref().map(|arrival| arrival.person).or(person(e.participant)).unwrap();
                assert!(!self.kept_out.contains(&person), "came in, denied or banned");
                let banned = &self.state.record().unwrap().banned;
                assert!(!banned.contains(&person), "came in, banned");
            }
            _ => {}
        }
        self.state = Session::evolve(std::mem::take(&mut self.state), event, at);
        self.log.push(event.clone());
        check(self.state.record().unwrap());
    }
}

/// What holds after every event.
fn check(facts: &SessionRecord) {
    let count = |counts: &dyn Fn(&crate::participant::Participant) -> bool| {
        facts.participants.iter().filter(|participant| counts(participant)).count() as u32
    };
    assert_eq!(facts.present_count, count(&|participant| participant.state.is_in()));
    assert_eq!(facts.waiting_count, count(&|participant| participant.state.is_waiting()));
    let moderates =
        |participant: &crate::participant::Participant| participant.state.is_in() && participant.role.moderates();
    assert_eq!(facts.moderators_count, count(&moderates));
    assert_eq!(facts.participants.len(), facts.redeemed_tokens.len(), "one token, one participant");
    for changes in facts.status_changes.windows(2) {
        assert!(changes[0].status.may_become(changes[1].status), "{:?}", facts.status_changes);
    }
    assert_eq!(facts.status_changes.last().unwrap().status, facts.status);
    assert_eq!(facts.status == SessionStatus::Closed, facts.finish.is_some());
    if facts.status == SessionStatus::Closed {
        assert_eq!((facts.present_count, facts.waiting_count), (0, 0), "everyone is set left");
    }
    let ids: BTreeSet<_> = facts.participants.iter().map(|participant| participant.participant).collect();
    assert_eq!(ids.len(), facts.participants.len());
    for participant in &facts.participants {
        check_timeline(participant);
    }
}

/// Replays the participant's own steps: each follows from the one before, a left from a joined, nothing from the end.
fn check_timeline(participant: &crate::participant::Participant) {
    use ParticipantState as S;
    let mut state: Option<S> = None;
    let mut held = false;
    for moment in &participant.timeline {
        let next = match &moment.step {
            ParticipantStep::Knocked => S::Knocking,
            ParticipantStep::Admitted { .. } => S::Admitted,
            ParticipantStep::Denied { .. } => S::Denied,
            ParticipantStep::Withdrew { .. } => S::Withdrawn,
            ParticipantStep::KnockTimedOut { .. } => S::TimedOut,
            ParticipantStep::Joined => S::Joined,
            ParticipantStep::Dropped => S::Reconnecting,
            ParticipantStep::Reconnected => {
                if held {
                    S::OnHold
                } else {
                    S::Joined
                }
            }
            ParticipantStep::Held | ParticipantStep::Released => {
                held = moment.step == ParticipantStep::Held;
                if state == Some(S::Reconnecting) {
                    continue;
                }
                if held { S::OnHold } else { S::Joined }
            }
            ParticipantStep::Moved { .. } => S::Moved,
            ParticipantStep::Left { .. } => S::Left,
            ParticipantStep::Removed { .. } => S::Removed,
            ParticipantStep::Muted { .. } | ParticipantStep::Unmuted { .. } => {
                assert!(state.is_some_and(S::is_in));
                continue;
            }
            ParticipantStep::KnockUnanswered => {
                assert_eq!(state, Some(S::Knocking));
                continue;
            }
            ParticipantStep::RoleChanged { .. } => continue,
        };
        match state {
            None => assert!(matches!(next, S::Knocking | S::Joined), "began with {next:?}"),
            Some(state) => assert!(state.may_become(next), "{state:?} to {next:?}"),
        }
        state = Some(next);
    }
    assert_eq!(state, Some(participant.state));
    assert_eq!(held, participant.held);
}

/// After a whole append: one person is in as often as the setting says.
fn check_duplicates(facts: &SessionRecord) {
    for participant in facts.participants.iter().filter(|participant| !participant.state.is_final()) {
        let entries = |counts: &dyn Fn(ParticipantState) -> bool| {
            let same = facts.participants.iter().filter(|other| other.person == participant.person);
            same.filter(|other| counts(other.state)).count()
        };
        match facts.settings.values.duplicate_entry {
            DuplicateEntry::TakeOver => {
                assert!(entries(&|state| state.is_in()) <= 1);
                assert!(entries(&|state| state.is_waiting()) <= 1);
            }
            DuplicateEntry::Refuse => assert!(entries(&|state| !state.is_final()) <= 1),
            DuplicateEntry::Allow => {}
        }
    }
    assert!(facts.present_peak >= facts.present_count);
}

/// Each deadline is due exactly when it says, not a moment before.
fn check_deadlines(state: &SessionState) {
    for due in deadlines(state) {
        let early = due.command(Timestamp(due.at.micros() - 1));
        assert_eq!(Session::decide(state, &early), Err(SessionRejection::DeadlineNotReached), "{due:?}");
        let then = Session::decide(state, &due.command(due.at));
        assert!(then.as_ref().is_ok_and(|events| !events.is_empty()), "{due:?} gives {then:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_sequence_of_commands_breaks_a_session((prepare, steps) in script()) {
        let mut session = Watched::prepared(prepare);
        session.plays(&steps, check_deadlines);
        let mut replayed = SessionState::Absent;
        for event in &session.log {
            let stored = SessionEvent::decode(event.kind(), &event.encode()).unwrap();
            prop_assert_eq!(&stored, event);
            replayed = Session::evolve(replayed, &stored, Timestamp(1));
        }
        prop_assert_eq!(replayed.record().unwrap().status, session.state.record().unwrap().status);
        let row = postcard::to_stdvec(&session.state).unwrap();
        prop_assert_eq!(postcard::from_bytes::<SessionState>(&row).unwrap(), session.state);
    }

    /// Left alone, every session comes to its end by its deadlines.
    #[test]
    fn deadlines_end_every_session((prepare, steps) in script()) {
        let mut session = Watched::prepared(prepare);
        session.plays(&steps, |_| ());
        let mut now = steps.last().map_or(OPENED_AT, |step| step.command.now());
        let mut steps = 0;
        while let Some(due) = deadlines(&session.state).first().copied() {
            now = now.max(due.at);
            prop_assert!(session.runs(&due.command(now)).unwrap() > 0);
            steps += 1;
            prop_assert!(steps < 100);
        }
        prop_assert!(matches!(session.state, SessionState::Closed(_)));
        prop_assert!(deadline::deadlines(&session.state).is_empty());
    }

    /// Events in an order that no decision gives, and before there is a session.
    #[test]
    fn evolve_takes_any_events((prepare, steps) in script(), order in any::<prop::sample::Index>()) {
        let mut session = Watched::prepared(prepare);
        session.plays(&steps, |_| ());
        let mut events = session.log;
        let split = order.index(events.len());
        events.rotate_left(split);
        events.extend(events.clone().into_iter().rev());
        let mut state = SessionState::Absent;
        for (n, event) in events.iter().enumerate() {
            state = Session::evolve(state, event, Timestamp(n as u64));
        }
    }

    /// A command to a session that never was, or is over, changes nothing.
    #[test]
    fn no_command_revives(command in command(Timestamp::from_seconds(2_000_000))) {
        let absent = Session::decide(&SessionState::Absent, &command);
        if !matches!(command, SessionCommand::PrepareSession(_)) {
            prop_assert_eq!(absent, Err(SessionRejection::SessionNotLive));
        }
        let mut scene = Scene::ready(&[]);
        scene.joins(1, DOCTOR, SessionRole::Host);
        scene.does(scene.end());
        prop_assert!(Session::decide(&scene.state, &command).map_or(true, |events| events.is_empty()));
    }
}

/// The random sessions are worth something only if everything happens in them.
#[test]
fn everything_that_can_happen_does() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut happened = BTreeSet::new();
    for _ in 0..500 {
        let (prepare, steps) = script().new_tree(&mut runner).unwrap().current();
        let mut session = Watched::prepared(prepare);
        session.plays(&steps, |_| ());
        happened.extend(session.log.iter().map(EventPayload::kind));
    }
    let missing: Vec<_> = SessionEvent::KINDS.iter().filter(|kind| !happened.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
