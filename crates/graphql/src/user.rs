//! Users, their roles and API keys, whoever asks, and the right to be forgotten.

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object, SimpleObject};
use witan_app::{
    Error, Outcome, Request,
    api_keys::{NewApiKey, key_resource},
    history::organization_resource,
    users::{NewUser, RoleOutcome, user_resource},
};
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    AccountRole as DomainRole, Actor, Aggregate, ApiKeyId, PersonId, Private, RoleScope, UnitId, UserId,
    api_key::{ApiKeyFacts, ApiKeyStatus as DomainKeyStatus},
    person::Ground as DomainGround,
    user::{User as DomainUser, UserFacts, UserStatus as DomainStatus},
};
use witan_projections::users::{ApiKeyRow, UserRow};

use crate::{
    call::{Call, PrivateText, acting_user, id, stored},
    connection::{PageInput, connection, edges, visible},
    organization::{Organization, Unit, inputs, patch, patched, payloads, revealed},
    refusal,
    scalars::{DateTime, Position},
    session::IntoId,
};

/// What someone is in an organization, or in a unit and the units below it. None of them opens content by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainRole")]
pub enum AccountRole {
    /// May do everything but open content.
    Owner,
    /// Runs the organization, but makes no owners.
    Admin,
    /// Runs one unit and the units below it.
    UnitAdmin,
    /// Opens rooms and moderates their sessions.
    Host,
    /// Is of the organization.
    Member,
    /// Reads history, manifests and proofs; may be external and time-boxed.
    Auditor,
    /// Legal holds, erasures, the access log.
    PrivacyOfficer,
    /// Usage and invoices; sees participants as numbers.
    Billing,
    /// Keys and webhooks.
    Integrator,
}

/// Whether an account may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainStatus")]
pub enum UserStatus {
    /// May come in.
    Active,
    /// May not.
    Deactivated,
}

/// A role that a user has.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct HeldRole {
    /// The role.
    role: AccountRole,
    /// The unit where it holds, with the units below it; null where it holds in the whole organization.
    unit_id: Option<ID>,
    /// When it ends; null where it stays until it is revoked.
    expires_at: Option<DateTime>,
    /// Whether it holds now: not after its end, nor for a deactivated user.
    holds: bool,
    #[graphql(skip)]
    unit: Option<UnitId>,
}

/// A role that a user has.
#[async_graphql::ComplexObject]
impl HeldRole {
    /// The unit where it holds; null where it holds in the whole organization, or the unit may not be read.
    async fn unit(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Unit>> {
        let Some(unit) = self.unit else { return Ok(None) };
        Unit::readable(&Call::query(ctx)?, unit).await
    }
}

/// An account: someone of an organization.
pub struct User {
    row: UserRow,
}

connection!(
    /// A page of users.
    UserConnection,
    UserEdge,
    User
);

impl User {
    /// The user, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, user: UserId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_user(organization, user))? else { return Ok(None) };
        call.authorise(Operation::ReadUser, &user_resource(organization, user, &row.state)).await?;
        Ok(Some(Self { row }))
    }

    /// The user, or none where the caller may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>, user: UserId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_user(organization, user))? else { return Ok(None) };
        let resource = user_resource(organization, user, &row.state);
        Ok(call.allows(Operation::ReadUser, &resource).await.then_some(Self { row }))
    }

    fn facts(&self) -> async_graphql::Result<&UserFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no user with this id."))
    }

    fn reveal(
        &self,
        ctx: &Context<'_>,
        field: &str,
        private: Option<&Private>,
    ) -> async_graphql::Result<Option<PrivateText>> {
        Call::query(ctx)?.reveal_optional(&DomainUser::stream(self.facts()?.user), field, private)
    }
}

/// A page of the users that the caller may read.
pub async fn list_users(call: &Call<'_>, page: &PageInput) -> async_graphql::Result<UserConnection> {
    let organization = call.organization()?;
    call.authorise(Operation::ListUsers, &organization_resource(organization)).await?;
    let page = page.page()?;
    let listed = stored(call.models().list_users(organization, &page))?;
    let resource = |row: &UserRow| {
        let user = row.state.facts().map_or(UserId(0), |facts| facts.user);
        user_resource(organization, user, &row.state)
    };
    let listed = visible(call, listed, Operation::ReadUser, resource).await;
    let (edges, page_info) =
        edges(listed, &page, |row| row.map(|row| User { row }), |cursor, node| UserEdge { cursor, node });
    Ok(UserConnection { edges, page_info })
}

/// An account: someone of an organization.
#[Object]
impl User {
    /// The user's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.user.into_id())
    }

    /// The id of the person whose account it is: what `erasePerson` takes.
    async fn person_id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.person.into_id())
    }

    /// By what they log in.
    async fn login(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        self.reveal(ctx, "login", Some(&self.facts()?.details.login))
    }

    /// What they are called.
    async fn name(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        self.reveal(ctx, "name", Some(&self.facts()?.details.name))
    }

    /// Their e-mail address.
    async fn email(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        self.reveal(ctx, "email", self.facts()?.details.email.as_ref())
    }

    /// Their id in a system of the organization.
    async fn external_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        self.reveal(ctx, "external_id", self.facts()?.details.external_id.as_ref())
    }

    /// The unit that they are of; null where they are of none, or it may not be read.
    async fn unit(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Unit>> {
        let Some(unit) = self.facts()?.details.unit else { return Ok(None) };
        Unit::readable(&Call::query(ctx)?, unit).await
    }

    /// Whether they may come in.
    async fn status(&self) -> async_graphql::Result<UserStatus> {
        Ok(self.facts()?.status.into())
    }

    /// Their roles, each where it holds; also those whose time is over. At most 51.
    async fn roles(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<HeldRole>> {
        let call = Call::query(ctx)?;
        let facts = self.facts()?;
        let now = call.app().sources().now();
        let active = facts.status == DomainStatus::Active;
        let held = facts.roles.iter().map(|((role, scope), expires_at)| {
            let unit = match scope {
                RoleScope::Organization => None,
                RoleScope::Unit(unit) => Some(*unit),
            };
            HeldRole {
                role: (*role).into(),
                unit_id: unit.map(IntoId::into_id),
                expires_at: expires_at.map(DateTime),
                holds: active && expires_at.is_none_or(|expires_at| now < expires_at),
                unit,
            }
        });
        // Who owns the organization stands in its own stream.
        let organization = stored(call.models().find_organization(facts.organization))?;
        let owns = organization
            .and_then(|row| row.state.facts().map(|organization| organization.owners.contains_key(&facts.user)).ok());
        let owner = owns.unwrap_or_default().then_some(HeldRole {
            role: AccountRole::Owner,
            unit_id: None,
            expires_at: None,
            holds: active,
            unit: None,
        });
        Ok(owner.into_iter().chain(held).collect())
    }

    /// When the account was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of its stream, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.row.version
    }
}

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
    row: ApiKeyRow,
}

connection!(
    /// A page of API keys.
    ApiKeyConnection,
    ApiKeyEdge,
    ApiKey
);

fn resource_of(row: &ApiKeyRow) -> Resource {
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
}

/// The ground of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainGround")]
pub enum Ground {
    /// The person asked (GDPR Art. 17; LGPD Art. 18 VI).
    Request,
    /// What it was kept for is over.
    PurposeEnded,
    /// It should never have been recorded.
    Unlawful,
}

inputs! {
    /// Makes an account.
    new CreateUserInput {
        /// By what they log in, unique in the organization whatever its case: 1 to 100 characters, protected.
        login: String,
        /// What they are called: 1 to 200 characters, protected.
        name: String,
        /// Their e-mail address: at most 254 bytes, protected.
        email: Option<String>,
        /// Their id in a system of the organization: at most 200 characters, protected. The same id is the same person, and
        /// it stays.
        external_id: Option<String>,
        /// The unit that they are of.
        unit_id: Option<ID>,
    }
    /// Changes an account's data. What is absent stays; null takes away what may be missing.
    change UpdateUserInput {
        /// The user.
        user_id: ID,
        /// By what they log in, unique in the organization whatever its case: 1 to 100 characters, protected.
        login: Option<String>,
        /// What they are called: 1 to 200 characters, protected.
        name: Option<String>,
        /// Their e-mail address: at most 254 bytes, protected.
        email: MaybeUndefined<String>,
        /// The unit that they are of.
        unit_id: MaybeUndefined<ID>,
    }
    /// Lets a user in no more.
    change DeactivateUserInput {
        /// The user; no owner of the organization.
        user_id: ID,
    }
    /// Lets a user in again.
    change ReactivateUserInput {
        /// The user.
        user_id: ID,
    }
    /// Gives a user a role, or gives it another end.
    change GrantRoleInput {
        /// Who gets it.
        user_id: ID,
        /// The role.
        role: AccountRole,
        /// The unit where it holds, with the units below it; absent for the whole organization. UNIT_ADMIN needs one, OWNER
        /// has none.
        unit_id: Option<ID>,
        /// When it ends, in the future; absent for a role that stays until it is revoked. OWNER has none.
        expires_at: Option<DateTime>,
    }
    /// Takes a role back.
    change RevokeRoleInput {
        /// Who loses it.
        user_id: ID,
        /// The role.
        role: AccountRole,
        /// The unit where it holds; absent for the whole organization.
        unit_id: Option<ID>,
    }
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
    /// Destroys the key under which everything personal of a person is encrypted.
    new ErasePersonInput {
        /// The person: `personId` of a user, an invitation or a participant.
        person_id: ID,
        /// Why: the ground in law.
        ground: Ground,
    }
}

payloads! {
    /// What a mutation of a user answers.
    UserPayload {
        /// The user after it; null when nothing was done, or it may not be read.
        user: User,
    }
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
    /// What erasing a person answers.
    ErasePersonPayload {
        /// The person who is erased now; null when nothing was done.
        person_id: ID,
    }
}

/// Queries of whoever asks, of users and of API keys.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// Whoever asks.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<Viewer> {
        let call = Call::query(ctx)?;
        let deployment = Resource { kind: ResourceKind::Deployment, id: "deployment".into(), ..Resource::default() };
        call.authorise(Operation::Viewer, &deployment).await?;
        Ok(Viewer)
    }

    /// A user of the caller's organization; null when there is none with this id.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<User>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        User::find(&call, crate::call::id("id", &id)?).await
    }

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

/// Mutations of users, roles, API keys and people.
#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// Makes an account.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose it is to be.")] input: CreateUserInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let unit = input.unit_id.as_ref().map(|unit| id("unitId", unit)).transpose()?;
        let CreateUserInput { login, name, email, external_id, .. } = input;
        let new = NewUser { login, name, email, external_id, unit };
        let result = call.app().create_user(&call.request, &new).await;
        let (created, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let user = match created {
            Some((user, _)) => User::readable(&call, user).await?,
            None => None,
        };
        Ok(UserPayload::new(user, told))
    }

    /// Changes an account's data.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user, and what is to change.")] input: UpdateUserInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let user = id("userId", &input.user_id)?;
        let unit = match &input.unit_id {
            MaybeUndefined::Value(unit) => MaybeUndefined::Value(id("unitId", unit)?),
            MaybeUndefined::Null => MaybeUndefined::Null,
            MaybeUndefined::Undefined => MaybeUndefined::Undefined,
        };
        // Before anything private is revealed for the patch.
        let organization = call.organization()?;
        let (state, version) = call.app().current::<DomainUser>(organization, user).map_err(crate::call::shown)?;
        if version.is_some() {
            call.authorise(Operation::UpdateUser, &user_resource(organization, user, &state)).await?;
        }
        let app = call.app();
        let patch = || patched_user(&call, user, unit, &input);
        let apply = |request: Request, input| async move { app.update_user(&request, user, &input).await };
        user_payload(&call, user, patched(&call, patch, apply).await).await
    }

    /// Lets a user in no more: their API keys are good for nothing while it lasts.
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user.")] input: DeactivateUserInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let user = id("userId", &input.user_id)?;
        user_payload(&call, user, call.app().deactivate_user(&call.request, user).await).await
    }

    /// Lets a user in again.
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which user.")] input: ReactivateUserInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let user = id("userId", &input.user_id)?;
        user_payload(&call, user, call.app().reactivate_user(&call.request, user).await).await
    }

    /// Gives a user a role. `expectedVersion` is the user's; for OWNER it is the organization's, which knows its owners.
    async fn grant_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, which role, and where.")] input: GrantRoleInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let user = id("userId", &input.user_id)?;
        let role = input.role.into();
        let scope = scope_of(role, input.unit_id.as_ref())?;
        if role == DomainRole::Owner && input.expires_at.is_some() {
            return Err(refusal("INVALID_INPUT", "expiresAt is given with OWNER; expected none, for owners stay."));
        }
        let expires_at = input.expires_at.map(|DateTime(time)| time);
        let result = call.app().grant_role(&call.request, user, role, scope, expires_at).await;
        role_payload(&call, user, result).await
    }

    /// Takes a role back. `expectedVersion` is the user's; for OWNER it is the organization's, which knows its owners.
    async fn revoke_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, which role, and where.")] input: RevokeRoleInput,
    ) -> async_graphql::Result<UserPayload> {
        let call = Call::mutation(ctx)?;
        let user = id("userId", &input.user_id)?;
        let role = input.role.into();
        let scope = scope_of(role, input.unit_id.as_ref())?;
        role_payload(&call, user, call.app().revoke_role(&call.request, user, role, scope).await).await
    }

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

    /// Destroys the key under which everything personal of a person is encrypted: from then on everybody sees "erased".
    /// Hashes and proofs stay valid. There is no way back.
    async fn erase_person(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and on which ground.")] input: ErasePersonInput,
    ) -> async_graphql::Result<ErasePersonPayload> {
        let call = Call::mutation(ctx)?;
        let person: PersonId = id("personId", &input.person_id)?;
        let result = call.app().erase_person(&call.request, person, input.ground.into()).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        Ok(ErasePersonPayload::new(done.map(|_| person.into_id()), told))
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

/// Where a role is to hold: that of owner everywhere.
fn scope_of(role: DomainRole, unit: Option<&ID>) -> async_graphql::Result<RoleScope> {
    match unit {
        None => Ok(RoleScope::Organization),
        Some(_) if role == DomainRole::Owner => {
            Err(refusal("INVALID_INPUT", "unitId is given with OWNER; expected none, for owners own all of it."))
        }
        Some(unit) => Ok(RoleScope::Unit(id("unitId", unit)?)),
    }
}

fn patched_user(
    call: &Call<'_>,
    user: UserId,
    unit: MaybeUndefined<UnitId>,
    input: &UpdateUserInput,
) -> Result<(NewUser, Option<u64>), Error> {
    let organization = call.request.organization()?;
    let (state, version) = call.app().current::<DomainUser>(organization, user)?;
    let Ok(facts) = state.facts() else { return Err(Error::NotFound { what: "user" }) };
    let now = &facts.details;
    let stream = DomainUser::stream(user);
    let kept = |field: &str, private: &Private| revealed(call, organization, &stream, field, private);
    let email = match &input.email {
        MaybeUndefined::Undefined => now.email.as_ref().map(|email| kept("email", email)).transpose()?,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(email) => Some(email.clone()),
    };
    let new = NewUser {
        login: input.login.clone().map_or_else(|| kept("login", &now.login), Ok)?,
        name: input.name.clone().map_or_else(|| kept("name", &now.name), Ok)?,
        email,
        // It says which person this is, so it stays whatever is said here.
        external_id: None,
        unit: patch(unit, now.unit),
    };
    Ok((new, version))
}

async fn user_payload(
    call: &Call<'_>,
    user: UserId,
    result: Result<Outcome<DomainUser>, Error>,
) -> async_graphql::Result<UserPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let user = match done {
        Some(_) => User::readable(call, user).await?,
        None => None,
    };
    Ok(UserPayload::new(user, told))
}

async fn role_payload(
    call: &Call<'_>,
    user: UserId,
    result: Result<RoleOutcome, Error>,
) -> async_graphql::Result<UserPayload> {
    let (done, told) = call.told(result, RoleOutcome::position).await?;
    let user = match done {
        Some(_) => User::readable(call, user).await?,
        None => None,
    };
    Ok(UserPayload::new(user, told))
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

    #[test]
    fn owners_own_all_of_it() {
        let unit = UnitId(7).into_id();
        assert_eq!(scope_of(DomainRole::Host, Some(&unit)).unwrap(), RoleScope::Unit(UnitId(7)));
        assert_eq!(scope_of(DomainRole::Owner, None).unwrap(), RoleScope::Organization);
        assert!(scope_of(DomainRole::Owner, Some(&unit)).is_err());
        assert!(scope_of(DomainRole::Host, Some(&ID("unit_1".into()))).is_err());
    }
}
