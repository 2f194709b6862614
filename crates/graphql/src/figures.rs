//! What the transport counts, for metrics. Nothing here grows with what clients choose: names are ours, and bounded.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use async_graphql::{Response as GraphqlResponse, ServerError, Value, parser::types::OperationType};
use tokio::sync::watch;
use witan_app::parts::{Counts, Part};

use crate::response::{INTERNAL, is_request_error};

/// Upper bounds of the latency histogram in seconds; what took longer is in a last bucket of its own.
pub const LATENCY_SECONDS: [f64; 14] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// All that is counted.
pub struct Figures {
    /// HTTP requests, WebSocket upgrades included.
    pub requests: AtomicU64,
    /// Documents and messages refused by a limit.
    pub refused: AtomicU64,
    /// Callers refused before their request was read.
    pub unauthenticated: AtomicU64,
    /// Connections closed because nobody read.
    pub let_go: AtomicU64,
    /// Operations (subscriptions, above all) that run now on WebSockets and event streams.
    pub subscriptions: AtomicU64,
    /// Operations that have ended, and how long they took.
    pub operations: Operations,
    /// Errors in answers, by code.
    pub errors: Counts,
    /// Reading parameters and writing answers over HTTP.
    pub http: Part,
    /// Bounding documents that were not known.
    pub scan: Part,
    /// Parsing them.
    pub parse: Part,
    pub(crate) connections: watch::Sender<usize>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unauthenticated: AtomicU64::new(0),
            let_go: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            operations: Operations::default(),
            errors: Counts::default(),
            http: Part::default(),
            scan: Part::default(),
            parse: Part::default(),
            connections: watch::channel(0).0,
        }
    }
}

impl Figures {
    /// WebSocket connections and event streams that are open now.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits until none is open: after a shutdown was told, before the process ends.
    pub async fn all_closed(&self) {
        // The sender lives as long as `self`, so the wait can't fail.
        let _ = self.connections.subscribe().wait_for(|open| *open == 0).await;
    }

    /// An operation that was not begun, because of this.
    pub(crate) fn refuse(&self, error: &ServerError) {
        self.refused.fetch_add(1, Relaxed);
        self.errors.count(code_of(error));
    }

    /// Counts the errors of a response (that was settled), and says how it went.
    pub(crate) fn outcome(&self, response: &GraphqlResponse) -> Outcome {
        for error in &response.errors {
            self.errors.count(code_of(error));
        }
        if response.errors.is_empty() {
            Outcome::Ok
        } else if response.errors.iter().any(|error| code_of(error) == INTERNAL) {
            Outcome::Fault
        } else if is_request_error(response) {
            Outcome::Refused
        } else {
            Outcome::Errors
        }
    }
}

pub(crate) fn code_of(error: &ServerError) -> &str {
    match error.extensions.as_ref().and_then(|extensions| extensions.get("code")) {
        Some(Value::String(code)) => code,
        _ => "NONE",
    }
}

/// By which way an operation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Http,
    WebSocket,
    EventStream,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without any error; a subscription: by itself, or because the client went.
    Ok,
    /// It was executed, and some of its fields have errors.
    Errors,
    /// It was not executed.
    Refused,
    /// Something went wrong on our side.
    Fault,
}

const KINDS: [OperationType; 3] = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];
const TRANSPORTS: [Transport; 3] = [Transport::Http, Transport::WebSocket, Transport::EventStream];
const OUTCOMES: [Outcome; 4] = [Outcome::Ok, Outcome::Errors, Outcome::Refused, Outcome::Fault];

fn kind_name(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
        }
    }
}

impl Outcome {
    /// The same of an operation that did not begin.
    pub(crate) fn refused(self) -> Self {
        if self == Self::Fault { self } else { Self::Refused }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Errors => "errors",
            Self::Refused => "refused",
            Self::Fault => "fault",
        }
    }
}

/// Operations that have ended, by kind, transport and outcome.
#[derive(Default)]
pub struct Operations {
    ended: [[[AtomicU64; OUTCOMES.len()]; TRANSPORTS.len()]; KINDS.len()],
    latency: [[Latency; TRANSPORTS.len()]; KINDS.len()],
}

/// How long operations took.
#[derive(Default)]
pub struct Latency {
    buckets: [AtomicU64; LATENCY_SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// A figure with its labels.
pub type Labelled<T> = (Vec<(&'static str, &'static str)>, T);

/// A histogram as it stands: each bucket's own count (the last has no bound), and the sum in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    pub buckets: Vec<u64>,
    pub seconds: f64,
}

impl Operations {
    pub(crate) fn ended(&self, kind: OperationType, transport: Transport, outcome: Outcome, took: Duration) {
        let kind = KINDS.iter().position(|it| *it == kind).unwrap_or_default();
        let transport = TRANSPORTS.iter().position(|it| *it == transport).unwrap_or_default();
        let outcome = OUTCOMES.iter().position(|it| *it == outcome).unwrap_or_default();
        self.ended[kind][transport][outcome].fetch_add(1, Relaxed);
        let latency = &self.latency[kind][transport];
        let seconds = took.as_secs_f64();
        latency.buckets[LATENCY_SECONDS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        latency.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many have ended, of each kind, transport and outcome.
    pub fn counts(&self) -> Vec<Labelled<u64>> {
        let mut counts = Vec::new();
        for (kind, by_transport) in KINDS.iter().zip(&self.ended) {
            for (transport, by_outcome) in TRANSPORTS.iter().zip(by_transport) {
                for (outcome, count) in OUTCOMES.iter().zip(by_outcome) {
                    let mut labels = labels(*kind, *transport);
                    labels.push(("outcome", outcome.name()));
                    counts.push((labels, count.load(Relaxed)));
                }
            }
        }
        counts
    }

    /// How long queries and mutations took. A subscription takes as long as somebody listens, which says nothing.
    pub fn latencies(&self) -> Vec<Labelled<Histogram>> {
        let mut histograms = Vec::new();
        for (kind, by_transport) in KINDS.iter().zip(&self.latency) {
            if *kind == OperationType::Subscription {
                continue;
            }
            for (transport, latency) in TRANSPORTS.iter().zip(by_transport) {
                let buckets = latency.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
                let seconds = latency.nanoseconds.load(Relaxed) as f64 / 1e9;
                histograms.push((labels(*kind, *transport), Histogram { buckets, seconds }));
            }
        }
        histograms
    }
}

fn labels(kind: OperationType, transport: Transport) -> Vec<(&'static str, &'static str)> {
    vec![("kind", kind_name(kind)), ("transport", transport.name())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_where_they_belong() {
        let operations = Operations::default();
        let took = Duration::from_millis(3);
        operations.ended(OperationType::Mutation, Transport::WebSocket, Outcome::Errors, took);
        operations.ended(OperationType::Mutation, Transport::WebSocket, Outcome::Ok, Duration::from_secs(60));
        operations.ended(OperationType::Subscription, Transport::EventStream, Outcome::Ok, took);
        let counted: Vec<_> = operations.counts().into_iter().filter(|(_, count)| *count > 0).collect();
        let labels = |kind, transport, outcome| vec![("kind", kind), ("transport", transport), ("outcome", outcome)];
        assert_eq!(
            counted,
            [
                (labels("mutation", "websocket", "ok"), 1),
                (labels("mutation", "websocket", "errors"), 1),
                (labels("subscription", "event_stream", "ok"), 1)
            ]
        );
        let latencies = operations.latencies();
        let (_, latency) =
            latencies.iter().find(|(labels, _)| labels[0].1 == "mutation" && labels[1].1 == "websocket").unwrap();
        assert_eq!((latency.buckets[4], latency.buckets[14], latency.seconds), (1, 1, 60.003));
        assert!(latencies.iter().all(|(labels, _)| labels[0].1 != "subscription"));
    }
}
