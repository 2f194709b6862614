//! What follows by itself: of a crash between two steps, of time, of what happens in other streams.

use std::sync::Arc;

use bytes::Bytes;
use witan_auth::Operation;
use witan_domain::{
    AccountRole, Actor, Aggregate, EventId, RoleScope, SessionId, UserId,
    organization::{GrantOwner, Organization, RevokeOwner},
    participant::{LeaveReason, MediaSource, ParticipantState, ParticipantStep},
    room::OpenSession,
    session::{EndReason, Opener, SessionStatus},
    user::{DeactivateUser, User},
};
use witan_event_store::{Append, EventStore, ExpectedVersion, NewEvent};
use witan_media::{FakeMedia, Media};

use crate::{execute::Presence, history::organization_resource, testing::*, *};

/// Any event at all: followers look at the clock when one comes.
pub(super) async fn something(world: &World) {
    let event = NewEvent {
        id: EventId(u128::from(world.newest().0)),
        kind: "NameReleased".into(),
        schema: 1,
        metadata: Bytes::from_static(b"{}"),
        data: Bytes::from_static(b"{}"),
    };
    let (stream, expected) = ("reservation-test".to_owned(), ExpectedVersion::Any);
    let append = Append { stream, organization: None, expected, events: vec![event], now: world.clock.now() };
    world.store.append(append).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_opening_and_preparing_is_completed() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = SessionId(77);
    let request = world.ask(&tenant.host);
    let state = app.room_state(tenant.organization, tenant.room).unwrap();
    let command = OpenSession {
        session,
        organization_active: true,
        settings: app.room_settings(state.facts().unwrap()).unwrap(),
        opened_by: Opener::User(tenant.host_id),
        record: None,
        continues: None,
        now: world.clock.now(),
    };
    let task = app.begin_room(&request, tenant.room, Operation::OpenSession).await.unwrap();
    task.finish(&command.into()).await.unwrap();
    assert_eq!(code(app.session_state(tenant.organization, session)), "NOT_FOUND", "here the process ended");

    let running = world.reacts();
    world.settle(&running).await;
    assert_eq!(world.session(&tenant, session).status, SessionStatus::Ready);
    assert!(media.session(session).is_some());
    world.host_joins(&tenant, session).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_waits_for_media_that_is_lost() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    media.set_lost(true);
    let session = world.opens(&tenant).await;
    assert_eq!(world.session(&tenant, session).status, SessionStatus::Preparing);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(world.session(&tenant, session).status, SessionStatus::Preparing);
    media.set_lost(false);
    world.until("media is there", || world.session(&tenant, session).status == SessionStatus::Ready).await;
    assert!(media.session(session).is_some());
    world.settle(&running).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_interrupts_sessions_once_and_the_next_resumes_them() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    let session = world.opens(&tenant).await;
    world.host_joins(&tenant, session).await;
    world.settle(&running).await;
    media.set_lost(true);
    let status = || world.session(&tenant, session).status;
    world.until("it is interrupted", || status() == SessionStatus::Interrupted).await;
    media.set_lost(false);
    world.until("it goes on", || status() == SessionStatus::InProgress).await;
    assert!(media.session(session).is_some());
    let count = |kind: &str| world.all().iter().filter(|recorded| recorded.envelope.kind() == kind).count();
    assert_eq!((count("SessionInterrupted"), count("SessionResumed")), (1, 1));
    world.stop(running).await;

    // Lost while nobody looked: the node that is there now does not carry it.
    media.set_lost(true);
    media.set_lost(false);
    let running = world.reacts();
    world.until("it was interrupted", || count("SessionInterrupted") == 2).await;
    world.until("it goes on", || status() == SessionStatus::InProgress && media.session(session).is_some()).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_carries_of_a_session_that_is_over_is_closed() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let tenant = world.tenant("clinic").await;
    let session = world.opens(&tenant).await;
    world.app.end_session(&world.ask(&tenant.owner), session).await.unwrap();
    assert!(media.session(session).is_some(), "no reactor runs");
    let running = world.reacts();
    world.until("it is closed", || media.session(session).is_none()).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderation_reaches_media() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (_, pat) = world.is_let_in(&tenant, &host, "Pat").await;
    let ask = || world.ask(&host);
    app.mute_participant(&ask(), session, pat.participant, MediaSource::Camera).await.unwrap();
    app.hold_participant(&ask(), session, pat.participant).await.unwrap();
    world.settle(&running).await;
    let carried = media.session(session).unwrap();
    assert!(carried.muted.contains(&(pat.participant, MediaSource::Camera)) && carried.held.contains(&pat.participant));
    app.release_participant(&ask(), session, pat.participant).await.unwrap();
    app.remove_participant(&ask(), session, pat.participant, false, None).await.unwrap();
    world.settle(&running).await;
    let carried = media.session(session).unwrap();
    assert!(carried.held.is_empty() && carried.disconnected.contains(&pat.participant));
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_by_the_clock_that_is_given() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    app.connection_opened(&pat);
    app.connection_closed(&pat);
    let pat_now = || world.session(&tenant, session).participant(entered.participant).unwrap().clone();
    world.until("Pat drops", || pat_now().state == ParticipantState::Reconnecting).await;
    world.clock.pass(29);
    something(&world).await;
    world.settle(&running).await;
    assert_eq!(pat_now().state, ParticipantState::Reconnecting);
    world.clock.pass(1);
    something(&world).await;
    world.until("Pat has left", || pat_now().state == ParticipantState::Left).await;
    let left = pat_now().timeline.pop().unwrap().step;
    assert_eq!(left, ParticipantStep::Left { reason: LeaveReason::ConnectionLost });

    let (quinn, knocking) = world.knocks(&tenant, "Quinn").await;
    let warned = || world.session(&tenant, session).warned_minutes.len();
    world.clock.pass(15 * 60);
    something(&world).await;
    let knock = || world.session(&tenant, session).participant(knocking.participant).unwrap().state;
    world.until("nobody answers Quinn", || knock() == ParticipantState::TimedOut).await;
    assert_eq!(code(app.join_by_admission(&world.ask(&quinn), session).await), "FORBIDDEN");
    world.clock.pass(95 * 60);
    something(&world).await;
    world.until("ten minutes are left", || warned() == 1).await;
    world.clock.pass(10 * 60);
    something(&world).await;
    world.until("it is over", || world.session(&tenant, session).finish.is_some()).await;
    assert_eq!(world.session(&tenant, session).finish.unwrap().reason, EndReason::MaximumDuration);
    world.settle(&running).await;
    world.opens(&tenant).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_a_room_ends_its_session() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    world.host_joins(&tenant, session).await;
    app.disable_room(&world.ask(&tenant.host), tenant.room).await.unwrap();
    world.settle(&running).await;
    assert_eq!(world.session(&tenant, session).finish.unwrap().reason, EndReason::RoomDisabled);
    world.stop(running).await;
}

/// Grants and deactivates in the two streams themselves, as two requests at the same moment would.
async fn at_the_same_moment(world: &World, tenant: &Tenant, user: UserId) {
    let organization = tenant.organization;
    let system = Request::system(witan_domain::CorrelationId(1), None);
    let resource = move |_: &_| organization_resource(organization);
    let there = Presence::Needed("organization");
    let begun = world.app.begin::<Organization>(
        &system,
        Some(organization),
        organization,
        Operation::GrantRole,
        there,
        resource,
    );
    begun.await.unwrap().finish(&GrantOwner { user, user_active: true }.into()).await.unwrap();
    let resource = move |_: &_| organization_resource(organization);
    let begun = world.app.begin::<User>(&system, Some(organization), user, Operation::DeactivateUser, there, resource);
    begun.await.unwrap().finish(&DeactivateUser { owner: false }.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_account_is_deactivated_is_none() {
    let world = World::new();
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    at_the_same_moment(&world, &tenant, tenant.host_id).await;
    world.settle(&running).await;
    let owners = world.app.organization_state(tenant.organization).unwrap().facts().unwrap().owners.clone();
    assert_eq!(owners.into_keys().collect::<Vec<_>>(), [tenant.owner_id]);
    assert!(!world.app.user_state(tenant.organization, tenant.host_id).unwrap().is_active());
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_owner_stays_and_is_active_again() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (owner, organization) = (AccountRole::Owner, RoleScope::Organization);
    assert_eq!(
        code(app.revoke_role(&world.ask(&tenant.owner), tenant.owner_id, owner, organization).await),
        "LAST_OWNER"
    );
    assert_eq!(code(app.deactivate_user(&world.ask(&tenant.owner), tenant.owner_id).await), "USER_IS_OWNER");
    at_the_same_moment(&world, &tenant, tenant.host_id).await;
    let system = Request::system(witan_domain::CorrelationId(1), None);
    let (id, there) = (tenant.organization, Presence::Needed("organization"));
    let resource = move |_: &_| organization_resource(id);
    let begun = app.begin::<Organization>(&system, Some(id), id, Operation::RevokeRole, there, resource).await;
    begun.unwrap().finish(&RevokeOwner { user: tenant.owner_id }.into()).await.unwrap();
    // Now the only owner's account is deactivated.
    let running = world.reacts();
    world.settle(&running).await;
    let owners = app.organization_state(tenant.organization).unwrap().facts().unwrap().owners.clone();
    assert_eq!(owners.into_keys().collect::<Vec<_>>(), [tenant.host_id]);
    assert!(app.user_state(tenant.organization, tenant.host_id).unwrap().is_active());
    assert_eq!(
        world.kinds(&User::stream(tenant.host_id)),
        ["UserCreated", "UserDeactivated", "UserReactivated"],
        "once, although two events led there"
    );
    let account = Actor::User { organization: tenant.organization, user: tenant.host_id, key: None };
    assert_eq!(code(app.disable_room(&world.ask(&account), tenant.room).await), "OK");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactors_that_begin_at_the_first_event_change_nothing() {
    let world = World::with_media(Arc::new(FakeMedia::new()));
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = |actor: &Actor| world.ask(actor);
    let march = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, march).await;
    world.is_let_in(&tenant, &host, "Quinn").await;
    app.disable_room(&ask(&tenant.host), tenant.room).await.unwrap();
    world.settle(&running).await;
    app.enable_room(&ask(&tenant.host), tenant.room).await.unwrap();
    at_the_same_moment(&world, &tenant, tenant.owner_id).await;
    world.settle(&running).await;

    let today = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, today).await;
    let (_, pat) = world.is_let_in(&tenant, &host, "Pat").await;
    let (_, muted) = world.is_let_in(&tenant, &host, "Robin").await;
    let (microphone, pat) = (MediaSource::Microphone, pat.participant);
    app.mute_participant(&ask(&host), today, pat, microphone).await.unwrap();
    app.unmute_participant(&ask(&host), today, pat, microphone).await.unwrap();
    app.hold_participant(&ask(&host), today, pat).await.unwrap();
    app.release_participant(&ask(&host), today, pat).await.unwrap();
    app.mute_participant(&ask(&host), today, muted.participant, microphone).await.unwrap();
    app.hold_participant(&ask(&host), today, muted.participant).await.unwrap();
    world.settle(&running).await;
    world.stop(running).await;

    let newest = world.newest();
    let media = Arc::new(FakeMedia::new());
    media.open_session(today).await.unwrap();
    let world = world.restored(media.clone());
    let running = world.reacts();
    world.settle(&running).await;
    assert_eq!(world.newest(), newest, "{:?}", world.all()[newest.0 as usize..].first());
    assert!(world.session(&tenant, today).finish.is_none(), "a room that was disabled in March ends nothing today");
    let carried = media.session(today).unwrap();
    let (muted, held): (Vec<_>, Vec<_>) = (carried.muted.into_iter().collect(), carried.held.into_iter().collect());
    assert_eq!((muted[..].len(), muted[0].1, held), (1, MediaSource::Microphone, vec![muted[0].0]));
    assert_ne!(muted[0].0, pat, "what was taken back stays so");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_enabled_again_at_once_has_still_lost_its_session() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    world.host_joins(&tenant, session).await;
    app.disable_room(&world.ask(&tenant.host), tenant.room).await.unwrap();
    app.enable_room(&world.ask(&tenant.host), tenant.room).await.unwrap();
    let running = world.reacts();
    world.settle(&running).await;
    assert_eq!(world.session(&tenant, session).finish.unwrap().reason, EndReason::RoomDisabled);
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_for_media_keeps_no_other_waiting() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let (app, tenant, other) = (&world.app, world.tenant("clinic").await, world.tenant("court").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (_, pat) = world.is_let_in(&tenant, &host, "Pat").await;
    media.set_refusing(true);
    let waiting = world.opens(&other).await;
    app.remove_participant(&world.ask(&host), session, pat.participant, false, None).await.unwrap();
    let removed = || media.session(session).unwrap().disconnected.contains(&pat.participant);
    world.until("Pat is cut off", removed).await;
    assert_eq!(world.session(&other, waiting).status, SessionStatus::Preparing);
    world.settle(&running).await;
    world.stop(running).await;

    // The reactor's cursor is past that session's beginning; it is not forgotten.
    let running = world.reacts();
    media.set_refusing(false);
    world.until("media is there", || world.session(&other, waiting).status == SessionStatus::Ready).await;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_can_t_be_written_stops_no_reactor() {
    let world = World::new();
    let running = world.reacts();
    std::fs::remove_dir_all(world.cursors()).unwrap();
    let tenant = world.tenant("clinic").await;
    let session = world.opens(&tenant).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    world.app.disable_room(&world.ask(&tenant.host), tenant.room).await.unwrap();
    world.settle(&running).await;
    assert!(world.session(&tenant, session).finish.is_some());
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_again_by_the_same_key_leaves_a_closed_session_alone() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let request = || world.ask_once(&tenant.host, "open", "the same");
    let (session, _) = app.open_session(&request(), tenant.room, &Default::default()).await.unwrap();
    app.end_session(&world.ask(&tenant.owner), session).await.unwrap();
    world.settle(&running).await;
    assert_eq!(media.session(session), None);
    let newest = world.newest();
    let (again, _) = app.open_session(&request(), tenant.room, &Default::default()).await.unwrap();
    assert_eq!((again, media.session(session), world.newest()), (session, None, newest));
    world.stop(running).await;
}
