//! `OssLogAppender`: takes records from any thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;

use tokio::sync::Notify;
use tracing_subscriber::fmt::MakeWriter;

use super::builder::{OssLogAppenderBuilder, WhenFull};
use super::quiet::{is_quiet, quietly};
use super::stats::{Dropped, LogStats};
use super::writer::{LogEvent, LogWriter};
use crate::error::Result;
use crate::metrics;
use crate::rolling::{RollingWriter, RollingWriterBuilder};
use crate::store::AppendStore;
use crate::writer::OssAppendWriter;

/// Takes log records from any thread, at the cost of a copy, and appends them to a sequence of
/// objects.
///
/// It is a `MakeWriter` for `tracing_subscriber::fmt`; [`writer`](Self::writer) gives a plain
/// `std::io::Write` for everything else (`env_logger`, `log4rs`, `fern`, `csv`). It runs on a
/// thread and a runtime of its own, so it needs no tokio in the program and outlives the program's
/// runtime. Clones are the same appender.
///
/// # Records
/// What is written with a line break at its end is one record, whatever is in it: the event of a
/// formatter, one line or many. Pieces without one are gathered up to the next. A record is written
/// whole or dropped whole, and never split between objects.
///
/// # When OSS is away, or slow
/// Records gather up to `buffer_capacity` and are sent when OSS is back; the appender never gives
/// up (`delivery_timeout` does not count for it). When the buffer is full, [`WhenFull`] says what
/// happens: records are dropped and counted, and a line in their place says how many; or the
/// logging thread waits. A record of more than `max_append_size` bytes is always dropped.
///
/// # The end
/// Keep the [`LogGuard`](super::LogGuard) until the end of `main`: when it is dropped, what was
/// logged is delivered, within a deadline. What is logged later is dropped and counted.
///
/// - A **panic** that unwinds `main` drops the guard. With `panic = "abort"`, what was not durable
///   is lost.
/// - **`std::process::exit`** drops nothing: drop the guard before.
/// - **SIGTERM** ends a process at once unless it is handled: handle it (`tokio::signal`,
///   `signal-hook`), leave `main`, and let the guard go.
/// - After **`fork`** a child has no appender: its thread stays with the parent. What the child logs
///   gathers and is never sent. Start the appender after the fork.
/// - In a **panic hook** it can be used as anywhere. In a **signal handler** it must not be, as it
///   takes a lock and memory.
///
/// # No loop
/// What happens on the appender's own threads is never logged by it, at any level. Give it a client
/// of its own: the connections that clients share may be served by other threads, which log.
///
/// ```no_run
/// # fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::{OssLogAppender, RollingWriter};
///
/// let objects = RollingWriter::builder(client, "my-bucket", "app/%Y-%m-%d/{host}-{seq}.log");
/// let (appender, _guard) = OssLogAppender::builder(objects.daily()).start()?;
/// tracing_subscriber::fmt().with_writer(appender).with_ansi(false).init();
/// tracing::info!("the first line");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OssLogAppender {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) rolling: RollingWriter,
    when_full: WhenFull,
    notice: Notice,
    /// Whether there are dropped records that a line has yet to tell of.
    unannounced: AtomicBool,
    dropped: Mutex<Dropped>,
    /// Those that no line tells of. Held while the notice is made.
    untold: Mutex<Dropped>,
    /// Something was dropped.
    pub(super) drop: Notify,
}

/// The line that tells of dropped records.
pub(super) type Notice = Box<dyn Fn(Dropped) -> String + Send + Sync>;

impl OssLogAppender {
    /// Prepares to log to the objects of `rolling`. Its records are what is logged at once, whatever
    /// [`delimiter`](RollingWriterBuilder::delimiter) it has, and it
    /// [keeps trying](RollingWriterBuilder::keep_trying).
    pub fn builder<S: AppendStore>(rolling: RollingWriterBuilder<S>) -> OssLogAppenderBuilder<S> {
        OssLogAppenderBuilder::new(rolling)
    }

    /// A writer for one thread or one logger. Clone it for more.
    pub fn writer(&self) -> LogWriter {
        LogWriter::new(self.clone())
    }

    /// Logs one record, whole; a line break at its end has to be part of it.
    pub fn record(&self, record: &[u8]) {
        self.shared.record(record);
    }

    /// What was done so far, and how it stands.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }
}

impl<'a> MakeWriter<'a> for OssLogAppender {
    type Writer = LogEvent<'a>;

    fn make_writer(&'a self) -> LogEvent<'a> {
        LogEvent::new(&self.shared)
    }
}

impl fmt::Debug for OssLogAppender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssLogAppender")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(rolling: RollingWriter, when_full: WhenFull, notice: Notice) -> Self {
        Self {
            rolling,
            when_full,
            notice,
            unannounced: AtomicBool::new(false),
            dropped: Mutex::default(),
            untold: Mutex::default(),
            drop: Notify::new(),
        }
    }

    #[inline]
    pub(super) fn record(&self, record: &[u8]) {
        if record.is_empty() || is_quiet() {
            return;
        }
        let announced = !self.unannounced.load(Ordering::Relaxed);
        if !(announced && self.rolling.handle().try_record(record)) {
            self.record_otherwise(record);
        }
    }

    /// Logs a record that found no room, or that comes after one that found none.
    #[cold]
    fn record_otherwise(&self, record: &[u8]) {
        let taken = match self.when_full {
            WhenFull::Drop => self.may_fit(record) && self.try_record(record),
            WhenFull::Block => self.try_record(record) || self.record_waiting(record),
        };
        if !taken {
            self.drop_record(record.len());
        }
    }

    /// False: there is no room, also without the notice, which need not be made then.
    fn may_fit(&self, record: &[u8]) -> bool {
        !self.unannounced.load(Ordering::Relaxed)
            || self.rolling.handle().room() > record.len() as u64
    }

    fn try_record(&self, record: &[u8]) -> bool {
        let handle = self.rolling.handle();
        let taken = self.put(&[record], |all| try_put(handle, all));
        matches!(taken, Poll::Ready(Ok(())))
    }

    fn record_waiting(&self, record: &[u8]) -> bool {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut handle = self.rolling.handle().clone();
        loop {
            match self.put(&[record], |all| handle.poll_records(&mut cx, all)) {
                Poll::Ready(taken) => return taken.is_ok(),
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Tells of what was dropped, if there is room for that; false if there is not.
    pub(super) fn try_announce(&self) -> bool {
        let handle = self.rolling.handle();
        self.put(&[], |all| try_put(handle, all)).is_ready()
    }

    /// Puts `records` in the buffer, in one piece with the notice of what was dropped before.
    fn put(
        &self,
        records: &[&[u8]],
        mut put: impl FnMut(&[&[u8]]) -> Poll<Result<()>>,
    ) -> Poll<Result<()>> {
        if !self.unannounced.load(Ordering::Relaxed) {
            return put(records);
        }
        let mut untold = lock(&self.untold);
        let notice = match *untold {
            none if none.is_empty() => String::new(),
            some => quietly(|| (self.notice)(some)),
        };
        let announced = [&[notice.as_bytes()], records].concat();
        if !notice.is_empty() && ready!(put(&announced)).is_ok() {
            *untold = Dropped::default();
        } else {
            // There is no notice, or it cannot be written: they stay counted.
            ready!(put(records))?;
        }
        self.unannounced.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Counts a record of `len` bytes that is not taken.
    pub(super) fn drop_record(&self, len: usize) {
        if is_quiet() {
            return;
        }
        lock(&self.dropped).add(len);
        metrics::dropped_records(self.rolling.handle().object().bucket(), 1);
        let mut untold = lock(&self.untold);
        untold.add(len);
        self.unannounced.store(true, Ordering::Relaxed);
        self.drop.notify_one();
    }

    /// The longest record that is taken.
    pub(super) fn longest(&self) -> u64 {
        self.rolling.handle().max_record()
    }

    pub(super) fn unannounced(&self) -> Dropped {
        *lock(&self.untold)
    }

    pub(super) fn stats(&self) -> LogStats {
        LogStats {
            records: self.rolling.handle().records(),
            dropped: *lock(&self.dropped),
            rolling: self.rolling.stats(),
        }
    }
}

fn lock(drops: &Mutex<Dropped>) -> MutexGuard<'_, Dropped> {
    drops.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_put(handle: &OssAppendWriter, records: &[&[u8]]) -> Poll<Result<()>> {
    match handle.try_records(records) {
        Ok(true) => Poll::Ready(Ok(())),
        Ok(false) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    }
}

/// Wakes a thread that waits for room.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
