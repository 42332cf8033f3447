//! The checkpoint: how far the object is proven, and with which checksum.

mod support;

use oss_append::{Checkpoint, crc64};
use support::store::{Fault, SimStore};
use support::{appender, writer};
use tokio::io::AsyncWriteExt;

fn of(content: &str) -> Checkpoint {
    Checkpoint::new(content.len() as u64).crc64(crc64::checksum(content.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_covers_the_whole_object_from_its_opening_on() {
    let store = SimStore::new();
    let untouched = writer(&store).open().await.unwrap();
    assert_eq!(untouched.checkpoint(), Checkpoint::START);

    let store = SimStore::holding("before ");
    let mut writer = writer(&store).open().await.unwrap();
    assert_eq!(writer.checkpoint(), of("before "));
    writer.write_all(b"after").await.unwrap();
    assert_eq!(writer.checkpoint(), of("before "), "nothing new is durable");
    writer.shutdown().await.unwrap();
    assert_eq!(writer.checkpoint(), of("before after"));
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_of_a_failed_writer_is_what_was_proven() {
    let store = SimStore::holding("before ");
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"after").await.unwrap();
    writer.sync().await.unwrap();
    store.foreign("theirs");
    writer.write_all(b" lost").await.unwrap();
    writer.shutdown().await.unwrap_err();
    assert_eq!(writer.checkpoint(), of("before after"));
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_of_a_shared_object_counts_what_others_appended() {
    let store = SimStore::holding("before ");
    let mut writer = writer(&store).shared(true).open().await.unwrap();
    store.foreign("theirs ");
    writer.write_all(b"ours").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(writer.checkpoint(), of("before theirs ours"));
    assert_eq!(writer.durable_position(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_no_checksum_before_its_comparison_is_complete() {
    let store = SimStore::holding("compared and more");
    let mut writer = writer(&store)
        .replay(Checkpoint::START)
        .batch_size(4)
        .open()
        .await
        .unwrap();
    writer.write_all(b"compared").await.unwrap();
    while writer.stats().compared == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(writer.checkpoint(), Checkpoint::START);
    writer.sync().await.unwrap();
    assert_eq!(writer.checkpoint(), of("compared"), "read back");
    writer.write_all(b" and more").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(writer.checkpoint(), of("compared and more"));
}

#[tokio::test(start_paused = true)]
async fn a_later_replay_goes_on_from_the_checkpoint() {
    let store = SimStore::new();
    let mut first = writer(&store).open().await.unwrap();
    first.write_all(b"durable").await.unwrap();
    first.sync().await.unwrap();
    let checkpoint = first.checkpoint();
    store.fault(Fault::lost_answer());
    first.write_all(b" in doubt").await.unwrap();
    drop(first);

    let mut second = writer(&store).replay(checkpoint).open().await.unwrap();
    second.write_all(b" in doubt, then more").await.unwrap();
    second.shutdown().await.unwrap();
    assert_eq!(store.text(), "durable in doubt, then more");
}

#[tokio::test(start_paused = true)]
async fn an_appender_tells_the_checksum_of_the_whole_object() {
    let checksum = |content: &str| Some(crc64::checksum(content.as_bytes()));
    let store = SimStore::holding("before ");
    let mut ours = appender(&store).open().await.unwrap();
    assert_eq!(ours.crc64(), checksum("before "));
    let receipt = ours.append("after").await.unwrap();
    assert_eq!(receipt.crc64, checksum("before after"));
    assert_eq!(ours.crc64(), checksum("before after"));

    store.world().without_crc = true;
    let mut unknown = appender(&store).open().await.unwrap();
    assert_eq!(unknown.crc64(), None);
    assert_eq!(unknown.append("!").await.unwrap().crc64, None);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_has_no_checksum_if_others_are_behind_its_bytes() {
    let store = SimStore::new();
    let mut appender = appender(&store).shared(true).open().await.unwrap();
    store.fault(Fault::lost_answer().foreign_after(" theirs"));
    let receipt = appender.append("ours").await.unwrap();
    assert_eq!((receipt.range, receipt.crc64), (0..4, None));
    assert_eq!(appender.checkpoint(), of("ours theirs"));
}
