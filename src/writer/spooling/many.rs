//! The spools of many writers in one directory, one for each key: what they share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::disk::error_of;
use super::options::Spool;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::{Disk as _, Folder, format};
use crate::wire::encoding::encode_strict;

/// The part of memory that a writer may have at least, in bytes.
const LEAST_PART: u64 = 64 * 1024;

/// So many bytes of an encoded key are in the name of its directory, for people.
const NAME: usize = 80;

/// The directories of keys, in one directory that nobody else has meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct KeySpools {
    spool: Spool,
    shared: Arc<ManySpools>,
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
    /// Holds the lock of the directory around them.
    _folder: Option<Folder>,
}

/// Whose spool it is.
#[derive(Clone, Debug)]
pub(crate) struct OfKey {
    pub(super) key: Arc<str>,
    pub(super) shared: Arc<ManySpools>,
}

/// Spools are the same if they are for the same.
impl PartialEq for OfKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for OfKey {}

impl ManySpools {
    /// How many bytes of memory each writer may have.
    pub(super) fn part(&self) -> u64 {
        let writers = self.writers.load(Ordering::Relaxed).max(1) as u64;
        (self.memory / writers).max(self.least)
    }

    /// So many writers are open. True: their parts are half of what they were when this was last
    /// said, or less.
    pub(crate) fn set_writers(&self, writers: usize) -> bool {
        let before = self.writers.swap(writers, Ordering::Relaxed);
        writers > before && writers.is_power_of_two()
    }
}

#[cfg(test)]
impl OfKey {
    /// Of a simulation, which has no other.
    pub(super) fn simulated(memory: u64, least: u64) -> Self {
        Self {
            key: "key".into(),
            shared: Arc::new(ManySpools {
                size: Arc::default(),
                memory,
                least,
                writers: AtomicUsize::new(0),
                _folder: None,
            }),
        }
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
            shared: Arc::new(ManySpools {
                size: Arc::default(),
                memory,
                least: LEAST_PART,
                writers: AtomicUsize::new(0),
                _folder: Some(folder),
            }),
            spool,
        })
    }

    pub(crate) fn shared(&self) -> &ManySpools {
        &self.shared
    }

    /// The spool of `key`.
    pub(crate) fn of(&self, key: &Arc<str>) -> Spool {
        Spool {
            directory: self.spool.directory.join(name_of(key)),
            of_key: Some(OfKey {
                key: Arc::clone(key),
                shared: Arc::clone(&self.shared),
            }),
            ..self.spool.clone()
        }
    }

    /// The spools in which something is left by an earlier process. Those with nothing are removed.
    pub(crate) fn left(&self) -> Result<Vec<Spool>> {
        let mut left = self.spool.directories().map_err(|error| {
            Error::new(ErrorKind::Spool {
                reason: format!("cannot list {}: {error}", self.spool.directory.display()),
                out_of_space: false,
            })
            .with_source(error)
        })?;
        left.retain(|directory| {
            let spool = Spool {
                directory: directory.clone(),
                ..self.spool.clone()
            };
            let has_segments = spool.has_segments();
            if !has_segments && let Ok(folder) = Folder::open(directory) {
                folder.remove_empty();
            }
            has_segments
        });
        let spool = |directory| Spool {
            directory,
            ..self.spool.clone()
        };
        Ok(left.into_iter().map(spool).collect())
    }
}

impl Spool {
    /// The directories in it that may be those of keys, in order.
    pub(super) fn directories(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.is_dir() && is_name(&path) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Whether it holds bytes, or did.
    pub(super) fn has_segments(&self) -> bool {
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
            // Also where upper and lower case are the same.
        }
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
