//! The end of a log in async code.

use std::sync::mpsc;
use std::time::Duration;

use oss_append::emulator::Emulator;
use oss_append::{Dropped, LogTrouble, OssLogAppender, RollingWriter};

use super::{WATCHDOG, bucket_that_is_down, come_back, eager, objects, until};
use crate::support::bucket::SimBucket;
use crate::support::{SEC, emulated};

const SHORT: Duration = Duration::from_millis(20);

/// Logs to `emulator`; what arrived there.
fn log(emulator: &Emulator) -> OssLogAppenderBuilder {
    let client = emulator.client().build().unwrap();
    let objects = RollingWriter::builder(client, "bucket", "log-{seq}");
    // Nothing is sent before the end.
    OssLogAppender::builder(objects.writer(|writer| writer.linger(Duration::MAX)))
        .shutdown_timeout(WATCHDOG)
}

type OssLogAppenderBuilder = oss_append::OssLogAppenderBuilder<oss_append::OssClient>;

fn arrived(emulator: &Emulator) -> Option<String> {
    let object = emulator.object("bucket", "log-1")?;
    Some(String::from_utf8(object.bytes.to_vec()).unwrap())
}

fn lines() -> String {
    (0..1000).map(|n| format!("line {n}\n")).collect()
}

fn log_lines(appender: &OssLogAppender) {
    for line in lines().split_inclusive('\n') {
        appender.record(line.as_bytes());
    }
}

/// The thread that is blocked by that is the only one of the runtime.
#[tokio::test(flavor = "current_thread")]
async fn a_guard_that_is_dropped_in_a_test_delivers_to_the_embedded_server() {
    let emulator = emulated::start().await;
    let (appender, guard) = log(&emulator).start().await.unwrap();
    log_lines(&appender);
    drop(guard);
    assert_eq!(arrived(&emulator), Some(lines()));
}

/// Also where the server needs the thread that awaits it.
#[tokio::test(flavor = "current_thread")]
async fn a_close_blocks_no_thread() {
    let emulator = emulated::start_with(Emulator::builder().on_current_runtime()).await;
    let (appender, guard) = log(&emulator).start().await.unwrap();
    log_lines(&appender);
    let report = guard.close(WATCHDOG).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.delivered, lines().len() as u64);
    assert_eq!(arrived(&emulator), Some(lines()));
}

/// Its deadline is not one of this runtime, whose time passes at once.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_end_a_close() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    let away = bucket.clone();
    std::thread::spawn(move || {
        until("requests", || away.requests() > 5);
        come_back(&away);
    });
    assert!(guard.close(WATCHDOG).await.is_complete());
    assert_eq!(bucket.text(), "record\n");
}

#[tokio::test]
async fn a_close_gives_a_dead_store_up_at_its_deadline() {
    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    until("requests", || bucket.requests() > 3);
    let report = guard.close(SHORT).await;
    assert_eq!((report.delivered, report.undelivered), (0, 7));
    assert_eq!(report.dropped, Dropped::default());
    let error = report.error.unwrap().to_string();
    assert!(error.contains("connection refused"), "{error}");
    // Whatever comes later changes nothing.
    come_back(&bucket);
    appender.record(b"later\n");
    assert_eq!(appender.stats().dropped.records, 1);
    assert_eq!(bucket.text(), "");
}

/// The call begins it: neither to poll nor to await it is needed.
#[tokio::test]
async fn a_close_that_is_given_up_delivers_what_is_left() {
    for polled in [false, true] {
        let bucket = bucket_that_is_down();
        let log = OssLogAppender::builder(objects(&bucket));
        let (appender, guard) = log.start_unchecked().unwrap();
        appender.record(b"record\n");
        let mut close = Box::pin(guard.close(WATCHDOG));
        if polled {
            assert!(futures::poll!(&mut close).is_pending());
        }
        drop(close);
        come_back(&bucket);
        until("delivered", || bucket.text() == "record\n");
        until("ended", || {
            appender.record(b"later\n");
            appender.stats().dropped.records > 0
        });
    }
}

#[tokio::test]
async fn what_a_close_that_was_given_up_could_not_deliver_is_told() {
    let bucket = bucket_that_is_down();
    let (tell, told) = mpsc::channel();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .on_trouble(move |trouble| tell.send(trouble).unwrap())
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    drop(guard.close(SHORT));
    match told.recv_timeout(WATCHDOG).unwrap() {
        LogTrouble::Lost(report) => assert_eq!(report.undelivered, 7),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_close_may_end_with_its_runtime() {
    let bucket = SimBucket::new();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket).writer(eager))
        .start()
        .await
        .unwrap();
    appender.record(b"record\n");
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        // A runtime without timers.
        runtime.block_on(guard.close(10 * SEC))
    });
    assert!(ended.join().unwrap().is_complete());
    assert_eq!(bucket.text(), "record\n");
}
