//! One command, one stream, one append: authorise, load, decide, append, and again where others were faster.
//!
//! A use case begins a [`Task`], which waits its turn on the stream, loads the state and asks whether the actor may; then
//! it protects what is personal, and finishes the task with the command.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::sync::MutexGuard;
use witan_auth::{Operation, Resource, Scopes, TokenKey};
use witan_domain::{
    Actor, Aggregate, CorrelationId, EventId, OrganizationId, Private, Timestamp, aggregate::EventPayload,
};
use witan_event_store::{Append, AppendError, Appended, ExpectedVersion, Metadata, NewEvent, Position, envelope};

use crate::{
    App, Error,
    sources::{derived_id, hex, sha256_hex},
    streams::Loaded,
};

// A session's end says of everyone who is there that they are not any more: one append, whoever came.
const _: () = assert!(envelope::APPEND_EVENTS_MAX > witan_domain::session::ARRIVALS_MAX);

/// How often a command is decided anew because another process was faster.
const ATTEMPTS_MAX: usize = 5;

/// Who asks, and what ties the answer to the question.
#[derive(Clone, Debug)]
pub struct Request {
    pub actor: Actor,
    /// What the actor's API key is limited to; `None` where no key limits.
    pub scopes: Option<Scopes>,
    pub correlation: CorrelationId,
    pub causation: Option<EventId>,
    pub reason: Option<Private>,
    /// The caller's key, so that a retry gets the first answer.
    pub idempotency: Option<IdempotencyKey>,
    pub expected_version: Option<u64>,
}

/// A caller's key and the hash of what it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Keyed hash of (organization, actor, key), hexadecimal.
    pub key: String,
    /// Keyed hash of (operation, input), hexadecimal: it stays in the log when a person of whom the input spoke is erased,
    /// so nobody may be able to try out what it was.
    pub input: String,
}

impl IdempotencyKey {
    fn new(tokens: &TokenKey, actor: &Actor, key: &str, input: &[u8]) -> Self {
        // Without the API key by which they came: a retry with a rotated key is still the same request.
        let who = match actor {
            Actor::User { organization, user, .. } => format!("{organization}/{user}"),
            Actor::Participant { session, participant, .. } => format!("{session}/{participant}"),
            Actor::System | Actor::Operator | Actor::Anonymous => format!("{actor:?}"),
        };
        let key = tokens.keyed_hash("idempotency key", format!("{who}\0{key}").as_bytes());
        Self { key: hex(&key), input: hex(&tokens.keyed_hash("idempotent input", input)) }
    }

    /// The same key as it holds within something that only its caller has: two strangers may choose the same key.
    #[must_use]
    pub fn within(&self, what: &str) -> Self {
        Self { key: sha256_hex(format!("{}\0{what}", self.key).as_bytes()), input: self.input.clone() }
    }
}

impl Request {
    /// What witan does by itself, because of `causation`.
    pub fn system(correlation: CorrelationId, causation: Option<EventId>) -> Self {
        Self { causation, ..Self::by(Actor::System, correlation) }
    }

    pub fn by(actor: Actor, correlation: CorrelationId) -> Self {
        Self {
            actor,
            scopes: None,
            correlation,
            causation: None,
            reason: None,
            idempotency: None,
            expected_version: None,
        }
    }

    fn is_within_scopes(&self, operation: Operation) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.allow(operation))
    }

    /// The same request without what speaks of its first stream only, for the further steps of a process.
    pub fn step(&self) -> Self {
        Self { expected_version: None, ..self.clone() }
    }
}

/// What a command did.
pub struct Outcome<A: Aggregate> {
    /// The stream's state after it.
    pub state: A::State,
    /// The stream's version after it; `None` when the stream does not exist.
    pub version: Option<u64>,
    /// The position of its last event; `None` when there was nothing to add.
    pub position: Option<Position>,
}

/// Whether the stream must be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The command may make it.
    Optional,
    /// Without it there is none of these. Whoever asks for one that isn't there is told so, since what is asked of follows
    /// from the stream.
    Needed(&'static str),
    /// The same where what is asked of can be named without the stream: only who may is told that there is none.
    NeededOnceAllowed(&'static str),
}

/// A command on its way: it has the stream to itself, and its actor is allowed to ask.
pub struct Task<'a, A: Aggregate> {
    app: &'a App,
    request: &'a Request,
    organization: Option<OrganizationId>,
    stream: String,
    loaded: Arc<Loaded<A>>,
    resource: Box<dyn Fn(&A::State) -> Resource + Send + Sync + 'a>,
    operation: Operation,
    _turn: MutexGuard<'a, ()>,
}

impl App {
    /// `input` is the operation's name and its input in one canonical text.
    pub fn idempotency_key(&self, actor: &Actor, key: &str, input: &[u8]) -> IdempotencyKey {
        IdempotencyKey::new(&self.tokens, actor, key, input)
    }

    /// Waits for the stream's turn, loads it, and asks whether the actor may do `operation` on it.
    ///
    /// `organization` is the tenant whose stream it must be: another's is as if it weren't there.
    pub async fn begin<'a, A: Aggregate>(
        &'a self,
        request: &'a Request,
        organization: Option<OrganizationId>,
        id: A::Id,
        operation: Operation,
        presence: Presence,
        resource: impl Fn(&A::State) -> Resource + Send + Sync + 'a,
    ) -> Result<Task<'a, A>, Error> {
        let stream = A::stream(id);
        let turn = self.streams.lock(&stream).await;
        let loaded = own(organization, self.streams.load_in_turn::<A>(&stream)?);
        if let (Presence::Needed(what), None) = (presence, loaded.version) {
            return Err(Error::NotFound { what });
        }
        let task = Task {
            app: self,
            request,
            organization,
            stream,
            loaded,
            resource: Box::new(resource),
            operation,
            _turn: turn,
        };
        // The same actor's same request again: what it may be told was decided then, and it changes nothing now. But the key
        // by which they come now may lead to less, and a secret is told only to who could make it now.
        let retry = task.answered()?.is_some() && !answer_holds_secret(operation);
        if !(retry && request.is_within_scopes(operation)) {
            task.authorise().await?;
        }
        if let (Presence::NeededOnceAllowed(what), None) = (presence, task.loaded.version) {
            return Err(Error::NotFound { what });
        }
        Ok(task)
    }

    /// The state and version that a stream of the organization has now: what a patch starts from. No version where there
    /// is no such stream.
    pub fn current<A: Aggregate>(
        &self,
        organization: OrganizationId,
        id: A::Id,
    ) -> Result<(A::State, Option<u64>), Error> {
        let loaded = self.load_own::<A>(Some(organization), &A::stream(id))?;
        Ok((loaded.state.clone(), loaded.version))
    }

    /// The stream's state, if it is the organization's (or nobody's yet).
    pub(crate) fn load_own<A: Aggregate>(
        &self,
        organization: Option<OrganizationId>,
        stream: &str,
    ) -> Result<Arc<Loaded<A>>, Error> {
        Ok(own(organization, self.streams.load::<A>(stream)?))
    }

    /// What this request was answered before, if it is a retry: a process of steps takes none of them again, since what they
    /// need (a name, a right, another thing's state) may be gone or another's by now. A key that came with another input is
    /// refused, before the first step.
    ///
    /// None too where the API key by which they come now leads to less: what follows refuses it.
    pub fn answered<A: Aggregate>(
        &self,
        request: &Request,
        organization: OrganizationId,
        id: A::Id,
        operation: Operation,
    ) -> Result<Option<Outcome<A>>, Error> {
        let loaded = self.load_own::<A>(Some(organization), &A::stream(id))?;
        let position = loaded.answer_to(request.idempotency.as_ref())?.filter(|_| request.is_within_scopes(operation));
        let outcome = |position| Outcome { state: loaded.state.clone(), version: loaded.version, position };
        Ok(position.map(|position| outcome(Some(position))))
    }

    /// The id of what a request creates: from its idempotency key where it has one, else fresh.
    pub fn id_for(&self, request: &Request, what: &str) -> u128 {
        match &request.idempotency {
            Some(idempotency) => derived_id(&idempotency.key, what),
            None => self.sources.ulid(),
        }
    }
}

/// Whether the operation's answer shows a secret of what it makes.
fn answer_holds_secret(operation: Operation) -> bool {
    matches!(operation, Operation::CreateApiKey | Operation::CreateInvitation)
}

/// Another tenant's stream is as if it weren't there.
fn own<A: Aggregate>(organization: Option<OrganizationId>, loaded: Arc<Loaded<A>>) -> Arc<Loaded<A>> {
    if loaded.version.is_some() && loaded.organization != organization {
        return Arc::new(Loaded::default());
    }
    loaded
}

impl<A: Aggregate> Task<'_, A> {
    pub fn state(&self) -> &A::State {
        &self.loaded.state
    }

    pub fn stream(&self) -> &str {
        &self.stream
    }

    pub fn now(&self) -> Timestamp {
        self.app.sources.now()
    }

    async fn authorise(&self) -> Result<(), Error> {
        let resource = (self.resource)(&self.loaded.state);
        self.app.authorise(self.request, self.operation, &resource).await
    }

    /// The answer that this request already got, if it is a retry.
    pub fn answered(&self) -> Result<Option<Position>, Error> {
        self.loaded.answer_to(self.request.idempotency.as_ref())
    }

    /// Decides and records. Runs the decider again when another process was faster, a bounded number of times.
    pub async fn finish(mut self, command: &A::Command) -> Result<Outcome<A>, Error> {
        if let Some(position) = self.answered()? {
            return Ok(self.unchanged(Some(position)));
        }
        for _ in 0..ATTEMPTS_MAX {
            self.check_expected_version()?;
            let events =
                self.app.parts.decide.time(|| A::decide(&self.loaded.state, command)).map_err(Error::rejected)?;
            if events.is_empty() {
                return Ok(self.unchanged(None));
            }
            match self.append(&events).await {
                Ok(appended) => return Ok(self.changed(&events, appended)),
                Err(AppendError::Conflict { .. }) => self.reload().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }

    fn check_expected_version(&self) -> Result<(), Error> {
        match (self.request.expected_version, self.loaded.version) {
            (Some(expected), actual) if actual != Some(expected) => Err(Error::VersionConflict {
                expected,
                actual: actual.map_or(-1, |version| i64::try_from(version).unwrap_or(i64::MAX)),
            }),
            _ => Ok(()),
        }
    }

    async fn append(&self, events: &[A::Event]) -> Result<Appended, AppendError> {
        let metadata = self.metadata().map_err(|error| AppendError::Invalid(error.to_string()))?;
        let events: Vec<NewEvent> = events
            .iter()
            .map(|event| NewEvent {
                id: EventId(self.app.sources.ulid()),
                kind: event.kind().to_owned(),
                schema: A::schema(event.kind()),
                metadata: metadata.clone(),
                data: event.encode().into(),
            })
            .collect();
        let append = Append {
            stream: self.stream.clone(),
            organization: self.organization,
            expected: self.loaded.version.map_or(ExpectedVersion::NoStream, ExpectedVersion::Exactly),
            events,
            now: self.app.sources.now(),
        };
        // Followers see the events before this task does: until it has kept the state after them, nobody may find the one
        // before.
        self.app.streams.forget(&self.stream);
        self.app.parts.append.time_async(self.app.store.append(append)).await
    }

    fn metadata(&self) -> Result<bytes::Bytes, serde_json::Error> {
        let metadata = Metadata {
            actor: self.request.actor.clone(),
            correlation: self.request.correlation,
            causation: self.request.causation,
            reason: self.request.reason.clone(),
            idempotency: self.request.idempotency.as_ref().map(|idempotency| envelope::Idempotency {
                key: idempotency.key.clone(),
                input: idempotency.input.clone(),
            }),
        };
        serde_json::to_vec(&metadata).map(Into::into)
    }

    async fn reload(&mut self) -> Result<(), Error> {
        self.app.parts.conflicts.fetch_add(1, Relaxed);
        self.loaded = own(self.organization, self.app.streams.load_in_turn(&self.stream)?);
        self.authorise().await
    }

    /// What a command answers that has nothing to do.
    pub(crate) fn unchanged(self, position: Option<Position>) -> Outcome<A> {
        Outcome { state: self.loaded.state.clone(), version: self.loaded.version, position }
    }

    fn changed(self, events: &[A::Event], appended: Appended) -> Outcome<A> {
        let first_version = appended.version + 1 - events.len() as u64;
        // The cache has given its copy up, so the usual case evolves in place instead of on a clone.
        let mut loaded = Arc::try_unwrap(self.loaded).unwrap_or_else(|shared| (*shared).clone());
        for (event, version) in events.iter().zip(first_version..) {
            loaded = loaded.evolved(event, appended.recorded_at, version);
        }
        loaded.organization = self.organization;
        if let Some(idempotency) = &self.request.idempotency {
            let answer = crate::streams::Answer { input: idempotency.input.clone(), last: appended.last };
            loaded.answers.insert(idempotency.key.clone(), answer);
        }
        let outcome = Outcome { state: loaded.state.clone(), version: loaded.version, position: Some(appended.last) };
        self.app.streams.keep(&self.stream, Arc::new(loaded));
        outcome
    }
}
