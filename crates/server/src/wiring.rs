//! Where the pieces are put together: from a data folder to everything that serves from it, and back down in order.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use tokio::{sync::watch, task::JoinHandle};
use witan_app::{
    App, Sources,
    reactors::{self, Leadership, Progress, Reactors},
};
use witan_auth::{Policies, TokenKey};
use witan_event_store::EventStore;
use witan_event_store_embedded::{Journal, OpenError, Options as JournalOptions};
use witan_graphql::{Callers, Figures, Limits, Options as GraphqlOptions, Services};
use witan_ledger::{LedgerError, MerkleLog, Signer};
use witan_media::{FakeMedia, Media, NoMedia};
use witan_projections::ReadModels;
use witan_vault::{MasterKey, Vault};

use crate::{
    clock,
    config::{self, Config},
    data_folder::{DataFolder, Parts, write_whole},
    erasures::{self, vault_file, vault_key},
    failure::Failure,
    health::{FollowerStanding, Part, Standing},
    lookups::ModelLookups,
    measured::Measured,
    metrics::Metrics,
    stage::Stage,
    watched,
};

/// Is there from the making of a data folder until its first organization was made and its key told. Holds what makes
/// that idempotent: a start that was cut off before the key was told tells the same key again.
const FIRST_START: &str = "first-start";
/// The name under which checkpoints are signed, before its random part.
const LOG_NAME: &str = "witan";
/// How long a follower may take to come to a safe point.
const STOP_SECONDS_MAX: u64 = 10;
/// How often a start tells how far the read models are.
const CATCH_UP_TOLD_EVERY: Duration = Duration::from_secs(2);

/// Everything that runs on one data folder.
pub struct System {
    folder: DataFolder,
    pub(crate) journal: Arc<Journal>,
    pub(crate) store: Arc<Measured>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) read_models: Arc<ReadModels>,
    pub(crate) app: Arc<App>,
    reactors: Reactors,
    media: config::Media,
    pub(crate) figures: Arc<Figures>,
    pub(crate) stop: watch::Sender<bool>,
    followers: Mutex<Vec<JoinHandle<()>>>,
    /// Where the list of erasures is kept.
    backups: Option<PathBuf>,
    /// Backups and replays, one at a time.
    pub(crate) chore: tokio::sync::Mutex<()>,
}

impl System {
    /// The first content of a new data folder.
    pub fn fill(parts: &Parts) -> Result<(), String> {
        fn text(error: impl std::error::Error) -> String {
            Failure::caused("it can't be filled", &error).text
        }
        Journal::open(parts.journal(), JournalOptions::default()).map_err(text)?.close();
        let key = MasterKey::create(&vault_key(parts), clock::random()).map_err(text)?;
        drop(Vault::create(&vault_file(parts), key).map_err(text)?);
        TokenKey::create(&token_key(parts), clock::random()).map_err(text)?;
        drop(Signer::create(parts.data(), LOG_NAME).map_err(text)?);
        let nonce = format!("{:032x}\n", u128::from_be_bytes(clock::random()));
        write_whole(parts.data(), FIRST_START, nonce.as_bytes()).map_err(text)
    }

    /// Opens all parts, starts the followers, and waits until the read models know all that the journal has: access
    /// must not be judged by old grants.
    pub async fn open(
        folder: DataFolder,
        config: &Config,
        metrics: Metrics,
        stage: Stage,
    ) -> Result<Arc<Self>, Failure> {
        Self::open_with(folder, config, metrics, stage, Sources::machine()).await
    }

    /// The same with a clock and a chance of the caller's.
    pub async fn open_with(
        folder: DataFolder,
        config: &Config,
        metrics: Metrics,
        stage: Stage,
        sources: Sources,
    ) -> Result<Arc<Self>, Failure> {
        let media = config.media;
        let (for_store, parts_stage) = (metrics.clone(), stage.clone());
        let opened = tokio::task::spawn_blocking(move || Opened::open(folder, for_store, &parts_stage)).await;
        let opened = opened.map_err(|error| Failure::caused("opening the data folder", &error))??;
        let system = Arc::new(opened.start(media, config.backups.clone(), sources)?);
        if let Some(backups) = &config.backups {
            let kept = erasures::keep(system.vault.clone(), backups.clone(), system.stop.subscribe());
            system.follow([tokio::spawn(kept)]);
        }
        watched::watch(&system, &metrics);
        system.catch_up(&stage).await;
        Ok(system)
    }

    fn follow(&self, tasks: impl IntoIterator<Item = JoinHandle<()>>) {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).extend(tasks);
    }

    async fn catch_up(&self, stage: &Stage) {
        let newest = *self.store.durable().borrow();
        stage.reached("the read models");
        while !self.read_models.wait_for(newest, CATCH_UP_TOLD_EVERY).await {
            let progress = self.read_models.progress().borrow().clone();
            if progress.stopped.is_some() {
                return;
            }
            let (position, of) = (progress.position.0, newest.0);
            stage.reached(format!("the read models, at position {position} of {of}"));
            tracing::info!(position, of, "the read models are catching up");
        }
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    pub fn parts(&self) -> Parts {
        self.folder.parts()
    }

    /// What makes the first organization idempotent, until [`System::first_key_told`].
    pub fn first_start(&self) -> Option<String> {
        std::fs::read_to_string(self.data().join(FIRST_START)).ok()
    }

    /// The first key was told: it is not told again.
    pub fn first_key_told(&self) {
        if let Err(error) = std::fs::remove_file(self.data().join(FIRST_START)) {
            tracing::warn!(%error, "the next start will tell the first key again");
        }
    }

    /// `/graphql`.
    pub fn router(&self, config: &Config, shutdown: watch::Receiver<bool>) -> Router {
        let limits = &config.graphql;
        let limits = Limits {
            body_bytes_max: config.body_bytes_max,
            depth_max: limits.depth_max as usize,
            selections_max: limits.selections_max as usize,
            aliases_max: limits.aliases_max as usize,
            tokens_max: limits.tokens_max as usize,
            init_time_max: limits.hello_timeout,
            subscriptions_per_connection_max: limits.subscriptions_max as usize,
            connections_max: config.connections_max as usize,
            ..Limits::default()
        };
        let options = GraphqlOptions { limits, figures: self.figures.clone() };
        let schemas = witan_graphql::schemas(Services { app: self.app.clone(), models: self.read_models.clone() });
        witan_graphql::router(schemas, Callers::new(self.app.clone()), options, shutdown)
    }

    pub fn standing(&self, shutting_down: bool) -> Standing {
        let newest = *self.store.durable().borrow();
        let models = self.read_models.progress().borrow().clone();
        // Damage that only a reader has met so far will stop the follower when it gets there.
        let stopped = models.stopped.or_else(|| self.read_models.damage().map(str::to_owned));
        let models = Progress { position: models.position, stopped, failing: 0 };
        let followers = [("read-models", models), ("feeds", self.app.feeds.progress())];
        let followers =
            followers.into_iter().chain(self.reactors.progress()).map(|(name, progress)| FollowerStanding {
                name: name.into(),
                // Whoever follows something else than the log is never behind it.
                cursor: progress.position.min(newest).0,
                lag: newest.0.saturating_sub(progress.position.0),
                stopped: progress.stopped,
                failing: progress.failing,
            });
        let damage = self.journal.damages().into_iter().next().map(|damage| damage.to_string());
        Standing {
            position: newest.0,
            journal: Part::new(self.store.trouble().or(damage)),
            vault: Part::new(self.vault.trouble().map(|error| error.to_string())),
            followers: followers.collect(),
            media: match self.media {
                config::Media::None => "none",
                config::Media::Fake => "fake",
            },
            shutting_down,
        }
    }

    /// Followers come to a safe point, then the journal is closed.
    pub async fn close(&self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async {
            for follower in followers {
                if let Err(error) = follower.await {
                    tracing::error!(%error, "a follower did not end well");
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), all).await.is_err() {
            tracing::warn!("a follower did not come to a safe point in time: what it has not kept, it does again");
        }
        // Whoever was erased in the last seconds is on the list too: this may be the end of the data folder.
        if let Some(backups) = &self.backups {
            erasures::keep_now(&self.vault, backups).await;
        }
        let journal = self.journal.clone();
        let closed = tokio::task::spawn_blocking(move || journal.close()).await;
        closed.map_err(|error| Failure::caused("closing the journal", &error))
    }
}

/// The parts of a data folder, opened.
struct Opened {
    folder: DataFolder,
    journal: Arc<Journal>,
    store: Arc<Measured>,
    vault: Arc<Vault>,
    read_models: Arc<ReadModels>,
    tokens: TokenKey,
    merkle_log: MerkleLog,
    signer: Signer,
    policies: Policies,
}

impl Opened {
    fn open(folder: DataFolder, metrics: Metrics, stage: &Stage) -> Result<Self, Failure> {
        let parts = folder.parts();
        let data = parts.data().display().to_string();
        // Whoever made the folder made the journal: opened without its files, it would begin a second history.
        if std::fs::read_dir(parts.journal()).map_or(true, |mut entries| entries.next().is_none()) {
            return Err(Failure::found_wrong(format!(
                "the journal in {data} is missing or empty, though the folder was made whole: mount the volume that holds \
                 {}, or restore a backup into a new folder (witan restore)",
                parts.journal().display()
            )));
        }
        let failed = |what: &'static str| move |error: &dyn std::error::Error| Failure::caused(what, error);
        stage.reached("the journal");
        let journal =
            Journal::open(parts.journal(), JournalOptions::default()).map_err(|error| journal_failure(&error))?;
        tell_opened(&journal);
        let journal = Arc::new(journal);
        let store = Arc::new(Measured::new(journal.clone(), metrics));
        stage.reached("the vault");
        let key = MasterKey::open(&vault_key(&parts)).map_err(|e| failed("the vault's key")(&e))?;
        let vault = Arc::new(Vault::open(&vault_file(&parts), key).map_err(|e| failed("the vault")(&e))?);
        stage.reached("the read models' database");
        let read_models = ReadModels::open(&read_model_rows(&parts)).map_err(|e| failed("the read models")(&e))?;
        stage.reached("the Merkle log");
        let tokens = TokenKey::open(&token_key(&parts)).map_err(|e| failed("the key of join tokens")(&e))?;
        let merkle_log = open_merkle_log(&parts.ledger()).map_err(|e| failed("the Merkle log")(&e))?;
        let signer = Signer::open(parts.data()).map_err(|e| failed("the key of checkpoints")(&e))?;
        let policies = Policies::try_new().map_err(|e| failed("the policies")(&e))?;
        Ok(Self {
            folder,
            journal,
            store,
            vault,
            read_models: Arc::new(read_models),
            tokens,
            merkle_log,
            signer,
            policies,
        })
    }

    fn start(self, media: config::Media, backups: Option<PathBuf>, sources: Sources) -> Result<System, Failure> {
        let Self { folder, journal, store, vault, read_models, tokens, merkle_log, signer, policies } = self;
        let carried: Arc<dyn Media> = match media {
            config::Media::None => Arc::new(NoMedia),
            config::Media::Fake => Arc::new(FakeMedia::default()),
        };
        let app = Arc::new(App::new(witan_app::Pieces {
            store: store.clone(),
            vault: vault.clone(),
            policies,
            tokens,
            directory: read_models.clone(),
            lookups: Arc::new(ModelLookups(read_models.clone())),
            merkle_log,
            signer,
            media: carried,
            sources,
        }));
        let (stop, stopped) = watch::channel(false);
        let cursors = folder.parts().read_models().join("reactors");
        std::fs::create_dir_all(&cursors).map_err(|error| Failure::caused("the reactors' cursors", &error))?;
        let leadership = Leadership::by_lock_of_data_folder();
        let (reactors, mut followers) = reactors::start(&app, &leadership, &cursors, &stopped);
        let (models, models_store, models_stopped) = (read_models.clone(), store.clone(), stopped.clone());
        followers.push(tokio::spawn(async move {
            // It says itself why it stopped, in its progress and in the log.
            let _ = models.run(models_store, models_stopped).await;
        }));
        let feeds = app.clone();
        followers.push(tokio::spawn(async move {
            feeds.feeds.run(stopped).await;
        }));
        Ok(System {
            folder,
            journal,
            store,
            vault,
            read_models,
            app,
            reactors,
            media,
            figures: Arc::default(),
            stop,
            followers: Mutex::new(followers),
            backups,
            chore: tokio::sync::Mutex::new(()),
        })
    }
}

/// Damage is not mended by trying again: what helps is said.
fn journal_failure(error: &OpenError) -> Failure {
    if !matches!(error, OpenError::Damaged(_) | OpenError::HeadMissing { .. } | OpenError::NotAJournal { .. }) {
        return Failure::caused("the journal", error);
    }
    Failure::found_wrong(format!(
        "the journal is damaged, so nothing is served: {error}\nNothing was changed. Keep a copy of the folder, then restore \
         a backup into a new one (witan restore); `witan journal verify` reads everything again."
    ))
}

/// What opening the journal found is said: nothing is mended in silence.
fn tell_opened(journal: &Journal) {
    let opened = journal.opened();
    tracing::info!(events = opened.events, segments = opened.segments, "the journal is open");
    if let Some(cut) = &opened.cut {
        tracing::warn!(
            file = %cut.file.display(), offset = cut.offset, bytes = cut.bytes, position = cut.position, what = cut.what,
            "the remains of a commit that nobody was told of were cut off the journal's end"
        );
    }
    if let Some(why) = &opened.index_rebuilt {
        tracing::warn!(why, "the index of streams was rebuilt");
    }
    if opened.head_slot_spoiled {
        tracing::warn!("one of the two slots of `head` was spoiled; the other one counted");
    }
    if opened.roll_finished {
        tracing::info!("a change of segments that was interrupted is finished");
    }
}

/// A Merkle log that is damaged is built again from the events; the signer refuses if that gives another history.
fn open_merkle_log(folder: &Path) -> Result<MerkleLog, LedgerError> {
    match MerkleLog::open(folder) {
        Err(error) if error.needs_rebuild() => {
            tracing::warn!(%error, "rebuilding the Merkle log");
            MerkleLog::open_empty(folder)
        }
        other => other,
    }
}

pub fn token_key(parts: &Parts) -> PathBuf {
    parts.keys().join("tokens.key")
}

fn read_model_rows(parts: &Parts) -> PathBuf {
    parts.read_models().join("rows")
}

/// The GraphQL schema as text.
pub fn schema() -> String {
    witan_graphql::sdl()
}

#[cfg(test)]
mod tests;
