//! What a host does to others: hold, move, remove, mute, change roles, lock.

use crate::{
    ParticipantId,
    participant::{MediaSource, Participant},
};

use super::{
    ChangeParticipantRole, Decision, HoldParticipant, MoveParticipant, MuteAll, MuteParticipant, NOTHING,
    ParticipantHeld, ParticipantMoved, ParticipantMuted, ParticipantReleased, ParticipantRemoved,
    ParticipantRoleChanged, ParticipantUnmuted, ReleaseParticipant, RemoveParticipant, SessionEvent, SessionLocked,
    SessionRecord, SessionRejection, SessionUnlocked, UnmuteParticipant,
    lobby::{denied, get, of_person, own_reason},
};

pub(super) fn hold_participant(session: &SessionRecord, command: &HoldParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    if participant.held { NOTHING } else { Ok(vec![ParticipantHeld { participant: command.participant }.into()]) }
}

pub(super) fn release_participant(session: &SessionRecord, command: &ReleaseParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    if participant.held { Ok(vec![ParticipantReleased { participant: command.participant }.into()]) } else { NOTHING }
}

pub(super) fn move_participant(session: &SessionRecord, command: &MoveParticipant) -> Decision {
    get_present(session, command.participant)?;
    if command.to == session.session {
        return Err(SessionRejection::SessionSame);
    }
    Ok(vec![ParticipantMoved { participant: command.participant, to: command.to }.into()])
}

/// With a ban, every entry of the person goes.
pub(super) fn remove_participant(session: &SessionRecord, command: &RemoveParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    own_reason(participant, command.reason.as_ref())?;
    let removed = |participant: ParticipantId| -> SessionEvent {
        ParticipantRemoved { participant, ban: command.ban, reason: command.reason.clone() }.into()
    };
    let mut events = vec![removed(command.participant)];
    if command.ban {
        for other in of_person(session, participant.person).filter(|other| other.participant != command.participant) {
            if other.state.is_in() {
                events.push(removed(other.participant));
            } else if other.state.is_waiting() {
                events.push(denied(other, command.reason.clone()));
            }
        }
    }
    Ok(events)
}

pub(super) fn mute_participant(session: &SessionRecord, command: &MuteParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    Ok(mute(participant, command.source).into_iter().collect())
}

pub(super) fn unmute_participant(session: &SessionRecord, command: &UnmuteParticipant) -> Decision {
    let participant = get_present(session, command.participant)?;
    if !participant.muted.contains(&command.source) {
        return NOTHING;
    }
    Ok(vec![ParticipantUnmuted { participant: command.participant, source: command.source }.into()])
}

pub(super) fn mute_all(session: &SessionRecord, command: &MuteAll) -> Decision {
    let others = session.present().filter(|participant| !participant.role.moderates());
    Ok(others.filter_map(|participant| mute(participant, command.source)).collect())
}

pub(super) fn change_participant_role(session: &SessionRecord, command: &ChangeParticipantRole) -> Decision {
    let participant = get(session, command.participant)?;
    if participant.state.is_final() {
        return Err(SessionRejection::ParticipantNotIn);
    }
    if participant.role == command.role {
        return NOTHING;
    }
    Ok(vec![ParticipantRoleChanged { participant: command.participant, role: command.role }.into()])
}

pub(super) fn lock_session(session: &SessionRecord) -> Decision {
    if session.is_locked() { NOTHING } else { Ok(vec![SessionLocked {}.into()]) }
}

pub(super) fn unlock_session(session: &SessionRecord) -> Decision {
    if session.is_locked() { Ok(vec![SessionUnlocked {}.into()]) } else { NOTHING }
}

fn get_present(session: &SessionRecord, id: ParticipantId) -> Result<&Participant, SessionRejection> {
    let participant = get(session, id)?;
    if participant.state.is_in() { Ok(participant) } else { Err(SessionRejection::ParticipantNotIn) }
}

fn mute(participant: &Participant, source: MediaSource) -> Option<SessionEvent> {
    let muted = ParticipantMuted { participant: participant.participant, source };
    (!participant.muted.contains(&source)).then(|| muted.into())
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use crate::{
        ParticipantId, SessionId,
        SessionRole::{CoHost, Host, Observer, Participant as Guest},
        Timestamp,
        participant::{MediaSource, ParticipantState as State},
        settings::{DuplicateEntry, SettingValue as V, WhenHostLeaves},
    };

    const NOW: Timestamp = Timestamp(0);

    fn hold(n: u128) -> HoldParticipant {
        HoldParticipant { participant: ParticipantId(n), now: NOW }
    }

    fn release(n: u128) -> ReleaseParticipant {
        ReleaseParticipant { participant: ParticipantId(n), now: NOW }
    }

    fn remove(n: u128, ban: bool) -> RemoveParticipant {
        RemoveParticipant { participant: ParticipantId(n), ban, reason: None, now: NOW }
    }

    fn mute(n: u128) -> MuteParticipant {
        MuteParticipant { participant: ParticipantId(n), source: MediaSource::Microphone, now: NOW }
    }

    fn two() -> Scene {
        let mut scene = Scene::ready(&[V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Guest);
        scene
    }

    #[test]
    fn hold_and_release() {
        let mut scene = two();
        scene.adds_nothing(release(2));
        scene.does(hold(2));
        scene.adds_nothing(hold(2));
        assert_eq!((scene.stands(2), scene.facts().present_count), (State::OnHold, 2));
        scene.does(release(2));
        assert_eq!(scene.stands(2), State::Joined);
    }

    #[test]
    fn who_was_on_hold_comes_back_on_hold() {
        let mut scene = two();
        scene.does(hold(2));
        scene.does(DropParticipant { participant: ParticipantId(2), now: NOW });
        assert_eq!(scene.stands(2), State::Reconnecting);
        scene.does(ReconnectParticipant { participant: ParticipantId(2), now: scene.now });
        assert_eq!(scene.stands(2), State::OnHold);
    }

    #[test]
    fn who_is_away_is_held_and_released() {
        let mut scene = two();
        scene.does(DropParticipant { participant: ParticipantId(2), now: NOW });
        scene.does(hold(2));
        assert_eq!((scene.stands(2), scene.participant(2).held), (State::Reconnecting, true));
        scene.does(release(2));
        scene.does(ReconnectParticipant { participant: ParticipantId(2), now: scene.now });
        assert_eq!(scene.stands(2), State::Joined);
    }

    #[test]
    fn moved_to_another_session() {
        let mut scene = two();
        let to = |to| MoveParticipant { participant: ParticipantId(2), to, now: NOW };
        scene.refuses(to(SESSION), SessionRejection::SessionSame);
        scene.does(to(SessionId(200)));
        assert_eq!((scene.stands(2), scene.facts().present_count), (State::Moved, 1));
        scene.refuses(to(SessionId(200)), SessionRejection::ParticipantNotIn);
    }

    #[test]
    fn who_is_removed_asks_again() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.admits(2);
        scene.does(scene.enter(2));
        scene.does(remove(2, false));
        assert_eq!(scene.stands(2), State::Removed);
        scene.knocks(3, PATIENT);
        assert_eq!(scene.stands(3), State::Knocking);
    }

    #[test]
    fn who_is_banned_stays_out_with_every_entry() {
        let mut scene = Scene::ready(&[V::DuplicateEntry(DuplicateEntry::Allow), V::Lobby(true)]);
        scene.joins(1, DOCTOR, Host);
        scene.knocks(5, PATIENT);
        scene.joins(2, PATIENT, Guest);
        scene.joins(3, PATIENT, Guest);
        let reason = RemoveParticipant { reason: Some(private(DOCTOR, "shouted")), ..remove(2, true) };
        scene.refuses(reason, SessionRejection::PrivateOfAnother { field: "reason" });
        let events = scene.does(remove(2, true));
        assert_eq!(kinds(&events), ["ParticipantRemoved", "ParticipantDenied", "ParticipantRemoved"]);
        scene.refuses(scene.join(6, PATIENT, Guest), SessionRejection::PersonBanned);
        scene.refuses(scene.knock(6, PATIENT), SessionRejection::PersonBanned);
        scene.joins(7, SISTER, Guest);
    }

    #[test]
    fn mute_and_unmute() {
        let mut scene = two();
        scene.does(mute(2));
        scene.adds_nothing(mute(2));
        assert!(scene.participant(2).muted.contains(&MediaSource::Microphone));
        let unmute = UnmuteParticipant { participant: ParticipantId(2), source: MediaSource::Microphone, now: NOW };
        scene.does(unmute.clone());
        scene.adds_nothing(unmute);
    }

    #[test]
    fn mute_all_spares_who_moderates() {
        let mut scene = two();
        scene.joins(3, SISTER, CoHost);
        scene.joins(4, crate::PersonId(4), Observer);
        let all = MuteAll { source: MediaSource::Microphone, now: NOW };
        let muted = |n| ParticipantMuted { participant: ParticipantId(n), source: MediaSource::Microphone }.into();
        assert_eq!(scene.does(all.clone()), [muted(2), muted(4)]);
        scene.adds_nothing(all);
    }

    #[test]
    fn roles_change_and_with_them_who_is_awaited() {
        let mut scene = two();
        let role = |n, role| ChangeParticipantRole { participant: ParticipantId(n), role, now: NOW };
        scene.does(role(2, CoHost));
        scene.adds_nothing(role(2, CoHost));
        scene.does(scene.leave(1));
        assert_eq!(scene.status(), SessionStatus::InProgress);
        scene.does(role(2, Guest));
        assert_eq!((scene.status(), scene.facts().moderators_count), (SessionStatus::Waiting, 0));
        scene.refuses(role(1, Guest), SessionRejection::ParticipantNotIn);
    }

    #[test]
    fn lock_and_unlock() {
        let mut scene = two();
        scene.adds_nothing(UnlockSession { now: NOW });
        scene.does(LockSession { now: NOW });
        scene.adds_nothing(LockSession { now: NOW });
        assert!(scene.facts().is_locked());
        scene.does(UnlockSession { now: NOW });
        assert!(!scene.facts().is_locked());
    }

    #[test]
    fn nobody_moderates_who_is_not_in() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        let not_in = SessionRejection::ParticipantNotIn;
        scene.refuses(hold(1), not_in.clone());
        scene.refuses(release(1), not_in.clone());
        scene.refuses(remove(1, true), not_in.clone());
        scene.refuses(mute(1), not_in);
        scene.refuses(mute(9), SessionRejection::ParticipantNotFound);
    }
}
