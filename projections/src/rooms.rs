//! Rooms, with the settings and policies in force in them, and invitations.

use std::sync::Arc;

use witan_domain::{
    InvitationId, OrganizationId, RoomId, UnitId,
    event::Event,
    invitation::{Invitation, InvitationEvent, InvitationState},
    policy::{self, EffectivePolicies},
    room::{Room, RoomCreated, RoomEvent, RoomFacts, RoomKind, RoomState},
    settings::{self, EffectiveSettings},
};
use witan_event_store::{Position, Recorded};

use crate::{
    Batch, Database, Key, Lines, Listed, Page, Projection, ProjectionError, ReadModels, Row, Table, models::stream_of,
    row::fold,
};

const ROOMS: &str = "rooms";
const ROOMS_BY_CREATION: &str = "rooms_by_creation";
const ROOMS_BY_UNIT: &str = "rooms_by_unit";
const HIDDEN_ROOMS: &str = "hidden_rooms";
const INVITATIONS: &str = "invitations";
const INVITATIONS_BY_ROOM: &str = "invitations_by_room";
pub(crate) const INVITATIONS_WAITED_BY: &str = "invitations_waited_by";

pub(crate) const TABLES: &[&str] =
    &[ROOMS, ROOMS_BY_CREATION, ROOMS_BY_UNIT, HIDDEN_ROOMS, INVITATIONS, INVITATIONS_BY_ROOM, INVITATIONS_WAITED_BY];

pub type RoomRow = Row<RoomState>;
pub type InvitationRow = Row<InvitationState>;

pub struct Rooms {
    rows: Table<RoomRow>,
    by_creation: Lines<RoomId>,
    by_unit: Lines<RoomId>,
    /// Those of ad-hoc sessions that are not archived yet: shown in no list, and in the way of archiving their unit.
    hidden: Table<RoomId>,
}

impl Rooms {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), ROOMS),
            by_creation: Lines::new(Arc::clone(db), ROOMS_BY_CREATION),
            by_unit: Lines::new(Arc::clone(db), ROOMS_BY_UNIT),
            hidden: Table::new(Arc::clone(db), HIDDEN_ROOMS),
        }
    }

    fn index(&mut self, created: &RoomCreated, at: Position, room: RoomId) -> Result<(), ProjectionError> {
        let of_unit = Key::of(created.organization).id(created.unit.0);
        match created.kind {
            RoomKind::Lasting => {
                self.by_creation.put(Key::of(created.organization).number(at.0), &room)?;
                self.by_unit.put(of_unit.number(at.0), &room)
            }
            RoomKind::AdHoc => {
                self.hidden.put(of_unit.id(room.0), room);
                Ok(())
            }
        }
    }

    fn forget_hidden(&mut self, key: &Key, organization: OrganizationId, room: RoomId) -> Result<(), ProjectionError> {
        let unit = match self.rows.find(key)?.map(|row| &row.state) {
            Some(RoomState::Present(facts)) if facts.kind == RoomKind::AdHoc => facts.unit,
            Some(RoomState::Present(_) | RoomState::Absent) | None => return Ok(()),
        };
        self.hidden.delete(Key::of(organization).id(unit.0).id(room.0));
        Ok(())
    }
}

impl Projection for Rooms {
    fn name(&self) -> &'static str {
        ROOMS
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static [&'static str] {
        &[ROOMS, ROOMS_BY_CREATION, ROOMS_BY_UNIT, HIDDEN_ROOMS]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Room(event) = event else { return Ok(()) };
        let (organization, room) = stream_of::<RoomId>(recorded)?;
        let key = Key::of(organization).id(room.0);
        fold::<Room>(&mut self.rows, &key, event, recorded)?;
        match event {
            RoomEvent::RoomCreated(created) => self.index(created, recorded.position, room),
            RoomEvent::RoomArchived(_) => self.forget_hidden(&key, organization, room),
            RoomEvent::RoomUpdated(_)
            | RoomEvent::RoomSettingsSet(_)
            | RoomEvent::RoomPoliciesSet(_)
            | RoomEvent::RoomPersonAdded(_)
            | RoomEvent::RoomPersonRemoved(_)
            | RoomEvent::RoomDisabled(_)
            | RoomEvent::RoomEnabled(_)
            | RoomEvent::SessionOpened(_)
            | RoomEvent::SessionReleased(_) => Ok(()),
        }
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_creation.write(batch)?;
        self.by_unit.write(batch)?;
        self.hidden.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_creation.reset();
        self.by_unit.reset();
        self.hidden.reset();
    }
}

pub struct Invitations {
    rows: Table<InvitationRow>,
    by_room: Lines<InvitationId>,
    /// Those whose invitee waits at the desk.
    waited_by: Table<InvitationId>,
}

impl Invitations {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), INVITATIONS),
            by_room: Lines::new(Arc::clone(db), INVITATIONS_BY_ROOM),
            waited_by: Table::new(Arc::clone(db), INVITATIONS_WAITED_BY),
        }
    }
}

impl Invitations {
    fn waits(&mut self, key: &Key) -> Result<bool, ProjectionError> {
        Ok(self.rows.find(key)?.is_some_and(|row| row.state.waiting().is_some()))
    }
}

impl Projection for Invitations {
    fn name(&self) -> &'static str {
        INVITATIONS
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static [&'static str] {
        &[INVITATIONS, INVITATIONS_BY_ROOM, INVITATIONS_WAITED_BY]
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Invitation(event) = event else { return Ok(()) };
        let (organization, invitation) = stream_of::<InvitationId>(recorded)?;
        let key = Key::of(organization).id(invitation.0);
        let waited = self.waits(&key)?;
        fold::<Invitation>(&mut self.rows, &key, event, recorded)?;
        match (waited, self.waits(&key)?) {
            (false, true) => self.waited_by.put(key, invitation),
            (true, false) => self.waited_by.delete(key),
            (true, true) | (false, false) => {}
        }
        if let InvitationEvent::InvitationCreated(created) = event {
            self.by_room.put(Key::of(organization).id(created.room.0).number(recorded.position.0), &invitation)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_room.write(batch)?;
        self.waited_by.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_room.reset();
        self.waited_by.reset();
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

    /// Rooms in the order they were made: all, or those of one unit (not of the units below it). Without hidden ones.
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

    /// Whether a hidden room of the unit is not archived yet.
    pub(crate) fn has_hidden_rooms(&self, organization: OrganizationId, unit: UnitId) -> Result<bool, ProjectionError> {
        let prefix = Key::of(organization).id(unit.0);
        Ok(!self.rows(HIDDEN_ROOMS).list::<RoomId>(&prefix, None, false, 1)?.is_empty())
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
