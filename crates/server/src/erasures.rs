//! The list of erasures: who must be erased again when an older backup is restored. JSON lines, the first of which says
//! how many follow, so that a list that was cut short is noticed. It holds ids, nothing personal.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use witan_domain::{OrganizationId, PersonId};
use witan_vault::{MasterKey, Vault, VaultError};

use crate::{
    data_folder::{self, Parts, write_whole},
    failure::Failure,
};

pub const FILE: &str = "erasures.jsonl";
/// How often the server looks whether the list beside its backups is still the newest.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Persons that were erased, each in one organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasures(pub BTreeSet<(OrganizationId, PersonId)>);

#[derive(Serialize, Deserialize)]
struct Header {
    erasures: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    organization: OrganizationId,
    person: PersonId,
}

impl Erasures {
    pub fn of_vault(vault: &Vault) -> Result<Self, Failure> {
        let erased = vault.erased().map_err(|error| Failure::caused("the vault's list of erasures", &error))?;
        Ok(Self(erased.into_iter().collect()))
    }

    /// Writes `erasures.jsonl` in this folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string(&Header { erasures: self.0.len() })?;
        for (organization, person) in &self.0 {
            text.push('\n');
            text += &serde_json::to_string(&Line { organization: *organization, person: *person })?;
        }
        text.push('\n');
        write_whole(folder, FILE, text.as_bytes())
    }

    /// Reads a list: from the file itself, from a folder that holds one, or from a data folder's vault.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        if path.join(FILE).is_file() {
            return Self::read_file(&path.join(FILE));
        }
        if path.is_dir() {
            return Self::read_data_folder(path);
        }
        Self::read_file(path)
    }

    fn read_file(path: &Path) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::new(format!(
                "{} is no whole list of erasures: {what}; name another with --erasures",
                path.display()
            ))
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
        let mut lines = text.lines();
        let header: Header = lines
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .ok_or_else(|| wrong("its first line does not say how many there are"))?;
        let mut erasures = BTreeSet::new();
        for (number, line) in lines.enumerate() {
            let line: Line = serde_json::from_str(line).map_err(|_| wrong(&format!("line {}", number + 2)))?;
            erasures.insert((line.organization, line.person));
        }
        if erasures.len() != header.erasures {
            return Err(wrong(&format!("it has {} of {} erasures", erasures.len(), header.erasures)));
        }
        Ok(Self(erasures))
    }

    /// The vault of a data folder that no server uses any more.
    fn read_data_folder(path: &Path) -> Result<Self, Failure> {
        let parts = data_folder::check(path)?;
        let key = MasterKey::open(&vault_key(&parts));
        let vault = key.and_then(|key| Vault::open(&vault_file(&parts), key));
        let vault = vault.map_err(|error| match error {
            VaultError::InUse(_) => Failure::in_use(format!(
                "the data folder {} is in use: stop its server first, or name the newest erasures.jsonl (the server keeps \
                 it beside its backups)",
                path.display()
            )),
            error => Failure::caused(&format!("the vault in {}", path.display()), &error),
        })?;
        Self::of_vault(&vault)
    }
}

pub fn vault_key(parts: &Parts) -> PathBuf {
    parts.keys().join("vault.key")
}

pub fn vault_file(parts: &Parts) -> PathBuf {
    parts.vault().join("vault.sqlite")
}

/// Keeps the list in this folder the newest, until `stop` turns true. What stands in it stays: an older or an empty vault
/// under the same backups knows less than the list does.
pub async fn keep(vault: Arc<Vault>, folder: PathBuf, mut stop: watch::Receiver<bool>) {
    let mut written = None;
    loop {
        let count = vault.erasures_count();
        if written != Some(count) && keep_now(&vault, &folder).await {
            written = Some(count);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Writes the list where it is not the newest, and says whether it is now.
pub async fn keep_now(vault: &Arc<Vault>, folder: &Path) -> bool {
    let (vault, folder) = (vault.clone(), folder.to_owned());
    match tokio::task::spawn_blocking(move || keep_once(&vault, &folder)).await {
        Ok(Ok(())) => return true,
        Ok(Err(why)) => tracing::error!(why, "the list of erasures beside the backups is not the newest"),
        Err(error) => tracing::error!(%error, "the list of erasures beside the backups is not the newest"),
    }
    false
}

fn keep_once(vault: &Vault, folder: &Path) -> Result<(), String> {
    let of_vault = Erasures::of_vault(vault).map_err(|failure| failure.text)?;
    let path = folder.join(FILE);
    let there = path.exists().then(|| Erasures::read_file(&path)).transpose().map_err(|failure| failure.text)?;
    let all = Erasures(there.iter().flat_map(|there| &there.0).chain(&of_vault.0).copied().collect());
    if there.as_ref() != Some(&all) {
        let made = fs::create_dir_all(folder).and_then(|()| all.write(folder));
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Erasures {
        Erasures([(OrganizationId(1), PersonId(2)), (OrganizationId(1), PersonId(3))].into())
    }

    #[test]
    fn written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        some().write(folder.path()).unwrap();
        assert_eq!(Erasures::read(folder.path()).unwrap(), some());
        assert_eq!(Erasures::read(&folder.path().join(FILE)).unwrap(), some());
    }

    #[test]
    fn a_list_that_was_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        some().write(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        for keep in 0..text.len() - 1 {
            fs::write(&path, &text[..keep]).unwrap();
            let read = Erasures::read(&path);
            // Only the last line's end is not missed.
            assert!(read.is_err(), "{keep} bytes of {}", text.len());
        }
    }

    fn vault_that_erased(folder: &Path, erased: &[(OrganizationId, PersonId)]) -> Vault {
        let key = MasterKey::create(&folder.join("vault.key"), [3; 32]).unwrap();
        let vault = Vault::create(&folder.join("vault.sqlite"), key).unwrap();
        for (organization, person) in erased {
            vault.create_person(*organization, *person).wait().unwrap();
            vault.erase(*organization, *person).wait().unwrap();
        }
        vault
    }

    /// A server on a new disk must not empty the list that the old one left beside its backups.
    #[test]
    fn the_list_beside_the_backups_only_grows() {
        let (backups, old, new) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [first, second] = [1, 2].map(|person| (OrganizationId(1), PersonId(person)));
        keep_once(&vault_that_erased(old.path(), &[first]), backups.path()).unwrap();
        let fresh = vault_that_erased(new.path(), &[]);
        keep_once(&fresh, backups.path()).unwrap();
        assert_eq!(Erasures::read(backups.path()).unwrap(), Erasures([first].into()));
        let before = fresh.erasures_count();
        fresh.create_person(second.0, second.1).wait().unwrap();
        fresh.erase(second.0, second.1).wait().unwrap();
        assert!(fresh.erasures_count() > before);
        keep_once(&fresh, backups.path()).unwrap();
        assert_eq!(Erasures::read(backups.path()).unwrap(), Erasures([first, second].into()));
        fs::write(backups.path().join(FILE), "spoiled").unwrap();
        assert!(keep_once(&fresh, backups.path()).is_err(), "what can't be read is not written over");
    }

    #[test]
    fn the_vault_of_a_data_folder_is_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let erased = (OrganizationId(7), PersonId(8));
        drop(data_folder::DataFolder::open_or_make(&data, "serve", |parts| {
            let key = MasterKey::create(&vault_key(parts), [3; 32]).map_err(|error| error.to_string())?;
            let vault = Vault::create(&vault_file(parts), key).map_err(|error| error.to_string())?;
            vault.create_person(erased.0, erased.1).wait().map_err(|error| error.to_string())?;
            vault.erase(erased.0, erased.1).wait().map_err(|error| error.to_string())?;
            Ok(())
        }));
        assert_eq!(Erasures::read(&data).unwrap(), Erasures([erased].into()));
    }
}
