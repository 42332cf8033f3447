//! What `follow` has done, in the end.

use std::fmt;

use indicatif::HumanBytes;
use oss_append::FollowedFile;
use serde::Serialize;

use super::total;

/// The fields of the command for `--json`, and the line without it.
#[derive(Serialize)]
pub(super) struct Summary {
    bytes: u64,
    appends: u64,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    object: Option<String>,
    bytes: u64,
    appends: u64,
    error: Option<String>,
}

impl Summary {
    pub(super) fn new(files: &[FollowedFile]) -> Self {
        let file = |file: &FollowedFile| File {
            path: file.path.display().to_string(),
            object: file.object.as_ref().map(ToString::to_string),
            bytes: file.bytes,
            appends: file.appends,
            error: file.failure.as_ref().map(ToString::to_string),
        };
        Self {
            bytes: total(files, |file| file.bytes),
            appends: total(files, |file| file.appends),
            files: files.iter().map(file).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.files.iter().filter(|file| file.error.is_some());
        write!(
            f,
            "{} of {} files are durable, in {} appends",
            HumanBytes(self.bytes),
            self.files.len(),
            self.appends
        )?;
        match failed.count() {
            0 => Ok(()),
            failed => write!(f, "; {failed} files were not followed to the end"),
        }
    }
}
