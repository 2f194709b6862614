//! Coming in, losing the connection, coming back, leaving.

use crate::{
    ParticipantId, PersonId, deadline,
    participant::{Arrival, LeaveReason, ParticipantState as State},
    settings::DuplicateEntry,
};

use super::{
    Decision, DropParticipant, Entry, JoinSession, LeaveSession, NOTHING, ParticipantDropped,
    ParticipantJoined, ParticipantLeft, ParticipantReconnected, ReconnectParticipant, SessionEvent,
    SessionFacts, SessionRejection, TimeOutReconnection,
    life::reached,
    lobby::{
        admission_ground, get, may_arrive, of_person, redeemed_by, refuse_duplicate,
        withdrawn_by_takeover,
    },
};

pub(super) fn join_session(session: &SessionFacts, command: &JoinSession) -> Decision {
    match &command.entry {
        Entry::Token { arrival, lobby } => join_by_token(session, arrival, *lobby),
        Entry::Admission { participant } => join_by_admission(session, *participant),
    }
}

fn join_by_token(session: &SessionFacts, arrival: &Arrival, lobby: bool) -> Decision {
    if let Some(known) = redeemed_by(session, arrival)? {
        return if known.state.is_in() {
            NOTHING
        } else {
            Err(SessionRejection::TokenAlreadyRedeemed)
        };
    }
    may_arrive(session, arrival)?;
    if admission_ground(session, arrival.person, lobby).is_none() {
        let denied = session.denied.contains(&arrival.person);
        return Err(if denied {
            SessionRejection::PersonDenied
        } else {
            SessionRejection::KnockNeeded
        });
    }
    let joined = ParticipantJoined {
        participant: arrival.participant,
        arrival: Some(Box::new(arrival.clone())),
    };
    come_in(session, arrival.person, joined)
}

fn join_by_admission(session: &SessionFacts, id: ParticipantId) -> Decision {
    let participant = get(session, id)?;
    match participant.state {
        State::Joined | State::Reconnecting | State::OnHold => NOTHING,
        State::Admitted => come_in(
            session,
            participant.person,
            ParticipantJoined {
                participant: id,
                arrival: None,
            },
        ),
        State::Denied => Err(SessionRejection::PersonDenied),
        State::Knocking
        | State::Withdrawn
        | State::TimedOut
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotAdmitted),
    }
}

/// The new entry is in before the one that it takes over is out, so that a host who changes devices never leaves the
/// session without one.
fn come_in(session: &SessionFacts, person: PersonId, joined: ParticipantJoined) -> Decision {
    let entry = joined.participant;
    refuse_duplicate(session, person, entry)?;
    let taken_over = left_by_takeover(session, person);
    let present_count = session.present_count - taken_over.len() as u32;
    if present_count >= session.settings.values.participants_max {
        return Err(SessionRejection::SessionFull);
    }
    let mut events = vec![joined.into()];
    events.extend(taken_over);
    events.extend(withdrawn_by_takeover(session, person, entry));
    Ok(events)
}

/// The person's entries that are in, leaving, where the setting says that a new entry takes over.
fn left_by_takeover(session: &SessionFacts, person: PersonId) -> Vec<SessionEvent> {
    if session.settings.values.duplicate_entry != DuplicateEntry::TakeOver {
        return Vec::new();
    }
    let present = of_person(session, person).filter(|other| other.state.is_in());
    let reason = LeaveReason::TakenOver;
    present
        .map(|other| {
            ParticipantLeft {
                participant: other.participant,
                reason,
            }
            .into()
        })
        .collect()
}

pub(super) fn drop_participant(session: &SessionFacts, command: &DropParticipant) -> Decision {
    match get(session, command.participant)?.state {
        State::Joined | State::OnHold => Ok(vec![
            ParticipantDropped {
                participant: command.participant,
            }
            .into(),
        ]),
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

pub(super) fn reconnect_participant(
    session: &SessionFacts,
    command: &ReconnectParticipant,
) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Reconnecting
            if reached(
                deadline::reconnection_times_out_at(participant),
                command.now,
            )
            .is_ok() =>
        {
            Err(SessionRejection::ReconnectionTimedOut)
        }
        State::Reconnecting => Ok(vec![
            ParticipantReconnected {
                participant: command.participant,
            }
            .into(),
        ]),
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

pub(super) fn time_out_reconnection(
    session: &SessionFacts,
    command: &TimeOutReconnection,
) -> Decision {
    let participant = get(session, command.participant)?;
    if participant.state != State::Reconnecting {
        return NOTHING;
    }
    reached(
        deadline::reconnection_times_out_at(participant),
        command.now,
    )?;
    let reason = LeaveReason::ConnectionLost;
    Ok(vec![
        ParticipantLeft {
            participant: command.participant,
            reason,
        }
        .into(),
    ])
}

pub(super) fn leave_session(session: &SessionFacts, command: &LeaveSession) -> Decision {
    match get(session, command.participant)?.state {
        State::Joined | State::Reconnecting | State::OnHold => Ok(vec![
            ParticipantLeft {
                participant: command.participant,
                reason: LeaveReason::Left,
            }
            .into(),
        ]),
        State::Left | State::Moved | State::Removed => NOTHING,
        State::Knocking | State::Admitted | State::Denied | State::Withdrawn | State::TimedOut => {
            Err(SessionRejection::ParticipantNotIn)
        }
    }
}
