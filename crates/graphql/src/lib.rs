//! GraphQL over HTTP and WebSocket: the transport, and the schema that it serves.

mod api_key;
pub mod authenticate;
mod call;
mod callers;
mod chat;
mod connection;
mod desk;
pub mod documents;
mod entry;
mod event_stream;
mod expansion;
pub mod figures;
mod greeting;
mod history;
pub mod http;
mod invitation;
mod lexer;
pub mod limits;
mod media;
mod media_type;
mod messages;
mod moderation;
mod mutation;
mod nulls;
mod organization;
mod pages;
mod params;
mod participant;
mod person;
mod policies;
pub mod reference;
pub mod response;
mod role;
mod room;
mod room_people;
mod scalars;
pub mod scan;
mod schema;
mod session;
mod settings;
mod signals;
mod subscription;
mod unit;
mod user;
mod variables;
mod viewer;
pub mod websocket;

#[cfg(test)]
mod event_stream_tests;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod websocket_tests;

pub use crate::{
    authenticate::{Authenticate, Authenticated, Refusal, Share},
    call::Services,
    callers::Callers,
    figures::Figures,
    http::{Options, Schemas, router},
    limits::Limits,
    response::{Fault, Subscriber, fault, refusal},
    schema::{Schema, schemas, sdl},
};
