//! The integration tests of witan, one module per use case, in one binary: a test binary links everything, and linking is
//! what costs.
//!
//! They start the real `witan` binary and talk to it as the world does: over HTTP and WebSockets. The library of this
//! package gives them a server, and people with names, so that a test reads as sentences.

mod ad_hoc;
mod architecture;
mod bundle;
mod clinic;
mod crash;
mod demo;
mod docs;
mod doors;
mod hostile;
mod hostile_readers;
mod media;
mod media_nodes;
mod meet;
mod merkle_oracle;
mod metrics;
mod operator;
mod rights;
mod serving;
mod tenants;
mod waiting_desk;
