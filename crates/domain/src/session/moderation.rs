//! What a host does to others: hold, move, remove, mute, change roles, lock.

use crate::{
    ParticipantId,
    participant::{MediaSource, Participant},
};

use super::{
    ChangeParticipantRole, Decision, HoldParticipant, MoveParticipant, MuteAll, MuteParticipant,
    NOTHING, ParticipantHeld, ParticipantMoved, ParticipantMuted, ParticipantReleased,
    ParticipantRemoved, ParticipantRoleChanged, ParticipantUnmuted, ReleaseParticipant,
    RemoveParticipant, SessionEvent, SessionFacts, SessionLocked, SessionRejection,
    SessionUnlocked, UnmuteParticipant,
    lobby::{denied, get, of_person, own_reason},
};

pub(super) fn hold_participant(session: &SessionFacts, command: &HoldParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    if participant.held {
        NOTHING
    } else {
        Ok(vec![
            ParticipantHeld {
                participant: command.participant,
            }
            .into(),
        ])
    }
}

pub(super) fn release_participant(
    session: &SessionFacts,
    command: &ReleaseParticipant,
) -> Decision {
    let participant = get_present(session, command.participant)?;
    if participant.held {
        Ok(vec![
            ParticipantReleased {
                participant: command.participant,
            }
            .into(),
        ])
    } else {
        NOTHING
    }
}

pub(super) fn move_participant(session: &SessionFacts, command: &MoveParticipant) -> Decision {
    get_present(session, command.participant)?;
    if command.to == session.session {
        return Err(SessionRejection::SessionSame);
    }
    Ok(vec![
        ParticipantMoved {
            participant: command.participant,
            to: command.to,
        }
        .into(),
    ])
}

/// With a ban, every entry of the person goes.
pub(super) fn remove_participant(session: &SessionFacts, command: &RemoveParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    own_reason(participant, command.reason.as_ref())?;
    let removed = |participant: ParticipantId| -> SessionEvent {
        ParticipantRemoved {
            participant,
            ban: command.ban,
            reason: command.reason.clone(),
        }
        .into()
    };
    let mut events = vec![removed(command.participant)];
    if command.ban {
        for other in of_person(session, participant.person)
            .filter(|other| other.participant != command.participant)
        {
            if other.state.is_in() {
                events.push(removed(other.participant));
            } else if other.state.is_waiting() {
                events.push(denied(other, command.reason.clone()));
            }
        }
    }
    Ok(events)
}

pub(super) fn mute_participant(session: &SessionFacts, command: &MuteParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    Ok(mute(participant, command.source).into_iter().collect())
}

pub(super) fn unmute_participant(session: &SessionFacts, command: &UnmuteParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    if !participant.muted.contains(&command.source) {
        return NOTHING;
    }
    Ok(vec![
        ParticipantUnmuted {
            participant: command.participant,
            source: command.source,
        }
        .into(),
    ])
}

pub(super) fn mute_all(session: &SessionFacts, command: &MuteAll) -> Decision {
    let others = session
        .present()
        .filter(|participant| !participant.role.moderates());
    Ok(others
        .filter_map(|participant| mute(participant, command.source))
        .collect())
}

pub(super) fn change_participant_role(
    session: &SessionFacts,
    command: &ChangeParticipantRole,
) -> Decision {
    let participant = get(session, command.participant)?;
    if participant.state.is_final() {
        return Err(SessionRejection::ParticipantNotIn);
    }
    if participant.role == command.role {
        return NOTHING;
    }
    Ok(vec![
        ParticipantRoleChanged {
            participant: command.participant,
            role: command.role,
        }
        .into(),
    ])
}

pub(super) fn lock_session(session: &SessionFacts) -> Decision {
    if session.is_locked() {
        NOTHING
    } else {
        Ok(vec![SessionLocked {}.into()])
    }
}

pub(super) fn unlock_session(session: &SessionFacts) -> Decision {
    if session.is_locked() {
        Ok(vec![SessionUnlocked {}.into()])
    } else {
        NOTHING
    }
}

fn get_present(
    session: &SessionFacts,
    id: ParticipantId,
) -> Result<&Participant, SessionRejection> {
    let participant = get(session, id)?;
    if participant.state.is_in() {
        Ok(participant)
    } else {
        Err(SessionRejection::ParticipantNotIn)
    }
}

fn mute(participant: &Participant, source: MediaSource) -> Option<SessionEvent> {
    let muted = ParticipantMuted {
        participant: participant.participant,
        source,
    };
    (!participant.muted.contains(&source)).then(|| muted.into())
}
