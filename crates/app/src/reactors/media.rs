//! Makes media ready for sessions that wait for it, and tells it what moderation decided: a mute, a hold or a removal is
//! enforced there, not asked of the client.

use witan_domain::{
    Aggregate, SessionId,
    participant::MediaSource,
    session::{MarkSessionReady, Session, SessionEvent},
};
use witan_event_store::Recorded;
use witan_media::{MediaError, MediaMode, Source};

use super::{because_of, settled};
use crate::{App, Error};

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    if app.media.mode() == MediaMode::None || envelope.category() != Session::CATEGORY {
        return Ok(());
    }
    let Ok(session) = envelope.stream_id().parse() else { return Ok(()) };
    let media = app.media.as_ref();
    let result = match Session::decode(envelope.kind(), envelope.schema(), envelope.data())? {
        SessionEvent::SessionEnded(_) => media.close_session(session).await,
        SessionEvent::ParticipantMuted(muted) => media.mute(session, muted.participant, source(muted.source)).await,
        SessionEvent::ParticipantHeld(held) => media.set_held(session, held.participant, true).await,
        SessionEvent::ParticipantReleased(released) => media.set_held(session, released.participant, false).await,
        SessionEvent::ParticipantLeft(left) => media.disconnect(session, left.participant).await,
        SessionEvent::ParticipantMoved(moved) => media.disconnect(session, moved.participant).await,
        SessionEvent::ParticipantRemoved(removed) => media.disconnect(session, removed.participant).await,
        SessionEvent::SessionPrepared(_) => return get_ready(app, recorded, session).await,
        SessionEvent::SessionReady(_)
        | SessionEvent::ParticipantKnocked(_)
        | SessionEvent::ParticipantAdmitted(_)
        | SessionEvent::ParticipantDenied(_)
        | SessionEvent::KnockWithdrawn(_)
        | SessionEvent::KnockTimedOut(_)
        | SessionEvent::ParticipantJoined(_)
        | SessionEvent::ParticipantDropped(_)
        | SessionEvent::ParticipantReconnected(_)
        | SessionEvent::ParticipantUnmuted(_)
        | SessionEvent::ParticipantRoleChanged(_)
        | SessionEvent::SessionLocked(_)
        | SessionEvent::SessionUnlocked(_)
        | SessionEvent::SessionExtended(_)
        | SessionEvent::LimitWarned(_)
        | SessionEvent::SettingChanged(_)
        | SessionEvent::ConsentGiven(_)
        | SessionEvent::ConsentWithdrawn(_)
        | SessionEvent::SessionInterrupted(_)
        | SessionEvent::SessionResumed(_) => Ok(()),
    };
    match result {
        Ok(()) => Ok(()),
        // A node that does not carry the session has nothing to enforce in it; a lost one is interrupted elsewhere.
        Err(MediaError::Node(why)) => {
            tracing::warn!(%session, why, "media did not take the decision");
            Ok(())
        }
        Err(error @ MediaError::NoNode) => {
            tracing::warn!(%session, %error, "media did not take the decision");
            Ok(())
        }
    }
}

/// For a session that was prepared while no node was there: tries again until one is, or the session is over.
async fn get_ready(app: &App, recorded: &Recorded, session: SessionId) -> Result<(), Error> {
    let Some(organization) = recorded.envelope.organization() else { return Ok(()) };
    let state = app.session_state(organization, session)?;
    if state.live().is_none_or(|live| live.ready_at.is_some()) {
        return Ok(());
    }
    app.media.open_session(session).await.map_err(|error| Error::Unavailable(error.to_string()))?;
    let ready = MarkSessionReady { now: app.sources.now() };
    settled(app.command_session(&because_of(recorded)?, organization, session, ready.into()).await)
}

fn source(source: MediaSource) -> Source {
    match source {
        MediaSource::Microphone => Source::Microphone,
        MediaSource::Camera => Source::Camera,
        MediaSource::Screen | MediaSource::ScreenAudio => Source::Screen,
    }
}
