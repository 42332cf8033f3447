//! What is logged, and what is not.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, KeyedWriter, ObjectInfo, ObjectPath, Result,
};
use tracing::Level;

use super::{large, say};
use crate::support::bucket::SimBucket;
use crate::support::log::{Log, set_default};

/// Logs each request, as an HTTP client may.
struct Loud(SimBucket);

impl AppendStore for Loud {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        tracing::info!("append");
        self.0.append(request).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        tracing::info!("head");
        self.0.head(object).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.0.read_range(object, range).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.0.seal(object, position).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_keys_are_not_logged() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::TRACE));
    let bucket = SimBucket::new();
    let writer = KeyedWriter::builder(Loud(bucket.clone()), "bucket");
    let writer = writer.start().unwrap();
    say(&writer, "a", "x").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.requests(), 2);
    tracing::info!("seen");
    assert_eq!(log.text().lines().count(), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn dropping_undelivered_bytes_warns_once_for_all_keys() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::INFO));
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    for key in ["a", "b", "c"] {
        say(&writer, key, "12345").await;
    }
    drop(writer);
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("keys=3") && text.contains("bytes=15"),
        "{text}"
    );
}
