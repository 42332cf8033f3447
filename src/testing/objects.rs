//! The objects of a [`MemoryStore`](super::MemoryStore), and the rules of OSS by which they change.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Refusal, Result, ServiceError};
use crate::store::ability::Evidence;
use crate::store::listing::{KeyPage, ListedKey};
use crate::store::options::ObjectOptions;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::crc64;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::path::ObjectPath;

#[derive(Debug)]
pub(super) struct Objects {
    /// If there is one, these are all buckets that exist.
    pub(super) buckets: BTreeSet<String>,
    pub(super) evidence: Evidence,
    /// The status and code of a wrong position.
    pub(super) mismatch: (u16, String),
    pub(super) page: usize,
    objects: BTreeMap<(String, String), Object>,
    /// Counts changes of content, for tags.
    changes: u64,
}

#[derive(Clone, Debug)]
struct Object {
    data: Vec<u8>,
    info: ObjectInfo,
}

/// An append without what only a request needs.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    object: ObjectPath,
    position: u64,
    body: Bytes,
    create: Option<Arc<ObjectOptions>>,
}

impl Arriving {
    /// The first `len` bytes of it.
    pub(super) fn of(request: &AppendRequest, len: usize) -> Self {
        let mut body = Bytes::from(request.body.chunks().concat());
        body.truncate(len);
        Self {
            object: request.object.clone(),
            position: request.position,
            body,
            create: request.create.clone(),
        }
    }
}

impl Objects {
    pub(super) fn new() -> Self {
        Self {
            buckets: BTreeSet::new(),
            evidence: Evidence::default(),
            mismatch: (409, "PositionNotEqualToLength".into()),
            page: 1000,
            objects: BTreeMap::new(),
            changes: 0,
        }
    }

    pub(super) fn append(&mut self, arriving: &Arriving) -> Result<AppendAnswer> {
        let found = self.find(&arriving.object)?;
        if let Some(object) = found {
            if let ObjectKind::Other(_) = object.info.kind {
                return Err(refused(409, "ObjectNotAppendable"));
            }
            if object.info.sealed {
                return Err(refused(400, "AppendSealedObjectNotAllowed"));
            }
        }
        let length = found.map_or(0, |object| object.info.length);
        if length != arriving.position {
            return Err(self.wrong_position(length));
        }
        let create = arriving.create.as_deref();
        self.grow(&arriving.object, &arriving.body, create);
        let info = self.find(&arriving.object)?.map(|object| &object.info);
        let Some(info) = info else {
            return Err(refused(404, "NoSuchKey"));
        };
        Ok(AppendAnswer {
            next_position: Some(info.length),
            crc64: info.crc64,
            etag: info.etag.clone(),
            ..AppendAnswer::default()
        })
    }

    /// Appends, whatever the object is.
    pub(super) fn grow(&mut self, path: &ObjectPath, bytes: &[u8], create: Option<&ObjectOptions>) {
        let tag = self.next_tag();
        let evidence = self.evidence;
        let object = self.objects.entry(key(path)).or_insert_with(|| Object {
            data: Vec::new(),
            info: ObjectInfo {
                creator: create.and_then(ObjectOptions::creator).map(str::to_owned),
                appends: Some(0),
                properties: create.map(|create| Box::new(create.as_seen())),
                ..ObjectInfo::appendable(0, None)
            },
        });
        object.data.extend_from_slice(bytes);
        object.info.appends = object.info.appends.map(|appends| appends + 1);
        object.changed(tag, evidence);
    }

    /// Puts an object in its place that takes no appends.
    pub(super) fn put(&mut self, path: &ObjectPath, bytes: &[u8]) {
        let mut info = ObjectInfo::appendable(0, None);
        info.kind = ObjectKind::Other("Normal".into());
        let data = bytes.to_vec();
        let mut object = Object { data, info };
        object.changed(self.next_tag(), self.evidence);
        self.objects.insert(key(path), object);
    }

    pub(super) fn remove(&mut self, path: &ObjectPath) {
        self.objects.remove(&key(path));
    }

    pub(super) fn content(&self, path: &ObjectPath) -> Option<&[u8]> {
        self.objects.get(&key(path)).map(|object| &*object.data)
    }

    pub(super) fn head(&self, path: &ObjectPath) -> Result<Option<ObjectInfo>> {
        Ok(self.find(path)?.map(|object| object.info.clone()))
    }

    pub(super) fn read(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>> {
        let Some(object) = self.find(path)? else {
            return Err(refused(404, "NoSuchKey"));
        };
        let place = |position| usize::try_from(position).unwrap_or(usize::MAX);
        let end = place(range.end).min(object.data.len());
        let part = object.data.get(place(range.start)..end);
        Ok(part.unwrap_or_default().to_vec())
    }

    pub(super) fn seal(&mut self, path: &ObjectPath, position: u64) -> Result<()> {
        let Some(object) = self.find(path)? else {
            return Err(refused(404, "NoSuchKey"));
        };
        if let ObjectKind::Other(_) = object.info.kind {
            return Err(refused(409, "ObjectNotAppendable"));
        }
        if object.info.length != position {
            return Err(self.wrong_position(object.info.length));
        }
        if let Some(object) = self.objects.get_mut(&key(path)) {
            object.info.sealed = true;
        }
        Ok(())
    }

    pub(super) fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<KeyPage> {
        self.check_bucket(bucket)?;
        let mut found = self.objects.iter().filter(|((place, key), _)| {
            place == bucket && key.starts_with(prefix) && after.is_none_or(|after| &**key > after)
        });
        let page = found.by_ref().take(self.page);
        let page: Vec<_> = page
            .map(|((_, key), object)| {
                ListedKey::new(key, object.info.length, object.info.kind.clone())
            })
            .collect();
        let more = found.next().is_some();
        let last = page.last().map(|last| last.key.clone());
        Ok(KeyPage::new(page, last.filter(|_| more)))
    }

    fn find(&self, path: &ObjectPath) -> Result<Option<&Object>> {
        self.check_bucket(path.bucket())?;
        Ok(self.objects.get(&key(path)))
    }

    fn check_bucket(&self, bucket: &str) -> Result<()> {
        match self.buckets.is_empty() || self.buckets.contains(bucket) {
            true => Ok(()),
            false => Err(refused(404, "NoSuchBucket")),
        }
    }

    fn wrong_position(&self, length: u64) -> Error {
        let (status, code) = &self.mismatch;
        let mut answer = ServiceError::new(*status, code).with_refusal(Refusal::Position);
        answer.next_append_position = Some(length);
        Error::service(answer)
    }

    fn next_tag(&mut self) -> String {
        self.changes += 1;
        format!("\"{:016X}\"", self.changes)
    }
}

impl Object {
    /// Its content has changed.
    fn changed(&mut self, tag: String, evidence: Evidence) {
        self.info.length = self.data.len() as u64;
        self.info.crc64 = (evidence == Evidence::Crc64).then(|| crc64::checksum(&self.data));
        self.info.etag = (evidence != Evidence::Length).then_some(tag);
    }
}

fn key(path: &ObjectPath) -> (String, String) {
    (path.bucket().to_owned(), path.key().to_owned())
}

fn refused(status: u16, code: &str) -> Error {
    Error::service(ServiceError::new(status, code))
}
