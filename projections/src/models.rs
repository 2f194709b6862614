//! The list of read models: to add one, write its file and name it here.

use std::{str::FromStr, sync::Arc};

use witan_domain::OrganizationId;
use witan_event_store::Recorded;

use crate::{
    Database, Projection, ProjectionError, audit, chat, follower::CURSORS, media, organizations, rooms, sessions, users,
};

/// Every read model, ready to fold.
pub fn all(db: &Arc<Database>) -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(organizations::Organizations::new(db)),
        Box::new(organizations::UnitTrees::new(db)),
        Box::new(users::Users::new(db)),
        Box::new(users::ApiKeys::new(db)),
        Box::new(rooms::Rooms::new(db)),
        Box::new(rooms::Invitations::new(db)),
        Box::new(sessions::Sessions::new(db)),
        Box::new(chat::Messages::new(db)),
        Box::new(media::Streams::new(db)),
        Box::new(audit::Audit::new(db)),
    ]
}

/// Every column family: the cursors', and each read model's own.
pub fn tables() -> impl Iterator<Item = &'static str> {
    let of_models = [
        organizations::TABLES,
        users::TABLES,
        rooms::TABLES,
        sessions::TABLES,
        chat::TABLES,
        media::TABLES,
        audit::TABLES,
    ];
    std::iter::once(CURSORS).chain(of_models.into_iter().flatten().copied())
}

/// Whose stream the event is in, and what it is the stream of.
pub(crate) fn stream_of<I: FromStr>(recorded: &Recorded) -> Result<(OrganizationId, I), ProjectionError> {
    let organization = recorded.envelope.organization();
    let id = recorded.envelope.stream_id().parse().ok();
    organization.zip(id).ok_or_else(|| misfit(recorded, "a stream's name without its organization or id"))
}

pub(crate) fn misfit(recorded: &Recorded, what: &'static str) -> ProjectionError {
    ProjectionError::Misfit { position: recorded.position, what }
}
