//! A spool that is used by need: while memory suffices it rests, and nothing is on disk.
//!
//! When memory does not suffice, all that is not durable goes on disk, and the spool works as any
//! other from then on. When everything is durable, its files are deleted, and it rests again.
//!
//! What was in memory alone goes on disk as a whole, or counts for nothing: before the first byte of it
//! there is a [plan](super::plan) that says how much it is, and where it was meant for. A start that
//! finds less does as if the spool had rested when the process ended.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::disk::{Disk, Spooled, error_of};
use super::options::SpoolSync;
use super::plan::Plan;
use super::state::SpoolState;
use crate::engine::window::Window;
use crate::error::Result;
use crate::values::batch::Batch;
use crate::values::locks::MutexExt as _;
use crate::values::position::StreamPosition;
use crate::writer::buffer::Buffer;
use crate::writer::shared::{Shared, State};

/// Whether what is in memory goes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// If memory does not suffice, or somebody waits for that.
    IfNeeded,
    Anyway,
}

/// What goes on disk first when a spool has rested.
#[derive(Debug)]
struct Moved {
    from: StreamPosition,
    plan: Option<Plan>,
    /// The bytes go on with a record.
    within: bool,
    /// The cuts that are not on disk.
    cuts: VecDeque<(StreamPosition, Vec<u8>)>,
}

impl Spooled {
    pub(super) fn is_resting(&self) -> bool {
        self.rests.load(Ordering::Acquire)
    }

    /// Whether it rests, and nothing waits for the disk.
    #[inline]
    pub(in crate::writer) fn is_in_memory(&self) -> bool {
        self.in_memory.load(Ordering::Acquire)
    }

    /// Memory does not suffice. To be called under the writer's lock.
    pub(in crate::writer) fn is_needed(&self) {
        self.in_memory.store(false, Ordering::Release);
    }

    /// Everything is durable and the files are gone: rests, if it is used by need.
    pub(super) fn rest(&self, shared: &Shared, disk: &mut Disk) -> Result<()> {
        if !self.by_need || disk.log.size() > 0 || disk.unwritten.is_some() {
            return Ok(());
        }
        // Else a loss of power could bring them back, when the object has more than they.
        disk.log.sync_disk().map_err(error_of)?;
        let mut state = shared.lock();
        let Some(spool) = state
            .spool
            .as_mut()
            .filter(|spool| spool.overflow.is_none())
        else {
            return Ok(());
        };
        spool.rests = true;
        spool.flying.clear();
        self.rests.store(true, Ordering::Release);
        self.in_memory.store(true, Ordering::Release);
        drop(state);
        // What came in meanwhile need not wait for the disk.
        shared.work.notify_one();
        Ok(())
    }

    /// Puts all that is in memory and not durable on disk, and what waits for that, if that is needed.
    pub(super) fn write_from_rest(
        &self,
        shared: &Shared,
        disk: &mut Disk,
        wake: Wake,
    ) -> Result<()> {
        let Some(moved) = self.wake(shared, wake) else {
            return Ok(());
        };
        let planned = self.plan_moved(disk, &moved);
        let written = planned.and_then(|()| self.write_on(shared, disk));
        let is_whole = {
            let state = shared.lock();
            let spool = state.spool.as_ref();
            spool.is_none_or(|spool| spool.moving.is_none())
        };
        if !is_whole {
            // The disk is full, or a part became durable before it was written.
            disk.unwritten = None;
            disk.log.clear().map_err(error_of)?;
            self.rest_again(shared, moved.cuts);
            if written.is_ok() {
                self.work.notify_one();
            }
        }
        written
    }

    fn wake(&self, shared: &Shared, wake: Wake) -> Option<Moved> {
        let mut state = shared.lock();
        let State { spool, window, .. } = &mut *state;
        let spool = spool.as_mut()?;
        let needed = spool.overflow.is_some() || spool.wanted > window.durable();
        let from = window.durable();
        if !(needed || wake == Wake::Anyway) || from < window.settled() {
            return None;
        }
        let plan = self.plan_at(from, window.proven());
        if plan.is_none() && self.intent.locked().is_some() {
            return None;
        }
        let to = match &spool.overflow {
            Some(overflow) => overflow.loaded,
            None => window.accepted(),
        };
        if to == from && wake == Wake::IfNeeded {
            // What waits is taken back into memory.
            self.work.notify_one();
            return None;
        }
        let within = spool.wake(from, to);
        self.rests.store(false, Ordering::Release);
        self.is_needed();
        Some(Moved {
            from,
            plan: plan.map(|plan| Plan {
                moved: Some(to - from),
                ..plan
            }),
            within,
            cuts: spool.cuts.clone(),
        })
    }

    fn plan_moved(&self, disk: &mut Disk, moved: &Moved) -> Result<()> {
        let position = self.base + moved.from.bytes();
        disk.log.begin_at(position, moved.within);
        match &moved.plan {
            Some(plan) => {
                let synced = self.sync != SpoolSync::Never;
                let kept = disk.log.plan(position, &plan.to_bytes(), synced);
                kept.map_err(error_of)
            }
            None => Ok(()),
        }
    }

    /// As before it was woken.
    fn rest_again(&self, shared: &Shared, cuts: VecDeque<(StreamPosition, Vec<u8>)>) {
        let mut state = shared.lock();
        let Some(spool) = &mut state.spool else {
            return;
        };
        spool.rests = true;
        if let Some(moving) = spool.moving.take() {
            (spool.spooled, spool.synced) = (moving.start, moving.start);
        }
        let first = spool.cuts.front().map(|(at, _)| *at);
        let gone = cuts.into_iter();
        let gone = gone.take_while(|(at, _)| first.is_none_or(|first| *at < first));
        let gone: Vec<_> = gone.collect();
        for cut in gone.into_iter().rev() {
            spool.cuts.push_front(cut);
        }
        self.rests.store(true, Ordering::Release);
        let in_memory = spool.overflow.is_none();
        self.in_memory.store(in_memory, Ordering::Release);
        drop(state);
        shared.work.notify_one();
    }

    /// Takes what waits for the disk into the buffer, where that has become empty meanwhile.
    pub(super) fn take_back(&self, shared: &Shared) {
        let mut state = shared.lock();
        let now = shared.now();
        let State {
            spool,
            buffer,
            window,
            ..
        } = &mut *state;
        let Some(spool) = spool.as_mut().filter(|spool| spool.rests) else {
            return;
        };
        if buffer.len() > 0 || spool.overflow.is_none() {
            return;
        }
        let Some(mut overflow) = spool.overflow.take() else {
            return;
        };
        let len = window.accepted() - overflow.start;
        let since = overflow.back.since().unwrap_or(now);
        let ends = overflow.back.ends(0, len);
        let (mut ends, mut start) = (&ends[..], 0);
        for chunk in overflow.back.drain(len) {
            let end = start + chunk.len() as u64;
            let (within, rest) = ends.split_at(ends.partition_point(|at| *at <= end));
            let within: Vec<u64> = within.iter().map(|at| at - start).collect();
            buffer.load(chunk, &within, since);
            (ends, start) = (rest, end);
        }
        spool.is_stalled = false;
        self.in_memory.store(true, Ordering::Release);
        let wake = state.wake();
        drop(state);
        shared.work.notify_one();
        wake.all();
    }
}

impl SpoolState {
    /// So many bytes of the buffer, at most, are issued next.
    pub(in crate::writer) fn issuing(&mut self, buffer: &Buffer, window: &Window, most: u64) {
        if !self.rests {
            return;
        }
        self.pass_settled(window.settled());
        let ends = buffer.ends(0, most.min(buffer.len()));
        let issued = window.issued();
        self.flying.extend(ends.into_iter().map(|end| issued + end));
    }

    /// What is before `settled` is not in flight any more.
    fn pass_settled(&mut self, settled: StreamPosition) {
        while let Some(end) = self.flying.front().copied().filter(|end| *end <= settled) {
            self.whole = end;
            self.flying.pop_front();
        }
        // What has ended there is over.
        while self.cuts.front().is_some_and(|(at, _)| *at < settled) {
            self.cuts.pop_front();
        }
    }

    /// What is from `from` up to `to` goes on disk. Tells whether it goes on with a record.
    fn wake(&mut self, from: StreamPosition, to: StreamPosition) -> bool {
        self.pass_settled(from);
        self.rests = false;
        (self.spooled, self.synced) = (from, from);
        self.moving = (from < to).then_some(from..to);
        self.whole < from
    }

    /// What is in flight from what is on disk up to `end`, where records end in it, and how long it is.
    pub(super) fn look_in_flight(
        &self,
        window: &Window,
        end: StreamPosition,
    ) -> (Vec<Bytes>, Vec<u64>, u64) {
        let from = self.spooled;
        let given = window.given().unwrap_or_else(|| Batch::from(Bytes::new()));
        let part = given.skip(from - window.settled()).prefix(end - from);
        let ends = self.flying.iter().filter(|at| **at > from && **at <= end);
        let ends = ends.map(|at| *at - from).collect();
        (part.chunks().to_vec(), ends, end - from)
    }
}
