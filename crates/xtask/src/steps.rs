//! What the commands do, step by step, and how long each step took.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::environment::{cargo, target_folder};
use crate::setup::{self, For};
use crate::{Failure, TestArguments, web};

/// Tests that compare generated files (schema, reference, tables, help, events' golden files) with what the code prints
/// have one of these in their names. With `WITAN_BLESS=1` they write the files anew.
const DRIFT_TESTS: [&str; 5] =
    ["is_up_to_date", "is_fresh", "golden_files", "is_the_printed_one", "help_reads_as_agreed"];

/// Builds everything, then becomes `binary` with the arguments `first` and `rest`. Returns only when that failed.
pub(crate) fn run(binary: &str, first: &[&str], rest: &[OsString]) -> Result<(), Failure> {
    setup::prepare(For::Building)?;
    web::build();
    let mut build = cargo();
    // The whole workspace, whatever is wanted: with fewer packages cargo would choose other features of the
    // dependencies, and build them again.
    build.args(["build", "--workspace", "--bins", "--locked"]);
    if !build.status().is_ok_and(|status| status.success()) {
        return Err(Failure::Step("the build failed".to_owned()));
    }
    let path = target_folder().join("debug").join(binary);
    let error = Command::new(&path).args(first).args(rest).exec();
    Err(Failure::Step(format!("can't start {}: {error}", path.display())))
}

/// Gates, then tests; with a filter only the tests.
pub(crate) fn test(arguments: &TestArguments) -> Result<(), Failure> {
    setup::prepare(For::Testing)?;
    web::build();
    let mut log = Log::default();
    if arguments.filter.is_none() {
        gates(&mut log)?;
    }
    // All targets first: the integration tests start the binaries, and those must be what this test run has built.
    log.step("build", cargo().args(["build", "--workspace", "--all-targets", "--locked"]))?;
    let mut test = cargo();
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Some(filter) = &arguments.filter {
        test.args(["--", filter]);
    }
    if arguments.thorough {
        test.env("WITAN_THOROUGH", "1");
    }
    web::equip(&mut test)?;
    let outcome = log.step("tests", &mut test);
    log.print();
    outcome
}

/// Gates and drift.
pub(crate) fn check() -> Result<(), Failure> {
    setup::prepare(For::Checking)?;
    web::build();
    let mut log = Log::default();
    gates(&mut log)?;
    let mut drift = cargo();
    drift.args(["test", "--workspace", "--locked", "--quiet", "--"]).args(DRIFT_TESTS);
    let outcome = log.step("generated files", &mut drift);
    log.print();
    outcome
}

fn gates(log: &mut Log) -> Result<(), Failure> {
    log.step("format (`cargo fmt` mends it)", cargo().args(["fmt", "--all", "--check"]))?;
    log.step("lints", cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// The steps so far and their times.
#[derive(Default)]
struct Log {
    steps: Vec<(&'static str, Duration)>,
}

impl Log {
    fn step(&mut self, name: &'static str, command: &mut Command) -> Result<(), Failure> {
        println!("\nxtask: {name}");
        #[expect(clippy::disallowed_methods, reason = "measures how long a step took")]
        let start = Instant::now();
        let status = command.status().map_err(|error| Failure::Step(format!("{name}: can't start cargo: {error}")))?;
        self.steps.push((name, start.elapsed()));
        if status.success() { Ok(()) } else { Err(Failure::Step(format!("{name}: failed"))) }
    }

    fn print(&self) {
        println!();
        for (name, time) in &self.steps {
            println!("xtask: {:>8.1} s  {name}", time.as_secs_f64());
        }
    }
}
