//! What a server finds damaged in its directory.

use std::fmt;
use std::path::PathBuf;

/// An object, or the properties of a bucket, that a server found damaged when it opened its
/// directory, from [`Emulator::damaged`](crate::emulator::Emulator::damaged).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damaged {
    /// The bucket.
    pub bucket: String,
    /// The key of the object, if that can still be told.
    pub key: Option<String>,
    /// The file that shows the damage.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Where the file is now, with the object's bytes beside it. `None` if nothing was moved: the
    /// file is lost, or the directory is only read.
    pub moved_to: Option<PathBuf>,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = &self.bucket;
        match &self.key {
            Some(key) => write!(f, "oss://{bucket}/{key} is damaged")?,
            None => write!(f, "bucket {bucket} is damaged")?,
        }
        write!(f, ": {}: {}", self.file.display(), self.reason)?;
        match &self.moved_to {
            Some(place) => write!(f, "; set aside as {}", place.display()),
            None => Ok(()),
        }
    }
}
