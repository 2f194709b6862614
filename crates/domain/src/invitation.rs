//! One person's invitation to one room: exchanged for join tokens, as often as needed, while its window is open.

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, InvitationId, OrganizationId, PersonId, Private, RoomId, SessionRole, Timestamp, TokenId,
    aggregate::Rejection,
    events,
    text::{Invalid, SecretHash},
};

/// Invitees may come this much before their window opens.
pub const EARLY_MINUTES: u64 = 15;
pub const WINDOW_DAYS_MAX: u64 = 366;
/// Join tokens for one invitation, so that its stream stays short.
pub const EXCHANGES_MAX: u32 = 1_000;

// Commands.

/// What one may ask of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvitationCommand {
    /// Boxed: it is many times as large as the others.
    CreateInvitation(Box<CreateInvitation>),
    RevokeInvitation(RevokeInvitation),
    ExchangeInvitation(ExchangeInvitation),
}

impl From<CreateInvitation> for InvitationCommand {
    fn from(command: CreateInvitation) -> Self {
        Self::CreateInvitation(Box::new(command))
    }
}

impl From<RevokeInvitation> for InvitationCommand {
    fn from(command: RevokeInvitation) -> Self {
        Self::RevokeInvitation(command)
    }
}

impl From<ExchangeInvitation> for InvitationCommand {
    fn from(command: ExchangeInvitation) -> Self {
        Self::ExchangeInvitation(command)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateInvitation {
    pub organization: OrganizationId,
    pub invitation: InvitationId,
    pub room: RoomId,
    /// Whether the room exists in this organization and is not archived.
    pub room_living: bool,
    pub details: InvitationDetails,
    pub secret_sha256: SecretHash,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeInvitation {}

/// Asks for a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeInvitation {
    /// The hash of the secret that the caller showed.
    pub secret_sha256: SecretHash,
    /// The token that they get.
    pub token: TokenId,
    pub now: Timestamp,
}

/// Who is invited, as what, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationDetails {
    pub person: PersonId,
    pub display_name: Private,
    pub email: Option<Private>,
    /// The person's id in a system of the organization.
    pub external_id: Option<Private>,
    pub role: SessionRole,
    /// When its window opens; exchanged up to [`EARLY_MINUTES`] before.
    pub not_before: Timestamp,
    /// When its window closes.
    pub not_after: Timestamp,
}

impl InvitationDetails {
    fn check(&self, now: Timestamp) -> Result<(), InvitationRejection> {
        let fields = [
            ("displayName", Some(&self.display_name)),
            ("email", self.email.as_ref()),
            ("externalId", self.external_id.as_ref()),
        ];
        for (field, value) in fields {
            if value.is_some_and(|value| value.person != self.person) {
                return Err(InvitationRejection::PrivateOfAnother { field });
            }
        }
        if self.not_after <= self.not_before {
            return Err(Invalid::new("notAfter", "is not after notBefore", "a later time").into());
        }
        if self.not_after <= now {
            return Err(Invalid::new("notAfter", "is past", "a time in the future").into());
        }
        if self.not_after.seconds_since(self.not_before) > WINDOW_DAYS_MAX * 86_400 {
            let expected = format!("a window of at most {WINDOW_DAYS_MAX} days");
            return Err(Invalid::new("notAfter", "makes the window too long", expected).into());
        }
        Ok(())
    }
}

// Events.

/// A person was invited to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationCreated {
    pub organization: OrganizationId,
    pub invitation: InvitationId,
    pub room: RoomId,
    pub details: Box<InvitationDetails>,
    pub secret_sha256: SecretHash,
}

/// The invitation leads nowhere any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRevoked {}

/// The invitation was exchanged for a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationExchanged {
    /// The join token that was given out: its id, never itself.
    pub token: TokenId,
}

events! {
    /// What happens to an invitation.
    pub enum InvitationEvent of "invitation" {
        InvitationCreated,
        InvitationRevoked,
        InvitationExchanged,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationRejection {
    #[error("there is no such invitation")]
    InvitationNotFound,
    #[error("this invitation exists already")]
    InvitationAlreadyExists,
    #[error("the invitation is revoked")]
    InvitationRevoked,
    #[error("the invitation is not open yet: come {EARLY_MINUTES} minutes before its time at the earliest")]
    InvitationTooEarly,
    #[error("the invitation's time is over")]
    InvitationOver,
    #[error("the invitation was used {EXCHANGES_MAX} times: ask for a new one")]
    InvitationUsedUp,
    #[error("the room is none of this organization, or archived")]
    RoomNotLiving,
    #[error("{field} is another person's")]
    PrivateOfAnother { field: &'static str },
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Rejection for InvitationRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::InvitationNotFound => "INVITATION_NOT_FOUND",
            Self::InvitationAlreadyExists => "INVITATION_ALREADY_EXISTS",
            Self::InvitationRevoked => "INVITATION_REVOKED",
            Self::InvitationTooEarly => "INVITATION_TOO_EARLY",
            Self::InvitationOver => "INVITATION_OVER",
            Self::InvitationUsedUp => "INVITATION_USED_UP",
            Self::RoomNotLiving => "ROOM_NOT_LIVING",
            Self::PrivateOfAnother { .. } => "PRIVATE_OF_ANOTHER",
            Self::Invalid(invalid) => invalid.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::InvitationNotFound
            | Self::InvitationRevoked
            | Self::InvitationTooEarly
            | Self::InvitationOver
            | Self::InvitationUsedUp => Some("invitationId"),
            Self::RoomNotLiving => Some("roomId"),
            Self::PrivateOfAnother { field } => Some(field),
            Self::InvitationAlreadyExists => None,
            Self::Invalid(invalid) => invalid.field(),
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationState {
    #[default]
    Absent,
    Present(Box<InvitationFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationFacts {
    pub organization: OrganizationId,
    pub invitation: InvitationId,
    pub room: RoomId,
    pub details: InvitationDetails,
    pub secret_sha256: SecretHash,
    pub exchanges: u32,
    pub status: InvitationStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    /// Good in its window.
    Active,
    Revoked,
}

impl InvitationState {
    pub fn facts(&self) -> Result<&InvitationFacts, InvitationRejection> {
        match self {
            Self::Absent => Err(InvitationRejection::InvitationNotFound),
            Self::Present(facts) => Ok(facts),
        }
    }

    /// The invitation, if it is good at this moment.
    pub fn good_at(&self, now: Timestamp) -> Result<&InvitationFacts, InvitationRejection> {
        let facts = self.facts()?;
        let details = &facts.details;
        if facts.status == InvitationStatus::Revoked {
            return Err(InvitationRejection::InvitationRevoked);
        }
        if now.plus_seconds(EARLY_MINUTES * 60) < details.not_before {
            return Err(InvitationRejection::InvitationTooEarly);
        }
        if details.not_after <= now {
            return Err(InvitationRejection::InvitationOver);
        }
        Ok(facts)
    }
}

/// The decider.
pub struct Invitation;

impl Aggregate for Invitation {
    type Id = InvitationId;
    type Command = InvitationCommand;
    type Event = InvitationEvent;
    type Rejection = InvitationRejection;
    type State = InvitationState;
    const CATEGORY: &'static str = "invitation";

    fn decide(
        state: &InvitationState,
        command: &InvitationCommand,
    ) -> Result<Vec<InvitationEvent>, InvitationRejection> {
        match command {
            InvitationCommand::CreateInvitation(create) => decide_create(state, create),
            InvitationCommand::RevokeInvitation(_) => match state.facts()?.status {
                InvitationStatus::Active => Ok(vec![InvitationRevoked {}.into()]),
                InvitationStatus::Revoked => Ok(Vec::new()),
            },
            InvitationCommand::ExchangeInvitation(exchange) => {
                // Who doesn't know the secret doesn't learn whether there is such an invitation. Comparing hashes of
                // random secrets needs no constant time: what leaks is of the hash.
                if state.facts()?.secret_sha256 != exchange.secret_sha256 {
                    return Err(InvitationRejection::InvitationNotFound);
                }
                if state.good_at(exchange.now)?.exchanges >= EXCHANGES_MAX {
                    return Err(InvitationRejection::InvitationUsedUp);
                }
                Ok(vec![InvitationExchanged { token: exchange.token }.into()])
            }
        }
    }

    fn evolve(state: InvitationState, event: &InvitationEvent, _: Timestamp) -> InvitationState {
        match (event, state) {
            (InvitationEvent::InvitationCreated(created), _) => InvitationState::Present(Box::new(InvitationFacts {
                organization: created.organization,
                invitation: created.invitation,
                room: created.room,
                details: (*created.details).clone(),
                secret_sha256: created.secret_sha256,
                exchanges: 0,
                status: InvitationStatus::Active,
            })),
            (InvitationEvent::InvitationRevoked(_), InvitationState::Present(mut facts)) => {
                facts.status = InvitationStatus::Revoked;
                InvitationState::Present(facts)
            }
            (InvitationEvent::InvitationExchanged(_), InvitationState::Present(mut facts)) => {
                facts.exchanges += 1;
                InvitationState::Present(facts)
            }
            (
                InvitationEvent::InvitationRevoked(_) | InvitationEvent::InvitationExchanged(_),
                InvitationState::Absent,
            ) => InvitationState::Absent,
        }
    }
}

fn decide_create(
    state: &InvitationState,
    create: &CreateInvitation,
) -> Result<Vec<InvitationEvent>, InvitationRejection> {
    if let InvitationState::Present(facts) = state {
        let same =
            facts.secret_sha256 == create.secret_sha256 && facts.room == create.room && facts.details == create.details;
        return if same { Ok(Vec::new()) } else { Err(InvitationRejection::InvitationAlreadyExists) };
    }
    if !create.room_living {
        return Err(InvitationRejection::RoomNotLiving);
    }
    create.details.check(create.now)?;
    let created = InvitationCreated {
        organization: create.organization,
        invitation: create.invitation,
        room: create.room,
        details: Box::new(create.details.clone()),
        secret_sha256: create.secret_sha256,
    };
    Ok(vec![created.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::Ciphertext;

    const PERSON: PersonId = PersonId(4);
    const SECRET: SecretHash = SecretHash([9; 32]);
    const OPENS: Timestamp = Timestamp::from_seconds(100_000);
    const CLOSES: Timestamp = Timestamp::from_seconds(103_600);

    fn private(person: PersonId) -> Private {
        Private { person, ciphertext: Ciphertext(vec![1, 2]) }
    }

    fn creating(change: impl FnOnce(&mut CreateInvitation)) -> InvitationCommand {
        let mut create = CreateInvitation {
            organization: OrganizationId(1),
            invitation: InvitationId(2),
            room: RoomId(3),
            room_living: true,
            details: InvitationDetails {
                person: PERSON,
                display_name: private(PERSON),
                email: Some(private(PERSON)),
                external_id: None,
                role: SessionRole::Participant,
                not_before: OPENS,
                not_after: CLOSES,
            },
            secret_sha256: SECRET,
            now: Timestamp(0),
        };
        change(&mut create);
        create.into()
    }

    fn exchange(secret_sha256: SecretHash, now: Timestamp) -> InvitationCommand {
        InvitationCommand::ExchangeInvitation(ExchangeInvitation { secret_sha256, token: TokenId(5), now })
    }

    /// The state after these commands, each of which must be accepted.
    fn given(commands: &[InvitationCommand]) -> InvitationState {
        commands.iter().fold(InvitationState::default(), |state, command| {
            let events = Invitation::decide(&state, command).unwrap();
            events.iter().fold(state, |state, event| Invitation::evolve(state, event, Timestamp(1)))
        })
    }

    #[test]
    fn create_invitation() {
        let state = given(&[creating(|_| {})]);
        assert_eq!(Invitation::decide(&state, &creating(|_| {})), Ok(vec![]));
        let other = creating(|create| create.details.role = SessionRole::Host);
        assert_eq!(Invitation::decide(&state, &other), Err(InvitationRejection::InvitationAlreadyExists));
        let refused = |change: fn(&mut CreateInvitation)| {
            Invitation::decide(&InvitationState::Absent, &creating(change)).expect_err("refused")
        };
        assert_eq!(refused(|create| create.room_living = false), InvitationRejection::RoomNotLiving);
        assert_eq!(refused(|create| create.now = CLOSES).field(), Some("notAfter"));
        assert_eq!(refused(|create| create.details.not_after = OPENS).field(), Some("notAfter"));
        assert_eq!(refused(|create| create.details.not_after = OPENS.plus_seconds(367 * 86_400)).code(), "INVALID");
        assert_eq!(
            refused(|create| create.details.email = Some(private(PersonId(9)))),
            InvitationRejection::PrivateOfAnother { field: "email" }
        );
    }

    #[test]
    fn exchange_invitation() {
        let state = given(&[creating(|_| {})]);
        let at = |now| Invitation::decide(&state, &exchange(SECRET, now));
        let early = Timestamp(OPENS.0 - 15 * 60 * 1_000_000);
        assert_eq!(at(Timestamp(early.0 - 1)), Err(InvitationRejection::InvitationTooEarly));
        assert_eq!(at(early), Ok(vec![InvitationExchanged { token: TokenId(5) }.into()]));
        assert!(at(Timestamp(CLOSES.0 - 1)).is_ok());
        assert_eq!(at(CLOSES), Err(InvitationRejection::InvitationOver));
        let wrong = exchange(SecretHash([8; 32]), OPENS);
        assert_eq!(Invitation::decide(&state, &wrong), Err(InvitationRejection::InvitationNotFound));
        assert_eq!(Invitation::decide(&InvitationState::Absent, &wrong), Err(InvitationRejection::InvitationNotFound));
    }

    #[test]
    fn an_invitation_is_used_up_at_last() {
        let mut state = given(&[creating(|_| {})]);
        for _ in 0..EXCHANGES_MAX {
            let events = Invitation::decide(&state, &exchange(SECRET, OPENS)).unwrap();
            state = Invitation::evolve(state, &events[0], OPENS);
        }
        let answer = Invitation::decide(&state, &exchange(SECRET, OPENS));
        assert_eq!(answer, Err(InvitationRejection::InvitationUsedUp));
    }

    #[test]
    fn revoke_invitation() {
        let revoke = InvitationCommand::RevokeInvitation(RevokeInvitation {});
        let state = given(&[creating(|_| {}), revoke.clone()]);
        assert_eq!(Invitation::decide(&state, &revoke), Ok(vec![]));
        let answer = Invitation::decide(&state, &exchange(SECRET, OPENS));
        assert_eq!(answer, Err(InvitationRejection::InvitationRevoked));
    }

    #[test]
    fn golden_files() {
        let created = Invitation::decide(&InvitationState::Absent, &creating(|_| {})).unwrap().remove(0);
        crate::golden::check::<Invitation>(&[
            created,
            super::InvitationRevoked {}.into(),
            InvitationExchanged { token: TokenId(5) }.into(),
        ]);
    }
}
