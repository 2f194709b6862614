//! `witan-media-node`: carries audio and video for one server, in a process of its own. The media engine is C++ and aborts
//! the process that it runs in when its own state surprises it; here that interrupts sessions, which are then opened on a
//! new node, and harms neither the server nor what it has recorded.
//!
//! The server starts it with [`Settings`] as one line on standard input, and talks to it over a socket. It outlives the
//! server: who is in a call stays in it while the server restarts.

mod chance;
mod checks;
mod codecs;
mod node;
mod observations;
mod outbox;
mod presence;
mod service;
mod session;
mod turn;
mod workers;

use std::{io::BufRead, os::unix::fs::PermissionsExt, path::Path, process::ExitCode, sync::Arc};

use futures_util::stream;
use node::Node;
use observations::Observations;
use service::Service;
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use witan_media_protocol::{settings::Settings, wire::node_server::NodeServer};
use workers::Workers;

fn main() -> ExitCode {
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).init();
    let outcome = settings().and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| format!("the runtime: {error}"))?.block_on(run(settings))
    });
    match outcome {
        Ok(why) => {
            tracing::info!(why, "the media node ends");
            ExitCode::SUCCESS
        }
        Err(why) => {
            tracing::error!(why, "the media node fails");
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Result<Settings, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
    serde_json::from_str(&line).map_err(|error| {
        format!("the settings on standard input: {error}; this program is started by `witan serve`, not by hand")
    })
}

/// Serves until there is nothing to stay for; says what that was.
async fn run(settings: Settings) -> Result<String, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    let workers = Workers::start(&settings).await?;
    let run = u64::from_be_bytes(chance::random());
    let node = Arc::new(Node::new(settings, workers, Arc::new(Observations::new(run))));
    // The socket last: whoever finds it finds a node that is ready.
    let socket = node.settings.socket.clone();
    let listener = listen(&socket).map_err(|error| format!("the socket {}: {error}", socket.display()))?;
    let ours = presence::identity(&socket);
    tracing::info!(workers = node.workers.count(), pid = std::process::id(), "the media node is ready");
    let (retire, retired) = watch::channel(());
    let service = NodeServer::new(Service { node: Arc::clone(&node), retire });
    let incoming = stream::unfold(listener, |listener| async {
        Some((listener.accept().await.map(|(socket, _)| socket), listener))
    });
    let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
    let ended = tokio::select! {
        served = serving => Err(format!("the socket is no longer served: {served:?}")),
        why = node.workers.died() => Err(format!("a worker of the media engine has ended: {why}")),
        why = presence::nobody_is_left(&node, ours, retired) => Ok(why.to_owned()),
        _ = terminate.recv() => Ok("it was told to".to_owned()),
    };
    presence::unlisten(&socket, ours);
    ended
}

/// For its owner only, in place of one that nobody listens on any more.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
