//! Owners have active accounts: the organization's stream says who owns it, the account's own whether it is active, and
//! whichever of the two is recorded later, its reaction sees the other (see `witan_domain::organization`).

use witan_auth::Operation;
use witan_domain::{
    Aggregate, OrganizationId, UserId,
    aggregate::Rejection,
    organization::{Organization, OrganizationEvent, OrganizationRejection, RevokeOwner},
    user::{ReactivateUser, User, UserEvent},
};
use witan_event_store::Recorded;

use super::{because_of, settled};
use crate::{App, Error, Request, execute::Presence, history::organization_resource};

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    let Some(organization) = envelope.organization() else { return Ok(()) };
    let user = match envelope.category() {
        Organization::CATEGORY => {
            named_owner(&Organization::decode(envelope.kind(), envelope.schema(), envelope.data())?)
        }
        User::CATEGORY if is_deactivation(&User::decode(envelope.kind(), envelope.schema(), envelope.data())?) => {
            envelope.stream_id().parse().ok()
        }
        _ => None,
    };
    match user {
        Some(user) if is_deactivated_owner(app, organization, user)? => {
            revoke_or_reactivate(app, &because_of(recorded)?, organization, user).await
        }
        Some(_) | None => Ok(()),
    }
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

fn is_deactivation(event: &UserEvent) -> bool {
    match event {
        UserEvent::UserDeactivated(_) => true,
        UserEvent::UserCreated(_)
        | UserEvent::UserUpdated(_)
        | UserEvent::UserReactivated(_)
        | UserEvent::RoleGranted(_)
        | UserEvent::RoleRevoked(_) => false,
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
    app.finish_grant(task, &ReactivateUser {}.into()).await.map(|_| ())
}
