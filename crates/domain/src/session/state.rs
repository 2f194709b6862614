//! A session as its events tell it: what commands are decided on, what the read model stores, and what is shown, for now
//! and for any past moment. Its fields are to be read; only `evolve` writes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    OrganizationId, ParticipantId, PersonId, Private, RoomId, SessionId, Timestamp, TokenId, UnitId,
    chat::ChatStanding,
    media::MediaStanding,
    participant::{Participant, ParticipantState},
    settings::{EffectiveSettings, Purpose, SettingValue, WhenHostLeaves},
};

use super::{EndReason, Opener};

/// A session's phase: nothing yet, live, or closed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionState {
    #[default]
    Absent,
    Live(Box<SessionRecord>),
    Closed(Box<SessionRecord>),
}

impl SessionState {
    /// What is known of the session; none before it was prepared.
    pub fn record(&self) -> Option<&SessionRecord> {
        match self {
            Self::Absent => None,
            Self::Live(facts) | Self::Closed(facts) => Some(facts),
        }
    }

    /// The session while it is live.
    pub fn live(&self) -> Option<&SessionRecord> {
        match self {
            Self::Live(facts) => Some(facts),
            Self::Absent | Self::Closed(_) => None,
        }
    }

    /// What this participant may do in the session's chat: the fact that a command to the chat's stream carries.
    pub fn chat_standing(&self, participant: ParticipantId) -> ChatStanding {
        let Some(facts) = self.live() else {
            return ChatStanding::SessionNotLive;
        };
        match facts.participant(participant) {
            Some(found) if found.state.is_in() => ChatStanding::In {
                person: found.person,
                moderates: found.role.moderates(),
                chat: facts.settings.values.chat,
            },
            Some(_) | None => ChatStanding::NotIn,
        }
    }

    /// What this participant may publish in the session: the fact that a command to its media's stream carries.
    pub fn media_standing(&self, participant: ParticipantId) -> MediaStanding {
        let Some(facts) = self.live() else {
            return MediaStanding::SessionNotLive;
        };
        match facts.participant(participant) {
            Some(found) if found.state.is_in() => MediaStanding::In {
                role: found.role,
                held: found.held,
                muted: found.muted.clone(),
                who_may_publish: facts.settings.values.who_may_publish,
                screen_share: facts.settings.values.screen_share,
                interrupted: facts.interrupted_since.is_some(),
            },
            Some(_) | None => MediaStanding::NotIn,
        }
    }
}

/// Where a session stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Media is getting ready.
    Preparing,
    /// Nobody has come yet.
    Ready,
    /// People knock, or are in and wait for the host.
    Waiting,
    InProgress,
    /// Its media node is lost.
    Interrupted,
    Closed,
}

impl SessionStatus {
    pub const ALL: [Self; 6] =
        [Self::Preparing, Self::Ready, Self::Waiting, Self::InProgress, Self::Interrupted, Self::Closed];

    /// The arrows of product.md, section 4.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Preparing => matches!(next, Self::Ready | Self::Closed),
            Self::Ready => matches!(next, Self::Waiting | Self::InProgress | Self::Closed),
            Self::Waiting => matches!(next, Self::InProgress | Self::Closed),
            Self::InProgress => matches!(next, Self::Waiting | Self::Interrupted | Self::Closed),
            Self::Interrupted => matches!(next, Self::InProgress | Self::Closed),
            Self::Closed => false,
        }
    }
}

/// Since when a session had a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    pub at: Timestamp,
    pub status: SessionStatus,
}

/// A setting that got another value during the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    pub at: Timestamp,
    pub value: SettingValue,
}

/// When and why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    pub at: Timestamp,
    pub reason: EndReason,
}

/// All that is known of one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    pub session: SessionId,
    pub organization: OrganizationId,
    pub unit: UnitId,
    pub room: RoomId,
    pub purpose: Purpose,
    pub opened_by: Opener,
    /// The record that the session belongs to (a patient's file, say).
    pub record: Option<Private>,
    /// The closed session that this one continues.
    pub continues: Option<SessionId>,
    /// In force now (in a closed session: at its end), each with the level that it comes from.
    pub settings: EffectiveSettings,
    /// What changed since the session was prepared, in order.
    pub setting_changes: Vec<SettingChange>,
    pub status: SessionStatus,
    /// Every status it had, in order; the last one is `status`.
    pub status_changes: Vec<StatusChange>,
    /// Everyone who knocked or joined, in the order they came.
    pub participants: Vec<Participant>,
    /// Since when nobody new may come in.
    pub locked_since: Option<Timestamp>,
    pub prepared_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    pub first_joined_at: Option<Timestamp>,
    /// When it was in progress for the first time.
    pub started_at: Option<Timestamp>,
    pub finish: Option<Finish>,
    /// How many are in now.
    pub present_count: u32,
    /// How many are knocking, or admitted and not yet in.
    pub waiting_count: u32,
    /// How many of those who are in moderate.
    pub moderators_count: u32,
    /// The most that were in at once.
    pub present_peak: u32,
    /// Since when nobody is in or at the door.
    pub empty_since: Option<Timestamp>,
    /// Since when no host is in, after one was.
    pub host_away_since: Option<Timestamp>,
    /// Since when the media node is lost.
    pub interrupted_since: Option<Timestamp>,
    /// The warnings (in minutes before the maximum duration) that were given for the maximum in force.
    pub warned_minutes: BTreeSet<u32>,
    /// Who redeemed which join token.
    pub redeemed_tokens: BTreeMap<TokenId, ParticipantId>,
    /// The people who may come in without asking again.
    pub admitted: BTreeSet<PersonId>,
    /// The people whose last knock was denied.
    pub denied: BTreeSet<PersonId>,
    /// The people who may not come back.
    pub banned: BTreeSet<PersonId>,
}

impl SessionRecord {
    pub fn participant(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.participant == id)
    }

    /// Everyone who is in, in the order they came.
    pub fn present(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(|participant| participant.state.is_in())
    }

    /// Everyone who is knocking, in the order they came.
    pub fn knocking(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(|participant| participant.state == ParticipantState::Knocking)
    }

    /// How many participants there were in all: those who came in at least once.
    pub fn joined_count(&self) -> usize {
        self.participants.iter().filter(|participant| participant.joined_at().is_some()).count()
    }

    /// Whether nobody new may come in.
    pub fn is_locked(&self) -> bool {
        self.locked_since.is_some()
    }

    /// What the maximum duration counts from: the start, and before it the first join. None while nobody has come in.
    pub fn duration_counts_from(&self) -> Option<Timestamp> {
        self.started_at.or(self.first_joined_at)
    }

    /// When the maximum duration will be over, if it is counting.
    pub fn duration_ends_at(&self) -> Option<Timestamp> {
        let seconds = u64::from(self.settings.values.duration_max_minutes) * 60;
        self.duration_counts_from().map(|from| from.plus_seconds(seconds))
    }

    /// Whether those who are in wait for a host.
    pub(super) fn awaits_host(&self) -> bool {
        if self.moderators_count > 0 {
            return false;
        }
        match self.started_at {
            None => self.settings.values.wait_for_host,
            Some(_) => self.host_away_since.is_some() && self.settings.values.when_host_leaves == WhenHostLeaves::Hold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SessionStatus::{self, *};

    /// Product, section 4: the table, row by row.
    #[test]
    fn the_table_of_a_session_s_life() {
        for (from, to) in [
            (Preparing, vec![Ready, Closed]),
            (Ready, vec![Waiting, InProgress, Closed]),
            (Waiting, vec![InProgress, Closed]),
            (InProgress, vec![Waiting, Interrupted, Closed]),
            (Interrupted, vec![InProgress, Closed]),
            (Closed, vec![]),
        ] {
            let ways: Vec<_> = SessionStatus::ALL.into_iter().filter(|next| from.may_become(*next)).collect();
            assert_eq!(ways, to, "{from:?}");
        }
    }
}
