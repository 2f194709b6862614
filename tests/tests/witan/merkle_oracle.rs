//! An implementation that is not ours (`tests/oracle/merkle.go`, over golang.org/x/mod/sumdb) accepts the ledger's roots,
//! proofs and checkpoints, refuses altered ones, and signs what `witan-verify` accepts.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use witan_ledger::{Hash, LogReader, MerkleLog, Signer};
use witan_verify::{Checkpoint, Note, NoteSigner, to_base64};

const MODULE: &str = "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog";
const SIZE: u64 = 131;

/// Whether Go and its module are on this machine; says so aloud when they are not.
fn oracle_is_there() -> bool {
    let there = Path::new(MODULE).is_dir() && Command::new("go").arg("version").output().is_ok();
    if !there {
        // Past the test harness, which keeps the words of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED merkle_oracle: it needs `apt-get install golang-go golang-golang-x-mod-dev`"
        );
    }
    there
}

/// Asks the oracle all of it at once: starting it costs more than its answers.
fn ask(requests: &[Value]) -> Vec<Value> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/merkle.go");
    let mut oracle = Command::new("go")
        .arg("run")
        .arg(program)
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("go starts");
    let mut input = oracle.stdin.take().expect("a pipe");
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = oracle.wait_with_output().expect("go ends");
    assert!(output.status.success(), "the oracle failed");
    writer.join().expect("no panic").expect("the oracle reads all");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

fn digest(n: u64) -> Hash {
    let mut digest = [0xa5; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

fn log_of(folder: &Path) -> LogReader {
    let mut log = MerkleLog::open(&folder.join("ledger")).expect("a log");
    log.append((0..SIZE).map(|n| (n + 1, digest(n)))).expect("appended");
    log.reader()
}

fn list(hashes: &[Hash]) -> Value {
    hashes.iter().map(|hash| to_base64(hash)).collect()
}

fn inclusion(log: &LogReader, index: u64, size: u64) -> Value {
    json!({
        "do": "inclusion", "digest": to_base64(&digest(index)), "index": index, "size": size,
        "root": to_base64(&log.root(size).expect("a root")),
        "hashes": list(&log.inclusion(index, size).expect("a proof")),
    })
}

fn consistency(log: &LogReader, old: u64, new: u64) -> Value {
    json!({
        "do": "consistency", "oldSize": old, "size": new,
        "oldRoot": to_base64(&log.root(old).expect("a root")), "root": to_base64(&log.root(new).expect("a root")),
        "hashes": list(&log.consistency(old, new).expect("a proof")),
    })
}

/// The same request with one bit flipped in one of its hashes.
fn altered(request: &Value, field: &str) -> Option<Value> {
    let mut request = request.clone();
    let hash = match &mut request[field] {
        Value::Array(hashes) => hashes.last_mut()?,
        hash => hash,
    };
    let mut bytes = witan_verify::hash_from_base64(hash.as_str()?)?;
    bytes[17] ^= 4;
    *hash = to_base64(&bytes).into();
    Some(request)
}

#[test]
fn roots_and_proofs_are_accepted_by_another_implementation() {
    if !oracle_is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = log_of(folder.path());
    let digests: Vec<Hash> = (0..SIZE).map(digest).collect();
    let roots = &ask(&[json!({ "do": "roots", "digests": list(&digests) })])[0]["roots"];
    let ours: Vec<Hash> = (1..=SIZE).map(|size| log.root(size).expect("a root")).collect();
    assert_eq!(roots, &list(&ours));

    let mut requests = Vec::new();
    for size in 1..=SIZE {
        requests.extend((0..size).map(|index| inclusion(&log, index, size)));
        requests.extend((1..=size).map(|old| consistency(&log, old, size)));
    }
    for (request, answer) in requests.iter().zip(ask(&requests)) {
        assert_eq!(answer["refused"], "", "{request}");
    }
}

#[test]
fn altered_proofs_are_refused_by_another_implementation() {
    if !oracle_is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = log_of(folder.path());
    let mut requests = Vec::new();
    for (index, size) in [(0, 1), (0, 2), (5, 8), (6, 7), (99, 130), (130, 131)] {
        let right = inclusion(&log, index, size);
        requests.extend(["digest", "root", "hashes"].iter().filter_map(|field| altered(&right, field)));
    }
    for (old, new) in [(1, 2), (3, 7), (8, 9), (64, 131), (130, 131)] {
        let right = consistency(&log, old, new);
        requests.extend(["oldRoot", "root", "hashes"].iter().filter_map(|field| altered(&right, field)));
    }
    assert!(requests.len() > 30);
    for (request, answer) in requests.iter().zip(ask(&requests)) {
        assert_ne!(answer["refused"], "", "{request}");
    }
}

#[test]
fn checkpoints_are_understood_both_ways() {
    if !oracle_is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = log_of(folder.path());
    let signer = Signer::create(folder.path(), "witan.example").expect("a key");
    let note = signer.sign_checkpoint(&log, SIZE).expect("a checkpoint");
    let key = signer.verifier_key().to_string();
    let forged = note.replace(&format!("\n{SIZE}\n"), "\n130\n");
    let seed = [9; 32];
    let ours = NoteSigner::try_new("log.example/1", &seed).expect("a key");
    let private = [&[1], &seed[..]].concat();
    let private = format!("PRIVATE+KEY+log.example/1+{:08x}+{}", ours.verifier().id(), to_base64(&private));
    let text = Checkpoint { origin: "log.example/1".into(), size: 3, root: digest(1) }.text();

    let answers = ask(&[
        json!({ "do": "open", "note": note, "key": key }),
        json!({ "do": "open", "note": forged, "key": key }),
        json!({ "do": "sign", "text": text, "key": private }),
    ]);
    let read = Note::try_from_text(&note).expect("a note");
    assert_eq!(answers[0], json!({ "refused": "", "text": read.text() }));
    assert_ne!(answers[1]["refused"], "");
    let theirs = answers[2]["text"].as_str().expect("a note");
    assert_eq!(witan_verify::verify_checkpoint(theirs, ours.verifier()).map(|checkpoint| checkpoint.size), Ok(3));
    assert_eq!(theirs, ours.sign(&text));
}
