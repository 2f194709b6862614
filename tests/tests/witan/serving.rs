//! Starting, stopping, and being killed.

use std::time::Duration;

use serde_json::{Value, json};
use witan_tests::server::{Options, Server};

const VIEWER: &str = "{ viewer { __typename } }";

#[tokio::test]
async fn the_first_start_makes_an_organization_and_a_key_that_acts_as_its_owner() {
    let server = Server::start(Options::default());

    assert!(server.organization().starts_with("organization_"), "{}", server.organization());
    assert!(server.owner_id().starts_with("user_"), "{}", server.owner_id());
    let seen = server.owner().sees(VIEWER, json!({})).await;
    assert!(seen["viewer"].is_object(), "{seen}");
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_kill_and_a_restart() {
    let mut server = Server::start(Options::default());
    let owner = server.owner();
    let done = owner.does("createUnit", json!({ "slug": "cardiology", "fullName": "Cardiology" }), "").await;

    server.kill9();
    server.restart();

    assert!(server.opened_at() >= done.position(), "opened at {} after {}", server.opened_at(), done.position());
    assert!(!server.owner().sees(VIEWER, json!({})).await.is_null());
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused_with_a_clear_message() {
    let server = Server::start(Options::default());

    let second = server.witan(&["serve", "--listen", "127.0.0.1:0", "--ready-json"]);

    assert_eq!(second.status.code(), Some(4));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("one process at a time"), "{said}");
}

#[tokio::test]
async fn a_graceful_stop_ends_with_zero_and_leaves_a_whole_journal() {
    let mut server = Server::start(Options::default());

    assert_eq!(server.stop().code(), Some(0));

    let verified = server.witan(&["journal", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test]
async fn health_says_that_it_lives_and_is_ready() {
    let server = Server::start(Options::default());

    for path in ["/health/live", "/health/ready"] {
        let response = reqwest::get(format!("{}{path}", server.url())).await.expect("the server answers");
        assert_eq!(response.status().as_u16(), 200, "{path}");
        let said: Value = response.json().await.expect("health is JSON");
        if path == "/health/ready" {
            assert_eq!(said["media"], "none", "{said}");
            let followers = said["followers"].as_array().expect("followers are listed");
            assert!(
                followers.iter().all(|follower| follower["cursor"].as_u64() <= said["position"].as_u64()),
                "{said}"
            );
        }
    }
}

/// Introspection is for whoever develops with an API key.
#[tokio::test]
async fn introspection_is_for_users() {
    let server = Server::start(Options::default());
    let introspects = "{ __schema { queryType { name } } }";
    assert!(server.owner().sees(introspects, json!({})).await["__schema"]["queryType"]["name"].is_string());
    let code = server.nobody().asks(introspects, json!({})).await.code().map(str::to_owned);
    assert_eq!(code.as_deref(), Some("INTROSPECTION_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_wrong_value_names_the_key_and_where_it_came_from() {
    let server = Server::start(Options::default());

    let refused = server.witan(&["config", "--set", "listen=nowhere"]);

    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("listen") && said.contains("--set"), "{said}");
}

/// A pipe in the place of the vault's key holds the start up for as long as the test wants.
#[tokio::test(flavor = "multi_thread")]
async fn health_answers_while_the_server_is_still_opening() {
    let mut server = Server::start(Options::default());
    server.stop();
    let key = server.data().join("keys/vault.key");
    let bytes = std::fs::read(&key).expect("the key is there");
    std::fs::remove_file(&key).expect("the key can be taken away");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &key,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe can be made");
    let logged = server.log().len();
    let log = server.scratch().join("server.log");
    let starting = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });

    let url = format!("http://{}", listening_at(&log, logged).await);
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.expect("the server answers");
    let why = loop {
        let ready = get("/health/ready").await;
        assert_eq!(ready.status().as_u16(), 503);
        let body: Value = ready.json().await.expect("health is JSON");
        let why = body["why"][0].as_str().expect("it says why").to_owned();
        if why.contains("vault") {
            break why;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(why, "opening: the vault");
    assert_eq!(get("/health/live").await.status().as_u16(), 200);
    let client = reqwest::Client::new();
    let asked = client.post(format!("{url}/graphql")).json(&json!({ "query": VIEWER })).send().await;
    let refused = asked.expect("the server answers");
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after") && refused.headers().contains_key("x-request-id"));
    let body: Value = refused.json().await.expect("a refusal is JSON");
    assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE");

    tokio::task::spawn_blocking(move || std::fs::write(&key, bytes).expect("the server reads its key"))
        .await
        .expect("it is written");
    let server = starting.await.expect("the server starts");
    assert_eq!(get("/health/ready").await.status().as_u16(), 200, "at the same address");
    assert!(!server.owner().sees(VIEWER, json!({})).await.is_null());
}

/// The address that a starting server says in its log.
async fn listening_at(log: &std::path::Path, after: usize) -> String {
    for _ in 0..1_000 {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let said = text.get(after..).unwrap_or_default().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line["address"].as_str()?.to_owned())
        });
        if let Some(address) = said {
            return address;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server does not say where it listens:\n{}", std::fs::read_to_string(log).unwrap_or_default());
}
