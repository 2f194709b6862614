//! Reading a segment from front to back, checking everything: at open, by `verify`, the scrub, and the rebuilding of the
//! index.

use std::{borrow::Cow, fs::File, io};

use rustix::buffer::spare_capacity;

use crate::format::{
    CHAIN_BYTES, Chain, FOOTER_MAGIC, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES, SegmentHeader, array, chain_after, check_record, record_bytes, u64_at,
};

const READ_BYTES: usize = 1 << 20;

/// What is wrong, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub offset: u64,
    /// Where the events begin that it touches.
    pub position: u64,
    pub what: Cow<'static, str>,
}

#[derive(Debug)]
pub enum ScanError {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A frame that has been checked.
pub struct Frame<'a> {
    pub header: FrameHeader,
    pub offset: u64,
    pub bytes: &'a [u8],
}

pub struct Record<'a> {
    pub position: u64,
    pub offset: u64,
    pub envelope: &'a [u8],
}

impl Record<'_> {
    pub fn fault(&self, what: impl Into<Cow<'static, str>>) -> Fault {
        Fault { offset: self.offset, position: self.position, what: what.into() }
    }
}

impl<'a> Frame<'a> {
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let (bytes, start) = (self.bytes, self.offset);
        let mut at = FRAME_HEADER_BYTES;
        std::iter::from_fn(move || {
            if at + CHAIN_BYTES >= bytes.len() {
                return None;
            }
            let record = &bytes[at..at + record_bytes(&bytes[at..])?];
            let offset = start + at as u64;
            at += record.len();
            Some(Record { position: u64_at(record, 8), offset, envelope: &record[RECORD_HEADER_BYTES..] })
        })
    }
}

pub enum Step<'a> {
    Frame(Frame<'a>),
    /// The end that was given, or that of the file, at the end of a frame.
    End,
    /// A footer begins here.
    Footer,
}

/// Where a scan stands: everything before is checked.
pub struct Scan<'a> {
    file: &'a File,
    /// Reads stop here.
    end: u64,
    pub offset: u64,
    /// The next event's position.
    pub next: u64,
    /// The chain hash of everything before.
    pub chain: Chain,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    buffer_at: u64,
}

impl<'a> Scan<'a> {
    /// Starts at a segment's header, which must say what the log before it says.
    pub fn open(file: &'a File, end: u64, expected: SegmentHeader) -> Result<Self, ScanError> {
        let mut scan = Self {
            file,
            end: end.min(file.metadata()?.len()),
            offset: 0,
            next: expected.first,
            chain: expected.chain,
            buffer: Vec::new(),
            buffer_at: 0,
        };
        let header = SegmentHeader::decode(scan.fill(SEGMENT_HEADER_BYTES)?).map_err(|what| scan.fault(what))?;
        if header != expected {
            return Err(scan.fault("the segment doesn't continue the one before it"));
        }
        scan.offset = SEGMENT_HEADER_BYTES as u64;
        Ok(scan)
    }

    fn fault(&self, what: &'static str) -> ScanError {
        ScanError::Fault(Fault { offset: self.offset, position: self.next, what: what.into() })
    }

    /// The bytes from `offset` on, `wanted` of them, fewer only at the end.
    fn fill(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let start = (self.offset - self.buffer_at) as usize;
        if self.buffer.len() < start + wanted {
            self.buffer.drain(..start);
            self.buffer_at = self.offset;
            let target = wanted.max(READ_BYTES) as u64;
            let target = target.min(self.end.saturating_sub(self.offset)) as usize;
            read_up_to(self.file, &mut self.buffer, target, self.offset)?;
        }
        let start = (self.offset - self.buffer_at) as usize;
        let available = self.buffer.len() - start;
        Ok(&self.buffer[start..start + available.min(wanted)])
    }

    /// Checks the next frame wholly (header, every record, chain hash), and steps over it.
    pub fn step(&mut self) -> Result<Step<'_>, ScanError> {
        let bytes = self.fill(FRAME_HEADER_BYTES)?;
        if bytes.is_empty() {
            return Ok(Step::End);
        }
        if bytes.starts_with(&FOOTER_MAGIC) {
            return Ok(Step::Footer);
        }
        let header = FrameHeader::decode(bytes).map_err(|what| self.fault(what))?;
        if header.first != self.next {
            return Err(self.fault("a frame at another's place"));
        }
        let before = self.chain;
        let offset = self.offset;
        let bytes = self.fill(header.total())?;
        let chain = match check_frame(&before, &header, bytes) {
            Ok(chain) => chain,
            Err(what) => return Err(self.fault(what)),
        };
        self.offset += header.total() as u64;
        self.next += u64::from(header.count);
        self.chain = chain;
        let start = (offset - self.buffer_at) as usize;
        Ok(Step::Frame(Frame { header, offset, bytes: &self.buffer[start..start + header.total()] }))
    }

    /// Steps over a frame that is damaged behind its header, and believes its chain hash. Returns its last position; `None`
    /// where the header itself is damaged, so that nobody knows where the next frame begins.
    pub fn step_over(&mut self) -> io::Result<Option<u64>> {
        let next = self.next;
        let Ok(header) = FrameHeader::decode(self.fill(FRAME_HEADER_BYTES)?) else { return Ok(None) };
        let bytes = self.fill(header.total())?;
        if header.first != next || bytes.len() < header.total() {
            return Ok(None);
        }
        let chain = array(bytes, bytes.len() - CHAIN_BYTES);
        self.offset += header.total() as u64;
        self.next += u64::from(header.count);
        self.chain = chain;
        Ok(Some(header.last()))
    }

    /// Whether, after a bad or missing frame, the header of a later one follows. Then it isn't a torn last commit.
    pub fn later_frame(&mut self) -> io::Result<Option<u64>> {
        let (at, next) = (self.offset, self.next);
        self.offset += 1;
        let found = loop {
            let bytes = self.fill(READ_BYTES)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                break None;
            }
            let candidates = bytes.windows(FRAME_HEADER_BYTES).enumerate();
            let later = |window: &[u8]| {
                window.starts_with(&FRAME_MAGIC) && FrameHeader::decode(window).is_ok_and(|header| header.first >= next)
            };
            if let Some((index, _)) = candidates.into_iter().find(|(_, window)| later(window)) {
                break Some(self.offset + index as u64);
            }
            self.offset += (bytes.len() - FRAME_HEADER_BYTES + 1) as u64;
        };
        self.offset = at;
        // The buffer may begin after `offset` now.
        self.buffer.clear();
        self.buffer_at = at;
        Ok(found)
    }
}

fn check_frame(before: &Chain, header: &FrameHeader, bytes: &[u8]) -> Result<Chain, &'static str> {
    if bytes.len() < header.total() {
        return Err("the file ends within a frame");
    }
    let (body, stored) = bytes.split_at(bytes.len() - CHAIN_BYTES);
    let mut rest = &body[FRAME_HEADER_BYTES..];
    for position in (header.first..).take(header.count as usize) {
        let length = record_bytes(rest).filter(|length| *length <= rest.len());
        let length = length.ok_or("a record that doesn't fit its frame")?;
        check_record(&rest[..length], position)?;
        rest = &rest[length..];
    }
    if !rest.is_empty() {
        return Err("a frame with more than its records");
    }
    let chain = chain_after(before, body);
    if chain != *stored {
        return Err("the chain hash doesn't match");
    }
    Ok(chain)
}

/// Appends to `buffer` until it has `target` bytes or the file ends; `at` is where in the file the buffer begins.
pub fn read_up_to(file: &File, buffer: &mut Vec<u8>, target: usize, at: u64) -> io::Result<()> {
    buffer.reserve_exact(target.saturating_sub(buffer.len()));
    while buffer.len() < target {
        let offset = at + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(buffer), offset) {
            Ok(0) => break,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The capacity may be more than what was asked for.
    buffer.truncate(target);
    Ok(())
}
