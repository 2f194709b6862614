//! A client of the public API, as any other program would be one: GraphQL over HTTP and over WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::failure::Failure;

/// How long an answer, or the next item of a subscription, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const SUBPROTOCOL: &str = "graphql-transport-ws";

/// The way to a server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    graphql: String,
    websocket: String,
}

impl Client {
    /// `url` is the server's, without a path: `http://127.0.0.1:4000`.
    pub fn try_new(url: &str) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Failure::wrong_use(format!("--url {url}: expected http://, a host and a port")));
        };
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build();
        let http = http.map_err(|error| Failure::caused("can't make an HTTP client", &error))?;
        Ok(Self { http, graphql: format!("{url}/graphql"), websocket: format!("ws://{rest}/graphql") })
    }

    /// Someone who calls with this credential, or with none.
    pub fn caller(&self, credential: Option<&str>) -> Caller {
        Caller { client: self.clone(), credential: credential.map(str::to_owned) }
    }
}

/// Someone who calls the API.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    credential: Option<String>,
}

impl Caller {
    /// The `data` of a query that must succeed.
    pub async fn asks(&self, document: &str, variables: Value) -> Result<Value, Failure> {
        let answer = self.send(document, &variables).await?;
        match error_of(&answer) {
            None => Ok(answer["data"].clone()),
            Some((code, message)) => Err(Failure::new(format!("the server answered {code}: {message}"))),
        }
    }

    /// The code with which an operation is refused; `None` when it is not.
    pub async fn refusal(&self, document: &str, variables: Value) -> Result<Option<String>, Failure> {
        let answer = self.send(document, &variables).await?;
        Ok(error_of(&answer).map(|(code, _)| code))
    }

    /// The payload of a mutation that must be done. `input_type` is the type of its input.
    pub async fn does(&self, mutation: &str, input_type: &str, input: Value, ask: &str) -> Result<Value, Failure> {
        let payload = self.tries(mutation, input_type, input, ask).await?;
        match payload["userErrors"].get(0) {
            None => Ok(payload),
            Some(error) => {
                Err(Failure::new(format!("{mutation}: {} {}", text(&error["code"]), text(&error["message"]))))
            }
        }
    }

    /// The code with which the domain rejects a mutation; `None` when it doesn't.
    pub async fn rejection(&self, mutation: &str, input_type: &str, input: Value) -> Result<Option<String>, Failure> {
        let payload = self.tries(mutation, input_type, input, "").await?;
        Ok(payload["userErrors"].get(0).map(|error| text(&error["code"]).to_owned()))
    }

    async fn tries(&self, mutation: &str, input_type: &str, input: Value, ask: &str) -> Result<Value, Failure> {
        let document = format!(
            "mutation($input: {input_type}!) {{ {mutation}(input: $input) \
             {{ {ask} position projected userErrors {{ field message code }} }} }}"
        );
        Ok(self.asks(&document, json!({ "input": input })).await?[mutation].clone())
    }

    async fn send(&self, document: &str, variables: &Value) -> Result<Value, Failure> {
        let mut request = self.client.http.post(&self.client.graphql);
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential);
        }
        let sent = request.json(&json!({ "query": document, "variables": variables })).send().await;
        let failed = |error: reqwest::Error| {
            let hint = "is the server there? `witan serve` starts one, --url names another place";
            Failure::new(format!("{}: {}; {hint}", self.client.graphql, Failure::caused("no answer", &error)))
        };
        sent.map_err(failed)?.json().await.map_err(failed)
    }

    /// Opens a WebSocket that shows that this caller is there.
    pub async fn connects(&self) -> Result<Connection, Failure> {
        self.open(None).await
    }

    /// Opens a WebSocket with one subscription, whose items are the value of `field`.
    pub async fn subscribes(&self, field: &str, document: &str, variables: Value) -> Result<Connection, Failure> {
        let payload = json!({ "query": document, "variables": variables });
        self.open(Some((field, json!({ "id": "1", "type": "subscribe", "payload": payload })))).await
    }

    async fn open(&self, subscription: Option<(&str, Value)>) -> Result<Connection, Failure> {
        let failed = |error| Failure::caused("the WebSocket", &error);
        let mut request = self.client.websocket.as_str().into_client_request().map_err(failed)?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let (mut stream, _) = connect_async(request).await.map_err(failed)?;
        let authorization = self.credential.as_ref().map(|credential| format!("Bearer {credential}"));
        let hello = json!({ "type": "connection_init", "payload": { "authorization": authorization } });
        send(&mut stream, &hello).await?;
        match timeout(ANSWER_WITHIN, receive(&mut stream)).await {
            Ok(Some(message)) if message["type"] == "connection_ack" => {}
            _ => return Err(Failure::new("the server did not acknowledge the WebSocket")),
        }
        let field = subscription.as_ref().map(|(field, _)| (*field).to_owned());
        if let Some((_, subscribe)) = subscription {
            send(&mut stream, &subscribe).await?;
        }
        let (sender, items) = mpsc::unbounded_channel();
        Ok(Connection { task: tokio::spawn(read(stream, field.unwrap_or_default(), sender)), items })
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open WebSocket. Dropping it cuts the line without a word, as a lost network does.
pub struct Connection {
    task: JoinHandle<()>,
    items: mpsc::UnboundedReceiver<Value>,
}

impl Connection {
    /// The subscription's next item.
    pub async fn next(&mut self) -> Result<Value, Failure> {
        match timeout(ANSWER_WITHIN, self.items.recv()).await {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(Failure::new("the subscription has ended")),
            Err(_) => Err(Failure::new("the subscription says nothing")),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads until the connection ends: hands on items, answers pings.
async fn read(mut stream: Stream, field: String, items: mpsc::UnboundedSender<Value>) {
    while let Some(message) = receive(&mut stream).await {
        match message["type"].as_str() {
            Some("ping") if send(&mut stream, &json!({ "type": "pong" })).await.is_err() => return,
            Some("next") if items.send(message["payload"]["data"][&field].clone()).is_err() => return,
            Some("error" | "complete") => return,
            _ => {}
        }
    }
}

async fn receive(stream: &mut Stream) -> Option<Value> {
    loop {
        match stream.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn send(stream: &mut Stream, message: &Value) -> Result<(), Failure> {
    let sent = stream.send(Message::text(message.to_string())).await;
    sent.map_err(|error| Failure::caused("the WebSocket", &error))
}

fn error_of(answer: &Value) -> Option<(String, String)> {
    let error = answer["errors"].get(0)?;
    Some((text(&error["extensions"]["code"]).to_owned(), text(&error["message"]).to_owned()))
}

/// A text of an answer; empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
