//! The signals to one participant that wait for being sent. What happened waits in its order; of what is measured only
//! the newest waits: so a slow reader holds little memory and sees no old figures.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use witan_domain::OfferId;
use witan_media::Signal;

/// Who is so far behind has to listen anew, and is offered everything again.
const WAITING_MAX: usize = 10_000;

/// What is measured again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    Speaker,
    Levels,
    Score(OfferId),
    Layers(OfferId),
}

#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    happened: VecDeque<Signal>,
    measured: BTreeMap<Measure, Signal>,
    ended: bool,
}

impl Outbox {
    pub fn push(&self, signal: Signal) {
        {
            let mut waiting = self.waiting();
            if waiting.ended {
                return;
            }
            match measure(&signal) {
                Some(measure) => {
                    waiting.measured.insert(measure, signal);
                }
                None => {
                    if let Signal::OfferClosed { offer } = signal {
                        waiting.measured.remove(&Measure::Score(offer));
                        waiting.measured.remove(&Measure::Layers(offer));
                    }
                    waiting.happened.push_back(signal);
                }
            }
            if waiting.happened.len() > WAITING_MAX {
                *waiting = Waiting { ended: true, ..Waiting::default() };
            }
        }
        self.changed.notify_one();
    }

    /// What waits is still sent; nothing comes after it.
    pub fn end(&self) {
        self.waiting().ended = true;
        self.changed.notify_one();
    }

    pub async fn next(&self) -> Option<Signal> {
        loop {
            {
                let mut waiting = self.waiting();
                let next = waiting.happened.pop_front();
                let next = next.or_else(|| waiting.measured.pop_first().map(|(_, signal)| signal));
                if next.is_some() || waiting.ended {
                    return next;
                }
            }
            self.changed.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn measure(signal: &Signal) -> Option<Measure> {
    match signal {
        Signal::ActiveSpeaker { .. } => Some(Measure::Speaker),
        Signal::Levels { .. } => Some(Measure::Levels),
        Signal::Score { offer, .. } => Some(Measure::Score(*offer)),
        Signal::Layers { offer, .. } => Some(Measure::Layers(*offer)),
        Signal::Offered { .. }
        | Signal::OfferPaused { .. }
        | Signal::OfferResumed { .. }
        | Signal::OfferClosed { .. }
        | Signal::Restarted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_happened_waits_in_order_and_of_measures_the_newest() {
        let outbox = Outbox::default();
        let (one, two) = (OfferId(1), OfferId(2));
        outbox.push(Signal::Score { offer: one, score: 3 });
        outbox.push(Signal::Score { offer: one, score: 9 });
        outbox.push(Signal::Score { offer: two, score: 5 });
        outbox.push(Signal::OfferPaused { offer: one });
        outbox.push(Signal::OfferClosed { offer: two });
        outbox.end();
        outbox.push(Signal::Restarted);
        let mut told = Vec::new();
        while let Some(signal) = outbox.next().await {
            told.push(signal);
        }
        let expected = [
            Signal::OfferPaused { offer: one },
            Signal::OfferClosed { offer: two },
            Signal::Score { offer: one, score: 9 },
        ];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn who_is_too_far_behind_has_to_listen_anew() {
        let outbox = Outbox::default();
        for _ in 0..=WAITING_MAX {
            outbox.push(Signal::Restarted);
        }
        assert_eq!(outbox.next().await, None);
    }
}
