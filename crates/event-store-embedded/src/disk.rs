//! What the journal asks of the disk, in one place, so that tests can make it fail.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// The two calls that a commit consists of.
pub trait Disk: Send + Sync + 'static {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when the file's data (and its length) would survive a power loss.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The real one.
pub struct RealDisk;

impl Disk for RealDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether a write failed for lack of room: then it can be undone, and tried again later.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
