//! People and machines that use the API.

use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::schema;
use crate::socket::Socket;

/// Someone who acts, by the name of their role: `owner`, `host`, `patient`.
#[derive(Clone, Debug)]
pub struct Actor {
    name: String,
    client: Client,
}

/// A mutation that was recorded: its payload.
#[derive(Clone, Debug)]
pub struct Done(pub Value);

/// A mutation that the domain refused: the first of its `userErrors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub code: String,
    pub message: String,
}

impl Actor {
    pub fn new(name: &str, client: Client) -> Actor {
        Actor { name: name.to_owned(), client }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A query or mutation in full, and whatever comes back.
    pub async fn asks(&self, document: &str, variables: Value) -> Answer {
        let answer = self.client.send(document, variables).await;
        answer.unwrap_or_else(|error| panic!("{} got no answer: {error:?}", self.name))
    }

    /// The `data` of a query that must succeed.
    pub async fn sees(&self, document: &str, variables: Value) -> Value {
        self.asks(document, variables).await.data().clone()
    }

    /// The `extensions.code` of a query or mutation that must fail as a whole.
    pub async fn is_refused(&self, document: &str, variables: Value) -> String {
        let answer = self.asks(document, variables).await;
        let code = answer.code().unwrap_or_else(|| panic!("{} was not refused: {:#}", self.name, answer.body));
        code.to_owned()
    }

    /// A mutation with one input, of which `selection` is asked; it must be recorded.
    pub async fn does(&self, mutation: &str, input: Value, selection: &str) -> Done {
        match self.tries(mutation, input, selection).await {
            Ok(done) => done,
            Err(rejected) => panic!("{}: {mutation} was rejected: {rejected:?}", self.name),
        }
    }

    /// The code with which the domain rejects the mutation.
    pub async fn may_not(&self, mutation: &str, input: Value) -> String {
        match self.tries(mutation, input, "").await {
            Ok(done) => panic!("{}: {mutation} was recorded: {done:?}", self.name),
            Err(rejected) => rejected.code,
        }
    }

    /// A mutation with one input; the domain may reject it.
    pub async fn tries(&self, mutation: &str, input: Value, selection: &str) -> Result<Done, Rejected> {
        let answer = self.asks(&document(mutation, selection), json!({ "input": input })).await;
        let payload = &answer.data()[mutation];
        match payload["userErrors"].as_array().and_then(|errors| errors.first()) {
            None => Ok(Done(payload.clone())),
            Some(error) => {
                let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
                Err(Rejected { code: text("code"), message: text("message") })
            }
        }
    }

    /// A WebSocket on which the server has acknowledged this actor.
    pub async fn socket(&self) -> Socket {
        self.client.socket().await
    }
}

/// The text of a mutation with one input: all of ours have this shape.
fn document(mutation: &str, selection: &str) -> String {
    let input = schema::input_type(mutation);
    format!(
        "mutation($input: {input}!) {{ {mutation}(input: $input) \
         {{ {selection} userErrors {{ field message code }} position projected }} }}"
    )
}

impl Done {
    /// The position of the last event that the mutation recorded.
    pub fn position(&self) -> u64 {
        let position = &self.0["position"];
        let text = position.as_str().map(str::to_owned).unwrap_or_else(|| position.to_string());
        text.parse().unwrap_or_else(|_| panic!("no position in {:#}", self.0))
    }

    /// A text in the payload, by its path: `done.text("/session/id")`.
    pub fn text(&self, pointer: &str) -> String {
        let found = self.0.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} in {:#}", self.0)).to_owned()
    }
}
