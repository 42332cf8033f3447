//! `OssAppendWriter` as a `futures::Sink` of `Bytes`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Sink;
use tokio::io::AsyncWrite;

use super::writer::OssAppendWriter;
use crate::error::{Error, Result};

/// Takes each item without copying. Flushing and closing are those of `AsyncWrite`.
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        AsyncWrite::poll_flush(self, cx).map_err(ours)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        AsyncWrite::poll_shutdown(self, cx).map_err(ours)
    }
}

fn ours(error: std::io::Error) -> Error {
    match Error::from_io(&error) {
        Some(ours) => ours.clone(),
        None => Error::invalid_input(error.to_string()),
    }
}
