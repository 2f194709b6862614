//! The event store in memory: for tests, and the reference that says what every adapter does. Nothing survives it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use witan_domain::Timestamp;

use crate::{
    Append, AppendError, Appended, Direction, Envelope, EventStore, PAGE_BYTES_MAX, Position, ReadError, Recorded,
    envelope::stamp,
};

/// Holds everything in memory, and calls it durable.
pub struct MemoryStore {
    log: Mutex<Log>,
    durable: watch::Sender<Position>,
}

#[derive(Default)]
struct Log {
    /// The event at position `n` stands at `n - 1`.
    events: Vec<Recorded>,
    /// The positions of each stream's events, by version.
    streams: HashMap<String, Vec<Position>>,
    newest_at: Timestamp,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self { log: Mutex::default(), durable: watch::Sender::new(Position(0)) }
    }

    /// A poisoned lock still guards a whole log: an append changes it only after its last fallible step.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let mut log = self.log();
        let actual = log.streams.get(&append.stream).map(|positions| positions.len() as u64 - 1);
        append.expect(actual)?;
        let recorded_at = append.now.max(log.newest_at);
        let first = Position(log.events.len() as u64 + 1);
        let mut version = actual.map_or(0, |version| version + 1);
        let mut recorded = Vec::with_capacity(append.events.len());
        for (position, event) in (first.0..).map(Position).zip(&append.events) {
            let mut bytes = Envelope::unstamped(&append.stream, append.organization, event);
            stamp(&mut bytes, version, recorded_at);
            let envelope =
                Envelope::try_new(Bytes::from(bytes)).map_err(|error| AppendError::Invalid(error.to_string()))?;
            recorded.push(Recorded { position, envelope });
            version += 1;
        }
        let last = Position(first.0 + recorded.len() as u64 - 1);
        log.streams.entry(append.stream).or_default().extend(recorded.iter().map(|event| event.position));
        log.events.extend(recorded);
        log.newest_at = recorded_at;
        self.durable.send_replace(last);
        Ok(Appended { first, last, version: version - 1, recorded_at })
    }

    fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let log = self.log();
        let Some(positions) = log.streams.get(stream) else {
            return Ok(Vec::new());
        };
        let event = |position: &Position| log.events[position.0 as usize - 1].clone();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(match direction {
            Direction::Forward => positions.iter().skip(from).take(max).map(event).collect(),
            Direction::Backward => {
                positions[..from.saturating_add(1).min(positions.len())].iter().rev().take(max).map(event).collect()
            }
        })
    }

    fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError> {
        let log = self.log();
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        Ok(match direction {
            Direction::Forward => page(log.events.iter().skip(from.saturating_sub(1)), max),
            Direction::Backward => page(log.events[..from.min(log.events.len())].iter().rev(), max),
        })
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        Ok(self.log().streams.get(stream).map(|positions| positions.len() as u64 - 1))
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }
}

fn page<'a>(events: impl Iterator<Item = &'a Recorded>, max: usize) -> Vec<Recorded> {
    let mut bytes = 0;
    let fits = |event: &&Recorded| {
        bytes += event.envelope.bytes().len();
        bytes <= PAGE_BYTES_MAX
    };
    events.take(max).take_while(fits).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn keeps_the_contract() {
        crate::contract::contract(async || Arc::new(MemoryStore::new()) as Arc<dyn EventStore>).await;
    }
}
