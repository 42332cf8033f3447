//! How a command ends without success: the exit code, and the one line that says why.

use std::error::Error as StdError;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use oss_append::{Error, ErrorKind, Refusal, ServiceError, TransportCause};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::output;

/// What the exit codes mean, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done; also when a signal has ended an input without an end of its own, such as a pipe, and
       all that was read of it is durable
  1    anything else: a local file cannot be read, no such object or bucket
  2    usage: an option, the target or a record is not valid; nothing was sent for it
  3    conflict: another writer, an object that exists already or holds other bytes than expected
  4    the object takes no appends: it is not appendable, sealed or full
  5    credentials or permission
  6    OSS was not reached, or retrying did not help in time
  7    interrupted as with 130, but all that was read and is not durable is in the spool (--spool
       DIR): the next start, or spool DIR --send, delivers it
  8    verify: not all of a FILE is in its object, which is missing or shorter; what is there is equal
  130  interrupted by SIGINT (^C), SIGTERM or SIGHUP before all was done: a FILE is not at its end,
       or what was read is not durable
  141  nobody reads standard output any more";

const OTHER: u8 = 1;
const USAGE: u8 = 2;
const CONFLICT: u8 = 3;
const TAKES_NO_APPENDS: u8 = 4;
const NOT_ALLOWED: u8 = 5;
const NOT_REACHED: u8 = 6;
const SPOOLED: u8 = 7;
const NOT_YET: u8 = 8;
/// As a shell reports a process that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// As a shell reports a process that SIGPIPE has ended.
const NOBODY_READS: u8 = 141;

/// The exit code after an interrupt.
pub(crate) fn interrupted() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

/// The exit code after an interrupt that has left the rest in the spool.
pub(crate) fn spooled() -> ExitCode {
    ExitCode::from(SPOOLED)
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    kind: &'static str,
    message: String,
    error: Option<Error>,
    /// What the command has to tell beside it, with `--json`.
    fields: Map<String, Value>,
    /// It has been told as a JSON object, or cannot be.
    told: bool,
}

impl Failure {
    /// Something on this machine failed.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        Self::new(OTHER, "local", message)
    }

    fn new(code: u8, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            kind,
            message: message.into(),
            error: None,
            fields: Map::new(),
            told: false,
        }
    }

    /// A signal came before it was done.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(INTERRUPTED, "interrupted", message)
    }

    /// The same, with the rest in the spool.
    pub(crate) fn spooled(message: impl Into<String>) -> Self {
        Self::new(SPOOLED, "spooled", message)
    }

    /// What was given cannot be right.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, "invalid_input", message)
    }

    /// The reader of standard output has gone: nobody needs to be told.
    pub(crate) fn nobody_reads() -> Self {
        Self::new(NOBODY_READS, "nobody_reads", "")
    }

    /// Lets standard output go unread, where it is not what the command is for.
    pub(crate) fn unless_unread(printed: Result<(), Self>) -> Result<(), Self> {
        match printed {
            Err(failure) if failure.code == NOBODY_READS => Ok(()),
            printed => printed,
        }
    }

    /// The object is not what it was.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(CONFLICT, "conflict", message)
    }

    /// Not everything is in the object yet.
    pub(crate) fn not_yet(message: impl Into<String>) -> Self {
        Self::new(NOT_YET, "not_yet", message)
    }

    /// The object has no room for more.
    #[cfg(unix)]
    pub(crate) fn full(message: impl Into<String>) -> Self {
        Self::new(TAKES_NO_APPENDS, "object_full", message)
    }

    /// The server in this process cannot be started: its directory or address is not free.
    pub(crate) fn of_server(error: Error) -> Self {
        Self::local(describe(&error))
    }

    /// A request that failed. Names the RAM `permissions` it takes if OSS says that one is missing.
    pub(crate) fn of_request(error: &Error, permissions: &str) -> Self {
        let failure = Self::from(error.clone());
        // A request to the wrong endpoint is denied too, whatever the permissions are.
        let denied =
            |answer: &ServiceError| answer.refusal == Refusal::Denied && answer.endpoint.is_none();
        match error.service_error().is_some_and(denied) {
            true => failure.and(format!("the RAM permissions {permissions} are needed")),
            false if is_unknown_host(error) => failure.and(UNKNOWN_HOST),
            false => failure,
        }
    }

    /// It took longer than it may after a signal. `last` is why, if a request has failed.
    pub(crate) fn too_late(bound: Duration, last: Option<&Error>) -> Self {
        let code = match last.map(code) {
            Some(NOT_ALLOWED) => NOT_ALLOWED,
            _ => NOT_REACHED,
        };
        let bound = humantime::format_duration(bound);
        let failure = Self {
            error: last.cloned(),
            ..Self::new(
                code,
                "interrupted",
                format!("it was not done within {bound} of the signal (--shutdown-timeout)"),
            )
        };
        match last {
            Some(error) => failure.and(describe(error)),
            None => failure,
        }
    }

    /// Says more.
    #[must_use]
    pub(crate) fn and(mut self, more: impl AsRef<str>) -> Self {
        self.message = format!("{}; {}", self.message, more.as_ref());
        self
    }

    /// Says that what is in the spool at `directory` is kept.
    pub(crate) fn keeping(self, directory: &Path) -> Self {
        let kept = format!("what the spool at {} holds is kept", directory.display());
        self.and(kept).redirecting(directory)
    }

    /// Says where what is in the spool at `directory` can go, if its object takes nothing.
    pub(crate) fn redirecting(self, directory: &Path) -> Self {
        match self.takes_nothing() {
            true => self.and(format!(
                "to put that in another object: oss-append spool {} --send --to oss://BUCKET/KEY",
                directory.display()
            )),
            false => self,
        }
    }

    /// Whether the object takes nothing more, or is not what it was.
    pub(crate) fn takes_nothing(&self) -> bool {
        matches!(self.code, CONFLICT | TAKES_NO_APPENDS)
    }

    /// Tells these fields too, with `--json`.
    #[must_use]
    pub(crate) fn with_fields(mut self, of_command: &impl Serialize) -> Self {
        if let Ok(Value::Object(fields)) = serde_json::to_value(of_command) {
            self.fields = fields;
        }
        self
    }

    /// It has been told as a JSON object, or cannot be.
    #[must_use]
    pub(crate) fn told(mut self) -> Self {
        self.told = true;
        self
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    pub(crate) fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Whether what was given cannot be right.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// The name of its kind, as [`ErrorKind::name`].
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// The request's error that it is made of.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Prints the line, if there is one, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            output::complain(&self.message);
        }
        self.exit_code()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error: Some(error.clone()),
            ..Self::new(code(&error), error.kind().name(), describe(&error))
        }
    }
}

/// The exit code of an error. This is the mapping that [`HELP`] documents.
fn code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::InvalidInput { .. } => USAGE,
        ErrorKind::Conflict(_)
        | ErrorKind::Checksum { .. }
        | ErrorKind::ReplayDiffers { .. }
        | ErrorKind::ReplayTooShort { .. }
        | ErrorKind::ReadDiffers { .. } => CONFLICT,
        ErrorKind::NotAppendable { .. }
        | ErrorKind::Sealed
        | ErrorKind::ObjectFull { .. }
        | ErrorKind::TooManyAppends { .. } => TAKES_NO_APPENDS,
        ErrorKind::Credentials { .. } => NOT_ALLOWED,
        ErrorKind::Service(answer) => code_of_answer(answer),
        ErrorKind::Transport { .. } => NOT_REACHED,
        ErrorKind::RetriesExhausted { .. } => match cause(error).map(code) {
            Some(NOT_ALLOWED) => NOT_ALLOWED,
            _ => NOT_REACHED,
        },
        _ => OTHER,
    }
}

/// Whether the same request may succeed later: OSS was not reached, or had a reason that passes.
pub(crate) fn may_pass(error: &Error) -> bool {
    let refused_certificate = matches!(
        error.kind(),
        ErrorKind::Transport {
            cause: TransportCause::Tls,
            ..
        }
    );
    is_mended(error) || (code(error) == NOT_REACHED && !refused_certificate)
}

/// Whether what OSS has refused it for is right now: the clock, or the credentials.
pub(crate) fn is_mended(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.clock_corrected || answer.credentials_renewed)
}

fn code_of_answer(answer: &ServiceError) -> u8 {
    match (answer.refusal, answer.status) {
        (Refusal::Position | Refusal::Exists, _) => CONFLICT,
        (Refusal::NotAppendable | Refusal::Sealed | Refusal::Immutable, _) => TAKES_NO_APPENDS,
        (_, 401 | 403) => NOT_ALLOWED,
        // What an append would be retried for.
        (_, 408 | 429 | 500..) => NOT_REACHED,
        _ => OTHER,
    }
}

const UNKNOWN_HOST: &str = "no address is known for that name: is the region right (--region, \
                            OSS_REGION, such as cn-hangzhou), or the endpoint, and does the network \
                            work?";

/// Whether the name of the server was not found, at last.
pub(crate) fn is_unknown_host(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Transport { cause, .. } => *cause == TransportCause::UnknownHost,
        ErrorKind::RetriesExhausted { .. } => cause(error).is_some_and(is_unknown_host),
        _ => false,
    }
}

fn cause(error: &Error) -> Option<&Error> {
    error.source()?.downcast_ref()
}

/// The error with its causes, in one line.
pub(crate) fn describe(error: &Error) -> String {
    with_causes(error.to_string(), error)
}

/// The same for who has named the object.
pub(crate) fn describe_cause(error: &Error) -> String {
    let kind = error.kind();
    let text = match error.operation() {
        Some(operation) => format!("{operation}: {kind}"),
        None => kind.to_string(),
    };
    with_causes(text, error)
}

/// The `text` of the error, and its causes behind that.
fn with_causes(mut text: String, error: &Error) -> String {
    let mut last = error;
    let mut next = error.source();
    // The reason of a transport error is its innermost cause already.
    while !matches!(last.kind(), ErrorKind::Transport { .. })
        && let Some(cause) = next
    {
        match cause.downcast_ref::<Error>() {
            Some(ours) => {
                // The object was named before.
                if let Some(operation) = ours.operation()
                    && last.operation() != Some(operation)
                {
                    text = format!("{text}: {operation}");
                }
                text = format!("{text}: {}", ours.kind());
                last = ours;
            }
            None => {
                let said = cause.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
            }
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    use oss_append::{Conflict, ConflictCause, ObjectPath};

    fn answered(status: u16, code: &str) -> Error {
        Error::service(ServiceError::new(status, code))
    }

    fn exhausted(cause: Error) -> Error {
        Error::retries_exhausted(3, Duration::from_secs(2)).with_source(cause)
    }

    #[test]
    fn bad_input_is_2() {
        assert_eq!(code(&Error::invalid_input("x")), USAGE);
        let malformed = "oss://b".parse::<ObjectPath>().unwrap_err();
        assert_eq!(code(&malformed.into()), USAGE);
    }

    #[test]
    fn conflicts_of_content_are_3() {
        for cause in [
            ConflictCause::Foreign,
            ConflictCause::Gone,
            ConflictCause::Replaced,
            ConflictCause::Exists,
        ] {
            let conflict = ErrorKind::Conflict(Conflict::new(cause, 1, Some(2)));
            let caused_by_an_answer =
                Error::new(conflict).with_source(answered(409, "PositionNotEqualToLength"));
            assert_eq!(code(&caused_by_an_answer), CONFLICT);
        }
        assert_eq!(code(&answered(409, "FileAlreadyExists")), CONFLICT);
    }

    #[test]
    fn an_object_that_takes_no_appends_is_4() {
        for error in [Error::not_appendable(None), Error::new(ErrorKind::Sealed)] {
            assert_eq!(code(&error), TAKES_NO_APPENDS);
        }
        assert_eq!(
            code(&answered(409, "ObjectNotAppendable")),
            TAKES_NO_APPENDS
        );
    }

    #[test]
    fn credentials_and_permission_are_5_behind_retries_too() {
        assert_eq!(code(&Error::credentials("x")), NOT_ALLOWED);
        for (status, name) in [
            (401, ""),
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (403, "InvalidAccessKeyId"),
            (403, ""),
        ] {
            assert_eq!(code(&answered(status, name)), NOT_ALLOWED);
            assert_eq!(code(&exhausted(answered(status, name))), NOT_ALLOWED);
        }
        assert_eq!(code(&exhausted(Error::credentials("x"))), NOT_ALLOWED);
    }

    #[test]
    fn an_unreachable_service_is_6() {
        for cause in [
            TransportCause::Connect,
            TransportCause::Tls,
            TransportCause::Timeout,
            TransportCause::Broken,
        ] {
            let error = Error::transport(cause, "x");
            assert_eq!(code(&error), NOT_REACHED);
            assert_eq!(code(&exhausted(error)), NOT_REACHED);
        }
        assert_eq!(code(&answered(503, "ServiceUnavailable")), NOT_REACHED);
        assert_eq!(code(&exhausted(answered(404, "x"))), NOT_REACHED);
    }

    #[test]
    fn anything_else_is_1() {
        for error in [
            answered(404, "NoSuchKey"),
            answered(404, "NoSuchBucket"),
            answered(416, "InvalidRange"),
            answered(400, "OperationNotSupported"),
            Error::new(ErrorKind::Closed),
            Error::new(ErrorKind::WorkerLost),
            io::Error::from(io::ErrorKind::PermissionDenied).into(),
            Error::bad_answer(200, "x"),
        ] {
            assert_eq!(code(&error), OTHER, "{error}");
        }
    }

    #[test]
    fn the_line_has_the_causes_and_says_nothing_twice() {
        let object = ObjectPath::new("logs", "a.log").unwrap();
        let mut refused = ServiceError::new(503, "ServiceUnavailable");
        refused.request_id = Some("5C3D".into());
        let refused = Error::service(refused)
            .with_operation("head")
            .with_object(&object);
        let error = exhausted(refused)
            .with_operation("append")
            .with_object(&object)
            .with_position(7);
        assert_eq!(
            describe(&error),
            "append of oss://logs/a.log at position 7: gave up after 3 attempts and 2.0 s without \
             progress: head: OSS answered 503 ServiceUnavailable (request id 5C3D)"
        );

        let reset = Error::transport(TransportCause::Broken, "reset by peer")
            .with_source(io::Error::other("error sending request"));
        assert_eq!(describe(&reset), "reset by peer");

        let file = Error::from(io::Error::other("the disk is gone"));
        assert_eq!(describe(&file), "the reader failed: the disk is gone");
    }

    #[test]
    fn a_denied_request_names_the_permissions() {
        let denied = exhausted(answered(403, "AccessDenied"));
        let message = Failure::of_request(&denied, "oss:GetObject").message;
        assert!(message.contains("oss:GetObject"), "{message}");
        let mut elsewhere = ServiceError::new(403, "AccessDenied");
        elsewhere.endpoint = Some("oss-cn-beijing.aliyuncs.com".into());
        let message = Failure::of_request(&Error::service(elsewhere), "oss:GetObject").message;
        assert!(!message.contains("oss:GetObject"), "{message}");
        let unsigned = answered(403, "SignatureDoesNotMatch");
        let message = Failure::of_request(&unsigned, "oss:GetObject").message;
        assert!(!message.contains("oss:GetObject"), "{message}");
    }
}
