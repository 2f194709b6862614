//! A reactor's cursor: a small file, written now and then. An old one costs work that is found done; none costs time.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use witan_event_store::{EventStore, Position, Recorded};

use crate::{Error, sources::hex};

/// How often a moving cursor is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    position: Position,
    /// Of the event at `position`, hexadecimal: a log that was cut and written anew does not have it.
    digest: String,
    /// What the reactor wants to keep beside its position.
    #[serde(default)]
    note: serde_json::Value,
}

pub struct CursorFile {
    path: PathBuf,
    now: Stored,
    written: Stored,
    written_at: Option<Instant>,
}

impl CursorFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, now: Stored::default(), written: Stored::default(), written_at: None }
    }

    /// Where the reactor stood. The beginning when there is no file that can be read, or the log is another.
    pub fn open(&mut self, store: &dyn EventStore) -> Result<Position, Error> {
        let Ok(bytes) = fs::read(&self.path) else { return Ok(Position(0)) };
        let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else { return Ok(Position(0)) };
        let digest = store.digest(stored.position)?.map(|digest| hex(&digest));
        if stored.position > Position(0) && digest.as_ref() != Some(&stored.digest) {
            tracing::warn!(position = stored.position.0, "the journal has another event at this cursor: reading all");
            return Ok(Position(0));
        }
        self.now = stored.clone();
        self.written = stored;
        Ok(self.now.position)
    }

    /// What the reactor kept, if it was of this shape.
    pub fn note<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        T::deserialize(&self.now.note).ok()
    }

    /// The reactor is done with this event.
    pub fn advance(&mut self, recorded: &Recorded) {
        self.now.position = recorded.position;
        if self.is_due() {
            self.now.digest = hex(&recorded.envelope.digest());
            self.flush();
        } else {
            // Hashed only when it is written: an event in between needs none.
            self.now.digest.clear();
        }
    }

    pub fn set_note(&mut self, note: &impl Serialize) -> Result<(), Error> {
        self.now.note = serde_json::to_value(note).map_err(Error::fault)?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "paces writes of a file, decides nothing")]
    fn is_due(&mut self) -> bool {
        let due = self.written_at.is_none_or(|at| at.elapsed() >= WRITE_EVERY);
        if due {
            self.written_at = Some(Instant::now());
        }
        due
    }

    /// Writes the cursor, unless its event was not hashed or the file says the same already. One that can't be written (a
    /// full disk) harms nothing: the old one costs work that is found done.
    pub fn flush(&mut self) {
        if self.now.digest.is_empty() || self.now == self.written {
            return;
        }
        match self.write() {
            Ok(()) => self.written = self.now.clone(),
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "a reactor's cursor can't be written"),
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&self.now)?;
        let beside = self.path.with_extension("new");
        fs::write(&beside, bytes)?;
        fs::rename(&beside, &self.path)
    }
}
