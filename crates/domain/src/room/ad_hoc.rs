//! Hidden rooms: each is made for one ad-hoc session, together with it, and archived when that has ended.

use crate::{
    RoomId, Timestamp,
    aggregate::Aggregate,
    policy::{Listing, PolicyLevel, Rules},
    text::{Invalid, Slug},
};

use super::{
    OpenAdHocSession, Room, RoomEvent, RoomKind, RoomRejection, RoomState, decide_create, decide_open_session,
};

/// What the slug of a hidden room begins with; the room's own ULID follows.
const SLUG_BEGINS: &str = "ad-hoc-";
const ULID_CHARS: usize = 26;

/// The slug of a hidden room. No other room may have one of this shape, so that it needs no reservation.
///
/// # Panics
/// Never: a ULID in lower case is ASCII letters and digits.
pub fn ad_hoc_slug(room: RoomId) -> Slug {
    let id = room.to_string();
    let ulid = id.rsplit('_').next().unwrap_or_default().to_ascii_lowercase();
    Slug::try_new(format!("{SLUG_BEGINS}{ulid}")).expect("letters, digits and hyphens are a slug")
}

/// Whether a lasting room may have this slug.
pub(super) fn check_not_kept(slug: &Slug) -> Result<(), Invalid> {
    let rest = slug.as_str().strip_prefix(SLUG_BEGINS);
    if rest.is_some_and(|rest| rest.len() == ULID_CHARS) {
        return Err(Invalid::new("slug", "has the shape that is kept for ad-hoc rooms", "another slug"));
    }
    Ok(())
}

/// What a hidden room says of the policies from its beginning: whatever its purpose's template, nobody sees it by a list.
pub(super) fn hidden() -> PolicyLevel {
    PolicyLevel { set: Rules { list: Some(Listing::Private), ..Rules::default() }, floor: Rules::default() }
}

pub(super) fn decide_open(state: &RoomState, command: &OpenAdHocSession) -> Result<Vec<RoomEvent>, RoomRejection> {
    let mut events = decide_create(state, &command.create, RoomKind::AdHoc)?;
    // What the room is after its first event does not depend on when that is recorded.
    let made = events.iter().fold(state.clone(), |state, event| Room::evolve(state, event, Timestamp::default()));
    events.extend(decide_open_session(made.living()?, &command.open)?);
    Ok(events)
}
