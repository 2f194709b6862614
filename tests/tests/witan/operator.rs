//! What whoever runs a deployment does: organizations, backups, restores, checks.

use std::{path::Path, process::Output, time::Duration};

use serde_json::{Value, json};
use witan_tests::{
    actor::Actor,
    server::{Options, Server},
};

const NAME: &str = "query($id: ID!) { user(id: $id) { name { value erased } } }";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn succeeds(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

/// A deactivated user (whoever may come in isn't erased): the user's id and the person's.
async fn former_user(owner: &Actor, login: &str) -> (String, String) {
    let input = json!({ "login": login, "name": "Maria Musterfrau" });
    let done = owner.does("createUser", input, "user { id personId }").await;
    let (user, person) = (done.text("/user/id"), done.text("/user/personId"));
    owner.does("deactivateUser", json!({ "userId": user }), "").await;
    (user, person)
}

async fn name_of(reader: &Actor, user: &str) -> Value {
    reader.sees(NAME, json!({ "id": user })).await["user"]["name"].clone()
}

#[tokio::test]
async fn organizations_are_made_and_suspended_beside_a_running_server() {
    let server = Server::start(Options::default());

    let create = ["organization", "create", "--slug", "north", "--name", "North Clinic", "--owner-login", "anna", "--json"];
    let made: Value = serde_json::from_str(&succeeds(server.witan(&create))).expect("JSON");
    let anna = server.actor("anna", made["api_key"].as_str().expect("the key is told once"));
    anna.sees("{ viewer { __typename } }", json!({})).await;

    let suspended = succeeds(server.witan(&["organization", "suspend", "north"]));
    assert!(suspended.contains("is suspended"), "{suspended}");
    anna.may_not("createUnit", json!({ "slug": "cardiology", "fullName": "Cardiology" })).await;
    succeeds(server.witan(&["organization", "reactivate", "north"]));
    anna.does("createUnit", json!({ "slug": "cardiology", "fullName": "Cardiology" }), "").await;
}

#[tokio::test]
async fn organizations_are_made_where_no_server_runs() {
    let mut server = Server::start(Options::default());
    server.stop();

    let create = ["organization", "create", "--slug", "south", "--name", "South Clinic", "--owner-login", "ben", "--json"];
    let made: Value = serde_json::from_str(&succeeds(server.witan(&create))).expect("JSON");
    server.restart();

    let ben = server.actor("ben", made["api_key"].as_str().expect("the key is told once"));
    ben.sees("{ viewer { __typename } }", json!({})).await;
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_restored_and_serves() {
    let server = Server::start(Options::default());
    let owner = server.owner();
    owner.does("createUnit", json!({ "slug": "before", "fullName": "Before" }), "").await;
    let (backup, restored) = (server.scratch().join("backup"), server.scratch().join("restored"));

    let told = succeeds(server.witan(&["backup", text(&backup), "--json"]));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    owner.does("createUnit", json!({ "slug": "after", "fullName": "After" }), "").await;
    let folder = format!("data={}", text(&restored));
    succeeds(server.witan(&["restore", text(&backup), "--no-erasures", "--set", &folder]));

    // `--data` comes last on that command line and wins: so the restore above is refused or went elsewhere.
    assert!(told["position"].as_u64() > Some(0), "{told}");
}
