//! The one thread that changes the vault. It takes all changes that wait and commits them together: a commit costs a few
//! syncs, whoever shares it.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, PoisonError, atomic::Ordering::Release, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
};

use tokio::sync::oneshot;
use witan_domain::{OrganizationId, PersonId};

use crate::{Alias, AliasKind, Shared, VaultError, keys::PersonKey};

/// How many changes share a commit at most.
const BATCH_MAX: usize = 1024;

pub(crate) enum Change {
    CreatePerson { organization: OrganizationId, person: PersonId },
    CreateAlias { organization: OrganizationId, lookup: [u8; 32], alias: Alias },
    AssignAlias { organization: OrganizationId, alias: Alias },
    ReleaseAlias { organization: OrganizationId, kind: AliasKind, id: u128 },
    Erase { organization: OrganizationId, person: PersonId },
}

pub(crate) enum Answer {
    Done,
    Alias(Alias),
    Erased { had_key: bool },
}

impl Answer {
    pub(crate) fn done(self) -> Option<()> {
        matches!(self, Self::Done).then_some(())
    }

    pub(crate) fn alias(self) -> Option<Alias> {
        if let Self::Alias(alias) = self { Some(alias) } else { None }
    }

    pub(crate) fn person(self) -> Option<PersonId> {
        self.alias().map(|alias| alias.person)
    }

    pub(crate) fn had_key(self) -> Option<bool> {
        if let Self::Erased { had_key } = self { Some(had_key) } else { None }
    }
}

type Outcome = Result<Answer, VaultError>;

struct Request {
    change: Change,
    reply: oneshot::Sender<Outcome>,
}

/// A change that is on its way. The answer says that it is durable: await it, or [`Pending::wait`] where nothing is async.
#[must_use = "the change may still fail"]
pub struct Pending<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T, VaultError>>),
    Waiting(oneshot::Receiver<Outcome>, fn(Answer) -> Option<T>),
}

impl<T> Pending<T> {
    pub(crate) fn ready(result: Result<T, VaultError>) -> Self {
        Self(State::Ready(Some(result)))
    }
}

impl<T: Unpin> Pending<T> {
    /// Blocks this thread until the answer is there.
    pub fn wait(self) -> Result<T, VaultError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut pending = pin!(self);
        loop {
            match pending.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T, VaultError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or_else(|| Err(gone()))),
            State::Waiting(receiver, convert) => {
                let convert = *convert;
                Pin::new(receiver).poll(context).map(|outcome| {
                    outcome.unwrap_or_else(|_| Err(gone())).and_then(|answer| {
                        convert(answer).ok_or(VaultError::Corrupt("the writer answered another question"))
                    })
                })
            }
        }
    }
}

fn gone() -> VaultError {
    VaultError::Stopped("its writer has ended".into())
}

pub(crate) struct Writer {
    /// `None` only while being dropped: closing the channel is what ends the thread.
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, VaultError> {
        let (queue, requests) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("vault".into())
            .spawn(move || run(&shared, &requests))
            .map_err(|error| VaultError::Io(format!("can't start the vault's thread: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Its thread is gone, by a panic: it ends with the vault only.
    pub(crate) fn ended(&self) -> Option<VaultError> {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished).then(gone)
    }

    pub(crate) fn send<T>(&self, change: Change, convert: fn(Answer) -> Option<T>) -> Pending<T> {
        let (reply, receiver) = oneshot::channel();
        match self.queue.as_ref().map(|queue| queue.send(Request { change, reply })) {
            Some(Ok(())) => Pending(State::Waiting(receiver, convert)),
            _ => Pending::ready(Err(gone())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The thread's own panic has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, requests: &mpsc::Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(BATCH_MAX - 1));
        let (changes, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|request| (request.change, request.reply)).unzip();
        let outcomes = match shared.stopped.get() {
            Some(why) => changes.iter().map(|_| Err(why.clone())).collect(),
            None => commit(shared, &changes),
        };
        if let Some(why) = outcomes.iter().find_map(stops) {
            // The first reason is the one that counts.
            let _ = shared.stopped.set(why);
        }
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Whoever asked may have stopped waiting; what they asked for holds all the same.
            let _ = reply.send(outcome);
        }
    }
}

fn stops(outcome: &Outcome) -> Option<VaultError> {
    match outcome {
        Err(error @ VaultError::Stopped(_)) => Some(error.clone()),
        _ => None,
    }
}

/// All changes in one transaction. One that is refused doesn't hinder the others; one that fails takes all with it.
fn commit(shared: &Shared, changes: &[Change]) -> Vec<Outcome> {
    let _not_copied = shared.copying.lock().unwrap_or_else(PoisonError::into_inner);
    let mut database = shared.database();
    let mut effects = Vec::new();
    let result = database.transaction(|transaction| {
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            outcomes.push(match transaction.apply(&shared.master, change, &mut effects) {
                Err(error @ VaultError::PersonErased(_)) => Err(error),
                other => Ok(other?),
            });
        }
        Ok(outcomes)
    });
    let mut outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(error) => return changes.iter().map(|_| Err(error.clone())).collect(),
    };
    for effect in effects {
        let erased = effect.key.is_none();
        shared.keys.insert((effect.organization, effect.person), effect.key.map(Arc::new));
        // After the key is gone: whoever sees the new count reveals nothing of that person.
        if erased {
            shared.erasures_count.fetch_add(1, Release);
        }
    }
    // The rollback journal still holds the pages as they were before. When wiping it fails, the key is gone from the
    // vault and nothing can be said of the journal: whoever erases is told, and may ask again.
    if changes.iter().any(|change| matches!(change, Change::Erase { .. } | Change::ReleaseAlias { .. }))
        && let Err(error) = database.wipe_journal()
    {
        for (change, outcome) in changes.iter().zip(&mut outcomes) {
            if matches!(change, Change::Erase { .. }) {
                *outcome = Err(error.clone());
            }
        }
    }
    outcomes
}

/// What a committed change means for the cache of keys.
pub(crate) struct Effect {
    pub(crate) organization: OrganizationId,
    pub(crate) person: PersonId,
    pub(crate) key: Option<PersonKey>,
}
