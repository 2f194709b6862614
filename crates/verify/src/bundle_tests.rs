use super::*;
use crate::{NoteSigner, tree::node_hash};

fn envelope(payload: &str) -> Vec<u8> {
    let mut bytes = vec![1, 0, 1, 0];
    bytes.extend([0; 16]);
    bytes.extend(1_u128.to_be_bytes());
    bytes.extend(2_u128.to_be_bytes());
    bytes.extend(9_u16.to_le_bytes());
    bytes.extend(12_u16.to_le_bytes());
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend(b"session-xSessionEnded{}");
    bytes.extend(payload.as_bytes());
    bytes
}

fn signer(origin: &str) -> NoteSigner {
    NoteSigner::try_new(origin, &[5; 32]).unwrap()
}

fn signed(origin: &str, size: u64, root: Hash) -> String {
    Checkpoint { origin: origin.into(), size, root }.sign(&signer(origin))
}

/// Three leaves a, b, c: the bundle is about b, and the older checkpoint had two.
fn bundle() -> Bundle {
    let event = envelope("{}");
    let b = leaf_hash(&Event::try_from_bytes(&event).unwrap().digest);
    let (a, c) = (leaf_hash(&[1; 32]), leaf_hash(&[3; 32]));
    let pair = node_hash(&a, &b);
    let checkpoint = signed("log.example/1", 3, node_hash(&pair, &c));
    Bundle::new(&event, 1, 3, &[a, c], &checkpoint, signer("log.example/1").verifier())
        .with_older(&signed("log.example/1", 2, pair), &[c])
}

fn problem(bundle: &Bundle) -> Problem {
    verify_bundle(bundle, None).unwrap_err()
}

#[test]
fn a_bundle_is_verified() {
    let verified = verify_bundle(&bundle(), None).unwrap();
    assert_eq!(verified.event.kind, "SessionEnded");
    assert_eq!((verified.leaf_index, verified.checkpoint.size, verified.pinned), (1, 3, false));
    assert_eq!(verified.older.unwrap().size, 2);
    let key = signer("log.example/1").verifier().clone();
    assert!(verify_bundle(&bundle(), Some(&key)).unwrap().pinned);
}

#[test]
fn json_and_back() {
    let json = serde_json::to_string(&bundle()).unwrap();
    assert_eq!(Bundle::from_json(&json).unwrap(), bundle());
    let newer = json.replace("\"format\":1", "\"format\":2");
    assert_eq!(Bundle::from_json(&newer).unwrap_err().fault, Fault::Format(2));
    let unread = json.replace("\"format\":1", "\"format\":1,\"claim\":true");
    assert!(matches!(Bundle::from_json(&unread).unwrap_err().fault, Fault::Json(_)));
    assert!(matches!(Bundle::from_json("[]").unwrap_err(), Problem { place: Place::Bundle, fault: Fault::Json(_) }));
}

#[test]
fn a_pinned_key_is_the_only_one_that_counts() {
    let other = NoteSigner::try_new("log.example/1", &[6; 32]).unwrap();
    let found = verify_bundle(&bundle(), Some(other.verifier())).unwrap_err();
    assert_eq!(found.place, Place::Checkpoint);
    assert!(matches!(found.fault, Fault::Unverified(Unverified::NoSignature { .. })));
    let mut forged = bundle();
    forged.checkpoint = Checkpoint { origin: "log.example/1".into(), size: 1, root: [0; 32] }.sign(&other);
    forged.key = other.verifier().to_string();
    let key = signer("log.example/1").verifier().clone();
    assert_eq!(verify_bundle(&forged, Some(&key)).unwrap_err().place, Place::Checkpoint);
}

#[test]
fn what_is_wrong_and_where() {
    let change = |change: fn(&mut Bundle)| {
        let mut changed = bundle();
        change(&mut changed);
        let Problem { place, fault } = problem(&changed);
        (place, fault)
    };
    assert_eq!(change(|b| b.event = to_base64(&envelope("[]"))).0, Place::Inclusion);
    assert_eq!(change(|b| b.event.push('!')), (Place::Event, Fault::Base64));
    assert_eq!(change(|b| b.event.truncate(8)).0, Place::Event);
    assert_eq!(change(|b| b.tree_size = 4), (Place::Inclusion, Fault::Size { expected: 3, found: 4 }));
    assert_eq!(
        change(|b| b.leaf_index = 3),
        (Place::Inclusion, Fault::Proof(ProofFails::NoSuchLeaf { index: 3, size: 3 }))
    );
    assert_eq!(change(|b| b.leaf_index = 0), (Place::Inclusion, Fault::Proof(ProofFails::Root { size: 3 })));
    assert_eq!(change(|b| b.inclusion[1].clear()), (Place::Inclusion, Fault::HashBase64(1)));
    assert_eq!(change(|b| b.inclusion = vec![String::new(); 66]), (Place::Inclusion, Fault::TooManyHashes(66)));
    assert_eq!(change(|b| b.key.clear()), (Place::Key, Fault::Key(InvalidKey::Form)));
    assert_eq!(change(|b| b.format = 9), (Place::Bundle, Fault::Format(9)));
    assert_eq!(change(|b| b.checkpoint.truncate(9)).0, Place::Checkpoint);
    assert_eq!(change(|b| b.checkpoint.insert(0, 'x')).0, Place::Checkpoint);
    assert_eq!(
        change(|b| b.older.as_mut().unwrap().checkpoint = signed("log.example/1", 2, [0; 32])),
        (Place::Consistency, Fault::Proof(ProofFails::Root { size: 3 }))
    );
    assert_eq!(
        change(|b| b.older.as_mut().unwrap().checkpoint = signed("log.example/1", 4, [0; 32])),
        (Place::Consistency, Fault::Proof(ProofFails::Shrinks { old: 4, new: 3 }))
    );
    assert_eq!(change(|b| b.older.as_mut().unwrap().checkpoint.clear()).0, Place::OlderCheckpoint);
}

#[test]
fn the_key_must_be_named_for_the_log() {
    let checkpoint = Checkpoint { origin: "log.example/2".into(), size: 0, root: crate::tree::EMPTY_ROOT };
    let note = checkpoint.sign(&signer("log.example/1"));
    let fault = verify_checkpoint(&note, signer("log.example/1").verifier()).unwrap_err();
    assert_eq!(fault, Fault::OtherOrigin { origin: "log.example/2".into(), key: "log.example/1".into() });
}

#[test]
fn consistency_of_two_checkpoints() {
    let key = signer("log.example/1").verifier().clone();
    let Bundle { checkpoint, older: Some(older), .. } = bundle() else { unreachable!() };
    let c = hash_from_base64(&older.consistency[0]).unwrap();
    let proof = ConsistencyProof::new(2, 3, &[c], &key);
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(ConsistencyProof::from_json(&json).unwrap(), proof);
    let verified = verify_consistency_proof(&older.checkpoint, &checkpoint, &proof, None).unwrap();
    assert_eq!((verified.older.size, verified.newer.size, verified.pinned), (2, 3, false));
    let place = |proof: &ConsistencyProof, old: &str, new: &str| {
        verify_consistency_proof(old, new, proof, None).unwrap_err().place
    };
    assert_eq!(place(&proof, &checkpoint, &older.checkpoint), Place::Consistency);
    assert_eq!(place(&ConsistencyProof { key: None, ..proof.clone() }, &older.checkpoint, &checkpoint), Place::Key);
    let wrong = ConsistencyProof { old_size: 1, ..proof.clone() };
    assert_eq!(place(&wrong, &older.checkpoint, &checkpoint), Place::Consistency);
    let wrong = ConsistencyProof { hashes: Vec::new(), ..proof };
    assert_eq!(place(&wrong, &older.checkpoint, &checkpoint), Place::Consistency);
}
