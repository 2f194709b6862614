//! An organization with everything that a field of the schema can be asked about, and everyone who may ask.

use serde_json::{Map, Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::Server;

use super::rows::Place;
use super::schema::{Root, Schema};
use crate::clinic::in_a_year;

/// Someone who calls, and the columns of the table that they are in.
pub struct Caller {
    pub actor: Actor,
    is_user: bool,
    /// Where their roles hold.
    here: &'static str,
    /// Of what is in no unit.
    no_unit: &'static str,
    /// Of the session that has ended.
    closed: &'static str,
    /// For what is asked of roles wherever they are held.
    anywhere: &'static str,
    /// The one scope of their API key, where it is limited.
    pub limited_to: Option<&'static str>,
    /// What they ask about in place of the organization's: themselves.
    pub own: Map<String, Value>,
}

impl Caller {
    /// A user whose roles hold in the whole organization.
    fn user(actor: Actor, columns: &'static str) -> Caller {
        let (own, limited_to) = (Map::new(), None);
        Caller { actor, is_user: true, here: columns, no_unit: columns, closed: columns, anywhere: "", limited_to, own }
    }

    /// A user whose role holds in one unit; elsewhere they are as any member.
    fn of_unit(actor: Actor, here: &'static str, anywhere: &'static str) -> Caller {
        Caller { here, no_unit: "M", closed: here, anywhere, ..Caller::user(actor, here) }
    }

    /// Someone in the live session, or at its door.
    fn inside(actor: Actor, columns: &'static str) -> Caller {
        Caller { is_user: false, closed: "", ..Caller::user(actor, columns) }
    }

    pub fn nobody(actor: Actor) -> Caller {
        Caller { is_user: false, ..Caller::user(actor, "N") }
    }

    pub fn name(&self) -> &str {
        self.actor.name()
    }

    pub fn is_nobody(&self) -> bool {
        self.here == "N"
    }

    /// The columns they are in for an operation on something at `place`; `oneself` names who it is about.
    pub fn columns(&self, operation: &str, place: Place, oneself: &str) -> String {
        let mut columns = match place {
            Place::Here => self.here,
            Place::NoUnit => self.no_unit,
            Place::Closed => self.closed,
        }
        .to_owned();
        if operation == "listUsers" {
            columns.push_str(self.anywhere);
        }
        if self.is_user && (oneself == "*" || oneself == self.name()) {
            columns.push('s');
        }
        columns
    }
}

pub struct Tenant {
    /// A word that is in every name and text of this organization, and nowhere else.
    pub mark: &'static str,
    /// What can be asked about, by the names that inputs have for it.
    pub targets: Map<String, Value>,
    pub callers: Vec<Caller>,
    /// Ids and secrets that nobody outside may be told.
    pub secrets: Vec<String>,
}

/// Makes a tenant step by step.
struct Founding<'a> {
    server: &'a Server,
    schema: &'a Schema,
    mark: &'static str,
    owner: Actor,
    targets: Map<String, Value>,
    secrets: Vec<String>,
}

/// A user with an id, a person and a key.
struct Account {
    id: String,
    person: String,
    key: String,
    actor: Actor,
}

impl Tenant {
    pub async fn found(server: &Server, schema: &Schema, mark: &'static str) -> Tenant {
        let (owner, organization) = organization(server, mark);
        let mut founding =
            Founding { server, schema, mark, owner, targets: Map::new(), secrets: vec![organization.clone()] };
        founding.targets.insert("organizationId".to_owned(), json!(organization));
        founding.units().await;
        let mut callers = founding.roles().await;
        callers.extend(founding.room().await);
        callers.extend(founding.session().await);
        let Founding { targets, secrets, .. } = founding;
        Tenant { mark, targets, callers, secrets }
    }

    pub fn owner(&self) -> &Actor {
        &self.callers[0].actor
    }
}

fn organization(server: &Server, mark: &str) -> (Actor, String) {
    let (name, login) = (format!("{mark} clinic"), format!("{mark}-owner"));
    let arguments = ["organization", "create", "--slug", mark, "--name", &name, "--owner-login", &login, "--json"];
    let made = server.witan(&arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).expect("the command line answers in JSON");
    let text = |name: &str| made[name].as_str().expect("the answer has it").to_owned();
    (server.actor("owner", &text("api_key")), text("organization"))
}

impl Founding<'_> {
    /// A mutation that must be done; all of its payload.
    async fn does(&self, actor: &Actor, mutation: &str, input: Value) -> Value {
        let field = self.schema.field(self.schema.root_name(Root::Mutation), mutation);
        let selection = match mutation {
            "createUser" => " { user { id personId } position userErrors { code field message } }".to_owned(),
            _ => self.schema.payload_selection(&field.of.name),
        };
        let arguments = json!({ "input": input });
        let document = self.schema.document(Root::Mutation, &field, &arguments, &selection);
        let payload = actor.sees(&document, arguments).await[mutation].clone();
        assert_eq!(payload["userErrors"], json!([]), "{} {mutation} {}", actor.name(), document);
        payload
    }

    fn target(&self, name: &str) -> String {
        self.targets[name].as_str().expect("targets are texts").to_owned()
    }

    /// Something that can be asked about, and that nobody outside may be told.
    fn plant(&mut self, name: &str, value: &Value) {
        let text = value.as_str().unwrap_or_else(|| panic!("{name} was not made")).to_owned();
        self.secrets.push(text);
        self.targets.insert(name.to_owned(), value.clone());
    }

    async fn units(&mut self) {
        let mark = self.mark;
        let unit = |slug: &str, parent: Value| {
            let name = format!("{mark} {slug}");
            json!({ "slug": slug, "fullName": name, "description": name, "parentId": parent })
        };
        let owner = self.owner.clone();
        let department = self.does(&owner, "createUnit", unit("department", Value::Null)).await["unit"]["id"].clone();
        let ward = self.does(&owner, "createUnit", unit("ward", department.clone())).await;
        let annex = self.does(&owner, "createUnit", unit("annex", department.clone())).await;
        let elsewhere = self.does(&owner, "createUnit", unit("elsewhere", Value::Null)).await;
        self.plant("parentUnitId", &department);
        self.plant("unitId", &ward["unit"]["id"]);
        self.plant("parentId", &annex["unit"]["id"]);
        self.plant("elsewhereId", &elsewhere["unit"]["id"]);
        self.targets.insert("unitPosition".to_owned(), ward["position"].clone());
        let newest = owner.sees("{ auditTrail(last: 1) { edges { node { recordedAt } } } }", json!({})).await;
        let recorded_at = newest["auditTrail"]["edges"][0]["node"]["recordedAt"].as_str().expect("it has a time");
        self.targets.insert("notAfter".to_owned(), json!(in_a_year(recorded_at)));
    }

    /// A user, where they are of one in a unit, and the role they have in a unit or everywhere.
    async fn account(&mut self, name: &str, unit: Option<&str>, role: Option<(&str, Option<&str>)>) -> Account {
        let (mark, owner) = (self.mark, self.owner.clone());
        let login = format!("{mark}-{}", name.replace(' ', "-"));
        let unit = unit.map(|unit| self.target(unit));
        let input = json!({ "login": login, "name": format!("{mark} {name}"), "unitId": unit });
        let user = self.does(&owner, "createUser", input).await["user"].clone();
        if let Some((role, unit)) = role {
            let unit = unit.map(|unit| self.target(unit));
            self.does(&owner, "grantRole", json!({ "userId": user["id"], "role": role, "unitId": unit })).await;
        }
        let input = json!({ "userId": user["id"], "name": format!("{mark} key") });
        let made = self.does(&owner, "createApiKey", input).await;
        let text = |value: &Value| value.as_str().expect("it was made").to_owned();
        let secret = text(&made["secret"]);
        let account = Account {
            id: text(&user["id"]),
            person: text(&user["personId"]),
            key: text(&made["apiKey"]["id"]),
            actor: self.server.actor(name, &secret),
        };
        self.secrets.extend([account.id.clone(), account.person.clone(), account.key.clone(), secret]);
        account
    }

    async fn roles(&mut self) -> Vec<Caller> {
        let mut callers = vec![Caller::user(self.owner.clone(), "O")];
        for (name, role, column) in [
            ("admin", "ADMIN", "A"),
            ("host", "HOST", "H"),
            ("member", "MEMBER", "M"),
            ("auditor", "AUDITOR", "D"),
            ("privacy officer", "PRIVACY_OFFICER", "P"),
            ("billing", "BILLING", "B"),
            ("integrator", "INTEGRATOR", "I"),
        ] {
            callers.push(Caller::user(self.account(name, None, Some((role, None))).await.actor, column));
        }
        let unit_admin = self.account("unit admin", None, Some(("UNIT_ADMIN", Some("parentUnitId")))).await;
        callers.push(Caller::of_unit(unit_admin.actor, "U", "U"));
        let elsewhere = self.account("unit admin elsewhere", None, Some(("UNIT_ADMIN", Some("elsewhereId")))).await;
        callers.push(Caller::of_unit(elsewhere.actor, "M", "U"));
        let elsewhere = self.account("host elsewhere", None, Some(("HOST", Some("elsewhereId")))).await;
        callers.push(Caller::of_unit(elsewhere.actor, "M", "H"));
        let subject = self.account("subject", Some("unitId"), Some(("MEMBER", Some("unitId")))).await;
        for (name, value) in [("userId", subject.id), ("personId", subject.person), ("apiKeyId", subject.key)] {
            self.targets.insert(name.to_owned(), json!(value));
        }
        let oneself = self.account("oneself", Some("unitId"), Some(("MEMBER", Some("unitId")))).await;
        let mut caller = Caller { no_unit: "M", ..Caller::user(oneself.actor, "s") };
        for (name, value) in [("userId", oneself.id), ("personId", oneself.person), ("apiKeyId", oneself.key)] {
            caller.own.insert(name.to_owned(), json!(value));
        }
        callers.push(caller);
        callers.push(self.limited("rooms:read").await);
        callers
    }

    /// The owner, by a key that is limited to one scope.
    async fn limited(&mut self, scope: &'static str) -> Caller {
        let input = json!({ "name": format!("{} key", self.mark), "scopes": [scope] });
        let secret = self.does(&self.owner, "createApiKey", input).await["secret"].clone();
        let secret = secret.as_str().expect("it was made").to_owned();
        let actor = self.server.actor("owner by a limited key", &secret);
        self.secrets.push(secret);
        Caller { limited_to: Some(scope), ..Caller::user(actor, "O") }
    }

    /// A room for named people and invitees, its owner, someone whom it names, and someone who took part in its session.
    async fn room(&mut self) -> Vec<Caller> {
        let (mark, owner) = (self.mark, self.owner.clone());
        let room_owner = self.account("room owner", Some("unitId"), None).await;
        let named = self.account("named person", Some("unitId"), None).await;
        let took_part = self.account("took part", Some("unitId"), None).await;
        self.targets.insert("ownerId".to_owned(), json!(room_owner.id));
        let input = json!({
            "unitId": self.target("unitId"), "name": format!("{mark} room"), "slug": "room", "purpose": "MEETING",
            "description": mark, "ownerId": room_owner.id,
        });
        let room = self.does(&owner, "createRoom", input).await["room"]["id"].clone();
        self.plant("roomId", &room);
        let rules = json!({
            "open": [{ "who": "NAMED_PEOPLE" }], "list": "PRIVATE",
            "join": [{ "who": "NAMED_PEOPLE" }, { "who": "INVITATION", "lobby": true }],
        });
        self.does(&owner, "setRoomPolicies", json!({ "roomId": room, "policies": { "set": rules } })).await;
        let settings = json!({ "set": { "lobby": true } });
        self.does(&owner, "setRoomSettings", json!({ "roomId": room, "settings": settings })).await;
        for person in [&named, &took_part] {
            let input = json!({ "roomId": room, "userId": person.id, "role": "PARTICIPANT" });
            self.does(&owner, "addRoomPerson", input).await;
        }
        self.sessions().await;
        self.takes_part(&took_part).await;
        self.does(&owner, "removeRoomPerson", json!({ "roomId": room, "userId": took_part.id })).await;
        let took_part = Caller { closed: "M", ..Caller::user(took_part.actor, "T") };
        vec![Caller::user(room_owner.actor, "R"), Caller::user(named.actor, "G"), took_part]
    }

    /// One that has ended, and a live one that continues it.
    async fn sessions(&mut self) {
        let (room, owner) = (self.target("roomId"), self.owner.clone());
        let closed = self.does(&owner, "openSession", json!({ "roomId": room })).await["session"]["id"].clone();
        self.does(&owner, "endSession", json!({ "sessionId": closed })).await;
        self.plant("closedId", &closed);
        self.plant("continuesId", &closed);
        let record = json!(format!("{} file", self.mark));
        let input = json!({ "roomId": room, "recordId": record, "continuesId": closed });
        let opened = self.does(&owner, "openSession", input).await;
        self.plant("sessionId", &opened["session"]["id"]);
        self.plant("toSessionId", &opened["session"]["id"]);
        self.plant("recordText", &record);
        self.targets.insert("sessionPosition".to_owned(), opened["position"].clone());
    }

    async fn takes_part(&mut self, account: &Account) {
        let session = self.target("sessionId");
        let ticket = self.does(&account.actor, "createJoinToken", json!({ "sessionId": session })).await;
        let input = json!({ "joinToken": ticket["joinToken"], "displayName": format!("{} guest", self.mark) });
        let entered = self.does(&self.server.nobody(), "knock", input).await;
        let inside = self.server.actor("took part", entered["resumeSecret"].as_str().expect("it has a secret"));
        self.does(&self.owner, "admitAll", json!({ "sessionId": session })).await;
        self.does(&inside, "joinSession", json!({ "sessionId": session })).await;
        self.does(&inside, "leaveSession", json!({ "sessionId": session })).await;
    }

    /// Someone of each role in the session, and one at its door.
    async fn session(&mut self) -> Vec<Caller> {
        let (session, owner) = (self.target("sessionId"), self.owner.clone());
        let mut callers = Vec::new();
        for (name, role, column) in [
            ("participant in session", "PARTICIPANT", "p"),
            ("host in session", "HOST", "h"),
            ("co-host in session", "CO_HOST", "c"),
            ("interpreter in session", "INTERPRETER", "i"),
            ("guardian in session", "GUARDIAN", "g"),
            ("observer in session", "OBSERVER", "o"),
        ] {
            let (actor, participant) = self.knocks(name, role).await;
            self.does(&owner, "admitAll", json!({ "sessionId": session })).await;
            self.does(&actor, "joinSession", json!({ "sessionId": session })).await;
            if role == "PARTICIPANT" {
                self.plant("participantId", &json!(participant));
            }
            callers.push(Caller::inside(actor, column));
        }
        let (at_door, _) = self.knocks("someone at the door", "PARTICIPANT").await;
        let text = json!(format!("{} chat", self.mark));
        let said = json!({ "sessionId": session, "text": text });
        let said = self.does(&callers[0].actor, "sendMessage", said).await;
        self.plant("messageId", &said["messageId"]);
        self.plant("chatText", &text);
        self.targets.insert("chatPosition".to_owned(), said["position"].clone());
        let mut nothing = self.target("messageId");
        let last = if nothing.ends_with('0') { "1" } else { "0" };
        nothing.replace_range(nothing.len() - 1.., last);
        self.targets.insert("noMessageId".to_owned(), json!(nothing));
        callers.push(Caller::inside(at_door, "d"));
        callers
    }

    async fn knocks(&mut self, name: &str, role: &str) -> (Actor, String) {
        let (mark, owner, nobody) = (self.mark, self.owner.clone(), self.server.nobody());
        let input = json!({
            "roomId": self.target("roomId"), "displayName": format!("{mark} {name}"), "role": role,
            "email": format!("{mark}@example.org"), "notAfter": self.target("notAfter"),
        });
        let invited = self.does(&owner, "createInvitation", input).await;
        self.plant("invitationId", &invited["invitation"]["id"]);
        self.plant("secret", &invited["secret"]);
        let input = json!({ "invitationId": invited["invitation"]["id"], "secret": invited["secret"] });
        let ticket = self.does(&nobody, "exchangeInvitation", input).await;
        let input = json!({ "joinToken": ticket["joinToken"], "displayName": format!("{mark} {name}") });
        let entered = self.does(&nobody, "knock", input).await;
        let text = |field: &str| entered[field].as_str().expect("it was entered").to_owned();
        assert_eq!(entered["state"], if role.ends_with("HOST") { "ADMITTED" } else { "KNOCKING" });
        self.secrets.extend([text("participantId"), text("resumeSecret")]);
        (self.server.actor(name, &text("resumeSecret")), text("participantId"))
    }
}
