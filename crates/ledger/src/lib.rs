//! The Merkle log over all events, and its signed checkpoints.
//!
//! Leaf n is the n-th event in the order of positions (which may have gaps; leaf numbers have none): its entry is the
//! SHA-256 of the event's canonical envelope. `witan-verify` checks what is proved here.
//!
//! The log is fed by a follower ([`MerkleLog`]: one writer) and read beside it ([`LogReader`]: proofs); [`Signer`] signs its
//! head. All of the log can be deleted and is then rebuilt from the events, with the same roots; the key, the origin and the
//! newest checkpoint can't. Sealed manifests, and the port `Chain` by which roots go on a blockchain, will stand in this
//! crate beside `signer`; they need from here `sign_checkpoint` and `inclusion_of`.

mod files;
mod head;
mod log;
mod proof;
mod signer;

use std::{io, path::PathBuf};

pub use log::{Inclusion, LogReader, MerkleLog};
pub use signer::Signer;
pub use witan_verify::{Hash, VerifierKey};

/// Why the ledger can't do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("can't {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// What is stored is not what was written. Nothing is lost: [`MerkleLog::open_empty`] and a follower build it anew.
    #[error("the Merkle log in {} is damaged ({what}): it has to be rebuilt from the events", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    /// Nothing of the batch was appended.
    #[error("position {position} can't be appended after position {last}")]
    NotIncreasing { last: u64, position: u64 },
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf { index: u64, size: u64 },
    #[error("no tree of {asked} leaves: the log has {size}")]
    NoSuchSize { asked: u64, size: u64 },
    /// The proof of consistency between these is asked for the wrong way round.
    #[error("a tree of {new} leaves can't come after one of {old}")]
    Shrinks { old: u64, new: u64 },
    /// The follower has yet to come there.
    #[error("position {position} is not in the log yet")]
    NotYet { position: u64 },
    #[error("a sync of the Merkle log failed: nothing more is written before it is opened again")]
    Stopped,
    /// Signing would contradict what was signed before, so it is refused until somebody has looked.
    #[error("the log is not the one whose {size} events were signed before under {origin}: its history was changed")]
    Forked { origin: String, size: u64 },
    /// While the log is rebuilt, nothing is signed that could turn out another history.
    #[error("{signed} events were signed before, the log has only {size} yet")]
    Behind { signed: u64, size: u64 },
    #[error("{}: {what}", path.display())]
    Key { path: PathBuf, what: String },
}

impl LedgerError {
    /// Whether the log's files should be thrown away and built anew.
    pub fn needs_rebuild(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
