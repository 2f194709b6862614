//! Opening a session.
//!
//! The room is the one that knows its live session, so opening is recorded there first; then the session's own stream
//! begins. If that is cut short, the reactor `sessions` goes on with it.

use witan_auth::{Operation, Resource};
use witan_domain::{
    Actor, Aggregate, OrganizationId, PersonId, RoomId, SessionId,
    room::{OpenSession, ReleaseSession, Room, RoomFacts, RoomState, SessionOpened},
    session::{
        EndSession, MarkSessionReady, Opener, PrepareSession, Session, SessionRejection, SessionState, SessionStatus,
    },
    settings::SettingValue,
};
use witan_event_store::{Direction, Position};
use witan_media::MediaMode;
use witan_vault::AliasKind;

use crate::{
    App, Error, Outcome, Request,
    personal::Text,
    rooms::{ROOM, room_resource},
};

pub const RECORD_ID_CHARS_MAX: usize = 200;

/// How often strangers may open a room at once, and after how long once more: what they open lies empty and ends.
pub const OPENINGS_AT_ONCE: u32 = 5;
pub const OPENING_INTERVAL_MILLIS: u32 = 60_000;

/// What the opener chooses.
#[derive(Clone, Default)]
pub struct OpeningInput {
    /// The record that the session belongs to: a patient's file, say.
    pub record_id: Option<String>,
    pub continues: Option<SessionId>,
    pub settings: Vec<SettingValue>,
    /// Where the open policy has a grant for who knows it.
    pub password: Option<String>,
}

impl App {
    /// Opens a session in the room and makes it ready, if media is not needed or is there.
    pub async fn open_session(
        &self,
        request: &Request,
        room: RoomId,
        input: &OpeningInput,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        match request.actor {
            Actor::Anonymous => self.open_as_stranger(request, room, input).await,
            Actor::User { .. } | Actor::Participant { .. } | Actor::System | Actor::Operator => {
                self.open_in(request, request.organization()?, room, input).await
            }
        }
    }

    /// Whoever has no account opens the room as it is, where its open policy has a grant for anyone or for who knows the
    /// password.
    async fn open_as_stranger(
        &self,
        request: &Request,
        room: RoomId,
        input: &OpeningInput,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        for (field, given) in [
            ("recordId", input.record_id.is_some()),
            ("continuesId", input.continues.is_some()),
            ("settings", !input.settings.is_empty()),
        ] {
            if given {
                return Err(Error::invalid(field, format!("{field} is a user's to give; expected none")));
            }
        }
        let refused = || self.refuse_stranger(request, room.0, input.password.as_deref());
        let organization = self.streams.load::<Room>(&Room::stream(room))?.organization;
        let organization = organization.ok_or_else(refused)?;
        // Two strangers may choose the same key, for two rooms.
        let idempotency = request.idempotency.as_ref().map(|key| key.within(&room.to_string()));
        let within = Request { idempotency, ..request.clone() };
        self.open_in(&within, organization, room, input).await.map_err(|error| match error {
            Error::Unauthenticated(_) | Error::Forbidden { .. } | Error::NotFound { .. } => refused(),
            error => error,
        })
    }

    async fn open_in(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        input: &OpeningInput,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        let state = self.room_state(organization, room)?;
        let session = SessionId(self.id_for(request, "session"));
        if self.answered::<Room>(request, organization, room, Operation::OpenSession)?.is_some()
            && let Some(prepared) = self.prepared(organization, session)?
        {
            return self.opened(request, organization, session, prepared).await;
        }
        let facts = state.facts().map_err(Error::rejected)?.clone();
        let above = self.levels_above(&facts)?;
        let policies = above.policies(facts.details.purpose, &facts.policies);
        let shown = self.shown_passwords(request, room, &policies.open, input.password.as_deref()).await?;
        let grant = !shown.is_empty();
        let resource = move |state: &RoomState| Resource { grant, ..room_resource(organization, state) };
        self.authorise(request, Operation::OpenSession, &resource(&state)).await?;
        // The same key in another room names the same session: the room must not be told that it is its own.
        self.answered::<Session>(request, organization, session, Operation::OpenSession)?;
        if request.actor == Actor::Anonymous && !self.openings.take(room, self.sources.now()) {
            return Err(Error::Rejected {
                code: "TOO_MANY_OPENINGS",
                field: None,
                message: "The room was opened too often by guests lately: try again in a minute.".into(),
            });
        }
        self.release_closed(request, &facts).await?;
        let record = self.protect_record(request, organization, room, session, input.record_id.as_deref()).await?;
        let chosen = above.settings(facts.details.purpose, &facts.settings).opened_with(&input.settings);
        let opened_by = match request.actor {
            Actor::User { user, .. } => Opener::User(user),
            Actor::Participant { .. } | Actor::Anonymous => Opener::Guest,
            Actor::System | Actor::Operator => Opener::System,
        };
        if let Some(before) = input.continues {
            self.check_continued(organization, room, before)?;
        }
        let opening = Operation::OpenSession;
        let task = self.begin::<Room>(request, Some(organization), room, opening, ROOM, resource).await?;
        let command = OpenSession {
            session,
            organization_active: above.organization_active(),
            settings: chosen.map_err(Error::rejected)?,
            opened_by,
            record,
            continues: input.continues,
            now: task.now(),
        };
        let opened = SessionOpened {
            session,
            settings: Box::new(command.settings.clone()),
            opened_by,
            record: command.record.clone(),
            continues: command.continues,
        };
        task.finish(&command.into()).await?;
        let ready = self.prepare_session(&request.step(), &facts, &opened).await?;
        Ok((session, Outcome { position: self.prepared_position(session)?, ..ready }))
    }

    /// The answer to an opening that has got as far as the session's own stream.
    pub(crate) async fn opened(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        prepared: Outcome<Session>,
    ) -> Result<(SessionId, Outcome<Session>), Error> {
        let ready = self.make_ready(request, organization, session, prepared).await?;
        Ok((session, Outcome { position: self.prepared_position(session)?, ..ready }))
    }

    /// The session as it is, once its stream has begun.
    pub(crate) fn prepared(
        &self,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<Option<Outcome<Session>>, Error> {
        let there = self.load_own::<Session>(Some(organization), &Session::stream(session))?;
        let outcome = || Outcome { state: there.state.clone(), version: there.version, position: None };
        Ok(there.version.is_some().then(outcome))
    }

    /// The second step of opening: the session's own stream. Finds itself done when the reactor was faster. A room that was
    /// told of another room's session (the same key came for both, at once) is told that it is none of its own.
    pub(crate) async fn prepare_session(
        &self,
        request: &Request,
        room: &RoomFacts,
        opened: &SessionOpened,
    ) -> Result<Outcome<Session>, Error> {
        // The opening was authorised as a whole; who opened it stands in the command.
        let request = Request { actor: Actor::System, scopes: None, expected_version: None, ..request.clone() };
        let (organization, session) = (room.organization, opened.session);
        let there = self.load_own::<Session>(Some(organization), &Session::stream(session))?;
        if there.state.record().is_some_and(|record| record.room != room.room) {
            let request = Request::system(request.correlation, request.causation);
            let released = self.release_session(&request, organization, room.room, session).await;
            return Err(released.err().unwrap_or(Error::rejected(SessionRejection::SessionAlreadyPrepared)));
        }
        let outcome = if there.version.is_some() {
            Outcome { state: there.state.clone(), version: there.version, position: None }
        } else {
            let record = self.record_in_session(room, session, opened.record.as_ref())?;
            let command = PrepareSession {
                session,
                organization,
                unit: room.unit,
                room: room.room,
                purpose: room.details.purpose,
                settings: (*opened.settings).clone(),
                opened_by: opened.opened_by,
                record,
                continues: opened.continues,
                media_needed: self.media.mode() == MediaMode::Sfu,
                now: self.sources.now(),
            };
            self.command_session(&request, organization, session, command.into()).await?
        };
        self.make_ready(&request, organization, session, outcome).await
    }

    /// The third step, where media is needed.
    async fn make_ready(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        outcome: Outcome<Session>,
    ) -> Result<Outcome<Session>, Error> {
        let preparing = outcome.state.live().is_some_and(|live| live.status == SessionStatus::Preparing);
        // Asked again, the session is ready by now, or has ended: then there is no media to open.
        if self.media.mode() == MediaMode::None || !preparing {
            return Ok(outcome);
        }
        match self.media.open_session(session).await {
            Ok(()) => {
                let ready = MarkSessionReady { now: self.sources.now() };
                let request = Request::system(request.correlation, request.causation);
                self.command_session(&request, organization, session, ready.into()).await
            }
            Err(error) => {
                // The reactor `media` tries again; meanwhile the session is PREPARING, which its readers see.
                tracing::warn!(%session, %error, "media is not ready for the session");
                Ok(outcome)
            }
        }
    }

    /// Where the session's first steps stand, whoever took them: this request, an earlier try of it, or the reactor.
    pub(crate) fn prepared_position(&self, session: SessionId) -> Result<Option<Position>, Error> {
        let steps = self.store.read_stream(&Session::stream(session), 0, Direction::Forward, 2)?;
        Ok(steps.last().map(|recorded| recorded.position))
    }

    /// Each stream has field keys of its own: what the room's stream holds is protected anew for the session's.
    fn record_in_session(
        &self,
        room: &RoomFacts,
        session: SessionId,
        record: Option<&witan_domain::Private>,
    ) -> Result<Option<witan_domain::Private>, Error> {
        let Some(record) = record else { return Ok(None) };
        let stream = Room::stream(room.room);
        let Some(text) = self.reveal(room.organization, &stream, "record", record)? else { return Ok(None) };
        let text = Text::required("recordId", &text, RECORD_ID_CHARS_MAX)?;
        self.protect(room.organization, record.person, &Session::stream(session), "record", text).map(Some)
    }

    /// A room whose session has closed a moment ago may not know it yet.
    pub(crate) async fn release_closed(&self, request: &Request, room: &RoomFacts) -> Result<(), Error> {
        let Some(live) = room.live_session else { return Ok(()) };
        let there = self.session_state(room.organization, live);
        let closed = there.is_ok_and(|state| matches!(*state, SessionState::Closed(_)));
        if closed {
            self.release_session(&Request::system(request.correlation, None), room.organization, room.room, live)
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn release_session(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        session: SessionId,
    ) -> Result<(), Error> {
        let task = self
            .begin::<Room>(request, Some(organization), room, Operation::OpenSession, ROOM, |state| {
                room_resource(organization, state)
            })
            .await?;
        task.finish(&ReleaseSession { session }.into()).await.map(|_| ())
    }

    /// Ends a room's live session because the room was closed.
    pub(crate) async fn end_for_room(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
    ) -> Result<(), Error> {
        let command = EndSession { reason: witan_domain::session::EndReason::RoomDisabled, now: self.sources.now() };
        crate::reactors::settled(self.command_session(request, organization, session, command.into()).await)
    }

    /// Of this room: whoever may open it learns nothing of other rooms' sessions.
    fn check_continued(&self, organization: OrganizationId, room: RoomId, before: SessionId) -> Result<(), Error> {
        let fits = |state: &SessionState| matches!(state, SessionState::Closed(closed) if closed.room == room);
        match self.session_state(organization, before) {
            Ok(state) if fits(&state) => Ok(()),
            Ok(_) | Err(Error::NotFound { .. }) => Err(Error::Rejected {
                code: "SESSION_NOT_CLOSED",
                field: Some("continuesId".into()),
                message: "Only a closed session of this room can be continued.".into(),
            }),
            Err(error) => Err(error),
        }
    }

    /// A record's id is as personal as whose record it is: it belongs to a person of its own.
    pub(crate) async fn protect_record(
        &self,
        request: &Request,
        organization: OrganizationId,
        room: RoomId,
        session: SessionId,
        record_id: Option<&str>,
    ) -> Result<Option<witan_domain::Private>, Error> {
        let Some(record_id) = record_id else { return Ok(None) };
        let text = Text::required("recordId", record_id.trim(), RECORD_ID_CHARS_MAX)?;
        let fresh = PersonId(self.id_for(request, &format!("record of {session}")));
        let person = self.vault.person(organization, AliasKind::RecordId, text.as_str(), fresh).await?;
        self.protect(organization, person, &Room::stream(room), "record", text).map(Some)
    }
}
