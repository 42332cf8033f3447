//! The options of a log appender, and its start.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::unconstrained;

use super::appender::{Notice, OssLogAppender, block_on};
use super::guard::LogGuard;
use super::stats::Dropped;
use super::teller::Teller;
use super::thread::{HasStarted, Job, Line, Started};
use super::trouble::LogTrouble;
use crate::error::{Error, ErrorKind, Result};
use crate::rolling::RollingWriterBuilder;
use crate::store::AppendStore;
use crate::values::defaults;
#[cfg(feature = "spool")]
use crate::writer::Spool;

type Ends = Result<(OssLogAppender, LogGuard)>;

/// What happens to a record when the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is dropped and counted. The next record that fits comes with a line before it that says
    /// how many were dropped; if no record comes, that line is written alone.
    #[default]
    Drop,
    /// The thread that logs it waits for room. A lasting outage then stops the program, and in an
    /// async program a thread of its runtime.
    Block,
}

/// Options for starting an [`OssLogAppender`].
#[must_use = "call `start` to get the appender"]
pub struct OssLogAppenderBuilder<S> {
    rolling: RollingWriterBuilder<S>,
    when_full: WhenFull,
    start_timeout: Duration,
    shutdown_timeout: Duration,
    notice: Notice,
    teller: Teller,
    trouble_after: Duration,
}

impl<S: AppendStore> OssLogAppenderBuilder<S> {
    pub(super) fn new(rolling: RollingWriterBuilder<S>) -> Self {
        Self {
            rolling,
            when_full: WhenFull::default(),
            start_timeout: defaults::START_TIMEOUT,
            shutdown_timeout: defaults::SHUTDOWN_TIMEOUT,
            teller: Teller::default(),
            trouble_after: defaults::TROUBLE_AFTER,
            notice: Box::new(|Dropped { records, bytes, .. }| {
                format!("oss-append: {records} log records ({bytes} bytes) were dropped here\n")
            }),
        }
    }

    /// Keeps log records in `spool` until they are durable: once a call has returned, its record
    /// survives an outage of OSS, a panic, `process::exit` and SIGKILL. The next start delivers
    /// what is left. Default: what is not durable is only in memory.
    ///
    /// The thread that logs a record writes it to the file, which costs it a system call.
    #[cfg(feature = "spool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.rolling = self.rolling.spool(spool);
        self
    }

    /// What happens to a record when the buffer is full. Default: [`WhenFull::Drop`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How long the guard tries to deliver what is left when it is dropped. Default: 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// The line that says how many records were dropped, with its line break, for example for JSON
    /// logs. A line that is empty or longer than `max_append_size` bytes is not written; then only
    /// the counts tell. Default: a line of plain text.
    ///
    /// The thread that logs the next record makes it, or the appender's thread, without any lock.
    /// What it logs itself is ignored. If it panics, nothing is written, and only the counts tell.
    pub fn dropped_notice(
        mut self,
        notice: impl Fn(Dropped) -> String + Send + Sync + 'static,
    ) -> Self {
        self.notice = Box::new(notice);
        self
    }

    /// Called with the appender's own trouble: nothing can be delivered, delivery goes on, what is
    /// lost at the end. Default: each is a line on standard error that begins with `oss-append: `.
    /// `|_| {}` switches that off.
    ///
    /// It is called on a thread of its own, which starts with the first trouble, so it may block:
    /// the log and the program go on. If four reports are waiting, further ones are left out. The
    /// same holds for standard error: a line that cannot be written is left out. No appender
    /// accepts what the callback logs itself; other subscribers and layers get it. If it panics, it
    /// is called again for the next trouble.
    ///
    /// ```no_run
    /// # fn example(objects: oss_append::RollingWriterBuilder<oss_append::OssClient>) {
    /// use oss_append::{LogTrouble, OssLogAppender};
    ///
    /// let log = OssLogAppender::builder(objects).on_trouble(|trouble| match trouble {
    ///     LogTrouble::Over(_) => tracing::info!("{trouble}"),
    ///     _ => tracing::error!("{trouble}"),
    /// });
    /// # }
    /// ```
    pub fn on_trouble(mut self, tell: impl Fn(LogTrouble) + Send + Sync + 'static) -> Self {
        self.teller = Teller::new(tell);
        self
    }

    /// How long nothing may be delivered, although something waits, before that is reported as
    /// trouble. Records that linger as configured do not count as waiting. Default: 10 s.
    pub fn trouble_after(mut self, after: Duration) -> Self {
        self.trouble_after = after;
        self
    }

    /// How long [`start`](Self::start) and [`start_blocking`](Self::start_blocking) may take.
    /// Default: 10 s.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Starts the appender on a thread of its own, once it has found the object to begin with: it
    /// lists the objects of the template and looks at the newest, as [`RollingWriterBuilder::open`]
    /// does. A wrong key, bucket or region, a name that does not resolve, and a server that is away
    /// are errors here, in `main`, instead of a log that never arrives. Nothing is written, so
    /// whether the key may write shows with the first record.
    ///
    /// It can be awaited in any runtime, and uses only its own.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as for [`RollingWriterBuilder::open`], or
    /// if no thread or runtime can be created. What OSS answers, at once, if asking again would not
    /// change it. Otherwise the last failure, if there is no good answer within
    /// [`start_timeout`](Self::start_timeout). The error says what may help.
    ///
    /// # Cancel safety
    /// Safe: an appender whose start was given up ends.
    pub async fn start(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(true)?;
        finish(started.await)
    }

    /// Starts as [`start`](Self::start) does, but blocks the thread: for a `main` that is not
    /// async.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(true)?;
        // In a task of tokio whose turn is over, it would else be pending forever.
        finish(block_on(unconstrained(started)))
    }

    /// Starts without a request to OSS before the first record, for a program that has to start
    /// while OSS is away. Problems are reported by [`on_trouble`](Self::on_trouble).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as for [`RollingWriterBuilder::start`], or
    /// if no thread or runtime can be created.
    pub fn start_unchecked(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(false)?;
        finish(block_on(unconstrained(started)))
    }

    /// Starts the thread, which makes the appender.
    fn begin(self, looks: bool) -> Result<(Started, impl FnOnce(HasStarted) -> Ends)> {
        let teller = Arc::new(self.teller);
        let job = Job {
            rolling: self.rolling,
            look: looks.then_some(self.start_timeout),
            when_full: self.when_full,
            notice: self.notice,
            teller: Arc::clone(&teller),
            trouble_after: self.trouble_after,
        };
        let Line {
            started,
            stop,
            reported,
        } = job.start().map_err(|error| {
            Error::invalid_input(format!("the log appender cannot start: {error}"))
                .with_source(error)
        })?;
        let finish = move |started: HasStarted| {
            // Else its thread has panicked, by a clock of the program's for one.
            let shared = started.unwrap_or_else(|_| Err(Error::new(ErrorKind::WorkerLost)))?;
            let appender = OssLogAppender { shared };
            let guard = LogGuard::new(
                appender.clone(),
                stop,
                reported,
                self.shutdown_timeout,
                teller,
            );
            Ok((appender, guard))
        };
        Ok((started, finish))
    }
}

impl<S> std::fmt::Debug for OssLogAppenderBuilder<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OssLogAppenderBuilder")
            .field("when_full", &self.when_full)
            .field("start_timeout", &self.start_timeout)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .field("trouble_after", &self.trouble_after)
            .finish_non_exhaustive()
    }
}
