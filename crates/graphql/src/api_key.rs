//! API keys, by which programs act as users: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use witan_app::{
    api_keys::{NewApiKey, key_resource},
    history::organization_resource,
};
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    ApiKeyId, UserId,
    api_key::{ApiKeyFacts, ApiKeyStatus as DomainKeyStatus},
};
use witan_projections::users::ApiKeyRow;

use crate::{
    call::{Call, acting_user, id, stored},
    connection::{PageInput, connection, edges, visible},
    mutation::{inputs, payloads},
    refusal,
    scalars::{DateTime, IntoId, Position},
    user::User,
};

/// Whether an API key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ApiKeyStatus {
    /// Good.
    Active,
    /// Its time is over.
    Expired,
    /// Taken back.
    Revoked,
}

/// A key by which a program acts as a user. The key itself was shown once, when it was made.
pub struct ApiKey {
    row: Arc<ApiKeyRow>,
}

connection!(
    /// A page of API keys.
    ApiKeyConnection,
    ApiKeyEdge,
    ApiKey
);

fn resource_of(row: &Arc<ApiKeyRow>) -> Resource {
    match row.state.facts() {
        Ok(facts) => key_resource(facts.organization, facts.key.to_string(), Some(facts.user)),
        Err(_) => Resource { kind: ResourceKind::ApiKey, ..Resource::default() },
    }
}

impl ApiKey {
    /// The key, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, key: ApiKeyId) -> async_graphql::Result<Option<Self>> {
        let Some(row) = stored(call.models().find_api_key(call.organization()?, key))? else { return Ok(None) };
        call.authorise(Operation::ReadApiKey, &resource_of(&row)).await?;
        Ok(Some(Self { row }))
    }

    /// The key, or none where the caller may not read it: to show beside something else.
    async fn readable(call: &Call<'_>, key: ApiKeyId) -> async_graphql::Result<Option<Self>> {
        let Some(row) = stored(call.models().find_api_key(call.organization()?, key))? else { return Ok(None) };
        Ok(call.allows(Operation::ReadApiKey, &resource_of(&row)).await.then_some(Self { row }))
    }

    fn facts(&self) -> async_graphql::Result<&ApiKeyFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no API key with this id."))
    }
}

/// A page of the API keys that the caller may read.
pub async fn list_api_keys(call: &Call<'_>, page: &PageInput) -> async_graphql::Result<ApiKeyConnection> {
    let organization = call.organization()?;
    call.authorise(Operation::ListApiKeys, &organization_resource(organization)).await?;
    let page = page.page()?;
    let listed = stored(call.models().list_api_keys(organization, &page))?;
    let listed = visible(call, listed, Operation::ReadApiKey, resource_of).await;
    let (edges, page_info) =
        edges(listed, &page, |row| row.map(|row| ApiKey { row }), |cursor, node| ApiKeyEdge { cursor, node });
    Ok(ApiKeyConnection { edges, page_info })
}

/// A key by which a program acts as a user. The key itself was shown once, when it was made.
#[Object]
impl ApiKey {
    /// The key's id: not the key.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.key.into_id())
    }

    /// What it is called.
    async fn name(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.name.clone())
    }

    /// How the key begins, to tell it from others.
    async fn prefix(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.prefix.clone())
    }

    /// The id of the user that it acts as.
    async fn user_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.user.into_id())
    }

    /// The user that it acts as; null where it may not be read.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::readable(&Call::query(ctx)?, self.facts()?.user).await
    }

    /// What it may do of what its user may; empty for all of it.
    async fn scopes(&self) -> async_graphql::Result<Vec<String>> {
        Ok(self.facts()?.scopes.iter().cloned().collect())
    }

    /// When it ends; null where it is good until it is revoked.
    async fn expires_at(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.facts()?.expires_at.map(DateTime))
    }

    /// The day (UTC) on which it was last used, like `2026-11-22`; null where it never was.
    async fn last_used_on(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.last_used_day.and_then(date))
    }

    /// Whether it is good.
    async fn status(&self, ctx: &Context<'_>) -> async_graphql::Result<ApiKeyStatus> {
        let facts = self.facts()?;
        let now = Call::query(ctx)?.app().sources().now();
        Ok(match facts.status {
            DomainKeyStatus::Revoked => ApiKeyStatus::Revoked,
            DomainKeyStatus::Active if facts.expires_at.is_some_and(|end| end <= now) => ApiKeyStatus::Expired,
            DomainKeyStatus::Active => ApiKeyStatus::Active,
        })
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of its stream, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.row.version
    }
}

/// A number of days since 1970-01-01 as a date of ISO 8601.
fn date(day: u32) -> Option<String> {
    let midnight = jiff::Timestamp::from_second(i64::from(day) * 86_400).ok()?;
    Some(midnight.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

inputs! {
    /// Makes an API key.
    new CreateApiKeyInput {
        /// What it is called: 1 to 200 characters that say nothing of a person.
        name: String,
        /// The user that it acts as; the caller when absent.
        user_id: Option<ID>,
        /// What it may do of what its user may, like `rooms:read`; empty for all of it.
        #[graphql(default)]
        scopes: Vec<String>,
        /// When it ends, in the future; absent for a key that is good until it is revoked.
        expires_at: Option<DateTime>,
    }
    /// Takes an API key back: it is good for nothing from now on.
    change RevokeApiKeyInput {
        /// The key's id.
        api_key_id: ID,
    }
}

payloads! {
    /// What a mutation of an API key answers.
    ApiKeyPayload {
        /// The key after it; null when nothing was done, or it may not be read.
        api_key: ApiKey,
    }
    /// What making an API key answers.
    CreateApiKeyPayload {
        /// What is known of the new key; null when nothing was done, or it may not be read.
        api_key: ApiKey,
        /// The key itself, for `Authorization: Bearer …`. Shown this once.
        secret: String,
    }
}

/// Queries of API keys.
#[derive(Default)]
pub struct ApiKeyQuery;

#[Object]
impl ApiKeyQuery {
    /// An API key of the caller's organization; null when there is none with this id.
    async fn api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<ApiKey>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        ApiKey::find(&call, crate::call::id("id", &id)?).await
    }
}

/// Mutations of API keys.
#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key that acts as the caller, or as another user for whoever may.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateApiKeyInput,
    ) -> async_graphql::Result<CreateApiKeyPayload> {
        let call = Call::mutation(ctx)?;
        let user = match &input.user_id {
            Some(user) => id("userId", user)?,
            None => own_user(&call).await?,
        };
        let expires_at = input.expires_at.map(|DateTime(time)| time);
        let new = NewApiKey { name: input.name, scopes: input.scopes, expires_at, user };
        let result = call.app().create_api_key(&call.request, &new).await;
        let (created, told) = call.told(result, |created| created.outcome.position).await?;
        let Some(created) = created else { return Ok(CreateApiKeyPayload::new(None, None, told)) };
        let key = ApiKey::readable(&call, created.key).await?;
        Ok(CreateApiKeyPayload::new(key, Some(created.text), told))
    }

    /// Takes an API key back: it is good for nothing from now on.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which key.")] input: RevokeApiKeyInput,
    ) -> async_graphql::Result<ApiKeyPayload> {
        let call = Call::mutation(ctx)?;
        let key = id("apiKeyId", &input.api_key_id)?;
        let result = call.app().revoke_api_key(&call.request, key).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        let api_key = match done {
            Some(_) => ApiKey::readable(&call, key).await?,
            None => None,
        };
        Ok(ApiKeyPayload::new(api_key, told))
    }
}

/// The user that the caller is. Whoever is none has no keys, and is refused like anyone who may make none.
async fn own_user(call: &Call<'_>) -> async_graphql::Result<UserId> {
    if let Some(user) = acting_user(&call.request.actor) {
        return Ok(user);
    }
    let organization = call.organization()?;
    call.authorise(Operation::CreateApiKey, &key_resource(organization, organization.to_string(), None)).await?;
    Err(refusal("INVALID_INPUT", "userId is missing; expected the id of a user."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0).as_deref(), Some("1970-01-01"));
        assert_eq!(date(20_779).as_deref(), Some("2026-11-22"));
        assert_eq!(date(u32::MAX), None);
    }
}
