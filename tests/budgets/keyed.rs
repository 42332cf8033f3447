//! What keys of a keyed writer cost: those that are open and idle little, those that are closed
//! nothing.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Error, KeyedWriter, KeyedWriterBuilder, ObjectInfo,
    ObjectPath, Result, ServiceError,
};

use crate::ALONE;
use crate::allocated::allocated;

/// Takes everything for new objects and remembers nothing.
struct Nowhere;

impl AppendStore for Nowhere {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        tokio::task::yield_now().await;
        if request.object.key().starts_with("refused/") {
            return Err(Error::service(refusal()));
        }
        let end = request.position + request.body.len();
        let mut answer = AppendAnswer::new(end, request.body.crc64());
        if request.position > 0 {
            answer.crc64 = None;
        }
        Ok(answer)
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        Ok(None)
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        _: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        Ok(stream::empty().boxed())
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        Ok(())
    }
}

/// As long as they are.
fn refusal() -> ServiceError {
    let mut refusal = ServiceError::new(403, "AccessDenied");
    refusal.message = "The bucket you are attempting to access is not yours to write to.".into();
    refusal.request_id = Some("5C3D9175B6FC201293AD4890".into());
    refusal.host_id = Some("my-bucket.oss-cn-hangzhou.aliyuncs.com".into());
    refusal.ec = Some("0003-00000001".into());
    refusal
}

const KEYS: usize = 3_000;

/// The most bytes that a failed key may cost.
const MOST_FAILED: usize = 1024;

/// The most bytes that an open and idle key may cost.
const MOST: usize = 4096;

async fn measure(name: &str, builder: KeyedWriterBuilder<Nowhere>) {
    let writer = builder
        .max_open(KEYS)
        .idle_timeout(Duration::from_secs(60))
        .start()
        .unwrap();
    // The queues of the runtime keep the size that the first round gives them.
    round(&writer).await;
    let before = allocated();
    let (gathering, idle) = round(&writer).await;
    let left = allocated().saturating_sub(before);
    println!("{name}: {gathering} bytes for a key that gathers, {idle} idle; {left} left of all");
    assert!(idle <= MOST, "{idle} bytes for an idle key");
    assert!(left <= KEYS, "{left} bytes for {KEYS} closed keys");
    writer.shutdown().await.unwrap();
}

/// Opens all keys and closes them, and tells what one costs while it gathers and while it is idle.
async fn round(writer: &KeyedWriter) -> (usize, usize) {
    let before = allocated();
    for number in 0..KEYS {
        let key = format!("tenants/{number:08}/events.log");
        let _ = writer.write(&key, "one record\n".into()).await.unwrap();
    }
    let gathering = (allocated() - before) / KEYS;
    writer.sync().await.unwrap();
    assert_eq!(writer.stats().idle, KEYS);
    let idle = (allocated() - before) / KEYS;
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(writer.stats().open, 0);
    (gathering, idle)
}

/// What keys cost that have failed, until they are forgiven.
async fn measure_failed() {
    let writer = KeyedWriter::builder(Nowhere, "bucket")
        .max_open(100)
        .start();
    let writer = writer.unwrap();
    // The tables keep the size that the first round gives them.
    fail_all(&writer).await;
    let before = allocated();
    fail_all(&writer).await;
    let left = allocated().saturating_sub(before);
    assert!(
        left <= KEYS,
        "{left} bytes for {KEYS} keys that were forgiven"
    );
    let before = allocated();
    fail(&writer).await;
    let failed = (allocated() - before) / KEYS;
    println!("{failed} bytes for a failed key; {left} left of all");
    assert!(failed <= MOST_FAILED, "{failed} bytes for a failed key");
}

async fn fail(writer: &KeyedWriter) {
    for number in 0..KEYS {
        let key = format!("refused/{number:08}/events.log");
        let _ = writer.write(&key, "one record\n".into()).await.unwrap();
    }
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.keys().len(), KEYS);
    drop(error);
    // Until the last worker has ended.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.stats().open, 0);
}

async fn fail_all(writer: &KeyedWriter) {
    fail(writer).await;
    for (key, _) in writer.failed_keys() {
        writer.forgive(&key).unwrap();
    }
}

#[test]
fn an_idle_key_is_small_and_a_closed_or_failed_one_hardly_anything() {
    let _alone = ALONE.blocking_lock();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        measure("an object each", KeyedWriter::builder(Nowhere, "bucket")).await;
        let rolling = KeyedWriter::builder(Nowhere, "bucket")
            .objects(|key| format!("{key}-{{seq}}"))
            .rolling(|_, rolling| rolling.roll_size(1 << 30));
        measure("a sequence each", rolling).await;
        measure_failed().await;
    });
}
