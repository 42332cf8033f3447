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

    /// Keeps what is logged in `spool` until it is durable: what a call has returned for survives an
    /// outage of OSS, a panic, `process::exit` and SIGKILL. The next start delivers what is left.
    /// Default: what is not durable lives in memory.
    ///
    /// Each record is written to the file by the thread that logs it, which costs it a system call.
    #[cfg(feature = "spool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.rolling = self.rolling.spool(spool);
        self
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

    /// What is told of the appender's own trouble: that nothing can be delivered, that it can again,
    /// what is lost at the end. Default: each is a line on standard error, which begins with
    /// `oss-append: `. `|_| {}` switches that off.
    ///
    /// It is called on a thread of its own, which starts with the first trouble, so that it may
    /// block: the log and the program go on, and what comes when four others wait to be told is left
    /// out. So it is with standard error: a line that cannot be written is left out. What the
    /// callback logs itself is taken by no appender; other subscribers and layers get it. If it
    /// panics, it is called again for the next trouble.
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

    /// How long nothing may be delivered, though something waits, before that is told as trouble.
    /// What lingers, as it is told to, does not wait. Default: 10 s.
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
    /// lists those of the template and looks at the newest, as [`RollingWriterBuilder::open`] does.
    /// A wrong key, bucket or region, a name that is not resolved and a server that is away are
    /// errors here, in `main`, and not a log that never arrives. Nothing is written, so whether the
    /// key may write shows with the first record.
    ///
    /// It can be awaited in any runtime, and needs none but its own.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as for [`RollingWriterBuilder::open`], or if
    /// no thread or runtime can be had; at once what OSS answers, if asking again would not change
    /// that; the last failure, if there is no good answer within
    /// [`start_timeout`](Self::start_timeout). The error says what may mend it.
    ///
    /// # Cancel safety
    /// Safe: an appender whose start was given up ends.
    pub async fn start(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(true)?;
        finish(started.await)
    }

    /// Starts as [`start`](Self::start) does, and blocks the thread meanwhile: for a `main` without
    /// async.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(true)?;
        // In a task of tokio whose turn is over, it would else be pending for ever.
        finish(block_on(unconstrained(started)))
    }

    /// Starts without asking OSS for anything before the first record: for a program that has to
    /// start while OSS is away. Whatever is wrong is told by
    /// [`on_trouble`](Self::on_trouble).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as for
    /// [`RollingWriterBuilder::start`], or if no thread or runtime can be had.
    pub fn start_unchecked(self) -> Result<(OssLogAppender, LogGuard)> {
        let (started, finish) = self.begin(false)?;
        finish(block_on(unconstrained(started)))
    }

    /// Starts the thread; then what makes the appender of what that says.
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
