//! Finding where the log ends: from segment to segment by their footers, and the newest one read whole.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    sync::Arc,
};

use crate::{
    damage::Damage,
    disk::{Disk, is_full, sync_folder},
    format::{Footer, Head, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    head,
    recover::{Cut, OpenError, Opened, missing, segments},
    scan::{Fault, ScanError, read_up_to},
    segment::{Segment, read_footer},
    tail::{self, Ending, Tail},
};

/// The log, as it was found.
pub struct Log {
    /// First positions.
    pub closed: Vec<u64>,
    pub active: Arc<Segment>,
    pub tail: Tail,
}

/// How a segment begins: what its header must say, and the newest recorded time before it.
#[derive(Clone, Copy)]
struct Start {
    header: SegmentHeader,
    newest_at: u64,
}

/// Follows the segments by their footers to the last one, and reads that whole.
pub fn find(folder: &Path, head: &Head, disk: &dyn Disk, opened: &mut Opened) -> Result<Log, OpenError> {
    let mut firsts = segments(folder).map_err(OpenError::io(folder))?;
    let mut start = Start { header: SegmentHeader { first: 1, chain: [0; 32] }, newest_at: 0 };
    if let Some(unmet) = [1, head.segment].into_iter().find(|first| !firsts.contains(first)) {
        return Err(missing(folder, unmet));
    }
    for index in 0..firsts.len() {
        let first = firsts[index];
        if first != start.header.first {
            return Err(missing(folder, start.header.first));
        }
        if let Some(successor) = firsts.get(index + 1).copied() {
            let is_last_roll = index + 2 == firsts.len();
            let mut roll = Roll { folder, head, disk, opened, successor, is_last_roll };
            if let Some(next) = roll.closed(start)? {
                start = next;
                continue;
            }
            // The roll was undone: this is the newest segment again.
            firsts.truncate(index + 1);
        }
        let path = folder.join(segment_name(first));
        let head = Some(head).filter(|head| head.segment == first);
        let tail = tail::read(&path, start.header, start.newest_at, head, Ending::Active)?;
        opened.cut = opened.cut.take().or_else(|| tail.cut.clone());
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(OpenError::io(&path))?;
        let active = Arc::new(Segment::new(first, file, tail.sparse.clone()));
        firsts.truncate(index);
        return Ok(Log { closed: firsts, active, tail });
    }
    Err(missing(folder, start.header.first))
}

/// The passage from a segment to its successor.
struct Roll<'a> {
    folder: &'a Path,
    head: &'a Head,
    disk: &'a dyn Disk,
    opened: &'a mut Opened,
    successor: u64,
    is_last_roll: bool,
}

impl Roll<'_> {
    /// How the successor begins; `None` when the successor was never begun, and is gone.
    fn closed(&mut self, start: Start) -> Result<Option<Start>, OpenError> {
        let first = start.header.first;
        let path = self.folder.join(segment_name(first));
        let head_is_here = self.head.segment == first;
        if head_is_here && !self.is_last_roll {
            let what = "head lies before more than one later segment".into();
            let file = self.folder.join(head::NAME);
            return Err(Damage { file, offset: 0, position: self.head.position, what }.into());
        }
        let footer = match closed_segment(&path, start.header) {
            Ok(footer) if head_is_here => {
                tail::read(&path, start.header, start.newest_at, Some(self.head), Ending::Closed)?;
                // Head had not left it: perhaps because the sync of this footer failed, and only memory holds it.
                self.write_footer(&path, None, &footer).map_err(OpenError::io(&path))?;
                footer
            }
            Ok(footer) => footer,
            Err(damage) if head_is_here => return self.finish(&path, start, damage),
            Err(damage) => return Err(OpenError::scan(&path)(damage)),
        };
        let header = SegmentHeader { first: first + footer.count, chain: footer.chain };
        Ok(Some(Start { header, newest_at: footer.newest_at }))
    }

    /// A segment without a valid footer, with an empty successor, and head still in it: the roll was interrupted. With a
    /// whole successor the footer is written now; one that is torn itself was never begun, and is removed. Anything else
    /// is damage.
    fn finish(&mut self, path: &Path, start: Start, damage: ScanError) -> Result<Option<Start>, OpenError> {
        let tail = tail::read(path, start.header, start.newest_at, Some(self.head), Ending::Rolling)?;
        let next = self.folder.join(segment_name(self.successor));
        let file = File::open(&next).map_err(OpenError::io(&next))?;
        let mut bytes = Vec::new();
        read_up_to(&file, &mut bytes, SEGMENT_HEADER_BYTES + 1, 0).map_err(OpenError::io(&next))?;
        if bytes.len() > SEGMENT_HEADER_BYTES {
            return Err(OpenError::scan(path)(damage));
        }
        let whole = SegmentHeader { first: tail.next, chain: tail.chain };
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header == whole => {}
            Ok(_) => return Err(OpenError::scan(path)(damage)),
            Err(what) => {
                let (file, bytes) = (next.clone(), bytes.len() as u64);
                self.opened.cut = Some(Cut { file, offset: 0, bytes, position: self.successor, what: what.into() });
                return self.undo(&next);
            }
        }
        self.opened.roll_finished = true;
        let footer = Footer {
            first: tail.first,
            count: tail.next - tail.first,
            newest_at: tail.newest_at,
            chain: tail.chain,
            sparse: tail.sparse,
        };
        self.write_header(&next, whole).map_err(OpenError::io(&next))?;
        match self.write_footer(path, Some(tail.offset), &footer) {
            Ok(()) => Ok(Some(Start { header: whole, newest_at: tail.newest_at })),
            // The new segment holds no event yet: without it, the old one is the newest again.
            Err(error) if is_full(&error) => {
                cut(path, tail.offset, self.disk).map_err(OpenError::io(path))?;
                self.undo(&next)
            }
            Err(error) => Err(OpenError::io(path)(error)),
        }
    }

    fn undo(&self, successor: &Path) -> Result<Option<Start>, OpenError> {
        let removed = fs::remove_file(successor).and_then(|()| sync_folder(self.folder));
        removed.map_err(OpenError::io(successor)).map(|()| None)
    }

    /// Again, in place and with its folder: no footer is on the disk before its successor is.
    fn write_header(&self, successor: &Path, header: SegmentHeader) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(successor)?;
        self.disk.write_all_at(&file, &header.encode(), 0)?;
        self.disk.sync(&file)?;
        sync_folder(self.folder)
    }

    /// Where the frames end; `None` writes again the one that is there, in place.
    fn write_footer(&self, path: &Path, offset: Option<u64>, footer: &Footer) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let bytes = footer.encode();
        let offset = match offset {
            Some(offset) => {
                file.set_len(offset)?;
                offset
            }
            None => file.metadata()?.len() - bytes.len() as u64,
        };
        self.disk.write_all_at(&file, &bytes, offset)?;
        self.disk.sync(&file)
    }
}

/// The footer of a closed segment whose header says what the one before it says.
fn closed_segment(path: &Path, expected: SegmentHeader) -> Result<Footer, ScanError> {
    let file = File::open(path)?;
    let mut header = Vec::new();
    read_up_to(&file, &mut header, SEGMENT_HEADER_BYTES, 0)?;
    let fault = |what: &'static str| ScanError::Fault(Fault { offset: 0, position: expected.first, what: what.into() });
    if SegmentHeader::decode(&header).map_err(fault)? != expected {
        return Err(fault("the segment doesn't continue the one before it"));
    }
    read_footer(&file, expected.first).map(|(_, footer)| footer)
}

/// Leaves a segment as it was before its footer.
fn cut(path: &Path, offset: u64, disk: &dyn Disk) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    file.set_len(offset)?;
    disk.sync(&file)
}
