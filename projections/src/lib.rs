//! Read models: the events folded into RocksDB rows, one file for each model. All of it can be deleted and rebuilt.
//!
//! [`ReadModels`] opens the database and is what readers ask; [`ReadModels::run`] is the one follower that writes.

pub mod audit;
pub mod changes;
pub mod chat;
mod damage;
mod database;
pub mod desk;
pub mod directory;
pub mod follower;
pub mod media;
pub mod models;
pub mod organizations;
pub mod page;
pub mod replay;
pub mod rooms;
pub mod row;
pub mod sessions;
pub mod table;
pub mod users;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rocksdb::{DB, Options};
use tokio::sync::watch;
use witan_domain::aggregate::DecodeError;
use witan_event_store::{EventStore, Follower, Position, ReadError, Recorded};

pub use changes::Changes;
use damage::Damage;
pub use database::{Batch, Database};
pub use follower::{BATCH_EVENTS_MAX, Cursor, Fold, Projection};
pub use page::{Listed, PAGE_ROWS_MAX, Page};
pub use replay::{Comparison, Difference};
pub use row::Row;
pub use table::{Key, Lines, Rows, Table};

/// Why a read model can't be read or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    #[error("the read models' database: {0}")]
    Database(#[from] rocksdb::Error),
    #[error("a row that can't be read: {0}")]
    Row(#[from] postcard::Error),
    #[error("the read models have no table {0}")]
    NoTable(&'static str),
    #[error("can't handle the event at position {}: {source}", position.0)]
    Event { position: Position, source: DecodeError },
    /// The event at this position speaks of something that no earlier event made.
    #[error("the event at position {} does not fit what came before it: {what}", position.0)]
    Misfit { position: Position, what: &'static str },
    #[error("{projection} stands at position {}, where the log now has another event or none: rebuild it", position.0)]
    OtherLog { projection: &'static str, position: Position },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("stopped before its end, as it was asked to")]
    Cancelled,
    #[error("a read model is being rebuilt: there is nothing to compare with before it has caught up with the others")]
    Rebuilding,
}

impl ProjectionError {
    /// Nothing of the batch was written, and it can be tried again: RocksDB goes on by itself when there is room.
    fn is_full_disk(&self) -> bool {
        // The binding gives the kind of an error and its text; what the kind of I/O error is stands only there.
        matches!(self, Self::Database(error) if error.kind() == rocksdb::ErrorKind::IOError
            && error.as_ref().contains("No space left on device"))
    }
}

/// How long a batch waits for room on a full disk before it is tried again.
const FULL_DISK_RETRIED_AFTER: Duration = Duration::from_secs(1);

/// How the follower is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub position: Position,
    /// Why it stopped, once it has.
    pub stopped: Option<String>,
}

/// What folding has cost so far, for metrics.
#[derive(Debug, Default)]
pub struct Folding {
    nanoseconds: AtomicU64,
    events: AtomicU64,
}

impl Folding {
    #[expect(clippy::disallowed_methods, reason = "measures a duration, decides nothing")]
    fn time<T>(&self, batch: &[Recorded], fold: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let result = fold();
        self.nanoseconds.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.events.fetch_add(batch.len() as u64, Relaxed);
        result
    }

    /// (nanoseconds in all, how many events).
    pub fn read(&self) -> (u64, u64) {
        (self.nanoseconds.load(Relaxed), self.events.load(Relaxed))
    }
}

/// The read models of one data folder.
pub struct ReadModels {
    db: Arc<Database>,
    progress: watch::Sender<Progress>,
    pub changes: Changes,
    pub folding: Folding,
    damage: Arc<Damage>,
    /// Until the follower takes it.
    fold: Mutex<Option<Fold>>,
}

impl ReadModels {
    /// Opens or makes the database in `folder`. What does not open is damaged or half-made and holds nothing that can't
    /// be rebuilt, so it is deleted and made anew.
    pub fn open(folder: &Path) -> Result<Self, ProjectionError> {
        let damage = Arc::new(Damage::of(folder));
        if damage.is_marked() {
            tracing::warn!("damage was found in the read models: they are rebuilt from the journal");
            DB::destroy(&Options::default(), folder)?;
        }
        let (db, fold) = match open_models(folder) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "the read models don't open: they are rebuilt from the journal");
                DB::destroy(&Options::default(), folder)?;
                open_models(folder)?
            }
        };
        damage.unmark();
        // Until the follower has seen that the journal is still the one that was folded, nothing is known.
        let progress = watch::Sender::new(Progress::default());
        Ok(Self {
            db,
            progress,
            changes: Changes::default(),
            folding: Folding::default(),
            damage,
            fold: Mutex::new(Some(fold)),
        })
    }

    /// A table's rows, for a read model's queries.
    pub(crate) fn rows(&self, table: &'static str) -> Rows {
        Rows::watched(Arc::clone(&self.db), table, Arc::clone(&self.damage))
    }

    /// Follows the log until `stop` changes or an event can't be handled; then it says why in [`Progress`] and stays
    /// where it is. Leaves at a safe point: rows and cursors on disk.
    pub async fn run(
        self: Arc<Self>,
        store: Arc<dyn EventStore>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ProjectionError> {
        let fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut fold) = fold else { return Ok(()) };
        let result = self.follow(&mut fold, store, &mut stop).await;
        if let Err(error) = &result {
            self.damage.note(error);
            tracing::error!(%error, position = fold.position().0, "the read models have stopped");
            let stopped = Some(error.to_string());
            self.progress.send_modify(|progress| progress.stopped = stopped);
            self.changes.end();
        }
        self.flush()?;
        result
    }

    async fn follow(
        &self,
        fold: &mut Fold,
        store: Arc<dyn EventStore>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), ProjectionError> {
        match fold.check(store.as_ref()) {
            Ok(()) => {}
            Err(ProjectionError::OtherLog { projection, position }) => {
                tracing::warn!(
                    projection,
                    position = position.0,
                    "the journal has another event there: rebuilding all"
                );
                *fold = Fold::rebuilt(Arc::clone(&self.db), models::all(&self.db))?;
            }
            Err(error) => return Err(error),
        }
        self.tell(fold.position(), &[]);
        let mut follower = Follower::new(store, fold.position());
        loop {
            let batch = tokio::select! {
                batch = follower.next_batch(BATCH_EVENTS_MAX) => batch?,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            // Folding is CPU and file work of milliseconds: it does not belong on the threads that answer requests.
            while let Err(error) = tokio::task::block_in_place(|| self.folding.time(&batch, || fold.apply(&batch))) {
                if !error.is_full_disk() {
                    return Err(error);
                }
                tracing::warn!(%error, "the read models wait for room on the disk");
                tokio::select! {
                    () = tokio::time::sleep(FULL_DISK_RETRIED_AFTER) => {}
                    _ = stop.wait_for(|stop| *stop) => return Ok(()),
                }
            }
            self.tell(fold.position(), &batch);
        }
    }

    fn tell(&self, position: Position, batch: &[Recorded]) {
        self.progress.send_modify(|progress| progress.position = position);
        self.changes.tell(batch);
    }

    /// The damage that was found in the rows since they were opened, if any: what a reader is told may be missing.
    pub fn damage(&self) -> Option<&str> {
        self.damage.seen()
    }

    /// How far the rows are, and whether they still move.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits until the rows show everything up to `position`. False after `patience`, or when the follower has stopped.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> bool {
        if self.progress.borrow().position >= position {
            return true;
        }
        let mut progress = self.progress.subscribe();
        let there = progress.wait_for(|progress| progress.position >= position || progress.stopped.is_some());
        match tokio::time::timeout(patience, there).await {
            Ok(Ok(progress)) => progress.position >= position,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Writes rows and cursors to disk, so that the next start has less to fold again.
    pub fn flush(&self) -> Result<(), ProjectionError> {
        let families: Vec<_> = models::tables().filter_map(|table| self.db.cf_handle(table)).collect();
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(true);
        Ok(self.db.flush_cfs_opt(&families, &options)?)
    }
}

fn open_models(folder: &Path) -> Result<(Arc<Database>, Fold), ProjectionError> {
    let db = Arc::new(Database::open(folder)?);
    let fold = Fold::open(Arc::clone(&db), models::all(&db))?;
    Ok((db, fold))
}

#[cfg(test)]
mod tests;
