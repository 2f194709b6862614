//! What every decider has in common, so that `app::execute` can run any of them.

use serde::{Serialize, de::DeserializeOwned};

use crate::Timestamp;

/// A decider: pure functions over one stream of events. Implemented by a unit struct named for the aggregate.
pub trait Aggregate: Send + Sync + 'static {
    type Id: Copy + std::fmt::Display + Send + Sync;
    type Command: Send + Sync;
    type Event: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync;
    type Rejection: Rejection;
    type State: Default + Clone + Send + Sync;

    /// The first part of the stream's name; the stream is `{CATEGORY}-{id}`.
    const CATEGORY: &'static str;

    /// The events that the command adds: none when what it asks for already holds.
    fn decide(state: &Self::State, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after one more event, recorded at `at`.
    fn evolve(state: Self::State, event: &Self::Event, at: Timestamp) -> Self::State;

    fn stream(id: Self::Id) -> String {
        format!("{}-{id}", Self::CATEGORY)
    }
}

/// A "no" of the domain, shown to the caller as a `userError`.
pub trait Rejection: std::error::Error + Send + Sync + 'static {
    /// The code in the schema, for example `SESSION_NOT_LIVE`: stable, part of the API.
    fn code(&self) -> &'static str;

    /// The input field that it is about, in the schema's spelling, where it is about one.
    fn field(&self) -> Option<&'static str> {
        None
    }
}
