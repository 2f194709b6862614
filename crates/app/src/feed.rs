//! Live feeds of a session's or an organization's events: from any position on, without gap or duplicate.
//!
//! One follower reads the log and hands each event to those who listen. Whoever is behind (new, or too slow for the
//! channel) reads the log itself until it has caught up. A feed pulls: nothing piles up for a reader that doesn't read.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, broadcast, watch};
use witan_domain::{Aggregate, OrganizationId, SessionId, organization::Organization, session::Session};
use witan_event_store::{Direction, EventStore, Follower, Position, ReadError, Recorded};

use crate::{
    Error,
    reactors::{Progress, stopped},
};

/// How many events a listener may be behind before it reads the log itself.
const CHANNEL_EVENTS: usize = 256;
const BATCH_EVENTS: usize = 512;
/// How many listeners read the log at once; the others wait for their turn, batch by batch.
const CATCHING_UP_MAX: usize = 8;
/// How long the feeds wait after a read that failed.
const READ_RETRIED_AFTER: Duration = Duration::from_secs(1);

/// What a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A session's streams: its life, its media and its chat.
    Session(OrganizationId, SessionId),
    /// Everything of an organization.
    Organization(OrganizationId),
}

impl Topic {
    fn has(&self, recorded: &Recorded) -> bool {
        let envelope = &recorded.envelope;
        match self {
            Self::Organization(organization) => envelope.organization() == Some(*organization),
            Self::Session(organization, session) => {
                envelope.organization() == Some(*organization) && session_of(recorded) == Some(*session)
            }
        }
    }
}

/// The session whose streams the event is in.
pub fn session_of(recorded: &Recorded) -> Option<SessionId> {
    match recorded.envelope.category() {
        "session" | "media" | "chat" => recorded.envelope.stream_id().parse().ok(),
        _ => None,
    }
}

/// One channel for each topic that somebody listens to.
type Channels = Mutex<HashMap<Topic, broadcast::Sender<Recorded>>>;

/// Where feeds come from.
pub struct Feeds {
    store: Arc<dyn EventStore>,
    channels: Arc<Channels>,
    /// Who may read the log at once to catch up.
    catching_up: Arc<Semaphore>,
    /// How far events were handed out, and why no more are, once it is so.
    progress: watch::Sender<Progress>,
}

impl Feeds {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        let position = *store.durable().borrow();
        Self {
            store,
            channels: Arc::default(),
            catching_up: Arc::new(Semaphore::new(CATCHING_UP_MAX)),
            progress: watch::Sender::new(Progress { position, ..Progress::default() }),
        }
    }

    /// Hands out new events until `stop` changes. A read that fails is tried again; where that can't help, whoever listens
    /// is told, and so is whoever comes later.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut follower = Follower::new(Arc::clone(&self.store), self.progress.borrow().position);
        loop {
            let batch = tokio::select! {
                batch = follower.next_batch(BATCH_EVENTS) => batch,
                () = stopped(&mut stop) => return,
            };
            match batch {
                Ok(batch) => {
                    batch.iter().for_each(|recorded| self.hand_out(recorded));
                    self.progress.send_modify(|progress| progress.position = follower.position());
                }
                Err(ReadError::Io(error)) => {
                    tracing::warn!(%error, "the feeds can't read the journal: they try again");
                    tokio::select! {
                        () = tokio::time::sleep(READ_RETRIED_AFTER) => {}
                        () = stopped(&mut stop) => return,
                    }
                }
                Err(error @ (ReadError::Damaged { .. } | ReadError::Stopped(_))) => {
                    tracing::error!(%error, "the feeds have stopped: subscriptions end");
                    self.progress.send_modify(|progress| progress.stopped = Some(error.to_string()));
                    // Without their senders, all who listen see the end.
                    locked(&self.channels).clear();
                    return;
                }
            }
        }
    }

    /// How far the feeds are, and whether they have stopped.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// How many topics have listeners.
    #[cfg(test)]
    pub(crate) fn listened_to(&self) -> usize {
        locked(&self.channels).len()
    }

    fn hand_out(&self, recorded: &Recorded) {
        let Some(organization) = recorded.envelope.organization() else { return };
        let session = session_of(recorded).map(|session| Topic::Session(organization, session));
        let channels = locked(&self.channels);
        let topics = [Some(Topic::Organization(organization)), session];
        for channel in topics.iter().flatten().filter_map(|topic| channels.get(topic)) {
            // Nobody listens any more: the last who goes removes the channel.
            let _ = channel.send(recorded.clone());
        }
    }

    /// Everything of the topic after `after`; from now on where it is `None`.
    ///
    /// # Errors
    /// `AFTER_THE_END` for a position that the log has not come to: that of another log, or of one that was longer.
    pub fn open(&self, topic: Topic, after: Option<Position>) -> Result<Feed, Error> {
        // Listening begins before the log is looked at, so that nothing falls between the two.
        let live = Listening::begin(&self.channels, topic);
        let newest = *self.store.durable().borrow();
        if let Some(after) = after.filter(|after| *after > newest) {
            return Err(after_the_end(after, newest));
        }
        // After it stopped, nobody would be told that nothing comes any more.
        if let Some(why) = self.progress().stopped {
            tracing::error!(why, "nobody can listen: the feeds have stopped");
            return Err(Error::Unavailable("Nothing new can be shown until the server is restarted.".into()));
        }
        let last = match after {
            Some(after) => Some(after.max(self.begins_after(topic)?)),
            None => None,
        };
        Ok(Feed {
            store: Arc::clone(&self.store),
            catching_up: Arc::clone(&self.catching_up),
            live,
            last: last.unwrap_or(newest),
            // Without a start there is nothing to catch up with: the channel has all that comes.
            behind: last.is_some_and(|last| last < newest),
            ready: VecDeque::new(),
        })
    }

    /// A position before all of the topic's events: what came earlier in the log was others'.
    fn begins_after(&self, topic: Topic) -> Result<Position, ReadError> {
        let first = match topic {
            Topic::Session(_, session) => Session::stream(session),
            Topic::Organization(organization) => Organization::stream(organization),
        };
        let first = self.store.read_stream(&first, 0, Direction::Forward, 1)?;
        Ok(first.first().map_or(Position(0), |first| Position(first.position.0 - 1)))
    }
}

fn after_the_end(after: Position, newest: Position) -> Error {
    Error::Rejected {
        code: "AFTER_THE_END",
        field: Some("after".into()),
        message: format!(
            "after is {}, but the log ends at {}: it was restored from a backup, or is another. Read anew what you \
             show, and begin after {}.",
            after.0, newest.0, newest.0
        ),
    }
}

fn locked(channels: &Channels) -> MutexGuard<'_, HashMap<Topic, broadcast::Sender<Recorded>>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One who listens to a topic; the last who goes takes the channel along.
struct Listening {
    channels: Arc<Channels>,
    topic: Topic,
    receiver: broadcast::Receiver<Recorded>,
}

impl Listening {
    fn begin(channels: &Arc<Channels>, topic: Topic) -> Self {
        let receiver =
            locked(channels).entry(topic).or_insert_with(|| broadcast::Sender::new(CHANNEL_EVENTS)).subscribe();
        Self { channels: Arc::clone(channels), topic, receiver }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut channels = locked(&self.channels);
        // This receiver still counts, and nobody joins while the lock is held.
        if channels.get(&self.topic).is_some_and(|channel| channel.receiver_count() <= 1) {
            channels.remove(&self.topic);
        }
    }
}

/// One reader's place in a topic.
pub struct Feed {
    store: Arc<dyn EventStore>,
    catching_up: Arc<Semaphore>,
    live: Listening,
    /// Everything up to here was given, or is none of the topic's.
    last: Position,
    behind: bool,
    ready: VecDeque<Recorded>,
}

impl Feed {
    /// The position after which to resume.
    pub fn position(&self) -> Position {
        self.last
    }

    /// The topic's next event; waits for it. An error when the store has stopped or the feeds have.
    pub async fn next(&mut self) -> Result<Recorded, ReadError> {
        loop {
            if let Some(recorded) = self.ready.pop_front() {
                self.last = recorded.position;
                return Ok(recorded);
            }
            if self.behind {
                // The semaphore is never closed; and were it, reading on harms nobody.
                let turn = Arc::clone(&self.catching_up).acquire_owned().await;
                self.catch_up()?;
                drop(turn);
                // A long way through others' events must not keep this thread from everybody else.
                tokio::task::yield_now().await;
                continue;
            }
            match self.live.receiver.recv().await {
                Ok(recorded) if recorded.position > self.last => self.ready.push_back(recorded),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(ReadError::Stopped("the feeds have ended".into()));
                }
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), ReadError> {
        let from = Position(self.last.0.saturating_add(1));
        let batch = self.store.read_all(from, Direction::Forward, BATCH_EVENTS)?;
        match batch.last() {
            Some(newest) => {
                let newest = newest.position;
                self.ready.extend(batch.into_iter().filter(|recorded| self.live.topic.has(recorded)));
                if self.ready.is_empty() {
                    self.last = newest;
                }
            }
            // What comes next is in the channel, which has been listening all the while.
            None => self.behind = false,
        }
        Ok(())
    }
}
