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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeactivateUser {
    /// Whether the account is an owner of the organization.
    pub owner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactivateUser {}

/// Gives a role, or gives it another expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRole {
    pub role: AccountRole,
    pub scope: RoleScope,
    /// None for a role that stays until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// Whether the unit of the scope, if it is one, is a living one of this organization.
    pub unit_living: bool,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCreated {
    pub organization: OrganizationId,
    pub user: UserId,
    pub person: PersonId,
    pub details: UserDetails,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUpdated {
    pub details: UserDetails,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDeactivated {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserReactivated {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleGranted {
    pub role: AccountRole,
    pub scope: RoleScope,
    pub expires_at: Option<Timestamp>,
}

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
    #[error("a unit admin is one of a unit: give the unit as scope")]
    RoleOfUnit,
    #[error("the expiry is not in the future")]
    ExpiryPassed,
    #[error("a user has at most {ROLES_MAX} roles")]
    TooManyRoles,
    #[error("{field} is another person's")]
    PrivateOfAnother { field: &'static str },
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
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::UserNotFound | Self::UserNotActive | Self::UserIsOwner => Some("userId"),
            Self::UnitNotLiving => Some("unitId"),
            Self::RoleOfOrganization | Self::TooManyRoles => Some("role"),
            Self::RoleOfUnit => Some("scope"),
            Self::ExpiryPassed => Some("expiresAt"),
            Self::PrivateOfAnother { field } => Some(field),
            Self::UserAlreadyExists => None,
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    #[default]
    Absent,
    Present(Box<UserFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
            UserCommand::ReactivateUser(_) => match state.facts()?.status {
                UserStatus::Active => Ok(Vec::new()),
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
    if facts.roles.len() >= ROLES_MAX {
        return Err(UserRejection::TooManyRoles);
    }
    Ok(vec![RoleGranted { role: grant.role, scope: grant.scope, expires_at: grant.expires_at }.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::Ciphertext;

    const PERSON: PersonId = PersonId(3);
    const UNIT: RoleScope = RoleScope::Unit(UnitId(4));
    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn private(person: PersonId, byte: u8) -> Private {
        Private { person, ciphertext: Ciphertext(vec![byte]) }
    }

    fn details() -> UserDetails {
        UserDetails {
            login_alias: AliasId(5),
            login: private(PERSON, 1),
            name: private(PERSON, 2),
            email: Some(private(PERSON, 3)),
            external_id: None,
            unit: None,
        }
    }

    fn create() -> UserCommand {
        UserCommand::CreateUser(CreateUser {
            organization: OrganizationId(1),
            user: UserId(2),
            person: PERSON,
            details: details(),
            unit_living: false,
        })
    }

    fn update(change: impl FnOnce(&mut UserDetails), unit_living: bool) -> UserCommand {
        let mut details = details();
        change(&mut details);
        UserCommand::UpdateUser(UpdateUser { details, unit_living })
    }

    fn grant(role: AccountRole, scope: RoleScope, expires_at: Option<u64>) -> UserCommand {
        let expires_at = expires_at.map(Timestamp::from_seconds);
        UserCommand::GrantRole(GrantRole { role, scope, expires_at, unit_living: true, now: NOW })
    }

    fn revoke(role: AccountRole, scope: RoleScope) -> UserCommand {
        UserCommand::RevokeRole(RevokeRole { role, scope })
    }

    fn deactivate(owner: bool) -> UserCommand {
        UserCommand::DeactivateUser(DeactivateUser { owner })
    }

    /// The state after these commands, each of which must be accepted.
    fn given(commands: &[UserCommand]) -> UserState {
        commands.iter().fold(UserState::default(), |state, command| {
            let events = User::decide(&state, command).unwrap();
            events.iter().fold(state, |state, event| User::evolve(state, event, Timestamp(1)))
        })
    }

    #[test]
    fn create_user() {
        let state = given(&[create()]);
        assert!(state.is_active());
        assert_eq!(User::decide(&state, &create()), Ok(vec![]));
        let renamed = given(&[create(), update(|details| details.name = private(PERSON, 9), false)]);
        assert_eq!(User::decide(&renamed, &create()), Err(UserRejection::UserAlreadyExists));
        assert_eq!(User::decide(&UserState::Absent, &deactivate(false)), Err(UserRejection::UserNotFound));
    }

    #[test]
    fn update_user() {
        let state = given(&[create()]);
        assert_eq!(User::decide(&state, &update(|_| {}, false)), Ok(vec![]));
        let of_another = update(|details| details.email = Some(private(PersonId(9), 1)), false);
        assert_eq!(User::decide(&state, &of_another), Err(UserRejection::PrivateOfAnother { field: "email" }));
        let to_unit = |living| update(|details| details.unit = Some(UnitId(4)), living);
        assert_eq!(User::decide(&state, &to_unit(false)), Err(UserRejection::UnitNotLiving));
        assert_eq!(User::decide(&state, &to_unit(true)).unwrap().len(), 1);
    }

    #[test]
    fn deactivate_and_reactivate_user() {
        let state = given(&[create()]);
        assert_eq!(User::decide(&state, &deactivate(true)), Err(UserRejection::UserIsOwner));
        let deactivated =
            given(&[create(), grant(AccountRole::Admin, RoleScope::Organization, None), deactivate(false)]);
        assert!(!deactivated.is_active());
        assert_eq!(deactivated.facts().unwrap().roles_at(NOW).count(), 0);
        assert_eq!(User::decide(&deactivated, &deactivate(false)), Ok(vec![]));
        let host = grant(AccountRole::Host, RoleScope::Organization, None);
        assert_eq!(User::decide(&deactivated, &host), Err(UserRejection::UserNotActive));
        let back = given(&[create(), deactivate(false), UserCommand::ReactivateUser(ReactivateUser {})]);
        assert!(back.is_active());
    }

    #[test]
    fn grant_role() {
        let state = given(&[create(), grant(AccountRole::Auditor, UNIT, Some(2_000))]);
        let roles = |seconds| state.facts().unwrap().roles_at(Timestamp::from_seconds(seconds)).collect::<Vec<_>>();
        assert_eq!(roles(1_999), [(AccountRole::Auditor, UNIT)]);
        assert_eq!(roles(2_000), []);
        assert_eq!(User::decide(&state, &grant(AccountRole::Auditor, UNIT, Some(2_000))), Ok(vec![]));
        assert_eq!(User::decide(&state, &grant(AccountRole::Auditor, UNIT, Some(3_000))).unwrap().len(), 1);
        let refused = |command| User::decide(&state, &command).unwrap_err();
        assert_eq!(refused(grant(AccountRole::Host, UNIT, Some(1_000))), UserRejection::ExpiryPassed);
        assert_eq!(
            refused(grant(AccountRole::Owner, RoleScope::Organization, None)),
            UserRejection::RoleOfOrganization
        );
        assert_eq!(refused(grant(AccountRole::UnitAdmin, RoleScope::Organization, None)), UserRejection::RoleOfUnit);
        let elsewhere =
            GrantRole { role: AccountRole::Host, scope: UNIT, expires_at: None, unit_living: false, now: NOW };
        assert_eq!(refused(UserCommand::GrantRole(elsewhere)), UserRejection::UnitNotLiving);
    }

    #[test]
    fn revoke_role() {
        let state = given(&[create(), grant(AccountRole::Host, UNIT, None)]);
        assert_eq!(User::decide(&state, &revoke(AccountRole::Host, RoleScope::Organization)), Ok(vec![]));
        let state = given(&[create(), grant(AccountRole::Host, UNIT, None), revoke(AccountRole::Host, UNIT)]);
        assert_eq!(state.facts().unwrap().roles_at(NOW).count(), 0);
    }

    #[test]
    fn golden_files() {
        crate::golden::check::<User>(&[
            UserCreated { organization: OrganizationId(1), user: UserId(2), person: PERSON, details: details() }.into(),
            UserUpdated {
                details: UserDetails { external_id: Some(private(PERSON, 4)), unit: Some(UnitId(4)), ..details() },
            }
            .into(),
            UserDeactivated {}.into(),
            UserReactivated {}.into(),
            RoleGranted { role: AccountRole::Auditor, scope: UNIT, expires_at: Some(NOW) }.into(),
            RoleRevoked { role: AccountRole::UnitAdmin, scope: RoleScope::Organization }.into(),
        ]);
    }
}
