//! The audit trail: one line for every event of an organization. What it says in full is read from the log. Refusals are
//! also found by the reference that the refused one was given.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use witan_domain::{
    ApiKeyId, CorrelationId, OrganizationId, ParticipantId, SessionId, Timestamp, UserId, audit::AuditEvent,
    event::Event,
};
use witan_event_store::{Position, Recorded};

use crate::{Batch, Database, Key, Lines, Listed, PAGE_ROWS_MAX, Page, Projection, ProjectionError, ReadModels};

const AUDIT: &str = "audit";
const AUDIT_BY_REFERENCE: &str = "audit_by_reference";

pub(crate) const TABLES: &[&str] = &[AUDIT, AUDIT_BY_REFERENCE];

/// How many lines are looked at for one page of those that are of a type or by someone.
const LINES_MAX: usize = 10_000;
/// How many of them are read at a time.
const LINES_AT_A_TIME: usize = 500;

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

/// Which lines of the trail are wanted: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Refusals of which the refused one was told this.
    pub reference: Option<CorrelationId>,
    pub kind: Option<String>,
    pub by: Option<By>,
}

/// Someone who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    User(UserId),
    ApiKey(ApiKeyId),
    Participant(ParticipantId),
}

impl By {
    /// Whether it was they who acted.
    pub fn is(self, actor: RowActor) -> bool {
        match (self, actor) {
            (Self::User(user), RowActor::User(its, _)) => user == its,
            (Self::ApiKey(key), RowActor::User(_, its)) => Some(key) == its,
            (Self::Participant(participant), RowActor::Participant(_, its)) => participant == its,
            (Self::User(_) | Self::ApiKey(_) | Self::Participant(_), _) => false,
        }
    }
}

impl AuditFilter {
    fn has(&self, row: &AuditRow) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == row.kind) && self.by.is_none_or(|by| by.is(row.actor))
    }
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
    by_reference: Lines<Position>,
}

impl Audit {
    pub fn new(db: &Arc<Database>) -> Self {
        Self { rows: Lines::new(Arc::clone(db), AUDIT), by_reference: Lines::new(Arc::clone(db), AUDIT_BY_REFERENCE) }
    }
}

impl Projection for Audit {
    fn name(&self) -> &'static str {
        AUDIT
    }

    fn version(&self) -> u32 {
        2
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn apply(&mut self, event: &Event, recorded: &Recorded) -> Result<(), ProjectionError> {
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
        let place = Key::of(organization).number(recorded.position.0);
        if let Event::Audit(AuditEvent::AccessRefused(refused)) = event
            && let Ok(reference) = refused.reference.parse::<CorrelationId>()
        {
            let key = Key::of(organization).id(reference.0).number(recorded.position.0);
            self.by_reference.put(key, &recorded.position)?;
        }
        self.rows.put(place, &row)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)?;
        self.by_reference.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
        self.by_reference.reset();
    }
}

impl ReadModels {
    /// A page of the organization's audit trail, in order. It may have fewer rows than it could, or none, although more
    /// follow: then its last one is there for its cursor only.
    pub fn list_audit(
        &self,
        organization: OrganizationId,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Listed<Option<AuditRow>>, ProjectionError> {
        let Some(reference) = filter.reference else { return self.scan_audit(organization, filter, page) };
        let prefix = Key::of(organization).id(reference.0);
        self.list(AUDIT_BY_REFERENCE, &prefix, page, |position: Position| {
            let row = self.rows(AUDIT).read::<AuditRow>(&Key::of(organization).number(position.0))?;
            Ok(Some(row.filter(|row| filter.has(row))))
        })
    }

    fn scan_audit(
        &self,
        organization: OrganizationId,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<Listed<Option<AuditRow>>, ProjectionError> {
        let (prefix, rows_max) = (Key::of(organization), page.rows_max.min(PAGE_ROWS_MAX));
        let mut after = page.after.as_ref().map(|cursor| prefix.clone().raw(cursor));
        let mut rows = Vec::new();
        let at_a_time = if *filter == AuditFilter::default() { rows_max + 1 } else { LINES_AT_A_TIME };
        for _ in 0..LINES_MAX / LINES_AT_A_TIME {
            let lines = self.rows(AUDIT).list(&prefix, after.as_ref(), page.backward, at_a_time)?;
            let last = lines.last().map(|(cursor, _): &(_, AuditRow)| prefix.clone().raw(cursor));
            let whole = lines.len() < at_a_time;
            let wanted = lines.into_iter().filter(|(_, row)| filter.has(row));
            rows.extend(wanted.map(|(cursor, row)| (cursor, Some(row))).take(rows_max + 1 - rows.len()));
            if rows.len() > rows_max {
                rows.truncate(rows_max);
                return Ok(Listed { rows, more: true });
            }
            if whole {
                return Ok(Listed { rows, more: false });
            }
            after = last;
        }
        // There is nothing more to be found in so many lines: the next page goes on from here.
        let reached = after.map(|key| key.bytes()[prefix.bytes().len()..].to_vec());
        rows.extend(reached.map(|cursor| (cursor, None)));
        Ok(Listed { rows, more: true })
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
