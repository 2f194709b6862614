//! One session: a router, who has entered, what they send, and what each is offered of it.

mod offers;
mod participant;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream::{self, Stream};
use mediasoup::prelude::{
    ActiveSpeakerObserver, ActiveSpeakerObserverOptions, AudioLevelObserver, AudioLevelObserverOptions, Router,
    RouterOptions,
};
use participant::Participant;
use serde_json::Value;
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};
use witan_media::{
    Entrance, Level, MediaError, MediaSource, Observed, Publication, Published, Signal, Standing, StreamEnd,
};

use witan_media_protocol::settings::Turn;

use crate::{chance, checks, codecs::codecs, observations::Observations, outbox::Outbox, turn, workers::Lane};

/// How loud one must be to be named.
const LEVEL_DBOV_MIN: i8 = -70;
/// The loudest that are named.
const LEVELS_MAX: u16 = 16;
const LEVELS_MILLISECONDS: u16 = 500;
const SPEAKER_MILLISECONDS: u16 = 300;
/// How loud speech is; what is softer is breath and room.
const SPEECH_DBOV_MIN: i8 = -50;
/// How often it is told who spoke for how long.
const SPEECH_TOLD_EVERY: Duration = Duration::from_secs(60);

const NO_PARTICIPANT: MediaError = MediaError::NotThere("participant");

pub struct Session {
    id: SessionId,
    lane: Arc<Lane>,
    turn: Option<Turn>,
    observations: Arc<Observations>,
    router: Router,
    levels: AudioLevelObserver,
    speakers: ActiveSpeakerObserver,
    state: tokio::sync::Mutex<State>,
    /// For how many milliseconds people spoke since it was told.
    speech: Mutex<BTreeMap<ParticipantId, u64>>,
    /// How many offers were made.
    offered: AtomicU64,
    /// Who is told what happens: at most one listener for each participant.
    listeners: Mutex<BTreeMap<ParticipantId, Arc<Outbox>>>,
    pub counts: Counts,
}

/// What a node tells of its load.
#[derive(Debug, Default)]
pub struct Counts {
    pub participants: AtomicUsize,
    pub streams: AtomicUsize,
    pub offers: AtomicUsize,
}

#[derive(Default)]
struct State {
    participants: BTreeMap<ParticipantId, Participant>,
    /// By a host.
    muted: BTreeSet<(ParticipantId, MediaSource)>,
    held: BTreeSet<ParticipantId>,
}

/// A fault of the engine.
fn fault(error: impl std::fmt::Display) -> MediaError {
    MediaError::Node(error.to_string())
}

impl Session {
    pub async fn open(
        id: SessionId,
        lane: Arc<Lane>,
        turn: Option<Turn>,
        observations: Arc<Observations>,
    ) -> Result<Arc<Self>, MediaError> {
        let router = lane.worker.create_router(RouterOptions::new(codecs())).await.map_err(fault)?;
        let mut options = AudioLevelObserverOptions::default();
        options.max_entries = LEVELS_MAX.try_into().map_err(fault)?;
        options.threshold = LEVEL_DBOV_MIN;
        options.interval = LEVELS_MILLISECONDS;
        let levels = router.create_audio_level_observer(options).await.map_err(fault)?;
        let mut options = ActiveSpeakerObserverOptions::default();
        options.interval = SPEAKER_MILLISECONDS;
        let speakers = router.create_active_speaker_observer(options).await.map_err(fault)?;
        lane.sessions.fetch_add(1, Relaxed);
        let session = Arc::new(Self {
            id,
            lane,
            turn,
            observations,
            router,
            levels,
            speakers,
            state: tokio::sync::Mutex::default(),
            speech: Mutex::default(),
            offered: AtomicU64::new(0),
            listeners: Mutex::default(),
            counts: Counts::default(),
        });
        session.measure();
        Ok(session)
    }

    /// Levels and the speaker go to everyone.
    fn measure(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let on_volumes = move |volumes: &[mediasoup::prelude::AudioLevelObserverVolume]| {
            let level = |volume: &mediasoup::prelude::AudioLevelObserverVolume| {
                let participant = volume.producer.app_data().downcast_ref::<ParticipantId>().copied()?;
                Some(Level { participant, dbov: volume.volume })
            };
            let levels: Vec<Level> = volumes.iter().filter_map(level).collect();
            if let Some(session) = weak.upgrade() {
                session.hears(&levels);
            }
            tell_all(&weak, &Signal::Levels { levels });
        };
        self.levels.on_volumes(on_volumes).detach();
        let weak = Arc::downgrade(self);
        let on_silence = move || {
            tell_all(&weak, &Signal::Levels { levels: Vec::new() });
            tell_all(&weak, &Signal::ActiveSpeaker { participant: None });
        };
        self.levels.on_silence(on_silence).detach();
        let weak = Arc::downgrade(self);
        let on_speaker = move |speaker: &mediasoup::prelude::ActiveSpeakerObserverDominantSpeaker| {
            let participant = speaker.producer.app_data().downcast_ref::<ParticipantId>().copied();
            tell_all(&weak, &Signal::ActiveSpeaker { participant });
        };
        self.speakers.on_dominant_speaker(on_speaker).detach();
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SPEECH_TOLD_EVERY).await;
                let Some(session) = weak.upgrade() else { return };
                session.tell_speech();
            }
        });
    }

    fn hears(&self, levels: &[Level]) {
        let mut speech = self.speech.lock().unwrap_or_else(PoisonError::into_inner);
        for level in levels.iter().filter(|level| level.dbov >= SPEECH_DBOV_MIN) {
            *speech.entry(level.participant).or_default() += u64::from(LEVELS_MILLISECONDS);
        }
    }

    fn tell_speech(&self) {
        let speech = std::mem::take(&mut *self.speech.lock().unwrap_or_else(PoisonError::into_inner));
        if !speech.is_empty() {
            self.saw(Observed::Spoke { session: self.id, speech: speech.into_iter().collect() });
        }
    }

    /// Everything is closed, and whoever listens hears nothing more.
    pub async fn close(&self) {
        self.tell_speech();
        let mut state = self.state.lock().await;
        *state = State::default();
        self.count(&state);
        let listeners = std::mem::take(&mut *self.listeners());
        listeners.values().for_each(|outbox| outbox.end());
    }

    pub async fn mute(&self, participant: ParticipantId, source: MediaSource) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        state.muted.insert((participant, source));
        if let Some(muted) = state.participants.get_mut(&participant) {
            // Allowed again, it flows when the participant says so.
            muted.streams.values_mut().filter(|stream| stream.source == source).for_each(|stream| stream.paused = true);
        }
        self.settle(&mut state).await
    }

    pub async fn allow(&self, participant: ParticipantId, source: MediaSource) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        state.muted.remove(&(participant, source));
        self.settle(&mut state).await
    }

    pub async fn set_held(&self, participant: ParticipantId, held: bool) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        if held {
            state.held.insert(participant);
        } else {
            state.held.remove(&participant);
        }
        self.settle(&mut state).await
    }

    pub async fn disconnect(&self, participant: ParticipantId) {
        let mut state = self.state.lock().await;
        self.close_streams_of(&mut state, participant);
        state.participants.remove(&participant);
        self.count(&state);
        if let Some(outbox) = self.listeners().remove(&participant) {
            outbox.end();
        }
    }

    pub async fn enter(
        self: &Arc<Self>,
        participant: ParticipantId,
        standing: Standing,
    ) -> Result<Entrance, MediaError> {
        let entering = Participant::enter(self, participant).await?;
        let mut state = self.state.lock().await;
        for stream in self.close_streams_of(&mut state, participant) {
            self.saw(Observed::StreamEnded { session: self.id, participant, stream, why: StreamEnd::Replaced });
        }
        // What moderation decided while the entrance was on its way has come here already: nothing of it is lost.
        state.muted.extend(standing.muted.into_iter().map(|source| (participant, source)));
        if standing.held {
            state.held.insert(participant);
        }
        let ice_servers = turn::ice_servers(self.turn.as_ref(), chance::now(), chance::random());
        let entrance = entering.entrance(&self.router, ice_servers)?;
        state.participants.insert(participant, entering);
        self.count(&state);
        if let Some(outbox) = self.listeners().remove(&participant) {
            outbox.push(Signal::Restarted);
            outbox.end();
        }
        Ok(entrance)
    }

    pub async fn connect_transport(
        &self,
        participant: ParticipantId,
        transport: &str,
        dtls_parameters: Value,
    ) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        let link = state.participants.get_mut(&participant).ok_or(NO_PARTICIPANT)?.link(transport)?;
        link.connect(dtls_parameters).await
    }

    pub async fn restart_ice(&self, participant: ParticipantId, transport: &str) -> Result<Value, MediaError> {
        let mut state = self.state.lock().await;
        let link = state.participants.get_mut(&participant).ok_or(NO_PARTICIPANT)?.link(transport)?;
        let parameters = link.transport.restart_ice().await.map_err(fault)?;
        serde_json::to_value(parameters).map_err(fault)
    }

    pub async fn publish(
        self: &Arc<Self>,
        participant: ParticipantId,
        publication: Publication,
    ) -> Result<Published, MediaError> {
        let parameters = checks::rtp_parameters(publication.rtp_parameters);
        let mut state = self.state.lock().await;
        let publisher = state.participants.get_mut(&participant).ok_or(NO_PARTICIPANT)?;
        let stream = publication.stream;
        if let Some(there) = publisher.streams.get(&stream) {
            return Ok(there.published.clone());
        }
        let published =
            publisher.publish(participant, stream, publication.source, parameters?, publication.paused).await?;
        self.announce(&mut state, participant, stream).await?;
        Ok(published)
    }

    /// Offers a new stream to everyone who receives.
    async fn announce(
        self: &Arc<Self>,
        state: &mut State,
        participant: ParticipantId,
        stream: StreamId,
    ) -> Result<(), MediaError> {
        self.listen_to(state, participant, stream).await;
        // Before anybody is offered it: a muted source must not be heard for a moment.
        self.settle(state).await?;
        let others: Vec<ParticipantId> = state.participants.keys().copied().filter(|who| *who != participant).collect();
        for receiver in others {
            self.offer(state, receiver, participant, stream).await;
        }
        self.count(state);
        Ok(())
    }

    pub async fn set_stream_paused(
        &self,
        participant: ParticipantId,
        stream: StreamId,
        paused: bool,
    ) -> Result<(), MediaError> {
        let mut state = self.state.lock().await;
        let publisher = state.participants.get_mut(&participant).ok_or(NO_PARTICIPANT)?;
        publisher.streams.get_mut(&stream).ok_or(MediaError::NotThere("stream"))?.paused = paused;
        self.settle(&mut state).await
    }

    pub async fn unpublish(&self, participant: ParticipantId, stream: StreamId) {
        let mut state = self.state.lock().await;
        let removed = state.participants.get_mut(&participant).and_then(|publisher| publisher.streams.remove(&stream));
        if removed.is_some() {
            self.close_offers_of(&mut state, stream);
            self.count(&state);
        }
    }

    /// What happens for this participant from now on, until it is dropped or somebody else listens as them.
    pub async fn receive(
        self: &Arc<Self>,
        participant: ParticipantId,
        rtp_capabilities: Value,
    ) -> Result<impl Stream<Item = Signal> + Send + use<>, MediaError> {
        let capabilities = checks::rtp_capabilities(rtp_capabilities);
        let mut state = self.state.lock().await;
        let receiver = state.participants.get_mut(&participant).ok_or(NO_PARTICIPANT)?;
        let (capabilities, outbox) = (capabilities?, Arc::new(Outbox::default()));
        if let Some(before) = self.listeners().insert(participant, Arc::clone(&outbox)) {
            before.end();
        }
        receiver.closed.iter().for_each(|offer| outbox.push(Signal::OfferClosed { offer: *offer }));
        if receiver.receives.is_none() {
            receiver.receives = Some(capabilities);
            self.offer_all(&mut state, participant).await;
        } else {
            self.offer_again(&state, participant);
        }
        self.count(&state);
        let listener = Listener { session: Arc::clone(self), participant, outbox };
        let next = |listener: Listener| async { listener.outbox.next().await.map(|signal| (signal, listener)) };
        Ok(stream::unfold(listener, next))
    }

    /// The participant's connection is gone, or is back.
    async fn link_changed(&self, participant: ParticipantId, transport: &str, change: participant::LinkChange) {
        let mut state = self.state.lock().await;
        let Some(found) = state.participants.get_mut(&participant) else { return };
        // A transport of an earlier entrance says nothing any more.
        if found.link(transport).is_err() {
            return;
        }
        match change {
            participant::LinkChange::Connected => found.lost = false,
            participant::LinkChange::Silent | participant::LinkChange::Closed => {
                if !std::mem::replace(&mut found.lost, true) {
                    self.saw(Observed::TransportLost { session: self.id, participant });
                }
                let sends = found.send.transport_id() == transport;
                if sends && matches!(change, participant::LinkChange::Closed) {
                    for stream in self.close_streams_of(&mut state, participant) {
                        let why = StreamEnd::TransportLost;
                        self.saw(Observed::StreamEnded { session: self.id, participant, stream, why });
                    }
                }
            }
        }
        self.count(&state);
    }

    /// Whether packets may still go to and from somebody.
    pub async fn is_live(&self) -> bool {
        self.state.lock().await.participants.values().any(Participant::is_connected)
    }

    /// Later offers have greater ids; those of another run of the node are others.
    fn next_offer(&self) -> OfferId {
        let (run, number) = (self.observations.run(), self.offered.fetch_add(1, Relaxed) + 1);
        OfferId(u128::from(run) << 64 | u128::from(number))
    }

    fn saw(&self, what: Observed) {
        self.observations.observe(chance::now(), what);
    }

    fn tell(&self, participant: ParticipantId, signal: Signal) {
        if let Some(outbox) = self.listeners().get(&participant) {
            outbox.push(signal);
        }
    }

    fn count(&self, state: &State) {
        let participants = state.participants.values();
        self.counts.participants.store(state.participants.len(), Relaxed);
        self.counts.streams.store(participants.clone().map(|one| one.streams.len()).sum(), Relaxed);
        self.counts.offers.store(participants.map(|one| one.offers.len()).sum(), Relaxed);
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<ParticipantId, Arc<Outbox>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.lane.sessions.fetch_sub(1, Relaxed);
    }
}

fn tell_all(session: &Weak<Session>, signal: &Signal) {
    if let Some(session) = session.upgrade() {
        session.listeners().values().for_each(|outbox| outbox.push(signal.clone()));
    }
}

/// Somebody reads a participant's signals.
struct Listener {
    session: Arc<Session>,
    participant: ParticipantId,
    outbox: Arc<Outbox>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.session.listeners();
        if listeners.get(&self.participant).is_some_and(|current| Arc::ptr_eq(current, &self.outbox)) {
            listeners.remove(&self.participant);
        }
    }
}
