//! The bytes on the disk. All integers are little-endian; every byte of every structure is under a checksum or compared.
//!
//! The magics hold a byte that UTF-8 never has, so no event's JSON can look like the start of a frame.
//!
//! **Segment**, a file named for the position of its first event (`00000000000000000001.log`):
//!
//! | part | bytes | what |
//! | --- | --- | --- |
//! | header | 64 | magic 8, format 4, reserved 4, first position 8, chain hash before it 32, reserved 4, CRC32C 4 |
//! | frames | … | one a commit |
//! | footer | … | only when closed: see [`Footer`] |
//!
//! **Frame**: magic 4, bytes of its records 4, first position 8, count 4, CRC32C of these 20 bytes 4; the records; the chain
//! hash 32, which is SHA-256 over (chain hash before, header, records).
//!
//! **Record**: bytes of its envelope 4, CRC32C over length, position and envelope 4, position 8; the envelope.

use sha2::{Digest, Sha256};

/// The version of all this, in the file `FORMAT`.
pub const FORMAT: u32 = 1;

pub const SEGMENT_HEADER_BYTES: usize = 64;
pub const FRAME_HEADER_BYTES: usize = 24;
pub const RECORD_HEADER_BYTES: usize = 16;
pub const CHAIN_BYTES: usize = 32;
pub const HEAD_SLOT_BYTES: usize = 84;
/// The slots lie in different sectors, so that a torn write spoils one.
pub const HEAD_SLOT_OFFSETS: [u64; 2] = [0, 512];
/// More than any commit writes: a longer length is damage, not a reason to allocate.
pub const FRAME_BYTES_MAX: usize = 256 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"\xF7WITSEG\x01";
const HEAD_MAGIC: [u8; 8] = *b"\xF7WITHED\x01";
pub const FRAME_MAGIC: [u8; 4] = *b"\xF7WF\x01";
pub const FOOTER_MAGIC: [u8; 4] = *b"\xF7WE\x01";
const FOOTER_FIXED_BYTES: usize = 64;
const FOOTER_TAIL_BYTES: usize = 12;
const FOOTER_ENTRY_BYTES: usize = 16;

/// SHA-256 over every frame so far.
pub type Chain = [u8; CHAIN_BYTES];

/// Only for ranges that the caller knows to be inside.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub fn segment_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The position of the first event of a segment file with this name, if it is one.
pub fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub first: u64,
    /// The chain hash before its first frame.
    pub chain: Chain,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < SEGMENT_HEADER_BYTES {
            return Err("the segment ends within its header");
        }
        if bytes[..8] != SEGMENT_MAGIC {
            return Err("not the start of a segment");
        }
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err("the segment's header doesn't match its checksum");
        }
        if u32_at(bytes, 8) != FORMAT {
            return Err("a segment of another format");
        }
        Ok(Self { first: u64_at(bytes, 16), chain: array(bytes, 24) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of all its records.
    pub records_bytes: u32,
    pub first: u64,
    pub count: u32,
}

impl FrameHeader {
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.records_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < FRAME_HEADER_BYTES {
            return Err("the file ends within a frame's header");
        }
        if bytes[..4] != FRAME_MAGIC {
            return Err("not the start of a frame");
        }
        if crc32c::crc32c(&bytes[..20]) != u32_at(bytes, 20) {
            return Err("a frame's header doesn't match its checksum");
        }
        let header = Self { records_bytes: u32_at(bytes, 4), first: u64_at(bytes, 8), count: u32_at(bytes, 16) };
        if header.total() > FRAME_BYTES_MAX || header.count == 0 {
            return Err("a frame's header says what no commit writes");
        }
        Ok(header)
    }

    /// Bytes of the whole frame, its chain hash included.
    pub fn total(&self) -> usize {
        FRAME_HEADER_BYTES + self.records_bytes as usize + CHAIN_BYTES
    }

    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count) - 1)
    }
}

/// The chain hash after a frame (`header_and_records`: all of it but its own chain hash).
pub fn chain_after(before: &Chain, header_and_records: &[u8]) -> Chain {
    Sha256::new().chain_update(before).chain_update(header_and_records).finalize().into()
}

/// Writes a record's length and position into its header, and then its checksum.
pub fn seal_record(record: &mut [u8], position: u64) {
    let length = (record.len() - RECORD_HEADER_BYTES) as u32;
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&position.to_le_bytes());
    let crc = record_crc(record);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn record_crc(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// The bytes of the whole record that `bytes` begins with, by its length. `None` when not even its header is there.
pub fn record_bytes(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= RECORD_HEADER_BYTES).then(|| RECORD_HEADER_BYTES + u32_at(bytes, 0) as usize)
}

/// Checks a whole record: its checksum and its place.
pub fn check_record(record: &[u8], position: u64) -> Result<(), &'static str> {
    if record_crc(record) != u32_at(record, 4) {
        return Err("a record doesn't match its checksum");
    }
    if u64_at(record, 8) != position {
        return Err("a record at another's place");
    }
    Ok(())
}

/// What ends a closed segment: magic 4, entries 4, first position 8, events 8, newest recorded time 8, chain hash 32;
/// entries of (position 8, offset 8); CRC32C of all before 4, bytes of the footer 4, magic 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub first: u64,
    pub count: u64,
    pub newest_at: u64,
    /// The chain hash after its last frame.
    pub chain: Chain,
    /// Sparse index: (first position of a frame, its offset).
    pub sparse: Vec<(u64, u64)>,
}

impl Footer {
    pub fn encode(&self) -> Vec<u8> {
        let total = FOOTER_FIXED_BYTES + self.sparse.len() * FOOTER_ENTRY_BYTES + FOOTER_TAIL_BYTES;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes.extend_from_slice(&(self.sparse.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.newest_at.to_le_bytes());
        bytes.extend_from_slice(&self.chain);
        for (position, offset) in &self.sparse {
            bytes.extend_from_slice(&position.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend_from_slice(&(total as u32).to_le_bytes());
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes
    }

    pub const TAIL_BYTES: usize = FOOTER_TAIL_BYTES;

    /// How long the footer is that ends with these [`Self::TAIL_BYTES`] bytes.
    pub fn length(tail: &[u8]) -> Result<u64, &'static str> {
        if tail.len() != FOOTER_TAIL_BYTES || tail[8..] != FOOTER_MAGIC {
            return Err("a closed segment without its footer");
        }
        Ok(u64::from(u32_at(tail, 4)))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < FOOTER_FIXED_BYTES + FOOTER_TAIL_BYTES || bytes[..4] != FOOTER_MAGIC {
            return Err("not a footer");
        }
        let (body, tail) = bytes.split_at(bytes.len() - FOOTER_TAIL_BYTES);
        let entries = u32_at(bytes, 4) as usize;
        if Self::length(tail)? != bytes.len() as u64 || body.len() != FOOTER_FIXED_BYTES + entries * FOOTER_ENTRY_BYTES
        {
            return Err("a footer whose lengths don't add up");
        }
        if crc32c::crc32c(body) != u32_at(tail, 0) {
            return Err("a footer that doesn't match its checksum");
        }
        let sparse = body[FOOTER_FIXED_BYTES..].chunks_exact(FOOTER_ENTRY_BYTES);
        Ok(Self {
            first: u64_at(bytes, 8),
            count: u64_at(bytes, 16),
            newest_at: u64_at(bytes, 24),
            chain: array(bytes, 32),
            sparse: sparse.map(|entry| (u64_at(entry, 0), u64_at(entry, 8))).collect(),
        })
    }
}

/// How far the log must reach: one slot of the file `head`. Magic 8, sequence 8, position 8, segment 8, offset 8, chain hash
/// 32, reserved 8, CRC32C 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts the slots written; the newest valid one counts.
    pub sequence: u64,
    /// The newest event's position, 0 for none.
    pub position: u64,
    /// The first position of the segment that the log ends in.
    pub segment: u64,
    /// Where in that segment the last frame (or its header) ends.
    pub offset: u64,
    pub chain: Chain,
}

impl Head {
    pub fn encode(&self) -> [u8; HEAD_SLOT_BYTES] {
        let mut bytes = [0; HEAD_SLOT_BYTES];
        bytes[..8].copy_from_slice(&HEAD_MAGIC);
        for (index, number) in [self.sequence, self.position, self.segment, self.offset].into_iter().enumerate() {
            bytes[8 + index * 8..16 + index * 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..72].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&bytes[..80]);
        bytes[80..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEAD_SLOT_BYTES {
            return Err("the head's slot is cut short");
        }
        if bytes[..8] != HEAD_MAGIC {
            return Err("the head's slot doesn't begin like one");
        }
        if crc32c::crc32c(&bytes[..80]) != u32_at(bytes, 80) {
            return Err("the head's slot doesn't match its checksum");
        }
        Ok(Self {
            sequence: u64_at(bytes, 8),
            position: u64_at(bytes, 16),
            segment: u64_at(bytes, 24),
            offset: u64_at(bytes, 32),
            chain: array(bytes, 40),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_structure_reads_back_and_every_flipped_bit_is_seen() {
        let header = SegmentHeader { first: 9, chain: [7; 32] };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        let frame = FrameHeader { records_bytes: 300, first: 9, count: 2 };
        assert_eq!(FrameHeader::decode(&frame.encode()), Ok(frame));
        let footer = Footer { first: 9, count: 20, newest_at: 5, chain: [3; 32], sparse: vec![(9, 64), (12, 70_000)] };
        assert_eq!(Footer::decode(&footer.encode()), Ok(footer.clone()));
        let head = Head { sequence: 4, position: 28, segment: 9, offset: 900, chain: [3; 32] };
        assert_eq!(Head::decode(&head.encode()), Ok(head));
        let mut record = vec![0; RECORD_HEADER_BYTES + 100];
        seal_record(&mut record, 9);
        assert_eq!(check_record(&record, 9), Ok(()));
        assert!(check_record(&record, 8).is_err());
        flip_each(&header.encode(), |bytes| SegmentHeader::decode(bytes).is_err());
        flip_each(&frame.encode(), |bytes| FrameHeader::decode(bytes).is_err());
        flip_each(&footer.encode(), |bytes| Footer::decode(bytes).is_err());
        flip_each(&head.encode(), |bytes| Head::decode(bytes).is_err());
        flip_each(&record, |bytes| record_bytes(bytes) != Some(record.len()) || check_record(bytes, 9).is_err());
    }

    fn flip_each(bytes: &[u8], seen: impl Fn(&[u8]) -> bool) {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(seen(&damaged), "bit {bit} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn names_of_segments() {
        assert_eq!(segment_first(&segment_name(42)), Some(42));
        assert_eq!(segment_first("42.log"), None);
        assert_eq!(segment_first("+0000000000000000042.log"), None);
        assert_eq!(segment_first("99999999999999999999.log"), None);
    }
}
