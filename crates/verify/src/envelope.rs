//! Reads the canonical envelope: the bytes of one event, whose SHA-256 is the entry of its leaf in the Merkle log.
//!
//! The layout is the event store's (its `envelope` module has the table), read here a second time on purpose: an auditor's
//! copy of this crate must not change when the server does.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::tree::Hash;

const HEADER_BYTES: usize = 64;

/// Why bytes are not an event's canonical envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvelope {
    #[error("{found} bytes are fewer than the 64 of an envelope's header")]
    Short { found: usize },
    #[error("format {format} is unknown, only 1 is known")]
    Format { format: u8 },
    #[error("its header speaks of {expected} bytes, there are {found}")]
    Length { expected: u64, found: u64 },
    #[error("the name of its {name} is not UTF-8")]
    Name { name: &'static str },
}

/// What an event's envelope says. Metadata and payload are the stored JSON, in which personal data is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The version of the payload's shape.
    pub schema: u16,
    /// Microseconds since 1970-01-01T00:00:00Z, by the clock of who recorded it.
    pub recorded_at: u64,
    /// Its place in its stream, from 0.
    pub version: u64,
    pub id: u128,
    /// The tenant; `None` for the deployment's own streams.
    pub organization: Option<u128>,
    pub stream: String,
    /// The event's name, for example `SessionEnded`.
    pub kind: String,
    pub metadata: Vec<u8>,
    pub data: Vec<u8>,
    /// SHA-256 of the canonical bytes.
    pub digest: Hash,
}

impl Event {
    /// Reads canonical bytes. Metadata and payload are taken as they are: the digest covers every byte of them.
    pub fn try_from_bytes(bytes: &[u8]) -> Result<Self, InvalidEnvelope> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(InvalidEnvelope::Short { found: bytes.len() });
        };
        if header[0] != 1 || header[1] != 0 {
            return Err(InvalidEnvelope::Format { format: if header[0] == 1 { header[1] } else { header[0] } });
        }
        let lengths = [
            usize::from(u16::from_le_bytes(array(header, 52))),
            usize::from(u16::from_le_bytes(array(header, 54))),
            u32::from_le_bytes(array(header, 56)) as usize,
            u32::from_le_bytes(array(header, 60)) as usize,
        ];
        let expected = lengths.iter().map(|length| *length as u64).sum::<u64>() + HEADER_BYTES as u64;
        if expected != bytes.len() as u64 {
            return Err(InvalidEnvelope::Length { expected, found: bytes.len() as u64 });
        }
        let (stream, rest) = rest.split_at(lengths[0]);
        let (kind, rest) = rest.split_at(lengths[1]);
        let (metadata, data) = rest.split_at(lengths[2]);
        let organization = u128::from_be_bytes(array(header, 36));
        Ok(Self {
            schema: u16::from_le_bytes(array(header, 2)),
            recorded_at: u64::from_le_bytes(array(header, 4)),
            version: u64::from_le_bytes(array(header, 12)),
            id: u128::from_be_bytes(array(header, 20)),
            organization: Some(organization).filter(|id| *id != 0),
            stream: name("stream", stream)?,
            kind: name("type", kind)?,
            metadata: metadata.to_vec(),
            data: data.to_vec(),
            digest: Sha256::digest(bytes).into(),
        })
    }

    /// The event's id in its text form.
    pub fn id_text(&self) -> String {
        format!("event_{}", ulid(self.id))
    }

    /// The tenant's id in its text form.
    pub fn organization_text(&self) -> Option<String> {
        self.organization.map(|id| format!("organization_{}", ulid(id)))
    }

    /// The recorded time as RFC 3339 writes it, in UTC with microseconds.
    pub fn recorded_at_text(&self) -> String {
        rfc3339(self.recorded_at)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), version {} of {}", self.kind, self.id_text(), self.version, self.stream)
    }
}

fn name(what: &'static str, bytes: &[u8]) -> Result<String, InvalidEnvelope> {
    String::from_utf8(bytes.to_vec()).map_err(|_| InvalidEnvelope::Name { name: what })
}

/// Only called for fields inside the header.
fn array<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&header[at..at + N]);
    array
}

/// 26 characters of Crockford's base 32, most significant first: the text form of a ULID.
fn ulid(value: u128) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    (0..26).rev().map(|digit| char::from(ALPHABET[(value >> (5 * digit)) as usize & 31])).collect()
}

/// Days to dates in the proleptic Gregorian calendar, with years that begin in March so that the leap day comes last.
fn rfc3339(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Vec<u8> {
        let mut bytes = vec![1, 0, 3, 0];
        bytes.extend(1_750_000_000_123_456_u64.to_le_bytes());
        bytes.extend(7_u64.to_le_bytes());
        bytes.extend(42_u128.to_be_bytes());
        bytes.extend(0_u128.to_be_bytes());
        bytes.extend(9_u16.to_le_bytes());
        bytes.extend(12_u16.to_le_bytes());
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(b"session-xSessionEnded{}{\"a\":1 }");
        bytes
    }

    #[test]
    fn what_an_envelope_says() {
        let bytes = envelope();
        let event = Event::try_from_bytes(&bytes).unwrap();
        assert_eq!((event.stream.as_str(), event.kind.as_str()), ("session-x", "SessionEnded"));
        assert_eq!((event.schema, event.version, event.organization), (3, 7, None));
        assert_eq!((event.metadata.as_slice(), event.data.as_slice()), (&b"{}"[..], &b"{\"a\":1 }"[..]));
        assert_eq!(event.id_text(), "event_0000000000000000000000001A");
        assert_eq!(event.recorded_at_text(), "2025-06-15T15:06:40.123456Z");
        assert_eq!(event.digest, <Hash>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn no_truncation_is_an_envelope() {
        let bytes = envelope();
        for length in 0..bytes.len() {
            assert!(Event::try_from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Event::try_from_bytes(&bytes).is_ok());
        assert_eq!(Event::try_from_bytes(&[&bytes[..], b"x"].concat()).unwrap_err().to_string(), {
            format!("its header speaks of {} bytes, there are {}", bytes.len(), bytes.len() + 1)
        });
        let mut other = bytes.clone();
        other[0] = 2;
        assert_eq!(Event::try_from_bytes(&other), Err(InvalidEnvelope::Format { format: 2 }));
        let mut other = bytes;
        other[64] = 0xff;
        assert_eq!(Event::try_from_bytes(&other), Err(InvalidEnvelope::Name { name: "stream" }));
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(rfc3339(4_107_542_399_999_999), "2100-02-28T23:59:59.999999Z");
        assert_eq!(rfc3339(4_107_542_400_000_000), "2100-03-01T00:00:00.000000Z");
        rfc3339(u64::MAX);
    }

    #[test]
    fn ulids() {
        assert_eq!(ulid(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    }
}
