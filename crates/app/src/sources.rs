//! The clock and the ids: the one place where time and chance come in.

use std::fmt;

use sha2::{Digest, Sha256};
use witan_domain::Timestamp;

type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;
type Fill = Box<dyn Fn(&mut [u8]) + Send + Sync>;

/// Where time and randomness come from: the machine's, or a test's own.
pub struct Sources {
    now: Now,
    fill: Fill,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    /// The clock and the random source of this machine.
    #[expect(clippy::disallowed_methods, reason = "this is the injected clock and randomness itself")]
    pub fn machine() -> Self {
        Self {
            now: Box::new(|| {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }),
            // Without randomness there are no ids and no keys: nothing sensible can go on.
            fill: Box::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes")),
        }
    }

    /// A clock and a random source of the caller's, for tests and simulations.
    pub fn given(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self { now: Box::new(now), fill: Box::new(fill) }
    }

    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes);
        bytes
    }

    /// A fresh ULID: 48 bits of milliseconds, 80 random bits.
    pub fn ulid(&self) -> u128 {
        let millis = u128::from(self.now().micros() / 1000) & ((1 << 48) - 1);
        let mut bytes = [0; 16];
        bytes[6..].copy_from_slice(&self.random::<10>());
        (millis << 80) | u128::from_be_bytes(bytes)
    }
}

/// All 128 bits of an id from a request's idempotency key and what the id is for, so that a retry names the same thing.
pub fn derived_id(key_hash: &str, what: &str) -> u128 {
    let digest = Sha256::new().chain_update(key_hash).chain_update([0]).chain_update(what).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(bytes)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Lower-case hexadecimal of the SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
