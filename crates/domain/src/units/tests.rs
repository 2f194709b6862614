use proptest::prelude::*;

use super::*;
use crate::{
    policy::{Grant, Listing, Who},
    settings::SettingValue,
};

fn details(slug: &str) -> UnitDetails {
    UnitDetails {
        slug: slug.parse().unwrap(),
        full_name: slug.to_uppercase(),
        description: String::new(),
        address: None,
    }
}

fn create(unit: u128, parent: Option<u128>, slug: &str) -> UnitsCommand {
    UnitsCommand::CreateUnit(CreateUnit { unit: UnitId(unit), parent: parent.map(UnitId), details: details(slug) })
}

fn move_to(unit: u128, parent: Option<u128>) -> UnitsCommand {
    UnitsCommand::MoveUnit(MoveUnit { unit: UnitId(unit), parent: parent.map(UnitId) })
}

fn archive(unit: u128) -> UnitsCommand {
    UnitsCommand::ArchiveUnit(ArchiveUnit { unit: UnitId(unit), has_rooms: false })
}

fn after(state: UnitsState, command: &UnitsCommand) -> Result<UnitsState, UnitsRejection> {
    let events = Units::decide(&state, command)?;
    Ok(events.iter().fold(state, |state, event| Units::evolve(state, event, Timestamp(1))))
}

/// The state after these commands, each of which must be accepted.
fn given(commands: &[UnitsCommand]) -> UnitsState {
    commands.iter().fold(UnitsState::default(), |state, command| after(state, command).unwrap())
}

/// Units 1 to `depth`, each below the one before.
fn chain(depth: u128) -> UnitsState {
    let commands: Vec<_> = (1..=depth).map(|id| create(id, (id > 1).then(|| id - 1), &format!("unit-{id}"))).collect();
    given(&commands)
}

#[test]
fn create_unit() {
    let state = given(&[create(1, None, "surgery"), create(2, Some(1), "ward")]);
    assert_eq!(state.path(UnitId(2)), [UnitId(1), UnitId(2)]);
    assert_eq!(Units::decide(&state, &create(2, Some(1), "ward")), Ok(vec![]));
    assert_eq!(Units::decide(&state, &create(2, Some(1), "other")), Err(UnitsRejection::UnitAlreadyExists));
    assert_eq!(
        Units::decide(&state, &create(3, Some(9), "ward")),
        Err(UnitsRejection::UnitNotFound { field: "parentId" })
    );
}

#[test]
fn a_slug_is_unique_among_siblings() {
    let state = given(&[create(1, None, "surgery"), create(2, Some(1), "ward"), create(3, None, "ward")]);
    assert_eq!(Units::decide(&state, &create(4, Some(1), "ward")), Err(UnitsRejection::SlugTaken));
    assert_eq!(Units::decide(&state, &move_to(3, Some(1))), Err(UnitsRejection::SlugTaken));
    let rename = UnitsCommand::UpdateUnit(UpdateUnit { unit: UnitId(3), details: details("surgery") });
    assert_eq!(Units::decide(&state, &rename), Err(UnitsRejection::SlugTaken));
    let state = after(state, &archive(2)).unwrap();
    assert!(Units::decide(&state, &create(4, Some(1), "ward")).is_ok());
}

#[test]
fn update_unit() {
    let state = given(&[create(1, None, "surgery")]);
    let update = |details| UnitsCommand::UpdateUnit(UpdateUnit { unit: UnitId(1), details });
    assert_eq!(Units::decide(&state, &update(details("surgery"))), Ok(vec![]));
    let unnamed = UnitDetails { full_name: String::new(), ..details("surgery") };
    assert_eq!(Units::decide(&state, &update(unnamed)).unwrap_err().field(), Some("fullName"));
    assert_eq!(Units::decide(&state, &update(details("dental"))).unwrap().len(), 1);
}

#[test]
fn units_are_at_most_8_deep() {
    let state = chain(8);
    assert_eq!(Units::decide(&state, &create(9, Some(8), "unit")), Err(UnitsRejection::UnitTooDeep));
    let two_trees = after(after(chain(7), &create(20, None, "a")).unwrap(), &create(21, Some(20), "b")).unwrap();
    assert_eq!(Units::decide(&two_trees, &move_to(20, Some(7))), Err(UnitsRejection::UnitTooDeep));
    assert!(Units::decide(&two_trees, &move_to(20, Some(6))).is_ok());
}

#[test]
fn move_unit() {
    let state = chain(3);
    for below in [1, 2, 3] {
        assert_eq!(Units::decide(&state, &move_to(1, Some(below))), Err(UnitsRejection::UnitBelowItself));
    }
    assert_eq!(Units::decide(&state, &move_to(3, Some(2))), Ok(vec![]));
    let moved = after(state, &move_to(2, None)).unwrap();
    assert_eq!(moved.path(UnitId(3)), [UnitId(2), UnitId(3)]);
}

#[test]
fn archive_unit() {
    let state = chain(2);
    assert_eq!(Units::decide(&state, &archive(1)), Err(UnitsRejection::UnitHasUnits));
    let with_rooms = UnitsCommand::ArchiveUnit(ArchiveUnit { unit: UnitId(2), has_rooms: true });
    assert_eq!(Units::decide(&state, &with_rooms), Err(UnitsRejection::UnitHasRooms));
    let state = given(&[create(1, None, "a"), create(2, Some(1), "b"), archive(2), archive(2), archive(1)]);
    assert_eq!(
        Units::decide(&state, &create(3, Some(1), "c")),
        Err(UnitsRejection::UnitArchived { field: "parentId" })
    );
    assert!(!state.is_living(UnitId(1)) && !state.is_living(UnitId(9)));
}

#[test]
fn locks_and_floors_of_all_levels_above_hold() {
    let lock = UnitsCommand::SetUnitSettings(SetUnitSettings {
        unit: UnitId(1),
        settings: Level::setting([SettingValue::Chat(false)]).locking([SettingName::Chat]),
        organization_locked: BTreeSet::new(),
    });
    let floor = UnitsCommand::SetUnitPolicies(SetUnitPolicies {
        unit: UnitId(1),
        policies: PolicyLevel {
            set: Rules::default(),
            floor: Rules { list: Some(Listing::Organization), ..Rules::default() },
        },
        organization_floor: Rules::default(),
    });
    let state = [lock.clone(), floor.clone()].iter().fold(chain(2), |state, command| after(state, command).unwrap());
    assert_eq!(Units::decide(&state, &lock), Ok(vec![]));
    assert_eq!(Units::decide(&state, &floor), Ok(vec![]));
    let set = |value, organization_locked| {
        let settings = Level::setting([value]);
        let set = SetUnitSettings { unit: UnitId(2), settings, organization_locked };
        Units::decide(&state, &UnitsCommand::SetUnitSettings(set)).map_err(|rejection| rejection.code())
    };
    assert_eq!(set(SettingValue::Chat(true), BTreeSet::new()), Err("SETTING_LOCKED"));
    assert_eq!(set(SettingValue::Lobby(true), [SettingName::Lobby].into()), Err("SETTING_LOCKED"));
    assert!(set(SettingValue::Lobby(true), BTreeSet::new()).is_ok());
    let list = |list, organization_floor| {
        let policies = PolicyLevel { set: Rules { list: Some(list), ..Rules::default() }, floor: Rules::default() };
        let set = SetUnitPolicies { unit: UnitId(2), policies, organization_floor };
        Units::decide(&state, &UnitsCommand::SetUnitPolicies(set)).map_err(|rejection| rejection.code())
    };
    assert_eq!(list(Listing::Public, Rules::default()), Err("POLICY_LOOSER_THAN_FLOOR"));
    let private = Rules { list: Some(Listing::Private), ..Rules::default() };
    assert_eq!(list(Listing::Organization, private), Err("POLICY_LOOSER_THAN_FLOOR"));
    assert!(list(Listing::Organization, Rules::default()).is_ok());
}

proptest! {
    /// Whatever is asked: no unit is above itself, none is deeper than 8, no living unit is below an archived one, and
    /// living siblings have different slugs.
    #[test]
    fn the_tree_stays_a_tree(steps in proptest::collection::vec((0u8..4, 0u128..14, proptest::option::of(0u128..14)), 0..120)) {
        let mut state = chain(6);
        for (kind, unit, parent) in steps {
            let command = match kind {
                0 | 1 => create(unit, parent, if unit % 2 == 0 { "unit" } else { "other" }),
                2 => move_to(unit, parent),
                _ => archive(unit),
            };
            state = after(state.clone(), &command).unwrap_or(state);
            let mut slugs = BTreeSet::new();
            for (id, unit) in &state.units {
                let path = bounded_path(&state, *id);
                prop_assert!(path.is_some_and(|depth| depth <= UNIT_DEPTH_MAX), "{id} is too deep or above itself");
                if unit.status == UnitStatus::Living {
                    prop_assert!(unit.parent.is_none_or(|parent| state.is_living(parent)));
                    prop_assert!(slugs.insert((unit.parent, unit.details.slug)));
                }
            }
        }
    }
}

/// How deep the unit is; none when the way up doesn't end.
fn bounded_path(state: &UnitsState, unit: UnitId) -> Option<usize> {
    let mut next = Some(unit);
    for depth in 0..=state.units.len() {
        match next {
            Some(id) => next = state.units[&id].parent,
            None => return Some(depth),
        }
    }
    None
}

#[test]
fn golden_files() {
    let unit = UnitId(2);
    crate::golden::check::<Units>(&[
        UnitCreated {
            unit,
            parent: Some(UnitId(1)),
            details: UnitDetails {
                description: "Second floor".into(),
                address: Some("Rorschacher Strasse 95\n9007 St. Gallen".into()),
                ..details("ward")
            },
        }
        .into(),
        UnitUpdated { unit, details: details("ward-2") }.into(),
        UnitMoved { unit, parent: None }.into(),
        super::UnitArchived { unit }.into(),
        UnitSettingsSet { unit, settings: Level::setting([SettingValue::ParticipantsMax(12)]) }.into(),
        UnitPoliciesSet {
            unit,
            policies: PolicyLevel {
                set: Rules { join: Some(vec![Grant::to(Who::UnitUsers([unit].into()))]), ..Rules::default() },
                floor: Rules::default(),
            },
        }
        .into(),
    ]);
}
