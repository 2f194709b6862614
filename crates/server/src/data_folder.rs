//! The data folder: one folder that holds everything, made whole or not at all, used by one process at a time.
//!
//! | name | what |
//! | --- | --- |
//! | `VERSION` | the folder's format, a number; written last, so a folder that has it is whole |
//! | `MAKING` | is there only while the folder is being made; says by which command |
//! | `lock` | locked (flock) by the process that uses the folder; holds its id |
//! | `journal/` | the events: the only truth |
//! | `vault/` | keys of persons |
//! | `ledger/` | the Merkle log and its checkpoints |
//! | `keys/` | the server's own signing keys |
//! | `read-models/` | can be deleted; are built again from the journal |
//! | `first-start` | is there until the first organization's key was told |
//! | `admin.sock` | the operator's socket, while a server runs |
//! | `media-node.sock`, `media-node.log` | the media node's socket, while one runs, and its log |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The format that this witan writes.
pub const FORMAT: u32 = 1;

const VERSION: &str = "VERSION";
const MAKING: &str = "MAKING";
const LOCK: &str = "lock";
const PARTS: [&str; 5] = ["journal", "vault", "ledger", "keys", "read-models"];
/// What a file system may put into a folder of its own; a mount point with only these is empty.
const NOT_OURS: [&str; 1] = ["lost+found"];

/// A step from one format to the next. It must be safe to run again after a crash in its middle.
pub struct Upgrade {
    /// The format it starts from; it leads to the next.
    pub from: u32,
    pub run: fn(&Path) -> io::Result<()>,
}

/// All upgrades, oldest first.
const UPGRADES: &[Upgrade] = &[];

#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error(
        "there is no data folder at {path}: `witan serve` makes one; another place is named with --data or WITAN_DATA"
    )]
    Missing { path: PathBuf },
    #[error(
        "the data folder {path} is used by process {pid}: one process at a time may use it; stop that one (kill {pid}), \
         or name another folder with --data"
    )]
    InUse { path: PathBuf, pid: String },
    #[error(
        "{path} is not a data folder of witan: it has no VERSION but holds {found}; name an empty or new folder with \
         --data"
    )]
    Foreign { path: PathBuf, found: String },
    #[error(
        "the data folder {path} has a journal but no VERSION: it is damaged; put the file VERSION back (it holds the \
         format's number, {FORMAT} for this witan), or restore a backup"
    )]
    VersionLost { path: PathBuf },
    #[error(
        "{path}/VERSION holds {text:?}, which is no format's number: put back what stood there, or restore a backup"
    )]
    VersionUnreadable { path: PathBuf, text: String },
    #[error(
        "the data folder {path} has format {found}, made by a newer witan; this one ({}) knows formats up to {FORMAT}: \
         run the newer witan, or restore a backup that this one made",
        env!("CARGO_PKG_VERSION")
    )]
    Newer { path: PathBuf, found: u32 },
    #[error("the data folder {path} has format {found}, from which no upgrade leads: run the witan that made it")]
    TooOld { path: PathBuf, found: u32 },
    #[error("the data folder {path}: {what} from format {from} to {}: {error}; nothing is lost, start again", from + 1)]
    Upgrade { path: PathBuf, what: &'static str, from: u32, error: io::Error },
    #[error(
        "`witan {by}` was making the data folder {path} and did not finish: run that again (it begins anew), or delete the \
         folder"
    )]
    HalfMade { path: PathBuf, by: String },
    #[error("the data folder {path} could not be made: {why}; what was begun is cleared away at the next start")]
    Making { path: PathBuf, why: String },
    #[error("the data folder, {path}: can't {doing}: {error}")]
    Io { path: PathBuf, doing: &'static str, error: io::Error },
}

/// A data folder that this process holds the lock of, until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
    /// Whether this call made it.
    pub made: bool,
}

impl DataFolder {
    /// Opens the folder, or makes it where there is none (or an empty one). `fill` puts first content into the parts;
    /// the folder counts as made only after it has succeeded. What a making that did not finish has left is cleared away,
    /// but only by the same command (`by`): an interrupted restore must not become an empty deployment.
    pub fn open_or_make(
        path: &Path,
        by: &str,
        fill: impl FnOnce(&Parts) -> Result<(), String>,
    ) -> Result<Self, DataFolderError> {
        make_folder(path)?;
        let lock = lock(path)?;
        let made = match read_version(path)? {
            Some(found) => {
                upgrade(path, found, FORMAT, UPGRADES)?;
                false
            }
            None => {
                make(path, by, fill)?;
                true
            }
        };
        let _ = fs::remove_file(path.join(MAKING));
        keep_private(path)?;
        Ok(Self { path: path.into(), _lock: lock, made })
    }

    /// Opens the folder; an error where there is none.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        check(path)?;
        Self::open_or_make(path, "", |_| Err("it went away".into()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn parts(&self) -> Parts {
        Parts(self.path.clone())
    }
}

/// Where the parts of a data folder are.
#[derive(Clone, Debug)]
pub struct Parts(PathBuf);

impl Parts {
    pub fn new(data: &Path) -> Self {
        Self(data.into())
    }

    pub fn data(&self) -> &Path {
        &self.0
    }

    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    pub fn read_models(&self) -> PathBuf {
        self.0.join("read-models")
    }
}

/// Checks, without the lock, that there is a data folder of a format that this witan knows: for what reads beside a
/// running server.
pub fn check(path: &Path) -> Result<Parts, DataFolderError> {
    match read_version(path)? {
        Some(FORMAT) => Ok(Parts::new(path)),
        Some(found) if found > FORMAT => Err(DataFolderError::Newer { path: path.into(), found }),
        Some(_) => Ok(Parts::new(path)),
        None if path.join("journal").is_dir() && !path.join(MAKING).exists() => {
            Err(DataFolderError::VersionLost { path: path.into() })
        }
        None => Err(DataFolderError::Missing { path: path.into() }),
    }
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DataFolderError {
    move |error| DataFolderError::Io { path: path.into(), doing, error }
}

fn make_folder(path: &Path) -> Result<(), DataFolderError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(io_error(parent, "make this folder"))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(io_error(path, "make the folder")),
    }
}

/// The lock is the kernel's: it goes with the process, however that ends, so a stale one can't be.
fn lock(path: &Path) -> Result<File, DataFolderError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(LOCK))
        .map_err(io_error(path, "open the file `lock` in it"))?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(io_error(path, "lock it")(error.into()));
        }
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let pid = pid.trim();
        let pid = if pid.is_empty() { "(unknown)" } else { pid };
        return Err(DataFolderError::InUse { path: path.into(), pid: pid.into() });
    }
    // In place and always as long, so that a full disk doesn't keep an existing folder from opening.
    let written = file.write_all_at(format!("{:<10}\n", std::process::id()).as_bytes(), 0);
    written.map_err(io_error(path, "write the file `lock` in it"))?;
    Ok(file)
}

fn read_version(path: &Path) -> Result<Option<u32>, DataFolderError> {
    match fs::read(path.join(VERSION)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let number = text.trim().parse().ok().filter(|format| *format > 0);
            number.map(Some).ok_or_else(|| DataFolderError::VersionUnreadable {
                path: path.into(),
                text: text.chars().take(40).collect(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, "read the file VERSION in it")(error)),
    }
}

fn write_version(path: &Path, format: u32) -> io::Result<()> {
    write_whole(path, VERSION, format!("{format}\n").as_bytes())
}

/// Writes a file whole or not at all, and only returns when it would survive a power loss.
pub fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn make(path: &Path, by: &str, fill: impl FnOnce(&Parts) -> Result<(), String>) -> Result<(), DataFolderError> {
    match fs::read_to_string(path.join(MAKING)) {
        // An empty one is from a making that was interrupted before there was anything.
        Ok(maker) if maker.trim().is_empty() || maker.trim() == by => clear(path)?,
        Ok(maker) => return Err(DataFolderError::HalfMade { path: path.into(), by: maker.trim().into() }),
        Err(_) => check_empty(path)?,
    }
    let made = || -> io::Result<()> {
        write_whole(path, MAKING, by.as_bytes())?;
        for part in PARTS {
            fs::DirBuilder::new().mode(0o700).create(path.join(part))?;
        }
        Ok(())
    };
    made().map_err(io_error(path, "make its parts"))?;
    fill(&Parts::new(path)).map_err(|why| DataFolderError::Making { path: path.into(), why })?;
    write_version(path, FORMAT).map_err(io_error(path, "write the file VERSION in it"))
}

/// Takes away what a making that did not finish has left. Nothing in it was ever served: VERSION is written before.
fn clear(path: &Path) -> Result<(), DataFolderError> {
    for part in PARTS {
        match fs::remove_dir_all(path.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(path, "clear away what was left half made")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_empty(path: &Path) -> Result<(), DataFolderError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error(path, "read the folder"))? {
        let name = entry.map_err(io_error(path, "read the folder"))?.file_name().to_string_lossy().into_owned();
        if name != LOCK && name != format!("{MAKING}.new") && !NOT_OURS.contains(&name.as_str()) {
            found.push(name);
        }
    }
    if found.iter().any(|name| name == "journal") {
        return Err(DataFolderError::VersionLost { path: path.into() });
    }
    if found.is_empty() {
        return Ok(());
    }
    found.sort();
    let more = if found.len() > 3 { format!(" and {} more", found.len() - 3) } else { String::new() };
    let found = format!("{}{more}", found.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "));
    Err(DataFolderError::Foreign { path: path.into(), found })
}

/// Leads the folder to format `to`, one step after the other; VERSION is written after each.
fn upgrade(path: &Path, found: u32, to: u32, upgrades: &[Upgrade]) -> Result<(), DataFolderError> {
    if found > to {
        return Err(DataFolderError::Newer { path: path.into(), found });
    }
    for from in found..to {
        let Some(step) = upgrades.iter().find(|upgrade| upgrade.from == from) else {
            return Err(DataFolderError::TooOld { path: path.into(), found: from });
        };
        tracing::info!(from, to = from + 1, "upgrading the data folder");
        let failed = |what| move |error| DataFolderError::Upgrade { path: path.into(), what, from, error };
        (step.run)(path).map_err(failed("the upgrade failed"))?;
        write_version(path, from + 1).map_err(failed("VERSION could not be written"))?;
    }
    Ok(())
}

/// Keys and events are nobody else's business: what is open to others is closed, and said.
fn keep_private(path: &Path) -> Result<(), DataFolderError> {
    let mode = fs::metadata(path).map_err(io_error(path, "read its permissions"))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(io_error(path, "close it to other users (chmod 700)"))?;
        tracing::warn!(was = format!("{:o}", mode & 0o777), "the data folder was open to other users: closed it (700)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(parts: &Parts) -> Result<(), String> {
        fs::write(parts.journal().join("head"), "x").map_err(|error| error.to_string())
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep").join("data");
        (parent, path)
    }

    #[test]
    fn is_made_whole_and_private() {
        let (_parent, path) = folder();
        let data = DataFolder::open_or_make(&path, "serve", filled).unwrap();
        assert!(data.made);
        assert_eq!(fs::read_to_string(path.join(VERSION)).unwrap(), "1\n");
        assert!(!path.join(MAKING).exists());
        for part in PARTS {
            assert_eq!(fs::metadata(path.join(part)).unwrap().permissions().mode() & 0o777, 0o700, "{part}");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(data);
        let again = DataFolder::open_or_make(&path, "serve", |_| panic!("is made once")).unwrap();
        assert!(!again.made);
    }

    #[test]
    fn one_process_at_a_time() {
        let (_parent, path) = folder();
        let data = DataFolder::open_or_make(&path, "serve", filled).unwrap();
        let error = DataFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("used by process {}", std::process::id())), "{error}");
        drop(data);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn half_made_is_cleared_and_made() {
        let (_parent, path) = folder();
        let error = DataFolder::open_or_make(&path, "serve", |parts| {
            fs::write(parts.vault().join("half"), "x").unwrap();
            Err("the light went out".into())
        });
        assert!(error.unwrap_err().to_string().contains("the light went out"));
        assert!(path.join("vault/half").exists() && !path.join(VERSION).exists());
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::Missing { .. })));
        let other = DataFolder::open_or_make(&path, "restore", filled).unwrap_err();
        assert!(other.to_string().contains("`witan serve` was making"), "{other}");
        assert!(DataFolder::open_or_make(&path, "serve", filled).unwrap().made);
        assert!(!path.join("vault/half").exists());
    }

    #[test]
    fn a_crash_between_version_and_the_end_is_harmless() {
        let (_parent, path) = folder();
        drop(DataFolder::open_or_make(&path, "serve", filled).unwrap());
        fs::write(path.join(MAKING), "").unwrap();
        let data = DataFolder::open_or_make(&path, "serve", |_| panic!("is made once")).unwrap();
        assert!(!data.made && path.join("journal/head").exists() && !path.join(MAKING).exists());
    }

    #[test]
    fn foreign_folders_are_left_alone() {
        let (_parent, path) = folder();
        fs::create_dir_all(&path).unwrap();
        fs::create_dir(path.join("lost+found")).unwrap();
        fs::write(path.join("thesis.odt"), "x").unwrap();
        let error = DataFolder::open_or_make(&path, "serve", filled).unwrap_err();
        assert!(matches!(error, DataFolderError::Foreign { .. }) && error.to_string().contains("holds thesis.odt"));
        fs::remove_file(path.join("thesis.odt")).unwrap();
        DataFolder::open_or_make(&path, "serve", filled).unwrap();
    }

    #[test]
    fn a_lost_version_is_not_a_new_folder() {
        let (_parent, path) = folder();
        drop(DataFolder::open_or_make(&path, "serve", filled).unwrap());
        fs::remove_file(path.join(VERSION)).unwrap();
        assert!(matches!(DataFolder::open_or_make(&path, "serve", filled), Err(DataFolderError::VersionLost { .. })));
        assert!(matches!(check(&path), Err(DataFolderError::VersionLost { .. })));
        assert!(path.join("journal/head").exists());
    }

    #[test]
    fn newer_and_unreadable_formats_are_refused() {
        let (_parent, path) = folder();
        drop(DataFolder::open_or_make(&path, "serve", filled).unwrap());
        fs::write(path.join(VERSION), "7\n").unwrap();
        let error = DataFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains("has format 7, made by a newer witan"), "{error}");
        fs::write(path.join(VERSION), "seven").unwrap();
        assert!(matches!(DataFolder::open(&path), Err(DataFolderError::VersionUnreadable { .. })));
    }

    #[test]
    fn older_formats_are_upgraded_step_by_step() {
        let (_parent, path) = folder();
        drop(DataFolder::open_or_make(&path, "serve", filled).unwrap());
        let steps = [
            Upgrade { from: 1, run: |path| fs::write(path.join("one"), "") },
            Upgrade { from: 2, run: |path| fs::rename(path.join("one"), path.join("two")) },
        ];
        upgrade(&path, 1, 3, &steps).unwrap();
        assert!(path.join("two").exists());
        assert_eq!(read_version(&path).unwrap(), Some(3));
        let failing = [Upgrade { from: 3, run: |_| Err(io::Error::other("no room")) }];
        let error = upgrade(&path, 3, 4, &failing).unwrap_err().to_string();
        assert!(error.contains("from format 3 to 4: no room"), "{error}");
        assert_eq!(read_version(&path).unwrap(), Some(3));
        assert!(matches!(upgrade(&path, 3, 4, &[]), Err(DataFolderError::TooOld { found: 3, .. })));
    }

    #[test]
    fn is_closed_to_others() {
        let (_parent, path) = folder();
        drop(DataFolder::open_or_make(&path, "serve", filled).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        drop(DataFolder::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
