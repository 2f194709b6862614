//! `witan serve`: from a configuration to a listener, and back down in order.

use std::{
    io::{IsTerminal, Write, stdout},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{Router, middleware::from_fn_with_state, routing::get};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use witan_domain::CorrelationId;

use crate::{
    admin::{self, CreatedOrganization, NewOrganization},
    clock,
    config::{Config, LogFormat, Settled},
    data_folder::DataFolder,
    edge::{self, Edge},
    failure::Failure,
    health, listener,
    metrics::Metrics,
    pages::{self, Home},
    stage::Stage,
    urls::Urls,
    wiring::System,
};

/// The exit code of a process that was told to stop twice: 128 and SIGINT's number, as shells have it.
const STOPPED_AT_ONCE: i32 = 130;
/// What a connection may need of file descriptors besides those of the data folder.
const DESCRIPTORS_SPARE: u64 = 1_024;
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The first organization, made at the first start.
const FIRST_SLUG: &str = "first";
const FIRST_NAME: &str = "First organization";
const FIRST_OWNER_LOGIN: &str = "owner";
const FIRST_OWNER_NAME: &str = "Owner";

pub async fn serve(settled: &Settled, ready_json: bool) -> Result<(), Failure> {
    let config = &settled.config;
    for warning in settled.warnings.iter().chain(&odd(config)) {
        tracing::warn!("{warning}");
    }
    raise_descriptors(config.connections_max);
    let mut stop_signals = StopSignals::new()?;
    // The port first: whether it is free shows at once, and nothing has been touched yet.
    let listener = bind(config.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::caused("can't tell the port", &error))?;
    let started = clock::monotonic();
    let (metrics, stage) = (Metrics::new(), Stage::default());
    let (shutdown, down) = watch::channel(false);
    let edge = Arc::new(Edge::new(config, metrics.clone()));
    let (routes, routed) = watch::channel(stage.router(edge.clone()));
    let limits = listener::Limits {
        connections_max: config.connections_max,
        header_timeout: config.header_timeout,
        idle_timeout: config.idle_timeout,
        stall_timeout: Duration::from_secs(witan_graphql::limits::STALL_SECONDS_MAX),
        shutdown_grace: config.shutdown_grace,
    };
    let cuts = metrics.clone();
    let serving = tokio::spawn(listener::serve(listener, routed, limits, down.clone(), move |cut| cuts.cut(cut)));
    tracing::info!(%address, "listening; opening the data folder");
    let system = open(config, &metrics, &stage, &mut stop_signals).await?;
    let opened = started.elapsed();
    system.carry_media();
    let first = match system.first_start() {
        Some(nonce) => Some(make_first_organization(&system, &nonce).await?),
        None => None,
    };
    let urls = Urls::new(&config.public_url.clone().unwrap_or_else(|| url_of(address)));
    let operators = admin::listen(system.data()).map_err(|error| Failure::caused("the operator's socket", &error))?;
    let operators = tokio::spawn(admin::serve(operators, system.clone()));
    let _before = routes.send_replace(router(config, &system, &metrics, &urls, edge, down));
    let json = ready_json || config.log_format == LogFormat::Json;
    let told = tell_ready(&Ready { urls: &urls, system: &system, first: first.as_ref(), opened }, config, json);
    match (&first, told) {
        (Some(_), true) => system.first_key_told(),
        (Some(_), false) => {
            tracing::warn!("stdout can't be written, so nobody saw the first API key: the next start tells it")
        }
        (None, _) => {}
    }
    stop_signals.wait().await;
    tracing::info!("shutting down; once more to stop at once");
    shutdown.send_replace(true);
    tokio::spawn(async move {
        stop_signals.wait().await;
        std::process::exit(STOPPED_AT_ONCE);
    });
    stop(&system, serving, operators).await
}

async fn open(
    config: &Config,
    metrics: &Metrics,
    stage: &Stage,
    stop_signals: &mut StopSignals,
) -> Result<Arc<System>, Failure> {
    stage.reached("the data folder");
    let folder = DataFolder::open_or_make(&config.data, "serve", System::fill)?;
    if folder.made {
        tracing::info!("made a new data folder");
    }
    tokio::select! {
        opened = System::open(folder, config, metrics.clone(), stage.clone()) => opened,
        // Nothing but health is served yet, so nobody needs to be told; a rebuild of the read models can take minutes.
        () = stop_signals.wait() => {
            tracing::info!("told to stop before it served");
            std::process::exit(0);
        }
    }
}

/// Requests are let end, then the operator's, then the followers, then the journal.
async fn stop(system: &System, serving: JoinHandle<u32>, operators: JoinHandle<()>) -> Result<(), Failure> {
    let cut = serving.await.map_err(|error| Failure::caused("the listener", &error))?;
    if cut > 0 {
        tracing::warn!(connections = cut, "still open after the grace: cut");
    }
    operators.abort();
    let closed = system.close().await;
    admin::unlisten(system.data());
    tracing::info!("stopped");
    closed
}

fn router(
    config: &Config,
    system: &Arc<System>,
    metrics: &Metrics,
    urls: &Urls,
    edge: Arc<Edge>,
    down: watch::Receiver<bool>,
) -> Router {
    let home = Home::new(urls, config.metrics);
    let graphql = system.router(config, down.clone());
    let mut router = Router::new()
        .route("/", get(move || async move { home.response() }))
        .merge(pages::meet(config, urls))
        .route("/health/live", get(health::live))
        .route(
            "/health/ready",
            get({
                let (system, down) = (system.clone(), down.clone());
                move || async move { system.standing(*down.borrow()).response() }
            }),
        );
    if config.metrics {
        let (system, metrics) = (system.clone(), metrics.clone());
        let text =
            move || async move { ([(CONTENT_TYPE, METRICS_TYPE)], metrics.text(&system.standing(*down.borrow()))) };
        router = router.route("/metrics", get(text));
    }
    router.merge(graphql).fallback(nothing_here).layer(from_fn_with_state(edge, edge::pass))
}

async fn nothing_here(request: axum::extract::Request) -> axum::response::Response {
    let id = request.extensions().get::<CorrelationId>().map(ToString::to_string).unwrap_or_default();
    let id = HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("request"));
    edge::refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path. GraphQL is at /graphql.", &id)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program has that port: stop it, or name another with --listen",
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: name one that it has, or 0.0.0.0 for all"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege: name a higher one with --listen"
            }
            _ => "name another address with --listen",
        };
        Failure::new(format!("can't listen on {address}: {error}; {hint}"))
    })
}

/// What is allowed but rarely meant.
fn odd(config: &Config) -> Vec<String> {
    let mut odd = Vec::new();
    let https = config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    if !config.listen.ip().is_loopback() && !https {
        let address = config.listen;
        odd.push(format!(
            "listening on {address}, which other machines can reach, without a public_url that is https: API keys would \
             cross the network in clear; put a proxy that does TLS in front and set public_url"
        ));
    }
    if config.idle_timeout < config.header_timeout {
        odd.push("idle_timeout_seconds is shorter than header_timeout_seconds, which then never acts".into());
    }
    odd
}

/// Each connection is a file descriptor, and the usual soft limit is 1024.
fn raise_descriptors(connections_max: u32) {
    let wanted = u64::from(connections_max) + DESCRIPTORS_SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum });
    if raised.is_err() || possible < wanted {
        tracing::warn!(
            possible,
            wanted,
            "fewer file descriptors than connections_max asks for: raise the hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
}

fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

async fn make_first_organization(system: &System, nonce: &str) -> Result<CreatedOrganization, Failure> {
    let new = NewOrganization {
        slug: FIRST_SLUG.into(),
        name: FIRST_NAME.into(),
        owner_login: FIRST_OWNER_LOGIN.into(),
        owner_name: FIRST_OWNER_NAME.into(),
        owner_email: None,
    };
    let created = system.create_organization(new, Some(nonce)).await;
    created.map_err(|why| Failure::new(format!("the first organization could not be made: {why}")))
}

struct Ready<'a> {
    urls: &'a Urls,
    system: &'a System,
    first: Option<&'a CreatedOrganization>,
    opened: Duration,
}

/// Tells whoever started us, once the listener accepts, and says whether that could be written. Nobody listening on
/// stdout is no reason to stop.
fn tell_ready(ready: &Ready<'_>, config: &Config, json: bool) -> bool {
    let text = if json { format!("{}\n", ready.json()) } else { ready.text(config) };
    let mut out = stdout().lock();
    let told = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    tracing::info!(url = ready.urls.url, "ready");
    told
}

impl Ready<'_> {
    fn json(&self) -> serde_json::Value {
        let Urls { url, graphql, websocket, health, metrics } = self.urls;
        let position = self.system.standing(false).position;
        serde_json::json!({ "ready": {
            "url": url, "graphql": graphql, "websocket": websocket, "health": health, "metrics": metrics,
            "api_key": self.first.map(|first| &first.api_key),
            "organization": self.first.map(|first| &first.organization),
            "owner": self.first.map(|first| &first.owner),
            "pid": std::process::id(),
            "opened": { "position": position, "milliseconds": self.opened.as_millis() as u64 },
        }})
    }

    fn text(&self, config: &Config) -> String {
        let Urls { graphql, websocket, health, metrics, .. } = self.urls;
        let data = absolute(&config.data);
        let metrics = if config.metrics { format!("\n  Metrics        {metrics}") } else { String::new() };
        let mut text = format!(
            "witan {} serves.\n\n  GraphQL        {graphql}\n  Subscriptions  {websocket}\n  Health         {health}\
             {metrics}\n  Data           {data}\n\n",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(first) = self.first {
            let key = &first.api_key;
            text += &format!(
                "This is the first start: an organization, its owner, and an API key that acts as them were made.\n\n  \
                 Organization   {} ({})\n  Owner          {} ({})\n  API key        {key}\n\nThe key is shown only this \
                 once: keep it. Try it:\n\n  curl {graphql} -H 'Authorization: Bearer {key}' \\\n    -H 'Content-Type: \
                 application/json' -d '{{\"query\":\"{{ viewer {{ __typename }} }}\"}}'\n\n",
                first.slug, first.organization, FIRST_OWNER_LOGIN, first.owner
            );
        }
        if stdout().is_terminal() {
            text += "Ctrl-C stops it.\n";
        }
        text
    }
}

fn absolute(path: &Path) -> String {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.into()).display().to_string()
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::caused("can't listen for signals", &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
