//! Organizations: made by the operator, led by their owners. Making one is a process of steps, each of which finds itself
//! done when it is tried again: reserve the slug, record the organization, record its owner, make the owner's key.

use witan_auth::{Operation, Resource, ResourceKind};
use witan_domain::{
    Aggregate, OrganizationId, PersonId, UserId,
    organization::{
        CreateOrganization, Organization, OrganizationCommand, OrganizationDetails, OrganizationKind, OwnText,
        ReactivateOrganization, SetOrganizationPolicies, SetOrganizationSettings, SuspendOrganization,
        UpdateOrganization,
    },
    reservation::{Holder, ReservationId},
    settings::Level,
    text::{self, Slug},
};

use crate::{
    App, Error, Outcome, Request,
    api_keys::NewApiKey,
    execute::{Presence, Task},
    history::organization_resource,
    personal::Text,
    policies::PoliciesInput,
    reservations::cleaned_up,
    streams::Now,
    users::NewUser,
};

pub(crate) const ORGANIZATION: Presence = Presence::Needed("organization");

/// An organization's own data, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationInput {
    pub slug: String,
    /// A person's organization has that person's data, which is protected; a company's is public.
    pub of_person: bool,
    pub full_name: String,
    pub alias: Option<String>,
    pub tax_id: Option<String>,
    pub postal_address: Option<String>,
    pub logo_url: Option<String>,
    pub time_zone: String,
    pub locale: String,
    pub currency: String,
    pub billing_day: u8,
    pub plan: String,
}

impl Default for OrganizationInput {
    fn default() -> Self {
        Self {
            slug: String::new(),
            of_person: false,
            full_name: String::new(),
            alias: None,
            tax_id: None,
            postal_address: None,
            logo_url: None,
            time_zone: "UTC".into(),
            locale: "en".into(),
            currency: "USD".into(),
            billing_day: 1,
            plan: "standard".into(),
        }
    }
}

/// A new organization with its owner and the owner's key, which is shown this once.
pub struct Founded {
    pub organization: OrganizationId,
    pub owner: UserId,
    pub api_key: String,
    pub outcome: Outcome<Organization>,
}

impl App {
    /// Makes an organization, its first owner, and an API key that acts as them.
    pub async fn create_organization(
        &self,
        request: &Request,
        input: &OrganizationInput,
        owner: &NewUser,
    ) -> Result<Founded, Error> {
        let organization = OrganizationId(self.id_for(request, "organization"));
        let user = UserId(self.id_for(request, "owner"));
        let person = PersonId(self.id_for(request, "organization person"));
        let deployment = Resource { kind: ResourceKind::Deployment, id: "deployment".into(), ..Resource::default() };
        self.authorise(request, Operation::CreateOrganization, &deployment).await?;
        self.check_user(owner)?;
        let outcome = match self.answered(request, organization, organization, Operation::CreateOrganization)? {
            Some(outcome) => outcome,
            None => self.found(request, organization, person, input, user).await?,
        };
        let system = Request { actor: witan_domain::Actor::System, ..request.step() };
        self.create_user_as(&system, organization, user, owner).await?;
        let key = NewApiKey { name: "first key".into(), scopes: Vec::new(), expires_at: None, user };
        let key = self.create_api_key_as(&system, organization, &key).await?;
        Ok(Founded { organization, owner: user, api_key: key.text, outcome })
    }

    /// Lets go of those of these slugs that the organization does not have.
    async fn release_organization_slugs(
        &self,
        request: &Request,
        organization: OrganizationId,
        slugs: impl IntoIterator<Item = Slug>,
    ) -> Result<(), Error> {
        let its = self.organization_state(organization)?.facts().ok().map(|facts| facts.details.slug);
        for slug in slugs.into_iter().filter(|slug| its != Some(*slug)) {
            let holder = Holder::Organization(organization);
            self.release(request, None, ReservationId::OrganizationSlug(slug), holder).await?;
        }
        Ok(())
    }

    /// The steps to the organization itself.
    async fn found(
        &self,
        request: &Request,
        organization: OrganizationId,
        person: PersonId,
        input: &OrganizationInput,
        owner: UserId,
    ) -> Result<Outcome<Organization>, Error> {
        let slug = Slug::try_new(&input.slug).map_err(Error::rejected)?;
        if input.of_person {
            self.vault.create_person(organization, person).await?;
        }
        let stream = Organization::stream(organization);
        let details = self.organization_details(organization, &stream, slug, input, person)?;
        let holder = Holder::Organization(organization);
        self.reserve(request, None, ReservationId::OrganizationSlug(slug), holder).await?;
        let create = CreateOrganization { organization, details, owner };
        let result = self.create_reserved_organization(request, organization, create.into()).await;
        if result.is_err() {
            cleaned_up(self.release_organization_slugs(request, organization, [slug]).await);
        }
        result
    }

    async fn create_reserved_organization(
        &self,
        request: &Request,
        organization: OrganizationId,
        command: OrganizationCommand,
    ) -> Result<Outcome<Organization>, Error> {
        let task = self
            .begin::<Organization>(
                request,
                Some(organization),
                organization,
                Operation::CreateOrganization,
                Presence::Optional,
                |_| Resource { kind: ResourceKind::Deployment, id: "deployment".into(), ..Resource::default() },
            )
            .await?;
        self.finish_grant(task, &command).await
    }

    pub(crate) async fn begin_organization<'a>(
        &'a self,
        request: &'a Request,
        organization: OrganizationId,
        operation: Operation,
    ) -> Result<Task<'a, Organization>, Error> {
        self.begin::<Organization>(request, Some(organization), organization, operation, ORGANIZATION, move |_| {
            organization_resource(organization)
        })
        .await
    }

    pub async fn update_organization(
        &self,
        request: &Request,
        input: &OrganizationInput,
    ) -> Result<Outcome<Organization>, Error> {
        let organization = request.organization()?;
        let operation = Operation::UpdateOrganization;
        if let Some(outcome) = self.answered::<Organization>(request, organization, organization, operation)? {
            return Ok(outcome);
        }
        self.authorise(request, operation, &organization_resource(organization)).await?;
        let slug = Slug::try_new(&input.slug).map_err(Error::rejected)?;
        let before = self.organization_state(organization)?;
        let facts = before.facts().map_err(Error::rejected)?.clone();
        let holder = Holder::Organization(organization);
        let renamed = facts.details.slug != slug;
        if renamed {
            self.reserve(request, None, ReservationId::OrganizationSlug(slug), holder).await?;
        }
        let result = self.update_reserved(request, organization, slug, input, facts.details.kind).await;
        if renamed {
            cleaned_up(self.release_organization_slugs(request, organization, [facts.details.slug, slug]).await);
        }
        result
    }

    async fn update_reserved(
        &self,
        request: &Request,
        organization: OrganizationId,
        slug: Slug,
        input: &OrganizationInput,
        kind: OrganizationKind,
    ) -> Result<Outcome<Organization>, Error> {
        let task = self.begin_organization(request, organization, Operation::UpdateOrganization).await?;
        let person = match kind {
            OrganizationKind::Person(person) => person,
            OrganizationKind::Company if input.of_person => {
                return Err(Error::invalid("kind", "kind can't change from company to person; expected COMPANY"));
            }
            OrganizationKind::Company => PersonId(0),
        };
        let input = OrganizationInput { of_person: kind != OrganizationKind::Company, ..input.clone() };
        let stream = Organization::stream(organization);
        let details = self.organization_details(organization, &stream, slug, &input, person)?;
        task.finish(&UpdateOrganization { details }.into()).await
    }

    fn organization_details(
        &self,
        organization: OrganizationId,
        stream: &str,
        slug: Slug,
        input: &OrganizationInput,
        person: PersonId,
    ) -> Result<OrganizationDetails, Error> {
        let own = |field: &'static str, spelling: &'static str, value: &str, check: Check| {
            check(spelling, value).map_err(Error::rejected)?;
            if input.of_person {
                let text = Text::required(spelling, value, text::ADDRESS_CHARS_MAX)?;
                self.protect(organization, person, stream, field, text).map(OwnText::Private)
            } else {
                Ok(OwnText::Plain(value.to_owned()))
            }
        };
        let tax_id = input.tax_id.as_deref();
        let address = input.postal_address.as_deref();
        Ok(OrganizationDetails {
            slug,
            kind: if input.of_person { OrganizationKind::Person(person) } else { OrganizationKind::Company },
            full_name: own("full_name", "fullName", &input.full_name, text::name)?,
            alias: input.alias.clone(),
            tax_id: tax_id.map(|value| own("tax_id", "taxId", value, text::tax_id)).transpose()?,
            postal_address: address
                .map(|value| own("postal_address", "postalAddress", value, text::address))
                .transpose()?,
            logo_url: input.logo_url.clone(),
            time_zone: input.time_zone.clone(),
            locale: input.locale.clone(),
            currency: input.currency.clone(),
            billing_day: input.billing_day,
            plan: input.plan.clone(),
        })
    }

    pub async fn set_organization_settings(
        &self,
        request: &Request,
        settings: Level,
    ) -> Result<Outcome<Organization>, Error> {
        let organization = request.organization()?;
        let task = self.begin_organization(request, organization, Operation::SetOrganizationSettings).await?;
        task.finish(&SetOrganizationSettings { settings }.into()).await
    }

    pub async fn set_organization_policies(
        &self,
        request: &Request,
        policies: PoliciesInput,
    ) -> Result<Outcome<Organization>, Error> {
        let organization = request.organization()?;
        let operation = Operation::SetOrganizationPolicies;
        if let Some(outcome) = self.answered::<Organization>(request, organization, organization, operation)? {
            return Ok(outcome);
        }
        if policies.has_new_password() {
            self.authorise(request, operation, &organization_resource(organization)).await?;
        }
        let hashed = self.hash_passwords(&organization.to_string(), policies).await?;
        let task = self.begin_organization(request, organization, operation).await?;
        let policies = hashed.over(&task.state().facts().map_err(Error::rejected)?.policies)?;
        self.finish_grant(task, &SetOrganizationPolicies { policies }.into()).await
    }

    /// The operator's: no new sessions until it is reactivated.
    pub async fn suspend_organization(
        &self,
        request: &Request,
        organization: OrganizationId,
    ) -> Result<Outcome<Organization>, Error> {
        let task = self.begin_organization(request, organization, Operation::SuspendOrganization).await?;
        task.finish(&SuspendOrganization {}.into()).await
    }

    pub async fn reactivate_organization(
        &self,
        request: &Request,
        organization: OrganizationId,
    ) -> Result<Outcome<Organization>, Error> {
        let task = self.begin_organization(request, organization, Operation::ReactivateOrganization).await?;
        task.finish(&ReactivateOrganization {}.into()).await
    }

    /// An organization as its stream tells it now.
    pub(crate) fn organization_state(&self, organization: OrganizationId) -> Result<Now<Organization>, Error> {
        let stream = Organization::stream(organization);
        self.load_own::<Organization>(Some(organization), &stream).map(Now)
    }

    /// Finishes a command after which someone may do more, or less: whoever is asked next has to know it.
    pub(crate) async fn finish_grant<A: Aggregate>(
        &self,
        task: Task<'_, A>,
        command: &A::Command,
    ) -> Result<Outcome<A>, Error> {
        let outcome = task.finish(command).await?;
        if let Some(position) = outcome.position {
            self.granted(position);
        }
        Ok(outcome)
    }
}

type Check = fn(&'static str, &str) -> Result<(), text::Invalid>;
