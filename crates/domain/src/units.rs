//! The units of an organization: the whole tree in one stream, so that no two moves at once can make a cycle.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, OrganizationId, Timestamp, UnitId,
    aggregate::Rejection,
    commands, events,
    policy::{PolicyLevel, PolicyRejection, Rules},
    settings::{Level, SettingName, SettingRejection},
    text::{self, Invalid, Slug},
};

/// A unit without a parent has depth 1.
pub const UNIT_DEPTH_MAX: usize = 8;
/// Living and archived ones of one organization.
pub const UNITS_MAX: usize = 5_000;

// Commands.

commands! {
    /// What one may ask of the units of an organization.
    pub enum UnitsCommand {
        CreateUnit,
        UpdateUnit,
        MoveUnit,
        ArchiveUnit,
        SetUnitSettings,
        SetUnitPolicies,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUnit {
    pub unit: UnitId,
    /// None for a unit right below the organization.
    pub parent: Option<UnitId>,
    pub details: UnitDetails,
}

/// New details in place of the old; what is to stay comes along unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateUnit {
    pub unit: UnitId,
    pub details: UnitDetails,
}

/// Takes a unit, with all below it, to another parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveUnit {
    pub unit: UnitId,
    pub parent: Option<UnitId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveUnit {
    pub unit: UnitId,
    /// Whether it has rooms that are not archived.
    pub has_rooms: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUnitSettings {
    pub unit: UnitId,
    pub settings: Level,
    /// What the organization locks.
    pub organization_locked: BTreeSet<SettingName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUnitPolicies {
    pub unit: UnitId,
    pub policies: PolicyLevel,
    /// The organization's floor.
    pub organization_floor: Rules,
}

/// What a unit says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitDetails {
    /// Unique among the living units of the same parent.
    pub slug: Slug,
    pub full_name: String,
    pub description: String,
    pub address: Option<String>,
}

impl UnitDetails {
    fn validate(&self) -> Result<(), Invalid> {
        text::name("fullName", &self.full_name)?;
        text::description("description", &self.description)?;
        self.address.as_ref().map_or(Ok(()), |address| text::address("address", address))
    }
}

// Events.

/// A unit was made, at the top of the tree or below its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCreated {
    pub unit: UnitId,
    pub parent: Option<UnitId>,
    pub details: UnitDetails,
}

/// The unit's own data was replaced: all of it stands here, what stayed too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitUpdated {
    pub unit: UnitId,
    pub details: UnitDetails,
}

/// The unit hangs below another parent, or at the top, with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMoved {
    pub unit: UnitId,
    pub parent: Option<UnitId>,
}

/// The unit is over, for good; its slug is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitArchived {
    pub unit: UnitId,
}

/// The unit's level of settings was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSettingsSet {
    pub unit: UnitId,
    pub settings: Level,
}

/// The unit's level of policies was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitPoliciesSet {
    pub unit: UnitId,
    pub policies: PolicyLevel,
}

events! {
    /// What happens to the units of an organization.
    pub enum UnitsEvent of "units" {
        UnitCreated,
        UnitUpdated,
        UnitMoved,
        UnitArchived,
        UnitSettingsSet,
        UnitPoliciesSet,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitsRejection {
    #[error("there is no such unit in this organization")]
    UnitNotFound { field: &'static str },
    #[error("this unit exists already")]
    UnitAlreadyExists,
    #[error("the unit is archived")]
    UnitArchived { field: &'static str },
    #[error("another unit of the same parent has this slug")]
    SlugTaken,
    #[error("a unit can't be below itself")]
    UnitBelowItself,
    #[error("units are at most {UNIT_DEPTH_MAX} deep")]
    UnitTooDeep,
    #[error("an organization has at most {UNITS_MAX} units")]
    TooManyUnits,
    #[error("the unit has units below it: archive or move them first")]
    UnitHasUnits,
    #[error("the unit has rooms: archive or move them first")]
    UnitHasRooms,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Setting(#[from] SettingRejection),
    #[error(transparent)]
    Policy(#[from] PolicyRejection),
}

impl Rejection for UnitsRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::UnitNotFound { .. } => "UNIT_NOT_FOUND",
            Self::UnitAlreadyExists => "UNIT_ALREADY_EXISTS",
            Self::UnitArchived { .. } => "UNIT_ARCHIVED",
            Self::SlugTaken => "SLUG_TAKEN",
            Self::UnitBelowItself => "UNIT_BELOW_ITSELF",
            Self::UnitTooDeep => "UNIT_TOO_DEEP",
            Self::TooManyUnits => "TOO_MANY_UNITS",
            Self::UnitHasUnits => "UNIT_HAS_UNITS",
            Self::UnitHasRooms => "UNIT_HAS_ROOMS",
            Self::Invalid(invalid) => invalid.code(),
            Self::Setting(setting) => setting.code(),
            Self::Policy(policy) => policy.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::UnitNotFound { field } | Self::UnitArchived { field } => Some(field),
            Self::SlugTaken => Some("slug"),
            Self::UnitBelowItself | Self::UnitTooDeep => Some("parentId"),
            Self::UnitHasUnits | Self::UnitHasRooms => Some("unitId"),
            Self::UnitAlreadyExists | Self::TooManyUnits => None,
            Self::Invalid(invalid) => invalid.field(),
            Self::Setting(setting) => setting.field(),
            Self::Policy(policy) => policy.field(),
        }
    }
}

// State.

/// The tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitsState {
    pub units: BTreeMap<UnitId, Unit>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub parent: Option<UnitId>,
    pub details: UnitDetails,
    pub settings: Level,
    pub policies: PolicyLevel,
    pub status: UnitStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitStatus {
    Living,
    Archived,
}

impl UnitsState {
    /// The unit and those above it, the root first; empty when there is no such unit.
    pub fn path(&self, unit: UnitId) -> Vec<UnitId> {
        let mut path = Vec::with_capacity(UNIT_DEPTH_MAX);
        let mut next = Some(unit);
        while let Some((id, found)) = next.and_then(|id| self.units.get(&id).map(|found| (id, found))) {
            path.push(id);
            next = found.parent;
        }
        path.reverse();
        path
    }

    /// What these units and those above them set, the root first: the `units` of [`settings::resolve`](crate::settings::resolve).
    pub fn settings(&self, unit: UnitId) -> Vec<(UnitId, &Level)> {
        self.along(unit).map(|(id, unit)| (id, &unit.settings)).collect()
    }

    /// The same for [`policy::resolve`](crate::policy::resolve).
    pub fn policies(&self, unit: UnitId) -> Vec<(UnitId, &PolicyLevel)> {
        self.along(unit).map(|(id, unit)| (id, &unit.policies)).collect()
    }

    /// Whether the unit exists and is not archived.
    pub fn is_living(&self, unit: UnitId) -> bool {
        self.living(unit, "unitId").is_ok()
    }

    fn along(&self, unit: UnitId) -> impl Iterator<Item = (UnitId, &Unit)> {
        self.path(unit).into_iter().filter_map(|id| self.units.get(&id).map(|unit| (id, unit)))
    }

    fn living(&self, unit: UnitId, field: &'static str) -> Result<&Unit, UnitsRejection> {
        match self.units.get(&unit) {
            Some(found) if found.status == UnitStatus::Living => Ok(found),
            Some(_) => Err(UnitsRejection::UnitArchived { field }),
            None => Err(UnitsRejection::UnitNotFound { field }),
        }
    }

    fn children(&self, parent: Option<UnitId>) -> impl Iterator<Item = (UnitId, &Unit)> {
        self.units.iter().filter(move |(_, unit)| unit.parent == parent).map(|(id, unit)| (*id, unit))
    }

    /// How many levels the unit and those below it take: 1 without any below.
    fn height(&self, unit: UnitId) -> usize {
        self.units
            .keys()
            .map(|below| self.path(*below))
            .filter_map(|path| path.iter().position(|id| *id == unit).map(|at| path.len() - at))
            .max()
            .unwrap_or(1)
    }

    fn slug_free(&self, parent: Option<UnitId>, slug: Slug, except: UnitId) -> Result<(), UnitsRejection> {
        let taken = self
            .children(parent)
            .any(|(id, unit)| id != except && unit.status == UnitStatus::Living && unit.details.slug == slug);
        if taken { Err(UnitsRejection::SlugTaken) } else { Ok(()) }
    }

    /// The depth of a unit right below this parent, which must be living.
    fn depth_below(&self, parent: Option<UnitId>) -> Result<usize, UnitsRejection> {
        match parent {
            None => Ok(1),
            Some(parent) => {
                self.living(parent, "parentId")?;
                Ok(self.path(parent).len() + 1)
            }
        }
    }
}

/// The decider.
pub struct Units;

impl Aggregate for Units {
    type Id = OrganizationId;
    type Command = UnitsCommand;
    type Event = UnitsEvent;
    type Rejection = UnitsRejection;
    type State = UnitsState;
    const CATEGORY: &'static str = "units";

    fn decide(state: &UnitsState, command: &UnitsCommand) -> Result<Vec<UnitsEvent>, UnitsRejection> {
        match command {
            UnitsCommand::CreateUnit(create) => decide_create(state, create),
            UnitsCommand::UpdateUnit(update) => {
                let unit = state.living(update.unit, "unitId")?;
                if unit.details == update.details {
                    return Ok(Vec::new());
                }
                update.details.validate()?;
                state.slug_free(unit.parent, update.details.slug, update.unit)?;
                Ok(vec![UnitUpdated { unit: update.unit, details: update.details.clone() }.into()])
            }
            UnitsCommand::MoveUnit(to) => decide_move(state, to),
            UnitsCommand::ArchiveUnit(archive) => decide_archive(state, archive),
            UnitsCommand::SetUnitSettings(set) => {
                let unit = state.living(set.unit, "unitId")?;
                let mut locked = set.organization_locked.clone();
                for (above, level) in state.settings(set.unit) {
                    locked.extend(level.locked.iter().filter(|_| above != set.unit));
                }
                set.settings.check_change(&unit.settings, &locked)?;
                if unit.settings == set.settings {
                    return Ok(Vec::new());
                }
                Ok(vec![UnitSettingsSet { unit: set.unit, settings: set.settings.clone() }.into()])
            }
            UnitsCommand::SetUnitPolicies(set) => {
                let unit = state.living(set.unit, "unitId")?;
                let above = state.policies(set.unit).into_iter().filter(|(above, _)| *above != set.unit);
                let floor = above.fold(set.organization_floor.clone(), |floor, (_, level)| floor.meet(&level.floor));
                set.policies.check_change(&unit.policies, &floor)?;
                if unit.policies == set.policies {
                    return Ok(Vec::new());
                }
                Ok(vec![UnitPoliciesSet { unit: set.unit, policies: set.policies.clone() }.into()])
            }
        }
    }

    fn evolve(mut state: UnitsState, event: &UnitsEvent, _: Timestamp) -> UnitsState {
        match event {
            UnitsEvent::UnitCreated(created) => {
                let unit = Unit {
                    parent: created.parent,
                    details: created.details.clone(),
                    settings: Level::default(),
                    policies: PolicyLevel::default(),
                    status: UnitStatus::Living,
                };
                state.units.insert(created.unit, unit);
            }
            UnitsEvent::UnitUpdated(updated) => {
                state.change(updated.unit, |unit| unit.details = updated.details.clone());
            }
            UnitsEvent::UnitMoved(moved) => state.change(moved.unit, |unit| unit.parent = moved.parent),
            UnitsEvent::UnitArchived(archived) => {
                state.change(archived.unit, |unit| unit.status = UnitStatus::Archived);
            }
            UnitsEvent::UnitSettingsSet(set) => state.change(set.unit, |unit| unit.settings = set.settings.clone()),
            UnitsEvent::UnitPoliciesSet(set) => state.change(set.unit, |unit| unit.policies = set.policies.clone()),
        }
        state
    }
}

impl UnitsState {
    fn change(&mut self, unit: UnitId, change: impl FnOnce(&mut Unit)) {
        if let Some(unit) = self.units.get_mut(&unit) {
            change(unit);
        }
    }
}

fn decide_create(state: &UnitsState, create: &CreateUnit) -> Result<Vec<UnitsEvent>, UnitsRejection> {
    if let Some(unit) = state.units.get(&create.unit) {
        let same = unit.parent == create.parent && unit.details == create.details;
        return if same { Ok(Vec::new()) } else { Err(UnitsRejection::UnitAlreadyExists) };
    }
    create.details.validate()?;
    if state.units.len() >= UNITS_MAX {
        return Err(UnitsRejection::TooManyUnits);
    }
    if state.depth_below(create.parent)? > UNIT_DEPTH_MAX {
        return Err(UnitsRejection::UnitTooDeep);
    }
    state.slug_free(create.parent, create.details.slug, create.unit)?;
    let created = UnitCreated { unit: create.unit, parent: create.parent, details: create.details.clone() };
    Ok(vec![created.into()])
}

fn decide_move(state: &UnitsState, to: &MoveUnit) -> Result<Vec<UnitsEvent>, UnitsRejection> {
    let unit = state.living(to.unit, "unitId")?;
    if unit.parent == to.parent {
        return Ok(Vec::new());
    }
    let depth = state.depth_below(to.parent)?;
    if to.parent.is_some_and(|parent| state.path(parent).contains(&to.unit)) {
        return Err(UnitsRejection::UnitBelowItself);
    }
    if depth + state.height(to.unit) - 1 > UNIT_DEPTH_MAX {
        return Err(UnitsRejection::UnitTooDeep);
    }
    state.slug_free(to.parent, unit.details.slug, to.unit)?;
    Ok(vec![UnitMoved { unit: to.unit, parent: to.parent }.into()])
}

fn decide_archive(state: &UnitsState, archive: &ArchiveUnit) -> Result<Vec<UnitsEvent>, UnitsRejection> {
    let unit = state.units.get(&archive.unit).ok_or(UnitsRejection::UnitNotFound { field: "unitId" })?;
    if unit.status == UnitStatus::Archived {
        return Ok(Vec::new());
    }
    if state.children(Some(archive.unit)).any(|(_, child)| child.status == UnitStatus::Living) {
        return Err(UnitsRejection::UnitHasUnits);
    }
    if archive.has_rooms {
        return Err(UnitsRejection::UnitHasRooms);
    }
    Ok(vec![UnitArchived { unit: archive.unit }.into()])
}

#[cfg(test)]
mod tests;
