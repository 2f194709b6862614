//! GraphQL over HTTP (graphql.github.io/graphql-over-http, edition of September 2026) at `/graphql`.
//!
//! The order matters: method, media types, who calls, and only then the body; the document is scanned before it is parsed.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use async_graphql::{
    Executor, Request as GraphqlRequest, Response as GraphqlResponse, ServerError, parser::types::OperationType,
};
use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, State, WebSocketUpgrade},
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{sync::watch, task::JoinHandle};
use tracing::Instrument;
use witan_domain::CorrelationId;

use crate::{
    authenticate::{Authenticate, Authenticated, Refusal, find_credential},
    call::Entrant,
    documents::{Document, Documents, Outline},
    event_stream,
    figures::{Figures, Outcome, Transport},
    limits::Limits,
    media_type::{Media, check_content_type, negotiate, takes_events},
    nulls::Types,
    params::Params,
    response::{
        Fault, INTERNAL, INTERNAL_MESSAGE, Payload, Subscriber, is_request_error, log_fault, request_error, settle,
        unusable_error,
    },
    websocket,
};

/// The limits, and where figures are counted.
#[derive(Clone, Default)]
pub struct Options {
    pub limits: Limits,
    pub figures: Arc<Figures>,
}

/// One schema twice. They differ in async-graphql's `ValidationMode`, which is a schema's and not a request's.
#[derive(Clone)]
pub struct Schemas<E> {
    pub strict: E,
    /// For documents that the other has found valid.
    pub fast: E,
}

/// All that a request needs.
pub(crate) struct Endpoint<E, A: Authenticate> {
    pub(crate) schemas: Schemas<E>,
    pub(crate) authenticate: A,
    pub(crate) documents: Documents,
    pub(crate) limits: Limits,
    pub(crate) figures: Arc<Figures>,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) by_credential: std::sync::Mutex<HashMap<u128, usize>>,
}

/// `/graphql` over HTTP and WebSocket, and nothing else.
///
/// `schemas` are each an `async_graphql::Schema`. Their resolvers find in their context `A::Caller`, `CorrelationId` and
/// [`Subscriber`]. When `shutdown` becomes true, subscriptions are told where to resume and connections are closed. A
/// `CorrelationId` among the request's extensions becomes the request's id.
pub fn router<E: Executor, A: Authenticate>(
    schemas: Schemas<E>,
    authenticate: A,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> Router {
    let endpoint = Endpoint {
        documents: Documents::of_types(
            options.limits.clone(),
            Types::of_schema(&schemas.strict),
            options.figures.clone(),
        ),
        schemas,
        authenticate,
        limits: options.limits,
        figures: options.figures,
        shutdown,
        by_credential: std::sync::Mutex::default(),
    };
    Router::new().route("/graphql", any(handle::<E, A>)).with_state(Arc::new(endpoint))
}

async fn handle<E: Executor, A: Authenticate>(
    State(endpoint): State<Arc<Endpoint<E, A>>>,
    request: Request<Body>,
) -> Response {
    endpoint.figures.requests.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let id = parts.extensions.get::<CorrelationId>().copied();
    let id = id.unwrap_or_else(|| endpoint.authenticate.new_request_id());
    if is_websocket(&parts) {
        return upgrade(endpoint, parts, id).await;
    }
    match answer(&endpoint, &parts, body, id).await {
        Ok(response) => response,
        Err(problem) => {
            let media = negotiate(&parts.headers).filter(|media| *media != Media::EventStream);
            problem.into_response(media.unwrap_or(Media::Json), id)
        }
    }
}

fn is_websocket(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    // Over HTTP/2 a WebSocket is opened by an extended CONNECT (RFC 8441).
    (parts.method == Method::GET && upgrade) || parts.method == Method::CONNECT
}

async fn upgrade<E: Executor, A: Authenticate>(
    endpoint: Arc<Endpoint<E, A>>,
    mut parts: Parts,
    id: CorrelationId,
) -> Response {
    let credential = match find_credential(&parts.headers) {
        Ok(credential) => credential.map(str::to_owned),
        Err(_) => return Problem::unauthenticated("invalid_request").into_response(Media::Json, id),
    };
    if endpoint.figures.connections() >= endpoint.limits.connections_max || *endpoint.shutdown.borrow() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "no more connections just now")
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
            .into_response(Media::Json, id);
    }
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => websocket::accept(endpoint, upgrade, credential),
        Err(rejection) => {
            Problem::new(rejection.status(), "BAD_REQUEST", rejection.body_text()).into_response(Media::Json, id)
        }
    }
}

async fn answer<E: Executor, A: Authenticate>(
    endpoint: &Arc<Endpoint<E, A>>,
    parts: &Parts,
    body: Body,
    id: CorrelationId,
) -> Result<Response, Problem> {
    if parts.method != Method::GET && parts.method != Method::POST {
        let message = format!("{} is not allowed here; use GET or POST", parts.method);
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
            .with(ALLOW, HeaderValue::from_static("GET, POST")));
    }
    let media = negotiate(&parts.headers).ok_or_else(Problem::not_acceptable)?;
    if parts.method == Method::POST {
        check_content_type(&parts.headers)?;
    }
    let who = identify(endpoint, parts, id).await?;
    let params = if parts.method == Method::POST {
        let body = read_body(endpoint, &parts.headers, body).await?;
        endpoint.figures.http.time(|| Params::from_json(&body, &endpoint.limits))?
    } else {
        Params::from_url(parts.uri.query().unwrap_or_default(), &endpoint.limits)?
    };
    let started = begun();
    let prepared = match prepare(endpoint, params, &who, id) {
        Ok(prepared) => prepared,
        Err(error) => {
            endpoint.figures.refuse(&error);
            return Ok(respond(&GraphqlResponse::from_errors(vec![*error]), media));
        }
    };
    match (prepared.kind, &parts.method) {
        (OperationType::Subscription, _) if takes_events(&parts.headers) => {
            return event_stream::accept(endpoint, who, prepared, id);
        }
        (OperationType::Subscription, _) => {
            let message = "a subscription needs a WebSocket (graphql-transport-ws) or Accept: text/event-stream";
            let error = request_error("SUBSCRIPTION_NEEDS_WEBSOCKET", message, id);
            return Ok(respond(&GraphqlResponse::from_errors(vec![error]), media));
        }
        (OperationType::Mutation, &Method::GET) => {
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "a mutation needs POST")
                .with(ALLOW, HeaderValue::from_static("POST")));
        }
        (OperationType::Query | OperationType::Mutation, _) => {}
    }
    let executor = endpoint.executor(&prepared);
    // A panic in a resolver is this request's fault, not the connection's.
    let executed = match prepared.kind {
        OperationType::Mutation => execute_whole(executor, prepared.request).await.ok(),
        OperationType::Query | OperationType::Subscription => {
            AssertUnwindSafe(executor.execute(prepared.request)).catch_unwind().await.ok()
        }
    };
    let figures = &endpoint.figures;
    let ended = |outcome| figures.operations.ended(prepared.kind, Transport::Http, outcome, started.elapsed());
    let mut response = executed.ok_or_else(|| {
        ended(Outcome::Fault);
        Problem::fault(id, &"a resolver panicked")
    })?;
    if let Some(outline) = prepared.outline.filter(|_| !is_request_error(&response)) {
        prepared.document.found_valid_with(outline);
    }
    Ok(figures.http.time(|| {
        endpoint.documents.complete(&mut response, &prepared.document, prepared.operation.as_deref());
        settle(&mut response, id, who.introspection);
        ended(figures.outcome(&response));
        respond(&response, media)
    }))
}

/// When an operation began.
#[expect(clippy::disallowed_methods, reason = "measures a duration, decides nothing")]
pub(crate) fn begun() -> Instant {
    Instant::now()
}

/// Runs a mutation in a task of its own: a caller who goes away, or whose time is over, must not cut it between two steps.
pub(crate) fn execute_whole<E: Executor>(executor: &E, request: GraphqlRequest) -> JoinHandle<GraphqlResponse> {
    let executor = executor.clone();
    tokio::spawn(async move { executor.execute(request).await }.in_current_span())
}

async fn identify<E, A: Authenticate>(
    endpoint: &Endpoint<E, A>,
    parts: &Parts,
    id: CorrelationId,
) -> Result<Authenticated<A::Caller>, Problem> {
    let refused = |problem| {
        endpoint.figures.unauthenticated.fetch_add(1, Ordering::Relaxed);
        problem
    };
    let credential =
        find_credential(&parts.headers).map_err(|_| refused(Problem::unauthenticated("invalid_request")))?;
    endpoint.authenticate.authenticate(credential, id).await.map_err(|refusal| {
        refused(match refusal {
            Refusal::Unauthenticated if credential.is_none() => Problem::unauthenticated(""),
            Refusal::Unauthenticated => Problem::unauthenticated("invalid_token"),
            Refusal::Forbidden { code, message } => Problem::new(StatusCode::FORBIDDEN, code, message),
            Refusal::Unavailable(message) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            Refusal::Fault(fault) => Problem::fault(id, &Fault::from(fault)),
        })
    })
}

/// A request that is ready to be executed.
pub(crate) struct Prepared {
    pub(crate) request: GraphqlRequest,
    pub(crate) kind: OperationType,
    pub(crate) document: Arc<Document>,
    /// The operation's name, if the request gave one.
    pub(crate) operation: Option<String>,
    pub(crate) subscriber: Subscriber,
    /// By which it is remembered that the document is valid.
    outline: Option<Outline>,
}

impl<E, A: Authenticate> Endpoint<E, A> {
    /// What executes the request: without validation where it was validated before.
    pub(crate) fn executor(&self, prepared: &Prepared) -> &E {
        match prepared.outline {
            Some(outline) if prepared.document.is_valid_with(outline) => &self.schemas.fast,
            Some(_) | None => &self.schemas.strict,
        }
    }
}

/// Scans and parses the document (or finds it), and joins it with who asks.
pub(crate) fn prepare<E, A: Authenticate>(
    endpoint: &Endpoint<E, A>,
    params: Params,
    who: &Authenticated<A::Caller>,
    id: CorrelationId,
) -> Result<Prepared, Box<ServerError>> {
    let document: Arc<Document> =
        endpoint.documents.get(&params.query).map_err(|unusable| Box::new(unusable_error(&unusable, id)))?;
    if document.facts.introspects && !who.introspection {
        let message = "introspection is not for this caller; the schema is in the documentation";
        return Err(Box::new(request_error("INTROSPECTION_NOT_ALLOWED", message, id)));
    }
    let name = params.operation_name.filter(|name| !name.is_empty());
    let operation = document.find_operation(name.as_deref()).ok_or_else(|| {
        Box::new(match &name {
            Some(_) => request_error("UNKNOWN_OPERATION", "the document has no operation of this name", id),
            None => request_error("OPERATION_NAME_REQUIRED", "operationName must say which operation is meant", id),
        })
    })?;
    let variables = params.variables.unwrap_or_default();
    if let Some(missing) = Document::find_missing_variable(operation, &variables) {
        let message =
            format!("Variable \"${}\" of type \"{}\" needs a value", missing.name.node, missing.var_type.node);
        return Err(Box::new(request_error("INVALID_INPUT", message, id)));
    }
    endpoint
        .documents
        .check_rows(&document, operation, &variables)
        .map_err(|refused| Box::new(unusable_error(&refused.into(), id)))?;
    let kind = operation.ty;
    let outline = Outline::of(&document.parsed, operation, &variables);
    let subscriber = Subscriber::default();
    let mut request = GraphqlRequest::new(params.query)
        .variables(variables)
        .data(who.caller.clone())
        .data(id)
        .data(Entrant::default())
        .data(subscriber.clone());
    request.operation_name.clone_from(&name);
    request.set_parsed_query(document.parsed.clone());
    if !who.introspection {
        request = request.disable_introspection();
    }
    Ok(Prepared { request, kind, document, operation: name, subscriber, outline })
}

async fn read_body<E, A: Authenticate>(
    endpoint: &Endpoint<E, A>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Problem> {
    let max = endpoint.limits.body_bytes_max;
    let too_large = || {
        let message = format!("the body of a request may have {max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(endpoint.limits.body_time_max, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if is_too_long(error.as_ref()) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the body ended too early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", "the body did not arrive in time")),
    }
}

/// Whichever limit it met, ours or one around us.
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}

/// The status of a GraphQL response (GraphQL over HTTP, "Status Codes").
fn status_of(response: &GraphqlResponse, media: Media) -> StatusCode {
    match media {
        Media::Json | Media::EventStream => StatusCode::OK,
        Media::GraphqlResponse if response.errors.is_empty() => StatusCode::OK,
        Media::GraphqlResponse if is_request_error(response) => StatusCode::BAD_REQUEST,
        // "Partial Success": data and errors both. Not registered with IANA; whoever doesn't know it takes it for a 200.
        Media::GraphqlResponse => StatusCode::from_u16(294).unwrap_or(StatusCode::OK),
    }
}

fn respond(response: &GraphqlResponse, media: Media) -> Response {
    write(status_of(response, media), media, response)
}

fn write(status: StatusCode, media: Media, response: &GraphqlResponse) -> Response {
    let content_type = match media {
        Media::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        Media::Json => "application/json; charset=utf-8",
        Media::EventStream => event_stream::MEDIA_TYPE,
    };
    // Maps with text keys and no floats that aren't finite: this can't fail, and if it did nothing half-written leaves.
    let body = match media {
        Media::GraphqlResponse | Media::Json => serde_json::to_vec(&Payload::new(response)),
        Media::EventStream => event_stream::whole(response),
    };
    let (status, body) = match body {
        Ok(body) => (status, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    };
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// A request that gets no further than HTTP.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    header: Option<(http::HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    pub(crate) fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    fn not_acceptable() -> Self {
        let message = "accept application/graphql-response+json, application/json or text/event-stream";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)
    }

    /// `error` as in RFC 6750, section 3.1; empty when no credential was presented.
    fn unauthenticated(error: &str) -> Self {
        let challenge = match error {
            "invalid_request" => "Bearer error=\"invalid_request\"",
            "invalid_token" => "Bearer error=\"invalid_token\"",
            _ => "Bearer",
        };
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "send a valid API key or token as Authorization: Bearer")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    fn fault(id: CorrelationId, fault: &dyn std::fmt::Display) -> Self {
        log_fault(id, fault);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, INTERNAL_MESSAGE)
    }

    fn into_response(self, media: Media, id: CorrelationId) -> Response {
        let error = request_error(self.code, self.message, id);
        let mut response = write(self.status, media, &GraphqlResponse::from_errors(vec![error]));
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
