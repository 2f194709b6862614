//! The lobby: knocking, and being admitted or not.

use crate::{
    ParticipantId, PersonId, Private, deadline,
    participant::{
        AdmissionGround, Arrival, KnockTimeoutReason, Participant, ParticipantState as State, WithdrawalReason,
    },
    settings::DuplicateEntry,
};

use super::{
    ADMITTED_WAITING_MAX, ARRIVALS_KEPT_FOR_MODERATORS, ARRIVALS_MAX, ARRIVALS_OF_PERSON_MAX, AdmitParticipant,
    Decision, DenyParticipant, KNOCKS_WAITING_MAX, Knock, KnockTimedOut, KnockUnanswered, KnockWithdrawn,
    MarkKnockUnanswered, NOTHING, ParticipantAdmitted, ParticipantDenied, ParticipantKnocked, SessionEvent,
    SessionRecord, SessionRejection, SessionStatus, TimeOutKnock, UNINVITED_ADMITTED_MAX, UNINVITED_ARRIVALS_MAX,
    UNINVITED_WAITING_MAX, WithdrawKnock, life::reached, standing::in_their_role,
};

pub(super) fn knock(session: &SessionRecord, command: &Knock) -> Decision {
    if let Some(known) = redeemed_by(session, &command.arrival)? {
        return if known.state.is_final() { Err(SessionRejection::TokenAlreadyRedeemed) } else { NOTHING };
    }
    let arrival = in_their_role(session, &command.arrival);
    may_arrive(session, &arrival)?;
    refuse_duplicate(session, arrival.person, arrival.participant)?;
    let ground = admission_ground(session, arrival.person, command.lobby);
    let taken_over = withdrawn_by_takeover(session, arrival.person, arrival.participant);
    place_at_the_door(session, &arrival, ground.is_some())?;
    let participant = arrival.participant;
    let mut events = vec![ParticipantKnocked { arrival: Box::new(arrival) }.into()];
    events.extend(taken_over);
    if let Some(ground) = ground {
        events.push(ParticipantAdmitted { participant, ground }.into());
    }
    Ok(events)
}

pub(super) fn withdraw_knock(session: &SessionRecord, command: &WithdrawKnock) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Knocking | State::Admitted => {
            let reason = WithdrawalReason::Withdrawn;
            Ok(vec![KnockWithdrawn { participant: command.participant, reason }.into()])
        }
        State::Withdrawn | State::TimedOut | State::Denied => NOTHING,
        State::Joined | State::Reconnecting | State::OnHold | State::Moved | State::Left | State::Removed => {
            Err(SessionRejection::ParticipantNotKnocking)
        }
    }
}

pub(super) fn admit_participant(session: &SessionRecord, command: &AdmitParticipant) -> Decision {
    let participant = get(session, command.participant)?;
    match participant.state {
        State::Knocking => Ok(vec![admitted_by_host(participant)]),
        State::Admitted | State::Joined | State::Reconnecting | State::OnHold => NOTHING,
        State::Denied | State::Withdrawn | State::TimedOut | State::Moved | State::Left | State::Removed => {
            Err(SessionRejection::ParticipantNotKnocking)
        }
    }
}

pub(super) fn admit_all(session: &SessionRecord) -> Decision {
    Ok(session.knocking().map(admitted_by_host).collect())
}

/// Denies the person: with every entry of theirs that waits.
pub(super) fn deny_participant(session: &SessionRecord, command: &DenyParticipant) -> Decision {
    let participant = get(session, command.participant)?;
    own_reason(participant, command.reason.as_ref())?;
    match participant.state {
        State::Knocking | State::Admitted => {
            let waiting = of_person(session, participant.person).filter(|other| other.state.is_waiting());
            Ok(waiting.map(|other| denied(other, command.reason.clone())).collect())
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

pub(super) fn mark_knock_unanswered(session: &SessionRecord, command: &MarkKnockUnanswered) -> Decision {
    let participant = get(session, command.participant)?;
    if participant.state != State::Knocking || participant.alerted_at.is_some() {
        return NOTHING;
    }
    reached(deadline::knock_alerts_at(participant), command.now)?;
    Ok(vec![KnockUnanswered { participant: command.participant }.into()])
}

pub(super) fn time_out_knock(session: &SessionRecord, command: &TimeOutKnock) -> Decision {
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
    Ok(vec![KnockTimedOut { participant: command.participant, reason }.into()])
}

pub(super) fn get(session: &SessionRecord, id: ParticipantId) -> Result<&Participant, SessionRejection> {
    session.participant(id).ok_or(SessionRejection::ParticipantNotFound)
}

pub(super) fn of_person(session: &SessionRecord, person: PersonId) -> impl Iterator<Item = &Participant> {
    session.participants.iter().filter(move |participant| participant.person == person)
}

/// The participant who redeemed this arrival's token, if it was this very arrival: then the request is a repeated one.
pub(super) fn redeemed_by<'a>(
    session: &'a SessionRecord,
    arrival: &Arrival,
) -> Result<Option<&'a Participant>, SessionRejection> {
    match (session.redeemed_tokens.get(&arrival.token), session.participant(arrival.participant)) {
        (Some(by), Some(known)) if *by == known.participant => Ok(Some(known)),
        (Some(_), _) => Err(SessionRejection::TokenAlreadyRedeemed),
        (None, Some(_)) => Err(SessionRejection::ParticipantAlreadyExists),
        (None, None) => Ok(None),
    }
}

/// What holds for a knock and for a direct join alike.
pub(super) fn may_arrive(session: &SessionRecord, arrival: &Arrival) -> Result<(), SessionRejection> {
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
    // An admission lasts for the session: a lock keeps out who is new, not whose line was down for too long.
    let known = already_in || session.admitted.contains(&arrival.person);
    if session.is_locked() && !arrival.role.moderates() && !known {
        return Err(SessionRejection::SessionLocked);
    }
    let kept_for_moderators = if arrival.role.moderates() { 0 } else { ARRIVALS_KEPT_FOR_MODERATORS };
    if session.participants.len() >= ARRIVALS_MAX - kept_for_moderators {
        return Err(SessionRejection::ArrivalsExhausted);
    }
    if arrival.uninvited()
        && session.participants.iter().filter(|other| other.uninvited()).count() >= UNINVITED_ARRIVALS_MAX
    {
        return Err(SessionRejection::UninvitedArrivalsExhausted);
    }
    if of_person(session, arrival.person).count() >= ARRIVALS_OF_PERSON_MAX {
        return Err(SessionRejection::PersonArrivalsExhausted);
    }
    Ok(())
}

/// One more waits for an answer, or, admitted, until they come in: so many may, and strangers get half of the places.
fn place_at_the_door(session: &SessionRecord, arrival: &Arrival, admitted: bool) -> Result<(), SessionRejection> {
    let (state, most, uninvited_most) = if admitted {
        (State::Admitted, ADMITTED_WAITING_MAX, UNINVITED_ADMITTED_MAX)
    } else {
        (State::Knocking, KNOCKS_WAITING_MAX, UNINVITED_WAITING_MAX)
    };
    let takes_over = session.settings.values.duplicate_entry == DuplicateEntry::TakeOver;
    let stays = |other: &&Participant| other.state == state && !(takes_over && other.person == arrival.person);
    let others = session.participants.iter().filter(stays);
    if others.clone().count() >= most {
        return Err(SessionRejection::LobbyFull);
    }
    if arrival.uninvited() && others.filter(|other| other.uninvited()).count() >= uninvited_most {
        return Err(SessionRejection::UninvitedLobbyFull);
    }
    Ok(())
}

/// By what right someone needs no host's answer; none when they have to wait for one. `lobby` is what the command says.
pub(super) fn admission_ground(session: &SessionRecord, person: PersonId, lobby: bool) -> Option<AdmissionGround> {
    if session.admitted.contains(&person) {
        Some(AdmissionGround::Earlier)
    } else if session.denied.contains(&person) || lobby {
        None
    } else {
        Some(AdmissionGround::NoLobby)
    }
}

/// Where the setting refuses a second entry, one that waits or is in refuses the next.
pub(super) fn refuse_duplicate(
    session: &SessionRecord,
    person: PersonId,
    entry: ParticipantId,
) -> Result<(), SessionRejection> {
    let mut others = of_person(session, person).filter(|other| other.participant != entry && !other.state.is_final());
    if session.settings.values.duplicate_entry == DuplicateEntry::Refuse && others.next().is_some() {
        return Err(SessionRejection::PersonAlreadyIn);
    }
    Ok(())
}

/// The person's other entries that wait, withdrawn, where the setting says that a new entry takes over.
pub(super) fn withdrawn_by_takeover(
    session: &SessionRecord,
    person: PersonId,
    entry: ParticipantId,
) -> Vec<SessionEvent> {
    if session.settings.values.duplicate_entry != DuplicateEntry::TakeOver {
        return Vec::new();
    }
    let waiting = of_person(session, person).filter(|other| other.participant != entry && other.state.is_waiting());
    let reason = WithdrawalReason::TakenOver;
    waiting.map(|other| KnockWithdrawn { participant: other.participant, reason }.into()).collect()
}

/// A reason in free text is about the person and theirs: erasing them erases it.
pub(super) fn own_reason(participant: &Participant, reason: Option<&Private>) -> Result<(), SessionRejection> {
    if reason.is_some_and(|reason| reason.person != participant.person) {
        return Err(SessionRejection::PrivateOfAnother { field: "reason" });
    }
    Ok(())
}

pub(super) fn denied(participant: &Participant, reason: Option<Private>) -> SessionEvent {
    ParticipantDenied { participant: participant.participant, reason }.into()
}

fn admitted_by_host(participant: &Participant) -> SessionEvent {
    ParticipantAdmitted { participant: participant.participant, ground: AdmissionGround::Host }.into()
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use super::*;
    use crate::{
        SessionRole::{Host, Participant as Guest},
        TokenId,
        participant::ParticipantStep,
        settings::SettingValue as V,
    };

    fn deny(n: u128) -> DenyParticipant {
        DenyParticipant { participant: ParticipantId(n), reason: None, now: crate::Timestamp(0) }
    }

    #[test]
    fn a_knock_opens_nothing_and_makes_the_session_wait() {
        let mut scene = Scene::ready(&[V::Lobby(true)]);
        assert_eq!(kinds(&scene.knocks(1, PATIENT)), ["ParticipantKnocked"]);
        let facts = scene.facts();
        assert_eq!((facts.status, facts.waiting_count, facts.present_count), (SessionStatus::Waiting, 1, 0));
        assert_eq!((facts.first_joined_at, facts.started_at), (None, None));
    }

    #[test]
    fn knocking_is_admitted_is_in() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.refuses(scene.enter(2), SessionRejection::ParticipantNotAdmitted);
        scene.after(5).admits(2);
        scene.adds_nothing(AdmitParticipant { participant: ParticipantId(2), now: scene.now });
        scene.after(5);
        scene.does(scene.enter(2));
        scene.adds_nothing(scene.enter(2));
        let steps: Vec<_> = scene.participant(2).timeline.iter().map(|moment| moment.step.clone()).collect();
        let admitted = ParticipantStep::Admitted { ground: AdmissionGround::Host };
        assert_eq!(steps, [ParticipantStep::Knocked, admitted, ParticipantStep::Joined]);
    }

    #[test]
    fn an_admission_lasts_for_the_session() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.admits(2);
        scene.does(scene.enter(2));
        scene.does(scene.leave(2));
        let events = scene.knocks(3, PATIENT);
        let admitted = ParticipantAdmitted { participant: ParticipantId(3), ground: AdmissionGround::Earlier };
        assert_eq!(events[1], admitted.into());
        let direct = Entry::Token { arrival: Box::new(arrival(4, PATIENT, Guest)), lobby: true };
        assert_eq!(
            kinds(&scene.does(JoinSession { entry: direct, now: scene.now })),
            ["ParticipantJoined", "KnockWithdrawn"]
        );
    }

    #[test]
    fn who_needs_no_lobby_is_admitted_at_once() {
        let mut scene = Scene::ready(&[]);
        let admitted = ParticipantAdmitted { participant: ParticipantId(1), ground: AdmissionGround::NoLobby };
        let knock = Knock { lobby: false, ..scene.knock(1, PATIENT) };
        assert_eq!(scene.does(knock)[1], admitted.into());
    }

    #[test]
    fn the_lobby_can_not_be_walked_past() {
        let scene = Scene::consultation();
        let entry = Entry::Token { arrival: Box::new(arrival(1, PATIENT, Guest)), lobby: true };
        scene.refuses(JoinSession { entry, now: scene.now }, SessionRejection::KnockNeeded);
    }

    #[test]
    fn who_is_denied_comes_in_only_by_a_new_admission() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        let reason = Some(private(PATIENT, "not today"));
        let foreign = DenyParticipant { reason: Some(private(DOCTOR, "not today")), ..deny(2) };
        scene.refuses(foreign, SessionRejection::PrivateOfAnother { field: "reason" });
        scene.does(DenyParticipant { reason: reason.clone(), ..deny(2) });
        scene.adds_nothing(deny(2));
        assert_eq!(scene.participant(2).timeline[1].step, ParticipantStep::Denied { reason });
        scene.refuses(scene.enter(2), SessionRejection::PersonDenied);
        scene.refuses(scene.join(3, PATIENT, Guest), SessionRejection::PersonDenied);
        scene.refuses(
            AdmitParticipant { participant: ParticipantId(2), now: scene.now },
            SessionRejection::ParticipantNotKnocking,
        );
        scene.knocks(4, PATIENT);
        scene.refuses(scene.enter(4), SessionRejection::ParticipantNotAdmitted);
        scene.admits(4);
        scene.does(scene.enter(4));
    }

    #[test]
    fn all_are_admitted() {
        let mut scene = Scene::consultation();
        for n in 1..=3 {
            scene.knocks(n, PersonId(n));
        }
        scene.does(deny(2));
        assert_eq!(kinds(&scene.does(AdmitAll { now: scene.now })), ["ParticipantAdmitted"; 2]);
        scene.adds_nothing(AdmitAll { now: scene.now });
    }

    #[test]
    fn a_knock_is_withdrawn() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        let withdraw = WithdrawKnock { participant: ParticipantId(1), now: scene.now };
        scene.does(withdraw.clone());
        scene.adds_nothing(withdraw);
        assert_eq!(scene.stands(1), State::Withdrawn);
        scene.refuses(scene.knock(1, PATIENT), SessionRejection::TokenAlreadyRedeemed);
        scene.joins(2, DOCTOR, Host);
        let joined = WithdrawKnock { participant: ParticipantId(2), now: scene.now };
        scene.refuses(joined, SessionRejection::ParticipantNotKnocking);
    }

    #[test]
    fn an_unanswered_knock_alerts_the_desk_once_and_waits_on() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        scene.knocks(2, DOCTOR);
        scene.admits(2);
        let mark = |scene: &Scene, n| MarkKnockUnanswered { participant: ParticipantId(n), now: scene.now };
        scene.refuses(mark(&scene, 1), SessionRejection::DeadlineNotReached);
        scene.after(deadline::KNOCK_ALERT_SECONDS);
        assert_eq!(scene.does(mark(&scene, 1)), [KnockUnanswered { participant: ParticipantId(1) }.into()]);
        scene.adds_nothing(mark(&scene, 1));
        scene.adds_nothing(mark(&scene, 2));
        let knocked = scene.participant(1);
        assert_eq!((knocked.state, knocked.alerted_at), (State::Knocking, Some(scene.now)));
        assert_eq!(knocked.timeline.last().unwrap().step, ParticipantStep::KnockUnanswered);
        assert_eq!(scene.status(), SessionStatus::Waiting);
        scene.admits(1);
    }

    #[test]
    fn an_unanswered_knock_times_out() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        let time_out = |scene: &Scene| TimeOutKnock { participant: ParticipantId(1), now: scene.now };
        scene.refuses(time_out(&scene), SessionRejection::DeadlineNotReached);
        scene.after(deadline::KNOCK_SECONDS_MAX);
        let reason = KnockTimeoutReason::Unanswered;
        assert_eq!(scene.does(time_out(&scene)), [KnockTimedOut { participant: ParticipantId(1), reason }.into()]);
        scene.adds_nothing(time_out(&scene));
    }

    #[test]
    fn an_unused_admission_times_out_and_still_lasts() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        scene.admits(1);
        scene.after(deadline::ADMISSION_SECONDS_MAX);
        scene.does(TimeOutKnock { participant: ParticipantId(1), now: scene.now });
        assert_eq!(scene.stands(1), State::TimedOut);
        scene.joins(2, PATIENT, Guest);
    }

    #[test]
    fn a_token_is_redeemed_once() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        scene.adds_nothing(scene.knock(1, PATIENT));
        let mut second = scene.knock(2, PATIENT);
        second.arrival.token = TokenId(1);
        scene.refuses(second, SessionRejection::TokenAlreadyRedeemed);
        let mut same_id = scene.knock(1, PATIENT);
        same_id.arrival.token = TokenId(2);
        scene.refuses(same_id, SessionRejection::ParticipantAlreadyExists);
    }

    #[test]
    fn a_second_knock_takes_over_or_is_refused_or_waits_too() {
        let mut scene = Scene::ready(&[V::Lobby(true)]);
        scene.knocks(1, PATIENT);
        assert_eq!(kinds(&scene.knocks(2, PATIENT)), ["ParticipantKnocked", "KnockWithdrawn"]);
        assert_eq!((scene.stands(1), scene.stands(2)), (State::Withdrawn, State::Knocking));

        let mut scene = Scene::ready(&[V::Lobby(true), V::DuplicateEntry(DuplicateEntry::Refuse)]);
        scene.knocks(1, PATIENT);
        scene.refuses(scene.knock(2, PATIENT), SessionRejection::PersonAlreadyIn);

        let mut scene = Scene::ready(&[V::Lobby(true), V::DuplicateEntry(DuplicateEntry::Allow)]);
        scene.knocks(1, PATIENT);
        scene.knocks(2, PATIENT);
        assert_eq!(scene.facts().waiting_count, 2);
        assert_eq!(kinds(&scene.does(deny(1))), ["ParticipantDenied"; 2], "the person is denied");
    }

    #[test]
    fn a_full_lobby_says_so() {
        let mut scene = Scene::consultation();
        for n in 1..=KNOCKS_WAITING_MAX as u128 {
            scene.knocks(n, PersonId(n));
        }
        scene.refuses(scene.knock(999, PersonId(999)), SessionRejection::LobbyFull);
        assert_eq!(kinds(&scene.knocks(998, PersonId(1))), ["ParticipantKnocked", "KnockWithdrawn"]);
    }

    fn uninvited(scene: &Scene, n: u128) -> Knock {
        let mut knock = scene.knock(n, PersonId(n));
        knock.arrival.invitation = None;
        knock
    }

    #[test]
    fn strangers_leave_room_in_the_lobby_for_who_is_invited() {
        let mut scene = Scene::consultation();
        for n in 1..=UNINVITED_WAITING_MAX as u128 {
            scene.does(uninvited(&scene, n));
        }
        scene.refuses(uninvited(&scene, 999), SessionRejection::UninvitedLobbyFull);
        scene.knocks(998, PersonId(998));
        scene.does(WithdrawKnock { participant: ParticipantId(1), now: scene.now });
        scene.does(uninvited(&scene, 999));
    }

    #[test]
    fn who_is_admitted_without_a_lobby_and_does_not_come_in_leaves_room_for_others() {
        let mut scene = Scene::ready(&[]);
        let no_lobby = |knock: Knock| Knock { lobby: false, ..knock };
        let admitted = |scene: &mut Scene, knock: Knock| {
            let participant = knock.arrival.participant;
            scene.happens(&ParticipantKnocked { arrival: Box::new(knock.arrival) }.into());
            scene.happens(&ParticipantAdmitted { participant, ground: AdmissionGround::NoLobby }.into());
        };
        for n in 1..=UNINVITED_ADMITTED_MAX as u128 {
            let knock = uninvited(&scene, n);
            admitted(&mut scene, knock);
        }
        scene.refuses(no_lobby(uninvited(&scene, 9_999)), SessionRejection::UninvitedLobbyFull);
        scene.does(scene.knock(9_998, PersonId(9_998)));
        for n in UNINVITED_ADMITTED_MAX as u128 + 1..=ADMITTED_WAITING_MAX as u128 {
            let knock = scene.knock(n, PersonId(n));
            admitted(&mut scene, knock);
        }
        scene.refuses(no_lobby(scene.knock(9_999, PersonId(9_999))), SessionRejection::LobbyFull);
        scene.does(scene.enter(1));
        scene.does(no_lobby(scene.knock(9_999, PersonId(9_999))));
    }

    #[test]
    fn strangers_cannot_use_a_session_up() {
        let mut scene = Scene::consultation();
        for n in 1..=UNINVITED_ARRIVALS_MAX as u128 {
            scene.happens(&ParticipantKnocked { arrival: Box::new(uninvited(&scene, n).arrival) }.into());
            let withdrawn = KnockWithdrawn { participant: ParticipantId(n), reason: WithdrawalReason::Withdrawn };
            scene.happens(&withdrawn.into());
        }
        scene.refuses(uninvited(&scene, 99_999), SessionRejection::UninvitedArrivalsExhausted);
        scene.knocks(99_998, PersonId(99_998));
    }

    #[test]
    fn private_values_are_the_person_s_own() {
        let scene = Scene::consultation();
        let mut knock = scene.knock(1, PATIENT);
        knock.arrival.device = Some(private(DOCTOR, "a tablet"));
        scene.refuses(knock, SessionRejection::PrivateOfAnother { field: "device" });
    }

    #[test]
    fn nobody_new_knocks_at_a_locked_session() {
        let mut scene = Scene::consultation();
        scene.knocks(1, PATIENT);
        scene.does(LockSession { now: scene.now });
        scene.refuses(scene.knock(2, SISTER), SessionRejection::SessionLocked);
        scene.admits(1);
        scene.does(scene.enter(1));
        scene.joins(3, DOCTOR, Host);
        scene.does(UnlockSession { now: scene.now });
        scene.knocks(2, SISTER);
    }

    #[test]
    fn who_was_admitted_comes_back_through_a_lock_and_who_was_removed_does_not() {
        let mut scene = Scene::consultation();
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.admits(2);
        scene.does(scene.enter(2));
        scene.does(LockSession { now: scene.now });
        scene.does(scene.leave(2));
        assert_eq!(kinds(&scene.knocks(3, PATIENT)), ["ParticipantKnocked", "ParticipantAdmitted"]);
        scene.does(scene.enter(3));
        scene.does(RemoveParticipant { participant: ParticipantId(3), ban: false, reason: None, now: scene.now });
        scene.refuses(scene.knock(4, PATIENT), SessionRejection::SessionLocked);
    }
}
