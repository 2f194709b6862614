//! From an event to those who listen, and what those cost who listen while nothing happens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use witan_tests::server::Options;
use witan_tests::socket::Socket;

use crate::figure::{Figure, Goal};
use crate::load::{as_ms, histogram, now};
use crate::stage::{Scene, Stage};

const SUBSCRIBERS: usize = 1_000;
const IDLE: usize = 10_000;
const EVENTS_PER_SECOND: u64 = 10;
/// Of one round: 30 events to a thousand subscribers are 30,000 latencies.
const EVENTS_PER_ROUND: u64 = 30;
const OPENED_AT_ONCE: usize = 200;
const QUIET: Duration = Duration::from_secs(3);
const P99_MS: f64 = 20.0;
const IDLE_KIB: f64 = 40.0;
/// Both ends of 10,000 connections, and some for the rest.
const FILES: u64 = 30_000;

const SESSION_EVENTS: &str = "subscription SessionEvents($id: ID!) { sessionEvents(sessionId: $id) { position } }";

/// What a subscriber got, and when. It is read afterwards: reading takes the CPU that the server needs.
type Got = Arc<Mutex<Vec<(Instant, String)>>>;

pub(crate) fn figures(rounds: usize) -> Vec<Figure> {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(FILES, |most| most.min(FILES)).max(limit.current.unwrap_or(0));
    // The server that we start inherits it.
    setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum })
        .expect("a soft limit may rise");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let stage = Stage::open(Options::default()).await;
        let scenes = stage.scenes(1).await;
        vec![fan_out(&stage, &scenes[0], rounds).await, idle(&stage, &scenes[0]).await]
    })
}

/// The 99th percentile, from before the mutation is sent until a subscriber has the item: more than the way from the
/// event, which only the server's clock knows.
async fn fan_out(stage: &Stage, scene: &Scene, rounds: usize) -> Figure {
    let mut listening = Vec::new();
    for socket in sockets(stage, scene, SUBSCRIBERS).await {
        let got = Got::default();
        listening.push(Arc::clone(&got));
        tokio::spawn(listen(socket, got));
    }
    let mut p99 = Vec::new();
    for round in 0..rounds {
        let mut sent = HashMap::new();
        let mut beat = tokio::time::interval(Duration::from_millis(1_000 / EVENTS_PER_SECOND));
        for number in 0..EVENTS_PER_ROUND {
            beat.tick().await;
            // Each toggles, since what already holds adds no event.
            let mutation = if number % 2 == 0 { "lockSession" } else { "unlockSession" };
            let asked = now();
            let done = scene.host.does(mutation, json!({ "sessionId": scene.session }), "").await;
            sent.insert(done.position().to_string(), asked);
        }
        tokio::time::sleep(QUIET).await;
        let mut latencies = histogram();
        for got in &listening {
            let received = times(got);
            for (position, asked) in &sent {
                let at = received.get(position).unwrap_or_else(|| panic!("round {round}: {position} reached not all"));
                latencies.saturating_record(u64::try_from((*at - *asked).as_micros()).unwrap_or(u64::MAX));
            }
        }
        p99.push(as_ms(latencies.value_at_quantile(0.99)));
    }
    Figure::alone("event_to_subscriber_p99 1000", "ms", &p99).goal(Goal::AtMost(P99_MS))
}

async fn listen(mut socket: Socket, got: Got) {
    while let Some(text) = socket.receive_text().await {
        let at = now();
        if text.contains("\"ping\"") {
            socket.send(&json!({ "type": "pong" })).await;
        } else {
            got.lock().unwrap_or_else(PoisonError::into_inner).push((at, text));
        }
    }
}

/// When each position came to a subscriber.
fn times(got: &Got) -> HashMap<String, Instant> {
    let got = std::mem::take(&mut *got.lock().unwrap_or_else(PoisonError::into_inner));
    let read = |(at, text): (Instant, String)| {
        let message: Value = serde_json::from_str(&text).expect("the server sends JSON");
        assert_eq!(message["type"], "next", "a subscription ended: {text}");
        (position(&message["payload"]["data"]["sessionEvents"]["position"]), at)
    };
    got.into_iter().map(read).collect()
}

/// Memory of the server for each subscription that waits for events.
async fn idle(stage: &Stage, scene: &Scene) -> Figure {
    let before = stage.server.memory_bytes();
    let sockets = sockets(stage, scene, IDLE).await;
    tokio::time::sleep(QUIET).await;
    let grown = stage.server.memory_bytes().saturating_sub(before);
    drop(sockets);
    let each = grown as f64 / 1024.0 / IDLE as f64;
    Figure::alone("idle_subscription 10000", "KiB", &[each]).goal(Goal::AtMost(IDLE_KIB))
}

/// Connections with one subscription to the session's events each.
async fn sockets(stage: &Stage, scene: &Scene, count: usize) -> Vec<Socket> {
    let owner = stage.server.owner();
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let more = OPENED_AT_ONCE.min(count - sockets.len());
        let opened = join_all((0..more).map(async |_| {
            let mut socket = owner.socket().await;
            socket.subscribe("1", SESSION_EVENTS, json!({ "id": scene.session })).await;
            socket
        }));
        sockets.extend(opened.await);
    }
    sockets
}

fn position(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
