//! Preparing a session, its limits and settings, and its end.

use crate::{
    Timestamp, deadline,
    participant::{KnockTimeoutReason, LeaveReason},
    settings::{DURATION_MINUTES_MAX, SettingName, SettingRejection},
};

use super::{
    ChangeSessionSetting, Decision, EXTENSION_MINUTES_MAX, EndReason, EndSession, ExtendSession, KnockTimedOut,
    LimitWarned, NOTHING, ParticipantLeft, PrepareSession, SessionEnded, SessionExtended, SessionInterrupted,
    SessionPrepared, SessionReady, SessionRecord, SessionRejection, SessionResumed, SessionStatus, SettingChanged,
    WarnOfLimit,
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

pub(super) fn prepare_session_again(session: &SessionRecord, command: &PrepareSession) -> Decision {
    let same = session.session == command.session
        && session.organization == command.organization
        && session.unit == command.unit
        && session.room == command.room
        && session.opened_by == command.opened_by
        && session.record == command.record
        && session.continues == command.continues;
    if same { NOTHING } else { Err(SessionRejection::SessionAlreadyPrepared) }
}

pub(super) fn mark_session_ready(session: &SessionRecord) -> Decision {
    if session.ready_at.is_some() { NOTHING } else { Ok(vec![SessionReady {}.into()]) }
}

pub(super) fn extend_session(session: &SessionRecord, command: &ExtendSession) -> Decision {
    if session.settings.locked.contains(&SettingName::DurationMaxMinutes) {
        return Err(SettingRejection::SettingLocked(SettingName::DurationMaxMinutes).into());
    }
    if !(1..=EXTENSION_MINUTES_MAX).contains(&command.minutes) {
        return Err(SessionRejection::ExtensionOutOfRange);
    }
    if session.settings.values.duration_max_minutes.saturating_add(command.minutes) > DURATION_MINUTES_MAX {
        return Err(SessionRejection::DurationOutOfRange);
    }
    Ok(vec![SessionExtended { minutes: command.minutes }.into()])
}

pub(super) fn warn_of_limit(session: &SessionRecord, command: &WarnOfLimit) -> Decision {
    if session.warned_minutes.contains(&command.minutes_left) {
        return NOTHING;
    }
    reached(deadline::warning_due_at(session, command.minutes_left), command.now)?;
    Ok(vec![LimitWarned { minutes_left: command.minutes_left }.into()])
}

pub(super) fn change_session_setting(session: &SessionRecord, command: &ChangeSessionSetting) -> Decision {
    session.settings.check_in_session(&command.value)?;
    if session.settings.values.get(command.value.name()) == command.value {
        return NOTHING;
    }
    Ok(vec![SettingChanged { value: command.value.clone() }.into()])
}

pub(super) fn interrupt_session(session: &SessionRecord) -> Decision {
    match session.status {
        SessionStatus::Interrupted => NOTHING,
        SessionStatus::InProgress => Ok(vec![SessionInterrupted {}.into()]),
        SessionStatus::Preparing | SessionStatus::Ready | SessionStatus::Waiting | SessionStatus::Closed => {
            Err(SessionRejection::SessionNotInProgress)
        }
    }
}

pub(super) fn resume_session(session: &SessionRecord) -> Decision {
    match session.status {
        SessionStatus::Interrupted => Ok(vec![SessionResumed {}.into()]),
        SessionStatus::InProgress | SessionStatus::Waiting => NOTHING,
        SessionStatus::Preparing | SessionStatus::Ready | SessionStatus::Closed => {
            Err(SessionRejection::SessionNotInProgress)
        }
    }
}

pub(super) fn end_session(session: &SessionRecord, command: &EndSession) -> Decision {
    match command.reason {
        EndReason::EndedByHost | EndReason::EndedByAdmin | EndReason::RoomDisabled => Ok(end(session, command.reason)),
        // These have a deadline to be verified, and a command that does so.
        EndReason::Empty
        | EndReason::NobodyCame
        | EndReason::MaximumDuration
        | EndReason::HostLeft
        | EndReason::MediaNotRecovered => Err(SessionRejection::EndReasonReserved),
    }
}

pub(super) fn end_empty_session(session: &SessionRecord, now: Timestamp) -> Decision {
    reached(deadline::empty_at(session), now)?;
    Ok(end(session, EndReason::Empty))
}

pub(super) fn end_unattended_session(session: &SessionRecord, now: Timestamp) -> Decision {
    reached(deadline::unattended_at(session), now)?;
    Ok(end(session, EndReason::NobodyCame))
}

pub(super) fn end_overlong_session(session: &SessionRecord, now: Timestamp) -> Decision {
    reached(session.duration_ends_at(), now)?;
    Ok(end(session, EndReason::MaximumDuration))
}

pub(super) fn end_hostless_session(session: &SessionRecord, now: Timestamp) -> Decision {
    reached(deadline::hostless_at(session), now)?;
    Ok(end(session, EndReason::HostLeft))
}

pub(super) fn end_unrecovered_session(session: &SessionRecord, now: Timestamp) -> Decision {
    reached(deadline::unrecovered_at(session), now)?;
    Ok(end(session, EndReason::MediaNotRecovered))
}

/// Everyone is set left (and those at the door timed out), then the session is ended: one append.
fn end(session: &SessionRecord, reason: EndReason) -> Vec<super::SessionEvent> {
    let mut events = Vec::new();
    for participant in &session.participants {
        let participant_id = participant.participant;
        if participant.state.is_in() {
            events.push(ParticipantLeft { participant: participant_id, reason: LeaveReason::SessionEnded }.into());
        } else if participant.state.is_waiting() {
            let reason = KnockTimeoutReason::SessionEnded;
            events.push(KnockTimedOut { participant: participant_id, reason }.into());
        }
    }
    events.push(SessionEnded { reason }.into());
    events
}

/// A deadline that the system names is checked against the state and the clock: a late or doubled timer does no harm.
pub(super) fn reached(due_at: Option<Timestamp>, now: Timestamp) -> Result<(), SessionRejection> {
    if due_at.is_some_and(|due_at| due_at <= now) { Ok(()) } else { Err(SessionRejection::DeadlineNotReached) }
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use super::{KnockTimeoutReason, LeaveReason, deadline};
    use crate::{
        ParticipantId,
        SessionRole::{Host, Participant},
        deadline::{Deadline, DeadlineKind, deadlines},
        settings::{SettingName, SettingRejection, SettingValue as V, WhenHostLeaves},
    };
    use SessionStatus::*;

    #[test]
    fn a_session_without_media_is_ready_at_once() {
        let scene = Scene::ready(&[]);
        assert_eq!(scene.statuses(), [Preparing, Ready]);
        assert_eq!(scene.facts().ready_at, Some(scene.now));
    }

    #[test]
    fn a_session_with_media_is_ready_when_media_is() {
        let mut scene = Scene::ready(&[]);
        scene.state = SessionState::Absent;
        scene.does(scene.prepare(&[], true));
        assert_eq!(scene.status(), Preparing);
        scene.refuses(scene.knock(1, PATIENT), SessionRejection::SessionNotReady);
        scene.refuses(scene.join(1, DOCTOR, Host), SessionRejection::SessionNotReady);
        scene.does(MarkSessionReady { now: scene.now });
        assert_eq!(scene.status(), Ready);
        scene.adds_nothing(MarkSessionReady { now: scene.now });
    }

    #[test]
    fn a_session_is_prepared_once() {
        let mut scene = Scene::ready(&[]);
        scene.adds_nothing(scene.prepare(&[], false));
        let other = PrepareSession { room: crate::RoomId(10), ..scene.prepare(&[], false) };
        scene.refuses(other, SessionRejection::SessionAlreadyPrepared);
        scene.does(scene.end());
        scene.refuses(scene.prepare(&[], false), SessionRejection::SessionAlreadyPrepared);
    }

    #[test]
    fn the_first_participant_starts_it_where_no_host_is_awaited() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Participant);
        assert_eq!(scene.statuses(), [Preparing, Ready, InProgress]);
        assert_eq!(scene.facts().started_at, Some(scene.now));
    }

    #[test]
    fn it_waits_for_its_host() {
        let mut scene = Scene::ready(&[V::WaitForHost(true)]);
        scene.joins(1, PATIENT, Participant);
        assert_eq!(scene.status(), Waiting);
        scene.after(60).joins(2, DOCTOR, Host);
        assert_eq!(scene.statuses(), [Preparing, Ready, Waiting, InProgress]);
        assert_eq!(scene.facts().first_joined_at.unwrap().plus_seconds(60), scene.facts().started_at.unwrap());
    }

    #[test]
    fn when_the_host_leaves_it_goes_on() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Participant);
        scene.does(scene.leave(1));
        assert_eq!(scene.status(), InProgress);
        assert!(!deadlines(&scene.state).iter().any(|due| due.kind == DeadlineKind::Hostless));
    }

    #[test]
    fn when_the_host_leaves_it_holds() {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Participant);
        scene.does(scene.leave(1));
        assert_eq!(scene.status(), Waiting);
        scene.joins(3, DOCTOR, Host);
        assert_eq!(scene.statuses(), [Preparing, Ready, InProgress, Waiting, InProgress]);
    }

    #[test]
    fn when_the_host_leaves_it_ends_after_the_minutes_of_the_setting() {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 5 })]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Participant);
        scene.does(scene.leave(1));
        scene.after(299);
        scene.refuses(EndHostlessSession { now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(1);
        scene.does(EndHostlessSession { now: scene.now });
        assert_eq!(scene.facts().finish.unwrap().reason, EndReason::HostLeft);
    }

    #[test]
    fn a_host_who_comes_back_in_time_keeps_it() {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::EndAfter { minutes: 5 })]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Participant);
        scene.does(scene.leave(1));
        scene.after(100).joins(3, DOCTOR, Host);
        scene.after(1_000);
        scene.refuses(EndHostlessSession { now: scene.now }, SessionRejection::DeadlineNotReached);
    }

    #[test]
    fn media_is_lost_and_replaced() {
        let mut scene = Scene::ready(&[]);
        scene.refuses(InterruptSession { now: scene.now }, SessionRejection::SessionNotInProgress);
        scene.joins(1, DOCTOR, Host);
        scene.does(InterruptSession { now: scene.now });
        assert_eq!(scene.status(), Interrupted);
        scene.adds_nothing(InterruptSession { now: scene.now });
        scene.does(ResumeSession { now: scene.now });
        scene.adds_nothing(ResumeSession { now: scene.now });
        assert_eq!(scene.statuses(), [Preparing, Ready, InProgress, Interrupted, InProgress]);
    }

    #[test]
    fn a_host_lost_with_the_media_is_awaited_after_it() {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Participant);
        scene.does(InterruptSession { now: scene.now });
        scene.does(scene.leave(1));
        assert_eq!(scene.status(), Interrupted);
        scene.does(ResumeSession { now: scene.now });
        assert_eq!(scene.statuses()[3..], [Interrupted, InProgress, Waiting]);
    }

    #[test]
    fn media_that_does_not_come_back_ends_it() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, DOCTOR, Host);
        scene.does(InterruptSession { now: scene.now });
        scene.refuses(EndUnrecoveredSession { now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(deadline::MEDIA_RECOVERY_SECONDS_MAX);
        scene.does(EndUnrecoveredSession { now: scene.now });
        assert_eq!(scene.facts().finish.unwrap().reason, EndReason::MediaNotRecovered);
    }

    #[test]
    fn end_session() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.admits(2);
        scene.does(scene.enter(2));
        scene.knocks(3, SISTER);
        scene.after(60);
        let events = scene.does(scene.end());
        assert_eq!(
            events,
            [
                ParticipantLeft { participant: ParticipantId(1), reason: LeaveReason::SessionEnded }.into(),
                ParticipantLeft { participant: ParticipantId(2), reason: LeaveReason::SessionEnded }.into(),
                KnockTimedOut { participant: ParticipantId(3), reason: KnockTimeoutReason::SessionEnded }.into(),
                SessionEnded { reason: EndReason::EndedByHost }.into(),
            ]
        );
        let facts = scene.facts();
        assert_eq!(facts.finish, Some(Finish { at: scene.now, reason: EndReason::EndedByHost }));
        assert_eq!((facts.present_count, facts.waiting_count, facts.present_peak), (0, 0, 2));
        assert_eq!(scene.statuses(), [Preparing, Ready, InProgress, Closed], "nobody waits for a host who ends it");
        scene.adds_nothing(scene.end());
        scene.refuses(scene.knock(4, PATIENT), SessionRejection::SessionNotLive);
        assert!(deadlines(&scene.state).is_empty());
    }

    #[test]
    fn a_session_that_never_was_can_not_be_ended() {
        let scene = Scene { state: SessionState::Absent, now: Timestamp(0) };
        scene.refuses(scene.end(), SessionRejection::SessionNotLive);
        assert!(deadlines(&scene.state).is_empty());
    }

    #[test]
    fn what_a_deadline_must_verify_is_not_a_host_s_reason() {
        let scene = Scene::ready(&[]);
        for reason in EndReason::ALL {
            let allowed = scene.decide(EndSession { reason, now: scene.now }).is_ok();
            let said = matches!(reason, EndReason::EndedByHost | EndReason::EndedByAdmin | EndReason::RoomDisabled);
            assert_eq!(allowed, said, "{reason:?}");
        }
    }

    #[test]
    fn an_empty_session_ends_after_its_timeout() {
        let mut scene = Scene::ready(&[V::EmptyTimeoutMinutes(3)]);
        scene.joins(1, PATIENT, Participant);
        scene.after(10_000);
        scene.refuses(EndEmptySession { now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.does(scene.leave(1));
        let at = scene.now.plus_seconds(180);
        assert!(deadlines(&scene.state).contains(&Deadline { at, kind: DeadlineKind::Empty }));
        scene.after(179);
        scene.refuses(EndEmptySession { now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(1);
        scene.does(EndEmptySession { now: at });
        assert_eq!(scene.facts().finish.unwrap().reason, EndReason::Empty);
    }

    #[test]
    fn a_knock_holds_off_the_empty_timeout() {
        let mut scene = Scene::ready(&[V::EmptyTimeoutMinutes(3), V::Lobby(true)]);
        scene.joins(1, DOCTOR, Host);
        scene.does(scene.leave(1));
        scene.after(100).knocks(2, PATIENT);
        scene.after(200);
        scene.refuses(EndEmptySession { now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.does(WithdrawKnock { participant: ParticipantId(2), now: scene.now });
        scene.after(180);
        assert_eq!(kinds(&scene.does(EndEmptySession { now: scene.now })), ["SessionEnded"]);
    }

    #[test]
    fn nobody_came() {
        let mut scene = Scene::ready(&[V::EmptyTimeoutMinutes(3)]);
        scene.refuses(EndEmptySession { now: scene.now.plus_seconds(1_000) }, SessionRejection::DeadlineNotReached);
        scene.after(deadline::NOBODY_CAME_SECONDS_MIN);
        assert_eq!(deadlines(&scene.state), [Deadline { at: scene.now, kind: DeadlineKind::Unattended }]);
        scene.does(EndUnattendedSession { now: scene.now });
        assert_eq!(scene.statuses(), [Preparing, Ready, Closed]);
    }

    #[test]
    fn limits_warn_twice_and_then_end() {
        let mut scene = Scene::ready(&[V::DurationMaxMinutes(30)]);
        scene.joins(1, DOCTOR, Host);
        let start = scene.now;
        let due: Vec<_> =
            deadlines(&scene.state).iter().map(|due| (due.at.seconds_since(start) / 60, due.kind)).collect();
        let warning = |minutes_left| DeadlineKind::LimitWarning { minutes_left };
        assert_eq!(due, [(20, warning(10)), (28, warning(2)), (30, DeadlineKind::Duration)]);
        scene.refuses(WarnOfLimit { minutes_left: 10, now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(20 * 60);
        scene.does(WarnOfLimit { minutes_left: 10, now: start.plus_seconds(1_200) });
        scene.adds_nothing(WarnOfLimit { minutes_left: 10, now: scene.now });
        scene.refuses(WarnOfLimit { minutes_left: 7, now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(10 * 60);
        scene.does(EndOverlongSession { now: start.plus_seconds(1_800) });
        assert_eq!(scene.facts().finish.unwrap().reason, EndReason::MaximumDuration);
    }

    /// Before the host is there the maximum counts from the first join, then from the start: and both are warned of.
    #[test]
    fn who_waited_for_the_host_is_warned_anew() {
        let mut scene = Scene::ready(&[V::DurationMaxMinutes(30), V::WaitForHost(true)]);
        scene.joins(2, PATIENT, Participant);
        scene.after(20 * 60);
        scene.does(WarnOfLimit { minutes_left: 10, now: scene.now });
        scene.joins(1, DOCTOR, Host);
        assert_eq!(scene.facts().started_at, Some(scene.now));
        scene.refuses(WarnOfLimit { minutes_left: 10, now: scene.now }, SessionRejection::DeadlineNotReached);
        scene.after(20 * 60);
        scene.does(WarnOfLimit { minutes_left: 10, now: scene.now });
    }

    #[test]
    fn a_host_extends_it_and_is_warned_anew() {
        let mut scene = Scene::ready(&[V::DurationMaxMinutes(30)]);
        scene.joins(1, DOCTOR, Host);
        scene.after(20 * 60);
        scene.does(WarnOfLimit { minutes_left: 10, now: Timestamp(u64::MAX) });
        scene.does(ExtendSession { minutes: 15, now: scene.now });
        let facts = scene.facts();
        assert_eq!(facts.settings.values.duration_max_minutes, 45);
        assert_eq!(facts.setting_changes, [SettingChange { at: scene.now, value: V::DurationMaxMinutes(45) }]);
        assert!(facts.warned_minutes.is_empty());
        scene.refuses(ExtendSession { minutes: 0, now: scene.now }, SessionRejection::ExtensionOutOfRange);
        scene.refuses(ExtendSession { minutes: 241, now: scene.now }, SessionRejection::ExtensionOutOfRange);
    }

    #[test]
    fn a_locked_limit_is_not_extended() {
        let mut scene = Scene::ready(&[]);
        scene.state = SessionState::Absent;
        let mut prepare = scene.prepare(&[], false);
        prepare.settings.locked.insert(SettingName::DurationMaxMinutes);
        scene.does(prepare);
        let locked = SettingRejection::SettingLocked(SettingName::DurationMaxMinutes);
        scene.refuses(ExtendSession { minutes: 5, now: scene.now }, locked.clone().into());
        scene.refuses(ChangeSessionSetting { value: V::DurationMaxMinutes(600), now: scene.now }, locked.into());
    }

    #[test]
    fn no_extension_goes_beyond_a_day() {
        let mut scene = Scene::ready(&[V::DurationMaxMinutes(23 * 60)]);
        scene.does(ExtendSession { minutes: 60, now: scene.now });
        scene.refuses(ExtendSession { minutes: 1, now: scene.now }, SessionRejection::DurationOutOfRange);
    }

    #[test]
    fn a_setting_changes_during_the_session() {
        let mut scene = Scene::ready(&[V::WaitForHost(true)]);
        scene.joins(1, PATIENT, Participant);
        assert_eq!(scene.status(), Waiting);
        let change = ChangeSessionSetting { value: V::WaitForHost(false), now: scene.now };
        scene.does(change.clone());
        assert_eq!(scene.status(), InProgress, "nobody is awaited any more");
        assert_eq!(scene.facts().settings.sources[&SettingName::WaitForHost], crate::settings::Source::Session);
        scene.adds_nothing(change);
        let registry = ChangeSessionSetting { value: V::Registry(true), now: scene.now };
        scene.refuses(registry, SettingRejection::SettingNotOfSession(SettingName::Registry).into());
    }
}
