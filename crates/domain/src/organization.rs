//! A tenant: what it is called, how it is billed, what holds for all its rooms, who owns it.
//!
//! **Owners.** Who owns an organization is decided here, in one stream, so that it never runs out of owners: the last one
//! can't be revoked. Whether an owner's account is active is decided in the account's own stream. Two rules bring these
//! together: an account that is an owner's can't be deactivated (the command carries that fact), and since both may
//! happen at once, a reaction to `OwnerGranted` and to `UserDeactivated` looks at both streams: an owner whose account is
//! deactivated is revoked, and if that is refused because it is the last one, the account is reactivated. Whichever of the
//! two is recorded later, its reaction sees the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, OrganizationId, PersonId, Private, Timestamp, UserId,
    aggregate::Rejection,
    commands, events,
    policy::{PolicyLevel, PolicyRejection, Rules},
    settings::{Level, SettingRejection},
    text::{self, Invalid, Slug},
};

pub const BILLING_DAY_MAX: u8 = 28;
pub const OWNERS_MAX: usize = 100;

// Commands.

commands! {
    /// What one may ask of an organization.
    pub enum OrganizationCommand {
        CreateOrganization,
        UpdateOrganization,
        SetOrganizationSettings,
        SetOrganizationPolicies,
        GrantOwner,
        RevokeOwner,
        SuspendOrganization,
        ReactivateOrganization,
        CloseOrganization,
    }
}

/// The first command of the stream. Its slug is reserved before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOrganization {
    pub organization: OrganizationId,
    pub details: OrganizationDetails,
    /// The first owner, whose account is created next.
    pub owner: UserId,
}

/// New details in place of the old; what is to stay comes along unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateOrganization {
    pub details: OrganizationDetails,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOrganizationSettings {
    pub settings: Level,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOrganizationPolicies {
    pub policies: PolicyLevel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantOwner {
    pub user: UserId,
    /// Whether the account exists in this organization and is active.
    pub user_active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeOwner {
    pub user: UserId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspendOrganization {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactivateOrganization {}

/// Ends the organization for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseOrganization {}

/// A text that is personal where the organization is a person, and plain where it is a company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnText {
    Plain(String),
    Private(Private),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationKind {
    /// Whose name, tax id and address are personal: they belong to this person.
    Person(PersonId),
    Company,
}

/// What an organization says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationDetails {
    pub slug: Slug,
    pub kind: OrganizationKind,
    pub full_name: OwnText,
    /// A short name to show. Not personal: a person chooses one that may be shown to everyone.
    pub alias: Option<String>,
    pub tax_id: Option<OwnText>,
    pub postal_address: Option<OwnText>,
    pub logo_url: Option<String>,
    /// An IANA name; billing periods close by it.
    pub time_zone: String,
    /// A language tag (RFC 5646).
    pub locale: String,
    /// A code of ISO 4217.
    pub currency: String,
    /// The day of the month on which a billing period closes, from 1 to [`BILLING_DAY_MAX`]: every month has it.
    pub billing_day: u8,
    /// The plan's name.
    pub plan: String,
}

impl OrganizationDetails {
    fn validate(&self) -> Result<(), OrganizationRejection> {
        self.own_text("fullName", Some(&self.full_name), text::name)?;
        self.own_text("taxId", self.tax_id.as_ref(), text::tax_id)?;
        self.own_text("postalAddress", self.postal_address.as_ref(), text::address)?;
        if let Some(alias) = &self.alias {
            text::alias("alias", alias)?;
        }
        if let Some(url) = &self.logo_url {
            text::url("logoUrl", url)?;
        }
        text::time_zone("timeZone", &self.time_zone)?;
        text::locale("locale", &self.locale)?;
        text::currency("currency", &self.currency)?;
        text::word("plan", &self.plan)?;
        if !(1..=BILLING_DAY_MAX).contains(&self.billing_day) {
            let expected = format!("a day from 1 to {BILLING_DAY_MAX}");
            return Err(Invalid::new("billingDay", format!("is {}", self.billing_day), expected).into());
        }
        Ok(())
    }

    /// A person's text has to come protected (`app` has checked it before), a company's plain.
    fn own_text(
        &self,
        field: &'static str,
        value: Option<&OwnText>,
        check: fn(&'static str, &str) -> Result<(), Invalid>,
    ) -> Result<(), OrganizationRejection> {
        match (value, self.kind) {
            (None, _) => Ok(()),
            (Some(OwnText::Plain(text)), OrganizationKind::Company) => Ok(check(field, text)?),
            (Some(OwnText::Private(private)), OrganizationKind::Person(person)) if private.person == person => Ok(()),
            (
                Some(OwnText::Plain(_) | OwnText::Private(_)),
                OrganizationKind::Person(_) | OrganizationKind::Company,
            ) => Err(OrganizationRejection::NotProtectedAsItMust { field }),
        }
    }
}

// Events.

/// An organization was made, by the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationCreated {
    pub organization: OrganizationId,
    pub details: OrganizationDetails,
}

/// The organization's own data was replaced: all of it stands here, what stayed too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationUpdated {
    pub details: OrganizationDetails,
}

/// The organization's level of settings was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationSettingsSet {
    pub settings: Level,
}

/// The organization's level of policies was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationPoliciesSet {
    pub policies: PolicyLevel,
}

/// A user owns the organization from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerGranted {
    pub user: UserId,
}

/// A user owns the organization no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRevoked {
    pub user: UserId,
}

/// No new sessions are opened; everything else goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationSuspended {}

/// New sessions may be opened again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationReactivated {}

/// The organization is over, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationClosed {}

events! {
    /// What happens to an organization.
    pub enum OrganizationEvent of "organization" {
        OrganizationCreated,
        OrganizationUpdated,
        OrganizationSettingsSet,
        OrganizationPoliciesSet,
        OwnerGranted,
        OwnerRevoked,
        OrganizationSuspended,
        OrganizationReactivated,
        OrganizationClosed,
    }
}

// Rejections.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrganizationRejection {
    #[error("there is no such organization")]
    OrganizationNotFound,
    #[error("this organization exists already")]
    OrganizationAlreadyExists,
    #[error("the organization is closed")]
    OrganizationClosed,
    #[error("the last owner can't be revoked: make someone else an owner first")]
    LastOwner,
    #[error("only an active user of the organization can own it")]
    UserNotActive,
    #[error("an organization has at most {OWNERS_MAX} owners")]
    TooManyOwners,
    #[error("{field} must be protected for a person and plain for a company")]
    NotProtectedAsItMust { field: &'static str },
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error(transparent)]
    Setting(#[from] SettingRejection),
    #[error(transparent)]
    Policy(#[from] PolicyRejection),
}

impl Rejection for OrganizationRejection {
    fn code(&self) -> &'static str {
        match self {
            Self::OrganizationNotFound => "ORGANIZATION_NOT_FOUND",
            Self::OrganizationAlreadyExists => "ORGANIZATION_ALREADY_EXISTS",
            Self::OrganizationClosed => "ORGANIZATION_CLOSED",
            Self::LastOwner => "LAST_OWNER",
            Self::UserNotActive => "USER_NOT_ACTIVE",
            Self::TooManyOwners => "TOO_MANY_OWNERS",
            Self::NotProtectedAsItMust { .. } => "NOT_PROTECTED_AS_IT_MUST",
            Self::Invalid(invalid) => invalid.code(),
            Self::Setting(setting) => setting.code(),
            Self::Policy(policy) => policy.code(),
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::LastOwner | Self::UserNotActive | Self::TooManyOwners => Some("userId"),
            Self::NotProtectedAsItMust { field } => Some(field),
            Self::Invalid(invalid) => invalid.field(),
            Self::Setting(setting) => setting.field(),
            Self::Policy(policy) => policy.field(),
            Self::OrganizationNotFound | Self::OrganizationAlreadyExists | Self::OrganizationClosed => None,
        }
    }
}

// State.

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrganizationState {
    #[default]
    Absent,
    Present(Box<OrganizationFacts>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationFacts {
    pub organization: OrganizationId,
    pub details: OrganizationDetails,
    pub settings: Level,
    pub policies: PolicyLevel,
    /// The owners, and since when.
    pub owners: BTreeMap<UserId, Timestamp>,
    pub status: OrganizationStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationStatus {
    Active,
    /// No new sessions; everything else goes on.
    Suspended,
    Closed,
}

impl OrganizationState {
    pub fn facts(&self) -> Result<&OrganizationFacts, OrganizationRejection> {
        match self {
            Self::Absent => Err(OrganizationRejection::OrganizationNotFound),
            Self::Present(facts) => Ok(facts),
        }
    }

    /// What may change: a suspension stops new sessions only, and the room that is to be opened knows of it.
    fn going_on(&self) -> Result<&OrganizationFacts, OrganizationRejection> {
        let facts = self.facts()?;
        match facts.status {
            OrganizationStatus::Active | OrganizationStatus::Suspended => Ok(facts),
            OrganizationStatus::Closed => Err(OrganizationRejection::OrganizationClosed),
        }
    }
}

/// The decider.
pub struct Organization;

impl Aggregate for Organization {
    type Id = OrganizationId;
    type Command = OrganizationCommand;
    type Event = OrganizationEvent;
    type Rejection = OrganizationRejection;
    type State = OrganizationState;
    const CATEGORY: &'static str = "organization";

    fn decide(
        state: &OrganizationState,
        command: &OrganizationCommand,
    ) -> Result<Vec<OrganizationEvent>, OrganizationRejection> {
        match command {
            OrganizationCommand::CreateOrganization(create) => decide_create(state, create),
            OrganizationCommand::UpdateOrganization(update) => {
                let facts = state.going_on()?;
                update.details.validate()?;
                Ok(unless(facts.details == update.details, || OrganizationUpdated { details: update.details.clone() }))
            }
            OrganizationCommand::SetOrganizationSettings(set) => {
                let facts = state.going_on()?;
                set.settings.check_change(&facts.settings, &BTreeSet::new())?;
                Ok(unless(facts.settings == set.settings, || OrganizationSettingsSet {
                    settings: set.settings.clone(),
                }))
            }
            OrganizationCommand::SetOrganizationPolicies(set) => {
                let facts = state.going_on()?;
                set.policies.check_change(&facts.policies, &Rules::default())?;
                Ok(unless(facts.policies == set.policies, || OrganizationPoliciesSet {
                    policies: set.policies.clone(),
                }))
            }
            OrganizationCommand::GrantOwner(grant) => decide_grant_owner(state.going_on()?, grant),
            OrganizationCommand::RevokeOwner(revoke) => decide_revoke_owner(state.facts()?, revoke.user),
            OrganizationCommand::SuspendOrganization(_) => match state.facts()?.status {
                OrganizationStatus::Active => Ok(vec![OrganizationSuspended {}.into()]),
                OrganizationStatus::Suspended => Ok(Vec::new()),
                OrganizationStatus::Closed => Err(OrganizationRejection::OrganizationClosed),
            },
            OrganizationCommand::ReactivateOrganization(_) => match state.facts()?.status {
                OrganizationStatus::Suspended => Ok(vec![OrganizationReactivated {}.into()]),
                OrganizationStatus::Active => Ok(Vec::new()),
                OrganizationStatus::Closed => Err(OrganizationRejection::OrganizationClosed),
            },
            OrganizationCommand::CloseOrganization(_) => {
                Ok(unless(state.facts()?.status == OrganizationStatus::Closed, || OrganizationClosed {}))
            }
        }
    }

    fn evolve(state: OrganizationState, event: &OrganizationEvent, at: Timestamp) -> OrganizationState {
        if let OrganizationEvent::OrganizationCreated(created) = event {
            return OrganizationState::Present(Box::new(OrganizationFacts {
                organization: created.organization,
                details: created.details.clone(),
                settings: Level::default(),
                policies: PolicyLevel::default(),
                owners: BTreeMap::new(),
                status: OrganizationStatus::Active,
            }));
        }
        let OrganizationState::Present(mut facts) = state else {
            return state;
        };
        match event {
            OrganizationEvent::OrganizationCreated(_) => {}
            OrganizationEvent::OrganizationUpdated(updated) => facts.details = updated.details.clone(),
            OrganizationEvent::OrganizationSettingsSet(set) => facts.settings = set.settings.clone(),
            OrganizationEvent::OrganizationPoliciesSet(set) => facts.policies = set.policies.clone(),
            OrganizationEvent::OwnerGranted(granted) => {
                facts.owners.insert(granted.user, at);
            }
            OrganizationEvent::OwnerRevoked(revoked) => {
                facts.owners.remove(&revoked.user);
            }
            OrganizationEvent::OrganizationSuspended(_) => facts.status = OrganizationStatus::Suspended,
            OrganizationEvent::OrganizationReactivated(_) => facts.status = OrganizationStatus::Active,
            OrganizationEvent::OrganizationClosed(_) => facts.status = OrganizationStatus::Closed,
        }
        OrganizationState::Present(facts)
    }
}

/// The event, unless what it says holds already.
fn unless<E: Into<OrganizationEvent>>(holds: bool, event: impl FnOnce() -> E) -> Vec<OrganizationEvent> {
    if holds { Vec::new() } else { vec![event().into()] }
}

fn decide_create(
    state: &OrganizationState,
    create: &CreateOrganization,
) -> Result<Vec<OrganizationEvent>, OrganizationRejection> {
    create.details.validate()?;
    match state {
        OrganizationState::Absent => Ok(vec![
            OrganizationCreated { organization: create.organization, details: create.details.clone() }.into(),
            OwnerGranted { user: create.owner }.into(),
        ]),
        // The same request again.
        OrganizationState::Present(facts)
            if facts.details == create.details && facts.owners.contains_key(&create.owner) =>
        {
            Ok(Vec::new())
        }
        OrganizationState::Present(_) => Err(OrganizationRejection::OrganizationAlreadyExists),
    }
}

fn decide_grant_owner(
    facts: &OrganizationFacts,
    grant: &GrantOwner,
) -> Result<Vec<OrganizationEvent>, OrganizationRejection> {
    if facts.owners.contains_key(&grant.user) {
        return Ok(Vec::new());
    }
    if !grant.user_active {
        return Err(OrganizationRejection::UserNotActive);
    }
    if facts.owners.len() >= OWNERS_MAX {
        return Err(OrganizationRejection::TooManyOwners);
    }
    Ok(vec![OwnerGranted { user: grant.user }.into()])
}

fn decide_revoke_owner(
    facts: &OrganizationFacts,
    user: UserId,
) -> Result<Vec<OrganizationEvent>, OrganizationRejection> {
    if !facts.owners.contains_key(&user) {
        return Ok(Vec::new());
    }
    if facts.owners.len() == 1 {
        return Err(OrganizationRejection::LastOwner);
    }
    Ok(vec![OwnerRevoked { user }.into()])
}

#[cfg(test)]
mod tests;
