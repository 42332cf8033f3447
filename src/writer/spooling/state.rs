//! How far a spool has come: what of a writer's bytes is on disk, and what of that is in memory too.
//!
//! # Invariants
//! - Bytes go on disk in order: `synced <= spooled <= accepted`. Nothing is issued before it is on
//!   disk, and, by the policy, synced: `issued <= ready(..)`.
//! - A spool that is used by need [rests](super::rest) while memory suffices: then none of this
//!   holds, all is in memory, and all of it may be issued.
//! - Where memory suffices, the writer's buffer has all that is not issued. Where it does not, the
//!   buffer ends at `loaded`, and what comes in goes to `back`, which gives it to the disk and keeps
//!   nothing of it. What is on disk is loaded into the buffer as that empties. When the disk has no
//!   more than the buffer, the two are one again.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;

use super::note::Note;
use super::open::OpenSpool;
use super::options::SpoolSync;
use crate::engine::flush::Time;
use crate::engine::schedule::Schedule;
use crate::engine::window::{NotDurable, Window};
use crate::error::Error;
use crate::stage::RollReason;
use crate::values::position::StreamPosition;
use crate::writer::buffer::Buffer;
use crate::writer::shared::{Shared, State};

/// The part of a spool that is under the writer's lock.
#[derive(Debug)]
pub(in crate::writer) struct SpoolState {
    /// Everything before this is on disk; see [`on_disk`](Self::on_disk).
    pub(super) spooled: StreamPosition,
    /// Everything before this is synced.
    pub(super) synced: StreamPosition,
    /// Where the writer's first byte is in the log.
    base: u64,
    /// What has to be synced before it is issued.
    pub(super) syncs: bool,
    /// The buffer does not hold all that is not issued.
    pub(super) overflow: Option<Overflow>,
    /// What is being written of what waited behind the buffer.
    in_hand: Vec<Bytes>,
    /// Where objects have to end by what is not on disk yet, with a note for the next start.
    pub(in crate::writer) cuts: VecDeque<(StreamPosition, Vec<u8>)>,
    /// Somebody waits for everything before this to be synced.
    pub(super) wanted: StreamPosition,
    /// The end of the last record that was taken to the disk.
    pub(super) whole: StreamPosition,
    /// Bytes on disk, all files.
    pub(in crate::writer) size: u64,
    /// When the oldest file was begun.
    pub(super) oldest: Option<SystemTime>,
    /// Why nothing can be put on disk at present.
    pub(in crate::writer) problem: Option<Error>,
    /// Bytes that were on disk and cannot be read.
    pub(in crate::writer) lost: u64,
    /// It is not known yet how much of it is in the object.
    pub(super) held: bool,
    /// What comes next on disk cannot be read: it is passed over when all before it is settled.
    pub(super) lost_is_next: bool,
    /// What comes in does not wait for OSS while half of the capacity is free.
    at_once: bool,
    /// Somebody has waited for room.
    pub(in crate::writer) has_waited: bool,
    /// How far all was settled when that was noted, and since when.
    settled: (StreamPosition, Time),
    /// How far all was settled when memory was let go of. What is loaded after that stays.
    let_go: Option<StreamPosition>,
    /// Nothing has been settled for a while although memory is in use: what comes in goes by the disk.
    pub(super) is_stalled: bool,
    /// Nothing is on disk, and nothing has to be before it is issued.
    pub(super) rests: bool,
    /// What is on disk from here on counts for nothing before all that was in memory is there.
    pub(super) moving: Option<Range<StreamPosition>>,
    /// Where records end in what is in flight, while it rests.
    pub(super) flying: VecDeque<StreamPosition>,
}

/// So long whoever finds the memory full waits for OSS before the disk takes what comes. While OSS
/// keeps up, the disk is not read.
const STALL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Overflow {
    /// The end of what is in the buffer.
    pub(super) loaded: StreamPosition,
    /// What has not been taken to the disk yet of what came behind it.
    pub(super) back: Buffer,
    /// Where that begins.
    pub(super) start: StreamPosition,
}

/// What goes on disk next.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) chunks: Vec<Bytes>,
    pub(super) ends: Vec<u64>,
    pub(super) len: u64,
    /// Another object begins with it.
    pub(super) cut: Option<Vec<u8>>,
}

impl SpoolState {
    /// Of a writer whose first bytes are on disk when it begins.
    pub(in crate::writer) fn new(open: &OpenSpool, on_disk: StreamPosition, back: Buffer) -> Self {
        Self {
            spooled: on_disk,
            // The process before may have ended before it synced what it wrote.
            synced: StreamPosition::default(),
            base: open.spooled.base(),
            syncs: open.spooled.sync != SpoolSync::Never,
            overflow: (on_disk > StreamPosition::default()).then(|| Overflow {
                loaded: StreamPosition::default(),
                back,
                start: on_disk,
            }),
            in_hand: Vec::new(),
            cuts: VecDeque::new(),
            wanted: StreamPosition::default(),
            whole: on_disk,
            size: open.size,
            oldest: open.oldest,
            problem: None,
            lost: 0,
            held: true,
            lost_is_next: false,
            at_once: open.spooled.at_once,
            has_waited: false,
            settled: (StreamPosition::default(), Time::ZERO),
            let_go: None,
            is_stalled: false,
            rests: open.spooled.is_resting(),
            moving: None,
            flying: VecDeque::new(),
        }
    }

    /// How far what is on disk may be issued.
    fn ready(&self, window: &Window) -> StreamPosition {
        match self.syncs {
            _ if self.rests => window.accepted(),
            true => self.synced,
            false => self.on_disk(),
        }
    }

    /// Everything before this is on disk, and counts.
    pub(in crate::writer) fn on_disk(&self) -> StreamPosition {
        (self.moving.as_ref()).map_or(self.spooled, |moving| moving.start)
    }

    /// How many of the bytes in `buffer`, which are the next to be issued, may be.
    pub(in crate::writer) fn available(&self, buffer: &Buffer, window: &Window) -> u64 {
        let ready = self
            .ready(window)
            .bytes()
            .saturating_sub(window.issued().bytes());
        ready.min(buffer.len())
    }

    /// Bytes that are on disk and not in memory.
    pub(in crate::writer) fn on_disk_alone(&self) -> u64 {
        match &self.overflow {
            Some(overflow) => self.spooled.bytes().saturating_sub(overflow.loaded.bytes()),
            None => 0,
        }
    }

    /// Bytes that are on disk and not durable.
    pub(in crate::writer) fn kept_bytes(&self, window: &Window) -> u64 {
        self.on_disk().max(window.durable()) - window.durable()
    }

    /// Whether more is going to be in the buffer without anything new coming in.
    pub(in crate::writer) fn is_loading(&self, window: &Window) -> bool {
        (self.overflow.as_ref()).is_some_and(|overflow| overflow.loaded < window.accepted())
    }

    /// What comes behind `at` goes in another object.
    pub(in crate::writer) fn note_cut(
        &mut self,
        at: StreamPosition,
        period: Option<Timestamp>,
        reason: RollReason,
    ) {
        let note = Note {
            at: self.base + at.bytes(),
            period,
            reason,
        };
        if self.cuts.back().is_some_and(|(last, _)| *last == at) {
            // One object ends there, and one note fits there: the period counts.
            if period.is_none() {
                return;
            }
            self.cuts.pop_back();
        }
        self.cuts.push_back((at, note.to_bytes()));
    }

    /// Where bytes come in. When memory is in use and does not become free, what comes from then on
    /// goes by the disk, until the buffer has caught up.
    pub(in crate::writer) fn inlet<'a>(
        &'a mut self,
        buffer: &'a mut Buffer,
        window: &Window,
        shared: &Shared,
    ) -> &'a mut Buffer {
        let overflows = self.overflows(window, shared.capacity());
        if window.held() == 0 {
            self.settled = (window.settled(), shared.now());
        }
        if self.overflow.is_none() && overflows {
            self.overflow(window, shared.new_buffer());
            if let Some(disk) = &shared.spool {
                disk.is_needed();
            }
        }
        self.last_inlet(buffer)
    }

    /// What comes from now on goes by the disk.
    fn overflow(&mut self, window: &Window, back: Buffer) {
        self.overflow = Some(Overflow {
            loaded: window.accepted(),
            back,
            start: window.accepted(),
        });
    }

    /// Takes out of the buffer what is on disk, where there is much more in memory than may be since
    /// that has become less. To be dropped without the lock.
    #[must_use]
    pub(super) fn let_go(
        &mut self,
        buffer: &mut Buffer,
        window: &Window,
        capacity: u64,
        new_buffer: impl FnOnce() -> Buffer,
    ) -> Vec<Bytes> {
        if buffer.len() <= capacity || self.let_go == Some(window.settled()) {
            return Vec::new();
        }
        if self.is_stalled && self.overflow.is_none() {
            self.overflow(window, new_buffer());
        }
        let Some(overflow) = &mut self.overflow else {
            return Vec::new();
        };
        if self.spooled < overflow.loaded {
            return Vec::new();
        }
        self.let_go = Some(window.settled());
        overflow.loaded = window.issued();
        let is_mid_record = buffer.is_mid_record();
        let gone = buffer.drain(buffer.len());
        if is_mid_record {
            buffer.resume_record();
        }
        gone
    }

    /// Where bytes came in last.
    pub(in crate::writer) fn last_inlet<'a>(
        &'a mut self,
        buffer: &'a mut Buffer,
    ) -> &'a mut Buffer {
        match &mut self.overflow {
            Some(overflow) => &mut overflow.back,
            None => buffer,
        }
    }

    /// What came in last ends a record.
    pub(in crate::writer) fn end_record(&mut self, buffer: &mut Buffer) {
        self.last_inlet(buffer).end_record();
    }

    /// How many bytes may come in now. While the buffer does not hold all, half of the capacity waits
    /// for the disk at most. A record may come when nothing is in its way.
    pub(in crate::writer) fn room(&self, state: &State, shared: &Shared) -> u64 {
        let capacity = shared.capacity();
        let (taken, most) = match self.overflows(&state.window, capacity) {
            true => (self.behind(&state.window) + state.reserved, capacity / 2),
            false => (state.taken(), capacity),
        };
        match taken {
            0 => shared.options.buffer_capacity,
            taken => most.saturating_sub(taken),
        }
    }

    /// How many bytes of `buffer` may be issued now; `None` if the disk has to be waited for, which
    /// changes that without anything else.
    pub(in crate::writer) fn to_issue(
        &self,
        buffer: &Buffer,
        window: &Window,
        schedule: &Schedule,
    ) -> Option<u64> {
        let available = self.available(buffer, window);
        if available == 0 {
            return (window.accepted() == window.issued()).then_some(0);
        }
        let more = self.is_loading(window) && !self.lost_is_next;
        if more && self.on_disk_alone() > 0 && buffer.len() < schedule.batch_size {
            return None;
        }
        if !buffer.is_mid_record() {
            let (first, needed) = (buffer.first_record(), needed(buffer, schedule));
            let comes = match first {
                Some(_) => true,
                None => more,
            };
            // Where nothing can be put on disk, its beginning has to make room for its rest.
            if comes && available < needed && self.problem.is_none() {
                return None;
            }
        }
        Some(available)
    }

    /// It is known how many bytes, the first, are durable: they need not be loaded. `is_within`: they
    /// end within a record.
    pub(in crate::writer) fn recovered(
        &mut self,
        passed: u64,
        is_within: bool,
        buffer: &mut Buffer,
        window: &mut Window,
    ) {
        self.held = false;
        if is_within {
            buffer.resume_record();
        }
        if passed > 0 {
            self.pass_over(passed, window);
        }
    }

    /// Whether what comes in next goes by the disk.
    pub(in crate::writer) fn overflows(&self, window: &Window, capacity: u64) -> bool {
        self.overflow.is_some()
            || self.is_stalled
            || (self.at_once || self.held) && window.held() >= capacity / 2
    }

    /// Looks whether OSS keeps up: how long until that has to be looked at again, and whether there is
    /// room now for whoever waits.
    pub(super) fn watch(
        &mut self,
        window: &Window,
        capacity: u64,
        now: Time,
    ) -> (Option<Duration>, bool) {
        let is_settled = self.settled.0 != window.settled();
        if is_settled || window.held() == 0 {
            self.settled = (window.settled(), now);
            self.has_waited = false;
            self.is_stalled &= self.overflow.is_some();
        }
        let waits = self.has_waited || window.held() >= capacity / 2;
        if !waits || self.overflows(window, capacity) {
            return (None, false);
        }
        match STALL.checked_sub(now.saturating_sub(self.settled.1)) {
            Some(left) if !left.is_zero() => (Some(left), false),
            _ => {
                self.is_stalled = true;
                (Some(Duration::ZERO), true)
            }
        }
    }

    /// How many bytes wait in memory behind the buffer.
    pub(in crate::writer) fn behind(&self, window: &Window) -> u64 {
        match &self.overflow {
            Some(overflow) => window.accepted() - overflow.loaded.max(self.spooled),
            None => 0,
        }
    }

    /// The end of the last record that has come in.
    pub(in crate::writer) fn last_end(&self, buffer: &Buffer, window: &Window) -> StreamPosition {
        let begin = window.issued();
        let in_back = self.overflow.as_ref().and_then(|overflow| {
            let end = overflow.back.last_end();
            end.map(|end| overflow.start + end)
        });
        let in_buffer = buffer.last_end().map(|end| begin + end);
        let last = in_back.or(in_buffer).unwrap_or(self.whole);
        last.max(self.whole).max(begin)
    }

    /// What goes on disk next. Only when that [is written](Self::wrote) is more to be taken.
    pub(super) fn take_pending(
        &mut self,
        buffer: &mut Buffer,
        window: &Window,
        most: u64,
    ) -> Option<Pending> {
        if self.rests || self.spooled < window.settled() {
            // Or it is not in memory any more.
            return None;
        }
        let cut = match self.cuts.front() {
            Some((at, _)) if *at <= self.spooled => self.cuts.pop_front(),
            _ => None,
        };
        let next = self.cuts.front().map(|(at, _)| *at);
        let limit = next.filter(|at| *at > self.spooled);
        let front_end = match &self.overflow {
            Some(overflow) => overflow.loaded,
            None => window.accepted(),
        };
        let pending = if self.spooled < window.issued() {
            let end = limit.map_or(window.issued(), |limit| limit.min(window.issued()));
            Some(self.look_in_flight(window, end.min(self.spooled + most)))
        } else if self.spooled < front_end {
            let end = limit.map_or(front_end, |limit| limit.min(front_end));
            let end = end.min(self.spooled + most);
            let (from, to) = (self.spooled - window.issued(), end - window.issued());
            Some((
                buffer.look(from, to),
                buffer.ends(from, to),
                end - self.spooled,
            ))
        } else {
            self.overflow.as_mut().and_then(|overflow| {
                let end = limit.unwrap_or(window.accepted()).min(window.accepted());
                let end = end.min(overflow.start + most);
                let len = end - overflow.start;
                let ends = overflow.back.ends(0, len);
                overflow.start = end;
                (len > 0).then(|| {
                    let chunks = overflow.back.drain(len);
                    self.in_hand.clone_from(&chunks);
                    (chunks, ends, len)
                })
            })
        };
        match pending {
            Some((chunks, ends, len)) if len > 0 => {
                if let Some(end) = ends.last() {
                    self.whole = self.whole.max(self.spooled + *end);
                }
                Some(Pending {
                    chunks,
                    ends,
                    len,
                    cut: cut.map(|(_, note)| note),
                })
            }
            _ => {
                // For what comes next.
                if let Some(cut) = cut {
                    self.cuts.push_front(cut);
                }
                None
            }
        }
    }

    /// `pending` is on disk.
    pub(super) fn wrote(&mut self, pending: &Pending) {
        self.spooled += pending.len;
        if (self.moving.as_ref()).is_some_and(|moving| moving.end <= self.spooled) {
            self.moving = None;
        }
        self.in_hand = Vec::new();
    }

    /// How much of the disk may be loaded now: the buffer may have up to `most` with what is in
    /// flight.
    pub(super) fn to_load(
        &self,
        buffer: &Buffer,
        window: &Window,
        schedule: &Schedule,
        most: u64,
    ) -> Option<Load> {
        let overflow = self.overflow.as_ref()?;
        let room = most.saturating_sub(overflow.loaded - window.settled());
        // Where the memory is little, a record may take more.
        let most = match window.issued() == window.settled() {
            true => room.max(needed(buffer, schedule).saturating_sub(buffer.len())),
            false => room,
        };
        (!self.held && most > 0 && overflow.loaded < self.spooled).then(|| Load {
            from: overflow.loaded,
            most,
            limit: self.spooled,
            is_empty: buffer.len() == 0 && window.issued() == window.durable(),
        })
    }

    /// So many bytes more are in the buffer.
    pub(super) fn loaded(&mut self, len: u64, window: &Window) {
        if let Some(overflow) = &mut self.overflow {
            overflow.loaded += len;
        }
        self.join(window);
    }

    /// What comes in goes to the buffer again, if that has all there is.
    pub(super) fn join(&mut self, window: &Window) {
        let caught_up =
            (self.overflow.as_ref()).is_some_and(|overflow| overflow.loaded == window.accepted());
        if caught_up {
            self.overflow = None;
            self.is_stalled = false;
        }
    }

    /// The next `len` bytes are durable, or gone: nothing is to be done with them.
    pub(super) fn pass_over(&mut self, len: u64, window: &mut Window) {
        window.pass_over(len);
        self.loaded(len, window);
    }

    /// How far the disk has what is not durable, and what comes behind that: a part of what was
    /// `taken` out of memory, and what waits behind the buffer.
    pub(in crate::writer) fn take_unspooled(
        &mut self,
        durable: StreamPosition,
        taken: &NotDurable,
    ) -> (StreamPosition, Vec<Bytes>) {
        let spooled = self.on_disk().max(durable);
        let mut skip = spooled.max(taken.start) - taken.start;
        let mut chunks = Vec::new();
        for chunk in &taken.chunks {
            let len = chunk.len() as u64;
            if skip < len {
                // It is less than the length of a chunk.
                chunks.push(chunk.slice(skip as usize..));
            }
            skip = skip.saturating_sub(len);
        }
        if let Some(overflow) = &mut self.overflow {
            chunks.append(&mut self.in_hand);
            chunks.extend(overflow.back.take_all());
        }
        (spooled, chunks)
    }
}

/// How much of the buffer has to go together: records go as a whole, if they are not too long for
/// that.
fn needed(buffer: &Buffer, schedule: &Schedule) -> u64 {
    let most = schedule.max_append_size;
    buffer.first_record().map_or(most, |first| first.min(most))
}

/// What may be loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) from: StreamPosition,
    /// So many bytes, up to the end of a frame.
    pub(super) most: u64,
    pub(super) limit: StreamPosition,
    /// Nothing is in memory before it.
    pub(super) is_empty: bool,
}
