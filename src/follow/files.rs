//! What is asked of a file system, so that tests can have one of their own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which file it is. The same number may be given to another file once nobody has this one open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What a file is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    pub(super) is_file: bool,
}

/// A file system. Paths lead through symbolic links.
pub(super) trait Files: Send + 'static {
    type File: Send;

    fn open(&self, path: &Path) -> io::Result<Self::File>;

    fn state(&self, file: &Self::File) -> io::Result<State>;

    /// What the path leads to at this moment.
    fn look(&self, path: &Path) -> io::Result<State>;

    /// The path itself, or where it leads to if it is a symbolic link.
    fn target(&self, path: &Path) -> PathBuf;

    /// Reads at this offset; nothing at the end.
    fn read_at(&self, file: &Self::File, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// The paths where earlier files of `path` may be found, in no order.
    fn rotated(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The file system of this machine.
#[derive(Debug)]
pub(super) struct Disk {
    /// Globs for rotated files with other names than the usual ones.
    pub(super) patterns: Vec<String>,
}

impl Files for Disk {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn state(&self, file: &File) -> io::Result<State> {
        file.metadata().map(|found| state(&found))
    }

    fn look(&self, path: &Path) -> io::Result<State> {
        fs::metadata(path).map(|found| state(&found))
    }

    fn target(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| path.into())
    }

    fn read_at(&self, file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
        file.read_at(into, at)
    }

    fn rotated(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        beside(path, &mut found)?;
        // A link's target is rotated where it is.
        let target = self.target(path);
        if target.file_name() != path.file_name() || target.parent() != path.parent() {
            beside(&target, &mut found)?;
        }
        for pattern in &self.patterns {
            let pattern = super::paths::rotated_pattern(pattern, path);
            let paths = glob::glob(&pattern).map_err(io::Error::other)?;
            for entry in paths {
                found.push(entry.map_err(io::Error::from)?);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

fn state(found: &fs::Metadata) -> State {
    State {
        identity: Identity {
            device: found.dev(),
            inode: found.ino(),
        },
        len: found.len(),
        modified: found.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        is_file: found.is_file(),
    }
}

/// Adds what stands in the directory of `path` under a name that a rotation may have given it.
fn beside(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    for entry in fs::read_dir(parent)? {
        let entry = entry?.file_name();
        if entry
            .to_str()
            .is_some_and(|entry| super::order::is_rotated(name, entry))
        {
            found.push(parent.join(entry));
        }
    }
    Ok(())
}
