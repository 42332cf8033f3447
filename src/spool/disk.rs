//! Where segments are kept: the operations of a file system that the spool needs.
//!
//! [`Disk`] and [`DiskFile`] are what the log is written against. [`Folder`] is a directory of the
//! operating system. As long as it exists it holds a lock on the file `lock` in the directory, so
//! that two processes never write to one spool. The lock goes with the process.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ErrorKind, SpoolError};

/// Name of the file that is locked.
const LOCK: &str = "lock";

/// Short writes are joined into one up to this size.
const JOIN: usize = 64 * 1024;

/// A place that holds files by name.
pub(crate) trait Disk: Send + Sync + fmt::Debug + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file. Fails if it exists.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file. Those who have it open can go on using it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes what was created and removed durable.
    fn sync(&self) -> io::Result<()>;

    /// Removes the place itself, if there is nothing in it. Nothing else is done with it then.
    fn remove_empty(&self) {}

    /// For messages: the path of a file, or of the place itself if the name is empty.
    fn describe(&self, name: &str) -> String;
}

/// An open file.
// Nobody asks whether a file is empty.
#[allow(clippy::len_without_is_empty)]
pub(crate) trait DiskFile: Send + Sync + 'static {
    /// Writes at an offset and returns how many bytes, which may be less than all.
    fn write_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Reads at an offset and returns how many bytes, which may be less, and is 0 at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The length.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system, for one user at a time.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl Folder {
    /// Opens a directory, and makes it if there is none.
    pub(crate) fn open(path: impl AsRef<Path>) -> Result<Self, SpoolError> {
        let given = path.as_ref();
        // The directory stays the same if the process goes to another one.
        let path = std::path::absolute(given).unwrap_or_else(|_| given.to_path_buf());
        let described = path.display().to_string();
        create_dir(&path)
            .map_err(|error| SpoolError::io(error, "make the directory", &described))?;
        let file = path.join(LOCK);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(|error| SpoolError::io(error, "open", file.display().to_string()))?;
        let in_use = || SpoolError::new(ErrorKind::InUse, "lock the spool", described.clone());
        match lock.try_lock() {
            // Whoever had it may have removed it, as the directory of a key that has ended.
            Ok(()) if !is_there(&lock, &file) => Err(in_use()),
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(in_use()),
            Err(TryLockError::Error(error)) => {
                Err(SpoolError::io(error, "lock the spool", described))
            }
        }
    }
}

/// Whether the path leads to the open file.
#[cfg(unix)]
fn is_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    (file.metadata().ok().zip(fs::metadata(path).ok())).is_some_and(|(a, b)| same(a, b))
}

/// An open file is not removed there.
#[cfg(not(unix))]
fn is_there(_: &File, _: &Path) -> bool {
    true
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not Unicode is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(FolderFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(FolderFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_dir(&self.path)
    }

    fn remove_empty(&self) {
        let Ok(mut entries) = fs::read_dir(&self.path) else {
            return;
        };
        let lock = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|e| e.file_name() == LOCK);
        // What remains is an empty directory at worst.
        if entries.all(lock) && fs::remove_file(self.path.join(LOCK)).is_ok() {
            let _ = fs::remove_dir(&self.path);
        }
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

struct FolderFile(File);

impl DiskFile for FolderFile {
    fn write_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        // There is no stable vectored write at an offset. Short pieces are joined, so that a short
        // record costs one call. A long piece is written by itself, rather than copied.
        let mut rest = bufs.iter().filter(|buf| !buf.is_empty());
        let Some(first) = rest.next() else {
            return Ok(0);
        };
        if first.len() >= JOIN {
            return retry(|| write_at(&self.0, offset, first));
        }
        let Some(second) = rest.next() else {
            return retry(|| write_at(&self.0, offset, first));
        };
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(JOIN);
        let mut joined = Vec::with_capacity(len);
        for buf in [first, second].into_iter().chain(rest) {
            let room = len - joined.len();
            if room == 0 {
                break;
            }
            joined.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        retry(|| write_at(&self.0, offset, &joined))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        retry(|| read_at(&self.0, offset, buf))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        retry(|| self.0.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        retry(|| self.0.sync_data())
    }
}

/// Calls again what a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(unix)]
fn write_at(file: &File, offset: u64, buf: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, buf, offset)
}

#[cfg(windows)]
fn write_at(file: &File, offset: u64, buf: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, buf, offset)
}

#[cfg(unix)]
fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn read_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

/// Makes the entries of a directory durable.
#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = File::open(path)?;
    retry(|| dir.sync_all())
}

/// Windows has no such call, and its file systems log changes of directories.
#[cfg(not(unix))]
fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a directory and those above it, and makes the new entries durable.
fn create_dir(path: &Path) -> io::Result<()> {
    let made: Vec<&Path> = path
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    fs::create_dir_all(path)?;
    for dir in made {
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Not every directory may be opened for this, and the spool works without.
        let _ = sync_dir(parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_for_one_user_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let first = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InUse), "{error}");
        assert!(
            error.to_string().contains("in use by another process"),
            "{error}"
        );
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn an_empty_directory_is_removed_and_can_be_had_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a");
        let folder = Folder::open(&path).unwrap();
        folder.create("x").unwrap();
        folder.remove_empty();
        assert!(path.join("lock").exists());
        folder.remove("x").unwrap();
        folder.remove_empty();
        assert!(!path.exists());
        // It still has the lock that is gone.
        let again = Folder::open(&path).unwrap();
        drop(folder);
        assert!(Folder::open(&path).is_err());
        drop(again);
    }

    #[test]
    fn pieces_of_any_size_arrive_in_order() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        let file = folder.create("x").unwrap();
        let data: Vec<u8> = (0..300_000u32).map(|n| (n / 7) as u8).collect();
        for cuts in [
            [0, 0],
            [1, 2],
            [40, 160],
            [40, 100_000],
            [65_536, 65_537],
            [70_000, 299_999],
        ] {
            file.set_len(0).unwrap();
            let (first, rest) = data.split_at(cuts[0]);
            let (second, third) = rest.split_at(cuts[1] - cuts[0]);
            let mut slices = [
                IoSlice::new(first),
                IoSlice::new(second),
                IoSlice::new(third),
            ];
            let mut slices = &mut slices[..];
            let mut offset = 0;
            while offset < data.len() as u64 {
                let written = file.write_at(offset, slices).unwrap();
                assert!(written > 0);
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            let mut read = vec![0; data.len() + 1];
            assert_eq!(file.read_at(0, &mut read).unwrap(), data.len());
            assert_eq!(read[..data.len()], data);
        }
        file.sync().unwrap();
        folder.sync().unwrap();
    }

    #[test]
    fn a_file_is_created_once_and_usable_after_its_removal() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::open(temp.path()).unwrap();
        let file = folder.create("x").unwrap();
        let error = folder.create("x").map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        file.write_at(3, &[IoSlice::new(b"abc")]).unwrap();
        assert_eq!(file.len().unwrap(), 6);
        let mut names = folder.list().unwrap();
        names.sort();
        assert_eq!(names, ["lock", "x"]);
        folder.remove("x").unwrap();
        assert_eq!(folder.list().unwrap(), ["lock"]);
        let mut read = [0; 8];
        assert_eq!(file.read_at(0, &mut read).unwrap(), 6);
        assert_eq!(&read[..6], b"\0\0\0abc");
    }
}
