//! The read models' database: RocksDB, and the rows that readers asked for lately, decoded.
//!
//! A decoded row is good for as long as nothing was written where its key belongs since before it was read. Keys share a
//! number of counts; a batch that is committed moves those of all its keys, before anybody is told of its position. So
//! whoever waits for a position never gets a row that is older.

use std::{
    any::Any,
    hash::{BuildHasher, RandomState},
    ops::Deref,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Weighter, sync::Cache};
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, IteratorMode, Options, WriteBatch, WriteOptions};
use serde::de::DeserializeOwned;

use crate::{Key, ProjectionError, models};

/// How many counts of writes the keys share: the more, the seldomer a write makes another key's row be read again.
const PARTS: usize = 4_096;
/// How much of the rows is kept, as stored: decoded they take some times as much.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// About what keeping a row costs beside it.
const KEPT_ROW_BYTES: u64 = 200;
const KEPT_ROWS_EXPECTED: usize = 10_000;

type Place = (&'static str, Key);

/// A row as it was read.
#[derive(Clone)]
struct Kept {
    /// What its part's count was before it was read.
    written: u64,
    bytes: usize,
    row: Arc<dyn Any + Send + Sync>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Kept> for ByBytes {
    fn weight(&self, _: &Place, kept: &Kept) -> u64 {
        KEPT_ROW_BYTES + kept.bytes as u64
    }
}

pub struct Database {
    db: DB,
    kept: Cache<Place, Kept, ByBytes>,
    /// By part: how often a row of it was written.
    written: Vec<AtomicU64>,
    hasher: RandomState,
}

impl Deref for Database {
    type Target = DB;

    fn deref(&self) -> &DB {
        &self.db
    }
}

/// What one commit writes.
#[derive(Default)]
pub struct Batch {
    writes: WriteBatch,
    touched: Vec<Place>,
}

impl Database {
    pub(crate) fn open(folder: &Path) -> Result<Self, ProjectionError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Rows and cursors are in several column families and have no write-ahead log: flushed together, or a crash could
        // leave a cursor that is newer than its rows.
        options.set_atomic_flush(true);
        options.set_keep_log_file_num(4);
        options.set_max_background_jobs(2);
        let families = models::tables().map(|table| {
            let mut options = Options::default();
            options.set_compression_type(rocksdb::DBCompressionType::Lz4);
            options.set_write_buffer_size(32 << 20);
            ColumnFamilyDescriptor::new(table, options)
        });
        Ok(Self {
            db: DB::open_cf_descriptors(&options, folder, families)?,
            kept: Cache::with_weighter(KEPT_ROWS_EXPECTED, KEPT_BYTES_MAX, ByBytes),
            written: (0..PARTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        })
    }

    pub(crate) fn family(&self, table: &'static str) -> Result<&ColumnFamily, ProjectionError> {
        self.db.cf_handle(table).ok_or(ProjectionError::NoTable(table))
    }

    /// The row as it is stored.
    pub(crate) fn read<R: DeserializeOwned>(
        &self,
        table: &'static str,
        key: &Key,
    ) -> Result<Option<R>, ProjectionError> {
        Ok(self.read_sized(table, key)?.map(|(row, _)| row))
    }

    fn read_sized<R: DeserializeOwned>(
        &self,
        table: &'static str,
        key: &Key,
    ) -> Result<Option<(R, usize)>, ProjectionError> {
        match self.db.get_pinned_cf(self.family(table)?, key.bytes())? {
            Some(bytes) => Ok(Some((postcard::from_bytes(&bytes)?, bytes.len()))),
            None => Ok(None),
        }
    }

    /// The row, decoded by now or before.
    pub(crate) fn find<R: DeserializeOwned + Send + Sync + 'static>(
        &self,
        table: &'static str,
        key: Key,
    ) -> Result<Option<Arc<R>>, ProjectionError> {
        let place = (table, key);
        // Before the row is read: whatever is written from here on makes what is read here old.
        let written = self.count(&place).load(Ordering::Acquire);
        if let Some(kept) = self.kept.get(&place).filter(|kept| kept.written == written)
            && let Ok(row) = kept.row.downcast()
        {
            return Ok(Some(row));
        }
        let Some((row, bytes)) = self.read_sized::<R>(table, &place.1)? else { return Ok(None) };
        let row = Arc::new(row);
        self.kept.insert(place, Kept { written, bytes, row: Arc::<R>::clone(&row) });
        Ok(Some(row))
    }

    fn count(&self, place: &Place) -> &AtomicU64 {
        &self.written[self.hasher.hash_one(place) as usize % PARTS]
    }

    /// Writes the batch as a whole, or nothing. Without a write-ahead log: what a crash loses is folded again from the
    /// journal, from cursors that are exactly as old as the rows (column families are flushed together).
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), ProjectionError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let result = self.db.write_opt(batch.writes, &options);
        // Also where it failed: then rows are read again that need not be.
        for place in &batch.touched {
            self.count(place).fetch_add(1, Ordering::Release);
        }
        Ok(result?)
    }

    /// Deletes all rows of these tables in one write.
    pub(crate) fn empty(&self, tables: impl Iterator<Item = &'static str>) -> Result<(), ProjectionError> {
        let mut batch = Batch::default();
        for table in tables {
            let family = self.family(table)?;
            if let Some(last) = self.db.iterator_cf(family, IteratorMode::End).next() {
                let (last, _) = last?;
                batch.writes.delete_range_cf(family, b"".as_slice(), &last);
                batch.writes.delete_cf(family, &last);
            }
        }
        let result = self.commit(batch);
        for count in &self.written {
            count.fetch_add(1, Ordering::Release);
        }
        result
    }
}

impl Batch {
    pub(crate) fn put(
        &mut self,
        db: &Database,
        table: &'static str,
        key: Key,
        row: &[u8],
    ) -> Result<(), ProjectionError> {
        self.writes.put_cf(db.family(table)?, key.bytes(), row);
        self.touched.push((table, key));
        Ok(())
    }

    pub(crate) fn delete(&mut self, db: &Database, table: &'static str, key: Key) -> Result<(), ProjectionError> {
        self.writes.delete_cf(db.family(table)?, key.bytes());
        self.touched.push((table, key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use witan_domain::OrganizationId;

    use super::*;
    use crate::organizations;

    const TABLE: &str = organizations::TABLES[0];

    fn key() -> Key {
        Key::of(OrganizationId(7))
    }

    fn open(folder: &TempDir) -> Database {
        Database::open(&folder.path().join("rows")).unwrap()
    }

    fn put(db: &Database, row: u64) {
        let mut batch = Batch::default();
        batch.put(db, TABLE, key(), &postcard::to_stdvec(&row).unwrap()).unwrap();
        db.commit(batch).unwrap();
    }

    #[test]
    fn a_row_is_decoded_once_and_again_when_it_was_written() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder);
        let find = || db.find::<u64>(TABLE, key()).unwrap();
        assert_eq!(find(), None);
        put(&db, 1);
        let first = find().unwrap();
        assert!(Arc::ptr_eq(&first, &find().unwrap()), "the same row");
        put(&db, 2);
        assert_eq!((*first, *find().unwrap()), (1, 2));
        let mut batch = Batch::default();
        batch.delete(&db, TABLE, key()).unwrap();
        db.commit(batch).unwrap();
        assert_eq!(find(), None);
        put(&db, 3);
        assert_eq!(find().as_deref(), Some(&3));
        db.empty([TABLE].into_iter()).unwrap();
        assert_eq!(find(), None);
    }

    /// What was read before a write, and is kept only after it, is not taken for what was written.
    #[test]
    fn a_row_that_is_kept_late_is_old() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder);
        put(&db, 1);
        let place = (TABLE, key());
        let written = db.count(&place).load(Ordering::Acquire);
        put(&db, 2);
        db.kept.insert(place, Kept { written, bytes: 1, row: Arc::new(1_u64) });
        assert_eq!(db.find::<u64>(TABLE, key()).unwrap().as_deref(), Some(&2));
    }

    /// Whoever was told of a write finds it, whatever others read meanwhile.
    #[test]
    fn whoever_waited_for_a_write_finds_it() {
        const WRITES: u64 = 20_000;
        let folder = TempDir::new().unwrap();
        let db = open(&folder);
        let told = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while told.load(Ordering::Acquire) < WRITES {
                        let least = told.load(Ordering::Acquire);
                        let found = db.find::<u64>(TABLE, key()).unwrap().map_or(0, |row| *row);
                        assert!(found >= least, "{found} after {least}");
                    }
                });
            }
            for row in 1..=WRITES {
                put(&db, row);
                told.store(row, Ordering::Release);
            }
        });
    }
}
