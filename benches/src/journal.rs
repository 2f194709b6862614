//! `journal`: appending, catching up, opening. The baseline of appending is a plain file: the same bytes, from as many
//! writers, by the same group-commit scheme (one thread takes what waits, one write, one `fdatasync`, all are answered),
//! and nothing else: no position, no version, no checksum, no index.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;
use witan_domain::{EventId, OrganizationId, Timestamp};
use witan_event_store::{Append, Direction, EventStore, ExpectedVersion, NewEvent, Position};
use witan_event_store_embedded::{Journal, Options};

use crate::figure::{Figure, Goal};
use crate::load::now;

const WRITERS: [usize; 3] = [1, 16, 256];
/// Each turn of a writer count lasts so long.
const TURN: Duration = Duration::from_millis(300);
const PAYLOAD_BYTES: usize = 256;
const CATCH_UP_EVENTS: u64 = 500_000;
const CATCH_UP_BATCH: usize = 1_000;
const OPEN_EVENTS: u64 = 10_000_000;
/// Nine million more events may cost so much: the noise of allocators, and no more.
const OPEN_GROWTH_MIB_MAX: f64 = 8.0;
/// A journal is filled by appends of so many events.
const FILL_EVENTS: usize = 1_000;

/// All figures of the journal: medians of so many rounds.
pub(crate) fn figures(rounds: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut figures = Vec::new();
    for writers in WRITERS {
        let (mut ours, mut baseline) = (Turns::default(), Turns::default());
        for _ in 0..rounds {
            ours.add(runtime.block_on(journal_turn(writers)));
            baseline.add(runtime.block_on(plain_turn(writers)));
        }
        figures.push(
            Figure::new(format!("append_throughput {writers}"), "events/s", &ours.per_second, &baseline.per_second)
                .goal(Goal::RatioAtLeast(0.85)),
        );
        figures.push(
            Figure::new(format!("append_p99 {writers}"), "ms", &ours.p99_ms, &baseline.p99_ms)
                .goal(Goal::RatioAtMost(1.5)),
        );
    }
    figures.push(catch_up(rounds, &runtime));
    figures.extend(open(rounds, &runtime));
    figures
}

/// One value a round.
#[derive(Default)]
struct Turns {
    per_second: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Turns {
    fn add(&mut self, (mut latencies, took): (Vec<Duration>, Duration)) {
        latencies.sort_unstable();
        let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
        self.per_second.push(latencies.len() as f64 / took.as_secs_f64());
        self.p99_ms.push(p99.as_secs_f64() * 1_000.0);
    }
}

fn event(number: u64) -> NewEvent {
    NewEvent {
        id: EventId(u128::from(number)),
        kind: "ThingHappened".into(),
        schema: 1,
        metadata: Bytes::new(),
        data: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
    }
}

fn append(stream: &str, first: u64, count: usize) -> Append {
    Append {
        stream: stream.into(),
        organization: Some(OrganizationId(1)),
        expected: ExpectedVersion::Any,
        events: (first..).take(count).map(event).collect(),
        now: Timestamp::from_seconds(1),
    }
}

/// Every writer appends one event after the other, until the turn is over. The latencies, and how long all took.
async fn turn<F: Future<Output = ()> + Send>(
    writers: usize,
    one: impl Fn(usize, u64) -> F + Clone + Send + 'static,
) -> (Vec<Duration>, Duration) {
    let began = now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let one = one.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while began.elapsed() < TURN {
                    let asked = now();
                    one(writer, latencies.len() as u64).await;
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a writer doesn't panic"));
    }
    (latencies, began.elapsed())
}

async fn journal_turn(writers: usize) -> (Vec<Duration>, Duration) {
    let folder = TempDir::new().expect("a folder can be made");
    let journal = Arc::new(Journal::open(&folder, Options::default()).expect("a new journal opens"));
    turn(writers, move |writer, number| {
        let journal = journal.clone();
        async move {
            journal.append(append(&format!("session-{writer}"), number, 1)).await.expect("it is recorded");
        }
    })
    .await
}

/// The least that a group commit is.
struct PlainFile {
    waiting: Mutex<(Vec<(Vec<u8>, oneshot::Sender<()>)>, bool)>,
    arrived: Condvar,
}

impl PlainFile {
    fn commit(&self, file: &File) {
        let (mut offset, mut bytes) = (0, Vec::new());
        loop {
            let group = {
                let mut waiting = self.waiting.lock().expect("no writer panics");
                while waiting.0.is_empty() && !waiting.1 {
                    waiting = self.arrived.wait(waiting).expect("no writer panics");
                }
                std::mem::take(&mut waiting.0)
            };
            if group.is_empty() {
                return;
            }
            bytes.clear();
            group.iter().for_each(|(event, _)| bytes.extend_from_slice(event));
            file.write_all_at(&bytes, offset).expect("there is room");
            file.sync_data().expect("it syncs");
            offset += bytes.len() as u64;
            for (_, answer) in group {
                let _ = answer.send(());
            }
        }
    }

    async fn append(&self, event: Vec<u8>) {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().expect("no writer panics").0.push((event, answer));
        self.arrived.notify_one();
        answered.await.expect("it is answered");
    }
}

async fn plain_turn(writers: usize) -> (Vec<Duration>, Duration) {
    let folder = TempDir::new().expect("a folder can be made");
    let file = File::create(folder.path().join("plain")).expect("a file can be made");
    let plain = Arc::new(PlainFile { waiting: Mutex::default(), arrived: Condvar::new() });
    let committing = std::thread::spawn({
        let plain = plain.clone();
        move || plain.commit(&file)
    });
    let result = turn(writers, {
        let plain = plain.clone();
        move |writer, number| {
            let plain = plain.clone();
            async move {
                // The same bytes that ours is given: the caller makes them.
                let event = witan_event_store::Envelope::unstamped(
                    &format!("session-{writer}"),
                    Some(OrganizationId(1)),
                    &event(number),
                );
                plain.append(event).await;
            }
        }
    })
    .await;
    plain.waiting.lock().expect("no writer panics").1 = true;
    plain.arrived.notify_one();
    committing.join().expect("the committer doesn't panic");
    result
}

/// Fills a journal with that many events, in 16 streams.
async fn fill(folder: &Path, events: u64) {
    let journal = Journal::open(folder, Options::default()).expect("it opens");
    for number in 0..events / FILL_EVENTS as u64 {
        let stream = format!("session-{}", number % 16);
        journal.append(append(&stream, number, FILL_EVENTS)).await.expect("it is recorded");
    }
}

/// Reading everything in batches, as a follower does, envelopes not decoded, from the page cache.
fn catch_up(rounds: usize, runtime: &tokio::runtime::Runtime) -> Figure {
    let folder = TempDir::new().expect("a folder can be made");
    runtime.block_on(fill(folder.path(), CATCH_UP_EVENTS));
    let journal = Journal::open(&folder, Options::default()).expect("it opens");
    let mut per_second = Vec::new();
    // The first one warms the page cache.
    for round in 0..=rounds {
        let began = now();
        let (mut next, mut seen) = (Position(0), 0);
        loop {
            let batch = journal.read_all(next, Direction::Forward, CATCH_UP_BATCH).expect("it is read");
            let Some(newest) = batch.last() else { break };
            next = Position(newest.position.0 + 1);
            seen += batch.len() as u64;
        }
        assert_eq!(seen, journal.opened().events);
        if round > 0 {
            per_second.push(seen as f64 / began.elapsed().as_secs_f64());
        }
    }
    Figure::alone("catch_up", "events/s", &per_second).goal(Goal::AtLeast(1_500_000.0))
}

/// Opening ten million events, and what that adds to a process's memory beside a tenth of them: each time in a process of
/// its own, since one that has opened a journal before has the memory for it already.
fn open(rounds: usize, runtime: &tokio::runtime::Runtime) -> [Figure; 2] {
    let (large, small) = (TempDir::new().expect("a folder can be made"), TempDir::new().expect("a folder can be made"));
    runtime.block_on(fill(large.path(), OPEN_EVENTS));
    runtime.block_on(fill(small.path(), OPEN_EVENTS / 10));
    let (mut seconds, mut mib, mut mib_of_small) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let opened = opened_in_a_process(large.path());
        seconds.push(opened.0);
        mib.push(opened.1);
        mib_of_small.push(opened_in_a_process(small.path()).1);
    }
    [
        Figure::alone("open", "s", &seconds).goal(Goal::AtMost(2.0)),
        Figure::new("open_memory", "MiB", &mib, &mib_of_small).goal(Goal::OverBaselineAtMost(OPEN_GROWTH_MIB_MAX)),
    ]
}

/// Seconds, and MiB that the process grew by.
fn opened_in_a_process(folder: &Path) -> (f64, f64) {
    let own = std::env::current_exe().expect("a process has an executable");
    let output = std::process::Command::new(own).arg("--open").arg(folder).output().expect("our own executable starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = said.split_whitespace().map(|number| number.parse().expect("it prints two numbers"));
    (numbers.next().expect("seconds"), numbers.next().expect("MiB"))
}

/// What such a process does: opens the journal and prints seconds and MiB.
pub(crate) fn open_once(folder: &Path) {
    let before = resident_mib();
    let began = now();
    let journal = Journal::open(folder, Options::default()).expect("it opens");
    let seconds = began.elapsed().as_secs_f64();
    assert!(journal.opened().events > 0, "there is something to open");
    println!("{seconds} {}", resident_mib() - before);
}

/// What of this process is in memory; 0 where the kernel doesn't say.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
