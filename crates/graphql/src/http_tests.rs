//! GraphQL over HTTP, each status as one sentence.

use std::{sync::atomic::Ordering, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use witan_domain::CorrelationId;

use crate::{
    http::Options,
    limits::Limits,
    testing::{House, cpu_time},
};

const NEW: &str = "application/graphql-response+json";
const OLD: &str = "application/json";

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
    }

    fn message(&self) -> &str {
        self.body["errors"][0]["message"].as_str().unwrap_or("none")
    }
}

impl House {
    async fn answers(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn posts_as(&self, who: &str, accept: &str, body: impl Into<Body>) -> Answer {
        let request = post().header("authorization", format!("Bearer {who}")).header("accept", accept);
        self.answers(request.body(body.into()).unwrap()).await
    }

    async fn asks(&self, accept: &str, query: &str) -> Answer {
        self.posts_as("owner", accept, json!({ "query": query }).to_string()).await
    }

    async fn gets(&self, url_query: &str) -> Answer {
        let request = Request::get(format!("/graphql?{url_query}")).header("authorization", "Bearer owner");
        self.answers(request.body(Body::empty()).unwrap()).await
    }
}

fn post() -> http::request::Builder {
    Request::post("/graphql").header("content-type", "application/json")
}

fn body_of(query: &str) -> Body {
    Body::from(json!({ "query": query }).to_string())
}

#[tokio::test]
async fn a_query_is_answered_in_the_type_that_is_accepted() {
    let house = House::new();
    for (accept, expected) in [
        (NEW, NEW),
        (OLD, OLD),
        ("*/*", NEW),
        ("application/*", NEW),
        ("application/json, application/graphql-response+json", NEW),
        ("application/json, application/graphql-response+json;q=0.5", OLD),
        ("text/html, application/json;q=0.9, */*;q=0.8", OLD),
        ("application/graphql-response+json;q=0, */*", OLD),
        ("application/json; charset=utf-8", OLD),
    ] {
        let answer = house.asks(accept, "{hello}").await;
        assert_eq!((answer.status, &answer.body), (200, &json!({"data": {"hello": "hello"}})), "{accept}");
        assert_eq!(answer.header(header::CONTENT_TYPE), format!("{expected}; charset=utf-8"), "{accept}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    }
    let without = post().header("authorization", "Bearer owner").body(body_of("{hello}")).unwrap();
    assert_eq!(house.answers(without).await.header(header::CONTENT_TYPE), format!("{NEW}; charset=utf-8"));
}

#[tokio::test]
async fn nothing_acceptable_is_406() {
    let house = House::new();
    for accept in ["text/html", "application/graphql-response+json;q=0", "application/json; charset=latin1", ""] {
        let answer = house.asks(accept, "{hello}").await;
        assert_eq!((answer.status, answer.code()), (406, "NOT_ACCEPTABLE"), "{accept}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_400_or_200_by_media_type() {
    let house = House::new();
    for (query, code) in [
        ("{", "PARSE_FAILED"),
        ("{hello(}", "PARSE_FAILED"),
        ("query($a: [S] = [1]){hello}", "VALIDATION_FAILED"),
        ("{nothing}", "VALIDATION_FAILED"),
        ("query($a: Int!){double(value: $a)}", "INVALID_INPUT"),
        ("query A{hello} query B{hello}", "OPERATION_NAME_REQUIRED"),
        ("subscription{idle}", "SUBSCRIPTION_NEEDS_WEBSOCKET"),
        ("{a:hello}".repeat(21).as_str(), "TOO_MANY_OPERATIONS"),
    ] {
        for (accept, status) in [(NEW, 400), (OLD, 200)] {
            let answer = house.asks(accept, query).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{query}");
            assert!(answer.body.get("data").is_none(), "{query}: no data entry in {}", answer.body);
            let id = answer.body["errors"][0]["extensions"]["requestId"].as_str().unwrap();
            assert!(id.parse::<CorrelationId>().is_ok());
        }
    }
    let unknown = json!({"query": "query A{hello}", "operationName": "B"}).to_string();
    assert_eq!(house.posts_as("owner", NEW, unknown).await.code(), "UNKNOWN_OPERATION");
}

#[tokio::test]
async fn an_error_while_executing_is_294_with_data_or_200_for_the_old_type() {
    let house = House::new();
    for (accept, status) in [(NEW, 294), (OLD, 200)] {
        let answer = house.asks(accept, "{hello refused}").await;
        assert_eq!((answer.status, answer.code()), (status, "SESSION_NOT_LIVE"));
        assert_eq!(answer.body["data"], json!({"hello": "hello", "refused": null}));
        assert_eq!(answer.body["errors"][0]["path"], json!(["refused"]));
        assert_eq!(answer.message(), "the session is not live");
    }
}

#[tokio::test]
async fn faults_are_opaque() {
    let house = House::new();
    for query in ["{faulty}", "{careless}"] {
        let answer = house.asks(NEW, query).await;
        assert_eq!((answer.status, answer.code()), (294, "INTERNAL"));
        let text = answer.body.to_string();
        assert!(!text.contains("alice") && !text.contains("digit"), "{text}");
    }
    let answer = house.asks(NEW, "{panics}").await;
    assert_eq!((answer.status, answer.code()), (500, "INTERNAL"));
    let answer = house.posts_as("broken", NEW, body_of("{hello}")).await;
    assert_eq!((answer.status, answer.code()), (500, "INTERNAL"));
    assert!(!answer.body.to_string().contains("alice"));
}

#[tokio::test]
async fn a_value_that_no_input_type_takes_is_not_a_fault() {
    let answer = House::new().asks(NEW, "{double(value: \"two\")}").await;
    assert_eq!(answer.code(), "VALIDATION_FAILED");
    let variables = json!({"query": "query($v: Int!){double(value: $v)}", "variables": {"v": 3_000_000_000_u64}});
    let answer = House::new().posts_as("owner", NEW, variables.to_string()).await;
    assert_eq!((answer.status, answer.code()), (294, "INVALID_INPUT"), "{}", answer.body);
}

#[tokio::test]
async fn other_methods_are_405_and_say_which_are_allowed() {
    let house = House::new();
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let request = Request::builder().method(method).uri("/graphql").body(Body::empty()).unwrap();
        let response = house.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[header::ALLOW], "GET, POST", "{method}");
    }
}

#[tokio::test]
async fn get_answers_queries() {
    let house = House::new();
    let answer = house
        .gets("query=query+D(%24v%3AInt!)%7Bdouble(value%3A%24v)%7D&variables=%7B%22v%22%3A4%7D&operationName=D&x=1");
    assert_eq!(answer.await.body, json!({"data": {"double": 8}}));
    let answer = house.gets("query={hello}&variables=&extensions=&operationName=").await;
    assert_eq!((answer.status, &answer.body), (200, &json!({"data": {"hello": "hello"}})));
    for wrong in [
        "",
        "query=%ff",
        "query=%7",
        "query={hello}&query={hello}",
        "query={hello}&variables=[1]",
        "query={hello}&variables={",
    ] {
        let answer = house.gets(wrong).await;
        assert_eq!((answer.status, answer.code()), (400, "BAD_REQUEST"), "{wrong}");
    }
    let deep = format!("query={{hello}}&variables={}", "[".repeat(40));
    assert_eq!(house.gets(&deep).await.code(), "VARIABLES_TOO_DEEP");
}

#[tokio::test]
async fn a_mutation_over_get_is_405_and_does_not_happen() {
    let house = House::new();
    for query in ["query=mutation{bump}", "query=query+A{hello}+mutation+B{bump}&operationName=B"] {
        let answer = house.gets(query).await;
        assert_eq!((answer.status, answer.header(header::ALLOW)), (405, "POST"));
    }
    assert_eq!(house.counter.load(Ordering::SeqCst), 0);
    assert_eq!(house.asks(NEW, "mutation{bump}").await.body, json!({"data": {"bump": 1}}));
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let house = House::new();
    for content_type in ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"] {
        let mut request = Request::post("/graphql").header("authorization", "Bearer owner");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let answer = house.answers(request.body(body_of("{hello}")).unwrap()).await;
        assert_eq!((answer.status, answer.code()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{content_type}");
    }
    let packed = post().header("content-encoding", "gzip").body(body_of("{hello}")).unwrap();
    assert_eq!(house.answers(packed).await.status, 415);
    let request = Request::post("/graphql").header("content-type", "Application/JSON; Charset=\"UTF-8\"");
    let request = request.header("authorization", "Bearer owner").body(body_of("{hello}")).unwrap();
    assert_eq!(house.answers(request).await.status, 200);
}

#[tokio::test]
async fn a_malformed_request_is_400_in_either_type() {
    let house = House::new();
    for body in [
        "",
        "NONSENSE",
        "{\"query\":",
        "{}",
        "7",
        "null",
        "{\"query\":7}",
        "{\"query\":null}",
        "{\"query\":\"{hello}\",\"variables\":[7]}",
        "{\"query\":\"{hello}\",\"operationName\":{}}",
        "{\"query\":\"{hello}\",\"extensions\":\"x\"}",
        "{\"query\":\"{hello}\",\"query\":\"{hello}\"}",
    ] {
        for accept in [NEW, OLD] {
            let answer = house.posts_as("owner", accept, body).await;
            assert_eq!((answer.status, answer.code()), (400, "BAD_REQUEST"), "{body}");
        }
    }
    let answer = house.posts_as("owner", NEW, &b"{\"query\":\"{hello \xff}\"}"[..]).await;
    assert_eq!((answer.status, answer.message()), (400, "the request is not UTF-8"));
    let nulls = "{\"query\":\"{hello}\",\"variables\":null,\"operationName\":null,\"extensions\":null,\"other\":[1]}";
    assert_eq!(house.posts_as("owner", NEW, nulls).await.status, 200);
}

#[tokio::test]
async fn batching_is_refused_clearly() {
    let answer = House::new().posts_as("owner", NEW, " [{\"query\":\"{hello}\"}]").await;
    assert_eq!((answer.status, answer.code()), (400, "BATCHING_NOT_SUPPORTED"));
}

#[tokio::test]
async fn a_caller_who_is_not_known_is_401_with_a_challenge() {
    let house = House::new();
    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Bearer nobody"), "Bearer error=\"invalid_token\""),
        (Some("Basic b3duZXI6"), "Bearer error=\"invalid_request\""),
        (Some("Bearer"), "Bearer error=\"invalid_request\""),
        (Some("owner"), "Bearer error=\"invalid_request\""),
    ] {
        let mut request = post();
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = house.answers(request.body(body_of("{hello}")).unwrap()).await;
        assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"), "{authorization:?}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), challenge);
    }
    let answer = house.posts_as("stranger", NEW, body_of("{hello}")).await;
    assert_eq!((answer.status, answer.code(), answer.message()), (403, "FORBIDDEN", "not in this organization"));
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_read() {
    let house = House::new();
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = house.answers(post().body(never).unwrap()).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn resolvers_learn_who_calls() {
    let house = House::new();
    assert_eq!(house.posts_as("guest", NEW, body_of("{who}")).await.body["data"]["who"], "guest");
}

#[tokio::test]
async fn introspection_and_suggestions_are_for_those_who_may() {
    let house = House::new();
    for query in [
        "{__schema{types{name}}}",
        "{__type(name:\"Query\"){name}}",
        "{...F} fragment F on Query{x:__schema{types{name}}}",
    ] {
        assert_eq!(house.posts_as("owner", NEW, body_of(query)).await.status, 200, "{query}");
        let answer = house.posts_as("guest", NEW, body_of(query)).await;
        assert_eq!((answer.status, answer.code()), (400, "INTROSPECTION_NOT_ALLOWED"), "{query}");
    }
    let known = house.posts_as("owner", NEW, body_of("{helo}")).await;
    assert!(known.message().contains("Did you mean \"hello\"?"), "{}", known.message());
    let guest = house.posts_as("guest", NEW, body_of("{helo}")).await;
    assert_eq!(guest.message(), "Unknown field \"helo\" on type \"Query\".");
    assert_eq!(house.posts_as("guest", NEW, body_of("{__typename}")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let house = House::new();
    let before = cpu_time();
    let large = house.posts_as("owner", NEW, vec![b' '; 10_000_000]).await;
    assert_eq!((large.status, large.code()), (413, "BODY_TOO_LARGE"));
    let announced = post().header("authorization", "Bearer owner").header("content-length", "10000000");
    assert_eq!(house.answers(announced.body(Body::empty()).unwrap()).await.status, 413);
    // In pieces, so that only the reading finds out.
    let pieces = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 60_000])));
    let answer = house.posts_as("owner", NEW, Body::from_stream(pieces)).await;
    assert_eq!(answer.status, 413);
    assert!((cpu_time() - before).as_millis() < 100);
}

#[tokio::test]
async fn a_mutation_goes_to_its_end_when_its_caller_goes_away() {
    let house = House::new();
    let steps = || house.counter.load(Ordering::SeqCst);
    let asked = tokio::time::timeout(Duration::from_millis(50), house.asks(NEW, "mutation{bumpTwice}")).await;
    assert!(asked.is_err() && steps() == 1, "cut between its steps");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(steps(), 2);
    let answer = house.asks(NEW, "mutation{panics}").await;
    assert_eq!((answer.status, answer.code()), (500, "INTERNAL"));
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408() {
    let mut house = House::new();
    house.options.limits.body_time_max = std::time::Duration::from_millis(20);
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = house.posts_as("owner", NEW, never).await;
    assert_eq!((answer.status, answer.code()), (408, "BODY_TOO_SLOW"));
}

#[tokio::test]
async fn variables_that_nest_or_swell_are_refused_before_they_are_built() {
    let house = House::new();
    let nested =
        format!("{{\"query\":\"{{hello}}\",\"variables\":{{\"a\":{}{}}}}}", "[".repeat(300_000), "]".repeat(300_000));
    let swollen = format!("{{\"query\":\"{{hello}}\",\"variables\":{{\"a\":[{}0]}}}}", "0,".repeat(400_000));
    let before = cpu_time();
    assert_eq!(house.posts_as("owner", NEW, nested).await.code(), "VARIABLES_TOO_DEEP");
    assert_eq!(house.posts_as("owner", NEW, swollen).await.code(), "TOO_MANY_VARIABLE_VALUES");
    assert!((cpu_time() - before).as_millis() < 100);
}

#[tokio::test]
async fn hostile_documents_cost_next_to_nothing() {
    let house = House::new();
    let bomb = (0..16).fold(String::from("{item{...F0}}fragment F16 on Item{id}"), |text, level| {
        format!("{text}fragment F{level} on Item{{...F{0} ...F{0}}}", level + 1)
    });
    let brackets = format!("{{item{{named(names:{}", "[".repeat(20_000));
    let aliases = format!("{{{}}}", (0..10_000).map(|i| format!("a{i}:x ")).collect::<String>());
    for (document, code) in [(bomb, "TOO_COMPLEX"), (brackets, "TOO_DEEP"), (aliases, "DOCUMENT_TOO_LARGE")] {
        let before = cpu_time();
        let answer = house.asks(NEW, &document).await;
        assert_eq!((answer.status, answer.code()), (400, code));
        assert!((cpu_time() - before).as_millis() < 100, "{code}");
    }
    assert_eq!(house.options.figures.refused.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_request_id_of_the_server_is_kept() {
    let house = House::new();
    let mut request = post().body(body_of("{hello}")).unwrap();
    request.extensions_mut().insert(CorrelationId(42));
    let answer = house.answers(request).await;
    assert_eq!(answer.body["errors"][0]["extensions"]["requestId"], CorrelationId(42).to_string());
}

#[tokio::test]
async fn a_document_is_parsed_once() {
    let house = House::new();
    let router = house.router();
    for value in [1, 2, 3] {
        let body = json!({"query": "query($v: Int!){double(value: $v)}", "variables": {"v": value}}).to_string();
        let request = post().header("authorization", "Bearer owner").body(Body::from(body)).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), json!({"data": {"double": value * 2}}));
    }
}

#[tokio::test]
async fn other_limits_may_be_set() {
    let mut house = House::new();
    house.options = Options { limits: Limits { tokens_max: 2, ..Limits::default() }, ..Options::default() };
    let answer = house.asks(NEW, "{hello}").await;
    assert_eq!((answer.code(), answer.message()), ("TOO_MANY_TOKENS", "too many tokens: found 3, allowed are 2"));
}

/// Whatever was found valid before, each request is answered as by a server that has never seen its document.
#[tokio::test]
async fn what_was_valid_is_not_taken_for_what_comes_with_other_variables() {
    let house = House::new();
    let router = house.router();
    let double = "query($v: Int!, $twice: Boolean = false) { double(value: $v) hello @include(if: $twice) }";
    let named = "query($names: [String!]!) { item { named(names: $names) } }";
    let two = "query A { hello } query B($v: Int!) { double(value: $v) }";
    for (query, operation, variables) in [
        (double, None, json!({ "v": 1 })),
        (double, None, json!({ "v": 2 })),
        (double, None, json!({ "v": -3 })),
        (double, None, json!({ "v": "4" })),
        (double, None, json!({ "v": 5_000_000_000_u64 })),
        (double, None, json!({ "v": true })),
        (double, None, json!({ "v": null })),
        (double, None, json!({})),
        (double, None, json!({ "v": { "v": 1 } })),
        (double, None, json!({ "v": 6, "twice": true })),
        (double, None, json!({ "v": 6, "twice": "yes" })),
        (double, None, json!({ "v": 6, "twice": null })),
        (double, None, json!({ "v": 7, "unknown": 1 })),
        (named, None, json!({ "names": ["a"] })),
        (named, None, json!({ "names": ["a", 1] })),
        (named, None, json!({ "names": ["a", null] })),
        (two, Some("A"), json!({})),
        (two, Some("B"), json!({ "v": 1 })),
        (two, Some("B"), json!({ "v": "x" })),
        (two, Some("A"), json!({ "v": "x" })),
        ("{hello nothing}", None, json!({})),
        ("{hello}", None, json!({})),
    ] {
        let asked = json!({ "query": query, "operationName": operation, "variables": variables }).to_string();
        let answer = async |router: axum::Router| {
            let request = post().header("authorization", "Bearer owner");
            let response = router.oneshot(request.body(Body::from(asked.clone())).unwrap()).await.unwrap();
            let status = response.status();
            let body: Value =
                serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
            (status, without_request_ids(body))
        };
        let fresh = answer(house.router()).await;
        for _ in 0..3 {
            assert_eq!(answer(router.clone()).await, fresh, "{asked}");
        }
    }
}

fn without_request_ids(mut body: Value) -> Value {
    for error in body["errors"].as_array_mut().into_iter().flatten() {
        error["extensions"].as_object_mut().and_then(|extensions| extensions.remove("requestId"));
    }
    body
}
