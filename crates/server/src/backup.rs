//! Backup and restore: journal, vault, keys, and what of the ledger can't be rebuilt, with the list of erasures.
//!
//! **Order.** First the newest checkpoint, so that the journal, copied next, reaches at least as far; then the vault, so
//! that it has a key for everyone in the journal. `backup.json` is written last: a folder without it is no backup.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use witan_event_store::{Direction, EventStore, Position};
use witan_event_store_embedded::{BackupError, Journal, Options};
use witan_ledger::{MerkleLog, Signer};
use witan_vault::{MasterKey, Vault};

use crate::{
    admin::{BackedUp, Step, Steps},
    clock,
    commands::{print, print_json},
    config::Config,
    data_folder::{self, DataFolder, FORMAT, Parts, write_whole},
    erasures::{self, Erasures, vault_file, vault_key},
    failure::Failure,
    progress::{self, Unit},
};

const MANIFEST: &str = "backup.json";
/// What of the ledger can't be rebuilt.
const LEDGER_FILES: [&str; 2] = ["origin", "checkpoint"];
const BATCH_EVENTS: usize = 4_096;

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The data folder's format.
    format: u32,
    witan: String,
    /// Microseconds since 1970.
    made_at: u64,
    /// The newest event's position, and the journal's chain hash there.
    position: u64,
    events: u64,
    chain: String,
    persons: u64,
    /// SHA-256 of the small files and of the vault, by their path in the backup.
    files: Vec<(PathBuf, String)>,
}

/// Makes a backup of an open data folder; its server may go on.
pub fn back_up(parts: &Parts, vault: &Vault, folder: &Path, steps: &Steps) -> Result<BackedUp, Failure> {
    let target = Parts::new(folder);
    make_empty(folder)?;
    let mut files = Vec::new();
    make(&target.ledger())?;
    for name in LEDGER_FILES {
        let from = parts.ledger().join(name);
        // There is no checkpoint before the first event.
        if from.exists() {
            files.push(copy(&from, folder, &Path::new("ledger").join(name))?);
        }
    }
    let whole = witan_event_store_embedded::backup(parts.journal(), target.journal(), |done| {
        steps.send_replace(Step { what: "journal".into(), done: done.bytes, total: done.bytes_total });
    });
    let whole = whole.map_err(|error| Failure::caused("the journal could not be backed up", &error))?;
    make(&target.vault())?;
    let contents = vault.backup(&vault_file(&target));
    let contents = contents.map_err(|error| Failure::caused("the vault could not be backed up", &error))?;
    files.push(digest_of(folder, Path::new("vault/vault.sqlite"))?);
    make(&target.keys())?;
    for entry in list(&parts.keys())? {
        files.push(copy(&parts.keys().join(&entry), folder, &Path::new("keys").join(&entry))?);
    }
    let erased = Erasures::of_vault(vault)?;
    erased.write(folder).map_err(|error| io(folder, "write the list of erasures in", &error))?;
    files.push(digest_of(folder, Path::new(erasures::FILE))?);
    let manifest = Manifest {
        format: FORMAT,
        witan: env!("CARGO_PKG_VERSION").into(),
        made_at: clock::now().micros(),
        position: whole.events,
        events: whole.events,
        chain: hex(&whole.chain),
        persons: contents.persons,
        files,
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(|error| Failure::caused("the manifest", &error))?;
    write_whole(folder, MANIFEST, &json).map_err(|error| io(folder, "write the manifest in", &error))?;
    Ok(BackedUp { folder: folder.into(), position: whole.events, events: whole.events, persons: contents.persons })
}

#[derive(Serialize, Debug)]
struct Restored {
    data: PathBuf,
    position: u64,
    erasures: usize,
    erased_again: usize,
    origin: String,
}

/// `witan restore`: a new data folder from a backup.
pub async fn restore(config: &Config, from: &Path, erasures: Option<&Path>, json: bool) -> Result<(), Failure> {
    let (data, from) = (config.data.clone(), from.to_path_buf());
    if data_folder::check(&data).is_ok() {
        return Err(is_there(&data));
    }
    let list = erasures.map(Erasures::read).transpose()?;
    let (steps, showing) = progress::shown("restoring", Unit::Bytes);
    let restored = tokio::task::spawn_blocking(move || put_back(&from, &data, list, &steps)).await;
    let _ = showing.await;
    let restored = restored.map_err(|error| Failure::caused("restoring", &error))??;
    if json {
        print_json(&restored);
    } else {
        print(&format!(
            "restored and verified: {} events in {}; {} of {} erased persons were erased again\nIts log has a name of its \
             own from here on: {}\n",
            restored.position,
            restored.data.display(),
            restored.erased_again,
            restored.erasures,
            restored.origin
        ));
    }
    Ok(())
}

fn put_back(from: &Path, data: &Path, list: Option<Erasures>, steps: &Steps) -> Result<Restored, Failure> {
    let manifest = read_manifest(from)?;
    let then = Erasures::read(&from.join(erasures::FILE))?;
    let list = newest_list(list, then)?;
    let mut done = None;
    let made = DataFolder::open_or_make(data, "restore", |parts| {
        let restored = fill(from, parts, &manifest, &list, steps);
        let outcome = restored.as_ref().map(|_| ()).map_err(|failure| failure.text.clone());
        done = Some(restored);
        outcome
    });
    match done {
        // Its own words and exit code, not those of the folder's making.
        Some(Err(failure)) => Err(failure),
        Some(Ok(restored)) => made.map(|_| restored).map_err(Failure::from),
        None => Err(made.err().map_or_else(|| is_there(data), Failure::from)),
    }
}

fn is_there(data: &Path) -> Failure {
    let data = data.display();
    Failure::new(format!("{data} is a data folder already: a restore makes a new one; name a new folder with --data"))
}

/// The given list must know of everyone whom the backup knows as erased, or it is an older one.
fn newest_list(given: Option<Erasures>, then: Erasures) -> Result<Erasures, Failure> {
    let Some(given) = given else { return Ok(then) };
    let missing = then.0.difference(&given.0).count();
    if missing > 0 {
        return Err(Failure::new(format!(
            "this list of erasures is older than the backup: it lacks {missing} erasures that the backup knows; name the \
             newest one (the old data folder, or erasures.jsonl beside the backups)"
        )));
    }
    Ok(given)
}

fn read_manifest(from: &Path) -> Result<Manifest, Failure> {
    let path = from.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::found_wrong(format!("{} is no whole backup: {MANIFEST} can't be read: {error}", from.display()))
    })?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| Failure::found_wrong(format!("{} is damaged: {error}", path.display())))?;
    if manifest.format > FORMAT {
        return Err(Failure::new(format!(
            "the backup has format {}, made by witan {}; this one knows formats up to {FORMAT}: restore it with the newer \
             witan",
            manifest.format, manifest.witan
        )));
    }
    for (name, digest) in &manifest.files {
        let (_, found) = digest_of(from, name)?;
        if found != *digest {
            let name = from.join(name);
            return Err(Failure::found_wrong(format!(
                "{} is not what was backed up: its SHA-256 differs",
                name.display()
            )));
        }
    }
    Ok(manifest)
}

fn fill(from: &Path, parts: &Parts, manifest: &Manifest, list: &Erasures, steps: &Steps) -> Result<Restored, Failure> {
    let source = Parts::new(from);
    for (name, _) in &manifest.files {
        if name.starts_with("keys") || name.starts_with("ledger") {
            copy(&from.join(name), parts.data(), name)?;
        }
    }
    let whole = witan_event_store_embedded::backup(source.journal(), parts.journal(), |done| {
        steps.send_replace(Step { what: "journal".into(), done: done.bytes, total: done.bytes_total });
    });
    let whole = whole.map_err(|error| match error {
        BackupError::Io { .. } | BackupError::NotEmpty(_) => {
            Failure::caused("the journal could not be restored", &error)
        }
        // A copy is what was copied: what is wrong with it is wrong with the backup.
        _ => Failure::found_wrong(Failure::caused("the backup's journal is not whole", &error).text),
    })?;
    if (whole.events, hex(&whole.chain)) != (manifest.position, manifest.chain.clone()) {
        return Err(Failure::found_wrong("the backup's journal is not the one that its manifest speaks of"));
    }
    rebuild_merkle_log(parts, whole.events, steps)?;
    let vault = |error| Failure::caused("the vault could not be restored", &error);
    let key = || MasterKey::open(&vault_key(parts)).map_err(vault);
    Vault::restore(&vault_file(&source), &vault_file(parts), &key()?).map_err(vault)?;
    let restored = Vault::open(&vault_file(parts), key()?).map_err(vault)?;
    let erased: Vec<_> = list.0.iter().copied().collect();
    let erased_again = restored.erase_again(&erased).map_err(vault)?;
    Signer::renew_origin(parts.data()).map_err(|error| Failure::caused("the log's new name", &error))?;
    let signer = Signer::open(parts.data()).map_err(|error| Failure::caused("the log's new name", &error))?;
    let origin = signer.origin().to_owned();
    Ok(Restored { data: parts.data().into(), position: whole.events, erasures: erased.len(), erased_again, origin })
}

/// Builds the Merkle log from the restored journal and compares it with the checkpoint that was backed up: the restored
/// history must be the one that was signed.
fn rebuild_merkle_log(parts: &Parts, events: u64, steps: &Steps) -> Result<(), Failure> {
    let ledger = |error| Failure::caused("the Merkle log could not be rebuilt", &error);
    let journal = Journal::open(parts.journal(), Options { scrub_bytes_per_second: 0, ..Options::default() });
    let journal = journal.map_err(|error| Failure::caused("the restored journal does not open", &error))?;
    let mut log = MerkleLog::open(&parts.ledger()).map_err(ledger)?;
    let mut next = Position(1);
    loop {
        let batch = journal.read_all(next, Direction::Forward, BATCH_EVENTS);
        let batch = batch.map_err(|error| Failure::caused("the restored journal can't be read", &error))?;
        let Some(newest) = batch.last() else { break };
        next = Position(newest.position.0 + 1);
        log.append(batch.iter().map(|event| (event.position.0, event.envelope.digest()))).map_err(ledger)?;
        steps.send_replace(Step { what: "Merkle log".into(), done: log.size(), total: events });
    }
    log.flush().map_err(ledger)?;
    let signer = Signer::open(parts.data()).map_err(ledger)?;
    signer.check(&log.reader()).map_err(|error| {
        Failure::found_wrong(format!("the backup's journal is not the one whose checkpoint is beside it: {error}"))
    })
}

fn make_empty(folder: &Path) -> Result<(), Failure> {
    if folder.exists() && !list(folder)?.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(format!(
            "{folder} is not empty: a backup goes into a folder of its own; name a new one"
        )));
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(|error| io(parent, "make", &error))?;
    }
    if folder.exists() { Ok(()) } else { make(folder) }
}

fn make(folder: &Path) -> Result<(), Failure> {
    // Keys go into it: nobody else may look.
    fs::DirBuilder::new().mode(0o700).create(folder).map_err(|error| io(folder, "make", &error))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect::<Result<Vec<_>, std::io::Error>>()
    });
    entries.map_err(|error| io(folder, "read", &error))
}

/// Copies a small file and gives its path and digest.
fn copy(from: &Path, folder: &Path, name: &Path) -> Result<(PathBuf, String), Failure> {
    let to = folder.join(name);
    let copied = fs::read(from).and_then(|bytes| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(hex(&Sha256::digest(&bytes)))
    });
    let digest =
        copied.map_err(|error| Failure::new(format!("can't copy {} to {}: {error}", from.display(), to.display())))?;
    Ok((name.into(), digest))
}

fn digest_of(folder: &Path, name: &Path) -> Result<(PathBuf, String), Failure> {
    let path = folder.join(name);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut file = fs::File::open(&path).map_err(|error| io(&path, "read", &error))?;
    loop {
        match file.read(&mut buffer).map_err(|error| io(&path, "read", &error))? {
            0 => return Ok((name.into(), hex(&hash.finalize()))),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}

fn io(path: &Path, doing: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("can't {doing} {}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
