mod damage;
mod desk;
mod folding;
mod rich;
mod shape;
mod story;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use rocksdb::{DB, IteratorMode};
use tempfile::TempDir;
use tokio::sync::watch;
use witan_auth::{Directory, Scope};
use witan_domain::{
    AccountRole, Aggregate, CorrelationId, MessageId, ParticipantId, RoleScope, SessionId, SessionRole, StreamId,
    Timestamp, UnitId, UserId,
    aggregate::EventPayload,
    api_key::{ApiKey, RevokeApiKey, UseApiKey},
    audit::{AccessRefused, AuditEvent},
    chat::{Chat, RemoveMessage},
    invitation::{Invitation, RevokeInvitation},
    media::SessionMedia,
    organization::*,
    participant::MediaSource,
    policy::{Grant, Listing, Who},
    room::*,
    session::{EndReason, EndSession, Entry, JoinSession, MarkSessionReady, PrepareSession, Session},
    settings::{Level, SettingName, SettingValue, Source},
    units::{SetUnitPolicies, SetUnitSettings, Units},
    user::{DeactivateUser, User},
};

use witan_event_store::{Direction, Recorded};

use crate::{
    audit::{AuditFilter, By},
    sessions::SessionList,
    *,
};
use rich::*;
use story::*;

type Dump = Vec<(&'static str, Box<[u8]>, Box<[u8]>)>;

/// Every row there is, with the cursors.
fn dump(db: &DB) -> Dump {
    let mut rows = Vec::new();
    for table in models::tables() {
        for item in db.iterator_cf(db.cf_handle(table).unwrap(), IteratorMode::Start) {
            let (key, value) = item.unwrap();
            rows.push((table, key, value));
        }
    }
    rows
}

/// Read models in `folder` that have folded the whole log, without a follower.
fn folded(folder: &Path, log: &Log) -> ReadModels {
    let models = ReadModels::open(folder).unwrap();
    let mut fold = models.fold.lock().unwrap().take().unwrap();
    fold.check(log.store.as_ref()).unwrap();
    fold.catch_up(log.store.as_ref(), log.newest(), |_| true).unwrap();
    *models.fold.lock().unwrap() = Some(fold);
    models
}

/// A whole tenant, with something in every row.
async fn clinic() -> Log {
    let mut log = Log::new();
    log.does::<Organization>(CLINIC, CLINIC, create_organization(CLINIC, company("clinic"))).await;
    log.does::<Organization>(CLINIC, CLINIC, SetOrganizationSettings { settings: level() }).await;
    log.does::<Organization>(CLINIC, CLINIC, SetOrganizationPolicies { policies: policies() }).await;
    log.does::<Organization>(COURT, COURT, create_organization(COURT, person_organization("court"))).await;
    log.does::<Units>(CLINIC, CLINIC, create_unit(UnitId(20), None)).await;
    log.does::<Units>(CLINIC, CLINIC, create_unit(CARDIOLOGY, Some(UnitId(20)))).await;
    let settings = Level::setting([SettingValue::ParticipantsMax(4)]);
    log.does::<Units>(
        CLINIC,
        CLINIC,
        SetUnitSettings { unit: CARDIOLOGY, settings, organization_locked: Default::default() },
    )
    .await;
    let set = SetUnitPolicies { unit: CARDIOLOGY, policies: policies(), organization_floor: Default::default() };
    log.does::<Units>(CLINIC, CLINIC, set).await;
    log.does::<User>(CLINIC, ANNA, create_user()).await;
    for grant in grant_roles() {
        log.does::<User>(CLINIC, ANNA, grant).await;
    }
    log.does::<ApiKey>(CLINIC, KEY, create_key()).await;
    log.does::<ApiKey>(CLINIC, KEY, UseApiKey { now: Timestamp::from_seconds(86_400 * 20_000) }).await;
    log.does::<Room>(CLINIC, ROOM, create_room()).await;
    log.does::<Room>(CLINIC, ROOM, set_room_settings()).await;
    log.does::<Room>(CLINIC, ROOM, set_room_policies()).await;
    for add in add_people() {
        log.does::<Room>(CLINIC, ROOM, add).await;
    }
    log.does::<Invitation>(CLINIC, INVITATION, create_invitation()).await;
    log.does::<Room>(CLINIC, ROOM, open_session()).await;
    let prepared = PrepareSession { settings: effective_settings(), ..prepare(SESSION, CLINIC, &[]) };
    log.does::<Session>(CLINIC, SESSION, prepared).await;
    log.does::<Session>(CLINIC, SESSION, MarkSessionReady { now: log.now }).await;
    let host = Box::new(arrival(1_000, DOCTOR, SessionRole::Host));
    let entry = Entry::Token { arrival: host, lobby: false };
    log.does::<Session>(CLINIC, SESSION, JoinSession { entry, now: log.now }).await;
    let mut dice = Dice(7);
    for number in 0..300 {
        log.something_happens(&mut dice, CLINIC, SESSION).await;
        if number % 60 == 0 {
            log.host_writes(MessageId(1_000 + number)).await;
        }
        if number % 100 == 0 {
            log.host_sends(StreamId(number + 1), MediaSource::Camera).await;
        }
    }
    let (message, by) = (MessageId(1_000), ParticipantId(1_000));
    let standing = log.state::<Session>(SESSION).chat_standing(by);
    log.does::<Chat>(CLINIC, SESSION, RemoveMessage { message, by, standing, now: log.now }).await;
    log
}

/// Every row says what the domain says of the same stream: nothing is lost on the way through a row's format.
#[track_caller]
fn rows_are_the_domain_s(models: &ReadModels, log: &Log) {
    let mut seen = BTreeMap::<&str, usize>::new();
    for recorded in log.all() {
        let envelope = &recorded.envelope;
        let Some(organization) = envelope.organization() else { continue };
        let id = envelope.stream_id();
        macro_rules! same {
            ($aggregate:ty, $find:ident) => {{
                let id = id.parse().unwrap();
                let row = models.$find(organization, id).unwrap().expect("it has a row");
                assert_eq!(row.state, log.state::<$aggregate>(id));
                *seen.entry(<$aggregate>::CATEGORY).or_default() += 1;
            }};
        }
        match envelope.category() {
            Organization::CATEGORY => {
                let row = models.find_organization(organization).unwrap().unwrap();
                assert_eq!(row.state, log.state::<Organization>(organization));
            }
            Units::CATEGORY => {
                let row = models.find_units(organization).unwrap().unwrap();
                assert_eq!(row.state, log.state::<Units>(organization));
            }
            User::CATEGORY => same!(User, find_user),
            ApiKey::CATEGORY => same!(ApiKey, find_api_key),
            Room::CATEGORY => same!(Room, find_room),
            Invitation::CATEGORY => same!(Invitation, find_invitation),
            Session::CATEGORY => same!(Session, find_session),
            SessionMedia::CATEGORY => {
                let session = id.parse().unwrap();
                let streams = models.session_streams(organization, session).unwrap();
                assert!(!streams.streams.is_empty());
                assert_eq!(streams, log.state::<SessionMedia>(session));
            }
            _ => {}
        }
    }
    assert!(seen.values().sum::<usize>() > 0);
}

#[tokio::test]
async fn rows_after_a_story() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    rows_are_the_domain_s(&models, &log);

    let page = Page { rows_max: 100, ..Page::default() };
    let organizations = models.list_organizations(&page).unwrap();
    assert_eq!(organizations.rows.len(), 2);
    assert_eq!(models.list_users(CLINIC, &page).unwrap().rows.len(), 1);
    assert_eq!(models.users_of(CLINIC, DOCTOR).unwrap().len(), 1);
    assert_eq!(models.list_api_keys(CLINIC, &page).unwrap().rows.len(), 1);
    assert_eq!(models.list_rooms(CLINIC, None, &page).unwrap().rows.len(), 1);
    assert_eq!(models.list_rooms(CLINIC, Some(CARDIOLOGY), &page).unwrap().rows.len(), 1);
    assert_eq!(models.list_rooms(CLINIC, Some(UnitId(20)), &page).unwrap().rows.len(), 0);
    assert_eq!(models.list_invitations(CLINIC, ROOM, &page).unwrap().rows.len(), 1);
    for list in [SessionList::Organization, SessionList::OfRoom(ROOM), SessionList::OfPerson(DOCTOR)] {
        assert_eq!(models.list_sessions(CLINIC, list, &page).unwrap().rows.len(), 1, "{list:?}");
    }
    let row = models.find_room(CLINIC, ROOM).unwrap().unwrap();
    let facts = row.state.facts().unwrap();
    assert_eq!(facts.live_session, Some(SESSION));
    let settings = models.room_settings(facts).unwrap();
    assert_eq!(settings.values.participants_max, 7);
    assert_eq!(settings.sources[&SettingName::ParticipantsMax], Source::Room);
    assert_eq!(settings.sources[&SettingName::Registry], Source::Organization, "it is locked there");
    assert_eq!(
        row.version as usize + 1,
        log.store.read_stream(&Room::stream(ROOM), 0, Direction::Forward, 1_000).unwrap().len()
    );
}

#[tokio::test]
async fn no_row_of_one_tenant_is_another_s() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let page = Page { rows_max: 100, ..Page::default() };
    assert!(models.find_user(COURT, ANNA).unwrap().is_none());
    assert!(models.find_room(COURT, ROOM).unwrap().is_none());
    assert!(models.find_session(COURT, SESSION).unwrap().is_none());
    assert!(models.find_invitation(COURT, INVITATION).unwrap().is_none());
    assert!(models.find_api_key(COURT, KEY).unwrap().is_none());
    assert!(models.list_messages(COURT, SESSION, &page).unwrap().rows.is_empty());
    assert!(models.session_streams(COURT, SESSION).unwrap().streams.is_empty());
    assert_eq!(models.session_streams(CLINIC, SESSION).unwrap().streams.len(), 3);
    assert!(models.list_rooms(COURT, None, &page).unwrap().rows.is_empty());
    let audit = models.list_audit(COURT, &AuditFilter::default(), &page).unwrap();
    let rows = || audit.rows.iter().map(|(_, row)| row.as_ref().unwrap());
    assert!(rows().all(|row| row.stream == Organization::stream(COURT)));
    assert_eq!(audit.rows.len(), 2, "created, and its owner named");
}

#[tokio::test]
async fn lines_of_the_audit_trail_are_found_by_reference_type_and_who() {
    let mut log = clinic().await;
    let (told, other) = (CorrelationId(77), CorrelationId(78));
    // So many lines that one page can't look at all of them.
    let many = std::iter::repeat_n((CLINIC, other), 10_100);
    for (organization, reference) in [(CLINIC, told), (COURT, told)].into_iter().chain(many) {
        let refused = AccessRefused {
            operation: "endSession".into(),
            resource: SESSION.to_string(),
            policy: None,
            reference: reference.to_string(),
            unrecorded_before: 0,
        };
        let event = AuditEvent::from(refused);
        log.records(Some(organization), &format!("audit-{organization}"), event.kind(), event.encode()).await;
    }
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let all = log.all();
    let found = |filter: &AuditFilter, backward| {
        let (mut page, mut rows, mut pages) = (Page { rows_max: 3, backward, after: None }, Vec::new(), 0);
        loop {
            let listed = models.list_audit(CLINIC, filter, &page).unwrap();
            assert!(listed.rows.iter().flat_map(|(_, row)| row).count() <= 3);
            rows.extend(listed.rows.iter().filter_map(|(_, row)| row.clone()));
            pages += 1;
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                _ => return (rows, pages),
            }
        }
    };
    let by_reference = AuditFilter { reference: Some(told), ..AuditFilter::default() };
    let (rows, pages) = found(&by_reference, false);
    assert_eq!((rows.len(), rows[0].kind.as_str(), pages), (1, "AccessRefused", 1));
    let of_kind = AuditFilter { kind: Some("SessionPrepared".into()), ..AuditFilter::default() };
    let here = |recorded: &&Recorded| recorded.envelope.organization() == Some(CLINIC);
    let prepared = all.iter().filter(here).filter(|recorded| recorded.envelope.kind() == "SessionPrepared").count();
    for backward in [false, true] {
        let (rows, pages) = found(&of_kind, backward);
        assert!(prepared > 0 && pages > 1, "{prepared} in {pages} pages");
        assert_eq!(rows.len(), prepared);
        assert!(rows.iter().all(|row| row.kind == "SessionPrepared"));
    }
    let both = AuditFilter { kind: Some("SessionPrepared".into()), ..by_reference };
    assert!(found(&both, false).0.is_empty());
    for (by, some) in [
        (By::User(ANNA), true),
        (By::ApiKey(KEY), true),
        (By::Participant(ParticipantId(1)), true),
        (By::User(UserId(987)), false),
    ] {
        let (rows, _) = found(&AuditFilter { by: Some(by), ..AuditFilter::default() }, true);
        assert_eq!(!rows.is_empty(), some, "{by:?}");
        assert!(rows.iter().all(|row| by.is(row.actor)) && rows.len() < all.len());
    }
}

#[tokio::test]
async fn messages_in_their_order_and_removed_ones_marked() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let chat = log.store.read_stream(&Chat::stream(SESSION), 0, Direction::Forward, 1_000).unwrap();
    let sent: Vec<Position> = chat
        .iter()
        .filter(|recorded| recorded.envelope.kind() == "MessageSent")
        .map(|recorded| recorded.position)
        .collect();
    let removed = chat.len() - sent.len();
    assert!(sent.len() > 3 && removed > 0, "the story has {} messages and {removed} removals", sent.len());
    let page = Page { rows_max: 100, ..Page::default() };
    let rows = models.list_messages(CLINIC, SESSION, &page).unwrap().rows;
    assert_eq!(rows.iter().map(|(_, row)| row.position).collect::<Vec<_>>(), sent);
    assert_eq!(rows.iter().filter(|(_, row)| row.removed.is_some()).count(), removed);
    for (_, row) in rows {
        assert_eq!(models.find_message(CLINIC, SESSION, row.message).unwrap(), Some(Arc::new(row)));
    }
    assert_eq!(models.find_message(CLINIC, SESSION, MessageId(999)).unwrap(), None);
}

#[tokio::test]
async fn pages_forward_and_backward_show_each_row_once() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let events = log.all().iter().filter(|recorded| recorded.envelope.organization() == Some(CLINIC)).count();
    for backward in [false, true] {
        let mut page = Page { rows_max: 7, backward, after: None };
        let mut positions = Vec::new();
        loop {
            let listed = models.list_audit(CLINIC, &AuditFilter::default(), &page).unwrap();
            assert!(listed.rows.len() <= 7);
            positions.extend(listed.rows.iter().flat_map(|(_, row)| row).map(|row| row.position));
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                _ => break,
            }
        }
        if backward {
            positions.reverse();
        }
        assert_eq!(positions.len(), events);
        assert!(positions.is_sorted_by(|one, next| one < next));
    }
}

#[tokio::test]
async fn the_directory_says_what_the_rows_say() {
    let mut log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = folded(folder.path(), &log);
    let account = models.account(CLINIC, ANNA).unwrap().unwrap();
    assert!(account.active);
    assert_eq!(account.unit, Some(CARDIOLOGY));
    assert_eq!(account.roles.len(), grant_roles().len() + 1);
    let owner = account.roles.iter().find(|held| held.role == AccountRole::Owner).expect("the organization says so");
    assert_eq!(owner.scope, RoleScope::Organization);
    let auditor = account.roles.iter().find(|held| held.role == AccountRole::Auditor).unwrap();
    assert!(auditor.expires_at.is_some());
    assert_eq!(models.account(CLINIC, UserId(999)).unwrap(), None);
    assert_eq!(models.account(COURT, ANNA).unwrap(), None, "an owner without an account is nobody yet");

    assert_eq!(models.unit_path(CLINIC, CARDIOLOGY).unwrap(), Some(vec![UnitId(20), CARDIOLOGY]));
    assert_eq!(models.unit_path(CLINIC, UnitId(999)).unwrap(), None);
    assert_eq!(models.unit_path(COURT, CARDIOLOGY).unwrap(), None);

    let room = models.room(CLINIC, ROOM).unwrap().unwrap();
    assert_eq!((room.unit, room.owner, room.people.len()), (CARDIOLOGY, Some(ANNA), SessionRole::ALL.len()));
    assert_eq!(room.list, Listing::Private);
    assert!(room.join.contains(&Grant::by_lobby(Who::Invitation)));
    assert_eq!(models.room(COURT, ROOM).unwrap(), None);

    let key = models.api_key("abcd1234").unwrap().unwrap();
    assert_eq!((key.key, key.organization, key.user, key.revoked), (KEY, CLINIC, ANNA, false));
    assert_eq!(key.last_used_day, Some(20_000));
    assert_eq!(key.scopes.names().collect::<Vec<_>>(), [Scope::OrganizationRead.name(), Scope::UsersRead.name()]);
    assert_eq!(models.api_key("nothing").unwrap(), None);

    log.does::<ApiKey>(CLINIC, KEY, RevokeApiKey {}).await;
    log.does::<User>(CLINIC, ANNA, DeactivateUser { owner: false }).await;
    drop(models);
    let models = folded(folder.path(), &log);
    assert!(models.api_key("abcd1234").unwrap().unwrap().revoked);
    assert!(!models.account(CLINIC, ANNA).unwrap().unwrap().active);
}

#[tokio::test]
async fn a_key_with_a_scope_that_nobody_knows_is_refused() {
    let mut log = Log::new();
    let mut create = create_key();
    create.scopes.insert("everything".into());
    log.does::<ApiKey>(CLINIC, KEY, create).await;
    let folder = TempDir::new().unwrap();
    let error = folded(folder.path(), &log).api_key("abcd1234").unwrap_err();
    assert!(error.to_string().contains(&KEY.to_string()), "{error}");
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = ReadModels::open(folder.path()).unwrap();
    assert!(!models.wait_for(log.newest(), Duration::from_millis(20)).await);
    assert!(models.wait_for(Position(0), Duration::ZERO).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_follower_tells_whoever_waits() {
    let mut log = clinic().await;
    let folder = TempDir::new().unwrap();
    let models = Arc::new(ReadModels::open(folder.path()).unwrap());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(Arc::clone(&models).run(log.store.clone(), stopped));
    let directory: Arc<dyn Directory> = models.clone();
    assert!(directory.wait_for(log.newest().0).await);
    let mut changed = models.changes.session(CLINIC, SESSION);
    let mut elsewhere = models.changes.session(COURT, SESSION);
    let before = log.newest();
    log.host_writes(MessageId(5_000)).await;
    assert!(tokio::time::timeout(Duration::from_secs(5), changed.changed()).await.unwrap());
    assert!(log.newest() > before);
    let other = tokio::time::timeout(Duration::from_millis(100), elsewhere.changed()).await;
    assert!(other.is_err(), "another tenant's session of the same id");
    assert!(directory.wait_for(log.newest().0).await);
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
    let position = models.progress().borrow().clone();
    assert_eq!(position, Progress { position: log.newest(), stopped: None });
}

#[tokio::test]
async fn living_rooms_of_a_unit() {
    let mut log = clinic().await;
    let folder = TempDir::new().unwrap();
    let of = |log: &Log| {
        let models = folded(folder.path(), log);
        let here = models.has_living_rooms(CLINIC, CARDIOLOGY).unwrap();
        assert!(!models.has_living_rooms(CLINIC, UnitId(20)).unwrap(), "only rooms right in the unit count");
        assert!(!models.has_living_rooms(COURT, CARDIOLOGY).unwrap());
        here
    };
    assert!(of(&log));
    log.does::<Room>(CLINIC, ROOM, ReleaseSession { session: SESSION }).await;
    log.does::<Room>(CLINIC, ROOM, DisableRoom {}).await;
    assert!(of(&log));
    log.does::<Room>(CLINIC, ROOM, ArchiveRoom {}).await;
    assert!(!of(&log));
}

#[tokio::test]
async fn what_ties_a_person() {
    let mut log = clinic().await;
    log.does::<Invitation>(CLINIC, INVITATION, RevokeInvitation {}).await;
    let folder = TempDir::new().unwrap();
    let state = log.state::<Session>(SESSION);
    let live = state.live().expect("the story leaves it live");
    let there = |person| live.participants.iter().any(|there| there.person == person && !there.state.is_final());
    assert!(there(DOCTOR) && !there(PATIENT));
    let models = folded(folder.path(), &log);
    assert_eq!(models.person_ties(CLINIC, DOCTOR).unwrap(), (true, true));
    assert_eq!(models.person_ties(CLINIC, PATIENT).unwrap(), (false, false));
    assert_eq!(models.person_ties(COURT, DOCTOR).unwrap(), (false, false));
    drop(models);
    let end = EndSession { reason: EndReason::EndedByHost, now: log.now };
    log.does::<Session>(CLINIC, SESSION, end).await;
    let models = folded(folder.path(), &log);
    assert_eq!(models.person_ties(CLINIC, DOCTOR).unwrap(), (true, false));
    drop(models);
    log.does::<User>(CLINIC, ANNA, DeactivateUser { owner: false }).await;
    let models = folded(folder.path(), &log);
    assert_eq!(models.person_ties(CLINIC, DOCTOR).unwrap(), (false, false));
}
