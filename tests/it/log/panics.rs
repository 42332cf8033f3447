//! Panics of the program.

use std::fmt;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};

use oss_append::{OssLogAppender, WhenFull};
use tracing::{error, info};

use super::processes::{arrived, child, output, role, served, succeed, with_server};
use super::{ROOM, WATCHDOG, bucket_that_is_down, objects};
use crate::support::bucket::SimBucket;
use crate::support::emulated;

/// Logs every panic by way of the global subscriber.
fn log_panics(appender: &OssLogAppender) {
    tracing_subscriber::fmt()
        .with_writer(appender.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        error!("panicked: {}", text.unwrap());
    }));
}

fn panics(text: &'static str) {
    panic::catch_unwind(|| panic!("{text}")).unwrap_err();
}

#[tokio::test]
async fn a_panic_hook_logs() {
    const TEST: &str = "log::panics::a_panic_hook_logs";
    let Some(role) = role() else {
        for role in ["Drop", "Block", "down"] {
            succeed(child(TEST, role)).await;
        }
        return;
    };
    let (bucket, when_full) = match role.as_str() {
        "Drop" => (SimBucket::new(), WhenFull::Drop),
        "Block" => (SimBucket::new(), WhenFull::Block),
        _ => (bucket_that_is_down(), WhenFull::Drop),
    };
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .when_full(when_full)
        .start_unchecked()
        .unwrap();
    log_panics(&appender);
    if role == "down" {
        for _ in 0..ROOM {
            appender.record(b"full\n");
        }
        let dropped = appender.stats().dropped.records;
        panics("here");
        std::thread::spawn(|| panics("there")).join().unwrap();
        assert_eq!(appender.stats().dropped.records, dropped + 2);
        return std::mem::forget(guard);
    }
    panics("here");
    std::thread::spawn(|| panic!("there")).join().unwrap_err();
    // In the midst of a record.
    struct Bad;
    impl fmt::Display for Bad {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in the midst");
        }
    }
    let half = || writeln!(appender.writer(), "half a record{Bad}");
    panic::catch_unwind(AssertUnwindSafe(half)).unwrap_err();
    info!("goes on");
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let panicked =
        ["here", "there", "in the midst"].map(|what| format!("ERROR panicked: {what}\n"));
    let text = panicked.concat() + "half a record INFO goes on\n";
    assert_eq!(bucket.text(), text);
}

/// A panic in the midst of the notice meets the hook, which logs.
#[tokio::test]
async fn a_notice_that_panics_blocks_nobody() {
    const TEST: &str = "log::panics::a_notice_that_panics_blocks_nobody";
    if role().is_none() {
        succeed(child(TEST, "")).await;
        return;
    }
    let bucket = bucket_that_is_down();
    let (appender, guard) = OssLogAppender::builder(objects(&bucket))
        .dropped_notice(|_| panic!("in the notice"))
        .start_unchecked()
        .unwrap();
    log_panics(&appender);
    for _ in 0..ROOM {
        appender.record(b"full\n");
    }
    super::come_back(&bucket);
    let report = guard.shutdown(WATCHDOG);
    assert_eq!((report.delivered, report.undelivered), (ROOM, 0));
    assert_eq!(report.dropped.records, ROOM - ROOM / 5);
    assert_eq!(report.unannounced, report.dropped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_panic_that_ends_main_delivers_the_log() {
    const TEST: &str = "log::panics::a_panic_that_ends_main_delivers_the_log";
    if role().is_some() {
        let (appender, _guard) = OssLogAppender::builder(served()).start_unchecked().unwrap();
        log_panics(&appender);
        info!("before");
        panic!("the end");
    }
    let emulator = emulated::start().await;
    let ended = output(with_server(child(TEST, ""), &emulator)).await;
    assert_eq!(ended.status.code(), Some(101));
    assert_eq!(
        arrived(&emulator),
        " INFO before\nERROR panicked: the end\n"
    );
}
