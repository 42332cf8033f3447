//! The options of a log appender, and its start.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::appender::{Notice, OssLogAppender, Shared};
use super::guard::{LogGuard, LogReport, deliver, report};
use super::quiet::silence;
use super::stats::Dropped;
use crate::error::{Error, Result};
use crate::rolling::RollingWriterBuilder;
use crate::store::AppendStore;
use crate::values::defaults;

/// As good as for ever, and small enough to be added to any moment.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What happens to a record that finds the buffer full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is dropped and counted. The next record that finds room comes with a line before it that
    /// says how many were dropped; if none comes, that line is written alone.
    #[default]
    Drop,
    /// The thread that logs it waits for room. An outage that lasts stops the program then, and in
    /// an async program a thread of its runtime.
    Block,
}

/// Options for starting an [`OssLogAppender`].
#[must_use = "call `start` to get the appender"]
pub struct OssLogAppenderBuilder<S> {
    rolling: RollingWriterBuilder<S>,
    when_full: WhenFull,
    shutdown_timeout: Duration,
    notice: Notice,
}

impl<S: AppendStore> OssLogAppenderBuilder<S> {
    pub(super) fn new(rolling: RollingWriterBuilder<S>) -> Self {
        Self {
            rolling,
            when_full: WhenFull::default(),
            shutdown_timeout: defaults::SHUTDOWN_TIMEOUT,
            notice: Box::new(|Dropped { records, bytes, .. }| {
                format!("oss-append: {records} log records ({bytes} bytes) were dropped here\n")
            }),
        }
    }

    /// What happens to a record that finds the buffer full. Default: [`WhenFull::Drop`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How long the guard tries to deliver what is left when it is dropped. Default: 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The line that says how many records were dropped, with its line break; for JSON logs, for
    /// example. An empty one is not written, nor one of more than `max_append_size` bytes: then
    /// only the counts tell. Default: a line of plain text.
    ///
    /// It is made by the thread that logs the next record, or by the appender's, without any lock,
    /// and what it logs itself is not taken. If it panics, nothing is written, and the counts tell.
    pub fn dropped_notice(
        mut self,
        notice: impl Fn(Dropped) -> String + Send + Sync + 'static,
    ) -> Self {
        self.notice = Box::new(notice);
        self
    }

    /// Starts the appender on a thread of its own. Nothing is sent before the first record.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as for
    /// [`RollingWriterBuilder::start`], or if no thread or runtime can be had.
    pub fn start(self) -> Result<(OssLogAppender, LogGuard)> {
        let failed = |error: std::io::Error| {
            Error::invalid_input(format!("the log appender cannot start: {error}"))
                .with_source(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(silence)
            .thread_name("oss-append-log")
            .build()
            .map_err(failed)?;
        let runtime = OwnRuntime(Some(runtime));
        let rolling = {
            let _entered = runtime.get().enter();
            let rolling = self.rolling.record_per_write().keep_trying(true);
            rolling
                .writer(|writer| writer.delivery_timeout(FOR_EVER))
                .start()?
        };
        let shared = Arc::new(Shared::new(rolling, self.when_full, self.notice));
        let (stop, stopped) = oneshot::channel();
        let (report, reported) = sync_channel(1);
        let served = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("oss-append-log".into())
            .spawn(move || {
                silence();
                run(runtime, &served, stopped, &report);
            })
            .map_err(failed)?;
        let appender = OssLogAppender { shared };
        let guard = LogGuard::new(appender.clone(), stop, reported, self.shutdown_timeout);
        Ok((appender, guard))
    }
}

impl<S> std::fmt::Debug for OssLogAppenderBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OssLogAppenderBuilder")
            .field("when_full", &self.when_full)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}

/// The appender's thread.
fn run(
    runtime: OwnRuntime,
    shared: &Shared,
    stopped: oneshot::Receiver<Duration>,
    reported: &SyncSender<LogReport>,
) {
    let failure = runtime.get().block_on(deliver(shared, stopped));
    // From here on nothing more is taken, so that the report is the last word.
    drop(runtime);
    // Nobody may be left to hear it.
    let _ = reported.send(report(shared, failure));
}

/// A runtime whose drop waits for nothing: not for a name that is being looked up, and it may be
/// within another runtime.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until the drop")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
