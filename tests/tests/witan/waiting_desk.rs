//! The waiting desk: an invitee who comes too early, a knock, and who sees them.

use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

use super::clinic::{Clinic, Invitee};

const DESK: &str = "query($unit: ID!, $at: Position) { waitingDesk(unitId: $unit, waitFor: $at) { more waiting {
    displayName { value } since alertedAt participantId invitationId sessionId roomId unitId room { id } } } }";

async fn waiting(actor: &Actor, unit: &str, after: u64) -> Vec<Value> {
    let seen = actor.sees(DESK, json!({ "unit": unit, "at": after.to_string() })).await;
    assert_eq!(seen["waitingDesk"]["more"], false);
    seen["waitingDesk"]["waiting"].as_array().expect("it is a list").clone()
}

async fn stands(server: &Server, invitee: &Invitee) -> Value {
    let query = "query($invitationId: ID!, $secret: String!) {
        deskWait(invitationId: $invitationId, secret: $secret) { state since timesOutAt sessionId } }";
    server.nobody().sees(query, invitee.shows(json!({}))).await["deskWait"].clone()
}

#[tokio::test]
async fn an_invitee_waits_at_the_desk_until_the_room_is_opened() {
    let mut server = Server::start(Options::default());
    let (unit, below, room, robin, at) = {
        let clinic = Clinic::founded(&server).await;
        let below = clinic.unit("ward", Some(&clinic.unit)).await;
        let room = clinic.room("consultations", &below).await;
        let robin = Invitee::invited(&clinic.owner, &room).await;
        let waits = robin.shows(json!({ "displayName": "Robin", "device": "A browser", "idempotencyKey": "1" }));
        let nobody = server.nobody();
        let done = nobody.does("waitAtDesk", waits.clone(), "atDesk { state sessionId timesOutAt }").await;
        assert_eq!((&done.0["atDesk"]["state"], &done.0["atDesk"]["sessionId"]), (&json!("WAITING"), &Value::Null));
        assert_eq!(nobody.does("waitAtDesk", waits, "atDesk { state }").await.position(), done.position());

        let wrong = Invitee { id: robin.id.clone(), secret: Invitee::invited(&clinic.owner, &room).await.secret };
        let input = wrong.shows(json!({ "displayName": "Robin" }));
        assert_eq!(nobody.may_not("waitAtDesk", input).await, "INVITATION_NOT_FOUND");
        let early = Invitee::invited_for_later(&clinic.owner, &room).await.shows(json!({ "displayName": "Robin" }));
        assert_eq!(nobody.may_not("waitAtDesk", early).await, "INVITATION_TOO_EARLY");
        (clinic.unit.clone(), below, room, robin, done.position())
    };
    server.kill9();
    server.restart();
    let owner = server.owner();
    let seen = waiting(&owner, &unit, at).await;
    assert_eq!(seen, waiting(&owner, &below, at).await, "who sees a unit sees the units below it");
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!((&seen[0]["displayName"]["value"], &seen[0]["alertedAt"]), (&json!("Robin"), &Value::Null));
    assert_eq!((&seen[0]["participantId"], &seen[0]["invitationId"]), (&Value::Null, &json!(robin.id)));
    assert_eq!((&seen[0]["unitId"], &seen[0]["room"]["id"]), (&json!(below), &json!(room)));

    let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
    let there = stands(&server, &robin).await;
    assert_eq!((&there["state"], &there["sessionId"]), (&json!("WAITING"), &json!(session)), "they are told");
    let knocked = robin.knocks(&server).await;
    let seen = waiting(&owner, &unit, knocked.position()).await;
    assert_eq!(seen.len(), 1, "the wait went over into the knock: {seen:#?}");
    assert_eq!(seen[0]["participantId"], knocked.0["participantId"]);
    assert_eq!((&seen[0]["sessionId"], &seen[0]["displayName"]["value"]), (&json!(session), &json!("Robin")));
    let who = json!({ "sessionId": session, "participantId": knocked.0["participantId"] });
    let admitted = owner.does("admitParticipant", who, "").await;
    assert!(waiting(&owner, &unit, admitted.position()).await.is_empty(), "nobody waits who was answered");
    assert_eq!(stands(&server, &robin).await["state"], "LEFT");
}

#[tokio::test]
async fn a_desk_is_for_those_who_host_there_and_tells_what_changes() {
    let server = Server::start(Options::default());
    let clinic = Clinic::founded(&server).await;
    let beside = clinic.unit("surgery", None).await;
    let room = clinic.room("consultations", &clinic.unit).await;
    let host = clinic.user("anna", Some(("HOST", &clinic.unit))).await;
    let member = clinic.user("kim", None).await;
    let asking = |unit: &str| json!({ "unit": unit });
    assert_eq!(member.is_refused(DESK, asking(&clinic.unit)).await, "FORBIDDEN");
    assert_eq!(host.is_refused(DESK, asking(&beside)).await, "FORBIDDEN");
    assert_eq!(server.nobody().is_refused(DESK, asking(&clinic.unit)).await, "UNAUTHENTICATED");
    assert_eq!(clinic.owner.is_refused(DESK, asking("unit_01JD0000000000000000000000")).await, "NOT_FOUND");

    let changed =
        "subscription($unit: ID!) { waitingDeskChanged(unitId: $unit) { waiting { displayName { value } } } }";
    let mut desk = host.socket().await;
    desk.subscribe("desk", changed, asking(&clinic.unit)).await;
    let mut elsewhere = clinic.owner.socket().await;
    elsewhere.subscribe("desk", changed, asking(&beside)).await;
    let names = |item: Value| item["waitingDeskChanged"]["waiting"].clone();
    assert_eq!(names(desk.next("desk").await), json!([]));
    assert_eq!(names(elsewhere.next("desk").await), json!([]));
    let robin = Invitee::invited(&host, &room).await;
    let nobody = server.nobody();
    nobody.does("waitAtDesk", robin.shows(json!({ "displayName": "Robin" })), "").await;
    assert_eq!(names(desk.next("desk").await), json!([{ "displayName": { "value": "Robin" } }]));
    nobody.does("leaveDesk", robin.shows(json!({})), "atDesk { state }").await;
    assert_eq!(names(desk.next("desk").await), json!([]));
    let other = Invitee::invited(&clinic.owner, &clinic.room("theatre", &beside).await).await;
    nobody.does("waitAtDesk", other.shows(json!({ "displayName": "Quinn" })), "").await;
    let told = names(elsewhere.next("desk").await);
    assert_eq!(told, json!([{ "displayName": { "value": "Quinn" } }]), "what changed at another desk is not told here");
}
