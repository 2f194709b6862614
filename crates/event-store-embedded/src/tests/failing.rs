//! A disk that fails: full, or with syncs that fail, at every point of a run.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, atomic::AtomicBool},
};

use super::*;

/// A disk that fails when told to. Its failed sync loses what was written since the last one, as a real one may.
#[derive(Default)]
struct Failing {
    /// Writes find the disk full.
    full: AtomicBool,
    /// The write with this number, counted down, finds the disk full; 0 for none.
    full_write: AtomicU32,
    /// The sync with this number, counted down, fails; 0 for none.
    failing_sync: AtomicU32,
    unsynced: Mutex<Vec<(File, u64, usize)>>,
}

fn due(countdown: &AtomicU32) -> bool {
    let last = countdown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    last == Ok(1)
}

impl Disk for Failing {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) || due(&self.full_write) {
            RealDisk.write_all_at(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.unsynced.lock().unwrap().push((file.try_clone().unwrap(), offset, bytes.len()));
        RealDisk.write_all_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let unsynced = std::mem::take(&mut *self.unsynced.lock().unwrap());
        if due(&self.failing_sync) {
            for (file, offset, length) in unsynced {
                // A head slot that is lost keeps what it was before.
                if length != crate::format::HEAD_SLOT_BYTES {
                    file.write_all_at(&vec![0; length], offset).unwrap();
                }
            }
            return Err(io::Error::other("input/output error"));
        }
        RealDisk.sync(file)
    }
}

fn open_on(folder: &Path, disk: &Arc<Failing>) -> Journal {
    Journal::open(folder, Options { disk: disk.clone(), ..small() }).unwrap()
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_nothing_acknowledged_is_lost() {
    for nth in 1..40 {
        let folder = folder();
        let disk = Arc::new(Failing::default());
        let journal = open_on(folder.path(), &disk);
        record(&journal, 0, 1).await.unwrap();
        disk.failing_sync.store(nth, Ordering::Relaxed);
        let mut acknowledged = all(&journal).len();
        let mut number = 1;
        let unknown = loop {
            match record(&journal, number, 2).await {
                Ok(_) => acknowledged += 2,
                Err(AppendError::OutcomeUnknown) => break true,
                // Head's own sync failed, in between.
                Err(AppendError::Stopped(_)) => break false,
                Err(other) => panic!("{other}"),
            }
            assert_eq!(all(&journal).len(), acknowledged);
            number += 1;
        };
        for _ in 0..3 {
            assert!(matches!(record(&journal, 0, 1).await, Err(AppendError::Stopped(_))));
        }
        let served = all(&journal);
        assert_eq!(served.len(), acknowledged, "reads go on, up to what is durable");
        drop(journal);
        let journal = open(&folder);
        let after = all(&journal);
        assert_eq!(after[..acknowledged], served[..], "sync {nth}");
        // The unknown one is there wholly or not at all.
        assert!(after.len() == acknowledged || (unknown && after.len() == acknowledged + 2), "sync {nth}");
        record(&journal, 0, 1).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_reads_go_on_and_it_heals() {
    let folder = folder();
    let disk = Arc::new(Failing::default());
    let journal = open_on(folder.path(), &disk);
    for number in 0..40 {
        record(&journal, number, 1).await.unwrap();
        let before = all(&journal);
        disk.full.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            assert!(matches!(record(&journal, number, 2).await, Err(AppendError::Full)));
        }
        assert_eq!(all(&journal), before);
        verify(&folder, |_| {}).unwrap();
        disk.full.store(false, Ordering::Relaxed);
    }
    record(&journal, 0, 1).await.unwrap();
    let before = all(&journal);
    assert_eq!(before.len(), 41);
    drop(journal);
    assert_eq!(all(&open(&folder)), before);
}

/// The writes of a roll (segment, footer, head) find the disk full as well: each at its turn, and the process ends there.
#[tokio::test]
async fn a_disk_that_fills_up_at_any_write_leaves_a_journal_that_opens() {
    for nth in 1..60 {
        let folder = folder();
        let disk = Arc::new(Failing::default());
        let journal = open_on(folder.path(), &disk);
        disk.full_write.store(nth, Ordering::Relaxed);
        let mut refused = None;
        for number in 0..20 {
            match record(&journal, number, 1).await {
                Ok(_) => {}
                Err(error @ (AppendError::Full | AppendError::OutcomeUnknown)) => {
                    refused = Some(error);
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        let before = all(&journal);
        if let Some(AppendError::Full) = refused {
            record(&journal, 0, 1).await.unwrap();
            record(&journal, 1, 1).await.unwrap();
            assert_eq!(all(&journal).len(), before.len() + 2, "it heals");
        }
        let before = all(&journal);
        drop(journal);
        let after = all(&open(&folder));
        assert_eq!(after[..before.len()], before[..], "write {nth}");
        assert!(after.len() <= before.len() + usize::from(matches!(refused, Some(AppendError::OutcomeUnknown))));
    }
}

/// A process that ends between any two writes and syncs of a run, rolls included: what was written so far is what a copy of
/// the folder at that moment holds.
#[tokio::test]
async fn a_stop_between_any_two_calls_loses_nothing_acknowledged() {
    struct Copying {
        folder: PathBuf,
        copies: PathBuf,
        number: AtomicU32,
    }
    impl Copying {
        fn copy(&self) {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            copy_folder(&self.folder, &self.copies.join(number.to_string()));
        }
    }
    impl Disk for Copying {
        fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
            let half = bytes.len() / 2;
            RealDisk.write_all_at(file, &bytes[..half], offset)?;
            self.copy();
            RealDisk.write_all_at(file, &bytes[half..], offset + half as u64)?;
            self.copy();
            Ok(())
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            RealDisk.sync(file)?;
            self.copy();
            Ok(())
        }
    }
    let (folder, copies) = (folder(), folder());
    drop(open(&folder));
    let disk =
        Arc::new(Copying { folder: folder.path().into(), copies: copies.path().into(), number: AtomicU32::new(0) });
    let journal = Journal::open(&folder, Options { disk: disk.clone(), ..small() }).unwrap();
    // How many events were acknowledged when the copy with this number was made.
    let mut acknowledged = vec![0; disk.number.load(Ordering::Relaxed) as usize];
    for number in 0..20 {
        let before = all(&journal).len();
        record(&journal, number, 1 + number % 2).await.unwrap();
        acknowledged.resize(disk.number.load(Ordering::Relaxed) as usize, before);
    }
    let truth = all(&journal);
    drop(journal);
    assert!(segments(folder.path()).unwrap().len() >= 3);
    let mut finished = 0;
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        let copy = copies.path().join(number.to_string());
        let journal = Journal::open(&copy, small()).unwrap_or_else(|error| panic!("copy {number}: {error}"));
        let found = all(&journal);
        assert_eq!(found, truth[..found.len()], "copy {number}");
        assert!(found.len() >= *acknowledged, "copy {number}");
        finished += u32::from(journal.opened().roll_finished);
        record(&journal, 0, 1).await.unwrap();
        drop(journal);
        verify(&copy, |_| {}).unwrap();
    }
    assert!(finished > 0, "rolls were interrupted");
}
