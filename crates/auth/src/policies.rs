//! The decision: facts are gathered from the directory, Cedar decides over them.
//!
//! Where a role holds, who owns a room and which grant of its policies is for the actor are facts, found in Rust with a
//! few look-ups at each request; what follows from them stands in `policies/*.cedar`. A request is two entities, and only
//! the policies that name its action are evaluated. Cedar's answers are remembered, by all that Cedar was asked.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use quick_cache::sync::Cache;
use witan_domain::{AccountRole, Actor, OrganizationId, RoomId, SessionRole, Timestamp, UnitId, UserId};

use crate::{
    Directory, Operation, ResourceKind, Scopes,
    facts::{Facts, Unknown},
    question::Question,
};

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
    answers: Cache<Question, Decision>,
}

/// How many of Cedar's answers are remembered: some megabytes.
const ANSWERS_MAX: usize = 10_000;

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
            answers: Cache::new(ANSWERS_MAX),
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
        let question = Question::new(operation, actor, resource, facts, within_scopes);
        self.answer(question).unwrap_or_else(|_| deny("the request is wrong"))
    }

    /// The policies never change while the process runs, so that what Cedar said once holds for ever: a role that is over
    /// or a grant that was taken away makes another question.
    fn answer(&self, question: Question) -> Result<Decision, PolicyError> {
        if let Some(known) = self.answers.get(&question) {
            return Ok(known);
        }
        let decision = self.decide(&question)?;
        self.answers.insert(question, decision.clone());
        Ok(decision)
    }

    fn decide(&self, question: &Question) -> Result<Decision, PolicyError> {
        let known = self.by_operation.get(&question.operation);
        let known = known.ok_or_else(|| PolicyError("no such operation".into()))?;
        let schema = self.checked.then_some(&self.schema);
        let principal = self.entity(question.principal.entity_type(), "actor", question.of_principal())?;
        let about = self.entity(question.kind.entity_type(), "resource", question.of_resource())?;
        let within_scopes = RestrictedExpression::new_bool(question.within_scopes);
        let context = Context::from_pairs([("withinScopes".to_owned(), within_scopes)]).map_err(wrong)?;
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
