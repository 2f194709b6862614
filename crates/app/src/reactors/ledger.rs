//! Feeds the Merkle log with every event, and signs its head.

use std::{sync::Arc, time::Duration};

use witan_event_store::{EventStore, Follower, Position, Recorded};
use witan_ledger::{LedgerError, MerkleLog};

use super::{Run, stopped};
use crate::{App, Error};

const BATCH_EVENTS: usize = 4_096;
/// How long the newest events may wait for their signed checkpoint.
const SIGN_MILLISECONDS: u64 = 1_000;
/// How long a batch waits for room on a full disk before it is tried again.
const FULL_MILLISECONDS: u64 = 1_000;

pub(crate) async fn run(mut run: Run) {
    let result = follow(&mut run).await;
    run.ended(result);
}

async fn follow(run: &mut Run) -> Result<(), Error> {
    let Some(mut log) = run.app.take_merkle_log() else { return Ok(()) };
    let from = resume(run.app.store.as_ref(), &mut log, &run.app)?;
    let mut follower = Follower::new(Arc::clone(&run.app.store), from);
    run.reached(follower.position());
    let mut sign = tokio::time::interval(Duration::from_millis(SIGN_MILLISECONDS));
    sign.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut signed = 0;
    let mut stop = run.stop.clone();
    loop {
        tokio::select! {
            batch = follower.next_batch(BATCH_EVENTS) => {
                let batch = batch?;
                while let Err(error) = append(&mut log, &batch) {
                    full_only(error)?;
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(FULL_MILLISECONDS)) => {}
                        () = stopped(&mut stop) => return Ok(()),
                    }
                }
                run.reached(follower.position());
            }
            _ = sign.tick() => match flush_and_sign(&run.app, &mut log, signed) {
                Ok(size) => signed = size,
                Err(error) => full_only(error)?,
            },
            () = stopped(&mut stop) => {
                return flush_and_sign(&run.app, &mut log, signed).map(|_| ()).or_else(full_only);
            }
        }
    }
}

/// Where the log goes on: after its newest event, if the store still has that event there. Else it is built anew, and the
/// signer refuses if the history that it signed before is not in it.
fn resume(store: &dyn EventStore, log: &mut MerkleLog, app: &App) -> Result<Position, Error> {
    let Some((position, digest)) = log.cursor() else { return Ok(Position(0)) };
    if store.digest(Position(position))? == Some(digest) {
        return Ok(Position(position));
    }
    Err(Error::fault(LedgerError::Forked { origin: app.signer.origin().to_owned(), size: log.size() }))
}

fn append(log: &mut MerkleLog, batch: &[Recorded]) -> Result<(), LedgerError> {
    let leaves = batch.iter().map(|recorded| (recorded.position.0, recorded.envelope.digest()));
    log.append(leaves).map(|_| ())
}

/// A full disk is waited out: the same batch, or the same head, is tried again. Everything else ends the reactor.
fn full_only(error: LedgerError) -> Result<(), Error> {
    match &error {
        LedgerError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            tracing::warn!(%error, "the Merkle log waits for room on the disk");
            Ok(())
        }
        _ => Err(Error::fault(error)),
    }
}

/// Durable first: what is signed must not be lost. Gives the size that is signed.
fn flush_and_sign(app: &App, log: &mut MerkleLog, signed: u64) -> Result<u64, LedgerError> {
    let size = log.size();
    if size == signed {
        return Ok(signed);
    }
    tokio::task::block_in_place(|| {
        log.flush()?;
        match app.signer.sign_checkpoint(&log.reader(), size) {
            // While it is rebuilt it has not come to where it was signed before.
            Err(LedgerError::Behind { .. }) => Ok(signed),
            Err(error) => Err(error),
            Ok(_) => Ok(size),
        }
    })
}
