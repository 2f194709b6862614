//! What an operator may ask, done on an open system: by the running server, or by a command that has the folder to itself.

use witan_app::{Error, IdempotencyKey, Request, organizations::OrganizationInput, users::NewUser};
use witan_domain::{
    Actor, ApiKeyId, CorrelationId, EventId, OrganizationId,
    api_key::ApiKey,
    organization::{OrganizationFacts, OrganizationStatus},
};
use witan_event_store::{Direction, EventStore, Position, Recorded};
use witan_ledger::LogReader;
use witan_projections::{PAGE_ROWS_MAX, Page};
use witan_verify::Bundle;

use crate::{
    admin::{Answer, Answers, CreatedOrganization, NewOrganization, OrganizationRow, Question, Replayed, Step, Steps},
    backup, clock,
    failure::Failure,
    wiring::System,
};

/// How many events are looked through at once for one with a given id.
const BATCH_EVENTS: usize = 4_096;

#[async_trait::async_trait]
impl Answers for System {
    async fn answer(&self, question: Question, steps: Steps) -> Answer {
        let answered = match question {
            Question::CreateOrganization(new) => {
                self.create_organization(new, None).await.map(Answer::OrganizationCreated)
            }
            Question::ListOrganizations => {
                self.organizations().map(|organizations| Answer::Organizations { organizations })
            }
            Question::SuspendOrganization { organization } => self.suspend(&organization, true).await,
            Question::ReactivateOrganization { organization } => self.suspend(&organization, false).await,
            Question::Checkpoint => self.checkpoint(),
            Question::ProveEvent { event } => self.prove(&event),
            Question::ProveConsistency { old, new } => self.prove_consistency(old, new),
            Question::Backup { folder } => {
                let _alone = self.chore.lock().await;
                let (parts, vault) = (self.parts(), self.vault.clone());
                let done = tokio::task::spawn_blocking(move || backup::back_up(&parts, &vault, &folder, &steps)).await;
                done.map_err(|error| error.to_string())
                    .and_then(|done| done.map(Answer::BackedUp).map_err(|failure| failure.text))
            }
            Question::Replay => self.replay(steps).await.map(Answer::Replayed),
        };
        answered.unwrap_or_else(|why| Answer::Refused { why })
    }
}

/// The sentence for an operator; a fault with its whole chain, which holds nothing personal.
fn sentence(error: &Error) -> String {
    witan_app::error::chain(error)
}

fn row(facts: &OrganizationFacts) -> OrganizationRow {
    let status = match facts.status {
        OrganizationStatus::Active => "active",
        OrganizationStatus::Suspended => "suspended",
        OrganizationStatus::Closed => "closed",
    };
    OrganizationRow {
        organization: facts.organization.to_string(),
        slug: facts.details.slug.to_string(),
        status: status.into(),
    }
}

impl System {
    fn request(&self) -> Request {
        Request::by(Actor::Operator, CorrelationId(clock::fresh_id()))
    }

    /// With a `nonce` the same organization and the same key come again.
    pub async fn create_organization(
        &self,
        new: NewOrganization,
        nonce: Option<&str>,
    ) -> Result<CreatedOrganization, String> {
        let mut request = self.request();
        request.idempotency = match nonce {
            Some(nonce) => Some(self.app.idempotency_key(&Actor::Operator, nonce, new.slug.as_bytes())),
            None => self.cut_short(&new)?,
        };
        let slug = new.slug.clone();
        let input = OrganizationInput { slug: new.slug, full_name: new.name, ..OrganizationInput::default() };
        let owner =
            NewUser { login: new.owner_login, name: new.owner_name, email: new.owner_email, ..NewUser::default() };
        let founded = self.app.create_organization(&request, &input, &owner).await.map_err(|error| sentence(&error))?;
        Ok(CreatedOrganization {
            organization: founded.organization.to_string(),
            slug,
            owner: founded.owner.to_string(),
            api_key: founded.api_key,
        })
    }

    /// The same command again after one that was cut short goes on with what that one began: an organization without its
    /// owner. One that was made to its end is another's slug by now.
    pub(crate) fn cut_short(&self, new: &NewOrganization) -> Result<Option<IdempotencyKey>, String> {
        let text = serde_json::to_vec(new).map_err(|error| error.to_string())?;
        let key = self.app.idempotency_key(&Actor::Operator, "organization create", &text);
        let request = Request { idempotency: Some(key.within(&key.input)), ..self.request() };
        let organization = OrganizationId(self.app.id_for(&request, "organization"));
        let first_key = ApiKeyId(self.app.id_for(&request, "api key"));
        let (_, made) = self.app.current::<ApiKey>(organization, first_key).map_err(|error| sentence(&error))?;
        Ok(request.idempotency.filter(|_| made.is_none()))
    }

    /// All organizations: who they are and whether they are active, nothing of what they hold.
    fn organizations(&self) -> Result<Vec<OrganizationRow>, String> {
        let mut found = Vec::new();
        let mut page = Page { rows_max: PAGE_ROWS_MAX, ..Page::default() };
        loop {
            let listed = self.read_models.list_organizations(&page).map_err(|error| error.to_string())?;
            let facts = listed.rows.iter().filter_map(|(_, row)| row.state.facts().ok());
            found.extend(facts.map(row));
            match listed.rows.last() {
                Some((cursor, _)) if listed.more => page.after = Some(cursor.clone()),
                _ => return Ok(found),
            }
        }
    }

    fn find_organization(&self, name: &str) -> Result<OrganizationId, String> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let rows = self.organizations()?;
        let found = rows.iter().find(|row| row.slug == name).and_then(|row| row.organization.parse().ok());
        found.ok_or_else(|| {
            format!("there is no organization with the slug {name:?}; `witan organization list` lists all")
        })
    }

    async fn suspend(&self, name: &str, suspend: bool) -> Result<Answer, String> {
        let organization = self.find_organization(name)?;
        let request = self.request();
        let outcome = if suspend {
            self.app.suspend_organization(&request, organization).await
        } else {
            self.app.reactivate_organization(&request, organization).await
        };
        let outcome = outcome.map_err(|error| sentence(&error))?;
        let facts = outcome.state.facts().map_err(|error| error.to_string())?;
        Ok(Answer::OrganizationChanged(row(facts)))
    }

    fn checkpoint(&self) -> Result<Answer, String> {
        let note = self.app.checkpoint(None).map_err(|error| sentence(&error))?;
        let note = note.ok_or("nothing is signed yet: the log is empty, or younger than a second")?;
        let size = note.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or_default();
        Ok(Answer::Checkpoint { note, size })
    }

    fn prove(&self, event: &str) -> Result<Answer, String> {
        let Answer::Checkpoint { note, size } = self.checkpoint()? else { return Err("no checkpoint".into()) };
        let recorded = self.find_event(event)?;
        let log = LogReader::open(&self.parts().ledger()).map_err(|error| error.to_string())?;
        let digest = recorded.envelope.digest();
        let proof = log.inclusion_of(recorded.position.0, &digest, size).map_err(|error| error.to_string())?;
        let key = self.app.verifier_key();
        let bundle =
            Bundle::new(recorded.envelope.bytes(), proof.leaf_index, proof.tree_size, &proof.hashes, &note, key);
        serde_json::to_value(bundle).map(|proof| Answer::Proof { proof }).map_err(|error| error.to_string())
    }

    fn prove_consistency(&self, old: u64, new: Option<u64>) -> Result<Answer, String> {
        let Answer::Checkpoint { size, .. } = self.checkpoint()? else { return Err("no checkpoint".into()) };
        let proof = self.app.consistency_proof(old, new.unwrap_or(size)).map_err(|error| sentence(&error))?;
        serde_json::to_value(proof).map(|proof| Answer::Proof { proof }).map_err(|error| error.to_string())
    }

    fn find_event(&self, event: &str) -> Result<Recorded, String> {
        let none = || format!("there is no event {event}: expected an event's id (event_…) or its position, from 1 on");
        let text = |error: witan_event_store::ReadError| error.to_string();
        if let Ok(position) = event.parse().map(Position) {
            let found = self.store.read_all(position, Direction::Forward, 1).map_err(text)?.pop();
            return found.filter(|found| found.position == position).ok_or_else(none);
        }
        let id: EventId = event.parse().map_err(|_| none())?;
        // Most who ask for an event have just seen it: newest first.
        let mut from = *self.store.durable().borrow();
        while from.0 > 0 {
            let batch = self.store.read_all(from, Direction::Backward, BATCH_EVENTS).map_err(text)?;
            let Some(oldest) = batch.last() else { break };
            from = Position(oldest.position.0.saturating_sub(1));
            if let Some(found) = batch.into_iter().find(|recorded| recorded.envelope.id() == id) {
                return Ok(found);
            }
        }
        Err(none())
    }

    async fn replay(&self, steps: Steps) -> Result<Replayed, String> {
        let _alone = self.chore.lock().await;
        let (models, store) = (self.read_models.clone(), self.store.clone());
        let folder = self.parts().read_models().join("replay");
        let stop = self.stop.subscribe();
        let started = clock::monotonic();
        let done = tokio::task::spawn_blocking(move || {
            models.replay(&*store, &folder, |at, until| {
                steps.send_replace(Step { what: "replaying".into(), done: at.0, total: until.0 });
                !*stop.borrow()
            })
        });
        let compared = done.await.map_err(|error| error.to_string())?;
        let compared = compared.map_err(|error| Failure::caused("the replay", &error).text)?;
        let differences = compared.differences.iter().map(|it| format!("{} {}: {}", it.table, it.key, it.what));
        Ok(Replayed {
            position: compared.position.0,
            rows: compared.rows,
            differences: differences.collect(),
            seconds: started.elapsed().as_secs_f64(),
        })
    }
}
