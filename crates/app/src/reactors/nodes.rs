//! Media nodes that come and go: a session whose node is lost is interrupted, opened on the next one, and resumed. What a
//! node carries for a session that is over is closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use witan_domain::{
    Aggregate, CorrelationId, OrganizationId, SessionId,
    session::{InterruptSession, ResumeSession, Session, SessionCommand, SessionStatus},
};
use witan_event_store::{Follower, Recorded};
use witan_media::{MediaMode, Nodes};

use super::{BATCH_EVENTS, Run, settled, stopped};
use crate::{App, Error, Request, feed::session_of, media::answered};

const RETRY: Duration = Duration::from_secs(1);

/// The sessions that are live, and whose they are.
type Live = BTreeMap<SessionId, OrganizationId>;

pub(crate) async fn run(mut run: Run) {
    let result = follow(&mut run).await;
    run.cursor.flush();
    run.ended(result);
}

async fn follow(run: &mut Run) -> Result<(), Error> {
    let mut follower = Follower::new(Arc::clone(&run.app.store), run.cursor.open(run.app.store.as_ref())?);
    run.reached(follower.position());
    let mut live: Live = run.cursor.note().unwrap_or_default();
    let mut nodes = run.app.media.nodes();
    let mut stop = run.stop.clone();
    // When the nodes are looked at next: not before whoever supervises them has found one, or none.
    let sees = nodes.borrow_and_update().changes > 0 && run.app.media.mode() == MediaMode::Sfu;
    let mut look = sees.then(Instant::now);
    loop {
        // Before it knows every session it would take what is missing for settled.
        let caught_up = follower.position() >= *run.app.store.durable().borrow();
        tokio::select! {
            batch = follower.next_batch(BATCH_EVENTS) => {
                let batch = batch?;
                take(run, &mut live, &batch)?;
                run.reached(follower.position());
            }
            Some(()) = changed(&mut nodes) => look = Some(Instant::now()),
            () = at(look), if caught_up => {
                let settled = reconcile(&run.app, &live).await?;
                look = (!settled).then(|| Instant::now() + RETRY);
            }
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// `None`, and never again, where there are no nodes.
async fn changed(nodes: &mut watch::Receiver<Nodes>) -> Option<()> {
    nodes.changed().await.ok()
}

async fn at(look: Option<Instant>) {
    match look {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn take(run: &mut Run, live: &mut Live, batch: &[Recorded]) -> Result<(), Error> {
    let mut touched = Live::new();
    for recorded in batch.iter().filter(|recorded| recorded.envelope.category() == Session::CATEGORY) {
        run.app.streams.saw(recorded);
        if let (Some(session), Some(organization)) = (session_of(recorded), recorded.envelope.organization()) {
            touched.insert(session, organization);
        }
    }
    let mut changed = false;
    for (session, organization) in touched {
        let loaded = run.app.load_own::<Session>(Some(organization), &Session::stream(session))?;
        if loaded.state.live().is_some() {
            changed |= live.insert(session, organization).is_none();
        } else {
            changed |= live.remove(&session).is_some();
        }
    }
    // Most events begin and end no session.
    if changed {
        run.cursor.set_note(&*live)?;
    }
    if let Some(newest) = batch.last() {
        run.cursor.advance(newest);
    }
    Ok(())
}

/// Brings sessions and nodes together. False where it has to be tried again.
async fn reconcile(app: &App, live: &Live) -> Result<bool, Error> {
    // First which sessions have media, then which are carried: one that becomes ready in between is not taken for lost.
    let mut ready = BTreeMap::new();
    for (session, organization) in live {
        let loaded = app.load_own::<Session>(Some(*organization), &Session::stream(*session))?;
        if let Some(record) = loaded.state.live().filter(|record| record.ready_at.is_some()) {
            ready.insert(*session, (*organization, record.status));
        }
    }
    let carried = answered(app.media.sessions()).await;
    let available = carried.is_ok();
    let carried: BTreeSet<SessionId> = carried.unwrap_or_default();
    let mut settled = available;
    for (session, (organization, status)) in ready {
        let is_carried = carried.contains(&session);
        if !is_carried && status == SessionStatus::InProgress {
            let interrupt = InterruptSession { now: app.sources.now() };
            settled &= act(app, organization, session, interrupt.into()).await?;
        }
        if !available || (is_carried && status != SessionStatus::Interrupted) {
            continue;
        }
        match answered(app.media.open_session(session)).await {
            Ok(()) => {
                let resume = ResumeSession { now: app.sources.now() };
                settled &= act(app, organization, session, resume.into()).await?;
            }
            Err(error) => {
                tracing::warn!(%session, %error, "the session's media is not back yet");
                settled = false;
            }
        }
    }
    close_what_is_over(app, &carried).await?;
    Ok(settled)
}

/// A session that ended while nobody could tell the node.
async fn close_what_is_over(app: &App, carried: &BTreeSet<SessionId>) -> Result<(), Error> {
    for session in carried {
        let loaded = app.streams.load::<Session>(&Session::stream(*session))?;
        let is_over = loaded.version.is_some() && loaded.state.live().is_none();
        if is_over && let Err(error) = answered(app.media.close_session(*session)).await {
            tracing::warn!(%session, %error, "the media of a session that is over stays open");
        }
    }
    Ok(())
}

/// False where the store had no room or others were faster.
async fn act(
    app: &App,
    organization: OrganizationId,
    session: SessionId,
    command: SessionCommand,
) -> Result<bool, Error> {
    let request = Request::system(CorrelationId(app.sources.ulid()), None);
    match settled(app.command_session(&request, organization, session, command).await) {
        Ok(()) => Ok(true),
        Err(error @ (Error::Unavailable(_) | Error::Contention)) => {
            tracing::warn!(%session, code = error.code(), "tries again");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
