//! Participants of a session: who knocked or came in, as what, and all that happened to them there.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use witan_app::sessions::session_resource;
use witan_auth::Operation;
use witan_domain::{
    Aggregate, ParticipantId, SessionId, SessionRole as DomainRole,
    participant::{
        Consent as DomainConsent, ConsentPurpose as DomainConsentPurpose, MediaSource as DomainSource,
        Participant as DomainParticipant, ParticipantMoment, ParticipantState as DomainParticipantState,
        ParticipantStep,
    },
    session::{Session as DomainSession, SessionRecord, SessionState},
};

use crate::{
    call::{Call, PrivateText},
    media::{MediaStream, Streams, WantedStreams},
    refusal,
    scalars::{DateTime, IntoId},
};

/// What someone is in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainRole")]
pub enum SessionRole {
    /// Leads: admits, moderates, ends.
    Host,
    /// Moderates beside the host.
    CoHost,
    /// Takes part.
    Participant,
    /// Interprets for others.
    Interpreter,
    /// Is there for someone who can't decide alone.
    Guardian,
    /// Sees and hears, publishes nothing.
    Observer,
}

/// Where a participant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainParticipantState")]
pub enum ParticipantState {
    /// In the lobby, waiting for an answer.
    Knocking,
    /// May come in, and has not yet.
    Admitted,
    /// A host said no.
    Denied,
    /// Went away from the lobby.
    Withdrawn,
    /// Waited in the lobby for too long.
    TimedOut,
    /// In.
    Joined,
    /// The connection is lost; the seat is kept for 30 s.
    Reconnecting,
    /// In, but neither heard nor seen, until released.
    OnHold,
    /// Sent to another session.
    Moved,
    /// Gone.
    Left,
    /// Removed by a host.
    Removed,
}

/// Where a media stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainSource")]
pub enum MediaSource {
    /// What the participant says.
    Microphone,
    /// What the participant's camera sees.
    Camera,
    /// The participant's screen, or a window of it.
    Screen,
    /// What the shared screen sounds like.
    ScreenAudio,
}

/// What a person consents to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainConsentPurpose")]
pub enum ConsentPurpose {
    /// Audio and video are recorded.
    Recording,
    /// What is said is written down.
    Transcription,
}

/// How many participants are shown at once, and how many when nobody says: with a page of sessions, those of all of them.
pub const PARTICIPANTS_ROWS_MAX: usize = 1_000;
pub const PARTICIPANTS_ROWS_DEFAULT: i32 = 400;

/// Which of a session's participants are wanted: so many after one of them.
pub struct Wanted {
    rows: usize,
    after: Option<ParticipantId>,
}

impl Wanted {
    pub fn try_new(first: i32, after: Option<&ID>) -> async_graphql::Result<Self> {
        let rows = usize::try_from(first).ok().filter(|rows| (1..=PARTICIPANTS_ROWS_MAX).contains(rows));
        let rows = rows.ok_or_else(|| {
            refusal("INVALID_INPUT", format!("first is {first}; expected 1 to {PARTICIPANTS_ROWS_MAX}."))
        })?;
        Ok(Self { rows, after: after.map(|id| crate::call::id("after", id)).transpose()? })
    }
}

/// Refuses who may not see who is in the session: whoever may read that, may read what they published.
pub async fn may_read_participants(call: &Call<'_>, state: &SessionState) -> async_graphql::Result<()> {
    let Some(record) = state.record() else { return Ok(()) };
    let resource = session_resource(&call.request.actor, record.organization, state);
    call.authorise(Operation::ReadParticipants, &resource).await
}

pub fn people(record: &SessionRecord, wanted: &Wanted, streams: &Streams) -> Vec<Participant> {
    let all = &record.participants;
    let rest: &[DomainParticipant] = match wanted.after {
        // After somebody who is none of them comes nobody.
        Some(after) => match all.iter().position(|there| there.participant == after) {
            Some(at) => all.get(at + 1..).unwrap_or_default(),
            None => &[],
        },
        None => all,
    };
    let session = record.session;
    let participant =
        |there: &DomainParticipant| Participant { session, participant: there.clone(), streams: streams.clone() };
    rest.iter().take(wanted.rows).map(participant).collect()
}

/// One person's presence in one session.
pub struct Participant {
    pub session: SessionId,
    pub participant: DomainParticipant,
    pub streams: Streams,
}

/// One person's presence in one session.
#[Object]
impl Participant {
    /// The participant's id.
    async fn id(&self) -> ID {
        self.participant.participant.into_id()
    }

    /// Whose presence it is: the same person has the same id in all sessions of the organization.
    async fn person_id(&self) -> ID {
        self.participant.person.into_id()
    }

    /// The account, where they came by one.
    async fn user_id(&self) -> Option<ID> {
        self.participant.user.map(IntoId::into_id)
    }

    /// The invitation, where they came by one.
    async fn invitation_id(&self) -> Option<ID> {
        self.participant.invitation.map(IntoId::into_id)
    }

    /// What they are in the session.
    async fn role(&self) -> SessionRole {
        self.participant.role.into()
    }

    /// What they called themselves.
    async fn display_name(&self, ctx: &Context<'_>) -> async_graphql::Result<PrivateText> {
        let stream = DomainSession::stream(self.session);
        Call::query(ctx)?.reveal(&stream, "display_name", &self.participant.display_name)
    }

    /// Where they stand.
    async fn state(&self) -> ParticipantState {
        self.participant.state.into()
    }

    /// Since when they stand there.
    async fn since(&self) -> DateTime {
        DateTime(self.participant.since)
    }

    /// When they came in, if ever.
    async fn joined_at(&self) -> Option<DateTime> {
        self.participant.joined_at().map(DateTime)
    }

    /// When it was over for them, in whichever way.
    async fn finished_at(&self) -> Option<DateTime> {
        self.participant.finished_at().map(DateTime)
    }

    /// The sources that a host muted and that were not unmuted since.
    async fn muted(&self) -> Vec<MediaSource> {
        self.participant.muted.iter().map(|source| (*source).into()).collect()
    }

    /// What they published, in the order it began, with what has ended.
    async fn streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether only what is published now is shown.", default = false)] live: bool,
        #[graphql(desc = "So many of them: 1 to 1,000.", default = 20)] first: i32,
        #[graphql(desc = "The id of the stream after which they begin.")] after: Option<ID>,
    ) -> async_graphql::Result<Vec<MediaStream>> {
        let wanted = WantedStreams::try_new(Some(self.participant.participant), live, first, after.as_ref())?;
        self.streams.list(&Call::query(ctx)?, self.session, &wanted)
    }

    /// For how many milliseconds they have spoken, as media nodes measured it, by the minute.
    async fn spoken_milliseconds(&self, ctx: &Context<'_>) -> async_graphql::Result<u64> {
        self.streams.spoken(&Call::query(ctx)?, self.session, self.participant.participant)
    }

    /// Put on hold by a host.
    async fn held(&self) -> bool {
        self.participant.held
    }

    /// What they consented to, in the order it was given, with what was withdrawn.
    async fn consents(&self) -> Vec<Consent> {
        self.participant.consents.iter().map(Consent::from).collect()
    }

    /// Every step: knock, admission, join, drop, leave and all between, with its time.
    async fn timeline(&self) -> Vec<TimelineEntry> {
        self.participant.timeline.iter().map(TimelineEntry::from).collect()
    }
}

/// A consent that was given, and perhaps withdrawn.
#[derive(Clone, Debug, SimpleObject)]
pub struct Consent {
    /// To what.
    purpose: ConsentPurpose,
    /// The version of the text that was shown.
    text_version: String,
    /// The language it was shown in: a BCP 47 tag.
    language: String,
    /// Who gave it: the participant, or a guardian.
    given_by_id: ID,
    /// When it was given.
    given_at: DateTime,
    /// When it was withdrawn; null while it stands.
    withdrawn_at: Option<DateTime>,
}

impl From<&DomainConsent> for Consent {
    fn from(consent: &DomainConsent) -> Self {
        Self {
            purpose: consent.purpose.into(),
            text_version: consent.text_version.clone(),
            language: consent.language.clone(),
            given_by_id: consent.given_by.into_id(),
            given_at: DateTime(consent.given_at),
            withdrawn_at: consent.withdrawn_at.map(DateTime),
        }
    }
}

/// One thing that happened to a participant.
#[derive(Clone, Debug, SimpleObject)]
pub struct TimelineEntry {
    /// When it was recorded.
    at: DateTime,
    /// What it was: `KNOCKED`, `ADMITTED`, `DENIED`, `WITHDREW`, `KNOCK_UNANSWERED`, `KNOCK_TIMED_OUT`, `JOINED`, `DROPPED`,
    /// `RECONNECTED`, `HELD`, `RELEASED`, `MOVED`, `LEFT`, `REMOVED`, `MUTED`, `UNMUTED` or `ROLE_CHANGED`.
    step: &'static str,
    /// More about it: why they left, which source was muted, which role they got.
    detail: Option<String>,
}

impl From<&ParticipantMoment> for TimelineEntry {
    fn from(moment: &ParticipantMoment) -> Self {
        let (step, detail) = match &moment.step {
            ParticipantStep::Knocked => ("KNOCKED", None),
            ParticipantStep::Admitted { ground } => ("ADMITTED", Some(constant(ground))),
            ParticipantStep::Denied { .. } => ("DENIED", None),
            ParticipantStep::Withdrew { reason } => ("WITHDREW", Some(constant(reason))),
            ParticipantStep::KnockUnanswered => ("KNOCK_UNANSWERED", None),
            ParticipantStep::KnockTimedOut { reason } => ("KNOCK_TIMED_OUT", Some(constant(reason))),
            ParticipantStep::Joined => ("JOINED", None),
            ParticipantStep::Dropped => ("DROPPED", None),
            ParticipantStep::Reconnected => ("RECONNECTED", None),
            ParticipantStep::Held => ("HELD", None),
            ParticipantStep::Released => ("RELEASED", None),
            ParticipantStep::Moved { to } => ("MOVED", Some(to.to_string())),
            ParticipantStep::Left { reason } => ("LEFT", Some(constant(reason))),
            ParticipantStep::Removed { ban, .. } => ("REMOVED", ban.then(|| "BANNED".to_owned())),
            ParticipantStep::Muted { source } => ("MUTED", Some(constant(source))),
            ParticipantStep::Unmuted { source } => ("UNMUTED", Some(constant(source))),
            ParticipantStep::RoleChanged { to, .. } => ("ROLE_CHANGED", Some(constant(to))),
        };
        Self { at: DateTime(moment.at), step, detail }
    }
}

/// A value of the domain as the schema writes constants: `SESSION_ENDED`.
fn constant<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text.to_uppercase(),
        _ => String::new(),
    }
}
