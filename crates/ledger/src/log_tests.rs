use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn digest(n: u64) -> Hash {
    let mut digest = [0x5a; 32];
    digest[..8].copy_from_slice(&n.to_le_bytes());
    digest
}

/// Events `from..to`, the n-th at position 3n + 1: positions with gaps.
fn events(from: u64, to: u64) -> impl Iterator<Item = (u64, Hash)> {
    (from..to).map(|n| (3 * n + 1, digest(n)))
}

/// The root of `size` events by the definition (RFC 9162, section 2.1.1).
fn expected_root(size: u64) -> Hash {
    fn root(from: u64, to: u64) -> Hash {
        match to - from {
            0 => EMPTY_ROOT,
            1 => leaf_hash(&digest(from)),
            count => {
                let middle = from + count.next_power_of_two() / 2;
                node_hash(&root(from, middle), &root(middle, to))
            }
        }
    }
    root(0, size)
}

fn filled(size: u64) -> (TempDir, MerkleLog) {
    let folder = tempfile::tempdir().unwrap();
    let mut log = MerkleLog::open(folder.path()).unwrap();
    assert_eq!(log.append(events(0, size)).unwrap(), size);
    log.flush().unwrap();
    (folder, log)
}

#[test]
fn an_empty_log() {
    let (folder, log) = filled(0);
    assert_eq!((log.size(), log.cursor()), (0, None));
    let reader = log.reader();
    assert_eq!(reader.root(0).unwrap(), EMPTY_ROOT);
    assert!(matches!(reader.inclusion(0, 0), Err(LedgerError::NoSuchLeaf { index: 0, size: 0 })));
    assert!(matches!(reader.inclusion(0, 1), Err(LedgerError::NoSuchSize { asked: 1, size: 0 })));
    assert_eq!(reader.leaf_of_position(1).unwrap(), None);
    assert_eq!(reader.consistency(0, 0).unwrap(), Vec::<Hash>::new());
    assert_eq!(LogReader::open(folder.path()).unwrap().size(), 0);
}

#[test]
fn every_proof_of_every_small_log() {
    let (_folder, log) = filled(80);
    let reader = log.reader();
    for size in 0..=80 {
        let root = reader.root(size).unwrap();
        assert_eq!(root, expected_root(size));
        for index in 0..size {
            let proof = reader.inclusion(index, size).unwrap();
            assert_eq!(verify_inclusion(&leaf_hash(&digest(index)), index, size, &proof, &root), Ok(()));
        }
        for old in 0..=size {
            let proof = reader.consistency(old, size).unwrap();
            assert_eq!(verify_consistency(old, size, &proof, &expected_root(old), &root), Ok(()));
        }
    }
}

#[test]
fn leaves_are_found_by_position() {
    let (_folder, log) = filled(50);
    let reader = log.reader();
    for position in 0..200 {
        let leaf = (position % 3 == 1 && position < 150).then_some(position / 3);
        assert_eq!(reader.leaf_of_position(position).unwrap(), leaf, "{position}");
    }
    assert_eq!(reader.leaf_of_position(u64::MAX).unwrap(), None);
    let found = reader.inclusion_of(31, &digest(10), 50).unwrap();
    assert_eq!((found.leaf_index, found.tree_size), (10, 50));
    assert_eq!(found.hashes, reader.inclusion(10, 50).unwrap());
    assert!(matches!(reader.inclusion_of(31, &digest(11), 50), Err(LedgerError::Damaged { .. })));
    assert!(matches!(reader.inclusion_of(151, &digest(50), 50), Err(LedgerError::NotYet { position: 151 })));
    assert!(matches!(reader.inclusion_of(31, &digest(10), 10), Err(LedgerError::NoSuchLeaf { index: 10, size: 10 })));
}

#[test]
fn positions_must_increase() {
    let (_folder, mut log) = filled(2);
    for position in [0, 3, 4] {
        let refused = log.append([(9, digest(2)), (position, digest(3))]);
        assert!(matches!(refused, Err(LedgerError::NotIncreasing { last: 9, .. })));
        let refused = log.append([(position, digest(3))]);
        assert!(matches!(refused, Err(LedgerError::NotIncreasing { last: 4, .. })));
    }
    assert_eq!((log.size(), log.cursor()), (2, Some((4, digest(1)))));
    log.append(events(2, 9)).unwrap();
    assert_eq!(log.reader().root(9).unwrap(), expected_root(9));
}

#[test]
fn what_was_not_flushed_is_fed_again() {
    let (folder, mut log) = filled(10);
    log.append(events(10, 25)).unwrap();
    assert_eq!(log.cursor(), Some((73, digest(24))));
    drop(log);
    let mut log = MerkleLog::open(folder.path()).unwrap();
    assert_eq!(log.cursor(), Some((28, digest(9))));
    log.append(events(10, 40)).unwrap();
    log.flush().unwrap();
    let reader = LogReader::open(folder.path()).unwrap();
    assert_eq!((reader.size(), reader.root(40).unwrap()), (40, expected_root(40)));
}

#[test]
fn a_rebuild_gives_the_same_roots() {
    let (folder, log) = filled(33);
    drop(log);
    fs::write(folder.path().join("hashes"), "damaged").unwrap();
    assert!(MerkleLog::open(folder.path()).is_err_and(|error| error.needs_rebuild()));
    let mut log = MerkleLog::open_empty(folder.path()).unwrap();
    assert_eq!(log.size(), 0);
    log.append(events(0, 33)).unwrap();
    assert_eq!(log.reader().root(33).unwrap(), expected_root(33));
}

fn device(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_full_disk_appends_nothing_and_heals() {
    let (_folder, mut log) = filled(10);
    let reader = log.reader();
    let Shared { folder, positions, .. } = &*reader.0;
    let full = Shared {
        folder: folder.clone(),
        hashes: device("/dev/full"),
        positions: positions.try_clone().unwrap(),
        tip: RwLock::new(reader.tip()),
    };
    log.reader = LogReader(Arc::new(full));
    assert!(matches!(log.append(events(10, 20)), Err(LedgerError::Io { doing: "write", .. })));
    assert_eq!(log.size(), 10);
    log.reader = reader;
    assert_eq!(log.append(events(10, 20)).unwrap(), 20);
    assert_eq!(log.reader().root(20).unwrap(), expected_root(20));
}

#[test]
fn after_a_failed_sync_nothing_is_written() {
    let (folder, mut log) = filled(10);
    log.append(events(10, 20)).unwrap();
    // It takes the write, and can't be synced.
    log.head_file = device("/dev/null");
    assert!(matches!(log.flush(), Err(LedgerError::Io { doing: "sync", .. })));
    assert!(matches!(log.flush(), Err(LedgerError::Stopped)));
    assert!(matches!(log.append(events(20, 21)), Err(LedgerError::Stopped)));
    log.reader().inclusion(3, 20).unwrap();
    drop(log);
    assert_eq!(MerkleLog::open(folder.path()).unwrap().cursor(), Some((28, digest(9))));
}

#[test]
fn many_chunks_in_one_batch() {
    let size = 2 * CHUNK_LEAVES_MAX + 12_345;
    let (folder, log) = filled(size);
    let reader = log.reader();
    assert_eq!(reader.root(size).unwrap(), expected_root(size));
    reader.consistency(CHUNK_LEAVES_MAX - 1, size).unwrap();
    assert_eq!(reader.inclusion_of(3 * 77_777 + 1, &digest(77_777), size).unwrap().leaf_index, 77_777);
    drop(log);
    assert_eq!(MerkleLog::open(folder.path()).unwrap().reader().root(size).unwrap(), expected_root(size));
}

#[test]
fn readers_beside_the_writer() {
    let (_folder, mut log) = filled(1);
    let reader = log.reader();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let proofs = scope.spawn(|| {
            let mut proofs = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || proofs < 10 {
                let size = reader.size();
                let found = reader.inclusion_of(3 * (size / 2) + 1, &digest(size / 2), size).unwrap();
                assert_eq!(found.leaf_index, size / 2);
                reader.consistency(size / 3, size).unwrap();
                proofs += 1;
            }
            proofs
        });
        for from in (1..20_000).step_by(97) {
            log.append(events(from, from + 97)).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(proofs.join().unwrap() >= 10);
    });
}

/// What may come of opening damaged files: a refusal that asks for a rebuild, or a log that is right as far as it goes.
fn right_or_refused(folder: &Path, what: &str) -> bool {
    let mut log = match MerkleLog::open(folder) {
        Ok(log) => log,
        Err(error) => {
            assert!(error.needs_rebuild(), "{what}: {error}");
            return false;
        }
    };
    let size = log.size();
    let reader = log.reader();
    for at in 0..=size {
        match reader.root(at) {
            Ok(root) => assert_eq!(root, expected_root(at), "{what}"),
            Err(error) => assert!(error.needs_rebuild(), "{what}: {error}"),
        }
        if at == size {
            break;
        }
        match reader.inclusion_of(3 * at + 1, &digest(at), size) {
            Ok(found) => {
                let leaf = leaf_hash(&digest(at));
                assert_eq!(found.leaf_index, at, "{what}");
                assert_eq!(verify_inclusion(&leaf, at, size, &found.hashes, &expected_root(size)), Ok(()), "{what}");
            }
            Err(error) => assert!(error.needs_rebuild(), "{what}: {error}"),
        }
    }
    // It goes on from its cursor as if nothing had been.
    let next = log.cursor().map_or(0, |(position, _)| position / 3 + 1);
    assert_eq!(next, size, "{what}");
    if log.append(events(size, 20)).is_ok() {
        assert_eq!(log.reader().tip().root, expected_root(20), "{what}");
    }
    true
}

/// Eleven flushed events, then five more in the files but not under the head.
fn crashed() -> [(&'static str, Vec<u8>); 3] {
    let (folder, mut log) = filled(7);
    log.append(events(7, 11)).unwrap();
    log.flush().unwrap();
    log.append(events(11, 16)).unwrap();
    FILES.map(|name| (name, fs::read(folder.path().join(name)).unwrap()))
}

fn restore(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn truncated_at_every_byte() {
    let files = crashed();
    let mut opened = 0;
    for (name, bytes) in &files {
        for length in 0..bytes.len() {
            let folder = restore(&files);
            fs::write(folder.path().join(name), &bytes[..length]).unwrap();
            opened += u32::from(right_or_refused(folder.path(), &format!("{name} cut to {length}")));
        }
    }
    assert!(opened > 0, "cutting what was not flushed is harmless");
}

#[test]
fn each_file_missing() {
    let files = crashed();
    for (name, _) in &files {
        let folder = restore(&files);
        fs::remove_file(folder.path().join(name)).unwrap();
        right_or_refused(folder.path(), &format!("{name} missing"));
    }
}

#[test]
fn one_bit_flipped_in_every_byte() {
    let files = crashed();
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let folder = restore(&files);
            fs::write(folder.path().join(name), changed).unwrap();
            right_or_refused(folder.path(), &format!("{name} changed at {at}"));
        }
    }
}

#[test]
fn a_torn_head_goes_back_to_the_one_before() {
    let mut files = crashed();
    // Flushes take the second slot first: 7 leaves stand there, 11 in the first.
    files[2].1[20] ^= 1;
    let folder = restore(&files);
    let mut log = MerkleLog::open(folder.path()).unwrap();
    assert_eq!(log.cursor(), Some((19, digest(6))));
    log.append(events(7, 12)).unwrap();
    log.flush().unwrap();
    drop(log);
    assert_eq!(MerkleLog::open(folder.path()).unwrap().size(), 12);
}

#[test]
fn reading_changes_no_file() {
    let files = crashed();
    let folder = restore(&files);
    assert_eq!(LogReader::open(folder.path()).unwrap().size(), 11);
    for (name, bytes) in &files {
        assert_eq!(&fs::read(folder.path().join(name)).unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Batches, flushes and crashes in any order never change what the log says.
    #[test]
    fn any_life_gives_the_same_log(steps in prop::collection::vec((0u64..60, 0u8..4), 1..14)) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = MerkleLog::open(folder.path()).unwrap();
        for (count, then) in steps {
            let size = log.size();
            log.append(events(size, size + count)).unwrap();
            match then {
                0 => log.flush().unwrap(),
                1 => log = { drop(log); MerkleLog::open(folder.path()).unwrap() },
                _ => {}
            }
        }
        let size = log.size();
        let reader = log.reader();
        prop_assert_eq!(reader.root(size).unwrap(), expected_root(size));
        for index in 0..size {
            let proof = reader.inclusion(index, size).unwrap();
            prop_assert_eq!(
                verify_inclusion(&leaf_hash(&digest(index)), index, size, &proof, &expected_root(size)), Ok(())
            );
        }
    }
}
