//! A table of rows in RocksDB, with the rows that the running batch has touched decoded in memory.
//!
//! Every key begins with the organization's id: a row can't be asked for without naming its tenant. Rows are postcard.

use std::{
    collections::{HashMap, HashSet},
    marker::PhantomData,
    sync::Arc,
};

use rocksdb::{Direction, IteratorMode, ReadOptions};
use serde::{Serialize, de::DeserializeOwned};
use witan_domain::OrganizationId;

use crate::{Batch, Database, ProjectionError, damage::Damage};

/// What most keys take: an organization and two ids, or an id and a number.
const KEY_BYTES: usize = 48;
/// How many decoded rows a table keeps between batches.
const KEPT_ROWS_MAX: usize = 4_096;

/// A key under construction: the organization first, then what the table orders by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    pub fn of(organization: OrganizationId) -> Self {
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        bytes.extend_from_slice(&organization.0.to_be_bytes());
        Self(bytes)
    }

    /// The beginning of every key, or of one that names no tenant.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Appends an id's 128 bits.
    pub fn id(mut self, id: u128) -> Self {
        self.0.extend_from_slice(&id.to_be_bytes());
        self
    }

    /// Appends a number, so that keys order by it.
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends bytes as they are: a cursor.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The rows of one table, for readers. Cheap to clone.
#[derive(Clone)]
pub struct Rows {
    db: Arc<Database>,
    name: &'static str,
    /// Where damage is noted that a reader finds; the follower's stops the follower.
    damage: Option<Arc<Damage>>,
}

/// The smallest key after all that begin with `prefix`; `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Some(end);
        }
        end.pop();
    }
    None
}

impl Rows {
    pub fn new(db: Arc<Database>, name: &'static str) -> Self {
        Self { db, name, damage: None }
    }

    pub(crate) fn watched(db: Arc<Database>, name: &'static str, damage: Arc<Damage>) -> Self {
        Self { db, name, damage: Some(damage) }
    }

    /// The row, shared with whoever else asked for it lately.
    pub fn find<R: DeserializeOwned + Send + Sync + 'static>(
        &self,
        key: Key,
    ) -> Result<Option<Arc<R>>, ProjectionError> {
        self.noted(self.db.find(self.name, key))
    }

    /// The row, for whoever alone wants it.
    pub(crate) fn read<R: DeserializeOwned>(&self, key: &Key) -> Result<Option<R>, ProjectionError> {
        self.noted(self.db.read(self.name, key))
    }

    fn noted<T>(&self, result: Result<T, ProjectionError>) -> Result<T, ProjectionError> {
        if let (Err(error), Some(damage)) = (&result, &self.damage) {
            damage.note(error);
        }
        result
    }

    /// At most `max` rows whose keys begin with `prefix`, in key order or backward, after `after` (exclusive) where it is
    /// given. What comes back beside each row is the key without the prefix.
    pub fn list<R: DeserializeOwned>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        backward: bool,
        max: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, ProjectionError> {
        self.noted(self.try_list(prefix, after, backward, max))
    }

    fn try_list<R: DeserializeOwned>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        backward: bool,
        max: usize,
    ) -> Result<Vec<(Vec<u8>, R)>, ProjectionError> {
        let family = self.db.family(self.name)?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix.0.clone());
        let end = after_prefix(&prefix.0);
        if let Some(end) = &end {
            options.set_iterate_upper_bound(end.clone());
        }
        let mode = match (after, backward) {
            (Some(after), false) => IteratorMode::From(&after.0, Direction::Forward),
            (Some(after), true) => IteratorMode::From(&after.0, Direction::Reverse),
            (None, false) => IteratorMode::From(&prefix.0, Direction::Forward),
            (None, true) => IteratorMode::End,
        };
        let mut found = Vec::new();
        // The iterator gives each error as an item, so an end without one is a true end.
        for item in self.db.iterator_cf_opt(family, options, mode) {
            let (key, value) = item?;
            if after.is_some_and(|after| after.0 == *key) {
                continue;
            }
            if found.len() == max {
                break;
            }
            found.push((key[prefix.0.len()..].to_vec(), postcard::from_bytes(&value)?));
        }
        Ok(found)
    }
}

/// The same rows for the one follower that writes them. What it changes is seen by itself at once, by readers after
/// [`Table::write`] and the commit of the batch.
pub struct Table<R> {
    rows: Rows,
    kept: HashMap<Key, Option<R>>,
    changed: HashSet<Key>,
}

impl<R: Serialize + DeserializeOwned> Table<R> {
    pub fn new(db: Arc<Database>, name: &'static str) -> Self {
        Self { rows: Rows::new(db, name), kept: HashMap::new(), changed: HashSet::new() }
    }

    /// The row, to be changed, made or (set to `None`) deleted.
    pub fn edit(&mut self, key: &Key) -> Result<&mut Option<R>, ProjectionError> {
        if !self.changed.contains(key) {
            self.changed.insert(key.clone());
        }
        self.kept(key)
    }

    /// The row, to be looked at.
    pub fn find(&mut self, key: &Key) -> Result<Option<&R>, ProjectionError> {
        Ok(self.kept(key)?.as_ref())
    }

    /// Sets a row without reading what was there.
    pub fn put(&mut self, key: Key, row: R) {
        self.changed.insert(key.clone());
        self.kept.insert(key, Some(row));
    }

    pub fn delete(&mut self, key: Key) {
        self.changed.insert(key.clone());
        self.kept.insert(key, None);
    }

    fn kept(&mut self, key: &Key) -> Result<&mut Option<R>, ProjectionError> {
        if !self.kept.contains_key(key) {
            let stored = self.rows.read(key)?;
            self.kept.insert(key.clone(), stored);
        }
        self.kept.get_mut(key).ok_or(ProjectionError::NoTable(self.rows.name))
    }

    /// Puts all that was changed into the batch.
    pub fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        let (db, table) = (&self.rows.db, self.rows.name);
        let mut bytes = Vec::new();
        for key in self.changed.drain() {
            match self.kept.get(&key) {
                Some(Some(row)) => {
                    bytes.clear();
                    bytes = postcard::to_extend(row, bytes)?;
                    batch.put(db, table, key, &bytes)?;
                }
                Some(None) => batch.delete(db, table, key)?,
                None => {}
            }
        }
        if self.kept.len() > KEPT_ROWS_MAX {
            self.kept.clear();
        }
        Ok(())
    }

    /// Forgets what a failed batch left behind.
    pub fn reset(&mut self) {
        self.kept.clear();
        self.changed.clear();
    }
}

/// Rows that the follower only ever sets and never reads: encoded at once, and forgotten once they are written.
pub struct Lines<R> {
    rows: Rows,
    /// Each key, and where its row ends in `bytes`.
    lines: Vec<(Key, usize)>,
    bytes: Vec<u8>,
    of: PhantomData<fn(R)>,
}

impl<R: Serialize> Lines<R> {
    pub fn new(db: Arc<Database>, name: &'static str) -> Self {
        Self { rows: Rows::new(db, name), lines: Vec::new(), bytes: Vec::new(), of: PhantomData }
    }

    pub fn put(&mut self, key: Key, row: &R) -> Result<(), ProjectionError> {
        // A row that can't be encoded ends the batch, and the buffer goes with it.
        self.bytes = postcard::to_extend(row, std::mem::take(&mut self.bytes))?;
        self.lines.push((key, self.bytes.len()));
        Ok(())
    }

    /// Puts all that was set into the batch, in the order it was set.
    pub fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        let mut start = 0;
        for (key, end) in self.lines.drain(..) {
            batch.put(&self.rows.db, self.rows.name, key, &self.bytes[start..end])?;
            start = end;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Forgets what a failed batch left behind.
    pub fn reset(&mut self) {
        self.lines.clear();
        self.bytes.clear();
    }
}
