//! Sessions: each row is the session as its events tell it, folded by the domain's own `evolve`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::{
    OrganizationId, PersonId, RoomId, SessionId,
    event::Event,
    session::{Session, SessionEvent, SessionState},
};
use witan_event_store::Recorded;

use crate::{
    Batch, Database, Key, Lines, Listed, Page, Projection, ProjectionError, ReadModels, Row, Table,
    models::{misfit, stream_of},
    row::fold,
};

const SESSIONS: &str = "sessions";
const BY_ROOM: &str = "sessions_by_room";
const BY_CREATION: &str = "sessions_by_creation";
const BY_PERSON: &str = "sessions_by_person";
const LIVE: &str = "sessions_live";
pub(crate) const WAITED_FOR: &str = "sessions_waited_for";

pub(crate) const TABLES: &[&str] = &[SESSIONS, BY_ROOM, BY_CREATION, BY_PERSON, LIVE, WAITED_FOR];

/// One session as its readers find it.
pub type SessionRow = Row<SessionState>;

/// A line in a list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEntry {
    pub session: SessionId,
}

pub struct Sessions {
    rows: Table<SessionRow>,
    by_room: Lines<SessionEntry>,
    by_creation: Lines<SessionEntry>,
    by_person: Lines<SessionEntry>,
    live: Table<SessionEntry>,
    /// Those in which somebody knocks.
    waited_for: Table<SessionId>,
}

impl Sessions {
    pub fn new(db: &Arc<Database>) -> Self {
        Self {
            rows: Table::new(Arc::clone(db), SESSIONS),
            by_room: Lines::new(Arc::clone(db), BY_ROOM),
            by_creation: Lines::new(Arc::clone(db), BY_CREATION),
            by_person: Lines::new(Arc::clone(db), BY_PERSON),
            live: Table::new(Arc::clone(db), LIVE),
            waited_for: Table::new(Arc::clone(db), WAITED_FOR),
        }
    }

    fn index(
        &mut self,
        organization: OrganizationId,
        event: &SessionEvent,
        recorded: &Recorded,
        session: SessionId,
    ) -> Result<(), ProjectionError> {
        let entry = SessionEntry { session };
        let arrival = match event {
            SessionEvent::SessionPrepared(prepared) => {
                let created = recorded.position.0;
                self.by_room.put(Key::of(organization).id(prepared.room.0).number(created), &entry)?;
                self.by_creation.put(Key::of(organization).number(created), &entry)?;
                self.live.put(Key::of(organization).id(session.0), entry);
                None
            }
            SessionEvent::SessionEnded(_) => {
                self.live.delete(Key::of(organization).id(session.0));
                self.waited_for.delete(Key::of(organization).id(session.0));
                None
            }
            SessionEvent::ParticipantKnocked(knocked) => {
                self.waited_for.put(Key::of(organization).id(session.0), session);
                Some(&knocked.arrival)
            }
            SessionEvent::ParticipantAdmitted(_)
            | SessionEvent::ParticipantDenied(_)
            | SessionEvent::KnockWithdrawn(_)
            | SessionEvent::KnockTimedOut(_) => {
                let key = Key::of(organization).id(session.0);
                let record = self.rows.find(&key)?.and_then(|row| row.state.record());
                if record.is_none_or(|record| record.knocking().next().is_none()) {
                    self.waited_for.delete(key);
                }
                None
            }
            SessionEvent::ParticipantJoined(joined) => joined.arrival.as_ref(),
            SessionEvent::SessionReady(_)
            | SessionEvent::KnockUnanswered(_)
            | SessionEvent::ParticipantDropped(_)
            | SessionEvent::ParticipantReconnected(_)
            | SessionEvent::ParticipantLeft(_)
            | SessionEvent::ParticipantHeld(_)
            | SessionEvent::ParticipantReleased(_)
            | SessionEvent::ParticipantMoved(_)
            | SessionEvent::ParticipantRemoved(_)
            | SessionEvent::ParticipantMuted(_)
            | SessionEvent::ParticipantUnmuted(_)
            | SessionEvent::ParticipantRoleChanged(_)
            | SessionEvent::SessionLocked(_)
            | SessionEvent::SessionUnlocked(_)
            | SessionEvent::SessionExtended(_)
            | SessionEvent::LimitWarned(_)
            | SessionEvent::SettingChanged(_)
            | SessionEvent::ConsentGiven(_)
            | SessionEvent::ConsentWithdrawn(_)
            | SessionEvent::SessionInterrupted(_)
            | SessionEvent::SessionResumed(_) => None,
        };
        match arrival {
            Some(arrival) => self.by_person.put(Key::of(organization).id(arrival.person.0).id(session.0), &entry),
            None => Ok(()),
        }
    }
}

impl Projection for Sessions {
    fn name(&self) -> &'static str {
        SESSIONS
    }

    fn version(&self) -> u32 {
        4
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Session(event) = event else { return Ok(()) };
        let (organization, session) = stream_of::<SessionId>(recorded)?;
        let new = fold::<Session>(&mut self.rows, &Key::of(organization).id(session.0), event, recorded)?;
        if new != matches!(event, SessionEvent::SessionPrepared(_)) {
            return Err(misfit(recorded, "a session begins with its preparation, and has one"));
        }
        self.index(organization, event, recorded, session)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_room.write(batch)?;
        self.by_creation.write(batch)?;
        self.by_person.write(batch)?;
        self.live.write(batch)?;
        self.waited_for.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_room.reset();
        self.by_creation.reset();
        self.by_person.reset();
        self.live.reset();
        self.waited_for.reset();
    }
}

/// Which sessions a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionList {
    /// All of the organization.
    Organization,
    OfRoom(RoomId),
    /// Those in which this person knocked or was. In the order of the sessions' ids.
    OfPerson(PersonId),
}

impl ReadModels {
    pub fn find_session(
        &self,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<Option<Arc<SessionRow>>, ProjectionError> {
        self.rows(SESSIONS).find(Key::of(organization).id(session.0))
    }

    /// A page of sessions, oldest first or (backward) newest first, after the cursor (exclusive).
    pub fn list_sessions(
        &self,
        organization: OrganizationId,
        list: SessionList,
        page: &Page,
    ) -> Result<Listed<Arc<SessionRow>>, ProjectionError> {
        let (table, prefix) = match list {
            SessionList::Organization => (BY_CREATION, Key::of(organization)),
            SessionList::OfRoom(room) => (BY_ROOM, Key::of(organization).id(room.0)),
            SessionList::OfPerson(person) => (BY_PERSON, Key::of(organization).id(person.0)),
        };
        self.list(table, &prefix, page, |entry: SessionEntry| self.find_session(organization, entry.session))
    }

    /// The sessions that are live, in the order of their ids: at most one in each room.
    pub fn live_sessions(&self, organization: OrganizationId) -> Result<Vec<SessionId>, ProjectionError> {
        let live = self.rows(LIVE).list::<SessionEntry>(&Key::of(organization), None, false, usize::MAX)?;
        Ok(live.into_iter().map(|(_, entry)| entry.session).collect())
    }
}
