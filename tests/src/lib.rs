//! What the tests and benchmarks of the running binary stand on: a server in a folder of its own, and people who talk to
//! it over HTTP and WebSockets.

pub mod actor;
pub mod http;
pub mod schema;
pub mod server;
pub mod socket;

/// Whether the long form of the tests was asked for (`cargo xtask test --thorough`).
pub fn is_thorough() -> bool {
    std::env::var_os("WITAN_THOROUGH").is_some_and(|value| value != "0")
}

/// How often a test repeats something: `quick` times, or `thorough` times when that was asked for.
pub fn rounds(quick: usize, thorough: usize) -> usize {
    if is_thorough() { thorough } else { quick }
}
