//! Figures for Prometheus. No label holds what a client can choose freely: their number is bounded, and nothing in them
//! is personal.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use crate::{health::Standing, listener::Cut};

/// Upper bounds of the histograms, in seconds: a sync costs from 0.1 ms on, a request at most a minute.
const SECONDS: [f64; 14] = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Routed {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Named {
    name: String,
}

#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<Routed, Histogram, fn() -> Histogram>,
    cuts: Family<Named, Counter>,
    pub append_seconds: Histogram,
    pub append_failures: Family<Named, Counter>,
    lag: Family<Named, Gauge>,
    stopped: Family<Named, Gauge>,
    failing: Family<Named, Gauge>,
    position: Gauge,
}

impl Named {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    Gauge,
}

/// The labels of one figure: their values are ours, never a client's.
pub type Labels = Vec<(&'static str, String)>;

/// A figure that somebody else keeps, read when it is asked for.
enum Read {
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
    Gauge(Box<dyn Fn() -> u64 + Send + Sync>),
    Counters(Box<dyn Fn() -> Vec<(Labels, u64)> + Send + Sync>),
    /// In seconds.
    Times(Box<dyn Fn() -> Vec<(Labels, f64)> + Send + Sync>),
    /// In seconds; each bucket's own count, the last one without a bound.
    Histograms(&'static [f64], Box<dyn Fn() -> Vec<(Labels, Vec<u64>, f64)> + Send + Sync>),
}

struct Elsewhere {
    name: &'static str,
    help: &'static str,
    read: Read,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Elsewhere {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // The registry puts its prefix before the name.
        let (name, help) = (self.name, self.help);
        match &self.read {
            Read::Counter(read) => {
                let counter = ConstCounter::new(read());
                counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
            }
            Read::Gauge(read) => {
                let gauge = ConstGauge::new(read() as i64);
                gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
            }
            Read::Counters(read) => {
                let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                for (labels, count) in read() {
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
                Ok(())
            }
            Read::Times(read) => {
                let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
                for (labels, seconds) in read() {
                    ConstCounter::new(seconds).encode(family.encode_family(&labels)?)?;
                }
                Ok(())
            }
            Read::Histograms(bounds, read) => {
                let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
                for (labels, buckets, seconds) in read() {
                    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                    let bounded: Vec<_> = bounds.zip(buckets.iter().copied()).collect();
                    let count = buckets.iter().sum();
                    let mut histogram = family.encode_family(&labels)?;
                    histogram.encode_histogram::<NoLabelSet>(seconds, count, &bounded, None)?;
                }
                Ok(())
            }
        }
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("witan");
        let new_histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(new_histogram),
            cuts: Family::default(),
            append_seconds: new_histogram(),
            append_failures: Family::default(),
            lag: Family::default(),
            stopped: Family::default(),
            failing: Family::default(),
            position: Gauge::default(),
        };
        let m = &metrics;
        registry.register("http_requests", "HTTP requests answered, by route, method and status", m.requests.clone());
        registry.register_with_unit(
            "http_request",
            "Time from a request's headers to its response's headers, by route",
            Unit::Seconds,
            m.request_seconds.clone(),
        );
        registry.register("connections_cut", "Connections that ran out of time, by reason", m.cuts.clone());
        registry.register_with_unit(
            "append",
            "Time from an append's call until it is durable",
            Unit::Seconds,
            m.append_seconds.clone(),
        );
        registry.register("append_failures", "Appends that were not recorded, by reason", m.append_failures.clone());
        registry.register("follower_lag_events", "Events that a follower is behind the log", m.lag.clone());
        registry.register("follower_stopped", "1 for a follower that has stopped", m.stopped.clone());
        registry.register("follower_failing", "Things that a follower tries again in vain", m.failing.clone());
        registry.register("log_position", "The position of the newest durable event", m.position.clone());
        *metrics.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        metrics
    }

    /// A figure that somebody else counts: looked up whenever the figures are asked for.
    pub fn watch(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let read = match kind {
            Kind::Counter => Read::Counter(Box::new(read)),
            Kind::Gauge => Read::Gauge(Box::new(read)),
        };
        self.collect(name, help, read);
    }

    /// The same for counters that are told apart by labels.
    pub fn watch_counters(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<(Labels, u64)> + Send + Sync + 'static,
    ) {
        self.collect(name, help, Read::Counters(Box::new(read)));
    }

    /// The same for seconds that add up.
    pub fn watch_times(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.collect(name, help, Read::Times(Box::new(read)));
    }

    /// The same for histograms of seconds, with the upper bounds of all buckets but the last.
    pub fn watch_histograms(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        read: impl Fn() -> Vec<(Labels, Vec<u64>, f64)> + Send + Sync + 'static,
    ) {
        self.collect(name, help, Read::Histograms(bounds, Box::new(read)));
    }

    fn collect(&self, name: &'static str, help: &'static str, read: Read) {
        let elsewhere = Elsewhere { name, help, read };
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(Box::new(elsewhere));
    }

    pub fn request(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "OTHER",
        };
        self.requests.get_or_create(&RequestLabels { route: route.into(), method, status: status.as_u16() }).inc();
        self.request_seconds.get_or_create(&Routed { route: route.into() }).observe(elapsed.as_secs_f64());
    }

    pub fn cut(&self, cut: Cut) {
        let reason = match cut {
            Cut::SlowHeaders => "slow_headers",
            Cut::Idle => "idle",
            Cut::Stalled => "stalled",
        };
        self.cuts.get_or_create(&Named::new(reason)).inc();
    }

    /// `name` must be one of a bounded set that we made.
    pub fn count(family: &Family<Named, Counter>, name: &str) {
        family.get_or_create(&Named::new(name)).inc();
    }

    /// The figures as text (OpenMetrics 1.0), with those that are only looked up when asked for.
    pub fn text(&self, standing: &Standing) -> String {
        self.position.set(standing.position as i64);
        for follower in &standing.followers {
            let name = Named::new(&follower.name);
            self.lag.get_or_create(&name).set(follower.lag as i64);
            self.stopped.get_or_create(&name).set(i64::from(follower.stopped.is_some()));
            self.failing.get_or_create(&name).set(follower.failing as i64);
        }
        let mut text = String::new();
        // Writing into a String can't fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{FollowerStanding, Part};

    #[test]
    fn figures_are_there_and_bounded() {
        let metrics = Metrics::new();
        metrics.watch("subscriptions", "Live subscriptions", Kind::Gauge, || 7);
        metrics.watch("let_go", "Let go", Kind::Counter, || 3);
        metrics.append_seconds.observe(0.0015);
        for method in ["GET", "BREW", "ANNA"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.request("/graphql", &method, StatusCode::OK, Duration::from_millis(3));
        }
        metrics.cut(Cut::Idle);
        let follower = FollowerStanding { name: "read-models".into(), cursor: 40, lag: 2, stopped: None, failing: 3 };
        let standing = Standing {
            position: 42,
            journal: Part::new(None),
            vault: Part::new(None),
            followers: vec![follower],
            media: "none",
            media_node: None,
            shutting_down: false,
        };
        let text = metrics.text(&standing);
        for line in [
            "witan_append_seconds_bucket{le=\"0.002\"} 1",
            "witan_http_requests_total{route=\"/graphql\",method=\"OTHER\",status=\"200\"} 2",
            "witan_follower_lag_events{name=\"read-models\"} 2",
            "witan_follower_failing{name=\"read-models\"} 3",
            "witan_log_position 42",
            "witan_subscriptions 7",
            "witan_let_go_total 3",
            "witan_connections_cut_total{name=\"idle\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("ANNA") && text.ends_with("# EOF\n"));
    }
}
