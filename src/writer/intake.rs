//! The one door into the buffer: whether bytes may come in now, and how.
//!
//! Everything comes in here: `AsyncWrite`, `Sink`, records with receipts, logs, and the writers of
//! keys. A caller that was admitted and holds on to the [`Intake`] finds the room.
//!
//! # Invariants
//! - What waits, is in flight, is set aside, or is kept of a replay takes no more than `buffer_capacity`
//!   together.
//! - What is admitted whole comes in as a whole, or not at all.
//! - A caller that has to wait has something to wait for: an append in flight or due, or the end of
//!   another record. If what is in the way would linger, its append is requested.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::buffer::records::Records;
use super::buffer::{Buffer, MIN_SHARED};
use super::builder::WriterOptions;
use super::receipt::Receipt;
use super::shared::{Phase, Shared, State};
use super::sync::MutexGuard;
use crate::engine::flush::Flush;
use crate::error::{Error, Result};
use crate::values::batch::Batch;
use crate::values::position::StreamPosition;

/// Whether bytes may come in.
#[derive(Debug)]
pub(crate) enum Admission {
    /// So many of them, if this still has the lock.
    Now(u64),
    /// None, until some that are before them have gone.
    Wait,
    /// They never may.
    Never(Error),
}

/// The buffer, locked for whoever brings bytes.
pub(crate) struct Intake<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) state: MutexGuard<'a, State>,
    /// Dropped after the lock.
    let_go: Option<VecDeque<Batch>>,
}

impl<'a> Intake<'a> {
    #[inline]
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            state: shared.lock(),
            let_go: None,
        }
    }

    /// How many bytes fit in now.
    #[inline]
    pub(crate) fn room(&self) -> u64 {
        self.state.room(self.shared)
    }

    /// Whether `len` bytes may come in: all of them if they have to stay `whole`, else as many as
    /// fit. Zero bytes may always, while the writer is open.
    #[inline]
    pub(crate) fn admit(&mut self, len: u64, whole: bool) -> Admission {
        match self.check(len, whole) {
            Ok(()) => self.fit(len, whole),
            Err(error) => Admission::Never(error),
        }
    }

    #[inline]
    pub(super) fn fit(&mut self, len: u64, whole: bool) -> Admission {
        match self.room() {
            room if room >= len => Admission::Now(len),
            0 => self.full(len, whole),
            room if !whole => Admission::Now(room),
            _ => self.full(len, whole),
        }
    }

    /// There is no room for `len` bytes.
    #[cold]
    fn full(&mut self, len: u64, whole: bool) -> Admission {
        if whole {
            // What a replay has compared need not be kept, and there would never be room for as much
            // as the buffer holds.
            let let_go = self.let_go.get_or_insert_default();
            let_go.append(&mut self.state.window.take_compared());
        }
        match self.room() {
            room if room >= len => Admission::Now(len),
            _ if self.state.window.held() == 0 && self.state.window.compared() == 0 => {
                Admission::Never(Error::invalid_input(
                    "records that have been begun leave no room for this one",
                ))
            }
            _ => Admission::Wait,
        }
    }

    /// Whether bytes may come in at all: the writer is open, and a record goes in one append.
    #[inline]
    pub(super) fn check(&self, len: u64, whole: bool) -> Result<()> {
        if !matches!(self.state.phase, Phase::Open) {
            return self.state.check_open();
        }
        let most = self.longest();
        match whole && self.shared.keeps_bytes() && len > most {
            false => Ok(()),
            true => Err(Error::invalid_input(format!(
                "a record of {len} bytes cannot be kept whole: at most max_append_size {most} \
                 bytes go in one append"
            ))
            .with_operation("write")
            .with_object(&self.shared.object)),
        }
    }

    /// The longest record.
    #[inline]
    pub(crate) fn longest(&self) -> u64 {
        self.shared.options.schedule.max_append_size
    }

    /// Copies `data` in, which has been admitted. Where a byte ends a record, the records in it end.
    #[inline]
    pub(crate) fn copy(&mut self, data: &[u8]) {
        let shared = self.shared;
        let buffer = self.state.inlet(shared);
        match shared.records {
            Records::Ending(byte) => buffer.copy_records(data, byte, || shared.now()),
            Records::Writes | Records::Bytes => buffer.copy(data, || shared.now()),
        }
        self.state.entered(shared, data.len() as u64);
    }

    /// Takes `bytes` in, which have been admitted, without copying unless they are few.
    pub(crate) fn share(&mut self, bytes: &Bytes) {
        self.state.share(self.shared, bytes);
    }

    /// What came in last ends a record.
    #[inline]
    pub(crate) fn end_record(&mut self) {
        self.state.end_record();
    }

    /// Takes `record` in, which has been admitted, and gives a receipt for it.
    pub(crate) fn enqueue(mut self, record: &Bytes) -> Receipt {
        let range = self.state.enqueue(self.shared, record);
        let shared = Arc::clone(self.shared);
        drop(self);
        Receipt::new(shared, range)
    }

    /// Pending: wakes the waiter at the next change. What is in the way goes out now, unless an
    /// append is under way or due.
    pub(super) fn wait<T>(mut self, waiter: u64, cx: &Context<'_>) -> Poll<T> {
        let capacity = self.shared.capacity();
        let State {
            spool,
            window,
            buffer,
            ..
        } = &mut *self.state;
        let waits = buffer.len();
        let by_disk = (spool.as_ref()).is_some_and(|spool| spool.overflows(window, capacity));
        if let (false, Some(spool)) = (by_disk, spool) {
            spool.has_waited = true;
            self.shared.note_wait();
        }
        let waits_for_append = !by_disk && window.first().is_none();
        if waits_for_append && waits < self.shared.options.schedule.batch_size {
            let accepted = window.accepted();
            self.shared.ask(&mut self.state, accepted, Flush::SYNC);
        }
        let Self {
            shared,
            state,
            let_go,
        } = self;
        let poll = shared.wait(state, waiter, cx);
        drop(let_go);
        poll
    }
}

impl Shared {
    /// Copies `data`, which has bytes, in as a whole, if nothing stands in the way and it has no ends of
    /// records within. Most writes need no more, and an [`Intake`] would cost them half as much again;
    /// whoever is told `false` asks for one.
    #[inline(always)]
    pub(super) fn try_copy(&self, data: &[u8]) -> bool {
        if data.len() as u64 > self.plain {
            return self.try_copy_by_disk(data);
        }
        self.try_copy_short(data).is_some()
    }

    /// The same where there is a spool.
    #[inline(never)]
    fn try_copy_by_disk(&self, data: &[u8]) -> bool {
        let longest = max_plain(&self.options, self.records);
        self.spool.is_some() && data.len() as u64 <= longest && self.try_spool(data).is_some()
    }

    /// Copies `record` in as a whole, in the same way, whatever ends of records it has within, if it
    /// is short. Tells how much room is left.
    #[inline(always)]
    pub(super) fn try_record(&self, record: &[u8]) -> Option<u64> {
        let longest = self.options.schedule.max_append_size;
        if record.len() >= MIN_SHARED || record.len() as u64 > longest {
            return None;
        }
        match self.spool {
            None => self.try_copy_short(record),
            Some(_) => self.try_spool(record),
        }
    }

    /// Copies `data` in as a record, if there is room. Tells how much is left.
    #[inline(always)]
    fn try_copy_short(&self, data: &[u8]) -> Option<u64> {
        let mut state = self.lock();
        let len = data.len() as u64;
        let left = self
            .options
            .buffer_capacity
            .checked_sub(state.taken() + len)?;
        if !matches!(state.phase, Phase::Open) {
            return None;
        }
        state.buffer.copy(data, || self.now());
        state.window.accept(len);
        state.gathered(self, len);
        state.buffer.end_record();
        state.records += 1;
        Some(left)
    }

    /// The same where there is a spool.
    #[inline(never)]
    fn try_spool(&self, data: &[u8]) -> Option<u64> {
        let mut state = self.lock();
        let len = data.len() as u64;
        let left = state.room(self).checked_sub(len)?;
        if !matches!(state.phase, Phase::Open) {
            return None;
        }
        state.inlet(self).copy(data, || self.now());
        state.entered(self, len);
        state.end_record();
        Some(left)
    }

    /// Takes `record` in as a whole, in the same way, and gives a receipt for it.
    #[inline]
    pub(super) fn try_enqueue(self: &Arc<Self>, record: &Bytes) -> Option<Receipt> {
        let mut state = self.lock();
        let len = record.len() as u64;
        if !state.has_room(self, len) || len > self.options.schedule.max_append_size {
            return None;
        }
        let range = state.enqueue(self, record);
        drop(state);
        Some(Receipt::new(Arc::clone(self), range))
    }
}

impl State {
    /// Where bytes come in.
    #[inline]
    pub(super) fn inlet(&mut self, shared: &Shared) -> &mut Buffer {
        match &mut self.spool {
            None => &mut self.buffer,
            Some(spool) => spool.inlet(&mut self.buffer, &self.window, shared),
        }
    }

    /// How much of the capacity is in use.
    #[inline]
    pub(super) fn taken(&self) -> u64 {
        self.window.held() + self.reserved + self.window.compared()
    }

    /// Whether the writer is open and `len` bytes fit in now.
    #[inline]
    fn has_room(&self, shared: &Shared, len: u64) -> bool {
        len <= self.room(shared) && matches!(self.phase, Phase::Open)
    }

    /// Takes `record` in, for which a receipt is given.
    #[inline]
    fn enqueue(&mut self, shared: &Shared, record: &Bytes) -> Range<StreamPosition> {
        let start = self.window.accepted();
        self.share(shared, record);
        self.end_record();
        let range = start..self.window.accepted();
        self.places.give_receipt(&range);
        range
    }

    /// How many bytes fit in now.
    #[inline]
    fn room(&self, shared: &Shared) -> u64 {
        match &self.spool {
            Some(spool) => spool.room(self, shared),
            None => shared.options.buffer_capacity.saturating_sub(self.taken()),
        }
    }

    /// Takes `bytes` in, without copying unless they are few.
    pub(super) fn share(&mut self, shared: &Shared, bytes: &Bytes) {
        self.inlet(shared).share(bytes, || shared.now());
        self.entered(shared, bytes.len() as u64);
    }

    /// What came in last ends a record.
    #[inline]
    pub(super) fn end_record(&mut self) {
        match &mut self.spool {
            None => self.buffer.end_record(),
            Some(spool) => spool.end_record(&mut self.buffer),
        }
        self.records += 1;
    }

    /// Counts `len` new bytes, and wakes the worker where they make a difference to it.
    #[inline]
    fn entered(&mut self, shared: &Shared, len: u64) {
        if len == 0 {
            return;
        }
        self.window.accept(len);
        if let Some(spool) = &shared.spool
            && !spool.is_in_memory()
        {
            return spool.came_in();
        }
        self.gathered(shared, len);
    }

    /// Wakes the worker where `len` new bytes in the buffer make a difference to it.
    #[inline]
    fn gathered(&self, shared: &Shared, len: u64) {
        let now = self.buffer.len();
        let before = now - len;
        let batch_size = shared.options.schedule.batch_size;
        if before == 0 || (before < batch_size && now >= batch_size) {
            shared.work.notify_one();
        }
    }
}

/// The longest write that comes in as it is: in one append, and without a look for ends of records in
/// it.
pub(super) fn max_plain(options: &WriterOptions, records: Records) -> u64 {
    match records {
        Records::Ending(_) => 0,
        Records::Bytes | Records::Writes => options.schedule.max_append_size,
    }
}
