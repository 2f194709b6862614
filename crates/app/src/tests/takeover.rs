//! What would make somebody act as somebody else, or as more than they are.

use witan_auth::JoinToken;
use witan_domain::{AccountRole, Actor, RoleScope, SessionRole, TokenId, UserId};

use crate::{
    api_keys::NewApiKey, invitations::InvitationInput, join_tokens::Door, opening::OpeningInput, testing::*,
    users::NewUser, *,
};

/// An account with this role in the organization.
async fn account(world: &World, tenant: &Tenant, login: &str, role: AccountRole) -> (Actor, UserId) {
    let owner = || world.ask(&tenant.owner);
    let (id, _) = world.app.create_user(&owner(), &user(login)).await.unwrap();
    world.app.grant_role(&owner(), id, role, RoleScope::Organization, None).await.unwrap();
    (Actor::User { organization: tenant.organization, user: id, key: None }, id)
}

fn external(login: &str, id: &str) -> NewUser {
    NewUser { external_id: Some(id.into()), ..user(login) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_becomes_the_person_of_an_account_that_they_may_not_change() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let owner = || world.ask(&tenant.owner);
    let (boss, _) = app.create_user(&owner(), &external("boss", "staff 1")).await.unwrap();
    app.grant_role(&owner(), boss, AccountRole::Admin, RoleScope::Organization, None).await.unwrap();
    let (unit_admin, id) = account(&world, &tenant, "unit-admin", AccountRole::Member).await;
    app.grant_role(&owner(), id, AccountRole::UnitAdmin, RoleScope::Unit(tenant.unit), None).await.unwrap();
    let in_unit = |new: NewUser| NewUser { unit: Some(tenant.unit), ..new };
    let taken = app.create_user(&world.ask(&unit_admin), &in_unit(external("mallory", "staff 1"))).await;
    assert_eq!(code(taken), "EXTERNAL_ID_TAKEN");
    let invites = async |actor: &Actor, id: &str| {
        let input = InvitationInput { external_id: Some(id.into()), ..world.invitation("Mallory") };
        app.create_invitation(&world.ask(actor), tenant.room, &input).await
    };
    assert_eq!(code(invites(&tenant.host, "staff 1").await), "EXTERNAL_ID_TAKEN");

    // Who may change the account may; and a patient, who has none, is the same person on each visit.
    assert_eq!(code(invites(&tenant.owner, "staff 1").await), "OK");
    assert_eq!(code(invites(&tenant.host, "patient 4711").await), "OK");
    assert_eq!(code(invites(&tenant.host, "patient 4711").await), "OK");
    assert_eq!(code(app.create_user(&world.ask(&unit_admin), &in_unit(external("pat", "patient 4711"))).await), "OK");
    assert_eq!(
        code(invites(&tenant.host, "patient 4711").await),
        "EXTERNAL_ID_TAKEN",
        "now they come by their account"
    );

    // A retry finds the account that it made itself.
    let retry = || world.ask_once(&unit_admin, "key", "the same input");
    let first = app.create_user(&retry(), &in_unit(external("quinn", "patient 4712"))).await.unwrap().0;
    assert_eq!(app.create_user(&retry(), &in_unit(external("quinn", "patient 4712"))).await.unwrap().0, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_moved_only_to_where_the_mover_makes_hosts() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let owner = || world.ask(&tenant.owner);
    let (there, _) = app.create_room(&owner(), tenant.unit, &room("second", Some(tenant.host_id))).await.unwrap();
    let (member, mover) = account(&world, &tenant, "mover", AccountRole::Member).await;
    let (friend, moved) = account(&world, &tenant, "friend", AccountRole::Member).await;
    for (room, user, role) in [
        (tenant.room, mover, SessionRole::Host),
        (tenant.room, moved, SessionRole::Host),
        (there, mover, SessionRole::CoHost),
    ] {
        app.add_room_person(&owner(), room, user, role).await.unwrap();
    }
    let from = world.opens(&tenant).await;
    let (to, _) = app.open_session(&world.ask(&tenant.host), there, &OpeningInput::default()).await.unwrap();
    let joins = async |actor: &Actor, session| {
        let ticket = app.create_join_token(&world.ask(actor), Door::Session(session), None).await.unwrap();
        let request = world.ask(&Actor::Anonymous);
        app.join_by_token(&request, &ticket.token, &called("Robin")).await.unwrap().participant
    };
    joins(&member, to).await;
    joins(&member, from).await;
    let friend = joins(&friend, from).await;
    let moves = async || code(app.move_participant(&world.ask(&member), from, friend, to).await);
    assert_eq!(moves().await, "FORBIDDEN", "a host here would be one there, where the mover makes none");
    let role = SessionRole::Participant;
    app.change_participant_role(&world.ask(&member), from, friend, role).await.unwrap();
    assert_eq!(moves().await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_made_by_another_ends_with_its_user_s_promotion() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (integrator, _) = account(&world, &tenant, "integrator", AccountRole::Integrator).await;
    let (member, id) = account(&world, &tenant, "member", AccountRole::Member).await;
    let key = |user| NewApiKey { name: "a script".into(), scopes: Vec::new(), expires_at: None, user };
    let by_another = app.create_api_key(&world.ask(&integrator), &key(id)).await.unwrap().text;
    let by_owner = app.create_api_key(&world.ask(&tenant.owner), &key(id)).await.unwrap().text;
    let good = async |text: &str| app.authenticate(Some(text)).await.unwrap().is_some();
    app.grant_role(&world.ask(&tenant.owner), id, AccountRole::Host, RoleScope::Organization, None).await.unwrap();
    world.settle(&running).await;
    assert!(good(&by_another).await, "the integrator may make a key for a host too");

    app.grant_role(&world.ask(&tenant.owner), id, AccountRole::Admin, RoleScope::Organization, None).await.unwrap();
    world.settle(&running).await;
    assert!(!good(&by_another).await);
    assert!(good(&by_owner).await);
    assert_eq!(code(app.create_api_key(&world.ask(&integrator), &key(id)).await), "FORBIDDEN");
    let own = app.create_api_key(&world.ask(&member), &key(id)).await.unwrap().text;
    app.grant_role(&world.ask(&tenant.owner), id, AccountRole::Owner, RoleScope::Organization, None).await.unwrap();
    world.settle(&running).await;
    assert!(good(&own).await, "one's own stays");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_ends_makes_none_that_goes_on() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let end = world.clock.now().plus_seconds(3_600);
    let key = |expires_at| NewApiKey { name: "a script".into(), scopes: Vec::new(), expires_at, user: tenant.owner_id };
    let short = app.create_api_key(&world.ask(&tenant.owner), &key(Some(end))).await.unwrap();
    let by_key = Actor::User { organization: tenant.organization, user: tenant.owner_id, key: Some(short.key) };
    for longer in [None, Some(end.plus_seconds(1))] {
        match app.create_api_key(&world.ask(&by_key), &key(longer)).await {
            Err(Error::Rejected { code, field, .. }) => {
                assert_eq!((code, field.as_deref()), ("INVALID_INPUT", Some("expiresAt")));
            }
            other => panic!("{}", code(other)),
        }
    }
    assert_eq!(code(app.create_api_key(&world.ask(&by_key), &key(Some(end))).await), "OK");
}

/// By whatever else is answered they would tell which ids there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_answered_as_an_invitation_that_is_not_there() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (one, other) = (world.invites(&tenant, "Pat").await, world.invites(&tenant, "Quinn").await);
    let refusal = async |invitation| {
        let request = world.ask(&Actor::Anonymous);
        match app.exchange_invitation(&request, invitation, &other.secret).await {
            Err(Error::Rejected { code, field, message }) => (code, field, message),
            done => panic!("{}", code(done.map(|_| ()))),
        }
    };
    let unknown = refusal(witan_domain::InvitationId(99)).await;
    assert_eq!(unknown.0, "INVITATION_NOT_FOUND");
    assert_eq!(refusal(one.invitation).await, unknown);
    app.revoke_invitation(&world.ask(&tenant.host), one.invitation).await.unwrap();
    assert_eq!(refusal(one.invitation).await, unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_to_one_room_is_no_right_to_another() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let other = room("second", Some(tenant.host_id));
    let (other, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &other).await.unwrap();
    let knocks = async |room| {
        let input = world.invitation("Pat");
        let invitation = app.create_invitation(&world.ask(&tenant.host), room, &input).await.unwrap().outcome.state;
        let facts = invitation.facts().unwrap();
        // As if a token had been signed for it.
        let claims = JoinToken {
            id: TokenId(app.sources.ulid()),
            organization: tenant.organization,
            session,
            person: facts.details.person,
            user: None,
            invitation: Some(facts.invitation),
            password: None,
            role: facts.details.role,
            lobby: true,
            moved: false,
        };
        let ticket = app.ticket(claims).unwrap();
        code(app.knock(&world.ask(&Actor::Anonymous), &ticket.token, &called("Pat")).await)
    };
    assert_eq!(knocks(tenant.room).await, "OK");
    assert_eq!(knocks(other).await, "JOIN_TOKEN_INVALID");
}

/// A patient's external id may read like a record's id: they are two people all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_no_person_whose_external_id_reads_alike() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let opening = OpeningInput { record_id: Some("4711".into()), ..OpeningInput::default() };
    let (session, _) = app.open_session(&world.ask(&tenant.host), tenant.room, &opening).await.unwrap();
    let record = world.session(&tenant, session).record.unwrap().person;
    for external_id in ["4711", "record 4711"] {
        let input = InvitationInput { external_id: Some(external_id.into()), ..world.invitation("Pat") };
        let made = app.create_invitation(&world.ask(&tenant.host), tenant.room, &input).await.unwrap();
        assert_ne!(made.outcome.state.facts().unwrap().details.person, record, "{external_id}");
    }
}
