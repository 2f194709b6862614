//! Sessions as full as a session may be, and one that fails beside others.

use witan_domain::{
    Aggregate, EventId, ParticipantId, PersonId, Private, SessionId, SessionRole, TokenId,
    aggregate::EventPayload,
    participant::{Arrival, MediaSource},
    private::Ciphertext,
    session::{EndReason, ParticipantJoined, Session, SessionEvent},
    text::SecretHash,
};
use witan_event_store::{Append, AppendError, EventStore, ExpectedVersion, Metadata, NewEvent};

use super::reactions::something;
use crate::{chat::MESSAGES_AT_ONCE, testing::*};

/// As many as a session may have in.
const CROWD: u128 = witan_domain::settings::PARTICIPANTS_MAX as u128;
const BATCH: u128 = 500;

/// Everyone comes in, each a person of their own.
async fn all_come(world: &World, tenant: &Tenant, session: SessionId) {
    let request = world.ask(&tenant.owner);
    let metadata = Metadata {
        actor: request.actor,
        correlation: request.correlation,
        causation: None,
        reason: None,
        idempotency: None,
    };
    let metadata = bytes::Bytes::from(serde_json::to_vec(&metadata).unwrap());
    let joined = |n: u128| {
        let (participant, person) = (ParticipantId(n), PersonId(n));
        let arrival = Arrival {
            participant,
            person,
            user: None,
            invitation: None,
            role: SessionRole::Participant,
            display_name: Private { person, ciphertext: Ciphertext(vec![7; 20]) },
            external_id: None,
            device: None,
            token: TokenId(n),
            resume_secret_sha256: SecretHash([7; 32]),
            moved: false,
        };
        let event: SessionEvent = ParticipantJoined { participant, arrival: Some(Box::new(arrival)) }.into();
        NewEvent {
            id: EventId(n),
            kind: event.kind().to_owned(),
            schema: Session::schema(event.kind()),
            metadata: metadata.clone(),
            data: event.encode().into(),
        }
    };
    for first in (1..=CROWD).step_by(BATCH as usize) {
        let append = Append {
            stream: Session::stream(session),
            organization: Some(tenant.organization),
            expected: ExpectedVersion::Any,
            events: (first..first + BATCH).map(joined).collect(),
            now: world.clock.now(),
        };
        world.store.append(append).await.unwrap();
    }
    world.app.streams.forget(&Session::stream(session));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_as_many_in_as_may_be_ends() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    all_come(&world, &tenant, session).await;
    app.mute_all(&world.ask(&host), session, MediaSource::Microphone).await.unwrap();
    app.end_session(&world.ask(&host), session).await.unwrap();
    let record = world.session(&tenant, session);
    assert_eq!((record.present_peak, record.present_count), (CROWD as u32 + 1, 0));
    assert_eq!(record.finish.unwrap().reason, EndReason::EndedByHost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_says_so_much_at_once_and_a_host_as_much_as_they_like() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (guest, _) = world.is_let_in(&tenant, &host, "Pat").await;
    let said = world.ask_once(&guest, "first", "Hello");
    app.send_message(&said, session, "Hello").await.unwrap();
    for _ in 1..MESSAGES_AT_ONCE {
        app.send_message(&world.ask(&guest), session, "Hello").await.unwrap();
        app.send_message(&world.ask(&host), session, "Hello").await.unwrap();
    }
    assert_eq!(code(app.send_message(&world.ask(&guest), session, "Hello").await), "TOO_MANY_MESSAGES");
    assert_eq!(code(app.send_message(&said, session, "Hello").await), "OK", "a retry is told what was done");
    for _ in 0..MESSAGES_AT_ONCE {
        app.send_message(&world.ask(&host), session, "Hello").await.unwrap();
    }
    world.clock.pass(1);
    assert_eq!(code(app.send_message(&world.ask(&guest), session, "Hello").await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_can_not_be_ended_keeps_no_other_from_ending() {
    let world = World::new();
    let running = world.reacts();
    let (clinic, court) = (world.tenant("clinic").await, world.tenant("court").await);
    let sessions = [(&clinic, world.opens(&clinic).await), (&court, world.opens(&court).await)];
    world.settle(&running).await;
    let ended = || sessions.iter().filter(|(tenant, session)| world.session(tenant, *session).finish.is_some()).count();
    world.faults.append("session", 0, AppendError::Invalid("as the test wants it".into()));
    world.clock.pass(3_600);
    something(&world).await;
    world.until("one ends", || ended() == 1).await;
    world.until("the other is said to fail", || running.failing("deadlines") == 1).await;
    world.settle(&running).await;
    world.clock.pass(60);
    something(&world).await;
    world.until("the other ends when it can", || ended() == 2).await;
    world.until("nothing fails any more", || running.failing("deadlines") == 0).await;
    world.settle(&running).await;
    world.stop(running).await;
}
