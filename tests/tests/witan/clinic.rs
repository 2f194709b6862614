//! A clinic on a server's first organization: a unit, rooms, people with roles, invitees.

use serde_json::{Value, json};
use witan_tests::actor::{Actor, Done};
use witan_tests::server::Server;

pub struct Clinic<'a> {
    pub server: &'a Server,
    pub owner: Actor,
    pub unit: String,
}

impl<'a> Clinic<'a> {
    pub async fn founded(server: &'a Server) -> Self {
        let owner = server.owner();
        let unit = made_unit(&owner, "cardiology", None).await;
        Self { server, owner, unit }
    }

    /// Another unit: below the clinic's own, or beside it.
    pub async fn unit(&self, slug: &str, parent: Option<&str>) -> String {
        made_unit(&self.owner, slug, parent).await
    }

    /// A consultation room: by invitation, through the lobby.
    pub async fn room(&self, slug: &str, unit: &str) -> String {
        let input = json!({ "unitId": unit, "slug": slug, "name": "A room", "purpose": "CONSULTATION" });
        self.owner.does("createRoom", input, "room { id }").await.text("/room/id")
    }

    /// Someone with an account and, where one is named, a role in this unit.
    pub async fn user(&self, name: &str, role: Option<(&str, &str)>) -> Actor {
        let input = json!({ "login": name, "name": name, "unitId": self.unit });
        let user = self.owner.does("createUser", input, "user { id }").await.text("/user/id");
        if let Some((role, unit)) = role {
            self.owner.does("grantRole", json!({ "userId": user, "role": role, "unitId": unit }), "").await;
        }
        let input = json!({ "userId": user, "name": "a key" });
        let secret = self.owner.does("createApiKey", input, "secret").await.text("/secret");
        self.server.actor(name, &secret)
    }
}

async fn made_unit(owner: &Actor, slug: &str, parent: Option<&str>) -> String {
    let input = json!({ "slug": slug, "fullName": "A unit", "parentId": parent });
    owner.does("createUnit", input, "unit { id }").await.text("/unit/id")
}

/// What an invitee holds.
pub struct Invitee {
    pub id: String,
    pub secret: String,
}

impl Invitee {
    /// From now on, for a year.
    pub async fn invited(by: &Actor, room: &str) -> Self {
        let until = a_year_after(by, room).await;
        Self::within(by, room, json!({ "notAfter": until })).await
    }

    /// For an hour, in a year.
    pub async fn invited_for_later(by: &Actor, room: &str) -> Self {
        let then = a_year_after(by, room).await;
        let until = then.replace("T00:", "T01:");
        Self::within(by, room, json!({ "notBefore": then, "notAfter": until })).await
    }

    async fn within(by: &Actor, room: &str, window: Value) -> Self {
        let input = json!({ "roomId": room, "displayName": "Robin", "role": "PARTICIPANT" });
        let made = by.does("createInvitation", with(input, &window), "invitation { id } secret").await;
        Self { id: made.text("/invitation/id"), secret: made.text("/secret") }
    }

    /// The invitation as an input begins with it, and something more.
    pub fn shows(&self, more: Value) -> Value {
        with(json!({ "invitationId": self.id, "secret": self.secret }), &more)
    }

    /// Exchanges the invitation and knocks.
    pub async fn knocks(&self, server: &Server) -> Done {
        let nobody = server.nobody();
        let token = nobody.does("exchangeInvitation", self.shows(json!({})), "joinToken").await.text("/joinToken");
        let input = json!({ "joinToken": token, "displayName": "Robin" });
        nobody.does("knock", input, "state participantId sessionId resumeSecret").await
    }
}

/// An object with the members of another.
fn with(mut object: Value, more: &Value) -> Value {
    let members = object.as_object_mut().expect("it is an object");
    members.extend(more.as_object().cloned().unwrap_or_default());
    object
}

async fn a_year_after(by: &Actor, room: &str) -> String {
    let seen = by.sees("query($id: ID!) { room(id: $id) { createdAt } }", json!({ "id": room })).await;
    in_a_year(seen["room"]["createdAt"].as_str().expect("it was made"))
}

/// A day a year from the time of an event, when what is made now is still good.
pub fn in_a_year(recorded_at: &str) -> String {
    let year: u32 = recorded_at[..4].parse().expect("a time begins with its year");
    let day: u32 = recorded_at[8..10].parse().expect("a time has a day");
    format!("{}-{}-{:02}T00:00:00Z", year + 1, &recorded_at[5..7], day.min(28))
}
