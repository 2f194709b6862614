//! Rebuilding the read models from the journal, beside writing the same rows to RocksDB in large batches.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};
use tempfile::TempDir;
use tokio::sync::watch;
use witan_event_store::{EventStore, Position};
use witan_event_store_embedded::Journal;
use witan_projections::ReadModels;

use crate::figure::{Figure, Goal};
use crate::load::now;
use crate::story;

const SESSIONS: u128 = 4_000;
/// Appends that are on their way at once while the journal is filled: the more share a sync, the sooner it is full.
const APPENDS_AT_ONCE: usize = 512;
const BASELINE_BATCH_ROWS: usize = 10_000;
const REBUILD_SECONDS_MAX: u64 = 300;
/// What a rebuild must do at the least.
const GOAL_EVENTS_PER_SECOND: f64 = 200_000.0;

/// A row of the read models, and the column family that it is in.
struct Row {
    family: String,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

pub(crate) fn figures(rounds: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let folder = TempDir::new().expect("a temporary folder can be made");
    let journal = Journal::open(folder.path().join("journal"), Default::default()).expect("an empty journal opens");
    let store: Arc<dyn EventStore> = Arc::new(journal);
    let last = runtime.block_on(fill(store.as_ref()));
    eprintln!("witan-bench: {} events in {SESSIONS} sessions", last.0);

    // Once before anything counts: it gives the rows, and brings the journal into the page cache.
    let models = folder.path().join("models");
    runtime.block_on(rebuild(&models, &store, last));
    let rows = rows(&models);
    eprintln!("witan-bench: {} rows", rows.len());

    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let time = runtime.block_on(rebuild(&models, &store, last));
        ours.push(last.0 as f64 / time.as_secs_f64());
        let time = write(&folder.path().join("baseline"), &rows);
        baseline.push(last.0 as f64 / time.as_secs_f64());
    }
    let figure = Figure::new("rebuild_throughput", "events/s", &ours, &baseline);
    vec![figure.goal(Goal::AtLeast(GOAL_EVENTS_PER_SECOND))]
}

async fn fill(store: &dyn EventStore) -> Position {
    let numbers: Vec<u128> = (1..=SESSIONS).collect();
    for chunk in numbers.chunks(APPENDS_AT_ONCE) {
        let appends = chunk.iter().flat_map(|number| story::session(*number));
        for appended in join_all(appends.map(|append| store.append(append))).await {
            appended.expect("the journal takes the story");
        }
    }
    *store.durable().borrow()
}

/// Folds everything into an empty database, as a start with deleted read models does.
async fn rebuild(folder: &Path, store: &Arc<dyn EventStore>, last: Position) -> Duration {
    empty(folder);
    let models = Arc::new(ReadModels::open(folder).expect("an empty database opens"));
    let (stop, stopped) = watch::channel(false);
    let start = now();
    let running = tokio::spawn(Arc::clone(&models).run(Arc::clone(store), stopped));
    let patience = Duration::from_secs(REBUILD_SECONDS_MAX);
    assert!(models.wait_for(last, patience).await, "the rebuild stopped: {:?}", models.progress().borrow().stopped);
    let time = start.elapsed();
    stop.send(true).expect("the follower runs");
    running.await.expect("the follower does not panic").expect("the follower ends well");
    time
}

/// All rows of the read models, in the order of their keys.
fn rows(folder: &Path) -> Vec<Row> {
    let families = DB::list_cf(&Options::default(), folder).expect("the database has column families");
    let db = DB::open_cf_for_read_only(&Options::default(), folder, &families, false).expect("it opens for reading");
    let mut rows = Vec::new();
    for family in families {
        let handle = db.cf_handle(&family).expect("it was listed");
        for item in db.iterator_cf(handle, IteratorMode::Start) {
            let (key, value) = item.expect("the database is readable");
            rows.push(Row { family: family.clone(), key, value });
        }
    }
    rows
}

/// Writes the rows into an empty database with the options that the read models have.
fn write(folder: &Path, rows: &[Row]) -> Duration {
    empty(folder);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(2);
    let mut families: Vec<&str> = rows.iter().map(|row| row.family.as_str()).collect();
    families.dedup();
    let descriptors = families.iter().map(|family| {
        let mut options = Options::default();
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(32 << 20);
        ColumnFamilyDescriptor::new(*family, options)
    });
    let db = DB::open_cf_descriptors(&options, folder, descriptors).expect("an empty database opens");
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let start = now();
    for chunk in rows.chunks(BASELINE_BATCH_ROWS) {
        let mut batch = WriteBatch::default();
        for row in chunk {
            batch.put_cf(db.cf_handle(&row.family).expect("it was made"), &row.key, &row.value);
        }
        db.write_opt(batch, &unlogged).expect("the database takes the rows");
    }
    start.elapsed()
}

fn empty(folder: &Path) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).expect("our own folder can be deleted");
    }
}
