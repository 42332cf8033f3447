//! No loop: the appender does not log its own work.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::BoxStream;
use oss_append::emulator::{Action, Fault, Operation};
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, LogWriter, ObjectInfo, ObjectPath, OssLogAppender,
    Result, RollingWriter,
};

use super::processes::{arrived, child, role, served, succeed, with_server};
use super::{WATCHDOG, eager, until};
use crate::support::bucket::SimBucket;
use crate::support::emulated;

const EVENTS: usize = 40;

/// What the program itself logs.
fn own() -> String {
    (0..EVENTS).map(|n| format!("event {n}\n")).collect()
}

/// Logs the program's events, each when the last one has been sent: the appender has a lot to do
/// meanwhile.
fn log_slowly(appender: &OssLogAppender, log: impl Fn(usize)) {
    for n in 0..EVENTS {
        log(n);
        until("sent", || {
            let stats = appender.stats().rolling.writer;
            stats.durable >= own().lines().take(n + 1).map(|l| l.len() as u64 + 1).sum()
        });
    }
}

/// A logger of the `log` crate.
struct Logger(LogWriter);

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        writeln!(self.0.clone(), "{}", record.args()).unwrap();
    }

    fn flush(&self) {}
}

/// Everything that anybody logs goes to the appender. How to log an event.
fn listen(role: &str, appender: &OssLogAppender) -> fn(usize) {
    if role == "log" {
        log::set_boxed_logger(Box::new(Logger(appender.writer()))).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        return |n| log::trace!("event {n}");
    }
    // Also what is logged by the `log` crate.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(appender.clone())
        .with_ansi(false)
        .with_level(false)
        .with_target(false)
        .without_time()
        .init();
    |n| tracing::trace!("event {n}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_logs_to_what_it_sends() {
    const TEST: &str = "log::quiet::a_client_that_logs_to_what_it_sends";
    if let Some(role) = role() {
        let (appender, guard) = OssLogAppender::builder(served()).start_unchecked().unwrap();
        let log = listen(&role, &appender);
        log_slowly(&appender, log);
        assert!(guard.shutdown(WATCHDOG).is_complete());
        assert_eq!(appender.stats().records, EVENTS as u64);
        return;
    }
    for role in ["tracing", "log"] {
        let emulator = emulated::start().await;
        for (action, seed) in [(Action::Drop, 1), (Action::DropAnswer, 2)] {
            let fault = Fault::new(Operation::AppendObject, action);
            emulator.inject(fault.probability(0.2, seed));
        }
        succeed(with_server(child(TEST, role), &emulator)).await;
        assert_eq!(arrived(&emulator), own(), "{role}");
    }
}

/// Whatever a store does on the threads of the appender.
#[tokio::test]
async fn a_store_that_logs_to_what_it_stores() {
    const TEST: &str = "log::quiet::a_store_that_logs_to_what_it_stores";
    let Some(role) = role() else {
        for role in ["tracing", "log"] {
            succeed(child(TEST, role)).await;
        }
        return;
    };
    let bucket = SimBucket::new();
    let objects = RollingWriter::builder(Chatty(bucket.clone()), "bucket", "log-{seq:4}");
    let (appender, guard) = OssLogAppender::builder(objects.writer(eager))
        .start_unchecked()
        .unwrap();
    let log = listen(&role, &appender);
    log_slowly(&appender, log);
    assert!(guard.shutdown(WATCHDOG).is_complete());
    assert_eq!(bucket.text(), own());
}

/// Logs what it does, on every thread that it can get at.
#[derive(Debug)]
struct Chatty(SimBucket);

impl Chatty {
    async fn chat(&self) {
        let talk = |whence| {
            tracing::error!("from {whence} of the store");
            log::error!("from {whence} of the store");
        };
        talk("the midst");
        tokio::spawn(async move { talk("a task") }).await.unwrap();
        let blocking = tokio::task::spawn_blocking(move || talk("a blocking task"));
        blocking.await.unwrap();
    }
}

impl AppendStore for Chatty {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        self.chat().await;
        self.0.append(request).await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.chat().await;
        self.0.head(object).await
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.0.read_range(object, range).await
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        self.0.seal(object, position).await
    }
}
