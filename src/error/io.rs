//! [`Error`] as an `io::Error`, which is what the methods of `AsyncWrite` and `AsyncRead` give.

use std::io;

use super::Error;
use super::conflict::ConflictCause;
use super::kind::{ErrorKind, TransportCause};

impl Error {
    /// The error of this crate inside an `io::Error` that a method of `AsyncWrite` or `AsyncRead`
    /// returned.
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    fn io_kind(&self) -> io::ErrorKind {
        match self.kind() {
            ErrorKind::Service(answer) => match answer.status {
                401 | 403 => io::ErrorKind::PermissionDenied,
                404 => io::ErrorKind::NotFound,
                400 => io::ErrorKind::InvalidInput,
                _ => io::ErrorKind::Other,
            },
            ErrorKind::Conflict(conflict) => match conflict.cause {
                ConflictCause::Foreign => io::ErrorKind::ResourceBusy,
                ConflictCause::Gone => io::ErrorKind::NotFound,
                ConflictCause::Replaced => io::ErrorKind::StaleNetworkFileHandle,
                ConflictCause::Exists => io::ErrorKind::AlreadyExists,
                ConflictCause::Format { .. } => io::ErrorKind::InvalidData,
            },
            ErrorKind::NotAppendable { .. } => io::ErrorKind::Unsupported,
            ErrorKind::Sealed => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::ObjectFull { .. } | ErrorKind::TooManyAppends { .. } => {
                io::ErrorKind::FileTooLarge
            }
            ErrorKind::Spool { out_of_space, .. } => match out_of_space {
                true => io::ErrorKind::StorageFull,
                false => io::ErrorKind::Other,
            },
            ErrorKind::Checksum { .. }
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. }
            | ErrorKind::ReadDiffers { .. }
            | ErrorKind::Decompression { cut: false, .. }
            | ErrorKind::BadAnswer { .. } => io::ErrorKind::InvalidData,
            ErrorKind::Decompression { cut: true, .. } => io::ErrorKind::UnexpectedEof,
            ErrorKind::Credentials { .. } => io::ErrorKind::PermissionDenied,
            ErrorKind::InvalidInput { .. } => io::ErrorKind::InvalidInput,
            ErrorKind::Transport { cause, .. } => match cause {
                TransportCause::Connect | TransportCause::UnknownHost => {
                    io::ErrorKind::NotConnected
                }
                TransportCause::Tls => io::ErrorKind::InvalidData,
                TransportCause::Timeout => io::ErrorKind::TimedOut,
                TransportCause::Broken => io::ErrorKind::ConnectionReset,
            },
            ErrorKind::RetriesExhausted { .. } => io::ErrorKind::TimedOut,
            ErrorKind::Closed | ErrorKind::WorkerLost | ErrorKind::Forked => {
                io::ErrorKind::BrokenPipe
            }
            ErrorKind::TooManyFailedKeys { .. } => io::ErrorKind::QuotaExceeded,
            ErrorKind::Reader { kind } => *kind,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

/// An error of ours is given back as it was. One of somebody else is taken for an error of the
/// reader, as in [`copy_from`](crate::OssAppendWriter::copy_from).
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match Self::from_io(&error) {
            Some(ours) => ours.clone(),
            None => Self::new(ErrorKind::Reader { kind: error.kind() }).with_source(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::service::ServiceError;

    #[test]
    fn an_io_error_gives_the_error_back() {
        let io = io::Error::from(Error::service(ServiceError::new(403, "AccessDenied")));
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        let ours = Error::from_io(&io).unwrap();
        assert_eq!(ours.service_error().unwrap().code, "AccessDenied");
        assert_eq!(Error::from(io).to_string(), ours_again());
    }

    fn ours_again() -> String {
        Error::service(ServiceError::new(403, "AccessDenied")).to_string()
    }

    #[test]
    fn somebody_elses_io_error_keeps_its_kind_and_is_the_source() {
        let error = Error::from(io::Error::new(io::ErrorKind::TimedOut, "the disk sleeps"));
        let timed_out = io::ErrorKind::TimedOut;
        assert_eq!(error.kind(), &ErrorKind::Reader { kind: timed_out });
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "the disk sleeps");
        assert!(!error.is_retryable());
    }
}
