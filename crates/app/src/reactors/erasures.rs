//! Destroys the keys of whom the log says is erased. Runs again over the whole log when its cursor is gone, as after a
//! restore: a key that came back from a backup goes again.

use witan_domain::{
    Aggregate,
    person::{Person, PersonEvent},
};
use witan_event_store::Recorded;

use crate::{App, Error};

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
