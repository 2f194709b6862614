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

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command, JournalCommand, ProofCommand},
    config::{Settled, Source},
    failure::Failure,
};

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

fn run(cli: Cli) -> Result<(), Failure> {
    let settled = settle(&cli)?;
    let config = &settled.config;
    // A command that answers and ends should not talk of each step, unless it was asked to.
    let quiet = !matches!(cli.command, Command::Serve { .. }) && settled.sources["log_level"] == Source::Default;
    logging::start(config.log_format, if quiet { "warn" } else { &config.log_level });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::caused("can't start threads", &error))?;
    runtime.block_on(async {
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
    })
}

fn settle(cli: &Cli) -> Result<Settled, Failure> {
    let serve = match &cli.command {
        Command::Serve { flags, .. } | Command::Config { flags, .. } => Some(flags),
        _ => None,
    };
    let flags = cli.configuration.flags(serve).map_err(Failure::wrong_use)?;
    // What is not UTF-8 can be no value of ours; `vars` would panic on it.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(config::settle(cli.configuration.config.as_deref(), environment, &flags)?)
}
