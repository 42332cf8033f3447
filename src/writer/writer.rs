//! `OssAppendWriter`: the handle, and its `AsyncWrite`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::runtime::Handle;

#[cfg(feature = "tracing")]
use super::begun::LogRecord;
use super::buffer::Records;
use super::builder::{OssAppendWriterBuilder, WriterOptions};
use super::periods::PeriodClock;
use super::receipt::{Receipt, Written};
use super::shared::{Phase, Shared, State};
use super::stats::WriterStats;
use super::sync::MutexGuard;
use super::unsent::Unsent;
use super::watermark::DurablePositions;
use super::worker;
use crate::drive::stats::Counters;
use crate::engine::flush::FlushMode;
use crate::engine::window::Window;
use crate::error::{Error, Result};
use crate::stage::compression::Compression;
use crate::stage::{RollReason, Stage};
use crate::store::AppendStore;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;

/// Streams bytes into one OSS object: a tokio [`AsyncWrite`] that gathers what is written, appends
/// it when a batch is large or old enough, and makes sure that every byte lands exactly once and
/// in order.
///
/// | call | meaning |
/// |---|---|
/// | `write` | copies into the buffer; pending while the buffer is full |
/// | [`write_bytes`](Self::write_bytes) | the same for `Bytes`, without copying |
/// | `flush` | everything written through this handle before is durable on return, by [`FlushMode`] |
/// | [`sync`](Self::sync) | everything accepted before, from all clones, is durable on return, at once, in every mode |
/// | `shutdown` | `sync`, then seals if asked; nothing more can be written |
///
/// *Durable* means that OSS has acknowledged the bytes with the expected position and CRC-64, or
/// that a look at the object has proven them.
///
/// # Failure
/// Failed requests are retried within
/// [`delivery_timeout`](OssAppendWriterBuilder::delivery_timeout). When the writer fails for good,
/// every call returns the same error, as an `io::Error` from which [`Error::from_io`] gets ours
/// back; it says whether the append in question landed. [`into_unsent`](Self::into_unsent) then
/// gives back what is not durable.
///
/// # Clones
/// A clone writes to the same buffer. Each write of a clone is accepted in one piece if there is
/// room for it. The writer lives until the last clone is dropped.
///
/// A `flush` answers for what was written through its own handle. What other clones had written
/// before it is durable too when it returns, but for one case: an earlier flush of the same handle
/// was dropped before it returned. The next one then goes on with the wait of that one, and a write
/// of another clone in between does not prolong it. Call [`sync`](Self::sync) for what all clones
/// have written.
///
/// # Dropping
/// Dropping the last clone never blocks. The worker goes on with what was accepted as long as the
/// runtime lives, but nobody learns how that ends: call `shutdown`. A drop before everything is
/// durable logs one warning.
///
/// # Cancel safety
/// Every future of this type may be dropped at any point: nothing is lost and nothing doubled.
/// What was accepted stays accepted.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::OssAppendWriter;
/// use tokio::io::AsyncWriteExt;
///
/// let object = "oss://logs/2026/app.log".parse()?;
/// let mut writer = OssAppendWriter::builder(client, object).open().await?;
/// let mut file = tokio::fs::File::open("app.log").await?;
/// tokio::io::copy(&mut file, &mut writer).await?;
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OssAppendWriter {
    shared: Arc<Shared>,
    /// Names this handle among the waiters.
    waiter: u64,
    /// What the flush that is under way waits for. A write moves it on.
    flush_target: Option<StreamPosition>,
    /// An item of the `Sink` may still wait for room, in `State::items`.
    has_item: bool,
    /// What [`copy_from`](Self::copy_from) had read when nothing was taken in any more.
    pub(super) refused: Option<Bytes>,
}

impl OssAppendWriter {
    /// Prepares to open `object` in `store`.
    pub fn builder<S: AppendStore>(store: S, object: ObjectPath) -> OssAppendWriterBuilder<S> {
        OssAppendWriterBuilder::new(store, object)
    }

    /// A writer to a sequence of objects, named as `sequence`, whose worker runs on `runtime`.
    #[allow(clippy::too_many_arguments, reason = "each is something else")]
    pub(crate) fn start(
        runtime: &Handle,
        sequence: ObjectPath,
        options: WriterOptions,
        counters: Arc<Counters>,
        records: Records,
        stage: impl Stage,
        compression: Option<(Compression, u64)>,
        clock: Option<PeriodClock>,
    ) -> Self {
        let window = Window::default();
        let shared = Shared::new(sequence, options, 0, window, counters, records);
        let writer = Self::new(Arc::new(shared));
        let worker = worker::run_compressed(Arc::clone(&writer.shared), stage, compression, clock);
        worker::spawn(runtime, worker);
        writer
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

    /// The position behind the last accepted byte: the object's length once everything is durable.
    /// In a shared object counted without what others have appended since the opening; with
    /// compression the count of raw bytes since the opening.
    pub fn position(&self) -> u64 {
        self.shared.shown(self.shared.lock().window.accepted())
    }

    /// Everything before this position is durable. Counted as [`position`](Self::position).
    pub fn durable_position(&self) -> u64 {
        self.shared.shown(self.shared.lock().window.durable())
    }

    /// The object, with its length and CRC-64 as they were last proven: when it was opened, and
    /// after each append since. A later process can
    /// [replay](OssAppendWriterBuilder::replay) from here.
    ///
    /// The position is [`durable_position`](Self::durable_position), but in a shared object it
    /// counts what others have appended before our last append, as the CRC-64 does, and with
    /// compression it is that of the compressed bytes. The CRC-64 is `None` if the endpoint gives
    /// none, and while a replay is still comparing.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(
            self.shared.object.clone(),
            self.shared.lock().window.proven(),
        )
    }

    /// What was done so far, and what is held.
    pub fn stats(&self) -> WriterStats {
        self.shared.stats()
    }

    /// Waits until everything before `position` is durable; forces nothing.
    ///
    /// # Errors
    /// The writer's failure, or [`Closed`](crate::ErrorKind::Closed) if the writer was shut down
    /// before that position.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_durable(&self, position: u64) -> Result<()> {
        let waiting = Waiting::new(&self.shared);
        poll_fn(|cx| {
            let state = self.shared.lock();
            if self.shared.shown(state.window.durable()) >= position {
                return Poll::Ready(Ok(()));
            }
            state.check_failed()?;
            if matches!(state.phase, Phase::Closed) {
                return Poll::Ready(state.check_open());
            }
            waiting.wait(state, cx)
        })
        .await
    }

    /// Makes everything accepted so far durable, whichever clone it came from, at once and in every
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
        poll_fn(|cx| self.poll_flushed(cx, Duration::ZERO)).await
    }

    /// Writes `bytes` without copying them (if they are few, they are copied, which is cheaper).
    /// The memory that they share stays in use until they are durable.
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

    /// Takes `record` in, as soon as there is room, and gives a receipt that tells when it is durable
    /// and where. Without copying, as [`write_bytes`](Self::write_bytes).
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
    /// # Errors
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty record, and for one of more
    /// than `buffer_capacity` bytes, in a shared object or a sequence `max_append_size`: nothing of
    /// it is written.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing.
    pub async fn enqueue(&mut self, record: Bytes) -> Result<Receipt> {
        let len = record.len() as u64;
        let capacity = self.shared.options.buffer_capacity;
        if len == 0 || len > capacity {
            return Err(Error::invalid_input(format!(
                "a record has 1 to buffer_capacity {capacity} bytes, this one has {len}"
            ))
            .with_operation("enqueue")
            .with_object(&self.shared.object));
        }
        poll_fn(|cx| self.poll_enqueue(cx, &record)).await
    }

    /// Writes `record` and returns when it is durable: where it is. Forces nothing, so that what
    /// others write can go in the same append.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and the writer's failure afterwards.
    ///
    /// # Cancel safety
    /// Not for the knowledge: a dropped future may have written the record, or not. Nothing is lost
    /// or doubled by that. [`enqueue`](Self::enqueue) tells.
    pub async fn append_record(&mut self, record: Bytes) -> Result<Written> {
        self.enqueue(record).await?.written().await
    }

    /// The watermark as a stream: [`durable_position`](Self::durable_position) now, and each time
    /// that it has moved on. Positions that come in quick succession are left out for the last of
    /// them. It ends when the writer has been shut down; a failure is its last item.
    pub fn durable(&self) -> DurablePositions {
        DurablePositions::new(Arc::clone(&self.shared))
    }

    /// Gives back the bytes that a failed writer had accepted and that are not durable; none after
    /// a successful shutdown. The first of the clones that asks gets them.
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

    /// Takes `record` in, whole. False: not, since there is no room for it, it is too long, or
    /// nothing is taken any more. Does not wait.
    #[inline]
    pub(crate) fn try_record(&self, record: &[u8]) -> bool {
        let Some(mut state) = self.shared.try_take(record) else {
            return false;
        };
        state.records += 1;
        true
    }

    /// Takes `notice` in and then `record`, or none of them: `false` if there is no room for both
    /// now. An empty one is left out. What was reserved for the record is given back if it is taken.
    /// Does not wait.
    #[cfg(feature = "tracing")]
    pub(crate) fn try_records(&self, notice: &[u8], record: LogRecord<'_>) -> Result<bool> {
        self.take_records(&mut self.shared.lock(), notice, record)
    }

    /// The same, as soon as there is room.
    ///
    /// # Errors
    /// Besides those of a write: nothing is in the buffer that an append could free.
    #[cfg(feature = "tracing")]
    pub(crate) fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        notice: &[u8],
        record: LogRecord<'_>,
    ) -> Poll<Result<()>> {
        let mut state = self.shared.lock();
        if self.take_records(&mut state, notice, record)? {
            self.flush_target = None;
            return Poll::Ready(Ok(()));
        }
        if state.window.held() == 0 {
            return Poll::Ready(Err(Error::invalid_input(
                "records that have been begun leave no room for this one",
            )));
        }
        let accepted = state.window.accepted();
        self.shared.ask(&mut state, accepted, Duration::ZERO);
        self.shared.wait(state, self.waiter, cx)
    }

    #[cfg(feature = "tracing")]
    fn take_records(
        &self,
        state: &mut State,
        notice: &[u8],
        record: LogRecord<'_>,
    ) -> Result<bool> {
        let shared = &*self.shared;
        let (len, reserved) = (record.len(), record.reserved);
        room_for(shared, state, len, true)?;
        room_for(shared, state, notice.len() as u64, true)?;
        if notice.len() as u64 + len > shared.room(state).saturating_add(reserved) {
            return Ok(false);
        }
        state.reserved -= reserved;
        if !notice.is_empty() {
            shared.take(state, notice);
            state.records += 1;
        }
        if len > 0 {
            state.buffer.copy(record.head, || shared.now());
            for part in record.rest {
                state.buffer.share(part, || shared.now());
            }
            state.buffer.end_record();
            shared.accepted(state, len);
            state.records += 1;
        }
        Ok(true)
    }

    /// Takes `record` in, whole, and gives a receipt; `None` if there is no room for it now.
    #[cfg(feature = "keyed")]
    pub(crate) fn try_enqueue(&self, record: &Bytes) -> Result<Option<Receipt>> {
        let mut state = self.shared.lock();
        let len = record.len() as u64;
        if room_for(&self.shared, &state, len, true)? < len {
            return Ok(None);
        }
        self.shared.share(&mut state, record);
        let range = state.window.accepted() - len..state.window.accepted();
        state.places.give_receipt(&range);
        drop(state);
        Ok(Some(Receipt::new(Arc::clone(&self.shared), range)))
    }

    /// Whether there is room for a record of `len` bytes now.
    ///
    /// # Errors
    /// It is too long, or nothing is taken any more.
    #[cfg(feature = "keyed")]
    pub(crate) fn has_room(&self, len: u64) -> Result<bool> {
        let state = self.shared.lock();
        Ok(room_for(&self.shared, &state, len, true)? >= len)
    }

    /// Makes room for `len` bytes, and waits for it, or until nothing is taken any more.
    #[cfg(feature = "keyed")]
    pub(crate) async fn wait_room(&self, len: u64) {
        let waiting = Waiting::new(&self.shared);
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if !matches!(state.phase, Phase::Open) || self.shared.room(&state) >= len {
                return Poll::Ready(());
            }
            let accepted = state.window.accepted();
            self.shared.ask(&mut state, accepted, Duration::ZERO);
            waiting.wait(state, cx)
        })
        .await;
    }

    /// Issues all that was accepted, and tells how much that is in all. As a flush does, or at once.
    #[cfg(feature = "keyed")]
    pub(crate) fn issue(&self, at_once: bool) -> u64 {
        let mut state = self.shared.lock();
        let accepted = state.window.accepted();
        match self.shared.options.flush_mode {
            _ if at_once => self.shared.ask(&mut state, accepted, Duration::ZERO),
            FlushMode::Coalesced { min_interval } => {
                self.shared.ask(&mut state, accepted, min_interval);
            }
            FlushMode::Durable => self.shared.ask(&mut state, accepted, Duration::ZERO),
            FlushMode::Handoff => return 0,
        }
        accepted.bytes()
    }

    /// Takes nothing more, and lets the worker end with what was accepted. Does not wait.
    #[cfg(feature = "keyed")]
    pub(crate) fn close(&self) {
        self.shared.close(false);
    }

    /// Nobody has to be warned of what is not durable when this is dropped.
    #[cfg(feature = "keyed")]
    pub(crate) fn drop_quietly(&self) {
        self.shared.lock().unsent_taken = true;
    }

    /// How many bytes fit in now; none once the writer has failed or been shut down.
    pub(crate) fn room(&self) -> u64 {
        let state = self.shared.lock();
        match state.phase {
            Phase::Open => self.shared.room(&state),
            _ => 0,
        }
    }

    /// The most bytes of a record that is taken in.
    pub(crate) fn max_record(&self) -> u64 {
        self.shared.options.schedule.max_append_size
    }

    /// How many records [`try_record`](Self::try_record) has taken in.
    pub(crate) fn records(&self) -> u64 {
        self.shared.lock().records
    }

    /// Ends the present object behind what was accepted so far, and waits for that. The end of a
    /// record of which the beginning was issued is not waited for.
    pub(crate) async fn cut(&mut self, reason: RollReason) -> Result<()> {
        let mut asked = None;
        poll_fn(|cx| {
            ready!(self.poll_item(cx))?;
            let mut state = self.shared.lock();
            state.check_failed()?;
            let number = match asked {
                Some(number) => number,
                None => {
                    state.check_open()?;
                    state.cut(reason);
                    self.shared.work.notify_one();
                    *asked.insert(state.cuts_asked)
                }
            };
            let ended = matches!(state.phase, Phase::Closed);
            if state.cuts_made >= number || ended || state.waits_for_record_end() {
                return Poll::Ready(Ok(()));
            }
            self.shared.wait(state, self.waiter, cx)
        })
        .await
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Waits for room for at least one byte, and tells how much there is.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        ready!(self.poll_item(cx))?;
        let state = self.shared.lock();
        state.check_open()?;
        match self.shared.room(&state) {
            0 => self.shared.wait(state, self.waiter, cx),
            room => Poll::Ready(Ok(room)),
        }
    }

    /// Takes `bytes` in whole, as soon as there is room.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, bytes: &Bytes) -> Poll<Result<()>> {
        ready!(self.poll_item(cx))?;
        self.poll_place(cx, bytes)
    }

    fn poll_enqueue(&mut self, cx: &mut Context<'_>, record: &Bytes) -> Poll<Result<Receipt>> {
        ready!(self.poll_item(cx))?;
        let mut state = ready!(self.poll_placed(cx, record))?;
        let range = state.window.accepted() - record.len() as u64..state.window.accepted();
        state.places.give_receipt(&range);
        drop(state);
        Poll::Ready(Ok(Receipt::new(Arc::clone(&self.shared), range)))
    }

    /// Takes `bytes` in whole, as soon as there is room.
    fn poll_place(&mut self, cx: &mut Context<'_>, bytes: &Bytes) -> Poll<Result<()>> {
        self.poll_placed(cx, bytes).map_ok(drop)
    }

    /// The same, and keeps the lock.
    fn poll_placed(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &Bytes,
    ) -> Poll<Result<MutexGuard<'_, State>>> {
        let len = bytes.len() as u64;
        let (mut state, room) = loop {
            let mut state = self.shared.lock();
            let room = room_for(&self.shared, &state, len, self.shared.keeps_bytes())?;
            if room >= len || state.window.compared() == 0 {
                break (state, room);
            }
            // It need not be kept, and there would never be room for as much as the buffer holds.
            let compared = state.window.take_compared();
            drop(state);
            drop(compared);
        };
        if room < len {
            // What is in the way goes out now, however little it is.
            let accepted = state.window.accepted();
            self.shared.ask(&mut state, accepted, Duration::ZERO);
            return self.shared.wait(state, self.waiter, cx);
        }
        self.flush_target = None;
        self.shared.share(&mut state, bytes);
        Poll::Ready(Ok(state))
    }

    /// Takes in an item of a `Sink`; [`poll_room`](Self::poll_room) has been ready.
    pub(super) fn take_item(&mut self, item: &Bytes) -> Result<()> {
        let mut state = self.shared.lock();
        let len = item.len() as u64;
        room_for(&self.shared, &state, len, self.shared.keeps_bytes())?;
        if state.items.contains_key(&self.waiter) {
            return Err(Error::invalid_input(
                "start_send was called although the sink was not ready",
            ));
        }
        self.flush_target = None;
        if len > 0 {
            state.items.insert(self.waiter, item.clone());
            self.has_item = true;
        }
        drop(state);
        // Nobody has to wait for this: what finds no room now goes in with the next poll.
        let _ = self.poll_item(&mut Context::from_waker(std::task::Waker::noop()))?;
        Ok(())
    }

    /// Moves the item of a `Sink` into the buffer.
    pub(super) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.has_item {
            // Dropped after the lock, as all that could be the last of a caller's.
            let (item, _moved);
            let mut state = self.shared.lock();
            let Some(found) = state.items.get(&self.waiter) else {
                // It went in when the writer was closed, or failed.
                self.has_item = false;
                break;
            };
            item = found.clone();
            let limit = usize::try_from(self.shared.options.buffer_capacity).unwrap_or(usize::MAX);
            let piece = item.slice(..item.len().min(limit));
            if self.shared.room(&state) < piece.len() as u64 {
                // What is in the way goes out now, however little it is.
                let accepted = state.window.accepted();
                self.shared.ask(&mut state, accepted, Duration::ZERO);
                return self.shared.wait(state, self.waiter, cx);
            }
            self.flush_target = None;
            self.shared.share(&mut state, &piece);
            _moved = match piece.len() == item.len() {
                true => state.items.remove(&self.waiter),
                false => state.items.insert(self.waiter, item.slice(piece.len()..)),
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until everything accepted before is durable. Its append is issued no sooner than
    /// `min_interval` after the last one that a flush forced.
    ///
    /// The target stays where the first poll found it until it is reached, or this handle writes.
    /// Nobody can tell which flush a poll belongs to, and a target that moved on with each of them
    /// would never be reached beside clones that go on writing.
    fn poll_flushed(&mut self, cx: &mut Context<'_>, min_interval: Duration) -> Poll<Result<()>> {
        ready!(self.poll_item(cx))?;
        let mut state = self.shared.lock();
        let target = *self.flush_target.get_or_insert_with(|| {
            let target = state.window.accepted();
            self.shared.ask(&mut state, target, min_interval);
            target
        });
        if let Err(error) = state.check_failed() {
            self.flush_target = None;
            return Poll::Ready(Err(error));
        }
        if state.window.durable() >= target {
            self.flush_target = None;
            return Poll::Ready(Ok(()));
        }
        self.shared.wait(state, self.waiter, cx)
    }

    fn write_slices<'a>(
        &mut self,
        cx: &mut Context<'_>,
        slices: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<Result<usize>> {
        ready!(self.poll_item(cx))?;
        let shared = &*self.shared;
        let mut state = shared.lock();
        let len: usize = slices.clone().map(<[u8]>::len).sum();
        let whole = shared.records == Records::Writes;
        let room = room_for(shared, &state, len as u64, whole)?;
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        if room == 0 || (whole && room < len as u64) {
            return self.shared.wait(state, self.waiter, cx);
        }
        let take = len.min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut left = take;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            match shared.records {
                Records::Ending(byte) => state.buffer.copy_records(part, byte, || shared.now()),
                Records::Writes | Records::Bytes => state.buffer.copy(part, || shared.now()),
            }
            left -= part.len();
        }
        if whole {
            state.buffer.end_record();
        }
        shared.accepted(&mut state, take as u64);
        self.flush_target = None;
        Poll::Ready(Ok(take))
    }
}

/// How much fits in now, if bytes may be written at all.
fn room_for(shared: &Shared, state: &State, len: u64, whole: bool) -> Result<u64> {
    state.check_open()?;
    let most = shared.options.schedule.max_append_size;
    if whole && len > most {
        return Err(Error::invalid_input(format!(
            "a record of {len} bytes cannot be kept whole: at most max_append_size {most} bytes go \
             in one append"
        ))
        .with_operation("write")
        .with_object(&shared.object));
    }
    Ok(shared.room(state))
}

impl AsyncWrite for OssAppendWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.has_item
            && !buf.is_empty()
            && !matches!(self.shared.records, Records::Ending(_))
            && self.shared.try_take(buf).is_some()
        {
            self.flush_target = None;
            return Poll::Ready(Ok(buf.len()));
        }
        self.write_slices(cx, std::iter::once(buf))
            .map_err(io::Error::from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_slices(cx, bufs.iter().map(|slice| &**slice))
            .map_err(io::Error::from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let min_interval = match self.shared.options.flush_mode {
            FlushMode::Coalesced { min_interval } => min_interval,
            FlushMode::Durable => Duration::ZERO,
            FlushMode::Handoff => {
                ready!(self.poll_item(cx))?;
                self.shared.lock().check_failed()?;
                return Poll::Ready(Ok(()));
            }
        };
        self.poll_flushed(cx, min_interval).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        shared.close(shared.options.seal);
        let state = shared.lock();
        match &state.phase {
            Phase::Failed(error) => Poll::Ready(Err(error.clone().into())),
            Phase::Closed => Poll::Ready(Ok(())),
            Phase::Open | Phase::Closing { .. } => shared.wait(state, self.waiter, cx),
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
            self.shared.share(&mut state, item);
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

/// A waiter that is forgotten when its future is dropped.
pub(super) struct Waiting<'a> {
    shared: &'a Shared,
    waiter: u64,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let waiter = shared.new_waiter();
        Self { shared, waiter }
    }

    /// Pending: wakes the task at the next change.
    pub(super) fn wait<T>(&self, state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<T> {
        self.shared.wait(state, self.waiter, cx)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _waker = self.shared.lock().forget(self.waiter);
    }
}
