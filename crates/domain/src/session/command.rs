//! What one may ask of a session. Every command carries `now`, the clock of whoever asks; `app` sets it.

use crate::{
    OrganizationId, ParticipantId, Private, RoomId, SessionId, SessionRole, Timestamp, UnitId,
    participant::{Arrival, ConsentPurpose, MediaSource},
    settings::{EffectiveSettings, Purpose, SettingValue},
};

use super::{EndReason, Opener};

/// Opens a session: the first command of its stream. Whether the room may be opened now is the room's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareSession {
    pub session: SessionId,
    pub organization: OrganizationId,
    pub unit: UnitId,
    pub room: RoomId,
    pub purpose: Purpose,
    /// The settings in force: copied, so that later changes of the room don't reach into this session.
    pub settings: EffectiveSettings,
    pub opened_by: Opener,
    /// The record that the session belongs to (a patient's file, say).
    pub record: Option<Private>,
    /// The closed session that this one continues.
    pub continues: Option<SessionId>,
    /// Whether media must get ready first; without, the session is ready at once.
    pub media_needed: bool,
    pub now: Timestamp,
}

/// Media is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkSessionReady {
    pub now: Timestamp,
}

/// Asks to be let in. Who needs no lobby, or was admitted before, is admitted at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    pub arrival: Arrival,
    /// Whether this person goes through the lobby: by their grant, or by the session's setting as it is now.
    pub lobby: bool,
    pub now: Timestamp,
}

/// Goes away from the lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawKnock {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmitParticipant {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// Admits everyone who is knocking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmitAll {
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyParticipant {
    pub participant: ParticipantId,
    /// Free text about the person, and theirs.
    pub reason: Option<Private>,
    pub now: Timestamp,
}

/// The system: a knock has no answer yet, and whoever sits at the desk should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkKnockUnanswered {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// The system: a knock waited for too long, or its admission did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutKnock {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// Comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSession {
    pub entry: Entry,
    pub now: Timestamp,
}

/// By which right someone comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A join token, redeemed by this join. `lobby` as in [`Knock`].
    Token { arrival: Box<Arrival>, lobby: bool },
    /// The admission after a knock; the token was redeemed by the knock.
    Admission { participant: ParticipantId },
}

/// The participant's connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropParticipant {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// The same participant is back, by the resume secret, which the caller has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectParticipant {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// The system: a dropped participant did not come back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOutReconnection {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveSession {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldParticipant {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// Ends a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseParticipant {
    pub participant: ParticipantId,
    pub now: Timestamp,
}

/// Sends a participant to another session. There they come in by a token of that session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveParticipant {
    pub participant: ParticipantId,
    pub to: SessionId,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveParticipant {
    pub participant: ParticipantId,
    /// Whether the person may never come back to this session.
    pub ban: bool,
    /// Free text about the person, and theirs.
    pub reason: Option<Private>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteParticipant {
    pub participant: ParticipantId,
    pub source: MediaSource,
    pub now: Timestamp,
}

/// Takes back a mute: by the participant, or by a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmuteParticipant {
    pub participant: ParticipantId,
    pub source: MediaSource,
    pub now: Timestamp,
}

/// Mutes this source of everyone who is in and doesn't moderate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteAll {
    pub source: MediaSource,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeParticipantRole {
    pub participant: ParticipantId,
    pub role: SessionRole,
    pub now: Timestamp,
}

/// Nobody new may knock or come in, but those who moderate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSession {
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockSession {
    pub now: Timestamp,
}

/// Moves the maximum duration out by so many minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendSession {
    pub minutes: u32,
    pub now: Timestamp,
}

/// The system: so many minutes are left until the maximum duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarnOfLimit {
    pub minutes_left: u32,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSessionSetting {
    pub value: SettingValue,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveConsent {
    pub participant: ParticipantId,
    pub purpose: ConsentPurpose,
    /// The version of the text that was shown: 1 to 64 visible ASCII characters.
    pub text_version: String,
    /// A BCP 47 tag.
    pub language: String,
    /// The participant, or a guardian who is in.
    pub given_by: ParticipantId,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawConsent {
    pub participant: ParticipantId,
    pub purpose: ConsentPurpose,
    /// The participant, or a guardian who is in.
    pub withdrawn_by: ParticipantId,
    pub now: Timestamp,
}

/// The session's media node was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterruptSession {
    pub now: Timestamp,
}

/// The session's media node was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeSession {
    pub now: Timestamp,
}

/// Ends the session for all. The walk through the rooms in `docs/architecture.md` follows this command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndSession {
    pub reason: EndReason,
    pub now: Timestamp,
}

/// The system: nobody was in, or at the door, for longer than the setting allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndEmptySession {
    pub now: Timestamp,
}

/// The system: nobody ever came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndUnattendedSession {
    pub now: Timestamp,
}

/// The system: the maximum duration is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndOverlongSession {
    pub now: Timestamp,
}

/// The system: the host left and did not come back within the minutes of the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndHostlessSession {
    pub now: Timestamp,
}

/// The system: media did not come back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndUnrecoveredSession {
    pub now: Timestamp,
}

macro_rules! commands {
    ($($command:ident),* $(,)?) => {
        /// Any command to a session.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum SessionCommand {
            $($command($command),)*
        }

        impl SessionCommand {
            /// The command's name, for example `EndSession`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$command(_) => stringify!($command),)*
                }
            }

            /// Whether it asks for the session's end: which then holds, when the session is closed.
            pub const fn ends_session(&self) -> bool {
                matches!(
                    self,
                    Self::EndSession(_)
                        | Self::EndEmptySession(_)
                        | Self::EndUnattendedSession(_)
                        | Self::EndOverlongSession(_)
                        | Self::EndHostlessSession(_)
                        | Self::EndUnrecoveredSession(_)
                )
            }

            /// The same command by another clock.
            #[cfg(test)]
            pub(crate) fn set_now(&mut self, now: Timestamp) {
                match self {
                    $(Self::$command(command) => command.now = now,)*
                }
            }

            /// The caller's clock.
            pub const fn now(&self) -> Timestamp {
                match self {
                    $(Self::$command(command) => command.now,)*
                }
            }
        }

        $(impl From<$command> for SessionCommand {
            fn from(command: $command) -> Self {
                Self::$command(command)
            }
        })*
    };
}

commands! {
    PrepareSession,
    MarkSessionReady,
    Knock,
    WithdrawKnock,
    AdmitParticipant,
    AdmitAll,
    DenyParticipant,
    MarkKnockUnanswered,
    TimeOutKnock,
    JoinSession,
    DropParticipant,
    ReconnectParticipant,
    TimeOutReconnection,
    LeaveSession,
    HoldParticipant,
    ReleaseParticipant,
    MoveParticipant,
    RemoveParticipant,
    MuteParticipant,
    UnmuteParticipant,
    MuteAll,
    ChangeParticipantRole,
    LockSession,
    UnlockSession,
    ExtendSession,
    WarnOfLimit,
    ChangeSessionSetting,
    GiveConsent,
    WithdrawConsent,
    InterruptSession,
    ResumeSession,
    EndSession,
    EndEmptySession,
    EndUnattendedSession,
    EndOverlongSession,
    EndHostlessSession,
    EndUnrecoveredSession,
}
