//! Damage in the read models' files that shows only when a row is read: it is told, and the next start rebuilds.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::ProjectionError;

/// Whether the rows can be trusted, and a file beside them that says so to the next start.
#[derive(Debug)]
pub(crate) struct Damage {
    mark: PathBuf,
    seen: OnceLock<String>,
}

impl Damage {
    pub(crate) fn of(folder: &Path) -> Self {
        Self { mark: folder.with_extension("damaged"), seen: OnceLock::new() }
    }

    /// Whether an earlier process has left the mark.
    pub(crate) fn is_marked(&self) -> bool {
        self.mark.exists()
    }

    /// The rows were made anew.
    pub(crate) fn unmark(&self) {
        if let Err(error) = fs::remove_file(&self.mark)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the next start rebuilds the read models once more");
        }
    }

    pub(crate) fn seen(&self) -> Option<&str> {
        self.seen.get().map(String::as_str)
    }

    /// Notes damage, and nothing else that may go wrong with a read.
    pub(crate) fn note(&self, error: &ProjectionError) {
        let damaged = match error {
            ProjectionError::Database(error) => error.kind() == rocksdb::ErrorKind::Corruption,
            ProjectionError::Row(_) => true,
            ProjectionError::NoTable(_)
            | ProjectionError::Event { .. }
            | ProjectionError::Misfit { .. }
            | ProjectionError::OtherLog { .. }
            | ProjectionError::Read(_)
            | ProjectionError::Cancelled
            | ProjectionError::Rebuilding => false,
        };
        if damaged && self.seen.set(format!("{error}; a restart rebuilds them")).is_ok() {
            tracing::error!(%error, "the read models are damaged: a restart rebuilds them");
            if let Err(error) = fs::write(&self.mark, b"") {
                tracing::error!(%error, "that can't be noted for the next start: delete the folder `read-models` before it");
            }
        }
    }
}
