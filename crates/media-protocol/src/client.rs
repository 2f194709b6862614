//! The port `Media`, answered by a node in another process.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde_json::Value;
use tokio::sync::watch;
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint},
};
use witan_domain::{OfferId, ParticipantId, SessionId, StreamId};
use witan_media::{
    Entrance, Media, MediaError, MediaMode, MediaSource, Nodes, Observation, ObservationId, Publication, Published,
    Signal, Standing,
};

use crate::{
    PROTOCOL, convert, observe,
    status::from_status,
    wire::{self, Nothing, node_client::NodeClient},
};

/// What one answer of a node on this machine may take.
const ANSWER_SECONDS_MAX: u64 = 10;

/// Media by one node at a time: whoever supervises it attaches it, and says when it is lost.
#[derive(Debug)]
pub struct RemoteMedia {
    current: watch::Sender<Option<Connection>>,
    nodes: watch::Sender<Nodes>,
}

/// A node that answers.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub run: u64,
    pub client: NodeClient<Channel>,
}

/// Why there is no node at a socket.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("the path of the socket can't be written as a URI: {}", .0.display())]
    Path(PathBuf),
    #[error("nobody answers")]
    NotThere(#[from] tonic::transport::Error),
    #[error("the node does not greet: {0}")]
    Silent(String),
    #[error("it speaks protocol {found}, we speak {PROTOCOL}")]
    Protocol { found: u32, pid: u32 },
}

/// A node that was attached.
#[derive(Debug)]
pub struct Attached {
    pub greeting: wire::Greeting,
    loads: Streaming<wire::Load>,
}

impl Attached {
    /// What it carries, as it says by itself; `None` once it is gone.
    pub async fn next_load(&mut self) -> Option<wire::Load> {
        self.loads.message().await.ok().flatten()
    }
}

impl Default for RemoteMedia {
    fn default() -> Self {
        Self { current: watch::Sender::new(None), nodes: watch::Sender::default() }
    }
}

impl RemoteMedia {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on everything goes to the node at this socket.
    pub async fn attach(&self, socket: &Path) -> Result<Attached, AttachError> {
        let path = socket.to_str().ok_or_else(|| AttachError::Path(socket.to_owned()))?;
        let endpoint = Endpoint::try_from(format!("unix://{path}"))?;
        let endpoint = endpoint.timeout(Duration::from_secs(ANSWER_SECONDS_MAX));
        let mut client = NodeClient::new(endpoint.connect().await?);
        let silent = |status: Status| AttachError::Silent(status.message().to_owned());
        let greeting = client.greet(Nothing {}).await.map_err(silent)?.into_inner();
        if greeting.protocol != PROTOCOL {
            return Err(AttachError::Protocol { found: greeting.protocol, pid: greeting.pid });
        }
        let loads = client.watch(Nothing {}).await.map_err(silent)?.into_inner();
        self.current.send_replace(Some(Connection { run: greeting.run, client }));
        self.tell(true);
        Ok(Attached { greeting, loads })
    }

    /// The node is lost, or nobody's any more.
    pub fn detach(&self) {
        self.current.send_replace(None);
        self.tell(false);
    }

    /// Tells the node that no server will come for a while.
    pub async fn retire(&self) {
        if let Ok(Connection { mut client, .. }) = self.connection() {
            // A node that is gone is as good as one that was told.
            let _ = client.retire(Nothing {}).await;
        }
    }

    fn tell(&self, available: bool) {
        self.nodes.send_modify(|nodes| {
            nodes.available = available;
            nodes.changes += 1;
        });
    }

    pub(crate) fn connection(&self) -> Result<Connection, MediaError> {
        self.current.borrow().clone().ok_or(MediaError::NoNode)
    }

    fn client(&self) -> Result<NodeClient<Channel>, MediaError> {
        self.connection().map(|connection| connection.client)
    }
}

fn answer<T>(answered: Result<Response<T>, Status>) -> Result<T, MediaError> {
    answered.map(Response::into_inner).map_err(|status| from_status(&status))
}

fn done(answered: Result<Response<Nothing>, Status>) -> Result<(), MediaError> {
    answer(answered).map(|Nothing {}| ())
}

fn offer(session: SessionId, participant: ParticipantId, offer: OfferId) -> wire::Offer {
    wire::Offer { who: Some(convert::who(session, participant)), offer: offer.to_string() }
}

#[async_trait]
impl Media for RemoteMedia {
    fn mode(&self) -> MediaMode {
        MediaMode::Sfu
    }

    fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.subscribe()
    }

    async fn open_session(&self, session: SessionId) -> Result<(), MediaError> {
        done(self.client()?.open_session(convert::session(session)).await)
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MediaError> {
        done(self.client()?.close_session(convert::session(session)).await)
    }

    async fn sessions(&self) -> Result<BTreeSet<SessionId>, MediaError> {
        let sessions = answer(self.client()?.list_sessions(Nothing {}).await)?.sessions;
        sessions.iter().map(|session| convert::session_of(session)).collect()
    }

    async fn mute(
        &self,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<(), MediaError> {
        let who = Some(convert::who(session, participant));
        done(self.client()?.mute(wire::SourceOf { who, source: convert::source(source) }).await)
    }

    async fn allow(
        &self,
        session: SessionId,
        participant: ParticipantId,
        source: MediaSource,
    ) -> Result<(), MediaError> {
        let who = Some(convert::who(session, participant));
        done(self.client()?.allow(wire::SourceOf { who, source: convert::source(source) }).await)
    }

    async fn set_held(&self, session: SessionId, participant: ParticipantId, held: bool) -> Result<(), MediaError> {
        let who = Some(convert::who(session, participant));
        done(self.client()?.set_held(wire::Held { who, held }).await)
    }

    async fn disconnect(&self, session: SessionId, participant: ParticipantId) -> Result<(), MediaError> {
        done(self.client()?.disconnect(convert::who(session, participant)).await)
    }

    async fn enter(
        &self,
        session: SessionId,
        participant: ParticipantId,
        standing: Standing,
    ) -> Result<Entrance, MediaError> {
        let entering = convert::entering(session, participant, &standing);
        convert::entrance_of(answer(self.client()?.enter(entering).await)?)
    }

    async fn connect_transport(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
        dtls_parameters: Value,
    ) -> Result<(), MediaError> {
        let connection = wire::TransportConnection {
            who: Some(convert::who(session, participant)),
            transport: transport.to_owned(),
            dtls_parameters_json: dtls_parameters.to_string(),
        };
        done(self.client()?.connect_transport(connection).await)
    }

    async fn restart_ice(
        &self,
        session: SessionId,
        participant: ParticipantId,
        transport: &str,
    ) -> Result<Value, MediaError> {
        let who = Some(convert::who(session, participant));
        let transport = wire::Transport { who, transport: transport.to_owned() };
        let restart = answer(self.client()?.restart_ice(transport).await)?;
        convert::json_of("transport", &restart.ice_parameters_json)
    }

    async fn publish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        publication: Publication,
    ) -> Result<Published, MediaError> {
        let publication = convert::publication(session, participant, &publication);
        answer(self.client()?.publish(publication).await).map(convert::published_of)
    }

    async fn set_stream_paused(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
        paused: bool,
    ) -> Result<(), MediaError> {
        let who = Some(convert::who(session, participant));
        done(self.client()?.set_stream_paused(wire::StreamPause { who, stream: stream.to_string(), paused }).await)
    }

    async fn unpublish(
        &self,
        session: SessionId,
        participant: ParticipantId,
        stream: StreamId,
    ) -> Result<(), MediaError> {
        let who = Some(convert::who(session, participant));
        done(self.client()?.unpublish(wire::Stream { who, stream: stream.to_string() }).await)
    }

    async fn receive(
        &self,
        session: SessionId,
        participant: ParticipantId,
        rtp_capabilities: Value,
    ) -> Result<BoxStream<'static, Signal>, MediaError> {
        let receiving = wire::Receiving {
            who: Some(convert::who(session, participant)),
            rtp_capabilities_json: rtp_capabilities.to_string(),
        };
        let signals = answer(self.client()?.receive(receiving).await)?;
        Ok(stream::unfold(Some(signals), next_signal).boxed())
    }

    async fn acknowledge_offer(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offered: OfferId,
    ) -> Result<(), MediaError> {
        done(self.client()?.acknowledge_offer(offer(session, participant, offered)).await)
    }

    async fn set_preferred_layers(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offer: OfferId,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), MediaError> {
        let layers = wire::PreferredLayers {
            who: Some(convert::who(session, participant)),
            offer: offer.to_string(),
            spatial: spatial.into(),
            temporal: temporal.map(u32::from),
        };
        done(self.client()?.set_preferred_layers(layers).await)
    }

    async fn request_key_frame(
        &self,
        session: SessionId,
        participant: ParticipantId,
        offered: OfferId,
    ) -> Result<(), MediaError> {
        done(self.client()?.request_key_frame(offer(session, participant, offered)).await)
    }

    fn observations(&self) -> BoxStream<'static, Observation> {
        observe::observations(self.current.subscribe())
    }

    async fn acknowledge(&self, through: ObservationId) -> Result<(), MediaError> {
        let Connection { run, mut client } = self.connection()?;
        // What a node that is gone saw went with it.
        if run != through.run {
            return Ok(());
        }
        done(client.acknowledge(wire::Acknowledgement { run, through: through.number }).await)
    }
}

/// The next of a node's signals; a node that goes away in between is the last of them.
async fn next_signal(signals: Option<Streaming<wire::Signal>>) -> Option<(Signal, Option<Streaming<wire::Signal>>)> {
    let mut signals = signals?;
    let next = signals.message().await.map_err(|status| from_status(&status));
    match next.and_then(|signal| signal.map(convert::signal_of).transpose()) {
        Ok(signal) => signal.map(|signal| (signal, Some(signals))),
        Err(error) => {
            tracing::debug!(%error, "signals have ended");
            Some((Signal::Restarted, None))
        }
    }
}
