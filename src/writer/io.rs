//! `OssAppendWriter` as an `AsyncWrite`: writes, flushes and the shutdown.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::buffer::records::Records;
use super::intake::{Admission, Intake};
use super::shared::Phase;
use super::writer::OssAppendWriter;
use crate::engine::flush::Flush;
use crate::error::Result;

impl OssAppendWriter {
    /// Flushes everything accepted before.
    ///
    /// The target stays where the first poll found it until it is reached, or this handle writes.
    /// Nobody can tell which flush a poll belongs to, and a target that moved on with each of them
    /// would never be reached beside clones that go on writing.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>, flush: Flush) -> Poll<Result<()>> {
        ready!(self.poll_item(cx))?;
        let mut state = self.shared.lock();
        let target = *self.flush_target.get_or_insert_with(|| {
            let target = state.window.accepted();
            self.shared.ask(&mut state, target, flush);
            target
        });
        if let Err(error) = state.check_failed() {
            self.flush_target = None;
            return Poll::Ready(Err(error));
        }
        if state.window.durable() >= target || !flush.waits {
            self.flush_target = None;
            return Poll::Ready(Ok(()));
        }
        self.shared.wait(state, self.waiter, cx)
    }

    #[inline(never)]
    fn write_slices<'a>(
        &mut self,
        cx: &mut Context<'_>,
        slices: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<Result<usize>> {
        ready!(self.poll_item(cx))?;
        let len: usize = slices.clone().map(<[u8]>::len).sum();
        let whole = self.shared.records == Records::Writes;
        let mut intake = Intake::new(&self.shared);
        let admitted = match intake.admit(len as u64, whole) {
            Admission::Now(admitted) => usize::try_from(admitted).unwrap_or(len),
            Admission::Wait => return intake.wait(self.waiter, cx),
            Admission::Never(error) => return Poll::Ready(Err(error)),
        };
        let mut left = admitted;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            intake.copy(part);
            left -= part.len();
        }
        if whole && len > 0 {
            intake.end_record();
        }
        drop(intake);
        if len > 0 {
            self.flush_target = None;
        }
        Poll::Ready(Ok(admitted))
    }
}

impl AsyncWrite for OssAppendWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.has_item && !buf.is_empty() && self.shared.try_copy(buf) {
            self.flush_target = None;
            return Poll::Ready(Ok(buf.len()));
        }
        self.write_slices(cx, std::iter::once(buf))
            .map_err(io::Error::from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_slices(cx, bufs.iter().map(|slice| &**slice))
            .map_err(io::Error::from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = self.shared.options.flush_mode.flush();
        self.poll_flushed(cx, flush).map_err(io::Error::from)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        shared.close(shared.options.seal);
        let state = shared.lock();
        match &state.phase {
            Phase::Failed(error) => Poll::Ready(Err(error.clone().into())),
            Phase::Closed => Poll::Ready(Ok(())),
            Phase::Open | Phase::Closing { .. } => shared.wait(state, self.waiter, cx),
        }
    }
}
