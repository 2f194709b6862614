//! Reading everything there is, up to head: also beside a running server.

use std::{collections::HashMap, fs::File, path::Path, time::Duration};

use bytes::Bytes;
use witan_event_store::Envelope;

use crate::{
    damage::Damage,
    format::{Chain, Footer, Head, SegmentHeader, segment_name},
    head,
    recover::{OpenError, check_format, missing},
    scan::{Fault, Frame, Record, Scan, ScanError, Step},
    segment::{note_sparse, read_footer},
};

/// Both of head's slots can be caught in the middle of a write, but hardly this often in a row.
const HEAD_TRIES: u32 = 20;
const PROGRESS_BYTES: u64 = 1 << 20;

/// How far a verification or a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub events: u64,
    pub bytes: u64,
    pub bytes_total: u64,
}

/// A journal in which every byte up to head is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    pub events: u64,
    pub bytes: u64,
    pub segments: u64,
    /// SHA-256 chained over all frames.
    pub chain: Chain,
    /// What lies behind head in the newest segment: commits that came after head was read or last synced, or the remains of
    /// one. Not verified here; opening the journal does.
    pub bytes_past_head: u64,
    /// One of head's two slots doesn't match its checksum. Nothing is lost, since the other one counts; the next commit
    /// but one writes it anew.
    pub head_slot_spoiled: bool,
}

/// Reads the whole journal up to head and checks every checksum, every place, the chain, every footer, that recorded time
/// never runs backwards, and that each stream's versions are 0, 1, 2, … Takes no lock.
///
/// Memory: a few MiB, and the name and version of every stream that there is, at most about 150 bytes each while the table
/// grows (a million streams, 150 MB).
pub fn verify(folder: impl AsRef<Path>, mut progress: impl FnMut(Progress)) -> Result<Whole, OpenError> {
    let folder = folder.as_ref();
    let (head, spoiled) = require_head(folder)?;
    let done = Progress { bytes_total: bytes_up_to(folder, &head)?, ..Progress::default() };
    let whole = verify_to(folder, &head, &mut progress, done)?;
    Ok(Whole { head_slot_spoiled: spoiled, ..whole })
}

/// The format checked, the newest head, and whether its other slot is spoiled.
pub fn require_head(folder: &Path) -> Result<(Head, bool), OpenError> {
    if !check_format(folder)? {
        return Err(OpenError::NotAJournal { folder: folder.into(), what: "it holds nothing" });
    }
    let file = folder.join(head::NAME);
    let mut tries = 0;
    loop {
        tries += 1;
        match head::read(folder).map_err(OpenError::io(&file))? {
            // A slot caught half-written hides the newest head: once more, unless it is spoiled for good.
            head::Found::Valid { spoiled: true, .. } if tries < HEAD_TRIES => {}
            head::Found::Valid { head, spoiled } => return Ok((head, spoiled)),
            head::Found::Missing => return Err(OpenError::HeadMissing { folder: folder.into() }),
            head::Found::Damaged(_) if tries < HEAD_TRIES => std::thread::sleep(Duration::from_millis(1)),
            head::Found::Damaged(what) => {
                return Err(Damage { file, offset: 0, position: 0, what: what.into() }.into());
            }
        }
    }
}

/// The segments up to head, by their first positions.
pub fn segments_to(folder: &Path, head: &Head) -> Result<Vec<u64>, OpenError> {
    let mut firsts = crate::recover::segments(folder).map_err(OpenError::io(folder))?;
    firsts.retain(|first| *first <= head.segment);
    Ok(firsts)
}

pub fn bytes_up_to(folder: &Path, head: &Head) -> Result<u64, OpenError> {
    let mut total = head.offset;
    for first in segments_to(folder, head)? {
        let path = folder.join(segment_name(first));
        if first < head.segment {
            total += std::fs::metadata(&path).map_err(OpenError::io(&path))?.len();
        }
    }
    Ok(total)
}

pub fn verify_to(
    folder: &Path,
    head: &Head,
    progress: &mut dyn FnMut(Progress),
    mut done: Progress,
) -> Result<Whole, OpenError> {
    let firsts = segments_to(folder, head)?;
    let began = done.bytes;
    let mut start = SegmentHeader { first: 1, chain: [0; 32] };
    let mut history = History::default();
    let mut bytes_past_head = 0;
    for number in 0.. {
        if firsts.get(number) != Some(&start.first) {
            return Err(missing(folder, start.first));
        }
        let path = folder.join(segment_name(start.first));
        let file = File::open(&path).map_err(OpenError::io(&path))?;
        let length = file.metadata().map_err(OpenError::io(&path))?.len();
        let newest = start.first == head.segment;
        let end = if newest { head.offset } else { length };
        let mut part = Part { history: &mut history, sparse: Vec::new(), head: newest.then_some(head) };
        let scanned = part.scan(&file, start, end, &mut |events, bytes| {
            done.events += events;
            done.bytes += bytes;
            if done.bytes % PROGRESS_BYTES < bytes {
                progress(done);
            }
        });
        let (next, chain) = scanned.map_err(OpenError::scan(&path))?;
        start = SegmentHeader { first: next, chain };
        if newest {
            bytes_past_head = length.saturating_sub(head.offset);
            break;
        }
    }
    progress(done);
    let (segments, bytes) = (firsts.len() as u64, done.bytes - began);
    Ok(Whole {
        events: start.first - 1,
        bytes,
        segments,
        chain: start.chain,
        bytes_past_head,
        head_slot_spoiled: false,
    })
}

/// What goes on from one segment to the next.
#[derive(Default)]
struct History {
    newest_at: u64,
    /// The version that each stream's next event must have.
    next_versions: HashMap<Box<str>, u64>,
}

impl History {
    /// Says what is wrong with the event that comes next.
    fn check(&mut self, record: &Record<'_>) -> Result<(), Fault> {
        let envelope = Envelope::try_new(Bytes::copy_from_slice(record.envelope));
        let envelope = envelope.map_err(|_| record.fault("a record that holds no envelope"))?;
        if envelope.recorded_at().0 < self.newest_at {
            return Err(record.fault("recorded time runs backwards"));
        }
        self.newest_at = envelope.recorded_at().0;
        let (stream, version) = (envelope.stream(), envelope.version());
        let due = self.next_versions.get_mut(stream);
        let expected = due.as_deref().copied().unwrap_or(0);
        if version != expected {
            let stream = stream.escape_debug();
            let what = format!("stream {stream} has version {version} where its version {expected} must be");
            return Err(record.fault(what));
        }
        match due {
            Some(due) => *due += 1,
            None => {
                self.next_versions.insert(stream.into(), 1);
            }
        }
        Ok(())
    }
}

/// One segment under verification.
struct Part<'a> {
    history: &'a mut History,
    sparse: Vec<(u64, u64)>,
    /// Where it must end, in the newest segment; the others end with a footer.
    head: Option<&'a Head>,
}

impl Part<'_> {
    /// The next segment's first position, and the chain hash before it. `done` is told of events and bytes.
    fn scan(
        &mut self,
        file: &File,
        start: SegmentHeader,
        end: u64,
        done: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, Chain), ScanError> {
        let mut scan = Scan::open(file, end, start)?;
        done(0, scan.offset);
        loop {
            let at = scan.offset;
            match scan.step()? {
                Step::Frame(frame) => {
                    self.check(&frame)?;
                    done(u64::from(frame.header.count), frame.bytes.len() as u64);
                }
                Step::End => break self.check_head(&scan)?,
                Step::Footer => {
                    self.check_footer(file, start.first, &scan)?;
                    done(0, end - at);
                    break;
                }
            }
        }
        Ok((scan.next, scan.chain))
    }

    /// What the scan doesn't: the envelopes, and how they follow each other.
    fn check(&mut self, frame: &Frame<'_>) -> Result<(), ScanError> {
        note_sparse(&mut self.sparse, frame.header.first, frame.offset);
        frame.records().try_for_each(|record| self.history.check(&record)).map_err(ScanError::Fault)
    }

    fn check_head(&self, scan: &Scan<'_>) -> Result<(), ScanError> {
        let fault = |what: &'static str| {
            ScanError::Fault(Fault { offset: scan.offset, position: scan.next, what: what.into() })
        };
        let head = self.head.ok_or_else(|| fault("a closed segment without its footer"))?;
        if scan.offset < head.offset {
            return Err(fault("the log ends before its head"));
        }
        if (scan.next - 1, scan.chain) != (head.position, head.chain) {
            return Err(fault("the log is not the one that head speaks of"));
        }
        Ok(())
    }

    fn check_footer(&self, file: &File, first: u64, scan: &Scan<'_>) -> Result<(), ScanError> {
        let fault = |what: &'static str| {
            ScanError::Fault(Fault { offset: scan.offset, position: scan.next, what: what.into() })
        };
        let (offset, footer) = read_footer(file, first)?;
        let count = scan.next - first;
        let (newest_at, sparse, chain) = (self.history.newest_at, self.sparse.clone(), scan.chain);
        if self.head.is_some() || offset != scan.offset || footer != (Footer { first, count, newest_at, chain, sparse })
        {
            return Err(fault("a footer that doesn't say what its segment holds"));
        }
        Ok(())
    }
}
