//! The words for what was verified, what that shows, and what it does not show.

use serde_json::{Value, json};
use witan_verify::{Checkpoint, Fault, Problem, Verified, VerifiedConsistency, VerifierKey, to_base64};

/// Something that was verified.
pub enum Report {
    Event(Box<Verified>),
    Consistency(VerifiedConsistency),
    Checkpoint { checkpoint: Checkpoint, key: VerifierKey },
}

impl Report {
    /// For people: the verdict, then what was shown and what was not.
    pub fn sentences(&self) -> String {
        let mut lines = vec![format!("verified: {}", self.verdict())];
        if let Self::Event(verified) = self {
            let event = &verified.event;
            lines.push(format!("  recorded at {} (the server's clock)", event.recorded_at_text()));
            lines.push(format!("  SHA-256 {}", hex(&event.digest)));
        }
        lines.extend(self.shown().iter().map(|sentence| format!("  shown:     {sentence}")));
        lines.extend(self.not_shown().iter().map(|sentence| format!("  not shown: {sentence}")));
        lines.iter().map(|line| printable(line) + "\n").collect()
    }

    /// For programs: the same as one JSON object.
    pub fn json(&self) -> String {
        let mut object = json!({
            "verified": true,
            "pinned": self.pinned(),
            "key": self.key().to_string(),
            "shown": self.shown(),
            "notShown": self.not_shown(),
        });
        match self {
            Self::Event(verified) => {
                let event = &verified.event;
                object["event"] = json!({
                    "id": event.id_text(),
                    "type": event.kind,
                    "schema": event.schema,
                    "stream": event.stream,
                    "version": event.version,
                    "organization": event.organization_text(),
                    "recordedAt": event.recorded_at_text(),
                    "sha256": hex(&event.digest),
                    "metadata": stored(&event.metadata),
                    "data": stored(&event.data),
                });
                object["leafIndex"] = json!(verified.leaf_index);
                object["checkpoint"] = checkpoint_json(&verified.checkpoint);
                if let Some(older) = &verified.older {
                    object["olderCheckpoint"] = checkpoint_json(older);
                }
            }
            Self::Consistency(verified) => {
                object["olderCheckpoint"] = checkpoint_json(&verified.older);
                object["checkpoint"] = checkpoint_json(&verified.newer);
            }
            Self::Checkpoint { checkpoint, .. } => object["checkpoint"] = checkpoint_json(checkpoint),
        }
        escaped(&object.to_string()) + "\n"
    }

    fn key(&self) -> &VerifierKey {
        match self {
            Self::Event(verified) => &verified.key,
            Self::Consistency(verified) => &verified.key,
            Self::Checkpoint { key, .. } => key,
        }
    }

    fn pinned(&self) -> bool {
        match self {
            Self::Event(verified) => verified.pinned,
            Self::Consistency(verified) => verified.pinned,
            Self::Checkpoint { .. } => true,
        }
    }

    fn verdict(&self) -> String {
        match self {
            Self::Event(verified) => {
                let Verified { event, leaf_index, checkpoint, .. } = &**verified;
                format!("{event}, is leaf {leaf_index} of the log {} at {} events", checkpoint.origin, checkpoint.size)
            }
            Self::Consistency(VerifiedConsistency { older, newer, .. }) => format!(
                "the log {} at {} events begins with the same log at {} events",
                newer.origin, newer.size, older.size
            ),
            Self::Checkpoint { checkpoint, .. } => {
                format!("the log {} at {} events", checkpoint.origin, checkpoint.size)
            }
        }
    }

    fn shown(&self) -> Vec<String> {
        let signed = format!("the checkpoint is signed by {}", self.key());
        match self {
            Self::Event(verified) => {
                let mut shown = vec!["every byte of the event is what the log holds at that place".into(), signed];
                if let Some(older) = &verified.older {
                    shown.push(rewritten_since(older.size));
                    if verified.leaf_index < older.size {
                        shown.push("the event was in the log of the older checkpoint already".into());
                    }
                }
                shown
            }
            Self::Consistency(verified) => {
                let both = format!("both checkpoints are signed by {}", verified.key);
                vec![rewritten_since(verified.older.size), both]
            }
            Self::Checkpoint { .. } => vec![signed],
        }
    }

    fn not_shown(&self) -> Vec<String> {
        let mut not_shown = vec!["that what was recorded was true, or when it was recorded".to_owned()];
        if !self.pinned() {
            not_shown.push(format!(
                "that the key is the log's own: it came with the file; compare it with {} from elsewhere (--key)",
                self.key().name()
            ));
        }
        not_shown
            .push("that everyone is given this same log: compare checkpoints with others, or with an anchor".into());
        not_shown
    }
}

/// Why it was not verified, for people.
pub fn problem(problem: &Problem) -> String {
    let hint = match problem.fault {
        Fault::NoKey => "  give the log's verifier key with --key name+id+base64\n",
        _ => "",
    };
    format!("not verified: {}\n{hint}", printable(&problem.to_string()))
}

/// Why it was not verified, for programs.
pub fn problem_json(problem: &Problem) -> String {
    let object = json!({
        "verified": false,
        "place": problem.place.to_string(),
        "problem": problem.fault.to_string(),
    });
    escaped(&object.to_string()) + "\n"
}

/// A line without characters that control or hide: a name in a hostile file must neither steer the auditor's terminal, nor
/// begin a line of its own, nor turn the order of what is read.
pub fn printable(line: &str) -> String {
    line.chars().map(|c| if is_unseen(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A JSON text in which such characters, which stand in its strings only, are written as escapes (RFC 8259, section 7).
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unseen(c) {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// Control characters, format characters (general category Cf of Unicode 17.0) and the separators of lines and paragraphs.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}')
}

fn rewritten_since(size: u64) -> String {
    format!("none of the first {size} events was changed, removed or reordered since the older checkpoint")
}

fn checkpoint_json(checkpoint: &Checkpoint) -> Value {
    json!({ "origin": checkpoint.origin, "size": checkpoint.size, "root": to_base64(&checkpoint.root) })
}

/// Metadata or payload as stored; bytes that are no JSON are shown in base64.
fn stored(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!({ "base64": to_base64(bytes) }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_or_hides_is_not_printed() {
        let hostile = "a\u{1b}[2Jb\nc\u{202e}d\u{2066}e\u{2028}f\u{200b}g\u{e0041}\u{e9}\u{1f600}";
        let shown = printable(hostile);
        assert_eq!(shown.replace(char::REPLACEMENT_CHARACTER, ""), "a[2Jbcdefg\u{e9}\u{1f600}");
        assert_eq!(shown.matches(char::REPLACEMENT_CHARACTER).count(), 7);
        let json = escaped(&json!({ "name": hostile }).to_string());
        assert!(!json.chars().any(is_unseen), "{json}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["name"], hostile, "a program reads what is stored");
    }
}
