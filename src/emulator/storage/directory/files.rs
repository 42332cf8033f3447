//! Files and directories that only their owner can read, and how changes of them reach the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::emulator::storage::Fsync;

/// Options for a file that is private if they create it.
pub(in crate::emulator) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a private directory, unless there is one.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_dir(path),
        made => made,
    }
}

/// Makes a private directory with all directories above it.
pub(super) fn make_dirs(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Whether this is a directory itself, and not a link to one.
pub(super) fn check_dir(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => Ok(()),
        false => Err(not_ours(path, "it is not a directory")),
    }
}

/// Whether this is a plain file itself, and not a link to one.
pub(super) fn check_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(not_ours(path, "it is not a plain file")),
    }
}

pub(super) fn not_ours(path: &Path, reason: &str) -> io::Error {
    io::Error::other(format!("{}: {reason}", path.display()))
}

/// Puts `content` in a new file at `path`, or in place of the one that is there. `temporary` is on
/// the same file system.
pub(super) fn replace(
    temporary: &Path,
    path: &Path,
    content: &[u8],
    fsync: Fsync,
) -> io::Result<()> {
    let written = private()
        .create_new(true)
        .open(temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            sync_data(&file, fsync)
        })
        .and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        // There is none if it could not be made.
        let _ = fs::remove_file(temporary);
        return written;
    }
    match path.parent() {
        Some(parent) => sync_dir(parent, fsync),
        None => Ok(()),
    }
}

/// Has a file's bytes on the disk, if that is wanted.
pub(super) fn sync_data(file: &File, fsync: Fsync) -> io::Result<()> {
    match fsync {
        Fsync::Always => file.sync_data(),
        Fsync::Never => Ok(()),
    }
}

/// Has a directory's entries on the disk, if that is wanted.
pub(super) fn sync_dir(path: &Path, fsync: Fsync) -> io::Result<()> {
    match fsync {
        // Elsewhere a directory cannot be opened.
        Fsync::Always if cfg!(unix) => File::open(path)?.sync_all(),
        _ => Ok(()),
    }
}
