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
/// How often one invitation is used, for a join token or to wait at the desk, so that its stream stays short.
pub const USES_MAX: u32 = 1_000;

mod desk;

pub use desk::*;

// Commands.

/// What one may ask of an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvitationCommand {
    /// Boxed: it is many times as large as the others.
    CreateInvitation(Box<CreateInvitation>),
    RevokeInvitation(RevokeInvitation),
    ExchangeInvitation(ExchangeInvitation),
    WaitAtDesk(WaitAtDesk),
    LeaveDesk(LeaveDesk),
    MarkWaitUnanswered(MarkWaitUnanswered),
    TimeOutWait(TimeOutWait),
}

impl From<CreateInvitation> for InvitationCommand {
    fn from(command: CreateInvitation) -> Self {
        Self::CreateInvitation(Box::new(command))
    }
}

macro_rules! from {
    ($($command:ident),*) => {
        $(impl From<$command> for InvitationCommand {
            fn from(command: $command) -> Self {
                Self::$command(command)
            }
        })*
    };
}

from!(RevokeInvitation, ExchangeInvitation, WaitAtDesk, LeaveDesk, MarkWaitUnanswered, TimeOutWait);

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
        if self.not_after <= now {
            return Err(Invalid::new("notAfter", "is past", "a time in the future").into());
        }
        if self.not_after <= self.not_before {
            return Err(Invalid::new("notAfter", "is not after notBefore", "a later time").into());
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
        InviteeCameToDesk,
        InviteeLeftDesk,
        WaitUnanswered,
        WaitTimedOut,
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
    #[error("the invitation was used {USES_MAX} times: ask for a new one")]
    InvitationUsedUp,
    #[error("the room is none of this organization, or archived")]
    RoomNotLiving,
    #[error("what the system waits for is not due yet")]
    DeadlineNotReached,
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
            Self::DeadlineNotReached => "DEADLINE_NOT_REACHED",
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
            Self::InvitationAlreadyExists | Self::DeadlineNotReached => None,
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
    /// How often its invitee came to the desk.
    pub waits: u32,
    pub status: InvitationStatus,
    /// The newest wait at the desk, if there was one.
    pub wait: Option<Wait>,
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

    /// The invitation, for who knows its secret: nobody else learns whether there is one. Comparing hashes of random
    /// secrets needs no constant time: what leaks is of the hash.
    pub fn shown(&self, secret_sha256: SecretHash) -> Result<&InvitationFacts, InvitationRejection> {
        let facts = self.facts()?;
        if facts.secret_sha256 == secret_sha256 { Ok(facts) } else { Err(InvitationRejection::InvitationNotFound) }
    }

    /// The wait at the desk that goes on, if one does.
    pub fn waiting(&self) -> Option<&Wait> {
        match self {
            Self::Absent => None,
            Self::Present(facts) => facts.wait.as_ref().filter(|wait| wait.state == WaitState::Waiting),
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
                state.shown(exchange.secret_sha256)?;
                usable(state.good_at(exchange.now)?)?;
                Ok(vec![InvitationExchanged { token: exchange.token }.into()])
            }
            InvitationCommand::WaitAtDesk(wait) => desk::wait_at_desk(state, wait),
            InvitationCommand::LeaveDesk(leave) => desk::leave_desk(state, leave),
            InvitationCommand::MarkWaitUnanswered(mark) => desk::mark_wait_unanswered(state, mark),
            InvitationCommand::TimeOutWait(time_out) => desk::time_out_wait(state, time_out),
        }
    }

    fn evolve(state: InvitationState, event: &InvitationEvent, at: Timestamp) -> InvitationState {
        if let InvitationEvent::InvitationCreated(created) = event {
            return InvitationState::Present(Box::new(InvitationFacts {
                organization: created.organization,
                invitation: created.invitation,
                room: created.room,
                details: (*created.details).clone(),
                secret_sha256: created.secret_sha256,
                exchanges: 0,
                waits: 0,
                status: InvitationStatus::Active,
                wait: None,
            }));
        }
        let InvitationState::Present(mut facts) = state else { return state };
        match event {
            InvitationEvent::InvitationCreated(_) => {}
            InvitationEvent::InvitationRevoked(_) => {
                facts.status = InvitationStatus::Revoked;
                facts.end_wait(WaitState::Left);
            }
            InvitationEvent::InvitationExchanged(_) => {
                facts.exchanges += 1;
                facts.end_wait(WaitState::Left);
            }
            InvitationEvent::InviteeCameToDesk(came) => {
                facts.waits += 1;
                facts.wait = Some(Wait::begun(came, at));
            }
            InvitationEvent::InviteeLeftDesk(_) => facts.end_wait(WaitState::Left),
            InvitationEvent::WaitUnanswered(_) => {
                if let Some(wait) = &mut facts.wait {
                    wait.alerted_at = Some(at);
                }
            }
            InvitationEvent::WaitTimedOut(_) => facts.end_wait(WaitState::TimedOut),
        }
        InvitationState::Present(facts)
    }
}

fn usable(facts: &InvitationFacts) -> Result<(), InvitationRejection> {
    if facts.exchanges + facts.waits >= USES_MAX { Err(InvitationRejection::InvitationUsedUp) } else { Ok(()) }
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
mod tests;
