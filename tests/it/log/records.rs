//! What a record is.

use std::io::Write;

use oss_append::{Dropped, LogGuard, OssLogAppender, WhenFull};
use tracing_subscriber::fmt::MakeWriter;

use super::{ROOM, WATCHDOG, objects};
use crate::support::bucket::SimBucket;

fn start(bucket: &SimBucket) -> (OssLogAppender, LogGuard) {
    let objects = objects(bucket).roll_size(100);
    OssLogAppender::builder(objects)
        .when_full(WhenFull::Block)
        .start_unchecked()
        .unwrap()
}

/// The longest record.
const LONGEST: usize = ROOM as usize / 2;

#[test]
fn a_record_of_many_lines_is_not_split_between_objects() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket);
    let event = |n: usize| format!("begin {n}\n{}end {n}\n", "  a line of it\n".repeat(n % 4));
    for n in 0..100 {
        appender
            .make_writer()
            .write_all(event(n).as_bytes())
            .unwrap();
    }
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(appender.stats().records, 100);
    assert_eq!(bucket.text(), (0..100).map(event).collect::<String>());
    let texts = bucket.texts();
    assert!(texts.len() > 20, "{}", texts.len());
    for text in texts {
        assert!(text.starts_with("begin "), "{text}");
        let last = text.lines().last().unwrap();
        assert!(text.ends_with('\n') && last.starts_with("end "), "{text}");
        assert!(text.len() <= 100);
    }
}

#[test]
fn pieces_are_gathered_up_to_a_line_break() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket);
    let mut writer = appender.writer();
    for piece in ["one ", "re", "", "cord\n"] {
        assert_eq!(writer.write(piece.as_bytes()).unwrap(), piece.len());
    }
    assert_eq!(appender.stats().records, 1);
    // A break in the midst of a piece ends nothing.
    for piece in ["a\nb", "\nc\n", "\n"] {
        writer.write_all(piece.as_bytes()).unwrap();
    }
    assert_eq!(appender.stats().records, 3);
    let mut event = appender.make_writer();
    writeln!(event, "event {}", 4).unwrap();
    assert_eq!(appender.stats().records, 4);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), "one record\na\nb\nc\n\nevent 4\n");
}

#[test]
fn a_flush_and_a_drop_end_a_record() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket);
    let mut writer = appender.writer();
    writer.write_all(b"flushed;").unwrap();
    assert_eq!(appender.stats().records, 0);
    writer.flush().unwrap();
    assert_eq!(appender.stats().records, 1);
    writer.flush().unwrap();
    writer.write_all(b"dropped;").unwrap();
    drop(writer);
    assert_eq!(appender.stats().records, 2);
    let mut event = appender.make_writer();
    event.write_all(b"flushed event;").unwrap();
    event.flush().unwrap();
    event.write_all(b"dropped event;").unwrap();
    drop(event);
    assert_eq!(appender.stats().records, 4);
    drop((appender.writer(), appender.make_writer()));
    assert_eq!(appender.stats().records, 4);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let text = "flushed;dropped;flushed event;dropped event;";
    assert_eq!(bucket.text(), text);
}

#[test]
fn clones_do_not_mix_their_pieces() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket);
    let mut a = appender.writer();
    a.write_all(b"a be").unwrap();
    let mut b = a.clone();
    b.write_all(b"b be").unwrap();
    let mut c = appender.clone().writer();
    c.write_all(b"c be").unwrap();
    for writer in [&mut b, &mut a, &mut c] {
        writer.write_all(b"gun\n").unwrap();
    }
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), "b begun\na begun\nc begun\n");
}

#[test]
fn a_record_that_is_too_long_is_dropped_whole_and_counted() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let bucket = SimBucket::new();
        let (appender, guard) = OssLogAppender::builder(objects(&bucket))
            .when_full(when_full)
            .dropped_notice(|Dropped { records, bytes, .. }| format!("{records}: {bytes}\n"))
            .start_unchecked()
            .unwrap();
        let longest = "x".repeat(LONGEST - 1) + "\n";
        appender.record(longest.as_bytes());
        assert_eq!(appender.stats().dropped, Dropped::default());
        appender.record(format!("x{longest}").as_bytes());
        let long = LONGEST as u64 + 1;
        assert_eq!(appender.stats().dropped.records, 1);
        assert_eq!(appender.stats().dropped.bytes, long);
        // One that never seems to end.
        let mut writer = appender.writer();
        for _ in 0..1_000 {
            writer.write_all(&[b'y'; 100]).unwrap();
        }
        writer.write_all(b"\n").unwrap();
        assert_eq!(appender.stats().dropped.records, 2);
        assert_eq!(appender.stats().dropped.bytes, long + 100_001);
        writer.write_all(b"short\n").unwrap();
        let report = guard.shutdown(WATCHDOG);
        assert!(report.is_complete(), "{report:?}");
        let text = bucket.text();
        let rest = text.strip_prefix(&longest).unwrap();
        // In one notice or in two.
        let both = format!("2: {}\nshort\n", long + 100_001);
        let each = format!("1: {long}\n1: 100001\nshort\n");
        assert!(rest == both || rest == each, "{rest}");
    }
}

#[test]
fn an_empty_record_is_nothing() {
    let bucket = SimBucket::new();
    let (appender, guard) = start(&bucket);
    appender.record(b"");
    appender.writer().write_all(b"").unwrap();
    appender.make_writer().flush().unwrap();
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete() && report.delivered == 0);
    let stats = appender.stats();
    assert_eq!((stats.records, stats.dropped), (0, Dropped::default()));
    assert_eq!(bucket.requests(), 0, "nothing is asked of the store");
    appender.record(b"");
    assert_eq!(appender.stats().dropped, Dropped::default());
}

#[test]
fn after_the_end_records_are_dropped_and_counted() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let bucket = SimBucket::new();
        let (appender, guard) = OssLogAppender::builder(objects(&bucket))
            .when_full(when_full)
            .start_unchecked()
            .unwrap();
        appender.record(b"before\n");
        drop(guard);
        let mut writer = appender.writer();
        for _ in 0..200 {
            appender.record(b"after\n");
            writer.write_all(b"after\n").unwrap();
            appender.make_writer().write_all(b"after\n").unwrap();
        }
        let stats = appender.stats();
        assert_eq!(stats.records, 1);
        assert_eq!((stats.dropped.records, stats.dropped.bytes), (600, 3_600));
        assert_eq!(bucket.text(), "before\n");
    }
}
