//! Who waits for read models to change, told after a batch has committed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use witan_domain::{OrganizationId, SessionId};
use witan_event_store::Position;

type Senders = HashMap<(OrganizationId, SessionId), watch::Sender<Position>>;

/// The newest position at which a session's rows changed, for whoever subscribed to it.
#[derive(Default)]
pub struct Changes {
    sessions: Arc<Mutex<Senders>>,
}

/// One who waits for a session's changes; the last who goes takes the memory of it along.
pub struct Changed {
    sessions: Arc<Mutex<Senders>>,
    session: (OrganizationId, SessionId),
    receiver: watch::Receiver<Position>,
}

impl Changed {
    /// Waits for a change that was not seen yet. False when no more will be told.
    pub async fn changed(&mut self) -> bool {
        self.receiver.changed().await.is_ok()
    }

    /// Whatever was told so far is seen.
    pub fn seen(&mut self) {
        self.receiver.borrow_and_update();
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let mut sessions = locked(&self.sessions);
        // This receiver still counts, and nobody joins while the lock is held.
        if sessions.get(&self.session).is_some_and(|sender| sender.receiver_count() <= 1) {
            sessions.remove(&self.session);
        }
    }
}

fn locked(sessions: &Mutex<Senders>) -> MutexGuard<'_, Senders> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changes {
    /// Tells of each change of the session's rows from now on.
    pub fn session(&self, organization: OrganizationId, session: SessionId) -> Changed {
        let session = (organization, session);
        let receiver =
            locked(&self.sessions).entry(session).or_insert_with(|| watch::Sender::new(Position(0))).subscribe();
        Changed { sessions: Arc::clone(&self.sessions), session, receiver }
    }

    /// Rows of these sessions have changed, up to these positions.
    pub fn tell(&self, changed: impl Iterator<Item = ((OrganizationId, SessionId), Position)>) {
        let sessions = locked(&self.sessions);
        if sessions.is_empty() {
            return;
        }
        for (session, position) in changed {
            if let Some(sender) = sessions.get(&session) {
                sender.send_replace(position);
            }
        }
    }

    /// Nothing more will be told: all who wait see the end.
    pub fn end(&self) {
        locked(&self.sessions).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_goes_leaves_nothing_behind() {
        let changes = Changes::default();
        let (organization, session) = (OrganizationId(1), SessionId(2));
        let mut first = changes.session(organization, session);
        let second = changes.session(organization, session);
        drop(second);
        changes.tell([((organization, session), Position(3))].into_iter());
        assert!(first.changed().await, "who stays is still told");
        drop(first);
        assert!(locked(&changes.sessions).is_empty());
        let mut last = changes.session(organization, session);
        changes.end();
        assert!(!last.changed().await);
    }
}
