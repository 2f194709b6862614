//! Subscribers that stop reading while events flow: they are let go, they hold little of the server, and everybody else
//! receives everything.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};
use witan_tests::socket::{Received, Socket};

/// What a client's kernel takes in while nobody reads.
const RECEIVE_BYTES: u32 = 64 << 10;
/// Subscriptions of the same session on the WebSocket that is not read, so that every message weighs the more.
const SUBSCRIPTIONS: usize = 20;
/// Each of 16 kB in UTF-8: together with the subscriptions far more than the kernels' buffers hold.
const MESSAGES: usize = 300;
const MEMORY_BYTES_MAX: u64 = 128 << 20;
/// CPU time of the server for all of it. Whoever reads nothing must not keep it busy.
const CPU_MAX: Duration = Duration::from_secs(10);
const CPU_IDLE_MAX: Duration = Duration::from_millis(500);
const TRY_AGAIN: u16 = 1013;
/// The stall is bounded by 10 s, and the connections are looked at every few seconds.
const LET_GO_WITHIN: Duration = Duration::from_secs(30);

const EVENTS: &str = "subscription($id: ID!) { sessionEvents(sessionId: $id) { position type data } }";

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_that_never_read_are_let_go_and_harm_nobody() {
    let mut server = Server::start(Options::default());
    let (session, host) = live_session(&server).await;
    let mut reader = host.socket().await;
    reader.subscribe("all", EVENTS, json!({ "id": session })).await;
    let mut stuck = stuck_websocket(&server, &host, &session).await;
    let mut stuck_stream = stuck_event_stream(&server, &host, &session).await;
    // All are subscribed once the first event has reached them, which the reader shows.
    sleep(Duration::from_millis(500)).await;
    let (memory, cpu) = (server.memory_bytes(), server.cpu());

    let (author, id) = (host.clone(), session.clone());
    let writing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let text = format!("{number:04}{}", "\u{1f600}".repeat(3_990));
            author.does("sendMessage", json!({ "sessionId": id, "text": text }), "").await;
        }
    });
    for number in 0..MESSAGES {
        let item = reader.next("all").await;
        let text = item["sessionEvents"]["data"]["text"]["value"].as_str().expect("a message has a text");
        assert_eq!(text.get(..4), Some(format!("{number:04}").as_str()), "in order, without a gap");
    }
    writing.await.expect("all are sent");
    let grown = server.memory_bytes().saturating_sub(memory);
    println!("it grew by {grown} bytes");
    assert!(grown < MEMORY_BYTES_MAX, "it grew by {grown} bytes");

    let before = (server.cpu(), Instant::now());
    until_figure(&server, "witan_graphql_let_go_total", 2.0).await;
    let (spent, waited) = (server.cpu() - before.0, before.1.elapsed());
    // The scrapes themselves cost something.
    assert!(spent < CPU_IDLE_MAX + waited / 10, "waiting for who doesn't read cost {spent:?} in {waited:?}");
    let code = timeout(LET_GO_WITHIN, close_code(&mut stuck)).await.expect("the connection ends");
    assert_eq!(code, Some(TRY_AGAIN), "the farewell comes after what was on its way");
    until_figure(&server, "witan_connections_cut_total{name=\"stalled\"}", 1.0).await;
    let rest = timeout(LET_GO_WITHIN, drain(&mut stuck_stream)).await.expect("the connection ends");
    // What is left is what the two kernels hold, megabytes at most.
    assert!(rest < MESSAGES * SUBSCRIPTIONS * 16_000 / 4, "{rest} bytes were kept for who didn't read");

    let total = server.cpu() - cpu;
    assert!(total < CPU_MAX, "all of it cost {total:?}");
    assert!(server.is_alive());
    host.does("sendMessage", json!({ "sessionId": session, "text": "still here" }), "").await;
    assert_eq!(reader.next("all").await["sessionEvents"]["data"]["text"]["value"], "still here");
    until_figure(&server, "witan_graphql_subscriptions", 1.0).await;
}

/// A session, and a host who is in it.
async fn live_session(server: &Server) -> (String, Actor) {
    let owner = server.owner();
    let unit = json!({ "slug": "readers", "fullName": "Readers" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "room", "name": "A room", "purpose": "MEETING" });
    let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
    let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
    let ticket = owner.does("createJoinToken", json!({ "sessionId": session }), "joinToken").await.text("/joinToken");
    let input = json!({ "joinToken": ticket, "displayName": "Anna" });
    let entered = server.nobody().does("knock", input, "resumeSecret").await;
    let host = server.actor("host", &entered.text("/resumeSecret"));
    host.does("joinSession", json!({ "sessionId": session }), "").await;
    (session, host)
}

async fn connect(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_recv_buffer_size(RECEIVE_BYTES).expect("the kernel takes the size");
    socket.connect(server.address().parse().expect("an address")).await.expect("the server accepts")
}

async fn stuck_websocket(server: &Server, host: &Actor, session: &str) -> Socket {
    let mut socket = Socket::connect_over(connect(server).await, server.websocket_url()).await;
    socket.say_hello(host.client().credential()).await;
    for number in 0..SUBSCRIPTIONS {
        socket.subscribe(&number.to_string(), EVENTS, json!({ "id": session })).await;
    }
    socket
}

async fn stuck_event_stream(server: &Server, host: &Actor, session: &str) -> TcpStream {
    let mut stream = connect(server).await;
    // Aliases make each of its items weigh as much as the other's together.
    let again: String = (0..SUBSCRIPTIONS).map(|number| format!(" d{number}: data")).collect();
    let document = EVENTS.replace(" data ", &format!("{again} "));
    let body = json!({ "query": document, "variables": { "id": session } }).to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         accept: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        server.address(),
        host.client().credential().expect("the host has a secret"),
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.expect("the server answers");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stream
}

/// Reads what is left, up to the close frame.
async fn close_code(socket: &mut Socket) -> Option<u16> {
    let mut told = 0;
    loop {
        match socket.receive().await {
            Received::Message(message) if message["type"] == "error" => {
                let extensions = &message["payload"][0]["extensions"];
                assert_eq!(extensions["code"], "TOO_SLOW");
                assert!(extensions["resumeAfter"].is_string(), "{message}");
                told += 1;
            }
            Received::Message(_) => {}
            Received::Closed(code, _) => {
                assert_eq!(told, SUBSCRIPTIONS, "each subscription is told");
                return Some(code);
            }
            Received::Lost => return None,
        }
    }
}

async fn drain(stream: &mut TcpStream) -> usize {
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return bytes,
            Ok(read) => bytes += read,
        }
    }
}

async fn until_figure(server: &Server, sample: &str, wanted: f64) {
    let until = Instant::now() + LET_GO_WITHIN;
    loop {
        let text = reqwest::get(format!("{}/metrics", server.url())).await.expect("the server answers");
        let text = text.text().await.expect("it is text");
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse::<f64>().ok());
        if line == Some(wanted) {
            return;
        }
        assert!(Instant::now() < until, "{sample} is {line:?}, not {wanted}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// What a client that reads gets over server-sent events, with a real HTTP client.
#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_show_a_session_as_it_goes() {
    let mut server = Server::start(Options::default());
    let (session, host) = live_session(&server).await;
    let subscribe = async |credential: Option<&str>, after: &str| {
        let document = "subscription($id: ID!, $after: Position) { sessionEvents(sessionId: $id, after: $after) \
            { position type } }";
        let body = json!({ "query": document, "variables": { "id": session, "after": after } });
        let request = reqwest::Client::new().post(server.graphql_url()).header("accept", "text/event-stream");
        let request = credential.iter().fold(request.json(&body), |request, secret| request.bearer_auth(secret));
        request.send().await.expect("the server answers")
    };
    assert_eq!(subscribe(Some("resume_wrong"), "0").await.status().as_u16(), 401);
    let mut response = subscribe(host.client().credential(), "0").await;
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut text = String::new();
    let first = next_event(&mut response, &mut text).await.expect("there is an event");
    assert_eq!(first["data"]["sessionEvents"]["type"], "SessionPrepared");
    let mut last = first;
    let done = host.does("sendMessage", json!({ "sessionId": session, "text": "Hello" }), "").await;
    while last["data"]["sessionEvents"]["position"] != json!(done.position().to_string()) {
        last = next_event(&mut response, &mut text).await.expect("it goes on");
    }
    assert_eq!(last["data"]["sessionEvents"]["type"], "MessageSent");

    // From where it was: without gap or duplicate.
    let after = (done.position() - 1).to_string();
    let mut resumed = subscribe(host.client().credential(), &after).await;
    let again = next_event(&mut resumed, &mut String::new()).await.expect("there is an event");
    assert_eq!(again, last);
    drop(resumed);
    until_figure(&server, "witan_graphql_subscriptions", 1.0).await;

    let stranger = subscribe(Some(server.api_key()), "0").await;
    assert_eq!(stranger.status().as_u16(), 200, "the owner may read its history");
    drop(stranger);
    assert_eq!(server.stop().code(), Some(0), "an open stream does not hold a stop up");
    let told = loop {
        let event = next_event(&mut response, &mut text).await.expect("it is told");
        if event.get("errors").is_some() {
            break event;
        }
    };
    assert_eq!(told["errors"][0]["extensions"]["code"], "SHUTTING_DOWN");
    let resume = told["errors"][0]["extensions"]["resumeAfter"].as_str().expect("it is told where to resume");
    assert!(resume.parse::<u64>().expect("a position") >= done.position());
    assert_eq!(next_event(&mut response, &mut text).await, None, "then it is complete");
}

/// The next result; `None` when the operation is complete.
async fn next_event(response: &mut reqwest::Response, text: &mut String) -> Option<Value> {
    loop {
        if let Some((event, rest)) = text.split_once("\n\n") {
            let (event, rest) = (event.to_owned(), rest.to_owned());
            *text = rest;
            if let Some(data) = event.strip_prefix("event: next\ndata: ") {
                return Some(serde_json::from_str(data).expect("the data is JSON"));
            }
            if event.starts_with("event: complete") {
                return None;
            }
            assert!(event.starts_with(':'), "{event}");
            continue;
        }
        let chunk = timeout(Duration::from_secs(20), response.chunk()).await.expect("something comes in time");
        let chunk = chunk.expect("the connection holds").expect("it ends with complete");
        text.push_str(std::str::from_utf8(&chunk).expect("the server sends UTF-8"));
    }
}
