//! Coming in, losing the connection, coming back, leaving.

use crate::{
    ParticipantId, PersonId, deadline,
    participant::{Arrival, LeaveReason, ParticipantState as State},
    settings::DuplicateEntry,
};

use super::{
    Decision, DropParticipant, Entry, JoinSession, LeaveSession, NOTHING, ParticipantDropped, ParticipantJoined,
    ParticipantLeft, ParticipantReconnected, RECONNECTIONS_MAX, ReconnectParticipant, SessionEvent, SessionRecord,
    SessionRejection, TimeOutReconnection,
    life::reached,
    lobby::{admission_ground, get, may_arrive, of_person, redeemed_by, refuse_duplicate, withdrawn_by_takeover},
    standing::{held_and_muted, in_their_role, role_changed},
};

pub(super) fn join_session(session: &SessionRecord, command: &JoinSession) -> Decision {
    match &command.entry {
        Entry::Token { arrival, lobby } => join_by_token(session, arrival, *lobby),
        Entry::Admission { participant } => join_by_admission(session, *participant),
    }
}

fn join_by_token(session: &SessionRecord, arrival: &Arrival, lobby: bool) -> Decision {
    if let Some(known) = redeemed_by(session, arrival)? {
        return if known.state.is_in() { NOTHING } else { Err(SessionRejection::TokenAlreadyRedeemed) };
    }
    let arrival = in_their_role(session, arrival);
    may_arrive(session, &arrival)?;
    if admission_ground(session, arrival.person, lobby).is_none() {
        let denied = session.denied.contains(&arrival.person);
        return Err(if denied { SessionRejection::PersonDenied } else { SessionRejection::KnockNeeded });
    }
    let (entry, person) = (arrival.participant, arrival.person);
    let joined = ParticipantJoined { participant: entry, arrival: Some(Box::new(arrival)) };
    come_in(session, person, joined)
}

fn join_by_admission(session: &SessionRecord, id: ParticipantId) -> Decision {
    let participant = get(session, id)?;
    match participant.state {
        State::Joined | State::Reconnecting | State::OnHold => NOTHING,
        State::Admitted => {
            // In this order, so that nobody is in for a moment with a role that they have no more.
            let mut events: Vec<SessionEvent> = role_changed(session, participant).into_iter().collect();
            events.extend(come_in(session, participant.person, ParticipantJoined { participant: id, arrival: None })?);
            Ok(events)
        }
        State::Denied => Err(SessionRejection::PersonDenied),
        State::Knocking | State::Withdrawn | State::TimedOut | State::Moved | State::Left | State::Removed => {
            Err(SessionRejection::ParticipantNotAdmitted)
        }
    }
}

/// The new entry is in before the one that it takes over is out, so that a host who changes devices never leaves the
/// session without one.
fn come_in(session: &SessionRecord, person: PersonId, joined: ParticipantJoined) -> Decision {
    let entry = joined.participant;
    refuse_duplicate(session, person, entry)?;
    let taken_over = left_by_takeover(session, person);
    let present_count = session.present_count - taken_over.len() as u32;
    if present_count >= session.settings.values.participants_max {
        return Err(SessionRejection::SessionFull);
    }
    let mut events = vec![joined.into()];
    events.extend(held_and_muted(session, person, entry));
    events.extend(taken_over);
    events.extend(withdrawn_by_takeover(session, person, entry));
    Ok(events)
}

/// The person's entries that are in, leaving, where the setting says that a new entry takes over.
fn left_by_takeover(session: &SessionRecord, person: PersonId) -> Vec<SessionEvent> {
    if session.settings.values.duplicate_entry != DuplicateEntry::TakeOver {
        return Vec::new();
    }
    let present = of_person(session, person).filter(|other| other.state.is_in());
    let reason = LeaveReason::TakenOver;
    present.map(|other| ParticipantLeft { participant: other.participant, reason }.into()).collect()
}

pub(super) fn drop_participant(session: &SessionRecord, command: &DropParticipant) -> Decision {
    match get(session, command.participant)?.state {
        State::Joined | State::OnHold => Ok(vec![ParticipantDropped { participant: command.participant }.into()]),
        State::Reconnecting => NOTHING,
        State::Knocking
        | State::Admitted
        | State::Denied
        | State::Withdrawn
        | State::TimedOut
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotIn),
    }
}

pub(super) fn reconnect_participant(session: &SessionRecord, command: &ReconnectParticipant) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Reconnecting if reached(deadline::reconnection_times_out_at(participant), command.now).is_ok() => {
            Err(SessionRejection::ReconnectionTimedOut)
        }
        State::Reconnecting if participant.reconnections_count() >= RECONNECTIONS_MAX => {
            Err(SessionRejection::ReconnectionsExhausted)
        }
        State::Reconnecting => Ok(vec![ParticipantReconnected { participant: command.participant }.into()]),
        State::Joined | State::OnHold => NOTHING,
        State::Knocking
        | State::Admitted
        | State::Denied
        | State::Withdrawn
        | State::TimedOut
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotIn),
    }
}

pub(super) fn time_out_reconnection(session: &SessionRecord, command: &TimeOutReconnection) -> Decision {
    let participant = get(session, command.participant)?;
    if participant.state != State::Reconnecting {
        return NOTHING;
    }
    reached(deadline::reconnection_times_out_at(participant), command.now)?;
    let reason = LeaveReason::ConnectionLost;
    Ok(vec![ParticipantLeft { participant: command.participant, reason }.into()])
}

pub(super) fn leave_session(session: &SessionRecord, command: &LeaveSession) -> Decision {
    match get(session, command.participant)?.state {
        State::Joined | State::Reconnecting | State::OnHold => {
            Ok(vec![ParticipantLeft { participant: command.participant, reason: LeaveReason::Left }.into()])
        }
        State::Left | State::Moved | State::Removed => NOTHING,
        State::Knocking | State::Admitted | State::Denied | State::Withdrawn | State::TimedOut => {
            Err(SessionRejection::ParticipantNotIn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use super::*;
    use crate::{
        SessionRole::{Host, Participant as Guest},
        participant::{Participant, WithdrawalReason},
        settings::{SettingValue as V, WhenHostLeaves},
    };

    fn drop(n: u128) -> DropParticipant {
        DropParticipant { participant: ParticipantId(n), now: crate::Timestamp(0) }
    }

    fn reconnect(scene: &Scene, n: u128) -> ReconnectParticipant {
        ReconnectParticipant { participant: ParticipantId(n), now: scene.now }
    }

    fn time_out(scene: &Scene, n: u128) -> TimeOutReconnection {
        TimeOutReconnection { participant: ParticipantId(n), now: scene.now }
    }

    #[test]
    fn join_leave_and_come_again() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Guest);
        scene.adds_nothing(scene.join(1, PATIENT, Guest));
        scene.after(60);
        scene.does(scene.leave(1));
        scene.adds_nothing(scene.leave(1));
        scene.refuses(scene.join(1, PATIENT, Guest), SessionRejection::TokenAlreadyRedeemed);
        scene.refuses(scene.enter(1), SessionRejection::ParticipantNotAdmitted);
        scene.joins(2, PATIENT, Guest);
        let facts = scene.facts();
        assert_eq!((facts.joined_count(), facts.present_count, facts.present_peak), (2, 1, 1));
        assert_eq!(scene.participant(1).finished_at(), Some(scene.now));
        assert_eq!(scene.participant(1).joined_at().unwrap().plus_seconds(60), scene.now);
    }

    #[test]
    fn who_drops_is_back_within_the_time() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Guest);
        scene.does(drop(1));
        scene.adds_nothing(drop(1));
        assert_eq!((scene.stands(1), scene.facts().present_count), (State::Reconnecting, 1));
        scene.after(deadline::RECONNECT_SECONDS_MAX - 1);
        scene.refuses(time_out(&scene, 1), SessionRejection::DeadlineNotReached);
        scene.does(reconnect(&scene, 1));
        scene.adds_nothing(reconnect(&scene, 1));
        assert_eq!(scene.stands(1), State::Joined);
        scene.after(100).adds_nothing(TimeOutReconnection { participant: ParticipantId(1), now: crate::Timestamp(0) });
    }

    #[test]
    fn a_participant_reconnects_so_often_and_then_comes_in_anew() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Guest);
        for _ in 0..RECONNECTIONS_MAX {
            scene.does(drop(1));
            scene.does(reconnect(&scene, 1));
        }
        scene.does(drop(1));
        scene.refuses(reconnect(&scene, 1), SessionRejection::ReconnectionsExhausted);
        scene.joins(2, PATIENT, Guest);
        assert_eq!((scene.stands(1), scene.stands(2)), (State::Left, State::Joined));
    }

    #[test]
    fn one_person_does_not_use_up_the_session_s_entries() {
        let mut scene = Scene::ready(&[]);
        for n in 1..=ARRIVALS_OF_PERSON_MAX as u128 {
            scene.joins(n, PATIENT, Guest);
        }
        scene.refuses(scene.join(900, PATIENT, Guest), SessionRejection::PersonArrivalsExhausted);
        scene.refuses(scene.knock(900, PATIENT), SessionRejection::PersonArrivalsExhausted);
        scene.joins(900, SISTER, Guest);
    }

    #[test]
    fn the_last_entries_are_kept_for_those_who_moderate() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, DOCTOR, Host);
        let SessionState::Live(record) = &mut scene.state else { panic!("it is live") };
        let first = record.participants[0].clone();
        let strangers = (record.participants.len()..ARRIVALS_MAX - ARRIVALS_KEPT_FOR_MODERATORS).map(|n| Participant {
            person: PersonId(10_000 + n as u128),
            state: State::Left,
            ..first.clone()
        });
        record.participants.extend(strangers);
        scene.refuses(scene.join(2, PATIENT, Guest), SessionRejection::ArrivalsExhausted);
        scene.joins(2, DOCTOR, Host);
    }

    #[test]
    fn who_drops_for_too_long_has_left() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Guest);
        scene.does(drop(1));
        scene.after(deadline::RECONNECT_SECONDS_MAX);
        scene.refuses(reconnect(&scene, 1), SessionRejection::ReconnectionTimedOut);
        let left = ParticipantLeft { participant: ParticipantId(1), reason: LeaveReason::ConnectionLost };
        assert_eq!(scene.does(time_out(&scene, 1)), [left.into()]);
        scene.adds_nothing(time_out(&scene, 1));
        scene.refuses(reconnect(&scene, 1), SessionRejection::ParticipantNotIn);
    }

    #[test]
    fn who_reconnects_keeps_the_session_from_holding() {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Guest);
        scene.does(drop(1));
        assert_eq!(scene.status(), SessionStatus::InProgress);
        scene.after(30);
        scene.does(time_out(&scene, 1));
        assert_eq!(scene.status(), SessionStatus::Waiting);
    }

    #[test]
    fn a_second_entry_takes_over() {
        let mut scene = Scene::ready(&[V::ParticipantsMax(1), V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.joins(1, DOCTOR, Host);
        let events = scene.joins(2, DOCTOR, Host);
        let left = ParticipantLeft { participant: ParticipantId(1), reason: LeaveReason::TakenOver };
        assert_eq!(events[1..], [left.into()]);
        assert_eq!((scene.facts().present_count, scene.facts().present_peak), (1, 1));
        let never_waited = [SessionStatus::Preparing, SessionStatus::Ready, SessionStatus::InProgress];
        assert_eq!(scene.statuses(), never_waited);
    }

    #[test]
    fn a_second_entry_is_refused() {
        let mut scene = Scene::ready(&[V::DuplicateEntry(DuplicateEntry::Refuse)]);
        scene.joins(1, PATIENT, Guest);
        scene.refuses(scene.join(2, PATIENT, Guest), SessionRejection::PersonAlreadyIn);
        scene.refuses(scene.knock(2, PATIENT), SessionRejection::PersonAlreadyIn);
        scene.does(scene.leave(1));
        scene.joins(2, PATIENT, Guest);
    }

    #[test]
    fn a_second_entry_is_allowed() {
        let mut scene = Scene::ready(&[V::DuplicateEntry(DuplicateEntry::Allow)]);
        scene.joins(1, PATIENT, Guest);
        scene.joins(2, PATIENT, Guest);
        assert_eq!((scene.facts().present_count, scene.facts().present_peak), (2, 2));
    }

    #[test]
    fn a_direct_join_takes_over_the_person_s_own_knock() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        let events = scene.joins(2, PATIENT, Guest);
        let withdrawn = KnockWithdrawn { participant: ParticipantId(1), reason: WithdrawalReason::TakenOver };
        assert_eq!(events[1..], [withdrawn.into()]);
    }

    #[test]
    fn the_maximum_counts_those_who_are_in() {
        let mut scene = Scene::ready(&[V::ParticipantsMax(2), V::Lobby(true)]);
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, SISTER);
        scene.admits(2);
        scene.joins(3, PATIENT, Guest);
        scene.refuses(scene.enter(2), SessionRejection::SessionFull);
        scene.refuses(scene.join(4, PersonId(4), Guest), SessionRejection::SessionFull);
        scene.does(drop(3));
        scene.refuses(scene.enter(2), SessionRejection::SessionFull);
        scene.does(scene.leave(3));
        scene.does(scene.enter(2));
    }

    #[test]
    fn a_lock_keeps_out_who_is_new_and_neither_a_host_nor_who_is_in() {
        let mut scene = Scene::ready(&[]);
        scene.joins(1, PATIENT, Guest);
        scene.does(drop(1));
        scene.does(LockSession { now: scene.now });
        scene.refuses(scene.join(2, SISTER, Guest), SessionRejection::SessionLocked);
        scene.does(reconnect(&scene, 1));
        scene.joins(3, PATIENT, Guest);
        scene.joins(4, DOCTOR, Host);
    }

    #[test]
    fn what_is_asked_of_who_is_not_in() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        scene.refuses(drop(1), SessionRejection::ParticipantNotIn);
        scene.refuses(reconnect(&scene, 1), SessionRejection::ParticipantNotIn);
        scene.refuses(scene.leave(1), SessionRejection::ParticipantNotIn);
        scene.refuses(scene.leave(2), SessionRejection::ParticipantNotFound);
    }
}
