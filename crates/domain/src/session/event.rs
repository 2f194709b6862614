//! What happened in a session. Each struct is the stored payload; each has a golden file.

use serde::{Deserialize, Serialize};

use crate::{
    InvitationId, OrganizationId, ParticipantId, Private, RoomId, SessionId, SessionRole, UnitId, UserId,
    participant::{
        AdmissionGround, Arrival, ConsentPurpose, KnockTimeoutReason, LeaveReason, MediaSource, WithdrawalReason,
    },
    settings::{EffectiveSettings, Purpose, SettingValue},
};

/// Who opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opener {
    User(UserId),
    /// Someone with an invitation, to a room that invitees may open.
    Invitee(InvitationId),
    /// Someone with the password, or anyone, to a room that they may open.
    Guest,
    System,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    EndedByHost,
    EndedByAdmin,
    /// Nobody was in for longer than the empty timeout.
    Empty,
    /// Nobody ever came.
    NobodyCame,
    /// It lasted longer than the maximum.
    MaximumDuration,
    /// The host left and did not come back.
    HostLeft,
    RoomDisabled,
    MediaNotRecovered,
}

impl EndReason {
    pub const ALL: [Self; 8] = [
        Self::EndedByHost,
        Self::EndedByAdmin,
        Self::Empty,
        Self::NobodyCame,
        Self::MaximumDuration,
        Self::HostLeft,
        Self::RoomDisabled,
        Self::MediaNotRecovered,
    ];
}

/// The session began: with its settings, copied from the levels that they come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPrepared {
    pub session: SessionId,
    pub organization: OrganizationId,
    pub unit: UnitId,
    pub room: RoomId,
    pub purpose: Purpose,
    pub settings: Box<EffectiveSettings>,
    pub opened_by: Opener,
    pub record: Option<Private>,
    pub continues: Option<SessionId>,
}

/// Media is ready for the session, or not needed: people may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReady {}

/// Someone came to the session's door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantKnocked {
    pub arrival: Box<Arrival>,
}

/// Whoever knocked may come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantAdmitted {
    pub participant: ParticipantId,
    pub ground: AdmissionGround,
}

/// Whoever knocked may not come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantDenied {
    pub participant: ParticipantId,
    pub reason: Option<Private>,
}

/// Whoever was at the door is gone from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnockWithdrawn {
    pub participant: ParticipantId,
    pub reason: WithdrawalReason,
}

/// Nobody has answered for a while: the desk of the unit is alerted. The knock waits on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnockUnanswered {
    pub participant: ParticipantId,
}

/// Nobody answered the knock in time, or an admission was not used in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnockTimedOut {
    pub participant: ParticipantId,
    pub reason: KnockTimeoutReason,
}

/// Someone is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantJoined {
    pub participant: ParticipantId,
    /// Who came, where they came in without a knock; after a knock, that event says it.
    pub arrival: Option<Box<Arrival>>,
}

/// The last connection of someone who is in was lost: they are reconnecting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantDropped {
    pub participant: ParticipantId,
}

/// Someone who had dropped is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantReconnected {
    pub participant: ParticipantId,
}

/// Someone who was in is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantLeft {
    pub participant: ParticipantId,
    pub reason: LeaveReason,
}

/// A host put someone on hold: they are in, and neither hear nor are heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantHeld {
    pub participant: ParticipantId,
}

/// The hold is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantReleased {
    pub participant: ParticipantId,
}

/// A host moved someone to another session: they are out of this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantMoved {
    pub participant: ParticipantId,
    pub to: SessionId,
}

/// A host sent someone away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRemoved {
    pub participant: ParticipantId,
    pub ban: bool,
    pub reason: Option<Private>,
}

/// A host stopped what someone sends from this source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantMuted {
    pub participant: ParticipantId,
    pub source: MediaSource,
}

/// A host took the mute back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantUnmuted {
    pub participant: ParticipantId,
    pub source: MediaSource,
}

/// Someone has another role in this session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParticipantRoleChanged {
    pub participant: ParticipantId,
    pub role: SessionRole,
}

/// Nobody new comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLocked {}

/// People may come in again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUnlocked {}

/// The session may last longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionExtended {
    /// By so many.
    pub minutes: u32,
}

/// The session ends by its maximum duration in so many minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitWarned {
    pub minutes_left: u32,
}

/// A setting of this session was changed while it was live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChanged {
    pub value: SettingValue,
}

/// A participant consented, or their guardian for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentGiven {
    pub participant: ParticipantId,
    pub purpose: ConsentPurpose,
    pub text_version: String,
    pub language: String,
    pub given_by: ParticipantId,
}

/// A consent holds no more from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentWithdrawn {
    pub participant: ParticipantId,
    pub purpose: ConsentPurpose,
}

/// The media of the session was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInterrupted {}

/// The media of the session is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionResumed {}

/// The session is over; everybody who was in has left before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    pub reason: EndReason,
}

crate::events! {
    /// Any event of a session.
    pub enum SessionEvent of "session" {
        SessionPrepared,
        SessionReady,
        ParticipantKnocked,
        ParticipantAdmitted,
        ParticipantDenied,
        KnockWithdrawn,
        KnockUnanswered,
        KnockTimedOut,
        ParticipantJoined,
        ParticipantDropped,
        ParticipantReconnected,
        ParticipantLeft,
        ParticipantHeld,
        ParticipantReleased,
        ParticipantMoved,
        ParticipantRemoved,
        ParticipantMuted,
        ParticipantUnmuted,
        ParticipantRoleChanged,
        SessionLocked,
        SessionUnlocked,
        SessionExtended,
        LimitWarned,
        SettingChanged,
        ConsentGiven,
        ConsentWithdrawn,
        SessionInterrupted,
        SessionResumed,
        SessionEnded,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Session, scene::*};
    use super::*;
    use crate::{golden, settings::DuplicateEntry};

    #[test]
    fn golden_files() {
        let participant = ParticipantId(1);
        let reason = Some(private(PATIENT, "a reason"));
        let mut settings = Box::new(EffectiveSettings::default());
        settings.set_in_session(SettingValue::DuplicateEntry(DuplicateEntry::Refuse));
        let samples: Vec<SessionEvent> = vec![
            SessionPrepared {
                session: SESSION,
                organization: OrganizationId(7),
                unit: UnitId(8),
                room: RoomId(9),
                purpose: Purpose::Consultation,
                settings,
                opened_by: Opener::User(UserId(1)),
                record: Some(private(PATIENT, "file 4711")),
                continues: Some(SessionId(99)),
            }
            .into(),
            SessionReady {}.into(),
            ParticipantKnocked { arrival: Box::new(arrival(1, PATIENT, SessionRole::Participant)) }.into(),
            ParticipantAdmitted { participant, ground: AdmissionGround::Host }.into(),
            ParticipantDenied { participant, reason: reason.clone() }.into(),
            KnockWithdrawn { participant, reason: WithdrawalReason::TakenOver }.into(),
            KnockUnanswered { participant }.into(),
            KnockTimedOut { participant, reason: KnockTimeoutReason::Unanswered }.into(),
            ParticipantJoined { participant, arrival: Some(Box::new(arrival(1, DOCTOR, SessionRole::Host))) }.into(),
            ParticipantDropped { participant }.into(),
            ParticipantReconnected { participant }.into(),
            ParticipantLeft { participant, reason: LeaveReason::ConnectionLost }.into(),
            ParticipantHeld { participant }.into(),
            ParticipantReleased { participant }.into(),
            ParticipantMoved { participant, to: SessionId(101) }.into(),
            ParticipantRemoved { participant, ban: true, reason }.into(),
            ParticipantMuted { participant, source: MediaSource::ScreenAudio }.into(),
            ParticipantUnmuted { participant, source: MediaSource::Microphone }.into(),
            ParticipantRoleChanged { participant, role: SessionRole::CoHost }.into(),
            SessionLocked {}.into(),
            SessionUnlocked {}.into(),
            SessionExtended { minutes: 15 }.into(),
            LimitWarned { minutes_left: 10 }.into(),
            SettingChanged { value: SettingValue::Lobby(true) }.into(),
            ConsentGiven {
                participant,
                purpose: ConsentPurpose::Recording,
                text_version: "2026-03.1".to_owned(),
                language: "de-CH".to_owned(),
                given_by: ParticipantId(2),
            }
            .into(),
            ConsentWithdrawn { participant, purpose: ConsentPurpose::Transcription }.into(),
            SessionInterrupted {}.into(),
            SessionResumed {}.into(),
            SessionEnded { reason: EndReason::EndedByHost }.into(),
        ];
        golden::check::<Session>(&samples);
    }
}
