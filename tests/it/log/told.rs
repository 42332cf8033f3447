//! Trouble that the log cannot tell of itself: on standard error, or to the program.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oss_append::{LogOutage, LogTrouble, OssLogAppender, OssLogAppenderBuilder, WhenFull};

use super::processes::{child, role, succeed};
use super::{ROOM, WATCHDOG, bucket_that_is_down, come_back, objects, until};
use crate::support::bucket::SimBucket;

/// The shortest time after which trouble is told.
const SOON: Duration = Duration::from_millis(1);

fn log(bucket: &SimBucket) -> OssLogAppenderBuilder<SimBucket> {
    OssLogAppender::builder(objects(bucket)).trouble_after(SOON)
}

/// What a log tells.
fn listen(
    log: OssLogAppenderBuilder<SimBucket>,
) -> (OssLogAppenderBuilder<SimBucket>, Receiver<LogTrouble>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let log = log.on_trouble(move |trouble| {
        // Nobody may listen any more.
        let _ = tell.lock().unwrap().send(trouble);
    });
    (log, told)
}

fn stalled(told: &Receiver<LogTrouble>) -> LogOutage {
    match told.recv_timeout(WATCHDOG).unwrap() {
        LogTrouble::Stalled(outage) => outage,
        other => panic!("{other}"),
    }
}

fn over(told: &Receiver<LogTrouble>) -> LogOutage {
    match told.recv_timeout(WATCHDOG).unwrap() {
        LogTrouble::Over(outage) => outage,
        other => panic!("{other}"),
    }
}

#[test]
fn an_outage_and_its_end_are_told_to_the_program() {
    let bucket = bucket_that_is_down();
    let (log, told) = listen(log(&bucket));
    let (appender, guard) = log.start_unchecked().unwrap();
    appender.record(b"record\n");
    let outage = stalled(&told);
    assert!(outage.lasted >= SOON);
    assert_eq!((outage.records, outage.dropped.records), (1, 0));
    assert_eq!((outage.buffered, outage.capacity), (7, ROOM));
    // On a busy machine the first request may not have failed yet.
    if let Some(error) = outage.error {
        assert!(error.to_string().contains("connection refused"), "{error}");
    }
    for _ in 0..ROOM {
        appender.record(b"full\n");
    }
    let dropped = appender.stats().dropped;
    assert!(dropped.records > 0);
    come_back(&bucket);
    let end = over(&told);
    assert!(end.lasted >= outage.lasted);
    assert_eq!(end.dropped, dropped);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert!(told.recv().is_err(), "nothing more");
}

#[test]
fn a_log_that_ends_well_says_that_its_trouble_is_over() {
    let bucket = bucket_that_is_down();
    let (log, told) = listen(log(&bucket));
    let (appender, guard) = log.start_unchecked().unwrap();
    appender.record(b"record\n");
    stalled(&told);
    come_back(&bucket);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    // Told before the end.
    assert!(matches!(told.try_recv(), Ok(LogTrouble::Over(_))));
}

#[test]
fn a_log_without_trouble_tells_nothing() {
    let bucket = SimBucket::new();
    let (log, told) = listen(log(&bucket).trouble_after(Duration::from_secs(60)));
    let (appender, guard) = log.start_unchecked().unwrap();
    for n in 1..50 {
        appender.record(b"record\n");
        until("sent", || bucket.text().len() == 7 * n);
    }
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert!(told.recv().is_err());
}

#[test]
fn the_end_for_good_is_told_with_its_reason() {
    let bucket = SimBucket::new();
    let objects = objects(&bucket)
        .writer(|writer| writer.max_append_size(100))
        .roll_size(1)
        .on_finished(|_| panic!("of no use"));
    let log = OssLogAppender::builder(objects).trouble_after(Duration::from_secs(60));
    let (log, told) = listen(log);
    let (appender, guard) = log.start_unchecked().unwrap();
    appender.record(b"one object\n");
    appender.record(b"one more\n");
    match told.recv_timeout(WATCHDOG).unwrap() {
        LogTrouble::Failed(error) => assert!(error.to_string().contains("worker"), "{error}"),
        other => panic!("{other}"),
    }
    drop(guard);
    match told.recv_timeout(WATCHDOG).unwrap() {
        LogTrouble::Lost(report) => assert_eq!(report.undelivered, 9),
        other => panic!("{other}"),
    }
}

#[test]
fn a_callback_that_blocks_holds_up_neither_the_log_nor_its_end() {
    for when_full in [WhenFull::Drop, WhenFull::Block] {
        let bucket = bucket_that_is_down();
        let (calls, called) = mpsc::channel();
        let (end, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let log = log(&bucket).when_full(when_full).on_trouble(move |_| {
            let _ = calls.send(());
            let _ = held.lock().unwrap().recv();
        });
        let (appender, guard) = log.start_unchecked().unwrap();
        appender.record(b"record\n");
        called.recv_timeout(WATCHDOG).unwrap();
        appender.record(b"another\n");
        come_back(&bucket);
        until("delivered", || bucket.text() == "record\nanother\n");
        appender.record(b"the last\n");
        assert!(guard.shutdown(WATCHDOG).is_complete());
        assert_eq!(bucket.text(), "record\nanother\nthe last\n");
        drop(end);
    }
}

#[test]
fn a_callback_that_panics_is_called_again() {
    let bucket = bucket_that_is_down();
    let (calls, called) = mpsc::channel();
    let log = log(&bucket).on_trouble(move |trouble| {
        let _ = calls.send(());
        panic!("{trouble}");
    });
    let (appender, guard) = log.start_unchecked().unwrap();
    appender.record(b"record\n");
    called.recv_timeout(WATCHDOG).unwrap();
    come_back(&bucket);
    called.recv_timeout(WATCHDOG).unwrap();
    assert!(guard.shutdown(WATCHDOG).is_complete());
}

/// Or there would be a loop.
#[test]
fn what_a_callback_logs_is_not_taken() {
    let bucket = bucket_that_is_down();
    let log_of_it = Arc::new(Mutex::new(None::<OssLogAppender>));
    let (calls, called) = mpsc::channel();
    let logs = Arc::clone(&log_of_it);
    let log = log(&bucket).on_trouble(move |_| {
        if let Some(appender) = &*logs.lock().unwrap() {
            appender.record(b"from the callback\n");
            let _ = calls.send(());
        }
    });
    let (appender, guard) = log.start_unchecked().unwrap();
    *log_of_it.lock().unwrap() = Some(appender.clone());
    appender.record(b"record\n");
    called.recv_timeout(WATCHDOG).unwrap();
    come_back(&bucket);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), "record\n");
    assert_eq!(appender.stats().dropped.records, 0);
}

/// Does what its parent says: a line that it writes ends an outage.
fn be_a_child(log: OssLogAppenderBuilder<SimBucket>, bucket: &SimBucket) {
    let (appender, guard) = log.start_unchecked().unwrap();
    appender.record(b"record\n");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    come_back(bucket);
    until("delivered", || bucket.text() == "record\n");
    drop(guard);
}

fn read(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    line
}

#[test]
fn an_outage_and_its_end_are_lines_on_standard_error() {
    const TEST: &str = "log::told::an_outage_and_its_end_are_lines_on_standard_error";
    let bucket = bucket_that_is_down();
    if role().is_some() {
        // The first request has failed by then.
        let log = log(&bucket).trouble_after(Duration::from_millis(500));
        return be_a_child(log, &bucket);
    }
    let mut command = child(TEST, "").into_std();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let told = read(&mut stderr);
    assert!(
        told.starts_with("oss-append: no log record was delivered for 0 s: "),
        "{told}"
    );
    for part in [
        "oss://bucket/log-",
        "connection refused",
        "check the region or endpoint",
        "1 records came meanwhile, 7 of the buffer's 800 bytes are in use, none were dropped",
        "goes on trying until it ends\n",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let told = read(&mut stderr);
    assert!(
        told.starts_with("oss-append: log records are delivered again after "),
        "{told}"
    );
    assert_eq!(read(&mut stderr), "", "no more");
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn standard_error_can_be_left_alone() {
    const TEST: &str = "log::told::standard_error_can_be_left_alone";
    if role().is_none() {
        assert_eq!(succeed(child(TEST, "")).await, "");
        return;
    }
    let bucket = bucket_that_is_down();
    let (calls, called) = mpsc::channel();
    let log = log(&bucket).shutdown_timeout(Duration::ZERO);
    let (appender, guard) = log
        .on_trouble(move |_| {
            let _ = calls.send(());
        })
        .start_unchecked()
        .unwrap();
    appender.record(b"record\n");
    called.recv_timeout(WATCHDOG).unwrap();
    drop(guard);
    // That of the end.
    called.recv_timeout(WATCHDOG).unwrap();
}

/// A pipe that nobody reads, blocking or not.
#[cfg(unix)]
#[test]
fn a_full_standard_error_holds_up_nothing() {
    const TEST: &str = "log::told::a_full_standard_error_holds_up_nothing";
    let bucket = bucket_that_is_down();
    if role().is_some() {
        let (appender, guard) = log(&bucket)
            .shutdown_timeout(SOON)
            .start_unchecked()
            .unwrap();
        appender.record(b"record\n");
        until("many attempts", || bucket.requests() > 100);
        return drop(guard);
    }
    for blocking in [true, false] {
        let (full, _reader) = std::os::unix::net::UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while (&full).write(&[b'x'; 4096]).is_ok() {}
        while (&full).write(b"x").is_ok() {}
        full.set_nonblocking(!blocking).unwrap();
        let mut command = child(TEST, "").into_std();
        let stderr = std::os::fd::OwnedFd::from(full);
        let status = command.stderr(stderr).spawn().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }
}
