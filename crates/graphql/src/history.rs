//! Histories and proofs: what happened, event by event, and that it is in the log.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use base64::{Engine, engine::general_purpose::STANDARD};
use witan_app::{
    Direction,
    history::{HistoryEvent, Part, organization_resource},
    proofs::ProvedEvent,
};
use witan_auth::Operation;
use witan_domain::{Actor as DomainActor, SessionId};
use witan_projections::audit::{AuditFilter, AuditRow, By, RowActor};

use crate::{
    call::{Call, id, shown, stored},
    connection::{PageInput, connection, edges, versions},
    refusal,
    scalars::{DateTime, IntoId, Json, Position},
};

/// Who did something.
#[derive(Clone, Debug, SimpleObject)]
pub struct Actor {
    /// `USER`, `PARTICIPANT`, `SYSTEM` (witan itself), `OPERATOR` (at the command line) or `ANONYMOUS`.
    kind: &'static str,
    /// The user, of a `USER`.
    user_id: Option<ID>,
    /// The API key by which a `USER` came.
    api_key_id: Option<ID>,
    /// The participant, of a `PARTICIPANT`.
    participant_id: Option<ID>,
    /// The session, of a `PARTICIPANT`.
    session_id: Option<ID>,
}

impl From<RowActor> for Actor {
    fn from(actor: RowActor) -> Self {
        let nobody = Self { kind: "", user_id: None, api_key_id: None, participant_id: None, session_id: None };
        match actor {
            RowActor::User(user, key) => {
                Self { kind: "USER", user_id: Some(user.into_id()), api_key_id: key.map(IntoId::into_id), ..nobody }
            }
            RowActor::Participant(session, participant) => Self {
                kind: "PARTICIPANT",
                participant_id: Some(participant.into_id()),
                session_id: Some(session.into_id()),
                ..nobody
            },
            RowActor::System => Self { kind: "SYSTEM", ..nobody },
            RowActor::Operator => Self { kind: "OPERATOR", ..nobody },
            RowActor::Anonymous => Self { kind: "ANONYMOUS", ..nobody },
        }
    }
}

impl From<&DomainActor> for Actor {
    fn from(actor: &DomainActor) -> Self {
        Self::from(match actor {
            DomainActor::User { user, key, .. } => RowActor::User(*user, *key),
            DomainActor::Participant { session, participant, .. } => RowActor::Participant(*session, *participant),
            DomainActor::System => RowActor::System,
            DomainActor::Operator => RowActor::Operator,
            DomainActor::Anonymous => RowActor::Anonymous,
        })
    }
}

/// An event: something that happened, as it was recorded.
pub struct Event(Arc<HistoryEvent>);

impl Event {
    pub fn log_position(&self) -> Position {
        Position(self.0.position.0)
    }
}

impl From<Arc<HistoryEvent>> for Event {
    fn from(event: Arc<HistoryEvent>) -> Self {
        Self(event)
    }
}

impl From<HistoryEvent> for Event {
    fn from(event: HistoryEvent) -> Self {
        Self(Arc::new(event))
    }
}

/// An event: something that happened, as it was recorded.
#[Object]
impl Event {
    /// The event's id.
    async fn id(&self) -> ID {
        self.0.id.into_id()
    }

    /// Where it stands in the log of all events.
    async fn position(&self) -> Position {
        self.log_position()
    }

    /// What happened, for example `SessionEnded`.
    #[graphql(name = "type")]
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The stream that it is in, for example `session-session_01…`.
    async fn stream(&self) -> &str {
        &self.0.stream
    }

    /// Its place in the stream, from 0, without gaps.
    async fn version(&self) -> u64 {
        self.0.version
    }

    /// When it was recorded. Never runs backwards along positions.
    async fn recorded_at(&self) -> DateTime {
        DateTime(self.0.recorded_at)
    }

    /// Who did it.
    async fn actor(&self) -> Actor {
        Actor::from(&self.0.actor)
    }

    /// What ties together all that one request caused.
    async fn correlation_id(&self) -> ID {
        self.0.correlation.into_id()
    }

    /// The event that this one is a reaction to.
    async fn causation_id(&self) -> Option<ID> {
        self.0.causation.map(IntoId::into_id)
    }

    /// Its payload. A private value reads `{ "person", "value", "erased" }`; hashes of secrets are left out.
    async fn data(&self) -> Json {
        Json(self.0.data.clone())
    }

    /// SHA-256 of its canonical envelope bytes, hexadecimal: the Merkle log holds the leaf hash of it.
    async fn digest(&self) -> String {
        witan_app::sources::hex(&self.0.digest)
    }
}

connection!(
    /// A page of events.
    EventConnection,
    EventEdge,
    Event
);

/// A stream of a session's events. Its chat is read elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Part")]
pub enum HistoryPart {
    /// Its life: who came, what hosts did, how it ended.
    Session,
    /// What its participants published, muted and ended.
    Media,
}

/// A page of a session's own events, in order.
pub async fn session_history(
    call: &Call<'_>,
    session: SessionId,
    part: HistoryPart,
    first: i32,
    after: Option<String>,
) -> async_graphql::Result<EventConnection> {
    let page = PageInput::new(Some(first), after, None, None).page()?;
    let from = versions::after(page.after.as_deref())?;
    let history =
        call.app().session_history(&call.request, session, part.into(), from, Direction::Forward, page.rows_max);
    let (events, more) = history.await.map_err(shown)?;
    let rows = events.into_iter().map(|event| (versions::cursor(event.version), event)).collect();
    let listed = witan_projections::Listed { rows, more };
    let (edges, page_info) =
        edges(listed, &page, |event| Some(Event::from(event)), |cursor, node| EventEdge { cursor, node });
    Ok(EventConnection { edges, page_info })
}

/// A line of the audit trail: an event without its payload.
#[derive(Clone, Debug, SimpleObject)]
pub struct AuditEntry {
    /// Where it stands in the log of all events.
    position: Position,
    /// What happened, for example `AccessRefused`.
    #[graphql(name = "type")]
    kind: String,
    /// The stream that it is in.
    stream: String,
    /// When it was recorded.
    recorded_at: DateTime,
    /// Who did it.
    actor: Actor,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            position: Position(row.position.0),
            kind: row.kind,
            stream: row.stream,
            recorded_at: DateTime(row.recorded_at),
            actor: Actor::from(row.actor),
        }
    }
}

connection!(
    /// A page of the audit trail.
    AuditConnection,
    AuditEdge,
    AuditEntry
);

/// Who is meant by an id, whatever it is the id of.
fn who(actor: &ID) -> async_graphql::Result<By> {
    let user = actor.parse().map(By::User).ok();
    let key = || actor.parse().map(By::ApiKey).ok();
    let participant = || actor.parse().map(By::Participant).ok();
    user.or_else(key).or_else(participant).ok_or_else(|| {
        refusal(
            "INVALID_INPUT",
            "actorId is no id of a user (user_…), an API key (key_…) or a participant (participant_…).",
        )
    })
}

/// A signed head of the log: it commits to every event up to its size.
#[derive(Clone, Debug, SimpleObject)]
pub struct Checkpoint {
    /// The signed note, byte for byte (C2SP tlog-checkpoint, Ed25519).
    note: String,
    /// How many events it commits to; a string, for it may pass 2^53.
    tree_size: Position,
    /// The public key that it is signed with, as `witan-verify --key` takes it.
    verifier_key: String,
}

/// That an event is in the log: check it with `witan-verify`.
#[derive(Clone, Debug, SimpleObject)]
pub struct InclusionProof {
    /// The event's position.
    position: Position,
    /// Its leaf in the Merkle log, from 0.
    leaf_index: Position,
    /// How many leaves the tree has.
    tree_size: Position,
    /// The canonical envelope bytes, base64. The leaf hash (RFC 9162, section 2.1) is over their SHA-256.
    envelope: String,
    /// The proof's hashes from the leaf up (RFC 9162, section 2.1.3), base64.
    hashes: Vec<String>,
    /// The signed checkpoint of that tree.
    checkpoint: Checkpoint,
    /// All of this as one document: the bundle that `witan-verify event` takes.
    bundle: Json,
}

/// That a later log continues an earlier one.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConsistencyProof {
    /// The earlier size.
    old_size: Position,
    /// The later size.
    new_size: Position,
    /// The proof's hashes (RFC 9162, section 2.1.4), base64.
    hashes: Vec<String>,
    /// All of this in the form that `witan-verify consistency OLD NEW PROOF` takes as PROOF; OLD and NEW are the notes of
    /// the two checkpoints.
    bundle: Json,
    /// The earlier signed checkpoint.
    old_checkpoint: Checkpoint,
    /// The later signed checkpoint.
    new_checkpoint: Checkpoint,
}

fn checkpoint(call: &Call<'_>, note: String) -> Checkpoint {
    let size = note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0);
    Checkpoint { note, tree_size: Position(size), verifier_key: call.app().verifier_key().to_string() }
}

/// Queries of histories and proofs.
#[derive(Default)]
pub struct HistoryQuery;

#[Object]
impl HistoryQuery {
    /// The organization's audit trail, in order: every event, refusals and reads of content among them. With `type` or
    /// `actorId` a page may have fewer rows than it could, although more follow: go by `pageInfo`.
    async fn audit_trail(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Refusals of which the refused one was told this reference.")] reference: Option<ID>,
        #[graphql(name = "type", desc = "What happened, for example `SessionEnded`.")] kind: Option<String>,
        #[graphql(desc = "Who did it: a user's, an API key's or a participant's id.")] actor_id: Option<ID>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<AuditConnection> {
        let call = Call::query(ctx)?;
        let organization = call.organization()?;
        call.authorise(Operation::ReadAuditTrail, &organization_resource(organization)).await?;
        let page = PageInput::new(first, after, last, before).page()?;
        let filter = AuditFilter {
            reference: reference.map(|reference| id("reference", &reference)).transpose()?,
            kind,
            by: actor_id.map(|actor| who(&actor)).transpose()?,
        };
        let listed = stored(call.models().list_audit(organization, &filter, &page))?;
        let (edges, page_info) =
            edges(listed, &page, |row| row.map(AuditEntry::from), |cursor, node| AuditEdge { cursor, node });
        Ok(AuditConnection { edges, page_info })
    }

    /// One event with its payload, for those who may read the audit trail, or the session that it is of.
    async fn event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where it stands in the log.")] position: Position,
    ) -> async_graphql::Result<Option<Event>> {
        let call = Call::query(ctx)?;
        match call.app().event_at(&call.request, witan_app::Position(position.0)).await {
            Ok(event) => Ok(Some(Event::from(event))),
            Err(witan_app::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(shown(error)),
        }
    }

    /// The log's newest signed checkpoint, or that of an earlier size. Null while the log is empty. For everyone.
    async fn checkpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The checkpoint of the log's first so many events.")] tree_size: Option<Position>,
    ) -> async_graphql::Result<Option<Checkpoint>> {
        let call = Call::query(ctx)?;
        let note = call.app().checkpoint(tree_size.map(|size| size.0)).map_err(shown)?;
        Ok(note.map(|note| checkpoint(&call, note)))
    }

    /// The proof that an event is in the log.
    async fn inclusion_proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where the event stands in the log.")] position: Position,
        #[graphql(desc = "In the tree of so many events; without it, in that of the newest checkpoint.")]
        tree_size: Option<Position>,
    ) -> async_graphql::Result<InclusionProof> {
        let call = Call::query(ctx)?;
        let wanted = witan_app::Position(position.0);
        let proved = call.app().inclusion_proof(&call.request, wanted, tree_size.map(|size| size.0)).await;
        let ProvedEvent { position, envelope, inclusion, checkpoint: note, bundle } = proved.map_err(shown)?;
        Ok(InclusionProof {
            position: Position(position.0),
            leaf_index: Position(inclusion.leaf_index),
            tree_size: Position(inclusion.tree_size),
            envelope: STANDARD.encode(&envelope),
            hashes: inclusion.hashes.iter().map(|hash| STANDARD.encode(hash)).collect(),
            checkpoint: checkpoint(&call, note),
            bundle: Json(bundle),
        })
    }

    /// The proof that the log of `newSize` events continues the one of `oldSize` events. For everyone.
    async fn consistency_proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The earlier size.")] old_size: Position,
        #[graphql(desc = "The later size.")] new_size: Position,
    ) -> async_graphql::Result<ConsistencyProof> {
        let call = Call::query(ctx)?;
        let proof = call.app().consistency_proof(old_size.0, new_size.0).map_err(shown)?;
        let note = |size: Position| -> async_graphql::Result<Checkpoint> {
            let note = call.app().checkpoint(Some(size.0)).map_err(shown)?;
            note.map(|note| checkpoint(&call, note)).ok_or_else(|| refusal("NO_SUCH_TREE_SIZE", "The log is empty."))
        };
        Ok(ConsistencyProof {
            old_size,
            new_size,
            bundle: Json(serde_json::to_value(&proof)?),
            hashes: proof.hashes,
            old_checkpoint: note(old_size)?,
            new_checkpoint: note(new_size)?,
        })
    }
}
