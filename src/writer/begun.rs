//! Records that a log gathers outside of the buffer, within the buffer's room.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::shared::Phase;
use super::writer::{OssAppendWriter, Waiting};

/// A record of a log, in its parts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogRecord<'a> {
    pub(crate) head: &'a [u8],
    /// What comes after that. It is not copied.
    pub(crate) rest: &'a [Bytes],
    /// The room that has been set aside for it.
    pub(crate) reserved: u64,
}

impl LogRecord<'_> {
    pub(crate) fn len(&self) -> u64 {
        let rest: usize = self.rest.iter().map(Bytes::len).sum();
        (self.head.len() + rest) as u64
    }
}

impl OssAppendWriter {
    /// Sets room for `len` bytes aside, as soon as there is some. False: nothing is taken any more,
    /// or half of the buffer has been set aside, which no append frees. The other half is enough
    /// for any record, so nobody who waits for room waits for the end of another's record.
    pub(crate) async fn reserve(&self, len: u64) -> bool {
        let shared = self.shared();
        let waiting = Waiting::new(shared);
        poll_fn(|cx| {
            let mut state = shared.lock();
            let most = shared.options.buffer_capacity / 2;
            if !matches!(state.phase, Phase::Open) || state.reserved.saturating_add(len) > most {
                return Poll::Ready(false);
            }
            if shared.room(&state) < len {
                let accepted = state.window.accepted();
                shared.ask(&mut state, accepted, Duration::ZERO);
                return waiting.wait(state, cx);
            }
            state.reserved += len;
            Poll::Ready(true)
        })
        .await
    }

    /// Gives room back that was set aside.
    pub(crate) fn give_back(&self, len: u64) {
        let mut state = self.shared().lock();
        state.reserved -= len;
        let wake = state.wake();
        drop(state);
        wake.all();
    }

    /// How many bytes are set aside.
    pub(crate) fn reserved(&self) -> u64 {
        self.shared().lock().reserved
    }
}
