//! Makes media ready for sessions that wait for it, and tells it what moderation decided: a mute, a hold or a removal is
//! enforced there, not asked of the client.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use witan_domain::{
    Aggregate, CorrelationId, EventId, OrganizationId, SessionId,
    session::{MarkSessionReady, Session, SessionEvent, SessionRecord},
};
use witan_event_store::{Follower, Recorded};
use witan_media::{MediaError, MediaMode};

use super::{BATCH_EVENTS, Reaction, Run, because_of, settled, stopped, streams};
use crate::{App, Error, Request, media::answered};

/// How often a session whose media could not be opened is tried again.
const RETRY_SECONDS: u64 = 1;
/// How often a node is asked to enforce a decision, and how long after it failed.
const ATTEMPTS_MAX: usize = 3;
const ATTEMPT_AFTER: Duration = Duration::from_millis(200);

/// Prepared sessions whose media could not be opened yet.
type Waiting = BTreeMap<SessionId, Prepared>;

/// Whose session it is, and what prepared it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Prepared {
    organization: OrganizationId,
    correlation: CorrelationId,
    causation: Option<EventId>,
}

pub(crate) async fn run(mut run: Run) {
    let result = follow(&mut run).await;
    run.cursor.flush();
    run.ended(result);
}

async fn follow(run: &mut Run) -> Result<(), Error> {
    let mut follower = Follower::new(Arc::clone(&run.app.store), run.cursor.open(run.app.store.as_ref())?);
    run.reached(follower.position());
    let mut waiting: Waiting = run.cursor.note().unwrap_or_default();
    let mut retry = tokio::time::interval(Duration::from_secs(RETRY_SECONDS));
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = run.stop.clone();
    loop {
        tokio::select! {
            batch = follower.next_batch(BATCH_EVENTS) => {
                for recorded in &batch? {
                    run.app.streams.saw(recorded);
                    if !run.insist(Reaction::Media, recorded).await? {
                        return Ok(());
                    }
                    // One session that has to wait for media keeps no mute and no removal of another waiting.
                    if let Some((session, prepared)) = prepared(recorded)? {
                        waiting.insert(session, prepared);
                        get_ready(&run.app, &mut waiting).await?;
                        run.cursor.set_note(&waiting)?;
                    }
                    run.cursor.advance(recorded);
                }
                run.reached(follower.position());
            }
            _ = retry.tick(), if !waiting.is_empty() => {
                get_ready(&run.app, &mut waiting).await?;
                run.cursor.set_note(&waiting)?;
            }
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// The session that this event has prepared.
fn prepared(recorded: &Recorded) -> Result<Option<(SessionId, Prepared)>, Error> {
    let envelope = &recorded.envelope;
    let (Session::CATEGORY, Some(organization), Ok(session)) =
        (envelope.category(), envelope.organization(), envelope.stream_id().parse())
    else {
        return Ok(None);
    };
    let event = Session::decode(envelope.kind(), envelope.schema(), envelope.data())?;
    if !matches!(event, SessionEvent::SessionPrepared(_)) {
        return Ok(None);
    }
    let Request { correlation, causation, .. } = because_of(recorded)?;
    Ok(Some((session, Prepared { organization, correlation, causation })))
}

/// Tells media of a decision, if it still holds: one that was taken back since, or in a session that is over, must not
/// come again when the log is read late or from its beginning.
pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    if app.media.mode() == MediaMode::None || envelope.category() != Session::CATEGORY {
        return Ok(());
    }
    let (Some(organization), Ok(session)) = (envelope.organization(), envelope.stream_id().parse()) else {
        return Ok(());
    };
    let event = Session::decode(envelope.kind(), envelope.schema(), envelope.data())?;
    let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
    let result = match loaded.state.live() {
        Some(live) => insistently(|| enforce(app, live, &event)).await,
        None if matches!(event, SessionEvent::SessionEnded(_)) => {
            insistently(|| app.media.close_session(session)).await
        }
        None => Ok(()),
    };
    match result {
        Ok(()) => {}
        // A node that does not carry the session has nothing to enforce in it. A lost one is interrupted (see `nodes`), and
        // who enters the next does so as the session says then.
        Err(
            error @ (MediaError::NoNode | MediaError::Node(_) | MediaError::Invalid { .. } | MediaError::NotThere(_)),
        ) => {
            tracing::error!(%session, %error, "media did not take the decision");
        }
    }
    streams::follow(app, &because_of(recorded)?, organization, session, &event, envelope.recorded_at()).await
}

/// Asks a node a few times, and no longer: others' decisions wait.
pub(super) async fn insistently<A>(ask: impl Fn() -> A) -> Result<(), MediaError>
where
    A: Future<Output = Result<(), MediaError>>,
{
    let mut result = answered(ask()).await;
    for _ in 1..ATTEMPTS_MAX {
        if !matches!(result, Err(MediaError::NoNode | MediaError::Node(_))) {
            break;
        }
        tokio::time::sleep(ATTEMPT_AFTER).await;
        result = answered(ask()).await;
    }
    result
}

async fn enforce(app: &App, live: &SessionRecord, event: &SessionEvent) -> Result<(), MediaError> {
    let (media, session) = (app.media.as_ref(), live.session);
    let there = |participant| live.participant(participant);
    match event {
        SessionEvent::ParticipantMuted(e) if there(e.participant).is_some_and(|p| p.muted.contains(&e.source)) => {
            media.mute(session, e.participant, e.source).await
        }
        SessionEvent::ParticipantUnmuted(e) if there(e.participant).is_some_and(|p| !p.muted.contains(&e.source)) => {
            media.allow(session, e.participant, e.source).await
        }
        SessionEvent::ParticipantHeld(e) if there(e.participant).is_some_and(|p| p.held) => {
            media.set_held(session, e.participant, true).await
        }
        SessionEvent::ParticipantReleased(e) if there(e.participant).is_some_and(|p| !p.held) => {
            media.set_held(session, e.participant, false).await
        }
        // Nobody comes back from these as the same participant.
        SessionEvent::ParticipantLeft(e) => media.disconnect(session, e.participant).await,
        SessionEvent::ParticipantMoved(e) => media.disconnect(session, e.participant).await,
        SessionEvent::ParticipantRemoved(e) => media.disconnect(session, e.participant).await,
        SessionEvent::ParticipantMuted(_)
        | SessionEvent::ParticipantUnmuted(_)
        | SessionEvent::ParticipantHeld(_)
        | SessionEvent::ParticipantReleased(_)
        | SessionEvent::SessionPrepared(_)
        | SessionEvent::SessionEnded(_)
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
    }
}

/// Opens media for those that were prepared while none could be had. Who has it, or is over, waits no more.
async fn get_ready(app: &App, waiting: &mut Waiting) -> Result<(), Error> {
    for (session, Prepared { organization, correlation, causation }) in waiting.clone() {
        let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
        if app.media.mode() == MediaMode::None || loaded.state.live().is_none_or(|live| live.ready_at.is_some()) {
            waiting.remove(&session);
            continue;
        }
        drop(loaded);
        if let Err(error) = answered(app.media.open_session(session)).await {
            tracing::warn!(%session, %error, "media is not ready for the session");
            continue;
        }
        let request = Request::system(correlation, causation);
        let ready = MarkSessionReady { now: app.sources.now() };
        match settled(app.command_session(&request, organization, session, ready.into()).await) {
            Ok(()) => {
                waiting.remove(&session);
            }
            Err(error @ (Error::Unavailable(_) | Error::Contention)) => {
                tracing::warn!(%session, code = error.code(), "tries again");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
