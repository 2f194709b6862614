//! Policies as the schema has them: who may open, join and see a room, what a level says of it, and what is in force.

use std::collections::BTreeSet;

use async_graphql::{Enum, ID, InputObject, SimpleObject};
use witan_app::policies::{self, WhoInput};
use witan_domain::policy;

use crate::{
    call::id,
    scalars::IntoId,
    settings::{Source, contradiction},
};

/// Whom a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Who {
    /// Every active user of the organization.
    OrganizationUsers,
    /// Every active user of the listed units, or of a unit below them.
    UnitUsers,
    /// The people that the room names.
    NamedPeople,
    /// Whoever has an invitation to the room.
    Invitation,
    /// Whoever knows the password.
    Password,
    /// Anyone at all.
    Anyone,
}

/// One reason to let someone in. Any one grant of a list suffices.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct Grant {
    /// Whom it is for.
    who: Who,
    /// The units, where it is for UNIT_USERS; else empty.
    unit_ids: Vec<ID>,
    /// Whether they wait in the lobby until a host admits them.
    lobby: bool,
}

impl From<&policy::Grant> for Grant {
    fn from(grant: &policy::Grant) -> Self {
        let (who, units) = match &grant.who {
            policy::Who::OrganizationUsers => (Who::OrganizationUsers, None),
            policy::Who::UnitUsers(units) => (Who::UnitUsers, Some(units)),
            policy::Who::NamedPeople => (Who::NamedPeople, None),
            policy::Who::Invitation => (Who::Invitation, None),
            policy::Who::Password(_) => (Who::Password, None),
            policy::Who::Anyone => (Who::Anyone, None),
        };
        let unit_ids = units.into_iter().flatten().map(|unit| unit.into_id()).collect();
        Self { who, unit_ids, lobby: grant.lobby }
    }
}

/// One reason to let someone in. Any one grant of a list suffices.
#[derive(Clone, PartialEq, Eq, InputObject)]
pub struct GrantInput {
    /// Whom it is for. PASSWORD at most once in a list.
    who: Who,
    /// The units, with UNIT_USERS and only there: 1 to 100.
    #[graphql(default)]
    unit_ids: Vec<ID>,
    /// The new password, with PASSWORD and only there: 8 to 128 characters, none of them a control character. Absent or
    /// null: the password that the same list of the same level has now is kept. Never shown again: send it as a variable.
    password: Option<String>,
    /// Whether they wait in the lobby until a host admits them. Only in a join policy.
    #[graphql(default)]
    lobby: bool,
}

impl GrantInput {
    fn into_app(self) -> async_graphql::Result<policies::GrantInput> {
        if self.who != Who::UnitUsers && !self.unit_ids.is_empty() {
            return Err(contradiction("unitIds is given without UNIT_USERS; expected it there only."));
        }
        if self.who != Who::Password && self.password.is_some() {
            return Err(contradiction("password is given without PASSWORD; expected it there only."));
        }
        let who = match self.who {
            Who::OrganizationUsers => WhoInput::Those(policy::Who::OrganizationUsers),
            Who::UnitUsers => {
                let units = self.unit_ids.iter().map(|unit| id("unitIds", unit));
                WhoInput::Those(policy::Who::UnitUsers(units.collect::<async_graphql::Result<BTreeSet<_>>>()?))
            }
            Who::NamedPeople => WhoInput::Those(policy::Who::NamedPeople),
            Who::Invitation => WhoInput::Those(policy::Who::Invitation),
            Who::Password => WhoInput::Password(self.password),
            Who::Anyone => WhoInput::Those(policy::Who::Anyone),
        };
        Ok(policies::GrantInput { who, lobby: self.lobby })
    }
}

/// Who sees a room listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "policy::Listing")]
pub enum Listing {
    /// Those who host in it, are named or invited.
    Private,
    /// The organization's users too.
    Organization,
    /// Whoever takes part in a session of the organization, too. There is no list for people who show no credential: they
    /// come by a room's id.
    Public,
}

/// What is said of the three policies; null where nothing is.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct PolicyRules {
    /// Who may start a session: any one grant suffices, an empty list lets nobody.
    open: Option<Vec<Grant>>,
    /// Who may enter a session: any one grant suffices, an empty list lets nobody.
    join: Option<Vec<Grant>>,
    /// Who sees the room listed.
    list: Option<Listing>,
}

impl From<&policy::Rules> for PolicyRules {
    fn from(rules: &policy::Rules) -> Self {
        Self {
            open: rules.open.as_deref().map(grants),
            join: rules.join.as_deref().map(grants),
            list: rules.list.map(Into::into),
        }
    }
}

fn grants(grants: &[policy::Grant]) -> Vec<Grant> {
    grants.iter().map(Grant::from).collect()
}

/// What to say of the three policies; nothing of what is absent.
#[derive(Clone, Default, PartialEq, Eq, InputObject)]
pub struct PolicyRulesInput {
    /// Who may start a session: at most 20 grants, any one of which suffices; an empty list lets nobody.
    open: Option<Vec<GrantInput>>,
    /// Who may enter a session: at most 20 grants, any one of which suffices; an empty list lets nobody.
    join: Option<Vec<GrantInput>>,
    /// Who sees the room listed.
    list: Option<Listing>,
}

impl PolicyRulesInput {
    fn into_app(self) -> async_graphql::Result<policies::RulesInput> {
        let grants = |grants: Vec<GrantInput>| grants.into_iter().map(GrantInput::into_app).collect();
        Ok(policies::RulesInput {
            open: self.open.map(grants).transpose()?,
            join: self.join.map(grants).transpose()?,
            list: self.list.map(Into::into),
        })
    }
}

/// What one level (an organization, a unit, a room) says of the policies.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct LevelPolicies {
    /// What holds here and below, unless a level below sets it otherwise.
    set: PolicyRules,
    /// The most that this level and those below may allow.
    floor: PolicyRules,
}

impl From<&policy::PolicyLevel> for LevelPolicies {
    fn from(level: &policy::PolicyLevel) -> Self {
        Self { set: (&level.set).into(), floor: (&level.floor).into() }
    }
}

/// What one level is to say of the policies, in place of all that it said before: but for passwords that aren't given anew.
#[derive(Clone, Default, PartialEq, Eq, InputObject)]
pub struct LevelPoliciesInput {
    /// What holds here and below, unless a level below sets it otherwise.
    set: Option<PolicyRulesInput>,
    /// The most that this level and those below may allow: below it may only be stricter.
    floor: Option<PolicyRulesInput>,
}

impl LevelPoliciesInput {
    pub fn into_app(self) -> async_graphql::Result<policies::PoliciesInput> {
        let rules = |input: Option<PolicyRulesInput>| input.unwrap_or_default().into_app();
        Ok(policies::PoliciesInput { set: rules(self.set)?, floor: rules(self.floor)? })
    }
}

/// The policies in force in a room, and where each comes from.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct EffectivePolicies {
    /// Who may start a session.
    open: Vec<Grant>,
    /// Who may enter a session.
    join: Vec<Grant>,
    /// Who sees the room listed.
    list: Listing,
    /// The level that `open` comes from.
    open_source: Source,
    /// The level that `join` comes from.
    join_source: Source,
    /// The level that `list` comes from.
    list_source: Source,
    /// All floors together: the most that may be allowed.
    floor: PolicyRules,
}

impl From<&policy::EffectivePolicies> for EffectivePolicies {
    fn from(effective: &policy::EffectivePolicies) -> Self {
        Self {
            open: grants(&effective.open),
            join: grants(&effective.join),
            list: effective.list.into(),
            open_source: effective.open_source.into(),
            join_source: effective.join_source.into(),
            list_source: effective.list_source.into(),
            floor: (&effective.floor).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use witan_domain::UnitId;

    use super::*;

    fn domain(input: GrantInput) -> async_graphql::Result<policy::Who> {
        match input.into_app()?.who {
            WhoInput::Those(who) => Ok(who),
            WhoInput::Password(_) => panic!("a password is not a domain's before it is hashed"),
        }
    }

    #[test]
    fn grants_come_back_as_they_went_and_no_hash_is_shown() {
        let units = policy::Grant::by_lobby(policy::Who::UnitUsers([UnitId(1), UnitId(2)].into()));
        let shown = Grant::from(&units);
        let input = GrantInput { who: shown.who, unit_ids: shown.unit_ids, password: None, lobby: true };
        assert_eq!(domain(input.clone()).unwrap(), units.who);
        assert!(domain(GrantInput { who: Who::Anyone, ..input.clone() }).is_err());
        assert!(domain(GrantInput { password: Some("correct horse".into()), ..input.clone() }).is_err());
        assert!(domain(GrantInput { unit_ids: vec![ID("room_1".into())], ..input }).is_err());
        let hash = policy::PasswordHash("$argon2id$secret".into());
        let shown = Grant::from(&policy::Grant::to(policy::Who::Password(hash)));
        assert_eq!(shown, Grant { who: Who::Password, unit_ids: vec![], lobby: false });
    }
}
