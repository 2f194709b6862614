//! Crashes of a real process on a real disk: SIGKILL, syncs that fail, a full file system, power cuts. The child is this
//! test binary, run again.
//!
//! `WITAN_THOROUGH=1` makes more rounds, `WITAN_SEED=n` replays one seed. What the machine doesn't allow is said.

#![expect(clippy::unwrap_used, reason = "all of this is test code, helpers included")]

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use witan_event_store::{
    AppendError, Direction, EventStore, ExpectedVersion, Position, Recorded,
    contract::{all, append},
};
use witan_event_store_embedded::{Journal, OpenError, Options, verify};

const WRITERS: u64 = 8;
/// A longer log is thrown away: each round reads all of it, several times.
const LOG_EVENTS_MAX: usize = 20_000;
const FOLDER: &str = "WITAN_CRASH_FOLDER";

fn rounds(fast: u32, thorough: u32) -> u32 {
    if std::env::var_os("WITAN_THOROUGH").is_some() { thorough } else { fast }
}

/// Small segments, so that rolls are hit as well.
fn options() -> Options {
    Options { segment_bytes_max: 64 << 10, scrub_bytes_per_second: 0, ..Options::default() }
}

/// A process that another test is just starting holds this one's files, locks included, until it becomes another program:
/// so a lock is tried for a while.
fn open(folder: &Path) -> Result<Journal, OpenError> {
    let mut tries = 0;
    loop {
        match Journal::open(folder, options()) {
            Err(OpenError::Locked { .. }) if tries < 200 => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened,
        }
        tries += 1;
    }
}

/// Past the test harness, which keeps the words of a test that passes.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}");
}

/// xorshift64*: enough to choose moments, and a printed seed replays it.
struct Random(u64);

impl Random {
    fn new(what: &str) -> Self {
        let seed = std::env::var("WITAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            use std::hash::{BuildHasher, Hasher};
            std::hash::RandomState::new().build_hasher().finish()
        });
        println!("{what}: WITAN_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// Writes as eight writers, each in its own stream, and tells each acknowledged append, in one write, as
/// "writer number events first-position". Does nothing unless it is told to by the environment.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let journal = Arc::new(open(Path::new(&folder)).unwrap());
    say("open\n");
    runtime.block_on(async {
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write(journal.clone(), writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
    say("stopped\n");
    // With syncs that fail, reads go on.
    all(&*journal);
}

fn say(line: &str) {
    // The parent may have gone.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

async fn write(journal: Arc<Journal>, writer: u64) {
    let stream = format!("writer-{writer}");
    let mut next = journal.stream_version(&stream).unwrap().map_or(0, |version| version + 1);
    loop {
        let count = 1 + next % 3;
        let expected = next.checked_sub(1).map_or(ExpectedVersion::NoStream, ExpectedVersion::Exactly);
        // Each event says how many its append has, and the first's number.
        let mut given = append(&stream, expected, next..next + count);
        for event in &mut given.events {
            event.data = format!("{next} {count} {}", "x".repeat((next % 400) as usize)).into();
        }
        match journal.append(given).await {
            Ok(answer) => say(&format!("{writer} {next} {count} {}\n", answer.first.0)),
            Err(AppendError::Full) => {
                say("full\n");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            Err(AppendError::OutcomeUnknown | AppendError::Stopped(_)) => return,
            Err(other) => panic!("{other}"),
        }
        next += count;
    }
}

fn spawn_child(folder: &Path, wrapper: &[&str]) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// An acknowledged append: events and first position.
type Acknowledged = HashMap<(u64, u64), (u64, u64)>;

/// Reads what the child says on a thread of its own, until its end. What is read after `cut` was set doesn't count.
fn listen(
    child: &mut Child,
    cut: &Arc<AtomicBool>,
) -> (std::sync::mpsc::Receiver<()>, std::thread::JoinHandle<(Acknowledged, bool)>) {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (opened, is_open) = std::sync::mpsc::channel();
    let cut = cut.clone();
    let listening = std::thread::spawn(move || {
        let (mut acknowledged, mut full) = (Acknowledged::new(), false);
        for line in output.lines() {
            let Ok(line) = line else { break };
            // The test harness may have written before it on the same line.
            if line.ends_with("open") {
                let _ = opened.send(());
            }
            full |= line == "full";
            let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
            if let [writer, number, count, position] = numbers[..]
                && !cut.load(Ordering::SeqCst)
            {
                acknowledged.insert((writer, number), (count, position));
            }
        }
        (acknowledged, full)
    });
    (is_open, listening)
}

/// No acknowledged event lost, none doubled, no gap, no half append.
fn check(folder: &Path, acknowledged: &Acknowledged, before: &mut Vec<Recorded>, context: &str) {
    let journal = open(folder).unwrap_or_else(|error| panic!("{context}: {error}"));
    let events = all(&journal);
    assert_eq!(events[..before.len()], before[..], "{context}: the log changed");
    let mut versions = HashMap::new();
    for (position, event) in (1..).zip(&events) {
        assert_eq!(event.position, Position(position), "{context}: a gap");
        let version = versions.entry(event.envelope.stream()).or_insert(0);
        assert_eq!(event.envelope.version(), *version, "{context}: a gap in {}", event.envelope.stream());
        *version += 1;
        let text = std::str::from_utf8(event.envelope.data()).unwrap();
        let numbers: Vec<u64> = text.split(' ').map_while(|word| word.parse().ok()).collect();
        let (first, count) = (numbers[0], numbers[1]);
        let last = &events[(position + (first + count - 1 - event.envelope.version())) as usize - 1];
        assert_eq!(last.envelope.version(), first + count - 1, "{context}: half an append");
        assert_eq!(last.envelope.stream(), event.envelope.stream(), "{context}: half an append");
    }
    for ((writer, number), (count, position)) in acknowledged {
        for offset in 0..*count {
            let event = events.get((position + offset) as usize - 1);
            let event =
                event.unwrap_or_else(|| panic!("{context}: event {} was acknowledged and is lost", position + offset));
            assert_eq!(event.envelope.stream(), format!("writer-{writer}"), "{context}");
            assert_eq!(event.envelope.version(), number + offset, "{context}");
        }
    }
    for writer in 0..WRITERS {
        let stream = format!("writer-{writer}");
        let ours: Vec<_> = events.iter().filter(|event| event.envelope.stream() == stream).cloned().collect();
        assert_eq!(journal.read_stream(&stream, 0, Direction::Forward, usize::MAX).unwrap(), ours, "{context}: index");
    }
    drop(journal);
    assert_eq!(verify(folder, |_| {}).unwrap().events, events.len() as u64, "{context}");
    *before = events;
}

#[test]
fn killed_at_random_moments() {
    let folder = TempDir::new().unwrap();
    let mut random = Random::new("SIGKILL");
    let (mut before, mut total) = (Vec::new(), 0);
    for round in 0..rounds(50, 1_000) {
        let mut child = spawn_child(folder.path(), &[]);
        let (opened, listening) = listen(&mut child, &Arc::default());
        // Some rounds are killed while they open.
        if random.below(5) > 0 {
            opened.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let (acknowledged, _) = listening.join().unwrap();
        total += acknowledged.len();
        check(folder.path(), &acknowledged, &mut before, &format!("round {round}"));
        if before.len() > LOG_EVENTS_MAX {
            fs::remove_dir_all(folder.path()).unwrap();
            before.clear();
        }
    }
    assert!(total > 100, "only {total} appends were acknowledged: that tests nothing");
    println!("SIGKILL: {total} acknowledged appends, none lost");
}

#[test]
fn syncs_that_fail() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        skipped("syncs that fail: strace isn't here; they are only tested inside the process");
        return;
    }
    let mut total = 0;
    for nth in 1..=rounds(20, 100) {
        let folder = TempDir::new().unwrap();
        // Opening has syncs too: a journal whose opening fails must open the next time.
        let inject = format!("inject=fdatasync:error=EIO:when={nth}+");
        let mut child =
            spawn_child(folder.path(), &["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]);
        let (_, listening) = listen(&mut child, &Arc::default());
        child.wait().unwrap();
        let (acknowledged, _) = listening.join().unwrap();
        total += acknowledged.len();
        check(folder.path(), &acknowledged, &mut Vec::new(), &format!("fdatasync {nth} fails"));
    }
    if total == 0 {
        skipped("syncs that fail: strace can't trace here; they are only tested inside the process");
    }
}

/// A mounted file system that is unmounted at the end. `None`, said, where mounting isn't allowed.
struct Mounted(TempDir);

impl Mounted {
    fn point(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn tmpfs(size: &str) -> Option<Self> {
        let mounted = Self(TempDir::new().unwrap());
        fs::create_dir(mounted.point()).unwrap();
        let size = format!("size={size}");
        run("mount", &["-t", "tmpfs", "-o", &size, "none"], &mounted.point()).then_some(mounted)
    }

    fn ext4() -> Option<Self> {
        let mounted = Self(TempDir::new().unwrap());
        fs::create_dir(mounted.point()).unwrap();
        fs::File::create(mounted.image()).unwrap().set_len(256 << 20).unwrap();
        (run("mkfs.ext4", &["-q", "-F"], &mounted.image()) && mounted.mount()).then_some(mounted)
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop", &self.image().to_string_lossy()], &self.point())
    }

    fn unmount(&self) {
        for _ in 0..100 {
            if run("umount", &[], &self.point()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} can't be unmounted", self.point().display());
    }

    /// As if the power went: what isn't on the disk, is lost, the file system's own log included.
    fn cut_power(&self) {
        let root = fs::File::open(self.point()).unwrap();
        shut_down(&root).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l"], &self.point());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// FS_IOC_SHUTDOWN with NOLOGFLUSH.
#[expect(unsafe_code, reason = "an ioctl that no safe interface offers")]
fn shut_down(root: &fs::File) -> rustix::io::Result<()> {
    const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
    const NOLOGFLUSH: u32 = 2;
    // SAFETY: the kernel reads a u32 behind the pointer (ext4_ioctl_shutdown), and that is what the setter passes.
    unsafe {
        let call = rustix::ioctl::Setter::<FS_IOC_SHUTDOWN, u32>::new(NOLOGFLUSH);
        rustix::ioctl::ioctl(root.as_fd(), call)
    }
}

#[test]
fn a_full_file_system() {
    let Some(mounted) = Mounted::tmpfs("2m") else {
        skipped("a full file system: mounting isn't allowed here; it is only tested inside the process");
        return;
    };
    let (folder, ballast) = (mounted.point().join("journal"), mounted.point().join("ballast"));
    let (mut before, mut all) = (Vec::new(), Acknowledged::new());
    for round in 0..rounds(3, 30) {
        // What the round before deleted may still be held for a moment, by a process that another test is just starting.
        let written = (0..200).find(|_| {
            std::thread::sleep(Duration::from_millis(10));
            fs::write(&ballast, vec![0; 600 << 10]).is_ok()
        });
        assert!(written.is_some(), "round {round}: no room for the ballast");
        let mut child = spawn_child(&folder, &[]);
        let (opened, listening) = listen(&mut child, &Arc::default());
        opened.recv_timeout(Duration::from_secs(60)).unwrap();
        std::thread::sleep(Duration::from_millis(1_500));
        // It heals: then the child goes on, until it is full again.
        fs::remove_file(&ballast).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        let (acknowledged, full) = listening.join().unwrap();
        assert!(full, "round {round}: it was never full");
        all.extend(acknowledged);
        let grown = before.len();
        check(&folder, &all, &mut before, &format!("round {round}"));
        assert!(before.len() > grown, "round {round}: nothing was recorded");
        fs::remove_dir_all(&folder).unwrap();
        (before, all) = Default::default();
    }
}

#[test]
fn power_cuts() {
    let Some(mounted) = Mounted::ext4() else {
        skipped("power cuts: loop mounts aren't allowed here");
        return;
    };
    let mut random = Random::new("power cuts");
    let (mut before, mut total) = (Vec::new(), 0);
    let folder = mounted.point().join("journal");
    for round in 0..rounds(100, 1_000) {
        let mut child = spawn_child(&folder, &[]);
        let cut = Arc::new(AtomicBool::new(false));
        let (opened, listening) = listen(&mut child, &cut);
        if random.below(8) > 0 {
            opened.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        // With the power gone nobody hears an answer any more. Here a sync that the shutdown overtakes can answer 0 for what
        // never reaches the disk (seen once in 360 rounds of this test): so only what was heard before the cut counts.
        // That is the kernel's doing, not ours. A C program of one thread that only calls pwrite and fdatasync on one file lost
        // its last record in 30 of 800 such cuts, though fdatasync had said 0; with eight threads and files, in 86 of
        // 500 cuts; each time it had said so after the ioctl had begun, and nothing it said before was ever lost (Linux
        // 6.18). As we read the source: aborting its journal makes jbd2 end the running transaction without writing it, and
        // jbd2_complete_transaction says 0 of one that is over, without asking whether it was aborted.
        cut.store(true, Ordering::SeqCst);
        mounted.cut_power();
        child.kill().unwrap();
        child.wait().unwrap();
        let (acknowledged, _) = listening.join().unwrap();
        total += acknowledged.len();
        mounted.unmount();
        assert!(mounted.mount(), "round {round}: it mounts again");
        check(&folder, &acknowledged, &mut before, &format!("round {round}"));
        if before.len() > LOG_EVENTS_MAX {
            fs::remove_dir_all(&folder).unwrap();
            before.clear();
        }
    }
    assert!(total > 100, "only {total} appends were acknowledged: that tests nothing");
    println!("power cuts: {total} acknowledged appends, none lost");
}
