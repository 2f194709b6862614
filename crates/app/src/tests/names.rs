//! Names that were reserved by a process that was cut: nobody loses them for ever.

use witan_domain::{
    AliasId, OrganizationId, RoomId, UserId,
    reservation::{ABANDONED_AFTER_SECONDS, Holder, ReservationId},
    room::{RoomDetails, UpdateRoom},
    user::{UpdateUser, User},
};
use witan_event_store::AppendError;
use witan_vault::AliasKind;

use crate::{execute::Presence, organizations::OrganizationInput, testing::*, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_never_made_gives_its_slug_back() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let name = ReservationId::RoomSlug(tenant.unit, "lab".parse().unwrap());
    let owner = || world.ask(&tenant.owner);
    app.reserve(&owner(), Some(tenant.organization), name, Holder::Room(RoomId(7))).await.unwrap();
    let create = async || code(app.create_room(&owner(), tenant.unit, &room("lab", None)).await);
    assert_eq!(create().await, "SLUG_TAKEN", "that process may be on its way");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create().await, "OK");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create().await, "SLUG_TAKEN", "now somebody bears it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_renamed_gives_its_old_slug_back() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let before = app.room_state(tenant.organization, tenant.room).unwrap().facts().unwrap().details.clone();
    let (old, new) = (before.slug, "renamed".parse().unwrap());
    let owner = || world.ask(&tenant.owner);
    let name = ReservationId::RoomSlug(tenant.unit, new);
    app.reserve(&owner(), Some(tenant.organization), name, Holder::Room(tenant.room)).await.unwrap();
    let request = owner();
    let task = app.begin_room(&request, tenant.room, witan_auth::Operation::UpdateRoom).await.unwrap();
    let details = RoomDetails { slug: new, ..before };
    task.finish(&UpdateRoom { details, owner_active: true }.into()).await.unwrap();

    let create = async |slug: &str| code(app.create_room(&owner(), tenant.unit, &room(slug, None)).await);
    assert_eq!(create(old.as_str()).await, "SLUG_TAKEN");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create(old.as_str()).await, "OK");
    assert_eq!(create("renamed").await, "SLUG_TAKEN");
    app.archive_room(&owner(), tenant.room).await.unwrap();
    assert_eq!(create("renamed").await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_was_never_made_gives_the_login_back() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let organization = tenant.organization;
    let owner = || world.ask(&tenant.owner);
    let fresh = witan_domain::PersonId(9);
    app.vault.create_person(organization, fresh).await.unwrap();
    let alias = app.vault.alias(organization, AliasKind::Login, "ben", fresh, 77).await.unwrap();
    let name = ReservationId::Login(organization, AliasId(alias.id));
    app.reserve(&owner(), Some(organization), name, Holder::User(UserId(7))).await.unwrap();
    let create = async |login: &str| code(app.create_user(&owner(), &user(login)).await);
    assert_eq!(create("ben").await, "LOGIN_TAKEN");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create("ben").await, "OK");
    assert_eq!(create("ben").await, "LOGIN_TAKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_was_renamed_gives_the_old_login_back() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (organization, owner) = (tenant.organization, || world.ask(&tenant.owner));
    let facts = app.user_state(organization, tenant.host_id).unwrap().facts().unwrap().clone();
    let alias = app.vault.alias(organization, AliasKind::Login, "anna-maria", facts.person, 77).await.unwrap();
    let name = ReservationId::Login(organization, AliasId(alias.id));
    app.reserve(&owner(), Some(organization), name, Holder::User(tenant.host_id)).await.unwrap();
    let request = owner();
    let (operation, there) = (witan_auth::Operation::UpdateUser, Presence::Needed("user"));
    let resource = |_: &_| crate::history::organization_resource(organization);
    let system = Request::system(request.correlation, None);
    let task =
        app.begin::<User>(&system, Some(organization), tenant.host_id, operation, there, resource).await.unwrap();
    let details = witan_domain::user::UserDetails { login_alias: AliasId(alias.id), ..facts.details };
    task.finish(&UpdateUser { details, unit_living: true, person_erased: false }.into()).await.unwrap();

    let create = async |login: &str| code(app.create_user(&owner(), &user(login)).await);
    assert_eq!(create("anna").await, "LOGIN_TAKEN");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create("anna").await, "OK");
    assert_eq!(create("anna-maria").await, "LOGIN_TAKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_that_was_never_made_gives_its_slug_back() {
    let world = World::new();
    let operator = || world.ask(&witan_domain::Actor::Operator);
    let name = ReservationId::OrganizationSlug("clinic".parse().unwrap());
    world.app.reserve(&operator(), None, name, Holder::Organization(OrganizationId(7))).await.unwrap();
    let input = OrganizationInput { slug: "clinic".into(), full_name: "A clinic".into(), ..Default::default() };
    let create = async || code(world.app.create_organization(&operator(), &input, &user("owner")).await);
    assert_eq!(create().await, "SLUG_TAKEN");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create().await, "OK");
    world.clock.pass(ABANDONED_AFTER_SECONDS);
    assert_eq!(create().await, "SLUG_TAKEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_could_not_be_recorded_leaves_no_login_taken() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    world.faults.append("user", 0, AppendError::Full);
    assert_eq!(code(app.create_user(&world.ask(&tenant.owner), &user("ben")).await), "UNAVAILABLE");
    assert_eq!(code(app.create_user(&world.ask(&tenant.owner), &user("ben")).await), "OK", "at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_the_first_error_and_never_that_nothing_was_recorded() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let owner = || world.ask(&tenant.owner);
    // The second step's outcome is unknown, and then the first can't be taken back either.
    let second_step_fails = |category: &'static str| {
        world.faults.append(category, 0, AppendError::OutcomeUnknown);
        world.faults.append("reservation", 1, AppendError::Stopped("a sync failed".into()));
    };
    let unknown = "OUTCOME_UNKNOWN";
    second_step_fails("room");
    assert_eq!(code(app.create_room(&owner(), tenant.unit, &room("one", None)).await), unknown);
    second_step_fails("room");
    assert_eq!(code(app.update_room(&owner(), tenant.room, &room("two", None)).await), unknown);
    second_step_fails("user");
    assert_eq!(code(app.create_user(&owner(), &user("ben")).await), unknown);
    second_step_fails("user");
    assert_eq!(code(app.update_user(&owner(), tenant.host_id, &user("carla")).await), unknown);
    let input = OrganizationInput { slug: "court".into(), full_name: "A court".into(), ..Default::default() };
    let operator = world.ask(&witan_domain::Actor::Operator);
    second_step_fails("organization");
    assert_eq!(code(app.create_organization(&operator, &input, &user("owner")).await), unknown);
    second_step_fails("organization");
    let input = OrganizationInput { slug: "tribunal".into(), ..input };
    assert_eq!(code(app.update_organization(&owner(), &input).await), unknown);
    assert!(world.faults.appends.lock().unwrap().is_empty());
    world.faults.append("room", 0, AppendError::Full);
    match app.create_room(&owner(), tenant.unit, &room("three", None)).await {
        Err(error) => assert!(!error.to_string().contains("nothing was recorded"), "{error}"),
        Ok(_) => panic!("it had no room"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_that_was_left_without_its_owner_is_made_to_its_end() {
    let world = World::new();
    let operator = || world.ask_once(&witan_domain::Actor::Operator, "create", "clinic");
    let input = OrganizationInput { slug: "clinic".into(), full_name: "A clinic".into(), ..Default::default() };
    let create = async || world.app.create_organization(&operator(), &input, &user("owner")).await;
    for category in ["organization", "user", "api"] {
        world.faults.append(category, 0, AppendError::Full);
        assert_eq!(code(create().await), "UNAVAILABLE", "{category}");
    }
    let founded = create().await.unwrap();
    assert!(world.app.authenticate(Some(&founded.api_key)).await.unwrap().is_some());
    assert!(world.app.user_state(founded.organization, founded.owner).unwrap().is_active());
}
