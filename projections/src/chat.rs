//! Chat: a row for each message, in the order they were sent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::{
    MessageId, OrganizationId, ParticipantId, Private, SessionId, Timestamp, chat::ChatEvent, event::Event,
};
use witan_event_store::{Position, Recorded};

use crate::{Batch, Database, Key, Listed, Page, Projection, ProjectionError, ReadModels, Table, models::misfit};

const MESSAGES: &str = "messages";
const PLACES: &str = "message_places";

pub(crate) const TABLES: &[&str] = &[MESSAGES, PLACES];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    pub message: MessageId,
    pub session: SessionId,
    pub author: ParticipantId,
    /// Protected in stream `chat-{session}`, field `text`.
    pub text: Private,
    pub position: Position,
    pub sent_at: Timestamp,
    pub removed: Option<Removed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub by: ParticipantId,
    pub at: Timestamp,
}

pub struct Messages {
    rows: Table<MessageRow>,
    /// Where in its session's list a message stands.
    places: Table<Position>,
}

impl Messages {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Table::new(Arc::clone(db), MESSAGES), places: Table::new(Arc::clone(db), PLACES) }
    }
}

impl Projection for Messages {
    fn name(&self) -> &'static str {
        MESSAGES
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let Event::Chat(event) = event else { return Ok(()) };
        let (organization, session) = crate::models::stream_of::<SessionId>(recorded)?;
        let at = recorded.envelope.recorded_at();
        let prefix = Key::of(organization).id(session.0);
        match event {
            ChatEvent::MessageSent(sent) => {
                let row = MessageRow {
                    message: sent.message,
                    session,
                    author: sent.author,
                    text: sent.text.clone(),
                    position: recorded.position,
                    sent_at: at,
                    removed: None,
                };
                self.places.put(prefix.clone().id(sent.message.0), recorded.position);
                self.rows.put(prefix.number(recorded.position.0), row);
            }
            ChatEvent::MessageRemoved(removed) => {
                let place = self.places.find(&prefix.clone().id(removed.message.0))?.copied();
                let place = place.ok_or_else(|| misfit(recorded, "a message was removed that was never sent"))?;
                if let Some(row) = self.rows.edit(&prefix.number(place.0))? {
                    row.removed = Some(Removed { by: removed.by, at });
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.places.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.places.reset();
    }
}

impl ReadModels {
    /// A page of a session's messages, in the order they were sent.
    pub fn list_messages(
        &self,
        organization: OrganizationId,
        session: SessionId,
        page: &Page,
    ) -> Result<Listed<MessageRow>, ProjectionError> {
        let prefix = Key::of(organization).id(session.0);
        self.list(MESSAGES, &prefix, page, |row: MessageRow| Ok(Some(row)))
    }

    pub fn find_message(
        &self,
        organization: OrganizationId,
        session: SessionId,
        message: MessageId,
    ) -> Result<Option<Arc<MessageRow>>, ProjectionError> {
        let prefix = Key::of(organization).id(session.0);
        let Some(place) = self.rows(PLACES).find::<Position>(prefix.clone().id(message.0))? else { return Ok(None) };
        self.rows(MESSAGES).find(prefix.number(place.0))
    }
}
