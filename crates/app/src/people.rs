//! People: the right to be forgotten, for one person in one organization.

use witan_auth::Operation;
use witan_domain::{
    Aggregate, CorrelationId, OrganizationId, PersonId,
    person::{ErasePerson, Ground, Person, PersonState, RecordErasure},
};

use witan_vault::VaultError;

use crate::{App, Error, Outcome, Request, execute::Presence, history::organization_resource};

impl App {
    /// Records that the person is erased, then destroys their key: from then on everybody sees "erased". Hashes, proofs
    /// and rebuilds stay valid.
    pub async fn erase_person(
        &self,
        request: &Request,
        person: PersonId,
        ground: Ground,
    ) -> Result<Outcome<Person>, Error> {
        let organization = request.organization()?;
        let task = self
            .begin::<Person>(
                request,
                Some(organization),
                person,
                Operation::ErasePerson,
                Presence::Optional,
                move |_| organization_resource(organization),
            )
            .await?;
        self.all_known().await?;
        let ties = self.lookups.person_ties(organization, person)?;
        let command = ErasePerson {
            organization,
            person,
            ground,
            known: self.knows(organization, person)?,
            active_user: ties.active_user,
            in_live_session: ties.in_live_session,
        };
        let outcome = task.finish(&command.into()).await?;
        self.vault.erase(organization, person).await?;
        Ok(outcome)
    }

    /// Whether the log says that the person is erased.
    pub(crate) fn is_erased(&self, organization: OrganizationId, person: PersonId) -> Result<bool, Error> {
        let loaded = self.load_own::<Person>(Some(organization), &Person::stream(person))?;
        Ok(matches!(loaded.state, PersonState::Erased { .. }))
    }

    /// Records an erasure that the vault knows and the log doesn't: one that came after the backup from which the log was
    /// restored. Returns whether the log lacked it.
    pub(crate) async fn record_erasure(&self, organization: OrganizationId, person: PersonId) -> Result<bool, Error> {
        if self.streams.load::<Person>(&Person::stream(person))?.version.is_some() {
            return Ok(false);
        }
        let request = Request::system(CorrelationId(self.sources.ulid()), None);
        let task = self
            .begin::<Person>(
                &request,
                Some(organization),
                person,
                Operation::ErasePerson,
                Presence::Optional,
                move |_| organization_resource(organization),
            )
            .await?;
        let outcome = task.finish(&RecordErasure { organization, person }.into()).await?;
        Ok(outcome.position.is_some())
    }

    fn knows(&self, organization: OrganizationId, person: PersonId) -> Result<bool, Error> {
        match self.vault.disclose(organization, person, "", "") {
            Ok(_) => Ok(true),
            Err(VaultError::UnknownPerson(_) | VaultError::PersonErased(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
