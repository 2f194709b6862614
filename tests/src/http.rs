//! GraphQL over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::socket::Socket;

const ANSWER_SECONDS_MAX: u64 = 60;

/// Someone's way to the API: where it is, and the credential that says who they are.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    graphql_url: String,
    websocket_url: String,
    credential: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn new(graphql_url: &str, websocket_url: &str, credential: Option<&str>) -> Client {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(ANSWER_SECONDS_MAX)).no_proxy().build();
        Client {
            http: http.expect("a client without TLS can always be made"),
            graphql_url: graphql_url.to_owned(),
            websocket_url: websocket_url.to_owned(),
            credential: credential.map(str::to_owned),
        }
    }

    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// Sends an operation and gives whatever comes back.
    pub async fn send(&self, document: &str, variables: Value) -> Result<Answer, reqwest::Error> {
        let body = json!({ "query": document, "variables": variables });
        let mut request = self.http.post(&self.graphql_url).json(&body);
        request = request.header("accept", "application/graphql-response+json");
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }

    /// Opens a WebSocket, says hello with the credential, and waits until the server has acknowledged.
    pub async fn socket(&self) -> Socket {
        let mut socket = Socket::connect(&self.websocket_url).await;
        socket.say_hello(self.credential()).await;
        socket
    }

    pub fn websocket_url(&self) -> &str {
        &self.websocket_url
    }
}

impl Answer {
    /// The `data`, of an answer without errors.
    pub fn data(&self) -> &Value {
        assert!(self.body.get("errors").is_none(), "the server answered {}: {:#}", self.status, self.body);
        assert!(self.body["data"].is_object(), "the server answered {} without data: {:#}", self.status, self.body);
        &self.body["data"]
    }

    /// The `extensions.code` of the first error.
    pub fn code(&self) -> Option<&str> {
        self.body["errors"][0]["extensions"]["code"].as_str()
    }
}
