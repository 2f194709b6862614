//! What whoever runs a deployment does: organizations, backups, restores, checks.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;
use witan_tests::{
    actor::Actor,
    server::{Options, Server, binary},
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

    let create =
        ["organization", "create", "--slug", "north", "--name", "North Clinic", "--owner-login", "anna", "--json"];
    let made: Value = serde_json::from_str(&succeeds(server.witan(&create))).expect("JSON");
    let anna = server.actor("anna", made["api_key"].as_str().expect("the key is told once"));
    let unit = json!({ "slug": "cardiology", "fullName": "Cardiology" });
    let unit = anna.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "ward", "name": "Ward", "purpose": "MEETING" });
    let room = anna.does("createRoom", room, "room { id }").await.text("/room/id");

    let suspended = succeeds(server.witan(&["organization", "suspend", "north"]));
    assert!(suspended.contains("is suspended"), "{suspended}");
    anna.may_not("openSession", json!({ "roomId": room })).await;
    succeeds(server.witan(&["organization", "reactivate", "north"]));
    anna.does("openSession", json!({ "roomId": room }), "").await;
}

#[tokio::test]
async fn organizations_are_made_where_no_server_runs() {
    let mut server = Server::start(Options::default());
    server.stop();

    let create =
        ["organization", "create", "--slug", "south", "--name", "South Clinic", "--owner-login", "ben", "--json"];
    let made: Value = serde_json::from_str(&succeeds(server.witan(&create))).expect("JSON");
    server.restart();

    let ben = server.actor("ben", made["api_key"].as_str().expect("the key is told once"));
    ben.sees("{ viewer { __typename } }", json!({})).await;
}

/// `witan restore` into a folder that is not the server's.
fn restore(backup: &Path, data: &Path, erasures: &[&str]) -> Output {
    let mut command = Command::new(binary("witan"));
    command.args(["restore", text(backup), "--data", text(data)]).args(erasures);
    command.output().expect("the binary can be started")
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_restored_and_serves() {
    let server = Server::start(Options::default());
    let owner = server.owner();
    let unit = json!({ "slug": "before", "fullName": "Before" });
    owner.does("createUnit", unit.clone(), "").await;
    let (backup, data) = (server.scratch().join("backup"), server.scratch().join("restored"));

    let told: Value =
        serde_json::from_str(&succeeds(server.witan(&["backup", text(&backup), "--json"]))).expect("JSON");
    let after = json!({ "slug": "after", "fullName": "After" });
    owner.does("createUnit", after.clone(), "").await;
    succeeds(restore(&backup, &data, &["--no-erasures"]));
    let restored = Server::start(Options::default().data(&data));

    assert_eq!(told["position"].as_u64(), Some(restored.opened_at()));
    let owner = restored.actor("owner", server.api_key());
    owner.may_not("createUnit", unit).await;
    owner.does("createUnit", after, "").await;
    succeeds(restored.witan(&["replay"]));
    succeeds(restored.witan(&["journal", "verify"]));
    assert_ne!(log_name(&server).await, log_name(&restored).await, "the restored log goes under a name of its own");
}

/// The first line of the newest checkpoint, which is signed within a second.
async fn log_name(server: &Server) -> String {
    for _ in 0..50 {
        let checkpoint = server.witan(&["checkpoint"]);
        if checkpoint.status.success() {
            return said(&checkpoint).lines().next().unwrap_or_default().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there is no checkpoint after five seconds");
}

#[tokio::test]
async fn who_was_erased_after_the_backup_is_erased_in_what_is_restored() {
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let (backups, data) = (scratch.path().join("backups"), scratch.path().join("restored"));
    let server = Server::start(Options::default().set("backups", text(&backups)));
    let owner = server.owner();
    owner.does("grantRole", json!({ "userId": server.owner_id(), "role": "PRIVACY_OFFICER" }), "").await;
    let (user, person) = former_user(&owner, "maria").await;
    let backup = backups.join("monday");
    succeeds(server.witan(&["backup", text(&backup)]));
    owner.does("erasePerson", json!({ "personId": person, "ground": "REQUEST" }), "").await;
    let erased = json!({ "value": null, "erased": true });
    assert_eq!(name_of(&owner, &user).await, erased);

    let list = backups.join("erasures.jsonl");
    let listed = || std::fs::read_to_string(&list).is_ok_and(|list| list.contains(&person));
    for _ in 0..200 {
        if listed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(listed(), "the list beside the backups knows of it");
    let silent = restore(&backup, &data, &[]);
    assert_eq!(silent.status.code(), Some(2), "without a list, or the word that there is none: {}", said(&silent));
    succeeds(restore(&backup, &data, &["--erasures", text(&backups)]));

    let restored = Server::start(Options::default().data(&data));
    assert_eq!(name_of(&restored.actor("owner", server.api_key()), &user).await, erased);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_nothing_that_serves() {
    let server = Server::start(Options::default());
    let (backup, data) = (server.scratch().join("backup"), server.scratch().join("restored"));
    succeeds(server.witan(&["backup", text(&backup)]));
    let vault = backup.join("vault/vault.sqlite");
    let mut bytes = std::fs::read(&vault).expect("the backup has a vault");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&vault, bytes).expect("the test may damage it");

    let refused = restore(&backup, &data, &["--no-erasures"]);

    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("vault.sqlite is not what was backed up"), "{}", said(&refused));
    assert!(!data.join("VERSION").exists());
}

#[tokio::test]
async fn a_damaged_journal_is_told_and_not_served() {
    let mut server = Server::start(Options::default());
    server.stop();
    let segment = std::fs::read_dir(server.data().join("journal")).expect("there is a journal");
    let segment =
        segment.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "log"));
    let segment = segment.expect("a journal has a segment");
    let mut bytes = std::fs::read(&segment).expect("it can be read");
    bytes[900] ^= 1;
    std::fs::write(&segment, bytes).expect("the test may damage it");

    let verified = server.witan(&["journal", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert!(told["whole"] == json!(false) && told["damage"]["offset"].as_u64() > Some(0), "{told}");
    let refused = server.try_restart().expect_err("nothing is served from it");
    assert!(refused.contains("the journal is damaged, so nothing is served"), "{refused}");
}

#[tokio::test]
async fn a_stop_tells_subscribers_and_ends_soon() {
    let mut server = Server::start(Options::default());
    let owner = server.owner();
    let mut socket = owner.socket().await;
    socket.subscribe("activity", "subscription { organizationActivity { __typename } }", json!({})).await;
    owner.does("createUnit", json!({ "slug": "cardiology", "fullName": "Cardiology" }), "").await;
    socket.next("activity").await;

    let asked = Instant::now();
    server.signal(rustix::process::Signal::TERM);

    assert_eq!(socket.close_code().await, 1001, "going away (RFC 6455, section 7.4.1)");
    drop(socket);
    assert_eq!(server.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert!(!server.data().join("admin.sock").exists());
}
