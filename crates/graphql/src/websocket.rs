//! GraphQL over WebSocket: the subprotocol `graphql-transport-ws` (PROTOCOL.md of graphql-ws), with all its close codes.
//!
//! One task serves one connection. It pulls: the next item of a subscription is asked for when the one before has been
//! handed to the socket, so a client that doesn't read holds one message here and slows nobody else.

use std::{
    borrow::Cow,
    collections::HashMap,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use async_graphql::{Executor, Response as GraphqlResponse, ServerError, Value, parser::types::OperationType};
use axum::{
    extract::{
        WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use futures_util::{
    FutureExt, SinkExt, Stream, StreamExt,
    stream::{self, AbortHandle, Abortable, BoxStream, SelectAll},
};
use serde_json::value::RawValue;
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, Interval, MissedTickBehavior, timeout},
};
use witan_domain::CorrelationId;

pub use crate::messages::close;
use crate::{
    authenticate::Authenticate,
    documents::Document,
    figures::{Figures, Outcome, Transport},
    greeting::{Counted, Presence, greet},
    http::{Endpoint, Prepared, begun, execute_whole, prepare},
    messages::{End, in_time, message, parse, say_goodbye, text_of},
    params::Params,
    response::{INTERNAL, INTERNAL_MESSAGE, Payload, Subscriber, is_request_error, log_fault, request_error, settle},
};

const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Bytes that each connection reads into and writes from: small, since most of them idle.
const READ_BUFFER_BYTES: usize = 2 * 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Items that are handed to the socket before it is flushed.
const ITEMS_PER_FLUSH_MAX: usize = 64;

/// Answers the upgrade and serves the connection until it ends.
pub(crate) fn accept<E: Executor, A: Authenticate>(
    endpoint: Arc<Endpoint<E, A>>,
    upgrade: WebSocketUpgrade,
    credential: Option<String>,
) -> Response {
    upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(endpoint.limits.message_bytes_max)
        .max_frame_size(endpoint.limits.message_bytes_max)
        .on_upgrade(move |socket| serve(endpoint, socket, credential))
}

async fn serve<E: Executor, A: Authenticate>(
    endpoint: Arc<Endpoint<E, A>>,
    mut socket: WebSocket,
    credential: Option<String>,
) {
    let _counted = Counted::new(&endpoint);
    let end = if socket.protocol().is_none() {
        End::close(close::BAD_SUBPROTOCOL, "Subprotocol not acceptable")
    } else {
        // Boxed, so that a connection that is open doesn't keep room for how it was opened.
        match Box::pin(greet(&endpoint, &mut socket, credential)).await {
            Ok(presence) => {
                let mut connection = Connection::new(endpoint.clone(), socket, presence);
                let end = connection.run().await;
                connection.finish(end).await;
                return;
            }
            Err(end) => end,
        }
    };
    if let End::Close { code, reason } = end {
        let _ = timeout(endpoint.limits.farewell_time_max, say_goodbye(&mut socket, code, &reason)).await;
    }
}

/// The responses of one operation, its end and its panics.
struct Responses {
    serial: u64,
    inner: Option<BoxStream<'static, GraphqlResponse>>,
}

enum Output {
    Response(Box<GraphqlResponse>),
    Finished,
    Panicked,
}

impl Stream for Responses {
    type Item = (u64, Output);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let serial = self.serial;
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        // A panic in a resolver ends this operation; the stream is dropped and never polled again.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll_next_unpin(context)));
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(response))) => {
                return Poll::Ready(Some((serial, Output::Response(Box::new(response)))));
            }
            Ok(Poll::Ready(None)) => Output::Finished,
            Err(_) => Output::Panicked,
        };
        self.inner = None;
        Poll::Ready(Some((serial, output)))
    }
}

/// An operation that runs on a connection.
struct Running {
    /// Tells it from an earlier one with the same id, whose last output may still be on its way.
    serial: u64,
    id: String,
    kind: OperationType,
    document: Arc<Document>,
    /// The operation's name, if the request gave one.
    name: Option<String>,
    request: CorrelationId,
    subscriber: Subscriber,
    abort: AbortHandle,
    /// Whether a response was sent.
    answered: bool,
    started: std::time::Instant,
    /// How it went so far.
    outcome: Outcome,
    /// Where a client that has read all that was sent would go on.
    position: Option<Arc<str>>,
}

impl Running {
    fn ended(&self, figures: &Figures) {
        figures.operations.ended(self.kind, Transport::WebSocket, self.outcome, self.started.elapsed());
    }
}

struct Connection<E, A: Authenticate> {
    socket: WebSocket,
    presence: Presence<E, A>,
    operations: SelectAll<Abortable<Responses>>,
    running: Vec<Running>,
    serial: u64,
    ticks: Interval,
    heard: Instant,
    pinged: Instant,
    checked: Instant,
}

impl<E: Executor, A: Authenticate> Connection<E, A> {
    fn new(endpoint: Arc<Endpoint<E, A>>, socket: WebSocket, presence: Presence<E, A>) -> Self {
        let now = Instant::now();
        let every = endpoint.limits.recheck_every;
        let mut ticks = tokio::time::interval_at(now + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            presence,
            operations: SelectAll::new(),
            running: Vec::new(),
            serial: 0,
            ticks,
            heard: now,
            pinged: now,
            checked: now,
        }
    }

    fn endpoint(&self) -> &Endpoint<E, A> {
        &self.presence.endpoint
    }

    async fn run(&mut self) -> End {
        let mut shutdown = self.endpoint().shutdown.clone();
        // One wait for all turns of the loop: each new one would be registered and taken back.
        let mut stopped = std::pin::pin!(stopping(&mut shutdown));
        let end = loop {
            let step = tokio::select! {
                received = self.socket.recv() => self.receive(received).await,
                Some((serial, output)) = self.operations.next(), if !self.operations.is_empty() => {
                    self.deliver(serial, output).await
                }
                _ = self.ticks.tick() => self.check().await,
                () = &mut stopped => Err(End::SHUTTING_DOWN),
            };
            if let Err(end) = step {
                break end;
            }
        };
        // Nothing is pulled any more, whatever the farewell takes.
        self.operations.clear();
        if matches!(end, End::Farewell { code: close::TRY_AGAIN, .. }) {
            self.endpoint().figures.let_go.fetch_add(1, Ordering::Relaxed);
        }
        end
    }

    async fn receive(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        let Some(text) = text_of(received)? else { return Ok(()) };
        let incoming = parse(self.endpoint(), &text)?;
        match incoming.kind.as_ref() {
            "subscribe" => self.subscribe(incoming.id, incoming.payload).await,
            "complete" => {
                let id = incoming.id.ok_or_else(|| End::invalid("Invalid message: complete needs an id"))?;
                self.forget(|running| running.id == id);
                Ok(())
            }
            "ping" => self.send(message::<()>(None, "pong", None)?).await,
            "pong" => Ok(()),
            "connection_init" => Err(End::close(close::TOO_MANY_INITS, "Too many initialisation requests")),
            other => Err(End::invalid(format!("Invalid message: unknown type {other}"))),
        }
    }

    async fn subscribe(&mut self, id: Option<String>, payload: Option<&RawValue>) -> Result<(), End> {
        let limits = &self.endpoint().limits;
        let id = id.filter(|id| !id.is_empty() && id.len() <= limits.operation_id_bytes_max);
        let id = id.ok_or_else(|| End::invalid("Invalid message: subscribe needs an id of 1 to 128 bytes"))?;
        let payload = payload.ok_or_else(|| End::invalid("Invalid message: subscribe needs a payload"))?;
        if self.running.iter().any(|running| running.id == id) {
            return Err(End::close(close::SUBSCRIBER_EXISTS, format!("Subscriber for {id} already exists")));
        }
        let params = Params::from_json(payload.get().as_bytes(), limits)
            .map_err(|problem| End::invalid(format!("Invalid message: {}", problem.message)))?;
        let request = self.endpoint().authenticate.new_request_id();
        let max = limits.subscriptions_per_connection_max;
        if self.running.len() >= max {
            let text = format!("at most {max} operations run at once on a connection");
            return self.send_errors(&id, &[request_error("TOO_MANY_SUBSCRIPTIONS", text, request)]).await;
        }
        match prepare(self.endpoint(), params, &self.presence.who, request) {
            Ok(prepared) => {
                self.begin(id, request, prepared);
                Ok(())
            }
            Err(error) => {
                self.endpoint().figures.refuse(&error);
                self.send_errors(&id, &[*error]).await
            }
        }
    }

    fn begin(&mut self, id: String, request: CorrelationId, prepared: Prepared) {
        let executor = self.endpoint().executor(&prepared);
        let Prepared { request: operation, kind, document, operation: name, subscriber, .. } = prepared;
        let responses = match kind {
            OperationType::Mutation => once_whole(execute_whole(executor, operation)),
            OperationType::Query | OperationType::Subscription => executor.execute_stream(operation, None),
        };
        self.serial += 1;
        let serial = self.serial;
        let (abort, registration) = AbortHandle::new_pair();
        self.operations.push(Abortable::new(Responses { serial, inner: Some(responses) }, registration));
        let running = Running {
            serial,
            id,
            kind,
            document,
            name,
            request,
            subscriber,
            abort,
            answered: false,
            position: None,
            started: begun(),
            outcome: Outcome::Ok,
        };
        self.running.push(running);
        let figures = &self.endpoint().figures;
        figures.subscriptions.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the operations that `which` picks; nothing more of them is sent.
    fn forget(&mut self, which: impl Fn(&Running) -> bool) {
        let before = self.running.len();
        let figures = &self.presence.endpoint.figures;
        self.running.retain(|running| {
            let gone = which(running);
            if gone {
                running.abort.abort();
                running.ended(figures);
            }
            !gone
        });
        let gone = (before - self.running.len()) as u64;
        figures.subscriptions.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Sends an output and those that are ready behind it, then flushes once.
    async fn deliver(&mut self, serial: u64, output: Output) -> Result<(), End> {
        // After a stall nothing goes out before it is asked whether it still may.
        if self.checked.elapsed() > self.endpoint().limits.recheck_every * 2 {
            self.check().await?;
        }
        self.hand_over(serial, output).await?;
        for _ in 1..ITEMS_PER_FLUSH_MAX {
            match self.operations.next().now_or_never() {
                Some(Some((serial, output))) => self.hand_over(serial, output).await?,
                Some(None) | None => break,
            }
        }
        self.flush().await
    }

    async fn hand_over(&mut self, serial: u64, output: Output) -> Result<(), End> {
        let suggestions = self.presence.who.introspection;
        let documents = &self.presence.endpoint.documents;
        let Some(running) = self.running.iter_mut().find(|running| running.serial == serial) else { return Ok(()) };
        let (text, ends) = match output {
            Output::Response(mut response) => {
                let refused = !running.answered && is_refused(&response, running.kind);
                documents.complete(&mut response, &running.document, running.name.as_deref());
                settle(&mut response, running.request, suggestions);
                running.outcome = self.presence.endpoint.figures.outcome(&response);
                running.answered = true;
                if refused {
                    running.outcome = running.outcome.refused();
                    (message(Some(&running.id), "error", Some(&response.errors))?, true)
                } else {
                    (message(Some(&running.id), "next", Some(Payload::new(&response)))?, false)
                }
            }
            Output::Finished => (message::<()>(Some(&running.id), "complete", None)?, true),
            Output::Panicked => {
                log_fault(running.request, &"a resolver panicked");
                running.outcome = Outcome::Fault;
                let error = request_error(INTERNAL, INTERNAL_MESSAGE, running.request);
                (message(Some(&running.id), "error", Some([error]))?, true)
            }
        };
        let position = running.subscriber.position();
        self.feed(text).await?;
        if ends {
            self.forget(|running| running.serial == serial);
        } else if let Some(running) = self.running.iter_mut().find(|running| running.serial == serial) {
            running.position = position;
        }
        Ok(())
    }

    /// Looks after the connection: is the client alive, may it still listen?
    async fn check(&mut self) -> Result<(), End> {
        let limits = self.endpoint().limits.clone();
        let now = Instant::now();
        if now.duration_since(self.heard) > limits.silence_time_max {
            return Err(End::Gone);
        }
        if now.duration_since(self.heard.max(self.pinged)) >= limits.ping_after {
            self.pinged = now;
            self.send(Message::Ping(bytes::Bytes::new())).await?;
        }
        let allowed = self.endpoint().authenticate.still_allowed(&self.presence.who.caller);
        if !timeout(limits.recheck_time_max, allowed).await.unwrap_or(false) {
            return Err(End::close(close::FORBIDDEN, "Forbidden"));
        }
        self.check_subscriptions(limits.recheck_time_max).await?;
        self.checked = Instant::now();
        Ok(())
    }

    async fn check_subscriptions(&mut self, time_max: std::time::Duration) -> Result<(), End> {
        let checks = self.running.iter().filter_map(|running| Some((running.serial, running.subscriber.check()?)));
        let mut allowed: HashMap<Arc<str>, bool> = HashMap::new();
        for (serial, (question, check)) in checks.collect::<Vec<_>>() {
            let answer = match allowed.get(&question) {
                Some(answer) => *answer,
                None => timeout(time_max, check()).await.unwrap_or(false),
            };
            allowed.insert(question, answer);
            if answer {
                continue;
            }
            let Some(running) = self.running.iter().find(|running| running.serial == serial) else { continue };
            let error = request_error("FORBIDDEN", "this is no longer for you to see", running.request);
            let id = running.id.clone();
            self.forget(|running| running.serial == serial);
            self.send_errors(&id, &[error]).await?;
        }
        Ok(())
    }

    async fn send_errors(&mut self, id: &str, errors: &[ServerError]) -> Result<(), End> {
        self.send(message(Some(id), "error", Some(errors))?).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Hands a message to the socket, which takes it when what came before has gone out.
    async fn feed(&mut self, message: Message) -> Result<(), End> {
        let time_max = self.endpoint().limits.stall_time_max;
        in_time(timeout(time_max, self.socket.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), End> {
        let time_max = self.endpoint().limits.stall_time_max;
        in_time(timeout(time_max, self.socket.flush()).await)
    }

    /// Tells the client how it ends, as far as it reads.
    async fn finish(mut self, end: End) {
        let time_max = self.endpoint().limits.farewell_time_max;
        let told = async {
            match end {
                End::Gone => {}
                End::Close { code, reason } => say_goodbye(&mut self.socket, code, &reason).await,
                End::Farewell { code, error_code, message: text } => {
                    let mut reason = Cow::Borrowed(text);
                    for running in &self.running {
                        let mut error = request_error(error_code, text, running.request);
                        let position = running.position.clone().or_else(|| running.subscriber.start());
                        if let (Some(position), Some(extensions)) = (position, &mut error.extensions) {
                            extensions.set("resumeAfter", position.as_ref());
                            reason = format!("{error_code}: resume after {position}").into();
                        }
                        let Ok(message) = message(Some(&running.id), "error", Some([error])) else { return };
                        if self.socket.feed(message).await.is_err() {
                            return;
                        }
                    }
                    // With several subscriptions, each has its own position in its error.
                    let reason = if self.running.len() > 1 { text } else { &reason };
                    say_goodbye(&mut self.socket, code, reason).await;
                }
            }
        };
        let _ = timeout(time_max, told).await;
    }
}

impl<E, A: Authenticate> Drop for Connection<E, A> {
    fn drop(&mut self) {
        let left = self.running.len() as u64;
        for running in &self.running {
            running.ended(&self.presence.endpoint.figures);
        }
        self.presence.endpoint.figures.subscriptions.fetch_sub(left, Ordering::Relaxed);
    }
}

/// The answer of a mutation that runs in a task of its own; its panic is the operation's.
fn once_whole(running: JoinHandle<GraphqlResponse>) -> BoxStream<'static, GraphqlResponse> {
    stream::once(async {
        match running.await.map_err(JoinError::try_into_panic) {
            Ok(response) => response,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The process ends.
            Err(Err(_)) => std::future::pending().await,
        }
    })
    .boxed()
}

/// Whether a first response says that the operation didn't begin: it is an `error` then, not a `next`.
pub(crate) fn is_refused(response: &GraphqlResponse, kind: OperationType) -> bool {
    let no_stream = kind == OperationType::Subscription && response.data == Value::Null && !response.errors.is_empty();
    no_stream || is_request_error(response)
}

/// Ends when a shutdown is told. A sender that is dropped tells nothing.
pub(crate) async fn stopping(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
