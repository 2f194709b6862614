//! Units, the tree below an organization: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object};
use witan_app::{
    Error, Outcome, Request,
    history::organization_resource,
    units::{UnitInput, unit_resource},
};
use witan_auth::Operation;
use witan_domain::{
    UnitId,
    units::{Unit as DomainUnit, UnitStatus as DomainUnitStatus, Units},
};
use witan_projections::{Listed, Page, organizations::UnitsRow};

use crate::{
    call::{Call, id, stored},
    connection::{PageInput, connection, edges, visible},
    mutation::{inputs, patch, patched, payloads},
    policies::{LevelPolicies, LevelPoliciesInput},
    refusal,
    room::RoomConnection,
    scalars::{IntoId, Position},
    settings::{LevelSettings, LevelSettingsInput},
};

/// Whether a unit is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainUnitStatus")]
pub enum UnitStatus {
    /// In use.
    Living,
    /// Out of use, for good.
    Archived,
}

/// A team or a department.
#[derive(Clone)]
pub struct Unit {
    unit: UnitId,
    /// All units of the organization: a unit is read with those above and below it.
    tree: Arc<UnitsRow>,
}

connection!(
    /// A page of units.
    UnitConnection,
    UnitEdge,
    Unit
);

impl Unit {
    /// The unit, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(tree) = stored(call.models().find_units(organization))? else { return Ok(None) };
        if !tree.state.units.contains_key(&unit) {
            return Ok(None);
        }
        call.authorise(Operation::ReadUnit, &unit_resource(organization, Some(unit))).await?;
        Ok(Some(Self { unit, tree }))
    }

    /// The unit, or none where the caller may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<Option<Self>> {
        let Some(tree) = stored(call.models().find_units(call.organization()?))? else { return Ok(None) };
        Self::in_tree(call, unit, &tree).await
    }

    async fn in_tree(call: &Call<'_>, unit: UnitId, tree: &Arc<UnitsRow>) -> async_graphql::Result<Option<Self>> {
        let there = tree.state.units.contains_key(&unit);
        let resource = unit_resource(call.organization()?, Some(unit));
        let readable = there && call.allows(Operation::ReadUnit, &resource).await;
        Ok(readable.then(|| Self { unit, tree: Arc::clone(tree) }))
    }

    fn facts(&self) -> async_graphql::Result<&DomainUnit> {
        let found = self.tree.state.units.get(&self.unit);
        found.ok_or_else(|| refusal("NOT_FOUND", "There is no unit with this id."))
    }
}

pub fn is_living(unit: &DomainUnit) -> bool {
    unit.status == DomainUnitStatus::Living
}

/// A page of the units that the caller may read. The order of their ids is that in which they were made.
pub async fn list_units(
    call: &Call<'_>,
    tree: Option<Arc<UnitsRow>>,
    page: &Page,
    wanted: impl Fn(&DomainUnit) -> bool,
) -> async_graphql::Result<UnitConnection> {
    let organization = call.organization()?;
    call.authorise(Operation::ListUnits, &organization_resource(organization)).await?;
    let listed = match &tree {
        None => Listed { rows: Vec::new(), more: false },
        Some(tree) => {
            let units = tree.state.units.iter().filter(|(_, unit)| wanted(unit));
            let listed = page_of(units.map(|(unit, _)| *unit), page);
            let nodes = listed.rows.into_iter();
            let rows = nodes.map(|(cursor, unit)| (cursor, Unit { unit, tree: Arc::clone(tree) })).collect();
            Listed { rows, more: listed.more }
        }
    };
    let listed = visible(call, listed, Operation::ReadUnit, |node| unit_resource(organization, Some(node.unit))).await;
    let (edges, page_info) = edges(listed, page, |node| node, |cursor, node| UnitEdge { cursor, node });
    Ok(UnitConnection { edges, page_info })
}

/// A page of ids in their order, as the read models' lists give it.
fn page_of(units: impl DoubleEndedIterator<Item = UnitId>, page: &Page) -> Listed<UnitId> {
    let cursor = |unit: UnitId| unit.0.to_be_bytes().to_vec();
    let units: Vec<UnitId> = if page.backward { units.rev().collect() } else { units.collect() };
    let beyond = |unit: &UnitId| {
        let Some(after) = page.after.as_deref() else { return true };
        let place = unit.0.to_be_bytes();
        if page.backward { &place[..] < after } else { &place[..] > after }
    };
    let mut rows: Vec<_> = units.into_iter().filter(beyond).take(page.rows_max + 1).collect();
    let more = rows.len() > page.rows_max;
    rows.truncate(page.rows_max);
    Listed { rows: rows.into_iter().map(|unit| (cursor(unit), unit)).collect(), more }
}

/// A team or a department.
#[Object]
impl Unit {
    /// The unit's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.unit.into_id())
    }

    /// Its part of a URL, unique among the living units of the same parent.
    async fn slug(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.slug.to_string())
    }

    /// What it is called in full.
    async fn full_name(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.full_name.clone())
    }

    /// What it is for.
    async fn description(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.description.clone())
    }

    /// Where it is.
    async fn address(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.details.address.clone())
    }

    /// Whether it is in use.
    async fn status(&self) -> async_graphql::Result<UnitStatus> {
        Ok(self.facts()?.status.into())
    }

    /// The unit that it is part of; null at the top of the tree.
    async fn parent(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Unit>> {
        let Some(parent) = self.facts()?.parent else { return Ok(None) };
        Unit::in_tree(&Call::query(ctx)?, parent, &self.tree).await
    }

    /// The units above it and itself, from the top of the tree down: at most 8.
    async fn path(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Unit>> {
        let call = Call::query(ctx)?;
        let mut path = Vec::new();
        for unit in self.tree.state.path(self.unit) {
            path.extend(Unit::in_tree(&call, unit, &self.tree).await?);
        }
        Ok(path)
    }

    /// The units right below it, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn children(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Archived units too.", default)] archived: bool,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<UnitConnection>> {
        let page = PageInput::new(first, after, last, before).page()?;
        let wanted = |unit: &DomainUnit| unit.parent == Some(self.unit) && (archived || is_living(unit));
        list_units(&Call::query(ctx)?, Some(Arc::clone(&self.tree)), &page, wanted).await.map(Some)
    }

    /// Its rooms (not those of the units below it) that the caller may read, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn rooms(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<RoomConnection>> {
        let call = Call::query(ctx)?;
        crate::room::list_rooms(&call, Some(self.unit), &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// What it says of the settings of its rooms and of those of the units below it.
    async fn settings(&self) -> async_graphql::Result<LevelSettings> {
        Ok((&self.facts()?.settings).into())
    }

    /// What it says of the policies of its rooms and of those of the units below it.
    async fn policies(&self) -> async_graphql::Result<LevelPolicies> {
        Ok((&self.facts()?.policies).into())
    }

    /// The version of the organization's whole tree of units, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.tree.version
    }
}

inputs! {
    /// Makes a unit.
    new CreateUnitInput {
        /// The unit that it is part of; absent for one at the top of the tree, which is at most 8 deep.
        parent_id: Option<ID>,
        /// Its part of a URL, unique among the living units of the same parent: 1 to 63 lower-case ASCII letters, digits
        /// and `-` between them.
        slug: String,
        /// What it is called in full: 1 to 200 characters.
        full_name: String,
        /// What it is for: at most 2,000 characters.
        #[graphql(default)]
        description: String,
        /// Where it is: at most 500 characters.
        address: Option<String>,
    }
    /// Changes what a unit says of itself. What is absent stays; null takes away what may be missing.
    change UpdateUnitInput {
        /// The unit.
        unit_id: ID,
        /// Its part of a URL, unique among the living units of the same parent: 1 to 63 lower-case ASCII letters, digits
        /// and `-` between them.
        slug: Option<String>,
        /// What it is called in full: 1 to 200 characters.
        full_name: Option<String>,
        /// What it is for: at most 2,000 characters.
        description: Option<String>,
        /// Where it is: at most 500 characters.
        address: MaybeUndefined<String>,
    }
    /// Takes a unit, with all below it, to another place in the tree.
    change MoveUnitInput {
        /// The unit.
        unit_id: ID,
        /// The unit that it is to be part of; absent for the top of the tree.
        parent_id: Option<ID>,
    }
    /// Takes a unit out of use, for good. It may have no units and no rooms left.
    change ArchiveUnitInput {
        /// The unit.
        unit_id: ID,
    }
    /// Says anew what holds in the rooms of a unit and of those below it.
    change SetUnitSettingsInput {
        /// The unit.
        unit_id: ID,
        /// The settings, in place of all that the unit said before.
        settings: LevelSettingsInput,
    }
    /// Says anew who may do what in the rooms of a unit and of those below it.
    change SetUnitPoliciesInput {
        /// The unit.
        unit_id: ID,
        /// The policies, in place of all that the unit said before.
        policies: LevelPoliciesInput,
    }
}

payloads! {
    /// What a mutation of a unit answers.
    UnitPayload {
        /// The unit after it; null when nothing was done, or it may not be read.
        unit: Unit,
    }
}

/// Queries of units.
#[derive(Default)]
pub struct UnitQuery;

#[Object]
impl UnitQuery {
    /// A unit of the caller's organization; null when there is none with this id.
    async fn unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The unit's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Unit>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        Unit::find(&call, crate::call::id("id", &id)?).await
    }
}

/// Mutations of units.
#[derive(Default)]
pub struct UnitMutation;

#[Object]
impl UnitMutation {
    /// Makes a unit below another one, or at the top of the tree.
    async fn create_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let parent = input.parent_id.as_ref().map(|parent| id("parentId", parent)).transpose()?;
        let CreateUnitInput { slug, full_name, description, address, .. } = input;
        let details = UnitInput { slug, full_name, description, address };
        let result = call.app().create_unit(&call.request, parent, &details).await;
        let (created, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let unit = match created {
            Some((unit, _)) => Unit::readable(&call, unit).await?,
            None => None,
        };
        Ok(UnitPayload::new(unit, told))
    }

    /// Changes what a unit says of itself.
    async fn update_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and what is to change.")] input: UpdateUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let (organization, operation) = (call.organization()?, Operation::UpdateUnit);
        // A retry is answered, whatever its user may do by now.
        let answered = call.app().answered::<Units>(&call.request, organization, organization, operation);
        if let Some(outcome) = answered.transpose() {
            return unit_payload(&call, unit, outcome).await;
        }
        // Before what is there is looked at for the patch.
        call.authorise(operation, &unit_resource(organization, Some(unit))).await?;
        let app = call.app();
        let patch = || patched_unit(&call, unit, &input);
        let apply = |request: Request, input| async move { app.update_unit(&request, unit, &input).await };
        unit_payload(&call, unit, patched(&call, patch, apply).await).await
    }

    /// Takes a unit, with all below it, to another place in the tree.
    async fn move_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and where to.")] input: MoveUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let parent = input.parent_id.as_ref().map(|parent| id("parentId", parent)).transpose()?;
        unit_payload(&call, unit, call.app().move_unit(&call.request, unit, parent).await).await
    }

    /// Takes a unit out of use, for good.
    async fn archive_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit.")] input: ArchiveUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        unit_payload(&call, unit, call.app().archive_unit(&call.request, unit).await).await
    }

    /// Says anew what holds in the rooms of a unit, and what the levels below may not change.
    async fn set_unit_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and the settings.")] input: SetUnitSettingsInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let settings = input.settings.into_domain()?;
        unit_payload(&call, unit, call.app().set_unit_settings(&call.request, unit, settings).await).await
    }

    /// Says anew who may do what in the rooms of a unit, and the floors for the levels below.
    async fn set_unit_policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and the policies.")] input: SetUnitPoliciesInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let policies = input.policies.into_app()?;
        unit_payload(&call, unit, call.app().set_unit_policies(&call.request, unit, policies).await).await
    }
}

fn patched_unit(call: &Call<'_>, unit: UnitId, input: &UpdateUnitInput) -> Result<(UnitInput, Option<u64>), Error> {
    let organization = call.request.organization()?;
    let (state, version) = call.app().current::<Units>(organization, organization)?;
    let now = state.units.get(&unit).ok_or(Error::NotFound { what: "unit" })?.details.clone();
    let input = UnitInput {
        slug: input.slug.clone().unwrap_or_else(|| now.slug.to_string()),
        full_name: input.full_name.clone().unwrap_or(now.full_name),
        description: input.description.clone().unwrap_or(now.description),
        address: patch(input.address.clone(), now.address),
    };
    Ok((input, version))
}

async fn unit_payload(
    call: &Call<'_>,
    unit: UnitId,
    result: Result<Outcome<Units>, Error>,
) -> async_graphql::Result<UnitPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let unit = match done {
        Some(_) => Unit::readable(call, unit).await?,
        None => None,
    };
    Ok(UnitPayload::new(unit, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Page) -> (Vec<u128>, bool) {
        let listed = page_of([1, 2, 3, 300].into_iter().map(UnitId), page);
        for (cursor, unit) in &listed.rows {
            assert_eq!(cursor, &unit.0.to_be_bytes());
        }
        (listed.rows.into_iter().map(|(_, unit)| unit.0).collect(), listed.more)
    }

    #[test]
    fn units_page_like_the_lists_of_the_read_models() {
        let after = |id: u128| Some(id.to_be_bytes().to_vec());
        assert_eq!(ids(&Page { rows_max: 3, backward: false, after: None }), (vec![1, 2, 3], true));
        assert_eq!(ids(&Page { rows_max: 3, backward: false, after: after(3) }), (vec![300], false));
        assert_eq!(ids(&Page { rows_max: 2, backward: true, after: None }), (vec![300, 3], true));
        assert_eq!(ids(&Page { rows_max: 2, backward: true, after: after(3) }), (vec![2, 1], false));
        assert_eq!(ids(&Page { rows_max: 2, backward: false, after: after(300) }), (vec![], false));
    }
}
