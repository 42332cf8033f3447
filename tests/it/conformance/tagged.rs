//! A store of another kind than OSS: an append is a write at an offset on a condition, which answers
//! 412 if the offset is not the object's end, and all that answers and looks prove is a tag.
//!
//! It shows what such a store has to do for [`AppendStore`], and is run by the suite.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use oss_append::testing::Conformance;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Backoff, Error, Evidence, KeyPage, ListedKey,
    ObjectInfo, ObjectKind, ObjectPath, OssAppendWriter, Refusal, Result, ServiceError,
    StoreLimits, TransportCause,
};

use crate::support::{MS, object};

/// The most writes to an object, and the most bytes of one.
const MAX_APPENDS: u64 = 10_000;
const MAX_APPEND: u64 = 4 << 20;

#[derive(Clone, Default)]
struct Tagged {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    objects: BTreeMap<String, Stored>,
    changes: u64,
    appends: u32,
    looks: u32,
    reads: u32,
    /// Every so many appends, one is applied and its answer lost, and the next lost before that.
    loses_every: Option<u32>,
}

#[derive(Default)]
struct Stored {
    bytes: Vec<u8>,
    tag: String,
    appends: u64,
}

/// An error answer in the words of this store.
fn refused(status: u16, code: &str, refusal: Refusal) -> Error {
    Error::service(ServiceError::new(status, code).with_refusal(refusal))
}

fn lost() -> Error {
    Error::transport(TransportCause::Broken, "connection reset")
}

fn no_such_key() -> Error {
    refused(404, "KeyNotFound", Refusal::NoSuchObject)
}

impl World {
    /// A write at `offset` on the condition that the object ends there.
    fn write(&mut self, key: &str, offset: u64, body: &[Bytes]) -> Result<AppendAnswer> {
        let end = self
            .objects
            .get(key)
            .map_or(0, |found| found.bytes.len() as u64);
        if offset != end {
            return Err(refused(412, "PreconditionFailed", Refusal::Position));
        }
        self.changes += 1;
        let stored = self.objects.entry(key.to_owned()).or_default();
        stored.bytes.extend(body.iter().flatten());
        stored.tag = format!("v{}", self.changes);
        stored.appends += 1;
        let mut answer = AppendAnswer::default();
        answer.next_position = Some(stored.bytes.len() as u64);
        answer.etag = Some(stored.tag.clone());
        Ok(answer)
    }
}

impl AppendStore for Tagged {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        let mut world = self.world.lock().unwrap();
        world.appends += 1;
        let turn = world.loses_every.map_or(2, |every| world.appends % every);
        request.progress.advance(request.body.len().max(1));
        if turn == 1 {
            return Err(lost());
        }
        let key = request.object.key();
        let written = world.write(key, request.position, request.body.chunks());
        match turn {
            0 => Err(lost()),
            _ => written,
        }
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let mut world = self.world.lock().unwrap();
        world.looks += 1;
        Ok(world.objects.get(object.key()).map(|found| {
            let mut info = ObjectInfo::appendable(found.bytes.len() as u64, None);
            info.etag = Some(found.tag.clone());
            info.appends = Some(found.appends);
            info
        }))
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut world = self.world.lock().unwrap();
        world.reads += 1;
        let found = world.objects.get(object.key()).ok_or_else(no_such_key)?;
        let end = found.bytes.len().min(range.end as usize);
        let part = found.bytes.get(range.start as usize..end);
        let part = Bytes::copy_from_slice(part.unwrap_or_default());
        Ok(stream::iter([Ok(part)]).boxed())
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        Err(refused(501, "NotSupported", Refusal::Other))
    }

    async fn list(&self, _: &str, prefix: &str, after: Option<&str>) -> Result<Option<KeyPage>> {
        let world = self.world.lock().unwrap();
        let found = world.objects.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        let found = found.map(|(key, stored)| {
            ListedKey::new(key, stored.bytes.len() as u64, ObjectKind::Appendable)
        });
        Ok(Some(KeyPage::new(found.collect(), None)))
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits::new()
            .max_append(MAX_APPEND)
            .max_appends(MAX_APPENDS)
    }

    fn evidence(&self) -> Evidence {
        Evidence::Tag
    }
}

#[tokio::test]
async fn a_store_with_tags_that_answers_412_keeps_the_contract() {
    let suite = Conformance::new("bucket", "suite/").seals(false);
    suite.run(&Tagged::default()).await.assert_passed();
}

/// Writes `lines` lines, each in an append of its own, and checks what is stored.
async fn write_lines(store: &Tagged, lines: u32) {
    let mut writer = OssAppendWriter::builder(store.clone(), object())
        .backoff(Backoff::new(MS, 10 * MS))
        .open()
        .await
        .unwrap();
    let mut expected = String::new();
    for number in 0..lines {
        let line = format!("line {number}\n");
        writer.write_all(line.as_bytes()).await.unwrap();
        writer.sync().await.unwrap();
        expected.push_str(&line);
    }
    writer.shutdown().await.unwrap();
    let world = store.world.lock().unwrap();
    let stored = &world.objects[object().key()];
    assert_eq!(String::from_utf8_lossy(&stored.bytes), expected);
}

#[tokio::test(start_paused = true)]
async fn an_append_costs_one_request_while_answers_arrive() {
    let store = Tagged::default();
    write_lines(&store, 100).await;
    let world = store.world.lock().unwrap();
    assert_eq!((world.appends, world.looks, world.reads), (100, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn every_byte_is_there_once_although_answers_and_requests_are_lost() {
    let store = Tagged::default();
    store.world.lock().unwrap().loses_every = Some(3);
    write_lines(&store, 100).await;
    let world = store.world.lock().unwrap();
    assert!(world.appends > 120, "{}", world.appends);
    // A look for each that was lost, and one at the beginning; a read for each that was applied.
    let lost_before = world.appends.div_ceil(3);
    let lost_after = world.appends / 3;
    assert_eq!(world.looks, 1 + lost_before + lost_after);
    assert_eq!(world.reads, lost_after);
}
