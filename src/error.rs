//! The one public error type: its kinds, what OSS said, and the mapping to `io::Error`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::store::ObjectPath;

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What went wrong, on which object, at which position, and what OSS said about it.
///
/// The error is cheap to clone: every handle of a failed writer returns the same one. Match on
/// [`kind`](Error::kind) to act on it; [`landed`](Error::landed) says whether the bytes of the
/// failed append are in the object. No key, token or signature is ever part of an error.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<&'static str>,
    object: Option<ObjectPath>,
    position: Option<u64>,
    landed: Option<Landed>,
    source: Option<Source>,
}

/// The kinds of [`Error`] that a caller acts on differently.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// OSS answered with an error that is none of the kinds below.
    Service(ServiceError),
    /// The object is not what it was proven to be: somebody else appended to it, replaced it,
    /// removed it, or created it first.
    Conflict(Conflict),
    /// The object exists and is no appendable object. Holds OSS's object type.
    NotAppendable {
        /// The value of `x-oss-object-type`, where known.
        object_type: Option<String>,
    },
    /// The object is sealed and takes no more appends.
    Sealed,
    /// The append was refused before it was sent: it would pass the configured object size.
    ObjectFull {
        /// The configured limit in bytes.
        limit: u64,
        /// The object's length in bytes.
        length: u64,
        /// The length of the refused append in bytes.
        batch: u64,
    },
    /// OSS accepted an append, but its answer proves that the object does not hold what was sent.
    Checksum {
        /// The next position that the answer should have named.
        expected_position: u64,
        /// The next position that the answer named.
        found_position: u64,
        /// The CRC-64 that the answer should have named, where known.
        expected_crc64: Option<u64>,
        /// The CRC-64 that the answer named.
        found_crc64: Option<u64>,
    },
    /// What was written in a replay is not what the object already holds. Found before anything
    /// was appended, unless [`Error::landed`] is in doubt.
    ReplayDiffers {
        /// Where the replay began.
        start: u64,
        /// The object's length: somewhere before it the contents differ.
        end: u64,
    },
    /// The replay ended before the object does.
    ReplayTooShort {
        /// Where the written bytes end.
        given: u64,
        /// The object's length.
        object: u64,
    },
    /// No credentials could be had.
    Credentials {
        /// What was tried and why it failed.
        reason: String,
        /// Asking again later may help: their source could not be reached, was busy, or failed on
        /// its side.
        temporary: bool,
    },
    /// A key, option, header value or call was refused before anything was sent.
    InvalidInput {
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// The request did not get through, or no complete answer came back.
    Transport {
        /// In which way it failed.
        cause: TransportCause,
        /// One line about it.
        reason: String,
    },
    /// An answer that the protocol does not allow, such as a success without its next position.
    BadAnswer {
        /// The HTTP status of the answer.
        status: u16,
        /// What is wrong with it.
        reason: String,
        /// The request id, if the answer had one.
        request_id: Option<String>,
    },
    /// Retrying did not help within the delivery timeout. The last failure is the source.
    RetriesExhausted {
        /// How many requests were made for this batch.
        attempts: u32,
        /// How long there was no progress.
        stalled: Duration,
    },
    /// The writer was shut down before this call.
    Closed,
    /// The tokio runtime that ran the writer's worker ended before the writer did, or the worker, or
    /// a callback that it called, panicked. Then the source has the panic's text.
    WorkerLost,
    /// So many keys of a keyed writer have failed that it opens no more, until some are forgiven.
    /// The error of one of them is the source.
    TooManyFailedKeys {
        /// How many keys have failed.
        keys: usize,
    },
    /// The reader given to `copy_from` failed. Its error is the source.
    Reader {
        /// The kind of the reader's error.
        kind: io::ErrorKind,
    },
}

/// In which way a request failed to get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportCause {
    /// No connection could be made, so nothing was sent.
    Connect,
    /// The server's certificate was refused, so nothing was sent.
    Tls,
    /// Nothing moved for as long as the timeout allows.
    Timeout,
    /// The connection broke, or the answer could not be read to its end.
    Broken,
}

/// Whether the bytes of a failed append are in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Landed {
    /// They are in the object: this has been proven.
    Yes,
    /// They are not in the object, and no request that could still put them there is under way.
    No,
    /// It could not be found out.
    InDoubt,
}

/// How the object differs from what was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// What happened to the object.
    pub cause: ConflictCause,
    /// The length that the object should have had.
    pub expected: u64,
    /// The length that it has, where known.
    pub found: Option<u64>,
}

impl Conflict {
    /// A conflict by its cause, with the expected and the found length.
    pub fn new(cause: ConflictCause, expected: u64, found: Option<u64>) -> Self {
        Self {
            cause,
            expected,
            found,
        }
    }
}

/// What somebody else did to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictCause {
    /// Appended to it.
    Foreign,
    /// Removed it.
    Gone,
    /// Replaced it: the proven content is not there any more.
    Replaced,
    /// Created it before us, although a new object was asked for.
    Exists,
}

/// An error answer of OSS, as the official SDKs' `RequestError` shows it.
///
/// Fields of the wire's error document, see
/// <https://www.alibabacloud.com/help/en/oss/developer-reference/error-responses>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// OSS's error code, such as `AccessDenied`; empty if the answer had none.
    pub code: String,
    /// OSS's explanation.
    pub message: String,
    /// The id to name when asking Alibaba Cloud's support.
    pub request_id: Option<String>,
    /// The host that answered, as it names itself.
    pub host_id: Option<String>,
    /// The finer error code, such as `0026-00000016`.
    pub ec: Option<String>,
    /// The endpoint to use instead, where OSS names one.
    pub endpoint: Option<String>,
    /// The object's length that a position mismatch names.
    pub next_append_position: Option<u64>,
    /// How long to wait before the next request, by `Retry-After` or `x-oss-qos-delay-time`. The
    /// client believes no more than 60 s.
    pub retry_after: Option<Duration>,
    /// Set by the client when it has corrected its clock by this answer, so that a retry is
    /// signed with the right time.
    pub clock_corrected: bool,
    /// Set by the client when this answer refused the credentials and their provider has others by
    /// now, or may have them soon, so that a retry is signed with those.
    pub credentials_renewed: bool,
}

impl ServiceError {
    /// An error answer with this status and code, everything else empty.
    pub fn new(status: u16, code: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OSS answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        let mut separator = " (";
        if let Some(ec) = &self.ec {
            write!(f, "{separator}EC {ec}")?;
            separator = ", ";
        }
        if let Some(id) = &self.request_id {
            write!(f, "{separator}request id {id}")?;
            separator = ", ";
        }
        if let Some(endpoint) = &self.endpoint {
            write!(f, "{separator}use endpoint {endpoint}")?;
            separator = ", ";
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Error {
    /// An error of this kind, without context.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                operation: None,
                object: None,
                position: None,
                landed: None,
                source: None,
            }),
        }
    }

    /// An error answer of OSS.
    pub fn service(answer: ServiceError) -> Self {
        Self::new(ErrorKind::Service(answer))
    }

    /// A request that did not get through.
    pub fn transport(cause: TransportCause, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transport {
            cause,
            reason: reason.into(),
        })
    }

    /// Something that the caller gave is wrong; `reason` says what and what would be right.
    pub fn invalid_input(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput {
            reason: reason.into(),
        })
    }

    /// No credentials could be had, and asking again would not help.
    pub fn credentials(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Credentials {
            reason: reason.into(),
            temporary: false,
        })
    }

    /// No credentials could be had this time. A writer asks again until its delivery timeout.
    pub fn credentials_unavailable(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Credentials {
            reason: reason.into(),
            temporary: true,
        })
    }

    /// Names the operation that failed, such as `append`. An operation named earlier stays.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        Arc::make_mut(&mut self.inner)
            .operation
            .get_or_insert(operation);
        self
    }

    /// Names the object. An object named earlier stays.
    #[must_use]
    pub fn with_object(mut self, object: &ObjectPath) -> Self {
        Arc::make_mut(&mut self.inner)
            .object
            .get_or_insert_with(|| object.clone());
        self
    }

    /// Names the position of the append. A position named earlier stays.
    #[must_use]
    pub fn with_position(mut self, position: u64) -> Self {
        Arc::make_mut(&mut self.inner)
            .position
            .get_or_insert(position);
        self
    }

    /// Says whether the bytes of the failed append are in the object.
    #[must_use]
    pub fn with_landed(mut self, landed: Landed) -> Self {
        Arc::make_mut(&mut self.inner).landed = Some(landed);
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Arc::make_mut(&mut self.inner).source = Some(Arc::from(source.into()));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The operation that failed, such as `append`.
    pub fn operation(&self) -> Option<&'static str> {
        self.inner.operation
    }

    /// The object concerned.
    pub fn object(&self) -> Option<&ObjectPath> {
        self.inner.object.as_ref()
    }

    /// The position of the append concerned.
    pub fn position(&self) -> Option<u64> {
        self.inner.position
    }

    /// Whether the bytes of the failed append are in the object; `None` if no append was concerned.
    pub fn landed(&self) -> Option<Landed> {
        self.inner.landed
    }

    /// What OSS said: of this error, or of the nearest cause that is an answer of OSS.
    pub fn service_error(&self) -> Option<&ServiceError> {
        let mut error = self;
        loop {
            if let ErrorKind::Service(answer) = error.kind() {
                return Some(answer);
            }
            error = error.inner.source.as_deref()?.downcast_ref()?;
        }
    }

    /// The error of this crate inside an `io::Error` that an `AsyncWrite` method returned.
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
            },
            ErrorKind::NotAppendable { .. } => io::ErrorKind::Unsupported,
            ErrorKind::Sealed => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::ObjectFull { .. } => io::ErrorKind::FileTooLarge,
            ErrorKind::Checksum { .. }
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. }
            | ErrorKind::BadAnswer { .. } => io::ErrorKind::InvalidData,
            ErrorKind::Credentials { .. } => io::ErrorKind::PermissionDenied,
            ErrorKind::InvalidInput { .. } => io::ErrorKind::InvalidInput,
            ErrorKind::Transport { cause, .. } => match cause {
                TransportCause::Connect => io::ErrorKind::NotConnected,
                TransportCause::Tls => io::ErrorKind::InvalidData,
                TransportCause::Timeout => io::ErrorKind::TimedOut,
                TransportCause::Broken => io::ErrorKind::ConnectionReset,
            },
            ErrorKind::RetriesExhausted { .. } => io::ErrorKind::TimedOut,
            ErrorKind::Closed | ErrorKind::WorkerLost => io::ErrorKind::BrokenPipe,
            ErrorKind::TooManyFailedKeys { .. } => io::ErrorKind::QuotaExceeded,
            ErrorKind::Reader { kind } => *kind,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(answer) => answer.fmt(f),
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::NotAppendable { object_type } => {
                f.write_str("the object is not appendable")?;
                match object_type {
                    Some(object_type) => write!(f, " (its type is {object_type})"),
                    None => Ok(()),
                }
            }
            Self::Sealed => f.write_str("the object is sealed and takes no more appends"),
            Self::ObjectFull {
                limit,
                length,
                batch,
            } => write!(
                f,
                "the object is full: {length} bytes and {batch} more pass the limit of {limit}; \
                 go on in a new object"
            ),
            Self::Checksum {
                expected_position,
                found_position,
                expected_crc64,
                found_crc64,
            } => {
                f.write_str("the object does not hold what was sent: ")?;
                if expected_position != found_position {
                    write!(
                        f,
                        "its next position should be {expected_position} and is {found_position}"
                    )
                } else {
                    write!(
                        f,
                        "its CRC-64 should be {} and is {}",
                        OrUnknown(*expected_crc64),
                        OrUnknown(*found_crc64)
                    )
                }
            }
            Self::ReplayDiffers { start, end } => write!(
                f,
                "what was written is not what the object holds between {start} and {end}"
            ),
            Self::ReplayTooShort { given, object } => write!(
                f,
                "the replay ended at {given}, but the object has {object} bytes"
            ),
            Self::Credentials { reason, .. } => write!(f, "no credentials: {reason}"),
            Self::InvalidInput { reason } => f.write_str(reason),
            Self::Transport { reason, .. } => f.write_str(reason),
            Self::BadAnswer {
                status,
                reason,
                request_id,
            } => {
                write!(f, "the answer ({status}) is not one of OSS: {reason}")?;
                match request_id {
                    Some(id) => write!(f, " (request id {id})"),
                    None => Ok(()),
                }
            }
            Self::RetriesExhausted { attempts, stalled } => write!(
                f,
                "gave up after {attempts} {} and {:.1} s without progress",
                if *attempts == 1 {
                    "attempt"
                } else {
                    "attempts"
                },
                stalled.as_secs_f64()
            ),
            Self::Closed => f.write_str("the writer has been shut down"),
            Self::WorkerLost => f.write_str(
                "the writer's worker was lost: its tokio runtime has ended, or it panicked",
            ),
            Self::TooManyFailedKeys { keys } => write!(
                f,
                "{keys} keys have failed, and no more are opened until some are forgiven"
            ),
            Self::Reader { .. } => f.write_str("the reader failed"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cause,
            expected,
            found,
        } = self;
        match cause {
            ConflictCause::Foreign if *found == Some(*expected) => write!(
                f,
                "another writer has appended to the object: its length is {expected}, as it should \
                 be, but with bytes that are not ours"
            ),
            ConflictCause::Foreign => write!(
                f,
                "another writer has appended to the object: its length should be {expected} and \
                 is {}",
                OrUnknown(*found)
            ),
            ConflictCause::Gone => {
                write!(f, "the object of {expected} bytes has been removed")
            }
            ConflictCause::Replaced => write!(
                f,
                "the object has been replaced: its first {expected} bytes are not those that were \
                 proven, its length is {}",
                OrUnknown(*found)
            ),
            ConflictCause::Exists => f.write_str("the object exists already"),
        }
    }
}

struct OrUnknown(Option<u64>);

impl fmt::Display for OrUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// One line without the causes: walk [`source`](std::error::Error::source) for those.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            object,
            position,
            landed,
            ..
        } = &*self.inner;
        match (operation, object) {
            (Some(operation), Some(object)) => write!(f, "{operation} of {object}")?,
            (Some(operation), None) => f.write_str(operation)?,
            (None, Some(object)) => write!(f, "{object}")?,
            (None, None) => {}
        }
        if let Some(position) = position {
            write!(f, " at position {position}")?;
        }
        if operation.is_some() || object.is_some() {
            f.write_str(": ")?;
        }
        kind.fmt(f)?;
        match landed {
            Some(Landed::Yes) => f.write_str("; this append is in the object"),
            Some(Landed::No) => f.write_str("; this append is not in the object"),
            Some(Landed::InDoubt) => {
                f.write_str("; it is not known whether this append is in the object")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind);
        if let Some(operation) = &inner.operation {
            debug.field("operation", operation);
        }
        if let Some(object) = &inner.object {
            debug.field("object", &format_args!("{object}"));
        }
        if let Some(position) = &inner.position {
            debug.field("position", position);
        }
        if let Some(landed) = &inner.landed {
            debug.field("landed", landed);
        }
        if let Some(source) = &inner.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&**self.inner.source.as_ref()?)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        let mut answer = ServiceError::new(403, "AccessDenied");
        answer.message = "You have no right.".into();
        answer.ec = Some("0003-00000001".into());
        answer.request_id = Some("5C3D9778CC1C2AEDF85B".into());
        Error::service(answer)
    }

    #[test]
    fn one_line_names_operation_object_position_answer_and_fate() {
        let object = ObjectPath::new("logs", "a/b.log").unwrap();
        let error = refused()
            .with_operation("append")
            .with_object(&object)
            .with_position(42)
            .with_landed(Landed::No);
        assert_eq!(
            error.to_string(),
            "append of oss://logs/a/b.log at position 42: OSS answered 403 AccessDenied: You have \
             no right (EC 0003-00000001, request id 5C3D9778CC1C2AEDF85B); this append is not in \
             the object"
        );
    }

    #[test]
    fn a_foreign_append_of_the_same_length_does_not_read_like_a_contradiction() {
        assert_eq!(
            Conflict::new(ConflictCause::Foreign, 6, Some(6)).to_string(),
            "another writer has appended to the object: its length is 6, as it should be, but with \
             bytes that are not ours"
        );
    }

    #[test]
    fn an_io_error_gives_the_error_back() {
        let io = io::Error::from(refused());
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        let ours = Error::from_io(&io).unwrap();
        assert_eq!(ours.service_error().unwrap().code, "AccessDenied");
    }

    #[test]
    fn what_oss_said_is_found_behind_retries() {
        let error = Error::new(ErrorKind::RetriesExhausted {
            attempts: 3,
            stalled: Duration::from_secs(2),
        })
        .with_source(refused());
        assert_eq!(error.service_error().unwrap().status, 403);
        assert_eq!(
            error.to_string(),
            "gave up after 3 attempts and 2.0 s without progress"
        );
    }
}
