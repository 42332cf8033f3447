//! Logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::output;
use crate::verbosity::Verbosity;

/// Starts logging as the options say, or RUST_LOG; by `default` if that is not set or not valid.
pub(crate) fn init(verbosity: Verbosity, default: &str) {
    let filter = match verbosity.filter() {
        Some(filter) => EnvFilter::new(filter),
        None if verbosity.quiet => EnvFilter::new("off"),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| output::Log)
        .init();
}
