//! Sessions and their participants: what is shown of them, and what one may ask.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use witan_app::{
    Outcome,
    entry::{Entered, Introduction},
    opening::{OpeningInput, Ticket},
    sessions::{Reason, session_resource},
};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, ParticipantId, SessionId, SessionRole as DomainRole,
    chat::Chat as DomainChat,
    participant::{
        Consent as DomainConsent, ConsentPurpose as DomainConsentPurpose, MediaSource as DomainSource,
        Participant as DomainParticipant, ParticipantMoment, ParticipantState as DomainParticipantState,
        ParticipantStep,
    },
    session::{
        EndReason as DomainEndReason, Opener, Session as DomainSession, SessionRecord, SessionState,
        SessionStatus as DomainStatus,
    },
};
use witan_projections::{
    chat::MessageRow,
    sessions::{SessionList, SessionRow},
};

use crate::{
    call::{Call, PrivateText, Told, UserError, id, shown, stored},
    connection::{PageInput, connection, edges, visible},
    refusal,
    scalars::{DateTime, Position},
    settings::{EffectiveSettings, Purpose, SettingChoice},
};

macro_rules! mirrored {
    ($(#[$doc:meta])* $name:ident of $domain:literal { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
        #[graphql(remote = $domain)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }
    };
}

mirrored! {
    /// Where a session stands in its life.
    SessionStatus of "DomainStatus" {
        /// Media is getting ready.
        Preparing,
        /// Nobody has come yet.
        Ready,
        /// People knock, or are in and wait for the host.
        Waiting,
        /// The host is in, or nobody waits for one.
        InProgress,
        /// Its media node is lost.
        Interrupted,
        /// Over, for good.
        Closed,
    }
}

mirrored! {
    /// What someone is in a session.
    SessionRole of "DomainRole" {
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
}

mirrored! {
    /// Where a participant stands.
    ParticipantState of "DomainParticipantState" {
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
}

mirrored! {
    /// Where a media stream comes from.
    MediaSource of "DomainSource" {
        /// What the participant says.
        Microphone,
        /// What the participant's camera sees.
        Camera,
        /// The participant's screen, or a window of it.
        Screen,
        /// What the shared screen sounds like.
        ScreenAudio,
    }
}

mirrored! {
    /// What a person consents to.
    ConsentPurpose of "DomainConsentPurpose" {
        /// Audio and video are recorded.
        Recording,
        /// What is said is written down.
        Transcription,
    }
}

mirrored! {
    /// Why a session ended.
    EndReason of "DomainEndReason" {
        /// A host, or co-host, ended it for all.
        EndedByHost,
        /// Someone of the organization ended it from outside.
        EndedByAdmin,
        /// Nobody was in for longer than the empty timeout.
        Empty,
        /// Nobody ever came.
        NobodyCame,
        /// It lasted longer than the maximum.
        MaximumDuration,
        /// The host left and did not come back.
        HostLeft,
        /// The room was disabled or archived.
        RoomDisabled,
        /// Its media node was lost and not replaced in time.
        MediaNotRecovered,
    }
}

/// One live conference in a room, now or when it ended.
pub struct Session {
    row: SessionRow,
}

connection!(
    /// A page of sessions.
    SessionConnection,
    SessionEdge,
    Session
);

impl Session {
    /// The session, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, session: SessionId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(row) = stored(call.models().find_session(organization, session))? else { return Ok(None) };
        let resource = session_resource(&call.request.actor, organization, &row.state);
        call.authorise(Operation::ReadSession, &resource).await?;
        Ok(Some(Self { row }))
    }

    fn record(&self) -> async_graphql::Result<&SessionRecord> {
        self.row.state.record().ok_or_else(|| refusal("NOT_FOUND", "There is no session with this id."))
    }
}

/// A page of the sessions that the caller may read, in the order they were opened.
pub async fn list(call: &Call<'_>, which: SessionList, page: &PageInput) -> async_graphql::Result<SessionConnection> {
    let organization = call.organization()?;
    let page = page.page()?;
    let listed = stored(call.models().list_sessions(organization, which, &page))?;
    let resource = |row: &SessionRow| session_resource(&call.request.actor, organization, &row.state);
    let listed = visible(call, listed, Operation::ReadSession, resource).await;
    let session = |row: Option<SessionRow>| row.map(|row| Session { row });
    let (edges, page_info) = edges(listed, &page, session, |cursor, node| SessionEdge { cursor, node });
    Ok(SessionConnection { edges, page_info })
}

/// One live conference in a room, now or when it ended.
#[Object]
impl Session {
    /// The session's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.record()?.session.into_id())
    }

    /// Where it stands in its life.
    async fn status(&self) -> async_graphql::Result<SessionStatus> {
        Ok(self.record()?.status.into())
    }

    /// What the room was for when the session was opened.
    async fn purpose(&self) -> async_graphql::Result<Purpose> {
        Ok(self.record()?.purpose.into())
    }

    /// The room that it is in.
    async fn room(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<crate::room::Room>> {
        crate::room::Room::of_session(&Call::query(ctx)?, self.record()?.room).await
    }

    /// The id of the room that it is in.
    async fn room_id(&self) -> async_graphql::Result<ID> {
        Ok(self.record()?.room.into_id())
    }

    /// The record that the session belongs to (a patient's file, say), for those who may read its history.
    async fn record_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        let call = Call::query(ctx)?;
        let record = self.record()?;
        let resource = session_resource(&call.request.actor, record.organization, &self.row.state);
        if record.record.is_none() || !call.allows(Operation::ReadHistory, &resource).await {
            return Ok(None);
        }
        call.reveal_optional(&DomainSession::stream(record.session), "record", record.record.as_ref())
    }

    /// The closed session that this one continues.
    async fn continues_id(&self) -> async_graphql::Result<Option<ID>> {
        Ok(self.record()?.continues.map(IntoId::into_id))
    }

    /// The user who opened it; null when a guest or the system did.
    async fn opened_by_id(&self) -> async_graphql::Result<Option<ID>> {
        Ok(match self.record()?.opened_by {
            Opener::User(user) => Some(user.into_id()),
            Opener::Invitee(_) | Opener::Guest | Opener::System => None,
        })
    }

    /// The settings in force (in a closed session: at its end), each with the level that it comes from.
    async fn settings(&self) -> async_graphql::Result<EffectiveSettings> {
        Ok(EffectiveSettings::from(&self.record()?.settings))
    }

    /// Everyone who knocked or joined, in the order they came. Billing sees only their number.
    async fn participants(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Participant>> {
        let call = Call::query(ctx)?;
        participants(&call, &self.row.state).await
    }

    /// One participant.
    async fn participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The participant's id.")] id: ID,
    ) -> async_graphql::Result<Option<Participant>> {
        let call = Call::query(ctx)?;
        let wanted: ParticipantId = crate::call::id("id", &id)?;
        let all = participants(&call, &self.row.state).await?;
        Ok(all.into_iter().find(|there| there.participant.participant == wanted))
    }

    /// How many are in now.
    async fn present_count(&self) -> async_graphql::Result<u32> {
        Ok(self.record()?.present_count)
    }

    /// How many are knocking, or admitted and not yet in.
    async fn waiting_count(&self) -> async_graphql::Result<u32> {
        Ok(self.record()?.waiting_count)
    }

    /// The most that were in at once.
    async fn present_peak(&self) -> async_graphql::Result<u32> {
        Ok(self.record()?.present_peak)
    }

    /// How many came in at least once.
    async fn joined_count(&self) -> async_graphql::Result<u64> {
        Ok(self.record()?.joined_count() as u64)
    }

    /// Whether nobody new may come in.
    async fn locked(&self) -> async_graphql::Result<bool> {
        Ok(self.record()?.is_locked())
    }

    /// When it was prepared.
    async fn prepared_at(&self) -> async_graphql::Result<DateTime> {
        Ok(DateTime(self.record()?.prepared_at))
    }

    /// When someone came in for the first time.
    async fn first_joined_at(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.record()?.first_joined_at.map(DateTime))
    }

    /// When it was in progress for the first time.
    async fn started_at(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.record()?.started_at.map(DateTime))
    }

    /// When it ended.
    async fn finished_at(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.record()?.finish.map(|finish| DateTime(finish.at)))
    }

    /// Why it ended.
    async fn end_reason(&self) -> async_graphql::Result<Option<EndReason>> {
        Ok(self.record()?.finish.map(|finish| finish.reason.into()))
    }

    /// When the maximum duration will be over, if it is counting.
    async fn duration_ends_at(&self) -> async_graphql::Result<Option<DateTime>> {
        Ok(self.record()?.duration_ends_at().map(DateTime))
    }

    /// Its chat, in the order the messages were sent. Content: only for who took part; each reader's first read in an
    /// hour is in the audit trail.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<MessageConnection> {
        let call = Call::query(ctx)?;
        let session = self.record()?.session;
        let (organization, _) = call.app().read_chat(&call.request, session).await.map_err(shown)?;
        let page = PageInput::new(first, after, last, before).page()?;
        let listed = stored(call.models().list_messages(organization, session, &page))?;
        let (edges, page_info) =
            edges(listed, &page, |row| Some(Message { row }), |cursor, node| MessageEdge { cursor, node });
        Ok(MessageConnection { edges, page_info })
    }

    /// The session's events, in order: who did what, when. `after` and `before` are versions of its stream.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many events: 1 to 100.", default = 20)] first: i32,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
    ) -> async_graphql::Result<crate::history::EventConnection> {
        crate::history::session_history(&Call::query(ctx)?, self.record()?.session, first, after).await
    }

    /// The position of its newest event.
    async fn position(&self) -> Position {
        Position(self.row.position.0)
    }

    /// The version of its stream, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.row.version
    }
}

async fn participants(call: &Call<'_>, state: &SessionState) -> async_graphql::Result<Vec<Participant>> {
    let Some(record) = state.record() else { return Ok(Vec::new()) };
    let resource = session_resource(&call.request.actor, record.organization, state);
    call.authorise(Operation::ReadParticipants, &resource).await?;
    Ok(people(record))
}

fn people(record: &SessionRecord) -> Vec<Participant> {
    let participant = |there: &DomainParticipant| Participant { session: record.session, participant: there.clone() };
    record.participants.iter().map(participant).collect()
}

/// A session at a past moment, folded from its own events.
pub struct SessionSnapshot {
    pub state: SessionState,
    pub version: Option<u64>,
}

/// A session as it was at some moment.
#[Object]
impl SessionSnapshot {
    /// The session's id.
    async fn session_id(&self) -> Option<ID> {
        self.state.record().map(|record| record.session.into_id())
    }

    /// Whether the session was there at that moment.
    async fn exists(&self) -> bool {
        self.state.record().is_some()
    }

    /// Where it stood; null before it was prepared.
    async fn status(&self) -> Option<SessionStatus> {
        self.state.record().map(|record| record.status.into())
    }

    /// The settings that were in force.
    async fn settings(&self) -> Option<EffectiveSettings> {
        self.state.record().map(|record| EffectiveSettings::from(&record.settings))
    }

    /// Everyone who had knocked or joined, and where each stood.
    async fn participants(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Participant>> {
        let call = Call::query(ctx)?;
        let Some(record) = self.state.record() else { return Ok(Vec::new()) };
        // What someone may is asked of the session as it is now: who came later may look back.
        let allowed = call.app().may_read_session(&call.request, record.session, Operation::ReadParticipants);
        allowed.await.map_err(shown)?;
        Ok(people(record))
    }

    /// How many were in.
    async fn present_count(&self) -> u32 {
        self.state.record().map_or(0, |record| record.present_count)
    }

    /// How many were knocking, or admitted and not yet in.
    async fn waiting_count(&self) -> u32 {
        self.state.record().map_or(0, |record| record.waiting_count)
    }

    /// Whether nobody new could come in.
    async fn locked(&self) -> bool {
        self.state.record().is_some_and(SessionRecord::is_locked)
    }

    /// When it had started, if it had.
    async fn started_at(&self) -> Option<DateTime> {
        self.state.record().and_then(|record| record.started_at).map(DateTime)
    }

    /// When it had ended, if it had.
    async fn finished_at(&self) -> Option<DateTime> {
        self.state.record().and_then(|record| record.finish).map(|finish| DateTime(finish.at))
    }

    /// The version of its stream at that moment.
    async fn version(&self) -> Option<u64> {
        self.version
    }
}

/// One person's presence in one session.
pub struct Participant {
    session: SessionId,
    participant: DomainParticipant,
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
    /// What it was: `KNOCKED`, `ADMITTED`, `DENIED`, `WITHDREW`, `KNOCK_TIMED_OUT`, `JOINED`, `DROPPED`, `RECONNECTED`,
    /// `HELD`, `RELEASED`, `MOVED`, `LEFT`, `REMOVED`, `MUTED`, `UNMUTED` or `ROLE_CHANGED`.
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

/// A chat message.
pub struct Message {
    row: MessageRow,
}

connection!(
    /// A page of chat messages.
    MessageConnection,
    MessageEdge,
    Message
);

/// A chat message.
#[Object]
impl Message {
    /// The message's id.
    async fn id(&self) -> ID {
        self.row.message.into_id()
    }

    /// The participant who wrote it.
    async fn author_id(&self) -> ID {
        self.row.author.into_id()
    }

    /// What it says; null once it was removed.
    async fn text(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        if self.row.removed.is_some() {
            return Ok(None);
        }
        Call::query(ctx)?.reveal(&DomainChat::stream(self.row.session), "text", &self.row.text).map(Some)
    }

    /// When it was sent.
    async fn sent_at(&self) -> DateTime {
        DateTime(self.row.sent_at)
    }

    /// When it was removed, if it was.
    async fn removed_at(&self) -> Option<DateTime> {
        self.row.removed.map(|removed| DateTime(removed.at))
    }

    /// The participant who removed it.
    async fn removed_by_id(&self) -> Option<ID> {
        self.row.removed.map(|removed| removed.by.into_id())
    }

    /// Where it stands in the log.
    async fn position(&self) -> Position {
        Position(self.row.position.0)
    }
}

/// An id of the domain as one of the schema.
pub trait IntoId {
    fn into_id(self) -> ID;
}

impl<I: std::fmt::Display> IntoId for I {
    fn into_id(self) -> ID {
        ID(self.to_string())
    }
}

/// What a mutation of a session answers.
#[derive(SimpleObject)]
pub struct SessionPayload {
    /// The session after it; null when nothing was done, or it may not be read.
    pub session: Option<Session>,
    /// Why nothing was done; empty when it was.
    pub user_errors: Vec<UserError>,
    /// The position of what was recorded; null when it held already, or nothing was done.
    pub position: Option<Position>,
    /// Whether `session` shows it yet; false when the read models did not come after within 2 s.
    pub projected: bool,
}

pub(crate) async fn session_payload(
    call: &Call<'_>,
    session: SessionId,
    result: Result<Outcome<DomainSession>, witan_app::Error>,
) -> async_graphql::Result<SessionPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let session = match done {
        Some(_) => readable(call, session).await?,
        None => None,
    };
    Ok(SessionPayload { session, user_errors: told.user_errors, position: told.position, projected: told.projected })
}

/// The session, if the caller may read it: a mutation may be for someone who may not.
pub async fn readable(call: &Call<'_>, session: SessionId) -> async_graphql::Result<Option<Session>> {
    let organization = call.organization()?;
    let Some(row) = stored(call.models().find_session(organization, session))? else { return Ok(None) };
    let resource = session_resource(&call.request.actor, organization, &row.state);
    Ok(call.allows(Operation::ReadSession, &resource).await.then_some(Session { row }))
}

/// What opening a session answers.
#[derive(SimpleObject)]
pub struct OpenSessionPayload {
    /// The session; READY at once where no media is needed.
    session: Option<Session>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// The position of what was recorded.
    position: Option<Position>,
    /// Whether `session` shows it yet.
    projected: bool,
}

/// What making a join token answers.
#[derive(SimpleObject)]
pub struct JoinTokenPayload {
    /// The token, to be redeemed once by `knock` or `joinSession`.
    pub join_token: Option<String>,
    /// When it ends, at most five minutes from now.
    pub expires_at: Option<DateTime>,
    /// The session that it leads to.
    pub session_id: Option<ID>,
    /// What its bearer will be in the session.
    pub role: Option<SessionRole>,
    /// Whether it leads through the lobby: knock first.
    pub lobby: Option<bool>,
    /// Why there is no token; empty when there is.
    pub user_errors: Vec<UserError>,
    /// The position of what was recorded; null when nothing had to be.
    pub position: Option<Position>,
    /// Whether the read models show it yet.
    pub projected: bool,
}

impl JoinTokenPayload {
    pub fn new(ticket: Option<Ticket>, told: Told) -> Self {
        let claims = ticket.as_ref().map(|ticket| ticket.claims.clone());
        Self {
            expires_at: ticket.as_ref().map(|ticket| DateTime(ticket.expires)),
            join_token: ticket.map(|ticket| ticket.token),
            session_id: claims.as_ref().map(|claims| claims.session.into_id()),
            role: claims.as_ref().map(|claims| claims.role.into()),
            lobby: claims.map(|claims| claims.lobby),
            user_errors: told.user_errors,
            position: told.position,
            projected: told.projected,
        }
    }
}

/// What coming to a session answers.
#[derive(SimpleObject)]
pub struct EnterPayload {
    /// The participant that the caller is from now on.
    participant_id: Option<ID>,
    /// Where they stand: KNOCKING in the lobby, ADMITTED, or JOINED.
    state: Option<ParticipantState>,
    /// By which the participant acts from now on (`Authorization: Bearer …`), and comes back after a drop. Shown here
    /// alone; keep it for reloads.
    resume_secret: Option<String>,
    /// The session's id.
    session_id: Option<ID>,
    /// Why nothing was done; empty when it was.
    user_errors: Vec<UserError>,
    /// The position of what was recorded.
    position: Option<Position>,
    /// Whether the read models show it yet.
    projected: bool,
}

/// Opens a session in a room.
#[derive(InputObject)]
pub struct OpenSessionInput {
    /// The room.
    room_id: ID,
    /// The record that the session belongs to (a patient's file, say): 1 to 200 characters, protected.
    record_id: Option<String>,
    /// The closed session that this one continues.
    continues_id: Option<ID>,
    /// Settings that the opener chooses, where no level has locked them.
    #[graphql(default)]
    settings: Vec<SettingChoice>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
    /// The version that the room is expected to have.
    #[graphql(name = "expectedVersion")]
    _expected_version: Option<u64>,
}

/// Asks for a join token as a user who may enter.
#[derive(InputObject)]
pub struct CreateJoinTokenInput {
    /// The session.
    session_id: ID,
    /// The same key again gets the same token's id: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Comes to a session's door with a join token.
#[derive(InputObject)]
pub struct KnockInput {
    /// From `createJoinToken` or `exchangeInvitation`; redeemed by this.
    join_token: String,
    /// What to be called: 1 to 100 characters, protected.
    display_name: String,
    /// What the browser says of itself: at most 300 characters, protected.
    device: Option<String>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

/// Comes in: with a join token that leads past the lobby, or after an admission.
#[derive(InputObject)]
pub struct JoinSessionInput {
    /// From `createJoinToken` or `exchangeInvitation`. Absent after a knock: then `sessionId` and the resume secret.
    join_token: Option<String>,
    /// What to be called, with a join token: 1 to 100 characters, protected.
    display_name: Option<String>,
    /// What the browser says of itself: at most 300 characters, protected.
    device: Option<String>,
    /// The session, when joining after an admission.
    session_id: Option<ID>,
    /// The same key again gets the same answer: 1 to 255 bytes.
    #[graphql(name = "idempotencyKey")]
    _idempotency_key: Option<String>,
}

macro_rules! session_inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(InputObject)]
        pub struct $name {
            /// The session.
            session_id: ID,
            $($(#[$field_doc])* $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
            /// The version that the session is expected to have; otherwise nothing is done.
            #[graphql(name = "expectedVersion")]
            _expected_version: Option<u64>,
        }
    )*};
}

session_inputs! {
    /// A command to a session as a whole.
    SessionInput {}
    /// A command about one participant.
    ParticipantInput {
        /// The participant.
        participant_id: ID,
    }
    /// Says no to someone who knocks.
    DenyParticipantInput {
        /// The participant.
        participant_id: ID,
        /// Why: at most 500 characters, protected as the person's own.
        reason: Option<String>,
    }
    /// Removes a participant.
    RemoveParticipantInput {
        /// The participant.
        participant_id: ID,
        /// Whether the person may never come back to this session. Without a word: they may.
        ban: Option<bool>,
        /// Why: at most 500 characters, protected as the person's own.
        reason: Option<String>,
    }
    /// Mutes a participant's source, or takes the mute back.
    MuteParticipantInput {
        /// The participant.
        participant_id: ID,
        /// What to mute.
        source: MediaSource,
    }
    /// Mutes a source of everyone who doesn't moderate.
    MuteAllInput {
        /// What to mute.
        source: MediaSource,
    }
    /// Sends a participant to another live session.
    MoveParticipantInput {
        /// The participant.
        participant_id: ID,
        /// The session to move to.
        to_session_id: ID,
    }
    /// Gives a participant another role.
    ChangeParticipantRoleInput {
        /// The participant.
        participant_id: ID,
        /// The new role.
        role: SessionRole,
    }
    /// Moves the maximum duration out.
    ExtendSessionInput {
        /// By so many minutes: 1 to 240.
        minutes: u32,
    }
    /// Changes a setting during the session.
    ChangeSessionSettingInput {
        /// The setting and its new value.
        setting: SettingChoice,
    }
    /// Consents, for oneself or as a guardian.
    GiveConsentInput {
        /// Whose consent it is; the caller's own without a word.
        participant_id: Option<ID>,
        /// To what.
        purpose: ConsentPurpose,
        /// The version of the text that was shown: 1 to 64 visible ASCII characters.
        text_version: String,
        /// The language it was shown in: a BCP 47 tag.
        language: String,
    }
    /// Withdraws one's own consent.
    WithdrawConsentInput {
        /// To what.
        purpose: ConsentPurpose,
    }
}

/// Queries of sessions.
#[derive(Default)]
pub struct SessionQuery;

#[Object]
impl SessionQuery {
    /// A session of the caller's organization; null when there is none with this id.
    async fn session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Session>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        Session::find(&call, crate::call::id("id", &id)?).await
    }

    /// A session as it was at a past moment: give `time` or `position`. Folded from the session's own events.
    async fn session_as_of(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] id: ID,
        #[graphql(desc = "Everything recorded up to this time, inclusive.")] time: Option<DateTime>,
        #[graphql(desc = "Everything up to this position, inclusive.")] position: Option<Position>,
    ) -> async_graphql::Result<SessionSnapshot> {
        let call = Call::query(ctx)?;
        let moment = match (time, position) {
            (Some(DateTime(time)), None) => witan_app::history::Moment::Time(time),
            (None, Some(Position(position))) => witan_app::history::Moment::Position(witan_app::Position(position)),
            _ => return Err(refusal("INVALID_INPUT", "Give time or position: one of them.")),
        };
        let session = crate::call::id("id", &id)?;
        let snapshot = call.app().session_as_of(&call.request, session, moment).await.map_err(shown)?;
        Ok(SessionSnapshot { state: snapshot.state, version: snapshot.version })
    }

    /// The sessions of the caller's organization that they may read, in the order they were opened.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<SessionConnection> {
        let call = Call::query(ctx)?;
        let resource = witan_app::history::organization_resource(call.organization()?);
        call.authorise(Operation::ListSessions, &resource).await?;
        list(&call, SessionList::Organization, &PageInput::new(first, after, last, before)).await
    }
}

/// Mutations of sessions.
#[derive(Default)]
pub struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Opens a session in a room. A room has at most one live session.
    async fn open_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to open.")] input: OpenSessionInput,
    ) -> async_graphql::Result<OpenSessionPayload> {
        let call = Call::mutation(ctx)?;
        let room = id("roomId", &input.room_id)?;
        let opening = OpeningInput {
            record_id: input.record_id,
            continues: input.continues_id.as_ref().map(|before| id("continuesId", before)).transpose()?,
            settings: input
                .settings
                .into_iter()
                .map(SettingChoice::into_domain)
                .collect::<async_graphql::Result<_>>()?,
        };
        let result = call.app().open_session(&call.request, room, &opening).await;
        let (done, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let session = match done {
            Some((session, _)) => readable(&call, session).await?,
            None => None,
        };
        Ok(OpenSessionPayload {
            session,
            user_errors: told.user_errors,
            position: told.position,
            projected: told.projected,
        })
    }

    /// Makes a join token for the caller, who may enter as a user.
    async fn create_join_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "For which session.")] input: CreateJoinTokenInput,
    ) -> async_graphql::Result<JoinTokenPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let (ticket, told) = call.told(call.app().create_join_token(&call.request, session).await, |_| None).await?;
        Ok(JoinTokenPayload::new(ticket, told))
    }

    /// Comes to the door: into the lobby, or admitted at once where no lobby applies. Needs no account, only the token.
    async fn knock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who knocks, with which token.")] input: KnockInput,
    ) -> async_graphql::Result<EnterPayload> {
        let call = Call::mutation(ctx)?;
        let who = Introduction { display_name: input.display_name, device: input.device };
        enter_payload(&call, call.app().knock(&call.request, &input.join_token, &who).await).await
    }

    /// Comes in: with a join token that leads past the lobby, or, after a knock was admitted, with the resume secret.
    async fn join_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who comes in, and by which right.")] input: JoinSessionInput,
    ) -> async_graphql::Result<EnterPayload> {
        let call = Call::mutation(ctx)?;
        match (&input.join_token, &input.session_id) {
            (Some(token), None) => {
                let display_name = input.display_name.unwrap_or_default();
                let who = Introduction { display_name, device: input.device };
                enter_payload(&call, call.app().join_by_token(&call.request, token, &who).await).await
            }
            (None, Some(session)) => {
                let session = id("sessionId", session)?;
                let result = call.app().join_by_admission(&call.request, session).await;
                admitted_payload(&call, session, result).await
            }
            _ => Err(refusal("INVALID_INPUT", "Give joinToken, or sessionId after an admission: one of them.")),
        }
    }

    /// Comes back after a drop, within 30 s, as the same participant.
    async fn resume_participation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().resume_participation(&call.request, session).await).await
    }

    /// Leaves.
    async fn leave_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().leave_session(&call.request, session).await).await
    }

    /// Goes away from the lobby.
    async fn withdraw_knock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().withdraw_knock(&call.request, session).await).await
    }

    /// Lets someone in who knocks.
    async fn admit_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().admit_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Lets everyone in who knocks.
    async fn admit_all(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().admit_all(&call.request, session).await).await
    }

    /// Says no to someone who knocks.
    async fn deny_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and why.")] input: DenyParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let reason = input.reason.map(Reason);
        let result = call.app().deny_participant(&call.request, session, participant, reason).await;
        session_payload(&call, session, result).await
    }

    /// Mutes a participant's source. Enforced at the media node where there is one.
    async fn mute_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and what.")] input: MuteParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().mute_participant(&call.request, session, participant, input.source.into()).await;
        session_payload(&call, session, result).await
    }

    /// Takes a mute back.
    async fn unmute_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and what.")] input: MuteParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().unmute_participant(&call.request, session, participant, input.source.into()).await;
        session_payload(&call, session, result).await
    }

    /// Mutes a source of everyone who is in and doesn't moderate.
    async fn mute_all(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to mute.")] input: MuteAllInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().mute_all(&call.request, session, input.source.into()).await).await
    }

    /// Puts a participant on hold: neither heard nor seen, until released.
    async fn hold_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().hold_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Ends a hold.
    async fn release_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom.")] input: ParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let result = call.app().release_participant(&call.request, session, participant).await;
        session_payload(&call, session, result).await
    }

    /// Sends a participant to another live session, where they come in by a token of that session.
    async fn move_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and where to.")] input: MoveParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let to = id("toSessionId", &input.to_session_id)?;
        let result = call.app().move_participant(&call.request, session, participant, to).await;
        session_payload(&call, session, result).await
    }

    /// Removes a participant, with or without a ban for this session.
    async fn remove_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and why.")] input: RemoveParticipantInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let (ban, reason) = (input.ban.unwrap_or(false), input.reason.map(Reason));
        let result = call.app().remove_participant(&call.request, session, participant, ban, reason).await;
        session_payload(&call, session, result).await
    }

    /// Gives a participant another role.
    async fn change_participant_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose, and which.")] input: ChangeParticipantRoleInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let (session, participant) = (id("sessionId", &input.session_id)?, id("participantId", &input.participant_id)?);
        let role = input.role.into();
        let result = call.app().change_participant_role(&call.request, session, participant, role).await;
        session_payload(&call, session, result).await
    }

    /// Lets nobody new in but those who moderate.
    async fn lock_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().lock_session(&call.request, session).await).await
    }

    /// Lets people in again.
    async fn unlock_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().unlock_session(&call.request, session).await).await
    }

    /// Moves the maximum duration out, unless it is locked.
    async fn extend_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "By how much.")] input: ExtendSessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().extend_session(&call.request, session, input.minutes).await).await
    }

    /// Changes a setting during the session, unless it is locked.
    async fn change_session_setting(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which setting, and its value.")] input: ChangeSessionSettingInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let value = input.setting.into_domain()?;
        let result = call.app().change_session_setting(&call.request, session, value).await;
        session_payload(&call, session, result).await
    }

    /// Ends the session for all.
    async fn end_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        session_payload(&call, session, call.app().end_session(&call.request, session).await).await
    }

    /// Consents, for oneself or as a guardian for another.
    async fn give_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To what.")] input: GiveConsentInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let participant = input.participant_id.as_ref().map(|id| crate::call::id("participantId", id)).transpose()?;
        let (purpose, version, language) = (input.purpose.into(), input.text_version, input.language);
        let result = call.app().give_consent(&call.request, session, participant, purpose, version, language).await;
        session_payload(&call, session, result).await
    }

    /// Withdraws one's own consent: a recording pauses.
    async fn withdraw_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To what.")] input: WithdrawConsentInput,
    ) -> async_graphql::Result<SessionPayload> {
        let call = Call::mutation(ctx)?;
        let session = id("sessionId", &input.session_id)?;
        let result = call.app().withdraw_consent(&call.request, session, input.purpose.into()).await;
        session_payload(&call, session, result).await
    }
}

async fn enter_payload(
    call: &Call<'_>,
    result: Result<Entered, witan_app::Error>,
) -> async_graphql::Result<EnterPayload> {
    let (entered, told) = call.told(result, |entered| entered.outcome.position).await?;
    let state = entered.as_ref().and_then(|entered| state_of(&entered.outcome, entered.participant));
    Ok(EnterPayload {
        participant_id: entered.as_ref().map(|entered| entered.participant.into_id()),
        session_id: entered.as_ref().map(|entered| entered.session.into_id()),
        state,
        resume_secret: entered.map(|entered| entered.resume_secret),
        user_errors: told.user_errors,
        position: told.position,
        projected: told.projected,
    })
}

/// Whoever joins after an admission has their secret already.
async fn admitted_payload(
    call: &Call<'_>,
    session: SessionId,
    result: Result<Outcome<DomainSession>, witan_app::Error>,
) -> async_graphql::Result<EnterPayload> {
    let (outcome, told) = call.told(result, |outcome| outcome.position).await?;
    let participant = match call.request.actor {
        witan_domain::Actor::Participant { participant, .. } => Some(participant),
        _ => None,
    };
    let state = outcome.as_ref().zip(participant).and_then(|(outcome, participant)| state_of(outcome, participant));
    Ok(EnterPayload {
        participant_id: participant.filter(|_| outcome.is_some()).map(IntoId::into_id),
        session_id: outcome.is_some().then(|| session.into_id()),
        state,
        resume_secret: None,
        user_errors: told.user_errors,
        position: told.position,
        projected: told.projected,
    })
}

fn state_of(outcome: &Outcome<DomainSession>, participant: ParticipantId) -> Option<ParticipantState> {
    let record = outcome.state.record()?;
    record.participant(participant).map(|there| there.state.into())
}
