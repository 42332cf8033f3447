//! The service refuses, and others get at the objects.

use std::time::Duration;

use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};
use oss_append::{Dropped, LogGuard, OssLogAppender, RollingWriter};

use super::{WATCHDOG, eager, until};
use crate::support::emulated;

fn start(emulator: &Emulator) -> (OssLogAppender, LogGuard) {
    let client = emulator.client().build().unwrap();
    let objects = RollingWriter::builder(client, "bucket", "log-{seq}").writer(eager);
    OssLogAppender::builder(objects).start_unchecked().unwrap()
}

fn text(emulator: &Emulator, key: &str) -> String {
    let object = emulator.object("bucket", key);
    let bytes = object.map(|object| object.bytes.to_vec());
    String::from_utf8(bytes.unwrap_or_default()).unwrap()
}

/// Logs it and waits until it is durable.
fn put(appender: &OssLogAppender, record: &str) {
    let appends = appender.stats().rolling.writer.durable;
    appender.record(record.as_bytes());
    let durable = appends + record.len() as u64;
    until(record, || {
        appender.stats().rolling.writer.durable == durable
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn refused_for_a_while() {
    let denied = || Action::Error(ErrorAnswer::new(403).code("AccessDenied"));
    for first in [Operation::ListObjectsV2, Operation::AppendObject] {
        let emulator = emulated::start().await;
        let (appender, guard) = start(&emulator);
        if first == Operation::AppendObject {
            put(&appender, "before\n");
        }
        emulator.inject(Fault::on_any(denied()).forever());
        for n in 0..100 {
            appender.record(format!("meanwhile {n}\n").as_bytes());
        }
        until("the error in the stats", || {
            let error = appender.stats().rolling.writer.last_error;
            error.is_some_and(|error| error.to_string().contains("AccessDenied"))
        });
        let struck = emulator.faults().struck();
        until("more attempts", || emulator.faults().struck() > struck + 10);
        emulator.faults().clear();
        appender.record(b"after\n");
        let report = guard.shutdown(WATCHDOG);
        assert!(report.is_complete() && report.error.is_none(), "{report:?}");
        assert_eq!(report.dropped, Dropped::default());
        let mut expected: String = (0..100).map(|n| format!("meanwhile {n}\n")).collect();
        if first == Operation::AppendObject {
            expected.insert_str(0, "before\n");
        }
        assert_eq!(text(&emulator, "log-1"), expected + "after\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_goes_away_and_comes_back() {
    let emulator = emulated::start().await;
    let (appender, guard) = start(&emulator);
    put(&appender, "before\n");
    emulator.pause().await;
    appender.record(b"meanwhile\n");
    until("the error in the stats", || {
        appender.stats().rolling.writer.last_error.is_some()
    });
    emulator.resume().await.unwrap();
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(text(&emulator, "log-1"), "before\nmeanwhile\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_object_that_somebody_seals_or_deletes() {
    for delete in [false, true] {
        let emulator = emulated::start().await;
        let (appender, guard) = start(&emulator);
        put(&appender, "one\n");
        match delete {
            true => emulator.delete("bucket", "log-1").unwrap(),
            false => emulator.seal("bucket", "log-1").unwrap(),
        }
        put(&appender, "two\n");
        put(&appender, "three\n");
        let object = appender.stats().rolling.open.unwrap().object;
        assert_eq!(object.key(), "log-2");
        let report = guard.shutdown(WATCHDOG);
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.delivered, 14);
        assert_eq!(emulator.object("bucket", "log-1").is_none(), delete);
        assert_eq!(text(&emulator, "log-2"), "two\nthree\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lost_answers_double_nothing() {
    let emulator = emulated::start().await;
    for (action, seed) in [(Action::DropAnswer, 1), (Action::Drop, 2)] {
        let fault = Fault::new(Operation::AppendObject, action);
        emulator.inject(fault.probability(0.3, seed));
    }
    let (appender, guard) = start(&emulator);
    for n in 0..50 {
        put(&appender, &format!("record {n}\n"));
    }
    assert!(guard.shutdown(WATCHDOG).is_complete());
    let expected: String = (0..50).map(|n| format!("record {n}\n")).collect();
    assert_eq!(text(&emulator, "log-1"), expected);
    assert!(emulator.faults().struck() > 0);
}

/// A request that never moves is given up at the deadline of the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_never_answers_does_not_hold_up_the_end() {
    let emulator = emulated::start().await;
    emulator.inject(Fault::new(Operation::AppendObject, Action::StallAnswer));
    let (appender, guard) = start(&emulator);
    appender.record(b"record\n");
    until("the append", || emulator.faults().struck() == 1);
    let report = guard.shutdown(Duration::from_millis(20));
    assert_eq!((report.delivered, report.undelivered), (0, 7));
}
