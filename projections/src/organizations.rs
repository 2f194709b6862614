//! Organizations and their unit trees: one row each for an organization.

use std::sync::Arc;

use witan_domain::{
    OrganizationId,
    event::Event,
    organization::{Organization, OrganizationState},
    units::{Units, UnitsState},
};
use witan_event_store::Recorded;

use crate::{
    Batch, Database, Key, Listed, Page, Projection, ProjectionError, ReadModels, Row, Table, models::stream_of,
    row::fold,
};

const ORGANIZATIONS: &str = "organizations";
const UNITS: &str = "units";

pub(crate) const TABLES: &[&str] = &[ORGANIZATIONS, UNITS];

pub type OrganizationRow = Row<OrganizationState>;
/// The whole tree, with archived units.
pub type UnitsRow = Row<UnitsState>;

pub struct Organizations {
    rows: Table<OrganizationRow>,
}

impl Organizations {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Table::new(Arc::clone(db), ORGANIZATIONS) }
    }
}

impl Projection for Organizations {
    fn name(&self) -> &'static str {
        ORGANIZATIONS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ORGANIZATIONS]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Organization(event) = event else { return Ok(()) };
        let (organization, _) = stream_of::<OrganizationId>(recorded)?;
        fold::<Organization>(&mut self.rows, &Key::of(organization), event, recorded).map(|_| ())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
    }
}

pub struct UnitTrees {
    rows: Table<UnitsRow>,
}

impl UnitTrees {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Table::new(Arc::clone(db), UNITS) }
    }
}

impl Projection for UnitTrees {
    fn name(&self) -> &'static str {
        UNITS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[UNITS]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Units(event) = event else { return Ok(()) };
        let (organization, _) = stream_of::<OrganizationId>(recorded)?;
        fold::<Units>(&mut self.rows, &Key::of(organization), event, recorded).map(|_| ())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
    }
}

impl ReadModels {
    pub fn find_organization(
        &self,
        organization: OrganizationId,
    ) -> Result<Option<Arc<OrganizationRow>>, ProjectionError> {
        self.rows(ORGANIZATIONS).find(Key::of(organization))
    }

    /// For the operator alone: all organizations, in the order of their ids.
    pub fn list_organizations(&self, page: &Page) -> Result<Listed<OrganizationRow>, ProjectionError> {
        self.list(ORGANIZATIONS, &Key::nothing(), page, |row: OrganizationRow| Ok(Some(row)))
    }

    /// The organization's unit tree, with archived units; none when it has no units yet.
    pub fn find_units(&self, organization: OrganizationId) -> Result<Option<Arc<UnitsRow>>, ProjectionError> {
        self.rows(UNITS).find(Key::of(organization))
    }
}
