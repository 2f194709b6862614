//! Points in time and spans, as whole microseconds and seconds: no floats, no time zones.

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z. Fits in a JSON number (below 2^53) until the year 2255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    pub const fn micros(self) -> u64 {
        self.0
    }

    /// This moment moved `seconds` later; saturates at the end of time.
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Whole seconds from `earlier` to this moment; 0 when `earlier` is later.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}
