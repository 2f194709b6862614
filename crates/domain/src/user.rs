//! An account: someone of an organization, what they may do there, and whether they may come in at all.
//!
//! Who owns the organization is decided in the organization's stream (see [`organization`](crate::organization)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AccountRole, Aggregate, AliasId, OrganizationId, PersonId, Private, RoleScope, Timestamp, UnitId, UserId,
    aggregate::Rejection, commands, events,
};

pub const ROLES_MAX: usize = 50;

// Commands.

commands! {
    /// What one may ask of an account.
    pub enum UserCommand {
        CreateUser,
        UpdateUser,
        DeactivateUser,
        ReactivateUser,
        GrantRole,
        RevokeRole,
    }
}

/// The first command of the stream. The login is reserved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUser {
    pub organization: OrganizationId,
    pub user: UserId,
    pub person: PersonId,
    pub details: UserDetails,
    /// Whether the unit, if one is given, is a living one of this organization.
    pub unit_living: bool,
}

/// New details in place of the old; what is to stay comes along unchanged. A new login is reserved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateUser {
    pub details: UserDetails,
    /// Whether the unit, if one is given, is a living one of this organization.
    pub unit_living: bool,
    /// Whether the person was erased: nothing more is recorded about them.
    pub person_erased: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeactivateUser {
    /// Whether the account is an owner of the organization.
    pub owner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactivateUser {
    /// Whether the person was erased: an account of nobody lets nobody in.
    pub person_erased: bool,
}

/// Gives a role, or gives it another expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRole {
    pub role: AccountRole,
    pub scope: RoleScope,
    /// None for a role that stays until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// Whether the unit of the scope, if it is one, is a living one of this organization.
    pub unit_living: bool,
    /// Whether the person was erased.
    pub person_erased: bool,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeRole {
    pub role: AccountRole,
    pub scope: RoleScope,
}

/// What is known of a user; all that is personal belongs to their person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDetails {
    /// What the login is looked up by.
    pub login_alias: AliasId,
    pub login: Private,
    pub name: Private,
    pub email: Option<Private>,
    /// Their id in a system of the organization.
    pub external_id: Option<Private>,
    pub unit: Option<UnitId>,
}

// Events.

/// An account was made for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCreated {
    pub organization: OrganizationId,
    pub user: UserId,
    pub person: PersonId,
    pub details: UserDetails,
}

/// The account's own data was replaced: all of it stands here, what stayed too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUpdated {
    pub details: UserDetails,
}

/// The account lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeactivated {}

/// The account lets its user in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserReactivated {}

/// The account holds a role, in the organization or in one unit and those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleGranted {
    pub role: AccountRole,
    pub scope: RoleScope,
    pub expires_at: Option<Timestamp>,
}

/// The account holds the role no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRevoked {
    pub role: AccountRole,
    pub scope: RoleScope,
}

events! {
    /// What happens to an account.
    pub enum UserEvent of "user" {
        UserCreated,
        UserUpdated,
        UserDeactivated,
        UserReactivated,
        RoleGranted,
        RoleRevoked,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRejection {
    #[error("there is no such user in this organization")]
    UserNotFound,
    #[error("this user exists already")]
    UserAlreadyExists,
    #[error("the user is deactivated")]
    UserNotActive,
    #[error("an owner can't be deactivated: revoke the role of owner first")]
    UserIsOwner,
    #[error("the unit is none of this organization, or archived")]
    UnitNotLiving,
    #[error("owners are the organization's: grant and revoke them there")]
    RoleOfOrganization,
    #[error("a unit admin is one of a unit: name the unit")]
    RoleOfUnit,
    #[error("the expiry is not in the future")]
    ExpiryPassed,
    #[error("a user has at most {ROLES_MAX} roles")]
    TooManyRoles,
    #[error("{field} is another person's")]
    PrivateOfAnother { field: &'static str },
    #[error("this person's data was erased: nothing more can be recorded about them")]
    PersonErased,
}

impl Rejection for UserRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::UserNotFound => "USER_NOT_FOUND",
            Self::UserAlreadyExists => "USER_ALREADY_EXISTS",
            Self::UserNotActive => "USER_NOT_ACTIVE",
            Self::UserIsOwner => "USER_IS_OWNER",
            Self::UnitNotLiving => "UNIT_NOT_LIVING",
            Self::RoleOfOrganization => "ROLE_OF_ORGANIZATION",
            Self::RoleOfUnit => "ROLE_OF_UNIT",
            Self::ExpiryPassed => "EXPIRY_PASSED",
            Self::TooManyRoles => "TOO_MANY_ROLES",
            Self::PrivateOfAnother { .. } => "PRIVATE_OF_ANOTHER",
            Self::PersonErased => "PERSON_ERASED",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::UserNotFound | Self::UserNotActive | Self::UserIsOwner | Self::PersonErased => Some("userId"),
            Self::UnitNotLiving => Some("unitId"),
            Self::RoleOfOrganization | Self::TooManyRoles => Some("role"),
            Self::RoleOfUnit => Some("unitId"),
            Self::ExpiryPassed => Some("expiresAt"),
            Self::PrivateOfAnother { field } => Some(field),
            Self::UserAlreadyExists => None,
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserState {
    #[default]
    Absent,
    Present(Box<UserFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFacts {
    pub organization: OrganizationId,
    pub user: UserId,
    pub person: PersonId,
    pub details: UserDetails,
    /// Each role where it holds, and until when; also those whose time is over.
    pub roles: BTreeMap<(AccountRole, RoleScope), Option<Timestamp>>,
    pub status: UserStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    Active,
    Deactivated,
}

impl UserState {
    pub fn facts(&self) -> Result<&UserFacts, UserRejection> {
        match self {
            Self::Absent => Err(UserRejection::UserNotFound),
            Self::Present(facts) => Ok(facts),
        }
    }

    pub fn is_active(&self) -> bool {
        self.facts().is_ok_and(|facts| facts.status == UserStatus::Active)
    }
}

impl UserFacts {
    /// The roles that hold at this moment.
    pub fn roles_at(&self, now: Timestamp) -> impl Iterator<Item = (AccountRole, RoleScope)> {
        let holds = move |expires_at: &Option<Timestamp>| expires_at.is_none_or(|expires_at| now < expires_at);
        let active = self.status == UserStatus::Active;
        self.roles.iter().filter(move |(_, expires_at)| active && holds(expires_at)).map(|(role, _)| *role)
    }
}

impl UserDetails {
    fn check(&self, person: PersonId, unit_living: bool) -> Result<(), UserRejection> {
        let fields = [
            ("login", Some(&self.login)),
            ("name", Some(&self.name)),
            ("email", self.email.as_ref()),
            ("externalId", self.external_id.as_ref()),
        ];
        for (field, value) in fields {
            if value.is_some_and(|value| value.person != person) {
                return Err(UserRejection::PrivateOfAnother { field });
            }
        }
        if self.unit.is_some() && !unit_living {
            return Err(UserRejection::UnitNotLiving);
        }
        Ok(())
    }
}

/// The decider.
pub struct User;

impl Aggregate for User {
    type Id = UserId;
    type Command = UserCommand;
    type Event = UserEvent;
    type Rejection = UserRejection;
    type State = UserState;
    const CATEGORY: &'static str = "user";

    fn decide(state: &UserState, command: &UserCommand) -> Result<Vec<UserEvent>, UserRejection> {
        match command {
            UserCommand::CreateUser(create) => decide_create(state, create),
            UserCommand::UpdateUser(update) => {
                let facts = state.facts()?;
                if facts.details == update.details {
                    return Ok(Vec::new());
                }
                if update.person_erased {
                    return Err(UserRejection::PersonErased);
                }
                // A user may stay in a unit that was archived meanwhile.
                let unit_stays = facts.details.unit == update.details.unit;
                update.details.check(facts.person, unit_stays || update.unit_living)?;
                Ok(vec![UserUpdated { details: update.details.clone() }.into()])
            }
            UserCommand::DeactivateUser(deactivate) => match state.facts()?.status {
                UserStatus::Deactivated => Ok(Vec::new()),
                UserStatus::Active if deactivate.owner => Err(UserRejection::UserIsOwner),
                UserStatus::Active => Ok(vec![UserDeactivated {}.into()]),
            },
            UserCommand::ReactivateUser(reactivate) => match state.facts()?.status {
                UserStatus::Active => Ok(Vec::new()),
                UserStatus::Deactivated if reactivate.person_erased => Err(UserRejection::PersonErased),
                UserStatus::Deactivated => Ok(vec![UserReactivated {}.into()]),
            },
            UserCommand::GrantRole(grant) => decide_grant_role(state.facts()?, grant),
            UserCommand::RevokeRole(revoke) => {
                if revoke.role == AccountRole::Owner {
                    return Err(UserRejection::RoleOfOrganization);
                }
                if !state.facts()?.roles.contains_key(&(revoke.role, revoke.scope)) {
                    return Ok(Vec::new());
                }
                Ok(vec![RoleRevoked { role: revoke.role, scope: revoke.scope }.into()])
            }
        }
    }

    fn evolve(state: UserState, event: &UserEvent, _: Timestamp) -> UserState {
        if let UserEvent::UserCreated(created) = event {
            return UserState::Present(Box::new(UserFacts {
                organization: created.organization,
                user: created.user,
                person: created.person,
                details: created.details.clone(),
                roles: BTreeMap::new(),
                status: UserStatus::Active,
            }));
        }
        let UserState::Present(mut facts) = state else {
            return state;
        };
        match event {
            UserEvent::UserCreated(_) => {}
            UserEvent::UserUpdated(updated) => facts.details = updated.details.clone(),
            UserEvent::UserDeactivated(_) => facts.status = UserStatus::Deactivated,
            UserEvent::UserReactivated(_) => facts.status = UserStatus::Active,
            UserEvent::RoleGranted(granted) => {
                facts.roles.insert((granted.role, granted.scope), granted.expires_at);
            }
            UserEvent::RoleRevoked(revoked) => {
                facts.roles.remove(&(revoked.role, revoked.scope));
            }
        }
        UserState::Present(facts)
    }
}

fn decide_create(state: &UserState, create: &CreateUser) -> Result<Vec<UserEvent>, UserRejection> {
    if let UserState::Present(facts) = state {
        let same = facts.person == create.person && facts.details == create.details;
        return if same { Ok(Vec::new()) } else { Err(UserRejection::UserAlreadyExists) };
    }
    create.details.check(create.person, create.unit_living)?;
    let created = UserCreated {
        organization: create.organization,
        user: create.user,
        person: create.person,
        details: create.details.clone(),
    };
    Ok(vec![created.into()])
}

fn decide_grant_role(facts: &UserFacts, grant: &GrantRole) -> Result<Vec<UserEvent>, UserRejection> {
    if grant.role == AccountRole::Owner {
        return Err(UserRejection::RoleOfOrganization);
    }
    if facts.roles.get(&(grant.role, grant.scope)) == Some(&grant.expires_at) {
        return Ok(Vec::new());
    }
    if grant.person_erased {
        return Err(UserRejection::PersonErased);
    }
    if facts.status == UserStatus::Deactivated {
        return Err(UserRejection::UserNotActive);
    }
    match grant.scope {
        RoleScope::Organization if grant.role == AccountRole::UnitAdmin => return Err(UserRejection::RoleOfUnit),
        RoleScope::Unit(_) if !grant.unit_living => return Err(UserRejection::UnitNotLiving),
        RoleScope::Organization | RoleScope::Unit(_) => {}
    }
    if grant.expires_at.is_some_and(|expires_at| expires_at <= grant.now) {
        return Err(UserRejection::ExpiryPassed);
    }
    // Another expiry of a role that is held adds none, and those whose time is over don't count.
    let others = facts.roles_at(grant.now).filter(|held| *held != (grant.role, grant.scope));
    if others.count() >= ROLES_MAX {
        return Err(UserRejection::TooManyRoles);
    }
    Ok(vec![RoleGranted { role: grant.role, scope: grant.scope, expires_at: grant.expires_at }.into()])
}

#[cfg(test)]
mod tests;
