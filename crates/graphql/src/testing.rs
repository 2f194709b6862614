//! A small schema and a doorkeeper for the tests of the transport.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::{Context, Object, Result, Schema, SimpleObject, Subscription, ValidationMode};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use witan_domain::CorrelationId;

use crate::{Authenticate, Authenticated, Options, Refusal, Schemas, Share, Subscriber, fault, refusal};

pub struct Query;

pub struct Item;

#[Object]
impl Item {
    async fn id(&self) -> u32 {
        7
    }

    async fn item(&self) -> Item {
        Item
    }

    async fn named(&self, names: Vec<String>) -> usize {
        names.len()
    }
}

#[Object]
impl Query {
    async fn hello(&self) -> &str {
        "hello"
    }

    async fn wide(&self) -> Wide {
        Wide::default()
    }

    async fn double(&self, value: i32) -> i32 {
        value * 2
    }

    async fn item(&self) -> Item {
        Item
    }

    async fn who(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.data::<Caller>()?.name.clone())
    }

    /// Fails with a chain of causes.
    async fn faulty(&self) -> Result<Option<u32>> {
        let inner = std::io::Error::other("the disk of alice is on fire");
        Err(fault(std::io::Error::other(inner)))
    }

    /// Fails with a plain error of some library.
    async fn careless(&self) -> Result<Option<u32>> {
        Ok(Some("not a number".parse::<u32>()?))
    }

    async fn refused(&self) -> Result<Option<u32>> {
        Err(refusal("SESSION_NOT_LIVE", "the session is not live"))
    }

    async fn panics(&self) -> Option<u32> {
        Some("x".repeat(2).len()).filter(|length| *length > 2).expect("a resolver panics in this test");
        None
    }
}

macro_rules! wide {
    ($($field:ident)*) => {
        /// As many fields as a type of a large schema has.
        #[derive(SimpleObject, Default)]
        pub struct Wide {
            $($field: u32,)*
        }
    };
}

wide! {
    participants_allowed_at_once participants_waiting_now participants_admitted participants_removed participants_on_hold
    duration_allowed_in_minutes duration_so_far_in_minutes empty_timeout_in_minutes extended_by_in_minutes ends_at_latest
    recordings_available recordings_incomplete recordings_processing recordings_failed recordings_deleted
    transcripts_available transcripts_failed transcripts_in_progress transcripts_languages transcripts_deleted
    messages_sent messages_removed messages_attachments messages_by_hosts messages_by_guests
    consents_given consents_withdrawn consents_pending consents_by_guardians consents_renewed
    organization_time_zone organization_locale organization_currency organization_billing_day organization_plan
    retention_class_of_records retention_due_date retention_legal_hold retention_certificate retention_calendar
}

pub struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &Context<'_>) -> Result<usize> {
        Ok(ctx.data::<Arc<AtomicUsize>>()?.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// A process of two steps.
    async fn bump_twice(&self, ctx: &Context<'_>) -> Result<usize> {
        self.bump(ctx).await?;
        tokio::time::sleep(Duration::from_millis(150)).await;
        self.bump(ctx).await
    }

    async fn panics(&self) -> Option<u32> {
        Some("x".repeat(2).len()).filter(|length| *length > 2).expect("a mutation panics in this test");
        None
    }
}

#[derive(SimpleObject, Clone)]
pub struct Tick {
    position: u64,
    filler: String,
}

/// Counts the streams that are alive.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub struct SubscriptionRoot;

#[Subscription]
impl SubscriptionRoot {
    /// The positions after `after`, `bytes` of filler in each; without `until` they never end.
    async fn ticks(
        &self,
        ctx: &Context<'_>,
        #[graphql(default)] after: u64,
        until: Option<u64>,
        #[graphql(default)] bytes: usize,
    ) -> Result<impl Stream<Item = Tick>> {
        let subscriber = ctx.data::<Subscriber>()?.clone();
        let alive = ctx.data::<Arc<AtomicUsize>>()?.clone();
        alive.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(alive);
        Ok(stream::iter(after + 1..=until.unwrap_or(u64::MAX)).map(move |position| {
            let _ = &alive;
            subscriber.reached(position.to_string());
            Tick { position, filler: "x".repeat(bytes) }
        }))
    }

    /// Never says anything; ends when the door's `grant` is taken away.
    async fn guarded(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = u32>> {
        let grant = ctx.data::<Arc<AtomicBool>>()?.clone();
        ctx.data::<Subscriber>()?.allowed_while("the grant", move || {
            let allowed = grant.load(Ordering::SeqCst);
            Box::pin(async move { allowed })
        });
        Ok(stream::once(pending()))
    }

    /// Begins after position 7 and never says anything.
    async fn silent(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = u32>> {
        ctx.data::<Subscriber>()?.begins_after("7");
        Ok(stream::once(pending()))
    }

    async fn idle(&self) -> impl Stream<Item = u32> {
        stream::once(pending())
    }

    async fn unknown(&self) -> Result<impl Stream<Item = u32>> {
        Err::<stream::Empty<u32>, _>(refusal("SESSION_NOT_FOUND", "there is no such session"))
    }

    async fn panicking(&self) -> impl Stream<Item = u32> {
        stream::once(async { panic!("a stream panics in this test") })
    }
}

#[derive(Clone)]
pub struct Caller {
    pub name: String,
}

/// Knows a few credentials by what they are called.
#[derive(Clone, Default)]
pub struct Door(Arc<DoorState>);

#[derive(Default)]
pub struct DoorState {
    ids: AtomicU64,
    pub asked: AtomicUsize,
    pub shut: AtomicBool,
    pub present: Mutex<HashMap<String, i64>>,
}

impl std::ops::Deref for Door {
    type Target = DoorState;

    fn deref(&self) -> &DoorState {
        &self.0
    }
}

impl Authenticate for Door {
    type Caller = Caller;

    fn new_request_id(&self) -> CorrelationId {
        CorrelationId(u128::from(self.ids.fetch_add(1, Ordering::SeqCst)) + 1)
    }

    async fn authenticate(
        &self,
        credential: Option<&str>,
        _request: CorrelationId,
    ) -> Result<Authenticated<Caller>, Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let known = |name: &str, number, share| {
            let (caller, introspection) = (Caller { name: name.to_owned() }, share == Share::Key);
            Ok(Authenticated { caller, credential: Some(number), share, introspection })
        };
        match credential {
            Some("owner") => known("owner", 1, Share::Key),
            Some("guest") => known("guest", 2, Share::Participant),
            Some("stranger") => {
                let message = "not in this organization".to_owned();
                Err(Refusal::Forbidden { code: "FORBIDDEN", message })
            }
            Some("broken") => Err(Refusal::Fault("the directory of alice is gone".into())),
            Some(_) | None => Err(Refusal::Unauthenticated),
        }
    }

    async fn still_allowed(&self, _caller: &Caller) -> bool {
        !self.shut.load(Ordering::SeqCst)
    }

    fn connection_opened(&self, caller: &Caller) {
        *self.present.lock().unwrap().entry(caller.name.clone()).or_default() += 1;
    }

    fn connection_closed(&self, caller: &Caller) {
        *self.present.lock().unwrap().entry(caller.name.clone()).or_default() -= 1;
    }
}

pub type TestSchema = Schema<Query, Mutation, SubscriptionRoot>;

/// All that a test may look at or pull at.
pub struct House {
    pub schemas: Schemas<TestSchema>,
    pub door: Door,
    pub options: Options,
    pub shutdown: watch::Sender<bool>,
    /// Streams of `ticks` that are alive, and how often `bump` ran.
    pub counter: Arc<AtomicUsize>,
    pub grant: Arc<AtomicBool>,
}

impl House {
    pub fn new() -> Self {
        let counter = Arc::new(AtomicUsize::new(0));
        let grant = Arc::new(AtomicBool::new(true));
        let builder = || Schema::build(Query, Mutation, SubscriptionRoot).data(counter.clone()).data(grant.clone());
        let schemas =
            Schemas { strict: builder().finish(), fast: builder().validation_mode(ValidationMode::Fast).finish() };
        let mut options = Options::default();
        options.limits.init_time_max = Duration::from_millis(200);
        options.limits.recheck_every = Duration::from_millis(50);
        options.limits.stall_time_max = Duration::from_millis(300);
        options.limits.farewell_time_max = Duration::from_secs(2);
        Self { schemas, door: Door::default(), options, shutdown: watch::channel(false).0, counter, grant }
    }

    pub fn router(&self) -> axum::Router {
        crate::router(self.schemas.clone(), self.door.clone(), self.options.clone(), self.shutdown.subscribe())
    }
}

/// CPU time of this thread so far.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
