//! Many objects, each a [`SimStore`] of its own, and a wall clock that goes with tokio's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::BoxStream;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Error, KeyPage, ListedKey, ObjectInfo, ObjectPath,
    Result,
};
use tokio::time::Instant;

use super::store::{SimStore, service};

#[derive(Clone, Debug, Default)]
pub struct SimBucket {
    objects: Arc<Mutex<BTreeMap<String, SimStore>>>,
    listing: Arc<Mutex<Listing>>,
}

/// What is answered to a listing.
#[derive(Clone, Debug, Default)]
pub enum Listing {
    #[default]
    Works,
    Unsupported,
    Fails(Error),
}

/// Keys of one page of a listing.
const PAGE: usize = 3;

impl SimBucket {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn listing(&self, listing: Listing) -> &Self {
        *self.listing.lock().unwrap() = listing;
        self
    }

    pub fn forbid_listing(&self) -> &Self {
        self.listing(Listing::Fails(service(403, "AccessDenied")))
    }

    /// The object of this key, whether it exists or not.
    pub fn object(&self, key: &str) -> SimStore {
        let mut objects = self.objects.lock().unwrap();
        objects.entry(key.to_owned()).or_default().clone()
    }

    /// The objects that exist, in the order of their keys.
    pub fn objects(&self) -> Vec<(String, String)> {
        let objects = self.objects.lock().unwrap();
        objects
            .iter()
            .filter(|(_, object)| object.world().object.is_some())
            .map(|(key, object)| (key.clone(), object.text()))
            .collect()
    }

    /// The keys of the objects that exist.
    pub fn keys(&self) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects
            .iter()
            .filter(|(_, object)| object.world().object.is_some())
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The contents of all objects, in the order of their keys.
    pub fn texts(&self) -> Vec<String> {
        self.objects().into_iter().map(|(_, text)| text).collect()
    }

    /// Everything in the order of keys.
    pub fn text(&self) -> String {
        self.texts().concat()
    }

    /// The requests to all objects.
    pub fn requests(&self) -> usize {
        let objects = self.objects.lock().unwrap();
        objects.values().map(|object| object.ops().len()).sum()
    }
}

impl AppendStore for SimBucket {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        let object = self.object(request.object.key());
        object.append(request).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.object(object.key()).head(object).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.object(object.key()).read_range(object, range).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.object(object.key()).seal(object, position).await
    }

    async fn list(&self, _: &str, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        match self.listing.lock().unwrap().clone() {
            Listing::Works => {}
            Listing::Unsupported => return Ok(None),
            Listing::Fails(error) => return Err(error),
        }
        let objects = self.objects.lock().unwrap();
        let mut found = Vec::new();
        for (key, object) in objects.iter() {
            let behind = after.is_none_or(|after| key.as_str() > after);
            if let (true, Some(object)) =
                (behind && key.starts_with(prefix), &object.world().object)
            {
                let length = object.data.len() as u64;
                found.push(ListedKey::new(key.clone(), length, object.kind.clone()));
            }
        }
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let next = found.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Some(KeyPage::new(found, next)))
    }
}

/// A wall clock that goes with tokio's, and can be set.
#[derive(Clone, Debug)]
pub struct WallClock {
    /// The time that it shows at the beginning of tokio's.
    zero: Arc<Mutex<SystemTime>>,
    start: Instant,
}

impl WallClock {
    /// Shows `seconds` after 1970-01-01 now.
    pub fn at(seconds: u64) -> Self {
        Self {
            zero: Arc::new(Mutex::new(
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            )),
            start: Instant::now(),
        }
    }

    pub fn now(&self) -> SystemTime {
        *self.zero.lock().unwrap() + self.start.elapsed()
    }

    pub fn set_back(&self, by: Duration) {
        *self.zero.lock().unwrap() -= by;
    }

    pub fn set_ahead(&self, by: Duration) {
        *self.zero.lock().unwrap() += by;
    }
}
