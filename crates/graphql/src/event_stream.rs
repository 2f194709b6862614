//! Subscriptions over server-sent events: the "distinct connections mode" of the GraphQL over SSE protocol (PROTOCOL.md of
//! graphql-sse). One operation has one response, with an event `next` for each result and `complete` at the end.
//!
//! One task serves one subscription. It pulls: the next item is asked for when the one before has been taken by the
//! connection, so a client that doesn't read holds two chunks here and slows nobody else.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use async_graphql::{Executor, Response as GraphqlResponse, ServerError, parser::types::OperationType};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream, stream::BoxStream};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, timeout},
};
use witan_domain::CorrelationId;

use crate::{
    authenticate::{Authenticate, Authenticated},
    documents::Document,
    figures::{Outcome, Transport},
    greeting::{Counted, Presence},
    http::{Endpoint, Prepared, Problem, begun},
    messages::End,
    response::{INTERNAL, INTERNAL_MESSAGE, Payload, Subscriber, log_fault, request_error, settle},
    websocket::{is_refused, stopping},
};

pub(crate) const MEDIA_TYPE: &str = "text/event-stream; charset=utf-8";
/// Without it nginx, for one, keeps events back until it has enough of them.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// Items that share a chunk when they are ready together.
const ITEMS_PER_CHUNK_MAX: usize = 64;
/// Bytes after which no further item joins a chunk.
const CHUNK_BYTES_ENOUGH: usize = 16 * 1024;
/// A comment: it shows both ends that the connection is alive.
const KEEP_ALIVE: &[u8] = b":\n\n";

/// The event of one result.
fn next(response: &GraphqlResponse) -> Result<Vec<u8>, serde_json::Error> {
    let mut event = b"event: next\ndata: ".to_vec();
    // JSON as it is written here has no line break, which would end the data.
    serde_json::to_writer(&mut event, &Payload::new(response))?;
    event.extend_from_slice(b"\n\n");
    Ok(event)
}

/// The event after which nothing comes.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// The body of a response with one result: of a query, a mutation, or a document that can't be executed.
pub(crate) fn whole(response: &GraphqlResponse) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = next(response)?;
    body.extend_from_slice(COMPLETE);
    Ok(body)
}

/// Begins the subscription; what it gives comes as the response's body.
pub(crate) fn accept<E: Executor, A: Authenticate>(
    endpoint: &Arc<Endpoint<E, A>>,
    who: Authenticated<A::Caller>,
    prepared: Prepared,
    id: CorrelationId,
) -> Result<Response, Problem> {
    let unavailable = |message: String| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    };
    if endpoint.figures.connections() >= endpoint.limits.connections_max || *endpoint.shutdown.borrow() {
        return Err(unavailable("no more connections just now".into()));
    }
    let counted = Counted::new(endpoint);
    let presence = Presence::try_new(endpoint.clone(), who).map_err(|end| match end {
        End::Close { reason, .. } => unavailable(reason.into()),
        End::Gone | End::Farewell { .. } => unavailable("no more connections just now".into()),
    })?;
    // One place for a chunk, and one that is kept for the last word.
    let (chunks, mut taken) = mpsc::channel::<Bytes>(2);
    let Ok(last_word) = chunks.clone().try_reserve_owned() else {
        return Err(unavailable("no more connections just now".into()));
    };
    let Prepared { request, document, operation, subscriber, .. } = prepared;
    let responses = endpoint.schemas.strict.execute_stream(request, None);
    let serving = Serving {
        running: Running { presence, _counted: counted, started: begun(), outcome: Outcome::Ok },
        document,
        operation,
        id,
        subscriber,
        answered: false,
        position: None,
        chunks,
        written: Instant::now(),
        checked: Instant::now(),
    };
    endpoint.figures.subscriptions.fetch_add(1, Relaxed);
    tokio::spawn(serving.run(responses, last_word));
    let body = stream::poll_fn(move |context| taken.poll_recv(context)).map(Ok::<_, Infallible>);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)), NO_BUFFERING];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Counts as a connection and as an operation until it is dropped.
struct Running<E, A: Authenticate> {
    presence: Presence<E, A>,
    _counted: Counted<E, A>,
    started: std::time::Instant,
    outcome: Outcome,
}

impl<E, A: Authenticate> Drop for Running<E, A> {
    fn drop(&mut self) {
        let figures = &self.presence.endpoint.figures;
        figures.subscriptions.fetch_sub(1, Relaxed);
        let took = self.started.elapsed();
        figures.operations.ended(OperationType::Subscription, Transport::EventStream, self.outcome, took);
    }
}

/// One subscription.
struct Serving<E, A: Authenticate> {
    running: Running<E, A>,
    document: Arc<Document>,
    operation: Option<String>,
    id: CorrelationId,
    subscriber: Subscriber,
    /// Whether a response was sent.
    answered: bool,
    /// Where a client that has read all that was handed over would go on.
    position: Option<Arc<str>>,
    chunks: mpsc::Sender<Bytes>,
    written: Instant,
    checked: Instant,
}

/// How a subscription ends.
enum Ending {
    /// The client went.
    Gone,
    /// There is nothing more.
    Complete,
    /// It is told why, with where to resume.
    Told(&'static str, &'static str),
}

impl Ending {
    fn of(end: &End) -> Self {
        match end {
            End::Farewell { error_code, message, .. } => Self::Told(error_code, message),
            End::Gone | End::Close { .. } => Self::Gone,
        }
    }
}

impl<E: Executor, A: Authenticate> Serving<E, A> {
    fn endpoint(&self) -> &Endpoint<E, A> {
        &self.running.presence.endpoint
    }

    async fn run(mut self, responses: BoxStream<'static, GraphqlResponse>, last_word: mpsc::OwnedPermit<Bytes>) {
        let shutdown = self.endpoint().shutdown.clone();
        let ending = self.pull(responses, shutdown).await;
        let text = match ending {
            Ending::Gone => return,
            Ending::Complete => COMPLETE.to_vec(),
            Ending::Told(code, message) => {
                let mut error = request_error(code, message, self.id);
                let position = self.position.clone().or_else(|| self.subscriber.start());
                if let (Some(position), Some(extensions)) = (position, &mut error.extensions) {
                    extensions.set("resumeAfter", position.as_ref());
                }
                self.farewell(error)
            }
        };
        last_word.send(text.into());
    }

    fn farewell(&self, error: ServerError) -> Vec<u8> {
        self.endpoint().figures.errors.count(crate::figures::code_of(&error));
        whole(&GraphqlResponse::from_errors(vec![error])).unwrap_or_else(|_| COMPLETE.to_vec())
    }

    async fn pull(
        &mut self,
        responses: BoxStream<'static, GraphqlResponse>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Ending {
        // A panic in a resolver ends this subscription; the stream is not polled again.
        let mut responses = AssertUnwindSafe(responses).catch_unwind();
        let every = self.endpoint().limits.recheck_every;
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = std::pin::pin!(stopping(&mut shutdown));
        let chunks = self.chunks.clone();
        loop {
            let step = tokio::select! {
                response = responses.next() => match response {
                    Some(first) => self.hand_over(first, &mut responses).await,
                    None => Err(Ending::Complete),
                },
                _ = ticks.tick() => self.check().await,
                () = chunks.closed() => Err(Ending::Gone),
                () = &mut stopped => Err(Ending::of(&End::SHUTTING_DOWN)),
            };
            if let Err(ending) = step {
                return ending;
            }
        }
    }

    /// Writes a result and those that are ready behind it as one chunk.
    async fn hand_over(
        &mut self,
        first: std::thread::Result<GraphqlResponse>,
        rest: &mut (impl stream::Stream<Item = std::thread::Result<GraphqlResponse>> + Unpin),
    ) -> Result<(), Ending> {
        // After a stall nothing goes out before it is asked whether it still may.
        if self.checked.elapsed() > self.endpoint().limits.recheck_every * 2 {
            self.check().await?;
        }
        let mut chunk = Vec::new();
        let mut ending = self.add(first, &mut chunk);
        for _ in 1..ITEMS_PER_CHUNK_MAX {
            if ending.is_some() || chunk.len() >= CHUNK_BYTES_ENOUGH {
                break;
            }
            ending = match rest.next().now_or_never() {
                Some(Some(response)) => self.add(response, &mut chunk),
                Some(None) => Some(Ending::Complete),
                None => break,
            };
        }
        let position = self.subscriber.position();
        self.write(chunk).await?;
        self.position = position;
        ending.map_or(Ok(()), Err)
    }

    /// Adds a result to the chunk. The ending, where it is the last.
    fn add(&mut self, response: std::thread::Result<GraphqlResponse>, chunk: &mut Vec<u8>) -> Option<Ending> {
        let Ok(mut response) = response else {
            log_fault(self.id, &"a resolver panicked");
            self.running.outcome = Outcome::Fault;
            return Some(Ending::Told(INTERNAL, INTERNAL_MESSAGE));
        };
        let refused = !self.answered && is_refused(&response, OperationType::Subscription);
        self.answered = true;
        let endpoint = &self.running.presence.endpoint;
        endpoint.documents.complete(&mut response, &self.document, self.operation.as_deref());
        settle(&mut response, self.id, self.running.presence.who.introspection);
        let outcome = endpoint.figures.outcome(&response);
        self.running.outcome = if refused { outcome.refused() } else { outcome };
        match next(&response) {
            Ok(event) => chunk.extend(event),
            Err(error) => {
                log_fault(self.id, &error);
                return Some(Ending::Told(INTERNAL, INTERNAL_MESSAGE));
            }
        }
        refused.then_some(Ending::Complete)
    }

    /// Hands a chunk to the connection, which takes it when it has written the one before.
    async fn write(&mut self, chunk: Vec<u8>) -> Result<(), Ending> {
        let time_max = self.endpoint().limits.stall_time_max;
        match timeout(time_max, self.chunks.reserve()).await {
            Ok(Ok(place)) => place.send(chunk.into()),
            Ok(Err(_)) => return Err(Ending::Gone),
            Err(_) => {
                self.endpoint().figures.let_go.fetch_add(1, Relaxed);
                return Err(Ending::of(&End::TOO_SLOW));
            }
        }
        self.written = Instant::now();
        Ok(())
    }

    /// Looks after the subscription: may the client still listen, has it heard of us lately?
    async fn check(&mut self) -> Result<(), Ending> {
        const NO_LONGER: Ending = Ending::Told("FORBIDDEN", "this is no longer for you to see");
        let limits = &self.endpoint().limits;
        let (time_max, silence_max) = (limits.recheck_time_max, limits.ping_after);
        let allowed = self.endpoint().authenticate.still_allowed(&self.running.presence.who.caller);
        if !timeout(time_max, allowed).await.unwrap_or(false) {
            return Err(NO_LONGER);
        }
        if let Some((_, check)) = self.subscriber.check()
            && !timeout(time_max, check()).await.unwrap_or(false)
        {
            return Err(NO_LONGER);
        }
        self.checked = Instant::now();
        // Where the one before was not taken yet, nothing need be said.
        if self.written.elapsed() >= silence_max && self.chunks.try_send(Bytes::from_static(KEEP_ALIVE)).is_ok() {
            self.written = Instant::now();
        }
        Ok(())
    }
}
