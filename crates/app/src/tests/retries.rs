//! The same request again: the same answer, the same secrets, nothing recorded twice.

use witan_auth::{Scope, Scopes};
use witan_domain::{Actor, RoomId, room::OpenSession, session::Opener};

use crate::{
    api_keys::NewApiKey, join_tokens::Door, opening::OpeningInput, organizations::OrganizationInput, testing::*, *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gets_the_same_answer_and_records_nothing() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = |key: &str| world.ask_once(&tenant.host, key, "the same input");

    let first = app.create_invitation(&ask("invite"), tenant.room, &world.invitation("Pat")).await.unwrap();
    let before = world.newest();
    let again = app.create_invitation(&ask("invite"), tenant.room, &world.invitation("Pat")).await.unwrap();
    assert_eq!((first.invitation, &first.secret), (again.invitation, &again.secret));
    assert_eq!(first.outcome.position, again.outcome.position);

    let new = NewApiKey { name: "a script".into(), scopes: Vec::new(), expires_at: None, user: tenant.owner_id };
    let owner = || world.ask_once(&tenant.owner, "key", "the same input");
    let first_key = app.create_api_key(&owner(), &new).await.unwrap();
    let again_key = app.create_api_key(&owner(), &new).await.unwrap();
    assert_eq!((first_key.key, &first_key.text), (again_key.key, &again_key.text));
    assert!(app.authenticate(Some(&again_key.text)).await.unwrap().is_some());

    let opening = OpeningInput::default();
    let (session, opened) = app.open_session(&ask("open"), tenant.room, &opening).await.unwrap();
    let newest = world.newest();
    let (same, _) = app.open_session(&ask("open"), tenant.room, &opening).await.unwrap();
    assert_eq!((session, newest), (same, world.newest()));
    assert!(opened.position.is_some() && before < newest);

    let request = || world.ask_once(&Actor::Anonymous, "exchange", "the same input");
    let ticket = app.exchange_invitation(&request(), first.invitation, &first.secret).await.unwrap();
    let same = app.exchange_invitation(&request(), first.invitation, &first.secret).await.unwrap();
    assert_eq!((&ticket.token, &ticket.claims), (&same.token, &same.claims));
    let request = || world.ask_once(&Actor::Anonymous, "knock", "the same input");
    let entered = app.knock(&request(), &ticket.token, &called("Pat")).await.unwrap();
    let newest = world.newest();
    let same = app.knock(&request(), &ticket.token, &called("Pat")).await.unwrap();
    assert_eq!((entered.participant, &entered.resume_secret), (same.participant, &same.resume_secret));
    assert_eq!((entered.outcome.position, newest), (same.outcome.position, world.newest()));
}

/// With media the second step has a third: a late retry must not take it for a session that is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_is_answered_again_after_the_session_has_ended() {
    let media = std::sync::Arc::new(witan_media::FakeMedia::new());
    let world = World::with_media(media.clone());
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let opens = async || {
        let request = world.ask_once(&tenant.host, "open", "the same input");
        let (session, outcome) = app.open_session(&request, tenant.room, &OpeningInput::default()).await.unwrap();
        (session, outcome.position)
    };
    let first = opens().await;
    app.end_session(&world.ask(&tenant.host), first.0).await.unwrap();
    assert_eq!(opens().await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_used_for_something_else_is_refused_and_harms_nothing() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = |key: &str, input: &str| world.ask_once(&tenant.owner, key, input);
    let reused = "IDEMPOTENCY_KEY_REUSED";

    app.create_room(&ask("room", "one"), tenant.unit, &room("one", None)).await.unwrap();
    let mut other = room("one", None);
    other.name = "Another name".into();
    assert_eq!(code(app.create_room(&ask("room", "two"), tenant.unit, &other).await), reused);
    assert_eq!(code(app.create_room(&ask("room", "three"), tenant.unit, &room("two", None)).await), reused);
    let owner = world.ask(&tenant.owner);
    assert_eq!(code(app.create_room(&owner, tenant.unit, &room("one", None)).await), "SLUG_TAKEN", "it is still held");
    assert_eq!(code(app.create_room(&owner, tenant.unit, &room("two", None)).await), "OK", "this one was never");

    app.create_user(&ask("user", "ben"), &user("ben")).await.unwrap();
    assert_eq!(code(app.create_user(&ask("user", "carl"), &user("carl")).await), reused);
    let mut other = user("ben");
    other.name = "Benjamin".into();
    assert_eq!(code(app.create_user(&ask("user", "benjamin"), &other).await), reused);
    assert_eq!(code(app.create_user(&owner, &user("ben")).await), "LOGIN_TAKEN");
    assert_eq!(code(app.create_user(&owner, &user("carl")).await), "OK");

    app.create_invitation(&ask("invite", "one"), tenant.room, &world.invitation("Pat")).await.unwrap();
    let again = app.create_invitation(&ask("invite", "two"), tenant.room, &world.invitation("Quinn")).await;
    assert_eq!(code(again), reused);
    app.disable_room(&ask("room settings", "one"), tenant.room).await.unwrap();
    assert_eq!(code(app.enable_room(&ask("room settings", "two"), tenant.room).await), reused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_retry_takes_nothing_back() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = |key: &str| world.ask_once(&tenant.owner, key, key);
    let (id, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &room("one", None)).await.unwrap();
    app.update_room(&ask("to two"), id, &room("two", None)).await.unwrap();
    app.update_room(&ask("to three"), id, &room("three", None)).await.unwrap();
    app.update_room(&ask("to two"), id, &room("two", None)).await.unwrap();
    let slug = app.room_state(tenant.organization, id).unwrap().facts().unwrap().details.slug;
    assert_eq!(slug.as_str(), "three");
    let create = async |slug| code(app.create_room(&world.ask(&tenant.owner), tenant.unit, &room(slug, None)).await);
    assert_eq!(create("three").await, "SLUG_TAKEN", "the room still has it");
    assert_eq!(create("two").await, "OK");
    assert_eq!(create("one").await, "OK");
}

/// The names that a request took may be another's when it comes again: it is answered all the same, and takes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_retry_is_answered_though_its_name_is_another_s_by_now() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let once = |key: &str| world.ask_once(&tenant.owner, key, key);
    let owner = || world.ask(&tenant.owner);

    let creates = async || app.create_room(&once("room"), tenant.unit, &room("one", None)).await.unwrap();
    let (id, created) = creates().await;
    let renames = async || app.update_room(&once("to two"), id, &room("two", None)).await.unwrap().position;
    let renamed = renames().await;
    app.update_room(&owner(), id, &room("three", None)).await.unwrap();
    for slug in ["one", "two"] {
        app.create_room(&owner(), tenant.unit, &room(slug, None)).await.unwrap();
    }
    for archived in [false, true] {
        if archived {
            app.archive_room(&owner(), id).await.unwrap();
        }
        let newest = world.newest();
        let (same, again) = creates().await;
        assert_eq!((same, again.position, renames().await), (id, created.position, renamed));
        assert_eq!(newest, world.newest());
    }

    let creates = async || app.create_user(&once("user"), &user("ben")).await.unwrap();
    let (ben, created) = creates().await;
    let renames = async || app.update_user(&once("to benjamin"), ben, &user("benjamin")).await.unwrap().position;
    let renamed = renames().await;
    app.update_user(&owner(), ben, &user("benny")).await.unwrap();
    let (other, _) = app.create_user(&owner(), &user("ben")).await.unwrap();
    app.create_user(&owner(), &user("benjamin")).await.unwrap();
    let newest = world.newest();
    let (same, again) = creates().await;
    assert_eq!((same, again.position, renames().await), (ben, created.position, renamed));
    assert_eq!(newest, world.newest());
    assert_ne!(ben, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_is_answered_again_though_its_slug_is_another_s_by_now() {
    let world = World::new();
    let input = |slug: &str| OrganizationInput { slug: slug.into(), full_name: "A court".into(), ..Default::default() };
    let operator = || world.ask_once(&Actor::Operator, "create", "court");
    let creates = async || world.app.create_organization(&operator(), &input("court"), &user("owner")).await.unwrap();
    let first = creates().await;
    let owner = Actor::User { organization: first.organization, user: first.owner, key: None };
    let renames = async || {
        let request = world.ask_once(&owner, "rename", "tribunal");
        world.app.update_organization(&request, &input("tribunal")).await.unwrap().position
    };
    let renamed = renames().await;
    world.app.update_organization(&world.ask(&owner), &input("high-court")).await.unwrap();
    world.app.update_user(&world.ask(&owner), first.owner, &user("judge")).await.unwrap();
    world.app.create_user(&world.ask(&owner), &user("owner")).await.unwrap();
    world.founds("court").await;
    world.founds("tribunal").await;

    let newest = world.newest();
    let again = creates().await;
    assert_eq!((again.organization, again.owner, &again.api_key), (first.organization, first.owner, &first.api_key));
    assert_eq!((again.outcome.position, renames().await), (first.outcome.position, renamed));
    assert_eq!(newest, world.newest());
}

/// What the steps of a process look at may be gone when it is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_retry_is_answered_though_what_it_needed_is_gone() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = |key: &str| world.ask_once(&tenant.host, key, key);
    let other = room("other", Some(tenant.host_id));
    let (other, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &other).await.unwrap();
    let from = world.opens(&tenant).await;
    let opens = async || app.open_session(&ask("open"), other, &OpeningInput::default()).await.unwrap();
    let (to, opened) = opens().await;
    let (host, _) = world.host_joins(&tenant, from).await;
    let (_, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let moves = async || app.move_participant(&ask("move"), from, entered.participant, to).await.unwrap().position;
    let moved = moves().await;
    app.end_session(&world.ask(&tenant.owner), to).await.unwrap();
    assert_eq!(moves().await, moved);

    app.disable_room(&world.ask(&tenant.owner), other).await.unwrap();
    app.deactivate_user(&world.ask(&tenant.owner), tenant.host_id).await.unwrap();
    let (same, again) = opens().await;
    assert_eq!((same, again.position), (to, opened.position));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_may_choose_the_same_key() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let request = || world.ask_once(&Actor::Anonymous, "1", "the same words");
    let mut entered = Vec::new();
    for name in ["Pat", "Quinn"] {
        let invitation = world.invites(&tenant, name).await;
        let ticket = app.exchange_invitation(&request(), invitation.invitation, &invitation.secret).await.unwrap();
        entered.push(app.knock(&request(), &ticket.token, &called(name)).await.unwrap());
    }
    assert_ne!(entered[0].participant, entered[1].participant);
    assert_ne!(entered[0].resume_secret, entered[1].resume_secret);
    assert_eq!(world.session(&tenant, session).waiting_count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expected_version_that_is_not_the_stream_s() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let version = app.disable_room(&world.ask(&tenant.host), tenant.room).await.unwrap().version.unwrap();
    let result = app.enable_room(&world.ask_at(&tenant.host, version - 1), tenant.room).await;
    match result {
        Err(Error::VersionConflict { expected, actual }) => {
            assert_eq!((expected, actual), (version - 1, i64::try_from(version).unwrap()));
        }
        other => panic!("{}", code(other)),
    }
    let outcome = app.enable_room(&world.ask_at(&tenant.host, version), tenant.room).await.unwrap();
    assert_eq!(outcome.version, Some(version + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_faster_makes_others_decide_anew() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let mut tasks = Vec::new();
    for number in 0..40 {
        let (app, request, unit) = (app.clone(), world.ask(&tenant.owner), tenant.unit);
        // All want the same slug: one gets it.
        tasks.push(tokio::spawn(async move {
            let slug = format!("room-{}", number % 4);
            code(app.create_room(&request, unit, &room(&slug, None)).await)
        }));
    }
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap());
    }
    assert_eq!(codes.iter().filter(|code| **code == "OK").count(), 4, "{codes:?}");
    assert!(codes.iter().all(|code| ["OK", "SLUG_TAKEN"].contains(code)), "{codes:?}");
}

/// Whoever comes by a key that leads only so far.
fn limited(request: Request, scopes: &[Scope]) -> Request {
    Request { scopes: Some(Scopes::new(scopes.iter().copied())), ..request }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_by_a_key_that_leads_to_less_is_refused() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = || world.ask_once(&tenant.owner, "room", "one");
    app.disable_room(&ask(), tenant.room).await.unwrap();
    let narrow = app.disable_room(&limited(ask(), &[Scope::UsersRead]), tenant.room).await;
    assert_eq!(code(narrow), "FORBIDDEN");
    assert_eq!(code(app.disable_room(&limited(ask(), &[Scope::RoomsWrite]), tenant.room).await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_told_again_only_to_who_could_make_it_now() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let (admin, organization) = (witan_domain::AccountRole::Admin, witan_domain::RoleScope::Organization);
    app.grant_role(&world.ask(&tenant.owner), tenant.host_id, admin, organization, None).await.unwrap();
    let new = NewApiKey { name: "a script".into(), scopes: Vec::new(), expires_at: None, user: tenant.host_id };
    let ask = || world.ask_once(&tenant.host, "key", "the same");
    app.create_api_key(&ask(), &new).await.unwrap();
    assert_eq!(code(app.create_api_key(&ask(), &new).await), "OK");
    app.revoke_role(&world.ask(&tenant.owner), tenant.host_id, admin, organization).await.unwrap();
    assert_eq!(code(app.create_api_key(&ask(), &new).await), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_key_makes_no_join_token_that_leads_further() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let ask = |scopes: &[Scope]| limited(world.ask(&tenant.host), scopes);
    match app.create_join_token(&ask(&[Scope::SessionsWrite]), Door::Session(session), None).await {
        Err(Error::Rejected { code: "KEY_SCOPES_TOO_NARROW", message, .. }) => {
            for scope in ["sessions:read", "sessions:write", "content:read", "content:write", "audit:read"] {
                assert!(message.contains(scope), "{message}");
            }
            assert!(!message.contains("users"), "{message}");
        }
        other => panic!("{}", code(other)),
    }
    assert_eq!(code(app.create_join_token(&ask(&[Scope::RoomsRead]), Door::Session(session), None).await), "FORBIDDEN");
    use Scope::{AuditRead, ContentRead, ContentWrite, SessionsRead, SessionsWrite};
    let all = [SessionsRead, SessionsWrite, ContentRead, ContentWrite, AuditRead];
    assert_eq!(code(app.create_join_token(&ask(&all), Door::Session(session), None).await), "OK");
    assert_eq!(code(app.create_join_token(&ask(&[]), Door::Session(session), None).await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_request_can_t_be_guessed() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let request = world.ask_once(&tenant.owner, "key", "ben@example.org");
    let hash = crate::sources::sha256_hex(b"ben@example.org");
    let kept = request.idempotency.clone().unwrap();
    assert_ne!(kept.input, hash);
    let (organization, owner) = (tenant.organization, tenant.owner_id);
    assert_ne!(kept.key, crate::sources::sha256_hex(format!("{organization}/{owner}\0key").as_bytes()));
    app.create_user(&request, &user("ben")).await.unwrap();
    let all = world.all();
    let metadata = |event: &witan_event_store::Recorded| String::from_utf8(event.envelope.metadata().to_vec()).unwrap();
    assert!(all.iter().any(|event| metadata(event).contains(&kept.input)));
    assert!(all.iter().all(|event| !metadata(event).contains(&hash)));
}

/// A key names one thing: it must not bind one room to the session of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_opened_one_room_opens_no_other() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let other = room("second", Some(tenant.host_id));
    let (other, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &other).await.unwrap();
    let opens = async |room: RoomId| {
        let request = world.ask_once(&tenant.host, "open", &format!("open {room}"));
        app.open_session(&request, room, &OpeningInput::default()).await.map(|(session, _)| session)
    };
    let session = opens(tenant.room).await.unwrap();
    let newest = world.newest();
    assert_eq!(code(opens(other).await), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.newest(), newest, "nothing is recorded");
    assert_eq!(opens(tenant.room).await.unwrap(), session);
}

/// The same when both come at once, and the second finds out only at its second step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_lets_go_of_a_session_that_is_another_s() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let other = room("second", Some(tenant.host_id));
    let (other, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &other).await.unwrap();
    let session = world.opens(&tenant).await;
    // As the second room would be told of it.
    let told = world.app.room_state(tenant.organization, other).unwrap().facts().unwrap().clone();
    let request = world.ask(&tenant.owner);
    let task = app.begin_room(&request, other, witan_auth::Operation::OpenSession).await.unwrap();
    let command = OpenSession {
        session,
        organization_active: true,
        settings: app.room_settings(&told).unwrap(),
        opened_by: Opener::User(tenant.host_id),
        record: None,
        continues: None,
        now: world.clock.now(),
    };
    task.finish(&command.into()).await.unwrap();
    let invitation = app.create_invitation(&world.ask(&tenant.host), other, &world.invitation("Pat")).await.unwrap();
    let request = world.ask(&Actor::Anonymous);
    let exchanged = app.exchange_invitation(&request, invitation.invitation, &invitation.secret).await;
    assert_eq!(code(exchanged), "NO_LIVE_SESSION", "an invitation leads into its own room's session only");
    let running = world.reacts();
    let live = || app.room_state(tenant.organization, other).unwrap().facts().unwrap().live_session;
    world.until("the room lets go of it", || live().is_none()).await;
    world.settle(&running).await;
    assert!(app.session_state(tenant.organization, session).unwrap().live().is_some(), "whose it is keeps it");
    world.stop(running).await;
}
