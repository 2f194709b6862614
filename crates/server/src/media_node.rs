//! The media node of this server: found where an earlier server left it, started where there is none, started again when
//! it is lost. It is a process of its own that outlives this one: who is in a call stays in it while the server restarts.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{Instant, timeout},
};
use witan_media_protocol::{
    AttachError, Attached, RemoteMedia,
    settings::{Settings, Turn},
    wire,
};

use crate::failure::Failure;

const SOCKET: &str = "media-node.sock";
const LOG: &str = "media-node.log";
/// The program, beside our own.
const PROGRAM: &str = "witan-media-node";
/// A log that is longer when a node starts begins anew; the one before is kept.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// How long a node may take until it answers.
const START_SECONDS_MAX: u64 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// A node tells its load twice a second; one that says nothing for so long hangs.
const SILENT_SECONDS_MAX: u64 = 10;
/// Before a node that could not be started is tried again; doubles up to the maximum.
const RETRY_MILLISECONDS_MIN: u64 = 250;
const RETRY_MILLISECONDS_MAX: u64 = 10_000;

/// How media is carried, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub listen: Vec<IpAddr>,
    pub announced: Vec<String>,
    pub port: u16,
    pub workers: u16,
    pub turn_urls: Vec<String>,
    /// A file that holds the secret which is shared with them.
    pub turn_secret_file: Option<PathBuf>,
    pub idle: Duration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: vec![IpAddr::from([127, 0, 0, 1])],
            announced: Vec::new(),
            port: 0,
            workers: 0,
            turn_urls: Vec::new(),
            turn_secret_file: None,
            idle: Duration::from_secs(300),
        }
    }
}

/// How the node stands, for health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeStanding {
    pub there: bool,
    pub pid: Option<u32>,
    /// How often a node was started or found since this server started.
    pub attached: u64,
    /// How often one was lost.
    pub lost: u64,
    pub workers: u32,
    pub sessions: u32,
    pub participants: u32,
    pub streams: u32,
    pub offers: u32,
    pub observations_waiting: u32,
    /// Why there is none.
    pub why: Option<String>,
}

/// Watches over the node.
pub struct Supervisor {
    data: PathBuf,
    /// Kept open: the kernel takes no long path to a socket, and this leads there by a short one.
    folder: File,
    program: PathBuf,
    settings: Settings,
    media: Arc<RemoteMedia>,
    standing: watch::Sender<NodeStanding>,
}

/// "All addresses" is none that a participant could send to.
fn reachable(config: &NodeConfig) -> Result<(), Failure> {
    let announced = |ip: &IpAddr| {
        config.announced.iter().any(|text| text.parse::<IpAddr>().map_or(true, |other| other.is_ipv4() == ip.is_ipv4()))
    };
    match config.listen.iter().find(|ip| ip.is_unspecified() && !announced(ip)) {
        None => Ok(()),
        Some(ip) => Err(Failure::wrong_use(format!(
            "media_listen has {ip}, all addresses of its family: say in media_announced_address which one participants reach \
             this machine by, or listen on that one"
        ))),
    }
}

fn turn(config: &NodeConfig) -> Result<Option<Turn>, Failure> {
    match (&config.turn_secret_file, config.turn_urls.is_empty()) {
        (None, true) => Ok(None),
        (Some(path), false) => {
            let secret = std::fs::read_to_string(path)
                .map_err(|error| Failure::wrong_use(format!("media_turn_secret_file: {}: {error}", path.display())))?;
            let secret = secret.trim().to_owned();
            if secret.is_empty() {
                return Err(Failure::wrong_use(format!("media_turn_secret_file: {} is empty", path.display())));
            }
            Ok(Some(Turn { urls: config.turn_urls.clone(), secret }))
        }
        (None, false) | (Some(_), true) => Err(Failure::wrong_use(
            "media_turn_urls and media_turn_secret_file belong together: set both, or none of them",
        )),
    }
}

/// What became of a node that was there.
enum End {
    /// It is gone, or hangs.
    Lost(&'static str),
    /// This server stops.
    Stop,
}

impl Supervisor {
    pub fn open(data: &Path, config: &NodeConfig, media: Arc<RemoteMedia>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::caused("the media node", &error);
        let own = std::env::current_exe().map_err(failed)?;
        reachable(config)?;
        let settings = Settings {
            // From the data folder, in which the node runs.
            socket: SOCKET.into(),
            listen: config.listen.clone(),
            announced: config.announced.clone(),
            port: config.port,
            workers: config.workers,
            turn: turn(config)?,
            idle_seconds: config.idle.as_secs(),
        };
        Ok(Self {
            data: data.to_owned(),
            folder: File::open(data).map_err(failed)?,
            program: own.with_file_name(PROGRAM),
            settings,
            media,
            standing: watch::Sender::default(),
        })
    }

    pub fn standing(&self) -> watch::Receiver<NodeStanding> {
        self.standing.subscribe()
    }

    /// Until this server stops.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut pause = RETRY_MILLISECONDS_MIN;
        loop {
            let found = tokio::select! {
                found = self.find_or_start() => found,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match found {
                Ok((attached, child)) => {
                    pause = RETRY_MILLISECONDS_MIN;
                    if let End::Stop = self.watch(attached, child, &mut stop).await {
                        return self.media.retire().await;
                    }
                }
                Err(why) => {
                    tracing::error!(why, "there is no media node: sessions wait for media");
                    self.media.detach();
                    self.standing.send_modify(|standing| standing.why = Some(why));
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                    pause = (pause * 2).min(RETRY_MILLISECONDS_MAX);
                }
            }
        }
    }

    async fn attach(&self) -> Result<Attached, AttachError> {
        let socket = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.folder.as_raw_fd()));
        self.media.attach(&socket).await
    }

    async fn find_or_start(&self) -> Result<(Attached, Option<Child>), String> {
        match self.attach().await {
            Ok(attached) if self.is_ours(&attached).await => {
                tracing::info!(pid = attached.greeting.pid, "found the media node that runs");
                return Ok((attached, None));
            }
            Ok(attached) => {
                tracing::info!(
                    pid = attached.greeting.pid,
                    "the media node has other settings and carries nobody: it ends"
                );
                self.media.detach();
                end(attached.greeting.pid, Signal::TERM);
            }
            Err(AttachError::Protocol { found, pid }) => {
                tracing::warn!(pid, found, "the media node is of another version of witan: it ends");
                end(pid, Signal::TERM);
            }
            Err(AttachError::NotThere(_) | AttachError::Silent(_) | AttachError::Path(_)) => {}
        }
        self.start().await
    }

    /// A node that carries somebody stays, even with settings of before.
    async fn is_ours(&self, attached: &Attached) -> bool {
        if attached.greeting.settings == self.settings.digest() {
            return true;
        }
        let sessions = witan_media::Media::sessions(&*self.media).await.unwrap_or_default();
        if !sessions.is_empty() {
            tracing::warn!("the media node carries sessions, so changed settings of media wait until it ends");
        }
        !sessions.is_empty()
    }

    async fn start(&self) -> Result<(Attached, Option<Child>), String> {
        // One that nobody answers at is left from a node that is gone.
        let _ = std::fs::remove_file(self.data.join(SOCKET));
        let mut child = self.spawn().map_err(|error| {
            let program = self.program.display();
            format!(
                "{program} can't be started: {error}; it comes with witan and belongs beside it (or set media to none)"
            )
        })?;
        let pid = child.id();
        tracing::info!(pid, "starts a media node");
        let until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("it ended at once ({status}): {}", self.last_words()));
            }
            if self.data.join(SOCKET).exists()
                && let Ok(attached) = self.attach().await
            {
                return Ok((attached, Some(child)));
            }
            if Instant::now() >= until {
                // What does not answer now would be in the way of the next one.
                let _ = child.kill().await;
                return Err(format!("it did not answer within {START_SECONDS_MAX} s: {}", self.last_words()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let path = self.data.join(LOG);
        if path.metadata().is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(&path, self.data.join(format!("{LOG}.1")))?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let settings = serde_json::to_string(&self.settings)?;
        let mut child = Command::new(&self.program)
            .current_dir(&self.data)
            // What is typed at our terminal (Ctrl-C) is not for the node.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let input = child.stdin.take().ok_or_else(|| io::Error::other("no standard input"))?;
        let mut input = File::from(input.into_owned_fd()?);
        writeln!(input, "{settings}")?;
        Ok(child)
    }

    /// The end of the node's log, which says why.
    fn last_words(&self) -> String {
        let log = std::fs::read(self.data.join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let last = text.lines().next_back().unwrap_or("it said nothing");
        let fields = serde_json::from_str::<serde_json::Value>(last).ok();
        let why = fields.as_ref().and_then(|fields| fields["fields"]["why"].as_str());
        why.unwrap_or(last).to_owned()
    }

    /// Until the node is lost, or this server stops.
    async fn watch(&self, mut attached: Attached, mut child: Option<Child>, stop: &mut watch::Receiver<bool>) -> End {
        let pid = attached.greeting.pid;
        self.standing.send_modify(|standing| {
            *standing = NodeStanding {
                there: true,
                pid: Some(pid),
                attached: standing.attached + 1,
                lost: standing.lost,
                ..NodeStanding::default()
            };
        });
        let end = loop {
            tokio::select! {
                load = timeout(Duration::from_secs(SILENT_SECONDS_MAX), attached.next_load()) => match load {
                    Ok(Some(load)) => self.standing.send_modify(|standing| show(standing, &load)),
                    Ok(None) => break End::Lost("its connection broke"),
                    Err(_) => break End::Lost("it says nothing any more"),
                },
                _ = stop.wait_for(|stop| *stop) => return End::Stop,
            }
        };
        self.media.detach();
        if let End::Lost(why) = &end {
            tracing::error!(pid, why, "the media node is lost: its sessions are interrupted");
            self.standing.send_modify(|standing| {
                *standing = NodeStanding {
                    attached: standing.attached,
                    lost: standing.lost + 1,
                    why: Some((*why).to_owned()),
                    ..NodeStanding::default()
                };
            });
        }
        // One that hangs would keep the ports.
        crate::media_node::end(pid, Signal::KILL);
        if let Some(child) = &mut child {
            // Its status says nothing that is not known.
            let _ = child.wait().await;
        }
        end
    }
}

fn show(standing: &mut NodeStanding, load: &wire::Load) {
    standing.workers = load.workers;
    standing.sessions = load.sessions;
    standing.participants = load.participants;
    standing.streams = load.streams;
    standing.offers = load.offers;
    standing.observations_waiting = load.observations_waiting;
}

/// Ends a node of ours. One that is gone already is as good.
fn end(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, signal);
}
