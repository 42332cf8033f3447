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
/// An item that finds no room is kept by the handle until there is some; no further item is taken
/// before.
impl Sink<Bytes> for OssAppendWriter {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_room(cx))?;
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: Bytes) -> Result<()> {
        self.take_item(item)
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
