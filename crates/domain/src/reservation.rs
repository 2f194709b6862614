//! A name that only one thing may have: a stream of its own decides who has it.
//!
//! An organization's slug is unique in the deployment, a room's in its unit, a login in its organization. (A unit's slug
//! needs no reservation: the whole tree is one stream.) Whoever creates or renames reserves first, records the change,
//! then releases the old name; a reservation whose change was refused is released. A process that was cut in between (the
//! end of the server, a full disk) leaves a name with a holder that does not bear it: after a minute, the next who wants
//! the name takes it over.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, AliasId, OrganizationId, RoomId, Timestamp, UnitId, UserId, aggregate::Rejection, commands, events,
    text::Slug,
};

/// How long a process may take from its reservation to what bears the name. Older, and not borne, it was cut short.
pub const ABANDONED_AFTER_SECONDS: u64 = 60;

// Id.

/// The name, and where it is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationId {
    OrganizationSlug(Slug),
    RoomSlug(UnitId, Slug),
    /// The login's alias, since a login is personal.
    Login(OrganizationId, AliasId),
}

/// Without `-`, which ends a stream's category: a slug's are written as `_`, which no slug has.
impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |slug: &Slug| slug.as_str().replace('-', "_");
        match self {
            Self::OrganizationSlug(slug) => write!(f, "deployment:{}", text(slug)),
            Self::RoomSlug(unit, slug) => write!(f, "{unit}:{}", text(slug)),
            Self::Login(organization, alias) => write!(f, "{organization}:{alias}"),
        }
    }
}

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Organization(OrganizationId),
    Room(RoomId),
    User(UserId),
}

// Commands.

commands! {
    /// What one may ask of a name.
    pub enum ReservationCommand {
        ReserveName,
        ReleaseName,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveName {
    pub holder: Holder,
    /// Whoever holds the name and was found not to bear it: not there at all, or under another name.
    pub abandoned_by: Option<Holder>,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseName {
    pub holder: Holder,
}

// Events.

/// The name has a holder: it is reserved before the thing that bears it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReserved {
    pub holder: Holder,
}

/// The name is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReleased {
    pub holder: Holder,
}

events! {
    /// What happens to a name.
    pub enum ReservationEvent of "reservation" {
        NameReserved,
        NameReleased,
    }
}

// Rejections.

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservationRejection {
    #[error("this slug is taken: choose another")]
    SlugTaken,
    #[error("this login is taken: choose another")]
    LoginTaken,
}

impl Rejection for ReservationRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::SlugTaken => "SLUG_TAKEN",
            Self::LoginTaken => "LOGIN_TAKEN",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::SlugTaken => Some("slug"),
            Self::LoginTaken => Some("login"),
        }
    }
}

// State.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReservationState {
    #[default]
    Free,
    Held {
        by: Holder,
        since: Timestamp,
    },
}

/// The decider.
pub struct Reservation;

impl Aggregate for Reservation {
    type Id = ReservationId;
    type Command = ReservationCommand;
    type Event = ReservationEvent;
    type Rejection = ReservationRejection;
    type State = ReservationState;
    const CATEGORY: &'static str = "reservation";

    fn decide(
        state: &ReservationState,
        command: &ReservationCommand,
    ) -> Result<Vec<ReservationEvent>, ReservationRejection> {
        match (command, state) {
            (ReservationCommand::ReserveName(reserve), ReservationState::Free) => {
                Ok(vec![NameReserved { holder: reserve.holder }.into()])
            }
            (ReservationCommand::ReserveName(reserve), ReservationState::Held { by, .. }) if reserve.holder == *by => {
                Ok(Vec::new())
            }
            (ReservationCommand::ReserveName(reserve), ReservationState::Held { by, since })
                if reserve.abandoned_by == Some(*by) && reserve.now >= since.plus_seconds(ABANDONED_AFTER_SECONDS) =>
            {
                Ok(vec![NameReleased { holder: *by }.into(), NameReserved { holder: reserve.holder }.into()])
            }
            (ReservationCommand::ReserveName(reserve), ReservationState::Held { .. }) => match reserve.holder {
                Holder::Organization(_) | Holder::Room(_) => Err(ReservationRejection::SlugTaken),
                Holder::User(_) => Err(ReservationRejection::LoginTaken),
            },
            (ReservationCommand::ReleaseName(release), ReservationState::Held { by, .. }) if release.holder == *by => {
                Ok(vec![NameReleased { holder: *by }.into()])
            }
            // What someone else has, or nobody has, isn't held by the one who lets go: it holds already.
            (ReservationCommand::ReleaseName(_), ReservationState::Held { .. } | ReservationState::Free) => {
                Ok(Vec::new())
            }
        }
    }

    fn evolve(_: ReservationState, event: &ReservationEvent, at: Timestamp) -> ReservationState {
        match event {
            ReservationEvent::NameReserved(reserved) => ReservationState::Held { by: reserved.holder, since: at },
            ReservationEvent::NameReleased(_) => ReservationState::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Holder = Holder::Room(RoomId(1));
    const THEIRS: Holder = Holder::Room(RoomId(2));

    fn reserve(holder: Holder) -> ReservationCommand {
        ReservationCommand::ReserveName(ReserveName { holder, abandoned_by: None, now: Timestamp(0) })
    }

    fn release(holder: Holder) -> ReservationCommand {
        ReservationCommand::ReleaseName(ReleaseName { holder })
    }

    #[test]
    fn a_free_name_is_reserved_once() {
        let events = Reservation::decide(&ReservationState::Free, &reserve(MINE)).unwrap();
        assert_eq!(events, vec![NameReserved { holder: MINE }.into()]);
        let held = Reservation::evolve(ReservationState::Free, &events[0], Timestamp(0));
        assert_eq!(Reservation::decide(&held, &reserve(MINE)), Ok(vec![]));
        assert_eq!(Reservation::decide(&held, &reserve(THEIRS)), Err(ReservationRejection::SlugTaken));
        let user = Holder::User(UserId(1));
        assert_eq!(Reservation::decide(&held, &reserve(user)), Err(ReservationRejection::LoginTaken));
    }

    #[test]
    fn only_its_holder_releases_a_name() {
        let held = ReservationState::Held { by: MINE, since: Timestamp(0) };
        assert_eq!(Reservation::decide(&held, &release(THEIRS)), Ok(vec![]));
        let events = Reservation::decide(&held, &release(MINE)).unwrap();
        assert_eq!(events, vec![NameReleased { holder: MINE }.into()]);
        assert_eq!(Reservation::evolve(held, &events[0], Timestamp(0)), ReservationState::Free);
    }

    #[test]
    fn a_name_that_its_holder_does_not_bear_is_taken_over_after_a_minute() {
        let since = Timestamp(5_000_000);
        let held = ReservationState::Held { by: MINE, since };
        let take = |abandoned_by, seconds| {
            let reserve = ReserveName { holder: THEIRS, abandoned_by, now: since.plus_seconds(seconds) };
            Reservation::decide(&held, &reserve.into())
        };
        assert_eq!(take(None, 600), Err(ReservationRejection::SlugTaken));
        assert_eq!(take(Some(THEIRS), 600), Err(ReservationRejection::SlugTaken));
        assert_eq!(take(Some(MINE), 59), Err(ReservationRejection::SlugTaken), "its process may be on its way");
        let events = take(Some(MINE), 60).unwrap();
        assert_eq!(events, [NameReleased { holder: MINE }.into(), NameReserved { holder: THEIRS }.into()]);
    }

    #[test]
    fn streams_tell_names_apart() {
        let slug = Slug::try_new("st-gallen").unwrap();
        let stream = Reservation::stream(ReservationId::OrganizationSlug(slug));
        assert_eq!(stream, "reservation-deployment:st_gallen");
        assert_ne!(stream, Reservation::stream(ReservationId::OrganizationSlug("stgallen".parse().unwrap())));
        let room = Reservation::stream(ReservationId::RoomSlug(UnitId(1), slug));
        assert_eq!(room.matches('-').count(), 1);
        assert!(Reservation::stream(ReservationId::Login(OrganizationId(1), AliasId(2))).contains(":alias_"));
    }

    #[test]
    fn golden_files() {
        crate::golden::check::<Reservation>(&[
            NameReserved { holder: MINE }.into(),
            NameReleased { holder: Holder::User(UserId(9)) }.into(),
        ]);
    }
}
