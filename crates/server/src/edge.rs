//! What every HTTP request passes on its way in and out: an id, a bound in time and bytes, CORS, security headers, and a
//! wall for panics.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
        CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
        VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use http_body_util::Limited;
use tracing::Instrument;
use witan_domain::CorrelationId;

use crate::{clock, config::Config, metrics::Metrics};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a browser may remember what CORS allows.
const CORS_SECONDS_MAX: &str = "600";
/// For answers that are no pages: nothing may be loaded, nobody may frame them.
const CSP_NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// What the way in and out needs to know.
pub struct Edge {
    cors_origins: Vec<String>,
    https: bool,
    body_bytes_max: usize,
    request_timeout: Duration,
    metrics: Metrics,
}

impl Edge {
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        Self {
            cors_origins: config.cors_origins.clone(),
            https: config.public_url.as_ref().is_some_and(|url| url.starts_with("https://")),
            body_bytes_max: config.body_bytes_max,
            request_timeout: config.request_timeout,
            metrics,
        }
    }
}

/// Leads one request in and its response out. A layer of the whole router.
pub async fn pass(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let correlation = request_id(request.headers());
    request.extensions_mut().insert(correlation);
    let id = HeaderValue::try_from(correlation.to_string()).unwrap_or(HeaderValue::from_static("request"));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // The path as it was sent may hold anything; the route is one of ours.
    let route = route.unwrap_or_else(|| "other".into());
    let origin = edge.allowed_origin(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route);
    let started = clock::monotonic();

    let mut response = if is_preflight(&request) {
        preflight(origin.is_some())
    } else {
        edge.answer(request, next, &id).instrument(span.clone()).await
    };

    let elapsed = started.elapsed();
    edge.metrics.request(&route, &method, response.status(), elapsed);
    span.in_scope(|| {
        let (status, milliseconds) = (response.status().as_u16(), elapsed.as_millis() as u64);
        tracing::debug!(status, milliseconds, "answered");
    });
    edge.dress(response.headers_mut(), &id, origin);
    response
}

impl Edge {
    async fn answer(&self, request: Request, next: Next, id: &HeaderValue) -> Response {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.body_bytes_max as u64) {
            let message = format!("The request's body may have at most {} bytes.", self.body_bytes_max);
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", &message, id);
        }
        let request = request.map(|body| Body::new(Limited::new(body, self.body_bytes_max)));
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(self.request_timeout, answered).await {
            Ok(Ok(response)) => response,
            // The panic hook has logged it, inside this request's span.
            Ok(Err(_)) => {
                let message = "Something went wrong here. Quote the request id to whoever runs this server.";
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message, id)
            }
            Err(_) => {
                tracing::warn!("a request ran out of time");
                let message = "The request took too long. Whether it had an effect can be found out by asking again.";
                refusal(StatusCode::SERVICE_UNAVAILABLE, "TIMEOUT", message, id)
            }
        }
    }

    /// The request's origin, where it is one whose pages may call us.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Headers that every response carries. What a handler has set itself stays.
    fn dress(&self, headers: &mut HeaderMap, id: &HeaderValue, origin: Option<HeaderValue>) {
        headers.insert(REQUEST_ID, id.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CSP_NO_PAGE));
        // Answers hold what only the asker may see: no cache on the way may keep them.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if self.https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        if !self.cors_origins.is_empty() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id"));
        }
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a browser that asks first (Fetch standard, section 3.2.2). To an origin that is not on the list it says
/// nothing, and the browser refuses.
fn preflight(allowed: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if allowed {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, x-request-id"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(CORS_SECONDS_MAX));
    }
    response
}

/// The id of a request: the one that came along, if it is one of 128 bits (and so can't be somebody's name), else a new
/// one. Events keep it as their correlation.
fn request_id(headers: &HeaderMap) -> CorrelationId {
    let sent = headers.get(REQUEST_ID).and_then(|sent| parse_request_id(sent.to_str().ok()?));
    sent.unwrap_or_else(|| CorrelationId(clock::fresh_id()))
}

/// Ours, a ULID, a UUID (RFC 9562, section 4), or 32 hexadecimal digits.
fn parse_request_id(text: &str) -> Option<CorrelationId> {
    let prefix = CorrelationId::PREFIX;
    let ours = text.parse().or_else(|_| format!("{prefix}_{text}").parse());
    let digits = text.replace('-', "");
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    ours.ok().or_else(|| hexadecimal.then(|| u128::from_str_radix(&digits, 16).ok().map(CorrelationId)).flatten())
}

/// A refusal in the shape of a GraphQL error, so that clients need to know only one.
pub fn refusal(status: StatusCode, code: &str, message: &str, id: &HeaderValue) -> Response {
    let request_id = id.to_str().unwrap_or_default();
    let error = serde_json::json!({ "message": message, "extensions": { "code": code, "requestId": request_id } });
    json(status, &serde_json::json!({ "errors": [error] }))
}

pub fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[cfg(test)]
mod tests;
