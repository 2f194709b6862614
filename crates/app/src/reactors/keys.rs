//! A key acts as its user, whoever made it. Who may make one is asked of the user's roles as they are then: when the user gets
//! a role of administration, keys that others made before (other than an owner, who may do all of it) are revoked.

use witan_domain::{
    AccountRole, Actor, Aggregate, ApiKeyId, OrganizationId, UserId,
    api_key::ApiKey,
    organization::Organization,
    user::{User, UserEvent},
};
use witan_event_store::{Direction, Metadata, Recorded};

use super::{because_of, owners::named_owner, settled};
use crate::{App, Error};

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    let Some(organization) = envelope.organization() else { return Ok(()) };
    let promoted: Option<UserId> = match envelope.category() {
        Organization::CATEGORY => {
            named_owner(&Organization::decode(envelope.kind(), envelope.schema(), envelope.data())?)
        }
        User::CATEGORY if is_promotion(&User::decode(envelope.kind(), envelope.schema(), envelope.data())?) => {
            envelope.stream_id().parse().ok()
        }
        _ => None,
    };
    let Some(user) = promoted else { return Ok(()) };
    app.all_known().await?;
    let request = because_of(recorded)?;
    for key in app.lookups.keys_of(organization, user)? {
        if was_made_by_another(app, organization, user, key, recorded)? {
            settled(app.revoke_key(&request, organization, key).await)?;
        }
    }
    Ok(())
}

/// Before this event, and by a user who is neither its own nor an owner.
fn was_made_by_another(
    app: &App,
    organization: OrganizationId,
    user: UserId,
    key: ApiKeyId,
    promotion: &Recorded,
) -> Result<bool, Error> {
    let first = app.store.read_stream(&ApiKey::stream(key), 0, Direction::Forward, 1)?;
    let Some(made) = first.first().filter(|made| made.position < promotion.position) else { return Ok(false) };
    let metadata: Metadata = serde_json::from_slice(made.envelope.metadata()).map_err(Error::fault)?;
    let Actor::User { user: maker, .. } = metadata.actor else { return Ok(false) };
    let owner = app.organization_state(organization)?.facts().is_ok_and(|facts| facts.owners.contains_key(&maker));
    Ok(maker != user && !owner)
}

fn is_promotion(event: &UserEvent) -> bool {
    match event {
        UserEvent::RoleGranted(granted) => match granted.role {
            AccountRole::Owner
            | AccountRole::Admin
            | AccountRole::UnitAdmin
            | AccountRole::Auditor
            | AccountRole::PrivacyOfficer
            | AccountRole::Billing
            | AccountRole::Integrator => true,
            // Whoever may make a key of another at all may make one of these.
            AccountRole::Host | AccountRole::Member => false,
        },
        UserEvent::UserCreated(_)
        | UserEvent::UserUpdated(_)
        | UserEvent::UserDeactivated(_)
        | UserEvent::UserReactivated(_)
        | UserEvent::RoleRevoked(_) => false,
    }
}
