//! Owners have active accounts: the organization's stream says who owns it, the account's own whether it is active, and
//! whichever of the two is recorded later, its reaction sees the other (see `witan_domain::organization`).
//!
//! In the same way, an erased person has none: an account that was reactivated while its person was being erased, or that
//! is active still in a log that was restored, is deactivated.

use witan_auth::Operation;
use witan_domain::{
    Aggregate, OrganizationId, UserId,
    aggregate::Rejection,
    organization::{Organization, OrganizationEvent, OrganizationRejection, RevokeOwner},
    person::{Person, PersonEvent},
    user::{DeactivateUser, ReactivateUser, User, UserEvent},
};
use witan_event_store::Recorded;

use super::{because_of, settled};
use crate::{App, Error, Request, execute::Presence, history::organization_resource};

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    let Some(organization) = envelope.organization() else { return Ok(()) };
    match envelope.category() {
        Organization::CATEGORY => {
            match named_owner(&Organization::decode(envelope.kind(), envelope.schema(), envelope.data())?) {
                Some(user) => inactive_owner(app, recorded, organization, user).await,
                None => Ok(()),
            }
        }
        User::CATEGORY => {
            let Ok(user) = envelope.stream_id().parse() else { return Ok(()) };
            match User::decode(envelope.kind(), envelope.schema(), envelope.data())? {
                UserEvent::UserDeactivated(_) => inactive_owner(app, recorded, organization, user).await,
                UserEvent::UserCreated(_) | UserEvent::UserReactivated(_) => {
                    account_of_nobody(app, recorded, organization, user).await
                }
                UserEvent::UserUpdated(_) | UserEvent::RoleGranted(_) | UserEvent::RoleRevoked(_) => Ok(()),
            }
        }
        Person::CATEGORY => match Person::decode(envelope.kind(), envelope.schema(), envelope.data())? {
            PersonEvent::PersonErased(erased) => {
                app.all_known().await?;
                for user in app.lookups.accounts_of(organization, erased.person)? {
                    account_of_nobody(app, recorded, organization, user).await?;
                }
                Ok(())
            }
        },
        _ => Ok(()),
    }
}

/// Whoever is an owner and has no active account is none, or gets it back.
async fn inactive_owner(
    app: &App,
    recorded: &Recorded,
    organization: OrganizationId,
    user: UserId,
) -> Result<(), Error> {
    if !is_deactivated_owner(app, organization, user)? {
        return Ok(());
    }
    revoke_or_reactivate(app, &because_of(recorded)?, organization, user).await
}

/// Deactivates an erased person's account. An owner's stays, so that somebody leads the organization.
async fn account_of_nobody(
    app: &App,
    recorded: &Recorded,
    organization: OrganizationId,
    user: UserId,
) -> Result<(), Error> {
    let state = app.user_state(organization, user)?;
    if !state.is_active() || !app.is_person_erased(&state)? {
        return Ok(());
    }
    let request = because_of(recorded)?;
    let owner = app.is_owner(organization, user)?;
    let resource = move |_: &_| organization_resource(organization);
    let there = Presence::Needed("user");
    let task =
        app.begin::<User>(&request, Some(organization), user, Operation::DeactivateUser, there, resource).await?;
    settled(app.finish_grant(task, &DeactivateUser { owner }.into()).await)
}

pub(super) fn named_owner(event: &OrganizationEvent) -> Option<UserId> {
    match event {
        OrganizationEvent::OwnerGranted(granted) => Some(granted.user),
        OrganizationEvent::OrganizationCreated(_)
        | OrganizationEvent::OrganizationUpdated(_)
        | OrganizationEvent::OrganizationSettingsSet(_)
        | OrganizationEvent::OrganizationPoliciesSet(_)
        | OrganizationEvent::OwnerRevoked(_)
        | OrganizationEvent::OrganizationSuspended(_)
        | OrganizationEvent::OrganizationReactivated(_)
        | OrganizationEvent::OrganizationClosed(_) => None,
    }
}

fn is_deactivated_owner(app: &App, organization: OrganizationId, user: UserId) -> Result<bool, Error> {
    if !app.organization_state(organization)?.facts().is_ok_and(|facts| facts.owners.contains_key(&user)) {
        return Ok(false);
    }
    match app.user_state(organization, user) {
        Ok(state) => Ok(!state.is_active()),
        // A new organization names its owner first; the account comes next.
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn revoke_or_reactivate(
    app: &App,
    request: &Request,
    organization: OrganizationId,
    user: UserId,
) -> Result<(), Error> {
    let last_owner = OrganizationRejection::LastOwner.code();
    match revoke(app, request, organization, user).await {
        Err(Error::Rejected { code, .. }) if code == last_owner => {
            settled(reactivate(app, request, organization, user).await)
        }
        result => settled(result),
    }
}

async fn revoke(app: &App, request: &Request, organization: OrganizationId, user: UserId) -> Result<(), Error> {
    let resource = move |_: &_| organization_resource(organization);
    let there = Presence::Needed("organization");
    let task = app
        .begin::<Organization>(request, Some(organization), organization, Operation::RevokeRole, there, resource)
        .await?;
    app.finish_grant(task, &RevokeOwner { user }.into()).await.map(|_| ())
}

async fn reactivate(app: &App, request: &Request, organization: OrganizationId, user: UserId) -> Result<(), Error> {
    let resource = move |_: &_| organization_resource(organization);
    let there = Presence::Needed("user");
    let task = app.begin::<User>(request, Some(organization), user, Operation::ReactivateUser, there, resource).await?;
    let person_erased = app.is_person_erased(task.state())?;
    app.finish_grant(task, &ReactivateUser { person_erased }.into()).await.map(|_| ())
}
