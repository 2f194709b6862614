use super::*;
use crate::private::Ciphertext;

const PERSON: PersonId = PersonId(3);
const UNIT: RoleScope = RoleScope::Unit(UnitId(4));
const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn private(person: PersonId, byte: u8) -> Private {
    Private { person, ciphertext: Ciphertext(vec![byte]) }
}

fn details() -> UserDetails {
    UserDetails {
        login_alias: AliasId(5),
        login: private(PERSON, 1),
        name: private(PERSON, 2),
        email: Some(private(PERSON, 3)),
        external_id: None,
        unit: None,
    }
}

fn create() -> UserCommand {
    UserCommand::CreateUser(CreateUser {
        organization: OrganizationId(1),
        user: UserId(2),
        person: PERSON,
        details: details(),
        unit_living: false,
    })
}

fn update(change: impl FnOnce(&mut UserDetails), unit_living: bool) -> UserCommand {
    let mut details = details();
    change(&mut details);
    UserCommand::UpdateUser(UpdateUser { details, unit_living, person_erased: false })
}

fn grant(role: AccountRole, scope: RoleScope, expires_at: Option<u64>) -> UserCommand {
    let expires_at = expires_at.map(Timestamp::from_seconds);
    UserCommand::GrantRole(GrantRole { role, scope, expires_at, unit_living: true, person_erased: false, now: NOW })
}

fn revoke(role: AccountRole, scope: RoleScope) -> UserCommand {
    UserCommand::RevokeRole(RevokeRole { role, scope })
}

fn deactivate(owner: bool) -> UserCommand {
    UserCommand::DeactivateUser(DeactivateUser { owner })
}

fn reactivate(person_erased: bool) -> UserCommand {
    UserCommand::ReactivateUser(ReactivateUser { person_erased })
}

/// The state after these commands, each of which must be accepted.
fn given(commands: &[UserCommand]) -> UserState {
    commands.iter().fold(UserState::default(), |state, command| {
        let events = User::decide(&state, command).unwrap();
        events.iter().fold(state, |state, event| User::evolve(state, event, Timestamp(1)))
    })
}

#[test]
fn create_user() {
    let state = given(&[create()]);
    assert!(state.is_active());
    assert_eq!(User::decide(&state, &create()), Ok(vec![]));
    let renamed = given(&[create(), update(|details| details.name = private(PERSON, 9), false)]);
    assert_eq!(User::decide(&renamed, &create()), Err(UserRejection::UserAlreadyExists));
    assert_eq!(User::decide(&UserState::Absent, &deactivate(false)), Err(UserRejection::UserNotFound));
}

#[test]
fn update_user() {
    let state = given(&[create()]);
    assert_eq!(User::decide(&state, &update(|_| {}, false)), Ok(vec![]));
    let of_another = update(|details| details.email = Some(private(PersonId(9), 1)), false);
    assert_eq!(User::decide(&state, &of_another), Err(UserRejection::PrivateOfAnother { field: "email" }));
    let to_unit = |living| update(|details| details.unit = Some(UnitId(4)), living);
    assert_eq!(User::decide(&state, &to_unit(false)), Err(UserRejection::UnitNotLiving));
    assert_eq!(User::decide(&state, &to_unit(true)).unwrap().len(), 1);
}

#[test]
fn deactivate_and_reactivate_user() {
    let state = given(&[create()]);
    assert_eq!(User::decide(&state, &deactivate(true)), Err(UserRejection::UserIsOwner));
    let deactivated = given(&[create(), grant(AccountRole::Admin, RoleScope::Organization, None), deactivate(false)]);
    assert!(!deactivated.is_active());
    assert_eq!(deactivated.facts().unwrap().roles_at(NOW).count(), 0);
    assert_eq!(User::decide(&deactivated, &deactivate(false)), Ok(vec![]));
    let host = grant(AccountRole::Host, RoleScope::Organization, None);
    assert_eq!(User::decide(&deactivated, &host), Err(UserRejection::UserNotActive));
    let back = given(&[create(), deactivate(false), reactivate(false)]);
    assert!(back.is_active());
}

#[test]
fn an_erased_person_s_account_stays_as_it_is() {
    let state = given(&[create(), grant(AccountRole::Host, UNIT, None), deactivate(false)]);
    let refused = |command| User::decide(&state, &command).unwrap_err();
    assert_eq!(refused(reactivate(true)), UserRejection::PersonErased);
    let UserCommand::UpdateUser(update) = update(|details| details.unit = Some(UnitId(4)), true) else { panic!() };
    assert_eq!(refused(UpdateUser { person_erased: true, ..update }.into()), UserRejection::PersonErased);
    let UserCommand::GrantRole(grant) = grant(AccountRole::Admin, UNIT, None) else { panic!() };
    assert_eq!(refused(GrantRole { person_erased: true, ..grant }.into()), UserRejection::PersonErased);
    assert_eq!(User::decide(&state, &revoke(AccountRole::Host, UNIT)).unwrap().len(), 1, "what is less may be");
    let active = given(&[create()]);
    assert_eq!(User::decide(&active, &reactivate(true)), Ok(vec![]));
    assert_eq!(User::decide(&active, &deactivate(false)).unwrap().len(), 1);
}

#[test]
fn grant_role() {
    let state = given(&[create(), grant(AccountRole::Auditor, UNIT, Some(2_000))]);
    let roles = |seconds| state.facts().unwrap().roles_at(Timestamp::from_seconds(seconds)).collect::<Vec<_>>();
    assert_eq!(roles(1_999), [(AccountRole::Auditor, UNIT)]);
    assert_eq!(roles(2_000), []);
    assert_eq!(User::decide(&state, &grant(AccountRole::Auditor, UNIT, Some(2_000))), Ok(vec![]));
    assert_eq!(User::decide(&state, &grant(AccountRole::Auditor, UNIT, Some(3_000))).unwrap().len(), 1);
    let refused = |command| User::decide(&state, &command).unwrap_err();
    assert_eq!(refused(grant(AccountRole::Host, UNIT, Some(1_000))), UserRejection::ExpiryPassed);
    assert_eq!(refused(grant(AccountRole::Owner, RoleScope::Organization, None)), UserRejection::RoleOfOrganization);
    assert_eq!(refused(grant(AccountRole::UnitAdmin, RoleScope::Organization, None)), UserRejection::RoleOfUnit);
    let UserCommand::GrantRole(host) = grant(AccountRole::Host, UNIT, None) else { panic!("it grants") };
    let elsewhere = UserCommand::GrantRole(GrantRole { unit_living: false, ..host });
    assert_eq!(refused(elsewhere), UserRejection::UnitNotLiving);
}

#[test]
fn only_roles_that_hold_count_towards_the_most() {
    let unit = |n: usize| RoleScope::Unit(UnitId(100 + n as u128));
    let held = |n| grant(AccountRole::Host, unit(n), Some(2_000));
    let state = given(&[vec![create()], (0..ROLES_MAX).map(held).collect()].concat());
    assert_eq!(User::decide(&state, &held(ROLES_MAX)), Err(UserRejection::TooManyRoles));
    let longer = grant(AccountRole::Host, unit(0), Some(3_000));
    assert_eq!(User::decide(&state, &longer).unwrap().len(), 1, "another expiry of one that is held");
    let UserCommand::GrantRole(later) = held(ROLES_MAX) else { panic!("it grants") };
    let (now, expires_at) = (Timestamp::from_seconds(2_000), None);
    let later = UserCommand::GrantRole(GrantRole { now, expires_at, ..later });
    assert_eq!(User::decide(&state, &later).unwrap().len(), 1, "the others are over");
}

#[test]
fn revoke_role() {
    let state = given(&[create(), grant(AccountRole::Host, UNIT, None)]);
    assert_eq!(User::decide(&state, &revoke(AccountRole::Host, RoleScope::Organization)), Ok(vec![]));
    let state = given(&[create(), grant(AccountRole::Host, UNIT, None), revoke(AccountRole::Host, UNIT)]);
    assert_eq!(state.facts().unwrap().roles_at(NOW).count(), 0);
}

#[test]
fn golden_files() {
    crate::golden::check::<User>(&[
        UserCreated { organization: OrganizationId(1), user: UserId(2), person: PERSON, details: details() }.into(),
        UserUpdated {
            details: UserDetails { external_id: Some(private(PERSON, 4)), unit: Some(UnitId(4)), ..details() },
        }
        .into(),
        UserDeactivated {}.into(),
        UserReactivated {}.into(),
        RoleGranted { role: AccountRole::Auditor, scope: UNIT, expires_at: Some(NOW) }.into(),
        RoleRevoked { role: AccountRole::UnitAdmin, scope: RoleScope::Organization }.into(),
    ]);
}
