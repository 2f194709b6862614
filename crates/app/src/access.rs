//! Access to a room: what the levels above it set, what is known of whoever asks, and so whether they may.

use std::collections::BTreeSet;

use witan_domain::{
    AccountRole, Actor, InvitationId, OrganizationId, PersonId, RoleScope, SessionRole, Timestamp, UnitId, UserId,
    invitation::InvitationFacts,
    organization::{OrganizationFacts, OrganizationStatus},
    policy::{self, EffectivePolicies, Facts, PolicyLevel},
    room::RoomFacts,
    settings::{self, EffectiveSettings, Level, Purpose},
    units::Units,
};

use crate::{App, Error, Request, streams::Now};

/// The levels above a room.
pub(crate) struct LevelsAbove {
    organization: OrganizationFacts,
    units: Now<Units>,
    unit: UnitId,
}

impl LevelsAbove {
    pub fn settings(&self, purpose: Purpose, room: &Level) -> EffectiveSettings {
        settings::resolve(purpose, &self.organization.settings, &self.units.settings(self.unit), room)
    }

    pub fn policies(&self, purpose: Purpose, room: &PolicyLevel) -> EffectivePolicies {
        policy::resolve(purpose, &self.organization.policies, &self.units.policies(self.unit), room)
    }

    pub fn organization_active(&self) -> bool {
        self.organization.status == OrganizationStatus::Active
    }

    pub fn unit_living(&self) -> bool {
        self.units.is_living(self.unit)
    }

    /// The room's unit and those above it, the root first.
    pub fn path(&self) -> Vec<UnitId> {
        self.units.path(self.unit)
    }
}

/// A good invitation that someone has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Invited {
    pub invitation: InvitationId,
    pub person: PersonId,
    pub role: SessionRole,
    /// Its window isn't open yet.
    pub early: bool,
}

impl Invited {
    pub fn at(facts: &InvitationFacts, now: Timestamp) -> Self {
        let details = &facts.details;
        let early = now < details.not_before;
        Self { invitation: facts.invitation, person: details.person, role: details.role, early }
    }
}

impl App {
    pub(crate) fn levels_above(&self, room: &RoomFacts) -> Result<LevelsAbove, Error> {
        self.levels_in(room.organization, room.unit)
    }

    /// The levels above whatever room is, or will be, in this unit.
    pub(crate) fn levels_in(&self, organization: OrganizationId, unit: UnitId) -> Result<LevelsAbove, Error> {
        let state = self.organization_state(organization)?;
        let facts = state.facts().map_err(Error::rejected)?.clone();
        Ok(LevelsAbove { organization: facts, units: self.units_state(organization)?, unit })
    }

    /// The settings in force in a room, each with the level it comes from.
    pub fn room_settings(&self, room: &RoomFacts) -> Result<EffectiveSettings, Error> {
        Ok(self.levels_above(room)?.settings(room.details.purpose, &room.settings))
    }

    /// The policies in force in a room, each with the level it comes from.
    pub fn room_policies(&self, room: &RoomFacts) -> Result<EffectivePolicies, Error> {
        Ok(self.levels_above(room)?.policies(room.details.purpose, &room.policies))
    }

    /// What is known of the one who asks, as far as this room's policies care.
    pub(crate) fn access_facts(
        &self,
        request: &Request,
        room: &RoomFacts,
        above: &LevelsAbove,
        invited: Option<Invited>,
    ) -> Result<Facts, Error> {
        let facts = match request.actor {
            Actor::User { organization, user, .. } if organization == room.organization => {
                self.user_facts(room, above, user)?
            }
            Actor::User { .. } | Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => {
                Facts::default()
            }
        };
        Ok(Facts { invited: invited.map(|invited| invited.role), ..facts })
    }

    /// What is known of a user of the room's organization.
    pub(crate) fn user_facts(&self, room: &RoomFacts, above: &LevelsAbove, user: UserId) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        let organization = room.organization;
        let Some(account) = self.directory.account(organization, user).map_err(Error::fault)? else { return Ok(facts) };
        if !account.active {
            return Ok(facts);
        }
        let now = self.sources.now();
        let path = above.path();
        facts.organization_user = true;
        facts.named = room.people.get(&user).copied();
        facts.units = self.unit_set(organization, account.unit)?;
        facts.hosts = room.details.owner == user
            || account.roles.iter().any(|held| {
                hosts(held.role)
                    && held.holds_at(now)
                    && match held.scope {
                        RoleScope::Organization => true,
                        RoleScope::Unit(unit) => path.contains(&unit),
                    }
            });
        Ok(facts)
    }

    fn unit_set(&self, organization: OrganizationId, unit: Option<UnitId>) -> Result<BTreeSet<UnitId>, Error> {
        let Some(unit) = unit else { return Ok(BTreeSet::new()) };
        Ok(self.units_state(organization)?.path(unit).into_iter().collect())
    }
}

/// Whether this role opens and moderates sessions where it holds.
fn hosts(role: AccountRole) -> bool {
    match role {
        AccountRole::Owner | AccountRole::Admin | AccountRole::UnitAdmin | AccountRole::Host => true,
        AccountRole::Member
        | AccountRole::Auditor
        | AccountRole::PrivacyOfficer
        | AccountRole::Billing
        | AccountRole::Integrator => false,
    }
}
