//! The audit trail: one line for every event of an organization. What it says in full is read from the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::{ApiKeyId, OrganizationId, ParticipantId, SessionId, Timestamp, UserId, event::Event};
use witan_event_store::{Position, Recorded};

use crate::{Batch, Database, Key, Lines, Listed, Page, Projection, ProjectionError, ReadModels};

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

/// What of an envelope's metadata says who it was. An `Actor` is read by its tag, which means a copy of all that comes
/// before it is known; of every event that there is, that would be half of the time that a replay takes.
#[derive(Deserialize)]
struct StoredMetadata {
    actor: StoredActor,
}

#[derive(Deserialize)]
struct StoredActor {
    kind: ActorKind,
    user: Option<UserId>,
    key: Option<ApiKeyId>,
    session: Option<SessionId>,
    participant: Option<ParticipantId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActorKind {
    User,
    Participant,
    System,
    Operator,
    Anonymous,
}

fn stored_actor(metadata: &[u8]) -> Option<RowActor> {
    let StoredMetadata { actor } = serde_json::from_slice(metadata).ok()?;
    match actor.kind {
        ActorKind::User => Some(RowActor::User(actor.user?, actor.key)),
        ActorKind::Participant => Some(RowActor::Participant(actor.session?, actor.participant?)),
        ActorKind::System => Some(RowActor::System),
        ActorKind::Operator => Some(RowActor::Operator),
        ActorKind::Anonymous => Some(RowActor::Anonymous),
    }
}

pub struct Audit {
    rows: Lines<AuditRow>,
}

impl Audit {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Lines::new(Arc::clone(db), AUDIT) }
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
        let actor = stored_actor(envelope.metadata())
            .ok_or_else(|| crate::models::misfit(recorded, "metadata that is not an envelope's"))?;
        let row = AuditRow {
            position: recorded.position,
            kind: envelope.kind().to_owned(),
            stream: envelope.stream().to_owned(),
            recorded_at: envelope.recorded_at(),
            actor,
        };
        self.rows.put(Key::of(organization).number(recorded.position.0), &row)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
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

#[cfg(test)]
mod tests {
    use witan_domain::{Actor, CorrelationId};
    use witan_event_store::Metadata;

    use super::*;

    #[test]
    fn every_actor_is_read_as_it_is_stored() {
        let (organization, user, key) = (OrganizationId(1), UserId(2), ApiKeyId(3));
        let (session, participant) = (SessionId(4), ParticipantId(5));
        for (actor, row) in [
            (Actor::User { organization, user, key: Some(key) }, RowActor::User(user, Some(key))),
            (Actor::User { organization, user, key: None }, RowActor::User(user, None)),
            (Actor::Participant { organization, session, participant }, RowActor::Participant(session, participant)),
            (Actor::System, RowActor::System),
            (Actor::Operator, RowActor::Operator),
            (Actor::Anonymous, RowActor::Anonymous),
        ] {
            let correlation = CorrelationId(6);
            let metadata = Metadata { actor, correlation, causation: None, reason: None, idempotency: None };
            assert_eq!(stored_actor(&serde_json::to_vec(&metadata).unwrap()), Some(row));
        }
        for wrong in [r"{}", r#"{"actor":{"kind":"user"}}"#, r#"{"actor":{"kind":"nobody"}}"#, "not JSON"] {
            assert_eq!(stored_actor(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
