//! The viewer: whoever asks.

use async_graphql::{Context, Enum, ID, Object};
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::Actor;

use crate::{
    call::{Call, acting_user, shown},
    organization::Organization,
    participant::ParticipantState,
    scalars::IntoId,
    user::User,
};

/// What the caller came as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ViewerKind {
    /// A user of an organization, by an API key.
    User,
    /// Someone in a session, or at its door, by a resume secret.
    Participant,
    /// Nobody that we know.
    Anonymous,
    /// Whoever runs the deployment.
    Operator,
    /// witan itself.
    System,
}

/// Whoever asks.
pub struct Viewer;

/// Whoever asks.
#[Object]
impl Viewer {
    /// What the caller came as.
    async fn kind(&self, ctx: &Context<'_>) -> async_graphql::Result<ViewerKind> {
        Ok(match Call::query(ctx)?.request.actor {
            Actor::User { .. } => ViewerKind::User,
            Actor::Participant { .. } => ViewerKind::Participant,
            Actor::Anonymous => ViewerKind::Anonymous,
            Actor::Operator => ViewerKind::Operator,
            Actor::System => ViewerKind::System,
        })
    }

    /// The id of the caller's organization; null for those who belong to none.
    async fn organization_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ID>> {
        Ok(Call::query(ctx)?.request.actor.organization().map(IntoId::into_id))
    }

    /// The caller's organization; null where there is none, or it may not be read.
    async fn organization(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Organization>> {
        let call = Call::query(ctx)?;
        if call.request.actor.organization().is_none() {
            return Ok(None);
        }
        Organization::readable(&call).await
    }

    /// The id of the user that the caller is; null where they are none.
    async fn user_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ID>> {
        Ok(acting_user(&Call::query(ctx)?.request.actor).map(IntoId::into_id))
    }

    /// The user that the caller is; null where they are none, or their key may not read it.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        let call = Call::query(ctx)?;
        let Some(user) = acting_user(&call.request.actor) else { return Ok(None) };
        User::readable(&call, user).await
    }

    /// The id of the API key that the caller came by.
    async fn api_key_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ID>> {
        Ok(match Call::query(ctx)?.request.actor {
            Actor::User { key, .. } => key.map(IntoId::into_id),
            Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
        })
    }

    /// What the caller's API key is limited to; empty for no limit, null where the caller came by none.
    async fn scopes(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Vec<String>>> {
        let scopes = Call::query(ctx)?.request.scopes;
        Ok(scopes.map(|scopes| scopes.names().map(str::to_owned).collect()))
    }

    /// The id of the session that the caller is in, or at whose door.
    async fn session_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ID>> {
        Ok(match Call::query(ctx)?.request.actor {
            Actor::Participant { session, .. } => Some(session.into_id()),
            Actor::User { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
        })
    }

    /// The id of the participant that the caller is.
    async fn participant_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ID>> {
        Ok(match Call::query(ctx)?.request.actor {
            Actor::Participant { participant, .. } => Some(participant.into_id()),
            Actor::User { .. } | Actor::System | Actor::Operator | Actor::Anonymous => None,
        })
    }

    /// Where the participant that the caller is stands: whoever knocks sees here that they were admitted or denied.
    async fn participant_state(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ParticipantState>> {
        let call = Call::query(ctx)?;
        Ok(call.app().own_state(&call.request.actor).map_err(shown)?.map(Into::into))
    }
}

/// Queries of whoever asks.
#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Whoever asks.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<Viewer> {
        let call = Call::query(ctx)?;
        let deployment = Resource { kind: ResourceKind::Deployment, id: "deployment".into(), ..Resource::default() };
        call.authorise(Operation::Viewer, &deployment).await?;
        Ok(Viewer)
    }
}
