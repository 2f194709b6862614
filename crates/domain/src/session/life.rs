//! Preparing a session, its limits and settings, and its end.

use crate::{
    Timestamp, deadline,
    participant::{KnockTimeoutReason, LeaveReason},
    settings::{DURATION_MINUTES_MAX, SettingName, SettingRejection},
};

use super::{
    ChangeSessionSetting, Decision, EXTENSION_MINUTES_MAX, EndReason, EndSession, ExtendSession,
    KnockTimedOut, LimitWarned, NOTHING, ParticipantLeft, PrepareSession, SessionEnded,
    SessionExtended, SessionFacts, SessionInterrupted, SessionPrepared, SessionReady,
    SessionRejection, SessionResumed, SessionStatus, SettingChanged, WarnOfLimit,
};

pub(super) fn prepare_session(command: &PrepareSession) -> Decision {
    let prepared = SessionPrepared {
        session: command.session,
        organization: command.organization,
        unit: command.unit,
        room: command.room,
        purpose: command.purpose,
        settings: Box::new(command.settings.clone()),
        opened_by: command.opened_by,
        record: command.record.clone(),
        continues: command.continues,
    };
    let mut events = vec![prepared.into()];
    if !command.media_needed {
        events.push(SessionReady {}.into());
    }
    Ok(events)
}

pub(super) fn prepare_session_again(session: &SessionFacts, command: &PrepareSession) -> Decision {
    let same = session.session == command.session
        && session.organization == command.organization
        && session.unit == command.unit
        && session.room == command.room
        && session.opened_by == command.opened_by
        && session.record == command.record
        && session.continues == command.continues;
    if same {
        NOTHING
    } else {
        Err(SessionRejection::SessionAlreadyPrepared)
    }
}

pub(super) fn mark_session_ready(session: &SessionFacts) -> Decision {
    if session.ready_at.is_some() {
        NOTHING
    } else {
        Ok(vec![SessionReady {}.into()])
    }
}

pub(super) fn extend_session(session: &SessionFacts, command: &ExtendSession) -> Decision {
    if session
        .settings
        .locked
        .contains(&SettingName::DurationMaxMinutes)
    {
        return Err(SettingRejection::SettingLocked(SettingName::DurationMaxMinutes).into());
    }
    if !(1..=EXTENSION_MINUTES_MAX).contains(&command.minutes) {
        return Err(SessionRejection::ExtensionOutOfRange);
    }
    if session
        .settings
        .values
        .duration_max_minutes
        .saturating_add(command.minutes)
        > DURATION_MINUTES_MAX
    {
        return Err(SessionRejection::DurationOutOfRange);
    }
    Ok(vec![
        SessionExtended {
            minutes: command.minutes,
        }
        .into(),
    ])
}

pub(super) fn warn_of_limit(session: &SessionFacts, command: &WarnOfLimit) -> Decision {
    if session.warned_minutes.contains(&command.minutes_left) {
        return NOTHING;
    }
    reached(
        deadline::warning_due_at(session, command.minutes_left),
        command.now,
    )?;
    Ok(vec![
        LimitWarned {
            minutes_left: command.minutes_left,
        }
        .into(),
    ])
}

pub(super) fn change_session_setting(
    session: &SessionFacts,
    command: &ChangeSessionSetting,
) -> Decision {
    session.settings.check_in_session(&command.value)?;
    if session.settings.values.get(command.value.name()) == command.value {
        return NOTHING;
    }
    Ok(vec![
        SettingChanged {
            value: command.value.clone(),
        }
        .into(),
    ])
}

pub(super) fn interrupt_session(session: &SessionFacts) -> Decision {
    match session.status {
        SessionStatus::Interrupted => NOTHING,
        SessionStatus::InProgress => Ok(vec![SessionInterrupted {}.into()]),
        SessionStatus::Preparing
        | SessionStatus::Ready
        | SessionStatus::Waiting
        | SessionStatus::Closed => Err(SessionRejection::SessionNotInProgress),
    }
}

pub(super) fn resume_session(session: &SessionFacts) -> Decision {
    match session.status {
        SessionStatus::Interrupted => Ok(vec![SessionResumed {}.into()]),
        SessionStatus::InProgress | SessionStatus::Waiting => NOTHING,
        SessionStatus::Preparing | SessionStatus::Ready | SessionStatus::Closed => {
            Err(SessionRejection::SessionNotInProgress)
        }
    }
}

pub(super) fn end_session(session: &SessionFacts, command: &EndSession) -> Decision {
    match command.reason {
        EndReason::EndedByHost | EndReason::EndedByAdmin | EndReason::RoomDisabled => {
            Ok(end(session, command.reason))
        }
        // These have a deadline to be verified, and a command that does so.
        EndReason::Empty
        | EndReason::NobodyCame
        | EndReason::MaximumDuration
        | EndReason::HostLeft
        | EndReason::MediaNotRecovered => Err(SessionRejection::EndReasonReserved),
    }
}

pub(super) fn end_empty_session(session: &SessionFacts, now: Timestamp) -> Decision {
    reached(deadline::empty_at(session), now)?;
    Ok(end(session, EndReason::Empty))
}

pub(super) fn end_unattended_session(session: &SessionFacts, now: Timestamp) -> Decision {
    reached(deadline::unattended_at(session), now)?;
    Ok(end(session, EndReason::NobodyCame))
}

pub(super) fn end_overlong_session(session: &SessionFacts, now: Timestamp) -> Decision {
    reached(session.duration_ends_at(), now)?;
    Ok(end(session, EndReason::MaximumDuration))
}

pub(super) fn end_hostless_session(session: &SessionFacts, now: Timestamp) -> Decision {
    reached(deadline::hostless_at(session), now)?;
    Ok(end(session, EndReason::HostLeft))
}

pub(super) fn end_unrecovered_session(session: &SessionFacts, now: Timestamp) -> Decision {
    reached(deadline::unrecovered_at(session), now)?;
    Ok(end(session, EndReason::MediaNotRecovered))
}

/// Everyone is set left (and those at the door timed out), then the session is ended: one append.
fn end(session: &SessionFacts, reason: EndReason) -> Vec<super::SessionEvent> {
    let mut events = Vec::new();
    for participant in &session.participants {
        let participant_id = participant.participant;
        if participant.state.is_in() {
            events.push(
                ParticipantLeft {
                    participant: participant_id,
                    reason: LeaveReason::SessionEnded,
                }
                .into(),
            );
        } else if participant.state.is_waiting() {
            let reason = KnockTimeoutReason::SessionEnded;
            events.push(
                KnockTimedOut {
                    participant: participant_id,
                    reason,
                }
                .into(),
            );
        }
    }
    events.push(SessionEnded { reason }.into());
    events
}

/// A deadline that the system names is checked against the state and the clock: a late or doubled timer does no harm.
pub(super) fn reached(due_at: Option<Timestamp>, now: Timestamp) -> Result<(), SessionRejection> {
    if due_at.is_some_and(|due_at| due_at <= now) {
        Ok(())
    } else {
        Err(SessionRejection::DeadlineNotReached)
    }
}
