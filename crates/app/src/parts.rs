//! Where a command's time goes, in nanoseconds by part: for metrics and the benchmark.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// How many names a [`Counts`] tells apart. There are some hundred codes; the bound is for the day when somebody puts a
/// client's word into one.
const NAMES_MAX: usize = 500;
/// What the names beyond that are counted as.
const OTHERS: &str = "OTHER";

/// One part's sum and count.
#[derive(Debug, Default)]
pub struct Part {
    nanoseconds: AtomicU64,
    count: AtomicU64,
}

impl Part {
    #[expect(clippy::disallowed_methods, reason = "measures a duration, decides nothing")]
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(start);
        result
    }

    #[expect(clippy::disallowed_methods, reason = "measures a duration, decides nothing")]
    pub async fn time_async<T>(&self, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let result = work.await;
        self.add(start);
        result
    }

    fn add(&self, start: Instant) {
        self.nanoseconds.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    /// (nanoseconds in all, how often).
    pub fn read(&self) -> (u64, u64) {
        (self.nanoseconds.load(Relaxed), self.count.load(Relaxed))
    }
}

/// How often each of a bounded number of names came: codes, which are ours.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    pub fn count(&self, name: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.len() < NAMES_MAX || counts.contains_key(name);
        let name = if known { name } else { OTHERS };
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                counts.insert(name.to_owned(), 1);
            }
        }
    }

    pub fn read(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The parts of a command inside `app`.
#[derive(Debug, Default)]
pub struct Parts {
    pub authorise: Part,
    pub protect: Part,
    pub decide: Part,
    pub append: Part,
    /// Commands that were decided anew because another was faster.
    pub conflicts: AtomicU64,
    /// Mutations that the domain refused, by code.
    pub rejections: Counts,
    /// Requests refused by policy.
    pub refusals: AtomicU64,
    /// Refusals that were too many to record one by one.
    pub refusals_unrecorded: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let counts = Counts::default();
        for number in 0..NAMES_MAX + 7 {
            counts.count(&format!("CODE_{number:04}"));
        }
        counts.count("CODE_0000");
        let read = counts.read();
        assert_eq!((read.len(), read["CODE_0000"], read[OTHERS]), (NAMES_MAX + 1, 2, 7));
    }
}
