//! What each part on the way of a durable mutation (`sendMessage`) costs in CPU time, each measured by itself.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::watch;
use witan_auth::{
    Account, ApiKeyRecord, Decision, Directory, DirectoryError, Operation, Policies, Resource, ResourceKind, RoomAccess,
};
use witan_domain::policy::Listing;
use witan_domain::{
    Actor, OrganizationId, ParticipantId, PersonId, RoomId, SessionId, SessionRole, Timestamp, UnitId, UserId,
};
use witan_event_store::EventStore;
use witan_event_store_embedded::Journal;
use witan_graphql::documents::Documents;
use witan_graphql::limits::Limits;
use witan_graphql::scan::{scan, scan_json};
use witan_projections::ReadModels;
use witan_tests::server::cpu_of;
use witan_vault::{MasterKey, Vault};

use crate::figure::Figure;
use crate::load::now;
use crate::{stage, story};

const ORGANIZATION: OrganizationId = OrganizationId(1);
const PERSON: PersonId = PersonId(1);
const CALLS: u32 = 20_000;
const WRITERS: u128 = 256;
const MESSAGES_PER_WRITER: u128 = 40;
const PROJECTED_SECONDS_MAX: u64 = 60;

/// One figure a part, in microseconds of CPU for one mutation.
pub(crate) fn figures(rounds: usize) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let body = stage::send_message_body("session_00000000000000000000000001", "one two three");
    let (scan, parse) = (measure(rounds, || scans(&body)), measure(rounds, parses));
    let (authorise, protect) = (measure(rounds, authorises), measure(rounds, protects));
    let decide = measure(rounds, || decides(rounds));
    let (mut append, mut project) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (appended, projected) = runtime.block_on(appends_and_projects());
        append.push(appended);
        project.push(projected);
    }
    let parts = [scan, parse, authorise, decide, protect, append, project];
    let names = ["scan", "parse", "authorise", "decide", "protect", "append", "project"];
    let figure = |(name, rounds): (&str, &Vec<f64>)| Figure::alone(format!("mutation_cpu {name}"), "µs", rounds);
    names.into_iter().zip(&parts).map(figure).collect()
}

fn measure(rounds: usize, mut once: impl FnMut() -> f64) -> Vec<f64> {
    (0..rounds).map(|_| once()).collect()
}

/// Microseconds of one call. The call does not wait for anything, so its time is its CPU time.
fn per_call(mut call: impl FnMut()) -> f64 {
    let start = now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn scans(body: &str) -> f64 {
    let limits = Limits::default();
    per_call(|| {
        scan_json(black_box(body.as_bytes()), &limits).expect("the body is within limits");
        scan(black_box(stage::SEND_MESSAGE), &limits).expect("the document is within limits");
    })
}

/// From the cache, as for a client that sends the same document again.
fn parses() -> f64 {
    let documents = Documents::new(Limits::default());
    per_call(|| {
        black_box(documents.get(black_box(stage::SEND_MESSAGE)).is_ok());
    })
}

fn authorises() -> f64 {
    let policies = Policies::try_new().expect("our policies are valid");
    let (session, participant) = (SessionId(1), ParticipantId(1));
    let actor = Actor::Participant { organization: ORGANIZATION, session, participant };
    let resource = Resource {
        kind: ResourceKind::Session,
        organization: Some(ORGANIZATION),
        id: session.to_string(),
        unit: Some(UnitId(1)),
        room: Some(RoomId(1)),
        session_role: Some(SessionRole::Participant),
        took_part: true,
        own: true,
        ..Resource::default()
    };
    let at = Timestamp::from_seconds(1_700_000_000);
    per_call(|| {
        let decision = policies.authorize(&actor, None, Operation::SendMessage, &resource, &OneRoom, at);
        assert!(matches!(decision, Decision::Allow), "a participant may write: {decision:?}");
    })
}

/// A directory that holds one room and knows the answer without looking it up.
struct OneRoom;

#[async_trait]
impl Directory for OneRoom {
    async fn wait_for(&self, _position: u64) -> bool {
        true
    }

    fn account(&self, _: OrganizationId, _: UserId) -> Result<Option<Account>, DirectoryError> {
        Ok(Some(Account { active: true, ..Account::default() }))
    }

    fn unit_path(&self, _: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError> {
        Ok(Some(vec![unit]))
    }

    fn room(&self, _: OrganizationId, _: RoomId) -> Result<Option<RoomAccess>, DirectoryError> {
        let (open, join) = (Vec::new(), Vec::new());
        let people = BTreeMap::new();
        Ok(Some(RoomAccess { unit: UnitId(1), owner: None, people, open, join, list: Listing::Private }))
    }

    fn api_key(&self, _: &str) -> Result<Option<ApiKeyRecord>, DirectoryError> {
        Ok(None)
    }
}

/// A session with its chat is decided, evolved and encoded whole; what one event of it costs.
fn decides(seed: usize) -> f64 {
    let sessions = 200;
    let start = now();
    let mut events = 0;
    for number in 0..sessions {
        let appends = story::session(black_box(seed as u128 * 1_000 + number));
        events += appends.iter().map(|append| append.events.len()).sum::<usize>();
    }
    start.elapsed().as_secs_f64() * 1e6 / events as f64
}

fn protects() -> f64 {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let master = MasterKey::create(&folder.path().join("vault.key"), [7; 32]).expect("a master key can be made");
    let vault = Vault::create(&folder.path().join("vault.sqlite"), master).expect("a vault can be made");
    vault.create_person(ORGANIZATION, PERSON).wait().expect("a person can be made");
    per_call(|| {
        let protected = vault.protect(ORGANIZATION, PERSON, "chat-1", "text", black_box("one two three"));
        black_box(protected.expect("the person has a key"));
    })
}

/// CPU of appending from 256 writers at once, each event by itself, and then of folding those events.
async fn appends_and_projects() -> (f64, f64) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let journal = Journal::open(folder.path().join("journal"), Default::default()).expect("an empty journal opens");
    let store: Arc<dyn EventStore> = Arc::new(journal);
    let before = cpu();
    let mut writers = Vec::new();
    for writer in 1..=WRITERS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            for append in story::messages(writer, MESSAGES_PER_WRITER) {
                store.append(append).await.expect("the journal takes the message");
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
    let last = *store.durable().borrow();
    let appending = cpu() - before;

    let models = Arc::new(ReadModels::open(&folder.path().join("models")).expect("an empty database opens"));
    let (stop, stopped) = watch::channel(false);
    let before = cpu();
    let running = tokio::spawn(Arc::clone(&models).run(store, stopped));
    assert!(models.wait_for(last, Duration::from_secs(PROJECTED_SECONDS_MAX)).await, "the messages are projected");
    let projecting = cpu() - before;
    stop.send(true).expect("the follower runs");
    running.await.expect("the follower does not panic").expect("the follower ends well");
    let per_event = |time: Duration| time.as_secs_f64() * 1e6 / last.0 as f64;
    (per_event(appending), per_event(projecting))
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    cpu_of(std::process::id())
}

/// So that the measured appends are what they claim to be.
#[cfg(test)]
mod tests {
    use super::*;
    use witan_event_store::Append;

    #[test]
    fn a_message_is_one_append_of_one_event() {
        let appends: Vec<Append> = story::messages(1, 5).collect();
        assert_eq!(appends.len(), 5);
        assert!(appends.iter().all(|append| append.events.len() == 1));
    }
}
