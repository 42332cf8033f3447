//! The guard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use oss_append::{Dropped, OssLogAppender, WhenFull};

use super::{ROOM, bucket_that_is_down, come_back, objects, until};
use crate::support::bucket::SimBucket;

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn what_is_left_is_delivered_when_the_guard_is_dropped() {
    let bucket = SimBucket::new();
    // Nothing would send it sooner.
    let objects = objects(&bucket).writer(|writer| writer.linger(Duration::MAX));
    let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    appender.record(b"the last words\n");
    drop(guard);
    assert_eq!(bucket.text(), "the last words\n");
}

#[test]
fn any_timeout_will_do() {
    let bucket = SimBucket::new();
    for (timeout, n) in [(Duration::MAX, 1), (Duration::ZERO, 2)] {
        let builder = OssLogAppender::builder(objects(&bucket)).shutdown_timeout(timeout);
        let (appender, guard) = builder.start_unchecked().unwrap();
        appender.record(b"record\n");
        until("sent", || bucket.text().len() == n * 7);
        drop(guard);
    }
}

#[test]
fn any_timeout_of_a_shutdown_does_what_it_says() {
    let bucket = SimBucket::new();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    assert!(guard.shutdown(Duration::MAX).is_complete());

    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    let start = Instant::now();
    let report = guard.shutdown(Duration::ZERO);
    assert_eq!((report.delivered, report.undelivered), (0, 7));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "not even the grace"
    );
}

/// The notice is made by the appender's thread.
#[test]
fn a_notice_that_never_returns_does_not_hold_up_the_end() {
    let bucket = bucket_that_is_down();
    let (making, made) = mpsc::channel();
    let (end, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .dropped_notice(move |_| {
            making.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
            String::new()
        })
        .start_unchecked()
        .unwrap();
    for _ in 0..ROOM {
        appender.record(b"full\n");
    }
    made.recv().unwrap();
    let start = Instant::now();
    let report = guard.shutdown(SHORT);
    assert!(report.undelivered > 0 && report.dropped.records > 0);
    assert!(start.elapsed() < Duration::from_secs(30));
    drop(end);
}

#[test]
fn a_dead_store_is_waited_for_until_the_deadline() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let bucket = bucket_that_is_down();
        let (appender, guard) = OssLogAppender::builder(objects(&bucket))
            .when_full(when_full)
            .start_unchecked()
            .unwrap();
        appender.record(b"record\n");
        until("requests", || bucket.requests() > 3);
        let report = guard.shutdown(SHORT);
        assert_eq!((report.delivered, report.undelivered), (0, 7));
        assert_eq!(report.dropped, Dropped::default());
        assert!(!report.is_complete());
        let error = report.error.as_ref().unwrap().to_string();
        assert!(error.contains("connection refused"), "{error}");
        let told = format!("0 bytes of log were delivered, 7 were not: {error}");
        assert_eq!(report.to_string(), told);
        // Whatever comes later changes nothing.
        come_back(&bucket);
        appender.record(b"record\n");
        assert_eq!(appender.stats().dropped.records, 1);
        assert_eq!(bucket.text(), "");
    }
}

/// Also in a buffer that has no room for the notice.
#[test]
fn a_dead_store_and_a_full_buffer() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    for _ in 0..100 {
        appender.record(b"a record\n");
    }
    let report = guard.shutdown(SHORT);
    let taken = ROOM / 9;
    assert_eq!((report.delivered, report.undelivered), (0, taken * 9));
    assert_eq!(report.dropped.records, 100 - taken);
    assert_eq!(report.unannounced, report.dropped);
    let told = report.to_string();
    let dropped = format!(
        "{} records ({} bytes) were dropped: ",
        100 - taken,
        (100 - taken) * 9
    );
    assert!(told.contains(&dropped), "{told}");
}

/// Each record is delivered, undelivered or dropped, also those that come while the log ends.
#[test]
fn the_report_and_the_stats_account_for_every_record() {
    for round in 0..30 {
        let bucket = bucket_that_is_down();
        let (appender, guard) = OssLogAppender::builder(objects(&bucket))
            .start_unchecked()
            .unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (logging, ends) = (appender.clone(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            let mut logged = 0;
            while !ends.load(Ordering::Relaxed) {
                logging.record(b"x\n");
                logged += 2;
            }
            logged
        });
        until("a record", || appender.stats().records > 0);
        let report = guard.shutdown(Duration::from_millis(round % 4));
        ended.store(true, Ordering::Relaxed);
        let logged: u64 = thread.join().unwrap();
        let stats = appender.stats();
        assert_eq!(stats.rolling.writer.accepted, report.undelivered);
        assert_eq!(stats.dropped.bytes + report.undelivered, logged);
    }
}

#[test]
fn a_leaked_guard_keeps_the_appender_going() {
    let bucket = SimBucket::new();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    std::mem::forget(guard);
    for n in 1..50 {
        appender.record(b"record\n");
        until("sent", || bucket.text() == "record\n".repeat(n));
    }
}
