//! The lobby: knocking, and being admitted or not.

use crate::{
    ParticipantId, PersonId, Private, deadline,
    participant::{
        AdmissionGround, Arrival, KnockTimeoutReason, Participant, ParticipantState as State,
        WithdrawalReason,
    },
    settings::DuplicateEntry,
};

use super::{
    ARRIVALS_MAX, AdmitParticipant, Decision, DenyParticipant, KNOCKS_WAITING_MAX, Knock,
    KnockTimedOut, KnockWithdrawn, NOTHING, ParticipantAdmitted, ParticipantDenied,
    ParticipantKnocked, SessionEvent, SessionFacts, SessionRejection, SessionStatus, TimeOutKnock,
    WithdrawKnock, life::reached,
};

pub(super) fn knock(session: &SessionFacts, command: &Knock) -> Decision {
    let arrival = &command.arrival;
    if let Some(known) = redeemed_by(session, arrival)? {
        return if known.state.is_final() {
            Err(SessionRejection::TokenAlreadyRedeemed)
        } else {
            NOTHING
        };
    }
    may_arrive(session, arrival)?;
    refuse_duplicate(session, arrival.person, arrival.participant)?;
    let ground = admission_ground(session, arrival.person, command.lobby);
    let taken_over = withdrawn_by_takeover(session, arrival.person, arrival.participant);
    if ground.is_none() && session.waiting_count - taken_over.len() as u32 >= KNOCKS_WAITING_MAX {
        return Err(SessionRejection::LobbyFull);
    }
    let mut events = vec![
        ParticipantKnocked {
            arrival: Box::new(arrival.clone()),
        }
        .into(),
    ];
    events.extend(taken_over);
    if let Some(ground) = ground {
        events.push(
            ParticipantAdmitted {
                participant: arrival.participant,
                ground,
            }
            .into(),
        );
    }
    Ok(events)
}

pub(super) fn withdraw_knock(session: &SessionFacts, command: &WithdrawKnock) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Knocking | State::Admitted => {
            let reason = WithdrawalReason::Withdrawn;
            Ok(vec![
                KnockWithdrawn {
                    participant: command.participant,
                    reason,
                }
                .into(),
            ])
        }
        State::Withdrawn | State::TimedOut | State::Denied => NOTHING,
        State::Joined
        | State::Reconnecting
        | State::OnHold
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotKnocking),
    }
}

pub(super) fn admit_participant(session: &SessionFacts, command: &AdmitParticipant) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Knocking => Ok(vec![admitted_by_host(participant)]),
        State::Admitted | State::Joined | State::Reconnecting | State::OnHold => NOTHING,
        State::Denied
        | State::Withdrawn
        | State::TimedOut
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotKnocking),
    }
}

pub(super) fn admit_all(session: &SessionFacts) -> Decision {
    Ok(session.knocking().map(admitted_by_host).collect())
}

/// Denies the person: with every entry of theirs that waits.
pub(super) fn deny_participant(session: &SessionFacts, command: &DenyParticipant) -> Decision {
    let participant = get(session, command.participant)?;
    own_reason(participant, command.reason.as_ref())?;
    match participant.state {
        State::Knocking | State::Admitted => {
            let waiting =
                of_person(session, participant.person).filter(|other| other.state.is_waiting());
            Ok(waiting
                .map(|other| denied(other, command.reason.clone()))
                .collect())
        }
        State::Denied => NOTHING,
        State::Withdrawn
        | State::TimedOut
        | State::Joined
        | State::Reconnecting
        | State::OnHold
        | State::Moved
        | State::Left
        | State::Removed => Err(SessionRejection::ParticipantNotKnocking),
    }
}

pub(super) fn time_out_knock(session: &SessionFacts, command: &TimeOutKnock) -> Decision {
    let participant = get(session, command.participant)?;
    let reason = match participant.state {
        State::Knocking => KnockTimeoutReason::Unanswered,
        State::Admitted => KnockTimeoutReason::AdmissionUnused,
        State::Denied
        | State::Withdrawn
        | State::TimedOut
        | State::Joined
        | State::Reconnecting
        | State::OnHold
        | State::Moved
        | State::Left
        | State::Removed => return NOTHING,
    };
    reached(deadline::knock_times_out_at(participant), command.now)?;
    Ok(vec![
        KnockTimedOut {
            participant: command.participant,
            reason,
        }
        .into(),
    ])
}

pub(super) fn get(
    session: &SessionFacts,
    id: ParticipantId,
) -> Result<&Participant, SessionRejection> {
    session
        .participant(id)
        .ok_or(SessionRejection::ParticipantNotFound)
}

pub(super) fn of_person(
    session: &SessionFacts,
    person: PersonId,
) -> impl Iterator<Item = &Participant> {
    session
        .participants
        .iter()
        .filter(move |participant| participant.person == person)
}

/// The participant who redeemed this arrival's token, if it was this very arrival: then the request is a repeated one.
pub(super) fn redeemed_by<'a>(
    session: &'a SessionFacts,
    arrival: &Arrival,
) -> Result<Option<&'a Participant>, SessionRejection> {
    match (
        session.redeemed_tokens.get(&arrival.token),
        session.participant(arrival.participant),
    ) {
        (Some(by), Some(known)) if *by == known.participant => Ok(Some(known)),
        (Some(_), _) => Err(SessionRejection::TokenAlreadyRedeemed),
        (None, Some(_)) => Err(SessionRejection::ParticipantAlreadyExists),
        (None, None) => Ok(None),
    }
}

/// What holds for a knock and for a direct join alike.
pub(super) fn may_arrive(
    session: &SessionFacts,
    arrival: &Arrival,
) -> Result<(), SessionRejection> {
    if let Some(field) = arrival.foreign_field() {
        return Err(SessionRejection::PrivateOfAnother { field });
    }
    if session.banned.contains(&arrival.person) {
        return Err(SessionRejection::PersonBanned);
    }
    if session.status == SessionStatus::Preparing {
        return Err(SessionRejection::SessionNotReady);
    }
    let already_in = of_person(session, arrival.person).any(|other| other.state.is_in());
    if session.is_locked() && !arrival.role.moderates() && !already_in {
        return Err(SessionRejection::SessionLocked);
    }
    if session.participants.len() >= ARRIVALS_MAX {
        return Err(SessionRejection::ArrivalsExhausted);
    }
    Ok(())
}

/// By what right someone needs no host's answer; none when they have to wait for one. `lobby` is what the grant says.
pub(super) fn admission_ground(
    session: &SessionFacts,
    person: PersonId,
    lobby: bool,
) -> Option<AdmissionGround> {
    if session.admitted.contains(&person) {
        Some(AdmissionGround::Earlier)
    } else if session.denied.contains(&person) || (lobby && session.settings.values.lobby) {
        None
    } else {
        Some(AdmissionGround::NoLobby)
    }
}

/// Where the setting refuses a second entry, one that waits or is in refuses the next.
pub(super) fn refuse_duplicate(
    session: &SessionFacts,
    person: PersonId,
    entry: ParticipantId,
) -> Result<(), SessionRejection> {
    let mut others = of_person(session, person)
        .filter(|other| other.participant != entry && !other.state.is_final());
    if session.settings.values.duplicate_entry == DuplicateEntry::Refuse && others.next().is_some()
    {
        return Err(SessionRejection::PersonAlreadyIn);
    }
    Ok(())
}

/// The person's other entries that wait, withdrawn, where the setting says that a new entry takes over.
pub(super) fn withdrawn_by_takeover(
    session: &SessionFacts,
    person: PersonId,
    entry: ParticipantId,
) -> Vec<SessionEvent> {
    if session.settings.values.duplicate_entry != DuplicateEntry::TakeOver {
        return Vec::new();
    }
    let waiting = of_person(session, person)
        .filter(|other| other.participant != entry && other.state.is_waiting());
    let reason = WithdrawalReason::TakenOver;
    waiting
        .map(|other| {
            KnockWithdrawn {
                participant: other.participant,
                reason,
            }
            .into()
        })
        .collect()
}

/// A reason in free text is about the person and theirs: erasing them erases it.
pub(super) fn own_reason(
    participant: &Participant,
    reason: Option<&Private>,
) -> Result<(), SessionRejection> {
    if reason.is_some_and(|reason| reason.person != participant.person) {
        return Err(SessionRejection::PrivateOfAnother { field: "reason" });
    }
    Ok(())
}

pub(super) fn denied(participant: &Participant, reason: Option<Private>) -> SessionEvent {
    ParticipantDenied {
        participant: participant.participant,
        reason,
    }
    .into()
}

fn admitted_by_host(participant: &Participant) -> SessionEvent {
    ParticipantAdmitted {
        participant: participant.participant,
        ground: AdmissionGround::Host,
    }
    .into()
}
