//! `witan-verify`: what an auditor runs. Reads files, checks them with the library, says what was shown and what was not.

mod report;

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use report::Report;
use witan_verify::{
    Bundle, Checkpoint, ConsistencyProof, Fault, Note, Place, Problem, VerifierKey, verify_bundle, verify_checkpoint,
    verify_consistency_proof,
};

/// A bundle holds one event of at most 1 MiB; more is not one.
const FILE_BYTES_MAX: u64 = 16 << 20;

const HELP: &str = "\
witan-verify checks what a witan server exports, without the server.

Usage:
  witan-verify event BUNDLE               one event, and the proof that the log holds it unaltered
  witan-verify consistency OLD NEW PROOF  nothing was rewritten between two checkpoints
  witan-verify checkpoint NOTE            a checkpoint was signed by the log's key
  witan-verify --help | --version

Each of BUNDLE, OLD, NEW, PROOF, NOTE is a file; one of them may be - for standard input.

Options:
  --key KEY  The log's verifier key (name+id+base64), got from whom you trust and not with the file that you check.
             Without it the key in BUNDLE or PROOF is believed, and only shown to fit; a NOTE brings none.
  --json     Print one JSON object instead of sentences.

What it shows: that a record was not altered after it was recorded. What it can't show: that what was recorded was
true. Until a checkpoint is seen by others, its operator could still hand different logs to different people.

Exit status: 0 verified, 1 not verified, 2 it could not be tried (usage, unreadable file).
";

/// What the command line asks for.
struct Arguments {
    words: Vec<String>,
    key: Option<VerifierKey>,
    json: bool,
}

/// Why nothing could be checked.
struct Usage(String);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        return print(HELP, ExitCode::SUCCESS);
    }
    if arguments.iter().any(|word| word == "--version" || word == "-V") {
        return print(concat!("witan-verify ", env!("CARGO_PKG_VERSION"), "\n"), ExitCode::SUCCESS);
    }
    let outcome = parse(arguments).and_then(|arguments| Ok((run(&arguments)?, arguments.json)));
    match outcome {
        Ok((Ok(report), json)) => print(&if json { report.json() } else { report.sentences() }, ExitCode::SUCCESS),
        Ok((Err(problem), json)) => {
            print(&if json { report::problem_json(&problem) } else { report::problem(&problem) }, ExitCode::from(1))
        }
        Err(Usage(message)) => {
            // Nothing is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "witan-verify: {}\nSee witan-verify --help.", report::printable(&message));
            ExitCode::from(2)
        }
    }
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    // "verified" that nobody could read is not a success.
    if io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()).is_ok() {
        code
    } else {
        ExitCode::from(2)
    }
}

fn parse(arguments: Vec<String>) -> Result<Arguments, Usage> {
    let mut parsed = Arguments { words: Vec::new(), key: None, json: false };
    let mut rest = arguments.into_iter();
    while let Some(word) = rest.next() {
        if word == "--json" {
            parsed.json = true;
        } else if let Some(text) = word.strip_prefix("--key") {
            let text = match text.strip_prefix('=') {
                Some(text) => text.to_owned(),
                None if text.is_empty() => rest.next().ok_or_else(|| Usage("--key needs a key after it".into()))?,
                None => return Err(Usage(format!("unknown option {word}"))),
            };
            let key = text.parse().map_err(|error| Usage(format!("--key {text}: {error}")))?;
            if parsed.key.replace(key).is_some() {
                return Err(Usage("--key is there twice".into()));
            }
        } else if word.starts_with('-') && word != "-" {
            return Err(Usage(format!("unknown option {word}")));
        } else {
            parsed.words.push(word);
        }
    }
    Ok(parsed)
}

fn run(arguments: &Arguments) -> Result<Result<Report, Problem>, Usage> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    if words.iter().filter(|word| **word == "-").count() > 1 {
        return Err(Usage("only one of the files can be standard input".into()));
    }
    let key = arguments.key.as_ref();
    match words[..] {
        ["event", bundle] => Ok(event(&read(bundle)?, key)),
        ["consistency", old, new, proof] => Ok(consistency(&read(old)?, &read(new)?, &read(proof)?, key)),
        ["checkpoint", note] => Ok(checkpoint(&read(note)?, key)),
        ["event" | "checkpoint", ..] => Err(Usage(format!("{} takes one file", words[0]))),
        ["consistency", ..] => Err(Usage("consistency takes three files: OLD NEW PROOF".into())),
        [] => Err(Usage("what shall be checked?".into())),
        [other, ..] => Err(Usage(format!("unknown command {other}"))),
    }
}

fn event(bundle: &str, key: Option<&VerifierKey>) -> Result<Report, Problem> {
    let verified = verify_bundle(&Bundle::from_json(bundle)?, key)?;
    Ok(Report::Event(Box::new(verified)))
}

fn consistency(old: &str, new: &str, proof: &str, key: Option<&VerifierKey>) -> Result<Report, Problem> {
    verify_consistency_proof(old, new, &ConsistencyProof::from_json(proof)?, key).map(Report::Consistency)
}

fn checkpoint(note: &str, key: Option<&VerifierKey>) -> Result<Report, Problem> {
    let fail = |place, fault| Problem { place, fault };
    let Some(key) = key else {
        // What is no checkpoint at all is called that first.
        let read = Note::try_from_text(note).map_err(Fault::from);
        read.and_then(|note| Ok(Checkpoint::try_from_note(&note)?)).map_err(|fault| fail(Place::Checkpoint, fault))?;
        return Err(fail(Place::Key, Fault::NoKey));
    };
    let checkpoint = verify_checkpoint(note, key).map_err(|fault| fail(Place::Checkpoint, fault))?;
    Ok(Report::Checkpoint { checkpoint, key: key.clone() })
}

fn read(path: &str) -> Result<String, Usage> {
    let fail = |error: io::Error| Usage(format!("can't read {path}: {error}"));
    let source: Box<dyn Read> =
        if path == "-" { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(path).map_err(fail)?) };
    let mut text = String::new();
    source.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Usage(format!("{path} is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
