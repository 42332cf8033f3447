//! The buffer is full.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use oss_append::{Dropped, LogGuard, OssLogAppender, WhenFull};

use super::{ROOM, WATCHDOG, bucket_that_is_down, come_back, notice, objects, told, until};
use crate::support::bucket::SimBucket;
use crate::support::store::Fault;

/// The n-th record.
fn record(n: u64) -> String {
    format!("record {n:05}\n")
}

/// The length of a record.
const LEN: u64 = 13;
/// How many fit in the buffer.
const FIT: u64 = ROOM / LEN;

fn records(numbers: std::ops::Range<u64>) -> String {
    numbers.map(record).collect()
}

fn log(appender: &OssLogAppender, numbers: std::ops::Range<u64>) {
    numbers.for_each(|n| appender.record(record(n).as_bytes()));
}

fn dropped(records: u64) -> Dropped {
    let mut dropped = Dropped::default();
    (dropped.records, dropped.bytes) = (records, records * LEN);
    dropped
}

fn start(bucket: &SimBucket, when_full: WhenFull) -> (OssLogAppender, LogGuard) {
    OssLogAppender::builder(objects(bucket))
        .when_full(when_full)
        .start_unchecked()
        .unwrap()
}

#[test]
fn the_newest_are_dropped_and_counted_and_told_of_in_their_place() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    log(&appender, 0..1_000);
    let stats = appender.stats();
    assert_eq!(stats.records, FIT);
    assert_eq!(stats.rolling.writer.accepted, FIT * LEN);
    assert_eq!(stats.dropped, dropped(1_000 - FIT));
    assert_eq!(bucket.text(), "");

    come_back(&bucket);
    // Also when nothing more is logged.
    let first = records(0..FIT) + &notice(dropped(1_000 - FIT));
    until("the notice", || bucket.text() == first);
    log(&appender, 1_000..1_020);
    let report = guard.shutdown(WATCHDOG);
    assert_eq!(bucket.text(), first + &records(1_000..1_020));
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.dropped, dropped(1_000 - FIT));
    assert_eq!(report.unannounced, Dropped::default());
    // The notice is a record as well.
    assert_eq!(appender.stats().records, FIT + 1 + 20);
}

#[test]
fn the_notice_comes_also_when_the_log_ends_before_the_service_is_back() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    log(&appender, 0..100);
    let end = thread::spawn(move || guard.shutdown(WATCHDOG));
    come_back(&bucket);
    assert!(end.join().unwrap().is_complete());
    assert_eq!(bucket.text(), records(0..FIT) + &notice(dropped(100 - FIT)));
}

/// Between two records that arrived, the notices tell exactly of those that did not.
#[test]
fn each_gap_is_told_of_where_it_is() {
    const RECORDS: u64 = 20_000;
    let bucket = SimBucket::new();
    let store = bucket.object("log-0001");
    let mut appends = 0;
    store.world().chaos = Some(Box::new(move |_, _, _| {
        appends += 1;
        // Outages of different lengths.
        match appends % 50 {
            0..10 => Fault::refused(),
            20 | 22 | 24 => Fault::lost_answer(),
            _ => Fault::none(),
        }
    }));
    let (appender, guard) = start(&bucket, WhenFull::Drop);
    for n in 0..RECORDS {
        log(&appender, n..n + 1);
        if n % 40 == 0 {
            thread::yield_now();
        }
    }
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    assert!(report.dropped.records > 0, "the test drops nothing");

    let (mut next, mut sum) = (0, 0);
    for line in bucket.text().lines() {
        match told(line) {
            Some((records, bytes)) => {
                assert_eq!(bytes, records * LEN);
                next += records;
                sum += records;
            }
            None => {
                assert_eq!(format!("{line}\n"), record(next));
                next += 1;
            }
        }
    }
    assert_eq!((next, sum), (RECORDS, report.dropped.records));
    assert!(sum < RECORDS);
}

#[test]
fn a_notice_of_ones_own() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .dropped_notice(|Dropped { records, bytes, .. }| {
            format!("{{\"dropped\":{records},\"bytes\":{bytes}}}\n")
        })
        .start_unchecked()
        .unwrap();
    log(&appender, 0..FIT + 2);
    come_back(&bucket);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let told = "{\"dropped\":2,\"bytes\":26}\n";
    assert_eq!(bucket.text(), records(0..FIT) + told);
}

/// Without a notice, or one that cannot be written, the log goes on, and the report tells.
#[test]
fn no_notice() {
    let too_long = "x".repeat(ROOM as usize / 2) + "\n";
    for told in [String::new(), too_long] {
        let bucket = bucket_that_is_down();
        let (appender, guard) = OssLogAppender::builder(objects(&bucket))
            .dropped_notice(move |_| told.clone())
            .start_unchecked()
            .unwrap();
        log(&appender, 0..FIT + 2);
        come_back(&bucket);
        let first = records(0..FIT);
        until("the first records", || bucket.text() == first);
        until("room", || appender.stats().rolling.writer.buffered == 0);
        log(&appender, 100..110);
        let report = guard.shutdown(WATCHDOG);
        assert_eq!(bucket.text(), first + &records(100..110));
        assert_eq!(report.undelivered, 0);
        assert_eq!(
            (report.dropped, report.unannounced),
            (dropped(2), dropped(2))
        );
        assert!(!report.is_complete());
    }
}

/// The notice is made by the thread that logs.
#[test]
fn a_notice_that_uses_the_appender() {
    let bucket = SimBucket::new();
    // The appender's thread stands still in its first look.
    let (looks, looking) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    bucket.object("log-0001").world().look_chaos = Some(Box::new(move || {
        let _ = looks.send(());
        let _ = held.recv();
        None
    }));
    let own = Arc::new(OnceLock::<OssLogAppender>::new());
    let inner = Arc::clone(&own);
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .dropped_notice(move |_| {
            let own = inner.get().unwrap();
            own.record(b"from the notice\n");
            format!("{}\n", own.stats().dropped.records)
        })
        .start_unchecked()
        .unwrap();
    own.set(appender.clone()).unwrap();
    appender.record(record(0).as_bytes());
    looking.recv().unwrap();
    log(&appender, 1..FIT + 3);
    assert_eq!(appender.stats().records, FIT);
    appender.record(b"x\n");
    assert_eq!(appender.stats().records, FIT + 2);
    drop(go_on);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), records(0..FIT) + "3\nx\n");
}

#[test]
fn a_thread_that_waits_loses_nothing() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    let logging = appender.clone();
    let thread = thread::spawn(move || log(&logging, 0..1_000));
    until("full", || appender.stats().records == FIT);
    // Some life of the appender later.
    let requests = bucket.requests();
    until("requests", || bucket.requests() > requests + 20);
    assert_eq!(appender.stats().records, FIT);
    assert!(!thread.is_finished());

    come_back(&bucket);
    thread.join().unwrap();
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.dropped, Dropped::default());
    assert_eq!(bucket.text(), records(0..1_000));
}

#[test]
fn many_threads_that_wait_all_go_on() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    log(&appender, 0..FIT);
    thread::scope(|scope| {
        for n in 1..=20 {
            let appender = &appender;
            scope.spawn(move || log(appender, n * 100..n * 100 + 50));
        }
        come_back(&bucket);
    });
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let mut lines: Vec<_> = bucket.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len() as u64, FIT + 20 * 50);
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len() as u64, FIT + 20 * 50);
}

/// A record that waits stands behind the notice of those that were dropped before it.
#[test]
fn a_thread_that_waits_comes_behind_the_notice() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    let long = "x".repeat(ROOM as usize / 2);
    log(&appender, 0..FIT);
    appender.record(format!("{long}\n").as_bytes());
    let waiting = appender.clone();
    let thread = thread::spawn(move || log(&waiting, 100..110));
    let requests = bucket.requests();
    until("requests", || bucket.requests() > requests + 5);
    come_back(&bucket);
    thread.join().unwrap();
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let told = "oss-append: 1 log records (401 bytes) were dropped here\n";
    assert_eq!(bucket.text(), records(0..FIT) + told + &records(100..110));
}

#[test]
fn threads_that_wait_are_released_when_the_log_ends() {
    const THREADS: u64 = 8;
    let bucket = bucket_that_is_down();
    let (appender, guard) = start(&bucket, WhenFull::Block);
    log(&appender, 0..FIT);
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let appender = appender.clone();
            thread::spawn(move || log(&appender, n * 100..n * 100 + 10))
        })
        .collect();
    let requests = bucket.requests();
    until("requests", || bucket.requests() > requests + 20);
    assert!(threads.iter().all(|thread| !thread.is_finished()));
    let report = guard.shutdown(Duration::from_millis(50));
    assert_eq!((report.delivered, report.undelivered), (0, FIT * LEN));
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(appender.stats().dropped, dropped(THREADS * 10));
}

/// What takes long in a notice, such as a lock of the program's, is nothing that others wait for.
#[test]
fn a_notice_that_takes_long_holds_up_nobody_else() {
    let bucket = bucket_that_is_down();
    let (making, made) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(Some(held));
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .dropped_notice(move |dropped| {
            let first = held.lock().unwrap().take();
            if let Some(held) = first {
                making.send(()).unwrap();
                let _ = held.recv();
            }
            notice(dropped)
        })
        .start_unchecked()
        .unwrap();
    log(&appender, 0..FIT + 2);
    come_back(&bucket);
    // By the appender's thread, or by this one.
    let logging = appender.clone();
    let thread = thread::spawn(move || log(&logging, 100..101));
    made.recv_timeout(WATCHDOG).unwrap();

    let others = appender.clone();
    let others = thread::spawn(move || {
        let stats = others.stats();
        others.record(&[b'x'; ROOM as usize]);
        log(&others, 200..201);
        stats.dropped.records
    });
    until("they have gone on", || others.is_finished());
    assert!(others.join().unwrap() >= 2);

    drop(go_on);
    thread.join().unwrap();
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    let text = bucket.text();
    let told: Vec<u64> = text.lines().filter_map(told).map(|(n, _)| n).collect();
    let arrived = (text.lines().count() - told.len()) as u64;
    assert_eq!(told.iter().sum::<u64>(), report.dropped.records);
    assert_eq!(arrived + report.dropped.records, FIT + 5);
}
