//! Waiting for the disk.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::options::SpoolSync;
use crate::error::Result;
use crate::values::position::StreamPosition;
use crate::writer::OssAppendWriter;
use crate::writer::shared::{Phase, Shared};
use crate::writer::writer::FlushTarget;

impl OssAppendWriter {
    /// Waits until everything accepted so far, whichever clone it came from, is in the writer's
    /// spool (feature `spool`), so that it survives the process; with a `SpoolSync` but `Never`, until
    /// it is synced. Without a spool it returns at once.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn spooled(&mut self) -> Result<()> {
        let mut target = None;
        poll_fn(|cx| {
            ready!(self.poll_item(cx))?;
            let target = *target.get_or_insert_with(|| self.shared.lock().window.accepted());
            self.poll_spooled(cx, target)
        })
        .await
    }

    /// Everything before this position is in the writer's spool, or durable. Counted as
    /// [`position`](Self::position).
    pub fn spooled_position(&self) -> u64 {
        let state = self.shared.lock();
        let spool = state.spool.as_ref();
        let spooled = spool.map_or(state.window.durable(), |spool| {
            spool.on_disk().max(state.window.durable())
        });
        self.shared.shown(spooled)
    }

    /// A flush that is content with the disk. Its target stays as that of any flush.
    pub(in crate::writer) fn poll_flushed_to_disk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        ready!(self.poll_item(cx))?;
        let shared = Arc::clone(&self.shared);
        let target = *self.flush_target.get_or_insert_with(|| FlushTarget {
            end: shared.lock().window.accepted(),
            held_up: false,
        });
        let flushed = ready!(self.poll_spooled(cx, target.end));
        self.flush_target = None;
        Poll::Ready(flushed)
    }

    pub(in crate::writer) fn poll_spooled(
        &mut self,
        cx: &mut Context<'_>,
        target: StreamPosition,
    ) -> Poll<Result<()>> {
        self.shared.poll_spooled(cx, self.waiter, target)
    }
}

impl Shared {
    /// Waits until everything before `target` is on disk, or durable.
    pub(in crate::writer) fn poll_spooled(
        &self,
        cx: &Context<'_>,
        waiter: u64,
        target: StreamPosition,
    ) -> Poll<Result<()>> {
        let mut state = self.lock();
        state.check_failed()?;
        let Some(disk) = &self.spool else {
            return Poll::Ready(Ok(()));
        };
        let durable = state.window.durable();
        let Some(spool) = &mut state.spool else {
            return Poll::Ready(Ok(()));
        };
        if spool.kept(disk.sync).max(durable) >= target {
            return Poll::Ready(Ok(()));
        }
        // Once, or a disk that is full would be tried again each time that this is polled.
        let is_new = spool.wanted < target;
        spool.wanted = spool.wanted.max(target);
        if matches!(state.phase, Phase::Closed) {
            return Poll::Ready(Ok(()));
        }
        if is_new {
            disk.work.notify_one();
        }
        self.wait(state, waiter, cx)
    }

    /// Whether somebody waits for what is on disk to be synced, or to be durable in OSS, before which it
    /// is synced.
    pub(super) fn wants_sync(&self) -> bool {
        let syncs = (self.spool.as_ref()).is_some_and(|disk| disk.sync != SpoolSync::Never);
        let state = self.lock();
        let closes = matches!(state.phase, Phase::Closing { .. });
        let wanted = state.window.wanted();
        let spool = state.spool.as_ref();
        syncs && spool.is_some_and(|spool| closes || spool.wanted.max(wanted) > spool.synced)
    }
}
