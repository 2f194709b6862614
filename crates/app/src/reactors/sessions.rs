//! What opening and ending a session, and closing a room, bring about in other streams.

use witan_domain::{
    Aggregate, SessionId,
    room::{Room, RoomEvent, RoomStatus},
    session::{Session, SessionEvent},
};
use witan_event_store::{Direction, Recorded};

use super::{because_of, settled};
use crate::{App, Error};

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    match recorded.envelope.category() {
        Room::CATEGORY => of_room(app, recorded).await,
        Session::CATEGORY => of_session(app, recorded).await,
        _ => Ok(()),
    }
}

async fn of_room(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    let (Some(organization), Ok(room)) = (envelope.organization(), envelope.stream_id().parse()) else { return Ok(()) };
    let request = because_of(recorded)?;
    match Room::decode(envelope.kind(), envelope.schema(), envelope.data())? {
        RoomEvent::SessionOpened(opened) => {
            let state = app.room_state(organization, room)?;
            let facts = state.facts().map_err(Error::rejected)?;
            // Nothing to do for a session that has gone on, or over, since.
            let there = app.session_state(organization, opened.session);
            let preparing = matches!(&there, Ok(state) if state.live().is_some_and(|live| live.ready_at.is_none()));
            let of_another = matches!(&there, Ok(state) if state.record().is_some_and(|record| record.room != room));
            if preparing || of_another || matches!(there, Err(Error::NotFound { .. })) {
                settled(app.prepare_session(&request, facts, &opened).await)?;
            }
            Ok(())
        }
        RoomEvent::RoomDisabled(_) | RoomEvent::RoomArchived(_) => {
            let state = app.room_state(organization, room)?;
            let Some((facts, live)) = state.facts().ok().and_then(|facts| Some((facts, facts.live_session?))) else {
                return Ok(());
            };
            // The room may have been enabled since, and have another session: one that began later stays.
            if facts.status == RoomStatus::Active && !began_before(app, live, recorded)? {
                return Ok(());
            }
            app.end_for_room(&request, organization, live).await
        }
        RoomEvent::RoomCreated(_)
        | RoomEvent::RoomUpdated(_)
        | RoomEvent::RoomSettingsSet(_)
        | RoomEvent::RoomPoliciesSet(_)
        | RoomEvent::RoomPersonAdded(_)
        | RoomEvent::RoomPersonRemoved(_)
        | RoomEvent::RoomEnabled(_)
        | RoomEvent::SessionReleased(_) => Ok(()),
    }
}

fn began_before(app: &App, session: SessionId, recorded: &Recorded) -> Result<bool, Error> {
    let first = app.store.read_stream(&Session::stream(session), 0, Direction::Forward, 1)?;
    Ok(first.first().is_some_and(|first| first.position < recorded.position))
}

async fn of_session(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    let (Some(organization), Ok(session)) = (envelope.organization(), envelope.stream_id().parse()) else {
        return Ok(());
    };
    if !matches!(Session::decode(envelope.kind(), envelope.schema(), envelope.data())?, SessionEvent::SessionEnded(_)) {
        return Ok(());
    }
    let state = app.session_state(organization, session)?;
    match state.record() {
        Some(record) => settled(app.release_session(&because_of(recorded)?, organization, record.room, session).await),
        None => Ok(()),
    }
}
