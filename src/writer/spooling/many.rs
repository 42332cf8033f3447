//! The spools of many writers in one directory, one for each key: what they share.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use super::disk::error_of;
use super::options::Spool;
use crate::drive::thread::in_thread;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::{Disk as _, Folder, format};
use crate::values::locks::MutexExt as _;
use crate::wire::encoding::encode_strict;

/// The part of memory that a writer may have at least, in bytes.
const LEAST_PART: u64 = 64 * 1024;

/// So many bytes of an encoded key are in the name of its directory, for people.
const NAME: usize = 80;

/// The directories of keys, in one directory that nobody else has meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct KeySpools {
    spool: Spool,
    many: Many,
}

/// What the spools of keys share.
#[derive(Debug)]
pub(crate) struct ManySpools {
    /// Bytes on disk of all.
    pub(super) size: Arc<AtomicU64>,
    memory: u64,
    /// What a writer may use at least.
    least: u64,
    writers: AtomicUsize,
    /// Holds the lock of the directory around them, until all writers have ended.
    folder: Mutex<Option<Folder>>,
}

/// That which a spool shares with others.
#[derive(Clone, Debug)]
pub(crate) struct Many(Arc<ManySpools>);

/// Those in one directory are the same.
impl PartialEq for Many {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Many {}

impl Deref for Many {
    type Target = ManySpools;

    fn deref(&self) -> &ManySpools {
        &self.0
    }
}

impl ManySpools {
    /// How many bytes of memory each writer may have.
    pub(super) fn part(&self) -> u64 {
        let writers = self.writers.load(Ordering::Relaxed).max(1) as u64;
        (self.memory / writers).max(self.least)
    }

    /// All writers have ended: others may have the directory.
    pub(crate) fn close(&self) {
        let folder = self.folder.locked().take();
        drop(folder);
    }

    /// So many writers are open. True: their parts are half of what they were when this was last
    /// said, or less.
    pub(crate) fn set_writers(&self, writers: usize) -> bool {
        let before = self.writers.swap(writers, Ordering::Relaxed);
        writers > before && writers.is_power_of_two()
    }
}

#[cfg(test)]
impl Many {
    /// Of a simulation, which has no other.
    pub(super) fn simulated(memory: u64, least: u64) -> Self {
        Self(Arc::new(ManySpools {
            size: Arc::default(),
            memory,
            least,
            writers: AtomicUsize::new(0),
            folder: Mutex::default(),
        }))
    }
}

impl KeySpools {
    /// Those in the directory of `spool`, with so many bytes of memory for all writers.
    pub(crate) fn open(spool: Spool, memory: u64) -> Result<Self> {
        spool.check()?;
        let folder = Folder::open(&spool.directory).map_err(error_of)?;
        if spool.has_segments() {
            return Err(Error::new(ErrorKind::Spool {
                reason: format!(
                    "{} is the spool of one writer: that of keys needs a directory of its own",
                    spool.directory.display()
                ),
                out_of_space: false,
            }));
        }
        Ok(Self {
            many: Many(Arc::new(ManySpools {
                size: Arc::default(),
                memory,
                least: LEAST_PART,
                writers: AtomicUsize::new(0),
                folder: Mutex::new(Some(folder)),
            })),
            spool,
        })
    }

    /// What they share.
    pub(crate) fn many(&self) -> &ManySpools {
        &self.many
    }

    /// The spool of `key`.
    pub(crate) fn of(&self, key: &Arc<str>) -> Spool {
        Spool {
            directory: self.spool.directory.join(name_of(key)),
            key: Some(Arc::clone(key)),
            many: Some(self.many.clone()),
            ..self.spool.clone()
        }
    }

    /// The spools in which something is left by an earlier process. Those with nothing are removed.
    pub(crate) fn left(&self) -> Result<Vec<Spool>> {
        let (left, empty) = self.spool.directories()?;
        for directory in empty {
            if let Ok(folder) = Folder::open(directory) {
                folder.remove_empty();
            }
        }
        Ok(left)
    }
}

impl Spool {
    /// The spools of the keys of a [`KeyedWriter`](crate::KeyedWriter) in this directory that have
    /// something in them, whether that process is there or not.
    ///
    /// # Errors
    /// [`Spool`](ErrorKind::Spool) if the directory cannot be read.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn keys(&self) -> Result<Vec<Self>> {
        let spool = self.clone();
        in_thread(move || {
            let (mut spools, _) = spool.directories()?;
            for spool in &mut spools {
                // Whoever looks at it is told why it cannot be read.
                spool.key = spool.key_now().ok().flatten().map(Arc::from);
            }
            Ok(spools)
        })
        .await
    }

    /// The directories in it that are those of keys, in order: what has something in it, and what has
    /// not.
    fn directories(&self) -> Result<(Vec<Self>, Vec<PathBuf>)> {
        let (mut spools, mut empty) = (Vec::new(), Vec::new());
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Spool {
                reason: format!("cannot list {}: {error}", self.directory.display()),
                out_of_space: false,
            })
            .with_source(error)
        };
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let directory = entry.map_err(failed)?.path();
            if !directory.is_dir() || !is_name(&directory) {
                continue;
            }
            let spool = Self {
                directory,
                ..self.clone()
            };
            match spool.has_segments() {
                true => spools.push(spool),
                false => empty.push(spool.directory),
            }
        }
        spools.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok((spools, empty))
    }

    /// Whether it holds bytes, or did.
    fn has_segments(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| format::parse_segment_name(name).is_some())
        })
    }
}

/// The name of the directory of `key`: its beginning, and a hash that tells it from all others on
/// every file system.
fn name_of(key: &str) -> String {
    let mut name = encode_strict(key);
    name.truncate(NAME);
    let hash = Sha256::digest(key);
    name.push('-');
    for byte in &hash[..16] {
        name += &format!("{byte:02x}");
    }
    name
}

/// Whether a directory has such a name.
fn is_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let hash = name.and_then(|name| name.rsplit_once('-'));
    hash.is_some_and(|(_, hash)| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_name_of_its_own_that_a_file_system_takes() {
        let long = "k".repeat(5000);
        let keys = ["", ".", "a", "A", "a/b", "a%2Fb", "ü", &long, &long[1..]];
        let mut names: Vec<_> = keys.iter().map(|key| name_of(key)).collect();
        for name in &names {
            assert!(name.len() <= 120, "{name}");
            assert!(is_name(Path::new(name)), "{name}");
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
            assert!(name.bytes().all(plain), "{name}");
        }
        // Also where upper and lower case are the same.
        for name in &mut names {
            name.make_ascii_lowercase();
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), keys.len());
        assert!(!is_name(Path::new("lock")));
        assert!(!is_name(Path::new("a-b")));
    }
}
