//! What a program is told while files are followed, and at the end.

use std::path::{Path, PathBuf};

use super::error::FollowError;
use super::series::Notice;
use crate::values::path::ObjectPath;

/// What was noticed of a followed file. Positions and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowEvent {
    /// This file, which the path leads to or led to, is read from this position on.
    #[non_exhaustive]
    Begun {
        /// The followed path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
        /// Where it goes on; 0 is its beginning.
        position: u64,
    },
    /// The file was truncated at some time after it was read up to this position.
    #[non_exhaustive]
    Truncated {
        /// The followed path.
        path: PathBuf,
        /// Up to here it was read.
        position: u64,
        /// The copy in which the rest stands, if one begins with what was read.
        copy: Option<PathBuf>,
    },
    /// Bytes of the file cannot be had any more: they are in no object.
    #[non_exhaustive]
    Lost {
        /// The followed path.
        path: PathBuf,
        /// The file that they were in.
        file: PathBuf,
        /// The first of them.
        from: u64,
        /// Behind the last of them that was seen; `None`: there may be none.
        to: Option<u64>,
    },
    /// The file begins with zeros, which are left out: its writer does not append, and has left a hole
    /// when the file was truncated.
    #[non_exhaustive]
    Hole {
        /// The followed path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
        /// How many.
        zeros: u64,
    },
    /// A rotated file cannot be read: it is not complete, or compressed in another way than by gzip.
    #[non_exhaustive]
    Unreadable {
        /// The followed path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// A writer has written to a rotated file after the next one was begun.
    #[non_exhaustive]
    Late {
        /// The followed path.
        path: PathBuf,
        /// The file.
        file: PathBuf,
        /// How much.
        bytes: u64,
    },
    /// The path leads to nothing for now.
    #[non_exhaustive]
    Gone {
        /// The followed path.
        path: PathBuf,
    },
    /// The file cannot be read for now, which is tried again each second.
    #[non_exhaustive]
    Waiting {
        /// The followed path.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// This file is not followed any further; others are.
    #[non_exhaustive]
    Failed {
        /// The followed path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl FollowEvent {
    pub(super) fn from(path: &Path, notice: Notice) -> Self {
        let path = path.to_owned();
        match notice {
            Notice::Begun { file, position } => Self::Begun {
                path,
                file,
                position,
            },
            Notice::Truncated { position, copy, .. } => Self::Truncated {
                path,
                position,
                copy,
            },
            Notice::Lost { file, from, to } => Self::Lost {
                path,
                file,
                from,
                to,
            },
            Notice::Hole { file, zeros } => Self::Hole { path, file, zeros },
            Notice::Unreadable { file } => Self::Unreadable { path, file },
            Notice::Late { file, bytes } => Self::Late { path, file, bytes },
            Notice::Gone => Self::Gone { path },
        }
    }
}

/// What became of one followed path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowedFile {
    /// The path.
    pub path: PathBuf,
    /// The object that was appended to last, if any was.
    pub object: Option<ObjectPath>,
    /// How many bytes were appended, or found where an earlier process had appended them late. All
    /// are durable.
    pub bytes: u64,
    /// In how many appends.
    pub appends: u64,
    /// Why it was not followed to the end.
    pub failure: Option<FollowError>,
}

impl FollowedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            object: None,
            bytes: 0,
            appends: 0,
            failure: None,
        }
    }
}
