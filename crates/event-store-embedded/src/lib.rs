//! The journal: the event store on this machine's disk, and the only truth of the product. Everything else is rebuilt from
//! it.
//!
//! [`format`] says what lies on the disk, [`recover`] what happens on open, [`commit`] how events get there. What can't be
//! told: after a power loss, damage to groups synced since `head`'s last sync, at most a second. A kept checkpoint shows it.

mod commit;
mod copy;
mod damage;
mod disk;
mod end;
mod format;
mod head;
mod index;
mod lock;
mod manifest;
mod page;
mod queue;
mod read;
mod recover;
mod reindex;
mod scan;
mod scrub;
mod segment;
mod tail;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::watch;
use witan_event_store::{Append, AppendError, Appended, Direction, EventStore, Position, ReadError, Recorded};

pub use crate::{
    copy::{BackupError, backup},
    damage::Damage,
    disk::{Disk, RealDisk},
    format::Chain,
    recover::{Cut, OpenError, Opened},
    verify::{Progress, Whole, verify},
};
use crate::{queue::Queue, read::Reader, scrub::Scrub};

/// The size at which a segment is closed and the next begun.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Where the stream index of closed segments lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexPlace {
    /// In RocksDB, under the journal's folder.
    Disk,
    /// In memory, rebuilt at each open: for small journals and tests.
    Memory,
}

/// Told of what happens; called on the journal's own threads, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// An append of so many events was answered with success, so long after it was asked for.
    fn appended(&self, _events: u64, _bytes: u64, _latency: Duration) {}
    /// One commit was written and synced.
    fn committed(&self, _appends: u64, _events: u64, _bytes: u64, _took: Duration) {}
    /// A commit found the disk full and was undone.
    fn full(&self) {}
    /// A sync failed: nothing more is written until a restart.
    fn stopped(&self, _why: &str) {}
    /// Older damage was found, on a read or by the scrub.
    fn damaged(&self, _damage: &Damage) {}
}

struct Silent;

impl Observer for Silent {}

#[derive(Clone)]
pub struct Options {
    pub segment_bytes_max: u64,
    pub index: IndexPlace,
    /// How many bytes a second the background scrub reads; 0 for no scrub.
    pub scrub_bytes_per_second: u64,
    /// From the end of one scrub to the start of the next.
    pub scrub_pause: Duration,
    pub observer: Arc<dyn Observer>,
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            index: IndexPlace::Disk,
            scrub_bytes_per_second: 8 << 20,
            scrub_pause: Duration::from_secs(24 * 3600),
            observer: Arc::new(Silent),
            disk: Arc::new(RealDisk),
        }
    }
}

/// An open journal. Dropping it closes it.
pub struct Journal {
    reader: Arc<Reader>,
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    scrub: Arc<Scrub>,
    opened: Opened,
    /// Held until everything else is done.
    _lock: File,
}

impl Journal {
    /// Opens the journal in this folder, or makes one where there is none. Reads the newest segment whole, and refuses what
    /// is damaged. Blocks; call it outside of async code.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let (reader, committer, opened, lock) = recover::open(folder.as_ref(), &options)?;
        let queue = committer.queue();
        let scrub = Arc::new(Scrub::new(reader.clone(), &options));
        let (flush, flushes) = std::sync::mpsc::channel();
        let indexed = reader.clone();
        let mut threads = vec![
            spawn("journal-commit", move || committer.run(&flush))?,
            spawn("journal-index", move || {
                while flushes.recv().is_ok() {
                    if let Err(error) = indexed.index.flush() {
                        tracing::warn!(%error, "can't be written; it stays in memory");
                    }
                }
            })?,
        ];
        if options.scrub_bytes_per_second > 0 {
            let scrub = scrub.clone();
            threads.push(spawn("journal-scrub", move || scrub.run())?);
        }
        Ok(Self { reader, queue, threads: Mutex::new(threads), scrub, opened, _lock: lock })
    }

    /// What opening found and did.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The damage found since it was opened.
    pub fn damages(&self) -> Vec<Damage> {
        self.reader.damages.list()
    }

    /// Reads all closed segments now, at full speed, and returns the damage that it found.
    pub fn scrub(&self) -> Vec<Damage> {
        self.scrub.pass(None);
        self.damages()
    }

    /// Finishes what was asked for, syncs `head`, and ends the threads. Later appends are refused; reads go on.
    pub fn close(&self) {
        self.queue.close();
        self.scrub.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the journal has panicked");
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(run);
    thread.map_err(|error| OpenError::Io { path: name.into(), error })
}

#[expect(
    clippy::disallowed_methods,
    reason = "latency and pauses are measured on the monotonic clock, which decides nothing"
)]
fn monotonic() -> Instant {
    Instant::now()
}

#[async_trait]
impl EventStore for Journal {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        self.queue.append(append).await
    }

    fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.reader.read_stream(stream, from, direction, max)
    }

    fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError> {
        self.reader.read_all(from, direction, max)
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        self.reader.stream_version(stream)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.reader.durable.clone()
    }
}
