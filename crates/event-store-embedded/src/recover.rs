//! Opening: finds where the log ends, refuses what is damaged, and makes sure of the last commit before anything is served.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;
use witan_domain::Timestamp;
use witan_event_store::Position;

use crate::{
    Options,
    commit::{Committer, End},
    damage::{Damage, Damages},
    disk::{Disk, sync_folder},
    end::{self, Log},
    format::{FORMAT, Head, SEGMENT_HEADER_BYTES, SegmentHeader, segment_first, segment_name},
    head::{self, HeadFile},
    lock,
    read::{Layout, Reader},
    reindex,
    scan::{ScanError, read_up_to},
    segment::Segment,
    tail::Tail,
};

const FORMAT_NAME: &str = "FORMAT";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by {}: one process at a time may open a journal", folder.display(), holder(*pid))]
    Locked { folder: PathBuf, pid: Option<u32> },
    #[error("this journal has format {found}, and this witan knows formats up to {FORMAT}: a newer witan wrote it")]
    Newer { found: u32 },
    #[error("{} is not a journal: {what}", folder.display())]
    NotAJournal { folder: PathBuf, what: &'static str },
    #[error("{} has no file `head`, so nobody can say how far its log must reach", folder.display())]
    HeadMissing { folder: PathBuf },
    #[error("refused: {0}")]
    Damaged(#[from] Damage),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

impl OpenError {
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    pub fn scan(path: &Path) -> impl FnOnce(ScanError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            ScanError::Io(error) => Self::Io { path, error },
            ScanError::Fault(fault) => Self::Damaged(Damage {
                file: path,
                offset: fault.offset,
                position: fault.position,
                what: fault.what.into(),
            }),
        }
    }
}

/// What was cut off the log's end: the remains of a commit that nobody was told had succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// The position that its first event would have had.
    pub position: u64,
    pub what: String,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub events: u64,
    pub segments: u64,
    /// There was no journal, and one was made.
    pub created: bool,
    pub cut: Option<Cut>,
    /// Why the stream index was rebuilt, if it was.
    pub index_rebuilt: Option<String>,
    /// One of head's two slots didn't match its checksum; the other one counted.
    pub head_slot_spoiled: bool,
    /// A roll was interrupted, and has been finished.
    pub roll_finished: bool,
}

/// A journal that is ready to be read, and the committer that can write it.
pub fn open(folder: &Path, options: &Options) -> Result<(Arc<Reader>, Committer, Opened, File), OpenError> {
    fs::create_dir_all(folder).map_err(OpenError::io(folder))?;
    let lock = lock::acquire(folder)?;
    let mut opened = Opened { created: !check_format(folder)?, ..Opened::default() };
    if opened.created {
        create(folder, &*options.disk).map_err(OpenError::io(folder))?;
    }
    let head = read_head(folder, &mut opened)?;
    let Log { closed, active, tail } = end::find(folder, &head, &*options.disk, &mut opened)?;
    make_sure(folder, &active, &tail, &*options.disk)?;
    let mut head_file = HeadFile::open(folder, head.sequence).map_err(OpenError::io(folder))?;
    head_file
        .write(&*options.disk, tail.next - 1, active.first, tail.offset, tail.chain)
        .and_then(|()| head_file.sync(&*options.disk))
        .map_err(OpenError::io(&folder.join(head::NAME)))?;
    let Tail { offset, next, chain, newest_at, runs, .. } = tail;
    opened.events = next - 1;
    opened.segments = closed.len() as u64 + 1;
    let layout = Layout { closed, active: active.clone() };
    let index = reindex::open(folder, options.index, &layout, next - 1, &mut opened)?;
    index.note(runs.iter().map(|(stream, run)| (&**stream, *run)));
    let (durable, watched) = watch::channel(Position(next - 1));
    let damages = Damages::new(options.observer.clone());
    let reader = Arc::new(Reader::new(folder.into(), layout, index, watched, damages));
    let end = End { segment: active, offset, position: next - 1, chain, newest_at: Timestamp(newest_at) };
    let committer = Committer::new(reader.clone(), end, head_file, options, durable);
    say(&opened);
    Ok((reader, committer, opened, lock))
}

fn say(opened: &Opened) {
    if let Some(Cut { file, offset, bytes, position, what }) = &opened.cut {
        tracing::warn!(
            file = %file.display(), offset, bytes, position, what,
            "cut the remains of an unfinished commit off the journal's end"
        );
    }
    if let Some(why) = &opened.index_rebuilt {
        tracing::warn!(why, "the stream index was rebuilt from the journal");
    }
    if opened.head_slot_spoiled {
        tracing::warn!("one slot of head was spoiled; the other one counts");
    }
}

/// Whether there is a journal, of a format that we know. Older formats are upgraded here, once there are any.
pub fn check_format(folder: &Path) -> Result<bool, OpenError> {
    let path = folder.join(FORMAT_NAME);
    let not = |what| OpenError::NotAJournal { folder: folder.into(), what };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It is written last when a journal is made: without it there must be no event.
            return match has_events(folder).map_err(OpenError::io(folder))? {
                true => Err(not("it holds events, but its file FORMAT is missing")),
                false => Ok(false),
            };
        }
        Err(error) => return Err(OpenError::Io { path, error }),
    };
    let text = String::from_utf8(text).unwrap_or_default();
    let number = text.strip_prefix("witan journal ").and_then(|rest| rest.strip_suffix('\n'));
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => Ok(true),
        Some(found) if found > FORMAT => Err(OpenError::Newer { found }),
        _ => Err(not("its file FORMAT doesn't say a journal's format")),
    }
}

fn has_events(folder: &Path) -> io::Result<bool> {
    for first in segments(folder)? {
        let length = fs::metadata(folder.join(segment_name(first)))?.len();
        if first != 1 || length > SEGMENT_HEADER_BYTES as u64 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first positions of all segment files, ascending.
pub fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder)? {
        firsts.extend(entry?.file_name().to_str().and_then(segment_first));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes an empty journal; `FORMAT` comes last, so that a crash in between leaves nothing that counts as one.
fn create(folder: &Path, disk: &dyn Disk) -> io::Result<()> {
    let start = SegmentHeader { first: 1, chain: [0; 32] };
    let segment = File::create(folder.join(segment_name(1)))?;
    disk.write_all_at(&segment, &start.encode(), 0)?;
    disk.sync(&segment)?;
    File::create(folder.join(head::NAME))?;
    let mut head = HeadFile::open(folder, 0)?;
    for _ in 0..2 {
        head.write(disk, 0, 1, SEGMENT_HEADER_BYTES as u64, start.chain)?;
    }
    head.sync(disk)?;
    sync_folder(folder)?;
    write_format(folder)?;
    match folder.canonicalize()?.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

pub fn write_format(folder: &Path) -> io::Result<()> {
    let draft = folder.join("FORMAT.tmp");
    fs::write(&draft, format!("witan journal {FORMAT}\n"))?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, folder.join(FORMAT_NAME))?;
    sync_folder(folder)
}

fn read_head(folder: &Path, opened: &mut Opened) -> Result<Head, OpenError> {
    let file = folder.join(head::NAME);
    match head::read(folder).map_err(OpenError::io(&file))? {
        head::Found::Missing => Err(OpenError::HeadMissing { folder: folder.into() }),
        head::Found::Damaged(what) => Err(Damage { file, offset: 0, position: 0, what: what.into() }.into()),
        head::Found::Valid { head, spoiled } => {
            opened.head_slot_spoiled = spoiled;
            Ok(head)
        }
    }
}

pub fn missing(folder: &Path, first: u64) -> OpenError {
    let file = folder.join(segment_name(first));
    Damage { file, offset: 0, position: first, what: "the file is missing".into() }.into()
}

/// Cuts off what isn't a whole commit, then writes the last commit again in place and syncs it with its folder: a sync that
/// failed earlier may have left clean pages that never reached the disk.
fn make_sure(folder: &Path, active: &Segment, tail: &Tail, disk: &dyn Disk) -> Result<(), OpenError> {
    let again = || {
        if tail.cut.is_some() {
            active.file.set_len(tail.offset)?;
        }
        let (offset, bytes) = tail.last_frame.unwrap_or((0, SEGMENT_HEADER_BYTES));
        let mut last = Vec::new();
        read_up_to(&active.file, &mut last, bytes, offset)?;
        disk.write_all_at(&active.file, &last, offset)?;
        disk.sync(&active.file)?;
        sync_folder(folder)
    };
    again().map_err(OpenError::io(&folder.join(segment_name(active.first))))
}
