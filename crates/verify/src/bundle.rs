//! What an auditor is handed, as JSON: one event with the proof that it is in the log, or the proof that a log of one
//! checkpoint begins with the log of an older one. Checked without the server.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Checkpoint, Event, Hash, InvalidCheckpoint, InvalidEnvelope, InvalidKey, InvalidNote, Note, ProofFails, Unverified,
    VerifierKey, from_base64, hash_from_base64, to_base64,
    tree::{PROOF_HASHES_MAX, leaf_hash, verify_consistency, verify_inclusion},
};

/// The only `format` of a bundle and of a consistency proof so far. Another one is refused, and so is a field that isn't
/// known: nothing in a file that was "verified" may have gone unread.
pub const FORMAT: u32 = 1;

/// One event, and the proof that the log of a checkpoint holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    pub format: u32,
    /// The canonical envelope, base64.
    pub event: String,
    /// Which leaf of the log it is, from 0.
    pub leaf_index: u64,
    /// How many leaves the log of the checkpoint has.
    pub tree_size: u64,
    /// The proof of inclusion (RFC 9162, section 2.1.3), from the leaf up, each hash in base64.
    pub inclusion: Vec<String>,
    /// The checkpoint: a whole signed note.
    pub checkpoint: String,
    /// The log's verifier key. It says nothing to who has not got it from elsewhere, too.
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Older>,
}

/// An older checkpoint of the same log, and the proof that nothing was rewritten since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Older {
    /// A whole signed note.
    pub checkpoint: String,
    /// The proof of consistency (RFC 9162, section 2.1.4), each hash in base64.
    pub consistency: Vec<String>,
}

/// The proof that the log of one checkpoint begins with the log of an older one; the checkpoints are beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsistencyProof {
    pub format: u32,
    pub old_size: u64,
    pub new_size: u64,
    /// RFC 9162, section 2.1.4, each hash in base64.
    pub hashes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Bundle {
    /// Puts together what the ledger and the event store give.
    pub fn new(
        envelope: &[u8],
        leaf_index: u64,
        tree_size: u64,
        inclusion: &[Hash],
        checkpoint: &str,
        key: &VerifierKey,
    ) -> Self {
        Self {
            format: FORMAT,
            event: to_base64(envelope),
            leaf_index,
            tree_size,
            inclusion: inclusion.iter().map(|hash| to_base64(hash)).collect(),
            checkpoint: checkpoint.to_owned(),
            key: key.to_string(),
            older: None,
        }
    }

    /// Adds an older checkpoint and the proof that leads from it to this bundle's.
    #[must_use]
    pub fn with_older(mut self, checkpoint: &str, consistency: &[Hash]) -> Self {
        let consistency = consistency.iter().map(|hash| to_base64(hash)).collect();
        self.older = Some(Older { checkpoint: checkpoint.to_owned(), consistency });
        self
    }

    pub fn from_json(json: &str) -> Result<Self, Problem> {
        from_json(json).map_err(|fault| Problem { place: Place::Bundle, fault })
    }
}

impl ConsistencyProof {
    pub fn new(old_size: u64, new_size: u64, hashes: &[Hash], key: &VerifierKey) -> Self {
        let hashes = hashes.iter().map(|hash| to_base64(hash)).collect();
        Self { format: FORMAT, old_size, new_size, hashes, key: Some(key.to_string()) }
    }

    pub fn from_json(json: &str) -> Result<Self, Problem> {
        from_json(json).map_err(|fault| Problem { place: Place::Consistency, fault })
    }
}

/// Which part of what was handed in is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Bundle,
    Key,
    Event,
    Checkpoint,
    OlderCheckpoint,
    Inclusion,
    Consistency,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle => "bundle",
            Self::Key => "key",
            Self::Event => "event",
            Self::Checkpoint => "checkpoint",
            Self::OlderCheckpoint => "older checkpoint",
            Self::Inclusion => "proof of inclusion",
            Self::Consistency => "proof of consistency",
        })
    }
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("not the JSON that is expected: {0}")]
    Json(String),
    #[error("format {0} is unknown: this verifier reads {FORMAT}")]
    Format(u64),
    #[error("not base64")]
    Base64,
    #[error("hash {0} (from 0) is not 32 bytes in base64")]
    HashBase64(usize),
    #[error("{0} hashes are more than any proof has ({PROOF_HASHES_MAX})")]
    TooManyHashes(usize),
    #[error("none was handed in, so nobody vouches for the checkpoint")]
    NoKey,
    #[error("{0}")]
    Key(#[from] InvalidKey),
    #[error("not a signed note: {0}")]
    Note(#[from] InvalidNote),
    #[error("{0}")]
    Unverified(#[from] Unverified),
    #[error("not a checkpoint: {0}")]
    Checkpoint(#[from] InvalidCheckpoint),
    #[error("it is of the log {origin}, the key is for {key}")]
    OtherOrigin { origin: String, key: String },
    #[error("it speaks of {found} leaves, the checkpoint of {expected}")]
    Size { expected: u64, found: u64 },
    #[error("not an event: {0}")]
    Event(#[from] InvalidEnvelope),
    #[error("{0}")]
    Proof(#[from] ProofFails),
}

/// Why something is not verified: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Problem {
    pub place: Place,
    pub fault: Fault,
}

/// What a bundle shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub event: Event,
    pub leaf_index: u64,
    pub checkpoint: Checkpoint,
    pub older: Option<Checkpoint>,
    pub key: VerifierKey,
    /// Whether the key was the caller's own, rather than the one in the bundle.
    pub pinned: bool,
}

/// What a proof of consistency shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedConsistency {
    pub older: Checkpoint,
    pub newer: Checkpoint,
    pub key: VerifierKey,
    /// Whether the key was the caller's own, rather than the one in the file with the proof.
    pub pinned: bool,
}

/// Checks a bundle whole. With a `trusted` key only that one counts; without, the bundle's own is believed.
pub fn verify_bundle(bundle: &Bundle, trusted: Option<&VerifierKey>) -> Result<Verified, Problem> {
    format(bundle.format).at(Place::Bundle)?;
    let key = key(trusted, Some(&bundle.key))?;
    let checkpoint = verify_checkpoint(&bundle.checkpoint, &key).at(Place::Checkpoint)?;
    let bytes = from_base64(&bundle.event).ok_or(Fault::Base64).at(Place::Event)?;
    let event = Event::try_from_bytes(&bytes).at(Place::Event)?;
    same_size(checkpoint.size, bundle.tree_size).at(Place::Inclusion)?;
    let proof = hashes(&bundle.inclusion).at(Place::Inclusion)?;
    let leaf = leaf_hash(&event.digest);
    verify_inclusion(&leaf, bundle.leaf_index, checkpoint.size, &proof, &checkpoint.root).at(Place::Inclusion)?;
    let older = match &bundle.older {
        Some(older) => Some(verify_older(older, &checkpoint, &key)?),
        None => None,
    };
    Ok(Verified { event, leaf_index: bundle.leaf_index, checkpoint, older, key, pinned: trusted.is_some() })
}

/// Checks that two signed checkpoints are of one log that was only appended to in between.
pub fn verify_consistency_proof(
    older: &str,
    newer: &str,
    proof: &ConsistencyProof,
    trusted: Option<&VerifierKey>,
) -> Result<VerifiedConsistency, Problem> {
    format(proof.format).at(Place::Consistency)?;
    let key = key(trusted, proof.key.as_deref())?;
    let newer = verify_checkpoint(newer, &key).at(Place::Checkpoint)?;
    same_size(newer.size, proof.new_size).at(Place::Consistency)?;
    let with_proof = Older { checkpoint: older.to_owned(), consistency: proof.hashes.clone() };
    let older = verify_older(&with_proof, &newer, &key)?;
    same_size(older.size, proof.old_size).at(Place::Consistency)?;
    Ok(VerifiedConsistency { older, newer, key, pinned: trusted.is_some() })
}

/// Checks a signed note to be a checkpoint by this key, of the log that the key is named for.
pub fn verify_checkpoint(note: &str, key: &VerifierKey) -> Result<Checkpoint, Fault> {
    let note = Note::try_from_text(note)?;
    note.verify(key)?;
    let checkpoint = Checkpoint::try_from_note(&note)?;
    if checkpoint.origin != key.name() {
        return Err(Fault::OtherOrigin { origin: checkpoint.origin, key: key.name().to_owned() });
    }
    Ok(checkpoint)
}

fn verify_older(older: &Older, newer: &Checkpoint, key: &VerifierKey) -> Result<Checkpoint, Problem> {
    let checkpoint = verify_checkpoint(&older.checkpoint, key).at(Place::OlderCheckpoint)?;
    let proof = hashes(&older.consistency).at(Place::Consistency)?;
    verify_consistency(checkpoint.size, newer.size, &proof, &checkpoint.root, &newer.root).at(Place::Consistency)?;
    Ok(checkpoint)
}

fn key(trusted: Option<&VerifierKey>, brought: Option<&str>) -> Result<VerifierKey, Problem> {
    match (trusted, brought) {
        (Some(key), _) => Ok(key.clone()),
        (None, Some(text)) => text.parse::<VerifierKey>().at(Place::Key),
        (None, None) => Err(Fault::NoKey).at(Place::Key),
    }
}

fn format(found: u32) -> Result<(), Fault> {
    if found == FORMAT { Ok(()) } else { Err(Fault::Format(found.into())) }
}

fn same_size(expected: u64, found: u64) -> Result<(), Fault> {
    if found == expected { Ok(()) } else { Err(Fault::Size { expected, found }) }
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, Fault> {
    if texts.len() > PROOF_HASHES_MAX {
        return Err(Fault::TooManyHashes(texts.len()));
    }
    texts.iter().enumerate().map(|(at, text)| hash_from_base64(text).ok_or(Fault::HashBase64(at))).collect()
}

/// The format is looked at first, so that a newer file is called newer and not malformed.
fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, Fault> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let found: Format = serde_json::from_str(json).map_err(|error| Fault::Json(error.to_string()))?;
    if found.format != u64::from(FORMAT) {
        return Err(Fault::Format(found.format));
    }
    serde_json::from_str(json).map_err(|error| Fault::Json(error.to_string()))
}

/// Says where a fault is.
trait At<T> {
    fn at(self, place: Place) -> Result<T, Problem>;
}

impl<T, E: Into<Fault>> At<T> for Result<T, E> {
    fn at(self, place: Place) -> Result<T, Problem> {
        self.map_err(|fault| Problem { place, fault: fault.into() })
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
