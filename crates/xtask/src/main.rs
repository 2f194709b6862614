//! `cargo xtask …`: sets up what is missing and runs, tests, measures and checks witan.
//!
//! It is the first thing that a newcomer's machine compiles, so it has no dependencies and takes a second to build.

mod command;
mod environment;
mod setup;
mod steps;
mod web;

use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask: sets up what is missing, then runs, tests, measures and checks witan

Usage: cargo xtask <command> [arguments]

Commands:
  run [-- arguments]      Build everything and serve witan at http://127.0.0.1:4000, data in ./witan-data.
                          Arguments go to `witan serve` (see `cargo xtask witan serve --help`).
  witan [arguments]       Build everything and run any command of the binary: `cargo xtask witan demo`,
                          `cargo xtask witan --help`.
  verify [arguments]      Build everything and run `witan-verify`, what an auditor checks proofs with.
  test [filter]           Format, lints, then every test. With a filter: only the tests whose name contains it.
      --thorough          Many more rounds of crashes, power cuts and random sequences (hours).
  bench [group]           Measure against baselines; a group is journal, replay, graphql or feed.
      --json              One line of JSON a figure instead of a table.
      --rounds N          Interleaved rounds; figures are their medians (default and least 10).
  check                   Format, lints, and whether generated files are those that the code prints; no other test.
                          (`WITAN_BLESS=1 cargo xtask check` writes those files anew.)
  setup                   Only install what is missing (or say what to install) for building and testing.

What is missing is installed with apt-get where you are root or sudo asks no password; otherwise the line to run is
printed. Builds go to ~/.cache/witan/target unless CARGO_TARGET_DIR says otherwise, through ccache where that is
installed and CC and CXX are not set. On Debian 12 the media engine is built on Debian's libraries unless MESON is set.";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(arguments: &[OsString]) -> Result<(), Failure> {
    let name = arguments.first().map(|argument| argument.to_string_lossy().into_owned());
    let rest = arguments.get(1..).unwrap_or_default();
    match name.as_deref() {
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            Ok(())
        }
        Some("run") => steps::run("witan", &["serve"], after_dashes(rest)),
        Some("witan") => steps::run("witan", &[], after_dashes(rest)),
        Some("verify") => steps::run("witan-verify", &[], after_dashes(rest)),
        Some("test") => steps::test(&TestArguments::parse(rest)?),
        Some("bench") => steps::run("witan-bench", &[], after_dashes(rest)),
        Some("check") => no_arguments("check", rest).and_then(|()| steps::check()),
        Some("setup") => no_arguments("setup", rest).and_then(|()| setup::prepare(setup::For::Testing)),
        Some(other) => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}

/// `run -- --listen …` and `run --listen …` mean the same: the dashes only separate cargo's arguments from ours.
fn after_dashes(arguments: &[OsString]) -> &[OsString] {
    match arguments.first() {
        Some(first) if first == "--" => &arguments[1..],
        _ => arguments,
    }
}

fn no_arguments(command: &str, rest: &[OsString]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => {
            Err(Failure::Usage(format!("`{command}` takes no arguments, got `{}`", extra.to_string_lossy())))
        }
    }
}

/// The arguments of `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
struct TestArguments {
    thorough: bool,
    filter: Option<String>,
}

impl TestArguments {
    fn parse(arguments: &[OsString]) -> Result<TestArguments, Failure> {
        let mut parsed = TestArguments::default();
        for argument in arguments.iter().map(|argument| argument.to_string_lossy()) {
            match argument.as_ref() {
                "--" => {}
                "--thorough" => parsed.thorough = true,
                flag if flag.starts_with('-') => return Err(Failure::Usage(format!("`test` knows no `{flag}`"))),
                filter if parsed.filter.is_none() => parsed.filter = Some(filter.to_owned()),
                second => return Err(Failure::Usage(format!("`test` takes one filter, got a second: `{second}`"))),
            }
        }
        Ok(parsed)
    }
}

/// Why xtask stops.
#[derive(Debug)]
enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// Something that the build needs is missing and could not be installed; the text says what to run.
    Missing(String),
    /// A step that was started has failed; its own output says why.
    Step(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Step(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Missing(_) => 3,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Usage(what) => write!(f, "{what}; `cargo xtask --help` lists what there is"),
            Failure::Missing(what) | Failure::Step(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<TestArguments, Failure> {
        TestArguments::parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn test_takes_one_filter_and_thorough_in_any_order() {
        let expected = TestArguments { thorough: true, filter: Some("end_session".to_owned()) };
        assert_eq!(parse(&["--thorough", "end_session"]).unwrap(), expected);
        assert_eq!(parse(&["end_session", "--thorough"]).unwrap(), expected);
        assert_eq!(parse(&[]).unwrap(), TestArguments::default());
    }

    #[test]
    fn test_refuses_what_it_does_not_know() {
        assert_eq!(parse(&["--thoroughly"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["one", "two"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn an_unknown_command_is_a_usage_error() {
        assert_eq!(dispatch(&[OsString::from("rnu")]).unwrap_err().exit_code(), 2);
    }
}
