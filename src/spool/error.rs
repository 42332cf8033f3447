//! The error of the spool.
//!
//! Every error says what was being done, to which file and where in it, why that failed, and what
//! can be done about it. It can be cloned, since one failure is often reported in several places.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What went wrong in the spool.
#[derive(Clone, Debug)]
pub(crate) struct SpoolError {
    kind: ErrorKind,
    action: &'static str,
    file: String,
    offset: Option<u64>,
}

/// The cause of a [`SpoolError`].
#[derive(Clone, Debug)]
pub(crate) enum ErrorKind {
    /// Another process, or another part of this one, has the directory open.
    InUse,
    /// The spool would become larger than it is allowed to be. Nothing was written.
    Full {
        /// Size of all files with what was to be appended.
        needed: u64,
        /// The largest size that is allowed.
        max: u64,
    },
    /// The directory holds the bytes of somebody else, who is named here.
    Owner(Vec<u8>),
    /// A file is of another version of the format, or no segment at all.
    Version {
        /// The version found, if the file is a segment.
        found: Option<u32>,
    },
    /// The caller, or a file, broke a rule. The text says which.
    Invalid(&'static str),
    /// The operating system reported an error.
    Io(Arc<io::Error>),
}

impl SpoolError {
    pub(super) fn new(kind: ErrorKind, action: &'static str, file: impl Into<String>) -> Self {
        Self {
            kind,
            action,
            file: file.into(),
            offset: None,
        }
    }

    pub(super) fn io(error: io::Error, action: &'static str, file: impl Into<String>) -> Self {
        Self::new(ErrorKind::Io(Arc::new(error)), action, file)
    }

    pub(super) fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The cause.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Who the bytes are for, if they are for somebody else.
    pub(crate) fn other_owner(&self) -> Option<&[u8]> {
        match &self.kind {
            ErrorKind::Owner(found) => Some(found),
            _ => None,
        }
    }

    /// Whether there is no space, be it by the limit of the spool or on the disk.
    ///
    /// The same call can succeed later, when space has become free.
    pub(crate) fn is_out_of_space(&self) -> bool {
        match &self.kind {
            ErrorKind::Full { .. } => true,
            ErrorKind::Io(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            _ => false,
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {}", self.action, self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match &self.kind {
            ErrorKind::InUse => f.write_str(
                ": it is in use by another process; stop that process or use another directory",
            ),
            ErrorKind::Full { needed, max } => write!(
                f,
                ": the spool would take {needed} bytes of disk but may take {max}; wait until \
                 some of it has been sent, or allow it more",
            ),
            ErrorKind::Owner(found) => write!(
                f,
                ": it holds bytes of another owner, {:?}; open it for that owner until it is \
                 empty, or use another directory",
                String::from_utf8_lossy(found),
            ),
            ErrorKind::Version { found: Some(found) } => write!(
                f,
                ": it has version {found} of the format, this program knows version {}; empty the \
                 spool with the program that wrote it",
                super::format::VERSION,
            ),
            ErrorKind::Version { found: None } => f.write_str(
                ": it is not a segment of a spool; move the file away or use another directory",
            ),
            ErrorKind::Invalid(rule) => write!(f, ": {rule}"),
            ErrorKind::Io(error) => {
                write!(f, ": {error}")?;
                if self.is_out_of_space() {
                    f.write_str("; free some space and try again")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Io(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_message_names_the_file_the_place_and_the_cause() {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        let error = SpoolError::io(error, "write to", "/spool/1.segment").at(8192);
        let text = error.to_string();
        assert!(
            text.starts_with("could not write to /spool/1.segment at byte 8192: "),
            "{text}"
        );
        assert!(text.ends_with("; free some space and try again"), "{text}");
        assert!(error.source().is_some());
        assert!(error.is_out_of_space());
    }

    #[test]
    fn a_message_says_whose_bytes_were_found() {
        let error = SpoolError::new(ErrorKind::Owner(b"log/a".to_vec()), "open", "/spool");
        assert!(
            error.to_string().contains("another owner, \"log/a\""),
            "{error}"
        );
        assert!(!error.is_out_of_space());
    }
}
