//! The `oss-append` command.

mod emulator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Stream bytes into Alibaba Cloud OSS objects with AppendObject.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Emulator(emulator::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Emulator(arguments) => emulator::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oss-append: {error}");
            ExitCode::FAILURE
        }
    }
}
