//! A call: who asks, with what, and how its answer or its refusal is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_graphql::{Context, ID, SimpleObject};
use witan_app::{App, Credentials, Error, Request};
use witan_auth::{Operation, Resource};
use witan_domain::{Actor, CorrelationId, OrganizationId, Private};
use witan_projections::{ProjectionError, ReadModels};

use crate::{fault, refusal, scalars::Position};

/// How long a mutation waits for the read models that its payload shows.
const PROJECTED_WITHIN: Duration = Duration::from_secs(2);
/// How long a query may wait for a position.
pub const WAIT_SECONDS_MAX: u64 = 10;

/// What resolvers answer from.
#[derive(Clone)]
pub struct Services {
    pub app: Arc<App>,
    pub models: Arc<ReadModels>,
}

/// The caller's side of one resolver.
pub struct Call<'a> {
    pub services: &'a Services,
    pub request: Request,
}

/// Why a mutation did not do what it was asked. Nothing was changed.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserError {
    /// The input field that it is about, where it is about one.
    field: Option<String>,
    /// A sentence for a developer to read.
    message: String,
    /// Stable: part of the API.
    code: String,
}

/// A value of a person: what it says, or that it was erased.
#[derive(Clone, Debug, SimpleObject)]
pub struct PrivateText {
    /// The text; null once the person was erased.
    value: Option<String>,
    /// Whether the person's key was destroyed, and the text with it.
    erased: bool,
}

impl PrivateText {
    /// A text that is nobody's, where another's would be private.
    pub fn plain(text: String) -> Self {
        Self { value: Some(text), erased: false }
    }
}

/// What every mutation says beside the changed object.
#[derive(Default)]
pub struct Told {
    pub user_errors: Vec<UserError>,
    pub position: Option<Position>,
    pub projected: bool,
}

/// A mutation in one text, the same however its input was written: the members of an object have no order (GraphQL,
/// section 3.10), and serde_json keeps the one in which they came.
fn same_text(name: &str, arguments: &serde_json::Map<String, serde_json::Value>) -> serde_json::Result<Vec<u8>> {
    let mut arguments = serde_json::Value::Object(arguments.clone());
    arguments.sort_all_objects();
    serde_json::to_vec(&(name, arguments))
}

/// Whoever has just come in by a mutation, and sees its payload: the fields below ask as them, who had no credential before.
/// Mutations of one operation come one after the other, each with its payload (GraphQL, section 6.2.2).
#[derive(Clone, Default)]
pub struct Entrant(Arc<Mutex<Option<Actor>>>);

impl Entrant {
    fn set(&self, actor: Option<Actor>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = actor;
    }

    fn get(&self) -> Option<Actor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<'a> Call<'a> {
    /// The call of a query, of a subscription, or of a field below a mutation.
    pub fn query(ctx: &Context<'a>) -> async_graphql::Result<Self> {
        let call = Self::of_caller(ctx)?;
        let Some(entrant) = ctx.data::<Entrant>()?.get() else { return Ok(call) };
        let request = Request::by(entrant, call.request.correlation);
        Ok(Self { request, ..call })
    }

    /// From now on, until the next mutation, what is asked is asked as this participant.
    pub fn comes_in(ctx: &Context<'_>, actor: Actor) -> async_graphql::Result<()> {
        ctx.data::<Entrant>()?.set(Some(actor));
        Ok(())
    }

    fn of_caller(ctx: &Context<'a>) -> async_graphql::Result<Self> {
        let services = ctx.data::<Services>()?;
        let credentials = ctx.data::<Credentials>()?;
        let correlation = *ctx.data::<CorrelationId>()?;
        let mut request = Request::by(credentials.actor.clone(), correlation);
        request.scopes.clone_from(&credentials.scopes);
        Ok(Self { services, request })
    }

    /// The call of a mutation: with the idempotency key and the expected version of its `input`.
    pub fn mutation(ctx: &Context<'a>) -> async_graphql::Result<Self> {
        ctx.data::<Entrant>()?.set(None);
        let mut call = Self::of_caller(ctx)?;
        let mut arguments = serde_json::Map::new();
        for (name, value) in ctx.field().arguments()? {
            arguments.insert(name.to_string(), value.into_json()?);
        }
        let input = arguments.get("input").and_then(serde_json::Value::as_object);
        if let Some(key) = input.and_then(|input| input.get("idempotencyKey")).and_then(serde_json::Value::as_str) {
            if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
                let wanted = format!("idempotencyKey has to have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
                return Err(refusal("INVALID_INPUT", wanted));
            }
            let text = same_text(ctx.field().name(), &arguments)?;
            call.request.idempotency = Some(call.app().idempotency_key(&call.request.actor, key, &text));
        }
        let expected = input.and_then(|input| input.get("expectedVersion"));
        call.request.expected_version = expected.and_then(serde_json::Value::as_u64);
        Ok(call)
    }

    pub fn app(&self) -> &'a App {
        &self.services.app
    }

    pub fn models(&self) -> &'a ReadModels {
        &self.services.models
    }

    /// The caller's tenant: everything is asked within it.
    pub fn organization(&self) -> async_graphql::Result<OrganizationId> {
        self.request.organization().map_err(shown)
    }

    /// Refuses with an error, which is in the audit trail.
    pub async fn authorise(&self, operation: Operation, resource: &Resource) -> async_graphql::Result<()> {
        self.app().authorise(&self.request, operation, resource).await.map_err(shown)
    }

    /// Whether a list shows this row.
    pub async fn allows(&self, operation: Operation, resource: &Resource) -> bool {
        self.app().allows(&self.request, operation, resource).await
    }

    /// What a mutation's payload says besides its object: rejections as `userErrors`, everything else as an error.
    pub async fn told<T>(
        &self,
        result: Result<T, Error>,
        position: impl FnOnce(&T) -> Option<witan_app::Position>,
    ) -> async_graphql::Result<(Option<T>, Told)> {
        match result {
            Ok(done) => {
                let position = position(&done);
                let projected = match position {
                    Some(position) => self.models().wait_for(position, PROJECTED_WITHIN).await,
                    None => true,
                };
                let position = position.map(|position| Position(position.0));
                Ok((Some(done), Told { user_errors: Vec::new(), position, projected }))
            }
            Err(error) => match user_error(&error) {
                Some(user_error) => {
                    self.app().parts.rejections.count(error.code());
                    Ok((None, Told { user_errors: vec![user_error], position: None, projected: true }))
                }
                None => Err(shown(error)),
            },
        }
    }

    /// A private value of the caller's organization.
    pub fn reveal(&self, stream: &str, field: &str, private: &Private) -> async_graphql::Result<PrivateText> {
        let value = self.app().reveal(self.organization()?, stream, field, private).map_err(shown)?;
        Ok(PrivateText { erased: value.is_none(), value })
    }

    pub fn reveal_optional(
        &self,
        stream: &str,
        field: &str,
        private: Option<&Private>,
    ) -> async_graphql::Result<Option<PrivateText>> {
        private.map(|private| self.reveal(stream, field, private)).transpose()
    }
}

pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// A "no" that the caller is told in the payload.
fn user_error(error: &Error) -> Option<UserError> {
    let field = match error {
        Error::Rejected { field, .. } => field.clone(),
        Error::VersionConflict { .. } => Some("expectedVersion".into()),
        Error::IdempotencyKeyReused => Some("idempotencyKey".into()),
        Error::NotFound { .. } | Error::Contention => None,
        Error::Unauthenticated(_)
        | Error::Forbidden { .. }
        | Error::Unavailable(_)
        | Error::OutcomeUnknown
        | Error::Fault(_) => return None,
    };
    Some(UserError { field, message: sentence(&error.to_string()), code: error.code().into() })
}

/// Domain sentences begin small and end without a stop, to stand in other sentences.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

/// An error outside a payload: faults are opaque, everything else has its code.
pub fn shown(error: Error) -> async_graphql::Error {
    match error {
        Error::Fault(source) => fault(source),
        error => refusal(error.code(), sentence(&error.to_string())),
    }
}

/// A read model that can't be read is a fault.
pub fn stored<T>(result: Result<T, ProjectionError>) -> async_graphql::Result<T> {
    result.map_err(fault)
}

/// An id of the wanted type, or an error that says what was expected. `field` is its name in the schema.
pub fn id<I: std::str::FromStr<Err = witan_domain::InvalidId>>(field: &str, id: &ID) -> async_graphql::Result<I> {
    id.parse().map_err(|wrong: witan_domain::InvalidId| refusal("INVALID_INPUT", format!("{field} is {wrong}.")))
}

/// The user that the actor is, if one.
pub fn acting_user(actor: &Actor) -> Option<witan_domain::UserId> {
    match actor {
        Actor::User { user, .. } => Some(*user),
        Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
    }
}

/// Waits for a position that a query asks for.
pub async fn wait_for(models: &ReadModels, position: Option<Position>) -> async_graphql::Result<()> {
    let Some(Position(position)) = position else { return Ok(()) };
    let patience = Duration::from_secs(WAIT_SECONDS_MAX);
    if models.wait_for(witan_app::Position(position), patience).await {
        return Ok(());
    }
    Err(refusal("NOT_PROJECTED_YET", format!("Position {position} is not projected after {WAIT_SECONDS_MAX} s.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_members_makes_no_other_input() {
        let text = |value: serde_json::Value| same_text("createUnit", value.as_object().unwrap()).unwrap();
        let one = text(json!({ "input": { "slug": "a", "address": { "city": "b", "street": "c" } } }));
        let other = serde_json::from_str(r#"{"input":{"address":{"street":"c","city":"b"},"slug":"a"}}"#).unwrap();
        assert_eq!(one, text(other));
        assert_ne!(one, text(json!({ "input": { "slug": "b", "address": { "city": "b", "street": "c" } } })));
    }
}
