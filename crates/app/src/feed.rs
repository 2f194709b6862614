//! Live feeds of a session's or an organization's events: from any position on, without gap or duplicate.
//!
//! One follower reads the log and hands each event to those who listen. Whoever is behind (new, or too slow for the
//! channel) reads the log itself until it has caught up. A feed pulls: nothing piles up for a reader that doesn't read.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use crate::reactors::stopped;
use tokio::sync::{broadcast, watch};
use witan_domain::{OrganizationId, SessionId};
use witan_event_store::{Direction, EventStore, Follower, Position, ReadError, Recorded};

/// How many events a listener may be behind before it reads the log itself.
const CHANNEL_EVENTS: usize = 256;
const BATCH_EVENTS: usize = 512;

/// What a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A session's streams: its life and its chat.
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
        "session" | "chat" => recorded.envelope.stream_id().parse().ok(),
        _ => None,
    }
}

type Channels<K> = Mutex<HashMap<K, broadcast::Sender<Recorded>>>;

/// Where feeds come from.
pub struct Feeds {
    store: Arc<dyn EventStore>,
    sessions: Channels<(OrganizationId, SessionId)>,
    organizations: Channels<OrganizationId>,
    /// The newest position that was handed out.
    handed_out: watch::Sender<Position>,
}

impl Feeds {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        let position = *store.durable().borrow();
        Self {
            store,
            sessions: Mutex::default(),
            organizations: Mutex::default(),
            handed_out: watch::Sender::new(position),
        }
    }

    /// Hands out new events until `stop` changes.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) -> Result<(), ReadError> {
        let mut follower = Follower::new(Arc::clone(&self.store), *self.handed_out.borrow());
        loop {
            let batch = tokio::select! {
                batch = follower.next_batch(BATCH_EVENTS) => batch?,
                () = stopped(&mut stop) => return Ok(()),
            };
            for recorded in &batch {
                let Some(organization) = recorded.envelope.organization() else { continue };
                hand_out(&self.organizations, &organization, recorded);
                if let Some(session) = session_of(recorded) {
                    hand_out(&self.sessions, &(organization, session), recorded);
                }
            }
            self.handed_out.send_replace(follower.position());
        }
    }

    /// Everything of the topic after `after`; from now on where it is `None`.
    pub fn open(&self, topic: Topic, after: Option<Position>) -> Feed {
        // Listening begins before the log is looked at, so that nothing falls between the two.
        let live = match topic {
            Topic::Session(organization, session) => listen(&self.sessions, (organization, session)),
            Topic::Organization(organization) => listen(&self.organizations, organization),
        };
        let newest = *self.store.durable().borrow();
        Feed {
            store: Arc::clone(&self.store),
            topic,
            live,
            last: after.unwrap_or(newest),
            // Without a start there is nothing to catch up with: the channel has all that comes.
            behind: after.is_some_and(|after| after < newest),
            ready: VecDeque::new(),
        }
    }
}

fn listen<K: Hash + Eq>(channels: &Channels<K>, key: K) -> broadcast::Receiver<Recorded> {
    let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
    channels.entry(key).or_insert_with(|| broadcast::Sender::new(CHANNEL_EVENTS)).subscribe()
}

fn hand_out<K: Hash + Eq>(channels: &Channels<K>, key: &K, recorded: &Recorded) {
    let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(channel) = channels.get(key)
        && channel.send(recorded.clone()).is_err()
    {
        // Nobody listens any more.
        channels.remove(key);
    }
}

/// One reader's place in a topic.
pub struct Feed {
    store: Arc<dyn EventStore>,
    topic: Topic,
    live: broadcast::Receiver<Recorded>,
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
                self.catch_up()?;
                // A long way through others' events must not keep this thread from everybody else.
                tokio::task::yield_now().await;
                continue;
            }
            match self.live.recv().await {
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
        let batch = self.store.read_all(Position(self.last.0 + 1), Direction::Forward, BATCH_EVENTS)?;
        match batch.last() {
            Some(newest) => {
                let newest = newest.position;
                self.ready.extend(batch.into_iter().filter(|recorded| self.topic.has(recorded)));
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
