//! May this actor do this? Refusals of those whom we know go to the audit trail, at a bounded rate.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use witan_auth::{Decision, Operation, Resource};
use witan_domain::{
    Actor, EventId, OrganizationId, SessionId, Timestamp,
    aggregate::EventPayload,
    audit::{self, AccessRefused, AuditEvent, Content, ContentRead},
};
use witan_event_store::{Append, ExpectedVersion, Metadata, NewEvent};

use crate::{App, Error, Request};

/// How many refusals of one organization are recorded one by one in a minute; the rest are counted.
const REFUSALS_PER_MINUTE_MAX: u32 = 60;
/// How many readers' hours are remembered before the oldest memory goes.
const REMEMBERED_READS_MAX: usize = 100_000;

/// What was recorded lately, so that it is not recorded again and again.
#[derive(Default)]
pub(crate) struct Recently {
    refusals: HashMap<OrganizationId, Refusals>,
    reads: HashMap<(String, SessionId, Content), Reads>,
}

#[derive(Clone, Copy, Default)]
struct Refusals {
    minute: u64,
    recorded: u32,
    unrecorded: u64,
}

#[derive(Clone, Copy)]
struct Reads {
    hour: u64,
    more: u64,
}

impl App {
    /// Allows, or refuses and says so in the audit trail.
    pub async fn authorise(&self, request: &Request, operation: Operation, resource: &Resource) -> Result<(), Error> {
        if request.actor == Actor::System {
            return Ok(());
        }
        match self.decision(request, operation, resource).await {
            Decision::Allow => Ok(()),
            Decision::Deny { policy } => {
                let now = self.sources.now();
                self.parts.refusals.fetch_add(1, Relaxed);
                let reference = request.correlation.to_string();
                self.record_refusal(request, operation, resource, policy, &reference, now).await;
                Err(match request.actor {
                    Actor::Anonymous => Error::Unauthenticated("This needs an API key or a participant's secret."),
                    _ => Error::Forbidden { reference },
                })
            }
        }
    }

    /// Whether a policy allows it, without a word in the audit trail: to decide what of an answer to show.
    pub async fn allows(&self, request: &Request, operation: Operation, resource: &Resource) -> bool {
        request.actor == Actor::System || matches!(self.decision(request, operation, resource).await, Decision::Allow)
    }

    /// Asked only of a directory that knows the newest grant: what was taken away a moment ago must not be allowed.
    async fn decision(&self, request: &Request, operation: Operation, resource: &Resource) -> Decision {
        if !self.directory.wait_for(self.newest_grant().0).await {
            return Decision::Deny { policy: Some("the directory does not know the newest grant yet".into()) };
        }
        let (actor, scopes, now) = (&request.actor, request.scopes.as_ref(), self.sources.now());
        self.parts
            .authorise
            .time(|| self.policies.authorize(actor, scopes, operation, resource, self.directory.as_ref(), now))
    }

    /// Only of actors that we know, in their own organization's trail: a stranger can't fill a tenant's log.
    async fn record_refusal(
        &self,
        request: &Request,
        operation: Operation,
        resource: &Resource,
        policy: Option<String>,
        reference: &str,
        now: Timestamp,
    ) {
        let Some(organization) = request.actor.organization() else { return };
        let Some(unrecorded_before) = self.may_record_refusal(organization, now) else {
            self.parts.refusals_unrecorded.fetch_add(1, Relaxed);
            return;
        };
        let event = AccessRefused {
            operation: operation.name().to_owned(),
            resource: resource.id.clone(),
            policy,
            reference: reference.to_owned(),
            unrecorded_before,
        };
        if let Err(error) = self.record_audit(request, organization, event.into(), now).await {
            // The refusal stands either way; that it could not be recorded must be seen by the operator.
            tracing::error!(code = error.code(), reference, "a refusal is missing in the audit trail");
        }
    }

    fn may_record_refusal(&self, organization: OrganizationId, now: Timestamp) -> Option<u64> {
        let minute = now.micros() / 60_000_000;
        let mut recently = self.recently.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = recently.refusals.entry(organization).or_default();
        if refusals.minute != minute {
            refusals.minute = minute;
            refusals.recorded = 0;
        }
        if refusals.recorded == REFUSALS_PER_MINUTE_MAX {
            refusals.unrecorded += 1;
            return None;
        }
        refusals.recorded += 1;
        Some(std::mem::take(&mut refusals.unrecorded))
    }

    /// Someone reads content: one event per reader, session, kind and hour. Recorded before anything is shown.
    pub(crate) async fn record_read(
        &self,
        request: &Request,
        organization: OrganizationId,
        session: SessionId,
        content: Content,
    ) -> Result<(), Error> {
        let now = self.sources.now();
        let hour = now.micros() / 3_600_000_000;
        let reader = (format!("{:?}", request.actor), session, content);
        let more_before = {
            let mut recently = self.recently.lock().unwrap_or_else(PoisonError::into_inner);
            if recently.reads.len() > REMEMBERED_READS_MAX {
                recently.reads.clear();
            }
            match recently.reads.get_mut(&reader) {
                Some(reads) if reads.hour == hour => {
                    reads.more += 1;
                    return Ok(());
                }
                found => found.map_or(0, |reads| reads.more),
            }
        };
        let event = ContentRead { session, content, hour, more_before };
        self.record_audit(request, organization, event.into(), now).await?;
        let mut recently = self.recently.lock().unwrap_or_else(PoisonError::into_inner);
        recently.reads.insert(reader, Reads { hour, more: 0 });
        Ok(())
    }

    async fn record_audit(
        &self,
        request: &Request,
        organization: OrganizationId,
        event: AuditEvent,
        now: Timestamp,
    ) -> Result<(), Error> {
        let metadata = Metadata {
            actor: request.actor.clone(),
            correlation: request.correlation,
            causation: None,
            reason: None,
            idempotency: None,
        };
        let event = NewEvent {
            id: EventId(self.sources.ulid()),
            kind: event.kind().to_owned(),
            schema: witan_domain::event::schema(audit::CATEGORY, event.kind()),
            metadata: Bytes::from(serde_json::to_vec(&metadata).map_err(Error::fault)?),
            data: event.encode().into(),
        };
        let append = Append {
            stream: format!("{}-{organization}", audit::CATEGORY),
            organization: Some(organization),
            expected: ExpectedVersion::Any,
            events: vec![event],
            now,
        };
        self.store.append(append).await?;
        Ok(())
    }
}

/// The memory of what was recorded lately.
pub(crate) type Memory = Mutex<Recently>;
