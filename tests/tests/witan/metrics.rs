//! What `/metrics` says, read as Prometheus reads it.

use std::collections::HashMap;

use serde_json::json;
use witan_tests::server::{Options, Server};

/// A scrape: each sample by its name with labels, and the type of each family.
struct Scrape {
    samples: HashMap<String, f64>,
    types: HashMap<String, String>,
}

impl Scrape {
    async fn of(server: &Server) -> Scrape {
        let response = reqwest::get(format!("{}/metrics", server.url())).await.expect("the server answers");
        assert_eq!(response.status().as_u16(), 200);
        let kind = response.headers()["content-type"].to_str().expect("a media type is text").to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        Scrape::parse(&response.text().await.expect("the text is UTF-8"))
    }

    /// OpenMetrics 1.0, as far as it is needed: every line is a comment that we know, or a sample of a family that was
    /// announced before it; no sample comes twice; the text ends with EOF.
    fn parse(text: &str) -> Scrape {
        let mut scrape = Scrape { samples: HashMap::new(), types: HashMap::new() };
        let body = text.strip_suffix("# EOF\n").expect("the text ends with EOF");
        let mut family = String::new();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                match (words.next(), words.next(), words.next()) {
                    (Some("HELP" | "UNIT"), Some(_), Some(_)) => {}
                    (Some("TYPE"), Some(name), Some(kind)) => {
                        assert!(name.starts_with("witan_"), "{line}");
                        assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
                        family = name.to_owned();
                    }
                    _ => panic!("no comment of OpenMetrics: {line}"),
                }
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let name = sample.split('{').next().unwrap_or_default();
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} is not of {family}"));
            let known: &[&str] = match scrape.types[&family].as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{family} is a {other}"),
            };
            assert!(known.contains(&suffix), "{line} is no sample of a {}", scrape.types[&family]);
            assert!(scrape.samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
        }
        scrape
    }

    fn get(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_else(|| {
            let mut there: Vec<_> = self.samples.keys().filter(|key| !key.contains("_bucket")).collect();
            there.sort();
            panic!("{sample} is none of {there:#?}")
        })
    }

    fn find(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or(0.0)
    }
}

#[tokio::test]
async fn a_scrape_parses_and_its_values_move() {
    let server = Server::start(Options::default());
    let owner = server.owner();
    let before = Scrape::of(&server).await;

    let unit = json!({ "slug": "cardiology", "fullName": "Cardiology" });
    owner.does("createUnit", unit.clone(), "").await;
    assert_eq!(owner.may_not("createUnit", unit).await, "SLUG_TAKEN");
    owner.sees("{ viewer { __typename } }", json!({})).await;
    assert_eq!(owner.is_refused("{ there { is { no } } }", json!({})).await, "VALIDATION_FAILED");
    let forbidden = server.owner().is_refused("{ node(id: \"room_1\") { id } }", json!({})).await;
    let mut socket = owner.socket().await;
    socket.subscribe("all", "subscription { organizationActivity(after: \"0\") { position } }", json!({})).await;
    socket.next("all").await;

    let during = Scrape::of(&server).await;
    let moved = |sample: &str| during.find(sample) - before.find(sample);
    let operations = |kind: &str, transport: &str, outcome: &str| {
        format!("witan_graphql_operations_total{{kind=\"{kind}\",transport=\"{transport}\",outcome=\"{outcome}\"}}")
    };
    assert_eq!(moved(&operations("mutation", "http", "ok")), 2.0, "a rejection is an answer");
    assert!(moved(&operations("query", "http", "ok")) >= 1.0);
    assert_eq!(moved(&operations("query", "http", "refused")), 1.0);
    assert_eq!(moved("witan_rejections_total{code=\"SLUG_TAKEN\"}"), 1.0);
    assert!(moved("witan_graphql_errors_total{code=\"VALIDATION_FAILED\"}") >= 1.0);
    assert!(moved(&format!("witan_graphql_errors_total{{code=\"{forbidden}\"}}")) >= 1.0, "{forbidden}");
    let latency = |of: &str| format!("witan_graphql_operation_seconds_{of}{{kind=\"mutation\",transport=\"http\"}}");
    assert_eq!(moved(&latency("count")), 2.0);
    assert!(moved(&latency("sum")) > 0.0);
    let unbounded = "witan_graphql_operation_seconds_bucket{le=\"+Inf\",kind=\"mutation\",transport=\"http\"}";
    assert_eq!(during.get(unbounded), during.get(&latency("count")));
    for part in ["http", "scan", "parse", "authorise", "decide", "append", "project"] {
        assert!(moved(&format!("witan_part_seconds_total{{part=\"{part}\"}}")) > 0.0, "{part} took no time");
        assert!(moved(&format!("witan_part_runs_total{{part=\"{part}\"}}")) >= 1.0, "{part} was not done");
    }
    assert!(during.get("witan_part_seconds_total{part=\"protect\"}") > 0.0, "the first owner has a name");
    assert!(moved("witan_append_seconds_count") >= 1.0);
    assert!(moved("witan_log_position") >= 1.0);
    assert_eq!(during.get("witan_graphql_subscriptions"), 1.0);
    assert_eq!(during.get("witan_graphql_connections"), 1.0);
    for follower in ["read-models", "sessions", "media", "erasures", "owners", "keys", "deadlines", "ledger", "nodes"] {
        during.get(&format!("witan_follower_lag_events{{name=\"{follower}\"}}"));
        assert_eq!(during.get(&format!("witan_follower_stopped{{name=\"{follower}\"}}")), 0.0);
        assert_eq!(during.get(&format!("witan_follower_failing{{name=\"{follower}\"}}")), 0.0);
    }
    assert!(during.get("witan_http_requests_total{route=\"/graphql\",method=\"POST\",status=\"200\"}") >= 3.0);
    assert_eq!(during.types["witan_http_request_seconds"], "histogram");

    drop(socket);
    let ended = operations("subscription", "websocket", "ok");
    for _ in 0..250 {
        let after = Scrape::of(&server).await;
        if after.find(&ended) == 1.0 && after.get("witan_graphql_subscriptions") == 0.0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the subscription's end is not counted");
}
