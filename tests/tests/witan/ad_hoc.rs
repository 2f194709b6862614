//! Ad-hoc sessions: opened in a unit, in a hidden room of their own.

use std::time::Duration;

use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};

use super::clinic::{Clinic, Invitee};

const SESSION: &str = "session { id status purpose settings { values { chat } }
    room { id name kind status slug unitId ownerId owner { name { value } } } }";
/// How often something that a reaction brings about is looked for, each 50 ms.
const LOOKS_MAX: usize = 200;

async fn room_seen(actor: &Actor, room: &str) -> Value {
    let query = "query($id: ID!) { room(id: $id) { status liveSessionId } }";
    actor.sees(query, json!({ "id": room })).await["room"].clone()
}

#[tokio::test]
async fn a_host_opens_a_session_in_a_hidden_room_that_goes_with_it() {
    let mut server = Server::start(Options::default());
    let (room, session, host) = {
        let clinic = Clinic::founded(&server).await;
        let host = clinic.user("anna", Some(("HOST", &clinic.unit))).await;
        let input = json!({
            "unitId": clinic.unit, "purpose": "CONSULTATION", "recordId": "file 4711", "idempotencyKey": "1",
            "settings": [{ "chat": false }],
        });
        let done = host.does("openAdHocSession", input.clone(), SESSION).await;
        let shown = &done.0["session"];
        assert_eq!((&shown["status"], &shown["purpose"]), (&json!("READY"), &json!("CONSULTATION")));
        assert_eq!((&shown["room"]["kind"], &shown["room"]["status"]), (&json!("AD_HOC"), &json!("ACTIVE")));
        assert_eq!((&shown["room"]["name"], &shown["room"]["unitId"]), (&json!("Ad-hoc session"), &json!(clinic.unit)));
        assert_eq!(shown["room"]["owner"]["name"]["value"], "anna");
        assert_eq!(shown["settings"]["values"]["chat"], false);
        let again = host.does("openAdHocSession", input, SESSION).await;
        assert_eq!((again.position(), &again.0["session"]), (done.position(), shown), "the same key, the same session");
        let other = json!({ "unitId": clinic.unit, "purpose": "MEETING", "idempotencyKey": "1" });
        assert_eq!(host.may_not("openAdHocSession", other).await, "IDEMPOTENCY_KEY_REUSED");

        let (room, session) = (done.text("/session/room/id"), done.text("/session/id"));
        let lists = "query($unit: ID!) { unit(id: $unit) { rooms { edges { node { id } } } }
                     organization { rooms { edges { node { id } } } sessions { edges { node { id } } } } }";
        let seen = clinic.owner.sees(lists, json!({ "unit": clinic.unit })).await;
        assert!(!seen.to_string().contains(&room), "it is in no list of rooms: {seen:#}");
        assert!(seen.to_string().contains(&session), "its session is one like any other: {seen:#}");
        let member = clinic.user("kim", None).await;
        let query = "query($id: ID!) { room(id: $id) { id } }";
        assert_eq!(member.is_refused(query, json!({ "id": room })).await, "FORBIDDEN");
        assert_eq!(clinic.owner.may_not("archiveUnit", json!({ "unitId": clinic.unit })).await, "UNIT_HAS_ROOMS");

        let patient = Invitee::invited(&host, &room).await.knocks(&server).await;
        assert_eq!(patient.0["state"], "KNOCKING");
        let who = json!({ "sessionId": session, "participantId": patient.text("/participantId") });
        host.does("admitParticipant", who, "").await;
        let patient = server.actor("patient", &patient.text("/resumeSecret"));
        patient.does("joinSession", json!({ "sessionId": session }), "state").await;
        assert_eq!(host.may_not("openSession", json!({ "roomId": room })).await, "SESSION_LIVE");
        (room, session, host)
    };
    server.kill9();
    server.restart();
    let host = server.actor("anna", host.client().credential().expect("a key"));
    host.does("endSession", json!({ "sessionId": session }), "").await;
    for look in 0.. {
        let seen = room_seen(&host, &room).await;
        if seen == json!({ "status": "ARCHIVED", "liveSessionId": null }) {
            break;
        }
        assert!(look < LOOKS_MAX, "the room stays: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(host.may_not("openSession", json!({ "roomId": room })).await, "ROOM_ARCHIVED");
}

#[tokio::test]
async fn who_may_not_host_in_the_unit_opens_no_ad_hoc_session_there() {
    let server = Server::start(Options::default());
    let clinic = Clinic::founded(&server).await;
    let beside = clinic.unit("surgery", None).await;
    let below = clinic.unit("ward", Some(&clinic.unit)).await;
    let host = clinic.user("anna", Some(("HOST", &clinic.unit))).await;
    let document = "mutation($input: OpenAdHocSessionInput!) { openAdHocSession(input: $input) { position } }";
    let asking = |unit: &str| json!({ "input": { "unitId": unit, "purpose": "MEETING" } });
    assert_eq!(host.is_refused(document, asking(&beside)).await, "FORBIDDEN");
    host.does("openAdHocSession", asking(&below)["input"].clone(), "").await;
    let member = clinic.user("kim", None).await;
    assert_eq!(member.is_refused(document, asking(&clinic.unit)).await, "FORBIDDEN");
    assert_eq!(server.nobody().is_refused(document, asking(&clinic.unit)).await, "UNAUTHENTICATED");
    let unknown = asking("unit_01JD0000000000000000000000")["input"].clone();
    assert_eq!(clinic.owner.may_not("openAdHocSession", unknown).await, "UNIT_NOT_LIVING");
    let locked = json!({ "unitId": clinic.unit, "settings": { "set": { "chat": true }, "lock": ["CHAT"] } });
    clinic.owner.does("setUnitSettings", locked, "").await;
    let chosen = json!({ "unitId": below, "purpose": "MEETING", "settings": [{ "chat": false }] });
    assert_eq!(host.may_not("openAdHocSession", chosen).await, "SETTING_LOCKED");
}
