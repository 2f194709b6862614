//! One person's presence in one session: who they are, where they stand, and every step that led there.
//!
//! ```text
//! KNOCKING ──> ADMITTED ──> JOINED <──> RECONNECTING
//!     │            │          │ ^            │
//!     │            │          v │            │
//!     │            │        ON_HOLD <────────┤
//!     v            v          v              v
//! DENIED, WITHDRAWN, TIMED_OUT    LEFT, MOVED, REMOVED
//! ```
//!
//! The lower row is final. Who comes again, comes as a new participant of the same person; an admission is the person's
//! and lasts for the session.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    InvitationId, ParticipantId, PersonId, Private, SessionId, SessionRole, Timestamp, TokenId, UserId,
    text::SecretHash,
};

/// Who comes, and by which token: what a knock and a direct join have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    pub participant: ParticipantId,
    pub person: PersonId,
    /// The account, where the person came by one.
    pub user: Option<UserId>,
    /// The invitation, where the person came by one.
    pub invitation: Option<InvitationId>,
    pub role: SessionRole,
    pub display_name: Private,
    /// The person's id in a system of the organization.
    pub external_id: Option<Private>,
    /// What the person's browser says of itself.
    pub device: Option<Private>,
    /// The join token that this entry redeems.
    pub token: TokenId,
    /// The hash of the secret by which this participant comes in after an admission, and resumes after a drop.
    pub resume_secret_sha256: SecretHash,
    /// Whether a host sent them here from another session, whatever this room's policies say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
}

impl Arrival {
    /// Whether they come by a grant for anyone, or for who knows the password, and by nothing of their own.
    pub(crate) fn uninvited(&self) -> bool {
        self.user.is_none() && self.invitation.is_none()
    }

    /// The input field whose private value belongs to someone else than the person who comes.
    pub(crate) fn foreign_field(&self) -> Option<&'static str> {
        let values = [
            ("displayName", Some(&self.display_name)),
            ("externalId", self.external_id.as_ref()),
            ("device", self.device.as_ref()),
        ];
        let foreign = |value: Option<&Private>| value.is_some_and(|value| value.person != self.person);
        values.into_iter().find(|(_, value)| foreign(*value)).map(|(field, _)| field)
    }
}

/// Where a participant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantState {
    /// In the lobby, waiting for an answer.
    Knocking,
    /// May come in, and has not yet.
    Admitted,
    Denied,
    /// Went away from the lobby.
    Withdrawn,
    /// Waited in the lobby for too long.
    TimedOut,
    Joined,
    /// The connection is lost, the seat is kept for a while.
    Reconnecting,
    /// In, but neither heard nor seen and hearing and seeing nobody, until released.
    OnHold,
    /// Sent to another session.
    Moved,
    Left,
    Removed,
}

impl ParticipantState {
    pub const ALL: [Self; 11] = [
        Self::Knocking,
        Self::Admitted,
        Self::Denied,
        Self::Withdrawn,
        Self::TimedOut,
        Self::Joined,
        Self::Reconnecting,
        Self::OnHold,
        Self::Moved,
        Self::Left,
        Self::Removed,
    ];

    /// Whether the participant is in: counts towards the maximum, and keeps the session from being empty.
    pub const fn is_in(self) -> bool {
        matches!(self, Self::Joined | Self::Reconnecting | Self::OnHold)
    }

    /// Whether the participant is before the door: holds off the empty timeout, and doesn't count towards the maximum.
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Knocking | Self::Admitted)
    }

    /// Whether nothing more can happen to this participant.
    pub const fn is_final(self) -> bool {
        !self.is_in() && !self.is_waiting()
    }

    /// The arrows of the picture above.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Knocking => matches!(next, Self::Admitted | Self::Denied | Self::Withdrawn | Self::TimedOut),
            Self::Admitted => matches!(next, Self::Joined | Self::Denied | Self::Withdrawn | Self::TimedOut),
            Self::Joined => {
                matches!(next, Self::Reconnecting | Self::OnHold | Self::Moved | Self::Left | Self::Removed)
            }
            Self::Reconnecting => {
                matches!(next, Self::Joined | Self::OnHold | Self::Moved | Self::Left | Self::Removed)
            }
            Self::OnHold => {
                matches!(next, Self::Joined | Self::Reconnecting | Self::Moved | Self::Left | Self::Removed)
            }
            Self::Denied | Self::Withdrawn | Self::TimedOut | Self::Moved | Self::Left | Self::Removed => false,
        }
    }
}

/// Why a knock was answered with yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionGround {
    /// A host let them in.
    Host,
    /// The person was let in before: an admission lasts for the session.
    Earlier,
    /// The grant, or the room, sends nobody through the lobby.
    NoLobby,
}

/// Why a knock ended without an answer from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// The person went away.
    Withdrawn,
    /// The same person came again, and that entry took over.
    TakenOver,
}

/// Why a knock timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnockTimeoutReason {
    /// Nobody answered.
    Unanswered,
    /// It was answered with yes, and nobody came in.
    AdmissionUnused,
    /// The session ended first.
    SessionEnded,
}

/// Why a participant left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// The participant left.
    Left,
    /// The same person came in again, and that entry took over.
    TakenOver,
    /// The connection was lost and did not come back in time.
    ConnectionLost,
    SessionEnded,
}

/// Where a media stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    Microphone,
    Camera,
    Screen,
    ScreenAudio,
}

impl MediaSource {
    pub const ALL: [Self; 4] = [Self::Microphone, Self::Camera, Self::Screen, Self::ScreenAudio];

    pub const fn kind(self) -> StreamKind {
        match self {
            Self::Microphone | Self::ScreenAudio => StreamKind::Audio,
            Self::Camera | Self::Screen => StreamKind::Video,
        }
    }
}

/// What a media stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    Audio,
    Video,
}

/// What a person consents to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentPurpose {
    Recording,
    Transcription,
}

impl ConsentPurpose {
    pub const ALL: [Self; 2] = [Self::Recording, Self::Transcription];
}

/// A consent that was given, and perhaps withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub purpose: ConsentPurpose,
    /// The version of the text that was shown.
    pub text_version: String,
    /// The language it was shown in, a BCP 47 tag.
    pub language: String,
    /// The participant themselves, or a guardian.
    pub given_by: ParticipantId,
    pub given_at: Timestamp,
    pub withdrawn_at: Option<Timestamp>,
}

impl Consent {
    /// Whether it holds.
    pub const fn stands(&self) -> bool {
        self.withdrawn_at.is_none()
    }
}

/// One thing that happened to a participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantStep {
    Knocked,
    Admitted {
        ground: AdmissionGround,
    },
    Denied {
        reason: Option<Private>,
    },
    Withdrew {
        reason: WithdrawalReason,
    },
    /// Still knocking; the desk was alerted.
    KnockUnanswered,
    KnockTimedOut {
        reason: KnockTimeoutReason,
    },
    Joined,
    Dropped,
    Reconnected,
    Held,
    Released,
    Moved {
        to: SessionId,
    },
    Left {
        reason: LeaveReason,
    },
    Removed {
        ban: bool,
        reason: Option<Private>,
    },
    Muted {
        source: MediaSource,
    },
    Unmuted {
        source: MediaSource,
    },
    RoleChanged {
        from: SessionRole,
        to: SessionRole,
    },
}

/// A step and its recorded time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantMoment {
    pub at: Timestamp,
    pub step: ParticipantStep,
}

/// All that is known of one participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub participant: ParticipantId,
    pub person: PersonId,
    pub user: Option<UserId>,
    pub invitation: Option<InvitationId>,
    pub role: SessionRole,
    pub display_name: Private,
    pub external_id: Option<Private>,
    pub device: Option<Private>,
    pub resume_secret_sha256: SecretHash,
    /// As [`Arrival::moved`].
    pub moved: bool,
    pub state: ParticipantState,
    /// Since when the participant is in this state.
    pub since: Timestamp,
    /// When the desk was alerted because nobody had answered the knock.
    pub alerted_at: Option<Timestamp>,
    /// Put on hold by a host; stays so while the participant reconnects.
    pub held: bool,
    /// The sources that a host muted and that were not unmuted since.
    pub muted: BTreeSet<MediaSource>,
    /// In the order they were given.
    pub consents: Vec<Consent>,
    /// Every step, in order.
    pub timeline: Vec<ParticipantMoment>,
}

impl Participant {
    /// As [`Arrival::uninvited`].
    pub(crate) fn uninvited(&self) -> bool {
        self.user.is_none() && self.invitation.is_none()
    }

    /// Someone who just came: `state` is where they begin, knocking or joined.
    pub(crate) fn new(arrival: &Arrival, state: ParticipantState, step: ParticipantStep, at: Timestamp) -> Self {
        Self {
            participant: arrival.participant,
            person: arrival.person,
            user: arrival.user,
            invitation: arrival.invitation,
            role: arrival.role,
            display_name: arrival.display_name.clone(),
            external_id: arrival.external_id.clone(),
            device: arrival.device.clone(),
            resume_secret_sha256: arrival.resume_secret_sha256,
            moved: arrival.moved,
            state,
            since: at,
            alerted_at: None,
            held: false,
            muted: BTreeSet::new(),
            consents: Vec::new(),
            timeline: vec![ParticipantMoment { at, step }],
        }
    }

    /// The consent that holds for this purpose, if one does.
    pub fn consent(&self, purpose: ConsentPurpose) -> Option<&Consent> {
        self.consents.iter().find(|consent| consent.purpose == purpose && consent.stands())
    }

    /// How often the participant came back after a drop.
    pub(crate) fn reconnections_count(&self) -> usize {
        self.timeline.iter().filter(|moment| moment.step == ParticipantStep::Reconnected).count()
    }

    /// When the participant came in, if ever.
    pub fn joined_at(&self) -> Option<Timestamp> {
        let joined = self.timeline.iter().find(|moment| matches!(moment.step, ParticipantStep::Joined));
        joined.map(|moment| moment.at)
    }

    /// When it was over for this participant, in whichever way.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.state.is_final().then_some(self.since)
    }

    pub(crate) fn note(&mut self, step: ParticipantStep, at: Timestamp) {
        self.timeline.push(ParticipantMoment { at, step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_is_in_or_waiting_or_finished() {
        for state in ParticipantState::ALL {
            let kinds = [state.is_in(), state.is_waiting(), state.is_final()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{state:?}");
        }
    }

    #[test]
    fn nothing_leads_out_of_a_final_state() {
        for state in ParticipantState::ALL {
            let ways = ParticipantState::ALL.iter().filter(|next| state.may_become(**next)).count();
            assert_eq!(ways == 0, state.is_final(), "{state:?}");
        }
    }

    /// Product, section 4: the arrows, each written out.
    #[test]
    fn the_arrows_are_these() {
        use ParticipantState::*;
        let out = [Moved, Left, Removed];
        for (from, to) in [
            (Knocking, vec![Admitted, Denied, Withdrawn, TimedOut]),
            (Admitted, vec![Denied, Withdrawn, TimedOut, Joined]),
            (Joined, [&[Reconnecting, OnHold][..], &out].concat()),
            (Reconnecting, [&[Joined, OnHold][..], &out].concat()),
            (OnHold, [&[Joined, Reconnecting][..], &out].concat()),
        ] {
            let ways: Vec<_> = ParticipantState::ALL.into_iter().filter(|next| from.may_become(*next)).collect();
            assert_eq!(ways, to, "{from:?}");
        }
    }

    #[test]
    fn only_who_is_in_can_leave() {
        for state in ParticipantState::ALL {
            for after in [ParticipantState::Left, ParticipantState::Removed, ParticipantState::Moved] {
                assert_eq!(state.may_become(after), state.is_in(), "{state:?} to {after:?}");
            }
        }
    }
}
