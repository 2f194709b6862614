//! Deadlines: what a live session, or a wait at the desk, does by itself when nothing happens. They are a function of its
//! state, so after a restart they are found again in the log.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::{self, Display, Formatter},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use witan_domain::{
    Aggregate, CorrelationId, InvitationId, OrganizationId, SessionId, Timestamp,
    deadline::{self, Deadline, DeskDeadline, deadlines, desk_deadlines},
    invitation::Invitation,
    session::Session,
};
use witan_event_store::{Follower, Recorded};

use super::{BATCH_EVENTS, Run, settled, stopped};
use crate::{App, Error, Request};

/// How long a deadline waits to be tried again when the store refused its command.
const RETRY_SECONDS: u64 = 1;
/// How often it is looked for those who are in and absent.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same after a fault, which trying again seldom mends.
const FAULT_RETRY_SECONDS: u64 = 60;

/// What does something by itself when nothing happens. (Ids tell their kind, so a cursor's note of an older version is read
/// as what it is.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Timed {
    /// A live session.
    Session(SessionId),
    /// An invitation whose invitee waits at the desk.
    Invitation(InvitationId),
}

impl Timed {
    fn of(recorded: &Recorded) -> Option<Self> {
        let id = recorded.envelope.stream_id();
        match recorded.envelope.category() {
            Session::CATEGORY => id.parse().ok().map(Self::Session),
            Invitation::CATEGORY => id.parse().ok().map(Self::Invitation),
            _ => None,
        }
    }
}

impl Display for Timed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => session.fmt(f),
            Self::Invitation(invitation) => invitation.fmt(f),
        }
    }
}

/// A command that is due.
enum Due {
    OfSession(SessionId, Deadline),
    OfInvitation(InvitationId, DeskDeadline),
}

/// All that has deadlines, and when each of them next does something by itself.
#[derive(Default)]
struct Live {
    timed: HashMap<Timed, (OrganizationId, Option<Timestamp>)>,
    queue: BTreeSet<(Timestamp, Timed)>,
    /// Those whose deadlines failed when they were last due: the others' go on.
    failing: BTreeSet<Timed>,
}

impl Live {
    fn set(&mut self, timed: Timed, organization: OrganizationId, next: Option<Timestamp>) {
        if let Some((_, Some(before))) = self.timed.insert(timed, (organization, next)) {
            self.queue.remove(&(before, timed));
        }
        self.queue.extend(next.map(|at| (at, timed)));
    }

    fn remove(&mut self, timed: Timed) {
        self.failing.remove(&timed);
        if let Some((_, Some(before))) = self.timed.remove(&timed) {
            self.queue.remove(&(before, timed));
        }
    }

    fn sessions(&self) -> impl Iterator<Item = (SessionId, OrganizationId)> {
        self.timed.iter().filter_map(|(timed, (organization, _))| match timed {
            Timed::Session(session) => Some((*session, *organization)),
            Timed::Invitation(_) => None,
        })
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
    let mut looking: Option<JoinHandle<()>> = None;
    for (timed, organization) in run.cursor.note::<Vec<(Timed, OrganizationId)>>().unwrap_or_default() {
        look(&run.app, &mut live, timed, organization)?;
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
                // Beside the deadlines: after a restart there may be thousands to record, and others' time goes on.
                if looking.as_ref().is_none_or(JoinHandle::is_finished) {
                    let (app, stop) = (Arc::clone(&run.app), run.stop.clone());
                    let sessions: Vec<_> = live.sessions().collect();
                    looking = Some(tokio::spawn(async move {
                        for (session, organization) in sessions {
                            if *stop.borrow() {
                                return;
                            }
                            app.drop_absent(organization, session).await;
                        }
                    }));
                }
            }
            () = until(&run.app, live.queue.first().map(|(at, _)| *at)) => {
                fire(&run.app, &mut live).await?;
                run.fails_at(live.failing.len());
            }
            () = stopped(&mut stop) => break,
        }
    }
    // What it is recording is recorded before the store closes.
    match looking {
        Some(looking) => looking.await.map_err(Error::fault),
        None => Ok(()),
    }
}

/// Looks anew at everything that the batch speaks of.
fn take(run: &mut Run, live: &mut Live, batch: &[Recorded]) -> Result<(), Error> {
    let mut touched = BTreeSet::new();
    for recorded in batch {
        let Some(timed) = Timed::of(recorded) else { continue };
        run.app.streams.saw(recorded);
        touched.extend(recorded.envelope.organization().map(|organization| (timed, organization)));
    }
    for (timed, organization) in touched {
        look(&run.app, live, timed, organization)?;
    }
    let timed: Vec<_> = live.timed.iter().map(|(timed, (organization, _))| (timed, organization)).collect();
    run.cursor.set_note(&timed)?;
    if let Some(newest) = batch.last() {
        run.cursor.advance(newest);
    }
    Ok(())
}

fn look(app: &App, live: &mut Live, timed: Timed, organization: OrganizationId) -> Result<(), Error> {
    match timed {
        Timed::Session(session) => {
            let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
            if loaded.state.live().is_none() {
                live.remove(timed);
            } else {
                live.set(timed, organization, deadlines(&loaded.state).first().map(|next| next.at));
            }
        }
        Timed::Invitation(invitation) => {
            let loaded = app.load_own::<Invitation>(Some(organization), &Invitation::stream(invitation))?;
            match desk_deadlines(&loaded.state).first() {
                Some(next) => live.set(timed, organization, Some(next.at)),
                None => live.remove(timed),
            }
        }
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
    while let Some((at, timed)) = live.queue.first().copied().filter(|(at, _)| *at <= now) {
        live.queue.remove(&(at, timed));
        let Some((organization, _)) = live.timed.get(&timed).copied() else { continue };
        let pause = match issue_all(app, timed, organization, now).await {
            Ok(()) => {
                live.failing.remove(&timed);
                look(app, live, timed, organization)?;
                // A deadline that its own command did not move would come again at once, for ever.
                let again = live.timed.get(&timed).is_some_and(|(_, next)| next.is_some_and(|next| next <= now));
                again.then_some(RETRY_SECONDS)
            }
            Err(Error::Unavailable(_) | Error::Contention) => Some(RETRY_SECONDS),
            Err(error @ Error::OutcomeUnknown) => return Err(error),
            Err(error) => {
                let chain = crate::error::chain(&error);
                tracing::error!(%timed, error = chain, "deadlines fail: they are tried again");
                live.failing.insert(timed);
                Some(FAULT_RETRY_SECONDS)
            }
        };
        if let Some(seconds) = pause {
            live.set(timed, organization, Some(now.plus_seconds(seconds)));
        }
    }
    Ok(())
}

/// Issues the commands of the deadlines that one thing has reached, all of them, and answers with the last that failed.
async fn issue_all(app: &App, timed: Timed, organization: OrganizationId, now: Timestamp) -> Result<(), Error> {
    let mut result = Ok(());
    for due in due(app, timed, organization, now)? {
        let done = settled(issue(app, organization, due).await);
        match done {
            Err(Error::OutcomeUnknown) => return done,
            Err(_) => result = done,
            Ok(()) => {}
        }
    }
    result
}

fn due(app: &App, timed: Timed, organization: OrganizationId, now: Timestamp) -> Result<Vec<Due>, Error> {
    Ok(match timed {
        Timed::Session(session) => {
            let loaded = app.load_own::<Session>(Some(organization), &Session::stream(session))?;
            let due = deadlines(&loaded.state).into_iter().filter(|due| due.at <= now);
            due.map(|due| Due::OfSession(session, due)).collect()
        }
        Timed::Invitation(invitation) => {
            let loaded = app.load_own::<Invitation>(Some(organization), &Invitation::stream(invitation))?;
            let due = desk_deadlines(&loaded.state).into_iter().filter(|due| due.at <= now);
            due.map(|due| Due::OfInvitation(invitation, due)).collect()
        }
    })
}

async fn issue(app: &App, organization: OrganizationId, due: Due) -> Result<(), Error> {
    let (request, now) = (Request::system(CorrelationId(app.sources.ulid()), None), app.sources.now());
    match due {
        Due::OfSession(session, due) => {
            app.command_session(&request, organization, session, due.command(now)).await.map(|_| ())
        }
        Due::OfInvitation(invitation, due) => {
            app.command_invitation(&request, organization, invitation, due.command(now)).await.map(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_from_before_the_desk_is_still_read() {
        let (session, organization) = (SessionId(7), OrganizationId(1));
        let old = serde_json::to_string(&[(session, organization)]).unwrap();
        let read: Vec<(Timed, OrganizationId)> = serde_json::from_str(&old).unwrap();
        assert_eq!(read, [(Timed::Session(session), organization)]);
        let new = [(Timed::Invitation(InvitationId(8)), organization), read[0]];
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<Vec<(Timed, OrganizationId)>>(&text).unwrap(), new);
    }
}
