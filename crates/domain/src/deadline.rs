//! What a session, or who waits at the desk, is waiting for, and until when: a pure function of its state, so that a restart
//! finds every deadline again. When one is reached, `app` issues its command; the decider verifies it against the state and
//! the clock.

use crate::{
    ParticipantId, Timestamp,
    invitation::{InvitationCommand, InvitationState, MarkWaitUnanswered, TimeOutWait},
    participant::{Participant, ParticipantState},
    session::{
        EndEmptySession, EndHostlessSession, EndOverlongSession, EndUnattendedSession, EndUnrecoveredSession,
        MarkKnockUnanswered, SessionCommand, SessionRecord, SessionState, TimeOutKnock, TimeOutReconnection,
        WarnOfLimit,
    },
    settings::WhenHostLeaves,
};

/// How long a dropped participant keeps their seat.
pub const RECONNECT_SECONDS_MAX: u64 = 30;
/// After how long a knock that has no answer alerts the desk of its unit; an invitee who waits there, too.
pub const KNOCK_ALERT_SECONDS: u64 = 2 * 60;
/// How long a knock waits for an answer, and an invitee at the desk for a session.
pub const KNOCK_SECONDS_MAX: u64 = 15 * 60;
/// How long an admitted participant may take to come in.
pub const ADMISSION_SECONDS_MAX: u64 = 5 * 60;
/// How long a session waits for anyone to come, where its empty timeout is shorter: people open a room before it's time.
pub const NOBODY_CAME_SECONDS_MIN: u64 = 30 * 60;
/// How long a session waits for its media to be replaced.
pub const MEDIA_RECOVERY_SECONDS_MAX: u64 = 5 * 60;
/// How many minutes before the maximum duration people are warned, the earliest first.
pub const LIMIT_WARNING_MINUTES: [u32; 2] = [10, 2];

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineKind {
    /// A knock has no answer yet: the desk is to know.
    KnockAlert { participant: ParticipantId },
    /// A knock goes unanswered, or an admission unused.
    Knock { participant: ParticipantId },
    /// A dropped participant has left.
    Reconnection { participant: ParticipantId },
    /// The session was empty for too long.
    Empty,
    /// Nobody ever came.
    Unattended,
    /// The maximum duration is near.
    LimitWarning { minutes_left: u32 },
    /// The maximum duration is over.
    Duration,
    /// The host is away for too long.
    Hostless,
    /// Media is gone for too long.
    Recovery,
}

/// Something that happens by itself unless the session changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline {
    pub at: Timestamp,
    pub kind: DeadlineKind,
}

impl Deadline {
    /// The command to issue once it is reached.
    pub fn command(&self, now: Timestamp) -> SessionCommand {
        match self.kind {
            DeadlineKind::KnockAlert { participant } => MarkKnockUnanswered { participant, now }.into(),
            DeadlineKind::Knock { participant } => TimeOutKnock { participant, now }.into(),
            DeadlineKind::Reconnection { participant } => TimeOutReconnection { participant, now }.into(),
            DeadlineKind::Empty => EndEmptySession { now }.into(),
            DeadlineKind::Unattended => EndUnattendedSession { now }.into(),
            DeadlineKind::LimitWarning { minutes_left } => WarnOfLimit { minutes_left, now }.into(),
            DeadlineKind::Duration => EndOverlongSession { now }.into(),
            DeadlineKind::Hostless => EndHostlessSession { now }.into(),
            DeadlineKind::Recovery => EndUnrecoveredSession { now }.into(),
        }
    }
}

/// Every deadline of the session, the next one first; none when it is not live.
pub fn deadlines(session: &SessionState) -> Vec<Deadline> {
    let Some(session) = session.live() else {
        return Vec::new();
    };
    let mut deadlines = Vec::new();
    let mut due = |at: Option<Timestamp>, kind| deadlines.extend(at.map(|at| Deadline { at, kind }));
    for participant in &session.participants {
        let id = participant.participant;
        due(knock_alerts_at(participant), DeadlineKind::KnockAlert { participant: id });
        due(knock_times_out_at(participant), DeadlineKind::Knock { participant: id });
        due(reconnection_times_out_at(participant), DeadlineKind::Reconnection { participant: id });
    }
    for minutes_left in LIMIT_WARNING_MINUTES {
        if !session.warned_minutes.contains(&minutes_left) {
            due(warning_due_at(session, minutes_left), DeadlineKind::LimitWarning { minutes_left });
        }
    }
    due(empty_at(session), DeadlineKind::Empty);
    due(unattended_at(session), DeadlineKind::Unattended);
    due(session.duration_ends_at(), DeadlineKind::Duration);
    due(hostless_at(session), DeadlineKind::Hostless);
    due(unrecovered_at(session), DeadlineKind::Recovery);
    deadlines.sort_by_key(|deadline| deadline.at);
    deadlines
}

/// What is due of an invitee who waits at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeskDeadlineKind {
    /// The desk is to know.
    Alert,
    /// They have waited for too long.
    TimeOut,
}

/// As [`Deadline`], of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeskDeadline {
    pub at: Timestamp,
    pub kind: DeskDeadlineKind,
}

impl DeskDeadline {
    /// The command to issue once it is reached.
    pub fn command(&self, now: Timestamp) -> InvitationCommand {
        match self.kind {
            DeskDeadlineKind::Alert => MarkWaitUnanswered { now }.into(),
            DeskDeadlineKind::TimeOut => TimeOutWait { now }.into(),
        }
    }
}

/// Every deadline of the wait by this invitation, the next one first; none where nobody waits.
pub fn desk_deadlines(invitation: &InvitationState) -> Vec<DeskDeadline> {
    let alert = invitation.wait_alerts_at().map(|at| DeskDeadline { at, kind: DeskDeadlineKind::Alert });
    let time_out = invitation.wait_times_out_at().map(|at| DeskDeadline { at, kind: DeskDeadlineKind::TimeOut });
    let mut deadlines: Vec<_> = alert.into_iter().chain(time_out).collect();
    deadlines.sort_by_key(|deadline| deadline.at);
    deadlines
}

/// When the desk is to be alerted of the participant's knock; none once it was.
pub fn knock_alerts_at(participant: &Participant) -> Option<Timestamp> {
    let waits = participant.state == ParticipantState::Knocking && participant.alerted_at.is_none();
    waits.then(|| participant.since.plus_seconds(KNOCK_ALERT_SECONDS))
}

/// When the participant's knock, or their admission, times out.
pub fn knock_times_out_at(participant: &Participant) -> Option<Timestamp> {
    match participant.state {
        ParticipantState::Knocking => Some(participant.since.plus_seconds(KNOCK_SECONDS_MAX)),
        ParticipantState::Admitted => Some(participant.since.plus_seconds(ADMISSION_SECONDS_MAX)),
        ParticipantState::Denied
        | ParticipantState::Withdrawn
        | ParticipantState::TimedOut
        | ParticipantState::Joined
        | ParticipantState::Reconnecting
        | ParticipantState::OnHold
        | ParticipantState::Moved
        | ParticipantState::Left
        | ParticipantState::Removed => None,
    }
}

/// When a dropped participant has left.
pub fn reconnection_times_out_at(participant: &Participant) -> Option<Timestamp> {
    let dropped = participant.state == ParticipantState::Reconnecting;
    dropped.then(|| participant.since.plus_seconds(RECONNECT_SECONDS_MAX))
}

/// When a session that people were in ends because nobody is.
pub fn empty_at(session: &SessionRecord) -> Option<Timestamp> {
    session.first_joined_at.and(session.empty_since).map(|since| since.plus_seconds(empty_timeout_seconds(session)))
}

/// When a session that nobody has come into ends.
pub fn unattended_at(session: &SessionRecord) -> Option<Timestamp> {
    if session.first_joined_at.is_some() {
        return None;
    }
    let seconds = empty_timeout_seconds(session).max(NOBODY_CAME_SECONDS_MIN);
    session.empty_since.map(|since| since.plus_seconds(seconds))
}

/// When people are to be warned that `minutes_left` (one of [`LIMIT_WARNING_MINUTES`]) are left. A session that is
/// shorter than that gets no such warning.
pub fn warning_due_at(session: &SessionRecord, minutes_left: u32) -> Option<Timestamp> {
    let allowed = session.settings.values.duration_max_minutes;
    if !LIMIT_WARNING_MINUTES.contains(&minutes_left) || minutes_left >= allowed {
        return None;
    }
    let seconds = u64::from(allowed - minutes_left) * 60;
    session.duration_counts_from().map(|from| from.plus_seconds(seconds))
}

/// When the session ends because its host has left, where the setting says so.
pub fn hostless_at(session: &SessionRecord) -> Option<Timestamp> {
    match session.settings.values.when_host_leaves {
        WhenHostLeaves::Continue | WhenHostLeaves::Hold => None,
        WhenHostLeaves::EndAfter { minutes } => {
            session.host_away_since.map(|since| since.plus_seconds(u64::from(minutes) * 60))
        }
    }
}

/// When the session ends because its media did not come back.
pub fn unrecovered_at(session: &SessionRecord) -> Option<Timestamp> {
    session.interrupted_since.map(|since| since.plus_seconds(MEDIA_RECOVERY_SECONDS_MAX))
}

fn empty_timeout_seconds(session: &SessionRecord) -> u64 {
    u64::from(session.settings.values.empty_timeout_minutes) * 60
}
