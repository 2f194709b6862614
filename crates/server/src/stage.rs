//! The time between the binding of the port and the first request that can be served: reading a long journal, or
//! rebuilding a read model, takes minutes. Whoever supervises the process must not take that for its death.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, extract::Request, middleware::from_fn_with_state, response::Response, routing::get};
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, RETRY_AFTER},
};
use witan_domain::CorrelationId;

use crate::{
    edge::{self, Edge, json},
    health,
};

/// When to come again, in seconds.
const RETRY_SECONDS: &str = "2";

/// What the server is doing on its way to being open.
#[derive(Clone, Debug, Default)]
pub struct Stage(Arc<Mutex<String>>);

impl Stage {
    pub fn reached(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(what, "opening");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn why(&self) -> String {
        format!("opening: {}", self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is served until the whole is: that the process lives, and what it waits for.
    pub fn router(&self, edge: Arc<Edge>) -> Router {
        let (ready, graphql, other) = (self.clone(), self.clone(), self.clone());
        Router::new()
            .route("/health/live", get(health::live))
            .route("/health/ready", get(move || async move { ready.not_ready() }))
            .route("/graphql", axum::routing::any(move |request| async move { graphql.refuse(&request) }))
            .fallback(move |request| async move { other.refuse(&request) })
            .layer(from_fn_with_state(edge, edge::pass))
    }

    fn not_ready(&self) -> Response {
        let body = serde_json::json!({ "status": "not ready", "why": [self.why()] });
        json(StatusCode::SERVICE_UNAVAILABLE, &body)
    }

    /// In the shape and, where the caller takes it, the media type of a GraphQL error.
    fn refuse(&self, request: &Request) -> Response {
        let id = request.extensions().get::<CorrelationId>().map(ToString::to_string).unwrap_or_default();
        let id = HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("request"));
        let message = format!("The server is not ready yet ({}). Nothing was done: try again soon.", self.why());
        let mut response = edge::refusal(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &message, &id);
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        let accepted = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        if accepted.is_some_and(|accept| accept.contains("application/graphql-response+json")) {
            let kind = HeaderValue::from_static("application/graphql-response+json; charset=utf-8");
            headers.insert(http::header::CONTENT_TYPE, kind);
        }
        response
    }
}
