//! Small files that are written whole or not at all, and folders that are durable.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::LedgerError;

/// Says what could not be done with which file.
pub fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> LedgerError + 'a {
    move |source| LedgerError::Io { doing, path: path.to_owned(), source }
}

/// Makes the folder and its parents, and the folder's own entry durable.
pub fn make_folder(path: &Path) -> Result<(), LedgerError> {
    fs::create_dir_all(path).map_err(failed("make", path))?;
    sync_folder(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    // The parent of a bare name is the empty path, which means the current folder.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// The file's text, or nothing when there is no such file.
pub fn find_text(path: &Path) -> Result<Option<String>, LedgerError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces the file: whoever opens it, before or after a power loss, finds the old bytes or the new ones. `mode` are its
/// permissions from the first moment.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), LedgerError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    // A rest of a crash would keep the permissions that it had.
    remove(&new)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(failed("make", &new))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("replace", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Removes a file that may not be there.
pub fn remove(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
