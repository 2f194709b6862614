//! What each participant is offered of what the others send, and whether it flows.

use std::{collections::BTreeMap, sync::Arc};

use mediasoup::prelude::{
    Consumer, ConsumerLayers, ConsumerOptions, RtpObserver, RtpObserverAddProducerOptions, Transport,
};
use witan_domain::{OfferId, ParticipantId, StreamId, participant::StreamKind};
use witan_media::{MediaError, Signal};

use super::{
    NO_PARTICIPANT, Session, State, fault,
    participant::{Offer, refused},
};
/// How many offers that are over are told to who listens again.
const CLOSED_MAX: usize = 256;

impl State {
    /// Whether packets of the stream may go to anybody.
    fn flows(&self, sender: ParticipantId, stream: StreamId) -> bool {
        let stream = self.participants.get(&sender).and_then(|sender| sender.streams.get(&stream));
        stream.is_some_and(|stream| {
            !stream.paused && !self.held.contains(&sender) && !self.muted.contains(&(sender, stream.source))
        })
    }

    fn flows_to(&self, receiver: ParticipantId, sender: ParticipantId, stream: StreamId) -> bool {
        self.flows(sender, stream) && !self.held.contains(&receiver)
    }

    fn offer(&self, participant: ParticipantId, offer: OfferId) -> Result<&Offer, MediaError> {
        let receiver = self.participants.get(&participant).ok_or(NO_PARTICIPANT)?;
        receiver.offers.get(&offer).ok_or(MediaError::NotThere("offer"))
    }
}

impl Session {
    /// Lets flow what may and stops what may not, and tells whom it concerns.
    pub(super) async fn settle(&self, state: &mut State) -> Result<(), MediaError> {
        for (sender, participant) in &state.participants {
            for (id, stream) in &participant.streams {
                match (state.flows(*sender, *id), stream.producer.paused()) {
                    (true, true) => stream.producer.resume().await.map_err(fault)?,
                    (false, false) => stream.producer.pause().await.map_err(fault)?,
                    (true, false) | (false, true) => {}
                }
            }
        }
        let mut flows_now = BTreeMap::new();
        for (receiver, participant) in &state.participants {
            let held = state.held.contains(receiver);
            for (id, offer) in &participant.offers {
                match (offer.acknowledged && !held, offer.consumer.paused()) {
                    (true, true) => offer.consumer.resume().await.map_err(fault)?,
                    (false, false) => offer.consumer.pause().await.map_err(fault)?,
                    (true, false) | (false, true) => {}
                }
                let flows = state.flows_to(*receiver, offer.sender, offer.stream);
                if flows != offer.flows {
                    flows_now.insert((*receiver, *id), flows);
                }
            }
        }
        for ((receiver, offer), flows) in flows_now {
            let there = state.participants.get_mut(&receiver).and_then(|receiver| receiver.offers.get_mut(&offer));
            if let Some(there) = there {
                there.flows = flows;
            }
            self.tell(receiver, if flows { Signal::OfferResumed { offer } } else { Signal::OfferPaused { offer } });
        }
        Ok(())
    }

    /// Sound is measured: how loud, and who speaks.
    pub(super) async fn listen_to(&self, state: &State, participant: ParticipantId, stream: StreamId) {
        let stream = state.participants.get(&participant).and_then(|sender| sender.streams.get(&stream));
        let Some(stream) = stream.filter(|stream| stream.source.kind() == StreamKind::Audio) else { return };
        let options = || RtpObserverAddProducerOptions::new(stream.producer.id());
        for added in [self.levels.add_producer(options()).await, self.speakers.add_producer(options()).await] {
            if let Err(error) = added {
                tracing::warn!(session = %self.id, %error, "a microphone is not measured");
            }
        }
    }

    pub(super) async fn offer_all(self: &Arc<Self>, state: &mut State, receiver: ParticipantId) {
        let others = state.participants.iter().filter(|(who, _)| **who != receiver);
        let streams: Vec<(ParticipantId, StreamId)> =
            others.flat_map(|(who, other)| other.streams.keys().map(|stream| (*who, *stream))).collect();
        for (sender, stream) in streams {
            self.offer(state, receiver, sender, stream).await;
        }
    }

    /// Makes the offer, where the receiver can take it. One that fails harms no other.
    pub(super) async fn offer(
        self: &Arc<Self>,
        state: &mut State,
        receiver: ParticipantId,
        sender: ParticipantId,
        stream: StreamId,
    ) {
        let flows = state.flows_to(receiver, sender, stream);
        let published = state.participants.get(&sender).and_then(|sender| sender.streams.get(&stream));
        let taking = state.participants.get(&receiver);
        let (Some(published), Some(taking)) = (published, taking) else { return };
        let Some(capabilities) = &taking.receives else { return };
        let producer = published.producer.id();
        if !self.router.can_consume(&producer, capabilities) {
            tracing::debug!(session = %self.id, codec = published.published.codec, "a client can't take this codec");
            return;
        }
        let mut options = ConsumerOptions::new(producer, capabilities.clone());
        options.paused = true;
        let consumer = match taking.receive.transport.consume(options).await {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::warn!(session = %self.id, %error, "a stream could not be offered");
                return;
            }
        };
        let offer = self.next_offer();
        self.measure_offer(&consumer, receiver, offer);
        let made = Offer { consumer, sender, stream, acknowledged: false, flows };
        self.tell_offer(state, receiver, offer, &made);
        if let Some(taking) = state.participants.get_mut(&receiver) {
            taking.offers.insert(offer, made);
        }
    }

    pub(super) fn offer_again(&self, state: &State, receiver: ParticipantId) {
        let Some(taking) = state.participants.get(&receiver) else { return };
        taking.offers.iter().for_each(|(offer, made)| self.tell_offer(state, receiver, *offer, made));
    }

    fn tell_offer(&self, state: &State, receiver: ParticipantId, offer: OfferId, made: &Offer) {
        let sender = state.participants.get(&made.sender);
        let Some(published) = sender.and_then(|sender| sender.streams.get(&made.stream)) else { return };
        match serde_json::to_value(made.consumer.rtp_parameters()) {
            Ok(rtp_parameters) => {
                let (stream, participant, source) = (made.stream, made.sender, published.source);
                let paused = !made.flows;
                self.tell(receiver, Signal::Offered { offer, stream, participant, source, rtp_parameters, paused });
            }
            Err(error) => tracing::error!(session = %self.id, %error, "RTP parameters that are no JSON"),
        }
    }

    fn measure_offer(self: &Arc<Self>, consumer: &Consumer, receiver: ParticipantId, offer: OfferId) {
        let session = Arc::downgrade(self);
        let on_score = move |score: &mediasoup::consumer::ConsumerScore| {
            if let Some(session) = session.upgrade() {
                session.tell(receiver, Signal::Score { offer, score: score.score });
            }
        };
        consumer.on_score(on_score).detach();
        let session = Arc::downgrade(self);
        let on_layers = move |layers: &Option<ConsumerLayers>| {
            if let Some(session) = session.upgrade() {
                let spatial = layers.map(|layers| layers.spatial_layer);
                let temporal = layers.and_then(|layers| layers.temporal_layer);
                session.tell(receiver, Signal::Layers { offer, spatial, temporal });
            }
        };
        consumer.on_layers_change(on_layers).detach();
    }

    pub async fn acknowledge_offer(&self, participant: ParticipantId, offer: OfferId) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        state.offer(participant, offer)?;
        let there = state.participants.get_mut(&participant).and_then(|receiver| receiver.offers.get_mut(&offer));
        if let Some(there) = there {
            there.acknowledged = true;
        }
        if state.held.contains(&participant) {
            return Ok(());
        }
        // The engine asks the sender for a key frame when a consumer of video is resumed.
        let consumer = state.offer(participant, offer)?.consumer.clone();
        if consumer.paused() { consumer.resume().await.map_err(fault) } else { Ok(()) }
    }

    pub async fn set_preferred_layers(
        &self,
        participant: ParticipantId,
        offer: OfferId,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), MediaError> {
        let state = self.state.lock().await;
        let layers = ConsumerLayers { spatial_layer: spatial, temporal_layer: temporal };
        let set = state.offer(participant, offer)?.consumer.set_preferred_layers(layers).await;
        set.map_err(|error| refused("spatialLayer", error))
    }

    pub async fn request_key_frame(&self, participant: ParticipantId, offer: OfferId) -> Result<(), MediaError> {
        let state = self.state.lock().await;
        state.offer(participant, offer)?.consumer.request_key_frame().await.map_err(fault)
    }

    /// Ends all that the participant sends; says what that was.
    pub(super) fn close_streams_of(&self, state: &mut State, participant: ParticipantId) -> Vec<StreamId> {
        let streams = state.participants.get_mut(&participant).map(|sender| std::mem::take(&mut sender.streams));
        let closed: Vec<StreamId> = streams.unwrap_or_default().into_keys().collect();
        closed.iter().for_each(|stream| self.close_offers_of(state, *stream));
        closed
    }

    pub(super) fn close_offers_of(&self, state: &mut State, stream: StreamId) {
        for (receiver, taking) in &mut state.participants {
            let gone: Vec<OfferId> =
                taking.offers.extract_if(.., |_, offer| offer.stream == stream).map(|(offer, _)| offer).collect();
            for offer in gone {
                taking.closed.push_back(offer);
                if taking.closed.len() > CLOSED_MAX {
                    taking.closed.pop_front();
                }
                self.tell(*receiver, Signal::OfferClosed { offer });
            }
        }
    }
}
