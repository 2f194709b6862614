//! Whoever may not is told so before anything is looked up that the right doesn't hang on.

use witan_domain::{
    AccountRole, ApiKeyId, MessageId, ParticipantId, RoleScope, SessionId, SessionRole, UnitId, UserId, settings::Level,
};

use crate::{api_keys::NewApiKey, organizations::OrganizationInput, testing::*, *};

const NOBODY: UserId = UserId(12_345);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_does_not_learn_what_is_there() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (member, _) = app.create_user(&world.ask(&tenant.owner), &user("member")).await.unwrap();
    let member = Actor::User { organization: tenant.organization, user: member, key: None };
    let key = NewApiKey { name: "a key".into(), scopes: Vec::new(), expires_at: None, user: NOBODY };
    let renamed = OrganizationInput { slug: "Not a slug".into(), ..OrganizationInput::default() };
    let (whole, role) = (RoleScope::Organization, AccountRole::Host);
    for (actor, expected) in [(&member, "FORBIDDEN"), (&tenant.owner, "NOT_FOUND")] {
        let ask = || world.ask(actor);
        assert_eq!(code(app.grant_role(&ask(), NOBODY, role, whole, None).await), expected);
        assert_eq!(code(app.grant_role(&ask(), NOBODY, AccountRole::Owner, whole, None).await), expected);
        assert_eq!(code(app.revoke_role(&ask(), NOBODY, role, whole).await), expected);
        assert_eq!(code(app.create_api_key(&ask(), &key).await), expected);
        assert_eq!(code(app.add_room_person(&ask(), tenant.room, NOBODY, SessionRole::Host).await), expected);
    }
    let ask = || world.ask(&member);
    assert_eq!(code(app.update_organization(&ask(), &renamed).await), "FORBIDDEN");
    assert_eq!(code(app.set_unit_settings(&ask(), UnitId(9), Level::default()).await), "FORBIDDEN");
    assert_eq!(code(app.remove_message(&ask(), session, MessageId(9)).await), "FORBIDDEN");
    let moved = app.move_participant(&ask(), session, ParticipantId(9), SessionId(9)).await;
    assert_eq!(code(moved), "FORBIDDEN");
    // What is asked of follows from the stream here: an id of nothing is answered as such.
    assert_eq!(code(app.revoke_api_key(&ask(), ApiKeyId(9)).await), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_answered_again_after_the_other_session_has_ended() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (_, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let (room, _) =
        app.create_room(&world.ask(&tenant.owner), tenant.unit, &room("second", Some(tenant.host_id))).await.unwrap();
    let (other, _) = app.open_session(&world.ask(&tenant.host), room, &Default::default()).await.unwrap();
    let moves = async || {
        let request = world.ask_once(&tenant.host, "move", "the same input");
        app.move_participant(&request, session, entered.participant, other).await.unwrap().position
    };
    let first = moves().await;
    app.end_session(&world.ask(&tenant.host), other).await.unwrap();
    assert!(first.is_some());
    assert_eq!(moves().await, first);
}
