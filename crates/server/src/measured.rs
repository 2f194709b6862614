//! The event store as the server watches it: every append is timed, and what goes wrong is remembered for `/health/ready`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use witan_event_store::{Append, AppendError, Appended, Direction, EventStore, Position, ReadError, Recorded};

use crate::{clock, metrics::Metrics};

pub struct Measured {
    store: Arc<dyn EventStore>,
    metrics: Metrics,
    trouble: Mutex<Trouble>,
}

#[derive(Clone, Debug, Default)]
struct Trouble {
    /// Heals with the next append that succeeds.
    writing: Option<String>,
    /// Stays until a restart.
    reading: Option<String>,
}

impl Measured {
    pub fn new(store: Arc<dyn EventStore>, metrics: Metrics) -> Self {
        Self { store, metrics, trouble: Mutex::default() }
    }

    /// Why the store can't do its work, if it can't.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.reading.clone().or_else(|| trouble.writing.clone())
    }

    fn appended(&self, result: &Result<Appended, AppendError>) {
        let failure = match result {
            Ok(_) => None,
            // The caller's matter, not the store's.
            Err(AppendError::Conflict { .. }) => return self.failed("conflict"),
            Err(AppendError::Invalid(_)) => return self.failed("invalid"),
            Err(AppendError::Full) => Some("full"),
            Err(AppendError::OutcomeUnknown) => Some("outcome_unknown"),
            Err(AppendError::Stopped(_)) => Some("stopped"),
        };
        if let Some(reason) = failure {
            self.failed(reason);
        }
        let writing = result.as_ref().err().map(ToString::to_string);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.writing != writing {
            match &writing {
                Some(error) => tracing::error!(error, "the event store takes no events"),
                None => tracing::info!("the event store takes events again"),
            }
            trouble.writing = writing;
        }
    }

    fn failed(&self, reason: &str) {
        Metrics::count(&self.metrics.append_failures, reason);
    }

    fn read<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(error) = &result {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if trouble.reading.is_none() {
                tracing::error!(%error, "the event store can't be read");
                trouble.reading = Some(error.to_string());
            }
        }
        result
    }
}

#[async_trait]
impl EventStore for Measured {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let start = clock::monotonic();
        let result = self.store.append(append).await;
        self.metrics.append_seconds.observe(start.elapsed().as_secs_f64());
        self.appended(&result);
        result
    }

    fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.read(self.store.read_stream(stream, from, direction, max))
    }

    fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError> {
        self.read(self.store.read_all(from, direction, max))
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        self.read(self.store.stream_version(stream))
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.store.durable()
    }

    fn digest(&self, position: Position) -> Result<Option<[u8; 32]>, ReadError> {
        self.read(self.store.digest(position))
    }
}
