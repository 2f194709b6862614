//! From an event in the store to a bundle that an auditor verifies: the store's canonical bytes, the ledger's proofs and
//! the verifier's reading of both fit together.

use std::path::Path;

use witan_domain::{Actor, CorrelationId, EventId, OrganizationId, SessionId, Timestamp};
use witan_event_store::{
    Append, Direction, EventStore, ExpectedVersion, Metadata, NewEvent, Position, Recorded, memory::MemoryStore,
};
use witan_ledger::{MerkleLog, Signer};
use witan_verify::{Bundle, ConsistencyProof, Place, verify_bundle, verify_consistency_proof};

const ORGANIZATION: OrganizationId = OrganizationId(0x0193_2b1c_0000_0000_0000_0000_0000_0007);

/// Events of two streams, as a store records them.
async fn recorded() -> Vec<Recorded> {
    let store = MemoryStore::new();
    let metadata = Metadata {
        actor: Actor::System,
        correlation: CorrelationId(1),
        causation: None,
        reason: None,
        idempotency: None,
    };
    for n in 0..23_u128 {
        let event = NewEvent {
            id: EventId(n + 1),
            kind: "SessionEnded".into(),
            schema: 2,
            metadata: serde_json::to_vec(&metadata).expect("JSON").into(),
            data: format!("{{\"n\":{n}}}").into_bytes().into(),
        };
        let append = Append {
            stream: format!("session-{}", SessionId(n % 2)),
            organization: (n % 3 > 0).then_some(ORGANIZATION),
            expected: ExpectedVersion::Any,
            events: vec![event],
            now: Timestamp(1_750_000_000_123_456),
        };
        store.append(append).await.expect("recorded");
    }
    store.read_all(Position(1), Direction::Forward, 100).expect("read")
}

/// The events in a ledger under `data`, and its signer.
fn ledger(data: &Path, events: &[Recorded]) -> (MerkleLog, Signer) {
    let signer = Signer::create(data, "witan.example").expect("a key");
    let mut log = MerkleLog::open(&data.join("ledger")).expect("a log");
    log.append(events.iter().map(|event| (event.position.0, event.envelope.digest()))).expect("appended");
    (log, signer)
}

#[tokio::test]
async fn every_event_is_verified_from_its_bundle() {
    let data = tempfile::tempdir().expect("a folder");
    let events = recorded().await;
    let (log, signer) = ledger(data.path(), &events);
    let (reader, size) = (log.reader(), log.size());
    let checkpoint = signer.sign_checkpoint(&reader, size).expect("signed");
    let older = signer.sign_checkpoint(&reader, 9).expect("signed");
    for recorded in &events {
        let event = &recorded.envelope;
        let found = reader.inclusion_of(recorded.position.0, &event.digest(), size).expect("a proof");
        let key = signer.verifier_key();
        let bundle = Bundle::new(event.bytes(), found.leaf_index, size, &found.hashes, &checkpoint, key)
            .with_older(&older, &reader.consistency(9, size).expect("a proof"));
        let json = serde_json::to_string(&bundle).expect("JSON");
        let verified = verify_bundle(&Bundle::from_json(&json).expect("a bundle"), Some(key)).expect("verified");

        let read = verified.event;
        assert_eq!((read.stream.as_str(), read.kind.as_str()), (event.stream(), event.kind()));
        assert_eq!((read.schema, read.version), (event.schema(), event.version()));
        assert_eq!((read.id_text(), read.recorded_at), (event.id().to_string(), event.recorded_at().0));
        assert_eq!(read.organization_text(), event.organization().map(|id| id.to_string()));
        assert_eq!((read.metadata.as_slice(), read.data.as_slice()), (event.metadata(), event.data()));
        assert_eq!(read.digest, event.digest());
    }
}

#[tokio::test]
async fn an_altered_event_is_found_out() {
    let data = tempfile::tempdir().expect("a folder");
    let events = recorded().await;
    let (log, signer) = ledger(data.path(), &events);
    let (reader, size) = (log.reader(), log.size());
    let checkpoint = signer.sign_checkpoint(&reader, size).expect("signed");
    let event = &events[11];
    let found = reader.inclusion_of(event.position.0, &event.envelope.digest(), size).expect("a proof");
    for bit in 0..8 * event.envelope.bytes().len() {
        let mut bytes = event.envelope.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let key = signer.verifier_key();
        let altered = Bundle::new(&bytes, found.leaf_index, size, &found.hashes, &checkpoint, key);
        let problem = verify_bundle(&altered, Some(key)).expect_err("not verified");
        assert!(matches!(problem.place, Place::Event | Place::Inclusion), "bit {bit}: {problem}");
    }
}

#[tokio::test]
async fn a_rewritten_history_is_not_consistent() {
    let data = tempfile::tempdir().expect("a folder");
    let events = recorded().await;
    let (log, signer) = ledger(data.path(), &events[..15]);
    let kept = signer.sign_checkpoint(&log.reader(), 15).expect("signed");
    drop(log);

    // An operator who removes the fourth event, and the ledger's memory of what it signed, still can't please who kept it.
    std::fs::remove_file(data.path().join("ledger/checkpoint")).expect("removed");
    MerkleLog::open_empty(&data.path().join("ledger")).expect("an empty log");
    let rewritten = [&events[..3], &events[4..]].concat();
    let (log, signer) = ledger(data.path(), &rewritten);
    let (reader, size) = (log.reader(), log.size());
    let newest = signer.sign_checkpoint(&reader, size).expect("signed");
    let proof = reader.consistency(15, size).expect("a proof, of another history");
    let proof = ConsistencyProof::new(15, size, &proof, signer.verifier_key());
    let problem = verify_consistency_proof(&kept, &newest, &proof, None).expect_err("not verified");
    assert_eq!(problem.place, Place::Consistency);
}
