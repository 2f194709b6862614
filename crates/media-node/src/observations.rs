//! What the node saw by itself, kept until the server has recorded it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use witan_domain::Timestamp;
use witan_media::{Observation, ObservationId, Observed};

/// More than a day without a server would make.
const KEPT_MAX: usize = 100_000;

#[derive(Debug)]
pub struct Observations {
    run: u64,
    kept: Mutex<Kept>,
    told: watch::Sender<Told>,
}

#[derive(Debug, Default)]
struct Kept {
    numbered: u64,
    waiting: VecDeque<Observation>,
}

/// What wakes who listens.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    numbered: u64,
    /// Only the newest listener is told.
    listener: u64,
}

impl Observations {
    pub fn new(run: u64) -> Self {
        Self { run, kept: Mutex::default(), told: watch::Sender::default() }
    }

    pub fn run(&self) -> u64 {
        self.run
    }

    pub fn waiting(&self) -> usize {
        self.kept().waiting.len()
    }

    pub fn observe(&self, at: Timestamp, what: Observed) {
        let numbered = {
            let mut kept = self.kept();
            kept.numbered += 1;
            let id = ObservationId { run: self.run, number: kept.numbered };
            kept.waiting.push_back(Observation { id, at, what });
            if kept.waiting.len() > KEPT_MAX {
                let lost = kept.waiting.pop_front();
                tracing::error!(number = ?lost.map(|lost| lost.id.number), "too much was seen while no server came: an observation is lost");
            }
            kept.numbered
        };
        self.told.send_modify(|told| told.numbered = numbered);
    }

    /// This one and those before it are recorded.
    pub fn acknowledge(&self, through: u64) {
        self.kept().waiting.retain(|one| one.id.number > through);
    }

    /// Everything that isn't acknowledged, then what comes, until somebody else listens.
    pub fn listen(self: &Arc<Self>) -> impl Stream<Item = Observation> + Send + use<> {
        let mut mine = 0;
        self.told.send_modify(|told| {
            told.listener += 1;
            mine = told.listener;
        });
        let (observations, told) = (Arc::clone(self), self.told.subscribe());
        stream::unfold((observations, told, 0), move |(observations, mut told, after)| async move {
            loop {
                if told.borrow_and_update().listener != mine {
                    return None;
                }
                let next = observations.kept().waiting.iter().find(|one| one.id.number > after).cloned();
                if let Some(next) = next {
                    let number = next.id.number;
                    return Some((next, (observations, told, number)));
                }
                told.changed().await.ok()?;
            }
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
