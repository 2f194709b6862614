//! Ad-hoc sessions: their room comes and goes with them, whatever is cut short.

use witan_domain::{
    AccountRole, Aggregate, RoleScope, UnitId,
    room::{Room, RoomKind, RoomStatus},
    session::SessionStatus,
    settings::{Purpose, SettingValue},
};
use witan_event_store::AppendError;

use crate::{ad_hoc::AdHocInput, join_tokens::Door, testing::*, *};

fn asked() -> AdHocInput {
    AdHocInput { purpose: Purpose::Consultation, name: None, record_id: Some("file 4711".into()), settings: vec![] }
}

/// A tenant whose host may open in the unit, and not only in a room of their own.
async fn hosting(world: &World) -> Tenant {
    let tenant = world.tenant("clinic").await;
    let (request, scope) = (world.ask(&tenant.owner), RoleScope::Unit(tenant.unit));
    world.app.grant_role(&request, tenant.host_id, AccountRole::Host, scope, None).await.unwrap();
    tenant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_ad_hoc_session() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, hosting(&world).await);
    let request = || world.ask_once(&tenant.host, "now", "the same input");
    let (session, opened) = app.open_ad_hoc_session(&request(), tenant.unit, &asked()).await.unwrap();
    let record = world.session(&tenant, session);
    assert_eq!(
        (record.status, record.unit, record.purpose),
        (SessionStatus::Ready, tenant.unit, Purpose::Consultation)
    );
    assert!(record.record.is_some() && record.settings.values.lobby, "as the purpose says");
    let room = || app.room_state(tenant.organization, record.room).unwrap().facts().unwrap().clone();
    assert_eq!((room().kind, room().live_session), (RoomKind::AdHoc, Some(session)));
    assert_eq!(room().details.owner, tenant.host_id);
    let ticket = app.create_join_token(&world.ask(&tenant.host), Door::Session(session), None).await.unwrap();
    assert!(ticket.claims.role.moderates());

    let newest = world.newest();
    let (same, again) = app.open_ad_hoc_session(&request(), tenant.unit, &asked()).await.unwrap();
    assert_eq!((same, again.position, world.newest()), (session, opened.position, newest));
    let other = world.ask_once(&tenant.host, "now", "another input");
    assert_eq!(code(app.open_ad_hoc_session(&other, tenant.unit, &asked()).await), "IDEMPOTENCY_KEY_REUSED");

    app.end_session(&world.ask(&tenant.host), session).await.unwrap();
    world.until("the room is archived", || room().status == RoomStatus::Archived).await;
    world.settle(&running).await;
    let kinds = world.kinds(&Room::stream(record.room));
    assert_eq!(kinds, ["RoomCreated", "SessionOpened", "SessionReleased", "RoomArchived"]);
    let (same, again) = app.open_ad_hoc_session(&request(), tenant.unit, &asked()).await.unwrap();
    assert_eq!((same, again.position), (session, opened.position), "however late");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ad_hoc_session_that_was_cut_short_is_prepared() {
    let world = World::new();
    let (app, tenant) = (&world.app, hosting(&world).await);
    world.faults.append("session", 0, AppendError::Full);
    assert_eq!(code(app.open_ad_hoc_session(&world.ask(&tenant.host), tenant.unit, &asked()).await), "UNAVAILABLE");
    let running = world.reacts();
    world.settle(&running).await;
    let prepared = world.all().iter().filter(|recorded| recorded.envelope.kind() == "SessionPrepared").count();
    assert_eq!(prepared, 1, "no hidden room without its session");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_no_ad_hoc_session() {
    let world = World::new();
    let (app, tenant) = (&world.app, hosting(&world).await);
    let (member, _) = app.create_user(&world.ask(&tenant.owner), &user("member")).await.unwrap();
    let member = Actor::User { organization: tenant.organization, user: member, key: None };
    let opens = async |actor: &Actor, unit, input: AdHocInput| {
        code(app.open_ad_hoc_session(&world.ask(actor), unit, &input).await)
    };
    assert_eq!(opens(&member, tenant.unit, asked()).await, "FORBIDDEN");
    assert_eq!(opens(&Actor::Anonymous, tenant.unit, asked()).await, "UNAUTHENTICATED");
    assert_eq!(opens(&tenant.owner, UnitId(99), asked()).await, "UNIT_NOT_LIVING");
    let locked = AdHocInput { settings: vec![SettingValue::Registry(false)], ..asked() };
    assert_eq!(opens(&tenant.owner, tenant.unit, locked).await, "SETTING_NOT_OF_SESSION");
    app.suspend_organization(&world.ask(&Actor::Operator), tenant.organization).await.unwrap();
    assert_eq!(opens(&tenant.owner, tenant.unit, asked()).await, "ORGANIZATION_NOT_ACTIVE");
}
