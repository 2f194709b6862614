//! What is published in a session: one row for each session that has any, folded by the domain's own `evolve`.

use std::sync::Arc;

use witan_domain::{
    OrganizationId, SessionId,
    event::Event,
    media::{MediaState, SessionMedia},
};
use witan_event_store::Recorded;

use crate::{Batch, Database, Key, Projection, ProjectionError, ReadModels, Row, Table, models::stream_of, row::fold};

const STREAMS: &str = "streams";

pub(crate) const TABLES: &[&str] = &[STREAMS];

pub struct Streams {
    rows: Table<Row<MediaState>>,
}

impl Streams {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Table::new(Arc::clone(db), STREAMS) }
    }
}

impl Projection for Streams {
    fn name(&self) -> &'static str {
        STREAMS
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Media(event) = event else { return Ok(()) };
        let (organization, session) = stream_of::<SessionId>(recorded)?;
        fold::<SessionMedia>(&mut self.rows, &Key::of(organization).id(session.0), event, recorded)?;
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
    }
}

impl ReadModels {
    /// What is and was published in the session, in the order it began.
    pub fn session_streams(
        &self,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<MediaState, ProjectionError> {
        let row = self.rows(STREAMS).find::<Row<MediaState>>(Key::of(organization).id(session.0))?;
        Ok(row.map(|row| row.state.clone()).unwrap_or_default())
    }
}
