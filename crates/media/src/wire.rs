//! What goes to a node and comes from it.

use std::collections::BTreeSet;

use serde_json::Value;
use witan_domain::{StreamId, participant::MediaSource};

/// What moderation has decided about a participant who enters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub held: bool,
    pub muted: BTreeSet<MediaSource>,
}

/// All that a client needs to connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrance {
    pub router_rtp_capabilities: Value,
    /// From the client to the node.
    pub send: TransportParameters,
    /// From the node to the client.
    pub receive: TransportParameters,
    pub ice_servers: Vec<IceServer>,
}

/// One transport as the node made it, in the form that the client's library takes.
#[derive(Clone, PartialEq)]
pub struct TransportParameters {
    pub id: String,
    pub ice_parameters: Value,
    pub ice_candidates: Value,
    pub dtls_parameters: Value,
    pub sctp_parameters: Option<Value>,
}

/// Without what would let others in: an ICE password in a log line would.
impl std::fmt::Debug for TransportParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransportParameters").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A STUN or TURN server that the client may use.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: Option<String>,
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// A stream that a participant begins to send. Whether it is audio or video follows from its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    pub stream: StreamId,
    pub source: MediaSource,
    pub rtp_parameters: Value,
    pub paused: bool,
}

/// What the node made of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// For example `opus` or `VP8`.
    pub codec: String,
    /// How many sizes of the picture are sent at once; 1 without simulcast or SVC.
    pub layers: u8,
}
