//! What a keyed writer does with the writers of its keys, which nobody else has a handle of.

use bytes::Bytes;

use super::receipt::Receipt;
use super::writer::OssAppendWriter;
use crate::engine::flush::Flush;

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

    /// Nobody has to be warned of what is not durable when this is dropped.
    pub(crate) fn drop_quietly(&self) {
        self.shared.lock().unsent_taken = true;
    }
}
