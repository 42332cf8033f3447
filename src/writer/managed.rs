//! What a keyed writer does with the writers of its keys, which nobody else has a handle of.

use std::time::Duration;

use super::writer::OssAppendWriter;
use crate::engine::flush::FlushMode;

impl OssAppendWriter {
    /// Issues all that was accepted, and tells how much that is in all. As a flush does, or at once.
    pub(crate) fn issue(&self, at_once: bool) -> u64 {
        let mut state = self.shared.lock();
        let accepted = state.window.accepted();
        let min_interval = match self.shared.options.flush_mode {
            _ if at_once => Duration::ZERO,
            FlushMode::Coalesced { min_interval } => min_interval,
            FlushMode::Durable => Duration::ZERO,
            FlushMode::Handoff => return 0,
        };
        self.shared.ask(&mut state, accepted, min_interval);
        accepted.bytes()
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
