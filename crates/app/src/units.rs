//! Units: the tree of teams and departments, one stream an organization.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, OrganizationId, UnitId,
    policy::Rules,
    settings::Level,
    text::Slug,
    units::{
        ArchiveUnit, CreateUnit, MoveUnit, SetUnitPolicies, SetUnitSettings, UnitDetails, Units, UnitsCommand,
        UpdateUnit,
    },
};

use crate::{
    App, Error, Outcome, Request,
    execute::{Presence, Task},
    policies::PoliciesInput,
    streams::Now,
};

/// A unit's own data, as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitInput {
    pub slug: String,
    pub full_name: String,
    pub description: String,
    pub address: Option<String>,
}

impl UnitInput {
    fn details(&self) -> Result<UnitDetails, Error> {
        Ok(UnitDetails {
            slug: Slug::try_new(&self.slug).map_err(Error::rejected)?,
            full_name: self.full_name.clone(),
            description: self.description.clone(),
            address: self.address.clone(),
        })
    }
}

/// What is asked of a unit: its ancestors' roles hold for it.
/// Without one: of the top of the tree.
pub fn unit_resource(organization: OrganizationId, unit: Option<UnitId>) -> Resource {
    Resource {
        kind: ResourceKind::Unit,
        organization: Some(organization),
        unit,
        id: unit.map_or_else(|| organization.to_string(), |unit| unit.to_string()),
        ..Resource::default()
    }
}

impl App {
    async fn begin_units<'a>(
        &'a self,
        request: &'a Request,
        operation: Operation,
        unit: Option<UnitId>,
    ) -> Result<Task<'a, Units>, Error> {
        let organization = request.organization()?;
        // A tree without a unit has no stream yet.
        self.begin::<Units>(request, Some(organization), organization, operation, Presence::Optional, move |_| {
            unit_resource(organization, unit)
        })
        .await
    }

    /// Makes a unit below `parent`, or at the top.
    pub async fn create_unit(
        &self,
        request: &Request,
        parent: Option<UnitId>,
        input: &UnitInput,
    ) -> Result<(UnitId, Outcome<Units>), Error> {
        let unit = UnitId(self.id_for(request, "unit"));
        let task = self.begin_units(request, Operation::CreateUnit, parent).await?;
        let command = CreateUnit { unit, parent, details: input.details()? };
        Ok((unit, self.finish_grant(task, &command.into()).await?))
    }

    pub async fn update_unit(
        &self,
        request: &Request,
        unit: UnitId,
        input: &UnitInput,
    ) -> Result<Outcome<Units>, Error> {
        let task = self.begin_units(request, Operation::UpdateUnit, Some(unit)).await?;
        task.finish(&UpdateUnit { unit, details: input.details()? }.into()).await
    }

    /// Moving takes rights at both ends: a unit's admin can't hang it below someone else's.
    pub async fn move_unit(
        &self,
        request: &Request,
        unit: UnitId,
        parent: Option<UnitId>,
    ) -> Result<Outcome<Units>, Error> {
        let organization = request.organization()?;
        if let Some(outcome) = self.answered::<Units>(request, organization, organization, Operation::MoveUnit)? {
            return Ok(outcome);
        }
        self.authorise(request, Operation::MoveUnit, &unit_resource(organization, parent)).await?;
        let task = self.begin_units(request, Operation::MoveUnit, Some(unit)).await?;
        self.finish_grant(task, &MoveUnit { unit, parent }.into()).await
    }

    pub async fn archive_unit(&self, request: &Request, unit: UnitId) -> Result<Outcome<Units>, Error> {
        let organization = request.organization()?;
        let task = self.begin_units(request, Operation::ArchiveUnit, Some(unit)).await?;
        self.all_known().await?;
        let has_rooms = self.lookups.has_living_rooms(organization, unit)?;
        self.finish_grant(task, &ArchiveUnit { unit, has_rooms }.into()).await
    }

    pub async fn set_unit_settings(
        &self,
        request: &Request,
        unit: UnitId,
        settings: Level,
    ) -> Result<Outcome<Units>, Error> {
        let task = self.begin_units(request, Operation::SetUnitSettings, Some(unit)).await?;
        let organization_locked = self.own_organization(request)?.settings.locked;
        let command: UnitsCommand = SetUnitSettings { unit, settings, organization_locked }.into();
        task.finish(&command).await
    }

    pub async fn set_unit_policies(
        &self,
        request: &Request,
        unit: UnitId,
        policies: PoliciesInput,
    ) -> Result<Outcome<Units>, Error> {
        let operation = Operation::SetUnitPolicies;
        let organization = request.organization()?;
        if let Some(outcome) = self.answered::<Units>(request, organization, organization, operation)? {
            return Ok(outcome);
        }
        if policies.has_new_password() {
            let resource = unit_resource(organization, Some(unit));
            self.authorise(request, operation, &resource).await?;
        }
        let hashed = self.hash_passwords(&unit.to_string(), policies).await?;
        let task = self.begin_units(request, operation, Some(unit)).await?;
        let organization_floor: Rules = self.own_organization(request)?.policies.floor;
        let before = task.state().policies(unit).pop().map(|(_, own)| own.clone()).unwrap_or_default();
        let policies = hashed.over(&before)?;
        let command: UnitsCommand = SetUnitPolicies { unit, policies, organization_floor }.into();
        self.finish_grant(task, &command).await
    }

    fn own_organization(&self, request: &Request) -> Result<witan_domain::organization::OrganizationFacts, Error> {
        let state = self.organization_state(request.organization()?)?;
        Ok(state.facts().map_err(Error::rejected)?.clone())
    }

    /// The unit tree as its stream tells it now.
    pub(crate) fn units_state(&self, organization: OrganizationId) -> Result<Now<Units>, Error> {
        let stream = Units::stream(organization);
        self.load_own::<Units>(Some(organization), &stream).map(Now)
    }
}
