//! Live feeds: every event of the topic once, in order, for whoever is fast, slow, early or late.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use witan_domain::{EventId, OrganizationId, SessionId, SessionRole, Timestamp};
use witan_event_store::{Append, EventStore, ExpectedVersion, NewEvent};

use crate::{
    feed::{Feed, Topic},
    testing::*,
    *,
};

const CLINIC: OrganizationId = OrganizationId(1);
const COURT: OrganizationId = OrganizationId(2);
const SESSION: SessionId = SessionId(3);

fn append(organization: OrganizationId, stream: String, count: usize) -> Append {
    let event = NewEvent {
        id: EventId(1),
        kind: "Anything".into(),
        schema: 1,
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from_static(b"{}"),
    };
    let expected = ExpectedVersion::Any;
    Append { stream, organization: Some(organization), expected, events: vec![event; count], now: Timestamp(0) }
}

/// The positions of the topic's events, as the log has them.
fn positions(world: &World, topic: Topic) -> Vec<Position> {
    let has = |recorded: &witan_event_store::Recorded| match topic {
        Topic::Organization(organization) => recorded.envelope.organization() == Some(organization),
        Topic::Session(organization, session) => {
            recorded.envelope.organization() == Some(organization)
                && recorded.envelope.stream_id() == session.to_string()
        }
    };
    world.all().iter().filter(|recorded| has(recorded)).map(|recorded| recorded.position).collect()
}

async fn read(feed: &mut Feed, count: usize, slow: Option<Duration>) -> Vec<Position> {
    let mut positions = Vec::new();
    while positions.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), feed.next()).await.expect("it comes").unwrap();
        positions.push(next.position);
        assert_eq!(feed.position(), next.position);
        if let Some(pause) = slow.filter(|_| positions.len() % 50 == 0) {
            tokio::time::sleep(pause).await;
        }
    }
    positions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_gap_and_no_duplicate_while_others_append() {
    let world = World::new();
    let feeds = world.feeds();
    let topics = [Topic::Organization(CLINIC), Topic::Session(CLINIC, SESSION)];
    // A session begins with an event of its own stream; readers come from before it, from it, and from later.
    world.store.append(append(CLINIC, "room-1".into(), 60)).await.unwrap();
    world.store.append(append(CLINIC, format!("session-{SESSION}"), 1)).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..4 {
        let store = world.store.clone();
        writers.push(tokio::spawn(async move {
            for turn in 0..300 {
                let organization = if turn % 3 == 0 { COURT } else { CLINIC };
                let stream = match (turn + writer) % 3 {
                    0 => format!("session-{SESSION}"),
                    1 => format!("chat-{SESSION}"),
                    _ => format!("room-{writer}"),
                };
                store.append(append(organization, stream, 1 + turn % 3)).await.unwrap();
                if turn % 10 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }));
    }
    // Readers come while it happens, some from the beginning, some from somewhere.
    let mut readers = Vec::new();
    for number in 0..12_u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let topic = topics[number as usize % 2];
        let after = Position(number / 4 * 40).min(world.newest());
        let slow = (number % 3 == 0).then_some(Duration::from_millis(2));
        readers.push((topic, after, slow, world.app.feeds.open(topic, Some(after)).unwrap()));
    }
    let mut tasks = Vec::new();
    for (topic, after, slow, mut feed) in readers {
        let store = world.store.clone();
        tasks.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            // More will not come: 4 writers with 600 events each, 4 · 200 of them in the other tenant.
            loop {
                match tokio::time::timeout(Duration::from_millis(1_500), feed.next()).await {
                    Ok(next) => seen.push(next.unwrap().position),
                    Err(_) => break,
                }
                if let Some(pause) = slow.filter(|_| seen.len() % 50 == 0) {
                    tokio::time::sleep(pause).await;
                }
            }
            drop(store);
            (topic, after, seen)
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for task in tasks {
        let (topic, after, seen) = task.await.unwrap();
        let expected: Vec<_> = positions(&world, topic).into_iter().filter(|position| *position > after).collect();
        assert!(expected.len() > 100);
        assert_eq!(seen, expected, "{topic:?} after {after:?}");
    }
    feeds.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lags_further_than_the_channel_reaches_misses_nothing() {
    let world = World::new();
    let feeds = world.feeds();
    let topic = Topic::Session(CLINIC, SESSION);
    let mut lagging = world.app.feeds.open(topic, None).unwrap();
    let mut prompt = world.app.feeds.open(topic, None).unwrap();
    for _ in 0..40 {
        world.store.append(append(CLINIC, format!("session-{SESSION}"), 25)).await.unwrap();
        world.store.append(append(COURT, format!("session-{SESSION}"), 25)).await.unwrap();
        read(&mut prompt, 25, None).await;
    }
    let expected = positions(&world, topic);
    assert_eq!(expected.len(), 1_000, "four times what the channel holds");
    assert_eq!(read(&mut lagging, 1_000, None).await, expected);
    // And it is live again.
    world.store.append(append(CLINIC, format!("chat-{SESSION}"), 2)).await.unwrap();
    assert_eq!(read(&mut lagging, 2, None).await, positions(&world, topic)[1_000..]);
    feeds.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_shows_chat_only_to_those_who_may_read_it() {
    let world = World::new();
    let feeds = world.feeds();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let mut inside = app.session_events(&world.ask(&host), session, Some(Position(0))).await.unwrap();
    let mut outside = app.session_events(&world.ask(&tenant.owner), session, Some(Position(0))).await.unwrap();
    app.send_message(&world.ask(&host), session, "Hello").await.unwrap();
    app.end_session(&world.ask(&host), session).await.unwrap();
    let kinds = async |feed: &mut crate::history::SessionFeed| {
        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "SessionEnded") {
            kinds.push(feed.next(app).await.unwrap().kind.clone());
        }
        kinds
    };
    let with_chat = kinds(&mut inside).await;
    assert!(with_chat.contains(&"MessageSent".to_owned()));
    let without: Vec<_> = with_chat.iter().filter(|kind| *kind != "MessageSent").cloned().collect();
    assert_eq!(kinds(&mut outside).await, without);
    feeds.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_shows_no_more_chat_to_those_who_may_read_it_no_longer() {
    let world = World::new();
    let feeds = world.feeds();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let lead = world.ask(&host);
    app.change_participant_role(&lead, session, entered.participant, SessionRole::CoHost).await.unwrap();
    let mut feed = app.session_events(&world.ask(&pat), session, None).await.unwrap();
    app.send_message(&world.ask(&host), session, "Before").await.unwrap();
    assert_eq!(feed.next(app).await.unwrap().kind, "MessageSent");
    app.remove_participant(&world.ask(&host), session, entered.participant, false, None).await.unwrap();
    world.clock.pass(2);
    app.send_message(&world.ask(&host), session, "After").await.unwrap();
    app.lock_session(&world.ask(&host), session).await.unwrap();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "SessionLocked") {
        kinds.push(feed.next(app).await.unwrap().kind.clone());
    }
    assert!(!kinds.contains(&"MessageSent".to_owned()), "{kinds:?}");
    feeds.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_leaves_nothing_behind() {
    let world = World::new();
    let topic = Topic::Session(CLINIC, SESSION);
    let first = world.app.feeds.open(topic, None).unwrap();
    let second = world.app.feeds.open(topic, None).unwrap();
    drop(first);
    assert_eq!(world.app.feeds.listened_to(), 1);
    drop(second);
    assert_eq!(world.app.feeds.listened_to(), 0);
    for number in 0..100 {
        let topic = Topic::Session(CLINIC, SessionId(number));
        drop(world.app.feeds.open(topic, Some(Position(0))).unwrap());
    }
    assert_eq!(world.app.feeds.listened_to(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_once_ends_no_feed() {
    let world = World::new();
    world.faults.reads.store(1, Ordering::SeqCst);
    let feeds = world.feeds();
    let topic = Topic::Session(CLINIC, SESSION);
    let mut feed = world.app.feeds.open(topic, None).unwrap();
    world.store.append(append(CLINIC, format!("session-{SESSION}"), 3)).await.unwrap();
    assert_eq!(read(&mut feed, 3, None).await, positions(&world, topic));
    assert_eq!(world.app.feeds.progress().stopped, None);
    feeds.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_listens_is_told_when_the_feeds_end() {
    let world = World::new();
    let feeds = world.feeds();
    let topic = Topic::Organization(CLINIC);
    let mut feed = world.app.feeds.open(topic, None).unwrap();
    world.faults.damaged.store(true, Ordering::SeqCst);
    world.store.append(append(CLINIC, "room-1".into(), 1)).await.unwrap();
    feeds.await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(5), feed.next()).await.expect("it ends").is_err());
    assert!(world.app.feeds.progress().stopped.unwrap().contains("damaged"), "health shows it");
    assert_eq!(code(world.app.feeds.open(topic, None)), "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_s_feed_begins_where_the_session_does() {
    let world = World::new();
    for _ in 0..20 {
        world.store.append(append(COURT, "room-1".into(), 500)).await.unwrap();
    }
    world.store.append(append(CLINIC, format!("session-{SESSION}"), 2)).await.unwrap();
    let feed = world.app.feeds.open(Topic::Session(CLINIC, SESSION), Some(Position(0))).unwrap();
    assert_eq!(feed.position(), Position(10_000), "10,000 events of others are not read");
    let later = world.app.feeds.open(Topic::Session(CLINIC, SESSION), Some(Position(10_001))).unwrap();
    assert_eq!(later.position(), Position(10_001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_after_the_end_of_the_log_is_refused() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let newest = world.newest();
    for after in [Position(newest.0 + 1), Position(u64::MAX)] {
        match app.organization_activity(&world.ask(&tenant.owner), Some(after)).await {
            Err(Error::Rejected { code: "AFTER_THE_END", message, .. }) => {
                assert!(message.contains(&format!("ends at {}", newest.0)), "{message}");
            }
            other => panic!("{}", code(other)),
        }
    }
    assert_eq!(code(app.organization_activity(&world.ask(&tenant.owner), Some(newest)).await), "OK");
}
