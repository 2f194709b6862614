//! Why a session says no. Texts carry no personal data; codes are part of the API.

use crate::{aggregate::Rejection, settings::SettingRejection, text::Invalid};

use super::{
    ADMITTED_WAITING_MAX, ARRIVALS_OF_PERSON_MAX, CONSENTS_MAX, EXTENSION_MINUTES_MAX, KNOCKS_WAITING_MAX,
    RECONNECTIONS_MAX,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRejection {
    #[error("The session is not live.")]
    SessionNotLive,
    #[error("This session was already prepared, by another request.")]
    SessionAlreadyPrepared,
    #[error("The session is being prepared: try again in a moment.")]
    SessionNotReady,
    #[error("The session is not in progress.")]
    SessionNotInProgress,
    #[error("The session is locked: nobody new may come in.")]
    SessionLocked,
    #[error("The session is full: it has its maximum of participants.")]
    SessionFull,
    #[error(
        "As many people are at the door as may be: {KNOCKS_WAITING_MAX} who wait for an answer, or \
         {ADMITTED_WAITING_MAX} who were admitted and have not come in."
    )]
    LobbyFull,
    #[error("The session has taken in as many entries as a session may.")]
    ArrivalsExhausted,
    #[error("Enough people without an invitation are waiting: try again when some were let in.")]
    UninvitedLobbyFull,
    #[error("The session has taken in as many people without an invitation as a session may.")]
    UninvitedArrivalsExhausted,
    #[error("The person has come {ARRIVALS_OF_PERSON_MAX} times, as often as one may come to one session.")]
    PersonArrivalsExhausted,
    #[error("This entry leads through the lobby: knock first.")]
    KnockNeeded,
    #[error("The person was banned from this session.")]
    PersonBanned,
    #[error("The person was denied entry: only a new knock that a host admits leads in.")]
    PersonDenied,
    #[error("The person is in, or knocking, already.")]
    PersonAlreadyIn,
    #[error("The join token was redeemed already.")]
    TokenAlreadyRedeemed,
    #[error("A participant with this id exists already.")]
    ParticipantAlreadyExists,
    #[error("The session has no such participant.")]
    ParticipantNotFound,
    #[error("The participant is not knocking.")]
    ParticipantNotKnocking,
    #[error("The participant was not admitted.")]
    ParticipantNotAdmitted,
    #[error("The participant is not in the session.")]
    ParticipantNotIn,
    #[error("The time to reconnect is over: come in anew.")]
    ReconnectionTimedOut,
    #[error("The participant has reconnected {RECONNECTIONS_MAX} times: come in anew.")]
    ReconnectionsExhausted,
    #[error("It is too early: this deadline is not reached.")]
    DeadlineNotReached,
    #[error(transparent)]
    Setting(#[from] SettingRejection),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("A session is extended by 1 to {EXTENSION_MINUTES_MAX} minutes.")]
    ExtensionOutOfRange,
    #[error("The session is as long as a session may be.")]
    DurationOutOfRange,
    #[error("A participant can't be moved to the session they are in.")]
    SessionSame,
    #[error(
        "Only the participant gives and withdraws consent, or a guardian who is in, for someone who takes part as a \
         participant."
    )]
    GuardianNeeded,
    #[error("The participant has given {CONSENTS_MAX} consents, as many as one may give.")]
    ConsentsExhausted,
    #[error("A private value is another person's.")]
    PrivateOfAnother { field: &'static str },
    #[error("This reason is not a host's or an admin's to give.")]
    EndReasonReserved,
}

impl Rejection for SessionRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::SessionNotLive => "SESSION_NOT_LIVE",
            Self::SessionAlreadyPrepared => "SESSION_ALREADY_PREPARED",
            Self::SessionNotReady => "SESSION_NOT_READY",
            Self::SessionNotInProgress => "SESSION_NOT_IN_PROGRESS",
            Self::SessionLocked => "SESSION_LOCKED",
            Self::SessionFull => "SESSION_FULL",
            Self::LobbyFull => "LOBBY_FULL",
            Self::ArrivalsExhausted => "ARRIVALS_EXHAUSTED",
            Self::UninvitedLobbyFull => "UNINVITED_LOBBY_FULL",
            Self::UninvitedArrivalsExhausted => "UNINVITED_ARRIVALS_EXHAUSTED",
            Self::PersonArrivalsExhausted => "PERSON_ARRIVALS_EXHAUSTED",
            Self::KnockNeeded => "KNOCK_NEEDED",
            Self::PersonBanned => "PERSON_BANNED",
            Self::PersonDenied => "PERSON_DENIED",
            Self::PersonAlreadyIn => "PERSON_ALREADY_IN",
            Self::TokenAlreadyRedeemed => "TOKEN_ALREADY_REDEEMED",
            Self::ParticipantAlreadyExists => "PARTICIPANT_ALREADY_EXISTS",
            Self::ParticipantNotFound => "PARTICIPANT_NOT_FOUND",
            Self::ParticipantNotKnocking => "PARTICIPANT_NOT_KNOCKING",
            Self::ParticipantNotAdmitted => "PARTICIPANT_NOT_ADMITTED",
            Self::ParticipantNotIn => "PARTICIPANT_NOT_IN",
            Self::ReconnectionTimedOut => "RECONNECTION_TIMED_OUT",
            Self::ReconnectionsExhausted => "RECONNECTIONS_EXHAUSTED",
            Self::DeadlineNotReached => "DEADLINE_NOT_REACHED",
            Self::Setting(setting) => setting.code(),
            Self::Invalid(invalid) => invalid.code(),
            Self::ExtensionOutOfRange => "EXTENSION_OUT_OF_RANGE",
            Self::DurationOutOfRange => "DURATION_OUT_OF_RANGE",
            Self::SessionSame => "SESSION_SAME",
            Self::GuardianNeeded => "GUARDIAN_NEEDED",
            Self::ConsentsExhausted => "CONSENTS_EXHAUSTED",
            Self::PrivateOfAnother { .. } => "PRIVATE_OF_ANOTHER",
            Self::EndReasonReserved => "END_REASON_RESERVED",
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::TokenAlreadyRedeemed => Some("joinToken"),
            Self::ParticipantAlreadyExists
            | Self::ParticipantNotFound
            | Self::ParticipantNotKnocking
            | Self::ParticipantNotAdmitted
            | Self::ParticipantNotIn => Some("participantId"),
            Self::Setting(setting) => setting.field(),
            Self::Invalid(invalid) => invalid.field(),
            Self::ExtensionOutOfRange | Self::DurationOutOfRange => Some("minutes"),
            Self::SessionSame => Some("toSessionId"),
            Self::GuardianNeeded => Some("participantId"),
            Self::PrivateOfAnother { field } => Some(field),
            Self::EndReasonReserved => Some("reason"),
            Self::SessionNotLive
            | Self::SessionAlreadyPrepared
            | Self::SessionNotReady
            | Self::SessionNotInProgress
            | Self::SessionLocked
            | Self::SessionFull
            | Self::LobbyFull
            | Self::ArrivalsExhausted
            | Self::UninvitedLobbyFull
            | Self::UninvitedArrivalsExhausted
            | Self::PersonArrivalsExhausted
            | Self::KnockNeeded
            | Self::PersonBanned
            | Self::PersonDenied
            | Self::PersonAlreadyIn
            | Self::ReconnectionTimedOut
            | Self::ReconnectionsExhausted
            | Self::ConsentsExhausted
            | Self::DeadlineNotReached => None,
        }
    }
}
