//! A media node in this process, for tests: it keeps what it was told, and can be made to fail.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use witan_domain::{ParticipantId, SessionId};

use crate::{Media, MediaError, MediaMode, Source};

/// What the node does for one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeSession {
    pub muted: BTreeSet<(ParticipantId, Source)>,
    pub held: BTreeSet<ParticipantId>,
    pub disconnected: BTreeSet<ParticipantId>,
}

#[derive(Debug, Default)]
pub struct FakeMedia {
    sessions: Mutex<BTreeMap<SessionId, FakeSession>>,
    lost: Mutex<bool>,
}

impl FakeMedia {
    pub fn new() -> Self {
        Self::default()
    }

    /// The node is gone (`true`) with everything that it carried, or a fresh one is there (`false`).
    pub fn set_lost(&self, lost: bool) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = lost;
        self.sessions().clear();
    }

    /// What it carries for this session now.
    pub fn session(&self, session: SessionId) -> Option<FakeSession> {
        self.sessions().get(&session).cloned()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, FakeSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, session: SessionId, change: impl FnOnce(&mut FakeSession)) -> Result<(), MediaError> {
        if *self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(MediaError::NoNode);
        }
        match self.sessions().get_mut(&session) {
            Some(found) => {
                change(found);
                Ok(())
            }
            None => Err(MediaError::Node("this session is not open here".into())),
        }
    }
}

#[async_trait]
impl Media for FakeMedia {
    fn mode(&self) -> MediaMode {
        MediaMode::Sfu
    }

    async fn open_session(&self, session: SessionId) -> Result<(), MediaError> {
        if *self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(MediaError::NoNode);
        }
        self.sessions().entry(session).or_default();
        Ok(())
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MediaError> {
        self.sessions().remove(&session);
        Ok(())
    }

    async fn mute(&self, session: SessionId, participant: ParticipantId, source: Source) -> Result<(), MediaError> {
        self.with(session, |open| {
            open.muted.insert((participant, source));
        })
    }

    async fn set_held(&self, session: SessionId, participant: ParticipantId, held: bool) -> Result<(), MediaError> {
        self.with(session, |open| {
            if held {
                open.held.insert(participant);
            } else {
                open.held.remove(&participant);
            }
        })
    }

    async fn disconnect(&self, session: SessionId, participant: ParticipantId) -> Result<(), MediaError> {
        self.with(session, |open| {
            open.disconnected.insert(participant);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_what_it_was_told_and_forgets_it_when_lost() {
        let media = FakeMedia::new();
        let (session, patient) = (SessionId(1), ParticipantId(2));
        assert!(media.mute(session, patient, Source::Camera).await.is_err());
        media.open_session(session).await.unwrap();
        media.open_session(session).await.unwrap();
        media.mute(session, patient, Source::Camera).await.unwrap();
        media.set_held(session, patient, true).await.unwrap();
        let open = media.session(session).unwrap();
        assert!(open.muted.contains(&(patient, Source::Camera)) && open.held.contains(&patient));
        media.set_lost(true);
        assert_eq!(media.open_session(session).await, Err(MediaError::NoNode));
        media.set_lost(false);
        assert_eq!(media.session(session), None);
    }
}
