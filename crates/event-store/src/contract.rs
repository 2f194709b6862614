//! What every event store must do, as a suite that each adapter's tests run against itself. It panics at the first thing
//! that isn't so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use witan_domain::{EventId, OrganizationId, Timestamp};

use crate::{
    Append, AppendError, Appended, Direction, EventStore, ExpectedVersion, Follower, NewEvent, PAGE_BYTES_MAX,
    Position, Recorded,
    envelope::{APPEND_EVENTS_MAX, EVENT_BYTES_MAX, STREAM_BYTES_MAX, TYPE_BYTES_MAX},
};

/// Runs the whole suite. `open` gives a new, empty store each time.
pub async fn contract(open: impl AsyncFn() -> Arc<dyn EventStore>) {
    an_empty_store_is_empty(open().await).await;
    expected_versions(open().await).await;
    all_or_nothing(open().await).await;
    what_was_appended_is_read(open().await).await;
    streams_are_read_both_ways(open().await).await;
    everything_is_read_both_ways(open().await).await;
    pages_are_bounded_in_bytes(open().await).await;
    recorded_time_never_runs_backwards(open().await).await;
    invalid_appends_are_refused(open().await).await;
    one_writer_wins(open().await).await;
    followers_see_no_gap_and_no_duplicate(open().await).await;
    a_slow_follower_harms_nobody(open().await).await;
}

/// A small event whose payload is `{"n":number}`.
pub fn event(number: u64) -> NewEvent {
    NewEvent {
        id: EventId(u128::from(number) + 1),
        kind: "ThingHappened".into(),
        schema: 1,
        metadata: Bytes::from_static(
            br#"{"actor":{"kind":"system"},"correlation":"request_00000000000000000000000001"}"#,
        ),
        data: Bytes::from(format!(r#"{{"n":{number}}}"#)),
    }
}

/// An append of such events to a stream, at 1,000 s after the epoch.
pub fn append(stream: &str, expected: ExpectedVersion, numbers: impl IntoIterator<Item = u64>) -> Append {
    Append {
        stream: stream.into(),
        organization: Some(OrganizationId(7)),
        expected,
        events: numbers.into_iter().map(event).collect(),
        now: Timestamp::from_seconds(1_000),
    }
}

async fn appended(store: &Arc<dyn EventStore>, append: Append) -> Appended {
    store.append(append).await.expect("the append is recorded")
}

async fn conflict(store: &Arc<dyn EventStore>, append: Append) -> Option<u64> {
    let (stream, expected) = (append.stream.clone(), append.expected);
    match store.append(append).await {
        Err(AppendError::Conflict { stream: named, expected: believed, actual }) => {
            assert_eq!((named, believed), (stream, expected), "a conflict names what was asked");
            actual
        }
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// Everything that is recorded, page by page.
pub fn all(store: &dyn EventStore) -> Vec<Recorded> {
    let mut events = Vec::new();
    let mut from = Position(0);
    loop {
        let page = store.read_all(from, Direction::Forward, usize::MAX).expect("everything can be read");
        let Some(newest) = page.last() else { return events };
        from = Position(newest.position.0 + 1);
        events.extend(page);
    }
}

fn data(events: &[Recorded]) -> Vec<u64> {
    let number = |event: &Recorded| {
        let text = String::from_utf8_lossy(event.envelope.data()).into_owned();
        text.trim_start_matches(r#"{"n":"#).trim_end_matches('}').parse().expect("the payload is a number")
    };
    events.iter().map(number).collect()
}

async fn an_empty_store_is_empty(store: Arc<dyn EventStore>) {
    for direction in [Direction::Forward, Direction::Backward] {
        assert!(store.read_all(Position(0), direction, 10).expect("reads").is_empty());
        assert!(store.read_all(Position(u64::MAX), direction, 10).expect("reads").is_empty());
        assert!(store.read_stream("room-1", 0, direction, 10).expect("reads").is_empty());
        assert!(store.read_stream("room-1", u64::MAX, direction, 10).expect("reads").is_empty());
    }
    assert_eq!(store.stream_version("room-1").expect("reads"), None);
    assert_eq!(*store.durable().borrow(), Position(0));
    assert_eq!(store.digest(Position(1)).expect("reads"), None);
}

async fn expected_versions(store: Arc<dyn EventStore>) {
    use ExpectedVersion::{Any, Exactly, NoStream};
    assert_eq!(conflict(&store, append("a-1", Exactly(0), [0])).await, None);
    assert_eq!(appended(&store, append("a-1", NoStream, [0])).await.version, 0);
    assert_eq!(conflict(&store, append("a-1", NoStream, [1])).await, Some(0));
    assert_eq!(appended(&store, append("a-1", Exactly(0), [1, 2])).await.version, 2);
    assert_eq!(conflict(&store, append("a-1", Exactly(0), [3])).await, Some(2));
    assert_eq!(conflict(&store, append("a-1", Exactly(3), [3])).await, Some(2));
    assert_eq!(appended(&store, append("a-1", Any, [3])).await.version, 3);
    assert_eq!(appended(&store, append("b-1", Any, [4])).await.version, 0);
    // Names where one begins with the other are two streams.
    assert_eq!(appended(&store, append("a-11", NoStream, [5])).await.version, 0);
    assert_eq!(appended(&store, append("a-", NoStream, [6])).await.version, 0);
    assert_eq!(store.stream_version("a-1").expect("reads"), Some(3));
    assert_eq!(store.stream_version("a-11").expect("reads"), Some(0));
    assert_eq!(data(&store.read_stream("a-1", 0, Direction::Forward, 10).expect("reads")), [0, 1, 2, 3]);
    assert_eq!(data(&all(&*store)), [0, 1, 2, 3, 4, 5, 6], "a conflict records nothing");
}

async fn all_or_nothing(store: Arc<dyn EventStore>) {
    let mut spoiled = append("a-1", ExpectedVersion::Any, 0..10);
    spoiled.events[9].kind = String::new();
    assert!(matches!(store.append(spoiled).await, Err(AppendError::Invalid(_))));
    assert!(all(&*store).is_empty());
    assert_eq!(store.stream_version("a-1").expect("reads"), None);
    let whole = appended(&store, append("a-1", ExpectedVersion::NoStream, 0..APPEND_EVENTS_MAX as u64)).await;
    let stored = all(&*store);
    assert_eq!(stored.len(), APPEND_EVENTS_MAX);
    assert_eq!((stored[0].position, stored[APPEND_EVENTS_MAX - 1].position), (whole.first, whole.last));
    assert_eq!(whole.version, APPEND_EVENTS_MAX as u64 - 1);
}

async fn what_was_appended_is_read(store: Arc<dyn EventStore>) {
    let mut given = append("session-session_01JCY3V8Q6ZK9B2T4M5N6P7R8S", ExpectedVersion::NoStream, [1, 2]);
    given.events[0].schema = 3;
    given.events[1].metadata = Bytes::new();
    given.events[1].data = Bytes::from(vec![b'x'; EVENT_BYTES_MAX]);
    let answer = appended(&store, given.clone()).await;
    assert_eq!(*store.durable().borrow(), answer.last, "durable before it is acknowledged");
    let mut deployment = append("api-key-key_1", ExpectedVersion::Any, [3]);
    deployment.organization = None;
    appended(&store, deployment).await;
    let stored = all(&*store);
    assert_eq!(stored.len(), 3);
    for (version, (stored, given_event)) in stored.iter().zip(&given.events).enumerate() {
        let envelope = &stored.envelope;
        assert_eq!(envelope.stream(), given.stream);
        assert_eq!((envelope.category(), envelope.stream_id()), ("session", "session_01JCY3V8Q6ZK9B2T4M5N6P7R8S"));
        assert_eq!(envelope.organization(), given.organization);
        assert_eq!((envelope.id(), envelope.schema()), (given_event.id, given_event.schema));
        assert_eq!(envelope.kind(), given_event.kind);
        assert_eq!(envelope.metadata(), given_event.metadata);
        assert_eq!(envelope.data(), given_event.data);
        assert_eq!((envelope.version(), envelope.recorded_at()), (version as u64, answer.recorded_at));
        assert_eq!(store.digest(stored.position).expect("reads"), Some(envelope.digest()));
    }
    assert_eq!(stored[2].envelope.organization(), None);
    assert_eq!((stored[2].envelope.category(), stored[2].envelope.stream_id()), ("api-key", "key_1"));
    assert_eq!(store.digest(Position(stored[2].position.0 + 1)).expect("reads"), None);
}

async fn streams_are_read_both_ways(store: Arc<dyn EventStore>) {
    for number in 0..20 {
        appended(&store, append(if number % 2 == 0 { "a-1" } else { "b-1" }, ExpectedVersion::Any, [number])).await;
    }
    let evens: Vec<u64> = (0..20).step_by(2).collect();
    let read = |from, direction, max| data(&store.read_stream("a-1", from, direction, max).expect("reads"));
    for from in 0..10 {
        for max in 0..12 {
            let forward: Vec<u64> = evens[from..].iter().copied().take(max).collect();
            assert_eq!(read(from as u64, Direction::Forward, max), forward);
            let backward: Vec<u64> = evens[..=from].iter().rev().copied().take(max).collect();
            assert_eq!(read(from as u64, Direction::Backward, max), backward);
        }
    }
    assert!(read(10, Direction::Forward, 5).is_empty());
    assert!(read(u64::MAX, Direction::Forward, 5).is_empty());
    assert_eq!(read(10, Direction::Backward, 2), [18, 16]);
    assert_eq!(read(u64::MAX, Direction::Backward, 2), [18, 16]);
    assert!(store.read_stream("a-", 0, Direction::Forward, 5).expect("reads").is_empty());
    let versions = store.read_stream("b-1", 0, Direction::Forward, usize::MAX).expect("reads");
    assert!(versions.iter().map(|event| event.envelope.version()).eq(0..10));
}

async fn everything_is_read_both_ways(store: Arc<dyn EventStore>) {
    for number in 0..25 {
        appended(&store, append(&format!("a-{}", number % 7), ExpectedVersion::Any, [number, number])).await;
    }
    let whole = all(&*store);
    assert_eq!(whole.len(), 50);
    assert!(whole.is_sorted_by(|a, b| a.position < b.position), "positions increase");
    assert!(whole[0].position > Position(0), "0 stands for before everything");
    assert_eq!(*store.durable().borrow(), whole[49].position);
    let mut reversed = whole.clone();
    reversed.reverse();
    assert_eq!(store.read_all(Position(u64::MAX), Direction::Backward, usize::MAX).expect("reads"), reversed);
    for (index, event) in whole.iter().enumerate() {
        for max in [0, 1, 7, 100] {
            let forward = store.read_all(event.position, Direction::Forward, max).expect("reads");
            assert_eq!(forward, whole[index..].iter().take(max).cloned().collect::<Vec<_>>());
            let backward = store.read_all(event.position, Direction::Backward, max).expect("reads");
            assert_eq!(backward, whole[..=index].iter().rev().take(max).cloned().collect::<Vec<_>>());
        }
    }
    let past = Position(whole[49].position.0 + 1);
    assert!(store.read_all(past, Direction::Forward, 5).expect("reads").is_empty());
    assert!(store.read_all(Position(0), Direction::Backward, 5).expect("reads").is_empty());
    let mut paged = Vec::new();
    let mut from = Position(0);
    loop {
        let page = store.read_all(from, Direction::Forward, 6).expect("reads");
        let Some(newest) = page.last() else { break };
        from = Position(newest.position.0 + 1);
        paged.extend(page);
    }
    assert_eq!(paged, whole, "page by page is the same as at once");
}

async fn pages_are_bounded_in_bytes(store: Arc<dyn EventStore>) {
    for _ in 0..20 {
        let mut many = append("b-1", ExpectedVersion::Any, 0..100);
        many.events.iter_mut().for_each(|event| event.data = Bytes::from(vec![b' '; 3_000]));
        appended(&store, many).await;
    }
    // Large and small ones in turn, so that small ones would still fit where a large one doesn't.
    for number in 0..14_usize {
        let mut given = append("a-1", ExpectedVersion::Any, [0, 1, 2]);
        given.events[1].metadata = Bytes::new();
        given.events[1].data = Bytes::from(vec![b' '; EVENT_BYTES_MAX >> (number % 4)]);
        appended(&store, given).await;
    }
    let whole = all(&*store);
    assert_eq!(whole.len(), 2_042);
    let bytes = |events: &[Recorded]| events.iter().map(|event| event.envelope.bytes().len()).sum::<usize>();
    for max in [5, usize::MAX] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut paged = Vec::new();
            let mut from = if direction == Direction::Forward { Position(0) } else { *store.durable().borrow() };
            loop {
                let page = store.read_all(from, direction, max).expect("reads");
                let Some(last) = page.last() else { break };
                from =
                    Position(if direction == Direction::Forward { last.position.0 + 1 } else { last.position.0 - 1 });
                assert!(page.len() <= max && bytes(&page) <= PAGE_BYTES_MAX);
                paged.push(page);
            }
            for pages in paged.windows(2).filter(|pages| pages[0].len() < max) {
                let more = bytes(&pages[0]) + pages[1][0].envelope.bytes().len();
                assert!(more > PAGE_BYTES_MAX, "a page ends only where the next event doesn't fit");
            }
            let mut events = paged.concat();
            if direction == Direction::Backward {
                events.reverse();
            }
            assert_eq!(events, whole);
        }
    }
    let mut follower = Follower::new(store.clone(), Position(0));
    let mut seen = 0;
    while seen < whole.len() {
        let batch = follower.next_batch(usize::MAX).await.expect("follows");
        assert!(bytes(&batch) <= PAGE_BYTES_MAX);
        seen += batch.len();
    }
}

async fn recorded_time_never_runs_backwards(store: Arc<dyn EventStore>) {
    let clock = [1_000, 900, 1_100, 0, 1_050];
    for (number, seconds) in (0..).zip(clock) {
        let mut given = append(&format!("a-{number}"), ExpectedVersion::Any, [number]);
        given.now = Timestamp::from_seconds(seconds);
        appended(&store, given).await;
    }
    let times: Vec<Timestamp> = all(&*store).iter().map(|event| event.envelope.recorded_at()).collect();
    assert_eq!(times, [1_000, 1_000, 1_100, 1_100, 1_100].map(Timestamp::from_seconds));
}

async fn invalid_appends_are_refused(store: Arc<dyn EventStore>) {
    let valid = || append("a-1", ExpectedVersion::Any, [1]);
    type Spoil = fn(&mut Append);
    let spoil: [(&str, Spoil); 11] = [
        ("no events", |a| a.events.clear()),
        ("too many events", |a| a.events = (0..=APPEND_EVENTS_MAX as u64).map(event).collect()),
        ("no stream", |a| a.stream.clear()),
        ("a stream's name too long", |a| a.stream = "a".repeat(STREAM_BYTES_MAX + 1)),
        ("a space in the stream's name", |a| a.stream = "a 1".into()),
        ("a stream's name that is not ASCII", |a| a.stream = "käse-1".into()),
        ("a control character", |a| a.stream = "a-\n".into()),
        ("no type", |a| a.events[0].kind.clear()),
        ("a type's name too long", |a| a.events[0].kind = "T".repeat(TYPE_BYTES_MAX + 1)),
        ("schema version 0", |a| a.events[0].schema = 0),
        ("an event too large", |a| a.events[0].data = Bytes::from(vec![b' '; EVENT_BYTES_MAX + 1])),
    ];
    for (what, spoil) in spoil {
        let mut spoiled = valid();
        spoil(&mut spoiled);
        let answer = store.append(spoiled).await;
        assert!(matches!(answer, Err(AppendError::Invalid(_))), "{what}: {answer:?}");
    }
    let mut heavy = append("a-1", ExpectedVersion::Any, 0..17);
    for event in &mut heavy.events {
        event.data = Bytes::from(vec![b' '; EVENT_BYTES_MAX - 200]);
    }
    assert!(matches!(store.append(heavy).await, Err(AppendError::Invalid(_))), "an append too large");
    assert!(all(&*store).is_empty());
    let mut longest = append(&"a".repeat(STREAM_BYTES_MAX), ExpectedVersion::NoStream, [1]);
    longest.events[0].kind = "T".repeat(TYPE_BYTES_MAX);
    appended(&store, longest).await;
    assert_eq!(all(&*store).len(), 1);
}

async fn one_writer_wins(store: Arc<dyn EventStore>) {
    for round in 0..20_u64 {
        let expected = round.checked_sub(1).map_or(ExpectedVersion::NoStream, ExpectedVersion::Exactly);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move { store.append(append("a-1", expected, [writer])).await })
            })
            .collect();
        let mut won = 0;
        for writer in writers {
            match writer.await.expect("the writer doesn't panic") {
                Ok(answer) => {
                    assert_eq!(answer.version, round);
                    won += 1;
                }
                Err(AppendError::Conflict { actual, .. }) => assert_eq!(actual, Some(round)),
                Err(other) => panic!("unexpected: {other}"),
            }
        }
        assert_eq!(won, 1, "of eight writers that expect the same version, one wins");
    }
    assert_eq!(all(&*store).len(), 20);
}

async fn followers_see_no_gap_and_no_duplicate(store: Arc<dyn EventStore>) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 100;
    appended(&store, append("before-1", ExpectedVersion::Any, [0])).await;
    let total = 1 + (WRITERS * EACH * 2) as usize;
    let followers: Vec<_> = [1, 7, 1_000]
        .map(|max| {
            let mut follower = Follower::new(store.clone(), Position(0));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while seen.len() < total {
                    let batch = follower.next_batch(max).await.expect("follows");
                    assert!(!batch.is_empty() && batch.len() <= max);
                    assert_eq!(batch.last().map(|event| event.position), Some(follower.position()));
                    seen.extend(batch);
                }
                seen
            })
        })
        .into();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let stream = format!("a-{}", (writer + number) % 5);
                    appended(&store, append(&stream, ExpectedVersion::Any, [writer, number])).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("the writer doesn't panic");
    }
    let whole = all(&*store);
    assert_eq!(whole.len(), total);
    for follower in followers {
        let seen = tokio::time::timeout(Duration::from_secs(30), follower).await;
        assert_eq!(seen.expect("followers arrive").expect("the follower doesn't panic"), whole);
    }
    let mut next = std::collections::HashMap::<String, u64>::new();
    for event in &whole {
        let version = next.entry(event.envelope.stream().to_owned()).or_default();
        assert_eq!(event.envelope.version(), *version, "versions have no gap");
        *version += 1;
    }
    let positions: BTreeSet<Position> = whole.iter().map(|event| event.position).collect();
    assert_eq!(positions.len(), total);
    // Later it begins in the middle, and waits at the end.
    let middle = whole[total / 2].position;
    let mut late = Follower::new(store.clone(), middle);
    let rest = late.next_batch(usize::MAX).await.expect("follows");
    assert_eq!(rest, whole[total / 2 + 1..]);
    assert!(tokio::time::timeout(Duration::from_millis(20), late.next_batch(1)).await.is_err(), "nothing is new");
    let newest = appended(&store, append("after-1", ExpectedVersion::Any, [1])).await;
    assert_eq!(late.next_batch(9).await.expect("follows")[0].position, newest.last);
}

async fn a_slow_follower_harms_nobody(store: Arc<dyn EventStore>) {
    let mut slow = Follower::new(store.clone(), Position(0));
    appended(&store, append("a-1", ExpectedVersion::Any, [0])).await;
    assert_eq!(slow.next_batch(1).await.expect("follows").len(), 1);
    let mut quick = Follower::new(store.clone(), Position(0));
    let mut seen = 0;
    for number in 1..=500 {
        let append = store.append(append("a-1", ExpectedVersion::Any, [number]));
        tokio::time::timeout(Duration::from_secs(10), append).await.expect("not held up").expect("recorded");
        seen += quick.next_batch(10).await.expect("follows").len();
    }
    while seen < 501 {
        seen += quick.next_batch(10).await.expect("follows").len();
    }
    let mut late = Vec::new();
    while late.len() < 500 {
        late.extend(data(&slow.next_batch(64).await.expect("follows")));
    }
    assert!(late.into_iter().eq(1..=500), "the slow one misses nothing");
}
