//! What holds, whatever happened.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::Instant};
use witan_domain::{
    Aggregate, EventId, OrganizationId, RoomId, SessionId, Timestamp,
    deadline::deadlines,
    participant::ParticipantState,
    room::Room,
    session::{Session, SessionState},
};
use witan_event_store::{Append, Direction, EventStore, ExpectedVersion, Metadata, NewEvent, Position, Recorded};
use witan_ledger::LogReader;

use super::calls::{Call, Known, Told};
use crate::{
    admin::{Answer, Answers, Question, Step},
    wiring::System,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A call that was answered, and what it was told: it recorded something.
pub struct Acknowledged {
    pub call: Call,
    pub told: Told,
}

/// Waits until every follower has seen everything, what they themselves did included, and no deadline is due.
pub async fn settle(system: &System) {
    let until = Instant::now() + PATIENCE;
    // Reactors look at the clock when an event comes.
    something(system).await;
    loop {
        let standing = system.standing(false);
        for follower in &standing.followers {
            assert_eq!(follower.stopped, None, "{} has stopped", follower.name);
        }
        if standing.followers.iter().all(|follower| follower.lag == 0) {
            let now = system.app.sources().now();
            let due = sessions(&all(system))
                .values()
                .any(|(_, state)| deadlines(state).first().is_some_and(|next| next.at <= now));
            if !due && system.standing(false).position == standing.position {
                return;
            }
        }
        assert!(Instant::now() < until, "it does not come to rest: {:?}", standing.followers);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Waits until this follower has seen everything.
pub async fn until_followed(system: &System, name: &str) {
    let until = Instant::now() + PATIENCE;
    while system.standing(false).followers.iter().any(|follower| follower.name == name && follower.lag > 0) {
        assert!(Instant::now() < until, "{name} does not get there");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Any event at all.
async fn something(system: &System) {
    let event = NewEvent {
        id: EventId(u128::from(system.standing(false).position)),
        kind: "NameReleased".into(),
        schema: 1,
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from_static(br#"{"holder":{"user":"user_00000000000000000000000009"}}"#),
    };
    let (stream, expected) = ("reservation-test".to_owned(), ExpectedVersion::Any);
    let now = system.app.sources().now();
    let append = Append { stream, organization: None, expected, events: vec![event], now };
    system.store.append(append).await.unwrap();
}

fn all(system: &System) -> Vec<Recorded> {
    system.store.read_all(Position(1), Direction::Forward, usize::MAX).unwrap()
}

pub fn digests(system: &System) -> Vec<[u8; 32]> {
    all(system).iter().map(|recorded| recorded.envelope.digest()).collect()
}

/// A stream folded anew, past every cache.
fn fold<A: Aggregate>(state: A::State, recorded: &Recorded) -> A::State {
    let envelope = &recorded.envelope;
    let event = A::decode(envelope.kind(), envelope.schema(), envelope.data()).unwrap();
    A::evolve(state, &event, envelope.recorded_at())
}

fn sessions(all: &[Recorded]) -> BTreeMap<SessionId, (OrganizationId, SessionState)> {
    let mut states = BTreeMap::new();
    for recorded in all.iter().filter(|recorded| recorded.envelope.category() == Session::CATEGORY) {
        let id = recorded.envelope.stream_id().parse().unwrap();
        let organization = recorded.envelope.organization().unwrap();
        let (_, state) = states.remove(&id).unwrap_or((organization, SessionState::Absent));
        states.insert(id, (organization, fold::<Session>(state, recorded)));
    }
    states
}

/// Everything that can be told from the log, what was acknowledged, and the parts that answer from memory.
pub async fn check(system: &System, acknowledged: &[Acknowledged], known: &Known) {
    let all = all(system);
    in_order(&all);
    nothing_is_lost(&all, acknowledged);
    nothing_happened_twice(&all);
    let sessions = sessions(&all);
    for (id, (organization, state)) in &sessions {
        let (kept, _) = system.app.current::<Session>(*organization, *id).unwrap();
        assert_eq!(kept, *state, "{id} in memory is as its stream tells it");
        session_adds_up(*id, state);
    }
    rooms_have_one_live_session(system, &sessions, known);
    for (organization, person) in &known.erased {
        let left = system.vault.aliases_of(*organization, *person).unwrap();
        assert!(left.is_empty(), "{person} was erased");
        assert!(system.vault.erased().unwrap().contains(&(*organization, *person)), "{person} was erased");
        for row in system.read_models.users_of(*organization, *person).unwrap() {
            assert!(!row.state.is_active(), "{person} was erased, and has an active account");
        }
    }
}

fn in_order(all: &[Recorded]) {
    let mut versions: HashMap<&str, u64> = HashMap::new();
    let mut last = Timestamp(0);
    for (recorded, expected) in all.iter().zip(1..) {
        let envelope = &recorded.envelope;
        assert_eq!(recorded.position, Position(expected), "positions are dense here");
        assert!(envelope.recorded_at() >= last, "time runs backwards at {expected}");
        last = envelope.recorded_at();
        let next = versions.entry(envelope.stream()).or_default();
        assert_eq!(envelope.version(), *next, "{} has a gap", envelope.stream());
        *next += 1;
    }
}

fn metadata(recorded: &Recorded) -> Option<Metadata> {
    serde_json::from_slice(recorded.envelope.metadata()).ok()
}

fn nothing_is_lost(all: &[Recorded], acknowledged: &[Acknowledged]) {
    for Acknowledged { call, told } in acknowledged {
        let position = told.position.expect("only what recorded something is kept");
        let there = all.get(position.0 as usize - 1).unwrap_or_else(|| panic!("{call:?} was lost with {position:?}"));
        let metadata = metadata(there).unwrap_or_else(|| panic!("another event is where {call:?} was: {there:?}"));
        assert_eq!(metadata.correlation, call.correlation, "another event is where {call:?} was");
    }
}

/// What came with one key in one stream was recorded in one go.
fn nothing_happened_twice(all: &[Recorded]) {
    let mut newest: HashMap<(&str, String), u64> = HashMap::new();
    for recorded in all {
        let Some(idempotency) = metadata(recorded).and_then(|metadata| metadata.idempotency) else { continue };
        let (stream, position) = (recorded.envelope.stream(), recorded.position.0);
        if let Some(before) = newest.insert((stream, idempotency.key), position) {
            assert_eq!(before + 1, position, "{stream}: the same request at {before} and at {position}");
        }
    }
    // What happens to a session or a participant once only.
    let mut once = HashSet::new();
    for recorded in all.iter().filter(|recorded| recorded.envelope.category() == Session::CATEGORY) {
        let envelope = &recorded.envelope;
        let data: serde_json::Value = serde_json::from_slice(envelope.data()).unwrap();
        let of = match envelope.kind() {
            "SessionPrepared" | "SessionReady" | "SessionEnded" => String::new(),
            "KnockUnanswered" | "KnockTimedOut" | "KnockWithdrawn" | "ParticipantLeft" | "ParticipantRemoved"
            | "ParticipantMoved" => data["participant"].to_string(),
            _ => continue,
        };
        let first = once.insert((envelope.stream(), envelope.kind(), of));
        assert!(first, "{} a second time in {}: {data}", envelope.kind(), envelope.stream());
    }
}

fn session_adds_up(id: SessionId, state: &SessionState) {
    let Some(record) = state.record() else { return };
    let count = |holds: fn(ParticipantState) -> bool| {
        u32::try_from(record.participants.iter().filter(|there| holds(there.state)).count()).unwrap()
    };
    assert_eq!(record.present_count, count(ParticipantState::is_in), "{id}");
    assert_eq!(record.waiting_count, count(ParticipantState::is_waiting), "{id}");
    assert!(record.present_peak >= record.present_count, "{id}");
    if state.live().is_none() {
        assert!(record.participants.iter().all(|there| there.state.is_final()), "{id} has ended with people in it");
    }
    for there in &record.participants {
        let (joined, finished) = (there.joined_at(), there.finished_at());
        assert!(joined.zip(finished).is_none_or(|(joined, left)| joined <= left), "{id}: left before joining");
    }
}

fn rooms_have_one_live_session(
    system: &System,
    sessions: &BTreeMap<SessionId, (OrganizationId, SessionState)>,
    known: &Known,
) {
    let mut live: HashMap<RoomId, SessionId> = HashMap::new();
    for (id, (_, state)) in sessions {
        let Some(record) = state.live() else { continue };
        if let Some(other) = live.insert(record.room, *id) {
            panic!("{} has two live sessions: {other} and {id}", record.room);
        }
    }
    for (organization, room) in &known.rooms {
        let (state, _) = system.app.current::<Room>(*organization, *room).unwrap();
        let says = state.facts().ok().and_then(|facts| facts.live_session);
        assert_eq!(says, live.get(room).copied(), "{room} knows its live session");
    }
}

/// The read models are what a clean replay makes of the log.
pub async fn replay_equals(system: &System) {
    let answer = system.answer(Question::Replay, watch::channel(Step::default()).0).await;
    let Answer::Replayed(replayed) = answer else { panic!("{answer:?}") };
    assert!(replayed.differences.is_empty(), "{:?}", replayed.differences);
    assert!(replayed.rows > 0);
}

/// The Merkle log of a closed data folder has the root that its events have.
pub fn merkle_root(data: &Path, newest: u64, digests: &[[u8; 32]]) {
    let log = LogReader::open(&data.join("ledger")).unwrap();
    assert_eq!((log.size(), digests.len() as u64), (newest, newest));
    assert_eq!(log.root(newest).unwrap(), root(digests));
}

/// RFC 9162, section 2.1.1, as it is written there.
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    let hash = |parts: &[&[u8]]| {
        let mut sha = Sha256::new();
        parts.iter().for_each(|part| sha.update(part));
        sha.finalize().into()
    };
    match leaves {
        [] => hash(&[]),
        [leaf] => hash(&[&[0], leaf]),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}
