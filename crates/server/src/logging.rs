//! Log lines: human or JSON, on stderr. Personal data never goes into one.

use std::io::{IsTerminal, stderr};

use tracing::{Dispatch, Level};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::LogFormat;

/// The subscriber for the whole process. Our own lines are shown from `level` on, other crates' from "warn" on: at lower
/// levels they print what they handle (headers, frames, statements), and that may be personal.
pub fn subscriber<W>(format: LogFormat, level: &str, colours: bool, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let others = if level == "error" { Level::ERROR } else { Level::WARN };
    let filter = EnvFilter::new(format!("{others},witan={level}"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Human => Dispatch::new(lines.with_target(false).finish()),
        LogFormat::Json => {
            Dispatch::new(lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
    }
}

/// Starts logging to stderr, and makes panics log lines.
pub fn start(format: LogFormat, level: &str) {
    let dispatch = subscriber(format, level, stderr().is_terminal(), stderr);
    // A second start can only happen in tests, which share the process; the first one stays.
    let _ = tracing::dispatcher::set_global_default(dispatch);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        // A message that was put together while running may hold data of a person; a constant one can't.
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)");
        tracing::error!(place, message, "a panic: a bug in witan");
    }));
}
