//! `OssAppendWriter` as a `futures::Sink` of `Bytes`.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use futures::Sink;

use super::intake::{Admission, Intake};
use super::writer::OssAppendWriter;
use crate::error::{Error, Result};

/// Takes each item without copying. Flushing and closing are those of `AsyncWrite`, so a `send` waits
/// for its append; `feed` does not. Items that an encoder makes records of go to
/// [`records`](OssAppendWriter::records).
///
/// An item that was taken (`start_send` or `feed` returned `Ok`) and finds no room waits beside the
/// buffer until there is some; no further item of the same handle is taken before. It counts as
/// [`accepted`](crate::WriterStats::accepted) when it gets into the buffer. That is at the latest
/// when its handle is dropped, when any clone shuts the writer down, which then waits for it, and
/// when the writer fails: it is among what
/// [`into_unsent`](OssAppendWriter::into_unsent) gives back.
///
/// In a [shared](crate::OssAppendWriterBuilder::shared) object an item of more than
/// `max_append_size` bytes is refused by `start_send`, with
/// [`InvalidInput`](crate::ErrorKind::InvalidInput).
impl Sink<Bytes> for OssAppendWriter {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(cx))?;
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<()> {
        self.take_item(&item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush_mode(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_end(cx)
    }
}

impl OssAppendWriter {
    /// Waits for room for at least one byte, and tells how much there is.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        ready!(self.poll_item(cx))?;
        let mut intake = Intake::new(&self.shared);
        match intake.admit(u64::MAX, false) {
            Admission::Now(room) => Poll::Ready(Ok(room)),
            Admission::Wait => intake.wait(self.waiter, cx),
            Admission::Never(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes in an item; [`poll_room`](Self::poll_room) has been ready.
    pub(super) fn take_item(&mut self, item: &Bytes) -> Result<()> {
        let mut intake = Intake::new(&self.shared);
        if let Admission::Never(error) = intake.admit(item.len() as u64, self.shared.keeps_bytes())
        {
            return Err(error);
        }
        let items = &mut intake.state.items;
        if items.contains_key(&self.waiter) {
            return Err(Error::invalid_input(
                "start_send was called although the sink was not ready",
            ));
        }
        if !item.is_empty() {
            items.insert(self.waiter, item.clone());
        }
        drop(intake);
        self.flush_target = None;
        self.has_item = !item.is_empty();
        // Nobody has to wait for this: what finds no room now goes in with the next poll.
        let _ = self.poll_item(&mut Context::from_waker(Waker::noop()))?;
        Ok(())
    }

    /// Copies `record` in, if it is short and nothing is in the way: whether there is room for more.
    #[inline(always)]
    pub(super) fn try_record(&mut self, record: &[u8]) -> Option<bool> {
        if self.has_item || record.is_empty() {
            return None;
        }
        let room = self.shared.try_record(record)?;
        self.flush_target = None;
        Some(room > 0)
    }

    /// Takes in `record`, which is not to be used again; [`poll_room`](Self::poll_room) has been ready, or
    /// [`try_record`](Self::try_record) has told that there is room for more.
    #[inline(never)]
    pub(super) fn take_record(&mut self, record: &mut BytesMut) -> Result<bool> {
        if record.is_empty() {
            // No end of a record either.
            return Ok(false);
        }
        self.check_record(record.len() as u64)?;
        self.take_item(&record.split().freeze())?;
        Ok(false)
    }

    /// Moves the item into the buffer, if there is one.
    #[inline]
    pub(super) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.has_item {
            true => self.poll_pieces(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_pieces(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let limit = usize::try_from(self.shared.options.buffer_capacity).unwrap_or(usize::MAX);
        loop {
            // Dropped after the lock, as all that could be the last of a caller's.
            let (item, _moved);
            let mut intake = Intake::new(&self.shared);
            let Some(found) = intake.state.items.get(&self.waiter) else {
                // It is in the buffer, or went in when the writer was closed, or failed.
                self.has_item = false;
                return Poll::Ready(Ok(()));
            };
            item = found.clone();
            let piece = item.slice(..item.len().min(limit));
            match intake.admit(piece.len() as u64, true) {
                Admission::Now(_) => {}
                Admission::Wait => return intake.wait(self.waiter, cx),
                Admission::Never(error) => return Poll::Ready(Err(error)),
            }
            self.flush_target = None;
            intake.share(&piece);
            intake.end_record();
            let items = &mut intake.state.items;
            _moved = match piece.len() == item.len() {
                true => items.remove(&self.waiter),
                false => items.insert(self.waiter, item.slice(piece.len()..)),
            };
        }
    }
}
