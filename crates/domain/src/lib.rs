//! What may happen in witan: ids, actors, commands, events, deciders.
//!
//! Everything here is pure: no I/O, no async, no clock, no randomness. Time, ids and secrets arrive in the command, so
//! nothing in this crate can fail for a reason outside its arguments.

pub mod actor;
pub mod aggregate;
pub mod api_key;
pub mod audit;
pub mod chat;
pub mod deadline;
pub mod event;
#[cfg(test)]
mod golden;
pub mod id;
pub mod invitation;
pub mod media;
pub mod organization;
pub mod participant;
pub mod person;
pub mod policy;
pub mod private;
pub mod reservation;
pub mod role;
pub mod room;
pub mod session;
pub mod settings;
pub mod text;
pub mod time;
pub mod units;
pub mod user;

pub use actor::Actor;
pub use aggregate::{Aggregate, DecodeError, EventPayload, Rejection};
pub use event::Event;
pub use id::*;
pub use private::Private;
pub use role::{AccountRole, RoleScope, SessionRole};
pub use time::Timestamp;
