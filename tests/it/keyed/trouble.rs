//! Nobody waits for the trouble of another key: not for its place, its memory, its turn or its end.

use std::time::Duration;

use bytes::Bytes;
use oss_append::{ErrorKind, KeyedWriter, KeyedWriterBuilder};
use tokio::time::{Instant, timeout};

use super::{check, put, say};
use crate::support::SEC;
use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, service};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A writer whose keys append at once, and never fail.
fn patient(bucket: &SimBucket) -> KeyedWriterBuilder<SimBucket> {
    KeyedWriter::builder(bucket.clone(), "bucket")
        .idle_timeout(HOUR)
        .writer(|_, writer| {
            writer
                .linger(Duration::ZERO)
                .attempt_timeout(HOUR)
                .delivery_timeout(HOUR)
        })
}

/// Gets a request of `key` under way that is never answered.
async fn get_stuck(writer: &KeyedWriter, bucket: &SimBucket, key: &str) {
    bucket.object(key).fault(Fault::never());
    say(writer, key, "s").await;
    while bucket.object(key).appends().is_empty() {
        tokio::time::sleep(SEC / 10).await;
    }
}

async fn written(writer: &KeyedWriter, key: &str, record: &str) {
    put(writer, key, record).await.written().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_to_a_key_that_is_opened_meanwhile_goes_on_without_a_place_of_its_own() {
    let bucket = SimBucket::new();
    let writer = patient(&bucket).max_open(2).start().unwrap();
    written(&writer, "one", "1").await;
    get_stuck(&writer, &bucket, "stuck").await;

    // All of them find no place, and `one` makes room for a single key.
    let start = Instant::now();
    tokio::join!(
        written(&writer, "x", "a"),
        written(&writer, "x", "b"),
        written(&writer, "x", "c"),
    );
    written(&writer, "x", "d").await;

    assert!(start.elapsed() < SEC, "{:?}", start.elapsed());
    assert_eq!(bucket.object("x").content().len(), 4);
    let stats = writer.stats();
    assert_eq!((stats.open, stats.closing), (2, 0), "x stays open");
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_gives_up_to_open_a_key_leaves_that_to_those_who_wait_for_it() {
    let bucket = SimBucket::new();
    let writer = patient(&bucket).max_open(1).start().unwrap();
    get_stuck(&writer, &bucket, "stuck").await;
    let first = writer.clone();
    let first = tokio::spawn(async move { written(&first, "x", "a").await });
    tokio::time::sleep(SEC).await;
    let second = writer.clone();
    let second = tokio::spawn(async move { written(&second, "x", "b").await });
    tokio::time::sleep(SEC).await;

    first.abort();
    bucket.object("stuck").come_back();
    drop(writer.forgive("stuck"));
    let other = writer.clone();
    let other = tokio::spawn(async move { written(&other, "x", "c").await });
    tokio::time::sleep(2 * HOUR).await;

    second.await.unwrap();
    other.await.unwrap();
    let mut records = bucket.object("x").content();
    records.sort_unstable();
    assert_eq!(records, b"bc");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_key_that_is_to_make_a_place_is_not_waited_for() {
    let bucket = SimBucket::new();
    let writer = patient(&bucket).max_open(2).start().unwrap();
    // The least recently used one.
    get_stuck(&writer, &bucket, "stuck").await;
    written(&writer, "one", "1").await;

    let start = Instant::now();
    for key in ["x", "y", "one", "z"] {
        written(&writer, key, "2").await;
    }

    assert!(start.elapsed() <= 2 * SEC, "{:?}", start.elapsed());
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn stuck_keys_never_hold_the_memory_that_others_need() {
    let bucket = SimBucket::new();
    let writer = patient(&bucket).buffer_capacity(1000).start().unwrap();
    let record = Bytes::from(vec![b's'; 50]);
    let mut stuck = Vec::new();
    for key in ["stuck1", "stuck2", "stuck3"] {
        get_stuck(&writer, &bucket, key).await;
        // As much as is taken of it.
        let (writer, record) = (writer.clone(), record.clone());
        stuck.push(tokio::spawn(async move {
            while writer.write(key, record.clone()).await.is_ok() {}
        }));
        tokio::time::sleep(SEC).await;
    }
    let held = writer.stats().buffered;
    assert!((500..950).contains(&held), "{held}");

    let start = Instant::now();
    for n in 0..100 {
        written(&writer, &format!("free{}", n % 5), &"f".repeat(50)).await;
    }

    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(stuck.iter().all(|task| !task.is_finished()));
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn a_key_alone_gets_all_of_its_records_through_half_of_the_memory() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    let writer = patient(&bucket).buffer_capacity(100).start().unwrap();
    let start = Instant::now();
    for _ in 0..20 {
        say(&writer, "a", &"x".repeat(30)).await;
        assert!(writer.stats().buffered <= 50);
    }
    // Longer than its half.
    say(&writer, "a", &"y".repeat(90)).await;
    writer.sync().await.unwrap();
    assert!(start.elapsed() < 25 * SEC, "{:?}", start.elapsed());
    assert_eq!(bucket.object("a").content().len(), 690);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_never_answered_do_not_keep_the_turns_of_others() {
    let bucket = SimBucket::new();
    let writer = patient(&bucket).max_concurrent_appends(2).start().unwrap();
    written(&writer, "free", "1").await;
    for key in ["stuck1", "stuck2"] {
        get_stuck(&writer, &bucket, key).await;
    }

    let start = Instant::now();
    written(&writer, "free", "2").await;
    assert!(start.elapsed() <= 5 * SEC, "{:?}", start.elapsed());

    // From then on not even that.
    let start = Instant::now();
    for _ in 0..10 {
        written(&writer, "free", "3").await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_every_wait_at_once() {
    let bucket = SimBucket::new();
    let writer = KeyedWriter::builder(bucket.clone(), "bucket")
        .max_open(2)
        .buffer_capacity(1000)
        .idle_timeout(HOUR)
        .writer(|_, writer| {
            writer
                .linger(Duration::ZERO)
                .attempt_timeout(HOUR)
                .delivery_timeout(HOUR)
                .batch_size(100)
                .max_append_size(100)
                .buffer_capacity(200)
        })
        .start()
        .unwrap();
    for key in ["stuck", "closing"] {
        get_stuck(&writer, &bucket, key).await;
    }
    // For the room of its key, a place, another that has none either, and the end of its key.
    let waits = [("stuck", 100), ("new", 1), ("new", 1), ("closing", 100)];
    let mut waiting = Vec::new();
    for (key, len) in waits {
        let writer = writer.clone();
        waiting.push(tokio::spawn(async move {
            let record = Bytes::from(vec![b'x'; len]);
            loop {
                match writer.write(key, record.clone()).await {
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        }));
        tokio::time::sleep(SEC).await;
    }
    assert!(waiting.iter().all(|task| !task.is_finished()));

    let start = Instant::now();
    let shutdown = timeout(SEC, writer.shutdown()).await;

    assert!(shutdown.is_err(), "the keys are stuck");
    for task in waiting {
        assert_eq!(task.await.unwrap().kind(), &ErrorKind::Closed);
    }
    assert_eq!(start.elapsed(), SEC);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_when_a_stuck_key_has_spent_its_time() {
    let bucket = SimBucket::new();
    bucket
        .object("stuck")
        .go_down(service(503, "ServiceUnavailable"));
    let writer = KeyedWriter::builder(bucket.clone(), "bucket");
    let writer = writer.start().unwrap();
    say(&writer, "stuck", "s").await;
    say(&writer, "free", "f").await;

    let start = Instant::now();
    let error = writer.shutdown().await.unwrap_err();

    assert!(start.elapsed() <= 120 * SEC, "{:?}", start.elapsed());
    assert_eq!(error.keys().len(), 1);
    let kind = error.get("stuck").unwrap().kind();
    assert!(
        matches!(kind, ErrorKind::RetriesExhausted { .. }),
        "{kind:?}"
    );
    assert_eq!(bucket.object("free").text(), "f");
}
