//! A time limit that moves, for whoever polls.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A time limit that is set again and again, mostly without asking the runtime.
#[derive(Debug, Default)]
pub(super) struct Idle {
    deadline: Option<Instant>,
    /// May be set for an earlier time than the deadline: a later one costs nothing until then.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    /// Sets the limit; `None`: there is none.
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ready once the limit has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
