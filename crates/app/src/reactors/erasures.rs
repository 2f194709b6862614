//! Destroys the keys of whom the log says is erased, and sees to it that log and vault say the same of who that is.
//!
//! At each start they are compared, once the log has been followed to its end. What the vault lacks (its file was put back
//! from a backup) is erased again: the whole log is followed anew. What the log lacks (it was restored from a backup, and
//! the list of erasures was newer) is recorded. Both find themselves done when they were cut and begin again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use witan_domain::{
    Aggregate, OrganizationId, PersonId,
    person::{Person, PersonEvent},
};
use witan_event_store::Recorded;

use super::cursor::CursorFile;
use crate::{App, Error};

/// Who is erased, as far as two sets can be told apart: how many, and the digests of all combined, in whatever order. Kept
/// beside the cursor in place of the set itself, which only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erased {
    count: u64,
    combined: [u8; 32],
}

impl Erased {
    fn add(&mut self, organization: OrganizationId, person: PersonId) {
        let ids = [organization.0.to_be_bytes(), person.0.to_be_bytes()].concat();
        self.count += 1;
        self.combined.iter_mut().zip(Sha256::digest(ids)).for_each(|(combined, byte)| *combined ^= byte);
    }

    fn of(all: &[(OrganizationId, PersonId)]) -> Self {
        let mut erased = Self::default();
        all.iter().for_each(|(organization, person)| erased.add(*organization, *person));
        erased
    }
}

/// Keeps in mind beside the cursor who is erased.
pub(crate) fn keep_in_mind(cursor: &mut CursorFile, recorded: &Recorded) -> Result<(), Error> {
    let Some((organization, person)) = erasure(recorded)? else { return Ok(()) };
    let mut seen = cursor.note::<Erased>().unwrap_or_default();
    seen.add(organization, person);
    cursor.set_note(&seen)
}

/// Records what is erased in the vault and not in the log. Whether everyone in the log, of whom `log` is what was seen, is
/// erased in the vault.
pub(crate) async fn agree(app: &App, mut log: Erased) -> Result<bool, Error> {
    let in_vault = app.vault.erased()?;
    let vault = Erased::of(&in_vault);
    if log == vault {
        return Ok(true);
    }
    let mut recorded = 0_u64;
    for (organization, person) in in_vault {
        if app.record_erasure(organization, person).await? {
            log.add(organization, person);
            recorded += 1;
        }
    }
    if recorded > 0 {
        tracing::info!(recorded, "erasures that came after the backup are recorded in the restored log");
    }
    Ok(log == vault)
}

pub(crate) async fn react(app: &App, recorded: &Recorded) -> Result<(), Error> {
    if let Some((organization, person)) = erasure(recorded)? {
        app.vault.erase(organization, person).await?;
    }
    Ok(())
}

fn erasure(recorded: &Recorded) -> Result<Option<(OrganizationId, PersonId)>, Error> {
    let envelope = &recorded.envelope;
    if envelope.category() != Person::CATEGORY {
        return Ok(None);
    }
    match Person::decode(envelope.kind(), envelope.schema(), envelope.data())? {
        PersonEvent::PersonErased(erased) => Ok(Some((erased.organization, erased.person))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_one_size_are_told_apart() {
        let [anna, ben, carl] = [1, 2, 3].map(|person| (OrganizationId(1), PersonId(person)));
        assert_eq!(Erased::of(&[anna, ben]), Erased::of(&[ben, anna]));
        assert_ne!(Erased::of(&[anna, ben]), Erased::of(&[anna, carl]));
        assert_ne!(Erased::of(&[anna]), Erased::of(&[(OrganizationId(2), anna.1)]));
        assert_ne!(Erased::default(), Erased::of(&[anna]));
    }
}
