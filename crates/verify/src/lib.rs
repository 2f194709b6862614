//! Checks what witan exports, without the server: that an event is in the log (inclusion), that a log was only ever
//! appended to (consistency), and that a log's head was signed by its key (checkpoints).
//!
//! Pure: no I/O, no clock, no randomness. The command `witan-verify` puts files and words around it. What a proof shows is
//! that a record was not altered after it was recorded, never that what was recorded was true.

pub mod bundle;
pub mod checkpoint;
pub mod envelope;
pub mod note;
pub mod tree;

use base64::{Engine, engine::general_purpose::STANDARD};

pub use bundle::{
    Bundle, ConsistencyProof, Fault, Older, Place, Problem, Verified, VerifiedConsistency, verify_bundle,
    verify_checkpoint, verify_consistency_proof,
};
pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use envelope::{Event, InvalidEnvelope};
pub use note::{InvalidKey, InvalidNote, Note, NoteSigner, Unverified, VerifierKey};
pub use tree::{Hash, ProofFails};

/// The standard alphabet with padding (RFC 4648, section 4), which every text form here uses.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of a base64 text; `None` for anything but its one canonical form.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A hash in base64.
pub fn hash_from_base64(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok()
}
