//! Damage: what is wrong, where; and which events are no longer served because of it.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use crate::Observer;

/// What is stored is not what was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {offset} (event {position}): {what}", file.display())]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    /// The first event that it touches.
    pub position: u64,
    pub what: String,
}

/// The damage found since the journal was opened.
pub struct Damages {
    observer: Arc<dyn Observer>,
    /// With the last event that each touches.
    found: RwLock<Vec<(Damage, u64)>>,
}

impl Damages {
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer, found: RwLock::default() }
    }

    /// Stops serving the events from the damage's position to `last`; says so the first time.
    pub fn note(&self, damage: Damage, last: u64) {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if found.iter().any(|(known, known_last)| *known == damage && *known_last >= last) {
            return;
        }
        tracing::error!(
            file = %damage.file.display(), offset = damage.offset, position = damage.position, last,
            what = damage.what, "the journal is damaged; what it touches is no longer served"
        );
        self.observer.damaged(&damage);
        found.push((damage, last));
    }

    /// Damage that touches any of these events.
    pub fn touching(&self, first: u64, last: u64) -> Option<Damage> {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        found.iter().find(|(damage, to)| damage.position <= last && *to >= first).map(|(damage, _)| damage.clone())
    }

    pub fn list(&self) -> Vec<Damage> {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        found.iter().map(|(damage, _)| damage.clone()).collect()
    }
}
