//! The node: its workers, the sessions that they carry, and whether a server is there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use witan_domain::SessionId;
use witan_media::MediaError;
use witan_media_protocol::{settings::Settings, wire};

use crate::{observations::Observations, session::Session, workers::Workers};

pub struct Node {
    pub settings: Settings,
    pub workers: Workers,
    pub observations: Arc<Observations>,
    sessions: Mutex<BTreeMap<SessionId, Arc<Session>>>,
    /// One opening at a time, so that a session has one router.
    opening: tokio::sync::Mutex<()>,
    /// How many servers watch.
    pub watching: AtomicUsize,
    /// The server has said that it goes.
    pub retired: AtomicBool,
}

impl Node {
    pub fn new(settings: Settings, workers: Workers, observations: Arc<Observations>) -> Self {
        Self {
            settings,
            workers,
            observations,
            sessions: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            watching: AtomicUsize::default(),
            retired: AtomicBool::default(),
        }
    }

    pub async fn open_session(&self, id: SessionId) -> Result<(), MediaError> {
        let _one_at_a_time = self.opening.lock().await;
        if self.sessions().contains_key(&id) {
            return Ok(());
        }
        let lane = self.workers.least_loaded().ok_or_else(|| MediaError::Node("there is no worker".into()))?;
        let session = Session::open(id, lane, self.settings.turn.clone(), Arc::clone(&self.observations)).await?;
        self.sessions().insert(id, session);
        Ok(())
    }

    pub async fn close_session(&self, id: SessionId) {
        let closed = self.sessions().remove(&id);
        if let Some(session) = closed {
            session.close().await;
        }
    }

    pub fn session(&self, id: SessionId) -> Result<Arc<Session>, MediaError> {
        self.sessions().get(&id).cloned().ok_or(MediaError::NotThere("session"))
    }

    pub fn session_ids(&self) -> Vec<SessionId> {
        self.sessions().keys().copied().collect()
    }

    /// Whether anybody is connected, in any session.
    pub async fn is_live(&self) -> bool {
        let sessions: Vec<Arc<Session>> = self.sessions().values().cloned().collect();
        for session in sessions {
            if session.is_live().await {
                return true;
            }
        }
        false
    }

    pub fn load(&self) -> wire::Load {
        fn count(number: usize) -> u32 {
            u32::try_from(number).unwrap_or(u32::MAX)
        }
        let sessions = self.sessions();
        let sum =
            |of: fn(&Session) -> &AtomicUsize| count(sessions.values().map(|session| of(session).load(Relaxed)).sum());
        wire::Load {
            workers: count(self.workers.count()),
            sessions: count(sessions.len()),
            participants: sum(|session| &session.counts.participants),
            streams: sum(|session| &session.counts.streams),
            offers: sum(|session| &session.counts.offers),
            observations_waiting: count(self.observations.waiting()),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
