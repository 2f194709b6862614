//! A journal's backup: a copy of it up to head, verified. Works beside a running server.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    Progress, RealDisk, Whole,
    disk::sync_folder,
    format::{Head, segment_name},
    head::HeadFile,
    recover::{OpenError, write_format},
    verify::{bytes_up_to, require_head, segments_to, verify_to},
};

const COPY_BYTES: u64 = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} is not empty: a backup goes into a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    #[error("the journal: {0}")]
    Source(OpenError),
    /// The copy was made, and isn't whole.
    #[error("the copy: {0}")]
    Copy(OpenError),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Copies the journal up to head into an empty (or new) folder, syncs it, and verifies the copy. The copy opens like any
/// journal; its stream index is rebuilt then.
pub fn backup(
    folder: impl AsRef<Path>,
    destination: impl AsRef<Path>,
    mut progress: impl FnMut(Progress),
) -> Result<Whole, BackupError> {
    let (folder, destination) = (folder.as_ref(), destination.as_ref());
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| BackupError::Io { path, error }
    };
    // The copy gets two good slots, whatever the source has.
    let (head, _) = require_head(folder).map_err(BackupError::Source)?;
    fs::create_dir_all(destination).map_err(io(destination))?;
    if fs::read_dir(destination).map_err(io(destination))?.next().is_some() {
        return Err(BackupError::NotEmpty(destination.into()));
    }
    let bytes = bytes_up_to(folder, &head).map_err(BackupError::Source)?;
    // Each byte is copied, then read back.
    let mut done = Progress { bytes_total: bytes * 2, ..Progress::default() };
    for first in segments_to(folder, &head).map_err(BackupError::Source)? {
        let limit = if first == head.segment { head.offset } else { u64::MAX };
        let (from, to) = (folder.join(segment_name(first)), destination.join(segment_name(first)));
        copy_file(&from, &to, limit, &mut |bytes| {
            done.bytes += bytes;
            progress(done);
        })
        .map_err(io(&from))?;
    }
    finish(destination, &head).map_err(io(destination))?;
    verify_to(destination, &head, &mut progress, done).map_err(BackupError::Copy)
}

fn copy_file(from: &Path, to: &Path, limit: u64, copied: &mut dyn FnMut(u64)) -> io::Result<()> {
    let (from, mut to) = (File::open(from)?, File::create_new(to)?);
    let mut left = limit.min(from.metadata()?.len());
    while left > 0 {
        let bytes = io::copy(&mut Read::take(&from, left.min(COPY_BYTES)), &mut to)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= bytes;
        copied(bytes);
    }
    to.sync_all()
}

/// Head and format come last: without them it doesn't count as a journal.
fn finish(destination: &Path, head: &Head) -> io::Result<()> {
    let mut copy = HeadFile::open(destination, head.sequence)?;
    for _ in 0..2 {
        copy.write(&RealDisk, head.position, head.segment, head.offset, head.chain)?;
    }
    copy.sync(&RealDisk)?;
    sync_folder(destination)?;
    write_format(destination)
}
