//! `OssLogAppender`: takes records from any thread.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread::Thread;

use tokio::sync::Notify;
use tracing_subscriber::fmt::MakeWriter;

use super::builder::{OssLogAppenderBuilder, WhenFull};
use super::quiet::{is_quiet, quietly};
use super::record::LogRecord;
use super::stats::{Dropped, LogStats};
use super::writer::{LogEvent, LogWriter};
use crate::error::Result;
use crate::metrics;
use crate::rolling::{RollingWriter, RollingWriterBuilder};
use crate::store::AppendStore;
use crate::values::locks::MutexExt;
use crate::writer::intake::Admission;

/// Takes log records from any thread, at the cost of a copy, and appends them to a sequence of
/// objects.
///
/// It is a `MakeWriter` for `tracing_subscriber::fmt`; [`writer`](Self::writer) gives a plain
/// `std::io::Write` for everything else (`env_logger`, `log4rs`, `fern`, `csv`). It runs on a
/// thread and a runtime of its own, so it needs no tokio in the program and outlives the program's
/// runtime. Clones are the same appender.
///
/// # The start
/// [`start`](OssLogAppenderBuilder::start) asks OSS for the object to begin with, so that `main`
/// learns of a wrong key, bucket or region.
/// [`start_blocking`](OssLogAppenderBuilder::start_blocking) does the same without async, and
/// [`start_unchecked`](OssLogAppenderBuilder::start_unchecked) does not ask.
///
/// # Records
/// What is written with a line break at its end is one record, whatever is in it: the event of a
/// formatter, one line or many. Pieces without one are gathered up to the next line break. A record
/// is written whole or dropped whole, and never split between objects.
///
/// # Memory
/// Records and unfinished records take no more than `buffer_capacity`. If a record comes in pieces,
/// its first 4 KiB do not count: each [`LogWriter`] may keep that much for itself. What comes after
/// counts, up to half of `buffer_capacity` for all together. An unfinished record that cannot grow
/// is treated like any record that does not fit, and is dropped if it is other unfinished records
/// that leave it no room. When a record has ended, its writer keeps a few KiB.
///
/// # When OSS is away, or slow
/// Records gather up to `buffer_capacity` and are sent when OSS is back, however long that takes
/// (`delivery_timeout` does not count). The end of one object is not the end of the log: see
/// [`RollingWriter`]. The appender fails only as described at
/// [`keep_trying`](RollingWriterBuilder::keep_trying). When the buffer is full, [`WhenFull`] says what
/// happens: records are dropped and counted, and a line in their place says how many; or the
/// logging thread waits. A record of more than `max_append_size` bytes is always dropped.
///
/// A line on standard error reports it: after 10 s, then every minute, and when it is over.
/// [`on_trouble`](OssLogAppenderBuilder::on_trouble) takes that elsewhere.
///
/// # The end
/// Keep the [`LogGuard`](super::LogGuard) until the end of `main`: when it is dropped, what was
/// logged is delivered, within a deadline. What is logged later is dropped and counted. In async
/// code, [`close`](super::LogGuard::close) does that without blocking a thread.
///
/// - A **panic** that unwinds `main` drops the guard. With `panic = "abort"`, what was not durable
///   is lost.
/// - **`std::process::exit`** drops nothing: drop the guard before, or close it.
/// - **SIGTERM** ends a process at once unless it is handled: handle it (`tokio::signal`,
///   `signal-hook`), leave `main`, and let the guard go.
/// - After **`fork`** a child has no appender: its thread stays with the parent. What the child logs
///   gathers and is never sent. Start the appender after the fork.
/// - In a **panic hook** it can be used as anywhere. In a **signal handler** it must not be, as it
///   takes a lock and memory.
///
/// # No loop
/// The appender never logs what happens on its own threads, at any level. Give it a client of its
/// own: connections that clients share may be served by other threads, which do log.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::{OssLogAppender, RollingWriter};
///
/// let objects = RollingWriter::builder(client, "my-bucket", "app/%Y-%m-%d/{host}-{seq}.log");
/// let (appender, _guard) = OssLogAppender::builder(objects.daily()).start().await?;
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
    /// Whether there are dropped records that no line has reported yet.
    unannounced: AtomicBool,
    dropped: Mutex<Dropped>,
    untold: Mutex<Untold>,
    /// Something was dropped.
    pub(super) drop: Notify,
}

/// The dropped records that no line reports.
#[derive(Clone, Copy, Default)]
struct Untold {
    dropped: Dropped,
    /// How many lines have been written that tell of others.
    lines: u64,
}

/// The line that reports dropped records.
pub(super) type Notice = Box<dyn Fn(Dropped) -> String + Send + Sync>;

impl OssLogAppender {
    /// Prepares to log to the objects of `rolling`. Its records are what is logged at once,
    /// whatever [`delimiter`](RollingWriterBuilder::delimiter) is set, and it [keeps
    /// trying](RollingWriterBuilder::keep_trying).
    pub fn builder<S: AppendStore>(rolling: RollingWriterBuilder<S>) -> OssLogAppenderBuilder<S> {
        OssLogAppenderBuilder::new(rolling)
    }

    /// A writer for one thread or one logger. Clone it for more.
    pub fn writer(&self) -> LogWriter {
        LogWriter::new(self.clone())
    }

    /// Logs one whole record. If it is to end with a line break, that has to be part of it.
    pub fn record(&self, record: &[u8]) {
        self.shared.record(record);
    }

    /// What was done so far, and the current state.
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
        if !(announced && self.rolling.handle().try_copy(record)) {
            self.record_otherwise(LogRecord {
                head: record,
                ..LogRecord::default()
            });
        }
        self.rolling.handle().write_through();
    }

    /// Logs a record for which room was set aside.
    pub(super) fn record_begun(&self, record: LogRecord<'_>) {
        if is_quiet() {
            self.give_back(record.reserved);
        } else {
            self.record_otherwise(record);
            self.rolling.handle().write_through();
        }
    }

    /// Logs a record that found no room, that comes after one that found none, or that was gathered
    /// in the room that was set aside for it.
    #[cold]
    fn record_otherwise(&self, record: LogRecord<'_>) {
        let taken = match self.when_full {
            WhenFull::Drop => self.may_fit(record) && self.try_record(record),
            WhenFull::Block => self.try_record(record) || self.record_waiting(record),
        };
        if !taken {
            self.give_back(record.reserved);
            self.drop_record(record.len());
        }
    }

    /// Sets room for `len` bytes of a record aside. False: it has to be dropped.
    pub(super) fn reserve(&self, len: u64) -> bool {
        let handle = self.rolling.handle();
        match self.when_full {
            WhenFull::Drop => matches!(handle.intake().set_aside(len), Admission::Now(_)),
            WhenFull::Block => {
                let waiter = handle.waiter();
                let set_aside =
                    poll_fn(|cx| waiter.poll_admission(cx, |intake| intake.set_aside(len)));
                block_on(set_aside).is_ok()
            }
        }
    }

    /// Gives back what [`reserve`](Self::reserve) has set aside.
    pub(super) fn give_back(&self, len: u64) {
        if len > 0 {
            self.rolling.handle().intake().give_back(len);
        }
    }

    /// False: there is no room, also without the notice, which need not be made then.
    fn may_fit(&self, record: LogRecord<'_>) -> bool {
        let room = || self.rolling.handle().intake().room();
        !self.unannounced.load(Ordering::Relaxed)
            || room().saturating_add(record.reserved) > record.len()
    }

    fn try_record(&self, record: LogRecord<'_>) -> bool {
        matches!(self.try_put(record), Poll::Ready(Ok(_)))
    }

    fn record_waiting(&self, record: LogRecord<'_>) -> bool {
        let waiter = self.rolling.handle().waiter();
        let put = poll_fn(|cx| {
            self.put(record, |notice, record| {
                waiter.poll_admission(cx, |intake| record.come_in(intake, notice))
            })
        });
        block_on(put).is_ok()
    }

    /// Reports what was dropped if there is room for that; false if there is not.
    pub(super) fn try_announce(&self) -> bool {
        let told = self.try_put(LogRecord::default()).is_ready();
        // Not on this thread, which has others to serve.
        self.rolling.handle().tend_spool();
        told
    }

    fn try_put(&self, record: LogRecord<'_>) -> Poll<Result<u64>> {
        let handle = self.rolling.handle();
        self.put(record, |notice, record| {
            match record.come_in(&mut handle.intake(), notice) {
                Admission::Now(len) => Poll::Ready(Ok(len)),
                Admission::Wait => Poll::Pending,
                Admission::Never(error) => Poll::Ready(Err(error)),
            }
        })
    }

    /// Puts `record` in the buffer, in one piece with the notice of what was dropped before.
    fn put(
        &self,
        record: LogRecord<'_>,
        mut put: impl FnMut(&[u8], LogRecord<'_>) -> Poll<Result<u64>>,
    ) -> Poll<Result<u64>> {
        while self.unannounced.load(Ordering::Relaxed) {
            let told = *self.untold.locked();
            // Without the lock: it may take long, and use the appender.
            let notice = match told.dropped {
                none if none.is_empty() => String::new(),
                some => quietly(|| (self.notice)(some)),
            };
            let mut untold = self.untold.locked();
            if untold.lines != told.lines {
                // Another thread has reported them.
                continue;
            }
            // Those that were dropped while it was made are for the next one.
            let later = untold.dropped.without(told.dropped);
            if !notice.is_empty() && ready!(put(notice.as_bytes(), record)).is_ok() {
                untold.lines += 1;
                untold.dropped = later;
            } else {
                // There is no notice, or it cannot be written: they stay counted.
                ready!(put(&[], record))?;
            }
            self.unannounced.store(!later.is_empty(), Ordering::Relaxed);
            return Poll::Ready(Ok(record.len()));
        }
        put(&[], record)
    }

    /// Counts a record of `len` bytes that is not taken.
    pub(super) fn drop_record(&self, len: u64) {
        if is_quiet() {
            return;
        }
        self.dropped.locked().add(len);
        metrics::dropped_records(self.rolling.handle().object().shared_bucket(), 1);
        let mut untold = self.untold.locked();
        untold.dropped.add(len);
        self.unannounced.store(true, Ordering::Relaxed);
        self.drop.notify_one();
    }

    /// The longest record that is taken.
    pub(super) fn longest(&self) -> u64 {
        self.rolling.handle().intake().longest()
    }

    pub(super) fn unannounced(&self) -> Dropped {
        self.untold.locked().dropped
    }

    pub(super) fn stats(&self) -> LogStats {
        let intake = self.rolling.handle().intake();
        let (records, begun) = (intake.records(), intake.aside());
        drop(intake);
        LogStats {
            records,
            dropped: *self.dropped.locked(),
            begun,
            rolling: self.rolling.stats(),
        }
    }
}

/// Runs `future` on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wakes a thread that waits for room.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
