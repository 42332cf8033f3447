//! The socket under a connection: where answers are cut off, connections are reset, and the
//! bandwidth is limited.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::values::locks::MutexExt;

/// The control of one connection, in the hands of its requests.
#[derive(Debug)]
pub(super) struct Link {
    ended: CancellationToken,
    /// The server's wish that the connection end.
    stop: CancellationToken,
    reset: AtomicBool,
    /// How many bytes may still be written.
    budget: AtomicU64,
}

impl Link {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            ended: CancellationToken::new(),
            stop,
            reset: AtomicBool::new(false),
            budget: AtomicU64::new(u64::MAX),
        }
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.ended.cancel();
    }

    /// Resets the connection, so that the peer's next read fails.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Closes the connection after this many more bytes.
    pub(super) fn truncate(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Keeps the request waiting until the server stops.
    pub(super) async fn stall<T>(&self) -> T {
        self.stop.cancelled().await;
        self.close();
        std::future::pending().await
    }
}

/// The bandwidth of a server: all connections share it, each direction has it whole.
#[derive(Debug)]
pub(super) struct Bandwidth {
    bytes_per_second: u64,
    /// When what was received, and what was sent, is through.
    free_at: [Mutex<Option<Instant>>; 2],
}

/// A direction's index in [`Bandwidth`].
const RECEIVE: usize = 0;
const SEND: usize = 1;

impl Bandwidth {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Default::default(),
        }
    }

    /// Books `bytes` and says when they are through.
    fn book(&self, direction: usize, bytes: usize) -> Instant {
        let mut free_at = self.free_at[direction].locked();
        let now = Instant::now();
        let start = free_at.map_or(now, |free_at| free_at.max(now));
        let end = start + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *free_at = Some(end);
        end
    }

    /// How much is moved at once, so that the stream is even.
    fn piece(&self) -> usize {
        usize::try_from(self.bytes_per_second / 100)
            .unwrap_or(usize::MAX)
            .clamp(1, 64 * 1024)
    }
}

/// A connection's socket.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    link: Arc<Link>,
    bandwidth: Option<Arc<Bandwidth>>,
    waits: [Option<Pin<Box<Sleep>>>; 2],
}

impl Wire {
    pub(super) fn new(
        stream: TcpStream,
        link: Arc<Link>,
        bandwidth: Option<Arc<Bandwidth>>,
    ) -> Self {
        Self {
            stream,
            link,
            bandwidth,
            waits: [None, None],
        }
    }

    /// Waits until the bytes moved before are through.
    fn poll_free(&mut self, direction: usize, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.waits[direction] {
            ready!(wait.as_mut().poll(cx));
            self.waits[direction] = None;
        }
        Poll::Ready(())
    }

    fn moved(&mut self, direction: usize, bytes: usize) {
        if let Some(bandwidth) = &self.bandwidth {
            let end = bandwidth.book(direction, bytes);
            self.waits[direction] = Some(Box::pin(sleep_until(end)));
        }
    }

    /// How many bytes may be written now.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        ready!(self.poll_free(SEND, cx));
        let budget = self.link.budget.load(Ordering::Relaxed);
        if budget == 0 {
            // The connection's task drops it now.
            self.link.close();
            return Poll::Pending;
        }
        let piece = self
            .bandwidth
            .as_ref()
            .map_or(usize::MAX, |bandwidth| bandwidth.piece());
        Poll::Ready(piece.min(usize::try_from(budget).unwrap_or(usize::MAX)))
    }

    fn wrote(&mut self, bytes: usize) {
        self.moved(SEND, bytes);
        let budget = self.link.budget.load(Ordering::Relaxed);
        if budget != u64::MAX {
            let left = budget.saturating_sub(bytes as u64);
            self.link.budget.store(left, Ordering::Relaxed);
            if left == 0 {
                self.link.close();
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(bandwidth) = &this.bandwidth else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        let piece = bandwidth.piece().min(buf.remaining());
        ready!(this.poll_free(RECEIVE, cx));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(piece));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.moved(RECEIVE, read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let allowed = ready!(this.poll_allowance(cx)).min(buf.len());
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..allowed]))?;
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let allowed = ready!(this.poll_allowance(cx));
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        let written = if allowed >= total {
            ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?
        } else {
            let first: &[u8] = bufs
                .iter()
                .find(|buf| !buf.is_empty())
                .map_or(&[], |buf| buf);
            let part = &first[..allowed.min(first.len())];
            ready!(Pin::new(&mut this.stream).poll_write(cx, part))?
        };
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.reset.load(Ordering::Relaxed) {
            // A failure here only makes the end softer.
            let _ = self.stream.set_zero_linger();
        }
    }
}
