//! Sessions: what is shown of them, now and as they were. See `entry` for coming in, `moderation` for leading.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use witan_app::{
    Outcome,
    history::{Moment, Snapshot},
    sessions::session_resource,
};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, ParticipantId, SessionId,
    session::{
        EndReason as DomainEndReason, Opener, Session as DomainSession, SessionRecord, SessionState,
        SessionStatus as DomainStatus,
    },
};
use witan_projections::sessions::{SessionList, SessionRow};

use crate::{
    call::{Call, PrivateText, UserError, shown, stored},
    chat::MessageConnection,
    connection::{PageInput, connection, edges, visible},
    history::HistoryPart,
    media::{MediaStream, Streams, WantedStreams},
    participant::{PARTICIPANTS_ROWS_DEFAULT, Participant, Wanted, may_read_participants, people},
    refusal,
    scalars::{DateTime, IntoId, Position},
    settings::{EffectiveSettings, Purpose},
};

/// Where a session stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainStatus")]
pub enum SessionStatus {
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

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainEndReason")]
pub enum EndReason {
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

/// One live conference in a room, now or when it ended.
pub struct Session {
    row: Arc<SessionRow>,
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
    let resource = |row: &Arc<SessionRow>| session_resource(&call.request.actor, organization, &row.state);
    let listed = visible(call, listed, Operation::ReadSession, resource).await;
    let session = |row: Option<Arc<SessionRow>>| row.map(|row| Session { row });
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

    /// Those who knocked or joined, in the order they came: the first, or those after one of them. Billing sees only their
    /// number.
    async fn participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many: 1 to 1,000.", default_with = "PARTICIPANTS_ROWS_DEFAULT")] first: i32,
        #[graphql(desc = "The id of the participant after whom it goes on.")] after: Option<ID>,
    ) -> async_graphql::Result<Vec<Participant>> {
        let wanted = Wanted::try_new(first, after.as_ref())?;
        may_read_participants(&Call::query(ctx)?, &self.row.state).await?;
        Ok(people(self.record()?, &wanted, &Streams::default()))
    }

    /// One participant.
    async fn participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The participant's id.")] id: ID,
    ) -> async_graphql::Result<Option<Participant>> {
        let call = Call::query(ctx)?;
        let wanted: ParticipantId = crate::call::id("id", &id)?;
        may_read_participants(&call, &self.row.state).await?;
        let record = self.record()?;
        let participant = record.participant(wanted).cloned();
        Ok(participant.map(|participant| {
            let streams = Streams::default();
            Participant { session: record.session, participant, streams }
        }))
    }

    /// What was published in it, in the order it began, with what has ended: for whoever may read its participants.
    async fn streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether only what is published now is shown.", default = false)] live: bool,
        #[graphql(desc = "So many of them: 1 to 1,000.", default = 100)] first: i32,
        #[graphql(desc = "The id of the stream after which they begin.")] after: Option<ID>,
    ) -> async_graphql::Result<Vec<MediaStream>> {
        let call = Call::query(ctx)?;
        may_read_participants(&call, &self.row.state).await?;
        let wanted = WantedStreams::try_new(None, live, first, after.as_ref())?;
        Streams::default().list(&call, self.record()?.session, &wanted)
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

    /// The warnings that were given for the maximum in force: so many minutes before its end, the latest last.
    async fn limit_warnings(&self) -> async_graphql::Result<Vec<u32>> {
        Ok(self.record()?.warned_minutes.iter().rev().copied().collect())
    }

    /// The session as it was at a past moment: give `time` or `position`. Folded from its own events.
    /// Null, with an error, for those who may not read its history.
    async fn as_of(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Everything recorded up to this time, inclusive.")] time: Option<DateTime>,
        #[graphql(desc = "Everything up to this position, inclusive.")] position: Option<Position>,
    ) -> async_graphql::Result<Option<SessionSnapshot>> {
        snapshot(&Call::query(ctx)?, self.record()?.session, time, position).await.map(Some)
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
        let page = PageInput::new(first, after, last, before);
        crate::chat::list_messages(&Call::query(ctx)?, self.record()?.session, &page).await
    }

    /// The session's events, in order: who did what, when.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many events: 1 to 100.", default = 20)] first: i32,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "Of which of its streams.", default_with = "HistoryPart::Session")] part: HistoryPart,
    ) -> async_graphql::Result<crate::history::EventConnection> {
        crate::history::session_history(&Call::query(ctx)?, self.record()?.session, part, first, after).await
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

/// A session at a past moment, folded from its own events.
pub struct SessionSnapshot {
    pub state: SessionState,
    pub version: Option<u64>,
    streams: Streams,
}

/// A session as it was at some moment, folded from its own stream. Its chat is a stream of its own: each message says when
/// it was sent.
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

    /// What the room was for when the session was opened.
    async fn purpose(&self) -> Option<Purpose> {
        self.state.record().map(|record| record.purpose.into())
    }

    /// The closed session that it continues.
    async fn continues_id(&self) -> Option<ID> {
        self.state.record().and_then(|record| record.continues).map(IntoId::into_id)
    }

    /// The settings that were in force.
    async fn settings(&self) -> Option<EffectiveSettings> {
        self.state.record().map(|record| EffectiveSettings::from(&record.settings))
    }

    /// Those who had knocked or joined, and where each stood, in the order they came: the first, or those after one of them.
    async fn participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many: 1 to 1,000.", default_with = "PARTICIPANTS_ROWS_DEFAULT")] first: i32,
        #[graphql(desc = "The id of the participant after whom it goes on.")] after: Option<ID>,
    ) -> async_graphql::Result<Vec<Participant>> {
        let wanted = Wanted::try_new(first, after.as_ref())?;
        let call = Call::query(ctx)?;
        let Some(record) = self.state.record() else { return Ok(Vec::new()) };
        // What someone may is asked of the session as it is now: who came later may look back.
        let allowed = call.app().may_read_session(&call.request, record.session, Operation::ReadParticipants);
        allowed.await.map_err(shown)?;
        Ok(people(record, &wanted, &self.streams))
    }

    /// What had been published, in the order it began, with what had ended.
    async fn streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many of them: 1 to 1,000.", default = 100)] first: i32,
        #[graphql(desc = "The id of the stream after which they begin.")] after: Option<ID>,
    ) -> async_graphql::Result<Vec<MediaStream>> {
        let call = Call::query(ctx)?;
        let Some(record) = self.state.record() else { return Ok(Vec::new()) };
        let allowed = call.app().may_read_session(&call.request, record.session, Operation::ReadParticipants);
        allowed.await.map_err(shown)?;
        let wanted = WantedStreams::try_new(None, false, first, after.as_ref())?;
        self.streams.list(&call, record.session, &wanted)
    }

    /// How many were in.
    async fn present_count(&self) -> u32 {
        self.state.record().map_or(0, |record| record.present_count)
    }

    /// The most that had been in at once.
    async fn present_peak(&self) -> u32 {
        self.state.record().map_or(0, |record| record.present_peak)
    }

    /// How many were knocking, or admitted and not yet in.
    async fn waiting_count(&self) -> u32 {
        self.state.record().map_or(0, |record| record.waiting_count)
    }

    /// Whether nobody new could come in.
    async fn locked(&self) -> bool {
        self.state.record().is_some_and(SessionRecord::is_locked)
    }

    /// When someone had come in for the first time, if anyone had.
    async fn first_joined_at(&self) -> Option<DateTime> {
        self.state.record().and_then(|record| record.first_joined_at).map(DateTime)
    }

    /// When it had started, if it had.
    async fn started_at(&self) -> Option<DateTime> {
        self.state.record().and_then(|record| record.started_at).map(DateTime)
    }

    /// When it had ended, if it had.
    async fn finished_at(&self) -> Option<DateTime> {
        self.state.record().and_then(|record| record.finish).map(|finish| DateTime(finish.at))
    }

    /// Why it had ended, if it had.
    async fn end_reason(&self) -> Option<EndReason> {
        self.state.record().and_then(|record| record.finish).map(|finish| finish.reason.into())
    }

    /// The version of its stream at that moment.
    async fn version(&self) -> Option<u64> {
        self.version
    }
}

async fn snapshot(
    call: &Call<'_>,
    session: SessionId,
    time: Option<DateTime>,
    position: Option<Position>,
) -> async_graphql::Result<SessionSnapshot> {
    let moment = match (time, position) {
        (Some(DateTime(time)), None) => Moment::Time(time),
        (None, Some(Position(position))) => Moment::Position(witan_app::Position(position)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(refusal("INVALID_INPUT", "Give time or position: one of them."));
        }
    };
    let snapshot = call.app().session_as_of(&call.request, session, moment).await.map_err(shown)?;
    let Snapshot { state, version, media } = snapshot;
    Ok(SessionSnapshot { state, version, streams: Streams::then(media) })
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
    // Whoever belongs to no organization reads nothing, also of what they opened.
    let Some(organization) = call.request.actor.organization() else { return Ok(None) };
    let Some(row) = stored(call.models().find_session(organization, session))? else { return Ok(None) };
    let resource = session_resource(&call.request.actor, organization, &row.state);
    Ok(call.allows(Operation::ReadSession, &resource).await.then_some(Session { row }))
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

    /// A session as it was at a past moment: give `time` or `position`. Folded from the session's own events. The same as
    /// `session { asOf }`.
    async fn session_as_of(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] id: ID,
        #[graphql(desc = "Everything recorded up to this time, inclusive.")] time: Option<DateTime>,
        #[graphql(desc = "Everything up to this position, inclusive.")] position: Option<Position>,
    ) -> async_graphql::Result<SessionSnapshot> {
        snapshot(&Call::query(ctx)?, crate::call::id("id", &id)?, time, position).await
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
