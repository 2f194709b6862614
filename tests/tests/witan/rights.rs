//! What was taken away is gone at the next request, however often the same was asked and allowed before.

use std::time::Duration;

use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

const SESSION: &str = "query($id: ID!) { session(id: $id) { id } }";
const ROOM: &str = "query($id: ID!) { room(id: $id) { id } }";
/// How often the same is asked before and after, so that whatever is remembered is.
const TIMES: usize = 4;

/// A session of the first organization, in a room of a unit, and someone who holds no role yet.
struct World {
    server: Server,
    unit: String,
    room: String,
    session: String,
    user: String,
    key: String,
    actor: Actor,
}

impl World {
    async fn new() -> Self {
        let server = Server::start(Options::default());
        let owner = server.owner();
        let unit = owner.does("createUnit", json!({ "slug": "ward", "fullName": "Ward" }), "unit { id }").await;
        let unit = unit.text("/unit/id");
        let room = json!({ "unitId": unit, "slug": "room", "name": "A room", "purpose": "MEETING" });
        let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
        let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
        let user = json!({ "login": "kim", "name": "Kim" });
        let user = owner.does("createUser", user, "user { id }").await.text("/user/id");
        let key = json!({ "name": "a key", "userId": user });
        let made = owner.does("createApiKey", key, "apiKey { id } secret").await;
        let actor = server.actor("kim", &made.text("/secret"));
        Self { unit, room, session, user, key: made.text("/apiKey/id"), actor, server }
    }

    async fn owner_does(&self, mutation: &str, input: Value) {
        self.server.owner().does(mutation, input, "").await;
    }

    async fn grants(&self, role: &str, more: Value) {
        let mut input = json!({ "userId": self.user, "role": role });
        input.as_object_mut().expect("an input").extend(more.as_object().expect("an object").clone());
        self.owner_does("grantRole", input).await;
    }

    async fn reads(&self) {
        for _ in 0..TIMES {
            assert_eq!(self.actor.sees(SESSION, json!({ "id": self.session })).await["session"]["id"], *self.session);
        }
    }

    async fn reads_nothing(&self, code: &str) {
        for _ in 0..TIMES {
            assert_eq!(self.actor.is_refused(SESSION, json!({ "id": self.session })).await, code);
        }
    }
}

#[tokio::test]
async fn roles_keys_and_accounts_that_are_taken_away() {
    let world = World::new().await;
    let role = json!({ "userId": world.user, "role": "AUDITOR" });
    world.reads_nothing("FORBIDDEN").await;
    for _ in 0..TIMES {
        world.grants("AUDITOR", json!({})).await;
        world.reads().await;
        world.owner_does("revokeRole", role.clone()).await;
        world.reads_nothing("FORBIDDEN").await;
    }
    // A role of the unit, while the unit has it.
    world.grants("AUDITOR", json!({ "unitId": world.unit })).await;
    world.reads().await;
    world.owner_does("revokeRole", json!({ "userId": world.user, "role": "AUDITOR", "unitId": world.unit })).await;
    world.reads_nothing("FORBIDDEN").await;

    // A role with an end: nobody has to do anything for it to be over.
    world.grants("AUDITOR", json!({ "expiresAt": seconds_from_now(3) })).await;
    world.reads().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.reads_nothing("FORBIDDEN").await;

    world.grants("AUDITOR", json!({})).await;
    world.reads().await;
    for _ in 0..TIMES {
        world.owner_does("deactivateUser", json!({ "userId": world.user })).await;
        world.reads_nothing("UNAUTHENTICATED").await;
        world.owner_does("reactivateUser", json!({ "userId": world.user })).await;
        world.reads().await;
    }
    world.owner_does("revokeApiKey", json!({ "apiKeyId": world.key })).await;
    world.reads_nothing("UNAUTHENTICATED").await;
}

#[tokio::test]
async fn a_room_that_is_not_listed_any_more_and_a_unit_that_was_moved() {
    let world = World::new().await;
    let sees = async || world.actor.sees(ROOM, json!({ "id": world.room })).await["room"]["id"] == *world.room;
    let refused = async || world.actor.is_refused(ROOM, json!({ "id": world.room })).await;
    let listed = async |level: &str, listing: &str| {
        let policies = json!({ "set": { "list": listing } });
        let input = match level {
            "room" => ("setRoomPolicies", json!({ "roomId": world.room, "policies": policies })),
            "unit" => ("setUnitPolicies", json!({ "unitId": world.unit, "policies": policies })),
            _ => ("setOrganizationPolicies", json!({ "policies": policies })),
        };
        world.owner_does(input.0, input.1).await;
    };
    for level in ["organization", "unit", "room"] {
        for _ in 0..TIMES {
            listed(level, "ORGANIZATION").await;
            assert!(sees().await && sees().await);
            listed(level, "PRIVATE").await;
            assert_eq!((refused().await, refused().await), ("FORBIDDEN".to_owned(), "FORBIDDEN".to_owned()));
        }
    }

    // A role in a unit above holds for as long as the unit is below.
    let owner = world.server.owner();
    let above = owner.does("createUnit", json!({ "slug": "above", "fullName": "Above" }), "unit { id }").await;
    let above = above.text("/unit/id");
    world.grants("AUDITOR", json!({ "unitId": above })).await;
    for _ in 0..TIMES {
        assert_eq!(refused().await, "FORBIDDEN");
        world.owner_does("moveUnit", json!({ "unitId": world.unit, "parentId": above })).await;
        assert!(sees().await && sees().await);
        world.reads().await;
        world.owner_does("moveUnit", json!({ "unitId": world.unit, "parentId": null })).await;
        world.reads_nothing("FORBIDDEN").await;
    }
}

#[expect(clippy::disallowed_methods, reason = "what the server, a process of its own, takes for the future")]
fn seconds_from_now(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}
