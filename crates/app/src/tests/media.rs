//! Media: entering, publishing, muting; what follows from what hosts do and from what a node sees; what goes wrong.

use std::sync::Arc;

use serde_json::{Value, json};
use witan_domain::{
    Actor, Aggregate, ParticipantId, SessionId, SessionRole, StreamId,
    media::{MediaState, MutedBy, SessionMedia, UnpublishReason},
    participant::{MediaSource, StreamKind},
    session::{InterruptSession, ResumeSession},
    settings::{SettingValue, WhoMayPublish},
};
use witan_event_store::AppendError;
use witan_media::{FakeMedia, Observed, StreamEnd};

use crate::{history::Moment, media::NewStream, testing::*, *};

/// A session in which the host and Pat are in, and have entered the media.
pub(super) struct Call {
    pub world: World,
    pub media: Arc<FakeMedia>,
    pub running: Option<Running>,
    pub tenant: Tenant,
    pub session: SessionId,
    pub host: Actor,
    pub pat: Actor,
    pub pat_id: ParticipantId,
}

impl Call {
    pub async fn begins() -> Self {
        let media = Arc::new(FakeMedia::new());
        let world = World::with_media(media.clone());
        let running = Some(world.reacts());
        let tenant = world.tenant("clinic").await;
        let session = world.opens(&tenant).await;
        let (host, _) = world.host_joins(&tenant, session).await;
        let (pat, entered) = world.is_let_in(&tenant, &host, "Pat").await;
        let call = Self { world, media, running, tenant, session, host, pat, pat_id: entered.participant };
        for who in [&call.host, &call.pat] {
            let (entrance, position) = call.world.app.enter_media(&call.world.ask(who), session).await.unwrap();
            assert!(entrance.is_some() && position.is_none(), "there was nothing to end");
        }
        call
    }

    pub async fn publishes(&self, who: &Actor, source: MediaSource) -> Result<StreamId, Error> {
        let published = self.world.app.publish_stream(&self.world.ask(who), self.session, new(source)).await;
        published.map(|(stream, _)| stream)
    }

    pub async fn pauses(&self, who: &Actor, stream: StreamId, paused: bool) -> Result<(), Error> {
        let request = self.world.ask(who);
        self.world.app.set_stream_paused(&request, self.session, stream, paused).await.map(|_| ())
    }

    fn streams(&self) -> MediaState {
        self.world.app.current::<SessionMedia>(self.tenant.organization, self.session).unwrap().0
    }

    fn ended(&self, stream: StreamId) -> Option<UnpublishReason> {
        self.streams().stream(stream).unwrap().unpublished.map(|ended| ended.reason)
    }

    fn kinds(&self) -> Vec<String> {
        self.world.kinds(&SessionMedia::stream(self.session))
    }

    /// What the node lets through of Pat: each stream, and whether it flows.
    fn carried(&self) -> Vec<(StreamId, bool)> {
        let open = self.media.session(self.session).unwrap();
        let streams = open.streams(self.pat_id).into_keys();
        streams.map(|stream| (stream, open.flows(self.pat_id, stream))).collect()
    }

    pub async fn settles(&self) {
        self.world.settle(self.running.as_ref().unwrap()).await;
    }

    pub async fn ends(mut self) {
        self.world.stop(self.running.take().unwrap()).await;
    }
}

pub(super) fn participant_of(actor: &Actor) -> ParticipantId {
    match actor {
        Actor::Participant { participant, .. } => *participant,
        other => panic!("{other:?} is no participant"),
    }
}

fn new(source: MediaSource) -> NewStream {
    let kind = source.kind();
    NewStream { source, kind, rtp_parameters: rtp_parameters(kind), muted: false }
}

fn rtp_parameters(kind: StreamKind) -> Value {
    let mime = match kind {
        StreamKind::Audio => "audio/opus",
        StreamKind::Video => "video/VP8",
    };
    json!({ "codecs": [{ "mimeType": mime }], "encodings": [{}], "rtcp": { "cname": "a-secret-name" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_published_muted_and_ended() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let stream = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    assert_eq!(call.carried(), [(stream, true)]);
    call.pauses(&call.pat, stream, true).await.unwrap();
    assert_eq!(call.carried(), [(stream, false)]);
    call.pauses(&call.pat, stream, true).await.unwrap();
    call.pauses(&call.pat, stream, false).await.unwrap();
    assert_eq!(call.carried(), [(stream, true)]);
    let published = call.streams().stream(stream).unwrap().clone();
    assert_eq!((published.codec.as_str(), published.layers, published.muted), ("opus", 1, None));
    assert_eq!(code(call.pauses(&call.host, stream, true).await), "STREAM_NOT_FOUND", "it is Pat's");

    let ended = app.unpublish_stream(&world.ask(&call.pat), call.session, stream).await.unwrap();
    assert!(ended.position.is_some() && call.carried().is_empty());
    let again = app.unpublish_stream(&world.ask(&call.pat), call.session, stream).await.unwrap();
    assert_eq!(again.position, None);
    assert_eq!(call.kinds(), ["StreamPublished", "StreamMuted", "StreamUnmuted", "StreamUnpublished"]);
    let history =
        world.all().into_iter().map(|recorded| String::from_utf8_lossy(recorded.envelope.data()).into_owned());
    assert!(history.into_iter().all(|data| !data.contains("a-secret-name")), "how it travels is recorded nowhere");
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_again_is_the_same_stream() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let ask = || world.ask_once(&call.pat, "my camera", "publishStream camera");
    let (stream, first) = app.publish_stream(&ask(), call.session, new(MediaSource::Camera)).await.unwrap();
    let (again, second) = app.publish_stream(&ask(), call.session, new(MediaSource::Camera)).await.unwrap();
    assert_eq!((again, second.position), (stream, first.position));
    let anew = call.publishes(&call.pat, MediaSource::Camera).await;
    assert_eq!(code(anew), "SOURCE_ALREADY_PUBLISHED");
    app.unpublish_stream(&world.ask(&call.pat), call.session, stream).await.unwrap();
    let (late, _) = app.publish_stream(&ask(), call.session, new(MediaSource::Camera)).await.unwrap();
    assert_eq!((late, call.carried()), (stream, vec![]), "a late retry begins nothing at the node");
    let other = world.ask_once(&call.pat, "my camera", "publishStream microphone");
    let other = app.publish_stream(&other, call.session, new(MediaSource::Microphone)).await;
    assert_eq!(code(other), "IDEMPOTENCY_KEY_REUSED");
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_t_be_recorded_is_taken_back_at_the_node() {
    let call = Call::begins().await;
    call.world.faults.append("media", 0, AppendError::Full);
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Camera).await), "UNAVAILABLE");
    assert_eq!((call.carried(), call.kinds().len()), (vec![], 0));
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    call.pauses(&call.pat, stream, true).await.unwrap();
    call.world.faults.append("media", 0, AppendError::Full);
    assert_eq!(code(call.pauses(&call.pat, stream, false).await), "UNAVAILABLE");
    assert_eq!(call.carried(), [(stream, false)], "nobody is seen of whom the record says that they are not");
    assert_eq!(call.streams().stream(stream).unwrap().muted, Some(MutedBy::Participant));
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_does_not_do_is_not_recorded() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let nonsense = NewStream { rtp_parameters: json!({ "codecs": 7 }), ..new(MediaSource::Camera) };
    let refused = app.publish_stream(&world.ask(&call.pat), call.session, nonsense).await;
    let Err(Error::Rejected { code: "MEDIA_PARAMETERS_INVALID", field: Some(field), .. }) = refused else {
        panic!("what makes no sense is told to whoever sent it");
    };
    assert_eq!(field, "rtpParameters");
    let wrong = NewStream { kind: StreamKind::Audio, ..new(MediaSource::Camera) };
    assert_eq!(code(app.publish_stream(&world.ask(&call.pat), call.session, wrong).await), "KIND_NOT_OF_SOURCE");
    let ask = || world.ask(&call.pat);
    let dtls = || json!({ "role": "client", "fingerprints": [] });
    let connected = app.connect_transport(&ask(), call.session, "another's", dtls()).await;
    assert_eq!(code(connected), "TRANSPORT_NOT_FOUND");
    assert_eq!(code(app.connect_transport(&ask(), call.session, "", dtls()).await), "INVALID_INPUT");
    assert_eq!(code(app.restart_ice(&ask(), call.session, "another's").await), "TRANSPORT_NOT_FOUND");
    let offer = witan_domain::OfferId(1);
    assert_eq!(code(app.acknowledge_offer(&ask(), call.session, offer).await), "OFFER_NOT_FOUND");
    assert_eq!(code(app.set_preferred_layers(&ask(), call.session, offer, 99, None).await), "INVALID_INPUT");
    call.media.set_lost(true);
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Camera).await), "UNAVAILABLE");
    assert_eq!(code(app.enter_media(&ask(), call.session).await), "UNAVAILABLE");
    assert_eq!(call.kinds().len(), 0);
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_enters_anew_publishes_anew() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let of_host = call.publishes(&call.host, MediaSource::Camera).await.unwrap();
    app.mute_participant(&world.ask(&call.host), call.session, call.pat_id, MediaSource::Microphone).await.unwrap();
    app.enter_media(&world.ask(&call.pat), call.session).await.unwrap();
    assert_eq!((call.ended(stream), call.ended(of_host)), (Some(UnpublishReason::EnteredAnew), None));
    let anew = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    assert_eq!(call.carried(), [(anew, false)], "a mute from before holds");
    assert_eq!(call.streams().stream(anew).unwrap().muted, Some(MutedBy::Host));
    call.settles().await;
    assert_eq!(call.ended(anew), None, "what the node saw of the first entrance was recorded already");
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_s_mute_holds_until_a_host_lifts_it() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let stream = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    let (session, pat, source) = (call.session, call.pat_id, MediaSource::Microphone);
    app.mute_participant(&world.ask(&call.host), session, pat, source).await.unwrap();
    call.settles().await;
    assert_eq!(call.streams().stream(stream).unwrap().muted, Some(MutedBy::Host));
    assert_eq!(call.carried(), [(stream, false)]);
    assert_eq!(code(call.pauses(&call.pat, stream, false).await), "MUTED_BY_HOST");
    app.unmute_participant(&world.ask(&call.host), session, pat, source).await.unwrap();
    call.settles().await;
    assert_eq!(call.streams().stream(stream).unwrap().muted, Some(MutedBy::Host), "Pat is heard when Pat wants it");
    call.pauses(&call.pat, stream, false).await.unwrap();
    assert_eq!(call.carried(), [(stream, true)]);
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_held_or_gone_publishes_nothing() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let (session, pat) = (call.session, call.pat_id);
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    app.hold_participant(&world.ask(&call.host), session, pat).await.unwrap();
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Microphone).await), "PARTICIPANT_ON_HOLD");
    call.settles().await;
    assert_eq!((call.carried(), call.ended(stream)), (vec![(stream, false)], None));
    app.release_participant(&world.ask(&call.host), session, pat).await.unwrap();
    call.settles().await;
    assert_eq!(call.carried(), [(stream, true)]);
    app.remove_participant(&world.ask(&call.host), session, pat, false, None).await.unwrap();
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Microphone).await), "FORBIDDEN", "at once");
    assert_eq!(code(app.enter_media(&world.ask(&call.pat), session).await), "FORBIDDEN");
    call.settles().await;
    assert_eq!((call.carried(), call.ended(stream)), (vec![], Some(UnpublishReason::ParticipantGone)));
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_no_longer_publish_stops() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let screen = call.publishes(&call.pat, MediaSource::Screen).await.unwrap();
    let camera = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let lead = || world.ask(&call.tenant.host);
    app.change_session_setting(&lead(), call.session, SettingValue::ScreenShare(false)).await.unwrap();
    call.settles().await;
    assert_eq!((call.ended(screen), call.ended(camera)), (Some(UnpublishReason::NotAllowed), None));
    assert_eq!(call.carried(), [(camera, true)]);
    let hosts = SettingValue::WhoMayPublish(WhoMayPublish::Hosts);
    app.change_session_setting(&lead(), call.session, hosts).await.unwrap();
    call.settles().await;
    assert_eq!((call.ended(camera), call.carried()), (Some(UnpublishReason::NotAllowed), vec![]));
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Camera).await), "ONLY_HOSTS_PUBLISH");
    app.change_participant_role(&lead(), call.session, call.pat_id, SessionRole::CoHost).await.unwrap();
    let camera = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    app.change_participant_role(&lead(), call.session, call.pat_id, SessionRole::Observer).await.unwrap();
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Microphone).await), "FORBIDDEN", "by the policies");
    call.settles().await;
    assert_eq!((call.ended(camera), call.carried()), (Some(UnpublishReason::NotAllowed), vec![]));
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_session_and_are_there_then() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let then = world.newest();
    app.end_session(&world.ask(&call.host), call.session).await.unwrap();
    call.settles().await;
    assert_eq!(call.ended(stream), Some(UnpublishReason::SessionEnded));
    assert_eq!(call.media.session(call.session), None);
    let owner = world.ask(&call.tenant.owner);
    let seen = app.session_as_of(&owner, call.session, Moment::Position(then)).await.unwrap();
    assert_eq!(seen.media.live().count(), 1);
    let seen = app.session_as_of(&owner, call.session, Moment::Position(Position(then.0 - 1))).await.unwrap();
    assert_eq!(seen.media.streams.len(), 0);
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_no_node_carries_yet_is_to_be_asked_for_again() {
    let mut call = Call::begins().await;
    let Call { world, running, .. } = &mut call;
    world.stop(running.take().unwrap()).await;
    call.media.set_lost(true);
    call.media.set_lost(false);
    let enters = async || call.world.app.enter_media(&call.world.ask(&call.pat), call.session).await;
    assert_eq!(code(enters().await.map(|_| ())), "UNAVAILABLE");
    call.running = Some(call.world.reacts());
    call.world.until("it is carried again", || call.media.session(call.session).is_some()).await;
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_saw_is_recorded_once() {
    let mut call = Call::begins().await;
    let (session, participant) = (call.session, call.pat_id);
    let camera = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let microphone = call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    let of_host = call.publishes(&call.host, MediaSource::Camera).await.unwrap();
    let why = StreamEnd::TransportLost;
    call.media.observe(Observed::StreamEnded { session, participant, stream: camera, why });
    let lost = Some(UnpublishReason::ConnectionLost);
    call.world.until("the camera has ended", || call.ended(camera) == lost).await;
    assert_eq!(call.ended(microphone), None);
    // While nobody looks, the node keeps what it sees.
    let Call { world, running, .. } = &mut call;
    world.stop(running.take().unwrap()).await;
    call.media.observe(Observed::StreamEnded { session, participant, stream: microphone, why });
    call.media.observe(Observed::StreamEnded { session: SessionId(404), participant, stream: microphone, why });
    call.running = Some(call.world.reacts());
    call.world.until("the microphone has ended", || call.ended(microphone) == lost).await;
    assert_eq!(call.ended(of_host), None);
    let count = call.kinds().len();
    call.media.observe(Observed::StreamEnded { session, participant, stream: microphone, why });
    call.media.observe(Observed::TransportLost { session, participant: participant_of(&call.host) });
    let participant = participant_of(&call.host);
    call.media.observe(Observed::StreamEnded { session, participant, stream: of_host, why });
    call.world.until("the host's camera has ended", || call.ended(of_host) == lost).await;
    assert_eq!(call.kinds().len(), count + 1, "what was recorded adds nothing");
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speaking_time_is_in_the_record() {
    let call = Call::begins().await;
    let (session, pat) = (call.session, call.pat_id);
    for milliseconds in [1_200, 0, 300] {
        call.media.observe(Observed::Spoke { session, speech: vec![(pat, milliseconds)] });
    }
    call.world.until("all is measured", || call.streams().speech.get(&pat) == Some(&1_500)).await;
    assert_eq!(call.kinds(), ["SpeechMeasured", "SpeechMeasured"], "silence adds nothing");
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_node_carried_has_ended() {
    let call = Call::begins().await;
    let (world, app) = (&call.world, &call.world.app);
    let (organization, session) = (call.tenant.organization, call.session);
    let stream = call.publishes(&call.pat, MediaSource::Camera).await.unwrap();
    let now = world.clock.now();
    let system = || Request::system(witan_domain::CorrelationId(1), None);
    app.command_session(&system(), organization, session, InterruptSession { now }.into()).await.unwrap();
    assert_eq!(code(call.publishes(&call.pat, MediaSource::Microphone).await), "SESSION_INTERRUPTED");
    call.settles().await;
    assert_eq!(call.ended(stream), Some(UnpublishReason::NodeLost));
    app.command_session(&system(), organization, session, ResumeSession { now }.into()).await.unwrap();
    app.enter_media(&world.ask(&call.pat), session).await.unwrap();
    call.publishes(&call.pat, MediaSource::Microphone).await.unwrap();
    call.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_media_there_is_nothing_to_enter() {
    let world = World::new();
    let tenant = world.tenant("clinic").await;
    let session = world.opens(&tenant).await;
    let (host, _) = world.host_joins(&tenant, session).await;
    assert!(matches!(world.app.enter_media(&world.ask(&host), session).await, Ok((None, None))));
    let published = world.app.publish_stream(&world.ask(&host), session, new(MediaSource::Camera)).await;
    assert_eq!(code(published), "NO_MEDIA");
    let other = world.app.enter_media(&world.ask(&tenant.owner), session).await;
    assert_eq!(code(other), "FORBIDDEN", "an account is nobody in the session");
}
