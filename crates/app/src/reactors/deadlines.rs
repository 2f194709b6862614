//! Deadlines: what a live session does by itself when nothing happens. They are a function of its state, so after a
//! restart they are found again in the log.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::MissedTickBehavior;
use witan_domain::{Aggregate, CorrelationId, OrganizationId, SessionId, Timestamp, deadline, session::Session};
use witan_event_store::{Follower, Recorded};

use super::{BATCH_EVENTS, Run, settled, stopped};
use crate::{App, Error, Request, feed::session_of};

/// How long a deadline waits to be tried again when the store refused its command.
const RETRY_SECONDS: u64 = 1;
/// How often it is looked for those who are in and absent.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same after a fault, which trying again seldom mends.
const FAULT_RETRY_SECONDS: u64 = 60;

/// The live sessions, and when each of them next does something by itself.
#[derive(Default)]
struct Live {
    sessions: HashMap<SessionId, (OrganizationId, Option<Timestamp>)>,
    queue: BTreeSet<(Timestamp, SessionId)>,
    /// Those whose deadlines failed when they were last due: the others' go on.
    failing: BTreeSet<SessionId>,
}

impl Live {
    fn set(&mut self, session: SessionId, organization: OrganizationId, next: Option<Timestamp>) {
        if let Some((_, Some(before))) = self.sessions.insert(session, (organization, next)) {
            self.queue.remove(&(before, session));
        }
        self.queue.extend(next.map(|at| (at, session)));
    }

    fn remove(&mut self, session: SessionId) {
        self.failing.remove(&session);
        if let Some((_, Some(before))) = self.sessions.remove(&session) {
            self.queue.remove(&(before, session));
        }
    }
}

pub(crate) async fn run(mut run: Run) {
    let result = follow(&mut run).await;
    run.cursor.flush();
    run.ended(result);
}

async fn follow(run: &mut Run) -> Result<(), Error> {
    let mut follower = Follower::new(Arc::clone(&run.app.store), run.cursor.open(run.app.store.as_ref())?);
    run.reached(follower.position());
    let mut live = Live::default();
    let mut stop = run.stop.clone();
    // People who were in have this long to come back after a start.
    let first = tokio::time::Instant::now() + Duration::from_secs(deadline::RECONNECT_SECONDS_MAX);
    let mut looks = tokio::time::interval_at(first, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (session, organization) in run.cursor.note::<Vec<(SessionId, OrganizationId)>>().unwrap_or_default() {
        look(&run.app, &mut live, session, organization)?;
    }
    loop {
        tokio::select! {
            batch = follower.next_batch(BATCH_EVENTS) => {
                let batch = batch?;
                take(run, &mut live, &batch)?;
                run.reached(follower.position());
                run.fails_at(live.failing.len());
            }
            _ = looks.tick() => {
                run.app.presence.forget_unheard(run.app.sources.now());
                for (session, (organization, _)) in &live.sessions {
                    run.app.drop_absent(*organization, *session).await;
                }
            }
            () = until(&run.app, live.queue.first().map(|(at, _)| *at)) => {
                fire(&run.app, &mut live).await?;
                run.fails_at(live.failing.len());
            }
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// Looks anew at every session that the batch speaks of.
fn take(run: &mut Run, live: &mut Live, batch: &[Recorded]) -> Result<(), Error> {
    let mut touched = BTreeSet::new();
    for recorded in batch.iter().filter(|recorded| recorded.envelope.category() == Session::CATEGORY) {
        run.app.streams.saw(recorded);
        if let (Some(session), Some(organization)) = (session_of(recorded), recorded.envelope.organization()) {
            touched.insert((session, organization));
        }
    }
    for (session, organization) in touched {
        look(&run.app, live, session, organization)?;
    }
    let sessions: Vec<_> = live.sessions.iter().map(|(session, (organization, _))| (session, organization)).collect();
    run.cursor.set_note(&sessions)?;
    if let Some(newest) = batch.last() {
        run.cursor.advance(newest);
    }
    Ok(())
}

fn look(app: &App, live: &mut Live, session: SessionId, organization: OrganizationId) -> Result<(), Error> {
    let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
    if loaded.state.live().is_none() {
        live.remove(session);
    } else {
        live.set(session, organization, deadline::deadlines(&loaded.state).first().map(|next| next.at));
    }
    Ok(())
}

async fn until(app: &App, at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_micros(at.0.saturating_sub(app.sources.now().0))).await,
        None => std::future::pending().await,
    }
}

/// Issues the commands of every deadline that is reached. What one session can't record is said, and tried again later:
/// the others' deadlines don't wait for it.
async fn fire(app: &App, live: &mut Live) -> Result<(), Error> {
    let now = app.sources.now();
    while let Some((at, session)) = live.queue.first().copied().filter(|(at, _)| *at <= now) {
        live.queue.remove(&(at, session));
        let Some((organization, _)) = live.sessions.get(&session).copied() else { continue };
        let pause = match fire_session(app, organization, session, now).await {
            Ok(()) => {
                live.failing.remove(&session);
                look(app, live, session, organization)?;
                // A deadline that its own command did not move would come again at once, for ever.
                let again = live.sessions.get(&session).is_some_and(|(_, next)| next.is_some_and(|next| next <= now));
                again.then_some(RETRY_SECONDS)
            }
            Err(Error::Unavailable(_) | Error::Contention) => Some(RETRY_SECONDS),
            Err(error @ Error::OutcomeUnknown) => return Err(error),
            Err(error) => {
                let chain = crate::error::chain(&error);
                tracing::error!(%session, error = chain, "the session's deadlines fail: they are tried again");
                live.failing.insert(session);
                Some(FAULT_RETRY_SECONDS)
            }
        };
        if let Some(seconds) = pause {
            live.set(session, organization, Some(now.plus_seconds(seconds)));
        }
    }
    Ok(())
}

/// Issues the commands of the deadlines that one session has reached, all of them, and answers with the last that failed.
async fn fire_session(
    app: &App,
    organization: OrganizationId,
    session: SessionId,
    now: Timestamp,
) -> Result<(), Error> {
    let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
    let due: Vec<_> = deadline::deadlines(&loaded.state).into_iter().filter(|due| due.at <= now).collect();
    drop(loaded);
    let mut result = Ok(());
    for due in due {
        let request = Request::system(CorrelationId(app.sources.ulid()), None);
        let command = due.command(app.sources.now());
        let done = settled(app.command_session(&request, organization, session, command).await);
        match done {
            Err(Error::OutcomeUnknown) => return done,
            Err(_) => result = done,
            Ok(()) => {}
        }
    }
    result
}
