//! What every media node must do, as a suite that the fake and the real client run against themselves. It panics at the
//! first thing that isn't so. Packets are beyond it: what it sends is what a client's library would, without a network.

#![expect(clippy::unwrap_used, reason = "a suite of tests: it panics at the first thing that isn't so")]

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};

use crate::{
    Entrance, Media, MediaError, MediaSource, Observation, Observed, Publication, Published, Signal, Standing,
    StreamEnd,
};

/// What a signal may take on a busy machine.
const WAIT: Duration = Duration::from_secs(20);

const ANNA: ParticipantId = ParticipantId(1);
const BELA: ParticipantId = ParticipantId(2);

/// Runs the whole suite. The node carries no session of these numbers before.
pub async fn contract(media: &dyn Media) {
    sessions_open_and_close(media, SessionId(101)).await;
    what_is_not_there_is_said(media, SessionId(102)).await;
    what_makes_no_sense_is_refused(media, SessionId(103)).await;
    streams_are_offered(media, SessionId(104)).await;
    a_pause_is_told(media, SessionId(105)).await;
    a_host_s_mute_holds(media, SessionId(106)).await;
    a_hold_stops_both_ways(media, SessionId(107)).await;
    who_receives_again_keeps_what_flows(media, SessionId(108)).await;
    who_enters_again_begins_anew(media, SessionId(109)).await;
    who_is_disconnected_is_gone(media, SessionId(110)).await;
    observations_are_kept_until_acknowledged(media, SessionId(111)).await;
}

async fn sessions_open_and_close(media: &dyn Media, session: SessionId) {
    assert!(media.nodes().borrow().available);
    assert!(!media.sessions().await.unwrap().contains(&session));
    media.open_session(session).await.unwrap();
    media.open_session(session).await.unwrap();
    assert!(media.sessions().await.unwrap().contains(&session));
    let (_, mut signals) = comes_in(media, session, ANNA).await;
    media.close_session(session).await.unwrap();
    media.close_session(session).await.unwrap();
    assert_eq!(next(&mut signals).await, None, "signals end with the session");
    assert!(!media.sessions().await.unwrap().contains(&session));
    assert_eq!(media.enter(session, ANNA, Standing::default()).await, Err(MediaError::NotThere("session")));
}

async fn what_is_not_there_is_said(media: &dyn Media, session: SessionId) {
    let nobody = Err(MediaError::NotThere("session"));
    assert_eq!(media.set_held(session, ANNA, true).await, nobody);
    media.open_session(session).await.unwrap();
    let nobody = MediaError::NotThere("participant");
    assert_eq!(media.publish(session, ANNA, microphone(StreamId(1))).await, Err(nobody.clone()));
    assert_eq!(media.receive(session, ANNA, rtp_capabilities()).await.err(), Some(nobody.clone()));
    assert_eq!(media.acknowledge_offer(session, ANNA, OfferId(1)).await, Err(nobody));
    let _signals = comes_in(media, session, ANNA).await;
    let dtls = dtls_parameters();
    assert_eq!(media.connect_transport(session, ANNA, "other", dtls).await, Err(MediaError::NotThere("transport")));
    assert_eq!(media.restart_ice(session, ANNA, "other").await, Err(MediaError::NotThere("transport")));
    let paused = media.set_stream_paused(session, ANNA, StreamId(1), true).await;
    assert_eq!(paused, Err(MediaError::NotThere("stream")));
    for result in [
        media.acknowledge_offer(session, ANNA, OfferId(1)).await,
        media.set_preferred_layers(session, ANNA, OfferId(1), 0, None).await,
        media.request_key_frame(session, ANNA, OfferId(1)).await,
    ] {
        assert_eq!(result, Err(MediaError::NotThere("offer")));
    }
    // What should be gone, is.
    media.unpublish(session, ANNA, StreamId(1)).await.unwrap();
    media.disconnect(session, BELA).await.unwrap();
    media.close_session(session).await.unwrap();
}

async fn what_makes_no_sense_is_refused(media: &dyn Media, session: SessionId) {
    media.open_session(session).await.unwrap();
    let (entrance, _signals) = comes_in(media, session, ANNA).await;
    for nonsense in [json!(null), json!(7), json!([]), json!({}), json!({ "codecs": 1, "fingerprints": "x" })] {
        let connected = media.connect_transport(session, ANNA, &entrance.send.id, nonsense.clone()).await;
        assert!(invalid("dtlsParameters", &connected), "{nonsense}: {connected:?}");
        let publication = Publication { rtp_parameters: nonsense.clone(), ..microphone(StreamId(1)) };
        let published = media.publish(session, ANNA, publication).await;
        assert!(invalid("rtpParameters", &published), "{nonsense}: {published:?}");
        let received = media.receive(session, ANNA, nonsense.clone()).await.map(|_| ());
        assert!(invalid("rtpCapabilities", &received), "{nonsense}: {received:?}");
    }
    media.close_session(session).await.unwrap();
}

async fn streams_are_offered(media: &dyn Media, session: SessionId) {
    media.open_session(session).await.unwrap();
    let (entrance, mut anna) = comes_in(media, session, ANNA).await;
    assert!(!entrance.router_rtp_capabilities["codecs"].as_array().unwrap().is_empty());
    assert_ne!(entrance.send.id, entrance.receive.id);
    for transport in [&entrance.send.id, &entrance.receive.id] {
        media.connect_transport(session, ANNA, transport, dtls_parameters()).await.unwrap();
        assert!(media.restart_ice(session, ANNA, transport).await.unwrap()["usernameFragment"].is_string());
    }
    let (sound, picture) = (StreamId(1), StreamId(2));
    let published = media.publish(session, ANNA, microphone(sound)).await.unwrap();
    assert_eq!(published, Published { codec: "opus".into(), layers: 1 });
    assert_eq!(media.publish(session, ANNA, microphone(sound)).await.unwrap(), published, "asked again");
    let (_, mut bela) = comes_in(media, session, BELA).await;
    let (offer, heard) = offered(&mut bela).await;
    assert_eq!(heard, (ANNA, sound, MediaSource::Microphone, false), "what was there before");
    let published = media.publish(session, ANNA, camera(picture)).await.unwrap();
    assert_eq!(published, Published { codec: "VP8".into(), layers: 3 });
    let (seen_offer, seen) = offered(&mut bela).await;
    assert_eq!(seen, (ANNA, picture, MediaSource::Camera, false), "what comes later");
    media.acknowledge_offer(session, BELA, offer).await.unwrap();
    media.acknowledge_offer(session, BELA, seen_offer).await.unwrap();
    media.set_preferred_layers(session, BELA, seen_offer, 1, Some(0)).await.unwrap();
    media.request_key_frame(session, BELA, seen_offer).await.unwrap();
    media.unpublish(session, ANNA, picture).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferClosed { offer: seen_offer }));
    assert_eq!(media.acknowledge_offer(session, BELA, seen_offer).await, Err(MediaError::NotThere("offer")));
    media.close_session(session).await.unwrap();
    assert_eq!(next(&mut anna).await, None, "nobody is offered what they send themselves");
}

async fn a_pause_is_told(media: &dyn Media, session: SessionId) {
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    media.acknowledge_offer(session, BELA, offer).await.unwrap();
    for _ in 0..2 {
        media.set_stream_paused(session, ANNA, StreamId(1), true).await.unwrap();
    }
    assert_eq!(next(&mut bela).await, Some(Signal::OfferPaused { offer }));
    media.set_stream_paused(session, ANNA, StreamId(1), false).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferResumed { offer }));
    let publication = Publication { paused: true, ..camera(StreamId(2)) };
    media.publish(session, ANNA, publication).await.unwrap();
    assert_eq!(offered(&mut bela).await.1, (ANNA, StreamId(2), MediaSource::Camera, true));
    media.close_session(session).await.unwrap();
}

async fn a_host_s_mute_holds(media: &dyn Media, session: SessionId) {
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    media.mute(session, ANNA, MediaSource::Microphone).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferPaused { offer }));
    media.set_stream_paused(session, ANNA, StreamId(1), false).await.unwrap();
    media.publish(session, ANNA, camera(StreamId(2))).await.unwrap();
    let (_, seen) = offered(&mut bela).await;
    assert_eq!(seen, (ANNA, StreamId(2), MediaSource::Camera, false), "only the microphone is muted, and stays so");
    media.mute(session, ANNA, MediaSource::Microphone).await.unwrap();
    media.allow(session, ANNA, MediaSource::Microphone).await.unwrap();
    media.set_stream_paused(session, ANNA, StreamId(1), false).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferResumed { offer }), "and not before it was allowed");
    // A mute from before the entrance holds too.
    let standing = Standing { held: false, muted: BTreeSet::from([MediaSource::Microphone]) };
    media.enter(session, ANNA, standing).await.unwrap();
    media.publish(session, ANNA, microphone(StreamId(3))).await.unwrap();
    loop {
        if let Some(Signal::Offered { stream: StreamId(3), paused, .. }) = next(&mut bela).await {
            assert!(paused);
            break;
        }
    }
    media.close_session(session).await.unwrap();
}

async fn a_hold_stops_both_ways(media: &dyn Media, session: SessionId) {
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    media.set_held(session, ANNA, true).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferPaused { offer }), "nothing comes from who is held");
    media.set_held(session, ANNA, false).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferResumed { offer }));
    media.set_held(session, BELA, true).await.unwrap();
    media.set_held(session, BELA, true).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferPaused { offer }), "nothing goes to who is held");
    media.publish(session, ANNA, camera(StreamId(2))).await.unwrap();
    assert!(offered(&mut bela).await.1.3, "nor what is new");
    media.set_held(session, BELA, false).await.unwrap();
    let mut flows = BTreeSet::new();
    for _ in 0..2 {
        match next(&mut bela).await {
            Some(Signal::OfferResumed { offer }) => flows.insert(offer),
            other => panic!("not resumed: {other:?}"),
        };
    }
    assert!(flows.contains(&offer));
    media.close_session(session).await.unwrap();
}

async fn who_receives_again_keeps_what_flows(media: &dyn Media, session: SessionId) {
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    media.acknowledge_offer(session, BELA, offer).await.unwrap();
    media.publish(session, ANNA, camera(StreamId(2))).await.unwrap();
    let (seen, _) = offered(&mut bela).await;
    let mut again = media.receive(session, BELA, rtp_capabilities()).await.unwrap();
    assert_eq!(next(&mut bela).await, None, "the earlier signals end");
    let heard = (ANNA, StreamId(1), MediaSource::Microphone, false);
    assert_eq!(offered(&mut again).await, (offer, heard), "the same offer");
    assert_eq!(offered(&mut again).await.0, seen);
    drop(again);
    media.unpublish(session, ANNA, StreamId(2)).await.unwrap();
    let mut again = media.receive(session, BELA, rtp_capabilities()).await.unwrap();
    assert_eq!(next(&mut again).await, Some(Signal::OfferClosed { offer: seen }), "what ended meanwhile");
    assert_eq!(offered(&mut again).await, (offer, heard));
    media.set_stream_paused(session, ANNA, StreamId(1), true).await.unwrap();
    assert_eq!(next(&mut again).await, Some(Signal::OfferPaused { offer }));
    media.close_session(session).await.unwrap();
}

async fn who_enters_again_begins_anew(media: &dyn Media, session: SessionId) {
    let mut observations = media.observations();
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    let (_, mut anna) = comes_in(media, session, ANNA).await;
    assert_eq!(next(&mut bela).await, Some(Signal::OfferClosed { offer }));
    let ended = Observed::StreamEnded { session, participant: ANNA, stream: StreamId(1), why: StreamEnd::Replaced };
    observed(&mut observations, &ended).await;
    let _signals = comes_in(media, session, ANNA).await;
    assert_eq!(next(&mut anna).await, Some(Signal::Restarted), "another entrance took over");
    assert_eq!(next(&mut anna).await, None);
    media.close_session(session).await.unwrap();
}

async fn who_is_disconnected_is_gone(media: &dyn Media, session: SessionId) {
    let (offer, mut bela) = two_and_a_microphone(media, session).await;
    media.disconnect(session, ANNA).await.unwrap();
    media.disconnect(session, ANNA).await.unwrap();
    assert_eq!(next(&mut bela).await, Some(Signal::OfferClosed { offer }));
    let published = media.publish(session, ANNA, microphone(StreamId(3))).await;
    assert_eq!(published, Err(MediaError::NotThere("participant")));
    media.disconnect(session, BELA).await.unwrap();
    assert_eq!(next(&mut bela).await, None);
    media.close_session(session).await.unwrap();
}

async fn observations_are_kept_until_acknowledged(media: &dyn Media, session: SessionId) {
    media.open_session(session).await.unwrap();
    let _signals = comes_in(media, session, ANNA).await;
    media.publish(session, ANNA, microphone(StreamId(1))).await.unwrap();
    let _signals = comes_in(media, session, ANNA).await;
    let ended = Observed::StreamEnded { session, participant: ANNA, stream: StreamId(1), why: StreamEnd::Replaced };
    let first = observed(&mut media.observations(), &ended).await;
    let mut observations = media.observations();
    assert_eq!(observed(&mut observations, &ended).await, first, "it comes again");
    media.acknowledge(first.id).await.unwrap();
    media.publish(session, ANNA, microphone(StreamId(2))).await.unwrap();
    let _signals = comes_in(media, session, ANNA).await;
    let next = tokio::time::timeout(WAIT, media.observations().next()).await.expect("observed in time").unwrap();
    assert_eq!(
        (next.id.run, next.id.number),
        (first.id.run, first.id.number + 1),
        "what was acknowledged is forgotten"
    );
    media.acknowledge(next.id).await.unwrap();
    media.close_session(session).await.unwrap();
}

async fn two_and_a_microphone(media: &dyn Media, session: SessionId) -> (OfferId, BoxStream<'static, Signal>) {
    media.open_session(session).await.unwrap();
    media.enter(session, ANNA, Standing::default()).await.unwrap();
    let (_, mut bela) = comes_in(media, session, BELA).await;
    media.publish(session, ANNA, microphone(StreamId(1))).await.unwrap();
    let (offer, _) = offered(&mut bela).await;
    (offer, bela)
}

async fn comes_in(
    media: &dyn Media,
    session: SessionId,
    participant: ParticipantId,
) -> (Entrance, BoxStream<'static, Signal>) {
    let entrance = media.enter(session, participant, Standing::default()).await.unwrap();
    (entrance, media.receive(session, participant, rtp_capabilities()).await.unwrap())
}

/// The next signal but for those that measure: they come when they will.
async fn next(signals: &mut BoxStream<'static, Signal>) -> Option<Signal> {
    loop {
        let signal = tokio::time::timeout(WAIT, signals.next()).await.expect("a signal in time");
        match signal {
            Some(
                Signal::ActiveSpeaker { .. } | Signal::Levels { .. } | Signal::Score { .. } | Signal::Layers { .. },
            ) => {}
            Some(
                Signal::Offered { .. }
                | Signal::OfferPaused { .. }
                | Signal::OfferResumed { .. }
                | Signal::OfferClosed { .. }
                | Signal::Restarted,
            )
            | None => return signal,
        }
    }
}

async fn offered(signals: &mut BoxStream<'static, Signal>) -> (OfferId, (ParticipantId, StreamId, MediaSource, bool)) {
    match next(signals).await {
        Some(Signal::Offered { offer, stream, participant, source, rtp_parameters, paused }) => {
            assert!(rtp_parameters["codecs"].is_array());
            (offer, (participant, stream, source, paused))
        }
        other => panic!("nothing was offered, but {other:?}"),
    }
}

async fn observed(observations: &mut BoxStream<'static, Observation>, what: &Observed) -> Observation {
    let find = async {
        loop {
            let observation = observations.next().await.expect("observations go on");
            if observation.what == *what {
                return observation;
            }
        }
    };
    tokio::time::timeout(WAIT, find).await.expect("observed in time")
}

fn invalid<T>(expected: &str, result: &Result<T, MediaError>) -> bool {
    matches!(result, Err(MediaError::Invalid { field, message }) if *field == expected && !message.is_empty())
}

fn microphone(stream: StreamId) -> Publication {
    let rtp_parameters = json!({
        "mid": "0",
        "codecs": [opus()],
        "headerExtensions": [],
        "encodings": [{ "ssrc": 0x1000_0000 + (stream.0 as u32) }],
        "rtcp": { "cname": "contract", "reducedSize": true, "mux": true },
    });
    Publication { stream, source: MediaSource::Microphone, rtp_parameters, paused: false }
}

fn camera(stream: StreamId) -> Publication {
    Publication { stream, source: MediaSource::Camera, rtp_parameters: camera_parameters(), paused: false }
}

/// Three sizes at once.
pub fn camera_parameters() -> Value {
    let encodings: Vec<Value> =
        ["a", "b", "c"].iter().map(|rid| json!({ "rid": rid, "scalabilityMode": "L1T3" })).collect();
    json!({
        "mid": "1",
        "codecs": [vp8(), rtx()],
        "headerExtensions": [
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1, "encrypt": false, "parameters": {} },
            { "uri": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "id": 2, "encrypt": false, "parameters": {} },
        ],
        "encodings": encodings,
        "rtcp": { "cname": "contract", "reducedSize": true },
    })
}

/// What a browser would say that it can receive.
pub fn rtp_capabilities() -> Value {
    let kinds = [(opus(), "audio", 100), (vp8(), "video", 101), (rtx(), "video", 102)];
    let codecs: Vec<Value> = kinds
        .into_iter()
        .map(|(mut codec, kind, payload_type)| {
            codec["kind"] = kind.into();
            codec["preferredPayloadType"] = payload_type.into();
            codec.as_object_mut().expect("an object").remove("payloadType");
            codec
        })
        .collect();
    json!({ "codecs": codecs, "headerExtensions": [] })
}

pub fn dtls_parameters() -> Value {
    let value = ["AB"; 32].join(":");
    json!({ "role": "client", "fingerprints": [{ "algorithm": "sha-256", "value": value }] })
}

fn opus() -> Value {
    json!({
        "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
        "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [],
    })
}

fn vp8() -> Value {
    json!({
        "mimeType": "video/VP8", "payloadType": 101, "clockRate": 90000, "parameters": {},
        "rtcpFeedback": [
            { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" },
            { "type": "ccm", "parameter": "fir" }, { "type": "goog-remb", "parameter": "" },
        ],
    })
}

fn rtx() -> Value {
    json!({
        "mimeType": "video/rtx", "payloadType": 102, "clockRate": 90000, "parameters": { "apt": 101 }, "rtcpFeedback": [],
    })
}
