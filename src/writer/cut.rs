//! The end of an object of a sequence, when a caller asks for it.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::shared::{Phase, State};
use super::writer::OssAppendWriter;
use crate::error::Result;
use crate::stage::RollReason;

impl OssAppendWriter {
    /// Ends the present object behind what was accepted so far, and waits for that. The end of a
    /// record of which the beginning was issued is not waited for.
    pub(crate) async fn cut(&mut self, reason: RollReason) -> Result<()> {
        let mut asked = None;
        poll_fn(|cx| {
            ready!(self.poll_item(cx))?;
            let mut state = self.shared.lock();
            state.check_failed()?;
            let number = match asked {
                Some(number) => number,
                None => {
                    state.check_open()?;
                    state.cut(reason, None);
                    self.shared.work.notify_one();
                    *asked.insert(state.cuts_asked)
                }
            };
            let ended = matches!(state.phase, Phase::Closed);
            if state.cuts_made >= number || ended || state.waits_for_record_end() {
                return Poll::Ready(Ok(()));
            }
            self.shared.wait(state, self.waiter, cx)
        })
        .await
    }
}

impl State {
    /// Whether the next cut can only be made when a record ends that has been issued in part.
    fn waits_for_record_end(&self) -> bool {
        self.buffer.is_mid_record()
            && self.window.first().is_none()
            && self
                .cuts
                .front()
                .is_some_and(|cut| cut.at <= self.window.issued())
    }
}
