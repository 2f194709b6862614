//! Reading events out of one segment by position, without a copy beyond the one from the page cache.

use std::{
    fs::File,
    path::Path,
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use witan_event_store::{Envelope, Position, Recorded};

use crate::{
    format::{
        CHAIN_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Footer, FrameHeader, RECORD_HEADER_BYTES,
        SEGMENT_HEADER_BYTES, check_record, record_bytes, segment_name,
    },
    scan::{Fault, ScanError, read_up_to},
};

/// A frame gets an entry in the sparse index when it begins this many bytes after the last that has one.
pub const SPARSE_BYTES: u64 = 16 << 10;
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CHUNK_BYTES_MAX: usize = 512 << 10;
/// A guess at an event's size, to read the right amount at once.
const EVENT_BYTES_GUESS: usize = 512;

pub struct Segment {
    pub first: u64,
    pub file: File,
    /// (first position of a frame, its offset), ascending, about one each [`SPARSE_BYTES`].
    sparse: RwLock<Vec<(u64, u64)>>,
}

/// Where a reader stands inside a segment.
struct Place {
    offset: u64,
    /// The next record's position.
    position: u64,
    /// Records of the current frame that are still to come; 0 stands before a frame's header.
    left: u32,
}

impl Segment {
    pub fn new(first: u64, file: File, sparse: Vec<(u64, u64)>) -> Self {
        Self { first, file, sparse: RwLock::new(sparse) }
    }

    /// Opens a closed segment by its footer.
    pub fn open_closed(folder: &Path, first: u64) -> Result<(Self, Footer), ScanError> {
        let file = File::open(folder.join(segment_name(first)))?;
        let (_, footer) = read_footer(&file, first)?;
        Ok((Self::new(first, file, footer.sparse.clone()), footer))
    }

    /// Notes a frame in the sparse index, where it is due for an entry.
    pub fn note_frame(&self, position: u64, offset: u64) {
        let mut sparse = self.sparse.write().unwrap_or_else(PoisonError::into_inner);
        note_sparse(&mut sparse, position, offset);
    }

    pub fn sparse(&self) -> Vec<(u64, u64)> {
        self.sparse.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands out the events `first..=last` until `take` says that it is enough; all of them must be in this segment and
    /// durable.
    pub fn read(&self, first: u64, last: u64, take: impl FnMut(Recorded) -> bool) -> Result<(), ScanError> {
        let place = {
            let sparse = self.sparse.read().unwrap_or_else(PoisonError::into_inner);
            let after = sparse.partition_point(|(position, _)| *position <= first);
            match after.checked_sub(1).and_then(|index| sparse.get(index)) {
                Some((position, offset)) => Place { offset: *offset, position: *position, left: 0 },
                None => Place { offset: SEGMENT_HEADER_BYTES as u64, position: self.first, left: 0 },
            }
        };
        self.read_from(place, first, last, take)
    }

    /// The digest of one event.
    pub fn digest(&self, position: u64) -> Result<[u8; 32], ScanError> {
        let mut digest = [0; 32];
        self.read(position, position, |event| {
            digest = event.envelope.digest();
            true
        })?;
        Ok(digest)
    }

    /// Appends `count` events of one frame that begin at a known offset to `found`.
    pub fn read_run(&self, position: u64, offset: u64, count: u32, found: &mut Vec<Recorded>) -> Result<(), ScanError> {
        let place = Place { offset, position, left: count };
        self.read_from(place, position, position + u64::from(count) - 1, |event| {
            found.push(event);
            true
        })
    }

    fn read_from(
        &self,
        mut place: Place,
        first: u64,
        last: u64,
        mut take: impl FnMut(Recorded) -> bool,
    ) -> Result<(), ScanError> {
        let guess = |from: u64| {
            let events = usize::try_from((last + 1).saturating_sub(from)).unwrap_or(usize::MAX);
            events.saturating_mul(EVENT_BYTES_GUESS).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
        };
        let mut size = guess(first);
        loop {
            let mut chunk = Vec::new();
            read_up_to(&self.file, &mut chunk, size, place.offset)?;
            let ends = chunk.len() < size;
            let Some(needed) = place.walk(&Bytes::from(chunk), first, last, &mut take)? else { return Ok(()) };
            if ends {
                return Err(place.fault("the file ends before the event"));
            }
            size = guess(place.position).max(needed);
        }
    }
}

impl Place {
    fn fault(&self, what: &'static str) -> ScanError {
        ScanError::Fault(Fault { offset: self.offset, position: self.position, what: what.into() })
    }

    /// Hands out what `chunk`, which begins at `offset`, holds of the events `first..=last`. Says how many bytes the next
    /// step needs; `None` when there is none.
    fn walk(
        &mut self,
        chunk: &Bytes,
        first: u64,
        last: u64,
        take: &mut impl FnMut(Recorded) -> bool,
    ) -> Result<Option<usize>, ScanError> {
        let start = self.offset;
        while self.position <= last {
            let at = (self.offset - start) as usize;
            let rest = chunk.get(at..).unwrap_or_default();
            if self.left == 0 {
                if rest.len() < FRAME_HEADER_BYTES {
                    return Ok(Some(FRAME_HEADER_BYTES));
                }
                self.enter_frame(rest, first)?;
                continue;
            }
            let Some(length) = record_bytes(rest) else { return Ok(Some(RECORD_HEADER_BYTES)) };
            if length > FRAME_BYTES_MAX {
                return Err(self.fault("a record longer than any commit writes"));
            }
            if self.position >= first {
                if rest.len() < length {
                    return Ok(Some(length));
                }
                check_record(&rest[..length], self.position).map_err(|what| self.fault(what))?;
                let envelope = Envelope::try_new(chunk.slice(at + RECORD_HEADER_BYTES..at + length));
                let envelope = envelope.map_err(|_| self.fault("a record that holds no envelope"))?;
                if !take(Recorded { position: Position(self.position), envelope }) {
                    return Ok(None);
                }
            }
            self.offset += length as u64;
            self.position += 1;
            self.left -= 1;
            if self.left == 0 {
                self.offset += CHAIN_BYTES as u64;
            }
        }
        Ok(None)
    }

    /// Steps over a frame's header, or over the whole frame where it ends before `first`.
    fn enter_frame(&mut self, bytes: &[u8], first: u64) -> Result<(), ScanError> {
        let header = FrameHeader::decode(bytes).map_err(|what| self.fault(what))?;
        if header.first != self.position {
            return Err(self.fault("a frame at another's place"));
        }
        if header.last() < first {
            self.offset += header.total() as u64;
            self.position = header.last() + 1;
        } else {
            self.offset += FRAME_HEADER_BYTES as u64;
            self.left = header.count;
        }
        Ok(())
    }
}

/// Adds a frame to a sparse index, where it is due for an entry.
pub fn note_sparse(sparse: &mut Vec<(u64, u64)>, position: u64, offset: u64) {
    if sparse.last().is_none_or(|(_, last)| offset >= last + SPARSE_BYTES) {
        sparse.push((position, offset));
    }
}

/// The footer of a closed segment, and where it begins.
pub fn read_footer(file: &File, first: u64) -> Result<(u64, Footer), ScanError> {
    let length = file.metadata()?.len();
    let fault = |offset, what: &'static str| ScanError::Fault(Fault { offset, position: first, what: what.into() });
    let mut tail = Vec::new();
    read_up_to(file, &mut tail, Footer::TAIL_BYTES, length.saturating_sub(Footer::TAIL_BYTES as u64))?;
    let bytes = Footer::length(&tail).map_err(|what| fault(length, what))?;
    let start = length.saturating_sub(bytes);
    let mut footer = Vec::new();
    read_up_to(file, &mut footer, bytes.min(length) as usize, start)?;
    let footer = Footer::decode(&footer).map_err(|what| fault(start, what))?;
    if footer.first != first {
        return Err(fault(start, "the footer of another segment"));
    }
    Ok((start, footer))
}
