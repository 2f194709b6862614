//! Reactions: what follows from an event without anyone asking. They are commands like any other, safe to run twice,
//! and each reactor follows the log with a cursor of its own.
//!
//! They run only under [`Leadership`]: two processes that react to the same log would act twice.

pub mod access;
pub mod cursor;
pub mod deadlines;
pub mod erasures;
pub mod keys;
pub mod ledger;
pub mod media;
pub mod nodes;
pub mod observations;
pub mod owners;
pub mod sessions;
pub mod streams;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::watch;
use witan_event_store::{Follower, Metadata, Position, Recorded};

use crate::{App, Error, Request};
use cursor::CursorFile;
use erasures::Erased;

const BATCH_EVENTS: usize = 512;
/// How long a reactor waits before it tries again what a full disk or a busy stream refused; doubles up to the maximum.
const RETRY_MILLISECONDS_MIN: u64 = 50;
const RETRY_MILLISECONDS_MAX: u64 = 5_000;

/// The right to react, held by one process: here whoever holds the lock of the data folder.
#[derive(Debug)]
pub struct Leadership(());

impl Leadership {
    /// To be called only by whoever holds the data folder's lock for as long as the process lives.
    pub fn by_lock_of_data_folder() -> Self {
        Self(())
    }
}

/// How far a reactor has come, and why it stopped, once it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub position: Position,
    pub stopped: Option<String>,
    /// How many things it tries again and again in vain, while the rest goes on.
    pub failing: usize,
}

/// The reactors' names and how each is doing, for health and metrics.
#[derive(Clone)]
pub struct Reactors {
    progress: Vec<(&'static str, watch::Receiver<Progress>)>,
}

impl Reactors {
    pub fn progress(&self) -> impl Iterator<Item = (&'static str, Progress)> {
        self.progress.iter().map(|(name, progress)| (*name, progress.borrow().clone()))
    }
}

/// Starts every reactor. They end when `stop` turns true; then the tasks are done and the cursors written.
pub fn start(
    app: &Arc<App>,
    _leadership: &Leadership,
    folder: &Path,
    stop: &watch::Receiver<bool>,
) -> (Reactors, Vec<tokio::task::JoinHandle<()>>) {
    let mut progress = Vec::new();
    let mut add = |name: &'static str| {
        let sender = watch::Sender::new(Progress::default());
        progress.push((name, sender.subscribe()));
        let cursor = CursorFile::new(folder.join(format!("{name}.json")));
        Run { app: Arc::clone(app), name, cursor, stop: stop.clone(), progress: sender }
    };
    let (sessions, media, erasures) = (add("sessions"), add("media"), add("erasures"));
    let (owners, access, keys) = (add("owners"), add("access"), add("keys"));
    let (deadlines, ledger, nodes) = (add("deadlines"), add("ledger"), add("nodes"));
    let tasks = vec![
        tokio::spawn(sessions.each(Reaction::Sessions)),
        tokio::spawn(media::run(media)),
        tokio::spawn(erasures.each(Reaction::Erasures)),
        tokio::spawn(owners.each(Reaction::Owners)),
        tokio::spawn(access.each(Reaction::Access)),
        tokio::spawn(keys.each(Reaction::Keys)),
        tokio::spawn(deadlines::run(deadlines)),
        tokio::spawn(ledger::run(ledger)),
        tokio::spawn(nodes::run(nodes)),
        tokio::spawn(observations::run(Arc::clone(app), stop.clone())),
    ];
    (Reactors { progress }, tasks)
}

/// The reactors that look at one event after the other.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    Sessions,
    Media,
    Erasures,
    Owners,
    Access,
    Keys,
}

impl Reaction {
    async fn react(self, app: &App, recorded: &Recorded) -> Result<(), Error> {
        match self {
            Self::Sessions => sessions::react(app, recorded).await,
            Self::Media => media::react(app, recorded).await,
            Self::Erasures => erasures::react(app, recorded).await,
            Self::Owners => owners::react(app, recorded).await,
            Self::Access => access::react(app, recorded).await,
            Self::Keys => keys::react(app, recorded).await,
        }
    }
}

/// One reactor at work.
pub(crate) struct Run {
    pub app: Arc<App>,
    pub name: &'static str,
    pub cursor: CursorFile,
    pub stop: watch::Receiver<bool>,
    pub progress: watch::Sender<Progress>,
}

impl Run {
    async fn each(mut self, reaction: Reaction) {
        let result = self.follow(reaction).await;
        self.cursor.flush();
        self.ended(result);
    }

    async fn follow(&mut self, reaction: Reaction) -> Result<(), Error> {
        let from = self.cursor.open(self.app.store.as_ref())?;
        // What the log had at the start, the vault had too, or it is another than it was.
        let end = *self.app.store.durable().borrow();
        let mut compared = !matches!(reaction, Reaction::Erasures);
        let mut follower = Follower::new(Arc::clone(&self.app.store), from);
        self.reached(follower.position());
        loop {
            if !compared && follower.position() >= end {
                compared = true;
                match self.agree().await? {
                    None => return Ok(()),
                    Some(true) => {}
                    Some(false) => {
                        tracing::warn!("the vault is another than it was: whom the log says is erased is erased again");
                        self.cursor.set_note(&Erased::default())?;
                        follower = Follower::new(Arc::clone(&self.app.store), Position(0));
                    }
                }
            }
            let batch = tokio::select! {
                batch = follower.next_batch(BATCH_EVENTS) => batch?,
                () = stopped(&mut self.stop) => return Ok(()),
            };
            for recorded in &batch {
                self.app.streams.saw(recorded);
                if !self.insist(reaction, recorded).await? {
                    return Ok(());
                }
                if matches!(reaction, Reaction::Erasures) {
                    erasures::keep_in_mind(&mut self.cursor, recorded)?;
                }
                self.cursor.advance(recorded);
            }
            self.reached(follower.position());
        }
    }

    /// Reacts. False when it is time to stop.
    async fn insist(&mut self, reaction: Reaction, recorded: &Recorded) -> Result<bool, Error> {
        let app = Arc::clone(&self.app);
        let app = &*app;
        Ok(self.again_and_again(move || reaction.react(app, recorded)).await?.is_some())
    }

    /// Brings log and vault to say the same of who is erased: whether every erasure of the log is in the vault. `None` when
    /// it is time to stop.
    async fn agree(&mut self) -> Result<Option<bool>, Error> {
        let app = Arc::clone(&self.app);
        let (app, seen) = (&*app, self.cursor.note::<Erased>().unwrap_or_default());
        self.again_and_again(move || erasures::agree(app, seen)).await
    }

    /// Tries, while the store has no room or others are faster. `None` when it is time to stop.
    async fn again_and_again<T, F>(&mut self, act: impl Fn() -> F) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = RETRY_MILLISECONDS_MIN;
        loop {
            match act().await {
                Ok(done) => return Ok(Some(done)),
                Err(error @ (Error::Unavailable(_) | Error::Contention)) => {
                    tracing::warn!(reactor = self.name, code = error.code(), "tries again");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                () = stopped(&mut self.stop) => return Ok(None),
            }
            pause = (pause * 2).min(RETRY_MILLISECONDS_MAX);
        }
    }

    pub fn reached(&self, position: Position) {
        self.progress.send_modify(|progress| progress.position = position);
    }

    pub fn fails_at(&self, failing: usize) {
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.failing, failing) != failing);
    }

    /// The reactor is done: in good order, or visibly not.
    pub fn ended(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            let chain = crate::error::chain(&error);
            tracing::error!(reactor = self.name, error = chain, "has stopped: what it does no longer happens");
            self.progress.send_modify(|progress| progress.stopped = Some(chain));
        }
    }
}

/// The request of a reaction: by witan itself, because of this event, tied to what caused that.
pub(crate) fn because_of(recorded: &Recorded) -> Result<Request, Error> {
    let metadata: Metadata = serde_json::from_slice(recorded.envelope.metadata()).map_err(Error::fault)?;
    Ok(Request::system(metadata.correlation, Some(recorded.envelope.id())))
}

/// A reaction finds its work done, or the thing gone on: that is no fault.
pub(crate) fn settled<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Ok(_) | Err(Error::Rejected { .. } | Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until it is time to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so being gone says so too.
    let _ = stop.wait_for(|stop| *stop).await;
}
