//! What follows for the streams of a session from what happens in it: who is gone, or may no longer, publishes nothing; what a
//! host has muted is muted; what a lost node carried has ended. The node has been told before; here it is recorded.

use witan_domain::{
    OrganizationId, ParticipantId, SessionId, Timestamp,
    media::{EndStreams, EnforceStandings, MediaRejection, MediaState, SessionMedia, UnpublishReason, Which},
    session::{SessionEvent, SessionState},
};
use witan_media::MediaError;

use super::{media::insistently, settled};
use crate::{App, Error, Request};

/// Enforces what the session says now of everyone who publishes, where this event, recorded at `at`, may have changed it.
pub(crate) async fn follow(
    app: &App,
    request: &Request,
    organization: OrganizationId,
    session: SessionId,
    event: &SessionEvent,
    at: Timestamp,
) -> Result<(), Error> {
    if matches!(event, SessionEvent::SessionInterrupted(_)) {
        let (which, reason) = (Which::PublishedUntil(at), UnpublishReason::NodeLost);
        let command = |_: &SessionState, _: &MediaState| EndStreams { which, reason, now: app.sources.now() }.into();
        return settled(app.command_media(request, organization, session, command).await);
    }
    if !may_end_streams(event) {
        return Ok(());
    }
    let (published, _) = app.current::<SessionMedia>(organization, session)?;
    stop_what_is_not_allowed(app, session, &published, &*app.session_state(organization, session)?).await;
    // Decided in the stream's turn: what is being published at this moment is recorded before it, or sees the event itself.
    let command = |state: &SessionState, media: &MediaState| {
        let standing = |participant: ParticipantId| (participant, state.media_standing(participant));
        let standings = media.publishers().into_iter().map(standing).collect();
        EnforceStandings { standings, now: app.sources.now() }.into()
    };
    settled(app.command_media(request, organization, session, command).await)
}

/// A role or a setting that was changed ends streams of people who stay: of these the node knows nothing.
async fn stop_what_is_not_allowed(app: &App, session: SessionId, published: &MediaState, state: &SessionState) {
    for stream in published.live() {
        // Whoever is not there was disconnected as a whole.
        let allowed = state.media_standing(stream.participant).allows(stream.source);
        if let Err(
            MediaRejection::RoleMayNotPublish | MediaRejection::OnlyHostsPublish | MediaRejection::ScreenShareOff,
        ) = allowed
        {
            match insistently(|| app.media.unpublish(session, stream.participant, stream.stream)).await {
                Ok(()) | Err(MediaError::NotThere(_)) => {}
                // A node that fails stops nobody else's decisions.
                Err(error) => tracing::error!(%session, %error, "a media node did not stop what may not be sent"),
            }
        }
    }
}

fn may_end_streams(event: &SessionEvent) -> bool {
    match event {
        SessionEvent::ParticipantLeft(_)
        | SessionEvent::ParticipantMoved(_)
        | SessionEvent::ParticipantRemoved(_)
        | SessionEvent::ParticipantMuted(_)
        | SessionEvent::ParticipantRoleChanged(_)
        | SessionEvent::SettingChanged(_)
        | SessionEvent::SessionEnded(_) => true,
        // On hold nothing flows, and what was published is there when they are released.
        SessionEvent::ParticipantHeld(_)
        | SessionEvent::ParticipantReleased(_)
        | SessionEvent::ParticipantUnmuted(_)
        | SessionEvent::SessionPrepared(_)
        | SessionEvent::SessionReady(_)
        | SessionEvent::ParticipantKnocked(_)
        | SessionEvent::ParticipantAdmitted(_)
        | SessionEvent::ParticipantDenied(_)
        | SessionEvent::KnockWithdrawn(_)
        | SessionEvent::KnockUnanswered(_)
        | SessionEvent::KnockTimedOut(_)
        | SessionEvent::ParticipantJoined(_)
        | SessionEvent::ParticipantDropped(_)
        | SessionEvent::ParticipantReconnected(_)
        | SessionEvent::SessionLocked(_)
        | SessionEvent::SessionUnlocked(_)
        | SessionEvent::SessionExtended(_)
        | SessionEvent::LimitWarned(_)
        | SessionEvent::ConsentGiven(_)
        | SessionEvent::ConsentWithdrawn(_)
        | SessionEvent::SessionInterrupted(_)
        | SessionEvent::SessionResumed(_) => false,
    }
}
