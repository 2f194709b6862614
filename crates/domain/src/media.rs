//! What the participants of one session publish: microphones, cameras, screens. Stream `media-{session}`: apart from the
//! session's own, so that both stay short. What a stream sounds or looks like is never in an event, nor how it travels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, ParticipantId, SessionId, SessionRole, StreamId, Timestamp,
    aggregate::Rejection,
    commands, events,
    participant::{MediaSource, StreamKind},
    settings::WhoMayPublish,
};

/// How many streams one session has in all, those that ended included.
pub const STREAMS_MAX: usize = 5_000;
/// How many of these are one participant's at most.
pub const STREAMS_OF_PARTICIPANT_MAX: usize = 200;
/// How often one stream is unmuted; then it has to be published anew.
pub const UNMUTES_OF_STREAM_MAX: u32 = 500;
/// How long a codec's name may be.
pub const CODEC_BYTES_MAX: usize = 64;

/// What the session says of the one who publishes: made by [`SessionState::media_standing`] only, from the session's own
/// stream, and carried by the command because a decider sees one stream.
///
/// [`SessionState::media_standing`]: crate::session::SessionState::media_standing
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaStanding {
    SessionNotLive,
    NotIn,
    /// In the session: as what, what a host did to them, and what the settings allow.
    In {
        role: SessionRole,
        held: bool,
        /// The sources that a host has muted.
        muted: BTreeSet<MediaSource>,
        who_may_publish: WhoMayPublish,
        screen_share: bool,
        /// The media node is lost, and not replaced yet.
        interrupted: bool,
    },
}

impl MediaStanding {
    /// Whether a stream of this source may be there at all; a hold only keeps it from being heard or seen.
    pub fn allows(&self, source: MediaSource) -> Result<(), MediaRejection> {
        let (role, who_may_publish, screen_share) = match self {
            Self::SessionNotLive => return Err(MediaRejection::SessionNotLive),
            Self::NotIn => return Err(MediaRejection::ParticipantNotIn),
            Self::In { role, who_may_publish, screen_share, .. } => (*role, *who_may_publish, *screen_share),
        };
        if !role.may_publish() {
            return Err(MediaRejection::RoleMayNotPublish);
        }
        if who_may_publish == WhoMayPublish::Hosts && !role.moderates() {
            return Err(MediaRejection::OnlyHostsPublish);
        }
        match source {
            MediaSource::Screen | MediaSource::ScreenAudio if !screen_share => Err(MediaRejection::ScreenShareOff),
            MediaSource::Screen | MediaSource::ScreenAudio | MediaSource::Microphone | MediaSource::Camera => Ok(()),
        }
    }

    /// Whether a host has muted this source.
    pub fn mutes(&self, source: MediaSource) -> bool {
        match self {
            Self::SessionNotLive | Self::NotIn => false,
            Self::In { muted, .. } => muted.contains(&source),
        }
    }

    /// Whether anything may begin to flow now.
    fn lets_flow(&self) -> Result<(), MediaRejection> {
        match self {
            Self::In { held: true, .. } => Err(MediaRejection::ParticipantOnHold),
            Self::In { interrupted: true, .. } => Err(MediaRejection::SessionInterrupted),
            Self::SessionNotLive | Self::NotIn | Self::In { .. } => Ok(()),
        }
    }
}

// Commands.

/// A participant begins to send. The id is the caller's to choose, so that a retry is the same stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishStream {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub source: MediaSource,
    pub kind: StreamKind,
    /// As the media node has it, for example `VP8`.
    pub codec: String,
    /// How many layers of different quality are sent.
    pub layers: u8,
    /// Sends nothing yet.
    pub muted: bool,
    pub standing: MediaStanding,
    pub now: Timestamp,
}

/// A participant stops sending for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteStream {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// A participant sends again: nobody else does that for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmuteStream {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub standing: MediaStanding,
    pub now: Timestamp,
}

/// A participant stops sending for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpublishStream {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// The system: these streams are no more, for a reason outside the session's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndStreams {
    pub which: Which,
    pub reason: UnpublishReason,
    pub now: Timestamp,
}

/// Which streams have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Everyone's that were recorded until then: what carried them is lost.
    PublishedUntil(Timestamp),
    OfParticipant(ParticipantId),
    One(StreamId),
}

/// The system: what the session now says of these participants is enforced on what they publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforceStandings {
    pub standings: Vec<(ParticipantId, MediaStanding)>,
    pub now: Timestamp,
}

/// The system: a media node has measured who spoke for how long since it measured last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasureSpeech {
    pub measure: Measure,
    pub speech: Vec<Spoken>,
    pub now: Timestamp,
}

/// Which measure of which run of a node it is: a node tells each at least once, with growing numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Random at the node's start: 16 hexadecimal digits.
    pub run: String,
    pub number: u64,
}

/// For how long somebody spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    pub participant: ParticipantId,
    pub milliseconds: u64,
}

commands! {
    /// What one may ask of a session's media.
    pub enum MediaCommand {
        PublishStream,
        MuteStream,
        UnmuteStream,
        UnpublishStream,
        EndStreams,
        EnforceStandings,
        MeasureSpeech,
    }
}

// Events.

/// A participant began to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPublished {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub source: MediaSource,
    pub kind: StreamKind,
    /// As the media node has it, for example `VP8`.
    pub codec: String,
    /// How many qualities of it are sent at once.
    pub layers: u8,
    /// Whether it began muted.
    pub muted: bool,
}

/// A stream carries nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamMuted {
    pub stream: StreamId,
    pub by: MutedBy,
}

/// A stream carries again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamUnmuted {
    pub stream: StreamId,
}

/// A stream has ended for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamUnpublished {
    pub stream: StreamId,
    pub reason: UnpublishReason,
}

/// Who spoke for how long since the measure before: one event for all, so that the stream stays short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeechMeasured {
    pub measure: Measure,
    pub speech: Vec<Spoken>,
}

events! {
    /// Any event of a session's media.
    pub enum MediaEvent of "media" {
        StreamPublished,
        StreamMuted,
        StreamUnmuted,
        StreamUnpublished,
        SpeechMeasured,
    }
}

/// Who muted a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MutedBy {
    /// The one who publishes it.
    Participant,
    /// The session's own stream says which.
    Host,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnpublishReason {
    ByParticipant,
    /// The same participant entered the media anew: after a reload, say.
    EnteredAnew,
    /// They left, were moved or removed: the session's own stream says which.
    ParticipantGone,
    /// Their role or a setting changed, and they may not publish this any more.
    NotAllowed,
    /// The connection over which it came is lost.
    ConnectionLost,
    /// The media node that carried it is lost.
    NodeLost,
    SessionEnded,
}

impl UnpublishReason {
    pub const ALL: [Self; 7] = [
        Self::ByParticipant,
        Self::EnteredAnew,
        Self::ParticipantGone,
        Self::NotAllowed,
        Self::ConnectionLost,
        Self::NodeLost,
        Self::SessionEnded,
    ];
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaRejection {
    #[error("The session is not live.")]
    SessionNotLive,
    #[error("The participant is not in the session.")]
    ParticipantNotIn,
    #[error("The participant is on hold: nothing is published or unmuted until a host releases them.")]
    ParticipantOnHold,
    #[error("The session's media is interrupted: it is back in a moment, then enter it anew.")]
    SessionInterrupted,
    #[error("An observer publishes nothing.")]
    RoleMayNotPublish,
    #[error("Only hosts and co-hosts publish in this session.")]
    OnlyHostsPublish,
    #[error("Sharing a screen is off in this session.")]
    ScreenShareOff,
    #[error("A host has muted this source: only a host takes that back.")]
    MutedByHost,
    #[error("A microphone and a screen's sound are AUDIO; a camera and a screen are VIDEO.")]
    KindNotOfSource,
    #[error("A codec's name has 1 to {CODEC_BYTES_MAX} visible ASCII characters.")]
    CodecInvalid,
    #[error("The participant publishes this source already: unpublish that stream first.")]
    SourceAlreadyPublished,
    #[error("Another stream has this id already.")]
    StreamAlreadyExists,
    #[error("The participant publishes no such stream.")]
    StreamNotFound,
    #[error("The stream was unmuted {UNMUTES_OF_STREAM_MAX} times: publish it anew.")]
    UnmutedTooOften,
    #[error("The participant has published {STREAMS_OF_PARTICIPANT_MAX} streams: they have to come in anew.")]
    ParticipantStreamsFull,
    #[error("The session has had its maximum of {STREAMS_MAX} streams.")]
    StreamsFull,
}

impl Rejection for MediaRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::SessionNotLive => "SESSION_NOT_LIVE",
            Self::ParticipantNotIn => "PARTICIPANT_NOT_IN",
            Self::ParticipantOnHold => "PARTICIPANT_ON_HOLD",
            Self::SessionInterrupted => "SESSION_INTERRUPTED",
            Self::RoleMayNotPublish => "ROLE_MAY_NOT_PUBLISH",
            Self::OnlyHostsPublish => "ONLY_HOSTS_PUBLISH",
            Self::ScreenShareOff => "SCREEN_SHARE_OFF",
            Self::MutedByHost => "MUTED_BY_HOST",
            Self::KindNotOfSource => "KIND_NOT_OF_SOURCE",
            Self::CodecInvalid => "CODEC_INVALID",
            Self::SourceAlreadyPublished => "SOURCE_ALREADY_PUBLISHED",
            Self::StreamAlreadyExists => "STREAM_ALREADY_EXISTS",
            Self::StreamNotFound => "STREAM_NOT_FOUND",
            Self::UnmutedTooOften => "UNMUTED_TOO_OFTEN",
            Self::ParticipantStreamsFull => "PARTICIPANT_STREAMS_FULL",
            Self::StreamsFull => "STREAMS_FULL",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::KindNotOfSource => Some("kind"),
            Self::SourceAlreadyPublished | Self::ScreenShareOff | Self::MutedByHost => Some("source"),
            Self::StreamAlreadyExists | Self::StreamNotFound | Self::UnmutedTooOften => Some("streamId"),
            Self::CodecInvalid => Some("rtpParameters"),
            Self::SessionNotLive
            | Self::ParticipantNotIn
            | Self::ParticipantOnHold
            | Self::SessionInterrupted
            | Self::RoleMayNotPublish
            | Self::OnlyHostsPublish
            | Self::ParticipantStreamsFull
            | Self::StreamsFull => None,
        }
    }
}

// State.

/// The streams of one session, in the order they were published, and for how long its people spoke.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaState {
    pub streams: Vec<MediaStream>,
    /// In milliseconds, of those who spoke at all.
    pub speech: BTreeMap<ParticipantId, u64>,
    /// The newest measure of each run of a node.
    pub measured: BTreeMap<String, u64>,
}

/// All that is known of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStream {
    pub stream: StreamId,
    pub participant: ParticipantId,
    pub source: MediaSource,
    pub kind: StreamKind,
    pub codec: String,
    pub layers: u8,
    pub published_at: Timestamp,
    /// Who muted it, while it is.
    pub muted: Option<MutedBy>,
    pub unmutes_count: u32,
    pub unpublished: Option<Unpublished>,
}

/// When and why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpublished {
    pub at: Timestamp,
    pub reason: UnpublishReason,
}

impl MediaStream {
    /// Whether it is published now.
    pub const fn is_live(&self) -> bool {
        self.unpublished.is_none()
    }
}

impl MediaState {
    pub fn stream(&self, id: StreamId) -> Option<&MediaStream> {
        self.streams.iter().find(|stream| stream.stream == id)
    }

    /// What is published now, in the order it began.
    pub fn live(&self) -> impl Iterator<Item = &MediaStream> {
        self.streams.iter().filter(|stream| stream.is_live())
    }

    /// Everyone who publishes something now.
    pub fn publishers(&self) -> BTreeSet<ParticipantId> {
        self.live().map(|stream| stream.participant).collect()
    }

    fn change(&mut self, id: StreamId, change: impl FnOnce(&mut MediaStream)) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.stream == id) {
            change(stream);
        }
    }

    /// A stream that this participant publishes now.
    fn own(&self, id: StreamId, participant: ParticipantId) -> Result<&MediaStream, MediaRejection> {
        let own = self.stream(id).filter(|stream| stream.participant == participant && stream.is_live());
        own.ok_or(MediaRejection::StreamNotFound)
    }
}

type Decision = Result<Vec<MediaEvent>, MediaRejection>;

/// What a command that asks for what already holds adds.
const NOTHING: Decision = Ok(Vec::new());

/// The decider.
pub struct SessionMedia;

impl Aggregate for SessionMedia {
    type Id = SessionId;
    type Command = MediaCommand;
    type Event = MediaEvent;
    type Rejection = MediaRejection;
    type State = MediaState;
    const CATEGORY: &'static str = "media";

    fn decide(state: &MediaState, command: &MediaCommand) -> Decision {
        match command {
            MediaCommand::PublishStream(command) => publish_stream(state, command),
            MediaCommand::MuteStream(command) => mute_stream(state, command),
            MediaCommand::UnmuteStream(command) => unmute_stream(state, command),
            MediaCommand::UnpublishStream(command) => unpublish_stream(state, command),
            MediaCommand::EndStreams(command) => end_streams(state, command),
            MediaCommand::EnforceStandings(command) => enforce_standings(state, command),
            MediaCommand::MeasureSpeech(command) => measure_speech(state, command),
        }
    }

    fn evolve(mut state: MediaState, event: &MediaEvent, at: Timestamp) -> MediaState {
        match event {
            MediaEvent::StreamPublished(published) => state.streams.push(MediaStream {
                stream: published.stream,
                participant: published.participant,
                source: published.source,
                kind: published.kind,
                codec: published.codec.clone(),
                layers: published.layers,
                published_at: at,
                muted: published.muted.then_some(MutedBy::Participant),
                unmutes_count: 0,
                unpublished: None,
            }),
            MediaEvent::StreamMuted(muted) => state.change(muted.stream, |stream| stream.muted = Some(muted.by)),
            MediaEvent::StreamUnmuted(unmuted) => state.change(unmuted.stream, |stream| {
                stream.muted = None;
                stream.unmutes_count += 1;
            }),
            MediaEvent::StreamUnpublished(ended) => state.change(ended.stream, |stream| {
                stream.unpublished.get_or_insert(Unpublished { at, reason: ended.reason });
            }),
            MediaEvent::SpeechMeasured(measured) => {
                state.measured.insert(measured.measure.run.clone(), measured.measure.number);
                for spoken in &measured.speech {
                    let total = state.speech.entry(spoken.participant).or_default();
                    *total = total.saturating_add(spoken.milliseconds);
                }
            }
        }
        state
    }
}

/// What a host has muted begins muted, whatever was asked.
fn publish_stream(state: &MediaState, command: &PublishStream) -> Decision {
    command.standing.allows(command.source)?;
    command.standing.lets_flow()?;
    if command.kind != command.source.kind() {
        return Err(MediaRejection::KindNotOfSource);
    }
    let codec = command.codec.as_bytes();
    if codec.is_empty() || codec.len() > CODEC_BYTES_MAX || !codec.iter().all(u8::is_ascii_graphic) {
        return Err(MediaRejection::CodecInvalid);
    }
    match state.stream(command.stream) {
        Some(stream) if stream.participant == command.participant && stream.source == command.source => return NOTHING,
        Some(_) => return Err(MediaRejection::StreamAlreadyExists),
        None => {}
    }
    let own = || state.streams.iter().filter(|stream| stream.participant == command.participant);
    if own().any(|stream| stream.is_live() && stream.source == command.source) {
        return Err(MediaRejection::SourceAlreadyPublished);
    }
    if own().count() >= STREAMS_OF_PARTICIPANT_MAX {
        return Err(MediaRejection::ParticipantStreamsFull);
    }
    if state.streams.len() >= STREAMS_MAX {
        return Err(MediaRejection::StreamsFull);
    }
    let published = StreamPublished {
        stream: command.stream,
        participant: command.participant,
        source: command.source,
        kind: command.kind,
        codec: command.codec.clone(),
        layers: command.layers,
        muted: command.muted,
    };
    let mut events = vec![published.into()];
    if command.standing.mutes(command.source) {
        events.push(StreamMuted { stream: command.stream, by: MutedBy::Host }.into());
    }
    Ok(events)
}

fn mute_stream(state: &MediaState, command: &MuteStream) -> Decision {
    let stream = state.own(command.stream, command.participant)?;
    if stream.muted.is_some() {
        return NOTHING;
    }
    Ok(vec![StreamMuted { stream: command.stream, by: MutedBy::Participant }.into()])
}

fn unmute_stream(state: &MediaState, command: &UnmuteStream) -> Decision {
    let stream = state.own(command.stream, command.participant)?;
    command.standing.allows(stream.source)?;
    command.standing.lets_flow()?;
    if command.standing.mutes(stream.source) {
        return Err(MediaRejection::MutedByHost);
    }
    if stream.muted.is_none() {
        return NOTHING;
    }
    if stream.unmutes_count >= UNMUTES_OF_STREAM_MAX {
        return Err(MediaRejection::UnmutedTooOften);
    }
    Ok(vec![StreamUnmuted { stream: command.stream }.into()])
}

fn unpublish_stream(state: &MediaState, command: &UnpublishStream) -> Decision {
    match state.stream(command.stream).filter(|stream| stream.participant == command.participant) {
        Some(stream) if stream.is_live() => Ok(vec![unpublished(stream, UnpublishReason::ByParticipant)]),
        Some(_) => NOTHING,
        None => Err(MediaRejection::StreamNotFound),
    }
}

fn end_streams(state: &MediaState, command: &EndStreams) -> Decision {
    let ended = state.live().filter(|stream| match command.which {
        Which::PublishedUntil(then) => stream.published_at <= then,
        Which::OfParticipant(participant) => stream.participant == participant,
        Which::One(id) => stream.stream == id,
    });
    Ok(ended.map(|stream| unpublished(stream, command.reason)).collect())
}

fn enforce_standings(state: &MediaState, command: &EnforceStandings) -> Decision {
    let standing = |of| command.standings.iter().find(|(participant, _)| *participant == of).map(|(_, found)| found);
    let with_standing = state.live().filter_map(|stream| standing(stream.participant).map(|found| (stream, found)));
    Ok(with_standing.filter_map(|(stream, standing)| enforced(stream, standing)).collect())
}

/// Nobody speaks for longer between two measures.
const SPOKEN_MILLISECONDS_MAX: u64 = 3_600_000;

/// What was measured before adds nothing, nor does silence.
fn measure_speech(state: &MediaState, command: &MeasureSpeech) -> Decision {
    let Measure { run, number } = &command.measure;
    if state.measured.get(run).is_some_and(|newest| newest >= number) {
        return NOTHING;
    }
    let spoke = command.speech.iter().filter(|spoken| spoken.milliseconds > 0);
    let bounded =
        |spoken: &Spoken| Spoken { milliseconds: spoken.milliseconds.min(SPOKEN_MILLISECONDS_MAX), ..*spoken };
    let speech: Vec<Spoken> = spoke.map(bounded).collect();
    if speech.is_empty() {
        return NOTHING;
    }
    Ok(vec![SpeechMeasured { measure: command.measure.clone(), speech }.into()])
}

fn enforced(stream: &MediaStream, standing: &MediaStanding) -> Option<MediaEvent> {
    match standing {
        MediaStanding::SessionNotLive => Some(unpublished(stream, UnpublishReason::SessionEnded)),
        MediaStanding::NotIn => Some(unpublished(stream, UnpublishReason::ParticipantGone)),
        MediaStanding::In { .. } if standing.allows(stream.source).is_err() => {
            Some(unpublished(stream, UnpublishReason::NotAllowed))
        }
        MediaStanding::In { .. } if standing.mutes(stream.source) && stream.muted != Some(MutedBy::Host) => {
            Some(StreamMuted { stream: stream.stream, by: MutedBy::Host }.into())
        }
        MediaStanding::In { .. } => None,
    }
}

fn unpublished(stream: &MediaStream, reason: UnpublishReason) -> MediaEvent {
    StreamUnpublished { stream: stream.stream, reason }.into()
}

#[cfg(test)]
mod tests;
