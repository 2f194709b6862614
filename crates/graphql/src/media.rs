//! Media: what participants publish, and the mutations by which a client enters, sends and receives. What a media node says
//! back is in `signals`.

use std::sync::{Arc, OnceLock};

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use witan_app::{Error, media::NewStream};
use witan_domain::{
    ParticipantId, SessionId, StreamId,
    media::{
        MediaState, MediaStream as DomainStream, MutedBy as DomainMutedBy, UnpublishReason as DomainUnpublishReason,
    },
    participant::StreamKind as DomainKind,
};
use witan_media::{Entrance, IceServer as NodeIceServer, TransportParameters as NodeTransport};

use crate::{
    call::{Call, Told, UserError, id, stored},
    mutation::payloads,
    participant::MediaSource,
    refusal,
    scalars::{DateTime, IntoId, Json, Position},
};

/// What a media stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainKind")]
pub enum StreamKind {
    /// Sound: a microphone, or what a screen sounds like.
    Audio,
    /// A picture: a camera, or a screen.
    Video,
}

/// Who muted a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainMutedBy")]
pub enum MutedBy {
    /// The one who publishes it, who alone unmutes it.
    Participant,
    /// A host: once a host takes that back, the one who publishes it unmutes it.
    Host,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainUnpublishReason")]
pub enum UnpublishReason {
    /// The one who published it ended it.
    ByParticipant,
    /// The same participant entered the media anew.
    EnteredAnew,
    /// They left, were moved or removed.
    ParticipantGone,
    /// Their role or a setting changed, and they may not publish this any more.
    NotAllowed,
    /// The connection over which it came is lost.
    ConnectionLost,
    /// What carried it failed.
    NodeLost,
    /// The session ended.
    SessionEnded,
}

/// What one participant publishes, or published, from one source.
#[derive(Clone, Debug, SimpleObject)]
pub struct MediaStream {
    /// The stream's id.
    id: ID,
    /// The participant who publishes it.
    participant_id: ID,
    /// Where it comes from.
    source: MediaSource,
    /// What it carries.
    kind: StreamKind,
    /// Its codec, as `opus` or `VP8`.
    codec: String,
    /// How many qualities of it are sent at once: 1 without layers.
    layers: u32,
    /// Whether it is muted. Of who is on hold, nothing is heard or seen either.
    muted: bool,
    /// Who muted it; null while it is not.
    muted_by: Option<MutedBy>,
    /// When it began.
    published_at: DateTime,
    /// When it ended; null while it is published.
    unpublished_at: Option<DateTime>,
    /// Why it ended.
    unpublish_reason: Option<UnpublishReason>,
}

impl From<&DomainStream> for MediaStream {
    fn from(stream: &DomainStream) -> Self {
        Self {
            id: stream.stream.into_id(),
            participant_id: stream.participant.into_id(),
            source: stream.source.into(),
            kind: stream.kind.into(),
            codec: stream.codec.clone(),
            layers: stream.layers.into(),
            muted: stream.muted.is_some(),
            muted_by: stream.muted.map(Into::into),
            published_at: DateTime(stream.published_at),
            unpublished_at: stream.unpublished.map(|ended| DateTime(ended.at)),
            unpublish_reason: stream.unpublished.map(|ended| ended.reason.into()),
        }
    }
}

/// How many streams are shown at once.
pub const STREAMS_ROWS_MAX: usize = 1_000;

/// Which of a session's streams are wanted: so many after one of them.
pub struct WantedStreams {
    of: Option<ParticipantId>,
    live: bool,
    rows: usize,
    after: Option<StreamId>,
}

impl WantedStreams {
    /// `of` names whose; all of the session's where it is none.
    pub fn try_new(
        of: Option<ParticipantId>,
        live: bool,
        first: i32,
        after: Option<&ID>,
    ) -> async_graphql::Result<Self> {
        let rows = usize::try_from(first).ok().filter(|rows| (1..=STREAMS_ROWS_MAX).contains(rows));
        let rows = rows
            .ok_or_else(|| refusal("INVALID_INPUT", format!("first is {first}; expected 1 to {STREAMS_ROWS_MAX}.")))?;
        Ok(Self { of, live, rows, after: after.map(|id| crate::call::id("after", id)).transpose()? })
    }
}

/// A session's streams, read once for all of its participants that are shown together.
#[derive(Clone, Default)]
pub struct Streams(Arc<OnceLock<MediaState>>);

impl Streams {
    /// As they were at a past moment.
    pub fn then(state: MediaState) -> Self {
        Self(Arc::new(OnceLock::from(state)))
    }

    /// Those of the session that are wanted.
    pub fn list(
        &self,
        call: &Call<'_>,
        session: SessionId,
        wanted: &WantedStreams,
    ) -> async_graphql::Result<Vec<MediaStream>> {
        let all = &self.state(call, session)?.streams;
        let rest: &[DomainStream] = match wanted.after {
            // After a stream that is none of them comes nothing.
            Some(after) => match all.iter().position(|stream| stream.stream == after) {
                Some(at) => all.get(at + 1..).unwrap_or_default(),
                None => &[],
            },
            None => all,
        };
        let wants = |stream: &&DomainStream| {
            wanted.of.is_none_or(|of| stream.participant == of) && (!wanted.live || stream.unpublished.is_none())
        };
        Ok(rest.iter().filter(wants).take(wanted.rows).map(MediaStream::from).collect())
    }

    /// For how many milliseconds the participant has spoken.
    pub fn spoken(&self, call: &Call<'_>, session: SessionId, of: ParticipantId) -> async_graphql::Result<u64> {
        Ok(self.state(call, session)?.speech.get(&of).copied().unwrap_or(0))
    }

    fn state(&self, call: &Call<'_>, session: SessionId) -> async_graphql::Result<&MediaState> {
        if let Some(state) = self.0.get() {
            return Ok(state);
        }
        let now = stored(call.models().session_streams(call.organization()?, session))?;
        Ok(self.0.get_or_init(|| now))
    }
}

/// All that a client needs to connect: its two transports, made anew. For one client alone; nothing of it is recorded.
#[derive(Clone, SimpleObject)]
pub struct MediaEntrance {
    /// For the client library's `Device.load`.
    router_rtp_capabilities: Json,
    /// From the client: for `createSendTransport`.
    send_transport: TransportParameters,
    /// To the client: for `createRecvTransport`.
    receive_transport: TransportParameters,
    /// STUN and TURN servers that the client may use, for both transports.
    ice_servers: Vec<IceServer>,
}

/// One transport, in the form that mediasoup-client takes.
#[derive(Clone, SimpleObject)]
pub struct TransportParameters {
    /// The transport's id.
    id: String,
    /// For ICE; they hold the password that lets one in.
    ice_parameters: Json,
    /// Where to send to.
    ice_candidates: Json,
    /// For DTLS.
    dtls_parameters: Json,
    /// For data channels; null where there are none.
    sctp_parameters: Option<Json>,
}

/// A STUN or TURN server.
#[derive(Clone, SimpleObject)]
pub struct IceServer {
    /// Its URLs, as `turn:turn.example.org:3478`.
    urls: Vec<String>,
    /// The user name, of a TURN server.
    username: Option<String>,
    /// The password that goes with it.
    credential: Option<String>,
}

impl From<Entrance> for MediaEntrance {
    fn from(entrance: Entrance) -> Self {
        Self {
            router_rtp_capabilities: Json(entrance.router_rtp_capabilities),
            send_transport: entrance.send.into(),
            receive_transport: entrance.receive.into(),
            ice_servers: entrance.ice_servers.into_iter().map(IceServer::from).collect(),
        }
    }
}

impl From<NodeTransport> for TransportParameters {
    fn from(transport: NodeTransport) -> Self {
        Self {
            id: transport.id,
            ice_parameters: Json(transport.ice_parameters),
            ice_candidates: Json(transport.ice_candidates),
            dtls_parameters: Json(transport.dtls_parameters),
            sctp_parameters: transport.sctp_parameters.map(Json),
        }
    }
}

impl From<NodeIceServer> for IceServer {
    fn from(server: NodeIceServer) -> Self {
        Self { urls: server.urls, username: server.username, credential: server.credential }
    }
}

/// Enters a session's media, anew where the caller had: after a reload, when ICE can't mend a connection, or when told so by
/// MediaRestarted.
#[derive(InputObject)]
pub struct EnterMediaInput {
    /// The session.
    session_id: ID,
    /// Each entrance is a new one, with the same key too: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Connects one of the caller's transports: mediasoup-client's `connect` event.
#[derive(InputObject)]
pub struct ConnectTransportInput {
    /// The session.
    session_id: ID,
    /// The transport.
    transport_id: String,
    /// As the event gives them: at most 64 KiB, 10 deep.
    dtls_parameters: Json,
}

/// Asks for new ICE parameters of a transport.
#[derive(InputObject)]
pub struct RestartIceInput {
    /// The session.
    session_id: ID,
    /// The transport.
    transport_id: String,
}

/// Begins to send: mediasoup-client's `produce` event.
#[derive(InputObject)]
pub struct PublishStreamInput {
    /// The session.
    session_id: ID,
    /// Where it comes from. Of each source, a participant publishes one stream at a time.
    source: MediaSource,
    /// What it carries: AUDIO of a microphone and of a screen's sound, VIDEO of a camera and of a screen.
    kind: StreamKind,
    /// As the event gives them: at most 64 KiB, 10 deep.
    rtp_parameters: Json,
    /// Whether it sends nothing yet.
    #[graphql(default)]
    muted: bool,
    /// The same key again gets the same stream: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Stops one of the caller's streams for a while, or lets it go on.
#[derive(InputObject)]
pub struct SetStreamPausedInput {
    /// The session.
    session_id: ID,
    /// The stream.
    stream_id: ID,
    /// Whether it is to send nothing.
    paused: bool,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Ends one of the caller's streams.
#[derive(InputObject)]
pub struct UnpublishStreamInput {
    /// The session.
    session_id: ID,
    /// The stream.
    stream_id: ID,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Names an offer to the caller.
#[derive(InputObject)]
pub struct OfferInput {
    /// The session.
    session_id: ID,
    /// The offer, from StreamOffered.
    offer_id: ID,
}

/// Says how much of an offer the caller wants at most.
#[derive(InputObject)]
pub struct SetPreferredLayersInput {
    /// The session.
    session_id: ID,
    /// The offer, from StreamOffered.
    offer_id: ID,
    /// The size of the picture, from 0, the smallest.
    spatial_layer: u8,
    /// How many pictures in a second, from 0, the fewest.
    temporal_layer: Option<u8>,
}

payloads! {
    /// What entering a session's media answers.
    EnterMediaPayload {
        /// The caller's transports; null where the deployment has no media.
        media: MediaEntrance,
    }
    /// What publishing a stream answers.
    PublishStreamPayload {
        /// The stream's id; with the same idempotency key the same.
        stream_id: ID,
        /// The stream, once the read models show it.
        stream: MediaStream,
    }
    /// What a mutation of one's own stream answers.
    StreamPayload {
        /// The stream's id.
        stream_id: ID,
        /// The stream, as the read models show it.
        stream: MediaStream,
    }
    /// What restarting ICE answers.
    RestartIcePayload {
        /// For the client library's `restartIce`.
        ice_parameters: Json,
    }
}

/// What a mutation answers that a media node carries out and nobody records.
#[derive(SimpleObject)]
pub struct MediaPayload {
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// Always null: nothing is recorded.
    position: Option<Position>,
    /// Always true.
    projected: bool,
}

/// Mutations by which a client enters a session's media, sends and receives.
#[derive(Default)]
pub struct MediaMutation;

#[Object]
impl MediaMutation {
    /// Makes the caller's two transports. What they sent over earlier ones has ended.
    async fn enter_media(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session's.")] input: EnterMediaInput,
    ) -> async_graphql::Result<EnterMediaPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let result = call.app().enter_media(&call.request, session).await;
        let (done, told) = call.told(result, |(_, position)| *position).await?;
        Ok(EnterMediaPayload::new(done.and_then(|(entrance, _)| entrance).map(MediaEntrance::from), told))
    }

    /// The client's answer to one of its transports, which then connects.
    async fn connect_transport(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which transport, and its answer.")] input: ConnectTransportInput,
    ) -> async_graphql::Result<MediaPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let (transport, Json(dtls)) = (&input.transport_id, input.dtls_parameters);
        media_payload(&call, call.app().connect_transport(&call.request, session, transport, dtls).await).await
    }

    /// New ICE parameters for a transport whose network has changed.
    async fn restart_ice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which transport.")] input: RestartIceInput,
    ) -> async_graphql::Result<RestartIcePayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let result = call.app().restart_ice(&call.request, session, &input.transport_id).await;
        let (parameters, told) = call.told(result, |_| None).await?;
        Ok(RestartIcePayload::new(parameters.map(Json), told))
    }

    /// Begins to send a stream, which is offered to everyone who receives. What a host has muted begins muted.
    async fn publish_stream(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to send.")] input: PublishStreamInput,
    ) -> async_graphql::Result<PublishStreamPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let new = NewStream {
            source: input.source.into(),
            kind: input.kind.into(),
            rtp_parameters: input.rtp_parameters.0,
            muted: input.muted,
        };
        let result = call.app().publish_stream(&call.request, session, new).await;
        let (done, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let stream = done.as_ref().and_then(|(stream, outcome)| outcome.state.stream(*stream)).map(MediaStream::from);
        Ok(PublishStreamPayload::new(done.map(|(stream, _)| stream.into_id()), stream, told))
    }

    /// Mutes one of the caller's streams, at the node and in the record, or unmutes it where no host forbids that.
    async fn set_stream_paused(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which stream, and whether it is to stop.")] input: SetStreamPausedInput,
    ) -> async_graphql::Result<StreamPayload> {
        let call = Call::mutation(ctx)?;
        let (session, stream) = (id("sessionId", &input.session_id)?, id("streamId", &input.stream_id)?);
        let result = call.app().set_stream_paused(&call.request, session, stream, input.paused).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        let stream = done.as_ref().and_then(|outcome| outcome.state.stream(stream)).map(MediaStream::from);
        Ok(StreamPayload::new(done.map(|_| input.stream_id), stream, told))
    }

    /// Ends one of the caller's streams.
    async fn unpublish_stream(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which stream.")] input: UnpublishStreamInput,
    ) -> async_graphql::Result<StreamPayload> {
        let call = Call::mutation(ctx)?;
        let (session, stream) = (id("sessionId", &input.session_id)?, id("streamId", &input.stream_id)?);
        let result = call.app().unpublish_stream(&call.request, session, stream).await;
        let (done, told) = call.told(result, |outcome| outcome.position).await?;
        let stream = done.as_ref().and_then(|outcome| outcome.state.stream(stream)).map(MediaStream::from);
        Ok(StreamPayload::new(done.map(|_| input.stream_id), stream, told))
    }

    /// The client is ready for what was offered: it begins to flow, a picture with a key frame.
    async fn acknowledge_offer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which offer.")] input: OfferInput,
    ) -> async_graphql::Result<MediaPayload> {
        let call = Call::mutation(ctx)?;
        let (session, offer) = (id("sessionId", &input.session_id)?, id("offerId", &input.offer_id)?);
        media_payload(&call, call.app().acknowledge_offer(&call.request, session, offer).await).await
    }

    /// The most that the client wants of an offer that has layers: a small picture needs no more than a small one.
    async fn set_preferred_layers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which offer, and how much of it.")] input: SetPreferredLayersInput,
    ) -> async_graphql::Result<MediaPayload> {
        let call = Call::mutation(ctx)?;
        let (session, offer) = (id("sessionId", &input.session_id)?, id("offerId", &input.offer_id)?);
        let (spatial, temporal) = (input.spatial_layer, input.temporal_layer);
        let result = call.app().set_preferred_layers(&call.request, session, offer, spatial, temporal).await;
        media_payload(&call, result).await
    }

    /// Asks the sender for a whole picture: the client has lost its way.
    async fn request_key_frame(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which offer.")] input: OfferInput,
    ) -> async_graphql::Result<MediaPayload> {
        let call = Call::mutation(ctx)?;
        let (session, offer) = (id("sessionId", &input.session_id)?, id("offerId", &input.offer_id)?);
        media_payload(&call, call.app().request_key_frame(&call.request, session, offer).await).await
    }
}

async fn media_payload(call: &Call<'_>, result: Result<(), Error>) -> async_graphql::Result<MediaPayload> {
    let (_, Told { user_errors, position, projected }) = call.told(result, |()| None).await?;
    Ok(MediaPayload { user_errors, position, projected })
}
