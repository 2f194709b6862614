use proptest::prelude::*;

use super::*;
use crate::{
    policy::{Grant, Listing, Who},
    private::Ciphertext,
    settings::{SettingName, SettingValue},
};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const ANNA: UserId = UserId(10);
const BEAT: UserId = UserId(11);

fn details() -> OrganizationDetails {
    OrganizationDetails {
        slug: Slug::try_new("clinic").unwrap(),
        kind: OrganizationKind::Company,
        full_name: OwnText::Plain("Clinic AG".into()),
        alias: Some("Clinic".into()),
        tax_id: Some(OwnText::Plain("CHE-123.456.789".into())),
        postal_address: Some(OwnText::Plain("Bahnhofstrasse 1\n9000 St. Gallen".into())),
        logo_url: Some("https://example.org/logo.svg".into()),
        time_zone: "Europe/Zurich".into(),
        locale: "de-CH".into(),
        currency: "CHF".into(),
        billing_day: 1,
        plan: "standard".into(),
    }
}

fn create() -> OrganizationCommand {
    let create = CreateOrganization { organization: ORGANIZATION, details: details(), owner: ANNA };
    OrganizationCommand::CreateOrganization(create)
}

fn update(change: impl FnOnce(&mut OrganizationDetails)) -> OrganizationCommand {
    let mut details = details();
    change(&mut details);
    OrganizationCommand::UpdateOrganization(UpdateOrganization { details })
}

fn grant(user: UserId) -> OrganizationCommand {
    OrganizationCommand::GrantOwner(GrantOwner { user, user_active: true })
}

fn revoke(user: UserId) -> OrganizationCommand {
    OrganizationCommand::RevokeOwner(RevokeOwner { user })
}

/// The state after these commands, each of which must be accepted.
fn given(commands: &[OrganizationCommand]) -> OrganizationState {
    commands.iter().fold(OrganizationState::default(), |state, command| after(state, command).unwrap())
}

fn after(state: OrganizationState, command: &OrganizationCommand) -> Result<OrganizationState, OrganizationRejection> {
    let events = Organization::decide(&state, command)?;
    Ok(events.iter().fold(state, |state, event| Organization::evolve(state, event, Timestamp(1))))
}

fn lobby_locked() -> OrganizationCommand {
    let settings = Level::setting([SettingValue::Lobby(true)]).locking([SettingName::Lobby]);
    OrganizationCommand::SetOrganizationSettings(SetOrganizationSettings { settings })
}

#[test]
fn create_organization() {
    let events = Organization::decide(&OrganizationState::Absent, &create()).unwrap();
    assert_eq!(
        events,
        vec![
            OrganizationCreated { organization: ORGANIZATION, details: details() }.into(),
            OwnerGranted { user: ANNA }.into()
        ]
    );
    let created = given(&[create()]);
    assert_eq!(Organization::decide(&created, &create()), Ok(vec![]));
    let renamed = given(&[create(), update(|details| details.plan = "large".into())]);
    assert_eq!(Organization::decide(&renamed, &create()), Err(OrganizationRejection::OrganizationAlreadyExists));
}

#[test]
fn nothing_applies_to_what_is_not_there() {
    for command in [update(|_| {}), grant(BEAT), OrganizationCommand::SuspendOrganization(SuspendOrganization {})] {
        let answer = Organization::decide(&OrganizationState::Absent, &command);
        assert_eq!(answer, Err(OrganizationRejection::OrganizationNotFound));
    }
}

#[test]
fn update_organization() {
    let state = given(&[create()]);
    assert_eq!(Organization::decide(&state, &update(|_| {})), Ok(vec![]));
    let field = |change: fn(&mut OrganizationDetails)| {
        Organization::decide(&state, &update(change)).expect_err("refused").field().unwrap()
    };
    assert_eq!(field(|details| details.billing_day = 29), "billingDay");
    assert_eq!(field(|details| details.billing_day = 0), "billingDay");
    assert_eq!(field(|details| details.time_zone = "Mars/Olympus".into()), "timeZone");
    assert_eq!(field(|details| details.currency = "XXX".into()), "currency");
    assert_eq!(field(|details| details.logo_url = Some("http://a".into())), "logoUrl");
    assert_eq!(field(|details| details.full_name = OwnText::Plain(String::new())), "fullName");
}

#[test]
fn what_is_a_persons_comes_protected() {
    let state = given(&[create()]);
    let (person, other) = (PersonId(5), PersonId(6));
    let private = |person| OwnText::Private(Private { person, ciphertext: Ciphertext(vec![1]) });
    let as_person = |tax_id: OwnText| {
        let command = update(|details| {
            details.kind = OrganizationKind::Person(person);
            details.full_name = private(person);
            details.postal_address = None;
            details.tax_id = Some(tax_id);
        });
        Organization::decide(&state, &command).map(|events| events.len())
    };
    assert_eq!(as_person(private(person)), Ok(1));
    let refused = Err(OrganizationRejection::NotProtectedAsItMust { field: "taxId" });
    assert_eq!(as_person(OwnText::Plain("1".into())), refused);
    assert_eq!(as_person(private(other)), refused);
}

#[test]
fn the_last_owner_stays() {
    let state = given(&[create()]);
    assert_eq!(Organization::decide(&state, &revoke(ANNA)), Err(OrganizationRejection::LastOwner));
    assert_eq!(Organization::decide(&state, &revoke(BEAT)), Ok(vec![]));
    let two = given(&[create(), grant(BEAT), grant(BEAT), revoke(ANNA)]);
    assert_eq!(two.facts().unwrap().owners.keys().collect::<Vec<_>>(), [&BEAT]);
    assert_eq!(Organization::decide(&two, &revoke(BEAT)), Err(OrganizationRejection::LastOwner));
}

#[test]
fn only_an_active_user_becomes_an_owner() {
    let inactive = OrganizationCommand::GrantOwner(GrantOwner { user: BEAT, user_active: false });
    assert_eq!(Organization::decide(&given(&[create()]), &inactive), Err(OrganizationRejection::UserNotActive));
}

#[test]
fn suspend_reactivate_and_close_organization() {
    let suspend = OrganizationCommand::SuspendOrganization(SuspendOrganization {});
    let reactivate = OrganizationCommand::ReactivateOrganization(ReactivateOrganization {});
    let close = OrganizationCommand::CloseOrganization(CloseOrganization {});
    let suspended = given(&[create(), suspend.clone(), suspend.clone()]);
    assert_eq!(suspended.facts().unwrap().status, OrganizationStatus::Suspended);
    let other_plan = update(|details| details.plan = "large".into());
    for command in [other_plan, grant(BEAT), lobby_locked()] {
        assert_eq!(
            Organization::decide(&suspended, &command).unwrap().len(),
            1,
            "a suspension stops new sessions only"
        );
    }
    let active = given(&[create(), suspend, reactivate.clone(), reactivate.clone()]);
    assert_eq!(active.facts().unwrap().status, OrganizationStatus::Active);
    let closed = given(&[create(), close.clone(), close]);
    for command in [reactivate, update(|_| {}), grant(BEAT), lobby_locked()] {
        assert_eq!(Organization::decide(&closed, &command), Err(OrganizationRejection::OrganizationClosed));
    }
}

#[test]
fn settings_and_policies_are_checked() {
    let state = given(&[create()]);
    let settings = Level::setting([SettingValue::ParticipantsMax(0)]);
    let refused = Organization::decide(
        &state,
        &OrganizationCommand::SetOrganizationSettings(SetOrganizationSettings { settings }),
    );
    assert_eq!(refused.unwrap_err().field(), Some("participantsMax"));
    let policies = PolicyLevel {
        set: Rules { list: Some(Listing::Public), ..Rules::default() },
        floor: Rules { list: Some(Listing::Private), ..Rules::default() },
    };
    let refused = Organization::decide(
        &state,
        &OrganizationCommand::SetOrganizationPolicies(SetOrganizationPolicies { policies }),
    );
    assert_eq!(refused.unwrap_err().code(), "POLICY_LOOSER_THAN_FLOOR");
}

proptest! {
    #[test]
    fn an_organization_never_runs_out_of_owners(steps in proptest::collection::vec((any::<bool>(), 10u128..14), 0..40)) {
        let mut state = given(&[create()]);
        for (grants, user) in steps {
            let command = if grants { grant(UserId(user)) } else { revoke(UserId(user)) };
            state = after(state.clone(), &command).unwrap_or(state);
            prop_assert!(!state.facts().unwrap().owners.is_empty());
        }
    }
}

#[test]
fn golden_files() {
    let person = PersonId(5);
    let mut of_a_person = details();
    of_a_person.kind = OrganizationKind::Person(person);
    of_a_person.full_name = OwnText::Private(Private { person, ciphertext: Ciphertext(vec![1, 2, 3]) });
    of_a_person.tax_id = None;
    of_a_person.postal_address = None;
    crate::golden::check::<Organization>(&[
        OrganizationCreated { organization: ORGANIZATION, details: details() }.into(),
        OrganizationUpdated { details: of_a_person }.into(),
        OrganizationSettingsSet {
            settings: Level::setting([SettingValue::Lobby(true)]).locking([SettingName::Recording]),
        }
        .into(),
        OrganizationPoliciesSet {
            policies: PolicyLevel {
                set: Rules {
                    open: Some(vec![Grant::to(Who::OrganizationUsers)]),
                    join: Some(vec![Grant::by_lobby(Who::Anyone)]),
                    list: Some(Listing::Private),
                },
                floor: Rules { list: Some(Listing::Organization), ..Rules::default() },
            },
        }
        .into(),
        OwnerGranted { user: ANNA }.into(),
        OwnerRevoked { user: ANNA }.into(),
        super::OrganizationSuspended {}.into(),
        super::OrganizationReactivated {}.into(),
        super::OrganizationClosed {}.into(),
    ]);
}
