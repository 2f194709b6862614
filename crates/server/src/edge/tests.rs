use std::{io, sync::Mutex};

use axum::{
    Router,
    body::Bytes,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;

use super::*;
use crate::{config::LogFormat, logging};

fn router(config: &Config) -> Router {
    let edge = Arc::new(Edge::new(config, Metrics::new()));
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("secret of Anna Schmidt")
                }
            }),
        )
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(60)).await }))
        .route("/rooms/{slug}", get(|| async { "room" }))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(edge, pass))
}

fn config() -> Config {
    Config { cors_origins: vec!["https://meet.example.org".into()], body_bytes_max: 2048, ..Config::default() }
}

async fn send(config: &Config, request: http::request::Builder, body: impl Into<Body>) -> Response {
    router(config).oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn every_response_is_dressed() {
    for path in ["/", "/nowhere", "/panic"] {
        let response = send(&config(), Request::get(path), Body::empty()).await;
        let headers = response.headers();
        assert!(headers[REQUEST_ID].to_str().unwrap().parse::<CorrelationId>().is_ok(), "{path}");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("frame-ancestors 'none'"));
        assert!(!headers.contains_key(STRICT_TRANSPORT_SECURITY));
    }
    let https = Config { public_url: Some("https://witan.example.org".into()), ..config() };
    assert!(send(&https, Request::get("/"), Body::empty()).await.headers().contains_key(STRICT_TRANSPORT_SECURITY));
}

#[tokio::test]
async fn a_request_id_that_is_one_is_kept() {
    let ours = "request_01JCY3V8Q6ZK9B2T4M5N6P7R8S";
    let uuid = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";
    let as_ours = CorrelationId(0x6f96_19ff_8b86_d011_b42d_00cf_4fc9_64ff).to_string();
    let sent_and_answered =
        [(ours, ours), ("01JCY3V8Q6ZK9B2T4M5N6P7R8S", ours), (uuid, &as_ours), (&uuid.replace('-', ""), &as_ours)];
    for (sent, answered) in sent_and_answered {
        let response = send(&config(), Request::get("/").header(REQUEST_ID, sent), Body::empty()).await;
        assert_eq!(response.headers()[REQUEST_ID], answered);
    }
    for other in ["anna.schmidt", "anna", "x".repeat(65).as_str(), "", "ANNASCHMIDTANNASCHMIDTANNA"] {
        let response = send(&config(), Request::get("/").header(REQUEST_ID, other), Body::empty()).await;
        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        assert!(id.parse::<CorrelationId>().is_ok() && !id.to_lowercase().contains("anna"), "{other} became {id}");
    }
}

#[tokio::test]
async fn a_panic_is_opaque_and_the_next_request_is_answered() {
    let response = send(&config(), Request::get("/panic"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
    let text = text(response).await;
    assert!(text.contains("INTERNAL") && text.contains(&id) && !text.contains("Anna"), "{text}");
    assert_eq!(send(&config(), Request::get("/"), Body::empty()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let announced = Request::post("/body").header(CONTENT_LENGTH, "4096");
    let response = send(&config(), announced, vec![0; 4096]).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text(response).await.contains("at most 2048 bytes"));
    assert_eq!(send(&config(), Request::post("/body"), vec![0; 4096]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(send(&config(), Request::post("/body"), vec![0; 2048]).await).await, "2048");
}

#[tokio::test]
async fn an_answer_has_a_time() {
    let config = Config { request_timeout: Duration::from_millis(50), ..config() };
    let response = send(&config, Request::get("/slow"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn cors_is_for_those_on_the_list() {
    let preflight =
        |origin: &str| Request::options("/").header(ORIGIN, origin).header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let listed = send(&config(), preflight("https://meet.example.org"), Body::empty()).await;
    assert_eq!(listed.status(), StatusCode::NO_CONTENT);
    assert_eq!(listed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://meet.example.org");
    assert!(listed.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("authorization"));
    assert_eq!(listed.headers()[VARY], "origin");
    for other in ["https://evil.example", "https://meet.example.org.evil.example", "null"] {
        let response = send(&config(), preflight(other), Body::empty()).await;
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{other}");
        let response = send(&config(), Request::get("/").header(ORIGIN, other), Body::empty()).await;
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{other}");
    }
    let plain = send(&config(), Request::get("/").header(ORIGIN, "https://meet.example.org"), Body::empty()).await;
    assert_eq!(plain.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://meet.example.org");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_lines_carry_the_request_id_and_nothing_personal() {
    for format in [LogFormat::Human, LogFormat::Json] {
        let lines = Lines::default();
        let written = lines.clone();
        let dispatch = logging::subscriber(format, "trace", false, move || written.clone());
        let id = "01JCY3V8Q6ZK9B2T4M5N6P7R8S";
        async {
            for path in ["/rooms/anna-schmidt?name=Schmidt", "/anna/schmidt", "/panic?mail=anna@example.org"] {
                let request = Request::get(path)
                    .header(REQUEST_ID, id)
                    .header("authorization", "Bearer schmidt-secret")
                    .header("user-agent", "AnnaBrowser");
                send(&config(), request, Body::empty()).await;
            }
        }
        .with_subscriber(dispatch)
        .await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(id) && text.contains("/rooms/{slug}") && text.contains("answered"), "{text}");
        for personal in ["anna", "Anna", "schmidt", "Schmidt", "Bearer"] {
            assert!(!text.contains(personal), "{personal} in\n{text}");
        }
    }
}
