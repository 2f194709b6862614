//! GraphQL over WebSocket: the client's side of graphql-transport-ws.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const MESSAGE_SECONDS_MAX: u64 = 30;

/// One connection; it can carry many subscriptions, each with an id that the test chooses.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What came out of the socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    Message(Value),
    /// The server closed, with its code and reason.
    Closed(u16, String),
    /// The connection is gone without a close frame.
    Lost,
}

impl Socket {
    /// Connects with the subprotocol, and says nothing yet.
    pub async fn connect(url: &str) -> Socket {
        Socket::try_connect(url, Some("graphql-transport-ws")).await.expect("the server upgrades to a WebSocket")
    }

    pub async fn try_connect(
        url: &str,
        subprotocol: Option<&str>,
    ) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
        let mut request = url.into_client_request()?;
        if let Some(subprotocol) = subprotocol {
            let value = subprotocol.parse().expect("a subprotocol is a header value");
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let (stream, _) = connect_async(request).await?;
        Ok(Socket { stream })
    }

    /// Connects over a stream that was made as the test wants it.
    pub async fn connect_over(stream: TcpStream, url: &str) -> Socket {
        let mut request = url.into_client_request().expect("the server's URL is one");
        let value = "graphql-transport-ws".parse().expect("a subprotocol is a header value");
        request.headers_mut().insert("sec-websocket-protocol", value);
        let made = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream)).await;
        Socket { stream: made.expect("the server upgrades to a WebSocket").0 }
    }

    /// `connection_init` with the credential, and waits for `connection_ack`.
    pub async fn say_hello(&mut self, credential: Option<&str>) {
        let payload = credential.map(|credential| json!({ "Authorization": format!("Bearer {credential}") }));
        self.send(&json!({ "type": "connection_init", "payload": payload.unwrap_or_else(|| json!({})) })).await;
        match self.receive().await {
            Received::Message(message) if message["type"] == "connection_ack" => {}
            other => panic!("the server did not acknowledge: {other:?}"),
        }
    }

    pub async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.send(&json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    pub async fn complete(&mut self, id: &str) {
        self.send(&json!({ "type": "complete", "id": id })).await;
    }

    pub async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    /// Sends what need not be a message of the protocol.
    pub async fn send_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.expect("the connection is open");
    }

    /// The next message of the protocol; pings are answered on the way.
    pub async fn receive(&mut self) -> Received {
        let received = self.receive_within(Duration::from_secs(MESSAGE_SECONDS_MAX)).await;
        received.unwrap_or_else(|| panic!("nothing came within {MESSAGE_SECONDS_MAX} s"))
    }

    /// The next message of the protocol, or `None` when the time is over.
    pub async fn receive_within(&mut self, time: Duration) -> Option<Received> {
        timeout(time, self.receive_unbounded()).await.ok()
    }

    /// The next message of the protocol, however long it takes.
    pub async fn receive_unbounded(&mut self) -> Received {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("the server sends JSON");
                    if message["type"] != "ping" {
                        return Received::Message(message);
                    }
                    self.send(&json!({ "type": "pong" })).await;
                }
                Some(Ok(Message::Close(frame))) => {
                    return frame
                        .map_or(Received::Lost, |frame| Received::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Lost,
            }
        }
    }

    /// The next text as it came, for who measures and reads it later; `None` when the connection ends.
    pub async fn receive_text(&mut self) -> Option<String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The `data` of the next item of the subscription.
    pub async fn next(&mut self, id: &str) -> Value {
        loop {
            match self.receive().await {
                Received::Message(message) if message["id"] == id && message["type"] == "next" => {
                    let payload = &message["payload"];
                    assert!(payload.get("errors").is_none(), "the subscription failed: {payload:#}");
                    return payload["data"].clone();
                }
                // Items of the connection's other subscriptions.
                Received::Message(message) if message["id"] != id => {}
                other => panic!("no item of subscription {id}, but {other:?}"),
            }
        }
    }

    /// Waits until the server closes, and gives its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.receive().await {
                Received::Closed(code, _) => return code,
                Received::Message(_) => {}
                Received::Lost => panic!("the connection was lost without a close frame"),
            }
        }
    }
}
