//! A whole [`App`] for tests: a store in memory, a vault and a Merkle log in a temporary folder, a clock that stands still
//! until it is moved, and a directory that reads the log itself.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use witan_auth::{Account, ApiKeyRecord, Directory, DirectoryError, HeldRole, Policies, RoomAccess, Scopes, TokenKey};
use witan_domain::{
    AccountRole, Actor, Aggregate, ApiKeyId, CorrelationId, OrganizationId, PersonId, RoleScope, RoomId, SessionId,
    SessionRole, Timestamp, UnitId, UserId,
    api_key::{ApiKey, ApiKeyState, ApiKeyStatus},
    organization::Organization,
    policy,
    room::Room,
    session::{Session, SessionRecord, SessionState},
    settings::Purpose,
    units::Units,
    user::User,
};
use witan_event_store::{Append, AppendError, Appended, EventStore, ReadError, Recorded, memory::MemoryStore};
use witan_ledger::{MerkleLog, Signer};
use witan_media::{Media, NoMedia};
use witan_vault::{MasterKey, Vault};

use crate::{
    App, Direction, Error, Lookups, PersonTies, Pieces, Position, Request, Sources,
    entry::{Entered, Introduction},
    invitations::{CreatedInvitation, InvitationInput},
    join_tokens::Door,
    opening::OpeningInput,
    organizations::{Founded, OrganizationInput},
    reactors::{self, Leadership, Reactors},
    rooms::RoomInput,
    streams::Streams,
    units::UnitInput,
    users::NewUser,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The clock of a test.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

/// Everything that runs.
pub(crate) struct World {
    pub app: Arc<App>,
    pub store: Arc<MemoryStore>,
    pub faults: Arc<Faults>,
    pub clock: Clock,
    folder: TempDir,
    stop: watch::Sender<bool>,
    correlation: AtomicU64,
}

/// A tenant: who owns it, its unit, a host in it, and the host's room.
pub(crate) struct Tenant {
    pub organization: OrganizationId,
    pub owner: Actor,
    pub owner_id: UserId,
    pub key: String,
    pub unit: UnitId,
    pub host: Actor,
    pub host_id: UserId,
    pub room: RoomId,
}

impl World {
    pub fn new() -> Self {
        Self::with_media(Arc::new(NoMedia))
    }

    pub fn with_media(media: Arc<dyn Media>) -> Self {
        let folder = TempDir::new().unwrap();
        let key = MasterKey::create(&folder.path().join("vault.key"), [7; 32]).unwrap();
        let vault = Vault::create(&folder.path().join("vault.db"), key).unwrap();
        let signer = Signer::create(folder.path(), "test").unwrap();
        let clock = Clock(Arc::new(AtomicU64::new(1_800_000_000 * 1_000_000)));
        Self::started(folder, Arc::new(MemoryStore::new()), clock, vault, signer, media, 0)
    }

    /// The same after a start from a backup: the log is there, the reactors' cursors are not.
    pub fn restored(self, media: Arc<dyn Media>) -> Self {
        std::fs::remove_dir_all(self.cursors()).unwrap();
        self.restarted(media, None)
    }

    /// The same after a start, with the vault that was backed up to `vault` where one is given.
    pub fn restarted(self, media: Arc<dyn Media>, vault: Option<&Path>) -> Self {
        let Self { app, store, clock, folder, .. } = self;
        drop(app);
        if let Some(vault) = vault {
            std::fs::copy(vault, folder.path().join("vault.db")).unwrap();
        }
        let key = MasterKey::open(&folder.path().join("vault.key")).unwrap();
        let vault = Vault::open(&folder.path().join("vault.db"), key).unwrap();
        let signer = Signer::open(folder.path()).unwrap();
        Self::started(folder, store, clock, vault, signer, media, 1 << 32)
    }

    fn started(
        folder: TempDir,
        store: Arc<MemoryStore>,
        clock: Clock,
        vault: Vault,
        signer: Signer,
        media: Arc<dyn Media>,
        drawn: u64,
    ) -> Self {
        let log = Arc::new(LogDirectory { streams: Streams::new(store.clone()), store: store.clone() });
        let (now, drawn) = (clock.clone(), AtomicU64::new(drawn));
        let chance = move |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(32) {
                let digest = Sha256::digest(drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes());
                chunk.copy_from_slice(&digest[..chunk.len()]);
            }
        };
        let faults = Arc::new(Faults::default());
        let app = App::new(Pieces {
            store: Arc::new(Failing { inner: store.clone(), faults: Arc::clone(&faults) }),
            vault: Arc::new(vault),
            policies: Policies::try_new().unwrap(),
            tokens: TokenKey::new([3; 32]),
            directory: log.clone(),
            lookups: log,
            merkle_log: MerkleLog::open(&folder.path().join("log")).unwrap(),
            signer,
            media,
            sources: Sources::given(move || now.now(), chance),
        });
        let (app, stop) = (Arc::new(app), watch::Sender::new(false));
        Self { app, store, faults, clock, folder, stop, correlation: AtomicU64::new(1) }
    }

    /// Where the reactors keep their cursors.
    pub fn cursors(&self) -> std::path::PathBuf {
        self.folder.path().join("reactors")
    }

    /// Starts the reactors; with them the world does by itself what follows.
    pub fn reacts(&self) -> Running {
        let folder = self.cursors();
        std::fs::create_dir_all(&folder).unwrap();
        let leadership = Leadership::by_lock_of_data_folder();
        let (reactors, tasks) = reactors::start(&self.app, &leadership, &folder, &self.stop.subscribe());
        Running { reactors, tasks }
    }

    /// Starts to hand out live events.
    pub fn feeds(&self) -> JoinHandle<()> {
        let (app, stop) = (Arc::clone(&self.app), self.stop.subscribe());
        tokio::spawn(async move { app.feeds.run(stop).await })
    }

    /// Waits until every reactor has seen everything, what they themselves did included.
    pub async fn settle(&self, running: &Running) {
        let settled = async {
            loop {
                let newest = self.newest();
                let progress: Vec<_> = running.reactors.progress().collect();
                for (name, progress) in &progress {
                    assert_eq!(progress.stopped, None, "the reactor {name} has stopped");
                }
                if progress.iter().all(|(_, progress)| progress.position >= newest) && self.newest() == newest {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let rest = tokio::time::timeout(PATIENCE, settled).await;
        let progress = || running.reactors.progress().map(|(name, progress)| (name, progress.position));
        assert!(rest.is_ok(), "no rest at {:?}: {:?}", self.newest(), progress().collect::<Vec<_>>());
    }

    pub async fn stop(&self, running: Running) {
        self.stop.send_replace(true);
        for task in running.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("a reactor ends").unwrap();
        }
        self.stop.send_replace(false);
    }

    pub fn newest(&self) -> Position {
        *self.store.durable().borrow()
    }

    pub fn all(&self) -> Vec<Recorded> {
        self.store.read_all(Position(1), Direction::Forward, usize::MAX).unwrap()
    }

    /// The kinds of all events of a stream.
    pub fn kinds(&self, stream: &str) -> Vec<String> {
        let events = self.store.read_stream(stream, 0, Direction::Forward, usize::MAX).unwrap();
        events.iter().map(|event| event.envelope.kind().to_owned()).collect()
    }

    /// Waits until something holds that a reaction or a timer brings about.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }

    pub fn ask(&self, actor: &Actor) -> Request {
        let correlation = CorrelationId(u128::from(self.correlation.fetch_add(1, Ordering::SeqCst)));
        Request::by(actor.clone(), correlation)
    }

    /// A request with an idempotency key, whose input is said in a word.
    pub fn ask_once(&self, actor: &Actor, key: &str, input: &str) -> Request {
        let idempotency = Some(self.app.idempotency_key(actor, key, input.as_bytes()));
        Request { idempotency, ..self.ask(actor) }
    }

    /// A request that expects a version.
    pub fn ask_at(&self, actor: &Actor, version: u64) -> Request {
        Request { expected_version: Some(version), ..self.ask(actor) }
    }

    pub async fn founds(&self, slug: &str) -> Founded {
        let input = OrganizationInput { slug: slug.into(), full_name: "A clinic".into(), ..Default::default() };
        self.app.create_organization(&self.ask(&Actor::Operator), &input, &user("owner")).await.unwrap()
    }

    /// An organization with a unit, a host in it, and a consultation room that is the host's.
    pub async fn tenant(&self, slug: &str) -> Tenant {
        let founded = self.founds(slug).await;
        let organization = founded.organization;
        let owner = Actor::User { organization, user: founded.owner, key: None };
        let unit = UnitInput { slug: "cardiology".into(), full_name: "Cardiology".into(), ..Default::default() };
        let (unit, _) = self.app.create_unit(&self.ask(&owner), None, &unit).await.unwrap();
        let doctor = NewUser { unit: Some(unit), ..user("anna") };
        let (host_id, _) = self.app.create_user(&self.ask(&owner), &doctor).await.unwrap();
        let input = room("consultations", Some(host_id));
        let (room, _) = self.app.create_room(&self.ask(&owner), unit, &input).await.unwrap();
        let host = Actor::User { organization, user: host_id, key: None };
        Tenant { organization, owner, owner_id: founded.owner, key: founded.api_key, unit, host, host_id, room }
    }

    pub async fn invites(&self, tenant: &Tenant, name: &str) -> CreatedInvitation {
        let input = self.invitation(name);
        self.app.create_invitation(&self.ask(&tenant.host), tenant.room, &input).await.unwrap()
    }

    pub fn invitation(&self, name: &str) -> InvitationInput {
        InvitationInput {
            display_name: name.into(),
            email: None,
            external_id: None,
            role: SessionRole::Participant,
            not_before: self.clock.now(),
            not_after: self.clock.now().plus_seconds(86_400),
        }
    }

    pub async fn opens(&self, tenant: &Tenant) -> SessionId {
        let input = OpeningInput::default();
        self.app.open_session(&self.ask(&tenant.host), tenant.room, &input).await.unwrap().0
    }

    /// The host comes in, by an account.
    pub async fn host_joins(&self, tenant: &Tenant, session: SessionId) -> (Actor, Entered) {
        let ticket = self.app.create_join_token(&self.ask(&tenant.host), Door::Session(session), None).await.unwrap();
        let request = self.ask(&Actor::Anonymous);
        let entered = self.app.join_by_token(&request, &ticket.token, &called("Anna")).await.unwrap();
        (self.actor(&entered).await, entered)
    }

    /// Someone knocks, by an invitation.
    pub async fn knocks(&self, tenant: &Tenant, name: &str) -> (Actor, Entered) {
        let invitation = self.invites(tenant, name).await;
        let request = self.ask(&Actor::Anonymous);
        let ticket = self.app.exchange_invitation(&request, invitation.invitation, &invitation.secret).await.unwrap();
        let request = self.ask(&Actor::Anonymous);
        let entered = self.app.knock(&request, &ticket.token, &called(name)).await.unwrap();
        (self.actor(&entered).await, entered)
    }

    /// Someone knocks, is admitted and comes in.
    pub async fn is_let_in(&self, tenant: &Tenant, host: &Actor, name: &str) -> (Actor, Entered) {
        let (guest, entered) = self.knocks(tenant, name).await;
        self.app.admit_participant(&self.ask(host), entered.session, entered.participant).await.unwrap();
        self.app.join_by_admission(&self.ask(&guest), entered.session).await.unwrap();
        (guest, entered)
    }

    /// Who someone is by their resume secret.
    pub async fn actor(&self, entered: &Entered) -> Actor {
        self.app.participant_by_resume_secret(&entered.resume_secret).await.unwrap().expect("the secret is good")
    }

    pub fn session(&self, tenant: &Tenant, session: SessionId) -> SessionRecord {
        let state = self.app.session_state(tenant.organization, session).unwrap();
        state.record().expect("it was prepared").clone()
    }
}

/// What goes wrong in the store.
#[derive(Default)]
pub(crate) struct Faults {
    /// An append to a stream of this category, after so many others to it, fails so.
    pub appends: Mutex<Vec<(&'static str, usize, AppendError)>>,
    /// So many reads of the whole log fail, and may go well later.
    pub reads: AtomicU64,
    /// The store is found damaged.
    pub damaged: AtomicBool,
}

impl Faults {
    pub fn append(&self, category: &'static str, after: usize, error: AppendError) {
        self.appends.lock().unwrap().push((category, after, error));
    }
}

/// A store in memory that fails when it is told to.
struct Failing {
    inner: Arc<MemoryStore>,
    faults: Arc<Faults>,
}

#[async_trait]
impl EventStore for Failing {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let failing = {
            let mut planned = self.faults.appends.lock().unwrap();
            let its = |plan: &&mut (&'static str, usize, AppendError)| append.stream.split('-').next() == Some(plan.0);
            let at = planned.iter_mut().enumerate().find(|(_, plan)| its(plan)).map(|(at, plan)| {
                let now = plan.1 == 0;
                plan.1 = plan.1.saturating_sub(1);
                (at, now)
            });
            at.filter(|(_, now)| *now).map(|(at, _)| planned.remove(at).2)
        };
        match failing {
            Some(error) => Err(error),
            None => self.inner.append(append).await,
        }
    }

    fn read_stream(
        &self,
        stream: &str,
        from: u64,
        direction: Direction,
        max: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.inner.read_stream(stream, from, direction, max)
    }

    fn read_all(&self, from: Position, direction: Direction, max: usize) -> Result<Vec<Recorded>, ReadError> {
        if self.faults.damaged.load(Ordering::SeqCst) {
            return Err(ReadError::Damaged { position: from, what: "as the test wants it".into() });
        }
        let failing = self.faults.reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match failing {
            Ok(_) => Err(ReadError::Io(std::io::Error::other("as the test wants it"))),
            Err(_) => self.inner.read_all(from, direction, max),
        }
    }

    fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        self.inner.stream_version(stream)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.inner.durable()
    }
}

/// The reactors at work.
pub(crate) struct Running {
    reactors: Reactors,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// How many things this reactor tries again in vain.
    pub fn failing(&self, reactor: &str) -> usize {
        let mut progress = self.reactors.progress();
        progress.find(|(name, _)| *name == reactor).expect("there is such a reactor").1.failing
    }
}

pub(crate) fn user(login: &str) -> NewUser {
    NewUser { login: login.into(), name: format!("Name of {login}"), ..NewUser::default() }
}

pub(crate) fn called(name: &str) -> Introduction {
    Introduction { display_name: name.into(), device: Some("A browser".into()) }
}

pub(crate) fn room(slug: &str, owner: Option<UserId>) -> RoomInput {
    RoomInput {
        name: "A room".into(),
        slug: slug.into(),
        description: String::new(),
        purpose: Purpose::Consultation,
        owner,
        logo_url: None,
        not_before: None,
        not_after: None,
    }
}

#[track_caller]
pub(crate) fn code<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(Error::Fault(source)) => panic!("a fault: {}", crate::error::chain(source.as_ref())),
        Err(error) => error.code(),
    }
}

/// What the read models say, read from the log each time: always up to date, and slow.
struct LogDirectory {
    streams: Streams,
    store: Arc<MemoryStore>,
}

impl LogDirectory {
    /// The stream's state, if it is the organization's.
    fn state<A: Aggregate>(&self, organization: OrganizationId, id: A::Id) -> Result<Option<A::State>, DirectoryError> {
        let loaded =
            self.streams.read::<A>(&A::stream(id), |_| true).map_err(|error| DirectoryError(error.to_string()))?;
        Ok((loaded.organization == Some(organization)).then_some(loaded.state))
    }

    /// The ids of all streams of this aggregate in the organization.
    fn ids<A: Aggregate<Id: std::str::FromStr + Ord>>(&self, organization: OrganizationId) -> Vec<A::Id> {
        let all = self.store.read_all(Position(1), Direction::Forward, usize::MAX).unwrap();
        let own = all.iter().map(|recorded| &recorded.envelope).filter(|envelope| {
            envelope.organization() == Some(organization)
                && envelope.category() == A::CATEGORY
                && envelope.version() == 0
        });
        own.filter_map(|envelope| envelope.stream_id().parse().ok()).collect()
    }
}

#[async_trait]
impl Directory for LogDirectory {
    async fn wait_for(&self, _: u64) -> bool {
        true
    }

    fn account(&self, organization: OrganizationId, user: UserId) -> Result<Option<Account>, DirectoryError> {
        let Some(state) = self.state::<User>(organization, user)? else { return Ok(None) };
        let Ok(facts) = state.facts() else { return Ok(None) };
        let held = facts.roles.iter();
        let mut roles: Vec<_> =
            held.map(|(&(role, scope), &expires_at)| HeldRole { role, scope, expires_at }).collect();
        let owned = self.state::<Organization>(organization, organization)?;
        if owned.is_some_and(|state| state.facts().is_ok_and(|facts| facts.owners.contains_key(&user))) {
            roles.push(HeldRole { role: AccountRole::Owner, scope: RoleScope::Organization, expires_at: None });
        }
        Ok(Some(Account { active: state.is_active(), unit: facts.details.unit, roles }))
    }

    fn unit_path(&self, organization: OrganizationId, unit: UnitId) -> Result<Option<Vec<UnitId>>, DirectoryError> {
        let path = self.state::<Units>(organization, organization)?.map(|units| units.path(unit)).unwrap_or_default();
        Ok(Some(path).filter(|path| !path.is_empty()))
    }

    fn room(&self, organization: OrganizationId, room: RoomId) -> Result<Option<RoomAccess>, DirectoryError> {
        let Some(state) = self.state::<Room>(organization, room)? else { return Ok(None) };
        let Ok(facts) = state.facts() else { return Ok(None) };
        let above = self.state::<Organization>(organization, organization)?.unwrap_or_default();
        let above = above.facts().map(|facts| facts.policies.clone()).unwrap_or_default();
        let units = self.state::<Units>(organization, organization)?.unwrap_or_default();
        let policies = policy::resolve(facts.details.purpose, &above, &units.policies(facts.unit), &facts.policies);
        Ok(Some(RoomAccess {
            unit: facts.unit,
            owner: Some(facts.details.owner),
            people: facts.people.clone(),
            open: policies.open,
            join: policies.join,
            list: policies.list,
        }))
    }

    fn api_key(&self, prefix: &str) -> Result<Option<ApiKeyRecord>, DirectoryError> {
        let all = self.store.read_all(Position(1), Direction::Forward, usize::MAX).unwrap();
        for organization in all.iter().filter_map(|recorded| recorded.envelope.organization()) {
            for key in self.ids::<ApiKey>(organization) {
                if let Some(record) = self.key_record(organization, key)?.filter(|(its, _)| its == prefix) {
                    return Ok(Some(record.1));
                }
            }
        }
        Ok(None)
    }
}

impl LogDirectory {
    fn key_record(
        &self,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<Option<(String, ApiKeyRecord)>, DirectoryError> {
        let Some(ApiKeyState::Present(facts)) = self.state::<ApiKey>(organization, key)? else { return Ok(None) };
        let record = ApiKeyRecord {
            key,
            organization,
            user: facts.user,
            sha256: facts.secret_sha256,
            scopes: Scopes::parse(facts.scopes.iter().map(String::as_str)).unwrap(),
            expires: facts.expires_at,
            revoked: facts.status == ApiKeyStatus::Revoked,
            last_used_day: facts.last_used_day.map(u64::from),
        };
        Ok(Some((facts.prefix.clone(), record)))
    }
}

impl Lookups for LogDirectory {
    fn has_living_rooms(&self, organization: OrganizationId, unit: UnitId) -> Result<bool, Error> {
        let rooms = self.ids::<Room>(organization).into_iter();
        let states = rooms.map(|room| self.state::<Room>(organization, room).map_err(Error::fault));
        let states: Vec<_> = states.collect::<Result<_, _>>()?;
        let living = states.into_iter().flatten().filter(|state| state.is_living());
        Ok(living.into_iter().any(|state| state.facts().is_ok_and(|facts| facts.unit == unit)))
    }

    fn accounts_of(&self, organization: OrganizationId, person: PersonId) -> Result<Vec<UserId>, Error> {
        let mut accounts = Vec::new();
        for user in self.ids::<User>(organization) {
            let state = self.state::<User>(organization, user).map_err(Error::fault)?.unwrap_or_default();
            accounts.extend(state.facts().is_ok_and(|facts| facts.person == person).then_some(user));
        }
        Ok(accounts)
    }

    fn person_ties(&self, organization: OrganizationId, person: PersonId) -> Result<PersonTies, Error> {
        let mut ties = PersonTies::default();
        for user in self.accounts_of(organization, person)? {
            let state = self.state::<User>(organization, user).map_err(Error::fault)?.unwrap_or_default();
            ties.active_user |= state.is_active();
        }
        for session in self.ids::<Session>(organization) {
            let state = self.state::<Session>(organization, session).map_err(Error::fault)?;
            let live = state.as_ref().and_then(SessionState::live).into_iter().flat_map(|live| &live.participants);
            ties.in_live_session |= live.into_iter().any(|there| there.person == person && !there.state.is_final());
        }
        Ok(ties)
    }

    fn live_sessions(&self, organization: OrganizationId) -> Result<Vec<SessionId>, Error> {
        let mut live = self.ids::<Session>(organization);
        let is_live = |state: Option<SessionState>| state.is_some_and(|state| state.live().is_some());
        live.retain(|session| self.state::<Session>(organization, *session).is_ok_and(is_live));
        Ok(live)
    }

    fn keys_of(&self, organization: OrganizationId, user: UserId) -> Result<Vec<ApiKeyId>, Error> {
        let mut keys = self.ids::<ApiKey>(organization);
        keys.retain(|key| {
            let state = self.state::<ApiKey>(organization, *key).unwrap().unwrap_or_default();
            state.facts().is_ok_and(|facts| facts.user == user)
        });
        Ok(keys)
    }
}
