//! Replay: all read models folded anew beside the live ones, and compared with them row by row, byte for byte.

use std::{path::Path, sync::Arc};

use rocksdb::IteratorMode;
use witan_event_store::{EventStore, Position};

use crate::{Database, Fold, ProjectionError, ReadModels, follower::CURSORS, models};

/// How many differences are told one by one.
pub const DIFFERENCES_MAX: usize = 20;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The cursor of the snapshot of the live rows, and how far the replay went.
    pub position: Position,
    pub rows: u64,
    /// Empty when live and replayed rows are equal; at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// A row that the live read models and the replayed ones don't have alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub table: &'static str,
    /// The row's key, hexadecimal: it holds ids, never anything personal.
    pub key: String,
    pub what: &'static str,
}

impl ReadModels {
    /// Folds the log into a new database in `folder` (which is emptied before and after) up to the cursor of a snapshot of
    /// the live rows, and compares. `progress` gets the position reached and the one aimed at, and says whether to go on:
    /// [`ProjectionError::Cancelled`] when not.
    pub fn replay(
        &self,
        store: &dyn EventStore,
        folder: &Path,
        mut progress: impl FnMut(Position, Position) -> bool,
    ) -> Result<Comparison, ProjectionError> {
        let snapshot = self.db.snapshot();
        let cursors = self.db.cf_handle(CURSORS).ok_or(ProjectionError::NoTable(CURSORS))?;
        let mut positions = Vec::new();
        for item in snapshot.iterator_cf(cursors, IteratorMode::Start) {
            positions.push(postcard::from_bytes::<crate::Cursor>(&item?.1)?.position);
        }
        let until = positions.first().copied().unwrap_or_default();
        if positions.iter().any(|position| *position != until) {
            return Err(ProjectionError::Rebuilding);
        }
        let options = rocksdb::Options::default();
        rocksdb::DB::destroy(&options, folder)?;
        let beside = Arc::new(Database::open(folder)?);
        let mut fold = Fold::open(Arc::clone(&beside), models::all(&beside))?;
        fold.catch_up(store, until, |position| progress(position, until))?;
        drop(fold);
        let mut comparison = Comparison { position: until, rows: 0, differences: Vec::new() };
        for table in models::tables() {
            let live = self.db.cf_handle(table).ok_or(ProjectionError::NoTable(table))?;
            let again = beside.cf_handle(table).ok_or(ProjectionError::NoTable(table))?;
            compare(
                table,
                snapshot.iterator_cf(live, IteratorMode::Start),
                beside.iterator_cf(again, IteratorMode::Start),
                &mut comparison,
            )?;
        }
        drop(beside);
        rocksdb::DB::destroy(&options, folder)?;
        Ok(comparison)
    }
}

type Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

fn compare(
    table: &'static str,
    live: impl Iterator<Item = Item>,
    again: impl Iterator<Item = Item>,
    comparison: &mut Comparison,
) -> Result<(), ProjectionError> {
    let (mut live, mut again) = (live.peekable(), again.peekable());
    loop {
        // Errors first: an iterator that ended early would look like missing rows.
        let ordering = match (live.peek(), again.peek()) {
            (None, None) => return Ok(()),
            (Some(Err(_)), _) | (_, None) => std::cmp::Ordering::Less,
            (_, Some(Err(_))) | (None, _) => std::cmp::Ordering::Greater,
            (Some(Ok((ours, _))), Some(Ok((theirs, _)))) => ours.cmp(theirs),
        };
        comparison.rows += 1;
        let (key, what) = match ordering {
            std::cmp::Ordering::Less => (next(&mut live)?.map(|row| row.0), "only in the live read models"),
            std::cmp::Ordering::Greater => (next(&mut again)?.map(|row| row.0), "missing in the live read models"),
            std::cmp::Ordering::Equal => {
                let (ours, theirs) = (next(&mut live)?, next(&mut again)?);
                if ours == theirs {
                    continue;
                }
                (ours.map(|row| row.0), "differs")
            }
        };
        if comparison.differences.len() < DIFFERENCES_MAX {
            let key = key.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
            comparison.differences.push(Difference { table, key, what });
        }
    }
}

fn next(rows: &mut impl Iterator<Item = Item>) -> Result<Option<(Box<[u8]>, Box<[u8]>)>, ProjectionError> {
    rows.next().transpose().map_err(Into::into)
}
