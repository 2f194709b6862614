//! Waiting at the desk, and what alerts it.

use witan_domain::{
    AccountRole, Aggregate, RoleScope,
    invitation::{Invitation, Wait, WaitState},
    participant::{ParticipantState, ParticipantStep},
    person::Ground,
};

use super::reactions::something;
use crate::{
    desk::AtDesk,
    invitations::CreatedInvitation,
    policies::{PoliciesInput, RulesInput},
    testing::*,
    *,
};

/// A tenant and somebody who is invited to its room.
struct Desk {
    world: World,
    tenant: Tenant,
    invited: CreatedInvitation,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new();
        let tenant = world.tenant("clinic").await;
        let invited = world.invites(&tenant, "Pat").await;
        Self { world, tenant, invited }
    }

    async fn waits(&self) -> Result<AtDesk, Error> {
        let (request, who) = (self.world.ask(&Actor::Anonymous), called("Pat"));
        let invited = &self.invited;
        let waiting = self.world.app.wait_at_desk(&request, invited.invitation, &invited.secret, &who);
        waiting.await.map(|(there, _)| there)
    }

    async fn looks(&self) -> Result<AtDesk, Error> {
        let request = self.world.ask(&Actor::Anonymous);
        self.world.app.desk_wait(&request, self.invited.invitation, &self.invited.secret).await
    }

    fn kinds(&self) -> Vec<String> {
        self.world.kinds(&Invitation::stream(self.invited.invitation))
    }
}

fn state(there: &AtDesk) -> Option<WaitState> {
    there.wait.as_ref().map(|wait| wait.state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_at_desk() {
    let desk = Desk::new().await;
    let (world, app) = (&desk.world, &desk.world.app);
    assert_eq!(state(&desk.looks().await.unwrap()), None);
    let there = desk.waits().await.unwrap();
    assert_eq!((state(&there), there.session), (Some(WaitState::Waiting), None));
    assert_eq!(there.times_out_at, Some(world.clock.now().plus_seconds(15 * 60)));
    let newest = world.newest();
    desk.waits().await.unwrap();
    assert_eq!(world.newest(), newest, "who waits already waits on");
    let Some(Wait { display_name, .. }) = there.wait else { unreachable!("they wait") };
    let stream = Invitation::stream(desk.invited.invitation);
    let revealed = app.reveal(desk.tenant.organization, &stream, "display_name", &display_name).unwrap();
    assert_eq!(revealed.as_deref(), Some("Pat"));

    let session = world.opens(&desk.tenant).await;
    let there = desk.looks().await.unwrap();
    assert_eq!((state(&there), there.session), (Some(WaitState::Waiting), Some(session)), "they are told");
    let (invitation, secret) = (desk.invited.invitation, desk.invited.secret.clone());
    app.exchange_invitation(&world.ask(&Actor::Anonymous), invitation, &secret).await.unwrap();
    assert_eq!(state(&desk.looks().await.unwrap()), Some(WaitState::Left));
    let there = desk.waits().await.unwrap();
    assert_eq!((state(&there), there.session), (Some(WaitState::Left), Some(session)), "there is nothing to wait for");
    assert_eq!(desk.kinds(), ["InvitationCreated", "InviteeCameToDesk", "InvitationExchanged"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_wait_at_the_desk() {
    let desk = Desk::new().await;
    let (world, app, tenant) = (&desk.world, &desk.world.app, &desk.tenant);
    let (id, who) = (desk.invited.invitation, called("Pat"));
    let anyone = || world.ask(&Actor::Anonymous);
    let other = world.invites(tenant, "Quinn").await;
    assert_eq!(code(app.wait_at_desk(&anyone(), id, &other.secret, &who).await), "INVITATION_NOT_FOUND");
    assert_eq!(code(app.desk_wait(&anyone(), id, &other.secret).await), "INVITATION_NOT_FOUND");
    assert_eq!(code(app.leave_desk(&anyone(), id, &other.secret).await), "INVITATION_NOT_FOUND");
    assert_eq!(code(app.leave_desk(&anyone(), id, "no secret").await), "INVITATION_NOT_FOUND");
    let nameless = app.wait_at_desk(&anyone(), id, &desk.invited.secret, &called(" ")).await;
    assert_eq!(code(nameless), "INVALID");
    let rules = RulesInput { join: Some(vec![]), ..RulesInput::default() };
    let nobody = PoliciesInput { set: rules, ..PoliciesInput::default() };
    app.set_room_policies(&world.ask(&tenant.owner), tenant.room, nobody).await.unwrap();
    assert_eq!(code(desk.waits().await), "INVITATION_NOT_ACCEPTED");
    assert_eq!(desk.kinds(), ["InvitationCreated"]);
    world.clock.pass(86_400);
    assert_eq!(code(desk.waits().await), "INVITATION_OVER");
    assert_eq!(code(desk.looks().await), "INVITATION_OVER");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_alerts_the_desk_and_times_out_also_after_a_restart() {
    let desk = Desk::new().await;
    let world = &desk.world;
    let running = world.reacts();
    desk.waits().await.unwrap();
    world.settle(&running).await;
    world.clock.pass(119);
    something(world).await;
    world.settle(&running).await;
    assert_eq!(desk.looks().await.unwrap().wait.unwrap().alerted_at, None);
    world.stop(running).await;
    world.clock.pass(1);
    let running = world.reacts();
    world.until("the desk is alerted", || desk.kinds().len() == 3).await;
    assert_eq!(desk.looks().await.unwrap().wait.unwrap().alerted_at, Some(world.clock.now()));
    world.clock.pass(13 * 60);
    something(world).await;
    world.until("they have waited for too long", || desk.kinds().len() == 4).await;
    assert_eq!(state(&desk.looks().await.unwrap()), Some(WaitState::TimedOut));
    assert_eq!(state(&desk.waits().await.unwrap()), Some(WaitState::Waiting), "they may wait again");
    let (request, invited) = (world.ask(&Actor::Anonymous), &desk.invited);
    let (there, _) = world.app.leave_desk(&request, invited.invitation, &invited.secret).await.unwrap();
    assert_eq!(state(&there), Some(WaitState::Left));
    let first = ["InvitationCreated", "InviteeCameToDesk", "WaitUnanswered", "WaitTimedOut"];
    assert_eq!(desk.kinds(), [&first[..], &["InviteeCameToDesk", "InviteeLeftDesk"]].concat());
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_knock_without_an_answer_alerts_the_desk_also_after_a_restart() {
    let world = World::new();
    let tenant = world.tenant("clinic").await;
    let session = world.opens(&tenant).await;
    let (_, knocked) = world.knocks(&tenant, "Pat").await;
    let running = world.reacts();
    world.settle(&running).await;
    world.stop(running).await;
    world.clock.pass(2 * 60);
    let running = world.reacts();
    let there = || world.session(&tenant, session).participant(knocked.participant).unwrap().clone();
    world.until("the desk is alerted", || there().alerted_at.is_some()).await;
    assert_eq!(there().state, ParticipantState::Knocking);
    assert_eq!(there().timeline.last().unwrap().step, ParticipantStep::KnockUnanswered);
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_erased_like_everyone() {
    let desk = Desk::new().await;
    let (world, app, tenant) = (&desk.world, &desk.world.app, &desk.tenant);
    let there = desk.waits().await.unwrap().wait.unwrap();
    let (role, scope) = (AccountRole::PrivacyOfficer, RoleScope::Organization);
    app.grant_role(&world.ask(&tenant.owner), tenant.owner_id, role, scope, None).await.unwrap();
    app.erase_person(&world.ask(&tenant.owner), there.display_name.person, Ground::Request).await.unwrap();
    let stream = Invitation::stream(desk.invited.invitation);
    let revealed = app.reveal(tenant.organization, &stream, "display_name", &there.display_name).unwrap();
    assert_eq!(revealed, None);
    app.leave_desk(&world.ask(&Actor::Anonymous), desk.invited.invitation, &desk.invited.secret).await.unwrap();
    assert_eq!(code(desk.waits().await), "PERSON_ERASED");
}
