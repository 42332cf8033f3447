//! The end of a log: what is left is delivered, within a deadline.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::appender::{OssLogAppender, Shared};
use super::stats::Dropped;
use crate::error::{Error, TransportCause};
use crate::values::locks::MutexExt;

/// How much later than the deadline the appender's thread may answer, on a machine that is busy.
const GRACE: Duration = Duration::from_secs(2);

/// Keeps a log appender going; delivers what is left when it is dropped.
///
/// The drop waits, at most for the
/// [`shutdown_timeout`](super::OssLogAppenderBuilder::shutdown_timeout). What could not be delivered
/// by then is lost, and a line on standard error says how much and why. To have that as a value,
/// call [`shutdown`](Self::shutdown).
///
/// Leaking the guard (`mem::forget`) keeps the appender going to the end of the process, without
/// delivering what is left then.
#[must_use = "the log ends when the guard is dropped"]
pub struct LogGuard {
    appender: OssLogAppender,
    stop: Option<oneshot::Sender<Duration>>,
    /// So that the guard can be kept in a static.
    reported: Mutex<Receiver<LogReport>>,
    timeout: Duration,
}

/// How a log ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogReport {
    /// Bytes that are durable, over the whole life of the appender.
    pub delivered: u64,
    /// Bytes that were taken and are not proven to be durable.
    pub undelivered: u64,
    /// Records that were dropped, over the whole life.
    pub dropped: Dropped,
    /// Those of them that no line in the log tells of.
    pub unannounced: Dropped,
    /// Why not everything was delivered: what the appender failed for, or the last failure of a
    /// request.
    pub error: Option<Error>,
}

impl LogReport {
    /// Whether everything that was logged is durable, or told of in the log.
    pub fn is_complete(&self) -> bool {
        self.undelivered == 0 && self.unannounced.is_empty()
    }
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of log were delivered", self.delivered)?;
        if self.undelivered > 0 {
            write!(f, ", {} were not", self.undelivered)?;
        }
        let Dropped { records, bytes } = self.dropped;
        if records > 0 {
            write!(f, ", {records} records ({bytes} bytes) were dropped")?;
        }
        match &self.error {
            Some(error) if self.undelivered > 0 => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

impl LogGuard {
    pub(super) fn new(
        appender: OssLogAppender,
        stop: oneshot::Sender<Duration>,
        reported: Receiver<LogReport>,
        timeout: Duration,
    ) -> Self {
        Self {
            appender,
            stop: Some(stop),
            reported: Mutex::new(reported),
            timeout,
        }
    }

    /// Ends the log: delivers what is left, within `timeout`, and tells how that went. Blocks the
    /// thread.
    ///
    /// With `Duration::ZERO` nothing is waited for, and what is not durable yet is lost; with
    /// `Duration::MAX` it takes as long as OSS does, which may be for ever. If the appender's thread
    /// is held up by a callback of the program, this returns 2 s after the deadline at the latest.
    pub fn shutdown(mut self, timeout: Duration) -> LogReport {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> LogReport {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(timeout);
        }
        let reported = self.reported.locked();
        reported
            .recv_timeout(timeout.saturating_add(GRACE))
            .unwrap_or_else(|_| report(&self.appender.shared, None))
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        if self.stop.is_none() {
            return;
        }
        let report = self.end(self.timeout);
        if !report.is_complete() {
            // The log itself is gone; and nobody may be left to read this.
            let _ = writeln!(io::stderr(), "oss-append: {report}");
        }
    }
}

/// Serves the log until its guard ends it, then delivers what is left. A guard that was leaked never
/// ends it. Gives back what the appender failed for, if it did.
pub(super) async fn deliver(
    shared: &Shared,
    stopped: oneshot::Receiver<Duration>,
) -> Option<Error> {
    let timeout = tokio::select! {
        Ok(timeout) = stopped => timeout,
        never = announce(shared) => match never {},
    };
    let mut writer = shared.rolling.handle().clone();
    let delivery = async {
        while !shared.try_announce() {
            if writer.sync().await.is_err() {
                break;
            }
        }
        writer.shutdown().await
    };
    let ended = tokio::time::timeout(timeout, delivery).await.ok()?;
    Error::from_io(&ended.err()?).cloned()
}

/// Tells of dropped records as soon as there is room, also if nothing more is logged.
async fn announce(shared: &Shared) -> Infallible {
    let mut writer = shared.rolling.handle().clone();
    loop {
        shared.drop.notified().await;
        while !shared.try_announce() {
            if writer.sync().await.is_err() {
                // It takes no more.
                return std::future::pending().await;
            }
        }
    }
}

pub(super) fn report(shared: &Shared, failure: Option<Error>) -> LogReport {
    let stats = shared.stats();
    let writer = stats.rolling.writer;
    let undelivered = writer.accepted - writer.durable;
    LogReport {
        delivered: writer.durable,
        undelivered,
        dropped: stats.dropped,
        unannounced: shared.unannounced(),
        error: (undelivered > 0).then(|| failure.or(writer.last_error).unwrap_or_else(no_answer)),
    }
}

/// Nothing has failed, and yet it was not done in time.
fn no_answer() -> Error {
    Error::transport(
        TransportCause::Timeout,
        "there was no answer within the time that the end may take",
    )
}
