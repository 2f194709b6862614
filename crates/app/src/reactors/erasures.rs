//! Destroys the keys of whom the log says is erased. Runs again over the whole log when its cursor is gone, as after a
//! restore, and when the vault knows of fewer erasures than were seen, as after its file was put back from a backup: a
//! key that came back goes again.

use witan_domain::{
    Aggregate,
    person::{Person, PersonEvent},
};
use witan_event_store::Recorded;

use super::cursor::CursorFile;
use crate::{App, Error};

/// Whether the vault is an older one than the log that was read before, by how many erasures each knows.
pub(crate) fn vault_went_back(app: &App, cursor: &CursorFile) -> Result<bool, Error> {
    let seen = cursor.note::<usize>().unwrap_or(0);
    Ok(app.vault.erased()?.len() < seen)
}

/// Keeps how many erasures were seen.
pub(crate) fn count(cursor: &mut CursorFile, recorded: &Recorded) -> Result<(), Error> {
    if recorded.envelope.category() != Person::CATEGORY {
        return Ok(());
    }
    let seen = cursor.note::<usize>().unwrap_or(0);
    cursor.set_note(&(seen + 1))
}

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    let envelope = &recorded.envelope;
    if envelope.category() != Person::CATEGORY {
        return Ok(());
    }
    match Person::decode(envelope.kind(), envelope.schema(), envelope.data())? {
        PersonEvent::PersonErased(erased) => {
            app.vault.erase(erased.organization, erased.person).await?;
        }
    }
    Ok(())
}
