//! Proofs: the log's signed head, that an event is in it, that it only ever grew.

use bytes::Bytes;
use witan_auth::Operation;
use witan_event_store::{Direction, Position};
use witan_ledger::{Inclusion, LedgerError, MerkleLog, VerifierKey};
use witan_verify::{Bundle, bundle::ConsistencyProof};

use crate::{App, Error, Request, history::organization_resource};

/// An event, its place in the log, and the checkpoint that the proof leads to.
pub struct ProvedEvent {
    pub position: Position,
    /// The canonical envelope bytes.
    pub envelope: Bytes,
    pub inclusion: Inclusion,
    /// A signed note (C2SP tlog-checkpoint) of a tree of `inclusion.tree_size` leaves.
    pub checkpoint: String,
    /// All of this in the form that `witan-verify` takes.
    pub bundle: serde_json::Value,
}

impl App {
    /// For the reactor alone: the one writer of the Merkle log.
    pub(crate) fn take_merkle_log(&self) -> Option<MerkleLog> {
        self.merkle_log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// The public key that checkpoints are signed with.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.signer.verifier_key()
    }

    /// The newest signed checkpoint, or that of the log's first `size` events. Public: it says nothing of any tenant.
    pub fn checkpoint(&self, size: Option<u64>) -> Result<Option<String>, Error> {
        match size {
            None => Ok(self.signer.newest()),
            Some(size) => tokio::task::block_in_place(|| self.signer.sign_checkpoint(&self.log, size))
                .map(Some)
                .map_err(asked_wrong),
        }
    }

    /// That the log of `new` events continues the one of `old` events, in the form that `witan-verify` takes.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<ConsistencyProof, Error> {
        let hashes = self.log.consistency(old, new).map_err(asked_wrong)?;
        Ok(ConsistencyProof::new(old, new, &hashes, self.verifier_key()))
    }

    /// That an event of the organization is in the log of `size` events, or in that of the newest checkpoint.
    pub async fn inclusion_proof(
        &self,
        request: &Request,
        position: Position,
        size: Option<u64>,
    ) -> Result<ProvedEvent, Error> {
        let organization = request.organization()?;
        self.authorise_proof(request, position).await?;
        let recorded =
            self.store.read_all(position, Direction::Forward, 1)?.pop().filter(|recorded| {
                recorded.position == position && recorded.envelope.organization() == Some(organization)
            });
        let recorded = recorded.ok_or(Error::NotFound { what: "event" })?;
        let checkpoint = self.checkpoint(size)?.ok_or_else(not_yet)?;
        let size = checkpoint_size(&checkpoint).ok_or_else(not_yet)?;
        let digest = recorded.envelope.digest();
        let inclusion = self.log.inclusion_of(position.0, &digest, size).map_err(asked_wrong)?;
        let envelope = recorded.envelope.bytes().clone();
        let (leaf, size) = (inclusion.leaf_index, inclusion.tree_size);
        let key = self.verifier_key();
        let bundle = Bundle::new(&envelope, leaf, size, &inclusion.hashes, &checkpoint, key);
        let bundle = serde_json::to_value(bundle).map_err(Error::fault)?;
        Ok(ProvedEvent { position, envelope, inclusion, checkpoint, bundle })
    }

    /// Who may read an event may have its proof: an auditor any, a participant those of their session.
    async fn authorise_proof(&self, request: &Request, position: Position) -> Result<(), Error> {
        let resource = organization_resource(request.organization()?);
        if self.allows(request, Operation::ReadInclusionProof, &resource).await {
            return Ok(());
        }
        self.event_at(request, position).await.map(|_| ())
    }
}

/// The second line of a checkpoint is the tree's size (C2SP tlog-checkpoint).
fn checkpoint_size(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

fn not_yet() -> Error {
    Error::Rejected {
        code: "NOT_IN_CHECKPOINT_YET",
        field: None,
        message: "The newest checkpoint does not cover this event yet: try again in a second.".into(),
    }
}

fn asked_wrong(error: LedgerError) -> Error {
    match error {
        LedgerError::NoSuchSize { .. } | LedgerError::Shrinks { .. } => {
            Error::Rejected { code: "NO_SUCH_TREE_SIZE", field: Some("treeSize".into()), message: error.to_string() }
        }
        LedgerError::NotYet { .. } | LedgerError::NoSuchLeaf { .. } => not_yet(),
        error => Error::fault(error),
    }
}
