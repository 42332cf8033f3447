//! `OssAppendWriter` as an `AsyncWrite`: writes, flushes and the shutdown.
//!
//! The calls of `AsyncWriteExt` that end a stream of writes are also methods here, with the error
//! of this crate. A method takes precedence over those of traits, so that nobody has to choose
//! between `AsyncWriteExt` and `SinkExt`, which both have a `flush`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::buffer::records::Records;
use super::intake::{Admission, Intake};
use super::shared::Phase;
use super::writer::{FlushTarget, OssAppendWriter};
use crate::engine::flush::{Flush, FlushMode, SLOWED_DOWN};
use crate::error::Result;

impl OssAppendWriter {
    /// Copies all of `data` into the buffer; waits while that is full.
    ///
    /// The same as [`AsyncWriteExt::write_all`](tokio::io::AsyncWriteExt::write_all), with the error
    /// of this crate.
    ///
    /// # Errors
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) in a shared object for more than
    /// `max_append_size` bytes, which could be torn.
    ///
    /// # Cancel safety
    /// A future that was dropped before it returned may have accepted the beginning of `data`:
    /// [`position`](Self::position) tells how much. In a shared object it has accepted nothing.
    /// What was accepted is neither lost nor doubled.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let written = poll_fn(|cx| self.poll_data(cx, data)).await?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Waits until everything written through this handle before is durable, as the
    /// [`FlushMode`](crate::FlushMode) says.
    ///
    /// The same as [`AsyncWriteExt::flush`](tokio::io::AsyncWriteExt::flush), with the error of this
    /// crate.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe: the append stays asked for. The next flush goes on with the wait, see
    /// [above](Self#clones).
    pub async fn flush(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_flush_mode(cx)).await
    }

    /// Takes nothing more from any clone, and waits until everything accepted is durable and the
    /// object is sealed, if that was asked for. May be called again.
    ///
    /// The same as [`AsyncWriteExt::shutdown`](tokio::io::AsyncWriteExt::shutdown), with the error of
    /// this crate.
    ///
    /// # Errors
    /// The writer's failure. [`into_unsent`](Self::into_unsent) then gives back what is not durable.
    ///
    /// # Cancel safety
    /// Safe: the shutdown goes on, and can be waited for by another call.
    pub async fn shutdown(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_end(cx)).await
    }

    #[inline]
    fn poll_data(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        if !self.has_item && !data.is_empty() && self.shared.try_copy(data) {
            self.flush_target = None;
            return Poll::Ready(Ok(data.len()));
        }
        self.write_slices(cx, std::iter::once(data))
    }

    pub(super) fn poll_flush_mode(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.shared.options.flush_mode == FlushMode::Spooled {
            return self.poll_flushed_to_disk(cx);
        }
        let flush = self.shared.options.flush_mode.flush();
        self.poll_flushed(cx, flush)
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shared = &*self.shared;
        shared.close(shared.options.seal);
        let state = shared.lock();
        match &state.phase {
            Phase::Failed(error) => Poll::Ready(Err(error.clone())),
            Phase::Closed => Poll::Ready(Ok(())),
            Phase::Open | Phase::Closing { .. } => shared.wait(state, self.waiter, cx),
        }
    }

    /// Flushes everything accepted before.
    ///
    /// The target stays where the first poll found it until it is reached, or this handle writes.
    /// Nobody can tell which flush a poll belongs to, and a target that moved on with each of them
    /// would never be reached beside clones that go on writing.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>, flush: Flush) -> Poll<Result<()>> {
        ready!(self.poll_item(cx))?;
        let mut state = self.shared.lock();
        let target = *self.flush_target.get_or_insert_with(|| {
            let end = state.window.accepted();
            let held_up = self.shared.ask(&mut state, end, flush);
            FlushTarget { end, held_up }
        });
        if let Err(error) = state.check_failed() {
            self.flush_target = None;
            return Poll::Ready(Err(error));
        }
        if state.window.durable() < target.end && flush.waits {
            return self.shared.wait(state, self.waiter, cx);
        }
        self.flush_target = None;
        let slowed_down = target.held_up && state.window.waited(self.shared.now());
        drop(state);
        if slowed_down {
            // Here and not in the worker, which runs without a subscriber.
            tracing::warn!(
                target: "oss_append::flush",
                object = %self.shared.object,
                "{SLOWED_DOWN}"
            );
        }
        Poll::Ready(Ok(()))
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
        self.poll_data(cx, buf).map_err(io::Error::from)
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
        self.poll_flush_mode(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx).map_err(io::Error::from)
    }
}
