//! Who gets what: every field of the schema, called as every role, as nobody, and as everyone of another organization who
//! knows all the ids. The expected answers stand in `docs/roles.md`; `tenants/rows.rs` says which field asks for which
//! operation, and a field without a row fails.

mod expected;
mod feeds;
mod rows;
mod schema;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

use expected::Expected;
use rows::{Answer, BELOW, Below, PARTS, Place, ROWS, Row, Shown};
use schema::{Root, Schema, named};
use world::{Caller, Tenant};

/// How often a checkpoint over all that was made is looked for.
const LOOKS_MAX: u32 = 200;

struct World {
    schema: Schema,
    expected: Expected,
    /// The organization that is asked about.
    own: Tenant,
    /// The one whose people ask about it too.
    foreign: Tenant,
    nobody: Caller,
}

/// What was asked, and what came back.
struct Asked {
    /// Who asked what, for whoever reads of a failure.
    what: String,
    /// The text of the question: what the asker knew already.
    question: String,
    body: Value,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_answers_every_caller_as_the_docs_say() {
    let server = Server::start(Options::default());
    let schema = Schema::read(&server.owner()).await;
    let expected = Expected::read();
    let missing = missing_rows(&schema, &expected);
    assert!(missing.is_empty(), "{}", missing.join("\n"));

    let own = Tenant::found(&server, &schema, "plover").await;
    let foreign = Tenant::found(&server, &schema, "curlew").await;
    let world = World { schema, expected, own, foreign, nobody: Caller::nobody(server.nobody()) };
    world.wait_for_checkpoint().await;

    let mut wrong = world.foreigners_get_nothing().await;
    wrong.extend(world.everyone_gets_what_the_docs_say().await);
    wrong.extend(world.feeds().await);
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What `tenants/rows.rs` doesn't speak of.
fn missing_rows(schema: &Schema, expected: &Expected) -> Vec<String> {
    let mut missing = Vec::new();
    for root in [Root::Query, Root::Mutation, Root::Subscription] {
        for field in schema.fields(schema.root_name(root)) {
            if !ROWS.iter().any(|row| row.root == root && row.field == field.name) {
                missing.push(format!(
                    "{root:?}.{0} has no row: add one to ROWS in tests/tests/witan/tenants/rows.rs that names its \
                     operation of docs/roles.md (a new operation goes into crates/auth/src/operation.rs, and into a \
                     policy of crates/auth/policies).",
                    field.name
                ));
            }
        }
    }
    for (on, field) in schema.fields_that_lead_on() {
        let is_below = BELOW.iter().any(|row| row.on == on && row.field == field);
        if !is_below && !PARTS.contains(&(on.as_str(), field.as_str())) {
            missing.push(format!(
                "{on}.{field} has no row: add one in tests/tests/witan/tenants/rows.rs, to BELOW with the operation that \
                 guards it, or to PARTS if it is shown with what it is in."
            ));
        }
    }
    // Fields that are shown with their object: one that is new is looked at before it gets its line.
    let listed: BTreeSet<String> = include_str!("tenants/fields.txt").lines().map(str::to_owned).collect();
    let there = schema.fields_of_their_objects();
    missing.extend(there.difference(&listed).map(|field| {
        format!(
            "{field} has no line in tests/tests/witan/tenants/fields.txt: add it if whoever is shown the object may read it; \
             if not, guard it, and give it a row."
        )
    }));
    missing.extend(
        listed.difference(&there).map(|field| format!("{field} is in tenants/fields.txt and not in the schema.")),
    );
    let asked: BTreeSet<&str> =
        ROWS.iter().flat_map(Row::operations).chain(BELOW.iter().flat_map(|row| row.all_of.iter().copied())).collect();
    for operation in expected.operations().filter(|operation| !asked.contains(operation)) {
        missing.push(format!(
            "the operation {operation} of docs/roles.md is asked by no row of tests/tests/witan/tenants/rows.rs."
        ));
    }
    missing
}

fn parsed(json: &str) -> Value {
    if json.is_empty() { Value::Null } else { serde_json::from_str(json).expect("a row's arguments are JSON") }
}

/// `over` on top of `under`, objects within each other.
fn merged(under: Value, over: Value) -> Value {
    match (under, over) {
        (Value::Object(mut under), Value::Object(over)) => {
            for (name, value) in over {
                let below = under.remove(&name).unwrap_or(Value::Null);
                under.insert(name, merged(below, value));
            }
            Value::Object(under)
        }
        (under, Value::Null) => under,
        (_, over) => over,
    }
}

/// The codes of everything that was answered as an error, or as a `userErrors`.
fn codes<'a>(asked: &'a Asked, field: &str) -> Vec<&'a str> {
    let errors = asked.body["errors"].as_array().into_iter().flatten().map(|error| &error["extensions"]["code"]);
    let rejected = asked.body["data"][field]["userErrors"].as_array().into_iter().flatten().map(|error| &error["code"]);
    errors.chain(rejected).map(|code| code.as_str().unwrap_or("without a code")).collect()
}

fn is_shown(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty() || values.iter().any(is_shown),
        value => !value.is_null(),
    }
}

fn without_fault(asked: &Asked) -> Option<String> {
    let text = asked.body.to_string();
    let faulty =
        text.contains("\"INTERNAL\"") || asked.body.get("data").is_none() && asked.body.get("errors").is_none();
    faulty.then(|| format!("{}: {text}", asked.what))
}

impl World {
    /// Proofs need a checkpoint over what they are asked of.
    async fn wait_for_checkpoint(&self) {
        let owner = self.own.owner();
        let newest = owner.sees("{ auditTrail(last: 1) { edges { node { position } } } }", json!({})).await;
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).expect("it is a number");
        let position = number(&newest["auditTrail"]["edges"][0]["node"]["position"]);
        for _ in 0..LOOKS_MAX {
            let seen = owner.sees("{ checkpoint { treeSize } }", json!({})).await;
            if seen["checkpoint"]["treeSize"].is_string() && number(&seen["checkpoint"]["treeSize"]) >= position {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no checkpoint covers position {position}");
    }

    async fn ask(&self, caller: &Caller, row: &Row, targets: &Map<String, Value>, in_vain: bool) -> Asked {
        let (document, arguments) = self.question(row, targets, in_vain);
        self.send(&caller.actor, document, arguments).await
    }

    fn question(&self, row: &Row, targets: &Map<String, Value>, in_vain: bool) -> (String, Value) {
        let field = self.schema.field(self.schema.root_name(row.root), row.field);
        let with = if in_vain { merged(parsed(row.with), parsed(row.in_vain)) } else { parsed(row.with) };
        let arguments = self.schema.arguments(&field, &with, targets, in_vain);
        let is_guarded = |on: &str, field: &str| BELOW.iter().any(|row| row.on == on && row.field == field);
        let selection = match row.root {
            Root::Mutation => self.schema.payload_selection(&field.of.name),
            Root::Query | Root::Subscription => self.schema.selection(&field.of.name, &is_guarded),
        };
        (self.schema.document(row.root, &field, &arguments, &selection), arguments)
    }

    async fn send(&self, actor: &Actor, document: String, variables: Value) -> Asked {
        let question = format!("{document} {variables}");
        let what = format!("{} asks {}", actor.name(), question.split(" { ").take(2).collect::<Vec<_>>().join(" { "));
        let body = actor.asks(&document, variables.clone()).await.body;
        Asked { what: format!("{what} … {variables}"), question, body }
    }

    async fn ask_below(&self, caller: &Caller, row: &Below, targets: &Map<String, Value>) -> Asked {
        let mut document = format!("{{ {} }}", row.query);
        let mut names: Vec<&String> = targets.keys().collect();
        // `$sessionId` before `$session`, were there both.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            document = document.replace(&format!("${name}"), &named(&json!(format!("${name}")), targets).to_string());
        }
        self.send(&caller.actor, document, json!({})).await
    }

    /// What an answer tells of the first organization that the question didn't.
    fn told(&self, asked: &Asked) -> Option<String> {
        let text = asked.body.to_string();
        let named = self.own.secrets.iter().find(|secret| text.contains(*secret) && !asked.question.contains(*secret));
        let told = named.map(String::as_str).or_else(|| text.contains(self.own.mark).then_some(self.own.mark));
        told.map(|told| format!("{}: was told {told}: {text}", asked.what))
    }

    /// People of the other organization, with everything that they can know of the first; nothing may come of it there.
    async fn foreigners_get_nothing(&self) -> Vec<String> {
        let before = self.newest_position().await;
        // Its secrets are what nobody outside has.
        let mut targets = self.own.targets.clone();
        targets.insert("secret".to_owned(), self.foreign.targets["secret"].clone());
        let targets = &targets;
        let callers = self.foreign.callers.iter().chain([&self.nobody]);
        let asked = join_all(callers.map(|caller| async move {
            let mut wrong = Vec::new();
            for row in ROWS.iter().filter(|row| row.root != Root::Subscription) {
                let asked = self.ask(caller, row, targets, false).await;
                wrong.extend(without_fault(&asked));
                wrong.extend(self.told(&asked));
                wrong.extend(self.something_for_a_stranger(row, &asked));
            }
            for row in BELOW {
                let asked = self.ask_below(caller, row, targets).await;
                wrong.extend(without_fault(&asked));
                wrong.extend(self.told(&asked));
            }
            wrong
        }))
        .await;
        let mut wrong: Vec<String> = asked.into_iter().flatten().collect();
        wrong.extend(self.recorded_since(before).await);
        wrong
    }

    /// Whatever names something of the first organization is answered as if it weren't there.
    fn something_for_a_stranger(&self, row: &Row, asked: &Asked) -> Option<String> {
        if !self.own.secrets.iter().any(|secret| asked.question.contains(secret)) {
            return None;
        }
        let answer = &asked.body["data"][row.field];
        let empty = match row.root {
            Root::Mutation => has_only_errors(answer),
            Root::Query | Root::Subscription => answer.is_null() || answer == &json!([null]),
        };
        (!empty).then(|| format!("{}: {}", asked.what, asked.body))
    }

    async fn newest_position(&self) -> u64 {
        let seen = self.own.owner().sees("{ auditTrail(last: 1) { edges { node { position } } } }", json!({})).await;
        let position = seen["auditTrail"]["edges"][0]["node"]["position"].as_str();
        position.and_then(|position| position.parse().ok()).expect("the trail has a position")
    }

    /// Nothing that a stranger does is recorded in the organization. What witan does by itself may come between.
    async fn recorded_since(&self, before: u64) -> Vec<String> {
        let document = "{ auditTrail(last: 100) { edges { node { position type actor { kind } } } } }";
        let seen = self.own.owner().sees(document, json!({})).await;
        let events = seen["auditTrail"]["edges"].as_array().into_iter().flatten().map(|edge| &edge["node"]);
        let new = events.filter(|event| {
            let position = event["position"].as_str().and_then(|position| position.parse::<u64>().ok());
            position.is_some_and(|position| position > before) && event["actor"]["kind"] != "SYSTEM"
        });
        new.map(|event| format!("a stranger's call was recorded in the organization: {event}")).collect()
    }

    async fn everyone_gets_what_the_docs_say(&self) -> Vec<String> {
        let callers = self.own.callers.iter().chain([&self.nobody]);
        let asked = join_all(callers.map(|caller| async move {
            let mut targets = self.own.targets.clone();
            targets.extend(caller.own.clone());
            let mut wrong = Vec::new();
            for row in ROWS.iter().filter(|row| row.root != Root::Subscription) {
                let asked = self.ask(caller, row, &targets, true).await;
                wrong.extend(without_fault(&asked));
                wrong.extend(self.otherwise(caller, row, &asked));
            }
            for row in BELOW {
                let asked = self.ask_below(caller, row, &targets).await;
                wrong.extend(without_fault(&asked));
                wrong.extend(self.otherwise_below(caller, row, &asked, &targets));
            }
            wrong
        }))
        .await;
        asked.into_iter().flatten().collect()
    }

    /// Whether the docs say that the caller may do this, there.
    fn may(&self, caller: &Caller, operation: &str, place: Place, oneself: &str) -> bool {
        self.expected.allows(operation, &caller.columns(operation, place, oneself), caller.limited_to)
    }

    fn may_any(&self, caller: &Caller, row: &Row) -> bool {
        row.operations().iter().any(|operation| self.may(caller, operation, row.place, ""))
    }

    /// In which way the answer is another than the docs say.
    fn otherwise(&self, caller: &Caller, row: &Row, asked: &Asked) -> Option<String> {
        let found = codes(asked, row.field);
        let answer = &asked.body["data"][row.field];
        let say = |expected: &str| Some(format!("{}: expected {expected}, found {}", asked.what, asked.body));
        if let Answer::Bearer { code, .. } = row.answer {
            return if found == [code] { None } else { say(code) };
        }
        if !self.may_any(caller, row) {
            let refusal = if caller.is_nobody() { row.to_nobody } else { "FORBIDDEN" };
            let is_refused = found == [refusal] && (!is_shown_at_all(answer) || has_only_errors(answer));
            return if is_refused { self.told(asked) } else { say(refusal) };
        }
        let refused = ["FORBIDDEN", "UNAUTHENTICATED", "NOT_FOUND"];
        let is_allowed = match row.root {
            // What was refused for another reason was allowed before.
            Root::Mutation => !found.iter().any(|code| refused.contains(code)) && answer.is_object(),
            Root::Query | Root::Subscription => found.is_empty() && is_shown(answer),
        };
        if is_allowed { None } else { say("that they may") }
    }

    fn otherwise_below(
        &self,
        caller: &Caller,
        row: &Below,
        asked: &Asked,
        targets: &Map<String, Value>,
    ) -> Option<String> {
        let may = row.all_of.iter().all(|operation| self.may(caller, operation, row.place, row.oneself));
        let is_shown = match row.shown {
            Shown::At(pointer) => asked.body["data"].pointer(pointer).is_some_and(|value| !value.is_null()),
            Shown::Names(target) => {
                let text = targets[target].as_str().expect("targets are texts");
                asked.body["data"].to_string().contains(text)
            }
        };
        let found = codes(asked, "");
        let is_in_order = found.iter().all(|code| ["FORBIDDEN", "UNAUTHENTICATED"].contains(code));
        let as_said = is_shown == may && is_in_order && (!may || found.is_empty());
        let expected = if may { "shown" } else { "not shown" };
        (!as_said)
            .then(|| format!("{}: {}.{} expected {expected}, found {}", asked.what, row.on, row.field, asked.body))
    }
}

/// Whether a mutation's payload says nothing but why nothing was done; so too where there is none.
fn has_only_errors(answer: &Value) -> bool {
    let said = answer.as_object().into_iter().flatten();
    said.into_iter().all(|(name, value)| ["userErrors", "projected"].contains(&name.as_str()) || value.is_null())
}

/// Whether anything is there but nulls.
fn is_shown_at_all(answer: &Value) -> bool {
    match answer {
        Value::Array(values) => values.iter().any(is_shown_at_all),
        value => !value.is_null(),
    }
}
