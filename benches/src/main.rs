//! `witan-bench`: what witan does in a second, beside a baseline that does the least that could be called the same.
//!
//! Ours and the baseline take turns, round after round, so that a busy machine harms both alike; a figure is the median of
//! its rounds. `cargo xtask bench` builds and starts it.

mod arguments;
mod bare;
mod feed;
mod figure;
mod graphql;
mod journal;
mod load;
mod parts;
mod replay;
mod stage;
mod story;

use std::process::ExitCode;

use arguments::{Arguments, Group};
use figure::Figure;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("witan-bench: {wrong}\n\n{}", arguments::HELP);
            return ExitCode::from(2);
        }
    };
    if let Some(folder) = &arguments.bare {
        return bare::serve(folder);
    }
    if let Some(folder) = &arguments.open {
        journal::open_once(folder);
        return ExitCode::SUCCESS;
    }
    for group in &arguments.groups {
        eprintln!("witan-bench: {} ({} rounds)", group.name(), arguments.rounds);
        let figures = measure(*group, arguments.rounds);
        if arguments.json {
            figures.iter().for_each(|figure| println!("{}", figure.json()));
        } else {
            println!("{}", figure::table(&figures));
        }
    }
    ExitCode::SUCCESS
}

fn measure(group: Group, rounds: usize) -> Vec<Figure> {
    match group {
        Group::Journal => journal::figures(rounds),
        Group::Replay => replay::figures(rounds),
        Group::Graphql => graphql::figures(rounds),
        Group::Feed => feed::figures(rounds),
    }
}
