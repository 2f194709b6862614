//! What a participant is told: the session's events, and a node's signals, over reloads and lost nodes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use witan_domain::{Actor, OfferId, StreamId, participant::MediaSource};
use witan_media::Signal;

use super::media::{Call, participant_of};
use crate::{
    signals::{SessionSignal, SessionSignals},
    testing::*,
    *,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn rtp_capabilities() -> Option<Value> {
    Some(json!({ "codecs": [], "headerExtensions": [] }))
}

/// A participant who listens.
struct Listener<'a> {
    call: &'a Call,
    signals: SessionSignals,
}

impl Listener<'_> {
    async fn next(&mut self) -> Option<Result<SessionSignal, Error>> {
        let next = tokio::time::timeout(PATIENCE, self.signals.next(&self.call.world.app)).await;
        next.expect("something comes").transpose()
    }

    /// The next signal of the node.
    async fn hears(&mut self) -> Signal {
        loop {
            if let SessionSignal::Media(signal) = self.next().await.expect("it goes on").unwrap() {
                return signal;
            }
        }
    }

    async fn is_offered(&mut self, stream: StreamId) -> OfferId {
        match self.hears().await {
            Signal::Offered { offer, stream: offered, .. } if offered == stream => offer,
            other => panic!("{stream} was not offered, but {other:?}"),
        }
    }

    /// The next event of this kind.
    async fn sees(&mut self, kind: &str) -> history::HistoryEvent {
        loop {
            if let SessionSignal::Event(event) = self.next().await.expect("it goes on").unwrap()
                && event.kind == kind
            {
                return *event;
            }
        }
    }
}

impl Call {
    fn feeds(&self) -> JoinHandle<()> {
        self.world.feeds()
    }

    async fn listens(&self, who: &Actor, after: Option<Position>, capabilities: Option<Value>) -> Listener<'_> {
        let request = self.world.ask(who);
        let signals = self.world.app.session_signals(&request, self.session, after, capabilities).await.unwrap();
        Listener { call: self, signals }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_publish_is_offered_and_told() {
    let call = Call::begins().await;
    let _feeds = call.feeds();
    let (world, app) = (&call.world, &call.world.app);
    let before = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    let mut host = call.listens(&call.host, Some(Position(0)), rtp_capabilities()).await;
    let heard = host.is_offered(before).await;
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let seen = host.is_offered(stream).await;
    for offer in [heard, seen] {
        app.acknowledge_offer(&world.ask(&call.host), call.session, offer).await.unwrap();
    }
    app.set_preferred_layers(&world.ask(&call.host), call.session, seen, 0, Some(1)).await.unwrap();
    app.request_key_frame(&world.ask(&call.host), call.session, seen).await.unwrap();
    let offers = call.media.session(call.session).unwrap().offers(participant_of(&call.host));
    assert!(offers.values().all(|offer| offer.acknowledged));
    assert_eq!(code(app.acknowledge_offer(&world.ask(&call.pat), call.session, seen).await), "OFFER_NOT_FOUND");
    call.pauses(&call.pat, stream, true).await.unwrap();
    assert_eq!(host.hears().await, Signal::OfferPaused { offer: seen });
    app.unpublish_stream(&world.ask(&call.pat), call.session, stream).await.unwrap();
    assert_eq!(host.hears().await, Signal::OfferClosed { offer: seen });

    let mut plain = call.listens(&call.pat, Some(Position(0)), None).await;
    let joined = plain.sees("ParticipantJoined").await;
    assert!(joined.data["arrival"]["display_name"]["value"].is_string());
    assert!(joined.data["arrival"].get("device").is_none());
    assert_eq!(plain.sees("StreamPublished").await.data["stream"], before.to_string());
    plain.sees("StreamMuted").await;
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_enters_anew_is_offered_all_anew() {
    let call = Call::begins().await;
    let _feeds = call.feeds();
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let mut host = call.listens(&call.host, None, rtp_capabilities()).await;
    let first = host.is_offered(stream).await;
    call.world.app.enter_media(&call.world.ask(&call.host), call.session).await.unwrap();
    let second = host.is_offered(stream).await;
    assert_ne!(first, second);
    // Another subscription takes over from this one, with the same offers: what flows goes on flowing.
    let mut other = call.listens(&call.host, None, rtp_capabilities()).await;
    assert_eq!(other.is_offered(stream).await, second);
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lost_node_one_is_told_to_enter_anew() {
    let call = Call::begins().await;
    let _feeds = call.feeds();
    let mut host = call.listens(&call.host, None, rtp_capabilities()).await;
    call.media.set_lost(true);
    assert_eq!(host.hears().await, Signal::Restarted);
    call.media.set_lost(false);
    witan_media::Media::open_session(call.media.as_ref(), call.session).await.unwrap();
    // Who comes back just now, by a new connection, is told too.
    let mut pat = call.listens(&call.pat, None, rtp_capabilities()).await;
    assert_eq!(pat.hears().await, Signal::Restarted);
    for who in [&call.host, &call.pat] {
        call.world.app.enter_media(&call.world.ask(who), call.session).await.unwrap();
    }
    let stream = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    host.is_offered(stream).await;
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_end_with_the_session_and_are_for_who_is_in() {
    let call = Call::begins().await;
    let _feeds = call.feeds();
    let (world, app) = (&call.world, &call.world.app);
    let nonsense = Some(json!({ "codecs": 7 }));
    let mut wrong = call.listens(&call.pat, None, nonsense).await;
    assert_eq!(code(wrong.next().await.unwrap().map(|_| ())), "MEDIA_PARAMETERS_INVALID");
    let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
    let refused = app.session_signals(&world.ask(&call.pat), call.session, None, Some(deep)).await;
    assert_eq!(code(refused.map(|_| ())), "INVALID_INPUT");
    let account = app.session_signals(&world.ask(&call.tenant.owner), call.session, None, None).await;
    assert_eq!(code(account.map(|_| ())), "FORBIDDEN");

    let mut host = call.listens(&call.host, None, rtp_capabilities()).await;
    app.remove_participant(&world.ask(&call.host), call.session, call.pat_id, false, None).await.unwrap();
    let removed = host.sees("ParticipantRemoved").await;
    assert!(removed.data.get("reason").is_none_or(Value::is_null));
    let refused = app.session_signals(&world.ask(&call.pat), call.session, None, None).await;
    assert_eq!(code(refused.map(|_| ())), "FORBIDDEN");
    app.end_session(&world.ask(&call.host), call.session).await.unwrap();
    host.sees("SessionEnded").await;
    assert!(host.next().await.is_none(), "it ends with the session");
    call.ends().await;
}
