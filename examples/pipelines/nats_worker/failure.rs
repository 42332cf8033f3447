//! How the worker ends without success: one line that says why, and the exit code.

use std::error::Error as StdError;
use std::fmt::Display;
use std::process::ExitCode;

use oss_append::ErrorKind;

/// What the exit codes mean, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    ended by ^C or SIGTERM; everything accepted is durable, and acknowledged where that is due
  1    this machine: no signals, no credentials file
  2    usage: an option or the environment is not valid
  3    the object is not what it should be: another writer, foreign bytes, of another stream, full
  4    NATS was not reached, refused, or has no such stream
  5    OSS was not reached, refused, or retrying did not help in time
  130  given up at the second signal

After any but 0 start it again once the cause is gone: what is not durable is read again.";

const LOCAL: u8 = 1;
const USAGE: u8 = 2;
const OBJECT: u8 = 3;
const NATS: u8 = 4;
const OSS: u8 = 5;
const GIVEN_UP: u8 = 130;

/// Why the worker ended.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(LOCAL, message)
    }

    pub(crate) fn object(message: impl Into<String>) -> Self {
        Self::new(OBJECT, message)
    }

    pub(crate) fn nats(what: &str, error: impl Display) -> Self {
        Self::new(NATS, format!("NATS: {what}: {error}"))
    }

    pub(crate) fn given_up() -> Self {
        Self::new(GIVEN_UP, "given up: what is not durable is read again")
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Prints the line, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        crate::note(&self.message);
        ExitCode::from(self.code)
    }
}

impl From<oss_append::Error> for Failure {
    fn from(error: oss_append::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidInput { .. } => USAGE,
            ErrorKind::Conflict(_)
            | ErrorKind::Checksum { .. }
            | ErrorKind::NotAppendable { .. }
            | ErrorKind::ObjectFull { .. }
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. }
            | ErrorKind::Sealed => OBJECT,
            _ => OSS,
        };
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !message.contains(&said) {
                message = format!("{message}: {said}");
            }
            cause = error.source();
        }
        Self::new(code, message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match oss_append::Error::from_io(&error) {
            Some(ours) => ours.clone().into(),
            None => Self::local(error.to_string()),
        }
    }
}
