//! Access is live: a grant that is taken away acts on who is in already.

use witan_domain::{
    AccountRole, Aggregate, ParticipantId, RoleScope, SessionId, SessionRole, UserId, participant::ParticipantState,
    session::Session,
};

use crate::{entry::Entered, join_tokens::Door, opening::OpeningInput, testing::*, *};

fn stands(world: &World, tenant: &Tenant, session: SessionId, who: ParticipantId) -> (ParticipantState, SessionRole) {
    let record = world.session(tenant, session);
    let there = record.participant(who).unwrap();
    (there.state, there.role)
}

/// A user comes in by their account, knocking first where they have to.
async fn user_joins(world: &World, tenant: &Tenant, session: SessionId, user: UserId) -> Entered {
    let actor = Actor::User { organization: tenant.organization, user, key: None };
    let app = &world.app;
    let ticket = app.create_join_token(&world.ask(&actor), Door::Session(session), None).await.unwrap();
    let nobody = world.ask(&Actor::Anonymous);
    app.join_by_token(&nobody, &ticket.token, &called("Ben")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_invitation_sends_away_who_came_by_it() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    let (_, pat) = world.is_let_in(&tenant, &host, "Pat").await;
    let (_, quinn) = world.is_let_in(&tenant, &host, "Quinn").await;
    let (_, rita) = world.knocks(&tenant, "Rita").await;
    for entered in [&pat, &rita] {
        let invitation = world.session(&tenant, session).participant(entered.participant).unwrap().invitation;
        app.revoke_invitation(&world.ask(&tenant.host), invitation.unwrap()).await.unwrap();
    }
    world.settle(&running).await;
    assert_eq!(stands(&world, &tenant, session, pat.participant).0, ParticipantState::Removed);
    assert_eq!(stands(&world, &tenant, session, rita.participant).0, ParticipantState::Denied);
    assert_eq!(stands(&world, &tenant, session, quinn.participant).0, ParticipantState::Joined);
    let last = world.store.read_stream(&Session::stream(session), 0, Direction::Forward, 100).unwrap();
    let metadata = last.last().unwrap().envelope.metadata().to_vec();
    let metadata: witan_event_store::Metadata = serde_json::from_slice(&metadata).unwrap();
    assert_eq!(metadata.actor, Actor::System);
    assert!(metadata.causation.is_some(), "the history says which revocation it was");
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_was_taken_away_leads_no_longer() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let session = world.opens(&tenant).await;
    let (ben, _) = app.create_user(&world.ask(&tenant.owner), &user("ben")).await.unwrap();
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::CoHost).await.unwrap();
    let entered = user_joins(&world, &tenant, session, ben).await;
    let now = || stands(&world, &tenant, session, entered.participant);
    assert_eq!(now(), (ParticipantState::Joined, SessionRole::CoHost));
    app.add_room_person(&world.ask(&tenant.host), tenant.room, ben, SessionRole::Observer).await.unwrap();
    world.settle(&running).await;
    assert_eq!(now(), (ParticipantState::Joined, SessionRole::Observer));
    let as_ben = world.actor(&entered).await;
    assert_eq!(code(app.lock_session(&world.ask(&as_ben), session).await), "FORBIDDEN");
    app.remove_room_person(&world.ask(&tenant.host), tenant.room, ben).await.unwrap();
    world.settle(&running).await;
    assert_eq!(now().0, ParticipantState::Removed);

    let (carl, _) = app.create_user(&world.ask(&tenant.owner), &user("carl")).await.unwrap();
    let scope = RoleScope::Unit(tenant.unit);
    app.grant_role(&world.ask(&tenant.owner), carl, AccountRole::Host, scope, None).await.unwrap();
    let entered = user_joins(&world, &tenant, session, carl).await;
    assert_eq!(stands(&world, &tenant, session, entered.participant).1, SessionRole::Host);
    app.revoke_role(&world.ask(&tenant.owner), carl, AccountRole::Host, scope).await.unwrap();
    world.settle(&running).await;
    assert_eq!(stands(&world, &tenant, session, entered.participant).0, ParticipantState::Removed);
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_session_gave_stays_and_who_was_moved_stays() {
    let world = World::new();
    let running = world.reacts();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    let from = world.opens(&tenant).await;
    let next_door = room("next-door", Some(tenant.host_id));
    let (other_room, _) = app.create_room(&world.ask(&tenant.owner), tenant.unit, &next_door).await.unwrap();
    let input = OpeningInput::default();
    let (to, _) = app.open_session(&world.ask(&tenant.host), other_room, &input).await.unwrap();
    let (host, _) = world.host_joins(&tenant, from).await;
    let (_, pat) = world.is_let_in(&tenant, &host, "Pat").await;
    let (quinn, moved) = world.is_let_in(&tenant, &host, "Quinn").await;
    app.change_participant_role(&world.ask(&host), from, pat.participant, SessionRole::CoHost).await.unwrap();
    app.move_participant(&world.ask(&tenant.host), from, moved.participant, to).await.unwrap();
    let ticket = app.create_join_token(&world.ask(&quinn), Door::Session(to), None).await.unwrap();
    let nobody = world.ask(&Actor::Anonymous);
    let there = app.join_by_token(&nobody, &ticket.token, &called("Quinn")).await.unwrap();
    // Both rooms are looked at again.
    for room in [tenant.room, other_room] {
        app.add_room_person(&world.ask(&tenant.host), room, tenant.owner_id, SessionRole::Observer).await.unwrap();
    }
    world.settle(&running).await;
    assert_eq!(stands(&world, &tenant, from, pat.participant), (ParticipantState::Joined, SessionRole::CoHost));
    assert_eq!(stands(&world, &tenant, to, there.participant).0, ParticipantState::Joined);
    // A deactivated account is nobody's grant.
    app.deactivate_user(&world.ask(&tenant.owner), tenant.host_id).await.unwrap();
    world.settle(&running).await;
    assert!(!world.session(&tenant, from).present().any(|there| there.user == Some(tenant.host_id)));
    world.stop(running).await;
}
