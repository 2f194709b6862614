//! A row that is an aggregate's state, folded by the domain's own `evolve`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use witan_domain::{Aggregate, Timestamp};
use witan_event_store::{Position, Recorded};

use crate::{Key, ProjectionError, Table};

/// A state, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<S> {
    /// The position of its first event: lists order by it.
    pub created: Position,
    pub created_at: Timestamp,
    /// The position of its newest event.
    pub position: Position,
    /// The version of its stream, by which a command can say what it expects.
    pub version: u64,
    pub state: S,
}

/// Folds one event into the row at `key`. True for the first event of its stream.
pub(crate) fn fold<A: Aggregate>(
    table: &mut Table<Row<A::State>>,
    key: &Key,
    event: &A::Event,
    recorded: &Recorded,
) -> Result<bool, ProjectionError>
where
    A::State: Serialize + DeserializeOwned,
{
    let envelope = &recorded.envelope;
    let row = table.edit(key)?;
    let (new, before) = match row.take() {
        Some(before) => (false, before),
        None => {
            let (created, created_at) = (recorded.position, envelope.recorded_at());
            (true, Row { created, created_at, position: created, version: 0, state: A::State::default() })
        }
    };
    *row = Some(Row {
        position: recorded.position,
        version: envelope.version(),
        state: A::evolve(before.state, event, envelope.recorded_at()),
        ..before
    });
    Ok(new)
}
