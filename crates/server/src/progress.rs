//! A progress bar on stderr, where that is a terminal; nothing otherwise.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::admin::{Step, Steps};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Events,
    Bytes,
}

pub fn bar(what: &'static str, unit: Unit) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let figures = match unit {
        Unit::Events => "{human_pos} of {human_len} events  {per_sec}  {eta} left",
        Unit::Bytes => "{bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
    };
    let style = ProgressStyle::with_template(&format!("{{msg:12}} [{{bar:30}}] {{percent:>3}} %  {figures}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A place to tell steps to, and the task that shows them; it ends when the place is dropped.
pub fn shown(what: &'static str, unit: Unit) -> (Steps, tokio::task::JoinHandle<()>) {
    let (steps, mut told) = watch::channel(Step::default());
    let showing = tokio::spawn(async move {
        let bar = bar(what, unit);
        while told.changed().await.is_ok() {
            let step = told.borrow_and_update().clone();
            bar.set_length(step.total);
            bar.set_position(step.done);
            if !step.what.is_empty() {
                bar.set_message(step.what);
            }
        }
        bar.finish_and_clear();
    });
    (steps, showing)
}
