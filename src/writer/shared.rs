//! What the handles and the worker of one writer share: one lock around the buffer, the watermarks
//! and the waiters.
//!
//! No code of a caller runs under the lock, or it could wait for itself: no waker is cloned, woken
//! or dropped there, no `Bytes` are dropped that could be the last of their owner, no clock is
//! asked and no callback called.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::buffer::records::Records;
use super::builder::WriterOptions;
use super::intake::max_plain;
use super::parts::SpoolStart;
use super::receipt::Places;
use super::spooling::{SpoolState, Spooled};
use super::stats::WriterStats;
use super::sync::{Mutex, MutexExt as _, MutexGuard, Notify, process_id};
use super::unsent::Unsent;
use crate::drive::stats::Counters;
use crate::engine::flush::{Flush, Time};
use crate::engine::window::Window;
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::metrics::Held;
use crate::stage::RollReason;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) object: ObjectPath,
    pub(super) options: WriterOptions,
    /// The object's length when it was opened, or the replay's start.
    pub(super) start: u64,
    pub(super) counters: Arc<Counters>,
    /// What an append may not cut.
    pub(super) records: Records,
    /// The longest write that comes in as it is. Zero with a spool, which takes another way.
    pub(super) plain: u64,
    /// Where what was accepted is kept on disk.
    pub(super) spool: Option<Arc<Spooled>>,
    /// Tells the worker that something changed.
    pub(super) work: Notify,
    next_waiter: AtomicU64,
    /// The process that the worker runs in.
    process: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) buffer: Buffer,
    /// What was taken from callers, and how far it has come.
    pub(super) window: Window,
    /// How many records have come in whole.
    pub(super) records: u64,
    /// How much of it is on disk, for a writer with a spool.
    pub(super) spool: Option<Box<SpoolState>>,
    /// Room that is set aside for records of a log whose end has not come.
    pub(super) reserved: u64,
    /// Where objects have to end, in order.
    pub(super) cuts: VecDeque<Cut>,
    /// How many cuts have been asked for and made.
    pub(super) cuts_asked: u64,
    pub(super) cuts_made: u64,
    /// Where things are, for receipts.
    pub(super) places: Places,
    pub(super) phase: Phase,
    pub(super) handles: usize,
    /// The caller has taken back what is not durable.
    pub(super) unsent_taken: bool,
    /// Items of `Sink`s that there was no room for yet, by the handles that took them in. None once
    /// the writer is not open any more.
    pub(super) items: BTreeMap<u64, Bytes>,
    waiters: BTreeMap<u64, Waker>,
    /// How often waiters have been woken.
    changes: u64,
}

/// What comes behind this goes in another object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// What is before it. A record of which a part has been issued ends first.
    pub(super) at: StreamPosition,
    pub(super) reason: RollReason,
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    Open,
    /// No more bytes come; the worker finishes.
    Closing {
        seal: bool,
    },
    Closed,
    Failed(Error),
}

/// The wakers to call once the lock is released.
#[must_use]
#[derive(Debug)]
pub(super) struct Wake(BTreeMap<u64, Waker>);

impl Wake {
    pub(super) fn all(self) {
        for waker in self.0.into_values() {
            // Whatever one of them does, the others are woken.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl Shared {
    pub(super) fn new(
        object: ObjectPath,
        options: WriterOptions,
        start: u64,
        window: Window,
        counters: Arc<Counters>,
        records: Records,
        spool: Option<Box<SpoolStart>>,
    ) -> Self {
        let max_group = max_group(&options, records);
        let new_buffer = || Buffer::new(options.buffer_capacity, max_group);
        let mut window = window;
        let mut buffer = new_buffer();
        let (mut on_disk, mut spooled, mut cuts) = (None, None, VecDeque::new());
        if let Some(start) = spool {
            let SpoolStart { open, passed } = *start;
            window.accept(open.on_disk);
            let mut state = SpoolState::new(&open, window.accepted(), new_buffer());
            if let Some(passed) = passed {
                let is_within = open.spooled.begins_within();
                state.recovered(passed, is_within, &mut buffer, &mut window);
            }
            cuts = open.cuts();
            on_disk = Some(Box::new(state));
            spooled = Some(open.spooled);
        }
        let plain = match spooled {
            Some(_) => 0,
            None => max_plain(&options, records),
        };
        Self {
            plain,
            state: Mutex::new(State {
                buffer,
                window,
                spool: on_disk,
                records: 0,
                reserved: 0,
                cuts,
                cuts_asked: 0,
                cuts_made: 0,
                places: Places::default(),
                phase: Phase::Open,
                handles: 0,
                unsent_taken: false,
                items: BTreeMap::new(),
                waiters: BTreeMap::new(),
                changes: 0,
            }),
            object,
            options,
            start,
            counters,
            spool: spooled,
            records,
            work: Notify::new(),
            next_waiter: AtomicU64::new(0),
            process: process_id(),
        }
    }

    /// A buffer as that of the writer, and empty.
    pub(super) fn new_buffer(&self) -> Buffer {
        let max_group = max_group(&self.options, self.records);
        Buffer::new(self.options.buffer_capacity, max_group)
    }

    /// The position that callers see: in the object, except for what is compressed, for a sequence of
    /// objects, and for what others have appended. There is no other place where the two are
    /// converted.
    pub(super) fn shown(&self, position: StreamPosition) -> u64 {
        self.start + position.bytes()
    }

    /// Whether a `Bytes` that is written at once is a record.
    pub(super) fn keeps_bytes(&self) -> bool {
        self.records != Records::Bytes
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    pub(super) fn now(&self) -> Time {
        self.options.origin.elapsed()
    }

    /// The moment of `time` for a timer; `None` if that is further than any timer reaches.
    pub(super) fn instant(&self, time: Time) -> Option<Instant> {
        self.options.origin.checked_add(time)
    }

    pub(super) fn new_waiter(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    /// Pending: wakes the waiter at the next change.
    pub(super) fn wait<T>(
        &self,
        state: MutexGuard<'_, State>,
        waiter: u64,
        cx: &Context<'_>,
    ) -> Poll<T> {
        if self.is_forked() {
            return self.forked(state, cx);
        }
        let known = state.waiters.get(&waiter);
        if known.is_some_and(|known| known.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let changes = state.changes;
        drop(state);
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.changes != changes {
            drop(state);
            waker.wake();
            return Poll::Pending;
        }
        let old = state.waiters.insert(waiter, waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Whether this is another process than that of the worker.
    pub(super) fn is_forked(&self) -> bool {
        process_id() != self.process
    }

    /// Pending: fails the writer, in this process alone, and wakes the task to find that. There is
    /// no worker here that it could wait for, nor any other task that waited.
    #[cold]
    fn forked<T>(&self, mut state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<T> {
        let items = self.take_items(&mut state);
        let error = Error::new(ErrorKind::Forked).with_object(&self.object);
        // The other process delivers what was accepted.
        state.phase = Phase::Failed(error.with_landed(Landed::InDoubt));
        drop(state);
        drop(items);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes in all items that there was no room for: nothing more can come after them. To be
    /// dropped after the lock.
    #[must_use]
    pub(super) fn take_items(&self, state: &mut State) -> BTreeMap<u64, Bytes> {
        let items = std::mem::take(&mut state.items);
        for item in items.values() {
            state.share(self, item);
            state.end_record();
        }
        items
    }

    /// Takes nothing more, and lets the worker end with what was accepted.
    pub(super) fn close(&self, seal: bool) {
        // Dropped after the lock.
        let _items;
        let mut state = self.lock();
        if matches!(state.phase, Phase::Open) {
            _items = self.take_items(&mut state);
            state.phase = Phase::Closing { seal };
            self.work.notify_one();
            if let Some(spool) = &self.spool {
                spool.settled();
            }
            drop(state);
            // What waits because OSS has asked for that goes on.
            self.options.ending.cancel();
        }
    }

    /// Asks for everything before `target` to become durable, as a flush does. Tells whether the
    /// flush is held up, since many small ones have come before it.
    pub(super) fn ask(&self, state: &mut State, target: StreamPosition, flush: Flush) -> bool {
        let asks = flush.waits || flush.interval.is_some();
        if !asks || target <= state.window.durable() {
            return false;
        }
        let held_up = state.window.ask(target, self.now(), flush);
        self.work.notify_one();
        if let Some(spool) = &self.spool {
            spool.settled();
        }
        held_up
    }

    pub(super) fn stats(&self) -> WriterStats {
        let append = self.counters.snapshot();
        let now = self.now();
        let state = self.lock();
        let window = &state.window;
        let durable = window.durable();
        let has_failed = matches!(state.phase, Phase::Failed(_));
        let of_open = |bytes| if has_failed { 0 } else { bytes };
        let since = window.since().or_else(|| state.buffer.since());
        let spool = state.spool.as_ref().map(|spool| spool.stats(window));
        WriterStats {
            accepted: window.accepted().bytes(),
            durable: durable.bytes(),
            stored: append.durable,
            buffered: of_open(window.held()),
            compared: of_open(window.settled() - durable),
            failed: (window.accepted() - durable) - of_open(window.accepted() - durable),
            oldest: since.map(|since| now.saturating_sub(since)),
            age: now,
            appends: append.appends,
            retries: append.retries,
            reconciles: append.reconciles,
            max_in_flight: self.counters.in_flight(self.options.max_in_flight),
            failed_requests: append.failed_requests,
            failing: append.failing,
            last_error: append.last_error,
            last_success: append.last_success,
            ignored_options: append.ignored_options,
            spool,
        }
    }
}

/// Short records are kept together up to this length; `None` where there are no records.
fn max_group(options: &WriterOptions, records: Records) -> Option<u64> {
    let group = (options.schedule.max_append_size / 64).min(options.max_group);
    match records {
        Records::Bytes => None,
        Records::Writes | Records::Ending(_) => Some(group),
    }
}

impl State {
    /// What comes from now on goes in another object, that of `period` where there are periods.
    pub(super) fn cut(&mut self, reason: RollReason, period: Option<Timestamp>) {
        let at = match &mut self.spool {
            None => self.window.issued() + self.buffer.cut(),
            Some(spool) => {
                spool.last_inlet(&mut self.buffer).cut();
                let at = spool.last_end(&self.buffer, &self.window);
                spool.note_cut(at, period, reason);
                at
            }
        };
        self.cuts.push_back(Cut { at, reason });
        self.cuts_asked += 1;
    }

    /// What is held of what is not durable.
    pub(super) fn held(&self) -> Held {
        let (spool, held) = (self.spool.as_ref(), self.window.held());
        Held {
            memory: held - spool.map_or(0, |spool| spool.on_disk_alone()).min(held),
            disk: spool.map_or(0, |spool| spool.kept_bytes(&self.window)),
        }
    }

    /// Whether no more bytes come.
    pub(super) fn is_closing(&self) -> bool {
        !matches!(self.phase, Phase::Open)
    }

    /// Forgets a waiter. Its waker must be dropped after the lock.
    #[must_use]
    pub(super) fn forget(&mut self, waiter: u64) -> Option<Waker> {
        self.waiters.remove(&waiter)
    }

    pub(super) fn wake(&mut self) -> Wake {
        self.changes += 1;
        Wake(std::mem::take(&mut self.waiters))
    }

    /// The failure, if the writer has failed.
    pub(super) fn check_failed(&self) -> Result<()> {
        match &self.phase {
            Phase::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Whether more bytes may come.
    pub(super) fn check_open(&self) -> Result<()> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Closing { .. } | Phase::Closed => Err(Error::new(ErrorKind::Closed)),
        }
    }

    /// Takes out what is not durable. Only for a failed writer.
    pub(super) fn take_unsent(&mut self, shared: &Shared) -> Unsent {
        let landed = match &self.phase {
            Phase::Failed(error) => error.landed(),
            _ => Some(Landed::No),
        };
        let rest = self.buffer.take_all();
        let durable = self.window.durable();
        let taken = self.window.take_not_durable(rest, landed);
        let kept = self
            .spool
            .as_mut()
            .map(|spool| spool.take_unspooled(durable, &taken));
        let (spooled, chunks) = match kept {
            Some((spooled, chunks)) => (durable..spooled, chunks),
            None => (durable..durable, taken.chunks),
        };
        Unsent {
            position: shared.shown(taken.start),
            in_doubt: taken.in_doubt,
            missing: shared.shown(taken.missing.start)..shared.shown(taken.missing.end),
            spooled: shared.shown(spooled.start)..shared.shown(spooled.end),
            chunks,
        }
    }
}
