//! Media over the API, with a media node that carries nothing: join, publish, be offered, be muted, end. And the history of
//! it, in which nothing is of how the media travelled.

use std::path::Path;

use serde_json::{Value, json};
use witan_tests::actor::Actor;
use witan_tests::server::{Options, Server};
use witan_tests::socket::Socket;

/// Parts of what a client's WebRTC library says, to look for where they must not be.
const FINGERPRINT: &str = "6C:0E:4B:8D:62:1F";
const CNAME: &str = "cname-that-nobody-keeps";

const SIGNALS: &str = "subscription($session: ID!, $after: Position, $can: JSON) {
    sessionSignals(sessionId: $session, after: $after, rtpCapabilities: $can) {
        __typename
        ... on EventSignal { position event { type data } }
        ... on StreamOffered { offerId streamId participantId source kind rtpParameters paused }
        ... on OfferPaused { offerId }
        ... on OfferResumed { offerId }
        ... on OfferClosed { offerId }
    } }";

const ENTERED: &str = "participantId resumeSecret state session { participants { id } } media { routerRtpCapabilities
    sendTransport { id iceParameters iceCandidates dtlsParameters sctpParameters } receiveTransport { id }
    iceServers { urls username credential } }";

/// Someone in the session, and their subscription to what happens to them.
struct Person {
    actor: Actor,
    id: String,
    send: String,
    receive: String,
    socket: Socket,
    session: String,
}

impl Person {
    async fn comes_in(server: &Server, session: &str, token: &str, name: &str) -> Person {
        let input = json!({ "joinToken": token, "displayName": name });
        let entered = server.nobody().does("joinSession", input, ENTERED).await;
        assert_eq!(entered.0["state"], "JOINED");
        let people = entered.0["session"]["participants"].as_array().expect("the session is shown");
        assert!(people.iter().any(|there| there["id"] == entered.0["participantId"]), "with oneself in it");
        assert!(entered.0["media"]["routerRtpCapabilities"]["codecs"].is_array());
        let actor = server.actor(name, &entered.text("/resumeSecret"));
        let position = entered.position();
        let mut socket = actor.socket().await;
        let can = json!({ "codecs": [], "headerExtensions": [] });
        let variables = json!({ "session": session, "after": position.to_string(), "can": can });
        socket.subscribe("signals", SIGNALS, variables).await;
        let text = |pointer: &str| entered.text(pointer);
        let (send, receive) = (text("/media/sendTransport/id"), text("/media/receiveTransport/id"));
        let person = Person { id: text("/participantId"), send, receive, actor, socket, session: session.to_owned() };
        for transport in [&person.send, &person.receive] {
            person.does("connectTransport", json!({ "transportId": transport, "dtlsParameters": dtls() }), "").await;
        }
        person
    }

    async fn does(&self, mutation: &str, input: Value, selection: &str) -> Value {
        self.actor.does(mutation, self.here(input), selection).await.0
    }

    async fn may_not(&self, mutation: &str, input: Value) -> String {
        self.actor.may_not(mutation, self.here(input)).await
    }

    fn here(&self, mut input: Value) -> Value {
        input["sessionId"] = json!(self.session);
        input
    }

    async fn publishes(&self, source: &str, kind: &str) -> String {
        let (mime, encodings) = match kind {
            "AUDIO" => ("audio/opus", json!([{}])),
            _ => ("video/VP8", json!([{ "rid": "q" }, { "rid": "f" }])),
        };
        let rtp = json!({ "codecs": [{ "mimeType": mime }], "encodings": encodings, "rtcp": { "cname": CNAME } });
        let input = json!({ "source": source, "kind": kind, "rtpParameters": rtp, "idempotencyKey": source });
        let done = self.does("publishStream", input.clone(), "streamId stream { source kind muted }").await;
        assert_eq!(done["stream"], json!({ "source": source, "kind": kind, "muted": false }));
        let again = self.does("publishStream", input, "streamId").await;
        assert_eq!(done["streamId"], again["streamId"], "a retry is the same stream");
        done["streamId"].as_str().expect("it has an id").to_owned()
    }

    /// The next signal of this type.
    async fn is_told(&mut self, kind: &str) -> Value {
        loop {
            let signal = self.socket.next("signals").await["sessionSignals"].clone();
            if signal["__typename"] == kind {
                return signal;
            }
        }
    }

    /// The next event of this type.
    async fn sees(&mut self, kind: &str) -> Value {
        loop {
            let signal = self.is_told("EventSignal").await;
            if signal["event"]["type"] == kind {
                return signal["event"]["data"].clone();
            }
        }
    }

    /// The offer of this stream, acknowledged.
    async fn takes(&mut self, stream: &str) -> Value {
        loop {
            let offered = self.is_told("StreamOffered").await;
            if offered["streamId"] == stream {
                self.does("acknowledgeOffer", json!({ "offerId": offered["offerId"] }), "").await;
                return offered;
            }
        }
    }
}

fn dtls() -> Value {
    json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": FINGERPRINT }] })
}

/// A meeting that anyone may come to, with its owner's key outside.
async fn a_meeting(server: &Server) -> (Actor, String) {
    let owner = server.owner();
    let unit = json!({ "slug": "team", "fullName": "A team" });
    let unit = owner.does("createUnit", unit, "unit { id }").await.text("/unit/id");
    let room = json!({ "unitId": unit, "slug": "meeting", "name": "A room", "purpose": "MEETING" });
    let room = owner.does("createRoom", room, "room { id }").await.text("/room/id");
    let rules = json!({ "roomId": room, "policies": { "set": { "join": [{ "who": "ANYONE" }] } } });
    owner.does("setRoomPolicies", rules, "").await;
    let session = owner.does("openSession", json!({ "roomId": room }), "session { id }").await.text("/session/id");
    (owner, session)
}

async fn token(actor: &Actor, session: &str) -> String {
    actor.does("createJoinToken", json!({ "sessionId": session }), "joinToken").await.text("/joinToken")
}

fn is_in_files(folder: &Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    entries.map(|entry| entry.expect("the folder can be read").path()).any(|path| match path.is_dir() {
        true => is_in_files(&path, bytes),
        false => std::fs::read(&path).is_ok_and(|read| read.windows(bytes.len()).any(|window| window == bytes)),
    })
}

#[tokio::test]
async fn two_hear_and_see_each_other_and_the_history_says_so() {
    let mut server = Server::start(Options::default().set("media", "fake"));
    let (owner, session) = a_meeting(&server).await;
    let mut host = Person::comes_in(&server, &session, &token(&owner, &session).await, "Anna").await;
    let mut guest = Person::comes_in(&server, &session, &token(&server.nobody(), &session).await, "Robin").await;
    assert_eq!(host.sees("ParticipantJoined").await["arrival"]["display_name"]["value"], "Robin");

    let camera = host.publishes("CAMERA", "VIDEO").await;
    let offered = guest.takes(&camera).await;
    assert_eq!(offered["participantId"], host.id.as_str());
    assert_eq!((&offered["source"], &offered["kind"]), (&json!("CAMERA"), &json!("VIDEO")));
    guest.does("setPreferredLayers", json!({ "offerId": offered["offerId"], "spatialLayer": 0 }), "").await;
    guest.does("requestKeyFrame", json!({ "offerId": offered["offerId"] }), "").await;
    let restarted = guest.does("restartIce", json!({ "transportId": guest.receive }), "iceParameters").await;
    assert!(restarted["iceParameters"]["usernameFragment"].is_string());
    let microphone = guest.publishes("MICROPHONE", "AUDIO").await;
    let heard = host.takes(&microphone).await;

    let mute = json!({ "participantId": guest.id, "source": "MICROPHONE" });
    host.does("muteParticipant", mute.clone(), "").await;
    assert_eq!(host.is_told("OfferPaused").await["offerId"], heard["offerId"]);
    assert_eq!(guest.sees("StreamMuted").await, json!({ "stream": microphone, "by": "host" }));
    let unmute = json!({ "streamId": microphone, "paused": false });
    assert_eq!(guest.may_not("setStreamPaused", unmute.clone()).await, "MUTED_BY_HOST");
    host.does("unmuteParticipant", mute, "").await;
    let stream = guest.does("setStreamPaused", unmute, "stream { muted }").await;
    assert_eq!(stream["stream"]["muted"], false);
    assert_eq!(host.is_told("OfferResumed").await["offerId"], heard["offerId"]);

    host.does("unpublishStream", json!({ "streamId": camera }), "").await;
    assert_eq!(guest.is_told("OfferClosed").await["offerId"], offered["offerId"]);
    host.does("endSession", json!({}), "").await;
    guest.sees("SessionEnded").await;

    the_history_tells_it(&owner, &session, [&camera, &microphone]).await;
    server.stop();
    for secret in [FINGERPRINT, CNAME] {
        assert!(!is_in_files(&server.data(), secret.as_bytes()), "{secret} is kept");
        assert!(!server.log().contains(secret), "{secret} is in the log");
    }
}

async fn the_history_tells_it(owner: &Actor, session: &str, [camera, microphone]: [&str; 2]) {
    let document =
        "query($id: ID!) { session(id: $id) { history(first: 50, part: MEDIA) { edges { node { type data } } }
        streams { id source codec layers unpublishReason } participants { streams { id } } } }";
    // The streams of whom a session's end has sent away end right after it.
    let seen = loop {
        let seen = owner.sees(document, json!({ "id": session })).await["session"].clone();
        if seen["streams"][1]["unpublishReason"].is_string() {
            break seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let events = seen["history"]["edges"].as_array().expect("it has a history").iter().map(|edge| &edge["node"]);
    let told: Vec<(&Value, &Value)> = events.map(|event| (&event["type"], &event["data"]["stream"])).collect();
    let story = [
        ("StreamPublished", camera),
        ("StreamPublished", microphone),
        ("StreamMuted", microphone),
        ("StreamUnmuted", microphone),
        ("StreamUnpublished", camera),
        ("StreamUnpublished", microphone),
    ];
    assert_eq!(told, story.map(|(kind, stream)| (json!(kind), json!(stream))).each_ref().map(|(a, b)| (a, b)));
    let streams = json!([
        { "id": camera, "source": "CAMERA", "codec": "VP8", "layers": 2, "unpublishReason": "BY_PARTICIPANT" },
        { "id": microphone, "source": "MICROPHONE", "codec": "opus", "layers": 1, "unpublishReason": "SESSION_ENDED" },
    ]);
    assert_eq!(seen["streams"], streams);
    let of_people: Vec<&Value> = seen["participants"].as_array().expect("people were there").iter().collect();
    assert_eq!(of_people[0]["streams"], json!([{ "id": camera }]));
    assert_eq!(of_people[1]["streams"], json!([{ "id": microphone }]));
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_reaches_no_node() {
    let server = Server::start(Options::default().set("media", "fake"));
    let (owner, session) = a_meeting(&server).await;
    let host = Person::comes_in(&server, &session, &token(&owner, &session).await, "Anna").await;
    let rtp = |rtp: Value| json!({ "source": "CAMERA", "kind": "VIDEO", "rtpParameters": rtp });
    let deep = (0..11).fold(json!({}), |inner, _| json!({ "a": inner }));
    for wrong in [deep, json!({ "a": "x".repeat(65 * 1024) })] {
        assert_eq!(host.may_not("publishStream", rtp(wrong)).await, "INVALID_INPUT");
    }
    let nonsense = json!({ "codecs": "none" });
    assert_eq!(host.may_not("publishStream", rtp(nonsense)).await, "MEDIA_PARAMETERS_INVALID");
    let connect = json!({ "transportId": host.send, "dtlsParameters": [FINGERPRINT] });
    assert_eq!(host.may_not("connectTransport", connect).await, "MEDIA_PARAMETERS_INVALID");
    assert!(!server.log().contains(FINGERPRINT));
}
