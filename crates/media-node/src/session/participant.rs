//! Who has entered: their two transports, what they send, what they are offered.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use mediasoup::{
    prelude::{
        AppData, Consumer, Producer, ProducerOptions, Router, RtpCapabilities, RtpParameters, Transport,
        WebRtcTransport, WebRtcTransportOptions, WebRtcTransportRemoteParameters,
    },
    types::data_structures::{DtlsState, IceState},
    worker::RequestError,
};
use serde::Serialize;
use serde_json::Value;
use witan_domain::{OfferId, ParticipantId, StreamId};
use witan_media::{Entrance, IceServer, MediaError, MediaSource, Published, TransportParameters};

use super::{Session, fault};
use crate::checks;

/// Where congestion control begins.
const OUTGOING_BITS_INITIAL: u64 = 1_000_000;
/// More than this a participant need not send: 1080p, a screen and sound.
const INCOMING_BITS_MAX: u64 = 12_000_000;
/// A client that is gone without a word is noticed after this.
const SILENT_SECONDS: u8 = 15;

pub(super) struct Participant {
    pub send: Link,
    pub receive: Link,
    pub streams: BTreeMap<StreamId, PublishedStream>,
    /// What the client can take, once it has said so.
    pub receives: Option<RtpCapabilities>,
    pub offers: BTreeMap<OfferId, Offer>,
    /// The newest of the offers that are over.
    pub closed: VecDeque<OfferId>,
    /// Whether it was observed that the connection is gone.
    pub lost: bool,
}

pub(super) struct PublishedStream {
    pub producer: Producer,
    pub source: MediaSource,
    /// By the participant, or by a mute that they have not taken back.
    pub paused: bool,
    pub published: Published,
}

pub(super) struct Offer {
    pub consumer: Consumer,
    pub sender: ParticipantId,
    pub stream: StreamId,
    pub acknowledged: bool,
    /// What the receiver was told last.
    pub flows: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LinkChange {
    Connected,
    /// Nothing has come for a while: it may come back.
    Silent,
    /// The client closed it.
    Closed,
}

/// A transport and what the client answered to it.
pub(super) struct Link {
    pub transport: WebRtcTransport,
    answered: Option<Value>,
}

impl Link {
    async fn open(session: &Arc<Session>, participant: ParticipantId) -> Result<Self, MediaError> {
        let mut options = WebRtcTransportOptions::new_with_server(session.lane.server.clone());
        options.initial_available_outgoing_bitrate = OUTGOING_BITS_INITIAL;
        options.max_incoming_bitrate = Some(INCOMING_BITS_MAX);
        options.prefer_udp = true;
        options.ice_consent_timeout = SILENT_SECONDS;
        let transport = session.router.create_webrtc_transport(options).await.map_err(fault)?;
        watch(&transport, Arc::downgrade(session), participant);
        Ok(Self { transport, answered: None })
    }

    pub fn transport_id(&self) -> String {
        self.transport.id().to_string()
    }

    pub async fn connect(&mut self, parameters: Value) -> Result<(), MediaError> {
        let dtls_parameters = checks::dtls_parameters(parameters.clone())?;
        match &self.answered {
            Some(before) if *before == parameters => return Ok(()),
            Some(_) => return Err(invalid("dtlsParameters", "this transport is connected already")),
            None => {}
        }
        let connected = self.transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await;
        connected.map_err(|error| refused("dtlsParameters", error))?;
        self.answered = Some(parameters);
        Ok(())
    }

    fn parameters(&self) -> Result<TransportParameters, MediaError> {
        Ok(TransportParameters {
            id: self.transport_id(),
            ice_parameters: json(self.transport.ice_parameters())?,
            ice_candidates: json(self.transport.ice_candidates())?,
            dtls_parameters: json(self.transport.dtls_parameters())?,
            sctp_parameters: self.transport.sctp_parameters().map(json).transpose()?,
        })
    }
}

fn json(value: impl Serialize) -> Result<Value, MediaError> {
    serde_json::to_value(value).map_err(fault)
}

fn invalid(field: &'static str, message: &str) -> MediaError {
    MediaError::Invalid { field, message: message.into() }
}

/// What the engine refuses was sent wrong; that it can't answer is its own fault.
pub(super) fn refused(field: &'static str, error: RequestError) -> MediaError {
    match error {
        RequestError::Response { reason } => MediaError::Invalid { field, message: reason },
        other => fault(other),
    }
}

/// Changes are told to the session later: callbacks come on the engine's own thread.
fn watch(transport: &WebRtcTransport, session: Weak<Session>, participant: ParticipantId) {
    let (id, runtime) = (transport.id().to_string(), tokio::runtime::Handle::current());
    let tell = Arc::new(move |change| {
        let (session, id) = (session.clone(), id.clone());
        runtime.spawn(async move {
            if let Some(session) = session.upgrade() {
                session.link_changed(participant, &id, change).await;
            }
        });
    });
    let on_ice = Arc::clone(&tell);
    transport
        .on_ice_state_change(move |state| match state {
            IceState::Connected | IceState::Completed => on_ice(LinkChange::Connected),
            IceState::Disconnected => on_ice(LinkChange::Silent),
            IceState::New => {}
        })
        .detach();
    transport
        .on_dtls_state_change(move |state| match state {
            DtlsState::Failed | DtlsState::Closed => tell(LinkChange::Closed),
            DtlsState::New | DtlsState::Connecting | DtlsState::Connected => {}
        })
        .detach();
}

impl Participant {
    pub async fn enter(session: &Arc<Session>, participant: ParticipantId) -> Result<Self, MediaError> {
        let (send, receive) =
            futures_util::future::try_join(Link::open(session, participant), Link::open(session, participant)).await?;
        Ok(Self {
            send,
            receive,
            streams: BTreeMap::new(),
            receives: None,
            offers: BTreeMap::new(),
            closed: VecDeque::new(),
            lost: false,
        })
    }

    pub fn entrance(&self, router: &Router, ice_servers: Vec<IceServer>) -> Result<Entrance, MediaError> {
        Ok(Entrance {
            router_rtp_capabilities: json(router.rtp_capabilities())?,
            send: self.send.parameters()?,
            receive: self.receive.parameters()?,
            ice_servers,
        })
    }

    pub fn link(&mut self, transport: &str) -> Result<&mut Link, MediaError> {
        [&mut self.send, &mut self.receive]
            .into_iter()
            .find(|link| link.transport_id() == transport)
            .ok_or(MediaError::NotThere("transport"))
    }

    pub fn is_connected(&self) -> bool {
        [&self.send, &self.receive]
            .into_iter()
            .any(|link| matches!(link.transport.ice_state(), IceState::Connected | IceState::Completed))
    }

    pub async fn publish(
        &mut self,
        participant: ParticipantId,
        stream: StreamId,
        source: MediaSource,
        parameters: RtpParameters,
        paused: bool,
    ) -> Result<Published, MediaError> {
        let mut options = ProducerOptions::new(checks::kind(source.kind()), parameters);
        options.paused = paused;
        options.app_data = AppData::new(participant);
        let producer = self.send.transport.produce(options).await.map_err(|error| match error {
            mediasoup::prelude::ProduceError::Request(error) => refused("rtpParameters", error),
            other => MediaError::Invalid { field: "rtpParameters", message: other.to_string() },
        })?;
        let published = what_is_published(producer.rtp_parameters());
        self.streams.insert(stream, PublishedStream { producer, source, paused, published: published.clone() });
        Ok(published)
    }
}

fn what_is_published(parameters: &RtpParameters) -> Published {
    let mime = parameters.codecs.first().map(|codec| codec.mime_type().as_str()).unwrap_or_default();
    let codec = mime.split_once('/').map_or(mime, |(_, codec)| codec).to_owned();
    let layers = match &parameters.encodings[..] {
        [one] => one.scalability_mode.spatial_layers().get(),
        several => u8::try_from(several.len()).unwrap_or(u8::MAX),
    };
    Published { codec, layers }
}
