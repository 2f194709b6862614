//! Media: whoever is in a session enters it, publishes and receives.
//!
//! What is recorded is decided twice: once before the node is asked, so that it is asked nothing in vain, and once after, in
//! the stream's turn, on what holds then. The stream's turn is not held while the node
//! works, only the participant's own, and what the node did in vain is undone.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::sync::MutexGuard;
use witan_auth::Operation;
use witan_domain::{
    Aggregate, OfferId, OrganizationId, ParticipantId, SessionId, StreamId,
    media::{
        EndStreams, MediaCommand, MediaRejection, MediaStanding, MediaState, MuteStream, PublishStream, SessionMedia,
        UnmuteStream, UnpublishReason, UnpublishStream, Which,
    },
    participant::{MediaSource, StreamKind},
    session::SessionState,
};
use witan_media::{Entrance, MediaError, MediaMode, Publication, Standing};

use crate::{
    App, Error, Outcome, Position, Request,
    execute::{Presence, Task},
    sessions::{own_participant, session_resource},
};

/// How long a media node may take for an answer.
pub(crate) const NODE_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an object of a client's WebRTC library may be, as JSON.
pub const MEDIA_JSON_BYTES_MAX: usize = 64 * 1024;
/// How many arrays and objects in it may be within each other.
pub const MEDIA_JSON_DEPTH_MAX: usize = 10;
/// How long the id of a transport may be.
const TRANSPORT_ID_BYTES_MAX: usize = 128;
/// Higher than any layer that there is.
const LAYERS_MAX: u8 = 8;
/// A codec's name while nobody knows it yet.
const CODEC_UNKNOWN: &str = "unknown";

/// What a participant begins to send.
#[derive(Clone, Debug)]
pub struct NewStream {
    pub source: MediaSource,
    pub kind: StreamKind,
    /// As the client's library has them.
    pub rtp_parameters: Value,
    /// Sends nothing yet.
    pub muted: bool,
}

/// A participant who may ask something of a media node.
struct Place {
    organization: OrganizationId,
    session: SessionId,
    participant: ParticipantId,
    standing: Standing,
}

impl App {
    /// Makes the participant's transports, anew where they had some: what they sent over those has ended. Nothing where
    /// the deployment has no media.
    pub async fn enter_media(
        &self,
        request: &Request,
        session: SessionId,
    ) -> Result<(Option<Entrance>, Option<Position>), Error> {
        if self.media.mode() == MediaMode::None {
            self.may_read_session(request, session, Operation::EnterMedia).await?;
            return Ok((None, None));
        }
        // Each entrance is a new one, whatever the key: the answer holds what only one client can use.
        let request = &Request { idempotency: None, ..request.clone() };
        let place = self.place(request, session, Operation::EnterMedia).await?;
        let participant = place.participant;
        let _turn = self.media_turn(session, participant).await;
        let entered = self.media.enter(session, participant, place.standing.clone());
        let entrance = in_time(entered).await?;
        let outcome = self.entered(request, &place).await;
        if outcome.is_err() {
            self.undo("an entrance", self.media.disconnect(session, participant)).await;
        }
        self.entrances.tell(session, participant);
        Ok((Some(entrance), outcome?.position))
    }

    /// The node has the entrance: tells it what was decided meanwhile, and records what ended.
    async fn entered(&self, request: &Request, place: &Place) -> Result<Outcome<SessionMedia>, Error> {
        let (session, participant) = (place.session, place.participant);
        let now = standing(&self.session_state(place.organization, session)?.media_standing(participant))?;
        if now.held != place.standing.held {
            in_time(self.media.set_held(session, participant, now.held)).await?;
        }
        for source in now.muted.difference(&place.standing.muted) {
            in_time(self.media.mute(session, participant, *source)).await?;
        }
        for source in place.standing.muted.difference(&now.muted) {
            in_time(self.media.allow(session, participant, *source)).await?;
        }
        let task = self.begin_media(request, session, Operation::EnterMedia).await?;
        let (which, reason) = (Which::OfParticipant(participant), UnpublishReason::EnteredAnew);
        let ended = EndStreams { which, reason, now: task.now() };
        task.finish(&ended.into()).await
    }

    /// The client's answer to one of its transports.
    pub async fn connect_transport(
        &self,
        request: &Request,
        session: SessionId,
        transport: &str,
        dtls_parameters: Value,
    ) -> Result<(), Error> {
        bounded("dtlsParameters", &dtls_parameters)?;
        transport_id(transport)?;
        let place = self.place(request, session, Operation::ConnectTransport).await?;
        in_time(self.media.connect_transport(session, place.participant, transport, dtls_parameters)).await
    }

    /// New ICE parameters for a transport whose network has changed.
    pub async fn restart_ice(&self, request: &Request, session: SessionId, transport: &str) -> Result<Value, Error> {
        transport_id(transport)?;
        let place = self.place(request, session, Operation::RestartIce).await?;
        in_time(self.media.restart_ice(session, place.participant, transport)).await
    }

    /// Begins to send. The same request again is the same stream.
    pub async fn publish_stream(
        &self,
        request: &Request,
        session: SessionId,
        new: NewStream,
    ) -> Result<(StreamId, Outcome<SessionMedia>), Error> {
        bounded("rtpParameters", &new.rtp_parameters)?;
        let stream = StreamId(self.id_for(request, "stream"));
        let command = |at: &Publishing<'_>, codec: &str, layers| {
            let (source, kind, muted, codec) = (new.source, new.kind, new.muted, codec.to_owned());
            let (participant, standing, now) = (at.participant, at.standing.clone(), at.task.now());
            MediaCommand::from(PublishStream { stream, participant, source, kind, codec, layers, muted, standing, now })
        };
        let before = self.publishing(request, session, Operation::PublishStream).await?;
        let wanted = command(&before, CODEC_UNKNOWN, 1);
        if before.is_answered(&wanted)? {
            return Ok((stream, before.task.finish(&wanted).await?));
        }
        let (participant, paused) = (before.participant, new.muted || before.standing.mutes(new.source));
        self.there_is_media()?;
        drop(before);
        let _turn = self.media_turn(session, participant).await;
        // The same request may have come twice, and the other was faster.
        let before = self.publishing(request, session, Operation::PublishStream).await?;
        if before.is_answered(&wanted)? {
            return Ok((stream, before.task.finish(&wanted).await?));
        }
        drop(before);

        let publication =
            Publication { stream, source: new.source, rtp_parameters: new.rtp_parameters.clone(), paused };
        let recorded = async {
            let published = in_time(self.media.publish(session, participant, publication)).await?;
            let now = self.publishing(request, session, Operation::PublishStream).await?;
            let command = command(&now, &published.codec, published.layers);
            now.task.finish(&command).await
        }
        .await;
        let live = |outcome: &Outcome<SessionMedia>| outcome.state.stream(stream).is_some_and(|found| found.is_live());
        if !recorded.as_ref().is_ok_and(live) {
            self.undo("a publication", self.media.unpublish(session, participant, stream)).await;
        }
        Ok((stream, recorded?))
    }

    /// Stops sending for a while, or goes on where no host forbids that.
    pub async fn set_stream_paused(
        &self,
        request: &Request,
        session: SessionId,
        stream: StreamId,
        paused: bool,
    ) -> Result<Outcome<SessionMedia>, Error> {
        let command = |at: &Publishing<'_>| -> MediaCommand {
            let (participant, now) = (at.participant, at.task.now());
            match paused {
                true => MuteStream { stream, participant, now }.into(),
                false => UnmuteStream { stream, participant, standing: at.standing.clone(), now }.into(),
            }
        };
        let before = self.publishing(request, session, Operation::SetStreamPaused).await?;
        let wanted = command(&before);
        if before.task.answered()?.is_some() {
            return before.task.finish(&wanted).await;
        }
        SessionMedia::decide(before.task.state(), &wanted).map_err(Error::rejected)?;
        let participant = before.participant;
        self.there_is_media()?;
        drop(before);
        let _turn = self.media_turn(session, participant).await;

        in_time(self.media.set_stream_paused(session, participant, stream, paused)).await?;
        let recorded = async {
            let now = self.publishing(request, session, Operation::SetStreamPaused).await?;
            let command = command(&now);
            now.task.finish(&command).await
        }
        .await;
        if recorded.is_err() && !paused {
            // Nobody is heard or seen of whom the record says that they are not.
            self.undo("an unmute", self.media.set_stream_paused(session, participant, stream, true)).await;
        }
        recorded
    }

    /// Stops sending for good.
    pub async fn unpublish_stream(
        &self,
        request: &Request,
        session: SessionId,
        stream: StreamId,
    ) -> Result<Outcome<SessionMedia>, Error> {
        let command = |at: &Publishing<'_>| -> MediaCommand {
            UnpublishStream { stream, participant: at.participant, now: at.task.now() }.into()
        };
        let before = self.publishing(request, session, Operation::UnpublishStream).await?;
        let wanted = command(&before);
        if before.is_answered(&wanted)? {
            return before.task.finish(&wanted).await;
        }
        let participant = before.participant;
        self.there_is_media()?;
        drop(before);
        let _turn = self.media_turn(session, participant).await;

        gone(in_time(self.media.unpublish(session, participant, stream)).await)?;
        let now = self.publishing(request, session, Operation::UnpublishStream).await?;
        let command = command(&now);
        now.task.finish(&command).await
    }

    /// The client is ready for what was offered.
    pub async fn acknowledge_offer(&self, request: &Request, session: SessionId, offer: OfferId) -> Result<(), Error> {
        let place = self.place(request, session, Operation::AcknowledgeOffer).await?;
        in_time(self.media.acknowledge_offer(session, place.participant, offer)).await
    }

    /// The most that the client wants of an offer that has layers.
    pub async fn set_preferred_layers(
        &self,
        request: &Request,
        session: SessionId,
        offer: OfferId,
        spatial: u8,
        temporal: Option<u8>,
    ) -> Result<(), Error> {
        for (field, layer) in [("spatialLayer", Some(spatial)), ("temporalLayer", temporal)] {
            if layer.is_some_and(|layer| layer >= LAYERS_MAX) {
                return Err(Error::invalid(field, format!("A layer is a number from 0 to {}.", LAYERS_MAX - 1)));
            }
        }
        let place = self.place(request, session, Operation::SetPreferredLayers).await?;
        in_time(self.media.set_preferred_layers(session, place.participant, offer, spatial, temporal)).await
    }

    pub async fn request_key_frame(&self, request: &Request, session: SessionId, offer: OfferId) -> Result<(), Error> {
        let place = self.place(request, session, Operation::RequestKeyFrame).await?;
        in_time(self.media.request_key_frame(session, place.participant, offer)).await
    }

    /// Asks whether the actor may, and who they are in the session.
    async fn place(&self, request: &Request, session: SessionId, operation: Operation) -> Result<Place, Error> {
        let (organization, state) = self.may_read_session(request, session, operation).await?;
        let participant = own_participant(request, &state)?;
        let standing = standing(&state.media_standing(participant))?;
        self.there_is_media()?;
        Ok(Place { organization, session, participant, standing })
    }

    /// What one participant asks of a node and what is recorded of it come in one order: one after the other. Whoever waits
    /// for this turn has no other.
    async fn media_turn(&self, session: SessionId, participant: ParticipantId) -> MutexGuard<'_, ()> {
        self.media_turns.lock(&format!("{session} {participant}")).await
    }

    /// A command about one's own streams begins: authorised, in the stream's turn, with what the session says then.
    async fn publishing<'a>(
        &'a self,
        request: &'a Request,
        session: SessionId,
        operation: Operation,
    ) -> Result<Publishing<'a>, Error> {
        let task = self.begin_media(request, session, operation).await?;
        let state = self.session_state(request.organization()?, session)?;
        let participant = own_participant(request, &state)?;
        Ok(Publishing { participant, standing: state.media_standing(participant), task })
    }

    async fn begin_media<'a>(
        &'a self,
        request: &'a Request,
        session: SessionId,
        operation: Operation,
    ) -> Result<Task<'a, SessionMedia>, Error> {
        let organization = request.organization()?;
        // Asked anew in the stream's turn: who was removed while they waited for it may no longer.
        let resource = move |_: &_| self.session_resource_now(&request.actor, organization, session);
        self.session_state(organization, session)?;
        self.begin::<SessionMedia>(request, Some(organization), session, operation, Presence::Optional, resource).await
    }

    /// A command of witan itself.
    pub(crate) async fn command_media(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        command: impl FnOnce(&SessionState, &MediaState) -> MediaCommand + Send,
    ) -> Result<Outcome<SessionMedia>, Error> {
        let resource = move |_: &_| session_resource(&request.actor, organization, &SessionState::Absent);
        let (operation, presence) = (Operation::UnpublishStream, Presence::Optional);
        let task =
            self.begin::<SessionMedia>(request, Some(organization), session, operation, presence, resource).await?;
        let command = command(&*self.session_state(organization, session)?, task.state());
        task.finish(&command).await
    }

    fn there_is_media(&self) -> Result<(), Error> {
        match self.media.mode() {
            MediaMode::Sfu => Ok(()),
            MediaMode::None => Err(Error::Rejected {
                code: "NO_MEDIA",
                field: None,
                message: "This deployment carries no media.".into(),
            }),
        }
    }

    /// Takes back at the node what could not be recorded.
    async fn undo(&self, what: &str, undoing: impl Future<Output = Result<(), MediaError>>) {
        if let Err(error) = gone(in_time(undoing).await) {
            tracing::error!(what, code = error.code(), "could not be taken back at the media node");
        }
    }
}

/// A command about one's own streams.
struct Publishing<'a> {
    participant: ParticipantId,
    standing: MediaStanding,
    task: Task<'a, SessionMedia>,
}

impl Publishing<'_> {
    /// Whether the command adds nothing: it is a retry, or what it asks for holds. A rejection is told.
    fn is_answered(&self, command: &MediaCommand) -> Result<bool, Error> {
        if self.task.answered()?.is_some() {
            return Ok(true);
        }
        Ok(SessionMedia::decide(self.task.state(), command).map_err(Error::rejected)?.is_empty())
    }
}

/// What the node has to know of a participant who is in.
fn standing(standing: &MediaStanding) -> Result<Standing, Error> {
    match standing {
        MediaStanding::SessionNotLive => Err(Error::rejected(MediaRejection::SessionNotLive)),
        MediaStanding::NotIn => Err(Error::rejected(MediaRejection::ParticipantNotIn)),
        MediaStanding::In { held, muted, .. } => Ok(Standing { held: *held, muted: BTreeSet::clone(muted) }),
    }
}

/// The node's answer; that none came in time is a fault of the node.
pub(crate) async fn answered<T>(answer: impl Future<Output = Result<T, MediaError>>) -> Result<T, MediaError> {
    let answer = tokio::time::timeout(NODE_TIME_MAX, answer).await;
    answer.unwrap_or_else(|_| Err(MediaError::Node("it did not answer in time".into())))
}

/// The same, told to whoever asked.
pub(crate) async fn in_time<T>(answer: impl Future<Output = Result<T, MediaError>>) -> Result<T, Error> {
    answered(answer).await.map_err(told)
}

/// Why the node did not do it, for whoever asked.
fn told(error: MediaError) -> Error {
    match error {
        MediaError::NoNode => Error::Unavailable("No media node can be reached. Please try again.".into()),
        MediaError::Node(why) => {
            tracing::warn!(why, "the media node failed");
            Error::Unavailable("The media node failed. Please try again.".into())
        }
        MediaError::Invalid { field, message } => parameters_invalid(field, message),
        // It was lost with its node, or with a restart: `reactors/nodes.rs` brings it back.
        MediaError::NotThere("session") => {
            Error::Unavailable("The session's media is being brought back. Please try again.".into())
        }
        MediaError::NotThere("transport") => Error::Rejected {
            code: "TRANSPORT_NOT_FOUND",
            field: Some("transportId".into()),
            message: "You have no such transport (any more).".into(),
        },
        MediaError::NotThere("offer") => Error::Rejected {
            code: "OFFER_NOT_FOUND",
            field: Some("offerId".into()),
            message: "You have no such offer (any more).".into(),
        },
        MediaError::NotThere("stream") => Error::rejected(MediaRejection::StreamNotFound),
        MediaError::NotThere(_) => Error::Rejected {
            code: "MEDIA_NOT_ENTERED",
            field: None,
            message: "You have not entered the session's media: enterMedia comes first.".into(),
        },
    }
}

/// What a client's library sent is not what the node takes.
pub(crate) fn parameters_invalid(field: &str, message: String) -> Error {
    Error::Rejected { code: "MEDIA_PARAMETERS_INVALID", field: Some(field.to_owned()), message }
}

/// What is not there any more needs no ending.
pub(crate) fn gone(ended: Result<(), Error>) -> Result<(), Error> {
    match ended {
        Ok(()) | Err(Error::Rejected { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An object of a client's WebRTC library, before it reaches the node.
pub(crate) fn bounded(field: &str, value: &Value) -> Result<(), Error> {
    if depth(value) > MEDIA_JSON_DEPTH_MAX {
        let message = format!("Arrays and objects in it are within each other at most {MEDIA_JSON_DEPTH_MAX} deep.");
        return Err(Error::invalid(field, message));
    }
    let bytes = serde_json::to_vec(value).map_err(Error::fault)?.len();
    if bytes > MEDIA_JSON_BYTES_MAX {
        let message = format!("It has {bytes} bytes as JSON, of at most {MEDIA_JSON_BYTES_MAX}.");
        return Err(Error::invalid(field, message));
    }
    Ok(())
}

/// The transport has bounded how deep this can be at all.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn transport_id(id: &str) -> Result<(), Error> {
    if id.is_empty() || id.len() > TRANSPORT_ID_BYTES_MAX {
        let message = format!("A transport's id has 1 to {TRANSPORT_ID_BYTES_MAX} bytes.");
        return Err(Error::invalid("transportId", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_from_a_client_is_bounded() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(bounded("rtpParameters", &nested(MEDIA_JSON_DEPTH_MAX)).is_ok());
        assert!(bounded("rtpParameters", &nested(MEDIA_JSON_DEPTH_MAX + 1)).is_err());
        assert!(bounded("rtpParameters", &json!("x".repeat(MEDIA_JSON_BYTES_MAX - 2))).is_ok());
        let Err(Error::Rejected { code, field, .. }) =
            bounded("rtpParameters", &json!("x".repeat(MEDIA_JSON_BYTES_MAX - 1)))
        else {
            panic!("one byte too many");
        };
        assert_eq!((code, field.as_deref()), ("INVALID_INPUT", Some("rtpParameters")));
    }
}
