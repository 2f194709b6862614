//! One bit flipped at every byte, truncation at every byte, each file missing: refused, reported, or proven harmless.

use super::*;

/// With the index on the disk, segments are larger: fewer rolls make fewer files of RocksDB's.
fn options(index: IndexPlace) -> Options {
    let segment_bytes_max = if index == IndexPlace::Disk { 3072 } else { 1024 };
    Options { index, segment_bytes_max, ..small() }
}

/// About thirty small events in several segments, as they were acknowledged, and the folder that holds them.
struct Sample {
    folder: TempDir,
    events: Vec<Recorded>,
}

impl Sample {
    async fn new(index: IndexPlace) -> Self {
        Self::with_head_behind(index, 0, 18).await
    }

    /// `lag`: how many of the last commits the head on the disk knows nothing of.
    async fn with_head_behind(index: IndexPlace, lag: u64, commits: u64) -> Self {
        let folder = folder();
        // Room for three commits in a segment, where head must be two behind in it.
        let segment_bytes_max = options(index).segment_bytes_max * (1 + lag);
        let journal = Journal::open(&folder, Options { segment_bytes_max, ..options(index) }).unwrap();
        let mut stale = Vec::new();
        for number in 0..commits {
            if number == commits - lag {
                head_at(folder.path(), journal.durable().borrow().0);
                stale = fs::read(folder.path().join("head")).unwrap();
            }
            record(&journal, number, 1 + number % 3).await.unwrap();
        }
        let events = all(&journal);
        drop(journal);
        if lag > 0 {
            fs::write(folder.path().join("head"), stale).unwrap();
        }
        Self { folder, events }
    }

    fn files(&self) -> Vec<PathBuf> {
        files_in(self.folder.path())
    }

    fn newest_segment(&self) -> PathBuf {
        segment_name(*segments(self.folder.path()).unwrap().last().unwrap()).into()
    }

    /// A copy of it with one file changed.
    fn changed(&self, scratch: &Path, file: &Path, content: Option<&[u8]>) {
        let _ = fs::remove_dir_all(scratch);
        copy_folder(self.folder.path(), scratch);
        match content {
            Some(content) => fs::write(scratch.join(file), content).unwrap(),
            None => fs::remove_file(scratch.join(file)).unwrap(),
        }
    }
}

/// Names of the files in a folder, and in those below it; without the lock.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_in(&entry.path()).into_iter().map(|file| Path::new(&entry.file_name()).join(file)));
        } else if entry.file_name() != "lock" {
            files.push(entry.file_name().into());
        }
    }
    files.sort();
    files
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// It opens; what is damaged is not served, and the error names it. The rest is as it was.
    Reported,
    /// What lay past head was cut, and that is said.
    Cut(u64),
    Harmless,
}

/// Opens a changed journal and compares all that it serves with what was acknowledged. Panics where it serves anything
/// else, or less without saying so.
fn outcome(folder: &Path, index: IndexPlace, truth: &[Recorded], context: &str) -> Outcome {
    let journal = match Journal::open(folder, options(index)) {
        Ok(journal) => journal,
        Err(OpenError::Damaged(damage)) => {
            assert!(damage.file.starts_with(folder), "{context}: {damage}");
            return Outcome::Refused;
        }
        Err(OpenError::HeadMissing { .. } | OpenError::NotAJournal { .. } | OpenError::Newer { .. }) => {
            return Outcome::Refused;
        }
        Err(error) => panic!("{context}: refused for the wrong reason: {error}"),
    };
    let kept = match &journal.opened().cut {
        Some(cut) => &truth[..cut.position as usize - 1],
        None => truth,
    };
    assert_eq!(journal.opened().events, kept.len() as u64, "{context}: events lost without a word");
    let mut reported = false;
    for event in kept {
        match journal.read_all(event.position, Direction::Forward, 1) {
            Ok(found) => assert_eq!(found, std::slice::from_ref(event), "{context}"),
            Err(_) => reported = true,
        }
    }
    for stream in 0..4 {
        let stream = format!("room-{stream}");
        let ours: Vec<_> = kept.iter().filter(|event| event.envelope.stream() == stream).cloned().collect();
        match journal.read_stream(&stream, 0, Direction::Forward, usize::MAX) {
            Ok(found) => assert_eq!(found, ours, "{context}"),
            Err(_) => reported = true,
        }
    }
    match &journal.opened().cut {
        Some(cut) => Outcome::Cut(cut.offset),
        None if reported => Outcome::Reported,
        None => Outcome::Harmless,
    }
}

/// Runs `check` for each number, on two threads, each with a scratch folder.
fn each(numbers: impl Iterator<Item = usize>, check: impl Fn(usize, &Path) + Sync) {
    let numbers: Vec<usize> = numbers.collect();
    std::thread::scope(|scope| {
        for half in [0, 1] {
            let (numbers, check) = (&numbers, &check);
            scope.spawn(move || {
                let scratch = folder();
                for number in numbers.iter().skip(half).step_by(2) {
                    check(*number, &scratch.path().join("journal"));
                }
            });
        }
    });
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[tokio::test]
async fn one_bit_flipped_at_every_byte() {
    let sample = Sample::new(IndexPlace::Memory).await;
    assert!(segments(sample.folder.path()).unwrap().len() >= 4, "there are closed segments and footers");
    for file in sample.files() {
        let bytes = fs::read(sample.folder.path().join(&file)).unwrap();
        let in_slot = |at: usize| HEAD_SLOT_OFFSETS.iter().any(|slot| (*slot..*slot + 84).contains(&(at as u64)));
        each(0..bytes.len(), |at, scratch| {
            let context = format!("bit flipped at byte {at} of {}", file.display());
            sample.changed(scratch, &file, Some(&flipped(&bytes, at)));
            let verified = verify(scratch, |_| {});
            let outcome = outcome(scratch, IndexPlace::Memory, &sample.events, &context);
            if file.extension().is_some() {
                assert!(verified.is_err(), "{context}: verify doesn't see it");
                assert!(
                    matches!(outcome, Outcome::Refused | Outcome::Reported | Outcome::Harmless),
                    "{context}: {outcome:?}"
                );
            } else if file == Path::new("head") {
                // The other slot counts: the log is read as far as it goes, and that one is spoiled is said.
                assert_eq!(outcome, Outcome::Harmless, "{context}");
                assert_eq!(verified.unwrap().head_slot_spoiled, in_slot(at), "{context}");
            } else {
                assert_eq!(outcome, Outcome::Refused, "{context}");
                assert!(verified.is_err(), "{context}");
            }
        });
    }
}

/// Closed segments are not read whole on open, so damage inside them must be found by reads (above) and by the scrub.
#[tokio::test]
async fn the_scrub_finds_older_damage_and_takes_it_out_of_service() {
    let sample = Sample::new(IndexPlace::Memory).await;
    let file = PathBuf::from(segment_name(1));
    let bytes = fs::read(sample.folder.path().join(&file)).unwrap();
    let newest = sample.events.last().unwrap().position;
    each(0..bytes.len(), |at, scratch| {
        sample.changed(scratch, &file, None);
        fs::write(scratch.join(&file), &bytes).unwrap();
        let journal = open(scratch);
        assert!(journal.scrub().is_empty());
        fs::write(scratch.join(&file), flipped(&bytes, at)).unwrap();
        let found = journal.scrub();
        assert!(!found.is_empty(), "a bit flipped at byte {at} escapes the scrub");
        assert!(
            journal.read_all(Position(found[0].position), Direction::Forward, 1).is_err(),
            "byte {at} is still served"
        );
        assert_eq!(journal.read_all(newest, Direction::Forward, 1).unwrap().len(), 1, "the rest is served");
        assert_eq!(journal.scrub(), found, "the same damage is noted once");
    });
}

#[tokio::test]
async fn the_tail_truncated_at_every_byte_is_refused() {
    let sample = Sample::new(IndexPlace::Memory).await;
    let file = sample.newest_segment();
    let bytes = fs::read(sample.folder.path().join(&file)).unwrap();
    each(0..bytes.len(), |length, scratch| {
        sample.changed(scratch, &file, Some(&bytes[..length]));
        let context = format!("truncated to {length} bytes");
        assert!(verify(scratch, |_| {}).is_err(), "{context}");
        assert_eq!(outcome(scratch, IndexPlace::Memory, &sample.events, &context), Outcome::Refused, "{context}");
    });
}

/// Head is two commits behind, as after a power loss: what it vouches for is refused when damaged, what lies behind it is
/// cut, and said, unless a later frame shows that it was whole once.
#[tokio::test]
async fn past_head_the_remains_of_the_last_commit_are_cut_and_said() {
    let mut commits = 18;
    // Both commits behind head must be in head's own segment.
    let (sample, head) = loop {
        let sample = Sample::with_head_behind(IndexPlace::Memory, 2, commits).await;
        match crate::head::read(sample.folder.path()).unwrap() {
            crate::head::Found::Valid { head, .. }
                if Path::new(&segment_name(head.segment)) == sample.newest_segment() =>
            {
                break (sample, head);
            }
            _ => commits += 1,
        }
    };
    let file = sample.newest_segment();
    let bytes = fs::read(sample.folder.path().join(&file)).unwrap();
    let frame = crate::format::FrameHeader::decode(&bytes[head.offset as usize..]).unwrap();
    let vouched = head.offset as usize;
    let last = vouched + frame.total();
    each(0..bytes.len(), |at, scratch| {
        sample.changed(scratch, &file, Some(&flipped(&bytes, at)));
        let context = format!("bit flipped at byte {at}, head at {vouched}");
        let expected = if at < last { Outcome::Refused } else { Outcome::Cut(last as u64) };
        assert_eq!(outcome(scratch, IndexPlace::Memory, &sample.events, &context), expected, "{context}");
        assert_eq!(verify(scratch, |_| {}).is_err(), at < vouched, "{context}: verified up to head");
    });
    each(0..bytes.len(), |length, scratch| {
        sample.changed(scratch, &file, Some(&bytes[..length]));
        let context = format!("truncated to {length} bytes, head at {vouched}");
        if length == vouched || length == last {
            // Whole commits went: nobody can tell.
            let events = if length == last { frame.last() } else { head.position };
            assert_eq!(Journal::open(scratch, small()).unwrap().opened().events, events, "{context}");
            return;
        }
        let expected = match length {
            _ if length < vouched => Outcome::Refused,
            _ if length < last => Outcome::Cut(vouched as u64),
            _ => Outcome::Cut(last as u64),
        };
        assert_eq!(outcome(scratch, IndexPlace::Memory, &sample.events, &context), expected, "{context}");
    });
}

#[tokio::test]
async fn each_file_missing() {
    let sample = Sample::new(IndexPlace::Memory).await;
    let scratch = folder();
    for file in sample.files() {
        let scratch = scratch.path().join("journal");
        sample.changed(&scratch, &file, None);
        let context = format!("{} missing", file.display());
        assert!(verify(&scratch, |_| {}).is_err(), "{context}");
        assert_eq!(outcome(&scratch, IndexPlace::Memory, &sample.events, &context), Outcome::Refused, "{context}");
        assert!(!scratch.join(&file).exists(), "{context}: it was not made up");
    }
    let scratch = scratch.path().join("journal");
    sample.changed(&scratch, Path::new("lock"), None);
    assert_eq!(outcome(&scratch, IndexPlace::Memory, &sample.events, "no lock"), Outcome::Harmless);
}

#[tokio::test]
async fn another_logs_segment_is_refused() {
    let (sample, other) = (Sample::new(IndexPlace::Memory).await, folder());
    let journal = open(&other);
    for number in 0..30 {
        record(&journal, 40 + number, 1).await.unwrap();
    }
    drop(journal);
    let scratch = folder();
    let first = fs::read(other.path().join(segment_name(1))).unwrap();
    sample.changed(&scratch.path().join("journal"), Path::new(&segment_name(1)), Some(&first));
    assert_eq!(outcome(&scratch.path().join("journal"), IndexPlace::Memory, &sample.events, "mixed"), Outcome::Refused);
}

/// The stream index holds nothing that can't be rebuilt: whatever happens to its files, what is served is right, or an
/// error; and after one more start all of it is served.
#[tokio::test]
async fn the_index_damaged_at_every_byte_or_missing_is_rebuilt() {
    let sample = Sample::new(IndexPlace::Disk).await;
    let files: Vec<_> = sample.files().into_iter().filter(|file| file.starts_with("index")).collect();
    assert!(files.len() >= 3);
    let thorough = std::env::var_os("WITAN_THOROUGH").is_some();
    for file in files {
        let bytes = fs::read(sample.folder.path().join(&file)).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // These say how RocksDB was configured; no key is in them.
        let telling = !name.starts_with("OPTIONS") && !name.starts_with("LOG");
        let step = if thorough {
            1
        } else if telling {
            7
        } else {
            499
        };
        let contents = (0..bytes.len()).step_by(step).map(|at| (Some(flipped(&bytes, at)), at)).chain([(None, 0)]);
        let contents: Vec<_> = contents.collect();
        each(0..contents.len(), |number, scratch| {
            let (content, at) = &contents[number];
            let context = format!(
                "byte {at} of {} ({})",
                file.display(),
                if content.is_some() { "flipped" } else { "all missing" }
            );
            sample.changed(scratch, &file, content.as_deref());
            let first = outcome(scratch, IndexPlace::Disk, &sample.events, &context);
            assert!(matches!(first, Outcome::Harmless | Outcome::Reported), "{context}: {first:?}");
            if first == Outcome::Reported {
                assert_eq!(
                    outcome(scratch, IndexPlace::Disk, &sample.events, &context),
                    Outcome::Harmless,
                    "{context}: rebuilt"
                );
            }
        });
    }
}

#[tokio::test]
async fn an_index_of_another_log_or_ahead_of_this_one_is_rebuilt() {
    let sample = Sample::new(IndexPlace::Disk).await;
    for events in [40, 10] {
        let other = folder();
        let journal = Journal::open(&other, Options { index: IndexPlace::Disk, ..small() }).unwrap();
        for number in 0..events {
            record(&journal, number + 3, 2).await.unwrap();
        }
        drop(journal);
        fs::remove_dir_all(other.path().join("index")).unwrap();
        copy_folder(&sample.folder.path().join("index"), &other.path().join("index"));
        let truth = all(&open(&other));
        let journal = Journal::open(&other, Options { index: IndexPlace::Disk, ..small() }).unwrap();
        assert!(journal.opened().index_rebuilt.is_some());
        drop(journal);
        assert_eq!(outcome(other.path(), IndexPlace::Disk, &truth, "another index"), Outcome::Harmless);
    }
}
