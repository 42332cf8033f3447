//! Buckets and objects, in memory or in a directory. One request at a time changes an object.

mod directory;
mod rope;
pub(in crate::emulator) mod uploads;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::directory::{Directory, Sidecar};
use self::rope::Rope;
use self::uploads::Uploads;
use super::account::BucketRules;
use super::body::{Content, Received};
use super::object::Properties;

use crate::values::locks::MutexExt;

/// All buckets.
#[derive(Debug)]
pub(super) struct Storage {
    /// `None` keeps everything in memory.
    directory: Option<Directory>,
    buckets: Mutex<BTreeMap<String, Arc<Bucket>>>,
    /// What is uploaded in parts and not completed.
    pub(super) uploads: Uploads,
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
    objects: Mutex<BTreeMap<String, Arc<Mutex<Option<Object>>>>>,
}

#[derive(Debug)]
struct Object {
    properties: Properties,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Rope(Rope),
    /// The name of the data file.
    File(String),
}

/// An object's bytes at one moment, to be read without a lock.
#[derive(Debug)]
pub(super) enum Reading {
    Pieces(Vec<Bytes>),
    File { file: File, range: Range<u64> },
}

impl Storage {
    /// Keeps everything in memory.
    pub(super) fn in_memory() -> Self {
        Self {
            directory: None,
            buckets: Mutex::default(),
            uploads: Uploads::default(),
        }
    }

    /// Keeps everything in a directory, beginning with what is there.
    pub(super) fn in_directory(path: &Path) -> io::Result<Self> {
        let directory = Directory::open(path)?;
        let mut buckets = BTreeMap::new();
        for found in directory.load()? {
            let objects = found.objects.into_iter().map(|sidecar| {
                let object = Object {
                    properties: sidecar.properties,
                    data: Data::File(sidecar.data),
                };
                (sidecar.key, Arc::new(Mutex::new(Some(object))))
            });
            let bucket = Bucket {
                name: found.name.clone(),
                properties: Mutex::new(found.properties),
                objects: Mutex::new(objects.collect()),
            };
            buckets.insert(found.name, Arc::new(bucket));
        }
        Ok(Self {
            directory: Some(directory),
            buckets: Mutex::new(buckets),
            uploads: Uploads::default(),
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

    /// Lets another server use the directory.
    pub(super) fn unlock(&self) {
        if let Some(directory) = &self.directory {
            directory.unlock();
        }
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
        let mut buckets = self.buckets.locked();
        let existing = buckets.get(name).map(|bucket| bucket.properties());
        let created = existing.as_ref().map_or(now, |bucket| bucket.created);
        let existing_rules = existing.as_ref().map(|bucket| bucket.rules);
        let acl = acl
            .map(str::to_owned)
            .or(existing.map(|bucket| bucket.acl))
            .unwrap_or_else(|| "private".into());
        let rules = existing_rules.unwrap_or_default();
        let properties = BucketProperties {
            acl,
            created,
            rules,
        };
        if let Some(directory) = &self.directory {
            directory.create_bucket(name, &properties)?;
        }
        match buckets.get(name) {
            Some(bucket) => *bucket.properties.locked() = properties,
            None => {
                let bucket = Bucket {
                    name: name.to_owned(),
                    properties: Mutex::new(properties),
                    objects: Mutex::default(),
                };
                buckets.insert(name.to_owned(), Arc::new(bucket));
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

    /// Deletes a bucket; `false` if it has objects.
    pub(super) fn delete_bucket(&self, name: &str) -> io::Result<bool> {
        let mut buckets = self.buckets.locked();
        let Some(bucket) = buckets.get(name) else {
            return Ok(true);
        };
        if !bucket.list().is_empty() {
            return Ok(false);
        }
        if let Some(directory) = &self.directory {
            directory.delete_bucket(name)?;
        }
        buckets.remove(name);
        Ok(true)
    }

    /// Works on one object, existing or not, while nobody else does.
    pub(super) fn with_slot<T>(
        &self,
        bucket: &Bucket,
        key: &str,
        work: impl FnOnce(&mut Slot<'_>) -> T,
    ) -> T {
        let entry = Arc::clone(bucket.objects.locked().entry(key.to_owned()).or_default());
        let mut slot = Slot {
            directory: self.directory.as_ref(),
            bucket: &bucket.name,
            key,
            object: entry.locked(),
        };
        let result = work(&mut slot);
        let empty = slot.object.is_none();
        drop(slot);
        drop(entry);
        if empty {
            bucket.forget(key);
        }
        result
    }
}

impl Bucket {
    pub(super) fn properties(&self) -> BucketProperties {
        self.properties.locked().clone()
    }

    pub(super) fn rules(&self) -> BucketRules {
        self.properties.locked().rules
    }

    /// All objects, sorted by key.
    pub(super) fn list(&self) -> Vec<(String, Properties)> {
        let entries: Vec<_> = self
            .objects
            .locked()
            .iter()
            .map(|(key, entry)| (key.clone(), Arc::clone(entry)))
            .collect();
        entries
            .into_iter()
            .filter_map(|(key, entry)| {
                let object = entry.locked();
                Some((key, object.as_ref()?.properties.clone()))
            })
            .collect()
    }

    /// Drops the entry of an object that is not there, unless somebody is about to work on it.
    fn forget(&self, key: &str) {
        let mut objects = self.objects.locked();
        // Nobody can get hold of the entry while the map is locked.
        if let Some(entry) = objects.get(key)
            && Arc::strong_count(entry) == 1
            && entry.locked().is_none()
        {
            objects.remove(key);
        }
    }
}

/// The place of one object, locked.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    directory: Option<&'a Directory>,
    bucket: &'a str,
    key: &'a str,
    object: MutexGuard<'a, Option<Object>>,
}

impl Slot<'_> {
    pub(super) fn properties(&self) -> Option<&Properties> {
        self.object.as_ref().map(|object| &object.properties)
    }

    /// Puts a body behind the object's bytes and gives it `properties`. Makes the object if it is
    /// missing.
    pub(super) fn append(&mut self, body: Received, properties: Properties) -> io::Result<()> {
        let Some(directory) = self.directory else {
            let object = self.object.get_or_insert_with(|| Object {
                properties: properties.clone(),
                data: Data::Rope(Rope::default()),
            });
            object.properties = properties;
            return object.data.push(body);
        };
        let (name, offset) = match &*self.object {
            Some(Object {
                properties,
                data: Data::File(name),
            }) => (name.clone(), properties.length),
            _ => (Directory::new_data_name(self.key), 0),
        };
        directory.write(self.bucket, &name, offset, &body)?;
        self.commit(name, properties)
    }

    /// Makes the object anew from a body.
    pub(super) fn replace(&mut self, body: Received, properties: Properties) -> io::Result<()> {
        let Some(directory) = self.directory else {
            *self.object = None;
            return self.append(body, properties);
        };
        let name = Directory::new_data_name(self.key);
        directory.write(self.bucket, &name, 0, &body)?;
        let old = self.object.as_ref().map(Object::data_name);
        self.commit(name, properties)?;
        if let Some(Some(old)) = old {
            directory.remove_data(self.bucket, &old);
        }
        Ok(())
    }

    /// Gives the object other properties.
    pub(super) fn set_properties(&mut self, properties: Properties) -> io::Result<()> {
        match self.object.as_mut() {
            None => Ok(()),
            Some(object) => match object.data_name() {
                Some(name) => self.commit(name, properties),
                None => {
                    object.properties = properties;
                    Ok(())
                }
            },
        }
    }

    /// Removes the object, if it is there.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        if let (Some(directory), Some(object)) = (self.directory, &*self.object) {
            directory.remove(self.bucket, self.key)?;
            if let Some(name) = object.data_name() {
                directory.remove_data(self.bucket, &name);
            }
        }
        *self.object = None;
        Ok(())
    }

    /// The bytes of a range, which must lie within the object.
    pub(super) fn read(&self, range: Range<u64>) -> io::Result<Reading> {
        match (&*self.object, self.directory) {
            (Some(object), directory) => match (&object.data, directory) {
                (Data::File(name), Some(directory)) => Ok(Reading::File {
                    file: File::open(directory.data(self.bucket, name))?,
                    range,
                }),
                (Data::Rope(rope), _) => Ok(Reading::Pieces(rope.slice(range))),
                (Data::File(_), None) => Err(io::ErrorKind::NotFound.into()),
            },
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn commit(&mut self, data: String, properties: Properties) -> io::Result<()> {
        if let Some(directory) = self.directory {
            let sidecar = Sidecar {
                key: self.key.to_owned(),
                data,
                properties,
            };
            directory.commit(self.bucket, &sidecar)?;
            *self.object = Some(Object {
                properties: sidecar.properties,
                data: Data::File(sidecar.data),
            });
        }
        Ok(())
    }
}

impl Object {
    fn data_name(&self) -> Option<String> {
        match &self.data {
            Data::File(name) => Some(name.clone()),
            Data::Rope(_) => None,
        }
    }
}

impl Data {
    fn push(&mut self, body: Received) -> io::Result<()> {
        if let Self::Rope(rope) = self {
            match body.content {
                Content::Memory(pieces) => pieces.into_iter().for_each(|piece| rope.push(piece)),
                Content::File(_) => rope.push(body.into_bytes()?),
            }
        }
        Ok(())
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
