//! Records that come in pieces: what is begun counts against the buffer.

use std::io::Write;
use std::thread;
use std::time::Duration;

use oss_append::{Dropped, LogGuard, OssLogAppender, RollingWriter, WhenFull};
use tracing_subscriber::fmt::MakeWriter;

use super::{WATCHDOG, bucket_that_is_down, come_back, eager, notice, told, until};
use crate::support::bucket::SimBucket;

const KIB: usize = 1024;

/// The buffer, half of which a record may take.
const CAPACITY: usize = 256 * KIB;

/// What of a record does not count.
const FREE: usize = 4 * KIB;

fn start(bucket: &SimBucket, when_full: WhenFull) -> (OssLogAppender, LogGuard) {
    let objects = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq:4}");
    let objects = objects.writer(|writer| {
        eager(writer)
            .batch_size(1)
            .max_append_size(CAPACITY as u64 / 2)
            .buffer_capacity(CAPACITY as u64)
    });
    let builder = OssLogAppender::builder(objects).when_full(when_full);
    builder.start_unchecked().unwrap()
}

/// A record of `len` bytes.
fn record(byte: char, len: usize) -> String {
    byte.to_string().repeat(len - 1) + "\n"
}

fn dropped(records: u64, bytes: usize) -> Dropped {
    let mut dropped = Dropped::default();
    (dropped.records, dropped.bytes) = (records, bytes as u64);
    dropped
}

#[test]
fn what_is_begun_counts_against_the_buffer_until_it_has_ended() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    let mut writer = appender.writer();
    writer.write_all(&[b'x'; FREE]).unwrap();
    assert_eq!(appender.stats().begun, 0);
    writer.write_all(b"x").unwrap();
    let begun = appender.stats().begun as usize;
    assert!((1..=16 * KIB).contains(&begun), "{begun}");
    for _ in 0..50 {
        writer.write_all(&[b'x'; KIB]).unwrap();
        let begun = appender.stats().begun as usize;
        assert!(begun <= CAPACITY / 2, "{begun}");
    }
    writer.write_all(b"\n").unwrap();
    let mut event = appender.make_writer();
    event.write_all(&[b'y'; 30 * KIB]).unwrap();
    assert!(appender.stats().begun > 0);
    drop(event);

    assert_eq!(appender.stats().begun, 0);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let expected = record('x', FREE + 1 + 50 * KIB + 1) + &"y".repeat(30 * KIB);
    assert!(bucket.text() == expected);
    assert_eq!(appender.stats().records, 2);
}

#[test]
fn the_longest_record_may_come_in_pieces_of_any_length() {
    for piece in [1, 1000, FREE, CAPACITY / 2] {
        let bucket = SimBucket::new();
        let (appender, guard) = start(&bucket, WhenFull::Drop);
        let longest = record('x', CAPACITY / 2);
        let mut writer = appender.writer();
        for piece in longest.as_bytes().chunks(piece) {
            writer.write_all(piece).unwrap();
        }
        assert_eq!(appender.stats().dropped, Dropped::default(), "{piece}");
        assert!(guard.shutdown(WATCHDOG).is_complete());
        assert!(bucket.text() == longest);
    }
}

#[test]
fn a_record_that_finds_no_room_to_grow_is_dropped_whole_and_told_of() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    let mut writer = appender.writer();
    writer.write_all(&[b'x'; 50 * KIB]).unwrap();
    while appender.stats().dropped.records == 0 {
        appender.record(record('w', 10 * KIB).as_bytes());
    }
    let before = appender.stats().dropped;
    writer.write_all(&[b'x'; 50 * KIB]).unwrap();
    assert_eq!(appender.stats().begun, 0, "it is not kept");
    writer.write_all(&[b'x'; 50 * KIB - 1]).unwrap();
    writer.write_all(b"\n").unwrap();

    let both = dropped(2, before.bytes as usize + 150 * KIB);
    assert_eq!(appender.stats().dropped, both);
    come_back(&bucket);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    // In one line or in two.
    let told = bucket
        .text()
        .lines()
        .filter_map(told)
        .fold((0, 0), |all, told| (all.0 + told.0, all.1 + told.1));
    assert_eq!(told, (2, both.bytes));
}

#[test]
fn others_do_not_take_the_room_of_what_is_begun() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    let mut writer = appender.writer();
    let whole = record('x', 100 * KIB);
    writer.write_all(&whole.as_bytes()[..99 * KIB]).unwrap();
    while appender.stats().dropped.records == 0 {
        appender.record(record('w', KIB).as_bytes());
    }
    let taken = appender.stats().rolling.writer.accepted as usize;
    assert!(taken + 95 * KIB <= CAPACITY, "{taken}");
    assert!(taken > CAPACITY - 120 * KIB, "{taken}");
    come_back(&bucket);
    until("they are sent", || {
        appender.stats().rolling.writer.buffered == 0
    });
    writer.write_all(&whole.as_bytes()[99 * KIB..]).unwrap();
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert!(bucket.text().contains(&whole));
}

#[test]
fn a_thread_that_waits_for_room_to_grow_loses_nothing() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    let full = record('w', CAPACITY / 2);
    appender.record(full.as_bytes());
    appender.record(full.as_bytes());
    let whole = record('x', 100 * KIB);
    let (mut writer, pieces) = (appender.writer(), whole.clone());
    let thread = thread::spawn(move || {
        for piece in pieces.as_bytes().chunks(KIB) {
            writer.write_all(piece).unwrap();
        }
    });
    let requests = bucket.requests();
    until("requests", || bucket.requests() > requests + 20);
    assert!(!thread.is_finished());

    come_back(&bucket);
    thread.join().unwrap();
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(appender.stats().dropped, Dropped::default());
    assert!(bucket.text() == full.repeat(2) + &whole);
}

/// One thread has begun so many that no append makes room for the rest of them.
#[test]
fn records_that_leave_each_other_no_room_are_dropped_and_never_waited_for() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let bucket = SimBucket::new();
        let (appender, guard) = start(&bucket, when_full);
        let mut writers: Vec<_> = (0..20).map(|_| appender.writer()).collect();
        for _ in 0..30 {
            for writer in &mut writers {
                writer.write_all(&[b'x'; KIB]).unwrap();
            }
        }
        assert!(appender.stats().begun as usize <= CAPACITY / 2);
        // Whole ones have the other half.
        let longest = record('w', CAPACITY / 2);
        appender.record(longest.as_bytes());
        until("it is sent", || {
            appender.stats().rolling.writer.buffered == 0
        });
        for writer in &mut writers {
            writer.write_all(b"\n").unwrap();
        }
        let stats = appender.stats();
        assert_eq!(
            (stats.begun, stats.dropped.bytes % (30 * KIB as u64 + 1)),
            (0, 0)
        );
        assert!((1..20).contains(&stats.dropped.records), "{stats:?}");
        assert!(guard.shutdown(WATCHDOG).is_complete());
        let text = bucket.text();
        let whole = text.matches(&record('x', 30 * KIB + 1)).count() as u64;
        assert_eq!(whole, 20 - stats.dropped.records);
    }
}

#[test]
fn room_that_is_given_back_wakes_those_who_wait_for_it() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    let mut begun = appender.writer();
    begun.write_all(&[b'x'; 100 * KIB]).unwrap();
    appender.record(record('w', CAPACITY / 2).as_bytes());
    let waiting = appender.clone();
    let thread = thread::spawn(move || waiting.record(record('v', 50 * KIB).as_bytes()));
    let requests = bucket.requests();
    until("requests", || bucket.requests() > requests + 5);
    assert!(!thread.is_finished());
    // Too long, and so forgotten.
    begun.write_all(&[b'x'; 100 * KIB]).unwrap();
    thread.join().unwrap();
    drop(begun);
    let report = guard.shutdown(Duration::from_millis(20));
    assert_eq!(report.dropped, dropped(1, 200 * KIB));
    let told = notice(report.dropped).len();
    assert_eq!(report.undelivered as usize, CAPACITY / 2 + 50 * KIB + told);
}
