//! The SQLite file.
//!
//! A key that is deleted must be gone from the disk, so:
//!
//! * **What is secret is overwritten in place, in a row that never moves.** SQLite moves rows between pages when it splits
//!   and merges them, and leaves copies in the gaps, `secure_delete` or not (a test found some). So keys and lookups stand in
//!   tables that only ever grow at their end, in columns of fixed size; erasing writes zeros over them; and no index holds
//!   them: aliases are indexed by 12 bits of their lookup, enough to find them among a few.
//! * `secure_delete = ON` all the same, which overwrites deleted index entries and freed pages.
//! * **The rollback journal is wiped.** It holds pages as they were before a change, with the key that is being erased.
//!   `DELETE` and `TRUNCATE` would give its blocks back to the file system as they are, and a WAL keeps old pages until it
//!   is written over. With `journal_mode = PERSIST` the journal stays in place, and after an erasure, and when opening, it is
//!   overwritten with zeros and synced.
//! * `PERSIST` also commits by a synced write, not by an unlink that a power loss can undo.
//! * `temp_store = MEMORY`: no temporary files.
//!
//! What a file system copies elsewhere (copy-on-write, snapshots, worn flash blocks) is out of reach here; there the wrapped
//! keys that remain are of no use without the master key.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use witan_domain::{OrganizationId, PersonId};
use zeroize::Zeroizing;

use crate::{
    Alias, AliasKind, MasterKey, VaultError,
    keys::PersonKey,
    writer::{Answer, Change, Effect},
};

const FORMAT: i64 = 1;
/// How long a change waits for a backup that another process is making.
const BUSY_SECONDS_MAX: u64 = 30;
/// How many statements SQLite keeps prepared.
const STATEMENTS_CACHED_MAX: usize = 32;

const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT NOT NULL UNIQUE, value ANY NOT NULL) STRICT;
    CREATE TABLE person (
        place INTEGER PRIMARY KEY, organization BLOB NOT NULL, person BLOB NOT NULL, wrapped BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX person_id ON person (organization, person);
    CREATE TABLE alias (
        place INTEGER PRIMARY KEY, organization BLOB NOT NULL, kind INTEGER NOT NULL, bucket BLOB NOT NULL,
        lookup BLOB NOT NULL, id BLOB NOT NULL, person BLOB NOT NULL
    ) STRICT;
    CREATE INDEX alias_bucket ON alias (organization, kind, bucket);
    CREATE INDEX alias_id ON alias (organization, kind, id);
    CREATE INDEX alias_person ON alias (organization, person);
";

/// What stands in the place of an erased key: as long as a wrapped one. The row is the tombstone.
const KEY_ERASED: [u8; 48] = [0; 48];
const LOOKUP_ERASED: [u8; 32] = [0; 32];
/// Outside the 12 bits of a bucket.
const BUCKET_ERASED: [u8; 2] = [0xff; 2];

/// How many of each a vault holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub persons: u64,
    pub aliases: u64,
    pub erased: u64,
}

pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
    /// Held for as long as we write: wiping the journal under another writer would ruin its transaction.
    _lock: Option<File>,
}

impl Database {
    pub(crate) fn create(path: &Path, master: &MasterKey) -> Result<(), VaultError> {
        make_file(path)?;
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let transaction = connection.transaction().map_err(fault)?;
        transaction.execute_batch(SCHEMA).map_err(fault)?;
        let mut meta = transaction.prepare("INSERT INTO meta VALUES (?1, ?2)").map_err(fault)?;
        meta.execute(params!["format", FORMAT]).map_err(fault)?;
        meta.execute(params!["master", master.fingerprint()]).map_err(fault)?;
        drop(meta);
        transaction.commit().map_err(fault)?;
        drop(connection);
        sync_folder_of(path).map_err(io)
    }

    pub(crate) fn open(path: &Path, master: &MasterKey) -> Result<Self, VaultError> {
        exists(path)?;
        let lock = lock(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let database = Self { connection, path: path.to_owned(), _lock: Some(lock) };
        // The first read rolls back what a crash left in the journal; only then may the journal be wiped.
        check_meta(&database.connection, master)?;
        database.wipe_journal()?;
        Ok(database)
    }

    /// To read beside another process: no lock, no changes.
    pub(crate) fn open_to_read(path: &Path, master: &MasterKey) -> Result<Self, VaultError> {
        exists(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        check_meta(&connection, master)?;
        Ok(Self { connection, path: path.to_owned(), _lock: None })
    }

    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Changes<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        let changes = Changes(transaction);
        let done = work(&changes)?;
        changes.0.commit().map_err(fault)?;
        Ok(done)
    }

    #[cfg(test)]
    pub(crate) fn pragma(&self, name: &str) -> String {
        let value = self.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
        match value.unwrap() {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Overwrites the rollback journal with zeros, in place. Only between transactions: a journal in use is needed.
    pub(crate) fn wipe_journal(&self) -> Result<(), VaultError> {
        let path = beside(&self.path, "-journal");
        let mut journal = match fs::OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(io)?,
        };
        let bytes = journal.metadata().map_err(io)?.len();
        std::io::copy(&mut std::io::repeat(0).take(bytes), &mut journal).map_err(io)?;
        journal.sync_all().map_err(io)
    }

    pub(crate) fn find_key(
        &self,
        master: &MasterKey,
        organization: OrganizationId,
        person: PersonId,
    ) -> Result<Option<PersonKey>, VaultError> {
        find_key(&self.connection, master, organization, person)
    }

    pub(crate) fn is_erased(&self, organization: OrganizationId, person: PersonId) -> Result<bool, VaultError> {
        is_erased(&self.connection, organization, person)
    }

    pub(crate) fn find_alias(
        &self,
        organization: OrganizationId,
        kind: AliasKind,
        lookup: &[u8; 32],
    ) -> Result<Option<Alias>, VaultError> {
        find_alias(&self.connection, organization, kind, lookup)
    }

    pub(crate) fn aliases_of(&self, organization: OrganizationId, person: PersonId) -> Result<Vec<Alias>, VaultError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT kind, id FROM alias WHERE organization = ?1 AND person = ?2 AND bucket <> ?3")
            .map_err(fault)?;
        let rows = statement
            .query_map(params![blob(organization.0), blob(person.0), BUCKET_ERASED], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?))
            })
            .map_err(fault)?;
        rows.map(|row| {
            let (kind, id) = row.map_err(fault)?;
            Ok(Alias { kind: AliasKind::from_stored(kind)?, id: u128::from_be_bytes(id), person })
        })
        .collect()
    }

    pub(crate) fn erased(&self) -> Result<Vec<(OrganizationId, PersonId)>, VaultError> {
        let mut statement = self
            .connection
            .prepare("SELECT organization, person FROM person WHERE wrapped = ?1 ORDER BY place")
            .map_err(fault)?;
        let rows = statement
            .query_map([KEY_ERASED], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 16]>(1)?)))
            .map_err(fault)?;
        rows.map(|row| {
            let (organization, person) = row.map_err(fault)?;
            Ok((OrganizationId(u128::from_be_bytes(organization)), PersonId(u128::from_be_bytes(person))))
        })
        .collect()
    }

    /// `VACUUM INTO` reads one consistent state and copies rows, not pages: nothing deleted comes along.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), VaultError> {
        make_file(to)?;
        let target = to.to_str().ok_or_else(|| VaultError::Io("the backup's path is not UTF-8".into()))?;
        self.connection.execute("VACUUM INTO ?1", [target]).map(|_| ()).map_err(fault)
    }

    /// Makes a copy lasting, and reads it all.
    pub(crate) fn seal_copy(to: &Path, master: &MasterKey) -> Result<Contents, VaultError> {
        File::open(to).and_then(|file| file.sync_all()).map_err(io)?;
        sync_folder_of(to).map_err(io)?;
        Self::open_to_read(to, master)?.check(master)
    }

    /// Reads everything: SQLite's own check of the file, and every key under the master key.
    fn check(&self, master: &MasterKey) -> Result<Contents, VaultError> {
        let whole: String =
            self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(fault)?;
        if whole != "ok" {
            return Err(VaultError::Corrupt("SQLite's integrity check failed"));
        }
        let mut statement =
            self.connection.prepare("SELECT organization, person, wrapped FROM person").map_err(fault)?;
        let mut rows = statement.query([]).map_err(fault)?;
        let mut contents = Contents { persons: 0, aliases: 0, erased: 0 };
        while let Some(row) = rows.next().map_err(fault)? {
            let organization = OrganizationId(u128::from_be_bytes(row.get(0).map_err(fault)?));
            let person = PersonId(u128::from_be_bytes(row.get(1).map_err(fault)?));
            match stored_key(row.get(2).map_err(fault)?) {
                None => contents.erased += 1,
                Some(wrapped) => {
                    master.unwrap(organization, person, &wrapped)?;
                    contents.persons += 1;
                }
            }
        }
        contents.aliases = self
            .connection
            .query_row("SELECT count(*) FROM alias WHERE bucket <> ?1", [BUCKET_ERASED], |row| row.get::<_, i64>(0))
            .map_err(fault)?
            .cast_unsigned();
        Ok(contents)
    }
}

pub(crate) fn restore(from: &Path, path: &Path, master: &MasterKey) -> Result<Contents, VaultError> {
    Database::open_to_read(from, master)?.check(master)?;
    make_file(path)?;
    fs::copy(from, path).map_err(io)?;
    File::open(path).and_then(|file| file.sync_all()).map_err(io)?;
    sync_folder_of(path).map_err(io)?;
    Database::open_to_read(path, master)?.check(master)
}

/// A transaction that is open.
pub(crate) struct Changes<'c>(Transaction<'c>);

impl Changes<'_> {
    pub(crate) fn apply(
        &self,
        master: &MasterKey,
        change: &Change,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, VaultError> {
        match *change {
            Change::CreatePerson { organization, person } => {
                self.create_person(master, organization, person, effects)?;
                Ok(Answer::Done)
            }
            Change::CreateAlias { organization, lookup, alias } => {
                if let Some(found) = find_alias(&self.0, organization, alias.kind, &lookup)? {
                    return Ok(Answer::Alias(found));
                }
                let alias = self.under_its_own_id(organization, alias)?;
                self.create_person(master, organization, alias.person, effects)?;
                self.execute(
                    "INSERT INTO alias (organization, kind, bucket, lookup, id, person) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        blob(organization.0),
                        alias.kind as i64,
                        bucket(&lookup),
                        lookup,
                        blob(alias.id),
                        blob(alias.person.0)
                    ],
                )?;
                Ok(Answer::Alias(alias))
            }
            Change::AssignAlias { organization, alias } => {
                if is_erased(&self.0, organization, alias.person)? {
                    return Err(VaultError::PersonErased(alias.person));
                }
                self.execute(
                    "UPDATE alias SET person = ?4
                     WHERE organization = ?1 AND kind = ?2 AND id = ?3 AND person <> ?4",
                    params![blob(organization.0), alias.kind as i64, blob(alias.id), blob(alias.person.0)],
                )?;
                Ok(Answer::Done)
            }
            Change::ReleaseAlias { organization, kind, id } => {
                self.execute(
                    "UPDATE alias SET bucket = ?4, lookup = ?5 WHERE organization = ?1 AND kind = ?2 AND id = ?3",
                    params![blob(organization.0), kind as i64, blob(id), BUCKET_ERASED, LOOKUP_ERASED],
                )?;
                Ok(Answer::Done)
            }
            Change::Erase { organization, person } => self.erase(organization, person, effects),
        }
    }

    /// The alias under an id that no other value of its kind has: what a caller derives may come twice, and whoever looks
    /// by an id must find one value. Where the id is the person's, another value is another person.
    fn under_its_own_id(&self, organization: OrganizationId, alias: Alias) -> Result<Alias, VaultError> {
        let taken = self
            .0
            .prepare_cached("SELECT 1 FROM alias WHERE organization = ?1 AND kind = ?2 AND id = ?3 AND bucket <> ?4");
        let row = params![blob(organization.0), alias.kind as i64, blob(alias.id), BUCKET_ERASED];
        if !taken.and_then(|mut statement| statement.exists(row)).map_err(fault)? {
            return Ok(alias);
        }
        let random = random()?;
        let id = random.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
        let person = if alias.person.0 == alias.id { PersonId(id) } else { alias.person };
        Ok(Alias { id, person, ..alias })
    }

    fn create_person(
        &self,
        master: &MasterKey,
        organization: OrganizationId,
        person: PersonId,
        effects: &mut Vec<Effect>,
    ) -> Result<(), VaultError> {
        if is_erased(&self.0, organization, person)? {
            return Err(VaultError::PersonErased(person));
        }
        if find_key(&self.0, master, organization, person)?.is_some() {
            return Ok(());
        }
        let key = PersonKey(random()?);
        self.execute(
            "INSERT INTO person (organization, person, wrapped) VALUES (?1, ?2, ?3)",
            params![blob(organization.0), blob(person.0), master.wrap(organization, person, &key)?],
        )?;
        effects.push(Effect { organization, person, key: Some(key) });
        Ok(())
    }

    fn erase(
        &self,
        organization: OrganizationId,
        person: PersonId,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, VaultError> {
        let (organization_blob, person_blob) = (blob(organization.0), blob(person.0));
        let keys = self.execute(
            "UPDATE person SET wrapped = ?3 WHERE organization = ?1 AND person = ?2 AND wrapped <> ?3",
            params![organization_blob, person_blob, KEY_ERASED],
        )?;
        self.execute(
            "INSERT OR IGNORE INTO person (organization, person, wrapped) VALUES (?1, ?2, ?3)",
            params![organization_blob, person_blob, KEY_ERASED],
        )?;
        self.execute(
            "UPDATE alias SET bucket = ?3, lookup = ?4 WHERE organization = ?1 AND person = ?2 AND bucket <> ?3",
            params![organization_blob, person_blob, BUCKET_ERASED, LOOKUP_ERASED],
        )?;
        effects.push(Effect { organization, person, key: None });
        Ok(Answer::Erased { had_key: keys > 0 })
    }

    fn execute(&self, sql: &str, row: &[&dyn rusqlite::ToSql]) -> Result<usize, VaultError> {
        self.0.prepare_cached(sql).and_then(|mut statement| statement.execute(row)).map_err(fault)
    }
}

fn find_key(
    connection: &Connection,
    master: &MasterKey,
    organization: OrganizationId,
    person: PersonId,
) -> Result<Option<PersonKey>, VaultError> {
    let wrapped = find_row(connection, organization, person)?.and_then(stored_key);
    wrapped.map(|wrapped| master.unwrap(organization, person, &wrapped)).transpose()
}

fn is_erased(connection: &Connection, organization: OrganizationId, person: PersonId) -> Result<bool, VaultError> {
    Ok(find_row(connection, organization, person)?.is_some_and(|stored| stored_key(stored).is_none()))
}

fn find_row(
    connection: &Connection,
    organization: OrganizationId,
    person: PersonId,
) -> Result<Option<Vec<u8>>, VaultError> {
    connection
        .prepare_cached("SELECT wrapped FROM person WHERE organization = ?1 AND person = ?2")
        .and_then(|mut statement| {
            statement.query_row(params![blob(organization.0), blob(person.0)], |row| row.get(0)).optional()
        })
        .map_err(fault)
}

/// The wrapped key in a person's row, where it is not a tombstone.
fn stored_key(stored: Vec<u8>) -> Option<Vec<u8>> {
    Some(stored).filter(|stored| *stored != KEY_ERASED)
}

fn find_alias(
    connection: &Connection,
    organization: OrganizationId,
    kind: AliasKind,
    lookup: &[u8; 32],
) -> Result<Option<Alias>, VaultError> {
    connection
        .prepare_cached(
            "SELECT id, person FROM alias WHERE organization = ?1 AND kind = ?2 AND bucket = ?3 AND lookup = ?4",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![blob(organization.0), kind as i64, bucket(lookup), lookup], |row| {
                    Ok(Alias {
                        kind,
                        id: u128::from_be_bytes(row.get(0)?),
                        person: PersonId(u128::from_be_bytes(row.get(1)?)),
                    })
                })
                .optional()
        })
        .map_err(fault)
}

/// 12 bits of a lookup: what an index may hold.
fn bucket(lookup: &[u8; 32]) -> [u8; 2] {
    [lookup[0] & 0x0f, lookup[1]]
}

fn random() -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let mut bytes = Zeroizing::new([0; 32]);
    #[expect(clippy::disallowed_methods, reason = "a person's key is made here and nowhere else, and never replayed")]
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| VaultError::Io(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, VaultError> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fault)?;
    connection.busy_timeout(Duration::from_secs(BUSY_SECONDS_MAX)).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection
        .execute_batch(
            "PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )
        .map_err(fault)?;
    if mode.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.execute_batch("PRAGMA journal_mode = PERSIST;").map_err(fault)?;
    }
    Ok(connection)
}

fn check_meta(connection: &Connection, master: &MasterKey) -> Result<(), VaultError> {
    let meta = |name: &str| connection.prepare("SELECT value FROM meta WHERE name = ?1").map(|s| (s, name.to_owned()));
    let (mut statement, name) = meta("format").map_err(fault)?;
    let found: i64 = statement.query_row([name], |row| row.get(0)).map_err(fault)?;
    if found != FORMAT {
        return Err(VaultError::Format { found, known: FORMAT });
    }
    let (mut statement, name) = meta("master").map_err(fault)?;
    let fingerprint: Vec<u8> = statement.query_row([name], |row| row.get(0)).map_err(fault)?;
    if fingerprint != master.fingerprint() { Err(VaultError::WrongMasterKey) } else { Ok(()) }
}

fn lock(path: &Path) -> Result<File, VaultError> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VaultError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn exists(path: &Path) -> Result<(), VaultError> {
    if path.exists() { Ok(()) } else { Err(VaultError::Missing(path.display().to_string())) }
}

/// An empty file that only its owner may read; SQLite gives its journal the same mode.
fn make_file(path: &Path) -> Result<(), VaultError> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(VaultError::Exists(path.display().to_string())),
        made => made.and_then(|mut file| file.flush()).map_err(io),
    }
}

/// A new file is only there after a power loss when its folder was synced.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

fn io(error: std::io::Error) -> VaultError {
    match error.kind() {
        ErrorKind::StorageFull => VaultError::Full,
        _ => VaultError::Io(error.to_string()),
    }
}

/// SQLite's errors name tables and files, never values. After a failed write or sync nobody knows what is on the disk.
fn fault(error: rusqlite::Error) -> VaultError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => VaultError::Full,
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            VaultError::Stopped(error.to_string())
        }
        _ => VaultError::Database(error.to_string()),
    }
}
