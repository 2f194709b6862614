//! The file `head`: two slots, written in turn, of which the newest valid one says how far the log must reach.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use crate::{
    disk::Disk,
    format::{Chain, HEAD_SLOT_BYTES, HEAD_SLOT_OFFSETS, Head},
    scan::read_up_to,
};

pub const NAME: &str = "head";

/// What reading the file gave.
pub enum Found {
    Missing,
    /// Not one valid slot.
    Damaged(&'static str),
    /// The newest valid slot; `spoiled` when the other one was written and doesn't match its checksum.
    Valid {
        head: Head,
        spoiled: bool,
    },
}

/// Reads both slots. Beside a writer a slot can be caught half-written; the other one is valid then.
pub fn read(folder: &Path) -> io::Result<Found> {
    let file = match File::open(folder.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
        Err(error) => return Err(error),
    };
    let mut newest: Option<Head> = None;
    let mut problem = None;
    for offset in HEAD_SLOT_OFFSETS {
        let mut slot = Vec::new();
        read_up_to(&file, &mut slot, HEAD_SLOT_BYTES, offset)?;
        match Head::decode(&slot) {
            Ok(head) => newest = newest.filter(|newest| newest.sequence > head.sequence).or(Some(head)),
            Err(what) => problem = Some(what),
        }
    }
    Ok(match (newest, problem) {
        (Some(head), problem) => Found::Valid { head, spoiled: problem.is_some() },
        (None, problem) => Found::Damaged(problem.unwrap_or("it has no slot")),
    })
}

/// Writes the slots in turn.
pub struct HeadFile {
    file: File,
    sequence: u64,
    /// The position and the segment that the newest slot names.
    names: (u64, u64),
    /// Whether a slot was written since the last sync.
    unsynced: bool,
}

impl HeadFile {
    /// Opens the file, or makes it; slots continue after `sequence`.
    pub fn open(folder: &Path, sequence: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(NAME))?;
        Ok(Self { file, sequence, names: (0, 0), unsynced: false })
    }

    /// Writes the next slot; it is durable only after [`Self::sync`]. One that fails is written again next time, so that
    /// the other slot stays.
    pub fn write(&mut self, disk: &dyn Disk, position: u64, segment: u64, offset: u64, chain: Chain) -> io::Result<()> {
        let head = Head { sequence: self.sequence + 1, position, segment, offset, chain };
        disk.write_all_at(&self.file, &head.encode(), HEAD_SLOT_OFFSETS[(head.sequence % 2) as usize])?;
        self.sequence = head.sequence;
        self.names = (position, segment);
        self.unsynced = true;
        Ok(())
    }

    /// The position and the segment that were written last.
    pub fn names(&self) -> (u64, u64) {
        self.names
    }

    pub fn unsynced(&self) -> bool {
        self.unsynced
    }

    pub fn sync(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.unsynced {
            disk.sync(&self.file)?;
            self.unsynced = false;
        }
        Ok(())
    }
}
