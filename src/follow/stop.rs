//! Why a file cannot be followed any further.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Why one file cannot be followed any further, without what the objects are called.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file cannot be read.
    File(PathBuf, io::Error),
    /// An object cannot be looked at or read.
    Object(Box<Error>),
    /// It is a directory, or a device.
    NotAFile(PathBuf),
    /// Its files were renamed all the time.
    Unsteady(PathBuf),
    /// Of two rotated files nothing tells which one is the older.
    SameAge(PathBuf, PathBuf),
    /// The object `number` may hold the beginning of any of these files.
    Ambiguous { number: u64, files: Vec<PathBuf> },
    /// One file holds the same bytes as the beginning of another: a copy of it, or an earlier file.
    Copy { file: PathBuf, of: PathBuf },
    /// The object `number` ends here, and no file begins with its bytes.
    Conflict { number: u64, length: u64 },
    /// The object `number` has this length, and the next bytes would make it too long.
    Full { number: u64, length: u64 },
}

impl Stop {
    /// Whether it may be over at the next look: files are read or renamed by others.
    pub(super) fn may_pass(&self) -> bool {
        !matches!(
            self,
            Self::Object(_) | Self::Conflict { .. } | Self::Full { .. }
        )
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Object(error) => error.fmt(f),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", path.display()),
            Self::Unsteady(path) => write!(
                f,
                "the rotated files of {} were renamed all the time while they were listed",
                path.display()
            ),
            Self::SameAge(one, other) => write!(
                f,
                "nothing tells which of {} and {} is the older: neither a number nor a date in \
                 both names, nor the time of the last change",
                one.display(),
                other.display()
            ),
            Self::Ambiguous { files, .. } => {
                write!(f, "it may have come from any of these files:")?;
                files
                    .iter()
                    .try_for_each(|file| write!(f, " {}", file.display()))
            }
            Self::Copy { file, of } => write!(
                f,
                "{} holds the same bytes as the beginning of {}: it may be a copy, or a file that \
                 was rotated",
                file.display(),
                of.display()
            ),
            Self::Conflict { length, .. } => write!(
                f,
                "its {length} bytes are not the beginning of the file, nor of one that a rotation \
                 has left: position {length} of the file cannot be found, and nothing is sent"
            ),
            Self::Full { length, .. } => write!(
                f,
                "it has {length} bytes and takes no more: put {{seq}} into the template, so that \
                 others follow"
            ),
        }
    }
}
