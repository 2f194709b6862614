//! A media node in this process, for tests and for a server without media: it keeps what it was told and tells what a
//! node would tell, but no packet flows. It can be made to fail.

mod session;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};
pub use session::{FakeOffer, FakeSession, FakeStream};
use tokio::sync::{mpsc, watch};
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId, Timestamp};

use crate::{
    Entrance, Media, MediaError, MediaMode, MediaSource, Nodes, Observation, ObservationId, Observed, Publication,
    Published, Signal, Standing, StreamEnd,
};

/// The only run of this node.
const RUN: u64 = 1;

#[derive(Debug)]
pub struct FakeMedia {
    inner: Mutex<Inner>,
    nodes: watch::Sender<Nodes>,
    /// Not acknowledged yet.
    observations: Arc<Mutex<VecDeque<Observation>>>,
    /// How many observations there were.
    observed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<SessionId, FakeSession>,
    lost: bool,
    refusing: bool,
    made_count: u128,
}

impl Default for FakeMedia {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            nodes: watch::Sender::new(Nodes { available: true, changes: 1 }),
            observations: Arc::default(),
            observed: watch::Sender::new(0),
        }
    }
}

impl FakeMedia {
    pub fn new() -> Self {
        Self::default()
    }

    /// The node is gone (`true`) with everything that it carried, or a fresh one is there (`false`).
    pub fn set_lost(&self, lost: bool) {
        let sessions = {
            let mut inner = self.inner();
            inner.lost = lost;
            std::mem::take(&mut inner.sessions)
        };
        for session in sessions.into_values() {
            session.end(&Signal::Restarted);
        }
        self.nodes.send_modify(|nodes| {
            nodes.available = !lost;
            nodes.changes += 1;
        });
    }

    /// Whether it has no room for sessions that are not open yet.
    pub fn set_refusing(&self, refusing: bool) {
        self.inner().refusing = refusing;
    }

    /// What it carries for this session now.
    pub fn session(&self, session: SessionId) -> Option<FakeSession> {
        self.inner().sessions.get(&session).cloned()
    }

    /// Tells whoever receives as this participant.
    pub fn signal(&self, session: SessionId, participant: ParticipantId, signal: Signal) {
        if let Some(open) = self.inner().sessions.get(&session) {
            open.tell(participant, signal);
        }
    }

    /// The node saw this by itself. Its clock counts observations.
    pub fn observe(&self, what: Observed) {
        self.observed.send_modify(|number| {
            *number += 1;
            let id = ObservationId { run: RUN, number: *number };
            lock(&self.observations).push_back(Observation { id, at: Timestamp(*number), what });
        });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn with<T>(
        &self,
        session: SessionId,
        act: impl FnOnce(&mut FakeSession, &mut u128) -> Result<T, MediaError>,
    ) -> Result<T, MediaError> {
        let mut inner = self.inner();
        if inner.lost {
            return Err(MediaError::NoNode);
        }
        let Inner { sessions, made_count, .. } = &mut *inner;
        act(sessions.get_mut(&session).ok_or(MediaError::NotThere("session"))?, made_count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a client sends is an object that has this list.
fn list<'a>(object: &'a Value, name: &str, field: &'static str) -> Result<&'a Vec<Value>, MediaError> {
    let invalid = || MediaError::Invalid { field, message: format!("expected an object with a list `{name}`") };
    object.get(name).and_then(Value::as_array).ok_or_else(invalid)
}

#[async_trait]
impl Media for FakeMedia {
    fn mode(&self) -> MediaMode {
        MediaMode::Sfu
    }

    fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.subscribe()
    }

    async fn open_session(&self, session: SessionId) -> Result<(), MediaError> {
        let mut inner = self.inner();
        if inner.lost {
            return Err(MediaError::NoNode);
        }
        if inner.refusing && !inner.sessions.contains_key(&session) {
            return Err(MediaError::Node("no room for this one".into()));
        }
        inner.sessions.entry(session).or_default();
        Ok(())
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MediaError> {
        self.inner().sessions.remove(&session);
        Ok(())
    }

    async fn sessions(&self) -> Result<BTreeSet<SessionId>, MediaError> {
        let inner = self.inner();
        if inner.lost { Err(MediaError::NoNode) } else { Ok(inner.sessions.keys().copied().collect()) }
    }

    async fn mute(
        &self,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.mute(participant, source);
            Ok(())
        })
    }

    async fn allow(
        &self,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.muted.remove(&(participant, source));
            open.settle();
            Ok(())
        })
    }

    async fn set_held(&self, session: SessionId, participant: ParticipantId, held: bool) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.set_held(participant, held);
            Ok(())
        })
    }

    async fn disconnect(&self, session: SessionId, participant: ParticipantId) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.disconnect(participant);
            Ok(())
        })
    }

    async fn enter(
        &self,
        session: SessionId,
        participant: ParticipantId,
        standing: Standing,
    ) -> Result<Entrance, MediaError> {
        let (entrance, replaced) = self.with(session, |open, made| Ok(open.enter(participant, standing, made)))?;
        for stream in replaced {
            self.observe(Observed::StreamEnded { session, participant, stream, why: StreamEnd::Replaced });
        }
        Ok(entrance)
    }

    async fn connect_transport(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
        dtls_parameters: Value,
    ) -> Result<(), MediaError> {
        list(&dtls_parameters, "fingerprints", "dtlsParameters")?;
        self.with(session, |open, _| open.connect(participant, transport))
    }

    async fn restart_ice(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
    ) -> Result<Value, MediaError> {
        self.with(session, |open, made| {
            open.connect(participant, transport)?;
            *made += 1;
            Ok(json!({ "usernameFragment": format!("fake{made}"), "password": "fake", "iceLite": true }))
        })
    }

    async fn publish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        publication: Publication,
    ) -> Result<Published, MediaError> {
        let codecs = list(&publication.rtp_parameters, "codecs", "rtpParameters")?;
        let mime = codecs.first().and_then(|codec| codec.get("mimeType")).and_then(Value::as_str).unwrap_or_default();
        let codec = mime.split_once('/').map_or("", |(_, codec)| codec).to_owned();
        if codec.is_empty() {
            let message = "the first of `codecs` has no `mimeType` such as audio/opus".into();
            return Err(MediaError::Invalid { field: "rtpParameters", message });
        }
        let encodings = list(&publication.rtp_parameters, "encodings", "rtpParameters").map_or(1, Vec::len);
        let layers = u8::try_from(encodings.max(1)).unwrap_or(u8::MAX);
        self.with(session, |open, made| open.publish(participant, publication, made))?;
        Ok(Published { codec, layers })
    }

    async fn set_stream_paused(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
        paused: bool,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.stream(participant, stream)?.paused = paused;
            open.settle();
            Ok(())
        })
    }

    async fn unpublish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.unpublish(participant, stream);
            Ok(())
        })
    }

    async fn receive(
        &self,
        session: SessionId,
        participant: ParticipantId,
        rtp_capabilities: Value,
    ) -> Result<BoxStream<'static, Signal>, MediaError> {
        list(&rtp_capabilities, "codecs", "rtpCapabilities")?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.with(session, |open, made| open.receive(participant, sender, made))?;
        let next = |mut receiver: mpsc::UnboundedReceiver<Signal>| async move {
            receiver.recv().await.map(|signal| (signal, receiver))
        };
        Ok(stream::unfold(receiver, next).boxed())
    }

    async fn acknowledge_offer(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.offer(participant, offer)?.acknowledged = true;
            Ok(())
        })
    }

    async fn set_preferred_layers(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| {
            open.offer(participant, offer)?.preferred = Some((spatial, temporal));
            Ok(())
        })
    }

    async fn request_key_frame(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
    ) -> Result<(), MediaError> {
        self.with(session, |open, _| open.offer(participant, offer).map(|_| ()))
    }

    fn observations(&self) -> BoxStream<'static, Observation> {
        let (kept, observed) = (Arc::clone(&self.observations), self.observed.subscribe());
        let next = |(kept, mut observed, after): (Arc<Mutex<VecDeque<Observation>>>, watch::Receiver<u64>, u64)| async move {
            loop {
                observed.mark_unchanged();
                let found = lock(&kept).iter().find(|one| one.id.number > after).cloned();
                if let Some(observation) = found {
                    let number = observation.id.number;
                    return Some((observation, (kept, observed, number)));
                }
                observed.changed().await.ok()?;
            }
        };
        stream::unfold((kept, observed, 0), next).boxed()
    }

    async fn acknowledge(&self, through: ObservationId) -> Result<(), MediaError> {
        lock(&self.observations).retain(|one| one.id.number > through.number);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fake_media_keeps_the_contract() {
        crate::contract::contract(&FakeMedia::new()).await;
    }

    #[tokio::test]
    async fn forgets_everything_when_lost() {
        let media = FakeMedia::new();
        let mut nodes = media.nodes();
        let (session, patient) = (SessionId(1), ParticipantId(2));
        media.open_session(session).await.unwrap();
        media.mute(session, patient, MediaSource::Camera).await.unwrap();
        media.enter(session, patient, Standing::default()).await.unwrap();
        let mut signals = media.receive(session, patient, crate::contract::rtp_capabilities()).await.unwrap();
        media.signal(session, patient, Signal::ActiveSpeaker { participant: Some(patient) });
        media.set_lost(true);
        assert!(nodes.has_changed().unwrap() && !nodes.borrow_and_update().available);
        assert_eq!(signals.next().await, Some(Signal::ActiveSpeaker { participant: Some(patient) }));
        assert_eq!((signals.next().await, signals.next().await), (Some(Signal::Restarted), None));
        assert_eq!(media.open_session(session).await, Err(MediaError::NoNode));
        media.set_lost(false);
        assert!(nodes.borrow_and_update().available);
        assert_eq!(media.session(session), None);
    }
}
