//! When a node has nothing to stay for.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;

use crate::node::Node;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

pub fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|file| Identity(file.dev(), file.ino()))
}

/// Takes the socket away, if it is still ours to take.
pub fn unlisten(path: &Path, ours: Option<Identity>) {
    if identity(path) == ours {
        // A socket that stays is found by the next node, which replaces it.
        let _ = std::fs::remove_file(path);
    }
}

/// Comes back when no server can find the node, or none has come for long and nobody is connected.
pub async fn nobody_is_left(
    node: &Arc<Node>,
    ours: Option<Identity>,
    mut retired: watch::Receiver<()>,
) -> &'static str {
    let mut alone_seconds = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            changed = retired.changed() => if changed.is_err() { return "nobody serves its socket" },
        }
        if identity(&node.settings.socket) != ours {
            return "its socket is gone, so no server will find it";
        }
        if node.watching.load(Relaxed) > 0 && !node.retired.load(Relaxed) {
            alone_seconds = 0;
            continue;
        }
        alone_seconds += LOOK_EVERY.as_secs();
        let enough = node.retired.load(Relaxed) || alone_seconds >= node.settings.idle_seconds;
        if enough && !node.is_live().await {
            return "no server is there and nobody is connected";
        }
    }
}
