//! Streams in memory: one command at a time for each, on a bounded cache of states.

use std::{
    any::Any,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    ops::Deref,
    sync::Arc,
};

use quick_cache::sync::Cache;
use tokio::sync::{Mutex, MutexGuard};
use witan_domain::{Aggregate, OrganizationId, Timestamp};
use witan_event_store::{Direction, EventStore, Metadata, Position, Recorded};

use crate::{Error, IdempotencyKey};

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

/// A stream's state as it is now, shared with whoever else asks.
pub struct Now<A: Aggregate>(pub(crate) Arc<Loaded<A>>);

impl<A: Aggregate> Deref for Now<A> {
    type Target = A::State;

    fn deref(&self) -> &A::State {
        &self.0.state
    }
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
    /// The answer that a request with this key already got. A key that came with another input is refused.
    pub fn answer_to(&self, key: Option<&IdempotencyKey>) -> Result<Option<Position>, Error> {
        let Some(key) = key else { return Ok(None) };
        match self.answers.get(&key.key) {
            Some(answer) if answer.input == key.input => Ok(Some(answer.last)),
            Some(_) => Err(Error::IdempotencyKeyReused),
            None => Ok(None),
        }
    }

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

/// A state of whichever aggregate, and its stream's version.
#[derive(Clone)]
struct Kept {
    version: Option<u64>,
    loaded: Arc<dyn Any + Send + Sync>,
}

pub struct Streams {
    store: Arc<dyn EventStore>,
    states: Cache<String, Kept>,
    turns: Turns,
}

/// A bounded number of locks, shared by many names: whoever holds one never takes a second of the same set.
pub(crate) struct Turns {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { locks: (0..LOCKS).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits until nobody else has the turn of this name.
    pub(crate) async fn lock(&self, name: &str) -> MutexGuard<'_, ()> {
        self.of(name).lock().await
    }

    fn of(&self, name: &str) -> &Mutex<()> {
        &self.locks[self.hasher.hash_one(name) as usize % LOCKS]
    }
}

impl Streams {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, states: Cache::new(STATES_MAX), turns: Turns::default() }
    }

    /// Waits until no other command runs on the stream.
    pub async fn lock(&self, stream: &str) -> MutexGuard<'_, ()> {
        self.turns.lock(stream).await
    }

    /// The stream as it is, from the cache or the event store: everything that a follower was ever given is in it.
    pub fn load<A: Aggregate>(&self, stream: &str) -> Result<Arc<Loaded<A>>, Error> {
        if let Some(found) = self.find(stream) {
            return Ok(found);
        }
        // What is read while a command records may be old before it is kept, so it is kept only in a turn.
        match self.turns.of(stream).try_lock() {
            Ok(_turn) => self.load_in_turn(stream),
            Err(_) => self.read(stream, |_| true).map(Arc::new),
        }
    }

    fn find<A: Aggregate>(&self, stream: &str) -> Option<Arc<Loaded<A>>> {
        self.states.get(stream).and_then(|kept| kept.loaded.downcast().ok())
    }

    /// The same for whoever holds the stream's lock.
    pub fn load_in_turn<A: Aggregate>(&self, stream: &str) -> Result<Arc<Loaded<A>>, Error> {
        if let Some(found) = self.find(stream) {
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
        self.states.insert(stream.to_owned(), Kept { version: loaded.version, loaded });
    }

    /// A follower was given this event: a state before it (kept while a command that its caller gave up was still on its
    /// way to the disk) is forgotten.
    pub fn saw(&self, recorded: &Recorded) {
        let (stream, version) = (recorded.envelope.stream(), Some(recorded.envelope.version()));
        if self.states.get(stream).is_some_and(|kept| kept.version < version) {
            self.forget(stream);
        }
    }

    pub fn forget(&self, stream: &str) {
        self.states.remove(stream);
    }
}
