//! The command as an auditor types it: its words and its exit status.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use witan_verify::{
    Bundle, Checkpoint, ConsistencyProof, Event, NoteSigner,
    tree::{EMPTY_ROOT, leaf_hash},
};

const ORIGIN: &str = "log.example/1";

fn signer() -> NoteSigner {
    NoteSigner::try_new(ORIGIN, &[5; 32]).expect("a key")
}

fn note(size: u64, root: [u8; 32]) -> String {
    Checkpoint { origin: ORIGIN.into(), size, root }.sign(&signer())
}

/// A log of one event in the stream `stream`, and a bundle about that event.
fn bundle(stream: &str) -> String {
    let mut envelope = vec![1, 0, 1, 0];
    envelope.extend([0; 48]);
    envelope.extend((stream.len() as u16).to_le_bytes());
    envelope.extend([1, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
    envelope.extend(format!("{stream}X{{}}{{}}").as_bytes());
    let digest = Event::try_from_bytes(&envelope).expect("an event").digest;
    let bundle = Bundle::new(&envelope, 0, 1, &[], &note(1, leaf_hash(&digest)), signer().verifier())
        .with_older(&note(0, EMPTY_ROOT), &[]);
    serde_json::to_string(&bundle).expect("JSON")
}

/// Exit status, standard output, standard error.
fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_witan-verify"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A command that refuses its arguments does not read on.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit status"), text(output.stdout), text(output.stderr))
}

#[test]
fn an_event_is_verified_and_what_was_not_shown_is_said() {
    let (status, out, _) = run(&["event", "-"], &bundle("session-x"));
    assert_eq!(status, 0, "{out}");
    assert!(out.starts_with("verified: X ("), "{out}");
    assert!(out.contains("not shown: that what was recorded was true"), "{out}");
    assert!(out.contains("not shown: that the key is the log's own"), "{out}");
    let key = signer().verifier().to_string();
    let (status, out, _) = run(&["event", "--key", &key, "-"], &bundle("session-x"));
    assert_eq!((status, out.contains("that the key is the log's own")), (0, false));
}

#[test]
fn an_altered_event_is_not_verified() {
    let altered: Bundle = serde_json::from_str(&bundle("session-x")).expect("JSON");
    let other: Bundle = serde_json::from_str(&bundle("session-y")).expect("JSON");
    let altered = serde_json::to_string(&Bundle { event: other.event, ..altered }).expect("JSON");
    let (status, out, _) = run(&["event", "-"], &altered);
    assert_eq!(status, 1);
    assert!(out.starts_with("not verified: proof of inclusion: "), "{out}");
    let (status, out, _) = run(&["event", "-", "--json"], &altered);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((status, &json["verified"], &json["place"]), (1, &false.into(), &"proof of inclusion".into()));
}

#[test]
fn json_says_the_same() {
    let (status, out, _) = run(&["event", "--json", "-"], &bundle("session-x"));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((status, &json["verified"], &json["pinned"]), (0, &true.into(), &false.into()));
    assert_eq!((&json["event"]["stream"], &json["checkpoint"]["size"]), (&"session-x".into(), &1.into()));
}

#[test]
fn a_checkpoint_needs_a_key() {
    let key = signer().verifier().to_string();
    assert_eq!(run(&["checkpoint", "-", &format!("--key={key}")], &note(0, EMPTY_ROOT)).0, 0);
    let (status, out, _) = run(&["checkpoint", "-"], &note(0, EMPTY_ROOT));
    assert_eq!(status, 1);
    assert!(out.starts_with("not verified: key: none was handed in"), "{out}");
    let (status, out, _) = run(&["checkpoint", "-"], "hello");
    assert_eq!((status, out.starts_with("not verified: checkpoint: not a signed note")), (1, true), "{out}");
}

#[test]
fn consistency_of_two_files() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (old, new) = (folder.join("old.note"), folder.join("new.note"));
    std::fs::write(&old, note(0, EMPTY_ROOT)).expect("written");
    std::fs::write(&new, note(1, [7; 32])).expect("written");
    let proof = ConsistencyProof::new(0, 1, &[], signer().verifier());
    let proof = serde_json::to_string(&proof).expect("JSON");
    let (old, new) = (old.to_str().expect("UTF-8"), new.to_str().expect("UTF-8"));
    let (status, out, _) = run(&["consistency", old, new, "-"], &proof);
    assert_eq!(
        (status, out.starts_with("verified: the log log.example/1 at 1 events begins with")),
        (0, true),
        "{out}"
    );
    let (status, out, _) = run(&["consistency", new, old, "-"], &proof);
    assert_eq!((status, out.starts_with("not verified: proof of consistency")), (1, true), "{out}");
}

#[test]
fn a_hostile_name_steers_no_terminal() {
    let (status, out, _) = run(&["event", "-"], &bundle("\u{1b}[2J\nverified: all"));
    assert_eq!(status, 0);
    assert!(!out.contains('\u{1b}') && !out.lines().skip(1).any(|line| line.starts_with("verified")), "{out:?}");
}

#[test]
fn what_could_not_be_tried() {
    for (arguments, reason) in [
        (&[][..], "what shall be checked?"),
        (&["event"], "event takes one file"),
        (&["event", "/nowhere/at/all"], "can't read /nowhere/at/all"),
        (&["consistency", "-", "-", "x"], "only one"),
        (&["event", "-", "--key", "x"], "not a verifier key"),
        (&["event", "-", "--key"], "needs a key"),
        (&["event", "-", "--keys"], "unknown option"),
        (&["anchor", "x"], "unknown command anchor"),
    ] {
        let (status, out, error) = run(arguments, "");
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
    let (status, out, _) = run(&["--help"], "");
    assert_eq!((status, out.contains("Exit status")), (0, true));
}
