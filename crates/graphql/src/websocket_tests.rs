//! `graphql-transport-ws` against a real socket, each close code as one sentence.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{testing::House, websocket::close};

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A house that listens.
struct Served {
    house: House,
    address: SocketAddr,
}

impl Served {
    async fn new(house: House) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = house.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { house, address }
    }

    async fn connects_with(&self, protocol: Option<&str>, authorization: Option<&str>) -> Client {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(authorization) = authorization {
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        // A small buffer, so that a client that doesn't read is noticed soon.
        let config = WebSocketConfig::default().read_buffer_size(1_024);
        Client(client_async_with_config(request, stream, Some(config)).await.unwrap().0)
    }

    async fn connects(&self) -> Client {
        self.connects_with(Some("graphql-transport-ws"), None).await
    }

    async fn greets(&self, who: &str) -> Client {
        let mut client = self.connects().await;
        client.says(json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {who}")}})).await;
        assert_eq!(client.hears().await, json!({"type": "connection_ack"}));
        client
    }

    fn present(&self, who: &str) -> i64 {
        self.house.door.present.lock().unwrap().get(who).copied().unwrap_or_default()
    }
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn sends(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn says(&mut self, message: Value) {
        self.sends(Message::text(message.to_string())).await;
    }

    async fn subscribes(&mut self, id: &str, query: &str) {
        self.says(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    async fn receives(&mut self) -> Message {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("nothing came") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return message,
                other => panic!("the connection broke: {other:?}"),
            }
        }
    }

    async fn hears(&mut self) -> Value {
        let message = self.receives().await;
        serde_json::from_str(message.to_text().unwrap()).unwrap_or_else(|_| panic!("not JSON: {message:?}"))
    }

    /// The code and reason with which the server closes, whatever comes before.
    async fn is_closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.receives().await {
                let frame = frame.expect("a close frame has a code");
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

async fn soon(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what} should have come");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn queries_and_mutations_go_over_the_socket_too() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "{hello}").await;
    assert_eq!(client.hears().await, json!({"id": "1", "type": "next", "payload": {"data": {"hello": "hello"}}}));
    assert_eq!(client.hears().await, json!({"id": "1", "type": "complete"}));
    let payload = json!({"query": "query A{hello} mutation B{bump}", "operationName": "B", "variables": null});
    client.says(json!({"id": "1", "type": "subscribe", "payload": payload})).await;
    assert_eq!(client.hears().await["payload"], json!({"data": {"bump": 1}}), "the id is free again");
}

#[tokio::test]
async fn a_mutation_goes_to_its_end_when_its_caller_goes_away() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "mutation{bumpTwice}").await;
    soon("the first step", || served.house.counter.load(Ordering::SeqCst) == 1).await;
    client.says(json!({"id": "1", "type": "complete"})).await;
    soon("the second step", || served.house.counter.load(Ordering::SeqCst) == 2).await;
    client.subscribes("2", "mutation{bumpTwice}").await;
    soon("the first step", || served.house.counter.load(Ordering::SeqCst) == 3).await;
    drop(client);
    soon("the second step", || served.house.counter.load(Ordering::SeqCst) == 4).await;
}

#[tokio::test]
async fn a_subscriber_who_was_told_nothing_yet_learns_where_it_began() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "subscription{silent}").await;
    client.subscribes("2", "{hello}").await;
    assert_eq!(client.hears().await["id"], "2");
    assert_eq!(client.hears().await["type"], "complete");
    served.house.shutdown.send(true).unwrap();
    assert_eq!(client.hears().await["payload"][0]["extensions"]["resumeAfter"], "7");
    assert_eq!(client.is_closed().await, (close::GOING_AWAY, "SHUTTING_DOWN: resume after 7".to_owned()));
}

#[tokio::test]
async fn a_subscription_runs_until_its_end_or_until_it_is_completed() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("a", "subscription{ticks(until: 3){position}}").await;
    for position in 1..=3 {
        let expected = json!({"data": {"ticks": {"position": position}}});
        assert_eq!(client.hears().await, json!({"id": "a", "type": "next", "payload": expected}));
    }
    assert_eq!(client.hears().await, json!({"id": "a", "type": "complete"}));

    client.subscribes("b", "subscription{idle}").await;
    client.subscribes("c", "subscription{ticks{position}}").await;
    client.hears().await;
    client.says(json!({"id": "c", "type": "complete"})).await;
    client.says(json!({"id": "unknown", "type": "complete"})).await;
    soon("the end of the stream", || served.house.counter.load(Ordering::SeqCst) == 0).await;
    client.says(json!({"type": "ping"})).await;
    while client.hears().await != json!({"type": "pong"}) {}
    assert_eq!(served.house.options.figures.subscriptions.load(Ordering::SeqCst), 1, "b goes on");
}

#[tokio::test]
async fn an_operation_that_is_refused_is_an_error_and_the_connection_goes_on() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("guest").await;
    for (query, code) in [
        ("{", "PARSE_FAILED"),
        ("{nothing}", "VALIDATION_FAILED"),
        ("subscription{unknown}", "SESSION_NOT_FOUND"),
        ("subscription{panicking}", "INTERNAL"),
        ("{panics}", "INTERNAL"),
        ("mutation{panics}", "INTERNAL"),
        ("{__schema{types{name}}}", "INTROSPECTION_NOT_ALLOWED"),
        (&format!("{{{}}}", "a:b ".repeat(101)), "TOO_MANY_ALIASES"),
    ] {
        client.subscribes("1", query).await;
        let answer = client.hears().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!("1")), "{query}");
        assert_eq!(answer["payload"][0]["extensions"]["code"], code, "{query}");
        assert!(answer["payload"][0]["extensions"]["requestId"].is_string(), "{query}");
    }
    client.subscribes("1", "{hello refused}").await;
    assert_eq!(client.hears().await["payload"]["errors"][0]["extensions"]["code"], "SESSION_NOT_LIVE");
    assert_eq!(client.hears().await["type"], "complete");
}

#[tokio::test]
async fn another_subprotocol_is_closed_with_4406() {
    let served = Served::new(House::new()).await;
    let mut client = served.connects_with(None, None).await;
    assert_eq!(client.is_closed().await, (close::BAD_SUBPROTOCOL, "Subprotocol not acceptable".into()));
}

#[tokio::test]
async fn a_socket_that_never_says_hello_is_closed_with_4408() {
    let served = Served::new(House::new()).await;
    let mut client = served.connects().await;
    client.says(json!({"type": "ping"})).await;
    assert_eq!(client.hears().await, json!({"type": "pong"}));
    assert_eq!(client.is_closed().await, (close::INIT_TIMEOUT, "Connection initialisation timeout".into()));
    assert_eq!(served.house.door.asked.load(Ordering::SeqCst), 0);
    soon("the end of the connection", || served.house.options.figures.connections() == 0).await;
}

#[tokio::test]
async fn a_second_hello_is_closed_with_4429() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.says(json!({"type": "connection_init"})).await;
    assert_eq!(client.is_closed().await, (close::TOO_MANY_INITS, "Too many initialisation requests".into()));
}

#[tokio::test]
async fn a_caller_who_is_not_known_is_closed_with_4401() {
    let served = Served::new(House::new()).await;
    for first in [
        json!({"type": "connection_init"}),
        json!({"type": "connection_init", "payload": {"authorization": "Bearer nobody"}}),
        json!({"type": "connection_init", "payload": {"authorization": "owner"}}),
        json!({"type": "connection_init", "payload": {"authorization": 7}}),
        json!({"id": "1", "type": "subscribe", "payload": {"query": "{hello}"}}),
    ] {
        let mut client = served.connects().await;
        client.says(first.clone()).await;
        assert_eq!(client.is_closed().await, (close::UNAUTHORIZED, "Unauthorized".into()), "{first}");
    }
}

#[tokio::test]
async fn the_credential_may_come_with_the_upgrade() {
    let served = Served::new(House::new()).await;
    let mut client = served.connects_with(Some("graphql-transport-ws"), Some("Bearer guest")).await;
    client.says(json!({"type": "connection_init", "payload": null})).await;
    assert_eq!(client.hears().await["type"], "connection_ack");
    client.subscribes("1", "{who}").await;
    assert_eq!(client.hears().await["payload"]["data"]["who"], "guest");
}

#[tokio::test]
async fn a_caller_who_is_not_allowed_is_closed_with_4403() {
    let served = Served::new(House::new()).await;
    let mut client = served.connects().await;
    client.says(json!({"type": "connection_init", "payload": {"authorization": "Bearer stranger"}})).await;
    assert_eq!(client.is_closed().await, (close::FORBIDDEN, "Forbidden: not in this organization".into()));
}

#[tokio::test]
async fn a_fault_of_ours_is_closed_with_4500_and_says_nothing() {
    let served = Served::new(House::new()).await;
    let mut client = served.connects().await;
    client.says(json!({"type": "connection_init", "payload": {"authorization": "Bearer broken"}})).await;
    assert_eq!(client.is_closed().await, (close::INTERNAL, "Internal server error".into()));
}

#[tokio::test]
async fn a_second_subscriber_of_an_id_is_closed_with_4409() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("x", "subscription{idle}").await;
    client.subscribes("x", "subscription{idle}").await;
    assert_eq!(client.is_closed().await, (close::SUBSCRIBER_EXISTS, "Subscriber for x already exists".into()));
}

#[tokio::test]
async fn an_invalid_message_is_closed_with_4400() {
    let served = Served::new(House::new()).await;
    for message in [
        Message::text("nonsense"),
        Message::text("[]"),
        Message::text("{}"),
        Message::text(r#"{"type":"next","id":"1"}"#),
        Message::text(r#"{"type":"subscribe","payload":{"query":"{hello}"}}"#),
        Message::text(r#"{"type":"subscribe","id":"","payload":{"query":"{hello}"}}"#),
        Message::text(r#"{"type":"subscribe","id":"1"}"#),
        Message::text(r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#),
        Message::text(r#"{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}"#),
        Message::text(r#"{"type":"complete"}"#),
        Message::text("[".repeat(100_000)),
        Message::text(format!(r#"{{"type":"{}"}}"#, "é".repeat(400))),
        Message::binary(b"{\"type\":\"ping\"}".to_vec()),
    ] {
        let mut client = served.greets("owner").await;
        client.sends(message.clone()).await;
        let (code, reason) = client.is_closed().await;
        assert_eq!(code, close::INVALID_MESSAGE, "{message:?}: {reason}");
        assert!(!reason.is_empty() && reason.len() <= 123);
    }
    let mut client = served.connects().await;
    client.sends(Message::text("nonsense")).await;
    assert_eq!(client.is_closed().await.0, close::INVALID_MESSAGE, "before the hello as well");
}

#[tokio::test]
async fn a_message_that_is_too_big_is_closed_with_1009() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.says(json!({"type": "ping", "payload": {"a": "x".repeat(300_000)}})).await;
    assert_eq!(client.is_closed().await.0, close::TOO_BIG);
}

#[tokio::test]
async fn more_subscriptions_than_allowed_are_refused_one_by_one() {
    let mut house = House::new();
    house.options.limits.subscriptions_per_connection_max = 2;
    let served = Served::new(house).await;
    let mut client = served.greets("owner").await;
    for id in ["1", "2", "3"] {
        client.subscribes(id, "subscription{idle}").await;
    }
    let answer = client.hears().await;
    assert_eq!(
        (&answer["id"], &answer["payload"][0]["extensions"]["code"]),
        (&json!("3"), &json!("TOO_MANY_SUBSCRIPTIONS"))
    );
}

#[tokio::test]
async fn more_connections_than_a_credential_may_have_are_closed_with_1013() {
    let mut house = House::new();
    house.options.limits.connections_per_credential_max = 1;
    let served = Served::new(house).await;
    let first = served.greets("owner").await;
    let mut second = served.connects().await;
    second.says(json!({"type": "connection_init", "payload": {"authorization": "Bearer owner"}})).await;
    assert_eq!(second.is_closed().await, (close::TRY_AGAIN, "at most 1 connections per credential".into()));
    let _other = served.greets("guest").await;
    drop(first);
    soon("the end of the first", || served.present("owner") == 0).await;
    served.greets("owner").await;
}

#[tokio::test]
async fn a_participant_has_a_share_of_their_own() {
    let mut house = House::new();
    house.options.limits.connections_per_participant_max = 1;
    let served = Served::new(house).await;
    let _first = served.greets("guest").await;
    let mut second = served.connects().await;
    second.says(json!({"type": "connection_init", "payload": {"authorization": "Bearer guest"}})).await;
    assert_eq!(second.is_closed().await, (close::TRY_AGAIN, "at most 1 connections per credential".into()));
    let _keys = [served.greets("owner").await, served.greets("owner").await];
}

#[tokio::test]
async fn a_house_that_is_full_answers_503() {
    let mut house = House::new();
    house.options.limits.connections_max = 1;
    let served = Served::new(house).await;
    let _first = served.greets("owner").await;
    let mut request = format!("ws://{}/graphql", served.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let stream = TcpStream::connect(served.address).await.unwrap();
    let error = client_async_with_config(request, stream, None).await.expect_err("there is no room");
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test]
async fn presence_is_told_once_for_each_connection() {
    let served = Served::new(House::new()).await;
    let (one, mut two) = (served.greets("owner").await, served.greets("owner").await);
    assert_eq!(served.present("owner"), 2);
    drop(one);
    soon("the first to be gone", || served.present("owner") == 1).await;
    two.sends(Message::Close(None)).await;
    soon("the second to be gone", || served.present("owner") == 0).await;
    soon("no connection", || served.house.options.figures.connections() == 0).await;
    timeout(PATIENCE, served.house.options.figures.all_closed()).await.unwrap();
}

#[tokio::test]
async fn access_that_is_taken_away_closes_with_4403() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "subscription{idle}").await;
    sleep(Duration::from_millis(120)).await;
    served.house.door.shut.store(true, Ordering::SeqCst);
    assert_eq!(client.is_closed().await, (close::FORBIDDEN, "Forbidden".into()));
}

#[tokio::test]
async fn a_subscription_that_is_no_longer_allowed_ends_alone() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "subscription{guarded}").await;
    client.subscribes("2", "subscription{idle}").await;
    sleep(Duration::from_millis(120)).await;
    served.house.grant.store(false, Ordering::SeqCst);
    let answer = client.hears().await;
    assert_eq!((&answer["id"], &answer["payload"][0]["extensions"]["code"]), (&json!("1"), &json!("FORBIDDEN")));
    client.subscribes("1", "{hello}").await;
    assert_eq!(client.hears().await["type"], "next");
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_a_dead_one_dropped() {
    let mut house = House::new();
    house.options.limits.ping_after = Duration::from_millis(60);
    house.options.limits.silence_time_max = Duration::from_millis(400);
    let served = Served::new(house).await;
    let mut client = served.greets("owner").await;
    // Reading answers the pings: a client that reads lives on.
    let alive = timeout(Duration::from_millis(900), client.receives()).await;
    assert!(alive.is_err() && served.present("owner") == 1);
    // One that doesn't is dead.
    soon("the dead client to be gone", || served.present("owner") == 0).await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_told_where_to_resume_and_let_go() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    let mut other = served.greets("guest").await;
    client.subscribes("1", "subscription{ticks(bytes: 100000){position filler}}").await;
    let figures = served.house.options.figures.clone();
    soon("the stall", || figures.let_go.load(Ordering::SeqCst) == 1).await;
    // The stream is gone although the client hasn't read a byte, and others aren't harmed.
    assert_eq!(served.house.counter.load(Ordering::SeqCst), 0);
    other.subscribes("1", "{hello}").await;
    assert_eq!(other.hears().await["type"], "next");

    let mut last = 0;
    let (code, reason) = loop {
        match client.receives().await {
            Message::Close(frame) => {
                let frame = frame.unwrap();
                break (u16::from(frame.code), frame.reason.to_string());
            }
            message => {
                let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                if message["type"] == "next" {
                    let position = message["payload"]["data"]["ticks"]["position"].as_u64().unwrap();
                    assert_eq!(position, last + 1, "no gap and no duplicate");
                    last = position;
                } else {
                    assert_eq!(message["type"], "error");
                    let extensions = &message["payload"][0]["extensions"];
                    assert_eq!(extensions["code"], "TOO_SLOW");
                    assert_eq!(extensions["resumeAfter"], last.to_string());
                }
            }
        }
    };
    assert_eq!((code, reason), (close::TRY_AGAIN, format!("TOO_SLOW: resume after {last}")));
    soon("the end of the connection", || served.present("owner") == 0).await;
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_dropped_after_the_farewell() {
    let mut house = House::new();
    house.options.limits.farewell_time_max = Duration::from_millis(100);
    let served = Served::new(house).await;
    let mut client = served.greets("owner").await;
    client.subscribes("1", "subscription{ticks(bytes: 100000){position filler}}").await;
    soon("the start", || served.house.counter.load(Ordering::SeqCst) == 1).await;
    soon("the end of the connection", || served.present("owner") == 0).await;
    assert_eq!(served.house.counter.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_shutdown_tells_each_subscription_where_to_resume_and_closes_with_1001() {
    let served = Served::new(House::new()).await;
    let mut client = served.greets("owner").await;
    let mut second = served.greets("guest").await;
    client.subscribes("1", "subscription{idle}").await;
    second.subscribes("1", "subscription{ticks(after: 41, until: 42){position}}").await;
    second.subscribes("2", "subscription{guarded}").await;
    assert_eq!(second.hears().await["payload"]["data"]["ticks"]["position"], 42);
    assert_eq!(second.hears().await["type"], "complete");
    let figures = served.house.options.figures.clone();
    soon("both", || figures.subscriptions.load(Ordering::SeqCst) == 2).await;
    served.house.shutdown.send(true).unwrap();
    for (client, id) in [(&mut client, "1"), (&mut second, "2")] {
        let told = client.hears().await;
        assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!(id)));
        assert_eq!(told["payload"][0]["extensions"]["code"], "SHUTTING_DOWN");
        assert_eq!(client.is_closed().await.0, close::GOING_AWAY);
    }
    drop((client, second));
    timeout(PATIENCE, figures.all_closed()).await.unwrap();
}
