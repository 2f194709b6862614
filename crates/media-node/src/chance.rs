//! The node's clock and its randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use witan_domain::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the node's own clock, kept beside the server's")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "where the node's ids are made")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}
