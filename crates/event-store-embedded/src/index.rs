//! Where each stream's events are. What the active segment holds is kept in memory (open reads that segment anyway); a
//! closed segment's part goes to RocksDB, in one batch, flushed, with the position and digest that it reaches. Nothing in
//! RocksDB is believed: what it points to is checked against the log, and all of it can be rebuilt from the log.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, ErrorKind, IteratorMode, WriteBatch, WriteOptions,
};

use crate::{
    format::{array, u64_at},
    manifest,
};

pub const FOLDER: &str = "index";
/// Stands in the journal's folder when the index was found damaged: the next open rebuilds it.
pub const DAMAGED_MARK: &str = "index-damaged";

const CACHE_BYTES: usize = 32 << 20;
const OPEN_FILES_MAX: i32 = 128;
const META: &[u8] = b"m";
/// A stored run: position 8, offset 8, count 4. Its version is its entry's, or follows from the run before it.
const RUN_BYTES: usize = 20;
/// Runs of one entry: far fewer keys than events, and none too large.
pub const ENTRY_RUNS_MAX: usize = 256;

/// Consecutive events of one stream in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The stream's version of the first of them.
    pub version: u64,
    pub position: u64,
    /// Where in its segment the first record begins.
    pub offset: u64,
    pub count: u32,
}

impl Run {
    pub fn last_version(&self) -> u64 {
        self.version.saturating_add(u64::from(self.count).saturating_sub(1))
    }
}

/// The runs of one segment.
#[derive(Default)]
pub struct Generation {
    /// By stream, ascending; never an empty list.
    streams: HashMap<Box<str>, Vec<Run>>,
    /// The newest event: its position and digest. Known when the segment is closed.
    end: (u64, [u8; 32]),
}

impl Generation {
    pub fn note(&mut self, stream: &str, run: Run) {
        match self.streams.get_mut(stream) {
            Some(runs) => runs.push(run),
            None => {
                self.streams.insert(stream.into(), vec![run]);
            }
        }
    }

    fn last_version(&self, stream: &str) -> Option<u64> {
        self.streams.get(stream)?.last().map(Run::last_version)
    }
}

#[derive(Default)]
struct Memory {
    active: Generation,
    /// Of closed segments that aren't in RocksDB yet, oldest first.
    closing: VecDeque<Arc<Generation>>,
}

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It says what can't be: it has to be rebuilt.
    #[error("the stream index is damaged: {0}")]
    Damaged(String),
    /// It can't be read or written now; a full disk does that.
    #[error("the stream index: {0}")]
    Unavailable(String),
}

impl From<rocksdb::Error> for IndexError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            ErrorKind::IOError | ErrorKind::Busy | ErrorKind::TryAgain | ErrorKind::TimedOut => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Damaged(error.to_string()),
        }
    }
}

pub struct Index {
    /// The journal's folder; `None` keeps the whole index in memory.
    folder: Option<PathBuf>,
    memory: RwLock<Memory>,
    stored: RwLock<Option<DB>>,
}

/// What the stored part of the index says of itself.
pub struct Stored {
    /// The newest event that it covers.
    pub position: u64,
    pub digest: [u8; 32],
}

impl Index {
    /// All in memory: rebuilt whenever the journal is opened.
    pub fn in_memory() -> Self {
        Self { folder: None, memory: RwLock::default(), stored: RwLock::new(None) }
    }

    /// Opens what is stored, if it can be read at all.
    pub fn open(folder: &Path) -> Result<(Self, Stored), IndexError> {
        if folder.join(DAMAGED_MARK).exists() {
            return Err(IndexError::Damaged("it was found damaged".into()));
        }
        match manifest::is_sound(&folder.join(FOLDER)) {
            Ok(true) => {}
            Ok(false) => return Err(IndexError::Damaged("its manifest is damaged".into())),
            Err(error) => return Err(IndexError::Unavailable(error.to_string())),
        }
        let db = open_db(&folder.join(FOLDER))?;
        let stored = match db.get(META)? {
            Some(meta) if meta.len() == 40 => Stored { position: u64_at(&meta, 0), digest: array(&meta, 8) },
            Some(_) => return Err(IndexError::Damaged("it doesn't say what it covers".into())),
            None => Stored { position: 0, digest: [0; 32] },
        };
        let index = Self { folder: Some(folder.into()), memory: RwLock::default(), stored: RwLock::new(Some(db)) };
        Ok((index, stored))
    }

    /// Deletes what is stored and begins anew.
    pub fn recreate(folder: &Path) -> Result<Self, IndexError> {
        let failed = |error: io::Error| IndexError::Unavailable(error.to_string());
        match fs::remove_dir_all(folder.join(FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        match fs::remove_file(folder.join(DAMAGED_MARK)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        Self::open(folder).map(|(index, _)| index)
    }

    /// The version of the stream's newest event.
    pub fn version(&self, stream: &str) -> Result<Option<u64>, IndexError> {
        {
            let memory = self.memory();
            let closing = || memory.closing.iter().rev().find_map(|generation| generation.last_version(stream));
            if let Some(version) = memory.active.last_version(stream).or_else(closing) {
                return Ok(Some(version));
            }
        }
        // What isn't in memory any more is stored: a generation leaves memory only after its flush.
        self.with_stored(|db| match db.get_pinned(last_key(stream))? {
            Some(value) if value.len() == 8 => Ok(Some(u64_at(&value, 0))),
            Some(_) => Err(IndexError::Damaged("an entry of the wrong length".into())),
            None => Ok(None),
        })
        .map(Option::flatten)
    }

    /// The runs that hold the versions `first..=last`, ascending.
    pub fn runs(&self, stream: &str, first: u64, last: u64) -> Result<Vec<Run>, IndexError> {
        let mut recent = Vec::new();
        let mut oldest_in_memory = u64::MAX;
        {
            let memory = self.memory();
            for generation in memory.closing.iter().map(Arc::as_ref).chain([&memory.active]) {
                let Some(runs) = generation.streams.get(stream) else { continue };
                oldest_in_memory = oldest_in_memory.min(runs.first().map_or(u64::MAX, |run| run.version));
                let start = runs.partition_point(|run| run.last_version() < first);
                recent.extend(runs[start..].iter().take_while(|run| run.version <= last));
            }
        }
        if first >= oldest_in_memory {
            return Ok(recent);
        }
        let last = last.min(oldest_in_memory - 1);
        let mut runs = self.with_stored(|db| stored_runs(db, stream, first, last))?.unwrap_or_default();
        runs.extend(recent);
        Ok(runs)
    }

    /// Adds runs of the active segment.
    pub fn note<'a>(&self, runs: impl Iterator<Item = (&'a str, Run)>) {
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        for (stream, run) in runs {
            memory.active.note(stream, run);
        }
    }

    /// The active segment was closed; its last event is this one.
    pub fn roll(&self, position: u64, digest: [u8; 32]) {
        let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        let mut closed = std::mem::take(&mut memory.active);
        closed.end = (position, digest);
        memory.closing.push_back(Arc::new(closed));
    }

    /// Moves closed segments' parts from memory to RocksDB. What fails stays in memory, to be tried again.
    pub fn flush(&self) -> Result<(), IndexError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        loop {
            let Some(generation) = self.memory().closing.front().cloned() else { return Ok(()) };
            let written = self.with_stored(|db| store(db, &generation));
            if let Err(error) = written {
                // After a failed flush RocksDB refuses writes until it is opened again; on a full disk it can't be opened
                // for writing either, but what it holds is served.
                let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
                *stored = None;
                *stored = open_db(&folder.join(FOLDER)).ok();
                return Err(error);
            }
            self.memory.write().unwrap_or_else(PoisonError::into_inner).closing.pop_front();
        }
    }

    /// Sees to it that the next open rebuilds the index.
    pub fn mark_damaged(&self) {
        if let Some(folder) = &self.folder
            && let Err(error) = fs::write(folder.join(DAMAGED_MARK), b"")
        {
            tracing::error!(%error, "the stream index is damaged, and that can't be noted");
        }
    }

    fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when the whole index is in memory by choice.
    fn with_stored<T>(&self, read: impl FnOnce(&DB) -> Result<T, IndexError>) -> Result<Option<T>, IndexError> {
        if self.folder.is_none() {
            return Ok(None);
        }
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let db = stored.as_ref().ok_or_else(|| IndexError::Unavailable("it can't be opened".into()))?;
        read(db).map(Some)
    }
}

fn open_db(path: &Path) -> Result<DB, IndexError> {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_log_level(rocksdb::LogLevel::Fatal);
    options.set_keep_log_file_num(1);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_bloom_filter(10.0, false);
    blocks.set_format_version(6);
    options.set_block_based_table_factory(&blocks);
    match DB::open(&options, path) {
        Err(error) if error.kind() == ErrorKind::IOError => {
            DB::open_for_read_only(&options, path, false).map_err(|_| IndexError::from(error))
        }
        opened => Ok(opened?),
    }
}

fn last_key(stream: &str) -> Vec<u8> {
    [b"l", stream.as_bytes()].concat()
}

/// Streams' names hold no zero byte, so no stream's keys lie among another's.
fn run_key(stream: &str, version: u64) -> Vec<u8> {
    [b"r", stream.as_bytes(), &[0], &version.to_be_bytes()].concat()
}

fn store(db: &DB, generation: &Generation) -> Result<(), IndexError> {
    let mut batch = WriteBatch::default();
    for (stream, runs) in &generation.streams {
        // Of an entry only the first version is stored, so its runs must follow each other. They do, in a log of ours.
        let unbroken = runs.chunk_by(|run, next| next.version == run.last_version().saturating_add(1));
        for entry in unbroken.flat_map(|runs| runs.chunks(ENTRY_RUNS_MAX)) {
            let mut value = Vec::with_capacity(entry.len() * RUN_BYTES);
            for run in entry {
                value.extend_from_slice(&run.position.to_le_bytes());
                value.extend_from_slice(&run.offset.to_le_bytes());
                value.extend_from_slice(&run.count.to_le_bytes());
            }
            batch.put(run_key(stream, entry[0].version), value);
        }
        if let Some(last) = runs.last() {
            batch.put(last_key(stream), last.last_version().to_le_bytes());
        }
    }
    let (position, digest) = &generation.end;
    batch.put(META, [&position.to_le_bytes()[..], digest].concat());
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    db.write_opt(batch, &unlogged)?;
    Ok(db.flush()?)
}

fn stored_runs(db: &DB, stream: &str, first: u64, last: u64) -> Result<Vec<Run>, IndexError> {
    let prefix = run_key(stream, 0);
    let prefix = &prefix[..prefix.len() - 8];
    let ours = |key: &[u8], value: &[u8]| {
        key.len() == prefix.len() + 8 && key.starts_with(prefix) && value.len().is_multiple_of(RUN_BYTES)
    };
    let version_of = |key: &[u8]| u64::from_be_bytes(array(key, prefix.len()));
    // The entry that holds `first` may begin before it.
    let before = db.iterator(IteratorMode::From(&run_key(stream, first), Direction::Reverse)).next().transpose()?;
    let start = match before {
        Some((key, value)) if ours(&key, &value) => version_of(&key),
        _ => first,
    };
    let mut runs = Vec::new();
    // An iterator that ends has not succeeded: its errors come as items, and are passed on.
    for item in db.iterator(IteratorMode::From(&run_key(stream, start), Direction::Forward)) {
        let (key, value) = item?;
        if !ours(&key, &value) {
            break;
        }
        let mut version = version_of(&key);
        if version > last {
            break;
        }
        for entry in value.chunks_exact(RUN_BYTES) {
            let count = u32::from_le_bytes(array(entry, 16));
            let run = Run { version, position: u64_at(entry, 0), offset: u64_at(entry, 8), count };
            if count == 0 {
                return Err(IndexError::Damaged("a run of no events".into()));
            }
            if run.version <= last && run.last_version() >= first {
                runs.push(run);
            }
            version = run.last_version().saturating_add(1);
        }
    }
    Ok(runs)
}
