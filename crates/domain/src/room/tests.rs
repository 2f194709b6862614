use proptest::prelude::*;

use super::*;
use crate::{
    PersonId,
    policy::{Grant, Listing, Who},
    private::Ciphertext,
    settings::SettingValue,
};

const OWNER: UserId = UserId(3);
const ANNA: UserId = UserId(4);
const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn details() -> RoomDetails {
    RoomDetails {
        name: "Consultation room 1".into(),
        slug: "room-1".parse().unwrap(),
        description: "Second floor".into(),
        purpose: Purpose::Consultation,
        owner: OWNER,
        logo_url: None,
        not_before: None,
        not_after: None,
    }
}

fn creating(change: impl FnOnce(&mut CreateRoom)) -> RoomCommand {
    let mut create = CreateRoom {
        organization: OrganizationId(1),
        room: RoomId(2),
        unit: UnitId(5),
        unit_living: true,
        details: details(),
        owner_active: true,
    };
    change(&mut create);
    RoomCommand::CreateRoom(create)
}

fn opening_ad_hoc(session: u128, change: impl FnOnce(&mut CreateRoom)) -> RoomCommand {
    let (RoomCommand::CreateRoom(mut create), RoomCommand::OpenSession(open)) = (creating(|_| {}), open(session))
    else {
        unreachable!("they are what they are called")
    };
    create.details.slug = ad_hoc_slug(create.room);
    change(&mut create);
    RoomCommand::OpenAdHocSession(OpenAdHocSession { create: Box::new(create), open: Box::new(open) })
}

fn update(change: impl FnOnce(&mut RoomDetails), owner_active: bool) -> RoomCommand {
    let mut details = details();
    change(&mut details);
    RoomCommand::UpdateRoom(UpdateRoom { details, owner_active })
}

fn opening(session: u128, change: impl FnOnce(&mut OpenSession)) -> RoomCommand {
    let mut open = OpenSession {
        session: SessionId(session),
        organization_active: true,
        settings: EffectiveSettings::default(),
        opened_by: Opener::User(OWNER),
        record: None,
        continues: None,
        now: NOW,
    };
    change(&mut open);
    RoomCommand::OpenSession(open)
}

fn open(session: u128) -> RoomCommand {
    opening(session, |_| {})
}

fn release(session: u128) -> RoomCommand {
    RoomCommand::ReleaseSession(ReleaseSession { session: SessionId(session) })
}

fn add(user: UserId, role: SessionRole) -> RoomCommand {
    RoomCommand::AddRoomPerson(AddRoomPerson { user, role, user_active: true })
}

fn disable() -> RoomCommand {
    RoomCommand::DisableRoom(DisableRoom {})
}

fn enable() -> RoomCommand {
    RoomCommand::EnableRoom(EnableRoom {})
}

fn archive() -> RoomCommand {
    RoomCommand::ArchiveRoom(ArchiveRoom {})
}

fn after(state: RoomState, command: &RoomCommand) -> Result<RoomState, RoomRejection> {
    let events = Room::decide(&state, command)?;
    Ok(events.iter().fold(state, |state, event| Room::evolve(state, event, NOW)))
}

/// The room after it was created and these commands, each of which must be accepted.
fn given(commands: &[RoomCommand]) -> RoomState {
    let created = after(RoomState::Absent, &creating(|_| {})).unwrap();
    commands.iter().fold(created, |state, command| after(state, command).unwrap())
}

#[test]
fn create_room() {
    let state = given(&[]);
    assert_eq!(Room::decide(&state, &creating(|_| {})), Ok(vec![]));
    let other = creating(|create| create.unit = UnitId(9));
    assert_eq!(Room::decide(&state, &other), Err(RoomRejection::RoomAlreadyExists));
    let refused =
        |change: fn(&mut CreateRoom)| Room::decide(&RoomState::Absent, &creating(change)).expect_err("refused");
    assert_eq!(refused(|create| create.unit_living = false), RoomRejection::UnitNotLiving);
    assert_eq!(refused(|create| create.owner_active = false).field(), Some("ownerId"));
    assert_eq!(refused(|create| create.details.name = String::new()).field(), Some("name"));
    assert_eq!(refused(|create| create.details.logo_url = Some("x".into())).field(), Some("logoUrl"));
    let backward =
        |create: &mut CreateRoom| (create.details.not_before, create.details.not_after) = (Some(NOW), Some(NOW));
    assert_eq!(refused(backward).field(), Some("notAfter"));
}

#[test]
fn update_room() {
    let state = given(&[]);
    assert_eq!(Room::decide(&state, &update(|_| {}, false)), Ok(vec![]));
    assert_eq!(Room::decide(&state, &update(|details| details.name = "Room 2".into(), false)).unwrap().len(), 1);
    let to_anna = |active| Room::decide(&state, &update(|details| details.owner = ANNA, active));
    assert_eq!(to_anna(false), Err(RoomRejection::UserNotActive { field: "ownerId" }));
    assert!(to_anna(true).is_ok());
    assert_eq!(Room::decide(&RoomState::Absent, &update(|_| {}, true)), Err(RoomRejection::RoomNotFound));
}

#[test]
fn set_room_settings() {
    let state = given(&[]);
    let set = |locked_above| {
        let settings = Level::setting([SettingValue::Recording(crate::settings::RecordingMode::OnDemand)]);
        Room::decide(&state, &RoomCommand::SetRoomSettings(SetRoomSettings { settings, locked_above }))
    };
    assert_eq!(set([SettingName::Recording].into()).unwrap_err().code(), "SETTING_LOCKED");
    assert_eq!(set(BTreeSet::new()).unwrap().len(), 1);
}

#[test]
fn set_room_policies() {
    let state = given(&[]);
    let set = |floor_above| {
        let policies = PolicyLevel {
            set: Rules { join: Some(vec![Grant::to(Who::Anyone)]), ..Rules::default() },
            floor: Rules::default(),
        };
        Room::decide(&state, &RoomCommand::SetRoomPolicies(SetRoomPolicies { policies, floor_above }))
    };
    let by_invitation = Rules { join: Some(vec![Grant::by_lobby(Who::Invitation)]), ..Rules::default() };
    assert_eq!(set(by_invitation).unwrap_err().code(), "POLICY_LOOSER_THAN_FLOOR");
    assert_eq!(set(Rules::default()).unwrap().len(), 1);
}

#[test]
fn add_and_remove_room_person() {
    let state = given(&[add(ANNA, SessionRole::Participant), add(ANNA, SessionRole::CoHost)]);
    assert_eq!(state.facts().unwrap().people, [(ANNA, SessionRole::CoHost)].into());
    assert_eq!(Room::decide(&state, &add(ANNA, SessionRole::CoHost)), Ok(vec![]));
    let inactive = AddRoomPerson { user: UserId(9), role: SessionRole::Host, user_active: false };
    assert_eq!(
        Room::decide(&state, &RoomCommand::AddRoomPerson(inactive)),
        Err(RoomRejection::UserNotActive { field: "userId" })
    );
    let remove = RoomCommand::RemoveRoomPerson(RemoveRoomPerson { user: ANNA });
    let state = after(state, &remove).unwrap();
    assert_eq!(Room::decide(&state, &remove), Ok(vec![]));
}

#[test]
fn open_session() {
    let state = given(&[open(7)]);
    assert_eq!(state.facts().unwrap().live_session, Some(SessionId(7)));
    assert_eq!(Room::decide(&state, &open(7)), Ok(vec![]));
    assert_eq!(Room::decide(&state, &open(8)), Err(RoomRejection::SessionLive));
    let suspended = opening(7, |open| open.organization_active = false);
    assert_eq!(Room::decide(&given(&[]), &suspended), Err(RoomRejection::OrganizationNotActive));
    let itself = opening(7, |open| open.continues = Some(SessionId(7)));
    assert_eq!(Room::decide(&given(&[]), &itself), Err(RoomRejection::SessionNotClosed));
}

#[test]
fn release_session() {
    let state = given(&[open(7)]);
    assert_eq!(Room::decide(&state, &release(8)), Ok(vec![]));
    let state = given(&[open(7), release(7), release(7), open(8)]);
    assert_eq!(state.facts().unwrap().live_session, Some(SessionId(8)));
}

#[test]
fn a_session_is_opened_in_the_rooms_window_only() {
    let window = |details: &mut RoomDetails| {
        details.not_before = Some(NOW);
        details.not_after = Some(NOW.plus_seconds(60));
    };
    let state = given(&[update(window, true)]);
    let at = |now| Room::decide(&state, &opening(7, |open| open.now = now)).map(|events| events.len());
    assert_eq!(at(Timestamp(NOW.0 - 1)), Err(RoomRejection::RoomTooEarly));
    assert_eq!(at(NOW), Ok(1));
    assert_eq!(at(NOW.plus_seconds(60)), Err(RoomRejection::RoomOver));
}

#[test]
fn disable_enable_and_archive_room() {
    let disabled = given(&[disable(), disable()]);
    assert_eq!(Room::decide(&disabled, &open(7)), Err(RoomRejection::RoomDisabled));
    assert!(Room::decide(&given(&[disable(), enable(), enable()]), &open(7)).is_ok());
    assert_eq!(Room::decide(&given(&[open(7)]), &archive()), Err(RoomRejection::SessionLive));
    let archived = given(&[open(7), release(7), archive(), archive()]);
    for command in [open(8), enable(), disable(), update(|_| {}, true), add(ANNA, SessionRole::Host)] {
        assert_eq!(Room::decide(&archived, &command), Err(RoomRejection::RoomArchived));
    }
    assert!(!archived.is_living());
}

proptest! {
    /// Counts sessions from the events alone: whatever is asked, a room has at most one live session, and none is
    /// released that was not opened.
    #[test]
    fn a_room_never_has_two_live_sessions(steps in proptest::collection::vec((0u8..6, 0u128..4), 0..60)) {
        let mut state = given(&[]);
        let mut live = BTreeSet::new();
        for (kind, session) in steps {
            let command = match kind {
                0 | 1 => open(session),
                2 => release(session),
                3 => disable(),
                4 => enable(),
                _ => archive(),
            };
            for event in Room::decide(&state, &command).unwrap_or_default() {
                match &event {
                    RoomEvent::SessionOpened(opened) => prop_assert!(live.insert(opened.session)),
                    RoomEvent::SessionReleased(released) => prop_assert!(live.remove(&released.session)),
                    RoomEvent::RoomCreated(_) | RoomEvent::RoomUpdated(_) | RoomEvent::RoomSettingsSet(_)
                    | RoomEvent::RoomPoliciesSet(_) | RoomEvent::RoomPersonAdded(_) | RoomEvent::RoomPersonRemoved(_)
                    | RoomEvent::RoomDisabled(_) | RoomEvent::RoomEnabled(_) | RoomEvent::RoomArchived(_) => {}
                }
                state = Room::evolve(state, &event, NOW);
                prop_assert!(live.len() <= 1);
                prop_assert_eq!(state.facts().unwrap().live_session, live.first().copied());
            }
        }
    }
}

#[test]
fn an_ad_hoc_room_is_made_with_its_session_and_goes_with_it() {
    let events = Room::decide(&RoomState::Absent, &opening_ad_hoc(7, |_| {})).unwrap();
    let kinds: Vec<_> = events.iter().map(crate::aggregate::EventPayload::kind).collect();
    assert_eq!(kinds, ["RoomCreated", "SessionOpened"]);
    let state = after(RoomState::Absent, &opening_ad_hoc(7, |_| {})).unwrap();
    let facts = state.facts().unwrap();
    assert_eq!((facts.kind, facts.live_session), (RoomKind::AdHoc, Some(SessionId(7))));
    assert_eq!(facts.policies.set.list, Some(Listing::Private), "whatever its purpose says");
    assert_eq!(facts.details.slug.as_str(), "ad-hoc-00000000000000000000000002");
    assert_eq!(Room::decide(&state, &opening_ad_hoc(7, |_| {})), Ok(vec![]), "asked again");
    assert_eq!(Room::decide(&state, &opening_ad_hoc(8, |_| {})), Err(RoomRejection::SessionLive));
    assert_eq!(Room::decide(&state, &open(8)), Err(RoomRejection::SessionLive));
    let released = Room::decide(&state, &release(7)).unwrap();
    assert_eq!(released, [SessionReleased { session: SessionId(7) }.into(), super::RoomArchived {}.into()]);
    let state = after(state, &release(7)).unwrap();
    assert_eq!(Room::decide(&state, &release(7)), Ok(vec![]));
    assert_eq!(Room::decide(&state, &open(8)), Err(RoomRejection::RoomArchived), "it was for one session");
}

#[test]
fn an_ad_hoc_room_wants_what_every_room_wants() {
    let refused = |change: fn(&mut CreateRoom)| Room::decide(&RoomState::Absent, &opening_ad_hoc(7, change));
    assert_eq!(refused(|create| create.unit_living = false), Err(RoomRejection::UnitNotLiving));
    assert_eq!(refused(|create| create.owner_active = false), Err(RoomRejection::UserNotActive { field: "ownerId" }));
    assert_eq!(refused(|create| create.details.name = String::new()).unwrap_err().field(), Some("name"));
    let RoomCommand::OpenAdHocSession(mut suspended) = opening_ad_hoc(7, |_| {}) else { unreachable!("it is") };
    suspended.open.organization_active = false;
    let answer = Room::decide(&RoomState::Absent, &suspended.into());
    assert_eq!(answer, Err(RoomRejection::OrganizationNotActive));
}

#[test]
fn no_lasting_room_has_the_slug_of_an_ad_hoc_one() {
    let slug = ad_hoc_slug(RoomId(99));
    let refused = Room::decide(&RoomState::Absent, &creating(|create| create.details.slug = slug)).unwrap_err();
    assert_eq!((refused.code(), refused.field()), ("INVALID", Some("slug")));
    let state = given(&[]);
    assert!(Room::decide(&state, &update(|details| details.slug = slug, true)).is_err());
    let like_it = creating(|create| create.details.slug = "ad-hoc-meetings".parse().unwrap());
    assert!(Room::decide(&RoomState::Absent, &like_it).is_ok());
}

#[test]
fn golden_files() {
    let person = PersonId(6);
    crate::golden::check::<Room>(&[
        RoomCreated {
            organization: OrganizationId(1),
            room: RoomId(2),
            unit: UnitId(5),
            kind: RoomKind::Lasting,
            details: details(),
        }
        .into(),
        RoomUpdated {
            details: RoomDetails {
                logo_url: Some("https://example.org/room.png".into()),
                not_before: Some(NOW),
                not_after: Some(NOW.plus_seconds(3_600)),
                ..details()
            },
        }
        .into(),
        RoomSettingsSet { settings: Level::setting([SettingValue::Lobby(false)]) }.into(),
        RoomPoliciesSet {
            policies: PolicyLevel {
                set: Rules { list: Some(Listing::Private), ..Rules::default() },
                floor: Rules::default(),
            },
        }
        .into(),
        RoomPersonAdded { user: ANNA, role: SessionRole::Interpreter }.into(),
        RoomPersonRemoved { user: ANNA }.into(),
        super::RoomDisabled {}.into(),
        RoomEnabled {}.into(),
        super::RoomArchived {}.into(),
        SessionOpened {
            session: SessionId(7),
            settings: Box::new(crate::settings::resolve(
                Purpose::Consultation,
                &Level::default(),
                &[(UnitId(5), &Level::setting([SettingValue::Chat(false)]).locking([SettingName::Chat]))],
                &Level::default(),
            )),
            opened_by: Opener::User(OWNER),
            record: Some(Private { person, ciphertext: Ciphertext(vec![1, 2, 3]) }),
            continues: Some(SessionId(6)),
        }
        .into(),
        SessionReleased { session: SessionId(7) }.into(),
    ]);
}
