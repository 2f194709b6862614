//! Signs the log's head: checkpoints (c2sp.org/tlog-checkpoint) under an Ed25519 key.
//!
//! * `<data>/keys/checkpoint.key`: the private key (RFC 8032, 32 bytes in base64), readable by its owner only;
//! * `<data>/ledger/origin`: the log's name, fixed when the data folder is made;
//! * `<data>/ledger/checkpoint`: the newest signed checkpoint.
//!
//! What is signed is kept first and given out then, and nothing is signed that contradicts it: a log whose history was cut
//! or changed beneath a signed checkpoint is refused ([`LedgerError::Forked`]), also after a rebuild.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use witan_verify::{Checkpoint, NoteSigner, VerifierKey, from_base64, note::valid_name, to_base64, verify_checkpoint};
use zeroize::Zeroizing;

use crate::{
    LedgerError, LogReader,
    files::{failed, find_text, make_folder, remove, replace},
};

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Holds the log's key. One for each data folder.
pub struct Signer {
    key: NoteSigner,
    checkpoint_path: PathBuf,
    newest: Mutex<Option<Signed>>,
}

/// A checkpoint that was signed, and its whole note.
struct Signed {
    checkpoint: Checkpoint,
    note: String,
}

impl Signer {
    /// Makes the key and the origin of a new data folder: `name` and 16 random hexadecimal digits, such as
    /// `witan.example/4f1d…`. What is there already (of a making that was interrupted) is kept.
    pub fn create(data: &Path, name: &str) -> Result<Self, LedgerError> {
        let (key, origin) = (key_path(data), origin_path(data));
        if find_text(&origin)?.is_none() {
            write_origin(&origin, name)?;
        }
        if find_text(&key)?.is_none() {
            if let Some(keys) = key.parent() {
                make_folder(keys)?;
                fs::set_permissions(keys, fs::Permissions::from_mode(0o700)).map_err(failed("protect", keys))?;
            }
            let seed = Zeroizing::new(random::<32>(&key)?);
            let text = Zeroizing::new(to_base64(&seed[..]) + "\n");
            replace(&key, text.as_bytes(), PRIVATE)?;
        }
        Self::open(data)
    }

    /// Opens what [`Self::create`] has made.
    ///
    /// # Errors
    /// [`LedgerError::Key`] when key, origin or newest checkpoint is missing, unreadable, or not what belongs there. None of
    /// them is ever made anew in silence: whoever trusts the log trusts these.
    pub fn open(data: &Path) -> Result<Self, LedgerError> {
        let origin_path = origin_path(data);
        let origin = find_text(&origin_path)?.ok_or_else(|| wrong(&origin_path, "missing"))?;
        let origin = origin.trim_end_matches('\n');
        let seed = read_seed(&key_path(data))?;
        let key = NoteSigner::try_new(origin, &seed).map_err(|error| wrong(&origin_path, &error.to_string()))?;
        let checkpoint_path = checkpoint_path(data);
        let newest = match find_text(&checkpoint_path)? {
            None => None,
            Some(note) => {
                let checkpoint = verify_checkpoint(&note, key.verifier())
                    .map_err(|fault| wrong(&checkpoint_path, &fault.to_string()))?;
                Some(Signed { checkpoint, note })
            }
        };
        Ok(Self { key, checkpoint_path, newest: Mutex::new(newest) })
    }

    /// Gives the log of a restored data folder a name of its own: its history may part from the one that the old name
    /// stands for. Forgets the newest checkpoint with it, so [`Self::check`] the restored log before.
    pub fn renew_origin(data: &Path) -> Result<(), LedgerError> {
        let path = origin_path(data);
        let old = find_text(&path)?.ok_or_else(|| wrong(&path, "missing"))?;
        let name = old.trim_end_matches('\n').rsplit_once('/').map_or("witan", |(name, _)| name);
        // In this order an interruption leaves a folder where this can be done again, never a checkpoint of another log.
        remove(&checkpoint_path(data))?;
        write_origin(&path, name)
    }

    pub fn origin(&self) -> &str {
        self.key.verifier().name()
    }

    /// The public key: what verifiers pin.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// The newest signed checkpoint, a whole signed note.
    pub fn newest(&self) -> Option<String> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|signed| signed.note.clone())
    }

    /// The signed checkpoint of the log's first `size` events: the same bytes whenever it is asked for. Blocks on the disk
    /// when it is newer than the newest.
    ///
    /// # Errors
    /// [`LedgerError::NoSuchSize`] past the log's end; [`LedgerError::Forked`] and [`LedgerError::Behind`] when the log is
    /// not a continuation of what was signed before.
    pub fn sign_checkpoint(&self, log: &LogReader, size: u64) -> Result<String, LedgerError> {
        // Held until the note is on disk: two signers at once could each sign what the other contradicts.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        self.agrees(newest.as_ref(), log)?;
        let checkpoint = Checkpoint { origin: self.origin().to_owned(), size, root: log.root(size)? };
        let note = checkpoint.sign(&self.key);
        if newest.as_ref().is_none_or(|signed| signed.checkpoint.size < size) {
            replace(&self.checkpoint_path, note.as_bytes(), PUBLIC)?;
            *newest = Some(Signed { checkpoint, note: note.clone() });
        }
        Ok(note)
    }

    /// Whether the log continues what was signed before.
    pub fn check(&self, log: &LogReader) -> Result<(), LedgerError> {
        self.agrees(self.newest.lock().unwrap_or_else(PoisonError::into_inner).as_ref(), log)
    }

    fn agrees(&self, newest: Option<&Signed>, log: &LogReader) -> Result<(), LedgerError> {
        let Some(Signed { checkpoint, .. }) = newest else { return Ok(()) };
        let size = log.size();
        if size < checkpoint.size {
            return Err(LedgerError::Behind { signed: checkpoint.size, size });
        }
        if log.root(checkpoint.size)? != checkpoint.root {
            return Err(LedgerError::Forked { origin: checkpoint.origin.clone(), size: checkpoint.size });
        }
        Ok(())
    }
}

fn key_path(data: &Path) -> PathBuf {
    data.join("keys").join("checkpoint.key")
}

fn origin_path(data: &Path) -> PathBuf {
    data.join("ledger").join("origin")
}

fn checkpoint_path(data: &Path) -> PathBuf {
    data.join("ledger").join("checkpoint")
}

fn write_origin(path: &Path, name: &str) -> Result<(), LedgerError> {
    if !valid_name(name) {
        return Err(wrong(path, "a log's name is not empty and has no spaces, control characters or plus signs"));
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let origin = format!("{name}/{:016x}\n", u64::from_be_bytes(random(path)?));
    replace(path, origin.as_bytes(), PUBLIC)
}

fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, LedgerError> {
    let text = Zeroizing::new(find_text(path)?.ok_or_else(|| wrong(path, "missing"))?);
    let mode = fs::metadata(path).map_err(failed("read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(wrong(path, &format!("others may read this private key (mode {mode:o}): chmod 600, if none has")));
    }
    let bytes = from_base64(text.trim_end_matches('\n')).map(Zeroizing::new);
    let mut seed = Zeroizing::new([0; 32]);
    match bytes {
        Some(bytes) if bytes.len() == seed.len() => seed.copy_from_slice(&bytes),
        _ => return Err(wrong(path, "not 32 bytes in base64")),
    }
    Ok(seed)
}

/// Random bytes for a new key or name, of which one is made in a data folder's life (or restore).
fn random<const N: usize>(what_for: &Path) -> Result<[u8; N], LedgerError> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the ledger makes its own key, once, when the data folder is made")]
    getrandom::fill(&mut bytes).map_err(|error| wrong(what_for, &format!("no random bytes: {error}")))?;
    Ok(bytes)
}

fn wrong(path: &Path, what: &str) -> LedgerError {
    LedgerError::Key { path: path.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
