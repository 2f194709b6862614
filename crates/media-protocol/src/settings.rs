//! What a node is started with: the server writes it to the node's standard input, as one line of JSON.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the server comes to.
    pub socket: PathBuf,
    /// The addresses that participants' packets come to.
    pub listen: Vec<IpAddr>,
    /// How participants reach these, where that isn't the same: at most one for each family, or a host's name.
    pub announced: Vec<String>,
    /// The first worker's port, UDP and TCP, the next one's is one more; 0 takes any that is free.
    pub port: u16,
    /// 0: one for each core.
    pub workers: u16,
    /// Relays for participants whose network lets no other way.
    pub turn: Option<Turn>,
    /// How long a node without a server and without anybody who is connected stays.
    pub idle_seconds: u64,
}

/// TURN servers that take credentials made from a secret that they share with us (draft-uberti-behave-turn-rest-00).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// For example `turn:turn.example.org:3478`.
    pub urls: Vec<String>,
    pub secret: String,
}

/// Without the secret.
impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Settings {
    /// What tells a node with other settings, without showing them.
    pub fn digest(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(self).unwrap_or_default().hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
