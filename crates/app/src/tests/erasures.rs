//! Who is erased: the log and the vault say the same of it, whichever of the two was put back from a backup.

use std::sync::Arc;

use witan_domain::{
    AccountRole, Actor, Aggregate, OrganizationId, PersonId, RoleScope, UserId,
    person::{Ground, Person},
    user::{ReactivateUser, User},
};
use witan_media::NoMedia;

use crate::{execute::Presence, history::organization_resource, testing::*, users::NewUser};

/// An account that is deactivated, so that its person can be erased.
async fn someone(world: &World, tenant: &Tenant, login: &str) -> (UserId, PersonId) {
    let owner = || world.ask(&tenant.owner);
    let (id, outcome) = world.app.create_user(&owner(), &user(login)).await.unwrap();
    world.app.deactivate_user(&owner(), id).await.unwrap();
    (id, outcome.state.facts().unwrap().person)
}

async fn is_privacy_officer(world: &World, tenant: &Tenant) {
    let (role, scope) = (AccountRole::PrivacyOfficer, RoleScope::Organization);
    world.app.grant_role(&world.ask(&tenant.owner), tenant.owner_id, role, scope, None).await.unwrap();
}

async fn erases(world: &World, tenant: &Tenant, person: PersonId) {
    world.app.erase_person(&world.ask(&tenant.owner), person, Ground::Request).await.unwrap();
}

fn is_in_vault(world: &World, organization: OrganizationId, person: PersonId) -> bool {
    world.app.vault.erased().unwrap().contains(&(organization, person))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restored_log_lacks_is_recorded_once() {
    let world = World::new();
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    let (organization, owner) = (tenant.organization, || world.ask(&tenant.owner));
    let (ben, outcome) = world.app.create_user(&owner(), &user("ben")).await.unwrap();
    let person = outcome.state.facts().unwrap().person;
    let owner_s = world.app.user_state(organization, tenant.owner_id).unwrap().facts().unwrap().person;
    world.settle(&running).await;
    world.stop(running).await;

    // The list of erasures knows of what came after the backup: Ben, the owner, and someone whom the log never had.
    let stranger = PersonId(99);
    for erased in [person, owner_s, stranger] {
        world.app.vault.erase(organization, erased).await.unwrap();
    }
    let mut world = world.restored(Arc::new(NoMedia));
    for _ in 0..2 {
        let running = world.reacts();
        world.until("the erasures are recorded", || !world.kinds(&Person::stream(stranger)).is_empty()).await;
        world.settle(&running).await;
        for erased in [person, owner_s, stranger] {
            assert_eq!(world.kinds(&Person::stream(erased)), ["PersonErased"]);
        }
        world.stop(running).await;
        world = world.restarted(Arc::new(NoMedia), None);
    }
    let all = world.all();
    let event = all.iter().find(|recorded| recorded.envelope.stream() == Person::stream(person)).unwrap();
    assert_eq!(event.envelope.organization(), Some(organization));
    let event = world.app.reveal_event(organization, event).unwrap();
    assert_eq!((event.actor, event.data["ground"].as_str()), (Actor::System, Some("before_restore")));
    assert_eq!(world.kinds(&User::stream(ben)), ["UserCreated", "UserDeactivated"], "as it was before the restore");
    assert!(world.app.user_state(organization, tenant.owner_id).unwrap().is_active(), "somebody leads it");
}

/// The list of erasures and the log may each know of as many: what counts is of whom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_was_put_back_erases_again_whom_the_log_says() {
    let world = World::new();
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    is_privacy_officer(&world, &tenant).await;
    let organization = tenant.organization;
    let (_, ben) = someone(&world, &tenant, "ben").await;
    let (_, carl) = someone(&world, &tenant, "carl").await;
    let backup = world.cursors().with_file_name("backup.db");
    world.app.vault.backup(&backup).unwrap();
    erases(&world, &tenant, ben).await;
    world.settle(&running).await;
    world.stop(running).await;

    let world = world.restarted(Arc::new(NoMedia), Some(&backup));
    assert!(!is_in_vault(&world, organization, ben));
    world.app.vault.erase(organization, carl).await.unwrap();
    let running = world.reacts();
    world.until("Ben is erased again", || is_in_vault(&world, organization, ben)).await;
    world.until("Carl's erasure is recorded", || !world.kinds(&Person::stream(carl)).is_empty()).await;
    world.settle(&running).await;
    assert_eq!(world.kinds(&Person::stream(ben)), ["PersonErased"]);
    world.stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_only_puts_it_off() {
    let world = World::new();
    let running = world.reacts();
    let tenant = world.tenant("clinic").await;
    world.settle(&running).await;
    world.stop(running).await;
    world.app.vault.erase(tenant.organization, PersonId(98)).await.unwrap();
    world.app.vault.erase(tenant.organization, PersonId(99)).await.unwrap();
    let world = world.restored(Arc::new(NoMedia));
    world.faults.append("person", 1, witan_event_store::AppendError::Full);
    let running = world.reacts();
    for person in [98, 99].map(PersonId) {
        world.until("it is recorded", || world.kinds(&Person::stream(person)) == ["PersonErased"]).await;
    }
    world.settle(&running).await;
    world.stop(running).await;
}

/// Two streams may be asked at the same moment: whichever is recorded later, its reaction sees the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_came_back_while_its_person_was_erased_goes_again() {
    for erased_first in [false, true] {
        let world = World::new();
        let running = world.reacts();
        let tenant = world.tenant("clinic").await;
        let organization = tenant.organization;
        let (id, person) = someone(&world, &tenant, "ben").await;
        let reactivates = async || {
            let request = world.ask(&Actor::System);
            let (operation, there) = (witan_auth::Operation::ReactivateUser, Presence::Needed("user"));
            let resource = |_: &_| organization_resource(organization);
            let begun = world.app.begin::<User>(&request, Some(organization), id, operation, there, resource).await;
            begun.unwrap().finish(&ReactivateUser { person_erased: false }.into()).await.unwrap();
        };
        if !erased_first {
            reactivates().await;
        }
        assert!(world.app.record_erasure(organization, person).await.unwrap());
        if erased_first {
            reactivates().await;
        }
        world.settle(&running).await;
        assert!(!world.app.user_state(organization, id).unwrap().is_active());
        world.stop(running).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_s_account_is_nobody_s() {
    let world = World::new();
    let (app, tenant) = (&world.app, world.tenant("clinic").await);
    is_privacy_officer(&world, &tenant).await;
    let owner = || world.ask(&tenant.owner);
    let (id, person) = someone(&world, &tenant, "ben").await;
    let reactivates = async |key: &str| app.reactivate_user(&world.ask_once(&tenant.owner, key, key), id).await;
    let before = reactivates("before").await.unwrap().position;
    app.deactivate_user(&owner(), id).await.unwrap();
    erases(&world, &tenant, person).await;
    assert_eq!(code(reactivates("after").await), "PERSON_ERASED");
    assert_eq!(reactivates("before").await.unwrap().position, before, "the same request has its answer");
    let (host, everywhere) = (AccountRole::Host, RoleScope::Organization);
    assert_eq!(code(app.grant_role(&owner(), id, host, everywhere, None).await), "PERSON_ERASED");
    assert_eq!(code(app.grant_role(&owner(), id, AccountRole::Owner, everywhere, None).await), "USER_NOT_ACTIVE");
    let moved = NewUser { unit: Some(tenant.unit), ..user("ben") };
    assert_eq!(code(app.update_user(&owner(), id, &moved).await), "PERSON_ERASED");
    assert!(!app.user_state(tenant.organization, id).unwrap().is_active());
    assert_eq!(code(app.create_user(&owner(), &user("ben")).await), "OK", "the login is free");
}
