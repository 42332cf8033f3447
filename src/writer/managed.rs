//! What a keyed writer does with the writers of its keys, to which nobody else has a handle.

use std::future::poll_fn;

use bytes::Bytes;

use super::receipt::Receipt;
use super::writer::OssAppendWriter;
use crate::engine::flush::{Flush, FlushMode};
use crate::error::Result;
use crate::values::position::StreamPosition;

impl OssAppendWriter {
    /// Issues all that was accepted, at once. Tells how much that is.
    pub(crate) fn issue(&self) -> u64 {
        self.ask(Flush::SYNC).0
    }

    /// Issues all that was accepted, as a flush does. Tells how much of that is to be waited for, and
    /// whether that is held up, since many small flushes have come before it.
    pub(crate) fn issue_as_flush(&self) -> (u64, bool) {
        self.ask(self.shared.options.flush_mode.flush())
    }

    fn ask(&self, flush: Flush) -> (u64, bool) {
        let mut state = self.shared.lock();
        let accepted = state.window.accepted();
        let held_up = self.shared.ask(&mut state, accepted, flush);
        match flush.waits {
            true => (accepted.bytes(), held_up),
            false => (0, false),
        }
    }

    /// Takes `record` in as a whole, if nothing stands in the way.
    pub(crate) fn try_enqueue(&self, record: &Bytes) -> Option<Receipt> {
        self.shared.try_enqueue(record)
    }

    /// Takes nothing more, and lets the worker end with what was accepted. Does not wait.
    pub(crate) fn close(&self) {
        self.shared.close(false);
    }

    /// How many bytes it has, with those that an earlier process has left in its spool.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.lock().window.accepted().bytes()
    }

    /// Whether its flushes are content with the disk.
    pub(crate) fn flushes_to_disk(&self) -> bool {
        self.shared.options.flush_mode == FlushMode::Spooled
    }

    /// Waits until everything before `position` is on disk.
    pub(crate) async fn wait_spooled(&self, position: u64) -> Result<()> {
        let waiter = self.waiter();
        let target = StreamPosition::default() + position;
        poll_fn(|cx| self.shared.poll_spooled(cx, waiter.id(), target)).await
    }

    /// How many bytes that are not durable are on disk.
    pub(crate) fn spooled_bytes(&self) -> u64 {
        let state = self.shared.lock();
        let spool = state.spool.as_ref();
        spool.map_or(0, |spool| spool.kept_bytes(&state.window))
    }

    /// The part of the memory that it may use has become smaller.
    pub(crate) fn has_less_memory(&self) {
        if let Some(spool) = &self.shared.spool {
            spool.settled();
        }
    }

    /// Nobody has to be warned of what is not durable when this is dropped.
    pub(crate) fn drop_quietly(&self) {
        self.shared.lock().unsent_taken = true;
    }
}
