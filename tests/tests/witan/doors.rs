//! Coming in without an account and without an invitation: by a room's password, and where anyone may.

use std::path::Path;

use serde_json::{Value, json};
use witan_tests::actor::{Actor, Done};
use witan_tests::server::{Options, Server};

const PASSWORD: &str = "tr0ub4dor and a horse";
const GRANTS: &str = "query($id: ID!) { room(id: $id) { effectivePolicies { join { who lobby } open { who } } } }";

/// A room of the server's first organization.
struct Room<'a> {
    server: &'a Server,
    owner: Actor,
    id: String,
}

impl<'a> Room<'a> {
    async fn made(server: &'a Server, slug: &str, join: Value) -> Self {
        let owner = server.owner();
        let unit = json!({ "slug": slug, "fullName": "A unit" });
        let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
        let room = json!({ "unitId": unit, "slug": slug, "name": "A room", "purpose": "MEETING" });
        let id = owner.does("createRoom", room, "room { id }").await.text("/room/id");
        let room = Self { server, owner, id };
        room.sets(json!({ "join": join })).await;
        room
    }

    async fn sets(&self, rules: Value) -> Done {
        let input = json!({ "roomId": self.id, "policies": { "set": rules } });
        self.owner.does("setRoomPolicies", input, "room { id version }").await
    }

    async fn opens(&self) -> String {
        let done = self.owner.does("openSession", json!({ "roomId": self.id }), "session { id }").await;
        done.text("/session/id")
    }

    /// A stranger's join token.
    async fn token(&self, password: Option<&str>) -> String {
        let input = json!({ "roomId": self.id, "password": password });
        let ticket = self.server.nobody().does("createJoinToken", input, "joinToken role sessionId").await;
        assert_eq!(ticket.0["role"], "PARTICIPANT");
        ticket.text("/joinToken")
    }

    async fn refusal(&self, password: Option<&str>) -> String {
        let input = json!({ "roomId": self.id, "password": password });
        self.server.nobody().may_not("createJoinToken", input).await
    }

    async fn joins(&self, token: &str) -> Actor {
        let input = json!({ "joinToken": token, "displayName": "Robin" });
        let entered = self.server.nobody().does("joinSession", input, "state resumeSecret").await;
        assert_eq!(entered.0["state"], "JOINED");
        self.server.actor("guest", &entered.text("/resumeSecret"))
    }
}

fn knows(password: &str) -> Value {
    json!({ "who": "PASSWORD", "password": password })
}

/// Whether any file below the folder has these bytes in it.
fn is_in_files(folder: &Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    entries.map(|entry| entry.expect("the folder can be read").path()).any(|path| match path.is_dir() {
        true => is_in_files(&path, bytes),
        false => std::fs::read(&path).is_ok_and(|read| read.windows(bytes.len()).any(|window| window == bytes)),
    })
}

#[tokio::test]
async fn a_password_lets_guests_in_also_after_a_restart() {
    let mut server = Server::start(Options::default());
    let id = {
        let room = Room::made(&server, "meeting", json!([knows(PASSWORD)])).await;
        assert_eq!(room.refusal(Some(PASSWORD)).await, "NO_LIVE_SESSION");
        assert_eq!(room.refusal(None).await, "ENTRY_REFUSED");
        let session = room.opens().await;
        assert_eq!(room.refusal(None).await, "ENTRY_REFUSED");
        assert_eq!(room.refusal(Some("another horse")).await, "ENTRY_REFUSED");
        let guest = room.joins(&room.token(Some(PASSWORD)).await).await;
        guest.does("sendMessage", json!({ "sessionId": session, "text": "Hello" }), "messageId").await;
        let people = "query($id: ID!) { session(id: $id) { participants { displayName { value } userId } } }";
        let seen = guest.sees(people, json!({ "id": session })).await;
        assert_eq!(seen["session"]["participants"][0]["displayName"]["value"], "Robin");
        // The room they are in, and not whom else it is for.
        let around = "query($id: ID!) { session(id: $id) { room { name people { userId } policies { set { open { who } } } \
                      effectivePolicies { list } } } }";
        let seen = guest.sees(around, json!({ "id": session })).await;
        let hidden = json!({ "name": "A room", "people": null, "policies": null, "effectivePolicies": null });
        assert_eq!(seen["session"]["room"], hidden);
        let seen = room.owner.sees(around, json!({ "id": session })).await;
        assert_eq!(seen["session"]["room"]["people"], json!([]));
        let end = json!({ "input": { "sessionId": session } });
        let document = "mutation($input: SessionInput!) { endSession(input: $input) { projected } }";
        assert_eq!(guest.is_refused(document, end).await, "FORBIDDEN");

        let shown = room.owner.sees(GRANTS, json!({ "id": room.id })).await;
        let effective = &shown["room"]["effectivePolicies"];
        assert_eq!(effective["join"], json!([{ "who": "PASSWORD", "lobby": false }]));
        room.id
    };
    server.kill9();
    assert!(!is_in_files(&server.data(), PASSWORD.as_bytes()), "it is written nowhere");
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
    server.restart();
    let room = Room { server: &server, owner: server.owner(), id };
    room.joins(&room.token(Some(PASSWORD)).await).await;
    // Kept, since none is given; then another.
    room.sets(json!({ "join": [{ "who": "PASSWORD" }, { "who": "INVITATION" }] })).await;
    let before = room.token(Some(PASSWORD)).await;
    room.sets(json!({ "join": [knows("a horse of another colour")] })).await;
    let input = json!({ "joinToken": before, "displayName": "Robin" });
    assert_eq!(server.nobody().may_not("joinSession", input).await, "JOIN_TOKEN_INVALID");
    assert_eq!(room.refusal(Some(PASSWORD)).await, "ENTRY_REFUSED");
    room.joins(&room.token(Some("a horse of another colour")).await).await;
}

#[tokio::test]
async fn the_people_of_a_session_are_shown_some_at_a_time() {
    let server = Server::start(Options::default());
    let room = Room::made(&server, "meeting", json!([{ "who": "ANYONE" }])).await;
    let session = room.opens().await;
    for _ in 0..3 {
        room.joins(&room.token(None).await).await;
    }
    let page = "query($id: ID!, $first: Int!, $after: ID) { session(id: $id) { participants(first: $first, after: $after) \
                { id } } }";
    let ids = async |first: u32, after: Option<&str>| {
        let seen = room.owner.sees(page, json!({ "id": session, "first": first, "after": after })).await;
        let people = seen["session"]["participants"].as_array().expect("it is a list").clone();
        people.iter().map(|there| there["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let all = ids(1_000, None).await;
    assert_eq!((all.len(), ids(2, None).await), (3, all[..2].to_vec()));
    assert_eq!(ids(2, Some(&all[1])).await, all[2..]);
    assert!(ids(2, Some(&all[2])).await.is_empty());
    let one = "query($id: ID!, $participant: ID!) { session(id: $id) { participant(id: $participant) { id } } }";
    let seen = room.owner.sees(one, json!({ "id": session, "participant": all[1] })).await;
    assert_eq!(seen["session"]["participant"]["id"], json!(all[1]));
    let zero = json!({ "id": session, "first": 0 });
    assert_eq!(room.owner.is_refused(page, zero).await, "INVALID_INPUT");
    let many = format!(
        "query($id: ID!) {{ session(id: $id) {{ {} }} }}",
        (0..11).map(|n| format!("p{n}: participants(first: 1000) {{ id }} ")).collect::<String>()
    );
    assert_eq!(room.owner.is_refused(&many, json!({ "id": session })).await, "TOO_COMPLEX");
}

#[tokio::test]
async fn no_hash_of_a_password_is_shown() {
    let server = Server::start(Options::default());
    let room = Room::made(&server, "meeting", json!([knows(PASSWORD)])).await;
    let input =
        json!({ "roomId": room.id, "idempotencyKey": "1", "policies": { "set": { "open": [knows(PASSWORD)] } } });
    let done = room.owner.does("setRoomPolicies", input.clone(), "").await;
    assert_eq!(room.owner.does("setRoomPolicies", input, "").await.position(), done.position());
    let other = json!({ "roomId": room.id, "idempotencyKey": "1", "policies": { "set": { "open": [knows("another horse")] } } });
    assert_eq!(room.owner.may_not("setRoomPolicies", other).await, "IDEMPOTENCY_KEY_REUSED");

    let document = "query($at: Position!) { event(position: $at) { type data } auditTrail(last: 50) \
                    { edges { node { type stream } } } }";
    let seen = room.owner.sees(document, json!({ "at": done.position().to_string() })).await;
    assert_eq!(seen["event"]["type"], "RoomPoliciesSet");
    assert_eq!(seen["event"]["data"]["policies"]["set"]["open"][0]["who"], "password", "{:#}", seen["event"]);
    assert!(!seen.to_string().contains("argon2"), "{seen:#}");
}

#[tokio::test]
async fn bad_passwords_are_told_apart_to_who_sets_them() {
    let server = Server::start(Options::default());
    let room = Room::made(&server, "meeting", json!([])).await;
    let rejected = async |grants: Value| {
        let input = json!({ "roomId": room.id, "policies": { "set": { "join": grants } } });
        let rejected = room.owner.tries("setRoomPolicies", input, "").await.expect_err("it is not a password");
        assert!(["INVALID", "INVALID_INPUT"].contains(&rejected.code.as_str()), "{}", rejected.code);
        rejected.message
    };
    assert!(rejected(json!([knows("short")])).await.contains("5 characters; expected 8 to 128"));
    assert!(rejected(json!([knows(&"x".repeat(129))])).await.contains("129 characters"));
    assert!(rejected(json!([{ "who": "PASSWORD" }])).await.contains("none to keep"));
    assert!(rejected(json!([knows(PASSWORD), knows("another horse")])).await.contains("two grants for a password"));
}

#[tokio::test]
async fn anyone_comes_by_the_lobby_of_the_grant_and_under_the_floor() {
    let server = Server::start(Options::default());
    let room = Room::made(&server, "open", json!([{ "who": "ANYONE", "lobby": true }])).await;
    let session = room.opens().await;
    let token = room.token(None).await;
    let nobody = server.nobody();
    let introduction = json!({ "joinToken": token, "displayName": "Robin" });
    assert_eq!(nobody.may_not("joinSession", introduction.clone()).await, "KNOCK_NEEDED");
    let knocked = nobody.does("knock", introduction, "state participantId resumeSecret").await;
    assert_eq!(knocked.0["state"], "KNOCKING");
    let guest = server.actor("guest", &knocked.text("/resumeSecret"));
    assert_eq!(guest.may_not("joinSession", json!({ "sessionId": session })).await, "PARTICIPANT_NOT_ADMITTED");
    let participant = json!({ "sessionId": session, "participantId": knocked.text("/participantId") });
    room.owner.does("admitParticipant", participant, "").await;
    guest.does("joinSession", json!({ "sessionId": session }), "state").await;

    let floor =
        json!({ "policies": { "floor": { "join": [{ "who": "ORGANIZATION_USERS" }, { "who": "INVITATION" }] } } });
    room.owner.does("setOrganizationPolicies", floor, "").await;
    assert_eq!(room.refusal(None).await, "ENTRY_REFUSED");
    let unknown = json!({ "roomId": "room_01JD0000000000000000000000" });
    assert_eq!(nobody.may_not("createJoinToken", unknown).await, "ENTRY_REFUSED");
    let by_session = json!({ "sessionId": session });
    assert_eq!(nobody.may_not("createJoinToken", by_session).await, "ENTRY_REFUSED");
}
