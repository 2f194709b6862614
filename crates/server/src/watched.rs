//! The figures that the parts of a system count themselves, as `/metrics` shows them.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::sync::watch;
use witan_app::{App, parts::Part};
use witan_graphql::{Figures, figures::LATENCY_SECONDS};

use crate::{
    media_node::NodeStanding,
    metrics::{Kind, Labels, Metrics},
    wiring::System,
};

/// Shows the figures of this system.
pub fn watch(system: &System, metrics: &Metrics) {
    of_graphql(&system.figures, metrics);
    of_commands(&system.app, metrics);
    of_parts(system, metrics);
    if let Some(node) = &system.node {
        of_media(node, metrics);
    }
}

fn of_media(node: &watch::Receiver<NodeStanding>, metrics: &Metrics) {
    let one = |read: fn(&NodeStanding) -> u64| {
        let node = node.clone();
        move || read(&node.borrow())
    };
    metrics.watch("media_nodes", "Media nodes that answer", Kind::Gauge, one(|node| node.there.into()));
    metrics.watch("media_nodes_lost", "Media nodes that were lost", Kind::Counter, one(|node| node.lost));
    metrics.watch("media_sessions", "Sessions on media nodes", Kind::Gauge, one(|node| node.sessions.into()));
    let participants = one(|node| node.participants.into());
    metrics.watch("media_participants", "Participants on media nodes", Kind::Gauge, participants);
    metrics.watch("media_streams", "Streams that participants send", Kind::Gauge, one(|node| node.streams.into()));
    let offers = one(|node| node.offers.into());
    metrics.watch("media_offers", "Streams as they are offered to participants", Kind::Gauge, offers);
    metrics.watch(
        "media_observations_waiting",
        "What media nodes saw and nobody has recorded yet",
        Kind::Gauge,
        one(|node| node.observations_waiting.into()),
    );
}

fn of_graphql(figures: &Arc<Figures>, metrics: &Metrics) {
    let one = |read: fn(&Figures) -> u64| {
        let figures = figures.clone();
        move || read(&figures)
    };
    metrics.watch(
        "graphql_subscriptions",
        "Operations that run now on WebSockets and event streams",
        Kind::Gauge,
        one(|f| f.subscriptions.load(Relaxed)),
    );
    let connections = one(|f| f.connections() as u64);
    metrics.watch("graphql_connections", "Open WebSockets and event streams", Kind::Gauge, connections);
    let requests = one(|f| f.requests.load(Relaxed));
    metrics.watch("graphql_requests", "Requests at /graphql, upgrades included", Kind::Counter, requests);
    metrics.watch(
        "graphql_refused",
        "GraphQL documents and messages refused before they were executed",
        Kind::Counter,
        one(|f| f.refused.load(Relaxed)),
    );
    let unauthenticated = one(|f| f.unauthenticated.load(Relaxed));
    metrics.watch("graphql_unauthenticated", "Callers refused for their credential", Kind::Counter, unauthenticated);
    let let_go = one(|f| f.let_go.load(Relaxed));
    metrics.watch("graphql_let_go", "WebSockets and event streams ended because nobody read", Kind::Counter, let_go);
    let counted = figures.clone();
    metrics.watch_counters("graphql_errors", "Errors in GraphQL answers, by code", move || {
        counted.errors.read().into_iter().map(by_code).collect()
    });
    let counted = figures.clone();
    metrics.watch_counters(
        "graphql_operations",
        "GraphQL operations that have ended, by kind, transport and outcome",
        move || counted.operations.counts().into_iter().map(|(labels, count)| (owned(labels), count)).collect(),
    );
    let counted = figures.clone();
    metrics.watch_histograms(
        "graphql_operation",
        "Time from an operation's document to its answer, of queries and mutations",
        &LATENCY_SECONDS,
        move || {
            let latencies = counted.operations.latencies().into_iter();
            latencies.map(|(labels, took)| (owned(labels), took.buckets, took.seconds)).collect()
        },
    );
}

fn of_commands(app: &Arc<App>, metrics: &Metrics) {
    let one = |read: fn(&App) -> u64| {
        // The app appends to a store that counts here: a strong one would keep both for ever.
        let app = Arc::downgrade(app);
        move || app.upgrade().map_or(0, |app| read(&app))
    };
    metrics.watch(
        "conflicts",
        "Commands decided anew because another was faster",
        Kind::Counter,
        one(|a| a.parts.conflicts.load(Relaxed)),
    );
    let refusals = one(|a| a.parts.refusals.load(Relaxed));
    metrics.watch("refusals", "Requests refused by policy", Kind::Counter, refusals);
    metrics.watch(
        "refusals_unrecorded",
        "Refusals that were too many to be recorded one by one",
        Kind::Counter,
        one(|a| a.parts.refusals_unrecorded.load(Relaxed)),
    );
    let app = Arc::downgrade(app);
    metrics.watch_counters("rejections", "Mutations that the domain refused, by code", move || {
        let counts = app.upgrade().map(|app| app.parts.rejections.read()).unwrap_or_default();
        counts.into_iter().map(by_code).collect()
    });
}

/// Where the time of requests goes: each part's seconds, and how often it was done.
fn of_parts(system: &System, metrics: &Metrics) {
    let (figures, app) = (system.figures.clone(), Arc::downgrade(&system.app));
    // Weak for the same reason: the read models' follower reads from the store that counts.
    let models = Arc::downgrade(&system.read_models);
    let read = move || {
        let of = |name, part: &Part| {
            let (nanoseconds, count) = part.read();
            (name, nanoseconds, count)
        };
        let mut parts = vec![of("http", &figures.http), of("scan", &figures.scan), of("parse", &figures.parse)];
        if let Some(app) = app.upgrade() {
            let app = &app.parts;
            parts.extend([
                of("authorise", &app.authorise),
                of("decide", &app.decide),
                of("protect", &app.protect),
                of("append", &app.append),
            ]);
        }
        if let Some(models) = models.upgrade() {
            let (nanoseconds, events) = models.folding.read();
            parts.push(("project", nanoseconds, events));
        }
        parts
    };
    let read = Arc::new(read);
    let times = read.clone();
    metrics.watch_times("part", "Time spent in each part of the work", move || {
        times().into_iter().map(|(name, nanoseconds, _)| (part(name), nanoseconds as f64 / 1e9)).collect()
    });
    metrics.watch_counters("part_runs", "How often each part was done; for project, events", move || {
        read().into_iter().map(|(name, _, count)| (part(name), count)).collect()
    });
}

fn part(name: &str) -> Labels {
    vec![("part", name.to_owned())]
}

fn by_code((code, count): (String, u64)) -> (Labels, u64) {
    (vec![("code", code)], count)
}

fn owned(labels: Vec<(&'static str, &'static str)>) -> Labels {
    labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}
