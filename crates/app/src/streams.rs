//! Streams in memory: one command at a time for each, on a bounded cache of states.

use std::{
    any::Any,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, MutexGuard};
use witan_domain::{Aggregate, OrganizationId, Timestamp};
use witan_event_store::{Direction, EventStore, Metadata, Position, Recorded};

use crate::Error;

const STATES_MAX: usize = 20_000;
const LOCKS: usize = 4_096;
const PAGE_EVENTS: usize = 512;

/// What is known of one stream.
pub struct Loaded<A: Aggregate> {
    pub state: A::State,
    /// The version of the last event; `None` for a stream that does not exist.
    pub version: Option<u64>,
    pub organization: Option<OrganizationId>,
    /// The answers given to requests with an idempotency key.
    pub answers: HashMap<String, Answer>,
}

/// What a request with an idempotency key recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Hash of the input.
    pub input: String,
    pub last: Position,
}

impl<A: Aggregate> Default for Loaded<A> {
    fn default() -> Self {
        Self { state: A::State::default(), version: None, organization: None, answers: HashMap::new() }
    }
}

impl<A: Aggregate> Clone for Loaded<A> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            version: self.version,
            organization: self.organization,
            answers: self.answers.clone(),
        }
    }
}

impl<A: Aggregate> Loaded<A> {
    /// The stream after one more stored event.
    pub fn with(self, recorded: &Recorded) -> Result<Self, Error> {
        let envelope = &recorded.envelope;
        let event = A::decode(envelope.kind(), envelope.schema(), envelope.data())?;
        let metadata: Metadata = serde_json::from_slice(envelope.metadata()).map_err(Error::fault)?;
        let mut after = self.evolved(&event, envelope.recorded_at(), envelope.version());
        after.organization = envelope.organization();
        if let Some(request) = metadata.idempotency {
            after.answers.insert(request.key, Answer { input: request.input, last: recorded.position });
        }
        Ok(after)
    }

    /// The stream after an event that has just been recorded.
    pub fn evolved(self, event: &A::Event, at: Timestamp, version: u64) -> Self {
        Self { state: A::evolve(self.state, event, at), version: Some(version), ..self }
    }
}

pub struct Streams {
    store: Arc<dyn EventStore>,
    states: Cache<String, Arc<dyn Any + Send + Sync>>,
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Streams {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            states: Cache::new(STATES_MAX),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits until no other command runs on the stream. Streams share a bounded number of locks, so whoever holds one
    /// never takes a second.
    pub async fn lock(&self, stream: &str) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one(stream) as usize % LOCKS;
        self.locks[place].lock().await
    }

    /// The stream as it is, from the cache and the event store.
    pub fn load<A: Aggregate>(&self, stream: &str) -> Result<Arc<Loaded<A>>, Error> {
        if let Some(found) = self.states.get(stream).and_then(|state| state.downcast::<Loaded<A>>().ok()) {
            return Ok(found);
        }
        let loaded = Arc::new(self.read::<A>(stream, |_| true)?);
        if loaded.version.is_some() {
            self.keep(stream, Arc::clone(&loaded));
        }
        Ok(loaded)
    }

    /// The stream folded from its beginning for as long as `while_` holds.
    pub fn read<A: Aggregate>(&self, stream: &str, while_: impl Fn(&Recorded) -> bool) -> Result<Loaded<A>, Error> {
        let mut loaded = Loaded::<A>::default();
        loop {
            let from = loaded.version.map_or(0, |version| version + 1);
            let page = self.store.read_stream(stream, from, Direction::Forward, PAGE_EVENTS)?;
            for recorded in &page {
                if !while_(recorded) {
                    return Ok(loaded);
                }
                loaded = loaded.with(recorded)?;
            }
            if page.len() < PAGE_EVENTS {
                return Ok(loaded);
            }
        }
    }

    pub fn keep<A: Aggregate>(&self, stream: &str, loaded: Arc<Loaded<A>>) {
        self.states.insert(stream.to_owned(), loaded);
    }

    pub fn forget(&self, stream: &str) {
        self.states.remove(stream);
    }
}
