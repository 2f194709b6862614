//! What a person's earlier entries leave to a new one. Coming in again, by a new token or with another device, undoes
//! nothing that a host did: their role in this session, a hold and mutes go with the person.

use std::collections::BTreeSet;

use crate::{
    ParticipantId, PersonId, SessionRole,
    participant::{Arrival, MediaSource, Participant, ParticipantStep},
};

use super::{ParticipantHeld, ParticipantMuted, ParticipantRoleChanged, SessionEvent, SessionRecord, lobby::of_person};

impl SessionRecord {
    /// Whether the setting, as it is now, sends this person through the lobby; `granted` is the role that they come with.
    pub fn lobby_applies(&self, person: PersonId, granted: SessionRole) -> bool {
        self.settings.values.lobby && !changed_role(self, person).unwrap_or(granted).moderates()
    }
}

/// The arrival in the role that the person has in this session: the grant's, unless it was changed here.
pub(super) fn in_their_role(session: &SessionRecord, arrival: &Arrival) -> Arrival {
    let role = changed_role(session, arrival.person).unwrap_or(arrival.role);
    Arrival { role, ..arrival.clone() }
}

/// For who comes in after a knock: the role was perhaps changed meanwhile, through another entry of the same person.
pub(super) fn role_changed(session: &SessionRecord, participant: &Participant) -> Option<SessionEvent> {
    let role = changed_role(session, participant.person).filter(|role| *role != participant.role)?;
    Some(ParticipantRoleChanged { participant: participant.participant, role }.into())
}

/// The role that the person was given last in this session, if it was ever changed.
fn changed_role(session: &SessionRecord, person: PersonId) -> Option<SessionRole> {
    let moments = of_person(session, person).flat_map(|entry| &entry.timeline);
    let changes = moments.filter_map(|moment| match moment.step {
        ParticipantStep::RoleChanged { to, .. } => Some((moment.at, to)),
        _ => None,
    });
    changes.max_by_key(|(at, _)| *at).map(|(_, role)| role)
}

/// Puts the new entry on hold and mutes it as the person was.
pub(super) fn held_and_muted(session: &SessionRecord, person: PersonId, entry: ParticipantId) -> Vec<SessionEvent> {
    let before = entries_before(session, person, entry);
    let held = before.iter().any(|other| other.held).then(|| ParticipantHeld { participant: entry }.into());
    let muted: BTreeSet<MediaSource> = before.iter().flat_map(|other| &other.muted).copied().collect();
    let muted = muted.into_iter().map(|source| ParticipantMuted { participant: entry, source }.into());
    held.into_iter().chain(muted).collect()
}

/// The person's other entries that are in; where none is, the one that was in last.
fn entries_before(session: &SessionRecord, person: PersonId, entry: ParticipantId) -> Vec<&Participant> {
    let others = of_person(session, person).filter(|other| other.participant != entry && other.joined_at().is_some());
    let (present, gone): (Vec<_>, Vec<_>) = others.partition(|other| other.state.is_in());
    if present.is_empty() { gone.into_iter().max_by_key(|other| other.since).into_iter().collect() } else { present }
}

#[cfg(test)]
mod tests {
    use super::super::{scene::*, *};
    use crate::{
        ParticipantId,
        SessionRole::{CoHost, Host, Participant as Guest},
        Timestamp,
        participant::{MediaSource, ParticipantState as State, ParticipantStep as Step},
        settings::{DuplicateEntry, SettingValue as V, WhenHostLeaves},
    };

    const NOW: Timestamp = Timestamp(0);

    fn hold(n: u128) -> HoldParticipant {
        HoldParticipant { participant: ParticipantId(n), now: NOW }
    }

    fn mute(n: u128, source: MediaSource) -> MuteParticipant {
        MuteParticipant { participant: ParticipantId(n), source, now: NOW }
    }

    fn role(n: u128, role: crate::SessionRole) -> ChangeParticipantRole {
        ChangeParticipantRole { participant: ParticipantId(n), role, now: NOW }
    }

    fn two(settings: &[V]) -> Scene {
        let mut scene = Scene::ready(settings);
        scene.joins(1, DOCTOR, Host);
        scene.joins(2, PATIENT, Guest);
        scene
    }

    #[test]
    fn a_new_entry_is_held_and_muted_as_the_one_that_it_takes_over() {
        let mut scene = two(&[]);
        scene.does(hold(2));
        scene.does(mute(2, MediaSource::Camera));
        scene.does(mute(2, MediaSource::Microphone));
        let events = scene.joins(3, PATIENT, Guest);
        let kinds = kinds(&events);
        assert_eq!(
            kinds,
            ["ParticipantJoined", "ParticipantHeld", "ParticipantMuted", "ParticipantMuted", "ParticipantLeft"]
        );
        assert_eq!(scene.stands(3), State::OnHold);
        assert_eq!(scene.participant(3).muted.len(), 2);
    }

    #[test]
    fn who_leaves_and_comes_back_is_held_and_muted_still() {
        let mut scene = two(&[V::Lobby(true)]);
        scene.does(hold(2));
        scene.does(mute(2, MediaSource::Microphone));
        scene.does(scene.leave(2));
        scene.after(60);
        // A knock that came to nothing in between changes nothing.
        scene.knocks(3, PATIENT);
        scene.does(WithdrawKnock { participant: ParticipantId(3), now: NOW });
        scene.knocks(4, PATIENT);
        scene.does(scene.enter(4));
        assert_eq!((scene.stands(4), scene.participant(4).muted.len()), (State::OnHold, 1));
        scene.does(ReleaseParticipant { participant: ParticipantId(4), now: NOW });
        let unmute = UnmuteParticipant { participant: ParticipantId(4), source: MediaSource::Microphone, now: NOW };
        scene.does(unmute);
        assert_eq!(kinds(&scene.joins(5, PATIENT, Guest)), ["ParticipantJoined", "ParticipantLeft"], "it is over");
    }

    #[test]
    fn with_several_entries_the_strictest_counts() {
        let mut scene = two(&[V::DuplicateEntry(DuplicateEntry::Allow)]);
        scene.joins(3, PATIENT, Guest);
        scene.does(hold(2));
        scene.after(1);
        scene.does(scene.leave(3));
        scene.joins(4, PATIENT, Guest);
        assert_eq!(scene.stands(4), State::OnHold);
        scene.joins(5, SISTER, Guest);
        assert_eq!(scene.stands(5), State::Joined, "nobody else");
    }

    #[test]
    fn a_role_that_was_changed_stays_with_the_person() {
        let mut scene = two(&[V::WhenHostLeaves(WhenHostLeaves::Hold)]);
        scene.does(role(2, CoHost));
        scene.does(scene.leave(1));
        scene.joins(3, PATIENT, Guest);
        assert_eq!(scene.participant(3).role, CoHost);
        assert!(scene.statuses().ends_with(&[SessionStatus::InProgress]), "it never waited");
        scene.does(role(3, Guest));
        scene.joins(4, PATIENT, CoHost);
        assert_eq!(scene.participant(4).role, Guest, "the grant's role came before");
        assert_eq!(scene.facts().moderators_count, 0);
    }

    #[test]
    fn who_was_demoted_is_a_host_neither_at_a_lock_nor_in_the_lobby() {
        let mut scene = two(&[V::Lobby(true)]);
        scene.joins(3, SISTER, CoHost);
        scene.does(role(3, Guest));
        scene.does(RemoveParticipant { participant: ParticipantId(3), ban: false, reason: None, now: NOW });
        assert!(scene.facts().lobby_applies(SISTER, CoHost) && !scene.facts().lobby_applies(DOCTOR, Host));
        scene.does(LockSession { now: NOW });
        scene.refuses(scene.join(4, SISTER, CoHost), SessionRejection::SessionLocked);
    }

    #[test]
    fn who_comes_in_after_a_knock_has_the_role_of_then() {
        let mut scene = two(&[V::Lobby(true)]);
        scene.knocks(3, PATIENT);
        scene.does(role(2, CoHost));
        let events = scene.does(scene.enter(3));
        assert_eq!(kinds(&events), ["ParticipantRoleChanged", "ParticipantJoined", "ParticipantLeft"]);
        assert_eq!(scene.participant(3).role, CoHost);
        scene.adds_nothing(scene.enter(3));
    }

    #[test]
    fn a_role_that_was_changed_at_the_door_counts_too() {
        let mut scene = Scene::ready(&[V::Lobby(true)]);
        scene.joins(1, DOCTOR, Host);
        scene.knocks(2, PATIENT);
        scene.does(role(2, CoHost));
        scene.admits(2);
        assert_eq!(kinds(&scene.does(scene.enter(2))), ["ParticipantJoined"]);
        let changes = scene.participant(2).timeline.iter().filter(|m| matches!(m.step, Step::RoleChanged { .. }));
        assert_eq!((changes.count(), scene.participant(2).role), (1, CoHost));
    }
}
