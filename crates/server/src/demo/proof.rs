//! The proofs: that one event is in the log, and that the log continues the one that an auditor saw before.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use witan_verify::{
    Bundle, ConsistencyProof, VerifierKey, from_base64, to_base64, verify_bundle, verify_consistency_proof,
};

use super::{Story, client::text, consultation::Played};
use crate::failure::Failure;

/// A checkpoint follows an event within about a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOKS_MAX: usize = 100;

/// A checkpoint that was kept from before, and the log's key.
pub struct Kept {
    pub size: String,
    note: String,
    key: VerifierKey,
}

impl Story {
    pub async fn keep_checkpoint(&self) -> Result<Kept, Failure> {
        let document = "{ checkpoint { note treeSize verifierKey } }";
        for _ in 0..LOOKS_MAX {
            let seen = self.owner.asks(document, json!({})).await?;
            let checkpoint = &seen["checkpoint"];
            if !checkpoint.is_null() {
                let key = text(&checkpoint["verifierKey"]).parse();
                let key = key.map_err(|error| Failure::caused("the log's key", &error))?;
                let (size, note) = (text(&checkpoint["treeSize"]).to_owned(), text(&checkpoint["note"]).to_owned());
                return Ok(Kept { size, note, key });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Failure::new("the log has no checkpoint yet"))
    }

    /// Proves the end of the session, writes the bundle, and checks it as an auditor would: from the file alone.
    pub async fn proofs(&mut self, played: &Played, kept: &Kept, to: Option<PathBuf>) -> Result<PathBuf, Failure> {
        self.teller.act("The proof, checked without the server");
        let proof = self.inclusion_proof(&played.end).await?;
        let path = to.unwrap_or_else(|| std::env::temp_dir().join(format!("witan-demo-{}.json", self.tag)));
        write(&path, &proof["bundle"])?;
        self.teller.tell(&format!(
            "SessionEnded is leaf {} of {}; its bundle is in {}",
            text(&proof["leafIndex"]),
            text(&proof["treeSize"]),
            path.display()
        ));
        let bundle = read(&path)?;
        let verified =
            verify_bundle(&bundle, Some(&kept.key)).map_err(|problem| Failure::found_wrong(problem.to_string()))?;
        let found = json!([verified.event.kind, verified.event.stream]);
        let expected = json!(["SessionEnded", format!("session-{}", played.session)]);
        self.teller.check("Verified: this very event is in the signed log", &expected, &found)?;
        let refused = verify_bundle(&altered(&bundle)?, Some(&kept.key)).is_err();
        self.teller.check("With one bit of the event changed it is not", &json!(true), &json!(refused))?;
        self.consistency(kept, text(&proof["treeSize"])).await?;
        self.teller.tell(&format!("By yourself: cargo xtask verify event {}", path.display()));
        Ok(path)
    }

    async fn inclusion_proof(&self, position: &str) -> Result<Value, Failure> {
        let document = "query($at: Position!) { inclusionProof(position: $at) { leafIndex treeSize bundle } }";
        for _ in 0..LOOKS_MAX {
            match self.owner.refusal(document, json!({ "at": position })).await?.as_deref() {
                Some("NOT_IN_CHECKPOINT_YET") => tokio::time::sleep(LOOK_EVERY).await,
                _ => break,
            }
        }
        Ok(self.owner.asks(document, json!({ "at": position })).await?["inclusionProof"].clone())
    }

    async fn consistency(&mut self, kept: &Kept, size: &str) -> Result<(), Failure> {
        let document = "query($old: Position!, $new: Position!) { consistencyProof(oldSize: $old, newSize: $new) \
             { bundle newCheckpoint { note } } }";
        let asked = json!({ "old": kept.size, "new": size });
        let answer = &self.owner.asks(document, asked).await?["consistencyProof"];
        let proof = ConsistencyProof::from_json(&answer["bundle"].to_string());
        let proof = proof.map_err(|problem| Failure::found_wrong(problem.to_string()))?;
        let newest = text(&answer["newCheckpoint"]["note"]);
        let verified = verify_consistency_proof(&kept.note, newest, &proof, Some(&kept.key));
        let found = verified.map(|_| "consistent".to_owned()).unwrap_or_else(|problem| problem.to_string());
        let line = format!("The log of {size} events begins with the {} that the auditor had kept", kept.size);
        self.teller.check(&line, &json!("consistent"), &json!(found))
    }
}

fn write(path: &Path, bundle: &Value) -> Result<(), Failure> {
    let written = std::fs::write(path, format!("{bundle:#}\n"));
    written.map_err(|error| Failure::caused(&format!("can't write {}", path.display()), &error))
}

fn read(path: &Path) -> Result<Bundle, Failure> {
    let json = std::fs::read_to_string(path);
    let json = json.map_err(|error| Failure::caused(&format!("can't read {}", path.display()), &error))?;
    Bundle::from_json(&json).map_err(|problem| Failure::found_wrong(problem.to_string()))
}

/// The same bundle with the last bit of its event flipped.
fn altered(bundle: &Bundle) -> Result<Bundle, Failure> {
    let mut event = from_base64(&bundle.event).ok_or_else(|| Failure::found_wrong("the event is not base64"))?;
    if let Some(last) = event.last_mut() {
        *last ^= 1;
    }
    Ok(Bundle { event: to_base64(&event), ..bundle.clone() })
}
