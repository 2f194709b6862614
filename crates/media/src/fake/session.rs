//! What the fake node keeps of one session.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use witan_domain::{OfferId, ParticipantId, StreamId};

use crate::{Entrance, IceServer, MediaError, MediaSource, Publication, Signal, Standing, TransportParameters};

/// What the node does for one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeSession {
    /// By a host.
    pub muted: BTreeSet<(ParticipantId, MediaSource)>,
    pub held: BTreeSet<ParticipantId>,
    pub disconnected: BTreeSet<ParticipantId>,
    entered: BTreeMap<ParticipantId, Entered>,
}

/// A stream that somebody sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeStream {
    pub source: MediaSource,
    /// By the participant, or by a mute that the participant has not taken back.
    pub paused: bool,
    rtp_parameters: Value,
}

/// A stream as it is offered to one participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeOffer {
    pub stream: StreamId,
    pub acknowledged: bool,
    pub preferred: Option<(u8, Option<u8>)>,
    /// Whether it was told that packets come, once acknowledged.
    flows: bool,
}

#[derive(Clone, Debug, Default)]
struct Entered {
    transports: [String; 2],
    streams: BTreeMap<StreamId, FakeStream>,
    offers: BTreeMap<OfferId, FakeOffer>,
    closed: Vec<OfferId>,
    receives: bool,
    signals: Option<UnboundedSender<Signal>>,
}

/// Whom it tells is of no matter.
impl PartialEq for Entered {
    fn eq(&self, other: &Self) -> bool {
        (&self.transports, &self.streams, &self.offers) == (&other.transports, &other.streams, &other.offers)
    }
}

impl Eq for Entered {}

impl FakeSession {
    /// Who has entered.
    pub fn participants(&self) -> impl Iterator<Item = ParticipantId> {
        self.entered.keys().copied()
    }

    pub fn streams(&self, participant: ParticipantId) -> BTreeMap<StreamId, FakeStream> {
        self.entered.get(&participant).map(|entered| entered.streams.clone()).unwrap_or_default()
    }

    pub fn offers(&self, participant: ParticipantId) -> BTreeMap<OfferId, FakeOffer> {
        self.entered.get(&participant).map(|entered| entered.offers.clone()).unwrap_or_default()
    }

    /// Whether packets of this stream go to whoever has acknowledged it.
    pub fn flows(&self, participant: ParticipantId, stream: StreamId) -> bool {
        let found = self.entered.get(&participant).and_then(|entered| entered.streams.get(&stream));
        found.is_some_and(|stream| {
            let stopped = self.held.contains(&participant) || self.muted.contains(&(participant, stream.source));
            !stream.paused && !stopped
        })
    }

    pub(super) fn tell(&self, participant: ParticipantId, signal: Signal) {
        if let Some(signals) = self.entered.get(&participant).and_then(|entered| entered.signals.as_ref()) {
            // Whoever no longer listens is told nothing.
            let _ = signals.send(signal);
        }
    }

    /// The last that everyone hears.
    pub(super) fn end(self, last: &Signal) {
        self.entered.keys().for_each(|participant| self.tell(*participant, last.clone()));
    }

    pub(super) fn mute(&mut self, participant: ParticipantId, source: MediaSource) {
        self.muted.insert((participant, source));
        let streams = self.entered.get_mut(&participant).into_iter().flat_map(|entered| entered.streams.values_mut());
        streams.filter(|stream| stream.source == source).for_each(|stream| stream.paused = true);
        self.settle();
    }

    pub(super) fn set_held(&mut self, participant: ParticipantId, held: bool) {
        if held {
            self.held.insert(participant);
        } else {
            self.held.remove(&participant);
        }
        self.settle();
    }

    pub(super) fn disconnect(&mut self, participant: ParticipantId) {
        self.disconnected.insert(participant);
        self.close_streams_of(participant);
        self.entered.remove(&participant);
    }

    /// With the streams that ended because of it.
    pub(super) fn enter(
        &mut self,
        participant: ParticipantId,
        standing: Standing,
        made: &mut u128,
    ) -> (Entrance, Vec<StreamId>) {
        let replaced = self.close_streams_of(participant);
        self.tell(participant, Signal::Restarted);
        self.disconnected.remove(&participant);
        self.muted.extend(standing.muted.into_iter().map(|source| (participant, source)));
        let [send, receive] = [(); 2].map(|()| transport(made));
        let transports = [send.id.clone(), receive.id.clone()];
        self.entered.insert(participant, Entered { transports, ..Entered::default() });
        if standing.held {
            self.set_held(participant, true);
        }
        let router_rtp_capabilities = json!({
            "codecs": [
                { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 },
                { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000 },
            ],
            "headerExtensions": [],
        });
        let ice_servers =
            vec![IceServer { urls: vec!["stun:127.0.0.1:3478".into()], username: None, credential: None }];
        (Entrance { router_rtp_capabilities, send, receive, ice_servers }, replaced)
    }

    pub(super) fn connect(&mut self, participant: ParticipantId, transport: &str) -> Result<(), MediaError> {
        let entered = self.entered(participant)?;
        let known = entered.transports.iter().any(|one| one == transport);
        known.then_some(()).ok_or(MediaError::NotThere("transport"))
    }

    pub(super) fn publish(
        &mut self,
        participant: ParticipantId,
        publication: Publication,
        made: &mut u128,
    ) -> Result<(), MediaError> {
        let Publication { stream, source, rtp_parameters, paused } = publication;
        let streams = &mut self.entered(participant)?.streams;
        if streams.contains_key(&stream) {
            return Ok(());
        }
        streams.insert(stream, FakeStream { source, paused, rtp_parameters });
        let receivers: Vec<ParticipantId> = self.participants().filter(|who| *who != participant).collect();
        for receiver in receivers {
            self.offer_to(receiver, participant, stream, made);
        }
        Ok(())
    }

    pub(super) fn stream(
        &mut self,
        participant: ParticipantId,
        stream: StreamId,
    ) -> Result<&mut FakeStream, MediaError> {
        self.entered(participant)?.streams.get_mut(&stream).ok_or(MediaError::NotThere("stream"))
    }

    pub(super) fn unpublish(&mut self, participant: ParticipantId, stream: StreamId) {
        let removed = self.entered.get_mut(&participant).and_then(|entered| entered.streams.remove(&stream));
        if removed.is_some() {
            self.close_offers_of(stream);
        }
    }

    pub(super) fn receive(
        &mut self,
        participant: ParticipantId,
        signals: UnboundedSender<Signal>,
        made: &mut u128,
    ) -> Result<(), MediaError> {
        let entered = self.entered(participant)?;
        entered.signals = Some(signals);
        let (again, closed) = (std::mem::replace(&mut entered.receives, true), entered.closed.clone());
        closed.into_iter().for_each(|offer| self.tell(participant, Signal::OfferClosed { offer }));
        if again {
            for (offer, offered) in self.offers(participant) {
                self.tell_offer(participant, offer, offered.stream);
            }
            return Ok(());
        }
        let streams: Vec<(ParticipantId, StreamId)> = self
            .entered
            .iter()
            .filter(|(who, _)| **who != participant)
            .flat_map(|(who, entered)| entered.streams.keys().map(|stream| (*who, *stream)))
            .collect();
        for (sender, stream) in streams {
            self.offer_to(participant, sender, stream, made);
        }
        Ok(())
    }

    pub(super) fn offer(&mut self, participant: ParticipantId, offer: OfferId) -> Result<&mut FakeOffer, MediaError> {
        self.entered(participant)?.offers.get_mut(&offer).ok_or(MediaError::NotThere("offer"))
    }

    /// Tells of every offer that began or ceased to flow.
    pub(super) fn settle(&mut self) {
        let senders: BTreeMap<StreamId, ParticipantId> = self
            .entered
            .iter()
            .flat_map(|(who, entered)| entered.streams.keys().map(|stream| (*stream, *who)))
            .collect();
        let mut changed = Vec::new();
        for (receiver, entered) in &self.entered {
            for (offer, offered) in &entered.offers {
                let sender = senders.get(&offered.stream);
                let flows = sender.is_some_and(|sender| self.flows_to(*receiver, *sender, offered.stream));
                if flows != offered.flows {
                    changed.push((*receiver, *offer, flows));
                }
            }
        }
        for (receiver, offer, flows) in changed {
            if let Ok(offered) = self.offer(receiver, offer) {
                offered.flows = flows;
            }
            let signal = if flows { Signal::OfferResumed { offer } } else { Signal::OfferPaused { offer } };
            self.tell(receiver, signal);
        }
    }

    fn entered(&mut self, participant: ParticipantId) -> Result<&mut Entered, MediaError> {
        self.entered.get_mut(&participant).ok_or(MediaError::NotThere("participant"))
    }

    fn flows_to(&self, receiver: ParticipantId, sender: ParticipantId, stream: StreamId) -> bool {
        self.flows(sender, stream) && !self.held.contains(&receiver)
    }

    fn offer_to(&mut self, receiver: ParticipantId, sender: ParticipantId, stream: StreamId, made: &mut u128) {
        let flows = self.flows_to(receiver, sender, stream);
        let Some(entered) = self.entered.get_mut(&receiver).filter(|entered| entered.receives) else {
            return;
        };
        *made += 1;
        let offer = OfferId(*made);
        entered.offers.insert(offer, FakeOffer { stream, acknowledged: false, preferred: None, flows });
        self.tell_offer(receiver, offer, stream);
    }

    fn tell_offer(&self, receiver: ParticipantId, offer: OfferId, stream: StreamId) {
        let published = self
            .entered
            .iter()
            .find_map(|(sender, entered)| entered.streams.get(&stream).map(|found| (*sender, found)));
        if let Some((participant, FakeStream { source, rtp_parameters, .. })) = published {
            let paused = !self.flows_to(receiver, participant, stream);
            let (source, rtp_parameters) = (*source, rtp_parameters.clone());
            self.tell(receiver, Signal::Offered { offer, stream, participant, source, rtp_parameters, paused });
        }
    }

    fn close_streams_of(&mut self, participant: ParticipantId) -> Vec<StreamId> {
        let streams = self.entered.get_mut(&participant).map(|entered| std::mem::take(&mut entered.streams));
        let closed: Vec<StreamId> = streams.unwrap_or_default().into_keys().collect();
        closed.iter().for_each(|stream| self.close_offers_of(*stream));
        closed
    }

    fn close_offers_of(&mut self, stream: StreamId) {
        let mut closed = Vec::new();
        for (receiver, entered) in &mut self.entered {
            let gone = entered.offers.extract_if(.., |_, offered| offered.stream == stream);
            let gone: Vec<OfferId> = gone.map(|(offer, _)| offer).collect();
            entered.closed.extend(&gone);
            closed.extend(gone.into_iter().map(|offer| (*receiver, offer)));
        }
        for (receiver, offer) in closed {
            self.tell(receiver, Signal::OfferClosed { offer });
        }
    }
}

fn transport(made: &mut u128) -> TransportParameters {
    *made += 1;
    TransportParameters {
        id: format!("fake-transport-{made}"),
        ice_parameters: json!({ "usernameFragment": format!("fake{made}"), "password": "fake", "iceLite": true }),
        ice_candidates: json!([]),
        dtls_parameters: json!({ "role": "auto", "fingerprints": [] }),
        sctp_parameters: None,
    }
}
