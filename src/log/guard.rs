//! The guard of a log, which ends it.

use std::fmt;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::appender::OssLogAppender;
use super::report::LogReport;
use super::teller::Teller;
use super::trouble::LogTrouble;
use crate::values::locks::MutexExt;

/// How much later than the deadline the appender's thread may answer, on a machine that is busy.
const GRACE: Duration = Duration::from_secs(2);

/// Keeps a log appender running, and delivers what is left when it is dropped.
///
/// There are three ways to end a log. All deliver what is left, within a deadline, and report what
/// was not delivered:
///
/// | | waits | tells |
/// |---|---|---|
/// | drop | blocks its thread for the [`shutdown_timeout`] at most | as [`LogTrouble::Lost`], by default a line on standard error, if something is lost |
/// | [`shutdown`](Self::shutdown) | blocks its thread | by its value |
/// | [`close`](Self::close) | without blocking | by its value |
///
/// Blocking the thread does not harm the log, which has a thread of its own. It does harm if OSS is
/// reached through something that needs the blocked thread: a proxy or a server that runs in the
/// same single-threaded tokio runtime. Use `close` then.
///
/// Leaking the guard (`mem::forget`) keeps the appender going to the end of the process, but does
/// not deliver what is left then. The same goes for `std::process::exit`, which drops nothing.
///
/// [`shutdown_timeout`]: super::OssLogAppenderBuilder::shutdown_timeout
#[must_use = "the log ends when the guard is dropped"]
pub struct LogGuard {
    appender: OssLogAppender,
    stop: Option<oneshot::Sender<Duration>>,
    /// So that the guard can be kept in a static.
    reported: Mutex<Receiver<LogReport>>,
    timeout: Duration,
    teller: Arc<Teller>,
}

impl LogGuard {
    pub(super) fn new(
        appender: OssLogAppender,
        stop: oneshot::Sender<Duration>,
        reported: Receiver<LogReport>,
        timeout: Duration,
        teller: Arc<Teller>,
    ) -> Self {
        Self {
            appender,
            stop: Some(stop),
            reported: Mutex::new(reported),
            timeout,
            teller,
        }
    }

    /// Ends the log: delivers what is left within `timeout`, and reports how that went. Blocks the
    /// thread; in async code, use [`close`](Self::close).
    ///
    /// With `Duration::ZERO` it does not wait, and what is not durable yet is lost. With
    /// `Duration::MAX` it takes as long as OSS does, possibly forever. If a callback of the program
    /// holds up the appender's thread, this returns at most 2 s after the deadline, and a second
    /// later if reporting [trouble](LogTrouble) is held up too.
    pub fn shutdown(mut self, timeout: Duration) -> LogReport {
        let report = self.end(timeout);
        self.teller.finish();
        report
    }

    /// Ends the log as [`shutdown`](Self::shutdown) does, without blocking the thread. It can be
    /// awaited in any runtime and uses no runtime's timer, so a paused clock does not matter.
    ///
    /// What is logged from the call on is dropped and counted, also before the future is polled.
    ///
    /// Safe: the log is delivered within `timeout` even if the future is dropped. The report is
    /// lost then; what was not delivered is reported as if the guard had been dropped.
    ///
    /// ```no_run
    /// # async fn example(guard: oss_append::LogGuard) {
    /// let report = guard.close(std::time::Duration::from_secs(10)).await;
    /// if !report.is_complete() {
    ///     eprintln!("{report}");
    /// }
    /// # }
    /// ```
    #[must_use = "it has to be awaited, or nobody waits for what is delivered"]
    pub fn close(mut self, timeout: Duration) -> impl Future<Output = LogReport> + Send + 'static {
        self.stop(timeout);
        let appender = self.appender.clone();
        let (report, reported) = oneshot::channel();
        // Without a thread nobody waits, and the report is that of now.
        let _ = std::thread::Builder::new()
            .name("oss-append-close".into())
            .spawn(move || {
                let ended = self.end(timeout);
                self.teller.finish();
                if let Err(unheard) = report.send(ended) {
                    self.tell(unheard);
                }
            });
        async move {
            let reported = reported.await;
            reported.unwrap_or_else(|_| LogReport::of(&appender.shared, None))
        }
    }

    /// Tells the appender to end.
    fn stop(&mut self, timeout: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(timeout);
        }
    }

    fn end(&mut self, timeout: Duration) -> LogReport {
        self.stop(timeout);
        let reported = self.reported.locked();
        reported
            .recv_timeout(timeout.saturating_add(GRACE))
            .unwrap_or_else(|_| LogReport::of(&self.appender.shared, None))
    }

    /// Reports what is lost, since the log itself is gone.
    fn tell(&self, report: LogReport) {
        if !report.is_complete() {
            self.teller.tell(LogTrouble::Lost(report));
        }
        self.teller.finish();
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
        if self.stop.is_some() {
            let report = self.end(self.timeout);
            self.tell(report);
        }
    }
}
