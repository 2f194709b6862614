//! Users: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object};
use witan_app::{
    Error, Outcome, Request,
    history::organization_resource,
    users::{NewUser, user_resource},
};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, Private, UnitId, UserId,
    user::{User as DomainUser, UserFacts, UserStatus as DomainStatus},
};
use witan_projections::users::UserRow;

use crate::{
    call::{Call, PrivateText, id, stored},
    connection::{PageInput, connection, edges, visible},
    mutation::{inputs, patch, patched, payloads, revealed},
    refusal,
    role::{HeldRole, roles_of},
    scalars::{DateTime, IntoId, Position},
    unit::Unit,
};

/// Whether an account may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainStatus")]
pub enum UserStatus {
    /// May come in.
    Active,
    /// May not.
    Deactivated,
}

/// An account: someone of an organization.
pub struct User {
    row: Arc<UserRow>,
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
    let resource = |row: &Arc<UserRow>| {
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
        roles_of(&Call::query(ctx)?, self.facts()?)
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
}

payloads! {
    /// What a mutation of a user answers.
    UserPayload {
        /// The user after it; null when nothing was done, or it may not be read.
        user: User,
    }
}

/// Queries of users.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
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
}

/// Mutations of users.
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
        let organization = call.organization()?;
        let operation = Operation::UpdateUser;
        // A retry is answered, whatever its user may do by now.
        let answered = call.app().answered::<DomainUser>(&call.request, organization, user, operation);
        if let Some(outcome) = answered.transpose() {
            return user_payload(&call, user, outcome).await;
        }
        // Before anything private is revealed for the patch.
        let (state, version) = call.app().current::<DomainUser>(organization, user).map_err(crate::call::shown)?;
        if version.is_some() {
            call.authorise(operation, &user_resource(organization, user, &state)).await?;
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
