//! Buckets and objects, in memory or in a directory. One request at a time changes an object.
//!
//! Whoever changes an object holds its [`Entry::change`], across the disk too. What is stored is
//! replaced when the change is complete, under a lock that nobody holds for long, so that all who
//! read find the object as it was before the change or after it, and never wait for one.

mod directory;
mod fsync;
mod rope;
mod slot;
pub(in crate::emulator) mod uploads;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::directory::{Directory, Files, Loaded};
pub(super) use self::directory::{Use, private};
pub use self::fsync::Fsync;
use self::rope::Rope;
pub(super) use self::slot::Slot;
use self::uploads::Uploads;
pub(super) use self::view::View;
use super::account::BucketRules;
use super::damage::Damaged;
use super::object::Properties;

use crate::values::locks::{MutexExt, RwLockExt};

/// All buckets.
#[derive(Debug)]
pub(super) struct Storage {
    /// `None` keeps everything in memory.
    directory: Option<Directory>,
    buckets: Mutex<BTreeMap<String, Arc<Bucket>>>,
    /// What is uploaded in parts and not completed.
    pub(super) uploads: Uploads,
    /// Held by whoever makes or deletes a bucket. Whether there are changes still.
    open: Mutex<bool>,
    damaged: Vec<Damaged>,
}

/// What is known of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BucketProperties {
    pub(super) acl: String,
    pub(super) created: Timestamp,
    #[serde(default, skip_serializing_if = "BucketRules::are_none")]
    pub(super) rules: BucketRules,
}

/// A bucket and its objects.
#[derive(Debug)]
pub(super) struct Bucket {
    name: String,
    properties: Mutex<BucketProperties>,
    objects: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Held by all who change objects; alone by whoever ends that.
    state: RwLock<State>,
}

/// Whether objects of a bucket can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// There is no such bucket any more.
    Deleted,
    /// The server has ended.
    Closed,
}

/// The place of one object.
#[derive(Debug, Default)]
struct Entry {
    /// Held by whoever changes the object.
    change: Mutex<()>,
    /// `None` if there is no object. Locked for moments only.
    stored: Mutex<Option<Stored>>,
}

#[derive(Debug)]
struct Stored {
    properties: Arc<Properties>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Rope(Rope),
    Files(Files),
}

/// An object's bytes at one moment, to be read without a lock.
#[derive(Debug)]
pub(super) enum Reading {
    Pieces(Vec<Bytes>),
    File { file: File, range: Range<u64> },
}

/// Where a scan of a bucket goes on.
#[derive(Debug)]
pub(super) enum Step {
    Next,
    /// At the first key that is not less than this.
    To(String),
    Stop,
}

/// The error of a change in a bucket that was deleted meanwhile.
#[derive(Debug)]
pub(super) struct BucketDeleted(pub(super) String);

impl fmt::Display for BucketDeleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bucket {} was deleted", self.0)
    }
}

impl std::error::Error for BucketDeleted {}

impl Storage {
    /// Keeps everything in memory.
    pub(super) fn in_memory() -> Self {
        Self {
            directory: None,
            buckets: Mutex::default(),
            uploads: Uploads::default(),
            open: Mutex::new(true),
            damaged: Vec::new(),
        }
    }

    /// Keeps everything in a directory, beginning with what is there.
    pub(super) fn in_directory(path: &Path, wanted: Use) -> io::Result<Self> {
        let directory = Directory::open(path, wanted)?;
        let Loaded { buckets, damaged } = directory.load()?;
        let buckets = buckets.into_iter().map(|found| {
            let objects = found.objects.into_iter().map(|(sidecar, files)| {
                let stored = Stored {
                    properties: Arc::new(sidecar.properties),
                    data: Data::Files(files),
                };
                let entry = Entry {
                    change: Mutex::default(),
                    stored: Mutex::new(Some(stored)),
                };
                (sidecar.key, Arc::new(entry))
            });
            let bucket = Bucket::new(&found.name, found.properties, objects.collect());
            (found.name, Arc::new(bucket))
        });
        Ok(Self {
            buckets: Mutex::new(buckets.collect()),
            directory: Some(directory),
            uploads: Uploads::default(),
            open: Mutex::new(true),
            damaged,
        })
    }

    /// Whether calls may wait for a disk.
    pub(super) fn blocks(&self) -> bool {
        self.directory.is_some()
    }

    /// Where large bodies may be kept until they are applied.
    pub(super) fn spool(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(Directory::spool)
    }

    /// What was damaged at the start.
    pub(super) fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// Waits for the changes that have begun, lets none begin any more, and lets another server use
    /// the directory.
    pub(super) fn close(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        let mut open = self.open.locked();
        *open = false;
        let buckets: Vec<_> = self.buckets.locked().values().cloned().collect();
        for bucket in buckets {
            *bucket.state.write_locked() = State::Closed;
        }
        directory.close();
    }

    pub(super) fn bucket(&self, name: &str) -> Option<Arc<Bucket>> {
        self.buckets.locked().get(name).cloned()
    }

    pub(super) fn buckets(&self) -> Vec<(String, BucketProperties)> {
        self.buckets
            .locked()
            .iter()
            .map(|(name, bucket)| (name.clone(), bucket.properties()))
            .collect()
    }

    /// Creates a bucket, or sets the ACL of one that is there.
    pub(super) fn create_bucket(
        &self,
        name: &str,
        acl: Option<&str>,
        now: Timestamp,
    ) -> io::Result<()> {
        let open = self.open.locked();
        if !*open {
            return Err(ended());
        }
        let bucket = self.bucket(name);
        let existing = bucket.as_ref().map(|bucket| bucket.properties());
        let created = existing.as_ref().map_or(now, |bucket| bucket.created);
        let existing_rules = existing.as_ref().map(|bucket| bucket.rules);
        let acl = acl
            .map(str::to_owned)
            .or(existing.as_ref().map(|bucket| bucket.acl.clone()))
            .unwrap_or_else(|| "private".into());
        let rules = existing_rules.unwrap_or_default();
        let properties = BucketProperties {
            acl,
            created,
            rules,
        };
        if let Some(directory) = &self.directory
            && existing.as_ref() != Some(&properties)
        {
            directory.create_bucket(name, &properties)?;
        }
        match bucket {
            Some(bucket) => *bucket.properties.locked() = properties,
            None => {
                let bucket = Bucket::new(name, properties, BTreeMap::new());
                let bucket = Arc::new(bucket);
                self.buckets.locked().insert(name.to_owned(), bucket);
            }
        }
        Ok(())
    }

    /// Gives a bucket these rules.
    pub(super) fn set_rules(&self, name: &str, rules: BucketRules) -> io::Result<()> {
        let Some(bucket) = self.bucket(name) else {
            return Ok(());
        };
        let mut properties = bucket.properties.locked();
        properties.rules = rules;
        match &self.directory {
            Some(directory) => directory.create_bucket(name, &properties),
            None => Ok(()),
        }
    }

    /// Deletes a bucket; `false` if it has objects. If it fails the bucket is as it was.
    pub(super) fn delete_bucket(&self, name: &str) -> io::Result<bool> {
        let open = self.open.locked();
        if !*open {
            return Err(ended());
        }
        let Some(bucket) = self.bucket(name) else {
            return Ok(true);
        };
        // What is being changed now is counted, and what comes later finds no bucket.
        let mut state = bucket.state.write_locked();
        if !bucket.is_empty() {
            return Ok(false);
        }
        if let Some(directory) = &self.directory {
            directory.delete_bucket(name)?;
        }
        *state = State::Deleted;
        self.buckets.locked().remove(name);
        Ok(true)
    }

    /// Works on one object, existing or not, while nobody else changes it.
    pub(super) fn with_slot<T>(
        &self,
        bucket: &Bucket,
        key: &str,
        work: impl FnOnce(&mut Slot<'_>) -> T,
    ) -> T {
        let entry = Arc::clone(bucket.objects.locked().entry(key.to_owned()).or_default());
        let state = bucket.state.read_locked();
        let mut slot = Slot::new(self.directory.as_ref(), bucket, *state, key, &entry);
        let result = work(&mut slot);
        let empty = slot.properties().is_none();
        drop(slot);
        drop(state);
        drop(entry);
        if empty {
            bucket.forget(key);
        }
        result
    }

    /// Looks at one object, existing or not, without waiting for who changes it. The work is done
    /// again if the object is replaced meanwhile.
    pub(super) fn with_view<T>(
        &self,
        bucket: &Bucket,
        key: &str,
        work: impl Fn(&View<'_>) -> T,
    ) -> T {
        let mut missing = None;
        loop {
            let entry = bucket.objects.locked().get(key).cloned();
            let view = View::new(self.directory.as_ref(), &bucket.name, entry.as_deref());
            let result = work(&view);
            // A file that is missing twice has not been replaced: somebody else has removed it.
            match view.into_missing() {
                Some(file) if missing.as_ref() != Some(&file) => missing = Some(file),
                _ => return result,
            }
        }
    }
}

/// The error of changes after the server's end.
fn ended() -> io::Error {
    io::Error::other("the server has ended")
}

impl Bucket {
    fn new(
        name: &str,
        properties: BucketProperties,
        objects: BTreeMap<String, Arc<Entry>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            properties: Mutex::new(properties),
            objects: Mutex::new(objects),
            state: RwLock::new(State::Open),
        }
    }

    pub(super) fn properties(&self) -> BucketProperties {
        self.properties.locked().clone()
    }

    pub(super) fn rules(&self) -> BucketRules {
        self.properties.locked().rules
    }

    /// The properties of an object, if it is there.
    pub(super) fn object(&self, key: &str) -> Option<Arc<Properties>> {
        self.objects.locked().get(key)?.properties()
    }

    fn is_empty(&self) -> bool {
        let objects = self.objects.locked();
        objects.values().all(|entry| entry.properties().is_none())
    }

    /// Looks at the objects in the order of their keys, beginning at a key, and where `look` goes on.
    pub(super) fn scan(
        &self,
        from: Bound<&str>,
        mut look: impl FnMut(&str, &Arc<Properties>) -> Step,
    ) {
        let objects = self.objects.locked();
        let mut found = objects.range::<str, _>((from, Bound::Unbounded));
        while let Some((key, entry)) = found.next() {
            let Some(properties) = entry.properties() else {
                continue;
            };
            match look(key, &properties) {
                Step::Next => {}
                Step::To(key) => {
                    let from = Bound::Included(key.as_str());
                    found = objects.range::<str, _>((from, Bound::Unbounded));
                }
                Step::Stop => return,
            }
        }
    }

    /// Drops the entry of an object that is not there, unless somebody is about to work on it.
    fn forget(&self, key: &str) {
        let mut objects = self.objects.locked();
        // Nobody can get hold of the entry while the map is locked.
        if let Some(entry) = objects.get(key)
            && Arc::strong_count(entry) == 1
            && entry.properties().is_none()
        {
            objects.remove(key);
        }
    }
}

impl Entry {
    fn properties(&self) -> Option<Arc<Properties>> {
        let stored = self.stored.locked();
        Some(Arc::clone(&stored.as_ref()?.properties))
    }
}

impl Reading {
    /// All bytes at once.
    pub(super) fn into_bytes(self) -> io::Result<Bytes> {
        match self {
            Self::Pieces(pieces) => Ok(pieces.concat().into()),
            Self::File { file, range } => read_file(&file, range).map(Bytes::from),
        }
    }
}

/// Reads a range of a file.
pub(super) fn read_file(mut file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::body::Received;
    use crate::emulator::object::Attributes;

    #[test]
    fn a_bucket_that_is_deleted_takes_nothing_more() {
        let directory = tempfile::tempdir().unwrap();
        let in_directory = Storage::in_directory(directory.path(), Use::default()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        for storage in [Storage::in_memory(), in_directory] {
            storage.create_bucket("bucket", None, now).unwrap();
            // Of a request that found it before it was deleted.
            let bucket = storage.bucket("bucket").unwrap();
            let append = || {
                let object = Properties::empty(Attributes::plain(), now);
                storage.with_slot(&bucket, "k", |slot| {
                    slot.append(Received::default(), object)
                })
            };
            append().unwrap();
            assert!(!storage.delete_bucket("bucket").unwrap());
            storage
                .with_slot(&bucket, "k", |slot| slot.remove())
                .unwrap();
            assert!(storage.delete_bucket("bucket").unwrap());
            let error = append().unwrap_err();
            let cause = error.get_ref().unwrap();
            assert!(cause.downcast_ref::<BucketDeleted>().is_some(), "{error}");
            storage.create_bucket("bucket", None, now).unwrap();
            assert!(storage.bucket("bucket").unwrap().is_empty());
        }
    }

    #[test]
    fn nothing_changes_in_a_directory_that_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let storage = Storage::in_directory(directory.path(), Use::default()).unwrap();
        storage.create_bucket("bucket", None, now).unwrap();
        let bucket = storage.bucket("bucket").unwrap();
        storage.close();
        let object = Properties::empty(Attributes::plain(), now);
        let append = |slot: &mut Slot<'_>| slot.append(Received::default(), object);
        assert!(storage.with_slot(&bucket, "k", append).is_err());
        assert!(storage.create_bucket("other", None, now).is_err());
        assert!(storage.delete_bucket("bucket").is_err());
        let next = Storage::in_directory(directory.path(), Use::default()).unwrap();
        assert!(next.bucket("bucket").is_some() && next.bucket("other").is_none());
    }
}
