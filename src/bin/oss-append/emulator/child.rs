//! A command that runs while the server does.

use std::io::ErrorKind;
use std::process::{ExitCode, ExitStatus};

use tokio::process::Child;
pub(super) use tokio::process::Command;

use crate::output;
use crate::signals::{Signals, Wish};

/// What shells say of a command that was not found, and of one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Runs a command to its end, and says how it ended.
pub(super) async fn run(mut command: Command, signals: &mut Signals) -> ExitCode {
    let mut child = match command.kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            let name = command.as_std().get_program().to_string_lossy();
            output::complain(format_args!("{name} cannot be run: {error}"));
            return ExitCode::from(match error.kind() {
                ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_RUN,
            });
        }
    };
    loop {
        tokio::select! {
            ended = child.wait() => return match ended {
                Ok(status) => ExitCode::from(code(status)),
                Err(error) => {
                    output::complain(format_args!("the command cannot be waited for: {error}"));
                    ExitCode::FAILURE
                }
            },
            wish = signals.next() => match wish {
                Wish::End => ask_to_end(&mut child),
                // If it has just ended there is nothing to kill.
                Wish::EndAtOnce | Wish::TooLate => drop(child.start_kill()),
            },
        }
    }
}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw) {
        // It fails only if the process has just ended.
        let _ = kill_process(id, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    let _ = child.start_kill();
}

#[cfg(unix)]
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(not(unix))]
fn code(status: ExitStatus) -> u8 {
    status
        .code()
        .map_or(1, |code| u8::try_from(code).unwrap_or(1))
}
