//! Joins two layers that don't know each other: the app's look-ups, answered by the read models.

use std::sync::Arc;

use witan_app::{Error, Lookups, PersonTies};
use witan_domain::{ApiKeyId, OrganizationId, PersonId, SessionId, UnitId, UserId};
use witan_projections::ReadModels;

pub struct ModelLookups(pub Arc<ReadModels>);

impl Lookups for ModelLookups {
    fn has_living_rooms(&self, organization: OrganizationId, unit: UnitId) -> Result<bool, Error> {
        self.0.has_living_rooms(organization, unit).map_err(Error::fault)
    }

    fn person_ties(&self, organization: OrganizationId, person: PersonId) -> Result<PersonTies, Error> {
        let (active_user, in_live_session) = self.0.person_ties(organization, person).map_err(Error::fault)?;
        Ok(PersonTies { active_user, in_live_session })
    }

    fn live_sessions(&self, organization: OrganizationId) -> Result<Vec<SessionId>, Error> {
        self.0.live_sessions(organization).map_err(Error::fault)
    }

    fn accounts_of(&self, organization: OrganizationId, person: PersonId) -> Result<Vec<UserId>, Error> {
        let rows = self.0.users_of(organization, person).map_err(Error::fault)?;
        Ok(rows.iter().filter_map(|row| row.state.facts().ok()).map(|facts| facts.user).collect())
    }

    fn keys_of(&self, organization: OrganizationId, user: UserId) -> Result<Vec<ApiKeyId>, Error> {
        self.0.keys_of(organization, user).map_err(Error::fault)
    }
}
