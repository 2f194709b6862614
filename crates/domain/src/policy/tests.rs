use super::*;
use proptest::{collection::vec, option, prelude::*};

fn level(set: Rules, floor: Rules) -> PolicyLevel {
    PolicyLevel { set, floor }
}

fn join(grants: &[Grant]) -> Rules {
    Rules { join: Some(grants.to_vec()), ..Rules::default() }
}

fn units(ids: &[u128]) -> Who {
    Who::UnitUsers(ids.iter().copied().map(UnitId).collect())
}

fn user_of(unit: u128) -> Facts {
    Facts { organization_user: true, units: [UnitId(unit)].into(), ..Facts::default() }
}

fn invited(role: SessionRole) -> Facts {
    Facts { invited: Some(role), ..Facts::default() }
}

#[test]
fn a_consultation_is_entered_by_invitation_and_lobby() {
    let none = PolicyLevel::default();
    let policies = resolve(Purpose::Consultation, &none, &[], &none);
    assert_eq!(
        policies.may_join(&invited(SessionRole::Guardian)),
        Some(Access { role: SessionRole::Guardian, lobby: true })
    );
    assert_eq!(policies.may_join(&user_of(1)), None);
    assert!(!policies.may_open(&invited(SessionRole::Participant)));
    assert!(policies.may_open(&Facts { hosts: true, ..Facts::default() }));
    assert_eq!(policies.join_source, Source::Purpose);
}

#[test]
fn a_stranger_gets_nothing_unless_anyone_does() {
    let none = PolicyLevel::default();
    for purpose in Purpose::ALL {
        let policies = resolve(purpose, &none, &[], &none);
        assert_eq!(policies.may_join(&Facts::default()), None, "{purpose:?}");
        assert!(!policies.may_open(&Facts::default()), "{purpose:?}");
    }
    let open = resolve(Purpose::Meeting, &none, &[], &level(join(&[Grant::by_lobby(Who::Anyone)]), Rules::default()));
    let access = Some(Access { role: SessionRole::Participant, lobby: true });
    assert_eq!(open.may_join(&Facts::default()), access);
}

#[test]
fn the_grant_that_asks_least_decides_and_hosts_need_no_lobby() {
    let none = PolicyLevel::default();
    let room = level(
        join(&[Grant::by_lobby(Who::OrganizationUsers), Grant::to(units(&[7])), Grant::by_lobby(Who::Invitation)]),
        Rules::default(),
    );
    let policies = resolve(Purpose::Meeting, &none, &[], &room);
    assert_eq!(policies.may_join(&user_of(7)).map(|access| access.lobby), Some(false));
    assert_eq!(policies.may_join(&user_of(8)).map(|access| access.lobby), Some(true));
    assert_eq!(
        policies.may_join(&invited(SessionRole::CoHost)),
        Some(Access { role: SessionRole::CoHost, lobby: false })
    );
}

#[test]
fn a_password_opens_only_to_who_knows_it() {
    let hash = PasswordHash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into());
    let room = level(join(&[Grant::to(Who::Password(hash.clone()))]), Rules::default());
    assert_eq!(room.check_change(&PolicyLevel::default(), &Rules::default()), Ok(()));
    let policies = resolve(Purpose::Meeting, &PolicyLevel::default(), &[], &room);
    assert_eq!((password(&policies.join), password(&policies.open)), (Some(&hash), None));
    assert_eq!(policies.may_join(&Facts::default()), None);
    assert!(policies.may_join(&Facts { passwords: [hash].into(), ..Facts::default() }).is_some());
}

#[test]
fn a_password_is_within_a_floor_for_anyone_or_for_itself_only() {
    let knows = |hash: &str| Who::Password(PasswordHash(hash.into()));
    let room = level(join(&[Grant::to(knows("$argon2id$a"))]), Rules::default());
    let facts = Facts { passwords: [PasswordHash("$argon2id$a".into())].into(), ..Facts::default() };
    let under = |floor: &[Grant]| {
        let floor = level(Rules::default(), join(floor));
        resolve(Purpose::Meeting, &floor, &[], &room).may_join(&facts)
    };
    let access = |lobby| Some(Access { role: SessionRole::Participant, lobby });
    assert_eq!(under(&[Grant::by_lobby(Who::Anyone)]), access(true), "the floor's lobby holds");
    assert_eq!(under(&[Grant::to(knows("$argon2id$a"))]), access(false));
    assert_eq!(under(&[Grant::to(knows("$argon2id$b"))]), None);
    assert_eq!(under(&[Grant::to(Who::OrganizationUsers), Grant::to(Who::Invitation)]), None);
}

#[test]
fn a_floor_refuses_what_is_looser_and_cuts_down_what_was_there() {
    let floor = join(&[Grant::by_lobby(Who::Invitation), Grant::to(Who::OrganizationUsers)]);
    let before = PolicyLevel::default();
    let looser = level(join(&[Grant::to(Who::Anyone)]), Rules::default());
    assert_eq!(looser.check_change(&before, &floor), Err(PolicyRejection::PolicyLooserThanFloor { field: "join" }));
    let no_lobby = level(join(&[Grant::to(Who::Invitation)]), Rules::default());
    assert!(no_lobby.check_change(&before, &floor).is_err());
    let stricter = level(join(&[Grant::by_lobby(Who::Invitation), Grant::to(units(&[1, 2]))]), Rules::default());
    assert_eq!(stricter.check_change(&before, &floor), Ok(()));
    // The floor came after the room had set its policy.
    assert_eq!(looser.check_change(&looser, &floor), Ok(()));
    let policies = resolve(Purpose::Meeting, &level(Rules::default(), floor.clone()), &[], &looser);
    assert_eq!(policies.may_join(&Facts::default()), None);
    assert_eq!(policies.may_join(&invited(SessionRole::Observer)).map(|access| access.lobby), Some(true));
    assert_eq!(policies.may_join(&user_of(1)).map(|access| access.lobby), Some(false));
}

#[test]
fn a_level_is_bound_by_its_own_floor() {
    let own = level(
        Rules { list: Some(Listing::Public), ..Rules::default() },
        Rules { list: Some(Listing::Organization), ..Rules::default() },
    );
    assert_eq!(
        own.check_change(&PolicyLevel::default(), &Rules::default()),
        Err(PolicyRejection::PolicyLooserThanFloor { field: "list" })
    );
}

#[test]
fn lists_of_grants_are_checked() {
    let check = |grants: &[Grant]| join(grants).validate().unwrap_err();
    assert_eq!(check(&vec![Grant::to(Who::Anyone); GRANTS_MAX + 1]).expected, "at most 20");
    assert!(check(&[Grant::to(Who::Anyone), Grant::by_lobby(Who::Anyone)]).problem.contains("twice"));
    assert!(check(&[Grant::to(units(&[]))]).problem.contains("0 units"));
    let knows = |hash: &str| Grant::to(Who::Password(PasswordHash(hash.into())));
    assert!(check(&[knows("secret")]).problem.contains("not hashed"));
    assert!(check(&[knows("$argon2id$a"), knows("$argon2id$b")]).problem.contains("two grants for a password"));
    let open = Rules { open: Some(vec![Grant::by_lobby(Who::Anyone)]), ..Rules::default() };
    assert_eq!(open.validate().unwrap_err().field, "open");
}

fn any_grants() -> impl Strategy<Value = Vec<Grant>> {
    let who = prop_oneof![
        Just(Who::OrganizationUsers),
        proptest::collection::btree_set(0u128..3, 1..3)
            .prop_map(|ids| Who::UnitUsers(ids.into_iter().map(UnitId).collect())),
        Just(Who::NamedPeople),
        Just(Who::Invitation),
        Just(Who::Password(PasswordHash("$argon2id$a".into()))),
        Just(Who::Anyone),
    ];
    vec((who, any::<bool>()).prop_map(|(who, lobby)| Grant { who, lobby }), 0..4)
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let listing = prop_oneof![Just(Listing::Private), Just(Listing::Organization), Just(Listing::Public)];
    (option::of(any_grants()), option::of(any_grants()), option::of(listing)).prop_map(|(open, join, list)| {
        let open = open.map(|grants| grants.into_iter().map(|grant| Grant::to(grant.who)).collect());
        Rules { open, join, list }
    })
}

fn any_level() -> impl Strategy<Value = PolicyLevel> {
    (any_rules(), any_rules()).prop_map(|(set, floor)| PolicyLevel { set, floor })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let units = proptest::collection::btree_set(0u128..3, 0..3);
    (any::<[bool; 4]>(), units).prop_map(|([user, named, invited, password], units)| Facts {
        // Who is named is a user, and only a user is in a unit.
        organization_user: user || named,
        units: if user || named { units.into_iter().map(UnitId).collect() } else { BTreeSet::new() },
        hosts: false,
        named: named.then_some(SessionRole::Participant),
        invited: invited.then_some(SessionRole::Observer),
        passwords: if password { [PasswordHash("$argon2id$a".into())].into() } else { BTreeSet::new() },
    })
}

/// Whether the grants let them in, and if so whether by the lobby.
fn lets_in(grants: &[Grant], facts: &Facts) -> Option<bool> {
    grants.iter().filter(|grant| facts.satisfy(&grant.who)).map(|grant| grant.lobby).min()
}

proptest! {
    #[test]
    fn no_level_ends_looser_than_a_floor_above_it(
        purpose in proptest::sample::select(Purpose::ALL.to_vec()),
        levels in vec(any_level(), 2..5),
        facts in any_facts(),
    ) {
        let units: Vec<_> = levels[1..levels.len() - 1].iter().enumerate().map(|(id, level)| (UnitId(id as u128), level)).collect();
        let effective = resolve(purpose, &levels[0], &units, &levels[levels.len() - 1]);
        for PolicyLevel { floor, .. } in &levels {
            if let Some(floor) = &floor.open {
                prop_assert!(stricter_or_equal(&effective.open, floor));
                prop_assert!(!effective.may_open(&facts) || lets_in(floor, &facts).is_some());
            }
            if let Some(floor) = &floor.join {
                prop_assert!(stricter_or_equal(&effective.join, floor));
                if let Some(access) = effective.may_join(&facts) {
                    let by_floor = lets_in(floor, &facts);
                    prop_assert!(by_floor.is_some_and(|lobby| access.lobby || !lobby), "{by_floor:?}");
                }
            }
            if let Some(floor) = floor.list {
                prop_assert!(effective.list <= floor);
            }
        }
    }

    #[test]
    fn stricter_means_what_it_says(a in any_grants(), b in any_grants(), facts in any_facts()) {
        if stricter_or_equal(&a, &b) {
            match (lets_in(&a, &facts), lets_in(&b, &facts)) {
                (None, _) => {}
                (Some(_), None) => prop_assert!(false, "b lets them not in"),
                (Some(lobby), Some(other)) => prop_assert!(lobby || !other),
            }
        }
        prop_assert!(stricter_or_equal(&a, &a));
        prop_assert!(stricter_or_equal(&meet(&a, &b), &a) && stricter_or_equal(&meet(&a, &b), &b));
    }

    #[test]
    fn a_level_that_passes_its_check_is_not_cut_down(set in any_rules(), floor in any_rules()) {
        let level = PolicyLevel { set, floor: Rules::default() };
        if level.check_change(&PolicyLevel::default(), &floor).is_ok() {
            let above = PolicyLevel { set: Rules::default(), floor };
            let effective = resolve(Purpose::Meeting, &above, &[], &level);
            if let Some(join) = &level.set.join {
                prop_assert!(stricter_or_equal(join, &effective.join));
            }
        }
    }
}
