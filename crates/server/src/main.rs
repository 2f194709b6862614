//! The binary `witan`: configuration, the listener, the command line, and the wiring of everything below.

mod cli;
mod clock;
mod config;
mod data_folder;
mod edge;
mod listener;
mod logging;
mod metrics;
mod pages;
mod urls;

fn main() {}
