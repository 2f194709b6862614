//! The organization: what is shown of it, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object, SimpleObject};
use witan_app::{Error, Outcome, Request, history::organization_resource, organizations::OrganizationInput};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, OrganizationId, Timestamp, UserId,
    organization::{
        Organization as DomainOrganization, OrganizationFacts, OrganizationKind as DomainKind,
        OrganizationStatus as DomainStatus, OwnText,
    },
    units::Unit as DomainUnit,
};
use witan_projections::{organizations::OrganizationRow, sessions::SessionList};

use crate::{
    api_key::ApiKeyConnection,
    call::{Call, PrivateText, stored},
    connection::PageInput,
    mutation::{inputs, patch, patched, payloads, revealed},
    policies::{LevelPolicies, LevelPoliciesInput},
    refusal,
    room::RoomConnection,
    scalars::{DateTime, IntoId, Position},
    session::SessionConnection,
    settings::{LevelSettings, LevelSettingsInput},
    unit::{UnitConnection, is_living, list_units},
    user::{User, UserConnection},
};

/// What an organization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum OrganizationKind {
    /// One person: the full name, tax id and postal address are protected as that person's.
    Person,
    /// A company.
    Company,
}

/// Whether an organization may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainStatus")]
pub enum OrganizationStatus {
    /// All is well.
    Active,
    /// No new sessions; everything else goes on.
    Suspended,
    /// Over, for good.
    Closed,
}

/// Someone who owns the organization.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct OrganizationOwner {
    /// The user's id.
    user_id: ID,
    /// Since when.
    since: DateTime,
    #[graphql(skip)]
    owner: UserId,
}

/// Someone who owns the organization.
#[async_graphql::ComplexObject]
impl OrganizationOwner {
    /// The user; null for those who may not read it.
    async fn user(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<User>> {
        User::readable(&Call::query(ctx)?, self.owner).await
    }
}

/// A tenant.
pub struct Organization {
    row: Arc<OrganizationRow>,
}

impl Organization {
    /// The caller's organization, if they may read it. Another one is none.
    pub async fn find(call: &Call<'_>, organization: OrganizationId) -> async_graphql::Result<Option<Self>> {
        if call.organization()? != organization {
            return Ok(None);
        }
        let Some(row) = stored(call.models().find_organization(organization))? else { return Ok(None) };
        call.authorise(Operation::ReadOrganization, &organization_resource(organization)).await?;
        Ok(Some(Self { row }))
    }

    /// The caller's organization, or none where they may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        if !call.allows(Operation::ReadOrganization, &organization_resource(organization)).await {
            return Ok(None);
        }
        Ok(stored(call.models().find_organization(organization))?.map(|row| Self { row }))
    }

    fn facts(&self) -> async_graphql::Result<&OrganizationFacts> {
        self.row.state.facts().map_err(|_| refusal("NOT_FOUND", "There is no organization with this id."))
    }

    fn own_text(&self, ctx: &Context<'_>, field: &str, text: &OwnText) -> async_graphql::Result<PrivateText> {
        match text {
            OwnText::Plain(text) => Ok(PrivateText::plain(text.clone())),
            OwnText::Private(private) => {
                let stream = DomainOrganization::stream(self.facts()?.organization);
                Call::query(ctx)?.reveal(&stream, field, private)
            }
        }
    }
}

/// A tenant.
#[Object]
impl Organization {
    /// The organization's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.facts()?.organization.into_id())
    }

    /// Its part of a URL, unique in the deployment.
    async fn slug(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.slug.to_string())
    }

    /// A person or a company.
    async fn kind(&self) -> async_graphql::Result<OrganizationKind> {
        Ok(match self.facts()?.details.kind {
            DomainKind::Person(_) => OrganizationKind::Person,
            DomainKind::Company => OrganizationKind::Company,
        })
    }

    /// What it is called in full.
    async fn full_name(&self, ctx: &Context<'_>) -> async_graphql::Result<PrivateText> {
        self.own_text(ctx, "full_name", &self.facts()?.details.full_name)
    }

    /// A short name to show.
    async fn alias(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.details.alias.clone())
    }

    /// Its number at the tax office, for invoices.
    async fn tax_id(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        let text = self.facts()?.details.tax_id.as_ref();
        text.map(|text| self.own_text(ctx, "tax_id", text)).transpose()
    }

    /// Where it gets its letters, for invoices.
    async fn postal_address(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PrivateText>> {
        let text = self.facts()?.details.postal_address.as_ref();
        text.map(|text| self.own_text(ctx, "postal_address", text)).transpose()
    }

    /// Where its logo is.
    async fn logo_url(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.details.logo_url.clone())
    }

    /// The time zone (an IANA name) in which its billing periods close.
    async fn time_zone(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.time_zone.clone())
    }

    /// Its language and region, as a language tag (RFC 5646).
    async fn locale(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.locale.clone())
    }

    /// The currency of its invoices, a code of ISO 4217.
    async fn currency(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.currency.clone())
    }

    /// The day of the month on which a billing period closes: 1 to 28.
    async fn billing_day(&self) -> async_graphql::Result<u8> {
        Ok(self.facts()?.details.billing_day)
    }

    /// The name of its plan.
    async fn plan(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.plan.clone())
    }

    /// Whether it may go on.
    async fn status(&self) -> async_graphql::Result<OrganizationStatus> {
        Ok(self.facts()?.status.into())
    }

    /// Who owns it: at least one user, at most 100.
    async fn owners(&self) -> async_graphql::Result<Vec<OrganizationOwner>> {
        let owner = |(user, since): (&UserId, &Timestamp)| OrganizationOwner {
            user_id: user.into_id(),
            since: DateTime(*since),
            owner: *user,
        };
        Ok(self.facts()?.owners.iter().map(owner).collect())
    }

    /// What it says of the settings of all its rooms.
    async fn settings(&self) -> async_graphql::Result<LevelSettings> {
        Ok((&self.facts()?.settings).into())
    }

    /// What it says of the policies of all its rooms.
    async fn policies(&self) -> async_graphql::Result<LevelPolicies> {
        Ok((&self.facts()?.policies).into())
    }

    /// Its units, in the order they were made: all of the tree, or only the top of it.
    /// Null, with an error, for those who may not list them.
    async fn units(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only the units without a parent.", default)] top: bool,
        #[graphql(desc = "Archived units too.", default)] archived: bool,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<UnitConnection>> {
        let call = Call::query(ctx)?;
        let page = PageInput::new(first, after, last, before).page()?;
        let tree = stored(call.models().find_units(call.organization()?))?;
        let wanted = |unit: &DomainUnit| (!top || unit.parent.is_none()) && (archived || is_living(unit));
        list_units(&call, tree, &page, wanted).await.map(Some)
    }

    /// Its users that the caller may read, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<UserConnection>> {
        crate::user::list_users(&Call::query(ctx)?, &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// Its API keys that the caller may read, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<ApiKeyConnection>> {
        crate::api_key::list_api_keys(&Call::query(ctx)?, &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// Its rooms that the caller may read, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn rooms(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<RoomConnection>> {
        let call = Call::query(ctx)?;
        crate::room::list_rooms(&call, None, &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// Its sessions that the caller may read, in the order they were opened.
    /// Null, with an error, for those who may not list them.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<SessionConnection>> {
        let call = Call::query(ctx)?;
        call.authorise(Operation::ListSessions, &organization_resource(call.organization()?)).await?;
        crate::session::list(&call, SessionList::Organization, &PageInput::new(first, after, last, before))
            .await
            .map(Some)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// The version of its stream, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.row.version
    }
}

inputs! {
    /// Changes what the organization says of itself. What is absent stays; null takes away what may be missing.
    change UpdateOrganizationInput {
        /// Its part of a URL, unique in the deployment: 1 to 63 lower-case ASCII letters, digits and `-` between them.
        slug: Option<String>,
        /// What it is called in full: 1 to 200 characters.
        full_name: Option<String>,
        /// A short name to show: 1 to 60 characters.
        alias: MaybeUndefined<String>,
        /// Its number at the tax office: at most 32 characters.
        tax_id: MaybeUndefined<String>,
        /// Where it gets its letters: at most 500 characters.
        postal_address: MaybeUndefined<String>,
        /// Where its logo is: an https URL of at most 2,048 bytes.
        logo_url: MaybeUndefined<String>,
        /// The time zone in which its billing periods close: an IANA name.
        time_zone: Option<String>,
        /// Its language and region: a language tag (RFC 5646).
        locale: Option<String>,
        /// The currency of its invoices: a code of ISO 4217.
        currency: Option<String>,
        /// The day of the month on which a billing period closes: 1 to 28.
        billing_day: Option<u8>,
        /// The name of its plan.
        plan: Option<String>,
    }
    /// Says anew what holds in all rooms of the organization.
    change SetOrganizationSettingsInput {
        /// The settings, in place of all that the organization said before.
        settings: LevelSettingsInput,
    }
    /// Says anew who may do what in all rooms of the organization.
    change SetOrganizationPoliciesInput {
        /// The policies, in place of all that the organization said before.
        policies: LevelPoliciesInput,
    }
}

payloads! {
    /// What a mutation of the organization answers.
    OrganizationPayload {
        /// The organization after it; null when nothing was done, or it may not be read.
        organization: Organization,
    }
}

/// Queries of the organization.
#[derive(Default)]
pub struct OrganizationQuery;

#[Object]
impl OrganizationQuery {
    /// The caller's organization. Null for the id of another one.
    async fn organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The organization's id; the caller's own when absent.")] id: Option<ID>,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Organization>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        let organization = id.map_or_else(|| call.organization(), |id| crate::call::id("id", &id))?;
        Organization::find(&call, organization).await
    }
}

/// Mutations of the organization.
#[derive(Default)]
pub struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Changes what the organization says of itself.
    async fn update_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateOrganizationInput,
    ) -> async_graphql::Result<OrganizationPayload> {
        let call = Call::mutation(ctx)?;
        let organization = call.organization()?;
        let operation = Operation::UpdateOrganization;
        // A retry is answered, whatever its user may do by now.
        let answered = call.app().answered::<DomainOrganization>(&call.request, organization, organization, operation);
        if let Some(outcome) = answered.transpose() {
            return organization_payload(&call, outcome).await;
        }
        // Before anything private is revealed for the patch.
        call.authorise(operation, &organization_resource(organization)).await?;
        let app = call.app();
        let patch = || patched_organization(&call, organization, &input);
        let apply = |request: Request, input| async move { app.update_organization(&request, &input).await };
        organization_payload(&call, patched(&call, patch, apply).await).await
    }

    /// Says anew what holds in all rooms of the organization, and what the levels below may not change.
    async fn set_organization_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The settings.")] input: SetOrganizationSettingsInput,
    ) -> async_graphql::Result<OrganizationPayload> {
        let call = Call::mutation(ctx)?;
        let settings = input.settings.into_domain()?;
        organization_payload(&call, call.app().set_organization_settings(&call.request, settings).await).await
    }

    /// Says anew who may do what in all rooms of the organization, and the floors for the levels below.
    async fn set_organization_policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The policies.")] input: SetOrganizationPoliciesInput,
    ) -> async_graphql::Result<OrganizationPayload> {
        let call = Call::mutation(ctx)?;
        let policies = input.policies.into_app()?;
        organization_payload(&call, call.app().set_organization_policies(&call.request, policies).await).await
    }
}

fn patched_organization(
    call: &Call<'_>,
    organization: OrganizationId,
    input: &UpdateOrganizationInput,
) -> Result<(OrganizationInput, Option<u64>), Error> {
    let (state, version) = call.app().current::<DomainOrganization>(organization, organization)?;
    let now = state.facts().map_err(Error::rejected)?.details.clone();
    let stream = DomainOrganization::stream(organization);
    let own = |field: &str, text: &OwnText| match text {
        OwnText::Plain(text) => Ok(text.clone()),
        OwnText::Private(private) => revealed(call, organization, &stream, field, private),
    };
    let own_optional = |field: &str, wanted: &MaybeUndefined<String>, text: Option<&OwnText>| {
        let now = if wanted.is_undefined() { text.map(|text| own(field, text)).transpose()? } else { None };
        Ok::<_, Error>(patch(wanted.clone(), now))
    };
    let full_name = match &input.full_name {
        Some(full_name) => full_name.clone(),
        None => own("full_name", &now.full_name)?,
    };
    let input = OrganizationInput {
        slug: input.slug.clone().unwrap_or_else(|| now.slug.to_string()),
        of_person: now.kind != DomainKind::Company,
        full_name,
        alias: patch(input.alias.clone(), now.alias),
        tax_id: own_optional("tax_id", &input.tax_id, now.tax_id.as_ref())?,
        postal_address: own_optional("postal_address", &input.postal_address, now.postal_address.as_ref())?,
        logo_url: patch(input.logo_url.clone(), now.logo_url),
        time_zone: input.time_zone.clone().unwrap_or(now.time_zone),
        locale: input.locale.clone().unwrap_or(now.locale),
        currency: input.currency.clone().unwrap_or(now.currency),
        billing_day: input.billing_day.unwrap_or(now.billing_day),
        plan: input.plan.clone().unwrap_or(now.plan),
    };
    Ok((input, version))
}

async fn organization_payload(
    call: &Call<'_>,
    result: Result<Outcome<DomainOrganization>, Error>,
) -> async_graphql::Result<OrganizationPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let organization = match done {
        Some(_) => Organization::readable(call).await?,
        None => None,
    };
    Ok(OrganizationPayload::new(organization, told))
}
