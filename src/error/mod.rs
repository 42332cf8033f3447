//! The one public error type, and what it is made of.

mod conflict;
mod io;
mod kind;
mod refusal;
mod retry;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::conflict::{Conflict, ConflictCause};
pub use self::kind::{ErrorKind, Landed, TransportCause};
pub use self::refusal::Refusal;
pub use self::service::ServiceError;
use crate::values::path::{ObjectPath, ObjectPathError};

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
    advice: Option<&'static str>,
    source: Option<Source>,
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
                advice: None,
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

    /// There were no credentials, and asking again would not help.
    pub fn credentials(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Credentials {
            reason: reason.into(),
            temporary: false,
        })
    }

    /// There were no credentials this time. A writer asks again until its delivery timeout.
    pub fn credentials_unavailable(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Credentials {
            reason: reason.into(),
            temporary: true,
        })
    }

    /// The object takes no appends since it was not created by an append. `object_type` is the
    /// store's name for its type, where known.
    pub fn not_appendable(object_type: Option<String>) -> Self {
        Self::new(ErrorKind::NotAppendable { object_type })
    }

    /// An answer that the protocol does not allow: a writer looks at the object before it goes on.
    pub fn bad_answer(status: u16, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadAnswer {
            status,
            reason: reason.into(),
            request_id: None,
        })
    }

    /// The error of a writer that gave up after so many requests and so long without progress, for
    /// tests of what a program does then. Add the last failure [as the source](Self::with_source).
    pub fn retries_exhausted(attempts: u32, stalled: Duration) -> Self {
        Self::new(ErrorKind::RetriesExhausted { attempts, stalled })
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

    /// Names the position of the append, or of the next byte to be read. A position named earlier stays.
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

    /// Says what may fix it.
    #[must_use]
    pub(crate) fn with_advice(mut self, advice: Option<&'static str>) -> Self {
        Arc::make_mut(&mut self.inner).advice = advice;
        self
    }

    /// Whether both stem from the same failure.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
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

    /// The position of the append concerned, or of the next byte that was to be read.
    pub fn position(&self) -> Option<u64> {
        self.inner.position
    }

    /// Whether the bytes of the failed append are in the object; `None` if no append was concerned.
    pub fn landed(&self) -> Option<Landed> {
        self.inner.landed
    }

    /// Why the store refused the request: this one, or that of the nearest cause that has a reason.
    pub fn refusal(&self) -> Option<Refusal> {
        self.service_error().map(|answer| answer.refusal)
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
            advice,
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
        }?;
        match advice {
            Some(advice) => write!(f, "; {advice}"),
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
        if let Some(advice) = &inner.advice {
            debug.field("advice", advice);
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

impl From<ObjectPathError> for Error {
    fn from(error: ObjectPathError) -> Self {
        Self::invalid_input(error.to_string())
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
