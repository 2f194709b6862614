//! Who waits for read models to change, told after a batch has committed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use witan_domain::{OrganizationId, SessionId};
use witan_event_store::Position;

/// The newest position at which a session's rows changed, for whoever subscribed to it.
#[derive(Default)]
pub struct Changes {
    sessions: Mutex<HashMap<(OrganizationId, SessionId), watch::Sender<Position>>>,
}

impl Changes {
    /// Tells of each change of the session's rows from now on.
    pub fn session(&self, organization: OrganizationId, session: SessionId) -> watch::Receiver<Position> {
        let mut sessions = self.sessions();
        let sender = sessions.entry((organization, session)).or_insert_with(|| watch::Sender::new(Position(0)));
        sender.subscribe()
    }

    /// Rows of these sessions have changed, up to these positions. Forgets those whom nobody asks about.
    pub fn tell(&self, changed: impl Iterator<Item = ((OrganizationId, SessionId), Position)>) {
        let mut sessions = self.sessions();
        if sessions.is_empty() {
            return;
        }
        for (session, position) in changed {
            if let Some(sender) = sessions.get(&session) {
                if sender.receiver_count() == 0 {
                    sessions.remove(&session);
                } else {
                    sender.send_replace(position);
                }
            }
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(OrganizationId, SessionId), watch::Sender<Position>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
