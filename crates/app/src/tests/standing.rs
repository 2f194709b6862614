//! What was taken away is gone: by deactivating, revoking, removing, banning; and what was given goes where it should.

use witan_domain::{
    Actor, ParticipantId, SessionId, SessionRole,
    participant::{LeaveReason, MediaSource, ParticipantState, ParticipantStep},
    settings::SettingValue,
};

use crate::{
    entry::Entered, invitations::CreatedInvitation, opening::OpeningInput, presence::UNHEARD_SECONDS_MAX, testing::*, *,
};

/// Comes by an invitation once more: with a new join token, straight in.
async fn joins_again(world: &World, invitation: &CreatedInvitation) -> Result<Entered, Error> {
    let request = || world.ask(&Actor::Anonymous);
    let app = &world.app;
    let ticket = app.exchange_invitation(&request(), invitation.invitation, &invitation.secret).await?;
    app.join_by_token(&request(), &ticket.token, &called("Pat")).await
}

/// An invitee who was admitted and is in.
async fn invited_and_in(world: &World, tenant: &Tenant, host: &Actor) -> (CreatedInvitation, Actor, Entered) {
    let invitation = world.invites(tenant, "Pat").await;
    let request = || world.ask(&Actor::Anonymous);
    let app = &world.app;
    let ticket = app.exchange_invitation(&request(), invitation.invitation, &invitation.secret).await.unwrap();
    let entered = app.knock(&request(), &ticket.token, &called("Pat")).await.unwrap();
    app.admit_participant(&world.ask(host), entered.session, entered.participant).await.unwrap();
    let pat = world.actor(&entered).await;
    app.join_by_admission(&world.ask(&pat), entered.session).await.unwrap();
    (invitation, pat, entered)
}

fn stands(world: &World, tenant: &Tenant, session: SessionId, participant: ParticipantId) -> ParticipantState {
    world.session(tenant, session).participant(participant).unwrap().state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_in_again_undoes_neither_hold_nor_mute() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (invitation, _, first) = invited_and_in(&world, &tenant, &host).await;
    app.hold_participant(&world.ask(&host), session, first.participant).await.unwrap();
    app.mute_participant(&world.ask(&host), session, first.participant, MediaSource::Microphone).await.unwrap();
    let again = joins_again(&world, &invitation).await.unwrap();
    assert_eq!(stands(&world, &tenant, session, first.participant), ParticipantState::Left);
    assert_eq!(stands(&world, &tenant, session, again.participant), ParticipantState::OnHold);
    assert!(
        world
            .session(&tenant, session)
            .participant(again.participant)
            .unwrap()
            .muted
            .contains(&MediaSource::Microphone)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_account_has_no_resume_secret() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (_, entered) = world.host_joins(&tenant, session).await;
    let (_, guest) = world.knocks(&tenant, "Pat").await;
    let credentials = app.authenticate(Some(&entered.resume_secret)).await.unwrap().unwrap();
    let of_guest = app.authenticate(Some(&guest.resume_secret)).await.unwrap().unwrap();
    assert!(app.still_stands(&credentials).await);
    app.deactivate_user(&world.ask(&tenant.owner), tenant.host_id).await.unwrap();
    assert_eq!(app.authenticate(Some(&entered.resume_secret)).await.unwrap(), None);
    assert!(!app.still_stands(&credentials).await, "nor has an open connection");
    assert!(app.still_stands(&of_guest).await && app.authenticate(Some(&guest.resume_secret)).await.unwrap().is_some());
    app.reactivate_user(&world.ask(&tenant.owner), tenant.host_id).await.unwrap();
    assert!(app.authenticate(Some(&entered.resume_secret)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_token_leads_in_only_while_its_right_stands() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let request = || world.ask(&Actor::Anonymous);
    let join = async |token: &str| code(app.join_by_token(&request(), token, &called("Somebody")).await);

    let invitation = world.invites(&tenant, "Pat").await;
    let ticket = app.exchange_invitation(&request(), invitation.invitation, &invitation.secret).await.unwrap();
    app.revoke_invitation(&world.ask(&tenant.host), invitation.invitation).await.unwrap();
    assert_eq!(code(app.knock(&request(), &ticket.token, &called("Pat")).await), "JOIN_TOKEN_INVALID");

    let (ben, _) = app.create_user(&world.ask(&tenant.owner), &user("ben")).await.unwrap();
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::CoHost).await.unwrap();
    let as_ben = Actor::User { organization: tenant.organization, user: ben, key: None };
    let ticket = async || {
        app.create_join_token(&world.ask(&as_ben), crate::join_tokens::Door::Session(session), None)
            .await
            .unwrap()
            .token
    };
    let (first, second, third) = (ticket().await, ticket().await, ticket().await);
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::Observer).await.unwrap();
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::CoHost).await.unwrap();
    assert_eq!(join(&first).await, "OK");
    app.remove_room_person(&world.ask(&tenant.host), tenant.room, ben).await.unwrap();
    assert_eq!(join(&second).await, "JOIN_TOKEN_INVALID");
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::CoHost).await.unwrap();
    app.deactivate_user(&world.ask(&tenant.owner), ben).await.unwrap();
    assert_eq!(join(&third).await, "JOIN_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_in_a_token_is_the_one_that_the_grant_has_now() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (ben, _) = app.create_user(&world.ask(&tenant.owner), &user("ben")).await.unwrap();
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::CoHost).await.unwrap();
    let as_ben = Actor::User { organization: tenant.organization, user: ben, key: None };
    let ticket =
        app.create_join_token(&world.ask(&as_ben), crate::join_tokens::Door::Session(session), None).await.unwrap();
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::Observer).await.unwrap();
    let request = world.ask(&Actor::Anonymous);
    assert_eq!(code(app.join_by_token(&request, &ticket.token, &called("Ben")).await), "KNOCK_NEEDED");
    let entered = app.knock(&request, &ticket.token, &called("Ben")).await.unwrap();
    let record = world.session(&tenant, session);
    assert_eq!(record.participant(entered.participant).unwrap().role, SessionRole::Observer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_taken_over_has_no_rights() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (laptop, _) = world.host_joins(&tenant, session).await;
    let (phone, _) = world.host_joins(&tenant, session).await;
    assert_eq!(code(app.lock_session(&world.ask(&laptop), session).await), "FORBIDDEN");
    assert_eq!(code(app.leave_session(&world.ask(&laptop), session).await), "FORBIDDEN");
    assert_eq!(code(app.lock_session(&world.ask(&phone), session).await), "OK");
    assert_eq!(code(app.read_chat(&world.ask(&laptop), session).await), "OK", "they are in, and it is theirs to read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_reads_no_more_while_the_session_is_live() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    for ban in [false, true] {
        let session = world.opens(&tenant).await;
        let (host, _) = world.host_joins(&tenant, session).await;
        let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
        assert_eq!(code(app.read_chat(&world.ask(&pat), session).await), "OK");
        app.remove_participant(&world.ask(&host), session, entered.participant, ban, None).await.unwrap();
        assert_eq!(code(app.read_chat(&world.ask(&pat), session).await), "FORBIDDEN");
        assert!(!app.may_still_read(&world.ask(&pat), session, witan_auth::Operation::SessionChanged).await);
        app.end_session(&world.ask(&host), session).await.unwrap();
        assert_eq!(code(app.read_chat(&world.ask(&pat), session).await), "OK", "what they took part in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lobby_that_is_turned_on_holds_for_tokens_that_are_out() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let meeting = crate::rooms::RoomInput {
        purpose: witan_domain::settings::Purpose::Meeting,
        ..room("meetings", Some(tenant.host_id))
    };
    let (room, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &meeting).await.unwrap();
    let settings = vec![SettingValue::Lobby(false)];
    let input = OpeningInput { settings, ..OpeningInput::default() };
    let (session, _) = app.open_session(&world.ask(&tenant.host), room, &input).await.unwrap();
    let (host, _) = world.host_joins(&tenant, session).await;
    let (ben, _) = app.create_user(&world.ask(&tenant.owner), &user("ben")).await.unwrap();
    let as_ben = Actor::User { organization: tenant.organization, user: ben, key: None };
    let ticket =
        app.create_join_token(&world.ask(&as_ben), crate::join_tokens::Door::Session(session), None).await.unwrap();
    assert!(!ticket.claims.lobby);
    app.change_session_setting(&world.ask(&host), session, SettingValue::Lobby(true)).await.unwrap();
    let join = app.join_by_token(&world.ask(&Actor::Anonymous), &ticket.token, &called("Ben")).await;
    assert_eq!(code(join), "KNOCK_NEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_leaves_the_entry_that_is_there() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (_, laptop) = world.host_joins(&tenant, session).await;
    let ticket = app
        .create_join_token(&world.ask(&tenant.host), crate::join_tokens::Door::Session(session), None)
        .await
        .unwrap();
    let phone = app.knock(&world.ask(&Actor::Anonymous), &ticket.token, &called("Anna")).await.unwrap();
    let with_phone = world.actor(&phone).await;
    app.withdraw_knock(&world.ask(&with_phone), session).await.unwrap();
    app.leave_session(&world.ask(&tenant.host), session).await.unwrap();
    assert_eq!(stands(&world, &tenant, session, laptop.participant), ParticipantState::Left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_moved_comes_in_where_they_were_moved_to() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let from = world.opens(&tenant).await;
    let (other_room, _) = app
        .create_room(&world.ask(&tenant.owner), tenant.unit, &room("next-door", Some(tenant.host_id)))
        .await
        .unwrap();
    let input = OpeningInput::default();
    let (to, _) = app.open_session(&world.ask(&tenant.host), other_room, &input).await.unwrap();
    let (host, _) = world.host_joins(&tenant, from).await;
    let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let (quinn, _) = world.is_let_in(&tenant, &host, "Quinn").await;
    assert_eq!(
        code(app.create_join_token(&world.ask(&pat), crate::join_tokens::Door::Session(to), None).await),
        "FORBIDDEN",
        "not yet"
    );
    app.change_participant_role(&world.ask(&host), from, entered.participant, SessionRole::Interpreter).await.unwrap();
    app.move_participant(&world.ask(&tenant.host), from, entered.participant, to).await.unwrap();
    assert_eq!(
        code(app.create_join_token(&world.ask(&quinn), crate::join_tokens::Door::Session(to), None).await),
        "FORBIDDEN",
        "nobody else"
    );
    assert_eq!(
        code(app.create_join_token(&world.ask(&pat), crate::join_tokens::Door::Session(from), None).await),
        "FORBIDDEN",
        "nowhere else"
    );
    let ticket = app.create_join_token(&world.ask(&pat), crate::join_tokens::Door::Session(to), None).await.unwrap();
    assert!(!ticket.claims.lobby);
    let again = app.create_join_token(&world.ask(&pat), crate::join_tokens::Door::Session(to), None).await.unwrap();
    let join = async |token: &str| app.join_by_token(&world.ask(&Actor::Anonymous), token, &called("Pat")).await;
    let there = join(&ticket.token).await.unwrap();
    let record = world.session(&tenant, to);
    let arrived = record.participant(there.participant).unwrap();
    assert_eq!((arrived.state, arrived.role), (ParticipantState::Joined, SessionRole::Interpreter));
    assert_eq!(arrived.person, world.session(&tenant, from).participant(entered.participant).unwrap().person);
    app.remove_participant(&world.ask(&tenant.host), to, there.participant, false, None).await.unwrap();
    assert_eq!(code(join(&again.token).await), "KNOCK_NEEDED", "who was removed there asks there");
    app.end_session(&world.ask(&tenant.host), to).await.unwrap();
    assert_eq!(
        code(app.create_join_token(&world.ask(&pat), crate::join_tokens::Door::Session(to), None).await),
        "SESSION_NOT_LIVE"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_window_opens_one_may_knock_and_no_more() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let meeting = crate::rooms::RoomInput {
        purpose: witan_domain::settings::Purpose::Meeting,
        ..room("meetings", Some(tenant.host_id))
    };
    let (room, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &meeting).await.unwrap();
    let settings = vec![SettingValue::Lobby(false)];
    let input = OpeningInput { settings, ..OpeningInput::default() };
    app.open_session(&world.ask(&tenant.host), room, &input).await.unwrap();
    let mut wanted = world.invitation("Pat");
    wanted.not_before = world.clock.now().plus_seconds(600);
    let invitation = app.create_invitation(&world.ask(&tenant.host), room, &wanted).await.unwrap();
    assert_eq!(code(joins_again(&world, &invitation).await), "KNOCK_NEEDED");
    world.clock.pass(600);
    assert_eq!(code(joins_again(&world, &invitation).await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_connects_is_there_while_they_are_heard_of() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (guest, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let looks = async || {
        app.presence.forget_unheard(world.clock.now());
        app.drop_absent(tenant.organization, session).await;
        stands(&world, &tenant, session, entered.participant)
    };
    assert_eq!(looks().await, ParticipantState::Joined, "they have just come");
    world.clock.pass(UNHEARD_SECONDS_MAX - 1);
    assert_eq!(looks().await, ParticipantState::Joined);
    world.actor(&entered).await;
    world.clock.pass(UNHEARD_SECONDS_MAX - 1);
    assert_eq!(looks().await, ParticipantState::Joined, "they asked for something meanwhile");
    app.connection_opened(&guest);
    world.clock.pass(1);
    assert_eq!(looks().await, ParticipantState::Joined, "they are connected");
    app.connection_closed(&guest);
    assert_eq!(looks().await, ParticipantState::Reconnecting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_one_line() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    world.opens(&tenant).await;
    let invitation = world.invites(&tenant, "Pat").await;
    let request = || world.ask(&Actor::Anonymous);
    let ticket = app.exchange_invitation(&request(), invitation.invitation, &invitation.secret).await.unwrap();
    for name in ["Pat\nDr. Anna (host)", "Pat\tAnna", "Pat \u{202e}tsoh", ""] {
        match app.knock(&request(), &ticket.token, &called(name)).await {
            Err(Error::Rejected { field, .. }) => assert_eq!(field.as_deref(), Some("displayName"), "{name:?}"),
            other => panic!("{name:?}: {}", code(other)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_session_of_the_same_room_is_continued() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let before = world.opens(&tenant).await;
    app.end_session(&world.ask(&tenant.host), before).await.unwrap();
    let (other, _) = app
        .create_room(&world.ask(&tenant.owner), tenant.unit, &room("next-door", Some(tenant.host_id)))
        .await
        .unwrap();
    let input = OpeningInput { continues: Some(before), ..OpeningInput::default() };
    assert_eq!(code(app.open_session(&world.ask(&tenant.host), other, &input).await), "SESSION_NOT_CLOSED");
    assert_eq!(code(app.open_session(&world.ask(&tenant.host), tenant.room, &input).await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_archived_right_after_its_session_has_ended() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    assert_eq!(code(app.archive_room(&world.ask(&tenant.host), tenant.room).await), "SESSION_LIVE");
    app.end_session(&world.ask(&tenant.host), session).await.unwrap();
    // No reactor runs that would have released the room.
    assert_eq!(code(app.archive_room(&world.ask(&tenant.host), tenant.room).await), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_back_while_the_drop_is_recorded_has_not_left() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
    let now = || stands(&world, &tenant, session, entered.participant);
    app.connection_opened(&pat);
    app.connection_closed(&pat);
    {
        // The drop waits for its turn; meanwhile a new connection opens and finds the participant joined.
        let stream = <witan_domain::session::Session as witan_domain::Aggregate>::stream(session);
        let _turn = app.streams.lock(&stream).await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        app.connection_opened(&pat);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(now(), ParticipantState::Joined);
    }
    let steps = || world.session(&tenant, session).participant(entered.participant).unwrap().timeline.clone();
    let was = |step: ParticipantStep| steps().iter().any(|moment| moment.step == step);
    world.until("the drop is recorded", || was(ParticipantStep::Dropped)).await;
    world.until("they are back", || now() == ParticipantState::Joined).await;
    assert!(!was(ParticipantStep::Left { reason: LeaveReason::ConnectionLost }));
}
