//! Records for many objects by their keys: where they go, what is open, what is in memory, and what
//! fails.

mod extremes;
mod failures;
mod fields;
mod limits;
mod logging;
mod property;
mod records;
mod routing;
mod scale;
mod threads;
mod trouble;

use std::time::Duration;

use oss_append::{KeyedWriter, KeyedWriterBuilder, Receipt, Written};

use crate::support::bucket::SimBucket;

/// Far longer than anything here takes.
const HANGS: Duration = Duration::from_secs(100_000);

/// A writer to `bucket` that appends 20 bytes at a time, 50 at most.
fn keyed(bucket: &SimBucket) -> KeyedWriterBuilder<SimBucket> {
    KeyedWriter::builder(bucket.clone(), "bucket").writer(|_, writer| {
        writer
            .batch_size(20)
            .max_append_size(50)
            .buffer_capacity(100)
    })
}

/// With the sizes that a key has unless asked otherwise.
fn large(bucket: &SimBucket) -> KeyedWriterBuilder<SimBucket> {
    KeyedWriter::builder(bucket.clone(), "bucket")
}

async fn put(writer: &KeyedWriter, key: &str, record: &str) -> Receipt {
    let written = writer.write(key, record.to_owned().into());
    let written = tokio::time::timeout(HANGS, written).await;
    written.expect("it does not hang").unwrap()
}

/// The same, for who does not ask when it is durable.
async fn say(writer: &KeyedWriter, key: &str, record: &str) {
    drop(put(writer, key, record).await);
}

/// What a receipt points to.
fn found(bucket: &SimBucket, written: &Written) -> String {
    let content = bucket.object(written.object.key()).content();
    let range = written.range.start as usize..written.range.end as usize;
    String::from_utf8(content[range].to_vec()).unwrap()
}

/// The counts add up.
fn check(writer: &KeyedWriter) {
    let stats = writer.stats();
    assert_eq!(
        stats.accepted,
        stats.durable + stats.buffered + stats.failed,
        "{stats:?}"
    );
    assert!(
        stats.idle <= stats.open && stats.closing <= stats.open,
        "{stats:?}"
    );
}
