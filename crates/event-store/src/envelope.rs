//! The canonical envelope: the bytes of one event, the same in every store, and what the Merkle log hashes.
//!
//! All integers little-endian. The stream's version and the recorded time are given by the committer; everything else by
//! the caller.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | format: 1 |
//! | 1 | 1 | reserved: 0 |
//! | 2 | 2 | schema version of the payload |
//! | 4 | 8 | recorded time, microseconds since the Unix epoch |
//! | 12 | 8 | version in the stream, from 0 |
//! | 20 | 16 | event id (big-endian) |
//! | 36 | 16 | organization id (big-endian), 0 for none |
//! | 52 | 2 | length of the stream's name |
//! | 54 | 2 | length of the type's name |
//! | 56 | 4 | length of the metadata |
//! | 60 | 4 | length of the payload |
//! | 64 | … | stream, type, metadata (JSON), payload (JSON) |

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use witan_domain::{Actor, CorrelationId, EventId, OrganizationId, Private, Timestamp};

pub const HEADER_BYTES: usize = 64;
pub const STREAM_BYTES_MAX: usize = 255;
pub const TYPE_BYTES_MAX: usize = 255;
/// Metadata and payload together.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Events of one append: more than a session takes entries, since its end says of each that it is over.
pub const APPEND_EVENTS_MAX: usize = 12_000;
/// Metadata and payloads of one append together.
pub const APPEND_BYTES_MAX: usize = 16 << 20;

const RECORDED_AT: usize = 4;
const VERSION: usize = 12;

/// An event that is not recorded yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub id: EventId,
    /// The event's name, for example `SessionEnded`.
    pub kind: String,
    /// The version of the payload's shape, from 1; an upcaster leads from each to the next.
    pub schema: u16,
    /// [`Metadata`] as JSON.
    pub metadata: Bytes,
    /// The event's payload as JSON.
    pub data: Bytes,
}

/// What an envelope says of an event besides its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub actor: Actor,
    /// What ties together all that one request caused.
    pub correlation: CorrelationId,
    /// The event that this one is a reaction to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Private>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

/// Which request recorded the event, so that the same request again gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Hash of (organization, actor, key), hexadecimal.
    pub key: String,
    /// Hash of the input, hexadecimal.
    pub input: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an envelope: {0}")]
pub struct InvalidEnvelope(pub &'static str);

/// The canonical bytes, checked to be well formed.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope(Bytes);

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}@{}", self.kind(), self.stream(), self.version())
    }
}

impl Envelope {
    /// The bytes of a new event, with version and recorded time still 0: [`stamp`] sets them.
    pub fn unstamped(stream: &str, organization: Option<OrganizationId>, event: &NewEvent) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::unstamped_len(stream, event));
        Self::write_unstamped(&mut bytes, stream, organization, event);
        bytes
    }

    /// How many bytes [`Self::unstamped`] makes.
    pub fn unstamped_len(stream: &str, event: &NewEvent) -> usize {
        HEADER_BYTES + stream.len() + event.kind.len() + event.metadata.len() + event.data.len()
    }

    /// Appends what [`Self::unstamped`] makes.
    pub fn write_unstamped(bytes: &mut Vec<u8>, stream: &str, organization: Option<OrganizationId>, event: &NewEvent) {
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&event.schema.to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&event.id.0.to_be_bytes());
        bytes.extend_from_slice(&organization.map_or(0, |id| id.0).to_be_bytes());
        bytes.extend_from_slice(&(stream.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(event.kind.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(event.metadata.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(event.data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(stream.as_bytes());
        bytes.extend_from_slice(event.kind.as_bytes());
        bytes.extend_from_slice(&event.metadata);
        bytes.extend_from_slice(&event.data);
    }

    /// Checks the frame: lengths that add up, UTF-8 names. Metadata and payload are checked when they are decoded.
    pub fn try_new(bytes: Bytes) -> Result<Self, InvalidEnvelope> {
        if bytes.len() < HEADER_BYTES {
            return Err(InvalidEnvelope("shorter than its header"));
        }
        if bytes[0] != 1 || bytes[1] != 0 {
            return Err(InvalidEnvelope("unknown format"));
        }
        let envelope = Self(bytes);
        let names = envelope.stream_len() + envelope.kind_len();
        let total = (HEADER_BYTES + names) as u64 + u64::from(envelope.u32_at(56)) + u64::from(envelope.u32_at(60));
        if total != envelope.0.len() as u64 {
            return Err(InvalidEnvelope("its lengths don't add up"));
        }
        if std::str::from_utf8(&envelope.0[HEADER_BYTES..HEADER_BYTES + envelope.stream_len()]).is_err()
            || std::str::from_utf8(&envelope.0[HEADER_BYTES + envelope.stream_len()..HEADER_BYTES + names]).is_err()
        {
            return Err(InvalidEnvelope("a name that is not UTF-8"));
        }
        Ok(envelope)
    }

    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    pub fn schema(&self) -> u16 {
        self.u16_at(2)
    }

    pub fn recorded_at(&self) -> Timestamp {
        Timestamp(self.u64_at(RECORDED_AT))
    }

    pub fn version(&self) -> u64 {
        self.u64_at(VERSION)
    }

    pub fn id(&self) -> EventId {
        EventId(self.u128_at(20))
    }

    pub fn organization(&self) -> Option<OrganizationId> {
        Some(self.u128_at(36)).filter(|id| *id != 0).map(OrganizationId)
    }

    pub fn stream(&self) -> &str {
        std::str::from_utf8(&self.0[HEADER_BYTES..HEADER_BYTES + self.stream_len()]).unwrap_or_default()
    }

    /// The part of the stream's name before its id.
    pub fn category(&self) -> &str {
        let stream = self.stream();
        // Ids hold no '-', so the last one ends the category (`api-key-key_01…`).
        stream.rsplit_once('-').map_or(stream, |(category, _)| category)
    }

    /// The part of the stream's name after its category.
    pub fn stream_id(&self) -> &str {
        let stream = self.stream();
        stream.rsplit_once('-').map_or("", |(_, id)| id)
    }

    pub fn kind(&self) -> &str {
        let start = HEADER_BYTES + self.stream_len();
        std::str::from_utf8(&self.0[start..start + self.kind_len()]).unwrap_or_default()
    }

    pub fn metadata(&self) -> &[u8] {
        let start = HEADER_BYTES + self.stream_len() + self.kind_len();
        &self.0[start..start + self.u32_at(56) as usize]
    }

    pub fn data(&self) -> &[u8] {
        let start = HEADER_BYTES + self.stream_len() + self.kind_len() + self.u32_at(56) as usize;
        &self.0[start..]
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn stream_len(&self) -> usize {
        usize::from(self.u16_at(52))
    }

    fn kind_len(&self) -> usize {
        usize::from(self.u16_at(54))
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn u128_at(&self, at: usize) -> u128 {
        u128::from_be_bytes(self.array(at))
    }

    /// Only called for offsets inside the header, whose presence `try_new` has checked.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }
}

/// Gives an unstamped envelope its version and its recorded time, in place: the committer's part.
pub fn stamp(bytes: &mut [u8], version: u64, recorded_at: Timestamp) {
    bytes[RECORDED_AT..RECORDED_AT + 8].copy_from_slice(&recorded_at.0.to_le_bytes());
    bytes[VERSION..VERSION + 8].copy_from_slice(&version.to_le_bytes());
}
