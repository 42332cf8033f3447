//! `OssAppendWriter`: the handle.
//!
//! How bytes come in is in [`intake`](super::intake); the traits that callers use are in
//! [`io`](super::io) and [`sink`](super::sink). What all handles share with the worker is in
//! [`shared`](super::shared).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::builder::OssAppendWriterBuilder;
use super::intake::{Admission, Intake};
use super::receipt::{Receipt, Written};
use super::record_sink::RecordSink;
use super::shared::{Phase, Shared};
use super::stats::WriterStats;
use super::unsent::Unsent;
use super::waiter::Waiter;
use super::watermark::DurablePositions;
use crate::engine::flush::Flush;
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;

/// Streams bytes into one OSS object: a tokio [`AsyncWrite`](tokio::io::AsyncWrite) that gathers
/// what is written, appends it when a batch is large or old enough, and makes sure that every byte
/// lands exactly once and in order.
///
/// | call | meaning |
/// |---|---|
/// | [`write_all`](Self::write_all) | copies into the buffer; pending while the buffer is full |
/// | [`write_bytes`](Self::write_bytes) | the same for `Bytes`, without copying |
/// | [`enqueue`](Self::enqueue) | takes a record in, and gives a receipt that tells when it is durable |
/// | [`records`](Self::records) | a `Sink` of records over any `Encoder`, which never flushes |
/// | [`flush`](Self::flush) | everything written through this handle before is durable on return, by [`FlushMode`](crate::FlushMode) |
/// | [`sync`](Self::sync) | everything accepted before, from all clones, is durable on return, at once, in every mode |
/// | [`shutdown`](Self::shutdown) | `sync`, then seals if asked; nothing more can be written |
///
/// *Durable* means that OSS has acknowledged the bytes with the expected position and CRC-64, or
/// that a look at the object has proven them.
///
/// # Failure
/// Failed requests are retried within
/// [`delivery_timeout`](OssAppendWriterBuilder::delivery_timeout). When the writer fails for good,
/// every call returns the same error, which says whether the append in question landed. The calls
/// of `AsyncWrite` return it as an `io::Error`, from which [`Error::from_io`] gets ours back.
/// [`into_unsent`](Self::into_unsent) then gives back what is not durable.
///
/// # Clones
/// A clone writes to the same buffer. Each write of a clone is accepted in one piece if there is
/// room for it. The writer lives until the last clone is dropped.
///
/// A `flush` covers what was written through its own handle. What other clones had written before
/// it is durable too when it returns, with one exception: if an earlier flush of the same handle
/// was dropped before it returned, the next one goes on with that wait, and a write by another
/// clone in between does not extend it. Call [`sync`](Self::sync) to cover what all clones have
/// written.
///
/// # Dropping
/// Dropping the last clone never blocks. The worker goes on with what was accepted as long as the
/// runtime lives, but nobody learns the outcome: call `shutdown` for that. If not everything is
/// durable, a drop logs one warning.
///
/// # Cancel safety
/// Every future of this type may be dropped at any point: nothing is lost and nothing doubled.
/// What was accepted stays accepted.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::OssAppendWriter;
///
/// let object = "oss://logs/2026/app.log".parse()?;
/// let mut writer = OssAppendWriter::builder(client, object).open().await?;
/// let mut file = tokio::fs::File::open("app.log").await?;
/// writer.copy_from(&mut file).await?;
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OssAppendWriter {
    pub(super) shared: Arc<Shared>,
    /// Names this handle among the waiters.
    pub(super) waiter: u64,
    /// What the flush that is under way waits for. A write moves it on.
    pub(super) flush_target: Option<FlushTarget>,
    /// An item of the `Sink` may still wait for room, in `State::items`.
    pub(super) has_item: bool,
    /// What [`copy_from`](Self::copy_from) had read when nothing was taken in any more.
    pub(super) refused: Option<Bytes>,
}

/// What a flush waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushTarget {
    /// Everything before this.
    pub(super) end: StreamPosition,
    /// It is held up, since many small flushes have come before it.
    pub(super) held_up: bool,
}

impl OssAppendWriter {
    /// Prepares to open `object` in `store`.
    pub fn builder<S: AppendStore>(store: S, object: ObjectPath) -> OssAppendWriterBuilder<S> {
        OssAppendWriterBuilder::new(store, object)
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.lock().handles += 1;
        let waiter = shared.new_waiter();
        Self {
            shared,
            waiter,
            flush_target: None,
            has_item: false,
            refused: None,
        }
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        &self.shared.object
    }

    /// The position after the last accepted byte: the object's length once everything is durable.
    /// In a shared object, it does not count what others have appended since the opening; with
    /// compression, it is the count of raw bytes since the opening.
    pub fn position(&self) -> u64 {
        self.shared.shown(self.shared.lock().window.accepted())
    }

    /// Everything before this position is durable. Counted as [`position`](Self::position).
    pub fn durable_position(&self) -> u64 {
        self.shared.shown(self.shared.lock().window.durable())
    }

    /// The object, with its length and CRC-64 as they were last proven: when it was opened, and
    /// after each append since. A later process can [replay](OssAppendWriterBuilder::replay) from
    /// here.
    ///
    /// The position is [`durable_position`](Self::durable_position) with two exceptions: in a
    /// shared object it counts what others have appended before our last append, as the CRC-64
    /// does; with compression it counts the compressed bytes. The CRC-64 is `None` if the endpoint
    /// gives none, and while a replay is still comparing.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(
            self.shared.object.clone(),
            self.shared.lock().window.proven(),
        )
    }

    /// What was done so far, and what is still held.
    pub fn stats(&self) -> WriterStats {
        self.shared.stats()
    }

    /// Waits until everything before `position` is durable; it does not force an append.
    ///
    /// # Errors
    /// The writer's failure, or [`Closed`](crate::ErrorKind::Closed) if the writer was shut down
    /// before that position.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_durable(&self, position: u64) -> Result<()> {
        let waiter = Waiter::new(&self.shared);
        poll_fn(|cx| {
            let state = self.shared.lock();
            if self.shared.shown(state.window.durable()) >= position {
                return Poll::Ready(Ok(()));
            }
            state.check_failed()?;
            if matches!(state.phase, Phase::Closed) {
                return Poll::Ready(state.check_open());
            }
            waiter.wait(state, cx)
        })
        .await
    }

    /// Makes everything accepted so far durable, whichever clone accepted it, at once and in every
    /// flush mode.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe: the append stays on its way.
    pub async fn sync(&mut self) -> Result<()> {
        // Not that of a flush which was given up: others may have written since.
        self.flush_target = None;
        poll_fn(|cx| self.poll_flushed(cx, Flush::SYNC)).await
    }

    /// Writes `bytes` without copying them (a few bytes are copied, which is cheaper). Their memory
    /// stays in use until they are durable.
    ///
    /// # Errors
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) in a shared object for more than
    /// `max_append_size` bytes, which could be torn.
    ///
    /// # Cancel safety
    /// Safe: up to `buffer_capacity` the bytes are accepted whole or not at all, so a future that
    /// was dropped before it returned has accepted nothing. Longer `bytes` are accepted piece by
    /// piece, and [`position`](Self::position) tells how many were.
    pub async fn write_bytes(&mut self, mut bytes: Bytes) -> Result<()> {
        let capacity = self.shared.options.buffer_capacity;
        let limit = usize::try_from(capacity).unwrap_or(usize::MAX);
        loop {
            let piece = bytes.split_to(bytes.len().min(limit));
            poll_fn(|cx| self.poll_bytes(cx, &piece)).await?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Accepts `record` as soon as there is room, and returns a receipt that tells when it is
    /// durable and where. Like [`write_bytes`](Self::write_bytes), it does not copy.
    ///
    /// ```no_run
    /// # async fn example(mut writer: oss_append::OssAppendWriter) -> oss_append::Result<()> {
    /// let first = writer.enqueue("one record\n".into()).await?;
    /// let second = writer.enqueue("another\n".into()).await?;
    /// let written = second.written().await?; // then so is the first
    /// println!("{} holds it at {:?}", written.object, written.range);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty record, and for one of more
    /// than `buffer_capacity` bytes, or in a shared object or a sequence `max_append_size` bytes:
    /// nothing of it is written.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing.
    pub async fn enqueue(&mut self, record: Bytes) -> Result<Receipt> {
        if record.is_empty() {
            return Err(self.refused_record(0));
        }
        self.check_record(record.len() as u64)?;
        poll_fn(|cx| self.poll_enqueue(cx, &record)).await
    }

    /// A `Sink` whose items are records, as `encoder` makes them: any
    /// [`Encoder`](tokio_util::codec::Encoder) of tokio-util. Like a clone, it is another handle to
    /// this writer. It never flushes.
    pub fn records<E>(&self, encoder: E) -> RecordSink<E> {
        RecordSink::new(self.clone(), encoder)
    }

    /// Writes `record`, waits until it is durable, and returns where it is. It does not force an
    /// append, so that other writes can go into the same one.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and the writer's failure afterwards.
    ///
    /// # Cancel safety
    /// The data is safe: nothing is lost or doubled. But after dropping the future you do not know
    /// whether the record was written; use [`enqueue`](Self::enqueue) if you need to know.
    pub async fn append_record(&mut self, record: Bytes) -> Result<Written> {
        self.enqueue(record).await?.written().await
    }

    /// The watermark as a stream: [`durable_position`](Self::durable_position) now, and each time
    /// it has moved on. Of positions in quick succession only the last is given. The stream ends
    /// when the writer has been shut down; a failure is its last item.
    pub fn durable(&self) -> DurablePositions {
        DurablePositions::new(Arc::clone(&self.shared))
    }

    /// Gives back the bytes that a failed writer had accepted and that are not durable; after a
    /// successful shutdown there are none. The first clone that asks gets them.
    ///
    /// # Errors
    /// Gives the writer itself back if it has neither failed nor been shut down: its bytes are
    /// still on their way.
    pub fn into_unsent(mut self) -> Result<Unsent, Self> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if !matches!(state.phase, Phase::Failed(_) | Phase::Closed) {
            drop(state);
            return Err(self);
        }
        let mut unsent = state.take_unsent(&shared);
        state.unsent_taken = true;
        unsent.chunks.extend(self.refused.take());
        drop(state);
        Ok(unsent)
    }

    /// Why it has failed, if it has.
    #[cfg(feature = "tracing")]
    pub(crate) fn failure(&self) -> Option<Error> {
        self.shared.lock().check_failed().err()
    }

    /// How long a byte may wait for its append.
    #[cfg(feature = "tracing")]
    pub(crate) fn linger(&self) -> std::time::Duration {
        self.shared.options.schedule.linger
    }

    /// The most bytes that it holds.
    #[cfg(feature = "tracing")]
    pub(crate) fn capacity(&self) -> u64 {
        self.shared.options.buffer_capacity
    }

    /// The door into the buffer.
    #[inline]
    pub(crate) fn intake(&self) -> Intake<'_> {
        Intake::new(&self.shared)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether there may ever be room for a record of `len` bytes.
    pub(super) fn check_record(&self, len: u64) -> Result<()> {
        match len > self.shared.options.buffer_capacity {
            true => Err(self.refused_record(len)),
            false => Ok(()),
        }
    }

    fn refused_record(&self, len: u64) -> Error {
        let capacity = self.shared.options.buffer_capacity;
        Error::invalid_input(format!(
            "a record has 1 to buffer_capacity {capacity} bytes, this one has {len}"
        ))
        .with_operation("enqueue")
        .with_object(&self.shared.object)
    }

    /// Takes `bytes` in whole, as soon as there is room.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, bytes: &Bytes) -> Poll<Result<()>> {
        let mut intake = ready!(self.poll_admitted(cx, bytes))?;
        intake.share(bytes);
        intake.end_record();
        drop(intake);
        self.flush_target = None;
        Poll::Ready(Ok(()))
    }

    fn poll_enqueue(&mut self, cx: &mut Context<'_>, record: &Bytes) -> Poll<Result<Receipt>> {
        if !self.has_item
            && let Some(receipt) = self.shared.try_enqueue(record)
        {
            self.flush_target = None;
            return Poll::Ready(Ok(receipt));
        }
        let intake = ready!(self.poll_admitted(cx, record))?;
        let receipt = intake.enqueue(record);
        self.flush_target = None;
        Poll::Ready(Ok(receipt))
    }

    /// Waits until `bytes` may come in as a whole, which they have to do at once.
    fn poll_admitted(&mut self, cx: &mut Context<'_>, bytes: &Bytes) -> Poll<Result<Intake<'_>>> {
        ready!(self.poll_item(cx))?;
        let mut intake = Intake::new(&self.shared);
        match intake.admit(bytes.len() as u64, true) {
            Admission::Now(_) => Poll::Ready(Ok(intake)),
            Admission::Wait => intake.wait(self.waiter, cx),
            Admission::Never(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Clone for OssAppendWriter {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl Drop for OssAppendWriter {
    fn drop(&mut self) {
        // Declared first, so that they are dropped after the lock.
        let (_waker, item);
        let mut state = self.shared.lock();
        _waker = state.forget(self.waiter);
        item = state.items.remove(&self.waiter);
        if let Some(item) = &item {
            // No room for it, but it was accepted; nothing more can come from this handle.
            state.share(&self.shared, item);
            state.end_record();
        }
        state.handles -= 1;
        if state.handles > 0 {
            return;
        }
        let missing = match state.unsent_taken {
            true => 0,
            false => state.window.accepted() - state.window.durable(),
        };
        drop(state);
        self.shared.close(false);
        if missing > 0 {
            tracing::warn!(
                object = %self.shared.object,
                bytes = missing,
                "OssAppendWriter dropped with bytes that are not durable; call shutdown first"
            );
        }
    }
}
