//! The main use cases, one after the other, as a consultation goes.

use std::sync::Arc;

use witan_domain::{
    AccountRole, Actor, Aggregate, RoleScope,
    chat::Chat,
    participant::{MediaSource, ParticipantState},
    person::Ground,
    session::{EndReason, Session, SessionStatus},
    user::User,
};
use witan_media::FakeMedia;

use crate::{
    history::{Moment, Part},
    opening::OpeningInput,
    sessions::Reason,
    testing::*,
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consultation() {
    let media = Arc::new(FakeMedia::new());
    let world = World::with_media(media.clone());
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);

    let input = OpeningInput { record_id: Some("4711".into()), ..OpeningInput::default() };
    let (session, opened) = app.open_session(&world.ask(&tenant.host), tenant.room, &input).await.unwrap();
    let record = opened.state.record().unwrap();
    assert_eq!(record.status, SessionStatus::Ready, "media was made ready in the same step");
    assert!(media.session(session).is_some());
    let room = app.room_state(tenant.organization, tenant.room).unwrap();
    assert_eq!(room.facts().unwrap().live_session, Some(session));
    assert_eq!(code(app.open_session(&world.ask(&tenant.host), tenant.room, &input).await), "SESSION_LIVE");

    world.clock.pass(10);
    let (patient, entered) = world.knocks(&tenant, "Pat").await;
    assert_eq!(world.session(&tenant, session).status, SessionStatus::Waiting);
    assert_eq!(code(app.join_by_admission(&world.ask(&patient), session).await), "PARTICIPANT_NOT_ADMITTED");
    assert_eq!(app.own_state(&patient).unwrap(), Some(ParticipantState::Knocking));
    assert_eq!(app.own_state(&tenant.host).unwrap(), None);
    let knocked_at = world.clock.now();
    world.clock.pass(10);
    let (host, host_entered) = world.host_joins(&tenant, session).await;
    assert_eq!(world.session(&tenant, session).status, SessionStatus::InProgress);
    assert_eq!(code(app.admit_participant(&world.ask(&patient), session, entered.participant).await), "FORBIDDEN");
    app.admit_participant(&world.ask(&host), session, entered.participant).await.unwrap();
    assert_eq!(app.own_state(&patient).unwrap(), Some(ParticipantState::Admitted));
    app.join_by_admission(&world.ask(&patient), session).await.unwrap();
    assert_eq!(world.session(&tenant, session).present_count, 2);

    app.mute_participant(&world.ask(&host), session, entered.participant, MediaSource::Microphone).await.unwrap();
    let (message, said) = app.send_message(&world.ask(&patient), session, "Good morning").await.unwrap();
    assert!(said.position.is_some());
    app.remove_message(&world.ask(&host), session, message).await.unwrap();

    app.connection_opened(&patient);
    app.connection_closed(&patient);
    let stands = |state| world.session(&tenant, session).participant(entered.participant).unwrap().state == state;
    world.until("the patient drops", || stands(ParticipantState::Reconnecting)).await;
    app.resume_participation(&world.ask(&patient), session).await.unwrap();
    assert!(stands(ParticipantState::Joined));
    let both_in = Moment::Position(world.newest());

    let reason = Some(Reason("Shouts".into()));
    app.remove_participant(&world.ask(&host), session, entered.participant, true, reason).await.unwrap();
    let ended = app.end_session(&world.ask(&host), session).await.unwrap();
    let finish = ended.state.record().unwrap().finish.unwrap();
    assert_eq!(finish.reason, EndReason::EndedByHost);
    assert_eq!(code(app.send_message(&world.ask(&host), session, "Hello?").await), "FORBIDDEN");
    world.settle(&running).await;
    assert_eq!(media.session(session), None, "media was closed");
    let room = app.room_state(tenant.organization, tenant.room).unwrap();
    assert_eq!(room.facts().unwrap().live_session, None, "the room is free again");

    assert_eq!(
        world.kinds(&Session::stream(session)),
        [
            "SessionPrepared",
            "SessionReady",
            "ParticipantKnocked",
            "ParticipantJoined",
            "ParticipantAdmitted",
            "ParticipantJoined",
            "ParticipantMuted",
            "ParticipantDropped",
            "ParticipantReconnected",
            "ParticipantRemoved",
            "ParticipantLeft",
            "SessionEnded",
        ]
    );
    assert_eq!(world.kinds(&Chat::stream(session)), ["MessageSent", "MessageRemoved"]);

    let as_of = async |moment| app.session_as_of(&world.ask(&tenant.host), session, moment).await.unwrap().state;
    let state = as_of(Moment::Time(knocked_at)).await;
    let record = state.live().unwrap();
    assert_eq!((record.status, record.waiting_count, record.present_count), (SessionStatus::Waiting, 1, 0));
    let state = as_of(both_in).await;
    let record = state.live().unwrap();
    assert_eq!((record.status, record.present_count), (SessionStatus::InProgress, 2));
    let state = as_of(Moment::Time(world.clock.now())).await;
    assert_eq!(state, *app.session_state(tenant.organization, session).unwrap());
    assert_eq!(as_of(Moment::Position(Position(1))).await, Default::default(), "before it was");
    let _ = host_entered;
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_reveal_and_hide() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (patient, _) = world.is_let_in(&tenant, &host, "Pat").await;
    let ask = world.ask(&tenant.host);
    let (first, more) = app.session_history(&ask, session, Part::Session, 0, Direction::Forward, 3).await.unwrap();
    assert_eq!((first.len(), more), (3, true));
    let (all, more) = app.session_history(&ask, session, Part::Session, 0, Direction::Forward, 100).await.unwrap();
    assert!(!more && all[..3] == first[..]);
    let knock = all.iter().find(|event| event.kind == "ParticipantKnocked").unwrap();
    assert_eq!(knock.data["arrival"]["display_name"]["value"], "Pat");
    let text = serde_json::to_string(&all.iter().map(|event| &event.data).collect::<Vec<_>>()).unwrap();
    assert!(!text.contains("secret") && !text.contains("ciphertext"), "{text}");
    assert_eq!(
        code(app.session_history(&world.ask(&patient), session, Part::Session, 0, Direction::Forward, 3).await),
        "FORBIDDEN"
    );
    app.event_at(&ask, knock.position).await.unwrap();
    assert_eq!(code(app.event_at(&ask, Position(1)).await), "NOT_FOUND", "the deployment's own event");
    assert_eq!(code(app.event_at(&ask, Position(10_000)).await), "NOT_FOUND");
    assert_eq!(code(app.read_chat(&ask, session).await), "OK", "the account took part");
    assert_eq!(code(app.read_chat(&world.ask(&tenant.owner), session).await), "FORBIDDEN", "no role opens content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erase_person() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (patient, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    app.send_message(&world.ask(&patient), session, "It hurts").await.unwrap();
    let there = world.session(&tenant, session).participant(entered.participant).unwrap().clone();
    let person = there.person;
    let erase = async |person| app.erase_person(&world.ask(&tenant.owner), person, Ground::Request).await;
    assert_eq!(code(erase(person).await), "FORBIDDEN", "only a privacy officer");
    let (role, scope) = (AccountRole::PrivacyOfficer, RoleScope::Organization);
    app.grant_role(&world.ask(&tenant.owner), tenant.owner_id, role, scope, None).await.unwrap();
    assert_eq!(code(erase(person).await), "PERSON_IN_LIVE_SESSION");
    app.end_session(&world.ask(&host), session).await.unwrap();
    let doctor = app.user_state(tenant.organization, tenant.host_id).unwrap();
    assert_eq!(code(erase(doctor.facts().unwrap().person).await), "USER_ACTIVE");
    assert_eq!(code(erase(PersonId(12_345)).await), "PERSON_NOT_FOUND");
    // Whoever follows the session is shown the same events, and one knock as it is now.
    let knocked = async || {
        let mut feed = app.session_events(&world.ask(&tenant.host), session, Some(Position(0))).await.unwrap();
        loop {
            let event = feed.next(app).await.unwrap();
            if event.kind == "ParticipantKnocked" {
                return event.data["arrival"]["display_name"]["value"].clone();
            }
        }
    };
    assert_eq!((knocked().await, knocked().await), ("Pat".into(), "Pat".into()));
    erase(person).await.unwrap();
    assert!(knocked().await.is_null());
    assert_eq!(erase(person).await.unwrap().position, None, "a second time nothing is left to do");

    let stream = Session::stream(session);
    assert_eq!(app.reveal(tenant.organization, &stream, "display_name", &there.display_name).unwrap(), None);
    let ask = world.ask(&tenant.host);
    let (events, _) = app.session_history(&ask, session, Part::Session, 0, Direction::Forward, 100).await.unwrap();
    let knock = events.iter().find(|event| event.kind == "ParticipantKnocked").unwrap();
    assert_eq!(knock.data["arrival"]["display_name"]["erased"], true);
    assert!(knock.data["arrival"]["display_name"]["value"].is_null());
    let chat = world.store.read_stream(&Chat::stream(session), 0, Direction::Forward, 10).unwrap();
    use witan_event_store::EventStore;
    let message = app.reveal_event(tenant.organization, &chat[0]).unwrap();
    assert_eq!(message.data["text"]["erased"], true);
    let host_joined = events.iter().find(|event| event.kind == "ParticipantJoined").unwrap();
    assert_eq!(host_joined.data["arrival"]["display_name"]["value"], "Anna", "others stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_acts_as_its_user_while_it_is_good() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let known = app.authenticate(Some(&tenant.key)).await.unwrap().expect("the first key is good");
    assert_eq!(known.actor.organization(), Some(tenant.organization));
    assert!(app.still_stands(&known).await);
    assert_eq!(app.authenticate(Some("witan_nothing")).await.unwrap(), None);
    assert_eq!(app.authenticate(None).await.unwrap().unwrap().actor, Actor::Anonymous);
    let Actor::User { key: Some(key), .. } = known.actor else { panic!("a key acts as a user") };
    app.revoke_api_key(&world.ask(&tenant.owner), key).await.unwrap();
    assert_eq!(app.authenticate(Some(&tenant.key)).await.unwrap(), None);
    assert!(!app.still_stands(&known).await, "an open connection ends with its key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_login_and_a_freed_one() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = || world.ask(&tenant.owner);
    assert_eq!(code(app.create_user(&ask(), &user("ANNA")).await), "LOGIN_TAKEN");
    let (ben, _) = app.create_user(&ask(), &user("ben")).await.unwrap();
    assert_eq!(code(app.update_user(&ask(), ben, &user("anna")).await), "LOGIN_TAKEN");
    app.update_user(&ask(), ben, &user("benjamin")).await.unwrap();
    app.create_user(&ask(), &user("ben")).await.unwrap();
    assert_eq!(code(app.create_user(&ask(), &user("benjamin")).await), "LOGIN_TAKEN");
    assert_eq!(world.kinds(&User::stream(ben)), ["UserCreated", "UserUpdated"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_more_is_recorded_of_an_erased_user() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let ask = || world.ask(&tenant.owner);
    let (role, scope) = (AccountRole::PrivacyOfficer, RoleScope::Organization);
    app.grant_role(&ask(), tenant.owner_id, role, scope, None).await.unwrap();
    let (ben, made) = app.create_user(&ask(), &user("ben")).await.unwrap();
    app.deactivate_user(&ask(), ben).await.unwrap();
    app.erase_person(&ask(), made.state.facts().unwrap().person, Ground::Request).await.unwrap();
    assert_eq!(code(app.update_user(&ask(), ben, &user("benjamin")).await), "PERSON_ERASED");
    assert_eq!(code(app.create_user(&ask(), &user("benjamin")).await), "OK", "the login is free");
}
