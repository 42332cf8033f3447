//! A writer that opens its object at the first write.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use super::writer::OssAppendWriter;
use crate::error::{Error, Result};

/// An [`OssAppendWriter`] that is opened by the first write, made by
/// [`OssAppendWriterBuilder::lazy`](crate::OssAppendWriterBuilder::lazy) where nothing can be
/// awaited.
///
/// The first write waits for the opening and returns its error if it fails; later calls return the
/// same. A flush or shutdown before any write does nothing, and creates no object.
pub struct LazyOssAppendWriter {
    state: State,
}

enum State {
    Opening {
        open: BoxFuture<'static, Result<OssAppendWriter>>,
        started: bool,
    },
    Open(OssAppendWriter),
    Failed(Error),
}

impl LazyOssAppendWriter {
    pub(super) fn new(
        open: impl Future<Output = Result<OssAppendWriter>> + Send + 'static,
    ) -> Self {
        Self {
            state: State::Opening {
                open: Box::pin(open),
                started: false,
            },
        }
    }

    /// Opens the object now, if that has not been done, and gives the writer.
    ///
    /// # Errors
    /// As [`OssAppendWriterBuilder::open`](crate::OssAppendWriterBuilder::open).
    ///
    /// # Cancel safety
    /// Safe: the opening goes on with the next call.
    pub async fn opened(&mut self) -> Result<&mut OssAppendWriter> {
        std::future::poll_fn(|cx| self.poll_open(cx)).await?;
        match &mut self.state {
            State::Open(writer) => Ok(writer),
            State::Failed(error) => Err(error.clone()),
            State::Opening { .. } => unreachable!("`poll_open` was ready"),
        }
    }

    /// The writer, if it has been opened.
    pub fn get_ref(&self) -> Option<&OssAppendWriter> {
        match &self.state {
            State::Open(writer) => Some(writer),
            _ => None,
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let State::Opening { open, started } = &mut self.state {
            *started = true;
            self.state = match ready!(open.as_mut().poll(cx)) {
                Ok(writer) => State::Open(writer),
                Err(error) => State::Failed(error),
            };
        }
        match &self.state {
            State::Failed(error) => Poll::Ready(Err(error.clone())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The writer, opened; nothing to do if nothing was written.
    fn poll_if_started(
        &mut self,
        cx: &mut Context<'_>,
        call: fn(Pin<&mut OssAppendWriter>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if matches!(self.state, State::Opening { started: false, .. }) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_open(cx))?;
        match &mut self.state {
            State::Open(writer) => call(Pin::new(writer), cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for LazyOssAppendWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?;
        match &mut self.state {
            State::Open(writer) => Pin::new(writer).poll_write_vectored(cx, bufs),
            _ => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_if_started(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_if_started(cx, AsyncWrite::poll_shutdown)
    }
}

impl fmt::Debug for LazyOssAppendWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("LazyOssAppendWriter");
        match &self.state {
            State::Opening { started, .. } => debug.field("started", started),
            State::Open(writer) => debug.field("writer", writer),
            State::Failed(error) => debug.field("error", error),
        };
        debug.finish()
    }
}
