//! The integration tests of witan, one module per use case, in one binary.
//!
//! They start the real `witan` binary and talk to it as the world does: over HTTP and WebSockets. `support` gives them a
//! server, and people with names, so that a test reads as sentences.

mod architecture;
