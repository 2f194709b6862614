//! The audit trail: one line for every event of an organization. What it says in full is read from the log.

use std::sync::Arc;

use rocksdb::{DB, WriteBatch};
use serde::{Deserialize, Serialize};
use witan_domain::{ApiKeyId, OrganizationId, ParticipantId, SessionId, Timestamp, UserId, actor::Actor, event::Event};
use witan_event_store::{Metadata, Position, Recorded};

use crate::{Key, Listed, Page, Projection, ProjectionError, ReadModels, Table};

const AUDIT: &str = "audit";

pub(crate) const TABLES: &[&str] = &[AUDIT];

/// One event, without its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    pub position: Position,
    pub kind: String,
    pub stream: String,
    pub recorded_at: Timestamp,
    pub actor: RowActor,
}

/// An actor in a row's format, which has no place for tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowActor {
    User(UserId, Option<ApiKeyId>),
    Participant(SessionId, ParticipantId),
    System,
    Operator,
    Anonymous,
}

impl From<&Actor> for RowActor {
    fn from(actor: &Actor) -> Self {
        match actor {
            Actor::User { user, key, .. } => Self::User(*user, *key),
            Actor::Participant { session, participant, .. } => Self::Participant(*session, *participant),
            Actor::System => Self::System,
            Actor::Operator => Self::Operator,
            Actor::Anonymous => Self::Anonymous,
        }
    }
}

pub struct Audit {
    rows: Table<AuditRow>,
}

impl Audit {
    pub fn new(db: &Arc<DB>) -> Self {
        Self { rows: Table::new(Arc::clone(db), AUDIT) }
    }
}

impl Projection for Audit {
    fn name(&self) -> &'static str {
        AUDIT
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn apply(&mut self, _: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
        let envelope = &recorded.envelope;
        let Some(organization) = envelope.organization() else { return Ok(()) };
        let metadata: Metadata = serde_json::from_slice(envelope.metadata())
            .map_err(|_| crate::models::misfit(recorded, "metadata that is not an envelope's"))?;
        let row = AuditRow {
            position: recorded.position,
            kind: envelope.kind().to_owned(),
            stream: envelope.stream().to_owned(),
            recorded_at: envelope.recorded_at(),
            actor: RowActor::from(&metadata.actor),
        };
        self.rows.put(Key::of(organization).number(recorded.position.0), row);
        Ok(())
    }

    fn write(&mut self, batch: &mut WriteBatch) -> Result<(), ProjectionError> {
        self.rows.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
    }
}

impl ReadModels {
    /// A page of the organization's audit trail, in order.
    pub fn list_audit(&self, organization: OrganizationId, page: &Page) -> Result<Listed<AuditRow>, ProjectionError> {
        self.list(AUDIT, &Key::of(organization), page, |row: AuditRow| Ok(Some(row)))
    }
}
