//! The checkpoint: how far the object is proven, and with which checksum.

use std::sync::Mutex;

use bytes::Bytes;
use oss_append::{Checkpoint, ConflictCause, ErrorKind, ObjectPath, crc64};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, appender, cases, conflict_cause, object, writer};

fn of(content: &str) -> Checkpoint {
    Checkpoint::new(object(), content.len() as u64).crc64(crc64::checksum(content.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_covers_the_whole_object_from_its_opening_on() {
    let store = SimStore::new();
    let untouched = writer(&store).open().await.unwrap();
    assert_eq!(untouched.checkpoint(), Checkpoint::start(object()));

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
        .replay(Checkpoint::start(object()))
        .batch_size(4)
        .open()
        .await
        .unwrap();
    writer.write_all(b"compared").await.unwrap();
    while writer.stats().compared == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(writer.checkpoint(), Checkpoint::start(object()));
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

#[tokio::test(start_paused = true)]
async fn a_record_that_was_written_gives_a_checkpoint_behind_it() {
    let store = SimStore::new();
    let mut first = writer(&store).open().await.unwrap();
    let record = first.enqueue("one ".into()).await.unwrap().with_crc64();
    let _ = first.enqueue("two ".into()).await.unwrap();
    first.sync().await.unwrap();
    let checkpoint = record.written().await.unwrap().checkpoint();
    assert_eq!(checkpoint, of("one "));
    drop(first);

    let replay = |checkpoint| writer(&store).replay(checkpoint).open();
    let mut second = replay(checkpoint.clone()).await.unwrap();
    second.write_all(b"two three").await.unwrap();
    second.shutdown().await.unwrap();
    assert_eq!(store.text(), "one two three");

    let mut differing = replay(checkpoint).await.unwrap();
    differing.write_all(b"2 and three, four").await.unwrap();
    let error = differing.shutdown().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
    assert_eq!(store.text(), "one two three");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_object_is_refused() {
    let store = SimStore::new();
    let other: ObjectPath = "oss://bucket/other".parse().unwrap();
    let builder = writer(&store).replay(Checkpoint::start(other));
    let error = builder.open().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    let told = error.to_string();
    assert!(
        told.contains("oss://bucket/other") && told.contains("oss://bucket/object"),
        "{told}"
    );
    assert!(store.ops().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_does_not_match_the_object_says_how() {
    let cause = async |store: &SimStore| {
        let opened = writer(store).replay(of("0123456789")).open().await;
        opened.map_err(|error| conflict_cause(&error)).unwrap_err()
    };
    assert_eq!(cause(&SimStore::new()).await, ConflictCause::Gone);
    let shorter = SimStore::holding("01234");
    assert_eq!(cause(&shorter).await, ConflictCause::Replaced);
    let other_bytes = SimStore::holding("9876543210");
    assert_eq!(cause(&other_bytes).await, ConflictCause::Replaced);

    // A longer object is compared with what comes, together with what stands before it.
    for longer in ["9876543210 tail", "0123456789 foreign"] {
        let store = SimStore::holding(longer);
        let builder = writer(&store).replay(of("0123456789"));
        let mut writer = builder.open().await.unwrap();
        writer.write_all(b" tail and more").await.unwrap();
        let error = writer.shutdown().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ReplayDiffers { .. }));
        assert_eq!(store.text(), longer);
    }
}

#[test]
fn a_checkpoint_is_data_that_json_can_hold() {
    let with = of("before");
    let text = serde_json::to_string(&with).unwrap();
    let crc64 = with.crc64.unwrap();
    assert_eq!(
        text,
        format!(r#"{{"object":"oss://bucket/object","position":6,"crc64":"{crc64}"}}"#)
    );
    assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), with);

    let without = Checkpoint::new(object(), 6);
    let text = serde_json::to_string(&without).unwrap();
    assert_eq!(text, r#"{"object":"oss://bucket/object","position":6}"#);
    assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), without);

    for wrong in [
        r#"{"object":"bucket/object","position":6}"#,
        r#"{"object":"oss://bucket//slash","position":6}"#,
        r#"{"object":"oss://bucket/object"}"#,
        r#"{"object":"oss://bucket/object","position":-1}"#,
        r#"{"object":"oss://bucket/object","position":6,"crc64":"six"}"#,
        r#"{"object":"oss://bucket/object","position":6,"crc64":3231342946509354535}"#,
    ] {
        serde_json::from_str::<Checkpoint>(wrong).unwrap_err();
    }
}

/// Record `number` of a source that can be read again.
fn record(number: usize) -> Bytes {
    Bytes::from(format!("record {number} {}\n", "x".repeat(number * 7 % 40)))
}

/// One life of a pipeline that keeps its offset with a checkpoint: writes to the end of the source,
/// or crashes after `millis`, whatever is on its way then.
fn live(store: &SimStore, saved: &Mutex<(usize, Checkpoint)>, records: usize, millis: Option<u32>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (offset, checkpoint) = saved.lock().unwrap().clone();
        let pipeline = async {
            let mut writer = writer(store)
                .replay(checkpoint)
                .batch_size(50)
                .max_append_size(100)
                .buffer_capacity(200)
                .open()
                .await
                .unwrap();
            for number in offset..records {
                writer.write_bytes(record(number)).await.unwrap();
                if number % 5 == 4 {
                    writer.sync().await.unwrap();
                    *saved.lock().unwrap() = (number + 1, writer.checkpoint());
                }
            }
            writer.shutdown().await.unwrap();
        };
        match millis {
            None => pipeline.await,
            Some(millis) => drop(tokio::time::timeout(millis * MS, pipeline).await),
        }
    });
    // The worker ends with its runtime.
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn a_checkpoint_kept_with_the_offset_is_exactly_once_whenever_the_crash_comes(
        records in 1..60_usize,
        crashes in vec((0..400_u32, 0..3_u8), 0..6),
    ) {
        let store = SimStore::new();
        store.world().latency = 10 * MS;
        let saved = Mutex::new((0, Checkpoint::start(object())));
        for (millis, fault) in crashes {
            match fault {
                0 => drop(store.fault(Fault::lost_answer())),
                1 => drop(store.fault(Fault::late())),
                _ => {}
            }
            live(&store, &saved, records, Some(millis));
            store.land_late();
        }
        live(&store, &saved, records, None);
        let expected: Vec<u8> = (0..records).flat_map(record).collect();
        prop_assert_eq!(store.text(), String::from_utf8(expected).unwrap());
    }

    #[test]
    fn every_checkpoint_comes_back_from_json(
        key in "[^/\\\\\\pC][^\\pC]{0,40}",
        position: u64,
        crc64: Option<u64>,
    ) {
        prop_assume!(key != "." && key != "..");
        let object = ObjectPath::new("bucket", key).unwrap();
        let mut checkpoint = Checkpoint::new(object, position);
        checkpoint.crc64 = crc64;
        let text = serde_json::to_string(&checkpoint).unwrap();
        prop_assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), checkpoint);
    }
}
