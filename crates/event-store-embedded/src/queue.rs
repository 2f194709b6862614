//! What waits to be committed: callers put it in, the committer takes a commit's worth out.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, oneshot};
use witan_event_store::{Append, AppendError, Appended, Envelope};

use crate::{format::RECORD_HEADER_BYTES, monotonic};

/// What may wait to be committed; more waits at the caller's.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// A commit takes no more once it has this much.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// One append that waits for its commit.
pub struct Request {
    /// Without its events: those are in `records`.
    pub append: Append,
    /// Its records, one after the other: room for a header, then an unstamped envelope.
    pub records: Vec<u8>,
    pub count: u32,
    pub asked: Instant,
    pub answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// Where callers leave what they want committed.
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// As many wait as the committer wants.
    arrived: Condvar,
    /// The committer has taken some.
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    requests: Vec<Request>,
    bytes: usize,
    /// The committer is woken when so many wait.
    wanted: usize,
    closed: bool,
}

impl Queue {
    pub fn new() -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), room: Notify::new() }
    }

    /// Waits for room, then for the commit.
    pub async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let asked = monotonic();
        let (records, count) = records_of(&append);
        append.events = Vec::new();
        while self.waiting().bytes >= QUEUE_BYTES_MAX {
            let room = self.room.notified();
            // Looked at again: it may have come before we listened.
            if self.waiting().bytes >= QUEUE_BYTES_MAX {
                room.await;
            }
        }
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(AppendError::Stopped("it was closed".into()));
            }
            waiting.bytes += records.len();
            waiting.requests.push(Request { append, records, count, asked, answer });
            // A wake is a system call: the committer asks for one where it needs it.
            if waiting.requests.len() == waiting.wanted {
                self.arrived.notify_one();
            }
        }
        // The committer answers everything that it takes; if it is gone, nobody knows what it did.
        answered.await.unwrap_or(Err(AppendError::OutcomeUnknown))
    }

    /// No more is taken; what waits is still committed.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    /// Nothing is taken any more: whoever waits learns that nobody knows the outcome.
    pub fn abandon(&self) {
        self.close();
        let mut waiting = self.waiting();
        waiting.requests.clear();
        waiting.bytes = 0;
        drop(waiting);
        self.room.notify_waiters();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what waits to `group`, which is empty, up to a commit's worth; waits for the first at most `patience`, and then at most
    /// `company.1` for `company.0` of them. Says whether more may come.
    pub fn take(&self, group: &mut Vec<Request>, patience: Option<Duration>, company: (usize, Duration)) -> bool {
        let mut waiting = self.wait(self.waiting(), 1, patience);
        if !waiting.requests.is_empty() && waiting.requests.len() < company.0 {
            waiting = self.wait(waiting, company.0, Some(company.1));
        }
        if waiting.bytes <= GROUP_BYTES_MAX {
            waiting.bytes = 0;
            std::mem::swap(&mut waiting.requests, group);
        } else {
            let mut bytes = 0;
            let before = |request: &&Request| {
                let takes = bytes < GROUP_BYTES_MAX;
                bytes += request.records.len();
                takes
            };
            let count = waiting.requests.iter().take_while(before).count();
            group.extend(waiting.requests.drain(..count));
            waiting.bytes -= group.iter().map(|request| request.records.len()).sum::<usize>();
        }
        let more = !(waiting.closed && group.is_empty());
        drop(waiting);
        self.room.notify_waiters();
        more
    }

    /// Until so many wait, or the queue is closed, or patience is at its end.
    fn wait<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        wanted: usize,
        patience: Option<Duration>,
    ) -> MutexGuard<'a, Waiting> {
        waiting.wanted = wanted;
        let short = |waiting: &mut Waiting| waiting.requests.len() < wanted && !waiting.closed;
        let mut waiting = match patience {
            None => self.arrived.wait_while(waiting, short).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.arrived.wait_timeout_while(waiting, patience, short);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        waiting.wanted = 0;
        waiting
    }
}

/// The callers do this part, so that it runs in parallel.
fn records_of(append: &Append) -> (Vec<u8>, u32) {
    let length = |event| Envelope::unstamped_len(&append.stream, event);
    let total = append.events.iter().map(|event| RECORD_HEADER_BYTES + length(event)).sum();
    let mut records = Vec::with_capacity(total);
    for event in &append.events {
        records.extend_from_slice(&(length(event) as u32).to_le_bytes());
        records.extend_from_slice(&[0; RECORD_HEADER_BYTES - 4]);
        Envelope::write_unstamped(&mut records, &append.stream, append.organization, event);
    }
    (records, append.events.len() as u32)
}
