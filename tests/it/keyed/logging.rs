//! What is logged, and what is not.

use oss_append::KeyedWriter;
use oss_append::testing::MemoryStore;
use tracing::Level;

use super::{large, say};
use crate::support::bucket::SimBucket;
use crate::support::log::{Log, set_default};

/// Logs each request, as an HTTP client may.
fn loud() -> MemoryStore {
    let store = MemoryStore::new();
    store.fail_by(|request| {
        tracing::info!("{:?}", request.on);
        None
    });
    store
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_keys_are_not_logged() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::TRACE));
    let store = loud();
    let writer = KeyedWriter::builder(store.clone(), "bucket");
    let writer = writer.start().unwrap();
    say(&writer, "a", "x").await;
    writer.shutdown().await.unwrap();
    assert_eq!(store.requests().len(), 2);
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

#[tokio::test(start_paused = true)]
async fn a_program_that_keeps_waiting_in_small_flushes_is_told_of_it_once_for_all_keys() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(Level::WARN));
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    for _ in 0..200 {
        say(&writer, "a", "12345").await;
        say(&writer, "b", "12345").await;
        writer.flush().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    let text = log.text();
    let told = text.matches("WARN oss_append::flush: ").count();
    assert_eq!(told, 1, "{text}");
}
