//! Where a command's time goes, in nanoseconds by part: for metrics and the benchmark.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

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

/// The parts of a command inside `app`.
#[derive(Debug, Default)]
pub struct Parts {
    pub authorise: Part,
    pub protect: Part,
    pub decide: Part,
    pub append: Part,
    /// Commands that were decided anew because another was faster.
    pub conflicts: AtomicU64,
    /// Requests refused by policy.
    pub refusals: AtomicU64,
    /// Refusals that were too many to record one by one.
    pub refusals_unrecorded: AtomicU64,
}
