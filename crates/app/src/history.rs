//! Histories: a session as it was at any moment, its events one by one, and live feeds of them.

use std::sync::Arc;

use quick_cache::sync::Cache;
use serde_json::Value;
use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Actor, Aggregate, EventId, OrganizationId, SessionId, Timestamp,
    audit::Content,
    chat::Chat,
    media::{MediaState, SessionMedia},
    participant::ParticipantState,
    session::{Session, SessionState},
};
use witan_event_store::{Direction, Envelope, Metadata, Position, Recorded};

use crate::{
    App, Error, Request,
    feed::{Feed, Topic},
    sessions::session_resource,
    streams::Now,
};

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Everything recorded up to this time, inclusive.
    Time(Timestamp),
    /// Everything up to this position, inclusive.
    Position(Position),
}

impl Moment {
    fn has(self, recorded: &Recorded) -> bool {
        match self {
            Self::Time(time) => recorded.envelope.recorded_at() <= time,
            Self::Position(position) => recorded.position <= position,
        }
    }
}

/// An event as a reader sees it: private values revealed, or erased.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    pub position: Position,
    pub id: EventId,
    pub kind: String,
    pub stream: String,
    pub version: u64,
    pub recorded_at: Timestamp,
    pub actor: Actor,
    pub correlation: witan_domain::CorrelationId,
    pub causation: Option<EventId>,
    pub data: Value,
    /// SHA-256 of the canonical envelope bytes.
    pub digest: [u8; 32],
}

/// How much faster than ours a caller's clock may be.
const CLOCKS_DIFFER_SECONDS_MAX: u64 = 60;
/// How many of the newest events are kept as their readers see them: a live one is asked for by all who listen.
const SHOWN_EVENTS: usize = 256;

/// Events with what is private in them revealed, each once for all who follow it.
pub(crate) struct Shown(Cache<Position, (u64, Arc<HistoryEvent>)>);

impl Default for Shown {
    fn default() -> Self {
        Self(Cache::new(SHOWN_EVENTS))
    }
}

/// A session at some moment, and up to where its stream was read.
pub struct Snapshot {
    pub state: SessionState,
    pub version: Option<u64>,
    /// What was published.
    pub media: MediaState,
}

/// Which of a session's streams of events a history is of. Chat is content, and not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its life: who came, what hosts did, how it ended.
    Session,
    /// What its participants published.
    Media,
}

impl App {
    /// Whether the actor may read this session; its resource, for whoever asks more.
    pub async fn may_read_session(
        &self,
        request: &Request,
        session: SessionId,
        operation: Operation,
    ) -> Result<(OrganizationId, Now<Session>), Error> {
        let organization = request.organization()?;
        let state = self.session_state(organization, session)?;
        self.authorise(request, operation, &session_resource(&request.actor, organization, &state)).await?;
        Ok((organization, state))
    }

    /// Where the participant stands that the actor is; none where they are none.
    pub fn own_state(&self, actor: &Actor) -> Result<Option<ParticipantState>, Error> {
        let Actor::Participant { organization, session, participant } = actor else { return Ok(None) };
        let state = self.session_state(*organization, *session)?;
        Ok(state.record().and_then(|record| record.participant(*participant)).map(|there| there.state))
    }

    /// Whether the actor may still read this session, without a word in the audit trail: asked again and again while a
    /// subscription is open.
    pub async fn may_still_read(&self, request: &Request, session: SessionId, operation: Operation) -> bool {
        let Ok(organization) = request.organization() else { return false };
        let Ok(state) = self.session_state(organization, session) else { return false };
        self.allows(request, operation, &session_resource(&request.actor, organization, &state)).await
    }

    /// The session as it was at this moment, folded from its own stream.
    pub async fn session_as_of(
        &self,
        request: &Request,
        session: SessionId,
        moment: Moment,
    ) -> Result<Snapshot, Error> {
        self.may_read_session(request, session, Operation::ReadHistory).await?;
        self.has_been(moment)?;
        let loaded = self.streams.read::<Session>(&Session::stream(session), |recorded| moment.has(recorded))?;
        let media = &SessionMedia::stream(session);
        let media = self.streams.read::<SessionMedia>(media, |recorded| moment.has(recorded))?;
        Ok(Snapshot { state: loaded.state, version: loaded.version, media: media.state })
    }

    /// Refuses a moment that has not come: what would be shown is no past.
    fn has_been(&self, moment: Moment) -> Result<(), Error> {
        let newest = *self.store.durable().borrow();
        match moment {
            Moment::Position(position) if position > newest => Err(Error::Rejected {
                code: "AFTER_THE_END",
                field: Some("position".into()),
                message: format!("position is {}, but the log ends at {}.", position.0, newest.0),
            }),
            // A caller's clock may be a little fast.
            Moment::Time(time) if time > self.sources.now().plus_seconds(CLOCKS_DIFFER_SECONDS_MAX) => {
                Err(Error::invalid("time", "time is in the future; expected a moment that has been"))
            }
            Moment::Position(_) | Moment::Time(_) => Ok(()),
        }
    }

    /// At most `max` events of the session after (or, backward, before) version `from`, and whether there are more.
    pub async fn session_history(
        &self,
        request: &Request,
        session: SessionId,
        part: Part,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<(Vec<HistoryEvent>, bool), Error> {
        let (organization, _) = self.may_read_session(request, session, Operation::ReadHistory).await?;
        let stream = match part {
            Part::Session => Session::stream(session),
            Part::Media => SessionMedia::stream(session),
        };
        let mut page = self.store.read_stream(&stream, from, direction, max + 1)?;
        let more = page.len() > max;
        page.truncate(max);
        let events = page.iter().map(|recorded| self.reveal_event(organization, recorded));
        Ok((events.collect::<Result<_, _>>()?, more))
    }

    /// The chat of a session, in order, after version `from`: content, so the read is recorded.
    pub async fn read_chat(
        &self,
        request: &Request,
        session: SessionId,
    ) -> Result<(OrganizationId, Now<Session>), Error> {
        let (organization, state) = self.may_read_session(request, session, Operation::ReadChat).await?;
        self.record_read(request, organization, session, Content::Chat).await?;
        Ok((organization, state))
    }

    /// One event of the organization, for those who may read its audit trail or the event's own session.
    pub async fn event_at(&self, request: &Request, position: Position) -> Result<HistoryEvent, Error> {
        let organization = request.organization()?;
        let recorded = self.store.read_all(position, Direction::Forward, 1)?.pop();
        let own = recorded
            .filter(|recorded| recorded.position == position && recorded.envelope.organization() == Some(organization));
        let recorded = own.ok_or(Error::NotFound { what: "event" })?;
        match crate::feed::session_of(&recorded) {
            Some(session) if recorded.envelope.category() == Chat::CATEGORY => {
                self.read_chat(request, session).await?;
            }
            Some(session) => {
                self.may_read_session(request, session, Operation::ReadHistory).await?;
            }
            None => {
                let resource = organization_resource(organization);
                self.authorise(request, Operation::ReadAuditTrail, &resource).await?;
            }
        }
        self.reveal_event(organization, &recorded)
    }

    /// A session's events from now on, or from any position. Chat only for those who may read it.
    pub async fn session_events(
        &self,
        request: &Request,
        session: SessionId,
        after: Option<Position>,
    ) -> Result<SessionFeed, Error> {
        let (organization, state) = self.may_read_session(request, session, Operation::SessionEvents).await?;
        drop(state);
        let mut chat = ChatReader { request: request.clone(), organization, session, asked: None, allowed: false };
        chat.may_read(self).await?;
        let feed = self.feeds.open(Topic::Session(organization, session), after)?;
        Ok(SessionFeed { feed, organization, chat: Some(chat) })
    }

    /// Everything that happens in the organization. Content stays out: chat is read in its session.
    pub async fn organization_activity(
        &self,
        request: &Request,
        after: Option<Position>,
    ) -> Result<SessionFeed, Error> {
        let organization = request.organization()?;
        self.authorise(request, Operation::OrganizationActivity, &organization_resource(organization)).await?;
        let feed = self.feeds.open(Topic::Organization(organization), after)?;
        Ok(SessionFeed { feed, organization, chat: None })
    }

    /// The same event for all who follow it. What was revealed before somebody was erased is revealed anew.
    fn show_event(&self, organization: OrganizationId, recorded: &Recorded) -> Result<Arc<HistoryEvent>, Error> {
        let erasures = self.vault.erasures_count();
        if let Some((_, event)) = self.shown.0.get(&recorded.position).filter(|(before, _)| *before == erasures) {
            return Ok(event);
        }
        let event = Arc::new(self.reveal_event(organization, recorded)?);
        self.shown.0.insert(recorded.position, (erasures, Arc::clone(&event)));
        Ok(event)
    }

    /// A stored event as a reader sees it.
    pub fn reveal_event(&self, organization: OrganizationId, recorded: &Recorded) -> Result<HistoryEvent, Error> {
        let envelope = &recorded.envelope;
        let metadata: Metadata = serde_json::from_slice(envelope.metadata()).map_err(Error::fault)?;
        let data = self.upcast(envelope)?;
        Ok(HistoryEvent {
            position: recorded.position,
            id: envelope.id(),
            kind: envelope.kind().to_owned(),
            stream: envelope.stream().to_owned(),
            version: envelope.version(),
            recorded_at: envelope.recorded_at(),
            actor: metadata.actor,
            correlation: metadata.correlation,
            causation: metadata.causation,
            data: self.reveal_json(organization, envelope.stream(), "data", data)?,
            digest: envelope.digest(),
        })
    }

    fn upcast(&self, envelope: &Envelope) -> Result<Value, Error> {
        let (category, kind) = (envelope.category(), envelope.kind());
        let data = witan_domain::event::upcast(category, kind, envelope.schema(), envelope.data())?;
        serde_json::from_slice(&data).map_err(Error::fault)
    }
}

/// What is asked of an organization as a whole.
pub fn organization_resource(organization: OrganizationId) -> Resource {
    Resource {
        kind: ResourceKind::Organization,
        organization: Some(organization),
        id: organization.to_string(),
        ..Resource::default()
    }
}

/// A live feed that shows its reader only what they may see.
pub struct SessionFeed {
    feed: Feed,
    organization: OrganizationId,
    /// Who would read chat by it; none where there is no chat for anyone.
    chat: Option<ChatReader>,
}

/// For how long it is believed that someone may read a session's chat, or may not.
const CHAT_ASKED_AFTER_SECONDS: u64 = 2;

/// Somebody who follows a session, and whether they may read its chat: asked again while they follow, since a right may come
/// and go, and each hour in which they read is in the audit trail.
struct ChatReader {
    request: Request,
    organization: OrganizationId,
    session: SessionId,
    asked: Option<Timestamp>,
    allowed: bool,
}

impl ChatReader {
    async fn may_read(&mut self, app: &App) -> Result<bool, Error> {
        let now = app.sources.now();
        if self.asked.is_none_or(|asked| asked.plus_seconds(CHAT_ASKED_AFTER_SECONDS) <= now) {
            self.allowed = app.may_still_read(&self.request, self.session, Operation::ReadChat).await;
            self.asked = Some(now);
            if self.allowed {
                app.record_read(&self.request, self.organization, self.session, Content::Chat).await?;
            }
        }
        Ok(self.allowed)
    }
}

impl SessionFeed {
    /// After which position to resume.
    pub fn position(&self) -> Position {
        self.feed.position()
    }

    /// The next event; waits for it.
    pub async fn next(&mut self, app: &App) -> Result<Arc<HistoryEvent>, Error> {
        loop {
            let recorded = self.feed.next().await?;
            let shown = match &mut self.chat {
                _ if recorded.envelope.category() != Chat::CATEGORY => true,
                Some(reader) => reader.may_read(app).await?,
                None => false,
            };
            if shown {
                return app.show_event(self.organization, &recorded);
            }
        }
    }
}
