use witan_verify::{Hash, Note, tree::verify_consistency};

use super::*;
use crate::MerkleLog;

fn log(data: &Path, events: impl IntoIterator<Item = (u64, Hash)>) -> MerkleLog {
    let mut log = MerkleLog::open_empty(&data.join("ledger")).unwrap();
    log.append(events).unwrap();
    log
}

fn events(count: u64) -> impl Iterator<Item = (u64, Hash)> {
    (1..=count).map(|position| (position, [position as u8; 32]))
}

#[test]
fn a_key_and_an_origin_are_made_once() {
    let data = tempfile::tempdir().unwrap();
    assert!(matches!(Signer::open(data.path()), Err(LedgerError::Key { .. })));
    let made = Signer::create(data.path(), "witan.example").unwrap();
    assert!(made.origin().starts_with("witan.example/") && made.origin().len() == 30, "{}", made.origin());
    let again = Signer::open(data.path()).unwrap();
    assert_eq!(again.verifier_key(), made.verifier_key());
    let third = Signer::create(data.path(), "other.example").unwrap();
    assert_eq!(third.verifier_key(), made.verifier_key());
    let other = tempfile::tempdir().unwrap();
    let other = Signer::create(other.path(), "witan.example").unwrap();
    assert_ne!(other.origin(), made.origin());
    assert_ne!(other.verifier_key().public(), made.verifier_key().public());
    assert!(matches!(Signer::create(&data.path().join("x"), "a name"), Err(LedgerError::Key { .. })));
}

#[test]
fn the_private_key_is_private() {
    let data = tempfile::tempdir().unwrap();
    Signer::create(data.path(), "witan.example").unwrap();
    let path = key_path(data.path());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Signer::open(data.path()).is_err_and(|error| error.to_string().contains("mode 640")));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "AAAA\n").unwrap();
    assert!(Signer::open(data.path()).is_err_and(|error| error.to_string().contains("not 32 bytes")));
}

#[test]
fn checkpoints_are_verified_and_the_same_each_time() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::create(data.path(), "witan.example").unwrap();
    let reader = log(data.path(), events(40)).reader();
    assert_eq!(signer.newest(), None);
    let newest = signer.sign_checkpoint(&reader, 40).unwrap();
    let checkpoint = verify_checkpoint(&newest, signer.verifier_key()).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (40, reader.root(40).unwrap()));
    let older = signer.sign_checkpoint(&reader, 13).unwrap();
    let older = Checkpoint::try_from_note(&Note::try_from_text(&older).unwrap()).unwrap();
    let proof = reader.consistency(13, 40).unwrap();
    assert_eq!(verify_consistency(13, 40, &proof, &older.root, &checkpoint.root), Ok(()));
    assert_eq!(signer.sign_checkpoint(&reader, 40).unwrap(), newest);
    assert_eq!(signer.newest(), Some(newest.clone()));
    assert_eq!(Signer::open(data.path()).unwrap().newest(), Some(newest));
    assert!(matches!(signer.sign_checkpoint(&reader, 41), Err(LedgerError::NoSuchSize { asked: 41, size: 40 })));
}

#[test]
fn nothing_is_signed_that_contradicts_what_was_signed() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::create(data.path(), "witan.example").unwrap();
    let whole = log(data.path(), events(40)).reader();
    let kept = signer.sign_checkpoint(&whole, 30).unwrap();
    let signer = Signer::open(data.path()).unwrap();
    let cut = log(data.path(), events(20)).reader();
    assert!(matches!(signer.sign_checkpoint(&cut, 20), Err(LedgerError::Behind { signed: 30, size: 20 })));
    let other = log(
        data.path(),
        events(40).map(|(position, mut digest)| {
            digest[31] ^= u8::from(position == 30);
            (position, digest)
        }),
    );
    assert!(matches!(signer.check(&other.reader()), Err(LedgerError::Forked { size: 30, .. })));
    assert!(matches!(signer.sign_checkpoint(&other.reader(), 40), Err(LedgerError::Forked { .. })));
    assert_eq!(signer.newest(), Some(kept));
    let rebuilt = log(data.path(), events(50)).reader();
    signer.check(&rebuilt).unwrap();
    signer.sign_checkpoint(&rebuilt, 50).unwrap();
}

#[test]
fn a_restored_log_gets_a_new_name() {
    let data = tempfile::tempdir().unwrap();
    let before = Signer::create(data.path(), "witan.example").unwrap();
    let reader = log(data.path(), events(9)).reader();
    let note = before.sign_checkpoint(&reader, 9).unwrap();
    Signer::renew_origin(data.path()).unwrap();
    let after = Signer::open(data.path()).unwrap();
    assert!(after.origin().starts_with("witan.example/") && after.origin() != before.origin());
    assert_eq!(after.verifier_key().public(), before.verifier_key().public());
    assert_eq!(after.newest(), None);
    assert!(verify_checkpoint(&note, after.verifier_key()).is_err());
    let cut = log(data.path(), events(5)).reader();
    after.sign_checkpoint(&cut, 5).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_noticed() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::create(data.path(), "witan.example").unwrap();
    signer.sign_checkpoint(&log(data.path(), events(9)).reader(), 9).unwrap();
    let path = checkpoint_path(data.path());
    let text = fs::read_to_string(&path).unwrap().replace("\n9\n", "\n8\n");
    fs::write(&path, text).unwrap();
    assert!(matches!(Signer::open(data.path()), Err(LedgerError::Key { .. })));
}
