//! What Cedar is asked: the actor and the resource as entities, made of a question that can be compared with another.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::RestrictedExpression;
use witan_domain::{AccountRole, Actor, OrganizationId, SessionId, SessionRole, policy::Listing};

use crate::{Operation, Resource, ResourceKind, facts::Facts};

/// The one who acts, as far as Cedar is told.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    User { organization: OrganizationId },
    Participant { organization: OrganizationId, session: SessionId },
    System,
    Operator,
    Anonymous,
}

impl Principal {
    fn of(actor: &Actor) -> Self {
        match *actor {
            Actor::User { organization, .. } => Self::User { organization },
            Actor::Participant { organization, session, .. } => Self::Participant { organization, session },
            Actor::System => Self::System,
            Actor::Operator => Self::Operator,
            Actor::Anonymous => Self::Anonymous,
        }
    }

    pub(crate) const fn entity_type(&self) -> &'static str {
        match self {
            Self::User { .. } => "User",
            Self::Participant { .. } => "Participant",
            Self::System => "System",
            Self::Operator => "Operator",
            Self::Anonymous => "Anonymous",
        }
    }
}

/// All that Cedar is asked: the entities are made of this and of nothing else, so that one question has one answer.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) operation: Operation,
    pub(crate) principal: Principal,
    pub(crate) kind: ResourceKind,
    organization: Option<OrganizationId>,
    /// Of a session alone: its id.
    session: Option<String>,
    role: Option<AccountRole>,
    session_role: Option<SessionRole>,
    took_part: bool,
    grant: bool,
    facts: Facts,
    pub(crate) within_scopes: bool,
}

impl Question {
    pub(crate) fn new(
        operation: Operation,
        actor: &Actor,
        resource: &Resource,
        facts: Facts,
        within_scopes: bool,
    ) -> Self {
        Self {
            operation,
            principal: Principal::of(actor),
            kind: resource.kind,
            organization: resource.organization,
            session: (resource.kind == ResourceKind::Session).then(|| resource.id.clone()),
            role: resource.role,
            session_role: resource.session_role,
            took_part: resource.took_part,
            grant: resource.grant,
            facts,
            within_scopes,
        }
    }

    pub(crate) fn of_principal(&self) -> HashMap<String, RestrictedExpression> {
        let facts = &self.facts;
        match self.principal {
            Principal::User { organization } => attributes([
                ("organization", text(organization.to_string())),
                ("active", RestrictedExpression::new_bool(facts.active)),
                ("roles", role_set(&facts.roles)),
                ("rolesAbove", role_set(&facts.roles_above)),
                ("rolesAnywhere", role_set(&facts.roles_anywhere)),
            ]),
            Principal::Participant { organization, session } => {
                attributes([("organization", text(organization.to_string())), ("session", text(session.to_string()))])
            }
            Principal::System | Principal::Operator | Principal::Anonymous => HashMap::new(),
        }
    }

    pub(crate) fn of_resource(&self) -> HashMap<String, RestrictedExpression> {
        let truth = RestrictedExpression::new_bool;
        let facts = &self.facts;
        let organization =
            ("organization", text(self.organization.map(|organization| organization.to_string()).unwrap_or_default()));
        let rank = ("rank", RestrictedExpression::new_long(facts.rank));
        match self.kind {
            ResourceKind::Deployment => HashMap::new(),
            ResourceKind::Organization | ResourceKind::Unit => attributes([organization]),
            ResourceKind::User => attributes([organization, ("own", truth(facts.own)), rank]),
            ResourceKind::Role => {
                let role = self.role.map(role_name).unwrap_or_default();
                attributes([organization, ("role", text(role.to_owned())), rank])
            }
            ResourceKind::ApiKey => {
                attributes([organization, ("own", truth(facts.own)), rank, ("wider", truth(facts.wider))])
            }
            ResourceKind::Room => attributes([
                organization,
                ("owned", truth(facts.owned)),
                ("named", truth(facts.named)),
                ("opens", truth(facts.opens)),
                ("listed", text(facts.listed.map_or("private", listing_name).to_owned())),
                ("granted", truth(self.grant)),
            ]),
            ResourceKind::Invitation => {
                attributes([organization, ("owned", truth(facts.owned)), ("granted", truth(self.grant))])
            }
            ResourceKind::Session => attributes([
                organization,
                ("session", text(self.session.clone().unwrap_or_default())),
                ("owned", truth(facts.owned)),
                ("joins", truth(facts.joins)),
                ("own", truth(facts.own)),
                ("role", text(self.session_role.map_or("", session_role_name).to_owned())),
                ("tookPart", truth(self.took_part)),
                ("granted", truth(self.grant)),
            ]),
        }
    }
}

fn attributes<const N: usize>(pairs: [(&str, RestrictedExpression); N]) -> HashMap<String, RestrictedExpression> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(text: String) -> RestrictedExpression {
    RestrictedExpression::new_string(text)
}

fn role_set(roles: &BTreeSet<AccountRole>) -> RestrictedExpression {
    RestrictedExpression::new_set(roles.iter().map(|role| text(role_name(*role).to_owned())))
}

pub(crate) const fn role_name(role: AccountRole) -> &'static str {
    match role {
        AccountRole::Owner => "owner",
        AccountRole::Admin => "admin",
        AccountRole::UnitAdmin => "unit_admin",
        AccountRole::Host => "host",
        AccountRole::Member => "member",
        AccountRole::Auditor => "auditor",
        AccountRole::PrivacyOfficer => "privacy_officer",
        AccountRole::Billing => "billing",
        AccountRole::Integrator => "integrator",
    }
}

const fn session_role_name(role: SessionRole) -> &'static str {
    match role {
        SessionRole::Host => "host",
        SessionRole::CoHost => "co_host",
        SessionRole::Participant => "participant",
        SessionRole::Interpreter => "interpreter",
        SessionRole::Guardian => "guardian",
        SessionRole::Observer => "observer",
    }
}

const fn listing_name(listing: Listing) -> &'static str {
    match listing {
        Listing::Private => "private",
        Listing::Organization => "organization",
        Listing::Public => "public",
    }
}
