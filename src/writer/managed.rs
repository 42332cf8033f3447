//! What a keyed writer does with the writers of its keys, which nobody else has a handle of.

use bytes::Bytes;

use super::receipt::Receipt;
use super::writer::OssAppendWriter;
use crate::engine::flush::Flush;

impl OssAppendWriter {
    /// Issues all that was accepted, as a flush does or at once. Tells how much of that is to be
    /// waited for.
    pub(crate) fn issue(&self, at_once: bool) -> u64 {
        let mut state = self.shared.lock();
        let accepted = state.window.accepted();
        let flush = match at_once {
            true => Flush::SYNC,
            false => self.shared.options.flush_mode.flush(),
        };
        self.shared.ask(&mut state, accepted, flush);
        match flush.waits {
            true => accepted.bytes(),
            false => 0,
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
