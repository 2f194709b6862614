//! Rates: how often something may happen for each of many things, in a bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use witan_domain::Timestamp;

/// How many things are watched at once; with more of them than that, their past is forgotten.
const WATCHED_MAX: usize = 50_000;

/// So many at once, then one more each interval (the generic cell rate algorithm: one number a thing).
pub(crate) struct Rate<K> {
    at_once: u64,
    interval_micros: u64,
    /// When each thing would be as if nothing had happened.
    rested: Mutex<HashMap<K, u64>>,
}

impl<K: Copy + Eq + Hash> Rate<K> {
    pub fn new(at_once: u32, interval_millis: u32) -> Self {
        let interval_micros = u64::from(interval_millis) * 1_000;
        Self { at_once: u64::from(at_once), interval_micros, rested: Mutex::default() }
    }

    /// Whether one more would be too much now.
    pub fn is_spent(&self, thing: K, now: Timestamp) -> bool {
        let rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        rested.get(&thing).is_some_and(|rested| self.too_far(*rested, now.micros()))
    }

    /// Counts one more; `false` (and nothing is counted) when it is too much now.
    #[must_use]
    pub fn take(&self, thing: K, now: Timestamp) -> bool {
        let now = now.micros();
        let mut all = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WATCHED_MAX && !all.contains_key(&thing) {
            all.retain(|_, rested| *rested > now);
            if all.len() >= WATCHED_MAX {
                all.clear();
            }
        }
        let rested = all.entry(thing).or_insert(now);
        if self.too_far(*rested, now) {
            return false;
        }
        *rested = (*rested).max(now) + self.interval_micros;
        true
    }

    /// Takes one back that was counted and should not have been.
    pub fn give_back(&self, thing: K) {
        let mut all = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rested) = all.get_mut(&thing) {
            *rested = rested.saturating_sub(self.interval_micros);
        }
    }

    fn too_far(&self, rested: u64, now: u64) -> bool {
        rested > now + (self.at_once - 1) * self.interval_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn some_at_once_then_one_an_interval() {
        let rate = Rate::new(3, 10_000);
        assert!((0..3).all(|_| rate.take(1, NOW)));
        assert!(rate.is_spent(1, NOW) && !rate.take(1, NOW));
        assert!(!rate.is_spent(2, NOW), "each thing for itself");
        assert!(!rate.take(1, NOW.plus_seconds(9)));
        assert!(rate.take(1, NOW.plus_seconds(10)));
        assert!(!rate.take(1, NOW.plus_seconds(10)));
        assert_eq!((0..9).filter(|_| rate.take(1, NOW.plus_seconds(1_000))).count(), 3, "rest doesn't add up");
    }

    #[test]
    fn what_is_given_back_can_be_taken() {
        let rate = Rate::new(1, 10_000);
        assert!(rate.take(1, NOW) && !rate.take(1, NOW));
        rate.give_back(1);
        assert!(rate.take(1, NOW));
        rate.give_back(2);
        assert!(!rate.is_spent(2, NOW));
    }

    #[test]
    fn memory_is_bounded() {
        let rate = Rate::new(1, 10_000);
        for thing in 0..3 * WATCHED_MAX {
            assert!(rate.take(thing, NOW));
        }
        assert!(rate.rested.lock().unwrap().len() <= WATCHED_MAX);
    }
}
