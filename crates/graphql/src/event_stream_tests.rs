//! GraphQL over server-sent events, each rule as one sentence.

use std::{sync::atomic::Ordering, time::Duration};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use crate::{figures::Outcome, testing::House};

const PATIENCE: Duration = Duration::from_secs(10);
const EVENTS: &str = "text/event-stream";

/// What one subscription gives.
struct Events {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug, PartialEq)]
enum Event {
    Next(Value),
    Complete,
    KeepAlive,
    /// The body ended.
    End,
}

impl Events {
    async fn hears(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return parse(&event);
            }
            let Some(chunk) = timeout(PATIENCE, self.body.next()).await.expect("something comes in time") else {
                assert_eq!(self.text, "", "the body ends between two events");
                return Event::End;
            };
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    async fn next(&mut self) -> Value {
        match self.hears().await {
            Event::Next(value) => value,
            other => panic!("{other:?}"),
        }
    }

    /// The code of the error with which it ends, and where to resume.
    async fn is_ended(&mut self) -> (String, Value) {
        let last = self.next().await;
        assert_eq!(self.hears().await, Event::Complete);
        assert_eq!(self.hears().await, Event::End);
        let extensions = &last["errors"][0]["extensions"];
        assert!(extensions["requestId"].is_string(), "{last}");
        (extensions["code"].as_str().unwrap().to_owned(), extensions["resumeAfter"].clone())
    }
}

fn parse(event: &str) -> Event {
    match event.split_once('\n') {
        Some(("event: next", data)) => Event::Next(serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()),
        Some(("event: complete", "data:")) => Event::Complete,
        None if event == ":" => Event::KeepAlive,
        _ => panic!("no event of the protocol: {event:?}"),
    }
}

impl House {
    async fn opens(&self, who: &str, accept: &str, query: &str) -> (StatusCode, http::HeaderMap, Events) {
        let request = Request::post("/graphql").header("content-type", "application/json").header("accept", accept);
        let request = request.header("authorization", format!("Bearer {who}"));
        let body = Body::from(json!({ "query": query }).to_string());
        self.sends(request.body(body).unwrap()).await
    }

    async fn sends(&self, request: Request<Body>) -> (StatusCode, http::HeaderMap, Events) {
        let (parts, body) = self.router().oneshot(request).await.unwrap().into_parts();
        (parts.status, parts.headers, Events { body: body.into_data_stream(), text: String::new() })
    }

    async fn listens(&self, who: &str, query: &str) -> Events {
        let (status, headers, events) = self.opens(who, EVENTS, query).await;
        assert_eq!(
            (status, &headers["content-type"]),
            (StatusCode::OK, &"text/event-stream; charset=utf-8".parse().unwrap())
        );
        events
    }

    fn live(&self) -> u64 {
        self.options.figures.subscriptions.load(Ordering::SeqCst)
    }
}

async fn soon(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_subscription_gives_its_items_and_completes() {
    let house = House::new();
    let mut events = house.listens("owner", "subscription{ticks(until: 3){position}}").await;
    for position in 1..=3 {
        assert_eq!(events.next().await, json!({ "data": { "ticks": { "position": position } } }));
    }
    assert_eq!((events.hears().await, events.hears().await), (Event::Complete, Event::End));
    soon("its end", || house.options.figures.connections() == 0 && house.live() == 0).await;
    let ended = house.options.figures.operations.counts();
    let labels = vec![("kind", "subscription"), ("transport", "event_stream"), ("outcome", Outcome::Ok.name())];
    assert!(ended.contains(&(labels, 1)), "{ended:?}");
}

#[tokio::test]
async fn it_can_be_asked_for_by_get_too() {
    let house = House::new();
    let request = Request::get("/graphql?query=subscription%7Bticks(until:1)%7Bposition%7D%7D")
        .header("authorization", "Bearer owner")
        .header("accept", EVENTS);
    let (_, _, mut events) = house.sends(request.body(Body::empty()).unwrap()).await;
    assert_eq!(events.next().await["data"]["ticks"]["position"], 1);
    assert_eq!(events.hears().await, Event::Complete);
}

#[tokio::test]
async fn a_query_and_a_mutation_are_one_event() {
    let house = House::new();
    for (query, field) in [("{hello}", "hello"), ("mutation{bump}", "bump")] {
        let mut events = house.listens("owner", query).await;
        assert!(!events.next().await["data"][field].is_null());
        assert_eq!((events.hears().await, events.hears().await), (Event::Complete, Event::End));
    }
    assert_eq!(house.live(), 0);
    let request = Request::get("/graphql?query=mutation%7Bbump%7D").header("authorization", "Bearer owner");
    let (status, _, _) = house.sends(request.header("accept", EVENTS).body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_takes_both_gets_one_document_for_a_query_and_events_for_a_subscription() {
    let house = House::new();
    let both = "application/json, text/event-stream";
    let (_, headers, _) = house.opens("owner", both, "{hello}").await;
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
    let (_, headers, _) = house.opens("owner", both, "subscription{idle}").await;
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["x-accel-buffering"], "no");
    let (_, headers, _) = house.opens("owner", "text/event-stream, */*;q=0.5", "{hello}").await;
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    let (_, headers, _) = house.opens("owner", "application/json, text/event-stream;q=0", "subscription{idle}").await;
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn what_can_not_be_executed_is_told_in_an_event() {
    let house = House::new();
    for (query, code) in [
        ("subscription{", "PARSE_FAILED"),
        ("subscription{none}", "VALIDATION_FAILED"),
        ("subscription{unknown}", "SESSION_NOT_FOUND"),
        ("subscription{panicking}", "INTERNAL"),
    ] {
        let mut events = house.listens("owner", query).await;
        let (told, resume) = events.is_ended().await;
        assert_eq!(told, code, "{query}");
        assert_eq!(resume, Value::Null);
    }
    soon("their ends", || house.live() == 0).await;
}

#[tokio::test]
async fn who_may_not_call_gets_a_status() {
    let house = House::new();
    for (who, status) in [("nobody", 401), ("stranger", 403), ("broken", 500)] {
        let (answered, headers, _) = house.opens(who, EVENTS, "subscription{idle}").await;
        assert_eq!(answered.as_u16(), status);
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
    }
    assert!(house.door.present.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connections_are_counted_and_bounded() {
    let mut house = House::new();
    house.options.limits.connections_max = 2;
    let first = house.listens("owner", "subscription{idle}").await;
    let _second = house.listens("guest", "subscription{idle}").await;
    assert_eq!(house.door.present.lock().unwrap()["owner"], 1);
    let (status, headers, _) = house.opens("owner", EVENTS, "subscription{idle}").await;
    assert_eq!((status.as_u16(), headers.contains_key("retry-after")), (503, true));
    drop(first);
    soon("a place", || house.options.figures.connections() == 1).await;
    assert_eq!(house.door.present.lock().unwrap()["owner"], 0);
    house.listens("owner", "subscription{idle}").await;
}

#[tokio::test]
async fn one_credential_has_its_share() {
    let mut house = House::new();
    house.options.limits.connections_per_credential_max = 1;
    let router = house.router();
    let open = async |who: &str| {
        let request = Request::post("/graphql").header("content-type", "application/json").header("accept", EVENTS);
        let request = request.header("authorization", format!("Bearer {who}"));
        let body = Body::from(json!({ "query": "subscription{idle}" }).to_string());
        router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    };
    let first = open("owner").await;
    assert_eq!((first.status().as_u16(), open("owner").await.status().as_u16()), (200, 503));
    assert_eq!(open("guest").await.status().as_u16(), 200);
}

#[tokio::test]
async fn a_grant_that_is_taken_away_ends_it() {
    let house = House::new();
    let mut guarded = house.listens("owner", "subscription{guarded}").await;
    let mut idle = house.listens("owner", "subscription{idle}").await;
    house.grant.store(false, Ordering::SeqCst);
    assert_eq!(guarded.is_ended().await.0, "FORBIDDEN");
    house.door.shut.store(true, Ordering::SeqCst);
    assert_eq!(idle.is_ended().await.0, "FORBIDDEN");
}

#[tokio::test]
async fn a_shutdown_says_where_to_resume() {
    let house = House::new();
    let mut busy = house.listens("owner", "subscription{ticks(after: 41){position}}").await;
    let mut idle = house.listens("owner", "subscription{idle}").await;
    assert_eq!(busy.next().await["data"]["ticks"]["position"], 42);
    house.shutdown.send(true).unwrap();
    assert_eq!(idle.is_ended().await, ("SHUTTING_DOWN".into(), Value::Null));
    let mut newest = 42;
    loop {
        let item = busy.next().await;
        match item["data"]["ticks"]["position"].as_u64() {
            Some(position) => {
                assert_eq!(position, newest + 1, "no gap");
                newest = position;
            }
            None => {
                let extensions = &item["errors"][0]["extensions"];
                assert_eq!(
                    (&extensions["code"], &extensions["resumeAfter"]),
                    (&json!("SHUTTING_DOWN"), &json!(newest.to_string()))
                );
                break;
            }
        }
    }
    assert_eq!((busy.hears().await, busy.hears().await), (Event::Complete, Event::End));
    let (status, _, _) = house.opens("owner", EVENTS, "subscription{idle}").await;
    assert_eq!(status.as_u16(), 503);
    timeout(PATIENCE, house.options.figures.all_closed()).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_let_go_and_holds_little() {
    let house = House::new();
    let mut events = house.listens("owner", "subscription{ticks(bytes: 1000){position filler}}").await;
    let figures = house.options.figures.clone();
    soon("the stall", || figures.let_go.load(Ordering::SeqCst) == 1).await;
    soon("its end", || house.counter.load(Ordering::SeqCst) == 0 && figures.connections() == 0).await;
    // What was on its way is still there, then where to resume.
    let mut newest = 0;
    let resume = loop {
        let item = events.next().await;
        match item["data"]["ticks"]["position"].as_u64() {
            Some(position) => newest = position,
            None => break item["errors"][0]["extensions"].clone(),
        }
    };
    assert_eq!((&resume["code"], &resume["resumeAfter"]), (&json!("TOO_SLOW"), &json!(newest.to_string())));
    assert!(newest < 100, "{newest} items were kept");
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let mut house = House::new();
    house.options.limits.ping_after = Duration::from_millis(100);
    let mut events = house.listens("owner", "subscription{idle}").await;
    assert_eq!((events.hears().await, events.hears().await), (Event::KeepAlive, Event::KeepAlive));
}
