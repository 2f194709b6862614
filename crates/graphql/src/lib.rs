//! GraphQL over HTTP and WebSocket: the transport, and the schema that it serves.

pub mod authenticate;
pub mod documents;
mod expansion;
mod greeting;
pub mod http;
mod lexer;
pub mod limits;
mod media_type;
mod messages;
mod nulls;
mod params;
pub mod response;
pub mod scan;
pub mod websocket;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod websocket_tests;

pub use crate::{
    authenticate::{Authenticate, Authenticated, Refusal},
    http::{Figures, Options, router},
    limits::Limits,
    response::{Fault, Subscriber, fault, refusal},
};
