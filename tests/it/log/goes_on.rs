//! The end of one object, and an answer that asks to wait, is not the end of a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use oss_append::{Dropped, Error, OssLogAppender, RollingWriter, ServiceError};

use super::{WATCHDOG, eager, objects, until};
use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Op, service};

/// Noon of 2026-11-28.
const NOON: u64 = 1_795_867_200;
const DAY: u64 = 24 * 60 * 60;

/// Ends an object.
type End = fn(&SimBucket, &str);

fn append(bucket: &SimBucket, key: &str) {
    bucket.object(key).foreign("theirs\n");
}

fn delete(bucket: &SimBucket, key: &str) {
    bucket.object(key).world().object = None;
}

fn seal(bucket: &SimBucket, key: &str) {
    bucket.object(key).world().object.as_mut().unwrap().sealed = true;
}

fn put(appender: &OssLogAppender, record: &str) {
    let durable = appender.stats().rolling.writer.durable + record.len() as u64;
    appender.record(record.as_bytes());
    until(record, || {
        appender.stats().rolling.writer.durable == durable
    });
}

#[test]
fn a_log_without_seq_goes_on_after_the_end_of_its_object() {
    let ends: [(End, &str); 3] = [(append, "one\ntheirs\n"), (delete, ""), (seal, "one\n")];
    for (end, first) in ends {
        let bucket = SimBucket::new();
        let now = Arc::new(AtomicU64::new(NOON));
        let clock = Arc::clone(&now);
        let objects = RollingWriter::builder(bucket.clone(), "bucket", "app/%Y-%m-%d.log")
            .daily()
            .clock(move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed))
            })
            .writer(eager);
        let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
        put(&appender, "one\n");
        end(&bucket, "app/2026-11-28.log");
        put(&appender, "two\n");
        end(&bucket, "app/2026-11-28-2.log");
        put(&appender, "three\n");
        now.fetch_add(DAY, Ordering::Relaxed);
        // That a day has passed is noticed with the first record at the latest, or before it.
        put(&appender, "midnight\n");
        put(&appender, "the next day\n");

        let report = guard.shutdown(WATCHDOG);

        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.dropped, Dropped::default());
        assert_eq!(bucket.object("app/2026-11-28.log").text(), first);
        let last = bucket.object("app/2026-11-28-3.log").text();
        let next = bucket.object("app/2026-11-29.log").text();
        assert!(last.starts_with("three\n") && next.ends_with("the next day\n"));
        assert_eq!(last + &next, "three\nmidnight\nthe next day\n");
    }
}

#[test]
fn a_log_without_seq_goes_on_when_its_object_is_full() {
    let bucket = SimBucket::new();
    let objects = RollingWriter::builder(bucket.clone(), "bucket", "%Y.log")
        .roll_every(Duration::from_secs(366 * DAY))
        .clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOON))
        .writer(|writer| eager(writer).max_append_size(20).max_object_size(20));
    let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    for record in ["one\n", "seventeen bytes.\n", "two\n", "also seventeen..\n"] {
        put(&appender, record);
    }
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.delivered, 42);
    for (key, text) in [
        ("2026.log", "one\n"),
        ("2026-2.log", "seventeen bytes.\n"),
        ("2026-3.log", "two\n"),
        ("2026-4.log", "also seventeen..\n"),
    ] {
        assert_eq!(bucket.object(key).text(), text);
    }
}

fn asks_for_an_hour() -> Fault {
    let mut slow = ServiceError::new(503, "ServiceUnavailable");
    slow.retry_after = Some(Duration::from_secs(60 * 60));
    Fault::answered(Error::service(slow))
}

#[test]
fn the_end_of_a_log_does_not_wait_for_what_an_answer_asked_for() {
    let bucket = SimBucket::new();
    bucket.object("log-0001").fault(asks_for_an_hour());
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    until("the answer", || {
        appender.stats().rolling.writer.last_error.is_some()
    });
    let start = Instant::now();
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(bucket.text(), "record\n");
}

/// With the settings of a log, whose own clock is the real one.
#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_an_hour_silences_a_log_for_a_minute_at_most() {
    let bucket = SimBucket::new();
    bucket.object("log-0001").fault(asks_for_an_hour());
    let mut writer = objects(&bucket)
        .record_per_write()
        .keep_trying(true)
        .writer(|writer| writer.delivery_timeout(Duration::from_secs(u32::MAX.into())))
        .start()
        .unwrap();
    let start = tokio::time::Instant::now();
    writer.write_record("record\n".into()).await.unwrap();
    writer.sync().await.unwrap();
    let took = start.elapsed();
    assert!(took <= Duration::from_secs(61), "{took:?}");
    assert_eq!(bucket.text(), "record\n");
}

#[test]
fn a_store_that_cannot_seal_does_not_stop_a_log() {
    let bucket = SimBucket::new();
    let keys = (1..=5).map(|number| format!("log-{number:04}"));
    for key in keys.clone() {
        for _ in 0..100 {
            let object = bucket.object(&key);
            object.fail_seal(false, service(501, "NotImplemented"));
        }
    }
    let objects = objects(&bucket).roll_size(6).seal_finished(true);
    let (appender, guard) = OssLogAppender::builder(objects).start_unchecked().unwrap();
    for _ in 0..5 {
        put(&appender, "line\n");
    }
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(bucket.texts(), ["line\n"; 5]);
    for key in keys {
        let ops = bucket.object(&key).ops();
        let seals = ops.iter().filter(|op| matches!(op, Op::Seal(_))).count();
        assert!(seals <= 1, "{seals} seals of {key}");
    }
}

/// Those that no request can meet are refused.
#[test]
fn any_time_that_a_request_may_take_works() {
    for time in [Duration::ZERO, Duration::MAX] {
        let bucket = SimBucket::new();
        let objects =
            objects(&bucket).writer(|writer| writer.attempt_timeout(time).delivery_timeout(time));
        let (appender, guard) = match OssLogAppender::builder(objects).start_unchecked() {
            Ok(started) => started,
            Err(_) => continue,
        };
        put(&appender, "record\n");
        assert!(guard.shutdown(WATCHDOG).is_complete());
    }
}
