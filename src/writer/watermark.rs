//! The durable position as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::shared::{Phase, Shared};
use crate::error::Result;

/// The durable positions of a writer, made by
/// [`OssAppendWriter::durable`](crate::OssAppendWriter::durable).
#[derive(Debug)]
pub struct DurablePositions {
    shared: Arc<Shared>,
    waiter: u64,
    told: Option<u64>,
    ended: bool,
}

impl DurablePositions {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            waiter: shared.new_waiter(),
            shared,
            told: None,
            ended: false,
        }
    }
}

impl Stream for DurablePositions {
    type Item = Result<u64>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<u64>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let state = this.shared.lock();
        let position = this.shared.shown(state.window.durable());
        if this.told != Some(position) {
            this.told = Some(position);
            return Poll::Ready(Some(Ok(position)));
        }
        match &state.phase {
            Phase::Failed(error) => {
                this.ended = true;
                Poll::Ready(Some(Err(error.clone())))
            }
            Phase::Closed => {
                this.ended = true;
                Poll::Ready(None)
            }
            Phase::Open | Phase::Closing { .. } => this.shared.wait(state, this.waiter, cx),
        }
    }
}

impl Drop for DurablePositions {
    fn drop(&mut self) {
        let _waker = self.shared.lock().forget(self.waiter);
    }
}
