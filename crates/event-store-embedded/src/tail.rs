//! Reading the segment that the log ends in, up to its last whole commit.

use std::{fs::File, path::Path};

use bytes::Bytes;
use witan_event_store::Envelope;

use crate::{
    damage::Damage,
    format::{Chain, FrameHeader, Head, SegmentHeader},
    index::Run,
    recover::{Cut, OpenError},
    scan::{Fault, Frame, Scan, ScanError, Step},
    segment::note_sparse,
};

/// What a segment holds, as far as it is whole.
pub struct Tail {
    pub first: u64,
    /// Where its last whole frame ends.
    pub offset: u64,
    /// The position after its last event.
    pub next: u64,
    pub chain: Chain,
    pub newest_at: u64,
    pub sparse: Vec<(u64, u64)>,
    pub runs: Vec<(Box<str>, Run)>,
    /// Offset and bytes.
    pub last_frame: Option<(u64, usize)>,
    /// What lies behind it and has to go.
    pub cut: Option<Cut>,
}

/// How a segment should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last commit, or the remains of one more.
    Active,
    /// With its footer.
    Closed,
    /// With anything: a roll was interrupted.
    Rolling,
}

/// Reads all of a segment and checks that it reaches `head`, if that lies in it. Refuses damage before head, and damage with
/// a later frame behind it.
pub fn read(
    path: &Path,
    start: SegmentHeader,
    newest_at: u64,
    head: Option<&Head>,
    ending: Ending,
) -> Result<Tail, OpenError> {
    let file = File::open(path).map_err(OpenError::io(path))?;
    let mut scan = Scan::open(&file, u64::MAX, start).map_err(OpenError::scan(path))?;
    let mut tail = Tail {
        first: start.first,
        offset: scan.offset,
        next: start.first,
        chain: start.chain,
        newest_at,
        sparse: Vec::new(),
        runs: Vec::new(),
        last_frame: None,
        cut: None,
    };
    let mut reached = reaches(path, &tail, head, head.is_none())?;
    let ended = loop {
        match scan.step() {
            Ok(Step::Frame(frame)) => take(&mut tail, &frame, path)?,
            Ok(Step::End) => break Ok(false),
            Ok(Step::Footer) => break Ok(true),
            Err(ScanError::Fault(fault)) => break Err(fault),
            Err(error) => return Err(OpenError::scan(path)(error)),
        }
        (tail.offset, tail.next, tail.chain) = (scan.offset, scan.next, scan.chain);
        reached = reaches(path, &tail, head, reached)?;
    };
    let damage = |what: &'static str| Fault { offset: tail.offset, position: tail.next, what: what.into() };
    let refused = |fault| Err(OpenError::scan(path)(ScanError::Fault(fault)));
    if !reached {
        return refused(ended.err().unwrap_or(damage("the log ends before its head")));
    }
    match (ended, ending) {
        (Ok(true), Ending::Closed | Ending::Rolling) | (Ok(false), Ending::Active | Ending::Rolling) => Ok(tail),
        (Ok(false), Ending::Closed) => refused(damage("the segment lost its footer")),
        (Ok(true), Ending::Active) => refused(damage("the segment is closed, and the file of the next one is missing")),
        (Err(fault), Ending::Closed) => refused(fault),
        (Err(fault), Ending::Active | Ending::Rolling) => {
            if scan.later_frame().map_err(OpenError::io(path))?.is_some() {
                return refused(fault);
            }
            let bytes = file.metadata().map_err(OpenError::io(path))?.len() - tail.offset;
            let Fault { offset, position, what } = fault;
            tail.cut = Some(Cut { file: path.into(), offset, bytes, position, what: what.into() });
            Ok(tail)
        }
    }
}

/// Whether the log, read so far, has stood at head; refuses when it steps over head, or says another thing there.
fn reaches(path: &Path, tail: &Tail, head: Option<&Head>, reached: bool) -> Result<bool, OpenError> {
    let Some(head) = head else { return Ok(true) };
    if reached || tail.offset < head.offset {
        return Ok(reached);
    }
    if (tail.offset, tail.next - 1, tail.chain) == (head.offset, head.position, head.chain) {
        return Ok(true);
    }
    let what = "the log is not the one that head speaks of".into();
    Err(Damage { file: path.into(), offset: head.offset, position: head.position, what }.into())
}

fn take(tail: &mut Tail, frame: &Frame<'_>, path: &Path) -> Result<(), OpenError> {
    let FrameHeader { first, .. } = frame.header;
    note_sparse(&mut tail.sparse, first, frame.offset);
    tail.last_frame = Some((frame.offset, frame.bytes.len()));
    let (runs, newest_at) = runs(frame).map_err(|fault| OpenError::scan(path)(ScanError::Fault(fault)))?;
    tail.newest_at = newest_at;
    tail.runs.extend(runs);
    Ok(())
}

/// A frame's runs, and the recorded time of its last event.
pub fn runs(frame: &Frame<'_>) -> Result<(Vec<(Box<str>, Run)>, u64), Fault> {
    let mut runs: Vec<(Box<str>, Run)> = Vec::new();
    let mut newest_at = 0;
    for record in frame.records() {
        let envelope = Envelope::try_new(Bytes::copy_from_slice(record.envelope));
        let envelope = envelope.map_err(|_| record.fault("a record that holds no envelope"))?;
        newest_at = envelope.recorded_at().0;
        match runs.last_mut() {
            Some((stream, run)) if **stream == *envelope.stream() && run.last_version() + 1 == envelope.version() => {
                run.count += 1;
            }
            _ => {
                let (version, position, offset) = (envelope.version(), record.position, record.offset);
                runs.push((envelope.stream().into(), Run { version, position, offset, count: 1 }));
            }
        }
    }
    Ok((runs, newest_at))
}
