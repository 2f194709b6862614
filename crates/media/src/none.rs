//! Media for a deployment that has none: nothing to open, nothing to stop, nothing to enter.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde_json::Value;
use tokio::sync::watch;
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};

use crate::{
    Entrance, Media, MediaError, MediaMode, MediaSource, Nodes, Observation, ObservationId, Publication, Published,
    Signal, Standing,
};

#[derive(Debug)]
pub struct NoMedia;

const NOTHING: MediaError = MediaError::NotThere("session");

#[async_trait]
impl Media for NoMedia {
    fn mode(&self) -> MediaMode {
        MediaMode::None
    }

    fn nodes(&self) -> watch::Receiver<Nodes> {
        watch::channel(Nodes::default()).1
    }

    async fn open_session(&self, _: SessionId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn close_session(&self, _: SessionId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn sessions(&self) -> Result<BTreeSet<SessionId>, MediaError> {
        Ok(BTreeSet::new())
    }

    async fn mute(&self, _: SessionId, _: ParticipantId, _: MediaSource) -> Result<(), MediaError> {
        Ok(())
    }

    async fn allow(&self, _: SessionId, _: ParticipantId, _: MediaSource) -> Result<(), MediaError> {
        Ok(())
    }

    async fn set_held(&self, _: SessionId, _: ParticipantId, _: bool) -> Result<(), MediaError> {
        Ok(())
    }

    async fn disconnect(&self, _: SessionId, _: ParticipantId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn enter(&self, _: SessionId, _: ParticipantId, _: Standing) -> Result<Entrance, MediaError> {
        Err(NOTHING)
    }

    async fn connect_transport(&self, _: SessionId, _: ParticipantId, _: &str, _: Value) -> Result<(), MediaError> {
        Err(NOTHING)
    }

    async fn restart_ice(&self, _: SessionId, _: ParticipantId, _: &str) -> Result<Value, MediaError> {
        Err(NOTHING)
    }

    async fn publish(&self, _: SessionId, _: ParticipantId, _: Publication) -> Result<Published, MediaError> {
        Err(NOTHING)
    }

    async fn set_stream_paused(&self, _: SessionId, _: ParticipantId, _: StreamId, _: bool) -> Result<(), MediaError> {
        Err(NOTHING)
    }

    async fn unpublish(&self, _: SessionId, _: ParticipantId, _: StreamId) -> Result<(), MediaError> {
        Ok(())
    }

    async fn receive(
        &self,
        _: SessionId,
        _: ParticipantId,
        _: Value,
    ) -> Result<BoxStream<'static, Signal>, MediaError> {
        Err(NOTHING)
    }

    async fn acknowledge_offer(&self, _: SessionId, _: ParticipantId, _: OfferId) -> Result<(), MediaError> {
        Err(NOTHING)
    }

    async fn set_preferred_layers(
        &self,
        _: SessionId,
        _: ParticipantId,
        _: OfferId,
        _: u8,
        _: Option<u8>,
    ) -> Result<(), MediaError> {
        Err(NOTHING)
    }

    async fn request_key_frame(&self, _: SessionId, _: ParticipantId, _: OfferId) -> Result<(), MediaError> {
        Err(NOTHING)
    }

    fn observations(&self) -> BoxStream<'static, Observation> {
        stream::empty().boxed()
    }

    async fn acknowledge(&self, _: ObservationId) -> Result<(), MediaError> {
        Ok(())
    }
}
