//! One process at a time: an advisory lock on a file that names its holder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::recover::OpenError;

const NAME: &str = "lock";

/// Locks the journal for this process, as long as the file stays open.
pub fn acquire(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(NAME);
    let failed = |error| OpenError::Io { path: path.clone(), error };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message: without it the journal is as locked.
            let _ = file.read_to_string(&mut pid);
            return Err(OpenError::Locked { folder: folder.into(), pid: pid.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // In place and always as long, so that a full disk doesn't keep an existing journal from opening.
    file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0).map_err(failed)?;
    Ok(file)
}
