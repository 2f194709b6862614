//! Another organization's ids are as if there were none; refusals are in the trail, and can't fill it.

use witan_domain::{
    Actor, audit,
    person::Ground,
    settings::{Level, SettingValue},
};
use witan_event_store::EventStore;

use crate::{
    history::Moment, join_tokens::Door, opening::OpeningInput, organizations::OrganizationInput, testing::*, *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_ids_are_not_found() {
    let world = World::new();
    let app = &world.app;
    let (clinic, court) = (world.tenant("clinic").await, world.tenant("court").await);
    let session = world.opens(&clinic).await;
    let (host, entered) = world.host_joins(&clinic, session).await;
    let invitation = world.invites(&clinic, "Pat").await;
    let message = app.send_message(&world.ask(&host), session, "Hello").await.unwrap().0;
    let known = app.authenticate(Some(&clinic.key)).await.unwrap().unwrap();
    let Actor::User { key: Some(key), .. } = known.actor else { panic!("a key acts as a user") };
    let person = app.user_state(clinic.organization, clinic.host_id).unwrap().facts().unwrap().person;
    let before = world.newest();

    let ask = || world.ask(&court.owner);
    let participant = entered.participant;
    let not_found = [
        code(app.update_room(&ask(), clinic.room, &room("x", Some(court.host_id))).await),
        code(app.set_room_settings(&ask(), clinic.room, Level::default()).await),
        code(app.add_room_person(&ask(), clinic.room, court.host_id, witan_domain::SessionRole::Host).await),
        code(app.archive_room(&ask(), clinic.room).await),
        code(app.open_session(&ask(), clinic.room, &OpeningInput::default()).await),
        code(app.create_invitation(&ask(), clinic.room, &world.invitation("Pat")).await),
        code(app.revoke_invitation(&ask(), invitation.invitation).await),
        code(app.create_join_token(&ask(), Door::Session(session), None).await),
        code(app.end_session(&ask(), session).await),
        code(app.admit_all(&ask(), session).await),
        code(app.remove_participant(&ask(), session, participant, false, None).await),
        code(app.send_message(&ask(), session, "Hello").await),
        code(app.remove_message(&ask(), session, message).await),
        code(app.session_as_of(&ask(), session, Moment::Position(before)).await),
        code(app.session_events(&ask(), session, None).await),
        code(app.event_at(&ask(), before).await),
        code(app.update_user(&ask(), clinic.host_id, &user("x")).await),
        code(app.deactivate_user(&ask(), clinic.host_id).await),
        code(app.revoke_api_key(&ask(), key).await),
    ];
    assert!(not_found.iter().all(|code| *code == "NOT_FOUND"), "{not_found:?}");
    assert_eq!(code(app.suspend_organization(&ask(), clinic.organization).await), "FORBIDDEN");
    assert_eq!(code(app.create_room(&ask(), clinic.unit, &room("x", None)).await), "UNIT_NOT_LIVING");
    let (role, scope) = (witan_domain::AccountRole::PrivacyOfficer, witan_domain::RoleScope::Organization);
    app.grant_role(&ask(), court.owner_id, role, scope, None).await.unwrap();
    assert_eq!(code(app.erase_person(&ask(), person, Ground::Request).await), "PERSON_NOT_FOUND");
    let touched = world.all().into_iter().filter(|recorded| recorded.position > before);
    assert!(
        touched.into_iter().all(|recorded| recorded.envelope.organization() == Some(court.organization)),
        "nothing of the clinic's was touched"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_stops_new_sessions_only() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let operator = || world.ask(&Actor::Operator);
    app.suspend_organization(&operator(), tenant.organization).await.unwrap();

    let owner = || world.ask(&tenant.owner);
    let other = room("other", Some(tenant.host_id));
    let (other, _) = app.create_room(&owner(), tenant.unit, &other).await.unwrap();
    let opens = async || code(app.open_session(&world.ask(&tenant.host), other, &OpeningInput::default()).await);
    assert_eq!(opens().await, "ORGANIZATION_NOT_ACTIVE");
    let (host, _) = world.host_joins(&tenant, session).await;
    world.is_let_in(&tenant, &host, "Pat").await;
    let settings = Level::setting([SettingValue::ParticipantsMax(7)]);
    assert_eq!(code(app.set_organization_settings(&owner(), settings).await), "OK");
    let role = witan_domain::AccountRole::Owner;
    let granted = app.grant_role(&owner(), tenant.host_id, role, witan_domain::RoleScope::Organization, None).await;
    assert_eq!(code(granted), "OK");
    let renamed = OrganizationInput { slug: "hospital".into(), full_name: "A hospital".into(), ..Default::default() };
    assert_eq!(code(app.update_organization(&owner(), &renamed).await), "OK");

    app.reactivate_organization(&operator(), tenant.organization).await.unwrap();
    assert_eq!(opens().await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_recorded_at_a_bounded_rate() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (member, _) = app.create_user(&world.ask(&tenant.owner), &user("member")).await.unwrap();
    let member = Actor::User { organization: tenant.organization, user: member, key: None };
    let trail = format!("{}-{}", audit::CATEGORY, tenant.organization);
    for _ in 0..100 {
        assert_eq!(code(app.disable_room(&world.ask(&member), tenant.room).await), "FORBIDDEN");
    }
    assert_eq!(world.kinds(&trail).len(), 60);
    world.clock.pass(60);
    assert_eq!(code(app.disable_room(&world.ask(&member), tenant.room).await), "FORBIDDEN");
    let newest = world.store.read_stream(&trail, u64::MAX, Direction::Backward, 1).unwrap().pop().unwrap();
    let event: audit::AccessRefused = serde_json::from_slice(newest.envelope.data()).unwrap();
    assert_eq!((event.operation.as_str(), event.unrecorded_before), ("disableRoom", 40));
    assert_eq!(event.resource, tenant.room.to_string());

    let before = world.newest();
    let stranger = app.disable_room(&world.ask(&Actor::Anonymous), tenant.room).await;
    assert_eq!(code(stranger), "UNAUTHENTICATED");
    assert_eq!(world.newest(), before, "strangers write nothing into a tenant's trail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_content_are_recorded_once_an_hour() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let trail = format!("{}-{}", audit::CATEGORY, tenant.organization);
    for _ in 0..5 {
        app.read_chat(&world.ask(&host), session).await.unwrap();
    }
    assert_eq!(world.kinds(&trail), ["ContentRead"]);
    world.clock.pass(3_600);
    app.read_chat(&world.ask(&host), session).await.unwrap();
    let newest = world.store.read_stream(&trail, u64::MAX, Direction::Backward, 1).unwrap().pop().unwrap();
    let read: audit::ContentRead = serde_json::from_slice(newest.envelope.data()).unwrap();
    assert_eq!((read.session, read.more_before), (session, 4));
}
