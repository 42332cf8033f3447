//! Memory and requests are shared by all keys, and none can take them from the rest.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use oss_append::testing::{self, MemoryRequest, MemoryStore, On};
use oss_append::{AppendStore as _, ErrorKind, KeyedWriter, ObjectPath};

use super::{HANGS, check, keyed, large, put, say};
use crate::support::SEC;
use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Op, service};

/// A store each of whose requests takes a second.
fn slow() -> MemoryStore {
    let store = MemoryStore::new();
    store.fail_by(|_| Some(testing::Fault::none().delay(SEC)));
    store
}

/// The most requests at a time that a [`slow`] store has had.
fn most(store: &MemoryStore) -> usize {
    let began: Vec<_> = store.requests().into_iter().map(|r| r.at).collect();
    let under_way = |now| {
        began
            .iter()
            .filter(|at| (now..now + SEC).contains(*at))
            .count()
    };
    began.iter().map(|at| under_way(*at)).max().unwrap_or(0)
}

fn appends(store: &MemoryStore, key: &str) -> usize {
    let requests = store.requests();
    let own = |r: &&MemoryRequest| r.on == On::Append && r.key == key;
    requests.iter().filter(own).count()
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_allowed_are_made_at_a_time() {
    let store = slow();
    let writer = KeyedWriter::builder(store.clone(), "bucket").max_concurrent_appends(3);
    let writer = writer.start().unwrap();
    for key in 0..30 {
        say(&writer, &key.to_string(), "x").await;
    }
    let start = tokio::time::Instant::now();
    writer.sync().await.unwrap();
    assert_eq!(most(&store), 3);
    assert_eq!(start.elapsed(), 20 * SEC, "all of the time three");
}

#[tokio::test(start_paused = true)]
async fn listings_looks_and_seals_of_sequences_count_as_requests() {
    let store = slow();
    for forbidden in [false, true] {
        if forbidden {
            // The numbers are tried then.
            store.fail_by(|request| {
                let forbidden = testing::Fault::refused(service(403, "AccessDenied"));
                let answer = match request.on {
                    On::List => forbidden,
                    _ => testing::Fault::none(),
                };
                Some(answer.delay(SEC))
            });
        }
        let writer = KeyedWriter::builder(store.clone(), "bucket")
            .max_concurrent_appends(3)
            .objects(|key| format!("{key}/{{seq}}"))
            .rolling(|_, rolling| rolling.roll_size(10).seal_finished(true));
        let writer = writer.start().unwrap();
        for record in ["first...,", "second..,"] {
            for key in 0..12 {
                say(&writer, &key.to_string(), record).await;
            }
            writer.sync().await.unwrap();
        }
        writer.shutdown().await.unwrap();
        assert_eq!(most(&store), 3);
    }
    assert_eq!(store.count(On::List), 24);
    for (key, sealed) in [("7/1", true), ("7/3", true), ("7/4", false)] {
        let object = ObjectPath::new("bucket", key).unwrap();
        let seen = store.head(&object).await.unwrap().unwrap();
        assert_eq!(seen.sealed, sealed, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_gathers_while_a_key_waits_for_its_turn_goes_with_it() {
    let store = slow();
    let writer = KeyedWriter::builder(store.clone(), "bucket")
        .max_concurrent_appends(1)
        .writer(|_, writer| writer.linger(Duration::ZERO));
    let writer = writer.start().unwrap();
    for key in ["a", "b", "c"] {
        say(&writer, key, "first,").await;
    }
    writer.sync().await.unwrap();
    for record in ["second,", "third,", "fourth,"] {
        for key in ["a", "b", "c"] {
            say(&writer, key, record).await;
        }
        tokio::time::sleep(SEC / 4).await;
    }
    writer.sync().await.unwrap();
    // The first of them had its turn at once.
    assert_eq!(appends(&store, "a"), 3);
    for key in ["b", "c"] {
        assert_eq!(appends(&store, key), 2);
    }
    for key in ["a", "b", "c"] {
        let object = ObjectPath::new("bucket", key).unwrap();
        let content = store.content(&object).unwrap();
        assert_eq!(content, "first,second,third,fourth,");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_asked_to_wait_lets_others_go_first() {
    let bucket = SimBucket::new();
    let slow = Fault::none().edit(|answer| answer.delay = Some(30 * SEC));
    bucket.object("slow").fault(slow);
    let writer = large(&bucket)
        .max_concurrent_appends(1)
        .writer(|_, writer| writer.linger(Duration::ZERO));
    let writer = writer.start().unwrap();
    put(&writer, "slow", "x").await.written().await.unwrap();
    let slow = put(&writer, "slow", "y").await;
    tokio::time::sleep(SEC).await;
    let start = tokio::time::Instant::now();
    put(&writer, "other", "z").await.written().await.unwrap();
    assert!(start.elapsed() < SEC, "{:?}", start.elapsed());
    slow.written().await.unwrap();
    assert!(start.elapsed() > 28 * SEC, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_before_its_request_gives_its_turn_to_others() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .max_concurrent_appends(1)
        .writer(|_, writer| writer.linger(Duration::ZERO).max_object_size(3));
    let writer = writer.start().unwrap();
    put(&writer, "full", "one").await.written().await.unwrap();
    let refused = put(&writer, "full", "two").await;
    let error = refused.written().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ObjectFull { .. }),
        "{error}"
    );
    // Its receipt is still there.
    let other = put(&writer, "other", "abc").await;
    let written = tokio::time::timeout(HANGS, other.written()).await;
    written.expect("it does not hang").unwrap();
    drop(refused);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_is_no_failure() {
    let store = slow();
    let writer = KeyedWriter::builder(store.clone(), "bucket")
        .max_concurrent_appends(1)
        .writer(|_, writer| writer.attempt_timeout(2 * SEC).delivery_timeout(5 * SEC));
    let writer = writer.start().unwrap();
    for key in 0..30 {
        say(&writer, &key.to_string(), "x").await;
    }
    writer.sync().await.unwrap();
    assert_eq!(store.requests().len(), 60, "none twice");
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_does_not_starve_the_rest() {
    let bucket = SimBucket::new();
    let keys = ["hot", "b", "c", "d"];
    for key in keys {
        bucket.object(key).world().latency = SEC;
    }
    let writer = keyed(&bucket).max_concurrent_appends(1).start().unwrap();
    let hot = writer.clone();
    let hot = tokio::spawn(async move {
        for _ in 0..100 {
            say(&hot, "hot", &"h".repeat(20)).await;
        }
    });
    tokio::time::sleep(5 * SEC).await;
    let before = bucket.object("hot").appends().len();
    let mut receipts = Vec::new();
    for key in &keys[1..] {
        receipts.push(put(&writer, key, &"x".repeat(20)).await);
    }
    for receipt in &receipts {
        receipt.written().await.unwrap();
    }
    let between = bucket.object("hot").appends().len() - before;
    // One before each of their two turns (the look and the append), and one behind.
    assert!(between <= 3, "{between} appends of the hot key went first");
    hot.await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.object("hot").content().len(), 2000);
}

#[tokio::test]
async fn a_producer_that_never_has_to_wait_lets_others_go_on() {
    let bucket = SimBucket::new();
    let writer = large(&bucket).start().unwrap();
    let other = tokio::spawn(async {});
    for _ in 0..1000 {
        drop(writer.write("hot", "x".into()).await.unwrap());
    }
    assert!(other.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_tried_again_gives_way_meanwhile() {
    let bucket = SimBucket::new();
    bucket
        .object("down")
        .go_down(service(503, "ServiceUnavailable"));
    let writer = large(&bucket).max_concurrent_appends(1).start().unwrap();
    let down = put(&writer, "down", "x").await;
    tokio::time::sleep(20 * SEC).await;
    let start = tokio::time::Instant::now();
    put(&writer, "up", "y").await.written().await.unwrap();
    assert!(start.elapsed() < 3 * SEC, "{:?}", start.elapsed());
    bucket.object("down").come_back();
    down.written().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_when_the_memory_is_used_up() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    bucket.object("b").world().latency = SEC;
    let writer = keyed(&bucket).buffer_capacity(60).start().unwrap();
    say(&writer, "a", &"a".repeat(30)).await;
    say(&writer, "b", &"b".repeat(30)).await;
    let record = Bytes::from("c");
    assert!(writer.write("c", record.clone()).now_or_never().is_none());
    assert_eq!(writer.stats().buffered, 60);
    let start = tokio::time::Instant::now();
    let _ = writer.write("c", record).await.unwrap();
    assert_eq!(start.elapsed(), SEC);
    writer.shutdown().await.unwrap();
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn memory_full_of_bytes_below_their_thresholds_is_made_free_from_the_largest() {
    let bucket = SimBucket::new();
    let writer = large(&bucket)
        .buffer_capacity(100)
        .idle_timeout(Duration::MAX)
        .writer(|_, writer| writer.linger(Duration::MAX));
    let writer = writer.start().unwrap();
    for (key, len) in [("a", 20), ("b", 50), ("c", 30)] {
        say(&writer, key, &key.repeat(len)).await;
    }
    say(&writer, "d", &"d".repeat(40)).await;
    assert_eq!(bucket.keys(), ["b"], "one append was enough");
    assert_eq!(writer.stats().buffered, 90);
    say(&writer, "d", &"d".repeat(100)).await;
    assert_eq!(bucket.keys(), ["a", "b", "c", "d"]);
    assert_eq!(writer.stats().buffered, 100);
    check(&writer);
}

#[tokio::test(start_paused = true)]
async fn memory_is_made_free_by_many_requests_at_a_time() {
    let store = slow();
    let writer = KeyedWriter::builder(store.clone(), "bucket")
        .buffer_capacity(1600)
        .max_concurrent_appends(4)
        .idle_timeout(Duration::MAX)
        .writer(|_, writer| writer.linger(Duration::MAX));
    let writer = writer.start().unwrap();
    for key in 0..160 {
        say(&writer, &key.to_string(), "ten bytes,").await;
    }
    assert_eq!(most(&store), 0);
    // One producer, who wants the memory of one key at a time.
    for key in 0..16 {
        say(&writer, &key.to_string(), "ten bytes,").await;
    }
    assert_eq!(most(&store), 4);
}

#[tokio::test(start_paused = true)]
async fn many_writers_that_need_all_of_the_memory_all_get_it() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket)
        .buffer_capacity(50)
        .max_open(3)
        .max_concurrent_appends(2)
        .idle_timeout(Duration::MAX)
        .writer(|_, writer| {
            writer
                .batch_size(50)
                .max_append_size(50)
                .linger(Duration::MAX)
        });
    let writer = writer.start().unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move {
                let key = (number % 10).to_string();
                put(&writer, &key, &"x".repeat(50 - number % 7)).await
            })
        })
        .collect();
    for task in tasks {
        // Nobody forces the last of them.
        let _ = task.await.unwrap();
        assert!(writer.stats().buffered <= 50);
    }
    writer.shutdown().await.unwrap();
    check(&writer);
    assert_eq!(writer.stats().records, 50);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_its_share_of_the_memory_leaves_the_rest_to_others() {
    let bucket = SimBucket::new();
    bucket
        .object("stuck")
        .go_down(service(503, "ServiceUnavailable"));
    let writer = keyed(&bucket).buffer_capacity(1000).start().unwrap();
    for _ in 0..5 {
        say(&writer, "stuck", &"s".repeat(20)).await;
    }
    let other = writer.clone();
    let waiting = tokio::spawn(async move { other.write("stuck", "t".into()).await });
    tokio::time::sleep(10 * SEC).await;
    assert!(!waiting.is_finished());
    for _ in 0..20 {
        say(&writer, "free", &"f".repeat(50)).await;
    }
    bucket.object("stuck").come_back();
    let _ = waiting.await.unwrap().unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.object("stuck").content().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_has_accepted_nothing_and_holds_nothing() {
    let bucket = SimBucket::new();
    for key in ["a", "b", "c"] {
        bucket.object(key).world().latency = SEC;
    }
    let writer = keyed(&bucket)
        .buffer_capacity(50)
        .max_open(1)
        .start()
        .unwrap();
    say(&writer, "a", &"a".repeat(50)).await;
    // For memory, and for a place.
    for key in ["a", "b"] {
        let write = writer.write(key, "x".into());
        let given_up = tokio::time::timeout(SEC / 10, write).await;
        assert!(given_up.is_err());
    }
    say(&writer, "c", &"c".repeat(50)).await;
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a".repeat(50), "c".repeat(50)]);
    assert_eq!(writer.stats().records, 2);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_taken_are_refused() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket).buffer_capacity(60).start().unwrap();
    for len in [0, 61, 51] {
        let record = Bytes::from(vec![b'x'; len]);
        let error = writer.write("a", record).await.unwrap_err();
        let ErrorKind::InvalidInput { reason, .. } = error.kind() else {
            panic!("{error}");
        };
        assert!(reason.contains(&len.to_string()), "{reason}");
    }
    say(&writer, "a", &"x".repeat(50)).await;
    writer.shutdown().await.unwrap();
    assert_eq!(writer.stats().accepted, 50);
}

#[tokio::test(start_paused = true)]
async fn options_that_cannot_be_are_refused() {
    let bucket = SimBucket::new();
    for builder in [
        large(&bucket).max_open(0),
        large(&bucket).max_concurrent_appends(0),
        large(&bucket).buffer_capacity(0),
        large(&bucket).idle_timeout(Duration::ZERO),
        large(&bucket).max_failed_keys(0),
        KeyedWriter::builder(bucket.clone(), "No Bucket"),
    ] {
        let error = builder.start().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    }
    for builder in [
        large(&bucket).writer(|_, writer| writer.batch_size(0)),
        large(&bucket).rolling(|_, rolling| rolling.seal_on_shutdown(true)),
        large(&bucket).rolling(|_, rolling| rolling.roll_size(5)),
    ] {
        let writer = builder.start().unwrap();
        let error = writer.write("a", "x".into()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        assert_eq!(writer.stats(), Default::default(), "the key has not failed");
        writer.shutdown().await.unwrap();
    }
    let outside = std::thread::spawn(move || large(&bucket).start().unwrap_err());
    let error = outside.join().unwrap();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_append_holds_whole_records() {
    let bucket = SimBucket::new();
    bucket.object("a").world().latency = SEC;
    let writer = keyed(&bucket).start().unwrap();
    for _ in 0..20 {
        say(&writer, "a", &"x".repeat(13)).await;
    }
    writer.shutdown().await.unwrap();
    let ops = bucket.object("a").ops();
    assert!(ops.iter().all(|op| match op {
        Op::Append { len, .. } => len % 13 == 0 && *len <= 50,
        _ => true,
    }));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_holds_no_memory_that_others_wait_for() {
    let bucket = SimBucket::new();
    let writer = keyed(&bucket)
        .buffer_capacity(50)
        .max_open(1)
        .start()
        .unwrap();
    say(&writer, "a", &"a".repeat(46)).await;
    // Gets its memory as its key is closed for the other, which then has the place.
    let (memory, place) = ("a".repeat(5), "b".repeat(46));
    tokio::join!(say(&writer, "a", &memory), say(&writer, "b", &place));
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.texts(), ["a".repeat(51), "b".repeat(46)]);
}
