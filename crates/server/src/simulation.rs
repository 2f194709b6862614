//! The whole server in small, at random: several people do whatever comes to mind in an organization, the process ends at
//! any moment (with commands on their way; or as a copy of its folder that was taken while it ran), starts again, and after
//! each start what must hold does.
//!
//! It is the real thing but for the network, the clock and the chance: the journal, the vault, the read models, the
//! reactors. The seed decides what is asked and when it ends. Threads race all the same, so a seed that failed gives the
//! same commands and crashes again, and not always the same interleaving.

mod calls;
mod checks;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use witan_app::{Error, Sources};
use witan_domain::Timestamp;

use calls::{Call, Known, Told, run};
use checks::{Acknowledged, check, settle};

use crate::{config, config::Config, data_folder::DataFolder, metrics::Metrics, stage::Stage, wiring::System};

const SEEDS: u64 = 24;
const SEEDS_THOROUGH: u64 = 2_000;
/// Names one seed, to play it again.
const SEED_VARIABLE: &str = "WITAN_SEED";
const THREADS: usize = 2;
const LIVES: u64 = 3;
const STEPS_MIN: u64 = 15;
const STEPS_MAX: u64 = 40;
const START: u64 = 1_800_000_000;

/// SplitMix64 (Steele, Lea and Flood, 2014): enough to choose by.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        (!choices.is_empty()).then(|| &choices[self.below(choices.len() as u64) as usize])
    }
}

#[test]
fn whatever_happens_nothing_acknowledged_is_lost() {
    if let Some(seed) = std::env::var_os(SEED_VARIABLE) {
        let seed = seed.to_str().and_then(|seed| seed.parse().ok()).expect("WITAN_SEED is a number");
        return play(seed);
    }
    let seeds = if std::env::var_os("WITAN_THOROUGH").is_some() { SEEDS_THOROUGH } else { SEEDS };
    let next = AtomicU64::new(0);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, SeqCst);
                        if seed >= seeds {
                            return failed;
                        }
                        if catch_unwind(AssertUnwindSafe(|| play(seed))).is_err() {
                            eprintln!("seed {seed} failed; once more: {SEED_VARIABLE}={seed} cargo test -p witan-server simulation");
                            failed.push(seed);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// One story: a few lives of a server on one history.
fn play(seed: u64) {
    let mut random = Random(seed);
    let mut place = Place::new();
    let clock = Arc::new(AtomicU64::new(START * 1_000_000));
    let mut story = Story::default();
    for life in 0..LIVES {
        let server = Server::start(&place.data, &clock, seed * 100 + life);
        server.runtime.block_on(async {
            settle(&server.system).await;
            story.tries_again(&server.system, &mut random).await;
            settle(&server.system).await;
            check(&server.system, &story.acknowledged, &story.known).await;
        });
        for _ in 0..random.below(STEPS_MAX) + STEPS_MIN {
            let calls = story.chooses(&mut random, life == 0);
            let results = server.calls(&calls);
            story.learns(calls, results.iter());
            if random.one_in(6) {
                let seconds = *random.of(&[1, 10, 31, 120, 301, 901, 3_600]).expect("there are some");
                clock.fetch_add(seconds * 1_000_000, SeqCst);
            }
        }
        match random.below(if life + 1 == LIVES { 1 } else { 4 }) {
            0 => server.ends_well(),
            1 => place.moves_to_a_copy_of(server, random.one_in(3)),
            _ => {
                let calls = (0..4).flat_map(|_| story.chooses(&mut random, false)).collect::<Vec<_>>();
                let results = server.dies_amid(&calls, Duration::from_micros(random.below(4_000)));
                story.learns(calls, results.iter());
            }
        }
    }
    let server = Server::start(&place.data, &clock, seed * 100 + LIVES);
    server.runtime.block_on(async {
        settle(&server.system).await;
        story.tries_again(&server.system, &mut random).await;
        settle(&server.system).await;
        check(&server.system, &story.acknowledged, &story.known).await;
        checks::replay_equals(&server.system).await;
    });
    let newest = server.system.standing(false).position;
    let digests = checks::digests(&server.system);
    server.ends_well();
    checks::merkle_root(&place.data, newest, &digests);
    if std::env::var_os(SEED_VARIABLE).is_some() {
        story.acknowledged.iter().for_each(|Acknowledged { call, told }| eprintln!("{:?}: {call:?}", told.position));
    }
    // A story in which hardly anything could be done would show nothing.
    assert!(story.acknowledged.len() > 15, "only {} commands were recorded", story.acknowledged.len());
}

/// What has been asked, answered, and learnt.
#[derive(Default)]
struct Story {
    known: Known,
    acknowledged: Vec<Acknowledged>,
    /// Asked, and not answered before the process ended.
    unanswered: Vec<Call>,
    asked: u64,
}

/// What came back of the calls, as far as they were answered: by their index.
type Results = Vec<(usize, Result<Told, Error>)>;

impl Story {
    /// A few calls that are made at once.
    fn chooses(&mut self, random: &mut Random, founding: bool) -> Vec<Call> {
        let many = if random.one_in(3) { random.below(4) + 1 } else { 1 };
        (0..many)
            .filter_map(|_| {
                self.asked += 1;
                self.known.chooses(random, self.asked, founding)
            })
            .collect()
    }

    fn learns<'a>(&mut self, calls: Vec<Call>, results: impl Iterator<Item = &'a (usize, Result<Told, Error>)>) {
        let mut open: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
        for (index, result) in results {
            let Some(call) = open[*index].take() else { continue };
            self.learns_one(call, result);
        }
        self.unanswered.extend(open.into_iter().flatten());
    }

    fn learns_one(&mut self, call: Call, result: &Result<Told, Error>) {
        match result {
            Ok(told) => {
                self.known.learns(&call, told);
                if told.position.is_some() {
                    self.acknowledged.push(Acknowledged { call, told: told.clone() });
                }
            }
            Err(Error::Fault(source)) => panic!("{call:?}: a fault: {}", witan_app::error::chain(source.as_ref())),
            Err(Error::OutcomeUnknown | Error::Unavailable(_)) => {
                panic!("{call:?}: {}", result.as_ref().err().unwrap())
            }
            Err(_) => {}
        }
    }

    /// Whoever got no answer asks again, and some who got one do: the answer is the same, however often.
    async fn tries_again(&mut self, system: &System, random: &mut Random) {
        for call in std::mem::take(&mut self.unanswered) {
            let first = run(&system.app, &call).await;
            if let Ok(told) = &first {
                let again = run(&system.app, &call).await;
                assert_eq!(again.as_ref().ok(), Some(told), "{call:?} again: {:?}", again.as_ref().err());
            }
            self.learns_one(call, &first);
        }
        for _ in 0..10 {
            let Some(Acknowledged { call, told }) = random.of(&self.acknowledged) else { return };
            let again = run(&system.app, call).await;
            // A token is a credential, and is good for five minutes.
            let expired = matches!(&again, Err(Error::Rejected { code: "JOIN_TOKEN_INVALID", .. }));
            // Of whom is erased nothing can be told any more.
            let erased = matches!(&again, Err(Error::Rejected { code: "PERSON_ERASED", .. }));
            if (expired && call.is_by_token()) || (erased && !self.known.erased.is_empty()) {
                continue;
            }
            assert_eq!(again.as_ref().ok(), Some(told), "{call:?} again: {:?}", again.as_ref().err());
        }
    }
}

/// One life of a server, with threads of its own: they end with it.
struct Server {
    runtime: Runtime,
    system: Arc<System>,
}

impl Server {
    fn start(data: &Path, clock: &Arc<AtomicU64>, draw: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (clock, random) = (clock.clone(), std::sync::Mutex::new(Random(draw ^ 0x5eed)));
        let chance = move |bytes: &mut [u8]| {
            let mut random = random.lock().unwrap();
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&random.next().to_be_bytes()[..chunk.len()]);
            }
        };
        let sources = Sources::given(move || Timestamp(clock.load(SeqCst)), chance);
        let config = Config { media: config::Media::Fake, ..Config::default() };
        let folder = DataFolder::open_or_make(data, "serve", System::fill).unwrap();
        let opened = System::open_with(folder, &config, Metrics::new(), Stage::default(), sources);
        let system = runtime.block_on(opened).unwrap_or_else(|failure| panic!("it does not start: {failure}"));
        Self { runtime, system }
    }

    fn asks(&self, calls: &[Call]) -> mpsc::Receiver<(usize, Result<Told, Error>)> {
        let (sender, receiver) = mpsc::channel();
        for (index, call) in calls.iter().cloned().enumerate() {
            let (app, sender) = (self.system.app.clone(), sender.clone());
            self.runtime.spawn(async move {
                let result = run(&app, &call).await;
                // Nobody waits for it any more once the process has ended.
                let _ = sender.send((index, result));
            });
        }
        receiver
    }

    fn calls(&self, calls: &[Call]) -> Results {
        let results: Results = self.asks(calls).iter().collect();
        assert_eq!(results.len(), calls.len(), "a call panicked: {calls:?}");
        results
    }

    fn ends_well(self) {
        self.runtime.block_on(self.system.close()).unwrap();
        self.runtime.shutdown_timeout(Duration::from_secs(10));
    }

    /// Everything stops where it is; what had been answered by then has been answered.
    fn dies_amid(self, calls: &[Call], after: Duration) -> Results {
        let results = self.asks(calls);
        std::thread::sleep(after);
        self.runtime.shutdown_timeout(Duration::from_secs(10));
        drop(self.system);
        results.iter().collect()
    }
}

/// The folder that the story is at now.
struct Place {
    folder: TempDir,
    data: PathBuf,
    copies: u64,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data-0");
        Self { folder, data, copies: 0 }
    }

    /// As after a kill: the files as they are at one moment while the server runs. A copy takes time, so what is derived
    /// is copied first and the journal last: then nothing is ahead of it that could not have been.
    fn moves_to_a_copy_of(&mut self, server: Server, without_read_models: bool) {
        // The vault's file must not change under the copy: nobody asks anything now, and erasures have been followed.
        server.runtime.block_on(checks::until_followed(&server.system, "erasures"));
        self.copies += 1;
        let to = self.folder.path().join(format!("data-{}", self.copies));
        std::fs::create_dir(&to).unwrap();
        if !without_read_models {
            copy(&self.data.join("read-models"), &to.join("read-models"));
        }
        for part in ["ledger", "keys", "vault"] {
            copy(&self.data.join(part), &to.join(part));
        }
        let journal = to.join("journal");
        std::fs::create_dir(&journal).unwrap();
        // `head` says how far the log must reach, so the log is copied after it.
        std::fs::copy(self.data.join("journal/head"), journal.join("head")).unwrap();
        copy(&self.data.join("journal"), &journal);
        for entry in std::fs::read_dir(&self.data).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
        server.runtime.shutdown_timeout(Duration::from_secs(10));
        drop(server.system);
        std::fs::remove_dir_all(&self.data).unwrap();
        self.data = to;
    }
}

/// Copies what is there; what is there already stays.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&path, &target);
        } else if !target.exists() {
            // A file may be replaced by another under our eyes.
            match std::fs::copy(&path, &target) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}
