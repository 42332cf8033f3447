//! Which object a record goes to, and which keys are open for how long.

use std::time::Duration;

use oss_append::{ErrorKind, FlushMode};

use super::{check, found, keyed, large, put, say};
use crate::support::bucket::SimBucket;
use crate::support::store::{Op, SimStore};
use crate::support::{MS, SEC};

fn heads(object: &SimStore) -> usize {
    let ops = object.ops();
    ops.iter().filter(|op| **op == Op::Head).count()
}

#[tokio::test(start_paused = true)]
async fn each_record_goes_to_the_object_of_its_key() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    let first = put(&writer, "a", "one ").await;
    let other = put(&writer, "b", "two ").await;
    let last = put(&writer, "a", "three ").await;
    assert_eq!(bucket.requests(), 0, "a key is opened by its first append");
    // By the linger; nothing is forced.
    for (receipt, record) in [(&last, "three "), (&other, "two "), (&first, "one ")] {
        let written = receipt.written().await.unwrap();
        assert_eq!(found(&bucket, &written), record);
    }
    assert_eq!(first.written().await.unwrap().object.key(), "a");
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["one three ", "two "]);
    assert_eq!(bucket.object("a").appends().len(), 1);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn objects_are_named_by_a_function_of_the_key() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).objects(|key| format!("t/{key}.log"));
    let writer = writer.start().unwrap();
    say(&writer, "a", "one").await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["t/a.log"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_can_have_a_sequence_of_objects() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .objects(|key| format!("{key}/{{seq:2}}"))
        .rolling(|key, rolling| match key {
            "small" => rolling.roll_size(8),
            _ => rolling,
        });
    let writer = writer.start().unwrap();
    for record in ["one,", "two,", "three,"] {
        for key in ["small", "large"] {
            let receipt = put(&writer, key, record).await;
            writer.sync().await.unwrap();
            assert_eq!(found(&bucket, &receipt.written().await.unwrap()), record);
        }
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.keys(), ["large/01", "small/01", "small/02"]);
    assert_eq!(bucket.texts(), ["one,two,three,", "one,two,", "three,"]);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_is_continued_when_its_key_comes_again() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .max_open(1)
        .objects(|key| format!("{key}/{{seq}}"))
        .rolling(|_, rolling| rolling);
    let writer = writer.start().unwrap();
    for key in ["a", "b", "a", "b"] {
        say(&writer, key, "x").await;
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["xx", "xx"]);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_key_is_closed_for_a_new_one() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).max_open(2).start().unwrap();
    say(&writer, "a", "a1").await;
    say(&writer, "b", "b1").await;
    say(&writer, "a", "a2").await;
    assert!(bucket.keys().is_empty());
    say(&writer, "c", "c1").await;
    assert_eq!(bucket.keys(), ["b"], "made durable first");
    assert_eq!(writer.stats().open, 2);
    // It comes again, and is continued behind what is there.
    let receipt = put(&writer, "b", "b2").await;
    assert_eq!(bucket.keys(), ["a", "b"]);
    assert_eq!(receipt.written().await.unwrap().range, 2..4);
    assert_eq!(heads(&bucket.object("b")), 2);
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a1a2", "b1b2", "c1"]);
    assert_eq!(writer.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn as_many_keys_as_may_be_open_stay_open() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).max_open(40).start().unwrap();
    for _ in 0..5 {
        for key in 0..40 {
            say(&writer, &key.to_string(), "x").await;
        }
        tokio::time::sleep(2 * SEC).await;
        assert_eq!(writer.stats().open, 40);
        assert_eq!(writer.stats().idle, 40);
    }
    assert_eq!(bucket.requests(), 40 * 6, "one look and five appends each");
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_is_closed_and_its_record_comes_first() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .idle_timeout(10 * SEC)
        .writer(|_, writer| writer.linger(Duration::MAX));
    let writer = writer.start().unwrap();
    say(&writer, "a", "a").await;
    tokio::time::sleep(6 * SEC).await;
    say(&writer, "b", "b").await;
    tokio::time::sleep(5 * SEC).await;
    assert_eq!(bucket.keys(), ["a"]);
    assert_eq!(writer.stats().open, 1);
    // One that is used stays open.
    say(&writer, "b", "b").await;
    tokio::time::sleep(6 * SEC).await;
    assert_eq!(bucket.keys(), ["a"]);
    tokio::time::sleep(5 * SEC).await;
    assert_eq!(bucket.texts(), ["a", "bb"]);
    assert_eq!(writer.stats().open, 0);
    say(&writer, "a", "a").await;
    tokio::time::sleep(11 * SEC).await;
    assert_eq!(bucket.texts(), ["aa", "bb"], "also after all were closed");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_being_closed_is_waited_for() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    let writer = large(&bucket).idle_timeout(500 * MS).start().unwrap();
    say(&writer, "a", "one").await;
    tokio::time::sleep(700 * MS).await;
    assert_eq!(writer.stats().closing, 1);
    say(&writer, "a", "two").await;
    assert_eq!(bucket.texts(), ["one"]);
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["onetwo"]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_as_its_mode_says_and_a_sync_forces_all() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).writer(|key, writer| match key {
        "handoff" => writer.flush_mode(FlushMode::Handoff),
        _ => writer,
    });
    let writer = writer.start().unwrap();
    say(&writer, "handoff", "x").await;
    say(&writer, "durable", "x").await;
    writer.flush().await.unwrap();
    assert_eq!(bucket.keys(), ["durable"]);
    writer.sync().await.unwrap();
    assert_eq!(bucket.keys(), ["durable", "handoff"]);
    assert_eq!(writer.stats().buffered, 0);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_sync_waits_for_keys_that_are_being_closed() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    let writer = large(&bucket).idle_timeout(100 * MS).start().unwrap();
    say(&writer, "a", "x").await;
    tokio::time::sleep(200 * MS).await;
    assert_eq!(writer.stats().closing, 1);
    writer.sync().await.unwrap();
    assert_eq!(bucket.texts(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_after_a_shutdown() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket).max_open(1).start().unwrap();
    bucket.object("a").world().latency = SEC;
    say(&writer, "a", "x").await;
    // One that waits for a place learns of it too.
    let other = writer.clone();
    let waiting = tokio::spawn(async move { other.write("b", "y".into()).await });
    tokio::task::yield_now().await;
    writer.shutdown().await.unwrap();
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Closed);
    let refused = writer.write("a", "x".into()).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Closed);
    assert_eq!(bucket.texts(), ["x"]);
    writer.shutdown().await.unwrap();
    writer.sync().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_writer_still_appends_what_it_has() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    let receipt = put(&writer, "a", "one").await;
    say(&writer, "b", "two").await;
    drop(writer.clone());
    drop(writer);
    receipt.written().await.unwrap();
    tokio::time::sleep(SEC).await;
    assert_eq!(bucket.texts(), ["one", "two"]);
}
