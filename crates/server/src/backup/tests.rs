use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use witan_domain::{Aggregate, EventId, OrganizationId, PersonId, Timestamp, person::Person};
use witan_event_store::{Append, ExpectedVersion, NewEvent};

use super::*;
use crate::{admin::NewOrganization, metrics::Metrics, stage::Stage, wiring::System};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const ANNA: PersonId = PersonId(2);
const BEN: PersonId = PersonId(3);
const EVENTS: u64 = 30;

struct Made {
    folder: tempfile::TempDir,
    parts: Parts,
}

impl Made {
    fn backup(&self) -> PathBuf {
        self.folder.path().join("backups/monday")
    }

    fn vault(&self) -> Vault {
        Vault::open(&vault_file(&self.parts), MasterKey::open(&vault_key(&self.parts)).unwrap()).unwrap()
    }

    fn back_up(&self) -> BackedUp {
        back_up(&self.parts, &self.vault(), &self.backup(), &steps()).unwrap()
    }

    fn restore(&self, name: &str, list: Option<Erasures>) -> Result<Restored, Failure> {
        put_back(&self.backup(), &self.folder.path().join(name), list, &steps())
    }
}

fn steps() -> Steps {
    watch::channel(Step::default()).0
}

/// A data folder with some events, all in the Merkle log under a signed checkpoint, and two persons.
async fn made() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let parts = DataFolder::open_or_make(&data, "serve", System::fill).unwrap().parts();
    let journal = Journal::open(parts.journal(), Options::default()).unwrap();
    for number in 0..EVENTS {
        journal.append(append(number)).await.unwrap();
    }
    let mut log = MerkleLog::open(&parts.ledger()).unwrap();
    let events = journal.read_all(Position(1), Direction::Forward, 1000).unwrap();
    log.append(events.iter().map(|event| (event.position.0, event.envelope.digest()))).unwrap();
    log.flush().unwrap();
    Signer::open(parts.data()).unwrap().sign_checkpoint(&log.reader(), EVENTS).unwrap();
    let made = Made { folder, parts };
    let vault = made.vault();
    for person in [ANNA, BEN] {
        vault.create_person(ORGANIZATION, person).wait().unwrap();
    }
    made
}

fn append(number: u64) -> Append {
    let event = NewEvent {
        id: EventId(u128::from(number) + 100),
        kind: "RoomOpened".into(),
        schema: 1,
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from(format!("{{\"number\":{number}}}")),
    };
    Append {
        stream: "room-1".into(),
        organization: Some(ORGANIZATION),
        expected: ExpectedVersion::Any,
        events: vec![event],
        now: Timestamp(number),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_comes_back_whole_under_a_name_of_its_own() {
    let made = made().await;
    let done = made.back_up();
    assert_eq!((done.position, done.events, done.persons), (EVENTS, EVENTS, 2));
    let restored = made.restore("restored", None).unwrap();
    assert_eq!(restored.position, EVENTS);
    let there = Parts::new(&restored.data);
    let journal = |parts: &Parts| {
        let journal = Journal::open(parts.journal(), Options::default()).unwrap();
        journal.read_all(Position(1), Direction::Forward, 1000).unwrap()
    };
    assert_eq!(journal(&there), journal(&made.parts));
    let (before, after) = (Signer::open(made.parts.data()).unwrap(), Signer::open(there.data()).unwrap());
    assert_ne!(before.origin(), after.origin());
    assert_eq!(after.newest(), None);
    assert!(DataFolder::open(&restored.data).is_ok());
    assert!(!there.data().join("first-start").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_since_is_erased_again() {
    let made = made().await;
    let secret = made.vault().protect(ORGANIZATION, ANNA, "user-1", "display_name", "Anna").unwrap();
    made.back_up();
    made.vault().erase(ORGANIZATION, ANNA).wait().unwrap();
    let list = Erasures::read(made.parts.data()).unwrap();
    let restored = made.restore("restored", Some(list)).unwrap();
    assert_eq!((restored.erasures, restored.erased_again), (1, 1));
    let there = Made { folder: tempfile::tempdir().unwrap(), parts: Parts::new(&restored.data) };
    let revealed = there.vault().reveal(ORGANIZATION, "user-1", "display_name", &secret).unwrap();
    assert_eq!(revealed, witan_vault::Revealed::Erased);
}

async fn opens(data: &Path) -> Arc<System> {
    let folder = DataFolder::open_or_make(data, "serve", System::fill).unwrap();
    System::open(folder, &Config::default(), Metrics::new(), Stage::default()).await.unwrap()
}

/// The restored log ends before the erasure: the first start records it, so that histories and audits say what everybody
/// sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_says_who_was_erased_since() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let system = opens(&data).await;
    let new = NewOrganization {
        slug: "north".into(),
        name: "North Clinic".into(),
        owner_login: "anna".into(),
        owner_name: "Anna".into(),
        owner_email: None,
    };
    let organization: OrganizationId =
        system.create_organization(new, None).await.unwrap().organization.parse().unwrap();
    system.vault.create_person(organization, ANNA).await.unwrap();
    system.close().await.unwrap();
    drop(system);
    let made = Made { parts: DataFolder::open(&data).unwrap().parts(), folder };
    made.back_up();
    made.vault().erase(organization, ANNA).wait().unwrap();
    let restored = made.restore("restored", Some(Erasures::read(&data).unwrap())).unwrap();

    for _ in 0..2 {
        let system = opens(&restored.data).await;
        let stream = Person::stream(ANNA);
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while system.store.read_stream(&stream, 0, Direction::Forward, 9).unwrap().is_empty() {
            assert!(tokio::time::Instant::now() < until, "the erasure is not recorded");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let events = system.store.read_stream(&stream, 0, Direction::Forward, 9).unwrap();
        assert_eq!((events.len(), events[0].envelope.kind()), (1, "PersonErased"));
        assert_eq!(events[0].envelope.organization(), Some(organization));
        system.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_older_than_the_backup_is_refused() {
    let made = made().await;
    made.vault().erase(ORGANIZATION, ANNA).wait().unwrap();
    made.back_up();
    let failure = made.restore("restored", Some(Erasures::default())).unwrap_err();
    assert!(failure.text.contains("lacks 1 erasures that the backup knows"), "{failure}");
    assert!(!made.folder.path().join("restored").exists());
    assert!(made.restore("restored", None).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_into_an_empty_folder_only() {
    let made = made().await;
    made.back_up();
    let failure = back_up(&made.parts, &made.vault(), &made.backup(), &steps()).unwrap_err();
    assert!(failure.text.contains("is not empty"), "{failure}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// Every file of a backup, damaged by one bit or missing, is noticed; what was restored by then is not served.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_any_file_of_a_backup_is_refused() {
    let made = made().await;
    made.back_up();
    let files = files_below(&made.backup());
    assert!(files.len() > 9, "{files:?}");
    for (number, path) in files.iter().enumerate() {
        let name = path.strip_prefix(made.backup()).unwrap().display();
        let whole = fs::read(path).unwrap();
        let mut spoiled = whole.clone();
        let middle = spoiled.len() / 2;
        spoiled[middle] ^= 1;
        fs::write(path, &spoiled).unwrap();
        let target = format!("restored-{number}");
        // The head is written twice, and what is restored has both anew.
        if !path.ends_with("journal/head") {
            assert!(made.restore(&target, None).is_err(), "one bit of {name}");
            assert!(DataFolder::open(&made.folder.path().join(&target)).is_err(), "{name}");
        }
        fs::remove_file(path).unwrap();
        assert!(made.restore(&target, None).is_err(), "{name} missing");
        fs::write(path, &whole).unwrap();
        assert!(made.restore(&target, None).is_ok(), "{name} put back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_not_the_signed_one_is_refused() {
    let (made, other) = (made().await, made().await);
    made.back_up();
    // The manifest and the journal of one history beside the key and the checkpoint of another.
    other.back_up();
    for name in ["ledger/origin", "ledger/checkpoint", "keys/checkpoint.key"] {
        fs::copy(other.backup().join(name), made.backup().join(name)).unwrap();
    }
    assert!(made.restore("restored", None).is_err());
}
