//! What a node saw by itself and the history must know: numbered, and kept by the node until it is acknowledged, so that
//! nothing is lost while the server is away.

use serde::{Deserialize, Serialize};
use witan_domain::{ParticipantId, SessionId, StreamId, Timestamp};

/// Which observation: the node's own number, and which run of which node counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObservationId {
    /// Random at a node's start.
    pub run: u64,
    /// From 1, without gaps.
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub id: ObservationId,
    /// By the node's own clock.
    pub at: Timestamp,
    pub what: Observed,
}

/// Recording one of these twice must add nothing: they are delivered at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A stream ended, and neither the participant nor a host had asked for that.
    StreamEnded { session: SessionId, participant: ParticipantId, stream: StreamId, why: StreamEnd },
    /// The participant's connection to the node is gone: closed by the client, or silent for too long.
    TransportLost { session: SessionId, participant: ParticipantId },
    /// For how many milliseconds people spoke since the observation of this kind before: told each minute in which somebody
    /// did, and at the session's end.
    Spoke { session: SessionId, speech: Vec<(ParticipantId, u64)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The connection that carried it is gone.
    TransportLost,
    /// The participant entered anew.
    Replaced,
}
