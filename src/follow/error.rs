//! Why a file is not followed any further, for the program.

use std::fmt;
use std::path::{Path, PathBuf};

use super::stop::Stop;
use crate::error::Error;
use crate::values::path::ObjectPath;

/// Why a file is not followed any further. What is in objects stays there, and a new start goes on
/// behind it.
#[derive(Clone, Debug)]
pub struct FollowError {
    file: PathBuf,
    object: Option<ObjectPath>,
    position: Option<u64>,
    kind: FollowErrorKind,
    message: String,
    source: Option<Error>,
}

/// What sort of [`FollowError`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowErrorKind {
    /// The file cannot be read, or is not a regular file.
    File,
    /// The object holds other bytes than the file and those that rotations have left. Nothing was
    /// sent.
    Conflict,
    /// It cannot be told which file the object has come from, or in which order files were written.
    /// Nothing was sent for a guess.
    Ambiguous,
    /// The object has no room for the next bytes, and the template has no `{seq}`.
    Full,
    /// A request for the object failed for good: [`FollowError::error`] says why.
    Object,
}

impl FollowError {
    pub(super) fn new(
        file: &Path,
        object: impl Fn(u64) -> Option<ObjectPath>,
        stop: &Stop,
    ) -> Self {
        let (kind, number, position) = match stop {
            Stop::Object(_) => (FollowErrorKind::Object, None, None),
            Stop::File(..) | Stop::NotAFile(_) => (FollowErrorKind::File, None, None),
            Stop::Unsteady(_) | Stop::SameAge(..) | Stop::Copy { .. } => {
                (FollowErrorKind::Ambiguous, None, None)
            }
            Stop::Ambiguous { number, .. } => (FollowErrorKind::Ambiguous, Some(*number), None),
            Stop::Conflict { number, length } => {
                (FollowErrorKind::Conflict, Some(*number), Some(*length))
            }
            Stop::Full { number, length } => (FollowErrorKind::Full, Some(*number), Some(*length)),
        };
        let source = match stop {
            Stop::Object(error) => Some((**error).clone()),
            _ => None,
        };
        let object = number.and_then(object);
        let object = object.or_else(|| source.as_ref().and_then(Error::object).cloned());
        Self {
            file: file.into(),
            object,
            position,
            kind,
            message: stop.to_string(),
            source,
        }
    }

    /// Of a request for the object.
    pub(super) fn of_request(file: &Path, error: Error) -> Self {
        Self::new(file, |_| None, &Stop::Object(Box::new(error)))
    }

    /// The followed file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The object that it is about, if it is about one.
    pub fn object(&self) -> Option<&ObjectPath> {
        self.object.as_ref()
    }

    /// The length of the object in bytes, where that matters.
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// What sort of error it is.
    pub fn kind(&self) -> FollowErrorKind {
        self.kind
    }

    /// The error of the request, if one failed.
    pub fn error(&self) -> Option<&Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let (Some(object), None) = (&self.object, &self.source) {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message is that of the error itself: its cause is the next.
        self.source.as_ref().and_then(|error| error.source())
    }
}
