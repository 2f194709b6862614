//! How a WebSocket connection begins: `connection_init`, who it is, `connection_ack`; and that its end is always told.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use async_graphql::Executor;
use axum::extract::ws::WebSocket;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::{
    authenticate::{Authenticate, Authenticated, Refusal, Share, parse_bearer},
    http::Endpoint,
    messages::{End, close, message, parse, text_of},
    response::{Fault, log_fault},
};

/// From the upgrade to `connection_ack`.
pub(crate) async fn greet<E: Executor, A: Authenticate>(
    endpoint: &Arc<Endpoint<E, A>>,
    socket: &mut WebSocket,
    credential: Option<String>,
) -> Result<Presence<E, A>, End> {
    let from_payload = timeout(endpoint.limits.init_time_max, wait_for_init(endpoint, socket))
        .await
        .map_err(|_| End::close(close::INIT_TIMEOUT, "Connection initialisation timeout"))??;
    let credential = from_payload.or(credential);
    let id = endpoint.authenticate.new_request_id();
    let who = endpoint.authenticate.authenticate(credential.as_deref(), id).await.map_err(|refusal| {
        endpoint.figures.unauthenticated.fetch_add(1, Ordering::Relaxed);
        match refusal {
            Refusal::Unauthenticated => End::close(close::UNAUTHORIZED, "Unauthorized"),
            Refusal::Forbidden { message, .. } => End::close(close::FORBIDDEN, format!("Forbidden: {message}")),
            Refusal::Unavailable(message) => End::close(close::TRY_AGAIN, message),
            Refusal::Fault(fault) => {
                log_fault(id, &Fault::from(fault));
                End::close(close::INTERNAL, "Internal server error")
            }
        }
    })?;
    let presence = Presence::try_new(endpoint.clone(), who)?;
    let ack = message::<()>(None, "connection_ack", None)?;
    socket.send(ack).await.map_err(|_| End::Gone)?;
    Ok(presence)
}

/// The credential in the payload of `connection_init`, if there is one.
async fn wait_for_init<E, A: Authenticate>(
    endpoint: &Endpoint<E, A>,
    socket: &mut WebSocket,
) -> Result<Option<String>, End> {
    loop {
        let Some(text) = text_of(socket.recv().await)? else { continue };
        let incoming = parse(endpoint, &text)?;
        match incoming.kind.as_ref() {
            "connection_init" => return credential_in(incoming.payload),
            "ping" => {
                let pong = message::<()>(None, "pong", None)?;
                socket.send(pong).await.map_err(|_| End::Gone)?;
            }
            "pong" => {}
            "subscribe" | "complete" => return Err(End::close(close::UNAUTHORIZED, "Unauthorized")),
            other => return Err(End::invalid(format!("Invalid message: unknown type {other}"))),
        }
    }
}

/// `{"authorization": "Bearer …"}`, the name in any case: browsers can't set headers on a WebSocket.
fn credential_in(payload: Option<&RawValue>) -> Result<Option<String>, End> {
    let Some(payload) = payload.filter(|payload| payload.get() != "null") else { return Ok(None) };
    let members: HashMap<Cow<'_, str>, serde_json::Value> = serde_json::from_str(payload.get())
        .map_err(|_| End::invalid("Invalid message: the payload of connection_init must be an object"))?;
    let Some((_, value)) = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")) else {
        return Ok(None);
    };
    let token = value.as_str().and_then(|value| parse_bearer(value).ok());
    token.map(|token| Some(token.to_owned())).ok_or_else(|| End::close(close::UNAUTHORIZED, "Unauthorized"))
}

/// A connection counts from its upgrade to its end.
pub(crate) struct Counted<E, A: Authenticate>(Arc<Endpoint<E, A>>);

impl<E, A: Authenticate> Counted<E, A> {
    pub(crate) fn new(endpoint: &Arc<Endpoint<E, A>>) -> Self {
        endpoint.figures.connections.send_modify(|open| *open += 1);
        Self(endpoint.clone())
    }
}

impl<E, A: Authenticate> Drop for Counted<E, A> {
    fn drop(&mut self) {
        self.0.figures.connections.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// A caller on an acknowledged connection. Its end is told when it is dropped, however the connection ended.
pub(crate) struct Presence<E, A: Authenticate> {
    pub(crate) endpoint: Arc<Endpoint<E, A>>,
    pub(crate) who: Authenticated<A::Caller>,
}

impl<E, A: Authenticate> Presence<E, A> {
    /// Refuses a credential that has its share of connections already.
    pub(crate) fn try_new(endpoint: Arc<Endpoint<E, A>>, who: Authenticated<A::Caller>) -> Result<Self, End> {
        if let Some(credential) = who.credential {
            let max = match who.share {
                Share::Key => endpoint.limits.connections_per_credential_max,
                Share::Participant => endpoint.limits.connections_per_participant_max,
                Share::Nobody => endpoint.limits.connections_of_nobody_max,
            };
            let mut counts = endpoint.by_credential.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(credential).or_insert(0);
            if *count >= max {
                return Err(End::close(close::TRY_AGAIN, format!("at most {max} connections per credential")));
            }
            *count += 1;
        }
        endpoint.authenticate.connection_opened(&who.caller);
        Ok(Self { endpoint, who })
    }
}

impl<E, A: Authenticate> Drop for Presence<E, A> {
    fn drop(&mut self) {
        if let Some(credential) = self.who.credential {
            let mut counts = self.endpoint.by_credential.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(&credential) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(&credential);
                }
            }
        }
        self.endpoint.authenticate.connection_closed(&self.who.caller);
    }
}
