//! The port to the event store: append, read, follow. Adapters implement [`EventStore`]; [`contract`] is the suite that
//! each of them must pass.

pub mod contract;
pub mod envelope;
pub mod follow;
pub mod memory;

use async_trait::async_trait;
use bytes::Bytes;
pub use envelope::{Envelope, Metadata, NewEvent};
pub use follow::Follower;
use witan_domain::{OrganizationId, Timestamp};

/// Where an event stands in the order of all events. Strictly increasing, the first is 1; opaque otherwise (dense only in
/// the embedded journal). 0 stands for "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// What the caller believes of the stream that it appends to. Versions count a stream's events from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    Any,
    NoStream,
    Exactly(u64),
}

/// One append: all of its events or none, in one stream. An empty list of events is refused.
#[derive(Clone, Debug)]
pub struct Append {
    /// At most [`envelope::STREAM_BYTES_MAX`] bytes of printable ASCII.
    pub stream: String,
    /// The tenant, or `None` for the deployment's own streams.
    pub organization: Option<OrganizationId>,
    pub expected: ExpectedVersion,
    pub events: Vec<NewEvent>,
    /// The caller's clock; the committer never lets recorded time run backwards.
    pub now: Timestamp,
}

impl Append {
    /// Refuses what no store can record: every adapter asks this before anything else.
    pub fn check(&self) -> Result<(), AppendError> {
        let invalid = |what: &str| Err(AppendError::Invalid(what.to_owned()));
        if self.stream.is_empty() || self.stream.len() > envelope::STREAM_BYTES_MAX {
            return invalid("a stream's name has 1 to 255 bytes");
        }
        if !self.stream.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("a stream's name is printable ASCII without spaces");
        }
        if self.events.is_empty() || self.events.len() > envelope::APPEND_EVENTS_MAX {
            return invalid("an append has 1 to 12,000 events");
        }
        let mut bytes = 0;
        for event in &self.events {
            if event.kind.is_empty() || event.kind.len() > envelope::TYPE_BYTES_MAX {
                return invalid("a type's name has 1 to 255 bytes");
            }
            if event.schema == 0 {
                return invalid("schema versions begin at 1");
            }
            let size = event.metadata.len().saturating_add(event.data.len());
            if size > envelope::EVENT_BYTES_MAX {
                return invalid("an event's metadata and payload have at most 1 MiB");
            }
            bytes += size;
        }
        if bytes > envelope::APPEND_BYTES_MAX {
            return invalid("an append has at most 16 MiB");
        }
        Ok(())
    }

    /// Compares what the caller believes of the stream with its actual version.
    pub fn expect(&self, actual: Option<u64>) -> Result<(), AppendError> {
        let as_believed = match self.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual.is_none(),
            ExpectedVersion::Exactly(version) => actual == Some(version),
        };
        if as_believed {
            return Ok(());
        }
        Err(AppendError::Conflict { stream: self.stream.clone(), expected: self.expected, actual })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub first: Position,
    pub last: Position,
    /// The stream's version after the append: that of its last event.
    pub version: u64,
    pub recorded_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("stream {stream}: expected {expected:?}, is at {actual:?}")]
    Conflict { stream: String, expected: ExpectedVersion, actual: Option<u64> },
    #[error("the disk is full: nothing was recorded; writes go on when there is room")]
    Full,
    /// Recorded or not, nobody can tell before the store is opened again.
    #[error("the outcome is unknown: a sync failed, and nothing more is written until a restart")]
    OutcomeUnknown,
    #[error("the event store is stopped: {0}")]
    Stopped(String),
    #[error("not an append that can be recorded: {0}")]
    Invalid(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is stored does not say what was stored: nothing from there on is served.
    #[error("damaged at position {}: {what}", position.0)]
    Damaged { position: Position, what: String },
    #[error("can't read: {0}")]
    Io(#[from] std::io::Error),
    #[error("the event store is stopped: {0}")]
    Stopped(String),
}

/// The envelopes of one page of [`EventStore::read_all`] have no more bytes together than this, so that a follower's memory
/// doesn't depend on how large events are. A single event always fits.
pub const PAGE_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(
    PAGE_BYTES_MAX
        >= envelope::HEADER_BYTES + envelope::STREAM_BYTES_MAX + envelope::TYPE_BYTES_MAX + envelope::EVENT_BYTES_MAX
);

/// An event as it is stored: its position and the canonical bytes of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub position: Position,
    pub envelope: Envelope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Records the events durably, or says why not. Returns only after they would survive a power loss.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// At most `max` events of one stream, from version `from` on (inclusive), in the given direction. A stream that does
    /// not exist is empty. `from` past the end is clamped when reading backward and empty when reading forward.
    fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError>;

    /// At most `max` events of all streams and at most [`PAGE_BYTES_MAX`] of them, from `from` on (inclusive), in the
    /// given direction; only what is durable. Only an empty page says that there is nothing more.
    fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError>;

    /// The version of the stream's last event, if it has any.
    fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError>;

    /// The position of the newest durable event (0 when there is none), and a way to wait for newer ones.
    fn durable(&self) -> tokio::sync::watch::Receiver<Position>;

    /// SHA-256 of the canonical envelope bytes at this position, if there is such an event: followers keep it beside
    /// their cursor, so that a log that was cut and written anew is noticed.
    fn digest(&self, position: Position) -> Result<Option<[u8; 32]>, ReadError> {
        let found = self.read_all(position, Direction::Forward, 1)?;
        Ok(found.into_iter().find(|event| event.position == position).map(|event| event.envelope.digest()))
    }
}

/// Raw canonical bytes, where only those matter (the Merkle log, backup, export).
pub type CanonicalBytes = Bytes;
