//! The `oss-append` command.

mod append;
mod ask;
mod cat;
mod compact;
mod connection;
mod doctor;
mod emulator;
mod failure;
mod finished;
#[cfg(unix)]
mod follow;
mod input;
mod lines;
mod logging;
mod outcome;
mod output;
mod patience;
mod period;
mod progress;
mod signals;
mod spool;
mod stat;
mod stored;
mod stream;
mod summary;
mod tail;
mod trouble;
mod usage;
mod verbosity;
mod verify;
mod writer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;
use self::verbosity::Verbosity;

/// Stream bytes into Alibaba Cloud OSS objects with AppendObject.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_long_help = failure::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Subcommand)]
enum Command {
    Append(append::Arguments),
    #[cfg(unix)]
    Follow(follow::Arguments),
    Cat(cat::Arguments),
    Tail(tail::Arguments),
    Stat(stat::Arguments),
    Verify(verify::Arguments),
    Compact(compact::Arguments),
    Spool(spool::Arguments),
    Doctor(doctor::Arguments),
    Emulator(emulator::Arguments),
}

fn main() -> ExitCode {
    let _written = output::Written;
    output::take_panics();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::local(format!("no runtime: {error}")).report(),
    };
    let result = runtime.block_on(async {
        let Arguments { command, verbosity } = match Arguments::try_parse() {
            Ok(arguments) => arguments,
            Err(other) => return usage::show(&other).await,
        };
        logging::init(verbosity, command.default_log());
        if verbosity.quiet {
            output::be_quiet();
        }
        let json = command.json();
        let result = run(command).await;
        if let (Err(failure), Some(target)) = (&result, json) {
            outcome::tell(failure, Some(target)).await;
        }
        result
    });
    // A thread may still write to standard output, and nobody may ever read that.
    runtime.shutdown_background();
    result.unwrap_or_else(Failure::report)
}

impl Command {
    /// What is logged unless it was said.
    fn default_log(&self) -> &'static str {
        match self {
            Self::Emulator(arguments) => arguments.default_log(),
            _ => "off",
        }
    }

    /// What it is about, if it is to tell its outcome as a JSON object.
    fn json(&self) -> Option<String> {
        match self {
            Self::Append(arguments) => arguments.json(),
            #[cfg(unix)]
            Self::Follow(arguments) => arguments.json(),
            Self::Stat(arguments) => arguments.json(),
            Self::Verify(arguments) => arguments.json(),
            Self::Compact(arguments) => arguments.json(),
            Self::Spool(arguments) => arguments.json(),
            Self::Doctor(arguments) => arguments.json(),
            Self::Cat(_) | Self::Tail(_) | Self::Emulator(_) => None,
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Append(arguments) => append::run(arguments).await,
        #[cfg(unix)]
        Command::Follow(arguments) => follow::run(arguments).await,
        Command::Cat(arguments) => cat::run(arguments).await,
        Command::Tail(arguments) => tail::run(arguments).await,
        Command::Stat(arguments) => stat::run(arguments).await,
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Compact(arguments) => compact::run(arguments).await,
        Command::Spool(arguments) => spool::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Emulator(arguments) => emulator::run(arguments).await,
    }
}
