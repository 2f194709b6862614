//! Rooms, with the settings and policies in force in them, and invitations.

use std::sync::Arc;

use witan_domain::{
    InvitationId, OrganizationId, RoomId, UnitId,
    event::Event,
    invitation::{Invitation, InvitationEvent, InvitationState},
    policy::{self, EffectivePolicies},
    room::{Room, RoomEvent, RoomFacts, RoomState},
    settings::{self, EffectiveSettings},
};
use witan_event_store::Recorded;

use crate::{
    Batch, Database, Key, Lines, Listed, Page, Projection, ProjectionError, ReadModels, Row, Table, models::stream_of,
    row::fold,
};

const ROOMS: &str = "rooms";
const ROOMS_BY_CREATION: &str = "rooms_by_creation";
const ROOMS_BY_UNIT: &str = "rooms_by_unit";
const INVITATIONS: &str = "invitations";
const INVITATIONS_BY_ROOM: &str = "invitations_by_room";

pub(crate) const TABLES: &[&str] = &[ROOMS, ROOMS_BY_CREATION, ROOMS_BY_UNIT, INVITATIONS, INVITATIONS_BY_ROOM];

pub type RoomRow = Row<RoomState>;
pub type InvitationRow = Row<InvitationState>;

pub struct Rooms {
    rows: Table<RoomRow>,
    by_creation: Lines<RoomId>,
    by_unit: Lines<RoomId>,
}

impl Rooms {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), ROOMS),
            by_creation: Lines::new(Arc::clone(db), ROOMS_BY_CREATION),
            by_unit: Lines::new(Arc::clone(db), ROOMS_BY_UNIT),
        }
    }
}

impl Projection for Rooms {
    fn name(&self) -> &'static str {
        ROOMS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ROOMS, ROOMS_BY_CREATION, ROOMS_BY_UNIT]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Room(event) = event else { return Ok(()) };
        let (organization, room) = stream_of::<RoomId>(recorded)?;
        fold::<Room>(&mut self.rows, &Key::of(organization).id(room.0), event, recorded)?;
        if let RoomEvent::RoomCreated(created) = event {
            self.by_creation.put(Key::of(organization).number(recorded.position.0), &room)?;
            self.by_unit.put(Key::of(organization).id(created.unit.0).number(recorded.position.0), &room)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_creation.write(batch)?;
        self.by_unit.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_creation.reset();
        self.by_unit.reset();
    }
}

pub struct Invitations {
    rows: Table<InvitationRow>,
    by_room: Lines<InvitationId>,
}

impl Invitations {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Table::new(Arc::clone(db), INVITATIONS), by_room: Lines::new(Arc::clone(db), INVITATIONS_BY_ROOM) }
    }
}

impl Projection for Invitations {
    fn name(&self) -> &'static str {
        INVITATIONS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &[INVITATIONS, INVITATIONS_BY_ROOM]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Invitation(event) = event else { return Ok(()) };
        let (organization, invitation) = stream_of::<InvitationId>(recorded)?;
        fold::<Invitation>(&mut self.rows, &Key::of(organization).id(invitation.0), event, recorded)?;
        if let InvitationEvent::InvitationCreated(created) = event {
            self.by_room.put(Key::of(organization).id(created.room.0).number(recorded.position.0), &invitation)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_room.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_room.reset();
    }
}

impl ReadModels {
    pub fn find_room(
        &self,
        organization: OrganizationId,
        room: RoomId,
    ) -> Result<Option<Arc<RoomRow>>, ProjectionError> {
        self.rows(ROOMS).find(Key::of(organization).id(room.0))
    }

    /// Rooms in the order they were made: all, or those of one unit (not of the units below it).
    pub fn list_rooms(
        &self,
        organization: OrganizationId,
        unit: Option<UnitId>,
        page: &Page,
    ) -> Result<Listed<Arc<RoomRow>>, ProjectionError> {
        let (table, prefix) = match unit {
            None => (ROOMS_BY_CREATION, Key::of(organization)),
            Some(unit) => (ROOMS_BY_UNIT, Key::of(organization).id(unit.0)),
        };
        self.list(table, &prefix, page, |room: RoomId| self.find_room(organization, room))
    }

    /// The settings in force in a room, each with the level that it comes from.
    pub fn room_settings(&self, room: &RoomFacts) -> Result<EffectiveSettings, ProjectionError> {
        let organization = self.find_organization(room.organization)?;
        let level = organization.as_ref().and_then(|row| row.state.facts().ok()).map(|facts| &facts.settings);
        let units = self.find_units(room.organization)?;
        let of_units = units.as_ref().map(|row| row.state.settings(room.unit)).unwrap_or_default();
        Ok(settings::resolve(room.details.purpose, level.unwrap_or(&Default::default()), &of_units, &room.settings))
    }

    /// The policies in force in a room, each with the level that it comes from.
    pub fn room_policies(&self, room: &RoomFacts) -> Result<EffectivePolicies, ProjectionError> {
        let organization = self.find_organization(room.organization)?;
        let level = organization.as_ref().and_then(|row| row.state.facts().ok()).map(|facts| &facts.policies);
        let units = self.find_units(room.organization)?;
        let of_units = units.as_ref().map(|row| row.state.policies(room.unit)).unwrap_or_default();
        Ok(policy::resolve(room.details.purpose, level.unwrap_or(&Default::default()), &of_units, &room.policies))
    }

    pub fn find_invitation(
        &self,
        organization: OrganizationId,
        invitation: InvitationId,
    ) -> Result<Option<Arc<InvitationRow>>, ProjectionError> {
        self.rows(INVITATIONS).find(Key::of(organization).id(invitation.0))
    }

    pub fn list_invitations(
        &self,
        organization: OrganizationId,
        room: RoomId,
        page: &Page,
    ) -> Result<Listed<Arc<InvitationRow>>, ProjectionError> {
        let prefix = Key::of(organization).id(room.0);
        self.list(INVITATIONS_BY_ROOM, &prefix, page, |invitation: InvitationId| {
            self.find_invitation(organization, invitation)
        })
    }
}
