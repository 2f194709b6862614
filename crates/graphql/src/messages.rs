//! The messages of `graphql-transport-ws`, and how a connection is closed.

use std::{borrow::Cow, sync::atomic::Ordering};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::error::Elapsed;

use crate::{authenticate::Authenticate, http::Endpoint, scan::scan_json};

/// Bytes of a close frame's reason (RFC 6455, section 5.5: 125 with the code).
const REASON_BYTES_MAX: usize = 123;

/// The codes with which this server closes a connection.
pub mod close {
    /// The server is going away (RFC 6455, section 7.4.1).
    pub const GOING_AWAY: u16 = 1001;
    /// A message over the limit.
    pub const TOO_BIG: u16 = 1009;
    /// The client reads too slowly, or its credential has too many connections: come again.
    pub const TRY_AGAIN: u16 = 1013;
    pub const INVALID_MESSAGE: u16 = 4400;
    pub const UNAUTHORIZED: u16 = 4401;
    pub const FORBIDDEN: u16 = 4403;
    pub const BAD_SUBPROTOCOL: u16 = 4406;
    pub const INIT_TIMEOUT: u16 = 4408;
    pub const SUBSCRIBER_EXISTS: u16 = 4409;
    pub const TOO_MANY_INITS: u16 = 4429;
    pub const INTERNAL: u16 = 4500;
}

/// Why a connection ends from our side.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has closed it, or it is broken.
    Gone,
    Close {
        code: u16,
        reason: Cow<'static, str>,
    },
    /// Each subscription is told where to resume, then the connection is closed.
    Farewell {
        code: u16,
        error_code: &'static str,
        message: &'static str,
    },
}

impl End {
    pub(crate) fn close(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close { code, reason: reason.into() }
    }

    pub(crate) fn invalid(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::close(close::INVALID_MESSAGE, reason)
    }

    pub(crate) const TOO_SLOW: Self = Self::Farewell {
        code: close::TRY_AGAIN,
        error_code: "TOO_SLOW",
        message: "What was sent was not read in time. Subscribe again after resumeAfter.",
    };

    pub(crate) const SHUTTING_DOWN: Self = Self::Farewell {
        code: close::GOING_AWAY,
        error_code: "SHUTTING_DOWN",
        message: "The server is stopping. Subscribe again after resumeAfter.",
    };
}

/// A message of the client.
#[derive(Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Option<String>,
    #[serde(borrow)]
    pub(crate) payload: Option<&'a RawValue>,
}

/// A message of the server.
#[derive(Serialize)]
struct Outgoing<'a, P> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<P>,
}

pub(crate) fn message<P: Serialize>(id: Option<&str>, kind: &'static str, payload: Option<P>) -> Result<Message, End> {
    match serde_json::to_string(&Outgoing { id, kind, payload }) {
        Ok(text) => Ok(Message::Text(text.into())),
        Err(_) => Err(End::close(close::INTERNAL, "Internal server error")),
    }
}

pub(crate) fn parse<'a, E, A: Authenticate>(endpoint: &Endpoint<E, A>, text: &'a str) -> Result<Incoming<'a>, End> {
    scan_json(text.as_bytes(), &endpoint.limits).map_err(|refused| {
        endpoint.figures.refused.fetch_add(1, Ordering::Relaxed);
        endpoint.figures.errors.count(refused.code());
        End::invalid(refused.to_string())
    })?;
    serde_json::from_str(text).map_err(|error| End::invalid(format!("Invalid message: {error}")))
}

/// What a frame is to us: text to read, nothing to do, or an end. Pings are answered by the WebSocket layer.
pub(crate) fn text_of(received: Option<Result<Message, axum::Error>>) -> Result<Option<Utf8Bytes>, End> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(_))) => Err(End::invalid("Invalid message: send text, not bytes")),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(error)) if is_too_big(&error) => Err(End::close(close::TOO_BIG, "Message too big")),
        Some(Err(_)) => Err(End::Gone),
    }
}

/// Whether a frame or message was over our limit. The error's type belongs to a crate that axum keeps to itself.
fn is_too_big(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().starts_with("Space limit exceeded"))
}

/// Sends the close frame and waits for the client's: closing with unread bytes would reset the connection and lose it.
pub(crate) async fn say_goodbye(socket: &mut WebSocket, code: u16, reason: &str) {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let frame = CloseFrame { code, reason: Utf8Bytes::from(&reason[..end]) };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

pub(crate) fn in_time(outcome: Result<Result<(), axum::Error>, Elapsed>) -> Result<(), End> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::TOO_SLOW),
    }
}
