//! Deadlines: what a live session, or a wait at the desk, does by itself when nothing happens. They are a function of its
//! state, so after a restart they are found again in the log.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
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
}

impl Live {
    fn set(&mut self, timed: Timed, organization: OrganizationId, next: Option<Timestamp>) {
        if let Some((_, Some(before))) = self.timed.insert(timed, (organization, next)) {
            self.queue.remove(&(before, timed));
        }
        self.queue.extend(next.map(|at| (at, timed)));
    }

    fn remove(&mut self, timed: Timed) {
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
    let mut away = Box::pin(tokio::time::sleep(Duration::from_secs(deadline::RECONNECT_SECONDS_MAX)));
    let mut looked = false;
    for (timed, organization) in run.cursor.note::<Vec<(Timed, OrganizationId)>>().unwrap_or_default() {
        look(&run.app, &mut live, timed, organization)?;
    }
    loop {
        tokio::select! {
            batch = follower.next_batch(BATCH_EVENTS) => {
                let batch = batch?;
                take(run, &mut live, &batch)?;
                run.reached(follower.position());
            }
            () = &mut away, if !looked => {
                looked = true;
                for (session, organization) in live.sessions() {
                    run.app.drop_absent(organization, session).await;
                }
            }
            () = until(&run.app, live.queue.first().map(|(at, _)| *at)) => fire(&run.app, &mut live).await?,
            () = stopped(&mut stop) => return Ok(()),
        }
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

/// Issues the commands of every deadline that is reached.
async fn fire(app: &App, live: &mut Live) -> Result<(), Error> {
    let now = app.sources.now();
    while let Some((at, timed)) = live.queue.first().copied().filter(|(at, _)| *at <= now) {
        live.queue.remove(&(at, timed));
        let Some((organization, _)) = live.timed.get(&timed).copied() else { continue };
        let mut retry = false;
        for due in due(app, timed, organization, now)? {
            match settled(issue(app, organization, due).await) {
                Ok(()) => {}
                Err(Error::Unavailable(_) | Error::Contention) => retry = true,
                Err(error) => return Err(error),
            }
        }
        if retry {
            live.set(timed, organization, Some(now.plus_seconds(RETRY_SECONDS)));
        } else {
            look(app, live, timed, organization)?;
            // A deadline that its own command did not move would come again at once, for ever.
            if let Some((_, Some(next))) = live.timed.get(&timed).copied()
                && next <= now
            {
                live.set(timed, organization, Some(now.plus_seconds(RETRY_SECONDS)));
            }
        }
    }
    Ok(())
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
