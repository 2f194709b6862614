//! The schema as the server tells it, and what can be made from it: arguments for any field, a selection of any type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use witan_tests::actor::Actor;

const INTROSPECTION: &str = "
    fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }
    { __schema { queryType { name } mutationType { name } subscriptionType { name } types { kind name
      fields { name args { name defaultValue type { ...T } } type { ...T } }
      inputFields { name defaultValue type { ...T } } enumValues { name } } } }";

/// A version that no stream has: whoever may change a thing is told so, and nothing changes.
const VERSION_NEVER: u64 = 999_999;

/// Said in a row of what is to be left out.
const ABSENT: &str = "$absent";

/// Where each kind of operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Query,
    Mutation,
    Subscription,
}

pub struct Schema {
    types: BTreeMap<String, Value>,
    roots: [String; 3],
}

pub struct Field {
    pub name: String,
    pub arguments: Vec<Input>,
    pub of: Type,
}

pub struct Input {
    pub name: String,
    of: Type,
    has_default: bool,
}

/// A type as it stands behind a field: `[Session!]!` is a required list of `Session`.
pub struct Type {
    pub text: String,
    pub name: String,
    kind: String,
    required: bool,
    list: bool,
}

impl Type {
    fn read(told: &Value) -> Type {
        let kind = told["kind"].as_str().unwrap_or_default();
        let inner = || Type::read(&told["ofType"]);
        match kind {
            "NON_NULL" => Type { text: format!("{}!", inner().text), required: true, ..inner() },
            "LIST" => Type { text: format!("[{}]", inner().text), list: true, required: false, ..inner() },
            _ => {
                let name = text(&told["name"]);
                Type { text: name.clone(), name, kind: kind.to_owned(), required: false, list: false }
            }
        }
    }

    fn is_leaf(&self) -> bool {
        ["SCALAR", "ENUM"].contains(&self.kind.as_str())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn inputs(told: &Value) -> Vec<Input> {
    let input = |told: &Value| Input {
        name: text(&told["name"]),
        of: Type::read(&told["type"]),
        has_default: !told["defaultValue"].is_null(),
    };
    items(told).map(input).collect()
}

impl Schema {
    pub async fn read(actor: &Actor) -> Schema {
        let seen = actor.sees(INTROSPECTION, json!({})).await;
        let schema = &seen["__schema"];
        let types = items(&schema["types"]).map(|told| (text(&told["name"]), told.clone())).collect();
        let root = |name: &str| text(&schema[name]["name"]);
        Schema { types, roots: [root("queryType"), root("mutationType"), root("subscriptionType")] }
    }

    pub fn root_name(&self, root: Root) -> &str {
        &self.roots[root as usize]
    }

    pub fn fields(&self, of: &str) -> Vec<Field> {
        let field = |told: &Value| Field {
            name: text(&told["name"]),
            arguments: inputs(&told["args"]),
            of: Type::read(&told["type"]),
        };
        self.types.get(of).map(|told| items(&told["fields"]).map(field).collect()).unwrap_or_default()
    }

    pub fn field(&self, of: &str, name: &str) -> Field {
        let found = self.fields(of).into_iter().find(|field| field.name == name);
        found.unwrap_or_else(|| panic!("tenants/rows.rs has a row for {of}.{name}, which the schema doesn't have"))
    }

    /// Fields that lead to something that has an id or is private: each is guarded, or a part of what it is in.
    pub fn fields_that_lead_on(&self) -> Vec<(String, String)> {
        let is_answer = |name: &str| {
            name.starts_with("__")
                || ["Payload", "Connection", "Edge"].iter().any(|end| name.ends_with(end))
                || self.roots.iter().any(|root| root == name)
        };
        let objects = self.types.iter().filter(|(name, told)| told["kind"] == "OBJECT" && !is_answer(name));
        let mut found = Vec::new();
        for (name, _) in objects {
            for field in self.fields(name) {
                if !field.arguments.is_empty() || self.leads_to_an_entity(&field.of.name, &mut BTreeSet::new()) {
                    found.push((name.clone(), field.name));
                }
            }
        }
        found
    }

    /// All other fields of objects, as `Type.field`: each is shown to whoever is shown its object.
    pub fn fields_of_their_objects(&self) -> BTreeSet<String> {
        let led: BTreeSet<_> = self.fields_that_lead_on().into_iter().collect();
        let is_own = |name: &str| !name.starts_with("__") && !self.roots.iter().any(|root| root == name);
        let objects = self.types.iter().filter(|(name, told)| told["kind"] == "OBJECT" && is_own(name));
        let fields =
            objects.flat_map(|(name, _)| self.fields(name).into_iter().map(move |field| (name.clone(), field.name)));
        fields.filter(|field| !led.contains(field)).map(|(on, field)| format!("{on}.{field}")).collect()
    }

    fn leads_to_an_entity(&self, name: &str, seen: &mut BTreeSet<String>) -> bool {
        let fields = self.fields(name);
        name == "PrivateText"
            || fields.iter().any(|field| field.name == "id")
            || (seen.insert(name.to_owned())
                && fields.iter().any(|field| self.leads_to_an_entity(&field.of.name, seen)))
    }

    /// Everything of a type that can be asked without arguments, down to its leaves, but for what `is_guarded` by an
    /// operation of its own.
    pub fn selection(&self, of: &str, is_guarded: &dyn Fn(&str, &str) -> bool) -> String {
        match self.types.get(of).and_then(|told| told["kind"].as_str()) {
            Some("OBJECT") => {}
            Some("INTERFACE") => return " { __typename id }".to_owned(),
            Some("UNION") => return " { __typename }".to_owned(),
            _ => return String::new(),
        }
        let asked = self.fields(of).into_iter().filter(|field| {
            !is_guarded(of, &field.name) && field.arguments.iter().all(|input| !input.of.required || input.has_default)
        });
        let parts: Vec<String> = asked
            .map(|field| match field.of.is_leaf() {
                true => field.name,
                false => format!("{}{}", field.name, self.selection(&field.of.name, is_guarded)),
            })
            .collect();
        format!(" {{ {} }}", parts.join(" "))
    }

    /// What a mutation's payload says: its leaves, and the id of what it shows.
    pub fn payload_selection(&self, of: &str) -> String {
        let parts: Vec<String> = self
            .fields(of)
            .into_iter()
            .map(|field| match (field.of.is_leaf(), field.name.as_str()) {
                (true, _) => field.name,
                (false, "userErrors") => "userErrors { code field message }".to_owned(),
                (false, _) if self.fields(&field.of.name).iter().any(|inner| inner.name == "id") => {
                    format!("{} {{ id }}", field.name)
                }
                (false, _) => format!("{} {{ __typename }}", field.name),
            })
            .collect();
        format!(" {{ {} }}", parts.join(" "))
    }

    /// Arguments of a field: what `with` says; the targets of the same name; else the plainest value of the type.
    /// `in_vain`: with a version that nothing has.
    pub fn arguments(&self, field: &Field, with: &Value, targets: &Map<String, Value>, in_vain: bool) -> Value {
        self.object(&field.arguments, with, targets, in_vain)
    }

    fn object(&self, inputs: &[Input], with: &Value, targets: &Map<String, Value>, in_vain: bool) -> Value {
        let mut object = Map::new();
        for input in inputs {
            let given = &with[&input.name];
            let target = targets.get(&input.name);
            let value = match input.of.kind.as_str() {
                "INPUT_OBJECT" if !input.of.list && (input.of.required || !given.is_null()) => {
                    Some(self.input_object(&input.of.name, given, targets, in_vain))
                }
                _ if given == ABSENT => None,
                _ if !given.is_null() => Some(named(given, targets)),
                _ if input.name == "expectedVersion" => in_vain.then(|| json!(VERSION_NEVER)),
                _ if target.is_some() && (input.of.required || input.of.name == "ID") => target.cloned(),
                _ if input.of.required && !input.has_default => Some(self.plainest(&input.of)),
                _ => None,
            };
            value.and_then(|value| object.insert(input.name.clone(), value));
        }
        Value::Object(object)
    }

    fn input_object(&self, name: &str, given: &Value, targets: &Map<String, Value>, in_vain: bool) -> Value {
        let fields = self.types.get(name).map(|told| inputs(&told["inputFields"])).unwrap_or_default();
        self.object(&fields, given, targets, in_vain)
    }

    fn plainest(&self, of: &Type) -> Value {
        if of.list {
            return json!([]);
        }
        match of.name.as_str() {
            "Int" => json!(1),
            "Boolean" => json!(false),
            "JSON" => json!({}),
            // Good as a name, a slug, a login, a language.
            "String" => json!("en"),
            name => {
                let first = self.types.get(name).and_then(|told| told["enumValues"][0]["name"].as_str());
                json!(first.unwrap_or_else(|| panic!("no value of type {name} is known: give one in tenants/rows.rs")))
            }
        }
    }

    /// The document of one field with its arguments as variables.
    pub fn document(&self, root: Root, field: &Field, arguments: &Value, selection: &str) -> String {
        let given = |input: &&Input| arguments.get(&input.name).is_some();
        let declared: Vec<String> =
            field.arguments.iter().filter(given).map(|input| format!("${}: {}", input.name, input.of.text)).collect();
        let passed: Vec<String> =
            field.arguments.iter().filter(given).map(|input| format!("{0}: ${0}", input.name)).collect();
        let in_brackets =
            |parts: &[String]| if parts.is_empty() { String::new() } else { format!("({})", parts.join(", ")) };
        let kind = match root {
            Root::Query => "query",
            Root::Mutation => "mutation",
            Root::Subscription => "subscription",
        };
        format!("{kind}{} {{ {}{}{selection} }}", in_brackets(&declared), field.name, in_brackets(&passed))
    }
}

/// `$roomId` in a row stands for the target of that name.
pub fn named(value: &Value, targets: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => targets.get(name).cloned().unwrap_or_else(|| panic!("there is no target {text}")),
            None => value.clone(),
        },
        Value::Array(values) => values.iter().map(|value| named(value, targets)).collect(),
        Value::Object(object) => {
            Value::Object(object.iter().map(|(name, value)| (name.clone(), named(value, targets))).collect())
        }
        _ => value.clone(),
    }
}
