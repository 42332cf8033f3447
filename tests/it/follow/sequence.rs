//! The objects of a sequence: which comes next, where it begins, and when an object is finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use oss_append::emulator::Operation;
use oss_append::{
    Checkpoint, ConflictCause, Error, ErrorKind, Followed, KeyTemplate, RollingWriter,
    SequenceReader, SequenceReaderBuilder, crc64,
};

use super::*;
use crate::support::conflict_cause;
use crate::support::emulated::{objects, start};

const HOUR: u64 = 3600;
/// 2026-03-01 10:30:00 UTC.
const HALF_PAST_TEN: u64 = 1_772_361_000;

fn reader(emulator: &Emulator, template: &str) -> SequenceReaderBuilder {
    let client = emulator.client().build().unwrap();
    let template: KeyTemplate = template.parse().unwrap();
    SequenceReader::builder(client, "bucket", template).follower(quick)
}

/// A clock that stands still unless it is set.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

/// With a clock that shows half past ten.
fn timed(emulator: &Emulator, template: &str) -> (SequenceReaderBuilder, Clock) {
    let clock = Clock(Arc::new(AtomicU64::new(HALF_PAST_TEN)));
    let Clock(now) = clock.clone();
    let now = move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed));
    (reader(emulator, template).clock(now), clock)
}

/// Somebody appends to an object.
fn put(emulator: &Emulator, key: &str, text: &str) {
    let text = text.as_bytes().to_vec();
    emulator.append_foreign("bucket", key, text).unwrap();
}

/// The next piece, as it is shown: its key, where it begins, and what it is.
async fn piece(reader: &mut SequenceReader) -> (String, u64, String) {
    let piece: Followed<bytes::Bytes> = next(reader).await.unwrap();
    let item = String::from_utf8(piece.item.to_vec()).unwrap();
    (piece.object.key().into(), piece.start, item)
}

#[track_caller]
fn is(piece: (String, u64, String), key: &str, start: u64, item: &str) {
    assert_eq!((&*piece.0, piece.1, &*piece.2), (key, start, item));
}

#[tokio::test]
async fn it_goes_from_object_to_object_and_follows_the_newest() {
    let emulator = start().await;
    put(&emulator, "log-1", "too old ");
    put(&emulator, "log-2", "two ");
    let mut reader = reader(&emulator, "log-{seq}").open().await.unwrap();
    is(piece(&mut reader).await, "log-2", 0, "two ");
    nothing(&emulator, &mut reader).await;
    put(&emulator, "log-2", "and more ");
    is(piece(&mut reader).await, "log-2", 4, "and more ");
    put(&emulator, "log-3", "three");
    is(piece(&mut reader).await, "log-3", 0, "three");
    assert_eq!(
        reader.checkpoint(),
        Some(
            &Checkpoint::new("oss://bucket/log-3".parse().unwrap(), 5)
                .crc64(crc64::checksum(b"three"))
        )
    );
    // What is not appendable has a number, and is not of the sequence.
    emulator
        .put("bucket", "log-4", "not of the sequence")
        .unwrap();
    put(&emulator, "log-5", "five");
    is(piece(&mut reader).await, "log-5", 0, "five");
    nothing(&emulator, &mut reader).await;
}

#[tokio::test]
async fn it_begins_where_it_is_told_to() {
    let emulator = start().await;
    for key in [
        "28-9", "01T09-1", "01T09-2", "01T10-1", "01T10-2", "01T10-10", "01T10-x",
    ] {
        put(&emulator, key, key);
    }
    let builder = || timed(&emulator, "%dT%H-{seq}").0;
    let at = |hours_ago: u64| UNIX_EPOCH + Duration::from_secs(HALF_PAST_TEN - hours_ago * HOUR);
    let object = |key: &str| format!("oss://bucket/{key}").parse().unwrap();
    for (builder, keys) in [
        (builder(), &["01T10-10"][..]),
        (
            builder().from_time(at(1)),
            &["01T09-1", "01T09-2", "01T10-1", "01T10-2", "01T10-10"],
        ),
        (
            builder().from_time(at(30)),
            &["01T09-1", "01T09-2", "01T10-1", "01T10-2", "01T10-10"],
        ),
        (
            builder().from_time(at(0)),
            &["01T10-1", "01T10-2", "01T10-10"],
        ),
        (builder().from_number(2), &["01T10-2", "01T10-10"]),
        (builder().from_number(3), &["01T10-10"]),
        (
            builder().from_key("01T09-2"),
            &["01T09-2", "01T10-1", "01T10-2", "01T10-10"],
        ),
        (builder().from_key("01T10-4"), &["01T10-10"]),
        (builder().from_end(), &[]),
        (
            builder().checkpoint(Checkpoint::start(object("01T10-2"))),
            &["01T10-2", "01T10-10"],
        ),
        (
            builder().checkpoint(
                Checkpoint::new(object("01T09-2"), 7).crc64(crc64::checksum(b"01T09-2")),
            ),
            &["01T10-1", "01T10-2", "01T10-10"],
        ),
    ] {
        let shown = format!("{builder:?}");
        let mut reader = builder.open().await.unwrap();
        for key in keys {
            let (from, start, item) = piece(&mut reader).await;
            assert_eq!((&*from, start, &*item), (*key, 0, *key), "{shown}");
        }
        put(&emulator, "01T10-10", "!");
        let (key, start, item) = piece(&mut reader).await;
        assert_eq!((&*key, start, &*item), ("01T10-10", 8, "!"), "{shown}");
        emulator.delete("bucket", "01T10-10").unwrap();
        put(&emulator, "01T10-10", "01T10-10");
    }
}

#[tokio::test]
async fn periods_pass_with_objects_and_without() {
    for template in ["%dT%H-{seq}", "{hash}/%dT%H-{seq}", "%dT%H.log"] {
        let emulator = start().await;
        let (builder, clock) = timed(&emulator, template);
        let names = |hours: u64| {
            let template: KeyTemplate = template.parse().unwrap();
            template.names_at(
                UNIX_EPOCH + Duration::from_secs(HALF_PAST_TEN + hours * HOUR),
                0,
            )
        };
        let mut reader = builder.open().await.unwrap();
        nothing(&emulator, &mut reader).await;
        for (hours, number) in [(0, 1), (0, 2), (1, 1), (12, 1), (12, 2), (60, 1)] {
            let key = names(hours).key(number);
            put(&emulator, &key, "text");
            clock.set(HALF_PAST_TEN + hours * HOUR + 1800);
            is(piece(&mut reader).await, &key, 0, "text");
        }
        // One that comes late, after its period, while the newer have none.
        clock.set(HALF_PAST_TEN + 90 * HOUR);
        nothing(&emulator, &mut reader).await;
        let key = names(70).key(1);
        put(&emulator, &key, "late");
        is(piece(&mut reader).await, &key, 0, "late");
    }
}

#[tokio::test]
async fn what_came_while_it_was_away_is_read_in_order() {
    for denied in [false, true] {
        let emulator = start().await;
        if denied {
            inject(&emulator, "list:error=403/AccessDenied,times=1000000");
        }
        put(&emulator, "01T08-1", "1 ");
        let (builder, _) = timed(&emulator, "%dT%H-{seq}");
        let builder = builder.from_time(UNIX_EPOCH + Duration::from_secs(HALF_PAST_TEN - 3 * HOUR));
        let mut reader = builder.open().await.unwrap();
        is(piece(&mut reader).await, "01T08-1", 0, "1 ");
        put(&emulator, "01T08-1", "2 ");
        for (key, text) in [
            ("01T08-2", "3 "),
            ("01T08-3", "4 "),
            ("01T09-1", "5 "),
            ("01T10-1", "6 "),
        ] {
            put(&emulator, key, text);
        }
        let mut all = String::new();
        while all.len() < 10 {
            all += &piece(&mut reader).await.2;
        }
        assert_eq!(all, "2 3 4 5 6 ", "denied: {denied}");
    }
}

#[tokio::test]
async fn an_object_is_left_after_a_look_that_has_found_nothing_new_since_the_next_was_seen() {
    let emulator = start().await;
    put(&emulator, "log-1", "a");
    let mut reader = reader(&emulator, "log-{seq}").open().await.unwrap();
    is(piece(&mut reader).await, "log-1", 0, "a");
    put(&emulator, "log-2", "b");
    is(piece(&mut reader).await, "log-2", 0, "b");
    let requests = emulator.requests();
    let seen = requests.iter().position(|request| {
        request.operation == Operation::HeadObject
            && request.key.as_deref() == Some("log-2")
            && request.status == Some(200)
    });
    let looked = |from: usize| {
        requests[from..]
            .iter()
            .any(|request| request.key.as_deref() == Some("log-1"))
    };
    assert!(looked(seen.unwrap()), "{requests:#?}");
    // A sealed one is left at once, and one that is not there any more is not waited for.
    put(&emulator, "log-2", "c");
    emulator.seal("bucket", "log-2").unwrap();
    is(piece(&mut reader).await, "log-2", 1, "c");
    nothing(&emulator, &mut reader).await;
    put(&emulator, "log-3", "d");
    is(piece(&mut reader).await, "log-3", 0, "d");
}

#[tokio::test]
async fn a_gap_in_the_numbers_is_no_end() {
    let emulator = start().await;
    for number in [3, 4, 8, 9, 11] {
        put(&emulator, &format!("log-{number}"), &format!("{number} "));
    }
    let mut reader = reader(&emulator, "log-{seq}")
        .from_number(1)
        .open()
        .await
        .unwrap();
    for number in [3, 4, 8, 9, 11] {
        let key = format!("log-{number}");
        is(piece(&mut reader).await, &key, 0, &format!("{number} "));
    }
}

#[tokio::test]
async fn what_changes_behind_its_back_is_an_error() {
    let emulator = start().await;
    put(&emulator, "log-1", "0123");
    for (from, cause) in [("3210", None), ("01234", Some(ConflictCause::Replaced))] {
        let end = Checkpoint::new("oss://bucket/log-1".parse().unwrap(), from.len() as u64);
        let end = end.crc64(crc64::checksum(from.as_bytes()));
        let opened = reader(&emulator, "log-{seq}").checkpoint(end).open().await;
        let error = opened.unwrap_err();
        assert_eq!(
            conflict_cause(&error),
            cause.unwrap_or(ConflictCause::Replaced)
        );
    }
    let gone = Checkpoint::new("oss://bucket/log-9".parse().unwrap(), 1);
    let error = reader(&emulator, "log-{seq}")
        .checkpoint(gone)
        .open()
        .await
        .unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    let mut reader = reader(&emulator, "log-{seq}").open().await.unwrap();
    is(piece(&mut reader).await, "log-1", 0, "0123");
    emulator.delete("bucket", "log-1").unwrap();
    let error = next(&mut reader).await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn failures_of_each_request_are_retried() {
    let emulator = start().await;
    for number in 1..=5 {
        put(&emulator, &format!("log-{number}"), &format!("{number} "));
    }
    for fault in [
        "list:error=503,times=2",
        "head:drop,times=3",
        "get:drop,times=3",
    ] {
        inject(&emulator, fault);
    }
    let mut reader = reader(&emulator, "log-{seq}")
        .from_number(1)
        .open()
        .await
        .unwrap();
    for number in 1..=5 {
        inject(&emulator, "head:error=500");
        is(
            piece(&mut reader).await,
            &format!("log-{number}"),
            0,
            &format!("{number} "),
        );
    }
    let denied = "head:error=403/AccessDenied,times=1000000";
    inject(&emulator, denied);
    let error = next(&mut reader).await.unwrap_err();
    assert_eq!(error.service_error().unwrap().status, 403);
}

#[tokio::test]
async fn who_knows_of_an_append_need_not_wait() {
    let emulator = start().await;
    let rarely =
        reader(&emulator, "log-{seq}").follower(|follower| follower.poll_interval(RARELY..=RARELY));
    let mut reader = rarely.open().await.unwrap();
    let handle = reader.handle();
    for (key, text) in [("log-1", "one"), ("log-1", "more"), ("log-2", "two")] {
        let append = async {
            put(&emulator, key, text);
            handle.appended();
        };
        let (piece, ()) = tokio::join!(reader.next(), append);
        assert_eq!(piece.unwrap().unwrap().item, text);
    }
}

#[tokio::test]
async fn a_line_ends_with_its_object() {
    let emulator = start().await;
    put(&emulator, "log-1", "one\ntw");
    let mut lines = reader(&emulator, "log-{seq}").open().await.unwrap().lines();
    assert_eq!(next(&mut lines).await.unwrap().item, "one");
    nothing(&emulator, &mut lines).await;
    put(&emulator, "log-1", "o");
    put(&emulator, "log-2", "three\n");
    let line = next(&mut lines).await.unwrap();
    assert_eq!(
        (line.object.key(), &line.item[..], line.range()),
        ("log-1", &b"two"[..], 4..7)
    );
    let line = next(&mut lines).await.unwrap();
    assert_eq!(
        (line.object.key(), &line.item[..], line.range()),
        ("log-2", &b"three"[..], 0..6)
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_asked() {
    let emulator = start().await;
    let refused = async |builder: SequenceReaderBuilder| {
        let error: Error = builder.open().await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput { .. }),
            "{error}"
        );
    };
    let from = |object: &str| Checkpoint::start(object.parse().unwrap());
    refused(reader(&emulator, "{uuid}")).await;
    refused(reader(&emulator, "{pid}-{seq}")).await;
    refused(reader(&emulator, "%S%3f-{seq}")).await;
    refused(reader(&emulator, "log-{seq}").roll_every(Duration::ZERO)).await;
    refused(reader(&emulator, "log-{seq}").from_key("other-1")).await;
    refused(reader(&emulator, "log-{seq}").checkpoint(from("oss://bucket/other-1"))).await;
    refused(reader(&emulator, "log-{seq}").checkpoint(from("oss://other/log-1"))).await;
    refused(
        reader(&emulator, "log-{seq}").follower(|follower| follower.poll_interval(2 * MS..=MS)),
    )
    .await;
    let client = emulator.client().build().unwrap();
    let template: KeyTemplate = "log-{seq}".parse().unwrap();
    refused(SequenceReader::builder(client, "Not a bucket", template)).await;
    assert!(emulator.requests().is_empty());
}

/// Over sockets, with faults on both sides: a writer that rolls by size and time, with its client
/// dropped without an end now and then, and a reader that is dropped and goes on from what it has
/// stored.
#[tokio::test]
async fn what_a_rolling_writer_has_written_comes_out_once_and_in_order() {
    let emulator = start().await;
    for fault in [
        "append:drop-answer,times=5,skip=3",
        "head:error=503,times=20,skip=10",
        "get:truncate=40,times=10,skip=2",
        "list:error=500,times=3,skip=1",
    ] {
        inject(&emulator, fault);
    }
    const TEMPLATE: &str = "%H%M%S-{seq}";
    const LINES: usize = 600;
    let write = async {
        let client = emulator.client().build().unwrap();
        let builder = RollingWriter::builder(client, "bucket", TEMPLATE)
            .roll_size(200)
            .roll_every(Duration::from_secs(1))
            .seal_finished(true)
            .writer(|writer| writer.batch_size(50).backoff(Backoff::new(MS, 20 * MS)));
        let mut number = 0;
        while number < LINES {
            let mut writer = builder.clone().open().await.unwrap();
            for _ in 0..LINES / 4 {
                writer
                    .write_all(format!("line {number}\n").as_bytes())
                    .await
                    .unwrap();
                number += 1;
                if number % 7 == 0 {
                    writer.sync().await.unwrap();
                }
            }
            // What is not durable would be lost with the process.
            writer.sync().await.unwrap();
            drop(writer);
        }
    };
    let read = async {
        let mut builder = reader(&emulator, TEMPLATE).from_time(SystemTime::now());
        let mut seen = Vec::new();
        while seen.len() < LINES {
            let mut lines = builder.clone().open().await.unwrap().lines();
            for _ in 0..seen.len() % 13 + 1 {
                let line = next(&mut lines).await.unwrap();
                builder = builder.checkpoint(line.checkpoint());
                seen.push(String::from_utf8(line.item.to_vec()).unwrap());
                if seen.len() == LINES {
                    break;
                }
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(write, read);
    let expected: Vec<_> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(seen, expected);
    let stored = objects(&emulator, "").await;
    assert!(stored.len() > 10, "it has rolled");
}
