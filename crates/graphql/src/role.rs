//! Roles of users: which they have, and how they get and lose them.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use witan_app::{Error, users::RoleOutcome};
use witan_domain::{
    AccountRole as DomainRole, RoleScope, UnitId, UserId,
    user::{UserFacts, UserStatus as DomainStatus},
};

use crate::{
    call::{Call, id, stored},
    mutation::inputs,
    refusal,
    scalars::{DateTime, IntoId},
    unit::Unit,
    user::{User, UserPayload},
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

/// A user's roles, each where it holds; also those whose time is over.
pub fn roles_of(call: &Call<'_>, facts: &UserFacts) -> async_graphql::Result<Vec<HeldRole>> {
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

inputs! {
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
}

/// Mutations of the roles of users.
#[derive(Default)]
pub struct RoleMutation;

#[Object]
impl RoleMutation {
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
    fn owners_own_all_of_it() {
        let unit = UnitId(7).into_id();
        assert_eq!(scope_of(DomainRole::Host, Some(&unit)).unwrap(), RoleScope::Unit(UnitId(7)));
        assert_eq!(scope_of(DomainRole::Owner, None).unwrap(), RoleScope::Organization);
        assert!(scope_of(DomainRole::Owner, Some(&unit)).is_err());
        assert!(scope_of(DomainRole::Host, Some(&ID("unit_1".into()))).is_err());
    }
}
