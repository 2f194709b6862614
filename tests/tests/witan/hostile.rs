//! What a hostile client sends is refused or cut, cheaply, and harms nobody else.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use witan_tests::server::{Options, Server};
use witan_tests::socket::Socket;

const VIEWER: &str = "{ viewer { __typename } }";
/// CPU time of the server for one refused request; Linux tells it in steps of 10 ms.
const CPU_MAX: Duration = Duration::from_millis(100);
const GUESSES: usize = 10_000;
const GUESSES_CPU_MAX: Duration = Duration::from_secs(30);
const INIT_TIMEOUT: u16 = 4408;

/// Sends the document as someone who may ask, and checks that it is refused with one of these codes, cheaply.
async fn is_refused(document: &str, codes: &[&str]) {
    let mut server = Server::start(Options::default());
    let owner = server.owner();
    owner.sees(VIEWER, json!({})).await;

    let before = server.cpu();
    let answer = owner.asks(document, json!({})).await;
    let spent = server.cpu() - before;

    let code = answer.code().unwrap_or_default();
    assert!(codes.contains(&code), "{} with {code:?}: {:#}", answer.status, answer.body);
    assert!(spent < CPU_MAX, "it cost {spent:?}");
    unharmed(&mut server).await;
}

/// The process is alive and serves others.
async fn unharmed(server: &mut Server) {
    assert!(server.is_alive(), "the server has died:\n{}", server.log());
    server.owner().sees(VIEWER, json!({})).await;
}

#[tokio::test]
async fn a_fragment_bomb_is_refused_before_it_is_expanded() {
    let levels = 22;
    let bomb = |of: &str, leaf: &str| {
        let fragments = (0..levels).map(|level| {
            let next = level + 1;
            format!("fragment F{level} on {of} {{ ...F{next} ...F{next} }} ")
        });
        fragments.collect::<String>() + &format!("fragment F{levels} on {of} {{ {leaf} }}")
    };

    is_refused(&format!("{{ ...F0 }} {}", bomb("Query", "__typename")), &["TOO_MANY_ROOT_FIELDS"]).await;
    is_refused(&format!("{{ viewer {{ ...F0 }} }} {}", bomb("Viewer", "__typename")), &["TOO_COMPLEX"]).await;
}

#[tokio::test]
async fn twenty_thousand_brackets_are_refused_before_they_are_parsed() {
    let nested = |depth: usize| format!("{{ node(id: {}{}) {{ id }} }}", "[".repeat(depth), "]".repeat(depth));

    is_refused(&nested(20_000), &["DOCUMENT_TOO_LARGE"]).await;
    is_refused(&nested(2_000), &["TOO_DEEP"]).await;
}

#[tokio::test]
async fn ten_thousand_aliases_are_refused() {
    let aliases: String = (0..10_000).map(|number| format!("a{number}: __typename ")).collect();

    is_refused(&format!("{{ {aliases} }}"), &["TOO_MANY_ALIASES", "TOO_MANY_TOKENS", "DOCUMENT_TOO_LARGE"]).await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_before_it_is_read() {
    let mut server = Server::start(Options::default());
    let mut stream = TcpStream::connect(server.address()).await.expect("the server accepts");
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 10485760\r\n\r\n{{\"query\":\"",
        server.address(),
        server.api_key(),
    );
    let before = server.cpu();
    stream.write_all(head.as_bytes()).await.expect("the server reads the head");

    let mut answer = [0; 12];
    timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");

    assert_eq!(&answer, b"HTTP/1.1 413");
    assert!(server.cpu() - before < CPU_MAX);
    unharmed(&mut server).await;
}

#[tokio::test]
async fn headers_that_come_a_byte_at_a_time_are_cut() {
    let mut server = Server::start(Options::default().set("header_timeout_seconds", 1));
    let mut stream = TcpStream::connect(server.address()).await.expect("the server accepts");
    let before = server.cpu();

    let cut = timeout(Duration::from_secs(15), async {
        for byte in b"POST /graphql HTTP/1.1\r\nhost: somewhere\r\nx-slow: ".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            let mut answer = [0; 1_024];
            // Nothing to read is what keeps us sending; a closed connection reads as an end, a refusal as bytes.
            if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(100), stream.read(&mut answer)).await {
                return;
            }
        }
    });

    cut.await.expect("the connection is cut while the header goes on");
    assert!(server.cpu() - before < CPU_MAX);
    unharmed(&mut server).await;
}

#[tokio::test]
async fn a_websocket_that_never_says_hello_is_closed() {
    let mut server = Server::start(Options::default().set("graphql_hello_timeout_seconds", 1));
    let before = server.cpu();
    let mut silent = Socket::connect(server.websocket_url()).await;

    assert_eq!(silent.close_code().await, INIT_TIMEOUT);
    assert!(server.cpu() - before < CPU_MAX);
    unharmed(&mut server).await;
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_leave_room_for_others() {
    let mut server = Server::start(Options::default().set("header_timeout_seconds", 5));
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(server.address()).await.expect("the server accepts"));
    }

    sleep(Duration::from_millis(200)).await;

    unharmed(&mut server).await;
}

/// Ten thousand guesses at a room's password, a hundred at a time. Hashing them all would take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wrong_passwords_cost_little_and_keep_nobody_out_for_long() {
    let mut server = Server::start(Options::default());
    let owner = server.owner();
    let unit = json!({ "slug": "cardiology", "fullName": "Cardiology" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "meeting", "name": "Meeting", "purpose": "MEETING" });
    let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
    let knows = json!({ "who": "PASSWORD", "password": "correct horse" });
    let policies = json!({ "roomId": room, "policies": { "set": { "join": [knows] } } });
    owner.does("setRoomPolicies", policies, "").await;
    owner.does("openSession", json!({ "roomId": room }), "").await;

    let (before, began) = (server.cpu(), Instant::now());
    let guess = |number: usize| {
        let (nobody, room) = (server.nobody(), room.clone());
        async move {
            let input = json!({ "roomId": room, "password": format!("wrong horse {number}") });
            nobody.may_not("createJoinToken", input).await
        }
    };
    let codes: Vec<String> = stream::iter((0..GUESSES).map(guess)).buffer_unordered(100).collect().await;
    let (spent, took) = (server.cpu() - before, began.elapsed());

    let refused = codes.iter().filter(|code| *code == "ENTRY_REFUSED").count();
    let cut = codes.iter().filter(|code| *code == "TOO_MANY_ATTEMPTS").count();
    assert_eq!(refused + cut, GUESSES);
    let checked_max = 10 + usize::try_from(took.as_secs()).expect("a few seconds") / 6 + 1;
    assert!(refused <= checked_max, "{refused} were checked in {took:?}");
    // What ten thousand small requests cost anyway, and ten hashes.
    assert!(spent < GUESSES_CPU_MAX, "they cost {spent:?}");
    unharmed(&mut server).await;
    let ticket = owner.does("createJoinToken", json!({ "roomId": room }), "joinToken").await;
    assert!(!ticket.text("/joinToken").is_empty(), "whoever has an account isn't locked out");
}

#[tokio::test]
async fn who_shows_a_wrong_credential_learns_nothing_of_their_document() {
    let server = Server::start(Options::default());
    let stranger = server.actor("stranger", "witan_wrong");

    for document in [VIEWER, "{ there { is { no } } }", "{{{{", ""] {
        let answer = stranger.asks(document, json!({})).await;
        assert_eq!((answer.status, answer.code()), (401, Some("UNAUTHENTICATED")), "{document}: {:#}", answer.body);
    }
}
