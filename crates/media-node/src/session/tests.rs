//! Packets through a session: sent and taken in this process, so that what flows can be counted without a network.

use std::{
    sync::atomic::{AtomicU16, AtomicUsize},
    time::Duration,
};

use mediasoup::prelude::{
    AppData, ConsumerOptions, DirectTransport, DirectTransportOptions, Producer, ProducerOptions, Transport,
};
use serde_json::json;
use witan_media_protocol::settings::Settings;

use super::*;
use crate::{session::participant::PublishedStream, workers::Workers};

const ANNA: ParticipantId = ParticipantId(1);
const BELA: ParticipantId = ParticipantId(2);
const SOUND: StreamId = StreamId(7);
const SSRC: u32 = 0x0bad_cafe;
const PAYLOAD_TYPE: u8 = 100;
/// Enough for a packet on its way through a worker of a busy machine.
const SETTLES: Duration = Duration::from_millis(300);

struct Call {
    session: Arc<Session>,
    observations: Arc<Observations>,
    /// Anna's microphone.
    producer: Producer,
    heard: Arc<AtomicUsize>,
    offer: OfferId,
    sequence: AtomicU16,
    _direct: DirectTransport,
    _workers: Workers,
}

fn microphone() -> Value {
    json!({
        "mid": "0",
        "codecs": [{
            "mimeType": "audio/opus", "payloadType": PAYLOAD_TYPE, "clockRate": 48000, "channels": 2,
            "parameters": {}, "rtcpFeedback": [],
        }],
        "headerExtensions": [],
        "encodings": [{ "ssrc": SSRC }],
        "rtcp": { "cname": "anna", "reducedSize": true },
    })
}

impl Call {
    /// Anna and Bela have entered; Anna's microphone is offered to Bela.
    async fn begins() -> Self {
        let settings = Settings {
            socket: "unused".into(),
            listen: vec!["127.0.0.1".parse().unwrap()],
            announced: Vec::new(),
            port: 0,
            workers: 1,
            turn: None,
            idle_seconds: 1,
        };
        let workers = Workers::start(&settings).await.unwrap();
        let observations = Arc::new(Observations::new(1));
        let lane = workers.least_loaded().unwrap();
        let session = Session::open(SessionId(1), lane, None, Arc::clone(&observations)).await.unwrap();
        for who in [ANNA, BELA] {
            session.enter(who, Standing::default()).await.unwrap();
        }
        let _signals = session.receive(BELA, witan_media::contract::rtp_capabilities()).await.unwrap();
        let direct = session.router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
        let mut options =
            ProducerOptions::new(mediasoup::prelude::MediaKind::Audio, checks::rtp_parameters(microphone()).unwrap());
        options.app_data = AppData::new(ANNA);
        let producer = direct.produce(options).await.unwrap();
        let (offer, heard) = {
            let mut state = session.state.lock().await;
            let published = Published { codec: "opus".into(), layers: 1 };
            let stream = PublishedStream {
                producer: producer.clone(),
                source: MediaSource::Microphone,
                paused: false,
                published,
            };
            state.participants.get_mut(&ANNA).unwrap().streams.insert(SOUND, stream);
            session.announce(&mut state, ANNA, SOUND).await.unwrap();
            let receiver = state.participants.get_mut(&BELA).unwrap();
            let mut options = ConsumerOptions::new(producer.id(), receiver.receives.clone().unwrap());
            options.paused = true;
            let consumer = direct.consume(options).await.unwrap();
            let heard = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&heard);
            consumer
                .on_rtp(move |_| {
                    counted.fetch_add(1, Relaxed);
                })
                .detach();
            let (offer, made) = receiver.offers.iter_mut().next().expect("it is offered");
            made.consumer = consumer;
            (*offer, heard)
        };
        let sequence = AtomicU16::new(0);
        Self { session, observations, producer, heard, offer, sequence, _direct: direct, _workers: workers }
    }

    /// How many of ten packets that Anna sends come to Bela.
    async fn hears(&self) -> usize {
        let before = self.heard.load(Relaxed);
        let Producer::Direct(producer) = &self.producer else { panic!("a producer that takes packets") };
        for _ in 0..10 {
            let sequence = self.sequence.fetch_add(1, Relaxed);
            let mut packet = vec![0x80, PAYLOAD_TYPE];
            packet.extend(sequence.to_be_bytes());
            packet.extend((u32::from(sequence) * 960).to_be_bytes());
            packet.extend(SSRC.to_be_bytes());
            packet.extend([0xf8; 40]);
            producer.send(packet).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(SETTLES).await;
        self.heard.load(Relaxed) - before
    }

    fn seen(&self) -> usize {
        self.observations.waiting()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_flow_once_an_offer_is_acknowledged() {
    let call = Call::begins().await;
    assert_eq!(call.hears().await, 0);
    call.session.acknowledge_offer(BELA, call.offer).await.unwrap();
    assert_eq!(call.hears().await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_mute_let_no_packet_through() {
    let call = Call::begins().await;
    let session = &call.session;
    session.acknowledge_offer(BELA, call.offer).await.unwrap();
    session.set_stream_paused(ANNA, SOUND, true).await.unwrap();
    assert_eq!(call.hears().await, 0);
    session.set_stream_paused(ANNA, SOUND, false).await.unwrap();
    assert_eq!(call.hears().await, 10);
    session.mute(ANNA, MediaSource::Microphone).await.unwrap();
    session.set_stream_paused(ANNA, SOUND, false).await.unwrap();
    assert_eq!(call.hears().await, 0, "a host's mute is not the client's to take back");
    session.allow(ANNA, MediaSource::Microphone).await.unwrap();
    assert_eq!(call.hears().await, 10, "the client had said that it may flow");
    session.mute(ANNA, MediaSource::Microphone).await.unwrap();
    session.allow(ANNA, MediaSource::Microphone).await.unwrap();
    assert_eq!(call.hears().await, 0, "nobody is unmuted by somebody else");
    assert_eq!(call.seen(), 0, "all of it was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_lets_nothing_through_in_either_direction() {
    let call = Call::begins().await;
    let session = &call.session;
    session.acknowledge_offer(BELA, call.offer).await.unwrap();
    for held in [ANNA, BELA] {
        session.set_held(held, true).await.unwrap();
        assert_eq!(call.hears().await, 0);
        session.set_held(held, false).await.unwrap();
        assert_eq!(call.hears().await, 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unpublished_is_gone() {
    let call = Call::begins().await;
    let session = &call.session;
    session.acknowledge_offer(BELA, call.offer).await.unwrap();
    assert_eq!(call.hears().await, 10);
    session.unpublish(ANNA, SOUND).await;
    let gone = session.acknowledge_offer(BELA, call.offer).await;
    assert_eq!(gone, Err(MediaError::NotThere("offer")));
    assert_eq!(session.counts.offers.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_disconnected_hears_nothing_more() {
    let call = Call::begins().await;
    call.session.acknowledge_offer(BELA, call.offer).await.unwrap();
    call.session.disconnect(BELA).await;
    assert_eq!(call.hears().await, 0);
}
