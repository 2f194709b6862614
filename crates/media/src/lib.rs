//! The port to media: what a session needs of whoever carries its audio and video, and what it is told back.
//!
//! [`contract`] is the suite that each adapter must pass. Words of the SFU (router, transport, producer, consumer) stay behind this port, but for the transports that a client
//! has to connect. Objects that a client's WebRTC library makes and takes pass through it as JSON that only the node reads.

pub mod contract;
pub mod fake;
mod none;
mod observation;
mod signal;
mod wire;

use std::collections::BTreeSet;

use async_trait::async_trait;
pub use fake::FakeMedia;
use futures_util::stream::BoxStream;
pub use none::NoMedia;
pub use observation::{Observation, ObservationId, Observed, StreamEnd};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use signal::{Level, Signal};
use tokio::sync::watch;
pub use wire::{Entrance, IceServer, Publication, Published, Standing, TransportParameters};
pub use witan_domain::participant::{MediaSource, StreamKind};
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};

/// What carries the media of this deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaMode {
    /// Nothing: sessions have participants, lobby, moderation and chat, and are ready at once.
    None,
    /// A selective forwarding unit.
    Sfu,
}

/// Why media did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// A fault: a reactor that asked tries again.
    #[error("no media node can be reached")]
    NoNode,
    /// A fault of the node itself.
    #[error("the media node failed: {0}")]
    Node(String),
    /// What a client sent makes no sense; the message is for whoever wrote that client.
    #[error("{field}: {message}")]
    Invalid { field: &'static str, message: String },
    /// The node carries no such session, participant, transport, stream or offer (any more).
    #[error("the media node carries no such {0}")]
    NotThere(&'static str),
}

/// The nodes, as far as whoever supervises them knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Whether sessions can be opened now.
    pub available: bool,
    /// Grows whenever a node came or was lost: what [`Media::sessions`] answers may be another then. 0 until somebody
    /// has looked for one.
    pub changes: u64,
}

/// Every operation may run twice: the second time it finds the work done and says so by `Ok`.
#[async_trait]
pub trait Media: Send + Sync + 'static {
    fn mode(&self) -> MediaMode;

    /// Tells of nodes that come and go.
    fn nodes(&self) -> watch::Receiver<Nodes>;

    async fn open_session(&self, session: SessionId) -> Result<(), MediaError>;

    async fn close_session(&self, session: SessionId) -> Result<(), MediaError>;

    /// The sessions that are carried now.
    async fn sessions(&self) -> Result<BTreeSet<SessionId>, MediaError>;

    /// Lets no packet of this source through until the participant sends anew.
    async fn mute(&self, session: SessionId, participant: ParticipantId, source: MediaSource)
    -> Result<(), MediaError>;

    /// A host's mute is taken back: the participant may let this source flow again.
    async fn allow(
        &self,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<(), MediaError>;

    /// Stops everything to and from the participant, or lets it flow again.
    async fn set_held(&self, session: SessionId, participant: ParticipantId, held: bool) -> Result<(), MediaError>;

    /// Closes everything of the participant: they left or were removed.
    async fn disconnect(&self, session: SessionId, participant: ParticipantId) -> Result<(), MediaError>;

    /// Makes the participant's two transports anew; those of an earlier entrance are closed, with their streams.
    async fn enter(
        &self,
        session: SessionId,
        participant: ParticipantId,
        standing: Standing,
    ) -> Result<Entrance, MediaError>;

    /// The client's answer to one of the two transports.
    async fn connect_transport(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
        dtls_parameters: Value,
    ) -> Result<(), MediaError>;

    /// New credentials for a transport whose network has changed: the client's next ICE parameters.
    async fn restart_ice(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
    ) -> Result<Value, MediaError>;

    /// Takes a new stream on the send transport, and offers it to everyone who receives.
    async fn publish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        publication: Publication,
    ) -> Result<Published, MediaError>;

    /// Stops the participant's own stream, or lets it flow again where no host forbids that.
    async fn set_stream_paused(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
        paused: bool,
    ) -> Result<(), MediaError>;

    async fn unpublish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
    ) -> Result<(), MediaError>;

    /// What happens for this participant from now on, beginning with an offer of every stream that there is. Asked
    /// again, the earlier signals end, and the same offers come again after those that were closed: what flows goes on
    /// flowing, whether anybody listens to signals or not. Capabilities are taken the first time. The last signal before
    /// the end is [`Signal::Restarted`] where the participant must enter anew.
    async fn receive(
        &self,
        session: SessionId,
        participant: ParticipantId,
        rtp_capabilities: Value,
    ) -> Result<BoxStream<'static, Signal>, MediaError>;

    /// The client is ready for what was offered: it begins to flow, video with a key frame.
    async fn acknowledge_offer(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
    ) -> Result<(), MediaError>;

    /// The most that the client wants of an offer that has layers.
    async fn set_preferred_layers(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), MediaError>;

    async fn request_key_frame(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
    ) -> Result<(), MediaError>;

    /// What the nodes saw and nobody has acknowledged yet, oldest first for each node, then what they see: it goes on
    /// over lost and restarted nodes, and ends with the port. Only one reader at a time gets them.
    fn observations(&self) -> BoxStream<'static, Observation>;

    /// This observation, and all before it of the same node, are recorded: the node may forget them.
    async fn acknowledge(&self, through: ObservationId) -> Result<(), MediaError>;
}
