//! What every decider has in common, so that `app::execute` can run any of them.

use crate::{Timestamp, event};

/// A decider: pure functions over one stream of events. Implemented by a unit struct named for the aggregate.
pub trait Aggregate: Send + Sync + 'static {
    type Id: Copy + std::fmt::Display + Send + Sync;
    type Command: Send + Sync;
    type Event: EventPayload;
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

    /// The event of a stored payload, whatever schema it was stored with (see [`event::upcast`]).
    fn decode(kind: &str, schema: u16, data: &[u8]) -> Result<Self::Event, DecodeError> {
        Self::Event::decode(kind, &event::upcast(Self::CATEGORY, kind, schema, data)?)
    }

    /// The schema version that an event of this kind is stored with now.
    fn schema(kind: &str) -> u16 {
        event::schema(Self::CATEGORY, kind)
    }
}

/// The events of one aggregate, as they are stored: the envelope has the kind, the payload is the JSON of the event's own
/// struct. Implemented by [`events!`](crate::events).
pub trait EventPayload: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The kind of every event of this aggregate.
    const KINDS: &'static [&'static str];

    /// The event's name, for example `RoomCreated`.
    fn kind(&self) -> &'static str;

    /// The payload as JSON.
    fn encode(&self) -> Vec<u8>;

    /// The event of this kind from a payload of the current schema.
    fn decode(kind: &str, data: &[u8]) -> Result<Self, DecodeError>;
}

/// Why a stored payload can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("no event {kind} is known in {category}")]
    UnknownKind { category: String, kind: String },
    #[error("no streams of category {0} are known")]
    UnknownCategory(String),
    #[error("{kind} has schema {schema}, this version of witan knows up to {newest}")]
    UnknownSchema { kind: String, schema: u16, newest: u16 },
    /// The text names a line and a column of the payload, never its values.
    #[error("{kind} does not have its shape: {category} error at line {line}, column {column}", category = category(.source), line = .source.line(), column = .source.column())]
    Shape { kind: String, source: serde_json::Error },
}

/// serde_json's own text may quote a value, and a value may be personal.
fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "read",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "data",
        serde_json::error::Category::Eof => "end-of-input",
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

/// Defines an aggregate's event enum over its event structs, and its [`EventPayload`](crate::aggregate::EventPayload).
/// Decoding goes straight from bytes to the struct: replay reads every event there is.
#[macro_export]
macro_rules! events {
    ($(#[$doc:meta])* pub enum $name:ident of $category:literal { $($event:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(tag = "type", content = "data")]
        pub enum $name {
            $($event($event),)*
        }

        impl $crate::aggregate::EventPayload for $name {
            const KINDS: &'static [&'static str] = &[$(stringify!($event)),*];

            fn kind(&self) -> &'static str {
                match self {
                    $(Self::$event(_) => stringify!($event),)*
                }
            }

            fn encode(&self) -> Vec<u8> {
                let json = match self {
                    $(Self::$event(event) => ::serde_json::to_vec(event),)*
                };
                // Only maps with keys that aren't text could fail; each event's golden file shows that it has none.
                json.expect("an event is plain JSON")
            }

            fn decode(kind: &str, data: &[u8]) -> Result<Self, $crate::aggregate::DecodeError> {
                let shape = |source| $crate::aggregate::DecodeError::Shape { kind: kind.to_owned(), source };
                match kind {
                    $(stringify!($event) => ::serde_json::from_slice(data).map(Self::$event).map_err(shape),)*
                    _ => Err($crate::aggregate::DecodeError::UnknownKind {
                        category: $category.to_owned(),
                        kind: kind.to_owned(),
                    }),
                }
            }
        }

        $(impl From<$event> for $name {
            fn from(event: $event) -> Self {
                Self::$event(event)
            }
        })*
    };
}

/// Defines an aggregate's command enum over its command structs.
#[macro_export]
macro_rules! commands {
    ($(#[$doc:meta])* pub enum $name:ident { $($command:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($command($command),)*
        }

        impl $name {
            /// The command's name, for example `OpenSession`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$command(_) => stringify!($command),)*
                }
            }
        }

        $(impl From<$command> for $name {
            fn from(command: $command) -> Self {
                Self::$command(command)
            }
        })*
    };
}
