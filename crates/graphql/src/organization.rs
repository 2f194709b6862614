//! The organization and its units: what is shown of them, and what one may ask.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, MaybeUndefined, Object, SimpleObject};
use witan_app::{
    Error, Outcome, Request, history::organization_resource, organizations::OrganizationInput, units::UnitInput,
    units::unit_resource,
};
use witan_auth::Operation;
use witan_domain::{
    Aggregate, OrganizationId, Private, Timestamp, UnitId, UserId,
    organization::{
        Organization as DomainOrganization, OrganizationFacts, OrganizationKind as DomainKind,
        OrganizationStatus as DomainStatus, OwnText,
    },
    units::{Unit as DomainUnit, UnitStatus as DomainUnitStatus, Units},
};
use witan_projections::{Listed, Page, organizations::OrganizationRow, organizations::UnitsRow, sessions::SessionList};

use crate::{
    call::{Call, PrivateText, id, stored},
    connection::{PageInput, connection, edges, visible},
    refusal,
    room::RoomConnection,
    scalars::{DateTime, Position},
    session::{IntoId, SessionConnection},
    settings::{LevelPolicies, LevelPoliciesInput, LevelSettings, LevelSettingsInput},
    user::{ApiKeyConnection, User, UserConnection},
};

/// How often a patch is applied anew because another change came between.
const PATCH_ATTEMPTS_MAX: usize = 5;

/// Defines the inputs of mutations: what each has of its own, then what all have. `new` makes something, so that there is
/// no version of it yet.
macro_rules! inputs {
    ($($(#[$doc:meta])* $kind:ident $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        $($crate::organization::inputs!(@$kind $(#[$doc])* $name { $($(#[$meta])* $field: $type,)* });)*
    };
    (@new $(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(async_graphql::InputObject)]
        pub struct $name {
            $($(#[$meta])* $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
        }
    };
    (@change $(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(async_graphql::InputObject)]
        pub struct $name {
            $($(#[$meta])* $field: $type,)*
            /// The same key again gets the same answer: 1 to 255 bytes.
            #[graphql(name = "idempotencyKey")]
            _idempotency_key: Option<String>,
            /// The `version` that the changed object is expected to have; otherwise nothing is done (VERSION_CONFLICT).
            #[graphql(name = "expectedVersion")]
            _expected_version: Option<u64>,
        }
    };
}
pub(crate) use inputs;

/// Defines what mutations answer: what each has of its own, then what all have.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $($(#[$field_doc])* $field: Option<$type>,)*
            /// Why nothing was done; empty when it was.
            user_errors: Vec<$crate::call::UserError>,
            /// The position of what was recorded; null when it held already, or nothing was done.
            position: Option<$crate::scalars::Position>,
            /// Whether the read models show it yet; false when they did not come after within 2 s.
            projected: bool,
        }

        impl $name {
            fn new($($field: Option<$type>,)* told: $crate::call::Told) -> Self {
                let $crate::call::Told { user_errors, position, projected } = told;
                Self { $($field,)* user_errors, position, projected }
            }
        }
    )*};
}
pub(crate) use payloads;

/// Applies a patch to what is there now, and again where another change came between. A caller who said which version
/// they expect is told of it instead.
pub(crate) async fn patched<I, T, F: Future<Output = Result<T, Error>>>(
    call: &Call<'_>,
    patch: impl Fn() -> Result<(I, Option<u64>), Error>,
    apply: impl Fn(Request, I) -> F,
) -> Result<T, Error> {
    for _ in 0..PATCH_ATTEMPTS_MAX {
        let (input, version) = patch()?;
        let mut request = call.request.clone();
        request.expected_version = request.expected_version.or(version);
        match apply(request, input).await {
            Err(Error::VersionConflict { .. }) if call.request.expected_version.is_none() => {}
            result => return result,
        }
    }
    Err(Error::Contention)
}

/// What a patch makes of a value that may be null: absent leaves it, null takes it away.
pub(crate) fn patch<T>(wanted: MaybeUndefined<T>, now: Option<T>) -> Option<T> {
    match wanted {
        MaybeUndefined::Undefined => now,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// What a private value says now, for a patch that leaves it: an erased person's record can't change.
pub(crate) fn revealed(
    call: &Call<'_>,
    organization: OrganizationId,
    stream: &str,
    field: &str,
    private: &Private,
) -> Result<String, Error> {
    call.app().reveal(organization, stream, field, private)?.ok_or_else(|| Error::Rejected {
        code: "PERSON_ERASED",
        field: None,
        message: "This person's data was erased: nothing more can be recorded about them.".into(),
    })
}

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
    /// No new sessions, and nothing changes; what runs goes on.
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
    row: OrganizationRow,
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
        list_units(&call, tree.map(Arc::new), &page, wanted).await.map(Some)
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
        crate::user::list_api_keys(&Call::query(ctx)?, &PageInput::new(first, after, last, before)).await.map(Some)
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

/// Whether a unit is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "DomainUnitStatus")]
pub enum UnitStatus {
    /// In use.
    Living,
    /// Out of use, for good.
    Archived,
}

/// A team or a department.
#[derive(Clone)]
pub struct Unit {
    unit: UnitId,
    /// All units of the organization: a unit is read with those above and below it.
    tree: Arc<UnitsRow>,
}

connection!(
    /// A page of units.
    UnitConnection,
    UnitEdge,
    Unit
);

impl Unit {
    /// The unit, if it is the caller's organization's and they may read it. One of another organization is none.
    pub async fn find(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<Option<Self>> {
        let organization = call.organization()?;
        let Some(tree) = stored(call.models().find_units(organization))? else { return Ok(None) };
        if !tree.state.units.contains_key(&unit) {
            return Ok(None);
        }
        call.authorise(Operation::ReadUnit, &unit_resource(organization, Some(unit))).await?;
        Ok(Some(Self { unit, tree: Arc::new(tree) }))
    }

    /// The unit, or none where the caller may not read it: to show beside something else.
    pub async fn readable(call: &Call<'_>, unit: UnitId) -> async_graphql::Result<Option<Self>> {
        let Some(tree) = stored(call.models().find_units(call.organization()?))? else { return Ok(None) };
        Self::in_tree(call, unit, &Arc::new(tree)).await
    }

    async fn in_tree(call: &Call<'_>, unit: UnitId, tree: &Arc<UnitsRow>) -> async_graphql::Result<Option<Self>> {
        let there = tree.state.units.contains_key(&unit);
        let resource = unit_resource(call.organization()?, Some(unit));
        let readable = there && call.allows(Operation::ReadUnit, &resource).await;
        Ok(readable.then(|| Self { unit, tree: Arc::clone(tree) }))
    }

    fn facts(&self) -> async_graphql::Result<&DomainUnit> {
        let found = self.tree.state.units.get(&self.unit);
        found.ok_or_else(|| refusal("NOT_FOUND", "There is no unit with this id."))
    }
}

fn is_living(unit: &DomainUnit) -> bool {
    unit.status == DomainUnitStatus::Living
}

/// A page of the units that the caller may read. The order of their ids is that in which they were made.
async fn list_units(
    call: &Call<'_>,
    tree: Option<Arc<UnitsRow>>,
    page: &Page,
    wanted: impl Fn(&DomainUnit) -> bool,
) -> async_graphql::Result<UnitConnection> {
    let organization = call.organization()?;
    call.authorise(Operation::ListUnits, &organization_resource(organization)).await?;
    let listed = match &tree {
        None => Listed { rows: Vec::new(), more: false },
        Some(tree) => {
            let units = tree.state.units.iter().filter(|(_, unit)| wanted(unit));
            let listed = page_of(units.map(|(unit, _)| *unit), page);
            let nodes = listed.rows.into_iter();
            let rows = nodes.map(|(cursor, unit)| (cursor, Unit { unit, tree: Arc::clone(tree) })).collect();
            Listed { rows, more: listed.more }
        }
    };
    let listed = visible(call, listed, Operation::ReadUnit, |node| unit_resource(organization, Some(node.unit))).await;
    let (edges, page_info) = edges(listed, page, |node| node, |cursor, node| UnitEdge { cursor, node });
    Ok(UnitConnection { edges, page_info })
}

/// A page of ids in their order, as the read models' lists give it.
fn page_of(units: impl DoubleEndedIterator<Item = UnitId>, page: &Page) -> Listed<UnitId> {
    let cursor = |unit: UnitId| unit.0.to_be_bytes().to_vec();
    let units: Vec<UnitId> = if page.backward { units.rev().collect() } else { units.collect() };
    let beyond = |unit: &UnitId| {
        let Some(after) = page.after.as_deref() else { return true };
        let place = unit.0.to_be_bytes();
        if page.backward { &place[..] < after } else { &place[..] > after }
    };
    let mut rows: Vec<_> = units.into_iter().filter(beyond).take(page.rows_max + 1).collect();
    let more = rows.len() > page.rows_max;
    rows.truncate(page.rows_max);
    Listed { rows: rows.into_iter().map(|unit| (cursor(unit), unit)).collect(), more }
}

/// A team or a department.
#[Object]
impl Unit {
    /// The unit's id.
    pub async fn id(&self) -> async_graphql::Result<ID> {
        Ok(self.unit.into_id())
    }

    /// Its part of a URL, unique among the living units of the same parent.
    async fn slug(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.slug.to_string())
    }

    /// What it is called in full.
    async fn full_name(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.full_name.clone())
    }

    /// What it is for.
    async fn description(&self) -> async_graphql::Result<String> {
        Ok(self.facts()?.details.description.clone())
    }

    /// Where it is.
    async fn address(&self) -> async_graphql::Result<Option<String>> {
        Ok(self.facts()?.details.address.clone())
    }

    /// Whether it is in use.
    async fn status(&self) -> async_graphql::Result<UnitStatus> {
        Ok(self.facts()?.status.into())
    }

    /// The unit that it is part of; null at the top of the tree.
    async fn parent(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Unit>> {
        let Some(parent) = self.facts()?.parent else { return Ok(None) };
        Unit::in_tree(&Call::query(ctx)?, parent, &self.tree).await
    }

    /// The units above it and itself, from the top of the tree down: at most 8.
    async fn path(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<Unit>> {
        let call = Call::query(ctx)?;
        let mut path = Vec::new();
        for unit in self.tree.state.path(self.unit) {
            path.extend(Unit::in_tree(&call, unit, &self.tree).await?);
        }
        Ok(path)
    }

    /// The units right below it, in the order they were made.
    /// Null, with an error, for those who may not list them.
    async fn children(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Archived units too.", default)] archived: bool,
        #[graphql(desc = "So many from the start, or after `after`: 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins.")] after: Option<String>,
        #[graphql(desc = "So many from the end, or before `before`: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which the page ends.")] before: Option<String>,
    ) -> async_graphql::Result<Option<UnitConnection>> {
        let page = PageInput::new(first, after, last, before).page()?;
        let wanted = |unit: &DomainUnit| unit.parent == Some(self.unit) && (archived || is_living(unit));
        list_units(&Call::query(ctx)?, Some(Arc::clone(&self.tree)), &page, wanted).await.map(Some)
    }

    /// Its rooms (not those of the units below it) that the caller may read, in the order they were made.
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
        crate::room::list_rooms(&call, Some(self.unit), &PageInput::new(first, after, last, before)).await.map(Some)
    }

    /// What it says of the settings of its rooms and of those of the units below it.
    async fn settings(&self) -> async_graphql::Result<LevelSettings> {
        Ok((&self.facts()?.settings).into())
    }

    /// What it says of the policies of its rooms and of those of the units below it.
    async fn policies(&self) -> async_graphql::Result<LevelPolicies> {
        Ok((&self.facts()?.policies).into())
    }

    /// The version of the organization's whole tree of units, for `expectedVersion`.
    async fn version(&self) -> u64 {
        self.tree.version
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
    /// Makes a unit.
    new CreateUnitInput {
        /// The unit that it is part of; absent for one at the top of the tree, which is at most 8 deep.
        parent_id: Option<ID>,
        /// Its part of a URL, unique among the living units of the same parent: 1 to 63 lower-case ASCII letters, digits
        /// and `-` between them.
        slug: String,
        /// What it is called in full: 1 to 200 characters.
        full_name: String,
        /// What it is for: at most 2,000 characters.
        #[graphql(default)]
        description: String,
        /// Where it is: at most 500 characters.
        address: Option<String>,
    }
    /// Changes what a unit says of itself. What is absent stays; null takes away what may be missing.
    change UpdateUnitInput {
        /// The unit.
        unit_id: ID,
        /// Its part of a URL, unique among the living units of the same parent: 1 to 63 lower-case ASCII letters, digits
        /// and `-` between them.
        slug: Option<String>,
        /// What it is called in full: 1 to 200 characters.
        full_name: Option<String>,
        /// What it is for: at most 2,000 characters.
        description: Option<String>,
        /// Where it is: at most 500 characters.
        address: MaybeUndefined<String>,
    }
    /// Takes a unit, with all below it, to another place in the tree.
    change MoveUnitInput {
        /// The unit.
        unit_id: ID,
        /// The unit that it is to be part of; absent for the top of the tree.
        parent_id: Option<ID>,
    }
    /// Takes a unit out of use, for good. It may have no units and no rooms left.
    change ArchiveUnitInput {
        /// The unit.
        unit_id: ID,
    }
    /// Says anew what holds in the rooms of a unit and of those below it.
    change SetUnitSettingsInput {
        /// The unit.
        unit_id: ID,
        /// The settings, in place of all that the unit said before.
        settings: LevelSettingsInput,
    }
    /// Says anew who may do what in the rooms of a unit and of those below it.
    change SetUnitPoliciesInput {
        /// The unit.
        unit_id: ID,
        /// The policies, in place of all that the unit said before.
        policies: LevelPoliciesInput,
    }
}

payloads! {
    /// What a mutation of the organization answers.
    OrganizationPayload {
        /// The organization after it; null when nothing was done, or it may not be read.
        organization: Organization,
    }
    /// What a mutation of a unit answers.
    UnitPayload {
        /// The unit after it; null when nothing was done, or it may not be read.
        unit: Unit,
    }
}

/// Queries of the organization and its units.
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

    /// A unit of the caller's organization; null when there is none with this id.
    async fn unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The unit's id.")] id: ID,
        #[graphql(desc = "Waits up to 10 s until the read models show this position.")] wait_for: Option<Position>,
    ) -> async_graphql::Result<Option<Unit>> {
        let call = Call::query(ctx)?;
        crate::call::wait_for(call.models(), wait_for).await?;
        Unit::find(&call, crate::call::id("id", &id)?).await
    }
}

/// Mutations of the organization and its units.
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
        // Before anything private is revealed for the patch.
        call.authorise(Operation::UpdateOrganization, &organization_resource(organization)).await?;
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
        let policies = input.policies.into_domain()?;
        organization_payload(&call, call.app().set_organization_policies(&call.request, policies).await).await
    }

    /// Makes a unit below another one, or at the top of the tree.
    async fn create_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let parent = input.parent_id.as_ref().map(|parent| id("parentId", parent)).transpose()?;
        let CreateUnitInput { slug, full_name, description, address, .. } = input;
        let details = UnitInput { slug, full_name, description, address };
        let result = call.app().create_unit(&call.request, parent, &details).await;
        let (created, told) = call.told(result, |(_, outcome)| outcome.position).await?;
        let unit = match created {
            Some((unit, _)) => Unit::readable(&call, unit).await?,
            None => None,
        };
        Ok(UnitPayload::new(unit, told))
    }

    /// Changes what a unit says of itself.
    async fn update_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and what is to change.")] input: UpdateUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let app = call.app();
        let patch = || patched_unit(&call, unit, &input);
        let apply = |request: Request, input| async move { app.update_unit(&request, unit, &input).await };
        unit_payload(&call, unit, patched(&call, patch, apply).await).await
    }

    /// Takes a unit, with all below it, to another place in the tree.
    async fn move_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and where to.")] input: MoveUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let parent = input.parent_id.as_ref().map(|parent| id("parentId", parent)).transpose()?;
        unit_payload(&call, unit, call.app().move_unit(&call.request, unit, parent).await).await
    }

    /// Takes a unit out of use, for good.
    async fn archive_unit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit.")] input: ArchiveUnitInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        unit_payload(&call, unit, call.app().archive_unit(&call.request, unit).await).await
    }

    /// Says anew what holds in the rooms of a unit, and what the levels below may not change.
    async fn set_unit_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and the settings.")] input: SetUnitSettingsInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let settings = input.settings.into_domain()?;
        unit_payload(&call, unit, call.app().set_unit_settings(&call.request, unit, settings).await).await
    }

    /// Says anew who may do what in the rooms of a unit, and the floors for the levels below.
    async fn set_unit_policies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which unit, and the policies.")] input: SetUnitPoliciesInput,
    ) -> async_graphql::Result<UnitPayload> {
        let call = Call::mutation(ctx)?;
        let unit = id("unitId", &input.unit_id)?;
        let policies = input.policies.into_domain()?;
        unit_payload(&call, unit, call.app().set_unit_policies(&call.request, unit, policies).await).await
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

fn patched_unit(call: &Call<'_>, unit: UnitId, input: &UpdateUnitInput) -> Result<(UnitInput, Option<u64>), Error> {
    let organization = call.request.organization()?;
    let (state, version) = call.app().current::<Units>(organization, organization)?;
    let now = state.units.get(&unit).ok_or(Error::NotFound { what: "unit" })?.details.clone();
    let input = UnitInput {
        slug: input.slug.clone().unwrap_or_else(|| now.slug.to_string()),
        full_name: input.full_name.clone().unwrap_or(now.full_name),
        description: input.description.clone().unwrap_or(now.description),
        address: patch(input.address.clone(), now.address),
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

async fn unit_payload(
    call: &Call<'_>,
    unit: UnitId,
    result: Result<Outcome<Units>, Error>,
) -> async_graphql::Result<UnitPayload> {
    let (done, told) = call.told(result, |outcome| outcome.position).await?;
    let unit = match done {
        Some(_) => Unit::readable(call, unit).await?,
        None => None,
    };
    Ok(UnitPayload::new(unit, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Page) -> (Vec<u128>, bool) {
        let listed = page_of([1, 2, 3, 300].into_iter().map(UnitId), page);
        for (cursor, unit) in &listed.rows {
            assert_eq!(cursor, &unit.0.to_be_bytes());
        }
        (listed.rows.into_iter().map(|(_, unit)| unit.0).collect(), listed.more)
    }

    #[test]
    fn units_page_like_the_lists_of_the_read_models() {
        let after = |id: u128| Some(id.to_be_bytes().to_vec());
        assert_eq!(ids(&Page { rows_max: 3, backward: false, after: None }), (vec![1, 2, 3], true));
        assert_eq!(ids(&Page { rows_max: 3, backward: false, after: after(3) }), (vec![300], false));
        assert_eq!(ids(&Page { rows_max: 2, backward: true, after: None }), (vec![300, 3], true));
        assert_eq!(ids(&Page { rows_max: 2, backward: true, after: after(3) }), (vec![2, 1], false));
        assert_eq!(ids(&Page { rows_max: 2, backward: false, after: after(300) }), (vec![], false));
    }

    #[test]
    fn a_patch_leaves_takes_away_or_sets() {
        assert_eq!(patch(MaybeUndefined::Undefined, Some(1)), Some(1));
        assert_eq!(patch(MaybeUndefined::Null, Some(1)), None);
        assert_eq!(patch(MaybeUndefined::Value(2), Some(1)), Some(2));
    }
}
