//! The commands of the command line besides `serve`: what they ask, and how they tell the answer.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use witan_event_store_embedded::OpenError;

use crate::{
    admin::{self, Answer, NewOrganization, OrganizationRow, Question},
    cli::OrganizationCommand,
    config::{Config, KEYS, Settled},
    data_folder::{self, DataFolder},
    failure::Failure,
    metrics::Metrics,
    progress::{self, Unit},
    stage::Stage,
    wiring::System,
};

/// Writes to stdout. A reader that has gone away (`| head`) is no failure.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

pub fn print_json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => eprintln!("witan: {error}"),
    }
}

/// Columns of texts, aligned.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// `witan config`.
pub fn config(settled: &Settled, json: bool) {
    if json {
        let values = KEYS.iter().map(|key| {
            let value = serde_json::json!({
                "value": key.show(&settled.config),
                "source": settled.sources[key.name].to_string(),
                "variable": key.variable(),
                "what": key.what,
            });
            (key.name.to_owned(), value)
        });
        let values: serde_json::Map<_, _> = values.collect();
        return print_json(&serde_json::json!({ "config": values, "warnings": settled.warnings }));
    }
    let mut rows = vec![["key", "value", "source", ""].map(str::to_owned).to_vec()];
    for key in KEYS {
        let value = key.show(&settled.config);
        let value = if value.is_empty() { "-".into() } else { value };
        rows.push(vec![key.name.into(), value, settled.sources[key.name].to_string(), key.what.into()]);
    }
    let file = settled.file.as_deref().map_or("none".into(), |path| path.display().to_string());
    print(&format!("{}\nfile: {file}\n", table(&rows)));
    for warning in &settled.warnings {
        eprintln!("warning: {warning}");
    }
}

/// Asks the running server, or does it here where none runs.
pub async fn ask(config: &Config, question: Question, what: &'static str, unit: Unit) -> Result<Answer, Failure> {
    let (steps, showing) = progress::shown(what, unit);
    data_folder::check(&config.data)?;
    let answer = match admin::ask(&config.data, &question, &steps).await {
        Ok(Some(answer)) => {
            drop(steps);
            answer
        }
        Ok(None) => {
            let folder = DataFolder::open(&config.data)?;
            let system = System::open(folder, config, Metrics::new(), Stage::default()).await?;
            let answer = admin::Answers::answer(&*system, question, steps).await;
            system.close().await?;
            answer
        }
        Err(error) => return Err(Failure::caused("the running server did not answer", &error)),
    };
    let _ = showing.await;
    match answer {
        Answer::Refused { why } => Err(Failure::new(why)),
        answer => Ok(answer),
    }
}

fn unexpected() -> Failure {
    Failure::new("the server answered another question: is it another version?")
}

/// `witan organization …`.
pub async fn organization(config: &Config, command: OrganizationCommand) -> Result<(), Failure> {
    let (question, json) = match command {
        OrganizationCommand::Create { slug, name, owner_login, owner_name, owner_email, json } => {
            let owner_name = owner_name.unwrap_or_else(|| owner_login.clone());
            let new = NewOrganization { slug, name, owner_login, owner_name, owner_email };
            (Question::CreateOrganization(new), json)
        }
        OrganizationCommand::List { json } => (Question::ListOrganizations, json),
        OrganizationCommand::Suspend { organization, json } => (Question::SuspendOrganization { organization }, json),
        OrganizationCommand::Reactivate { organization, json } => {
            (Question::ReactivateOrganization { organization }, json)
        }
    };
    match ask(config, question, "working", Unit::Events).await? {
        Answer::OrganizationCreated(created) if json => print_json(&created),
        Answer::OrganizationCreated(created) => print(&format!(
            "Organization   {} ({})\nOwner          {}\nAPI key        {}\n\nThe key acts as the owner and is shown only \
             this once: keep it.\n",
            created.slug, created.organization, created.owner, created.api_key
        )),
        Answer::Organizations { organizations } if json => print_json(&organizations),
        Answer::Organizations { organizations } => print(&table(&organization_rows(&organizations))),
        Answer::OrganizationChanged(row) if json => print_json(&row),
        Answer::OrganizationChanged(row) => print(&format!("{} ({}) is {}\n", row.slug, row.organization, row.status)),
        _ => return Err(unexpected()),
    }
    Ok(())
}

fn organization_rows(organizations: &[OrganizationRow]) -> Vec<Vec<String>> {
    let mut rows = vec![["slug", "status", "id"].map(str::to_owned).to_vec()];
    rows.extend(organizations.iter().map(|row| vec![row.slug.clone(), row.status.clone(), row.organization.clone()]));
    rows
}

/// `witan replay`.
pub async fn replay(config: &Config, json: bool) -> Result<(), Failure> {
    let Answer::Replayed(replayed) = ask(config, Question::Replay, "replaying", Unit::Events).await? else {
        return Err(unexpected());
    };
    if json {
        print_json(&replayed);
    } else {
        let rate = if replayed.seconds > 0.0 { (replayed.position as f64 / replayed.seconds) as u64 } else { 0 };
        print(&format!(
            "{} events replayed in {:.1} s ({rate} events/s), {} rows compared at position {}\n",
            replayed.position, replayed.seconds, replayed.rows, replayed.position
        ));
    }
    if replayed.differences.is_empty() {
        if !json {
            print("equal\n");
        }
        return Ok(());
    }
    Err(Failure::found_wrong(format!(
        "the live read models differ from the journal's replay:\n  {}\nThey can be rebuilt: stop the server, delete \
         read-models in the data folder, start it again.",
        replayed.differences.join("\n  ")
    )))
}

/// `witan checkpoint`.
pub async fn checkpoint(config: &Config, json: bool) -> Result<(), Failure> {
    match ask(config, Question::Checkpoint, "working", Unit::Events).await? {
        Answer::Checkpoint { note, size } if json => print_json(&serde_json::json!({ "size": size, "note": note })),
        Answer::Checkpoint { note, .. } => print(&note),
        _ => return Err(unexpected()),
    }
    Ok(())
}

/// `witan proof event`.
pub async fn prove_event(config: &Config, event: String) -> Result<(), Failure> {
    match ask(config, Question::ProveEvent { event }, "working", Unit::Events).await? {
        Answer::Proof { proof } => print_json(&proof),
        _ => return Err(unexpected()),
    }
    Ok(())
}

/// `witan proof consistency`.
pub async fn prove_consistency(config: &Config, old: u64, new: Option<u64>) -> Result<(), Failure> {
    match ask(config, Question::ProveConsistency { old, new }, "working", Unit::Events).await? {
        Answer::Proof { proof } => print_json(&proof),
        _ => return Err(unexpected()),
    }
    Ok(())
}

/// `witan backup`.
pub async fn backup(config: &Config, folder: &Path, json: bool) -> Result<(), Failure> {
    let folder = std::path::absolute(folder).map_err(|error| Failure::caused("the folder of the backup", &error))?;
    let Answer::BackedUp(done) = ask(config, Question::Backup { folder }, "backing up", Unit::Bytes).await? else {
        return Err(unexpected());
    };
    if json {
        print_json(&done);
    } else {
        print(&format!(
            "backed up and verified: {} events up to position {}, keys of {} persons, in {}\n",
            done.events,
            done.position,
            done.persons,
            done.folder.display()
        ));
    }
    Ok(())
}

/// `witan journal verify`: reads the files itself, so it works whether a server runs or not.
pub async fn verify_journal(config: &Config, json: bool) -> Result<(), Failure> {
    let journal = data_folder::check(&config.data)?.journal();
    let bar = progress::bar("verifying", Unit::Bytes);
    let shown = bar.clone();
    let verified = tokio::task::spawn_blocking(move || {
        witan_event_store_embedded::verify(&journal, |done| {
            shown.set_length(done.bytes_total);
            shown.set_position(done.bytes);
        })
    });
    let verified = verified.await.map_err(|error| Failure::caused("verifying", &error))?;
    bar.finish_and_clear();
    match verified {
        Ok(whole) if json => print_json(&serde_json::json!({
            "whole": true, "events": whole.events, "bytes": whole.bytes, "segments": whole.segments,
            "headSlotSpoiled": whole.head_slot_spoiled,
        })),
        Ok(whole) => {
            let spoiled = if whole.head_slot_spoiled {
                "one of the two slots of `head` is spoiled: the other one counts, and the server writes it anew\n"
            } else {
                ""
            };
            let (events, bytes, segments) = (whole.events, whole.bytes, whole.segments);
            print(&format!("whole: {events} events, {bytes} bytes in {segments} segment(s)\n{spoiled}"))
        }
        Err(error) => return Err(verify_failure(&error, json)),
    }
    Ok(())
}

fn verify_failure(error: &OpenError, json: bool) -> Failure {
    let text = error.to_string();
    if json {
        let damage = match error {
            OpenError::Damaged(damage) => serde_json::json!({
                "file": damage.file, "offset": damage.offset, "position": damage.position, "what": damage.what,
            }),
            _ => serde_json::Value::Null,
        };
        print_json(&serde_json::json!({ "whole": false, "error": text, "damage": damage }));
    }
    let damaged =
        matches!(error, OpenError::Damaged(_) | OpenError::NotAJournal { .. } | OpenError::HeadMissing { .. });
    if damaged { Failure::found_wrong(format!("not whole: {text}")) } else { Failure::new(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["slug".into(), "id".into()], vec!["südklinik".to_owned(), "organization_1".to_owned()]];
        assert_eq!(table(&rows), "slug       id\nsüdklinik  organization_1\n");
    }
}
