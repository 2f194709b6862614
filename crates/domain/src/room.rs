//! A lasting place for sessions. It knows its live session, so that it never has two.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, OrganizationId, Private, RoomId, SessionId, SessionRole, Timestamp, UnitId, UserId,
    aggregate::Rejection,
    commands, events,
    policy::{PolicyLevel, PolicyRejection, Rules},
    session::Opener,
    settings::{EffectiveSettings, Level, Purpose, SettingName, SettingRejection},
    text::{self, Invalid, Slug},
};

mod ad_hoc;

pub use ad_hoc::ad_hoc_slug;

pub const PEOPLE_MAX: usize = 500;

// Commands.

commands! {
    /// What one may ask of a room.
    pub enum RoomCommand {
        CreateRoom,
        UpdateRoom,
        SetRoomSettings,
        SetRoomPolicies,
        AddRoomPerson,
        RemoveRoomPerson,
        DisableRoom,
        EnableRoom,
        ArchiveRoom,
        OpenSession,
        OpenAdHocSession,
        ReleaseSession,
    }
}

/// The first command of the stream. The slug is reserved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRoom {
    pub organization: OrganizationId,
    pub room: RoomId,
    pub unit: UnitId,
    /// Whether the unit is a living one of this organization.
    pub unit_living: bool,
    pub details: RoomDetails,
    /// Whether the owner is an active user of this organization.
    pub owner_active: bool,
}

/// New details in place of the old; what is to stay comes along unchanged. A new slug is reserved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRoom {
    pub details: RoomDetails,
    /// Whether the owner is an active user of this organization.
    pub owner_active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRoomSettings {
    pub settings: Level,
    /// What the levels above lock.
    pub locked_above: BTreeSet<SettingName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRoomPolicies {
    pub policies: PolicyLevel,
    /// The floors of all levels above, met.
    pub floor_above: Rules,
}

/// Names a user for a role in the room's sessions, or for another role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddRoomPerson {
    pub user: UserId,
    pub role: SessionRole,
    /// Whether they are an active user of this organization.
    pub user_active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveRoomPerson {
    pub user: UserId,
}

/// Takes the room out of use; a live session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisableRoom {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnableRoom {}

/// Takes the room out of use for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRoom {}

/// Starts a session. Whether the opener may is asked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    pub session: SessionId,
    /// Whether the organization is active: a suspension stops new sessions.
    pub organization_active: bool,
    /// The settings of the session, with what the opener chose.
    pub settings: EffectiveSettings,
    pub opened_by: Opener,
    /// The record that the session belongs to (a patient's file, say).
    pub record: Option<Private>,
    /// The closed session of this room that it continues.
    pub continues: Option<SessionId>,
    pub now: Timestamp,
}

/// Makes a hidden room for one session and starts that session: the first command of the stream, in place of [`CreateRoom`].
/// One append, so there is never a hidden room without its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAdHocSession {
    pub create: Box<CreateRoom>,
    pub open: Box<OpenSession>,
}

/// Lets go of a session that has ended. A room that was made for that session is archived with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSession {
    pub session: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    Lasting,
    /// Hidden: in no list. Made for one ad-hoc session of a unit, and archived when that has ended.
    AdHoc,
}

/// What a room says of itself. None of it is personal: it is about a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDetails {
    pub name: String,
    /// Unique among the rooms of the unit.
    pub slug: Slug,
    pub description: String,
    pub purpose: Purpose,
    pub owner: UserId,
    pub logo_url: Option<String>,
    /// Before this no session is opened.
    pub not_before: Option<Timestamp>,
    /// From this on no session is opened.
    pub not_after: Option<Timestamp>,
}

impl RoomDetails {
    fn validate(&self) -> Result<(), Invalid> {
        text::name("name", &self.name)?;
        text::description("description", &self.description)?;
        if let Some(url) = &self.logo_url {
            text::url("logoUrl", url)?;
        }
        if self.not_before.zip(self.not_after).is_some_and(|(opens, closes)| closes <= opens) {
            return Err(Invalid::new("notAfter", "is not after notBefore", "a later time"));
        }
        Ok(())
    }
}

// Events.

/// A room was made, or the hidden room of an ad-hoc session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCreated {
    pub organization: OrganizationId,
    pub room: RoomId,
    pub unit: UnitId,
    pub kind: RoomKind,
    pub details: RoomDetails,
}

/// The room's own data was replaced: all of it stands here, what stayed too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUpdated {
    pub details: RoomDetails,
}

/// The room's level of settings was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSettingsSet {
    pub settings: Level,
}

/// The room's level of policies was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPoliciesSet {
    pub policies: PolicyLevel,
}

/// A user is one of the named people of the room, in this role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPersonAdded {
    pub user: UserId,
    pub role: SessionRole,
}

/// A user is none of the named people of the room any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPersonRemoved {
    pub user: UserId,
}

/// No session is opened in the room; a live one ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDisabled {}

/// Sessions may be opened in the room again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEnabled {}

/// The room is over, for good; its slug is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomArchived {}

/// The room was opened. Holds all that the session's own stream begins with, so that the session is prepared also after
/// a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    pub session: SessionId,
    pub settings: Box<EffectiveSettings>,
    pub opened_by: Opener,
    pub record: Option<Private>,
    pub continues: Option<SessionId>,
}

/// The session has ended: the room has no live session any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReleased {
    pub session: SessionId,
}

events! {
    /// What happens to a room.
    pub enum RoomEvent of "room" {
        RoomCreated,
        RoomUpdated,
        RoomSettingsSet,
        RoomPoliciesSet,
        RoomPersonAdded,
        RoomPersonRemoved,
        RoomDisabled,
        RoomEnabled,
        RoomArchived,
        SessionOpened,
        SessionReleased,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomRejection {
    #[error("there is no such room in this organization")]
    RoomNotFound,
    #[error("this room exists already")]
    RoomAlreadyExists,
    #[error("the room is disabled")]
    RoomDisabled,
    #[error("the room is archived")]
    RoomArchived,
    #[error("the room is not open yet: its time window begins later")]
    RoomTooEarly,
    #[error("the room's time window is over")]
    RoomOver,
    #[error("the room has a live session")]
    SessionLive,
    #[error("a session can't continue itself, nor one that is live")]
    SessionNotClosed,
    #[error("the organization is suspended or closed: no new sessions")]
    OrganizationNotActive,
    #[error("the unit is none of this organization, or archived")]
    UnitNotLiving,
    #[error("they are no active user of the organization")]
    UserNotActive { field: &'static str },
    #[error("a room names at most {PEOPLE_MAX} people")]
    TooManyPeople,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Setting(#[from] SettingRejection),
    #[error(transparent)]
    Policy(#[from] PolicyRejection),
}

impl Rejection for RoomRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::RoomNotFound => "ROOM_NOT_FOUND",
            Self::RoomAlreadyExists => "ROOM_ALREADY_EXISTS",
            Self::RoomDisabled => "ROOM_DISABLED",
            Self::RoomArchived => "ROOM_ARCHIVED",
            Self::RoomTooEarly => "ROOM_TOO_EARLY",
            Self::RoomOver => "ROOM_OVER",
            Self::SessionLive => "SESSION_LIVE",
            Self::SessionNotClosed => "SESSION_NOT_CLOSED",
            Self::OrganizationNotActive => "ORGANIZATION_NOT_ACTIVE",
            Self::UnitNotLiving => "UNIT_NOT_LIVING",
            Self::UserNotActive { .. } => "USER_NOT_ACTIVE",
            Self::TooManyPeople => "TOO_MANY_PEOPLE",
            Self::Invalid(invalid) => invalid.code(),
            Self::Setting(setting) => setting.code(),
            Self::Policy(policy) => policy.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::RoomNotFound
            | Self::RoomDisabled
            | Self::RoomArchived
            | Self::RoomTooEarly
            | Self::RoomOver
            | Self::SessionLive => Some("roomId"),
            Self::SessionNotClosed => Some("continuesId"),
            Self::UnitNotLiving => Some("unitId"),
            Self::UserNotActive { field } => Some(field),
            Self::TooManyPeople => Some("userId"),
            Self::RoomAlreadyExists | Self::OrganizationNotActive => None,
            Self::Invalid(invalid) => invalid.field(),
            Self::Setting(setting) => setting.field(),
            Self::Policy(policy) => policy.field(),
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomState {
    #[default]
    Absent,
    Present(Box<RoomFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFacts {
    pub organization: OrganizationId,
    pub room: RoomId,
    pub unit: UnitId,
    pub kind: RoomKind,
    pub details: RoomDetails,
    pub settings: Level,
    pub policies: PolicyLevel,
    /// The named people and their roles.
    pub people: BTreeMap<UserId, SessionRole>,
    pub status: RoomStatus,
    pub live_session: Option<SessionId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomStatus {
    Active,
    Disabled,
    Archived,
}

impl RoomState {
    pub fn facts(&self) -> Result<&RoomFacts, RoomRejection> {
        match self {
            Self::Absent => Err(RoomRejection::RoomNotFound),
            Self::Present(facts) => Ok(facts),
        }
    }

    /// Whether the room exists and is not archived.
    pub fn is_living(&self) -> bool {
        self.living().is_ok()
    }

    fn living(&self) -> Result<&RoomFacts, RoomRejection> {
        let facts = self.facts()?;
        match facts.status {
            RoomStatus::Active | RoomStatus::Disabled => Ok(facts),
            RoomStatus::Archived => Err(RoomRejection::RoomArchived),
        }
    }
}

/// The decider.
pub struct Room;

impl Aggregate for Room {
    type Id = RoomId;
    type Command = RoomCommand;
    type Event = RoomEvent;
    type Rejection = RoomRejection;
    type State = RoomState;
    const CATEGORY: &'static str = "room";

    fn decide(state: &RoomState, command: &RoomCommand) -> Result<Vec<RoomEvent>, RoomRejection> {
        match command {
            RoomCommand::CreateRoom(create) => decide_create(state, create, RoomKind::Lasting),
            RoomCommand::UpdateRoom(update) => decide_update(state.living()?, update),
            RoomCommand::SetRoomSettings(set) => {
                let facts = state.living()?;
                set.settings.check_change(&facts.settings, &set.locked_above)?;
                Ok(unless(facts.settings == set.settings, || RoomSettingsSet { settings: set.settings.clone() }))
            }
            RoomCommand::SetRoomPolicies(set) => {
                let facts = state.living()?;
                set.policies.check_change(&facts.policies, &set.floor_above)?;
                Ok(unless(facts.policies == set.policies, || RoomPoliciesSet { policies: set.policies.clone() }))
            }
            RoomCommand::AddRoomPerson(add) => decide_add_person(state.living()?, add),
            RoomCommand::RemoveRoomPerson(remove) => {
                let named = state.living()?.people.contains_key(&remove.user);
                Ok(unless(!named, || RoomPersonRemoved { user: remove.user }))
            }
            RoomCommand::DisableRoom(_) => {
                Ok(unless(state.living()?.status == RoomStatus::Disabled, || RoomDisabled {}))
            }
            RoomCommand::EnableRoom(_) => Ok(unless(state.living()?.status == RoomStatus::Active, || RoomEnabled {})),
            RoomCommand::ArchiveRoom(_) => {
                let facts = state.facts()?;
                if facts.live_session.is_some() {
                    return Err(RoomRejection::SessionLive);
                }
                Ok(unless(facts.status == RoomStatus::Archived, || RoomArchived {}))
            }
            RoomCommand::OpenSession(open) => decide_open_session(state.living()?, open),
            RoomCommand::OpenAdHocSession(open) => ad_hoc::decide_open(state, open),
            RoomCommand::ReleaseSession(release) => Ok(decide_release(state.facts()?, release)),
        }
    }

    fn evolve(state: RoomState, event: &RoomEvent, _: Timestamp) -> RoomState {
        if let RoomEvent::RoomCreated(created) = event {
            return RoomState::Present(Box::new(RoomFacts {
                organization: created.organization,
                room: created.room,
                unit: created.unit,
                kind: created.kind,
                details: created.details.clone(),
                settings: Level::default(),
                policies: match created.kind {
                    RoomKind::Lasting => PolicyLevel::default(),
                    RoomKind::AdHoc => ad_hoc::hidden(),
                },
                people: BTreeMap::new(),
                status: RoomStatus::Active,
                live_session: None,
            }));
        }
        let RoomState::Present(mut facts) = state else {
            return state;
        };
        match event {
            RoomEvent::RoomCreated(_) => {}
            RoomEvent::RoomUpdated(updated) => facts.details = updated.details.clone(),
            RoomEvent::RoomSettingsSet(set) => facts.settings = set.settings.clone(),
            RoomEvent::RoomPoliciesSet(set) => facts.policies = set.policies.clone(),
            RoomEvent::RoomPersonAdded(added) => {
                facts.people.insert(added.user, added.role);
            }
            RoomEvent::RoomPersonRemoved(removed) => {
                facts.people.remove(&removed.user);
            }
            RoomEvent::RoomDisabled(_) => facts.status = RoomStatus::Disabled,
            RoomEvent::RoomEnabled(_) => facts.status = RoomStatus::Active,
            RoomEvent::RoomArchived(_) => facts.status = RoomStatus::Archived,
            RoomEvent::SessionOpened(opened) => facts.live_session = Some(opened.session),
            RoomEvent::SessionReleased(_) => facts.live_session = None,
        }
        RoomState::Present(facts)
    }
}

/// The event, unless what it says holds already.
fn unless<E: Into<RoomEvent>>(holds: bool, event: impl FnOnce() -> E) -> Vec<RoomEvent> {
    if holds { Vec::new() } else { vec![event().into()] }
}

fn decide_create(state: &RoomState, create: &CreateRoom, kind: RoomKind) -> Result<Vec<RoomEvent>, RoomRejection> {
    if let RoomState::Present(facts) = state {
        let same = facts.unit == create.unit && facts.kind == kind && facts.details == create.details;
        return if same { Ok(Vec::new()) } else { Err(RoomRejection::RoomAlreadyExists) };
    }
    create.details.validate()?;
    if kind == RoomKind::Lasting {
        ad_hoc::check_not_kept(&create.details.slug)?;
    }
    if !create.unit_living {
        return Err(RoomRejection::UnitNotLiving);
    }
    if !create.owner_active {
        return Err(RoomRejection::UserNotActive { field: "ownerId" });
    }
    let created = RoomCreated {
        organization: create.organization,
        room: create.room,
        unit: create.unit,
        kind,
        details: create.details.clone(),
    };
    Ok(vec![created.into()])
}

fn decide_update(facts: &RoomFacts, update: &UpdateRoom) -> Result<Vec<RoomEvent>, RoomRejection> {
    if facts.details == update.details {
        return Ok(Vec::new());
    }
    update.details.validate()?;
    if facts.details.slug != update.details.slug {
        ad_hoc::check_not_kept(&update.details.slug)?;
    }
    // An owner who was deactivated meanwhile doesn't stand in the way of another change.
    if facts.details.owner != update.details.owner && !update.owner_active {
        return Err(RoomRejection::UserNotActive { field: "ownerId" });
    }
    Ok(vec![RoomUpdated { details: update.details.clone() }.into()])
}

fn decide_add_person(facts: &RoomFacts, add: &AddRoomPerson) -> Result<Vec<RoomEvent>, RoomRejection> {
    match facts.people.get(&add.user) {
        Some(role) if *role == add.role => return Ok(Vec::new()),
        None if facts.people.len() >= PEOPLE_MAX => return Err(RoomRejection::TooManyPeople),
        Some(_) | None => {}
    }
    if !add.user_active {
        return Err(RoomRejection::UserNotActive { field: "userId" });
    }
    Ok(vec![RoomPersonAdded { user: add.user, role: add.role }.into()])
}

fn decide_open_session(facts: &RoomFacts, open: &OpenSession) -> Result<Vec<RoomEvent>, RoomRejection> {
    match facts.live_session {
        Some(live) if live == open.session => return Ok(Vec::new()),
        Some(_) => return Err(RoomRejection::SessionLive),
        None => {}
    }
    if !open.organization_active {
        return Err(RoomRejection::OrganizationNotActive);
    }
    if facts.status == RoomStatus::Disabled {
        return Err(RoomRejection::RoomDisabled);
    }
    if facts.details.not_before.is_some_and(|not_before| open.now < not_before) {
        return Err(RoomRejection::RoomTooEarly);
    }
    if facts.details.not_after.is_some_and(|not_after| not_after <= open.now) {
        return Err(RoomRejection::RoomOver);
    }
    if open.continues == Some(open.session) {
        return Err(RoomRejection::SessionNotClosed);
    }
    let opened = SessionOpened {
        session: open.session,
        settings: Box::new(open.settings.clone()),
        opened_by: open.opened_by,
        record: open.record.clone(),
        continues: open.continues,
    };
    Ok(vec![opened.into()])
}

fn decide_release(facts: &RoomFacts, release: &ReleaseSession) -> Vec<RoomEvent> {
    if facts.live_session != Some(release.session) {
        return Vec::new();
    }
    let mut events = vec![SessionReleased { session: release.session }.into()];
    if facts.kind == RoomKind::AdHoc {
        events.push(RoomArchived {}.into());
    }
    events
}

#[cfg(test)]
mod tests;
