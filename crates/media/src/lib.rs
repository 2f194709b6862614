//! The port to media: what a session needs of whoever carries its audio and video, and what it is told back.
//!
//! Words of the SFU (router, transport, producer, consumer) stay behind this port.

pub mod fake;

use async_trait::async_trait;
pub use fake::FakeMedia;
use serde::{Deserialize, Serialize};
use witan_domain::{ParticipantId, SessionId};

/// What carries the media of this deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaMode {
    /// Nothing: sessions have participants, lobby, moderation and chat, and are ready at once.
    None,
    /// A selective forwarding unit.
    Sfu,
}

/// What of a participant's sending is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Microphone,
    Camera,
    Screen,
}

/// A fault of a media node; the command that asked is tried again by its reactor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("no media node can be reached")]
    NoNode,
    #[error("the media node failed: {0}")]
    Node(String),
}

/// Every operation may run twice: the second time it finds the work done and says so by `Ok`.
#[async_trait]
pub trait Media: Send + Sync + 'static {
    fn mode(&self) -> MediaMode;

    async fn open_session(&self, session: SessionId) -> Result<(), MediaError>;

    async fn close_session(&self, session: SessionId) -> Result<(), MediaError>;

    /// Lets no packet of this source through until the participant sends anew.
    async fn mute(&self, session: SessionId, participant: ParticipantId, source: Source) -> Result<(), MediaError>;

    /// Stops everything to and from the participant, or lets it flow again.
    async fn set_held(&self, session: SessionId, participant: ParticipantId, held: bool) -> Result<(), MediaError>;

    /// Closes everything of the participant: they left or were removed.
    async fn disconnect(&self, session: SessionId, participant: ParticipantId) -> Result<(), MediaError>;
}

/// Media for a deployment that has none: nothing to open, nothing to stop.
#[derive(Debug)]
pub struct NoMedia;

#[async_trait]
impl Media for NoMedia {
    fn mode(&self) -> MediaMode {
        MediaMode::None
    }

    async fn open_session(&self, _: SessionId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn close_session(&self, _: SessionId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn mute(&self, _: SessionId, _: ParticipantId, _: Source) -> Result<(), MediaError> {
        Ok(())
    }

    async fn set_held(&self, _: SessionId, _: ParticipantId, _: bool) -> Result<(), MediaError> {
        Ok(())
    }

    async fn disconnect(&self, _: SessionId, _: ParticipantId) -> Result<(), MediaError> {
        Ok(())
    }
}
