//! A human being in one organization, as far as the right to be forgotten goes. Stream `person-{person}`.
//!
//! Erasing is recorded first; then the vault destroys the key, and does so again whenever it finds the key still there.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, OrganizationId, PersonId, Timestamp, aggregate::Rejection, commands, events};

// Commands.

commands! {
    /// What one may ask of a person's data as a whole.
    pub enum PersonCommand {
        ErasePerson,
        RecordErasure,
    }
}

/// Destroy the key under which everything personal of this person is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasePerson {
    pub organization: OrganizationId,
    pub person: PersonId,
    /// Why: the ground in law, not words about the person.
    pub ground: Ground,
    /// Whether the vault knows this person: one who never was can't be erased.
    pub known: bool,
    /// Whether an active account is this person's: it has to be deactivated first.
    pub active_user: bool,
    /// Whether the person is in a live session: it has to end first.
    pub in_live_session: bool,
}

/// Say in the log what is so already: the key is destroyed, since the list of erasures that a restore was given has it, and
/// the restored log ends before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordErasure {
    pub organization: OrganizationId,
    pub person: PersonId,
}

/// The ground of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// The person asked (GDPR Art. 17; LGPD Art. 18 VI).
    Request,
    /// What it was kept for is over.
    PurposeEnded,
    /// It should never have been recorded.
    Unlawful,
    /// It was erased before the log was restored from a backup: why, stood in what the restored log lacks.
    BeforeRestore,
}

// Events.

/// The key under which everything personal of a person is encrypted is destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonErased {
    pub organization: OrganizationId,
    pub person: PersonId,
    pub ground: Ground,
}

events! {
    /// What happens to a person's data as a whole.
    pub enum PersonEvent of "person" {
        PersonErased,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonRejection {
    #[error("There is no person with this id in this organization.")]
    NotFound,
    #[error("This person has an active account: deactivate the user first.")]
    UserActive,
    #[error("This person is in a live session: it has to end, or they have to leave, first.")]
    InLiveSession,
}

impl Rejection for PersonRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "PERSON_NOT_FOUND",
            Self::UserActive => "USER_ACTIVE",
            Self::InLiveSession => "PERSON_IN_LIVE_SESSION",
        }
    }

    fn field(&self) -> Option<&'static str> {
        Some("personId")
    }
}

// State.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PersonState {
    #[default]
    Kept,
    Erased {
        at: Timestamp,
    },
}

/// The decider.
pub struct Person;

impl Aggregate for Person {
    type Id = PersonId;
    type Command = PersonCommand;
    type Event = PersonEvent;
    type Rejection = PersonRejection;
    type State = PersonState;
    const CATEGORY: &'static str = "person";

    fn decide(state: &PersonState, command: &PersonCommand) -> Result<Vec<PersonEvent>, PersonRejection> {
        if let PersonState::Erased { .. } = state {
            return Ok(Vec::new());
        }
        let erased = match command {
            PersonCommand::ErasePerson(erase) if !erase.known => return Err(PersonRejection::NotFound),
            PersonCommand::ErasePerson(erase) if erase.active_user => return Err(PersonRejection::UserActive),
            PersonCommand::ErasePerson(erase) if erase.in_live_session => return Err(PersonRejection::InLiveSession),
            PersonCommand::ErasePerson(erase) => {
                PersonErased { organization: erase.organization, person: erase.person, ground: erase.ground }
            }
            PersonCommand::RecordErasure(record) => {
                PersonErased { organization: record.organization, person: record.person, ground: Ground::BeforeRestore }
            }
        };
        Ok(vec![erased.into()])
    }

    fn evolve(_: PersonState, event: &PersonEvent, at: Timestamp) -> PersonState {
        match event {
            PersonEvent::PersonErased(_) => PersonState::Erased { at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erase() -> ErasePerson {
        ErasePerson {
            organization: OrganizationId(1),
            person: PersonId(2),
            ground: Ground::Request,
            known: true,
            active_user: false,
            in_live_session: false,
        }
    }

    fn decide(state: PersonState, command: impl Into<PersonCommand>) -> Result<Vec<PersonEvent>, PersonRejection> {
        Person::decide(&state, &command.into())
    }

    #[test]
    fn erase_person() {
        let events = decide(PersonState::Kept, erase()).unwrap();
        assert_eq!(events.len(), 1);
        let erased = Person::evolve(PersonState::Kept, &events[0], Timestamp(5));
        assert_eq!(decide(erased, erase()), Ok(Vec::new()), "a second time adds nothing");
    }

    /// It is so, whatever else there is: nothing stands in its way.
    #[test]
    fn record_erasure() {
        let record = RecordErasure { organization: OrganizationId(1), person: PersonId(2) };
        let events = decide(PersonState::Kept, record.clone()).unwrap();
        let ground = Ground::BeforeRestore;
        let erased = PersonErased { organization: OrganizationId(1), person: PersonId(2), ground };
        assert_eq!(events, vec![PersonEvent::from(erased)]);
        let state = Person::evolve(PersonState::Kept, &events[0], Timestamp(5));
        assert_eq!(decide(state, record), Ok(Vec::new()), "a second time adds nothing");
        assert_eq!(decide(state, erase()), Ok(Vec::new()));
    }

    #[test]
    fn what_stands_in_the_way() {
        use PersonRejection::{InLiveSession, NotFound, UserActive};
        assert_eq!(decide(PersonState::Kept, ErasePerson { known: false, ..erase() }), Err(NotFound));
        assert_eq!(decide(PersonState::Kept, ErasePerson { active_user: true, ..erase() }), Err(UserActive));
        assert_eq!(decide(PersonState::Kept, ErasePerson { in_live_session: true, ..erase() }), Err(InLiveSession));
    }

    #[test]
    fn golden_files() {
        let event = PersonErased { organization: OrganizationId(1), person: PersonId(2), ground: Ground::Request };
        crate::golden::check::<Person>(&[event.into()]);
    }
}
