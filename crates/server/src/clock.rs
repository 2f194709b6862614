//! The process's clock and its source of ids. Everything below the server gets time and ids as arguments.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use witan_domain::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the server is where the real clock comes in")]
pub fn now() -> Timestamp {
    // A clock before 1970 counts as 1970: the committer keeps recorded time monotonic in any case.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64))
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// 128 bits in the form of a ULID: 48 of time in milliseconds, then 80 random ones.
pub fn fresh_id() -> u128 {
    let milliseconds = u128::from(now().micros() / 1000) & ((1 << 48) - 1);
    milliseconds << 80 | (u128::from_be_bytes(random()) >> 48)
}

#[expect(clippy::disallowed_methods, reason = "the server is where randomness comes in")]
#[expect(clippy::expect_used, reason = "without the kernel's randomness nothing here is safe to go on")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}
