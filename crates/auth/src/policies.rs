//! The decision: facts are gathered from the directory, Cedar decides over them.
//!
//! Where a role holds, who owns a room and which grant of its policies is for the actor are facts, found in Rust with a
//! few look-ups; what follows from them stands in `policies/*.cedar`. A request is two entities, and only the policies
//! that name its action are evaluated.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use witan_domain::{
    AccountRole, Actor, OrganizationId, RoleScope, RoomId, SessionRole, Timestamp, UnitId, UserId, policy::Listing,
};

use crate::{Account, Directory, DirectoryError, Operation, ResourceKind, RoomAccess, Scopes};

const ENTITIES: &str = include_str!("../policies/entities.cedarschema");
const POLICIES: [&str; 5] = [
    include_str!("../policies/bounds.cedar"),
    include_str!("../policies/organization.cedar"),
    include_str!("../policies/rooms.cedar"),
    include_str!("../policies/sessions.cedar"),
    include_str!("../policies/deployment.cedar"),
];

/// What an operation is asked of. What doesn't apply to its kind stays as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub kind: ResourceKind,
    /// Whose it is; none for the deployment's own.
    pub organization: Option<OrganizationId>,
    /// Its id as a text: for the audit trail, and for a session to tell it from another.
    pub id: String,
    /// Where it is in the organization. Of a unit itself: that unit (for `createUnit` the parent). Of a role: its scope.
    pub unit: Option<UnitId>,
    /// The room itself, or the one that an invitation or a session is to: its owner, people and policies count.
    pub room: Option<RoomId>,
    /// The user itself; of a role who gets or loses it; of an API key whom it acts as.
    pub user: Option<UserId>,
    /// Of `grantRole` and `revokeRole`.
    pub role: Option<AccountRole>,
    /// Of `createApiKey`: what the new key may do.
    pub scopes: Option<Scopes>,
    /// The actor's role while they are in the session.
    pub session_role: Option<SessionRole>,
    /// Whether the actor ever joined the session.
    pub took_part: bool,
    /// Of a session: the actor is in it or at its door. Of a room: the actor owns it.
    pub own: bool,
    /// The actor has shown a right that is not a role: an invitation's secret, a join token, a password.
    pub grant: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// `policy` says in the audit trail which one forbade; none when nothing permits.
    Deny {
        policy: Option<String>,
    },
}

/// Why the embedded policies can't be used: a mistake in witan itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policies are wrong: {0}")]
pub struct PolicyError(pub String);

/// The policies, parsed and validated against their schema.
pub struct Policies {
    authorizer: Authorizer,
    schema: Schema,
    /// Whether each request is checked against the schema: in tests, since it costs as much as the decision.
    pub(crate) checked: bool,
    by_operation: HashMap<Operation, ByOperation>,
    types: HashMap<&'static str, EntityTypeName>,
}

struct ByOperation {
    action: EntityUid,
    policies: PolicySet,
}

const ACTOR_TYPES: [&str; 5] = ["User", "Participant", "System", "Operator", "Anonymous"];

impl Policies {
    /// # Errors
    /// [`PolicyError`] when the policies don't parse or don't pass Cedar's strict validation.
    pub fn try_new() -> Result<Self, PolicyError> {
        Self::try_from_sources(&POLICIES)
    }

    pub(crate) fn try_from_sources(sources: &[&str]) -> Result<Self, PolicyError> {
        let schema = Schema::from_cedarschema_str(&schema_text()).map_err(wrong)?.0;
        let mut all = PolicySet::new();
        for source in sources {
            for policy in source.parse::<PolicySet>().map_err(wrong)?.policies() {
                let id = policy.annotation("id").ok_or_else(|| PolicyError("a policy without an id".into()))?;
                all.add(policy.new_id(PolicyId::new(id))).map_err(wrong)?;
            }
        }
        let validation = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
        if let Some(error) = validation.validation_errors().next() {
            return Err(wrong(error));
        }
        let by_operation = Operation::ALL.iter().map(|operation| Ok((*operation, slice(&all, *operation)?)));
        let type_names = ACTOR_TYPES.into_iter().chain(ResourceKind::ALL.map(ResourceKind::entity_type));
        let types = type_names.map(|name| Ok((name, name.parse().map_err(wrong)?)));
        Ok(Self {
            authorizer: Authorizer::new(),
            by_operation: by_operation.collect::<Result<_, PolicyError>>()?,
            types: types.collect::<Result<_, PolicyError>>()?,
            schema,
            checked: cfg!(test),
        })
    }

    /// Whether the actor may do this at `now`. `scopes` are those of the API key that they came by. Anything that can't be
    /// found out is a denial.
    pub fn authorize(
        &self,
        actor: &Actor,
        scopes: Option<&Scopes>,
        operation: Operation,
        resource: &Resource,
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Decision {
        let deny = |policy: &str| Decision::Deny { policy: Some(policy.to_owned()) };
        if resource.kind != operation.resource() {
            return deny("another kind of resource");
        }
        let facts = match Facts::gather(actor, scopes, resource, directory, now) {
            Ok(facts) => facts,
            Err(Unknown::Nothing) => return Decision::Deny { policy: None },
            Err(Unknown::Directory(error)) => return deny(&error.to_string()),
        };
        let within_scopes = scopes.is_none_or(|scopes| scopes.allow(operation));
        self.decide(actor, operation, resource, &facts, within_scopes).unwrap_or_else(|_| deny("the request is wrong"))
    }

    fn decide(
        &self,
        actor: &Actor,
        operation: Operation,
        resource: &Resource,
        facts: &Facts,
        within_scopes: bool,
    ) -> Result<Decision, PolicyError> {
        let known = self.by_operation.get(&operation).ok_or_else(|| PolicyError("no such operation".into()))?;
        let schema = self.checked.then_some(&self.schema);
        let principal = self.entity(actor_type(actor), "actor", facts.of_actor(actor))?;
        let about = self.entity(resource.kind.entity_type(), "resource", facts.of_resource(resource))?;
        let context = Context::from_pairs([("withinScopes".to_owned(), RestrictedExpression::new_bool(within_scopes))])
            .map_err(wrong)?;
        let request =
            Request::new(principal.uid(), known.action.clone(), about.uid(), context, schema).map_err(wrong)?;
        let entities = Entities::from_entities([principal, about], schema).map_err(wrong)?;
        let response = self.authorizer.is_authorized(&request, &known.policies, &entities);
        // Cedar leaves out a policy that errors: a `forbid` that is left out must not let anyone in.
        if let Some(error) = response.diagnostics().errors().next() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            return Ok(Decision::Deny { policy: Some(format!("error in {}", error.policy_id())) });
        }
        Ok(match response.decision() {
            cedar_policy::Decision::Allow => Decision::Allow,
            cedar_policy::Decision::Deny => {
                Decision::Deny { policy: response.diagnostics().reason().map(ToString::to_string).min() }
            }
        })
    }

    fn entity(
        &self,
        kind: &str,
        id: &str,
        attributes: HashMap<String, RestrictedExpression>,
    ) -> Result<Entity, PolicyError> {
        let kind = self.types.get(kind).ok_or_else(|| PolicyError("no such type of entity".into()))?;
        let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        Entity::new(uid, attributes, HashSet::new()).map_err(wrong)
    }
}

fn wrong(error: impl std::fmt::Display) -> PolicyError {
    PolicyError(error.to_string())
}

/// The entities, and an action for each operation.
pub(crate) fn schema_text() -> String {
    let mut text = ENTITIES.to_owned();
    for operation in Operation::ALL {
        text.push_str(&format!(
            "\naction \"{}\" appliesTo {{ principal: [{}], resource: [{}], context: Asked }};",
            operation.name(),
            ACTOR_TYPES.join(", "),
            operation.resource().entity_type()
        ));
    }
    text
}

/// The policies that can say anything about the operation.
fn slice(all: &PolicySet, operation: Operation) -> Result<ByOperation, PolicyError> {
    let action: EntityUid = format!("Action::\"{}\"", operation.name()).parse().map_err(wrong)?;
    let about = |policy: &&Policy| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.contains(&action),
        ActionConstraint::Eq(only) => only == action,
    };
    let policies = PolicySet::from_policies(all.policies().filter(about).cloned()).map_err(wrong)?;
    Ok(ByOperation { action, policies })
}

/// Why facts are missing.
enum Unknown {
    /// There is no such account, unit or room here.
    Nothing,
    Directory(DirectoryError),
}

impl From<DirectoryError> for Unknown {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}

/// What the directory says of this actor and this resource.
#[derive(Default)]
struct Facts {
    active: bool,
    roles: HashSet<AccountRole>,
    roles_above: HashSet<AccountRole>,
    roles_anywhere: HashSet<AccountRole>,
    rank: i64,
    own: bool,
    owned: bool,
    named: bool,
    opens: bool,
    joins: bool,
    listed: Option<Listing>,
    wider: bool,
}

impl Facts {
    fn gather(
        actor: &Actor,
        scopes: Option<&Scopes>,
        resource: &Resource,
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Result<Self, Unknown> {
        let mut facts = Self::default();
        let (user, account) = match actor {
            Actor::User { organization, user, .. } => {
                (Some(*user), Some(directory.account(*organization, *user)?.ok_or(Unknown::Nothing)?))
            }
            Actor::Participant { .. } | Actor::System | Actor::Operator | Actor::Anonymous => (None, None),
        };
        // Elsewhere the actor is nobody: no role holds and no policy is for them.
        let user = user.filter(|_| resource.organization.is_some() && actor.organization() == resource.organization);
        let mut unit = resource.unit;
        if let (Some(organization), Some(room)) = (resource.organization, resource.room)
            && let Some(access) = directory.room(organization, room)?
        {
            let home = account.as_ref().and_then(|account| account.unit).filter(|_| user.is_some());
            let home = home.map(|home| directory.unit_path(organization, home)).transpose()?.flatten();
            facts.gather_room(&access, user, &home.unwrap_or_default());
            unit = unit.or(Some(access.unit));
        }
        if let Some(account) = &account {
            facts.active = account.active;
            if user.is_some() {
                facts.gather_roles(account, resource.organization.zip(unit), directory, now)?;
            }
        }
        facts.owned |= resource.own && resource.kind == ResourceKind::Room;
        let about_user = matches!(resource.kind, ResourceKind::User | ResourceKind::ApiKey);
        facts.own = resource.own || (about_user && user.is_some() && user == resource.user);
        facts.rank = match (resource.organization, resource.user) {
            // A user who is not there yet has no roles either.
            (Some(organization), Some(user)) => {
                directory.account(organization, user)?.map_or(0, |account| rank(&account, now))
            }
            // Whoever doesn't say whom it is about gets no further than with an owner.
            _ => RANK_MAX,
        };
        facts.wider = match (scopes, &resource.scopes) {
            (Some(own), Some(wanted)) => !wanted.within(own),
            (Some(own), None) => !Scopes::default().within(own),
            (None, _) => false,
        };
        Ok(facts)
    }

    fn gather_roles(
        &mut self,
        account: &Account,
        place: Option<(OrganizationId, UnitId)>,
        directory: &dyn Directory,
        now: Timestamp,
    ) -> Result<(), Unknown> {
        let scoped = account.roles.iter().any(|held| held.scope != RoleScope::Organization);
        let path = match place.filter(|_| scoped) {
            Some((organization, unit)) => directory.unit_path(organization, unit)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let above = path.split_last().map_or(path.as_slice(), |(_, above)| above);
        for held in account.roles.iter().filter(|held| held.holds_at(now)) {
            self.roles_anywhere.insert(held.role);
            if held.covers(&path) {
                self.roles.insert(held.role);
            }
            if held.covers(above) {
                self.roles_above.insert(held.role);
            }
        }
        Ok(())
    }

    /// `home` is the path of the user's own unit.
    fn gather_room(&mut self, access: &RoomAccess, user: Option<UserId>, home: &[UnitId]) {
        self.owned = user.is_some() && access.owner == user;
        self.named = user.is_some_and(|user| access.people.contains_key(&user));
        self.opens = access.opens_to(user, home);
        self.joins = access.join_grant(user, home, false).is_some();
        self.listed = Some(access.list);
    }

    fn of_actor(&self, actor: &Actor) -> HashMap<String, RestrictedExpression> {
        match actor {
            Actor::User { organization, .. } => attributes([
                ("organization", text(organization.to_string())),
                ("active", RestrictedExpression::new_bool(self.active)),
                ("roles", role_set(&self.roles)),
                ("rolesAbove", role_set(&self.roles_above)),
                ("rolesAnywhere", role_set(&self.roles_anywhere)),
            ]),
            Actor::Participant { organization, session, .. } => {
                attributes([("organization", text(organization.to_string())), ("session", text(session.to_string()))])
            }
            Actor::System | Actor::Operator | Actor::Anonymous => HashMap::new(),
        }
    }

    fn of_resource(&self, resource: &Resource) -> HashMap<String, RestrictedExpression> {
        let truth = RestrictedExpression::new_bool;
        let organization = (
            "organization",
            text(resource.organization.map(|organization| organization.to_string()).unwrap_or_default()),
        );
        let rank = ("rank", RestrictedExpression::new_long(self.rank));
        match resource.kind {
            ResourceKind::Deployment => HashMap::new(),
            ResourceKind::Organization | ResourceKind::Unit => attributes([organization]),
            ResourceKind::User => attributes([organization, ("own", truth(self.own)), rank]),
            ResourceKind::Role => {
                let role = resource.role.map(role_name).unwrap_or_default();
                attributes([organization, ("role", text(role.to_owned())), rank])
            }
            ResourceKind::ApiKey => {
                attributes([organization, ("own", truth(self.own)), rank, ("wider", truth(self.wider))])
            }
            ResourceKind::Room => attributes([
                organization,
                ("owned", truth(self.owned)),
                ("named", truth(self.named)),
                ("opens", truth(self.opens)),
                ("listed", text(self.listed.map_or("private", listing_name).to_owned())),
                ("granted", truth(resource.grant)),
            ]),
            ResourceKind::Invitation => {
                attributes([organization, ("owned", truth(self.owned)), ("granted", truth(resource.grant))])
            }
            ResourceKind::Session => attributes([
                organization,
                ("session", text(resource.id.clone())),
                ("owned", truth(self.owned)),
                ("joins", truth(self.joins)),
                ("own", truth(self.own)),
                ("role", text(resource.session_role.map_or("", session_role_name).to_owned())),
                ("tookPart", truth(resource.took_part)),
                ("granted", truth(resource.grant)),
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

fn role_set(roles: &HashSet<AccountRole>) -> RestrictedExpression {
    RestrictedExpression::new_set(roles.iter().map(|role| text(role_name(*role).to_owned())))
}

const RANK_MAX: i64 = 3;

/// How much an account may do to others: 3 an owner, 2 with a role of administration, 1 with another role, 0 with none.
fn rank(account: &Account, now: Timestamp) -> i64 {
    let of = |role| match role {
        AccountRole::Owner => RANK_MAX,
        AccountRole::Admin
        | AccountRole::UnitAdmin
        | AccountRole::Auditor
        | AccountRole::PrivacyOfficer
        | AccountRole::Billing
        | AccountRole::Integrator => 2,
        AccountRole::Host | AccountRole::Member => 1,
    };
    account.roles.iter().filter(|held| held.holds_at(now)).map(|held| of(held.role)).max().unwrap_or(0)
}

const fn actor_type(actor: &Actor) -> &'static str {
    match actor {
        Actor::User { .. } => "User",
        Actor::Participant { .. } => "Participant",
        Actor::System => "System",
        Actor::Operator => "Operator",
        Actor::Anonymous => "Anonymous",
    }
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
