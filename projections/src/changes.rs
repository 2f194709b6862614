//! Who waits for read models to change, told after a batch has committed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use witan_domain::{OrganizationId, SessionId};
use witan_event_store::{Position, Recorded};

/// Rows that somebody may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Watched {
    Session(OrganizationId, SessionId),
    /// Who waits at any desk of the organization. Told too often rather than too seldom: whoever is told looks.
    Desks(OrganizationId),
}

type Senders = HashMap<Watched, watch::Sender<Position>>;

/// The newest position at which rows changed, for whoever subscribed to them.
#[derive(Default)]
pub struct Changes {
    watched: Arc<Mutex<Senders>>,
}

/// One who waits for changes; the last who goes takes the memory of it along.
pub struct Changed {
    all: Arc<Mutex<Senders>>,
    watched: Watched,
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
        let mut all = locked(&self.all);
        // This receiver still counts, and nobody joins while the lock is held.
        if all.get(&self.watched).is_some_and(|sender| sender.receiver_count() <= 1) {
            all.remove(&self.watched);
        }
    }
}

fn locked(all: &Mutex<Senders>) -> MutexGuard<'_, Senders> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changes {
    /// Tells of each change of the session's rows from now on.
    pub fn session(&self, organization: OrganizationId, session: SessionId) -> Changed {
        self.watch(Watched::Session(organization, session))
    }

    /// Tells of each change of who waits in the organization from now on.
    pub fn desks(&self, organization: OrganizationId) -> Changed {
        self.watch(Watched::Desks(organization))
    }

    fn watch(&self, watched: Watched) -> Changed {
        let receiver =
            locked(&self.watched).entry(watched).or_insert_with(|| watch::Sender::new(Position(0))).subscribe();
        Changed { all: Arc::clone(&self.watched), watched, receiver }
    }

    /// These events are in the rows now.
    pub fn tell(&self, batch: &[Recorded]) {
        let each = |recorded: &Recorded| {
            let position = recorded.position;
            changed(recorded).into_iter().flatten().map(move |watched| (watched, position))
        };
        self.tell_each(batch.iter().flat_map(each));
    }

    fn tell_each(&self, changed: impl Iterator<Item = (Watched, Position)>) {
        let all = locked(&self.watched);
        if all.is_empty() {
            return;
        }
        for (watched, position) in changed {
            if let Some(sender) = all.get(&watched) {
                sender.send_replace(position);
            }
        }
    }

    /// Nothing more will be told: all who wait see the end.
    pub fn end(&self) {
        locked(&self.watched).clear();
    }
}

/// Which rows the event may have changed. A room is told of at a desk by its live session.
fn changed(recorded: &Recorded) -> [Option<Watched>; 2] {
    let envelope = &recorded.envelope;
    let Some(organization) = envelope.organization() else { return [None, None] };
    let session = || envelope.stream_id().parse().ok().map(|session| Watched::Session(organization, session));
    match envelope.category() {
        "session" => [session(), Some(Watched::Desks(organization))],
        "chat" | "media" => [session(), None],
        "invitation" | "room" | "units" => [None, Some(Watched::Desks(organization))],
        _ => [None, None],
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
        changes.tell_each([(Watched::Session(organization, session), Position(3))].into_iter());
        assert!(first.changed().await, "who stays is still told");
        drop(first);
        assert!(locked(&changes.watched).is_empty());
        let mut last = changes.session(organization, session);
        changes.end();
        assert!(!last.changed().await);
    }
}
