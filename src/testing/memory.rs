//! A store in memory whose requests fail as told.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fault::{Answer, Apply, Fault};
use super::objects::{Arriving, Objects};
use crate::error::{Error, Result, TransportCause};
use crate::store::AppendStore;
use crate::store::ability::{Evidence, StoreLimits};
use crate::store::lane::Lane;
use crate::store::listing::KeyPage;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::info::ObjectInfo;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;

/// A store of appendable objects in memory that keeps the rules of OSS, and whose requests fail as
/// told. Clones share the objects.
///
/// ```
/// use oss_append::testing::MemoryStore;
/// use oss_append::{Evidence, StoreLimits};
///
/// // A store like some others: it has tags, and answers 412 to a wrong position.
/// let store = MemoryStore::new()
///     .with_evidence(Evidence::Tag)
///     .position_refusal(412, "PreconditionFailed")
///     .with_limits(StoreLimits::new().max_append(1 << 20));
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    limits: StoreLimits,
    evidence: Evidence,
}

struct Shared {
    objects: Objects,
    requests: Vec<MemoryRequest>,
    planned: VecDeque<(On, Fault)>,
    program: Option<Program>,
    late: Vec<Arriving>,
}

type Program = Box<dyn FnMut(&MemoryRequest) -> Option<Fault> + Send>;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum On {
    /// [`AppendStore::append`].
    Append,
    /// [`AppendStore::head`].
    Head,
    /// [`AppendStore::read_range`].
    Read,
    /// [`AppendStore::seal`].
    Seal,
    /// [`AppendStore::list`].
    List,
}

/// A request that a [`MemoryStore`] has received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryRequest {
    /// When it came, on tokio's clock.
    pub at: Instant,
    /// Its kind.
    pub on: On,
    /// The key, or the prefix of a listing.
    pub key: String,
    /// The range of the object that it is about: where an append begins and would end, what is read,
    /// the empty range at the length of a seal. Empty for a look and a listing.
    pub range: Range<u64>,
    /// Whether the append may create the object.
    pub creates: bool,
}

impl MemoryStore {
    /// An empty store. Every bucket exists, and its answers name the CRC-64 and a tag.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                objects: Objects::new(),
                requests: Vec::new(),
                planned: VecDeque::new(),
                program: None,
                late: Vec::new(),
            })),
            limits: StoreLimits::default(),
            evidence: Evidence::default(),
        }
    }

    /// Sets what its answers prove: a tag alone, or only the length. Default: the CRC-64.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self.lock().objects.evidence = evidence;
        self
    }

    /// Sets the limits that it tells. It does not enforce them. Default: none.
    #[must_use]
    pub fn with_limits(mut self, limits: StoreLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets this bucket exist, and others no longer, except for those that were named here. Default:
    /// every bucket exists.
    #[must_use]
    pub fn bucket(self, name: impl Into<String>) -> Self {
        self.lock().objects.buckets.insert(name.into());
        self
    }

    /// Sets status and code of the answer to a wrong position. Default: 409
    /// `PositionNotEqualToLength`, as OSS.
    #[must_use]
    pub fn position_refusal(self, status: u16, code: impl Into<String>) -> Self {
        self.lock().objects.mismatch = (status, code.into());
        self
    }

    /// Sets how many keys a page of a listing has. Default: 1000.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn page_size(self, keys: usize) -> Self {
        assert!(keys > 0, "a page has keys");
        self.lock().objects.page = keys;
        self
    }

    /// What is to go wrong with the next request of this kind for which nothing was told before.
    pub fn fail_next(&self, on: On, fault: Fault) -> &Self {
        self.lock().planned.push_back((on, fault));
        self
    }

    /// Asks `program` about every request for which nothing is told by
    /// [`fail_next`](Self::fail_next). It must not call this store.
    pub fn fail_by(
        &self,
        program: impl FnMut(&MemoryRequest) -> Option<Fault> + Send + 'static,
    ) -> &Self {
        self.lock().program = Some(Box::new(program));
        self
    }

    /// Lets the appends arrive that were [late](Fault::late), in their order. Those whose position is
    /// wrong by now change nothing.
    pub fn land_late(&self) {
        let mut shared = self.lock();
        for arriving in std::mem::take(&mut shared.late) {
            let _ = shared.objects.append(&arriving);
        }
    }

    /// Somebody else appends to the object, or creates it.
    pub fn grow(&self, object: &ObjectPath, bytes: impl AsRef<[u8]>) {
        self.lock().objects.grow(object, bytes.as_ref(), None);
    }

    /// Somebody else puts an object there that takes no appends.
    pub fn put(&self, object: &ObjectPath, bytes: impl AsRef<[u8]>) {
        self.lock().objects.put(object, bytes.as_ref());
    }

    /// Somebody else removes the object.
    pub fn remove(&self, object: &ObjectPath) {
        self.lock().objects.remove(object);
    }

    /// The object's content, if there is one.
    pub fn content(&self, object: &ObjectPath) -> Option<Bytes> {
        let shared = self.lock();
        shared.objects.content(object).map(Bytes::copy_from_slice)
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<MemoryRequest> {
        self.lock().requests.clone()
    }

    /// How many requests of this kind have come.
    pub fn count(&self, on: On) -> usize {
        let shared = self.lock();
        let requests = shared.requests.iter();
        requests.filter(|request| request.on == on).count()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.locked()
    }

    /// Notes a request, waits as told, and says what goes wrong with it.
    async fn receive(&self, on: On, key: &str, range: Range<u64>, creates: bool) -> Fault {
        let request = MemoryRequest {
            at: Instant::now(),
            on,
            key: key.to_owned(),
            range,
            creates,
        };
        let fault = {
            let mut shared = self.lock();
            let planned = shared.planned.iter().position(|(kind, _)| *kind == on);
            let fault = match planned.and_then(|place| shared.planned.remove(place)) {
                Some((_, fault)) => Some(fault),
                None => shared
                    .program
                    .as_mut()
                    .and_then(|program| program(&request)),
            };
            shared.requests.push(request);
            fault.unwrap_or_else(Fault::none)
        };
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        fault
    }

    async fn receive_append(&self, request: &AppendRequest) -> Fault {
        let range = request.position..request.position.saturating_add(request.body.len());
        let creates = request.create.is_some();
        let key = request.object.key();
        self.receive(On::Append, key, range, creates).await
    }

    fn carry_out(&self, request: &AppendRequest, fault: &Fault) -> Result<AppendAnswer> {
        for chunk in request.body.chunks() {
            request.progress.advance(chunk.len() as u64);
        }
        self.lock().append(request, fault)
    }

    /// Does what is left of a request that changes nothing.
    async fn look<T>(
        &self,
        fault: Fault,
        path: Option<&ObjectPath>,
        look: impl FnOnce(&Objects) -> Result<T>,
    ) -> Result<T> {
        let looked = {
            let mut shared = self.lock();
            if let (Some(path), Some(bytes)) = (path, &fault.foreign) {
                shared.objects.grow(path, bytes, None);
            }
            look(&shared.objects)
        };
        answer(fault, looked).await
    }
}

/// What is answered in place of what is true.
async fn answer<T>(fault: Fault, truth: Result<T>) -> Result<T> {
    if !fault.slow_answer.is_zero() {
        tokio::time::sleep(fault.slow_answer).await;
    }
    match fault.answer {
        Answer::True => truth,
        Answer::Error(error) => Err(error),
        Answer::Never => pending().await,
        Answer::Panic => panic!("the store was told to panic"),
    }
}

impl Shared {
    /// Applies an append as far as it is to be.
    fn append(&mut self, request: &AppendRequest, fault: &Fault) -> Result<AppendAnswer> {
        if let Some(bytes) = &fault.foreign {
            self.objects.grow(&request.object, bytes, None);
        }
        let len = match fault.apply {
            Apply::Whole | Apply::Late => usize::MAX,
            Apply::Prefix(len) => len,
            Apply::Nothing => return Ok(AppendAnswer::default()),
        };
        let arriving = Arriving::of(request, len);
        if fault.apply == Apply::Late {
            self.late.push(arriving);
            return Ok(AppendAnswer::default());
        }
        let mut answer = self.objects.append(&arriving)?;
        answer.delay = fault.asks_to_wait;
        if fault.wrong_crc {
            answer.crc64 = answer.crc64.map(|crc| !crc);
        }
        if fault.without_evidence {
            (answer.crc64, answer.etag) = (None, None);
        }
        Ok(answer)
    }
}

/// Each append is carried out when the one before it has been.
struct MemoryLane {
    store: MemoryStore,
    /// Whether the last append that was sent has left the lane whole.
    before: Option<oneshot::Receiver<bool>>,
}

impl Lane for MemoryLane {
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>> {
        let store = self.store.clone();
        let (done, behind) = oneshot::channel();
        let before = self.before.replace(behind);
        Box::pin(async move {
            let fault = store.receive_append(&request).await;
            if let Some(before) = before
                && before.await != Ok(true)
            {
                let _ = done.send(false);
                let reason = "the lane ended before this append";
                return Err(Error::transport(TransportCause::Broken, reason));
            }
            let appended = store.carry_out(&request, &fault);
            let _ = done.send(match &fault.answer {
                Answer::True => true,
                Answer::Error(error) => error.service_error().is_some(),
                Answer::Never | Answer::Panic => false,
            });
            answer(fault, appended).await
        })
    }
}

impl AppendStore for MemoryStore {
    fn lane(&self, _: &ObjectPath) -> Option<Box<dyn Lane>> {
        Some(Box::new(MemoryLane {
            store: self.clone(),
            before: None,
        }))
    }

    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        let fault = self.receive_append(&request).await;
        let appended = self.carry_out(&request, &fault);
        answer(fault, appended).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let fault = self.receive(On::Head, object.key(), 0..0, false).await;
        self.look(fault, Some(object), |objects| objects.head(object))
            .await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let asked = range.clone();
        let fault = self.receive(On::Read, object.key(), asked, false).await;
        let read = self.look(fault, Some(object), |objects| objects.read(object, range));
        let bytes = read.await?;
        // In small pieces that agree with nobody's batches.
        let pieces = bytes.chunks(PIECE).map(Bytes::copy_from_slice);
        let pieces: Vec<_> = pieces.map(Ok).collect();
        Ok(stream::iter(pieces).boxed())
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        let range = position..position;
        let fault = self.receive(On::Seal, object.key(), range, false).await;
        let sealed = {
            let mut shared = self.lock();
            if let Some(bytes) = &fault.foreign {
                shared.objects.grow(object, bytes, None);
            }
            match fault.apply {
                Apply::Whole => shared.objects.seal(object, position),
                _ => Ok(()),
            }
        };
        answer(fault, sealed).await
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Option<KeyPage>> {
        let fault = self.receive(On::List, prefix, 0..0, false).await;
        let listed = self.look(fault, None, |objects| objects.list(bucket, prefix, after));
        listed.await.map(Some)
    }

    fn limits(&self) -> StoreLimits {
        self.limits
    }

    fn evidence(&self) -> Evidence {
        self.evidence
    }
}

/// The bytes of a piece of what is read.
const PIECE: usize = 4093;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("limits", &self.limits)
            .field("evidence", &self.evidence)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::writer::OssAppendWriter;

    /// Its primitives are not those of a release here, see the module `writer::sync`.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_writer_works_in_unit_tests() {
        let object = ObjectPath::new("bucket", "object").unwrap();
        let store = MemoryStore::new();
        let builder = OssAppendWriter::builder(store.clone(), object.clone());
        let builder = builder.batch_size(2).max_append_size(4).buffer_capacity(16);
        let mut writer = builder.open().await.unwrap();
        let mut other = writer.clone();
        let other = tokio::spawn(async move { other.write_all(&[b'a'; 100]).await });
        writer.write_all(&[b'b'; 100]).await.unwrap();
        other.await.unwrap().unwrap();
        writer.shutdown().await.unwrap();
        let content = store.content(&object).unwrap();
        let of = |byte| content.iter().filter(|found| **found == byte).count();
        assert_eq!((content.len(), of(b'a'), of(b'b')), (200, 100, 100));
    }
}
