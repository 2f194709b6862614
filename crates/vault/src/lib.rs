//! Keys per person: protect, reveal, erase.
//!
//! What is personal stands in events only encrypted under a key of the person that it belongs to. The keys live here, in
//! one SQLite file, wrapped under the deployment's master key. Destroying a person's key is what erases them: the log
//! is never rewritten.
//!
//! * A **person** is known per organization; the same external id in one organization is the same person.
//! * An **alias** stands for a value that is looked up (a login, an e-mail, an external id): streams and events carry the
//!   random alias, never the value or a hash of it. Erasing a person deletes their aliases.
//! * Callers normalise values (NFC, lower case) before they come here: the vault compares bytes.
//!
//! Changes go through one writer thread, which commits what many callers ask for in one transaction ([`Pending`] is
//! their answer). Reads of keys come from a bounded cache.

mod database;
mod keys;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Acquire},
    },
};

pub use database::Contents;
use database::Database;
use keys::PersonKey;
pub use keys::{FieldKey, MasterKey};
use quick_cache::sync::Cache;
use witan_domain::{OrganizationId, PersonId, Private};
pub use writer::Pending;
use writer::{Answer, Change, Writer};

/// How many persons' keys are kept in memory.
pub const KEYS_CACHED_MAX: usize = 65_536;

/// Why the vault can't do what it was asked for. Holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The master key is missing, exists already, or is not one. The text says what to do.
    #[error("{0}")]
    KeyFile(String),
    #[error("there is no vault at {0}: put it back from a backup (a new one would make everybody read as erased)")]
    Missing(String),
    #[error("there is a vault at {0} already")]
    Exists(String),
    #[error("the vault {0} is in use by another process")]
    InUse(String),
    #[error("this vault was made with another master key")]
    WrongMasterKey,
    #[error("the vault has format {found}, this program knows {known}")]
    Format { found: i64, known: i64 },
    #[error("{0} was erased and can't be made again")]
    PersonErased(PersonId),
    #[error("{0} has no key: create the person first")]
    UnknownPerson(PersonId),
    /// What is stored, or what was given to be revealed, is not what the vault made.
    #[error("corrupt: {0}")]
    Corrupt(&'static str),
    #[error("the disk is full: nothing was changed in the vault")]
    Full,
    /// A write failed in a way that leaves its outcome unknown: nothing more is written until a restart.
    #[error("the vault is stopped: {0}")]
    Stopped(String),
    #[error("the vault's database: {0}")]
    Database(String),
    #[error("the vault's files: {0}")]
    Io(String),
}

/// What an alias stands for. The number is stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AliasKind {
    /// What the organization's own system calls the person.
    ExternalId = 1,
    Email = 2,
    /// What a user signs in with.
    Login = 3,
    /// What the organization's own system calls a record (a patient's file): no person's external id, whatever it reads.
    RecordId = 4,
}

impl AliasKind {
    fn from_stored(number: i64) -> Result<Self, VaultError> {
        match number {
            1 => Ok(Self::ExternalId),
            2 => Ok(Self::Email),
            3 => Ok(Self::Login),
            4 => Ok(Self::RecordId),
            _ => Err(VaultError::Corrupt("an alias of unknown kind")),
        }
    }
}

/// A random stand-in for a value, and the person that the value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    pub kind: AliasKind,
    pub id: u128,
    pub person: PersonId,
}

/// What a protected value reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revealed {
    Value(String),
    /// The person's key is gone.
    Erased,
}

/// One deployment's vault. Cheap to share in an `Arc`; every method may be called from any thread.
pub struct Vault {
    shared: Arc<Shared>,
    writer: Writer,
}

struct Shared {
    master: MasterKey,
    /// Why the writer takes no more changes, once it doesn't.
    stopped: OnceLock<VaultError>,
    database: Mutex<Database>,
    /// Held while a copy is made: the writer waits, on a lock of its own, so that whoever reads does not.
    copying: Mutex<()>,
    path: PathBuf,
    /// `None`: we know that there is no key. Only changed under the database's lock, so that a slow reader can't put an
    /// erased key back.
    keys: Cache<(OrganizationId, PersonId), Option<Arc<PersonKey>>>,
    /// Raised by each erasure since the vault was opened.
    erasures_count: AtomicU64,
}

impl Shared {
    fn database(&self) -> MutexGuard<'_, Database> {
        // A panic in the middle of a transaction rolls it back, so the connection is sound.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_key(&self, organization: OrganizationId, person: PersonId) -> Result<Option<Arc<PersonKey>>, VaultError> {
        if let Some(known) = self.keys.get(&(organization, person)) {
            return Ok(known);
        }
        let database = self.database();
        let key = database.find_key(&self.master, organization, person)?.map(Arc::new);
        self.keys.insert((organization, person), key.clone());
        Ok(key)
    }

    fn key(&self, organization: OrganizationId, person: PersonId) -> Result<Arc<PersonKey>, VaultError> {
        if let Some(key) = self.find_key(organization, person)? {
            return Ok(key);
        }
        match self.database().is_erased(organization, person)? {
            true => Err(VaultError::PersonErased(person)),
            false => Err(VaultError::UnknownPerson(person)),
        }
    }
}

impl Vault {
    /// Makes an empty vault; `path` is the SQLite file, its folder is made where it is missing.
    ///
    /// # Errors
    /// [`VaultError::Exists`]; [`VaultError::Io`].
    pub fn create(path: &Path, master: MasterKey) -> Result<Self, VaultError> {
        Database::create(path, &master)?;
        Self::open(path, master)
    }

    /// Opens the vault that [`Vault::create`] made.
    ///
    /// # Errors
    /// [`VaultError::Missing`], [`VaultError::InUse`], [`VaultError::WrongMasterKey`], [`VaultError::Format`]: each
    /// refuses rather than let people read as erased who are not.
    pub fn open(path: &Path, master: MasterKey) -> Result<Self, VaultError> {
        let database = Mutex::new(Database::open(path, &master)?);
        let (keys, erasures_count) = (Cache::new(KEYS_CACHED_MAX), AtomicU64::new(0));
        let (stopped, copying, path) = (OnceLock::new(), Mutex::new(()), path.to_owned());
        let shared = Arc::new(Shared { master, stopped, database, copying, path, keys, erasures_count });
        let writer = Writer::start(shared.clone())?;
        Ok(Self { shared, writer })
    }

    /// Why the vault can't do its work, if it can't: its writer has stopped, or its database doesn't answer. Never waits: a
    /// database that is busy with another's question answers.
    pub fn trouble(&self) -> Option<VaultError> {
        if let Some(stopped) = self.shared.stopped.get().cloned().or_else(|| self.writer.ended()) {
            return Some(stopped);
        }
        let database = match self.shared.database.try_lock() {
            Ok(database) => database,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // A look-up that finds nothing still shows whether the database answers.
        let nobody = self.shared.master.lookup(OrganizationId(0), AliasKind::Login, "");
        database.find_alias(OrganizationId(0), AliasKind::Login, &nobody).err()
    }

    /// Gives the person a key, durably, before anything encrypted with it is recorded. Once more changes nothing.
    ///
    /// # Errors
    /// [`VaultError::PersonErased`] when the person was erased in this organization.
    pub fn create_person(&self, organization: OrganizationId, person: PersonId) -> Pending<()> {
        if let Some(Some(_)) = self.shared.keys.get(&(organization, person)) {
            return Pending::ready(Ok(()));
        }
        self.writer.send(Change::CreatePerson { organization, person }, Answer::done)
    }

    /// The person that a value stands for in this organization; where there is none, `fresh` becomes that person and
    /// gets a key.
    ///
    /// # Errors
    /// [`VaultError::PersonErased`] when `fresh` was erased before.
    pub fn person(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        value: &str,
        fresh: PersonId,
    ) -> Pending<PersonId> {
        let lookup = self.shared.master.lookup(organization, kind, value);
        match self.find_unless_busy(organization, kind, &lookup) {
            Ok(Some(alias)) => Pending::ready(Ok(alias.person)),
            Ok(None) => {
                let alias = Alias { kind, id: fresh.0, person: fresh };
                self.writer.send(Change::CreateAlias { organization, lookup, alias }, Answer::person)
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    /// The person that a value stands for in this organization.
    pub fn find_person(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        value: &str,
    ) -> Result<Option<PersonId>, VaultError> {
        Ok(self.find_alias(organization, kind, value)?.map(|alias| alias.person))
    }

    /// The alias of a value in this organization; where there is none, `fresh` becomes it and belongs to `person`, who
    /// gets a key where they have none. An alias that exists stays whose it is: compare `person` in the answer.
    ///
    /// # Errors
    /// [`VaultError::PersonErased`] when a new alias would belong to an erased person.
    pub fn alias(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        value: &str,
        person: PersonId,
        fresh: u128,
    ) -> Pending<Alias> {
        let lookup = self.shared.master.lookup(organization, kind, value);
        match self.find_unless_busy(organization, kind, &lookup) {
            Ok(Some(alias)) => Pending::ready(Ok(alias)),
            Ok(None) => {
                let alias = Alias { kind, id: fresh, person };
                self.writer.send(Change::CreateAlias { organization, lookup, alias }, Answer::alias)
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    /// The alias of a value in this organization.
    pub fn find_alias(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        value: &str,
    ) -> Result<Option<Alias>, VaultError> {
        let lookup = self.shared.master.lookup(organization, kind, value);
        self.shared.database().find_alias(organization, kind, &lookup)
    }

    /// Makes an alias belong to `person`, so that erasing them deletes it: said once the log has recorded whose it is,
    /// for an alias may have been made by an attempt that was never recorded. Does nothing where there is no such alias.
    ///
    /// # Errors
    /// [`VaultError::PersonErased`].
    pub fn assign_alias(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        id: u128,
        person: PersonId,
    ) -> Pending<()> {
        self.writer.send(Change::AssignAlias { organization, alias: Alias { kind, id, person } }, Answer::done)
    }

    /// Deletes one alias: the value is free again (a login that was changed).
    pub fn release_alias(&self, organization: OrganizationId, kind: AliasKind, id: u128) -> Pending<()> {
        self.writer.send(Change::ReleaseAlias { organization, kind, id }, Answer::done)
    }

    /// All aliases that belong to the person, in no order.
    pub fn aliases_of(&self, organization: OrganizationId, person: PersonId) -> Result<Vec<Alias>, VaultError> {
        self.shared.database().aliases_of(organization, person)
    }

    /// Encrypts a value of one person, for one field of one stream: the same four give the same bytes.
    ///
    /// # Errors
    /// [`VaultError::UnknownPerson`] before [`Vault::create_person`], [`VaultError::PersonErased`] after erasing.
    pub fn protect(
        &self,
        organization: OrganizationId,
        person: PersonId,
        stream: &str,
        field: &str,
        plaintext: &str,
    ) -> Result<Private, VaultError> {
        let key = self.shared.key(organization, person)?.field(stream, field);
        Ok(Private { person, ciphertext: key.protect(plaintext)? })
    }

    /// The value behind `private`, or that it was erased. Takes a lock only when the key is not in memory.
    ///
    /// # Errors
    /// [`VaultError::Corrupt`] when the ciphertext was changed, or was made for another field, stream or person.
    pub fn reveal(
        &self,
        organization: OrganizationId,
        stream: &str,
        field: &str,
        private: &Private,
    ) -> Result<Revealed, VaultError> {
        match self.shared.find_key(organization, private.person)? {
            Some(key) => key.field(stream, field).reveal(&private.ciphertext).map(Revealed::Value),
            None => Ok(Revealed::Erased),
        }
    }

    /// The key of one field, to hand to an auditor: opens that field of that person in that stream and nothing else.
    ///
    /// # Errors
    /// [`VaultError::UnknownPerson`], [`VaultError::PersonErased`].
    pub fn disclose(
        &self,
        organization: OrganizationId,
        person: PersonId,
        stream: &str,
        field: &str,
    ) -> Result<FieldKey, VaultError> {
        Ok(self.shared.key(organization, person)?.field(stream, field))
    }

    /// Destroys the person's key and aliases for good and leaves their id, so that they can't be made again. The answer
    /// says whether there was a key. Once more is harmless (and is how to go on after an error).
    pub fn erase(&self, organization: OrganizationId, person: PersonId) -> Pending<bool> {
        self.writer.send(Change::Erase { organization, person }, Answer::had_key)
    }

    /// How many erasures there were since the vault was opened: unchanged, the list of the erased is too, and what was
    /// revealed after it was read may still be shown.
    pub fn erasures_count(&self) -> u64 {
        self.shared.erasures_count.load(Acquire)
    }

    /// Everyone who was erased, for the list that a restore needs. Reads the whole vault.
    pub fn erased(&self) -> Result<Vec<(OrganizationId, PersonId)>, VaultError> {
        self.shared.database().erased()
    }

    /// Erases again whom the log, or the newest list of erasures, says is erased: done on every start and after a
    /// restore. Returns how many keys were there again and are destroyed now.
    pub fn erase_again(&self, erased: &[(OrganizationId, PersonId)]) -> Result<usize, VaultError> {
        let known: std::collections::HashSet<_> = self.erased()?.into_iter().collect();
        let waiting: Vec<_> = (erased.iter().filter(|erasure| !known.contains(*erasure)))
            .map(|(organization, person)| self.erase(*organization, *person))
            .collect();
        let mut destroyed = 0;
        for pending in waiting {
            destroyed += usize::from(pending.wait()?);
        }
        Ok(destroyed)
    }

    /// Writes a consistent copy to `to`, which must not exist, and checks it: its structure, and that every key in it
    /// opens. The master key is not in it.
    pub fn backup(&self, to: &Path) -> Result<Contents, VaultError> {
        let Shared { master, copying, path, .. } = &*self.shared;
        // Changes wait for the copy, and nobody else does: it is made over a connection of its own.
        let no_changes = copying.lock().unwrap_or_else(PoisonError::into_inner);
        Database::open_to_read(path, master)?.copy_to(to)?;
        drop(no_changes);
        Database::seal_copy(to, master)
    }

    /// The same from beside a running server.
    pub fn backup_beside(path: &Path, master: &MasterKey, to: &Path) -> Result<Contents, VaultError> {
        Database::open_to_read(path, master)?.copy_to(to)?;
        Database::seal_copy(to, master)
    }

    /// Puts a backup in the place of a vault that does not exist, after checking it as [`Vault::backup`] does. Then open
    /// it and [`Vault::erase_again`] before anything is served.
    pub fn restore(from: &Path, path: &Path, master: &MasterKey) -> Result<Contents, VaultError> {
        database::restore(from, path, master)
    }

    /// Looks without waiting for a commit that is under way: the writer looks again anyway.
    fn find_unless_busy(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        lookup: &[u8; 32],
    ) -> Result<Option<Alias>, VaultError> {
        match self.shared.database.try_lock() {
            Ok(database) => database.find_alias(organization, kind, lookup),
            Err(_) => Ok(None),
        }
    }
}
