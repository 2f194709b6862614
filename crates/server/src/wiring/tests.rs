use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use witan_app::{Error, Request, users::NewUser};
use witan_domain::{AccountRole, Actor, CorrelationId, EventId, OrganizationId, RoleScope, UserId};
use witan_event_store::{Append, ExpectedVersion, NewEvent};
use witan_verify::{Bundle, ConsistencyProof, verify_bundle, verify_consistency_proof};

use super::*;
use crate::admin::{Answer, Answers, CreatedOrganization, NewOrganization, Question, Step, Steps};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn open(&self) -> Arc<System> {
        let folder = DataFolder::open_or_make(&self.data(), "serve", System::fill).unwrap();
        System::open(folder, &Config::default(), Metrics::new(), Stage::default()).await.unwrap()
    }
}

fn new(slug: &str) -> NewOrganization {
    NewOrganization {
        slug: slug.into(),
        name: "North Clinic".into(),
        owner_login: "anna".into(),
        owner_name: "Anna".into(),
        owner_email: None,
    }
}

fn steps() -> Steps {
    watch::channel(Step::default()).0
}

async fn created(system: &System, slug: &str) -> CreatedOrganization {
    match system.answer(Question::CreateOrganization(new(slug)), steps()).await {
        Answer::OrganizationCreated(created) => created,
        other => panic!("{other:?}"),
    }
}

async fn refused(system: &System, question: Question) -> String {
    match system.answer(question, steps()).await {
        Answer::Refused { why } => why,
        other => panic!("{other:?}"),
    }
}

async fn listed(system: &System) -> Vec<(String, String)> {
    let newest = *system.store.durable().borrow();
    assert!(system.read_models.wait_for(newest, Duration::from_secs(5)).await);
    match system.answer(Question::ListOrganizations, steps()).await {
        Answer::Organizations { organizations } => {
            let mut rows: Vec<_> = organizations.into_iter().map(|row| (row.slug, row.status)).collect();
            rows.sort();
            rows
        }
        other => panic!("{other:?}"),
    }
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(slug, status)| (slug.to_string(), status.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_cut_off_tells_the_same_key_again() {
    let place = Place::new();
    let system = place.open().await;
    let nonce = system.first_start().unwrap();
    let first = system.create_organization(new("first"), Some(&nonce)).await.unwrap();
    system.close().await.unwrap();
    drop(system);
    let system = place.open().await;
    assert_eq!(system.first_start(), Some(nonce.clone()));
    let again = system.create_organization(new("first"), Some(&nonce)).await.unwrap();
    assert_eq!((again.organization, again.owner, again.api_key), (first.organization, first.owner, first.api_key));
    assert_eq!(listed(&system).await, pairs(&[("first", "active")]));
    system.first_key_told();
    assert_eq!(system.first_start(), None);
    system.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_made_listed_suspended_and_reactivated() {
    let place = Place::new();
    let system = place.open().await;
    assert!(system.cut_short(&new("north")).unwrap().is_some(), "whoever is cut can go on");
    created(&system, "north").await;
    assert!(system.cut_short(&new("north")).unwrap().is_none(), "whoever is done can't have the key told again");
    let south = created(&system, "south").await;
    assert_eq!(listed(&system).await, pairs(&[("north", "active"), ("south", "active")]));
    let answer = system.answer(Question::SuspendOrganization { organization: "north".into() }, steps()).await;
    assert!(matches!(answer, Answer::OrganizationChanged(row) if row.status == "suspended"));
    let by_id = Question::SuspendOrganization { organization: south.organization.clone() };
    assert!(matches!(system.answer(by_id, steps()).await, Answer::OrganizationChanged(_)));
    assert_eq!(listed(&system).await, pairs(&[("north", "suspended"), ("south", "suspended")]));
    let back = Question::ReactivateOrganization { organization: "south".into() };
    assert!(matches!(system.answer(back, steps()).await, Answer::OrganizationChanged(row) if row.status == "active"));
    let why = refused(&system, Question::SuspendOrganization { organization: "west".into() }).await;
    assert!(why.contains("no organization with the slug \"west\""), "{why}");
    refused(&system, Question::CreateOrganization(new("north"))).await;
    refused(&system, Question::CreateOrganization(new("No Slug"))).await;
    assert_eq!(listed(&system).await.len(), 2);
    system.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_proved_and_the_verifier_agrees() {
    let place = Place::new();
    let system = place.open().await;
    created(&system, "north").await;
    let newest = *system.store.durable().borrow();
    let note = loop {
        match system.answer(Question::Checkpoint, steps()).await {
            Answer::Checkpoint { note, size } if size == newest.0 => break note,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    for position in 1..=newest.0 {
        let question = Question::ProveEvent { event: position.to_string() };
        let Answer::Proof { proof } = system.answer(question, steps()).await else { panic!("no proof of {position}") };
        let bundle = Bundle::from_json(&proof.to_string()).unwrap();
        assert_eq!(bundle.checkpoint, note);
        verify_bundle(&bundle, Some(system.app.verifier_key())).unwrap();
    }
    let id = system.store.read_all(witan_event_store::Position(2), witan_event_store::Direction::Forward, 1).unwrap()
        [0]
    .envelope
    .id();
    let answer = system.answer(Question::ProveEvent { event: id.to_string() }, steps()).await;
    assert!(matches!(answer, Answer::Proof { .. }));
    let earlier = system.app.checkpoint(Some(2)).unwrap().unwrap();
    let Answer::Proof { proof } = system.answer(Question::ProveConsistency { old: 2, new: None }, steps()).await else {
        panic!("no proof of consistency")
    };
    let proof = ConsistencyProof::from_json(&proof.to_string()).unwrap();
    verify_consistency_proof(&earlier, &note, &proof, Some(system.app.verifier_key())).unwrap();
    let why = refused(&system, Question::ProveConsistency { old: 999, new: None }).await;
    assert!(why.contains("999"), "{why}");
    for none in ["0", "999", "event_01JCY3V8Q6ZK9B2T4M5N6P7R8S", "monday"] {
        let why = refused(&system, Question::ProveEvent { event: none.into() }).await;
        assert!(why.contains("there is no event"), "{why}");
    }
    system.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_equals_the_live_rows() {
    let place = Place::new();
    let system = place.open().await;
    created(&system, "north").await;
    listed(&system).await;
    let Answer::Replayed(replayed) = system.answer(Question::Replay, steps()).await else { panic!("no replay") };
    assert!(replayed.differences.is_empty() && replayed.rows > 0 && replayed.position > 0, "{replayed:?}");
    system.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_system_serves_again() {
    let place = Place::new();
    let system = place.open().await;
    created(&system, "north").await;
    let folder = place.folder.path().join("backup");
    let answer = system.answer(Question::Backup { folder: folder.clone() }, steps()).await;
    let Answer::BackedUp(done) = answer else { panic!("{answer:?}") };
    created(&system, "south").await;
    system.close().await.unwrap();
    drop(system);
    let restored = Config { data: place.folder.path().join("restored"), ..Config::default() };
    crate::backup::restore(&restored, &folder, None, true).await.unwrap();
    let system = System::open(DataFolder::open(&restored.data).unwrap(), &restored, Metrics::new(), Stage::default())
        .await
        .unwrap();
    assert_eq!(system.standing(false).position, done.position);
    assert_eq!(listed(&system).await, pairs(&[("north", "active")]));
    assert!(system.first_start().is_none());
    created(&system, "west").await;
    assert!(system.standing(false).why_not_ready().is_empty());
    system.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_went_away_is_not_begun_anew() {
    let place = Place::new();
    let system = place.open().await;
    system.close().await.unwrap();
    drop(system);
    let parts = Parts::new(&place.data());
    std::fs::remove_dir_all(parts.journal()).unwrap();
    // Gone, as when its volume is not mounted; then an empty folder in its place.
    for empty in [false, true] {
        if empty {
            std::fs::create_dir(parts.journal()).unwrap();
        }
        let folder = DataFolder::open(&place.data()).unwrap();
        let failure = System::open(folder, &Config::default(), Metrics::new(), Stage::default()).await.err().unwrap();
        assert!(failure.text.contains("is missing or empty, though the folder was made whole"), "{failure}");
        assert_eq!(parts.journal().exists(), empty);
    }
}

/// The read models stop at an event that they don't know, and a right is taken away after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_stopped_read_models_do_not_know_is_denied_also_after_a_restart() {
    let place = Place::new();
    let system = place.open().await;
    let north = created(&system, "north").await;
    let organization: OrganizationId = north.organization.parse().unwrap();
    let owner: UserId = north.owner.parse().unwrap();
    let ask = |actor: &Actor| Request::by(actor.clone(), CorrelationId(7));
    let owner = Actor::User { organization, user: owner, key: None };
    let new = NewUser { login: "ben".into(), name: "Ben".into(), ..NewUser::default() };
    let (ben, _) = system.app.create_user(&ask(&owner), &new).await.unwrap();
    let (admin, everywhere) = (AccountRole::Admin, RoleScope::Organization);
    system.app.grant_role(&ask(&owner), ben, admin, everywhere, None).await.unwrap();
    let ben = Actor::User { organization, user: ben, key: None };
    let creates = async |system: &System, login: &str| {
        let new = NewUser { login: login.into(), name: login.into(), ..NewUser::default() };
        system.app.create_user(&ask(&ben), &new).await.map(|_| ())
    };
    creates(&system, "carl").await.unwrap();
    assert!(system.app.authenticate(Some(&north.api_key)).await.unwrap().is_some());
    listed(&system).await;

    let event = NewEvent {
        id: EventId(1),
        kind: "FromTheFuture".into(),
        schema: 1,
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from_static(b"{}"),
    };
    let (stream, expected) = ("reservation-future".to_owned(), ExpectedVersion::Any);
    let now = system.app.sources().now();
    system.store.append(Append { stream, organization: None, expected, events: vec![event], now }).await.unwrap();
    let mut progress = system.read_models.progress();
    progress.wait_for(|progress| progress.stopped.is_some()).await.unwrap();
    creates(&system, "dora").await.unwrap();
    system.close().await.unwrap();
    drop(system);

    let system = place.open().await;
    assert!(system.standing(false).why_not_ready().iter().any(|why| why.contains("read-models has stopped")));
    assert!(matches!(creates(&system, "emil").await, Err(Error::Forbidden { .. })));
    assert!(matches!(system.app.authenticate(Some(&north.api_key)).await, Err(Error::Unavailable(_))));
    let open = witan_app::Credentials { actor: ben.clone(), scopes: None };
    assert!(!system.app.still_stands(&open).await);
    system.close().await.unwrap();
}

/// The data folder may be gone a moment later, and the list is all that a restore knows of its last seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_erased_just_before_the_end_is_on_the_list_beside_the_backups() {
    let place = Place::new();
    let backups = place.folder.path().join("backups");
    let folder = DataFolder::open_or_make(&place.data(), "serve", System::fill).unwrap();
    let config = Config { backups: Some(backups.clone()), ..Config::default() };
    let system = System::open(folder, &config, Metrics::new(), Stage::default()).await.unwrap();
    while !backups.join(erasures::FILE).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let erased = (OrganizationId(7), witan_domain::PersonId(8));
    system.vault.create_person(erased.0, erased.1).await.unwrap();
    system.vault.erase(erased.0, erased.1).await.unwrap();
    system.close().await.unwrap();
    assert_eq!(erasures::Erasures::read(&backups).unwrap(), erasures::Erasures([erased].into()));
}
