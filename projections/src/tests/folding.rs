//! Rows and cursors: one write, rebuilt alone or together, always the same.

use std::sync::atomic::{AtomicUsize, Ordering};

use witan_domain::event::Event;

use super::*;

/// A log of several sessions in two tenants, by the dice.
async fn by_the_dice(seed: u64, steps: usize) -> Log {
    let mut log = clinic().await;
    let mut dice = Dice(seed);
    for _ in 0..steps {
        let organization = if dice.up_to(2) == 0 { CLINIC } else { COURT };
        let session = SessionId(organization.0 * 1_000 + dice.up_to(6));
        if log.state::<Session>(session) == Default::default() {
            log.does::<Session>(organization, session, prepare(session, organization, &[])).await;
        }
        log.something_happens(&mut dice, organization, session).await;
    }
    log
}

#[tokio::test]
async fn rebuilt_equals_live_whatever_the_batches() {
    for seed in 1..=8 {
        let log = by_the_dice(seed, 400).await;
        let (live, whole) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut dice = Dice(seed + 100);
        let models = ReadModels::open(live.path()).unwrap();
        let mut fold = models.fold.lock().unwrap().take().unwrap();
        let events = log.all();
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at((1 + dice.up_to(40) as usize).min(rest.len()));
            fold.apply(batch).unwrap();
            rest = after;
        }
        rows_are_the_domain_s(&models, &log);
        let at_once = folded(whole.path(), &log);
        assert!(dump(&models.db) == dump(&at_once.db), "seed {seed}");
        let comparison = models.replay(log.store.as_ref(), &whole.path().join("beside"), |_, _| true).unwrap();
        assert_eq!((comparison.position, comparison.differences.as_slice()), (log.newest(), [].as_slice()));
        assert_eq!(comparison.rows, dump(&models.db).len() as u64);
    }
}

#[tokio::test]
async fn restarts_in_between_change_nothing() {
    let log = by_the_dice(21, 300).await;
    let (live, whole) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for until in (0..=log.newest().0).step_by(61).chain([log.newest().0]) {
        let models = ReadModels::open(live.path()).unwrap();
        let mut fold = models.fold.lock().unwrap().take().unwrap();
        fold.catch_up(log.store.as_ref(), Position(until), |_| true).unwrap();
        assert_eq!(fold.position(), Position(until));
        models.flush().unwrap();
    }
    let models = folded(live.path(), &log);
    assert!(dump(&models.db) == dump(&folded(whole.path(), &log).db));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_can_t_be_handled_stops_it_visibly() {
    for (stream, kind, data) in [
        ("room-room_00000000000000000000000009", "RoomPainted", r"{}"),
        ("room-room_00000000000000000000000009", "RoomArchived", r#"{"not":"#),
        ("room-9", "RoomArchived", r"{}"),
        ("session-session_00000000000000000000000009", "SessionReady", r"{}"),
        ("weather-1", "RainFell", r"{}"),
    ] {
        let mut log = clinic().await;
        let folder = TempDir::new().unwrap();
        let models = Arc::new(ReadModels::open(folder.path()).unwrap());
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(Arc::clone(&models).run(log.store.clone(), stopped));
        let good = log.newest();
        assert!(models.wait_for(good, Duration::from_secs(5)).await);
        let before = dump(&models.db);
        log.records(Some(CLINIC), stream, kind, data.as_bytes().to_vec()).await;
        log.does::<Room>(CLINIC, ROOM, DisableRoom {}).await;
        running.await.unwrap().expect_err("it stops");
        assert!(dump(&models.db) == before, "{kind}: rows and cursors are as before");
        let progress = models.progress().borrow().clone();
        assert_eq!(progress.position, good);
        let why = progress.stopped.expect("it says why");
        assert!(why.contains(&(good.0 + 1).to_string()), "{why}");
        assert!(!models.wait_for(log.newest(), Duration::from_secs(60)).await, "nobody waits for what never comes");
    }
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_behind() {
    let mut log = clinic().await;
    let (live, whole) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = folded(live.path(), &log);
    let mut fold = models.fold.lock().unwrap().take().unwrap();
    let before = dump(&models.db);
    log.does::<Room>(CLINIC, ROOM, DisableRoom {}).await;
    let good = log.newest();
    log.records(Some(CLINIC), "room-x", "RoomArchived", b"{}".to_vec()).await;
    let batch = log.store.read_all(Position(good.0), Direction::Forward, 10).unwrap();
    fold.apply(&batch).unwrap_err();
    assert!(dump(&models.db) == before);
    fold.apply(&batch[..1]).unwrap();
    assert_eq!(fold.position(), good);
    let fresh = ReadModels::open(whole.path()).unwrap();
    let mut again = fresh.fold.lock().unwrap().take().unwrap();
    again.catch_up(log.store.as_ref(), good, |_| true).unwrap();
    assert!(dump(&models.db) == dump(&fresh.db));
}

/// Counts the events that it is given, and keeps their sum as its only row, in a table that this test has to itself.
struct Tally {
    name: &'static str,
    version: u32,
    table: &'static [&'static str],
    rows: Table<u64>,
    given: Arc<AtomicUsize>,
}

impl Tally {
    fn boxed(
        db: &Arc<Database>,
        name: &'static str,
        table: &'static [&'static str],
        version: u32,
    ) -> (Box<Self>, Arc<AtomicUsize>) {
        let given = Arc::new(AtomicUsize::new(0));
        let rows = Table::new(Arc::clone(db), table[0]);
        (Box::new(Self { name, version, table, rows, given: Arc::clone(&given) }), given)
    }
}

impl Projection for Tally {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn tables(&self) -> &'static [&'static str] {
        self.table
    }

    fn apply(&mut self, _: &Event, _: &Recorded) -> Result<(), ProjectionError> {
        self.given.fetch_add(1, Ordering::Relaxed);
        let row = self.rows.edit(&Key::nothing().number(u64::from(self.version)))?;
        *row = Some(row.unwrap_or(0) + 1);
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), ProjectionError> {
        self.rows.write(batch)
    }

    fn reset(&mut self) {
        self.rows.reset();
    }
}

#[tokio::test]
async fn a_changed_version_rebuilds_only_itself() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let db = Arc::new(Database::open(folder.path()).unwrap());
    let half = Position(log.newest().0 / 2);
    let open = |version| {
        let (changing, its) = Tally::boxed(&db, "changing", &["audit"], version);
        let (steady, others) = Tally::boxed(&db, "steady", &["messages"], 1);
        (Fold::open(Arc::clone(&db), vec![changing, steady]).unwrap(), its, others)
    };
    let (mut fold, ..) = open(1);
    fold.catch_up(log.store.as_ref(), half, |_| true).unwrap();
    drop(fold);
    let (mut fold, its, others) = open(2);
    assert_eq!(fold.position(), Position(0));
    let mut told = Vec::new();
    fold.catch_up(log.store.as_ref(), log.newest(), |position| {
        told.push(position);
        true
    })
    .unwrap();
    assert!(told.is_sorted());
    assert_eq!(its.load(Ordering::Relaxed) as u64, log.newest().0, "all of it again");
    assert_eq!(others.load(Ordering::Relaxed) as u64, log.newest().0 - half.0, "only what was new");
    let changing = Rows::new(Arc::clone(&db), "audit").list::<u64>(&Key::nothing(), None, false, 10).unwrap();
    assert_eq!(changing, [(2_u64.to_be_bytes().to_vec(), log.newest().0)], "no row of the old version stays");
    let steady = Rows::new(Arc::clone(&db), "messages").list::<u64>(&Key::nothing(), None, false, 10).unwrap();
    assert_eq!(steady, [(1_u64.to_be_bytes().to_vec(), log.newest().0)]);
}

#[tokio::test]
async fn deleted_read_models_come_back() {
    let log = by_the_dice(31, 200).await;
    let folder = TempDir::new().unwrap();
    let before = dump(&folded(folder.path(), &log).db);
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(dump(&folded(folder.path(), &log).db) == before);
}

#[tokio::test]
async fn damaged_read_models_come_back() {
    let log = by_the_dice(32, 200).await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    models.flush().unwrap();
    let before = dump(&models.db);
    drop(models);
    let garbage = |path: &Path| fs::write(path, b"this is none of RocksDB's").unwrap();
    let files = |start: &str, end: &str| {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(start) && name.ends_with(end)
        };
        names.filter(is).collect::<Vec<_>>()
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("CURRENT", &|| garbage(&folder.path().join("CURRENT"))),
        ("no CURRENT", &|| fs::remove_file(folder.path().join("CURRENT")).unwrap()),
        ("MANIFEST", &|| files("MANIFEST", "").iter().for_each(|path| garbage(path))),
        ("a table", &|| garbage(&files("", ".sst")[0])),
        ("no tables", &|| files("", ".sst").iter().for_each(|path| fs::remove_file(path).unwrap())),
    ];
    for (what, damage) in damages {
        damage();
        let models = folded(folder.path(), &log);
        assert!(dump(&models.db) == before, "{what}");
        models.flush().unwrap();
    }
}

#[tokio::test]
async fn a_cursor_that_can_t_be_read_is_damage_too() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let before = dump(&models.db);
    models.db.put_cf(models.db.cf_handle(follower::CURSORS).unwrap(), "audit", [0xff; 3]).unwrap();
    drop(models);
    assert!(dump(&folded(folder.path(), &log).db) == before);
}

#[tokio::test]
async fn only_one_process_has_them_open() {
    let folder = TempDir::new().unwrap();
    let _models = ReadModels::open(folder.path()).unwrap();
    assert!(matches!(ReadModels::open(folder.path()), Err(ProjectionError::Database(_))));
}

/// What RocksDB has in memory at a crash is lost: no write of ours waits for the disk.
#[tokio::test]
async fn a_crash_goes_on_from_an_older_cursor() {
    let log = by_the_dice(33, 300).await;
    let (folder, crashed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = ReadModels::open(folder.path()).unwrap();
    let mut fold = models.fold.lock().unwrap().take().unwrap();
    let half = Position(log.newest().0 / 2);
    fold.catch_up(log.store.as_ref(), half, |_| true).unwrap();
    models.flush().unwrap();
    fold.catch_up(log.store.as_ref(), log.newest(), |_| true).unwrap();
    // The files as they are now are what a crash leaves.
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    let live = dump(&models.db);
    let again = ReadModels::open(crashed.path()).unwrap();
    assert_eq!(again.fold.lock().unwrap().as_ref().unwrap().position(), half);
    drop(again);
    assert!(dump(&folded(crashed.path(), &log).db) == live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cut_and_written_anew_is_noticed() {
    let (old, mut other) = (by_the_dice(41, 60).await, clinic().await);
    let shorter = Log::new();
    while other.newest() < Position(old.newest().0 + 5) {
        let (position, session) = (other.newest().0, SessionId(900 + u128::from(other.newest().0)));
        other.does::<Session>(COURT, session, prepare(session, COURT, &[])).await;
        assert!(other.newest().0 > position);
    }
    for log in [&other, &shorter] {
        let (folder, fresh) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        drop(folded(folder.path(), &old));
        let models = Arc::new(ReadModels::open(folder.path()).unwrap());
        {
            let fold = models.fold.lock().unwrap();
            let noticed = fold.as_ref().unwrap().check(log.store.as_ref());
            assert!(matches!(noticed, Err(ProjectionError::OtherLog { .. })));
        }
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(Arc::clone(&models).run(log.store.clone(), stopped));
        let mut progress = models.progress();
        let there = progress.wait_for(|progress| progress.position == log.newest());
        tokio::time::timeout(Duration::from_secs(5), there).await.unwrap().unwrap();
        stop.send(true).unwrap();
        running.await.unwrap().unwrap();
        assert!(dump(&models.db) == dump(&folded(fresh.path(), log).db));
    }
}

#[tokio::test]
async fn replay_names_what_differs() {
    let log = clinic().await;
    let (folder, beside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = folded(folder.path(), &log);
    let replay = || models.replay(log.store.as_ref(), beside.path(), |_, _| true).unwrap().differences;
    assert_eq!(replay(), []);
    let (rooms, audit) = (models.db.cf_handle("rooms").unwrap(), models.db.cf_handle("audit").unwrap());
    let room = models.db.iterator_cf(rooms, IteratorMode::Start).next().unwrap().unwrap();
    let mut tampered = room.1.to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    models.db.put_cf(rooms, &room.0, tampered).unwrap();
    models.db.put_cf(audit, b"more", b"than there was").unwrap();
    let gone = models.db.iterator_cf(audit, IteratorMode::Start).next().unwrap().unwrap().0;
    models.db.delete_cf(audit, &gone).unwrap();
    let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = [
        Difference { table: "rooms", key: hex(&room.0), what: "differs" },
        Difference { table: "audit", key: hex(&gone), what: "missing in the live read models" },
        Difference { table: "audit", key: hex(b"more"), what: "only in the live read models" },
    ];
    assert_eq!(replay(), expected);
}

#[tokio::test]
async fn what_was_not_compared_is_not_called_equal() {
    let log = clinic().await;
    let (folder, beside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = folded(folder.path(), &log);
    let stopped = models.replay(log.store.as_ref(), beside.path(), |_, _| false);
    assert!(matches!(stopped, Err(ProjectionError::Cancelled)));
}

#[tokio::test]
async fn what_is_being_rebuilt_is_not_compared() {
    let log = clinic().await;
    let (folder, beside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = folded(folder.path(), &log);
    let behind = Cursor { version: 1, position: Position(1), digest: [0; 32] };
    let cursors = models.db.cf_handle(follower::CURSORS).unwrap();
    models.db.put_cf(cursors, "audit", postcard::to_stdvec(&behind).unwrap()).unwrap();
    let compared = models.replay(log.store.as_ref(), beside.path(), |_, _| true);
    assert!(matches!(compared, Err(ProjectionError::Rebuilding)));
}
