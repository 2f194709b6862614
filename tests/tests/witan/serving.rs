//! Starting, stopping, and being killed.

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
        let _: Value = response.json().await.expect("health is JSON");
    }
}

#[tokio::test]
async fn a_wrong_value_names_the_key_and_where_it_came_from() {
    let server = Server::start(Options::default());

    let refused = server.witan(&["config", "--set", "listen=nowhere"]);

    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("listen") && said.contains("--set"), "{said}");
}
