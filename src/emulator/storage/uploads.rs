//! Multipart uploads that are not finished. Their parts are in memory, or in the spool of the directory:
//! they end with the server.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::emulator::body::Received;
use crate::emulator::object::Attributes;
use crate::values::locks::MutexExt;

/// All uploads, by bucket, key and id.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Uploads {
    all: Mutex<BTreeMap<Name, Arc<Upload>>>,
}

/// What an upload is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::emulator) struct Name {
    pub(in crate::emulator) bucket: String,
    pub(in crate::emulator) key: String,
    pub(in crate::emulator) id: String,
}

/// An upload under way.
#[derive(Debug)]
pub(in crate::emulator) struct Upload {
    pub(in crate::emulator) attributes: Attributes,
    pub(in crate::emulator) initiated: Timestamp,
    /// By their numbers. `None` once it has been completed or aborted.
    parts: Mutex<Option<BTreeMap<u16, Part>>>,
}

/// A part of an upload.
#[derive(Debug)]
pub(in crate::emulator) struct Part {
    pub(in crate::emulator) body: Received,
    /// Without quotes.
    pub(in crate::emulator) etag: String,
    pub(in crate::emulator) modified: Timestamp,
}

impl Uploads {
    /// Begins an upload.
    pub(in crate::emulator) fn begin(&self, name: Name, attributes: Attributes, now: Timestamp) {
        let upload = Upload {
            attributes,
            initiated: now,
            parts: Mutex::new(Some(BTreeMap::new())),
        };
        self.all.locked().insert(name, Arc::new(upload));
    }

    pub(in crate::emulator) fn get(&self, name: &Name) -> Option<Arc<Upload>> {
        self.all.locked().get(name).cloned()
    }

    /// Ends an upload. Whether there was one.
    pub(in crate::emulator) fn end(&self, name: &Name) -> bool {
        let Some(upload) = self.all.locked().remove(name) else {
            return false;
        };
        upload.parts.locked().take().is_some()
    }

    /// The uploads of a bucket behind a key and an id, in their order.
    pub(in crate::emulator) fn after(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Vec<(Name, Timestamp)> {
        let from = Name {
            bucket: bucket.into(),
            key: key.into(),
            id: id.into(),
        };
        let all = self.all.locked();
        let behind = all.range((Bound::Excluded(from), Bound::Unbounded));
        let own = behind.take_while(|(name, _)| name.bucket == bucket);
        own.map(|(name, upload)| (name.clone(), upload.initiated))
            .collect()
    }
}

impl Upload {
    /// Puts a part in its place. Whether the upload was still there.
    pub(in crate::emulator) fn put(&self, number: u16, part: Part) -> bool {
        match &mut *self.parts.locked() {
            Some(parts) => {
                parts.insert(number, part);
                true
            }
            None => false,
        }
    }

    /// Works on the parts, unless the upload has ended.
    pub(in crate::emulator) fn with_parts<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<u16, Part>) -> T,
    ) -> Option<T> {
        self.parts.locked().as_mut().map(work)
    }
}
