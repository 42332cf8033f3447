//! What a command writes: what it is asked for on standard output, and diagnostics on standard error.
//!
//! Both may be a pipe that is full or that nobody reads. Standard output is waited for, by a blocking
//! thread and never by one that serves tasks, so that whoever waits can be stopped. How diagnostics
//! are kept from being waited for is in `diagnostics.rs`.

mod diagnostics;
mod terminal;

use std::fmt::Display;
use std::io;

use bytes::Bytes;
use serde::Serialize;
use tokio::task::{JoinHandle, spawn_blocking};

pub(crate) use self::diagnostics::{
    Log, Written, be_quiet, complain, is_quiet, note, one_line, say, take_panics,
};
pub(crate) use self::terminal::Terminal;
use crate::failure::Failure;
use crate::stream::Stream;

/// Bytes on standard output, in order.
#[derive(Default)]
pub(crate) struct Output {
    under_way: Option<JoinHandle<io::Result<()>>>,
}

impl Output {
    /// Writes `bytes` as soon as what came before them is written: returns at that moment.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.flush().await?;
        self.under_way = Some(spawn_blocking(move || Stream::Output.write_all(&bytes)));
        Ok(())
    }

    /// Returns when all is written.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        let Some(under_way) = &mut self.under_way else {
            return Ok(());
        };
        let written = under_way.await;
        self.under_way = None;
        written.map_err(io::Error::from).flatten().map_err(failed)
    }
}

/// Prints a line on standard output.
pub(crate) async fn print(line: impl Display) -> Result<(), Failure> {
    let mut output = Output::default();
    output.write(format!("{line}\n").into()).await?;
    output.flush().await
}

/// Prints one JSON object on standard output.
pub(crate) async fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string(object) {
        Ok(json) => print(json).await,
        Err(error) => Err(Failure::local(format!("no JSON can be made: {error}"))),
    }
}

/// Does `work`, as long as somebody reads standard output.
pub(crate) async fn while_read<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let abandoned = async {
        let waited = spawn_blocking(|| Stream::Output.wait_until_abandoned()).await;
        match waited {
            Ok(Ok(())) => Failure::nobody_reads(),
            // Then writing shows it.
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        failure = abandoned => Err(failure),
    }
}

/// What it means that standard output cannot be written to.
pub(crate) fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::nobody_reads(),
        _ => Failure::local(format!("standard output cannot be written: {error}")),
    }
}
