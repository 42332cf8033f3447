//! How an object differs from what was proven about it.

use std::fmt;
use std::ops::Range;

use crate::values::format::StoredFormat;

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
    /// Where bytes of ours are in the object behind bytes that should not be there: they were in
    /// flight behind an append of ours whose place another append of the same length took. Empty
    /// with one append in flight at a time.
    pub apart: Vec<Range<u64>>,
}

impl Conflict {
    /// A conflict by its cause, with the expected and the found length.
    pub fn new(cause: ConflictCause, expected: u64, found: Option<u64>) -> Self {
        Self {
            cause,
            expected,
            found,
            apart: Vec::new(),
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
    /// Wrote it in another form than that of what is to be appended: no tool could read both. This
    /// is found out before anything is sent.
    ///
    /// A writer that compresses continues an object that was begun in the same form. A writer that
    /// does not compress may append bytes that are compressed already; their first bytes are
    /// examined if the object is compressed. That is known from its metadata
    /// [`COMPRESSION`](crate::ObjectOptions::COMPRESSION). It is examined if the key has the
    /// extension of a compressed file (`.gz`, `.tgz`, `.zst`), or if the content type or encoding
    /// says so. An object that a writer has compressed then takes a member or frame of the same
    /// form. An object by others takes anything except another form and text, since it may end in
    /// the middle of a member.
    Format {
        /// The form of what the object holds.
        found: StoredFormat,
        /// The form of what is to be appended.
        given: StoredFormat,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cause,
            expected,
            found,
            apart,
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
            ConflictCause::Format { found, given } => write!(
                f,
                "the object has {expected} bytes that are {}, and what is to be appended is {}: \
                 no tool could read both; go on as the object was begun, or in another one",
                Form(*found),
                Form(*given)
            ),
        }?;
        for Range { start, end } in apart {
            write!(
                f,
                "; bytes {start} to {end} of it are ours, sent behind what is not there"
            )?;
        }
        Ok(())
    }
}

/// The form of bytes.
struct Form(StoredFormat);

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => write!(f, "compressed by {name}"),
            None => f.write_str("not compressed by gzip or zstd"),
        }
    }
}

/// A number that may not be known.
pub(super) struct OrUnknown(pub(super) Option<u64>);

impl fmt::Display for OrUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_append_of_the_same_length_does_not_read_like_a_contradiction() {
        assert_eq!(
            Conflict::new(ConflictCause::Foreign, 6, Some(6)).to_string(),
            "another writer has appended to the object: its length is 6, as it should be, but with \
             bytes that are not ours"
        );
    }
}
