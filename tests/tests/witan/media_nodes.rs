//! The media node: a process beside the server, which outlives it and may itself be lost.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

/// A machine that does much else starts processes slowly.
const WAIT: Duration = Duration::from_secs(60);
/// A node that is lost is noticed within this.
const NOTICED: Duration = Duration::from_secs(2);

fn with_a_node() -> Options {
    Options::default().set("media", "sfu").set("media_workers", 1)
}

/// What `/health/ready` says of the node.
async fn node(server: &Server) -> Value {
    let text = reqwest::get(format!("{}/health/ready", server.url())).await.expect("health answers");
    let standing: Value = text.json().await.expect("health is JSON");
    assert_eq!(standing["media"], "sfu");
    standing["media_node"].clone()
}

/// Waits until the node stands as is said.
async fn until(server: &Server, what: &str, wait: Duration, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let node = node(server).await;
        if holds(&node) {
            return node;
        }
        assert!(began.elapsed() < wait, "{what}: {node:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn there(server: &Server) -> Value {
    until(server, "a node is there", WAIT, |node| node["there"] == true).await
}

fn pid(node: &Value) -> Pid {
    let raw = node["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    raw.and_then(Pid::from_raw).expect("the node has a process")
}

async fn gone(pid: Pid) {
    let began = Instant::now();
    while is_alive(pid) {
        assert!(began.elapsed() < WAIT, "the node is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Alive, and not only waiting to be reaped by whoever adopted it.
fn is_alive(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let zombie = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    test_kill_process(pid).is_ok() && !zombie
}

/// A session that the owner is in.
async fn call(server: &Server) -> (Actor, String) {
    let owner = server.owner();
    let unit = json!({ "slug": "calls", "fullName": "A unit" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "calls", "name": "A room", "purpose": "MEETING" });
    let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
    let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
    let ticket = owner.does("createJoinToken", json!({ "sessionId": session }), "joinToken").await.text("/joinToken");
    let began = Instant::now();
    loop {
        let input = json!({ "joinToken": ticket, "displayName": "Owner" });
        match server.nobody().tries("joinSession", input, "state").await {
            Ok(entered) => {
                assert_eq!(entered.0["state"], "JOINED");
                return (owner, session);
            }
            Err(rejected) => assert!(began.elapsed() < WAIT, "{rejected:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn status(owner: &Actor, session: &str) -> String {
    let seen = owner.sees("query($id: ID!) { session(id: $id) { status } }", json!({ "id": session })).await;
    seen["session"]["status"].as_str().expect("a status").to_owned()
}

async fn becomes(owner: &Actor, session: &str, wanted: &str) {
    let began = Instant::now();
    while status(owner, session).await != wanted {
        assert!(began.elapsed() < WAIT, "the session is {} and not {wanted}", status(owner, session).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often something of this type is in the session's history.
async fn recorded(owner: &Actor, session: &str, kind: &str) -> usize {
    let query = "query($id: ID!) { session(id: $id) { history(first: 100) { edges { node { type } } } } }";
    let seen = owner.sees(query, json!({ "id": session })).await;
    let edges = seen["session"]["history"]["edges"].as_array().expect("a history").clone();
    edges.iter().filter(|edge| edge["node"]["type"] == kind).count()
}

#[tokio::test]
async fn a_node_that_is_killed_interrupts_its_session_once() {
    let server = Server::start(with_a_node());
    let before = there(&server).await;
    let (owner, session) = call(&server).await;
    becomes(&owner, &session, "IN_PROGRESS").await;
    kill_process(pid(&before), Signal::KILL).expect("our own node can be killed");
    until(&server, "the loss is noticed", NOTICED, |node| node["lost"] == 1).await;
    let after = there(&server).await;
    assert_ne!(pid(&after), pid(&before));
    becomes(&owner, &session, "IN_PROGRESS").await;
    until(&server, "the session is on the new node", WAIT, |node| node["sessions"] == 1).await;
    assert_eq!(recorded(&owner, &session, "SessionInterrupted").await, 1);
    assert_eq!(recorded(&owner, &session, "SessionResumed").await, 1);
}

#[tokio::test]
async fn a_node_outlives_a_server_that_is_killed_and_is_found_again() {
    let mut server = Server::start(with_a_node());
    let before = there(&server).await;
    let (owner, session) = call(&server).await;
    until(&server, "the session is on the node", WAIT, |node| node["sessions"] == 1).await;
    server.kill9();
    assert!(is_alive(pid(&before)), "the node goes on");
    server.restart();
    let after = there(&server).await;
    assert_eq!((pid(&after), after["lost"].clone()), (pid(&before), json!(0)));
    let owner = server.actor(owner.name(), server.api_key());
    until(&server, "the session is still there", WAIT, |node| node["sessions"] == 1).await;
    assert_eq!(recorded(&owner, &session, "SessionInterrupted").await, 0);
    // Ended, it is closed on the node too, and a node that carries nobody goes with its server.
    owner.does("endSession", json!({ "sessionId": session }), "session { status }").await;
    until(&server, "its media is closed", WAIT, |node| node["sessions"] == 0).await;
    assert!(server.stop().success());
    gone(pid(&before)).await;
}

#[tokio::test]
async fn a_node_whose_data_folder_is_gone_ends() {
    let server = Server::start(with_a_node());
    let node = pid(&there(&server).await);
    let data = server.data();
    drop(server);
    assert!(!Path::new(&data).exists(), "the test's folder goes with its server");
    gone(node).await;
}

#[tokio::test]
async fn a_node_that_can_t_start_is_said_and_harms_nothing_else() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("a port").port();
    let server = Server::start(with_a_node().set("media_port", port));
    let node = until(&server, "why is said", WAIT, |node| node["why"].is_string()).await;
    assert_eq!(node["there"], false);
    assert!(node["why"].as_str().is_some_and(|why| why.contains(&port.to_string())), "{node:#}");
    let owner = server.owner();
    owner.sees("{ viewer { __typename } }", json!({})).await;
}
