//! Subscriptions over WebSockets: whoever may hears something, strangers hear nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use witan_tests::socket::{Received, Socket};

use super::rows::{ROWS, Row};
use super::schema::Root;
use super::world::Caller;
use super::{Asked, World, is_shown};

/// How long a subscription that must say nothing is listened to.
const SILENCE: Duration = Duration::from_millis(300);
/// How long one that must be refused, or say something, is listened to.
const SOMETHING_WITHIN: Duration = Duration::from_secs(20);

impl World {
    /// Subscriptions, last: whoever's WebSocket goes away has left the session.
    pub async fn feeds(&self) -> Vec<String> {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.root == Root::Subscription).collect();
        let rows = &rows;
        let own = self.own.callers.iter().chain([&self.nobody]).map(|caller| async move {
            let (mut socket, mut wrong) = (caller.actor.socket().await, Vec::new());
            for row in rows {
                wrong.extend(self.feed_otherwise(&mut socket, caller, row).await);
            }
            (socket, wrong)
        });
        let strangers = self.foreign.callers.iter().map(|caller| async move {
            let mut socket = caller.actor.socket().await;
            for row in rows {
                let (document, arguments) = self.question(row, &self.own.targets, false);
                socket.subscribe(row.field, &document, arguments).await;
            }
            (caller, socket)
        });
        // The sockets stay open, so that nobody drops out of the session while others look.
        let (own, strangers) = (join_all(own).await, join_all(strangers).await);
        let lock = "mutation($id: ID!) { lockSession(input: { sessionId: $id }) { position } }";
        self.own.owner().sees(lock, json!({ "id": self.own.targets["sessionId"] })).await;
        let mut wrong: Vec<String> = own.iter().flat_map(|(_, wrong)| wrong.clone()).collect();
        let heard = join_all(strangers.into_iter().map(|(caller, socket)| self.overheard(caller, socket))).await;
        wrong.extend(heard.into_iter().flatten());
        wrong
    }

    async fn feed_otherwise(&self, socket: &mut Socket, caller: &Caller, row: &Row) -> Option<String> {
        let (document, arguments) = self.question(row, &self.own.targets, false);
        let what = format!("{} subscribes to {} {arguments}", caller.name(), row.field);
        socket.subscribe(row.field, &document, arguments).await;
        let message = loop {
            match socket.receive_within(SOMETHING_WITHIN).await {
                // Items of the connection's other subscriptions.
                Some(Received::Message(message)) if message["id"] != row.field => {}
                Some(Received::Message(message)) => break message,
                other => return Some(format!("{what}: {other:?}")),
            }
        };
        socket.complete(row.field).await;
        let errors = if message["type"] == "error" { &message["payload"] } else { &message["payload"]["errors"] };
        let is_item = message["type"] == "next" && errors.is_null() && is_shown(&message["payload"]["data"][row.field]);
        let refusal = if caller.is_nobody() { "UNAUTHENTICATED" } else { "FORBIDDEN" };
        let as_said = match self.may_any(caller, row) {
            true => is_item,
            false => {
                !is_item && errors[0]["extensions"]["code"] == refusal && errors.as_array().map(Vec::len) == Some(1)
            }
        };
        (!as_said).then(|| format!("{what}: {message}"))
    }

    /// What a stranger hears of the first organization: each subscription to a thing of it ends with an error.
    async fn overheard(&self, caller: &Caller, mut socket: Socket) -> Vec<String> {
        let (mut wrong, mut refused) = (Vec::new(), BTreeSet::new());
        // Their own trail tells them what they asked for.
        let knew = json!(self.own.targets).to_string();
        while let Some(received) = socket.receive_within(SILENCE).await {
            let Received::Message(message) = received else {
                wrong.push(format!("{} was cut off: {received:?}", caller.name()));
                break;
            };
            let (id, kind) = (message["id"].as_str().unwrap_or_default().to_owned(), message["type"].clone());
            let what = format!("{} listens to {id}", caller.name());
            let asked = Asked { what, question: knew.clone(), body: message };
            wrong.extend(self.told(&asked));
            let data = &asked.body["payload"]["data"][&id];
            if kind == "next" && !data.is_null() && id != "organizationActivity" {
                wrong.push(format!("{}: {}", asked.what, asked.body));
            }
            if asked.body.to_string().contains("\"INTERNAL\"") {
                wrong.push(format!("{}: {}", asked.what, asked.body));
            }
            if kind == "error" || asked.body["payload"].get("errors").is_some() {
                refused.insert(id);
            }
        }
        let feeds = ["sessionEvents", "sessionChanged", "sessionSignals", "waitingDeskChanged"];
        for id in feeds.into_iter().filter(|id| !refused.contains(*id)) {
            wrong.push(format!("{} was not refused {id}", caller.name()));
        }
        wrong
    }
}
