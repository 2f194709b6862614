//! The one follower that folds the log into the read models: rows and cursors in one write.
//!
//! Every projection has a cursor and a version of its own. One whose version changed, or whose rows are gone, is rebuilt
//! from the beginning; the others wait for it, so that all stand at the same position when they go on together.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::event::Event;
use witan_event_store::{Direction, EventStore, Position, Recorded};

use crate::{Batch, Database, Key, ProjectionError};

pub const CURSORS: &str = "cursors";
/// How many events one write of rows and cursors covers at most.
pub const BATCH_EVENTS_MAX: usize = 4_096;

/// One read model: how it folds events into its rows.
pub trait Projection: Send {
    fn name(&self) -> &'static str;
    /// To be raised whenever the same events give other rows.
    fn version(&self) -> u32;
    /// The column families that hold its rows.
    fn tables(&self) -> &'static [&'static str];
    /// Folds one event. An event that it doesn't care for changes nothing.
    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError>;
    /// Puts the changed rows into the batch.
    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError>;
    /// Forgets what it holds in memory, after a failed batch or before a rebuild.
    fn reset(&mut self);
}

/// How far a projection has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub version: u32,
    pub position: Position,
    /// Of the event at `position`: a log that was cut and written anew does not have it.
    pub digest: [u8; 32],
}

/// Folds events into all the projections together.
pub struct Fold {
    db: Arc<Database>,
    projections: Vec<(Box<dyn Projection>, Cursor)>,
}

impl Fold {
    /// Reads the cursors; empties the projections that have to be rebuilt.
    pub fn open(db: Arc<Database>, projections: Vec<Box<dyn Projection>>) -> Result<Self, ProjectionError> {
        let mut with_cursors = Vec::new();
        for projection in projections {
            let fresh = Cursor { version: projection.version(), ..Cursor::default() };
            let cursor = match read_cursor(&db, projection.name())? {
                Some(cursor) if cursor.version == projection.version() => cursor,
                stored => {
                    if stored.is_some() {
                        tracing::info!(projection = projection.name(), "its version changed: it is rebuilt");
                    }
                    db.empty(projection.tables().iter().copied())?;
                    fresh
                }
            };
            with_cursors.push((projection, cursor));
        }
        Ok(Self { db, projections: with_cursors })
    }

    /// Empties every projection, to fold the whole log again.
    pub fn rebuilt(db: Arc<Database>, projections: Vec<Box<dyn Projection>>) -> Result<Self, ProjectionError> {
        // In one write, or a crash in between would leave cursors that stand after rows that are gone.
        let tables = projections.iter().flat_map(|projection| projection.tables()).copied();
        db.empty(tables.chain([CURSORS]))?;
        Self::open(db, projections)
    }

    /// The position up to which every projection has come.
    pub fn position(&self) -> Position {
        self.projections.iter().map(|(_, cursor)| cursor.position).min().unwrap_or_default()
    }

    /// Checks that the log still holds the event that each cursor stands on.
    pub fn check(&self, store: &dyn EventStore) -> Result<(), ProjectionError> {
        for (projection, cursor) in &self.projections {
            if cursor.position > Position(0) && store.digest(cursor.position)? != Some(cursor.digest) {
                return Err(ProjectionError::OtherLog { projection: projection.name(), position: cursor.position });
            }
        }
        Ok(())
    }

    /// Folds a batch: all rows and all cursors in one write, or nothing.
    pub fn apply(&mut self, events: &[Recorded]) -> Result<(), ProjectionError> {
        let result = self.try_apply(events);
        if result.is_err() {
            for (projection, _) in &mut self.projections {
                projection.reset();
            }
        }
        result
    }

    fn try_apply(&mut self, events: &[Recorded]) -> Result<(), ProjectionError> {
        let Some(newest) = events.last() else { return Ok(()) };
        for recorded in events {
            let envelope = &recorded.envelope;
            let event = Event::decode(envelope.category(), envelope.kind(), envelope.schema(), envelope.data())
                .map_err(|source| ProjectionError::Event { position: recorded.position, source })?;
            for (projection, cursor) in &mut self.projections {
                if recorded.position > cursor.position {
                    projection.apply(&event, recorded)?;
                }
            }
        }
        let mut batch = Batch::default();
        let digest = newest.envelope.digest();
        let mut cursors = Vec::with_capacity(self.projections.len());
        for (projection, cursor) in &mut self.projections {
            projection.write(&mut batch)?;
            let reached = if newest.position > cursor.position {
                Cursor { version: projection.version(), position: newest.position, digest }
            } else {
                cursor.clone()
            };
            write_cursor(&self.db, &mut batch, projection.name(), &reached)?;
            cursors.push(reached);
        }
        self.db.commit(batch)?;
        for ((_, cursor), reached) in self.projections.iter_mut().zip(cursors) {
            *cursor = reached;
        }
        Ok(())
    }

    /// Reads the log from where the slowest projection stands up to `until`, telling how far it is, until that says no.
    pub fn catch_up(
        &mut self,
        store: &dyn EventStore,
        until: Position,
        mut progress: impl FnMut(Position) -> bool,
    ) -> Result<(), ProjectionError> {
        while self.position() < until {
            let from = Position(self.position().0 + 1);
            let mut batch = store.read_all(from, Direction::Forward, BATCH_EVENTS_MAX)?;
            batch.retain(|recorded| recorded.position <= until);
            if batch.is_empty() {
                return Ok(());
            }
            self.apply(&batch)?;
            if !progress(self.position()) {
                return Err(ProjectionError::Cancelled);
            }
        }
        Ok(())
    }
}

pub fn read_cursor(db: &Database, projection: &str) -> Result<Option<Cursor>, ProjectionError> {
    db.read(CURSORS, &cursor_key(projection))
}

fn write_cursor(db: &Database, batch: &mut Batch, projection: &str, cursor: &Cursor) -> Result<(), ProjectionError> {
    batch.put(db, CURSORS, cursor_key(projection), &postcard::to_stdvec(cursor)?)
}

/// A read model's cursor is no tenant's.
fn cursor_key(projection: &str) -> Key {
    Key::nothing().raw(projection.as_bytes())
}
