//! Figures for Prometheus. No label holds what a client can choose freely: their number is bounded, and nothing in them
//! is personal.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::listener::Cut;

/// Upper bounds of the histograms, in seconds: a sync costs from 0.1 ms on, a request at most a minute.
const SECONDS: [f64; 14] = [
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Named {
    name: String,
}

#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<Named, Histogram, fn() -> Histogram>,
    cuts: Family<Named, Counter>,
    pub append_seconds: Histogram,
    pub append_failures: Family<Named, Counter>,
    lag: Family<Named, Gauge>,
    stopped: Family<Named, Gauge>,
    pub subscriptions: Gauge,
    pub operations: Family<Named, Counter>,
    pub rejections: Family<Named, Counter>,
    position: Gauge,
}

impl Named {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// How a follower stands at this moment.
pub struct FollowerFigures<'a> {
    pub name: &'a str,
    /// How many events it is behind.
    pub lag: u64,
    pub stopped: bool,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("witan");
        let new_histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(new_histogram),
            cuts: Family::default(),
            append_seconds: new_histogram(),
            append_failures: Family::default(),
            lag: Family::default(),
            stopped: Family::default(),
            subscriptions: Gauge::default(),
            operations: Family::default(),
            rejections: Family::default(),
            position: Gauge::default(),
        };
        let m = &metrics;
        registry.register(
            "http_requests",
            "HTTP requests answered, by route, method and status",
            m.requests.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Time from a request's headers to its response's headers, by route",
            Unit::Seconds,
            m.request_seconds.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections that ran out of time, by reason",
            m.cuts.clone(),
        );
        registry.register_with_unit(
            "append",
            "Time from an append's call until it is durable",
            Unit::Seconds,
            m.append_seconds.clone(),
        );
        registry.register(
            "append_failures",
            "Appends that were not recorded, by reason",
            m.append_failures.clone(),
        );
        registry.register(
            "follower_lag_events",
            "Events that a follower is behind the log",
            m.lag.clone(),
        );
        registry.register(
            "follower_stopped",
            "1 for a follower that has stopped",
            m.stopped.clone(),
        );
        registry.register(
            "subscriptions",
            "Live GraphQL subscriptions",
            m.subscriptions.clone(),
        );
        registry.register(
            "graphql_operations",
            "GraphQL operations begun, by kind",
            m.operations.clone(),
        );
        registry.register(
            "rejections",
            "Commands and requests that were refused, by code",
            m.rejections.clone(),
        );
        registry.register(
            "log_position",
            "The position of the newest durable event",
            m.position.clone(),
        );
        metrics.registry = Arc::new(registry);
        metrics
    }

    pub fn request(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "OTHER",
        };
        self.requests
            .get_or_create(&RequestLabels {
                route: route.into(),
                method,
                status: status.as_u16(),
            })
            .inc();
        self.request_seconds
            .get_or_create(&Named::new(route))
            .observe(elapsed.as_secs_f64());
    }

    pub fn cut(&self, cut: Cut) {
        let reason = match cut {
            Cut::SlowHeaders => "slow_headers",
            Cut::Idle => "idle",
        };
        self.cuts.get_or_create(&Named::new(reason)).inc();
    }

    /// `name` must be one of a bounded set that we made.
    pub fn count(family: &Family<Named, Counter>, name: &str) {
        family.get_or_create(&Named::new(name)).inc();
    }

    /// The figures as text (OpenMetrics 1.0), with those that are only looked up when asked for.
    pub fn text<'a>(
        &self,
        position: u64,
        followers: impl Iterator<Item = FollowerFigures<'a>>,
    ) -> String {
        self.position.set(position as i64);
        for follower in followers {
            self.lag
                .get_or_create(&Named::new(follower.name))
                .set(follower.lag as i64);
            self.stopped
                .get_or_create(&Named::new(follower.name))
                .set(i64::from(follower.stopped));
        }
        let mut text = String::new();
        // Writing into a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
