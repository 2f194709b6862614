//! SIGKILL at random moments while eight write: what was acknowledged is there, once, and nothing else has changed.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use witan_tests::actor::Actor;
use witan_tests::rounds;
use witan_tests::server::{Options, Server};
use witan_verify::Checkpoint;

const WRITERS: usize = 8;
const WRITING_MS_MAX: u64 = 250;
/// Changes the moments of the kills; a failure names the round in which it happened.
const SEED: u64 = 0x5157_4954_414e_0001;

/// A replay reads the whole log: not after each kill.
const ROUNDS_PER_REPLAY: usize = 10;

const CONSISTENCY: &str =
    "query($old: Position!, $new: Position!) { consistencyProof(oldSize: $old, newSize: $new) { hashes } }";
const ROOM: &str = "query($id: ID!) { room(id: $id) { description } }";
const ACTIVITY: &str = "subscription { organizationActivity(after: \"0\") { position } }";

/// What one writer knows of its room when the server is killed.
struct Written {
    /// The room's description after the last acknowledged change.
    last: String,
    /// The change whose answer never came: it may have been recorded.
    unknown: String,
    acknowledged: Vec<u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let mut server = Server::start(Options::default());
    let rooms = rooms(&server.owner()).await;
    let mut known: HashMap<String, BTreeSet<String>> = rooms.iter().map(|room| (room.clone(), start())).collect();
    let mut acknowledged = BTreeSet::new();
    let mut random = SEED;
    let mut witness = Witness::default();

    for round in 0..rounds(50, 1_000) {
        let mut writers = JoinSet::new();
        for room in rooms.clone() {
            let owner = server.owner();
            writers.spawn(async move { (room.clone(), writes(&owner, &room, round).await) });
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sleep(Duration::from_millis((random >> 33) % WRITING_MS_MAX)).await;
        server.kill9();
        for (room, written) in writers.join_all().await {
            if !written.acknowledged.is_empty() {
                known.insert(room.clone(), BTreeSet::from([written.last]));
            }
            known.entry(room).or_default().insert(written.unknown);
            for position in written.acknowledged {
                assert!(acknowledged.insert(position), "round {round}: position {position} was given twice");
            }
        }
        server.restart();

        let newest = acknowledged.last().copied().unwrap_or_default();
        assert!(server.opened_at() >= newest, "round {round}: {} is before {newest}", server.opened_at());
        for room in &rooms {
            let seen = description(&server.owner(), room).await;
            let possible = &known[room];
            assert!(possible.contains(&seen), "round {round}: {seen:?} is none of {possible:?}");
            known.insert(room.clone(), BTreeSet::from([seen]));
        }
        witness.looks_again(&server, newest, &format!("round {round}")).await;
        if round % ROUNDS_PER_REPLAY == 0 {
            whole_and_equal(&server, &format!("round {round}"));
        }
    }

    each_is_there_once(&server, &acknowledged).await;
    assert_eq!(server.stop().code(), Some(0));
    whole_and_equal(&server, "at the end");
    // Built anew from the journal alone, the Merkle log has the root that was signed: the signer, and whoever kept a
    // checkpoint, would refuse another.
    for entry in std::fs::read_dir(server.data().join("ledger")).expect("the ledger's folder").flatten() {
        if entry.file_name() != "origin" && entry.file_name() != "checkpoint" {
            std::fs::remove_file(entry.path()).expect("a file of the Merkle log can be deleted");
        }
    }
    server.restart();
    let newest = *acknowledged.last().expect("something was acknowledged");
    witness.looks_again(&server, newest, "built anew").await;
}

/// The journal reads whole, and the read models are those that a clean replay gives.
fn whole_and_equal(server: &Server, when: &str) {
    for whole in [&["journal", "verify"][..], &["replay"]] {
        let said = server.witan(whole);
        assert_eq!(said.status.code(), Some(0), "{when}, {whole:?}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Somebody who keeps the log's checkpoints, and sees that each continues the one before.
#[derive(Default)]
struct Witness {
    kept: Option<Checkpoint>,
}

impl Witness {
    /// Waits until the log covers `position`, then checks that its head continues what was kept.
    async fn looks_again(&mut self, server: &Server, position: u64, when: &str) {
        let nobody = server.nobody();
        let newest = loop {
            let seen = nobody.sees("{ checkpoint { note verifierKey } }", json!({})).await;
            if let (Some(note), Some(key)) =
                (seen["checkpoint"]["note"].as_str(), seen["checkpoint"]["verifierKey"].as_str())
            {
                let verifier = key.parse().expect("a verifier key");
                let checkpoint = witan_verify::verify_checkpoint(note, &verifier).expect("the log signed it");
                if checkpoint.size >= position {
                    break checkpoint;
                }
            }
            sleep(Duration::from_millis(20)).await;
        };
        if let Some(kept) = self.kept.take() {
            let sizes = json!({ "old": kept.size.to_string(), "new": newest.size.to_string() });
            let seen = nobody.sees(CONSISTENCY, sizes).await;
            let hashes = seen["consistencyProof"]["hashes"].as_array().expect("a proof has hashes");
            let hashes: Vec<_> = hashes
                .iter()
                .map(|hash| witan_verify::hash_from_base64(hash.as_str().unwrap_or_default()).expect("a hash"))
                .collect();
            let proof =
                witan_verify::tree::verify_consistency(kept.size, newest.size, &hashes, &kept.root, &newest.root);
            assert!(proof.is_ok(), "{when}: the log of {} events does not continue that of {}", newest.size, kept.size);
        }
        self.kept = Some(newest);
    }
}

/// A room for each writer, so that they don't wait for each other.
async fn rooms(owner: &Actor) -> Vec<String> {
    let unit = json!({ "slug": "writers", "fullName": "Writers" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let mut rooms = Vec::new();
    for writer in 0..WRITERS {
        let room = json!({ "unitId": unit, "slug": format!("room-{writer}"), "name": "A room", "purpose": "MEETING" });
        rooms.push(owner.does("createRoom", room, "room { id }").await.text("/room/id"));
    }
    rooms
}

fn start() -> BTreeSet<String> {
    BTreeSet::from([String::new()])
}

/// Changes the room's description until the server is gone.
async fn writes(owner: &Actor, room: &str, round: usize) -> Written {
    let mut written = Written { last: String::new(), unknown: String::new(), acknowledged: Vec::new() };
    for turn in 0.. {
        written.unknown = format!("round {round}, turn {turn}");
        let input = json!({ "roomId": room, "description": written.unknown });
        match position(owner, input).await {
            Some(position) => {
                written.acknowledged.push(position);
                written.last.clone_from(&written.unknown);
            }
            None => return written,
        }
    }
    written
}

/// The position at which the change was acknowledged; `None` once the server is gone.
async fn position(owner: &Actor, input: Value) -> Option<u64> {
    let document = "mutation($input: UpdateRoomInput!) { updateRoom(input: $input) \
        { userErrors { code } position } }";
    let answer = owner.client().send(document, json!({ "input": input })).await.ok()?;
    let payload = &answer.data()["updateRoom"];
    assert_eq!(payload["userErrors"], json!([]), "the change is possible");
    let position = payload["position"].as_str().expect("a change has a position");
    Some(position.parse().expect("a position is a number"))
}

async fn description(owner: &Actor, room: &str) -> String {
    let seen = owner.sees(ROOM, json!({ "id": room })).await;
    seen["room"]["description"].as_str().expect("a room has a description").to_owned()
}

/// Reads the organization's whole activity: positions only rise, and each acknowledged one is among them.
async fn each_is_there_once(server: &Server, acknowledged: &BTreeSet<u64>) {
    let last = *acknowledged.last().expect("something was acknowledged");
    let mut socket = server.owner().socket().await;
    socket.subscribe("all", ACTIVITY, json!({})).await;
    let mut seen = BTreeSet::new();
    while seen.last().is_none_or(|newest| *newest < last) {
        let item = socket.next("all").await;
        let position = item["organizationActivity"]["position"].as_str().expect("an item has a position").to_owned();
        let position: u64 = position.parse().expect("a position is a number");
        assert!(seen.last().is_none_or(|before| *before < position), "{position} is not after {:?}", seen.last());
        seen.insert(position);
    }
    let lost: Vec<_> = acknowledged.difference(&seen).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}
