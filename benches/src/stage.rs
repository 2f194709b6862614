//! A running server with people in sessions: what `graphql` and `feed` measure.

use futures_util::future::join_all;
use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

/// A session by its id, with what it says of itself.
pub(crate) const SESSION: &str = "query Session($id: ID!) { session(id: $id) { id status purpose locked presentCount \
    preparedAt startedAt version } }";

/// A session as a client's page would ask for it: with its room and its people, each of which is authorised by itself.
pub(crate) const SESSION_PAGE: &str = "query SessionPage($id: ID!) { session(id: $id) { id status purpose preparedAt \
    presentCount room { id name slug } participants { id role state } } }";

pub(crate) const SEND_MESSAGE: &str = "mutation SendMessage($input: SendMessageInput!) { sendMessage(input: $input) \
    { messageId userErrors { field message code } position projected } }";

/// Rooms that are made at the same time.
const AT_ONCE: usize = 16;

pub(crate) struct Stage {
    pub(crate) server: Server,
    unit: String,
}

/// A live session, and one person in it.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) session: String,
    pub(crate) host: Actor,
}

impl Stage {
    pub(crate) async fn open(options: Options) -> Stage {
        let server = Server::start(options.set("media", "none"));
        let input = json!({ "slug": "cardiology", "fullName": "Cardiology" });
        let unit = server.owner().does("createUnit", input, "unit { id }").await.text("/unit/id");
        Stage { server, unit }
    }

    /// So many live sessions, the owner as host in each.
    pub(crate) async fn scenes(&self, count: usize) -> Vec<Scene> {
        let mut scenes = Vec::new();
        let numbers: Vec<usize> = (0..count).collect();
        for chunk in numbers.chunks(AT_ONCE) {
            scenes.extend(join_all(chunk.iter().map(|number| self.scene(*number))).await);
        }
        scenes
    }

    async fn scene(&self, number: usize) -> Scene {
        let owner = self.server.owner();
        let room = json!({ "unitId": self.unit, "slug": format!("room-{number}"), "name": format!("Room {number}"),
            "purpose": "MEETING" });
        let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
        let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
        let token = owner.does("createJoinToken", json!({ "sessionId": session }), "joinToken").await;
        let entry = json!({ "joinToken": token.text("/joinToken"), "displayName": "A host" });
        let joined = self.server.nobody().does("joinSession", entry, "resumeSecret").await;
        let host = self.server.actor("host", &joined.text("/resumeSecret"));
        // Whoever has no connection is taken for dropped after a while, and has then left.
        let mut socket = host.socket().await;
        tokio::spawn(async move { socket.receive_unbounded().await });
        Scene { session, host }
    }
}

/// The body of a request that sends a message.
pub(crate) fn send_message_body(session: &str, text: &str) -> String {
    body(SEND_MESSAGE, &json!({ "input": { "sessionId": session, "text": text } }))
}

pub(crate) fn body(document: &str, variables: &Value) -> String {
    json!({ "query": document, "variables": variables }).to_string()
}
