//! Which errors may pass by themselves.

use super::{Error, ErrorKind, Refusal, ServiceError, TransportCause};

impl Error {
    /// Whether the same call may succeed later with nothing changed: after an overload, an outage,
    /// a lost answer, or while credentials were not there yet. Writers have tried for their
    /// `delivery_timeout` before they return such an error.
    ///
    /// Before you repeat an append yourself, find out whether it landed: see
    /// [`landed`](Self::landed).
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Service(answer) => answer.is_retryable(),
            ErrorKind::Transport { cause, .. } => *cause != TransportCause::Tls,
            ErrorKind::Credentials { temporary, .. } => *temporary,
            ErrorKind::Spool { out_of_space, .. } => *out_of_space,
            ErrorKind::BadAnswer { .. }
            | ErrorKind::RetriesExhausted { .. }
            | ErrorKind::ReadDiffers { .. } => true,
            ErrorKind::Conflict(_)
            | ErrorKind::NotAppendable { .. }
            | ErrorKind::Sealed
            | ErrorKind::ObjectFull { .. }
            | ErrorKind::TooManyAppends { .. }
            | ErrorKind::Checksum { .. }
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. }
            | ErrorKind::Decompression { .. }
            | ErrorKind::InvalidInput { .. }
            | ErrorKind::Closed
            | ErrorKind::WorkerLost
            | ErrorKind::Forked
            | ErrorKind::TooManyFailedKeys { .. }
            | ErrorKind::Reader { .. } => false,
        }
    }
}

impl ServiceError {
    fn is_retryable(&self) -> bool {
        self.clock_corrected
            || self.credentials_renewed
            || match self.refusal {
                Refusal::Token
                | Refusal::Key
                | Refusal::Damaged
                | Refusal::Throttled
                | Refusal::InDoubt => true,
                Refusal::Position
                | Refusal::Sealed
                | Refusal::NotAppendable
                | Refusal::Immutable
                | Refusal::Between
                | Refusal::Exists
                | Refusal::Conflict
                | Refusal::NoSuchObject
                | Refusal::NoSuchBucket
                | Refusal::Denied
                | Refusal::PublicAccessBlocked
                | Refusal::Archived
                | Refusal::Other => false,
            }
    }
}
