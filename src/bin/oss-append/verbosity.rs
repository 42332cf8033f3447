//! How much a command says of what it does.

use clap::{ArgAction, Args};

#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "Messages")]
pub(crate) struct Verbosity {
    /// Say nothing on standard error but what has failed
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log what the crate does on standard error, such as each request that fails; twice: what all
    /// libraries do. More than RUST_LOG says
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Verbosity {
    /// What is logged, if that was said.
    pub(crate) fn filter(self) -> Option<&'static str> {
        match self.verbose {
            0 => None,
            1 => Some("oss_append=debug"),
            _ => Some("debug"),
        }
    }
}
