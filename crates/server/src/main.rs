//! The binary `witan`: configuration, the listener, the command line, and the wiring of everything below.

mod admin;
mod backup;
mod cli;
mod clock;
mod commands;
mod config;
mod data_folder;
mod demo;
mod edge;
mod erasures;
mod failure;
mod health;
mod listener;
mod logging;
mod lookups;
mod measured;
mod media_node;
mod metrics;
mod operations;
mod pages;
mod progress;
mod serve;
#[cfg(test)]
mod simulation;
mod stage;
mod urls;
mod watched;
mod wiring;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use crate::{
    cli::{Cli, Command, JournalCommand, ProofCommand},
    config::{Settled, Source},
    failure::Failure,
};

/// A request is many small values that live for microseconds: docs/decisions/0017.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("witan: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// How long a chore that reads much may take to notice that the process ends.
const CHORE_TIME_MAX: Duration = Duration::from_secs(5);

fn run(cli: Cli) -> Result<(), Failure> {
    let settled = settle(&cli)?;
    let config = &settled.config;
    // A command that answers and ends should not talk of each step, unless it was asked to.
    let quiet = !matches!(cli.command, Command::Serve { .. }) && settled.sources["log_level"] == Source::Default;
    logging::start(config.log_format, if quiet { "warn" } else { &config.log_level });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::caused("can't start threads", &error))?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve { ready_json, .. } => serve::serve(&settled, ready_json).await,
            Command::Organization(command) => commands::organization(config, command).await,
            Command::Journal(JournalCommand::Verify { json }) => commands::verify_journal(config, json).await,
            Command::Replay { json } => commands::replay(config, json).await,
            Command::Backup { folder, json } => commands::backup(config, &folder, json).await,
            Command::Restore { folder, erasures, no_erasures, json } => {
                let erasures = if no_erasures { None } else { erasures };
                backup::restore(config, &folder, erasures.as_deref(), json).await
            }
            Command::Checkpoint { json } => commands::checkpoint(config, json).await,
            Command::Proof(ProofCommand::Event { event }) => commands::prove_event(config, event).await,
            Command::Config { json, .. } => {
                commands::config(&settled, json);
                Ok(())
            }
            Command::Demo { url, api_key, bundle, json } => {
                demo::demo(config, demo::Options { url, api_key, bundle, json }).await
            }
            Command::Schema { markdown } => {
                let sdl = wiring::schema();
                commands::print(&if markdown { witan_graphql::reference::markdown(&sdl) } else { sdl });
                Ok(())
            }
        }
    });
    // A blocking chore that did not hear of the end must not keep the process.
    runtime.shutdown_timeout(CHORE_TIME_MAX);
    result
}

fn settle(cli: &Cli) -> Result<Settled, Failure> {
    let serve = match &cli.command {
        Command::Serve { flags, .. } | Command::Config { flags, .. } => Some(flags),
        _ => None,
    };
    let flags = cli.configuration.flags(serve).map_err(Failure::wrong_use)?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        // Other programs' variables may hold anything; `vars` would panic on what is not UTF-8.
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if name.starts_with(config::VARIABLE_PREFIX) => {
                return Err(Failure::wrong_use(format!(
                    "the value of {name} is not UTF-8: give it as text, or unset it"
                )));
            }
            Err(_) => {}
        }
    }
    Ok(config::settle(cli.configuration.config.as_deref(), environment.into_iter(), &flags)?)
}
