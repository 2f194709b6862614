//! What the journal does when all goes well; [`crafted`], [`damage`] and [`failing`] hold the rest.

mod crafted;
mod damage;
mod failing;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;
use witan_domain::Timestamp;
use witan_event_store::{
    AppendError, Direction, EventStore, ExpectedVersion, Position, Recorded,
    contract::{all, append, contract},
};

use crate::{
    Disk, IndexPlace, Journal, OpenError, Options, RealDisk, backup,
    format::{HEAD_SLOT_OFFSETS, segment_name},
    recover::segments,
    verify,
};

/// Many small journals are made: in memory, where that can be had, their syncs cost nothing.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn small() -> Options {
    Options { segment_bytes_max: 1024, index: IndexPlace::Memory, scrub_bytes_per_second: 0, ..Options::default() }
}

fn open(folder: impl AsRef<Path>) -> Journal {
    Journal::open(folder, small()).unwrap()
}

/// One append of `count` events to one of four streams.
async fn record(journal: &Journal, number: u64, count: u64) -> Result<witan_event_store::Appended, AppendError> {
    journal.append(append(&format!("room-{}", number % 4), ExpectedVersion::Any, number..number + count)).await
}

/// Waits until head names this position: it is written right after the answers are given.
fn head_at(folder: &Path, position: u64) {
    for _ in 0..5_000 {
        if matches!(crate::head::read(folder).unwrap(), crate::head::Found::Valid { head, .. } if head.position == position)
        {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("head never came to {position}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(|_| ()).unwrap()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keeps_the_contract() {
    for (index, segment_bytes_max) in
        [(IndexPlace::Memory, 4096), (IndexPlace::Disk, 16 << 10), (IndexPlace::Disk, 64 << 20)]
    {
        let folders = folder();
        let number = AtomicU32::new(0);
        contract(async || {
            let folder = folders.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
            let options = Options { segment_bytes_max, index, ..Options::default() };
            Arc::new(Journal::open(folder, options).unwrap()) as Arc<dyn EventStore>
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_recorded_is_there_when_opened_again() {
    for index in [IndexPlace::Memory, IndexPlace::Disk] {
        let folder = folder();
        let options = Options { index, ..small() };
        let mut before = Vec::new();
        for round in 0..5 {
            let journal = Journal::open(&folder, options.clone()).unwrap();
            assert_eq!(journal.opened().created, round == 0);
            assert_eq!(journal.opened().cut, None);
            assert_eq!(journal.opened().index_rebuilt, None);
            assert_eq!(all(&journal), before);
            for number in 0..10 {
                record(&journal, number, 1 + number % 3).await.unwrap();
            }
            before = all(&journal);
            let ours: Vec<_> = before.iter().filter(|event| event.envelope.stream() == "room-1").cloned().collect();
            assert_eq!(journal.read_stream("room-1", 0, Direction::Forward, usize::MAX).unwrap(), ours);
            journal.close();
            assert!(matches!(record(&journal, 0, 1).await, Err(AppendError::Stopped(_))));
            assert_eq!(all(&journal), before, "reads go on after it was closed");
        }
        assert!(segments(folder.path()).unwrap().len() > 5);
        let whole = verify(&folder, |_| {}).unwrap();
        assert_eq!((whole.events, whole.bytes_past_head), (before.len() as u64, 0));
    }
}

/// More runs of a stream in one segment than an entry of the stored index holds, and more than one segment.
#[tokio::test]
async fn a_long_stream_is_read_from_any_version() {
    let folder = folder();
    let options = Options { index: IndexPlace::Disk, segment_bytes_max: 256 << 10, ..small() };
    let journal = Journal::open(&folder, options.clone()).unwrap();
    for number in 0..1_600 {
        record(&journal, 4 * number, 1 + number % 3).await.unwrap();
        record(&journal, 4 * number + 1, 1).await.unwrap();
    }
    let mut truth = all(&journal);
    let mut backward = journal.read_all(Position(u64::MAX), Direction::Backward, usize::MAX).unwrap();
    backward.reverse();
    assert_eq!(backward, truth);
    truth.retain(|event| event.envelope.stream() == "room-0");
    let appends_of_a_segment = 1_600 / segments(folder.path()).unwrap().len();
    assert!(appends_of_a_segment > crate::index::ENTRY_RUNS_MAX && appends_of_a_segment < 800);
    let check = |journal: &Journal| {
        for from in (0..truth.len()).step_by(13).chain([truth.len() - 1]) {
            for max in [1, 2, 300, 5_000] {
                let forward = journal.read_stream("room-0", from as u64, Direction::Forward, max).unwrap();
                assert_eq!(forward, truth[from..truth.len().min(from + max)], "{max} from {from} on");
                let mut backward = journal.read_stream("room-0", from as u64, Direction::Backward, max).unwrap();
                backward.reverse();
                assert_eq!(backward, truth[(from + 1).saturating_sub(max)..=from], "{max} from {from} back");
            }
        }
    };
    check(&journal);
    drop(journal);
    let journal = Journal::open(&folder, options).unwrap();
    assert!(journal.opened().index_rebuilt.is_none());
    check(&journal);
}

#[tokio::test]
async fn recorded_time_stays_monotonic_across_a_restart() {
    let folder = folder();
    let mut given = append("room-1", ExpectedVersion::Any, 0..4);
    given.now = Timestamp::from_seconds(5_000);
    // Twice as large as a segment: the second append begins a new one, and its segment then holds nothing else.
    given.events[0].data = vec![b' '; 2048].into();
    open(&folder).append(given.clone()).await.unwrap();
    given.now = Timestamp::from_seconds(4_000);
    assert_eq!(open(&folder).append(given).await.unwrap().recorded_at, Timestamp::from_seconds(5_000));
}

#[tokio::test]
async fn followers_are_told_when_it_is_closed() {
    let folder = folder();
    let journal = Arc::new(open(&folder));
    let mut follower = witan_event_store::Follower::new(journal.clone(), Position(0));
    let waiting = tokio::spawn(async move { follower.next_batch(1).await });
    tokio::task::yield_now().await;
    journal.close();
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = folder();
    let journal = open(&folder);
    let Err(refused) = Journal::open(&folder, small()) else { panic!("opened twice") };
    let message = refused.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(journal);
    open(&folder);
}

#[tokio::test]
async fn newer_formats_and_strange_folders_are_refused() {
    let folder = folder();
    record(&open(&folder), 0, 1).await.unwrap();
    for (text, newer) in
        [("witan journal 2\n", true), ("witan journal x\n", false), ("", false), ("witan journal 1", false)]
    {
        fs::write(folder.path().join("FORMAT"), text).unwrap();
        match Journal::open(&folder, small()) {
            Err(OpenError::Newer { found: 2 }) => assert!(newer),
            Err(OpenError::NotAJournal { .. }) => assert!(!newer),
            other => panic!("{text:?}: {:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn a_journal_that_was_half_made_is_made_again() {
    let folder = folder();
    drop(open(&folder));
    fs::remove_file(folder.path().join("FORMAT")).unwrap();
    for leftover in [20, 0] {
        fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join(segment_name(1)))
            .unwrap()
            .set_len(leftover)
            .unwrap();
        let journal = open(&folder);
        assert!(journal.opened().created);
        drop(journal);
        fs::remove_file(folder.path().join("FORMAT")).unwrap();
    }
}

#[tokio::test]
async fn verify_and_backup_work_beside_a_writer() {
    let folders = folder();
    let (source, copy) = (folders.path().join("source"), folders.path().join("copy"));
    let journal = Arc::new(open(&source));
    record(&journal, 0, 2).await.unwrap();
    let writing = {
        let journal = journal.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for number in 0..3_000 {
                    record(&journal, number, 2).await.unwrap();
                }
            });
        })
    };
    let mut verified = 0;
    while !writing.is_finished() {
        let at_least = journal.durable().borrow().0;
        let whole = verify(&source, |_| {}).unwrap();
        assert!(
            whole.events + 2 >= at_least,
            "head ({}) is at most one commit behind what is acknowledged ({at_least})",
            whole.events
        );
        verified += 1;
    }
    writing.join().unwrap();
    assert!(verified > 0);
    head_at(&source, 6_002);
    let mut last = crate::Progress::default();
    let whole = backup(&source, &copy, |progress| last = progress).unwrap();
    assert_eq!((whole.events, last.bytes), (6_002, last.bytes_total));
    assert!(matches!(backup(&source, &copy, |_| {}), Err(crate::BackupError::NotEmpty(_))));
    let restored = open(&copy);
    assert_eq!(all(&restored), all(&*journal));
    record(&restored, 0, 1).await.unwrap();
}

#[tokio::test]
async fn the_observer_is_told() {
    #[derive(Default)]
    struct Counter(AtomicU32, AtomicU32);
    impl crate::Observer for Counter {
        fn appended(&self, events: u64, _bytes: u64, _latency: std::time::Duration) {
            self.0.fetch_add(events as u32, Ordering::Relaxed);
        }
        fn committed(&self, _appends: u64, events: u64, _bytes: u64, _took: std::time::Duration) {
            self.1.fetch_add(events as u32, Ordering::Relaxed);
        }
    }
    let folder = folder();
    let observer = Arc::new(Counter::default());
    let journal = Journal::open(&folder, Options { observer: observer.clone(), ..small() }).unwrap();
    record(&journal, 0, 3).await.unwrap();
    record(&journal, 1, 2).await.unwrap();
    journal.close();
    assert_eq!((observer.0.load(Ordering::Relaxed), observer.1.load(Ordering::Relaxed)), (5, 5));
}
