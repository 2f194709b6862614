//! People: the right to be forgotten, for one person in one organization.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    PersonId,
    person::{ErasePerson, Ground, Person},
};

use crate::{App, Error, Outcome, Request, execute::Presence};

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
        let resource = Resource {
            kind: ResourceKind::Person,
            organization: Some(organization),
            id: person.to_string(),
            ..Resource::default()
        };
        let task = self
            .begin::<Person>(
                request,
                Some(organization),
                person,
                Operation::ErasePerson,
                Presence::Optional,
                move |_| resource.clone(),
            )
            .await?;
        let ties = self.directory.person_ties(organization, person).map_err(Error::fault)?;
        let command = ErasePerson {
            organization,
            person,
            ground,
            known: ties.known,
            active_user: ties.active_user,
            in_live_session: ties.in_live_session,
        };
        let outcome = task.finish(&witan_domain::person::PersonCommand::Erase(command)).await?;
        self.vault.erase(organization, person).await?;
        Ok(outcome)
    }
}

