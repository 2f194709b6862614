//! Following the log: catch up, then live, with no gap and no duplicate.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Direction, EventStore, Position, ReadError, Recorded};

/// Reads the log at its own pace, from a position on. It pulls: a slow follower holds at most one batch (so
/// many events, and [`crate::PAGE_BYTES_MAX`]) and harms nobody.
pub struct Follower {
    store: Arc<dyn EventStore>,
    durable: watch::Receiver<Position>,
    last: Position,
}

impl Follower {
    /// Follows everything after `after`.
    pub fn new(store: Arc<dyn EventStore>, after: Position) -> Self {
        let durable = store.durable();
        Self { store, durable, last: after }
    }

    /// The position of the last event that was handed out.
    pub fn position(&self) -> Position {
        self.last
    }

    /// The next events, at least one and at most `max`; waits until there is one. An error when the store has stopped.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Recorded>, ReadError> {
        loop {
            if *self.durable.borrow_and_update() > self.last {
                let batch = self.store.read_all(Position(self.last.0 + 1), Direction::Forward, max)?;
                if let Some(newest) = batch.last() {
                    self.last = newest.position;
                    return Ok(batch);
                }
            }
            if self.durable.changed().await.is_err() {
                return Err(ReadError::Stopped("it was closed".into()));
            }
        }
    }
}
