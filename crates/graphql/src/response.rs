//! What goes back: every error with a code and the request's id, faults opaque outside and whole in the log.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::{ErrorExtensionValues, Pos, Response, ServerError, Value};
use futures_util::future::BoxFuture;
use serde::Serialize;
use witan_domain::CorrelationId;

use crate::{documents::Unusable, scan::Refused};

/// The code of what went wrong on our side.
pub const INTERNAL: &str = "INTERNAL";
/// What is said of it.
pub const INTERNAL_MESSAGE: &str = "Something went wrong on our side. The request id leads to it in the log.";

/// A failure that isn't the caller's: a resolver returns it with `?` or `fault(error)`.
///
/// Its whole chain goes to the log with the request's id; the caller sees [`INTERNAL`].
pub struct Fault(Box<dyn Error + Send + Sync>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl From<Box<dyn Error + Send + Sync>> for Fault {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self(error)
    }
}

/// A resolver's error for a failure that isn't the caller's.
pub fn fault(error: impl Into<Box<dyn Error + Send + Sync>>) -> async_graphql::Error {
    async_graphql::Error::new_with_source(Fault(error.into()))
}

/// A resolver's error for a no that the caller is told, with its code.
pub fn refusal(code: &str, message: impl Into<String>) -> async_graphql::Error {
    let mut error = async_graphql::Error::new(message);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    error.extensions = Some(extensions);
    error
}

/// Writes the whole chain of a fault in the log.
pub(crate) fn log_fault(request: CorrelationId, chain: &dyn fmt::Display) {
    tracing::error!(%request, fault = %chain, "fault in a request");
}

/// One error before execution: the transport's own.
pub(crate) fn request_error(code: &str, message: impl Into<String>, request: CorrelationId) -> ServerError {
    let mut error = ServerError::new(message, None);
    mark(&mut error, Some(code), request);
    error
}

/// The error of a document that is over a limit or can't be parsed.
pub(crate) fn unusable_error(unusable: &Unusable, request: CorrelationId) -> ServerError {
    match unusable {
        Unusable::Refused(refused) => {
            let mut error = request_error(refused.code(), refused.to_string(), request);
            if let Refused::Syntax { line, column, .. } = refused {
                error.locations = vec![Pos { line: *line, column: *column }];
            }
            error
        }
        Unusable::Parse(parse) => {
            let mut error = ServerError::clone(parse);
            mark(&mut error, Some("PARSE_FAILED"), request);
            error
        }
        Unusable::Invalid(unknown) => {
            let mut error = ServerError::clone(unknown);
            mark(&mut error, Some("VALIDATION_FAILED"), request);
            error
        }
    }
}

fn mark(error: &mut ServerError, code: Option<&str>, request: CorrelationId) {
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    if let Some(code) = code {
        extensions.set("code", code);
    }
    extensions.set("requestId", request.to_string());
}

/// Gives every error of a response its code and request id, and makes faults opaque.
///
/// What has a code already is for the caller. What has none is a validation error when it has no path, a value that an
/// input type didn't take, or else a fault: a resolver that forgets the code of a refusal leaks nothing.
pub(crate) fn settle(response: &mut Response, request: CorrelationId, suggestions: bool) {
    for error in &mut response.errors {
        let coded = error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some());
        let code = if coded {
            None
        } else if let Some(fault) = error.source::<Fault>() {
            log_fault(request, fault);
            Some(INTERNAL)
        } else if error.source.is_none() && error.path.is_empty() {
            Some("VALIDATION_FAILED")
        } else if error.source.is_none() && is_about_input(&error.message) {
            Some("INVALID_INPUT")
        } else {
            log_fault(request, &error.message);
            Some(INTERNAL)
        };
        if code == Some(INTERNAL) {
            INTERNAL_MESSAGE.clone_into(&mut error.message);
            error.extensions = None;
        }
        if !suggestions
            && code == Some("VALIDATION_FAILED")
            && let Some(suggestion) = error.message.find(" Did you mean")
        {
            error.message.truncate(suggestion);
        }
        error.source = None;
        mark(error, code, request);
    }
}

/// Whether async-graphql made this message of an input value that it could not take (its `InputValueError`).
fn is_about_input(message: &str) -> bool {
    message.starts_with("Failed to parse \"") || message.starts_with("Expected input type \"")
}

/// Whether the request failed before execution, so that the response has no `data` entry (GraphQL, section 7.1.2).
pub(crate) fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// A response as it is written.
#[derive(Serialize)]
pub(crate) struct Payload<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(response: &'a Response) -> Self {
        let data = (!is_request_error(response)).then_some(&response.data);
        Self { errors: &response.errors, data, extensions: &response.extensions }
    }
}

type Check = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

#[derive(Default)]
struct SubscriberState {
    start: Option<Arc<str>>,
    position: Option<Arc<str>>,
    check: Option<(Arc<str>, Arc<Check>)>,
}

/// What a subscription's resolver tells the transport, found as `ctx.data::<Subscriber>()`.
#[derive(Clone, Default)]
pub struct Subscriber(Arc<Mutex<SubscriberState>>);

impl Subscriber {
    /// The subscription begins after this position: who is let go before the first item is told to resume there.
    pub fn begins_after(&self, position: impl Into<Arc<str>>) {
        self.lock().start = Some(position.into());
    }

    /// The item that is yielded next has this position: a client that is let go is told to resume after the last one sent.
    /// Call it in the stream's last step, right before the item is yielded.
    pub fn reached(&self, position: impl Into<Arc<str>>) {
        self.lock().position = Some(position.into());
    }

    /// Asked every few seconds while the subscription is open; it ends with `FORBIDDEN` when the answer is no. `question`
    /// says what is asked: on one connection, the same is asked once for all who have it.
    pub fn allowed_while(
        &self,
        question: impl Into<Arc<str>>,
        check: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        self.lock().check = Some((question.into(), Arc::new(Box::new(check))));
    }

    pub(crate) fn start(&self) -> Option<Arc<str>> {
        self.lock().start.clone()
    }

    pub(crate) fn position(&self) -> Option<Arc<str>> {
        self.lock().position.clone()
    }

    pub(crate) fn check(&self) -> Option<(Arc<str>, Arc<Check>)> {
        self.lock().check.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SubscriberState> {
        // Nothing panics while the lock is held; a poisoned state would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
