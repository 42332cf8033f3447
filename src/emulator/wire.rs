//! The socket under a connection: where answers are cut off, connections are closed or reset, and
//! the bandwidth is limited.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::Rest;

use crate::values::locks::MutexExt;

/// The control of one connection, in the hands of its requests.
#[derive(Debug)]
pub(super) struct Link {
    ended: CancellationToken,
    /// Somebody's wish that the connection end.
    stop: CancellationToken,
    reset: AtomicBool,
    /// Nothing more is written, whatever is answered.
    muted: AtomicBool,
    /// How many bytes may still be written.
    budget: AtomicU64,
    /// How many requests may still come.
    requests: AtomicU64,
    ending: Mutex<Option<Ending>>,
}

/// How a connection ends behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer announces it. This becomes of what is behind.
    Announced(Rest),
    /// The answer announces it, and goes ahead of those that are owed.
    Overtaking,
    /// The answer announces it, and what still comes of the request is read for a while, so that
    /// the client gets to see the answer.
    Lingering,
    /// The answer does not announce it.
    Silent,
}

impl Link {
    /// The control of a connection that ends behind so many requests.
    pub(super) fn new(stop: CancellationToken, requests: u64) -> Self {
        Self {
            ended: CancellationToken::new(),
            stop,
            reset: AtomicBool::new(false),
            muted: AtomicBool::new(false),
            budget: AtomicU64::new(u64::MAX),
            requests: AtomicU64::new(requests),
            ending: Mutex::new(None),
        }
    }

    /// Counts a request, and says whether it is the last one.
    pub(super) fn count_request(&self) -> bool {
        self.requests.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Whether requests are carried out that come now.
    pub(super) fn takes_requests(&self) -> bool {
        !self.is_ended() && self.ending() != Some(Ending::Silent)
    }

    /// Ends the connection behind the next answer, which is to be given right now.
    pub(super) fn end(&self, ending: Ending) {
        *self.ending.locked() = Some(ending);
    }

    /// How the connection ends, if it does.
    pub(super) fn ending(&self) -> Option<Ending> {
        *self.ending.locked()
    }

    /// Goes on with the connection, whose end was announced, but sends nothing more.
    pub(super) fn mute(&self) {
        self.muted.store(true, Ordering::Relaxed);
        *self.ending.locked() = None;
    }

    /// Does to this connection what was done to that of one of its requests.
    pub(super) fn follow(&self, request: &Self) {
        if request.reset.load(Ordering::Relaxed) {
            self.reset();
        } else if request.is_ended() {
            self.close();
        }
    }

    /// Cuts this connection off where that of one of its requests is to be.
    pub(super) fn follow_budget(&self, request: &Self) {
        let budget = request.budget.swap(u64::MAX, Ordering::Relaxed);
        if budget != u64::MAX {
            self.truncate(budget);
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

    /// Whether the connection is to be closed.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Keeps the request waiting until the connection is wished to end.
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

/// How far what is moved may be behind the bandwidth and still catch up: timers are only exact to a
/// millisecond, and a busy machine wakes nobody in time.
const SLACK: Duration = Duration::from_millis(100);

/// How long a client may take to read something of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long what comes behind a refusal is read: until nothing comes for so long, and in all.
const LINGER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

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
        // Whoever wakes up late may catch up.
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let start = free_at.map_or(now, |free_at| free_at.max(earliest));
        let end = start + self.time_for(bytes);
        *free_at = Some(end);
        end
    }

    /// How long it takes to move so many bytes.
    pub(super) fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
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
    /// Until when the client has to read something.
    unread: Option<Pin<Box<Sleep>>>,
    /// What was read before and is to be read again.
    ahead: Bytes,
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
            unread: None,
            ahead: Bytes::new(),
        }
    }

    /// Puts back what was read of requests that were not carried out.
    pub(super) fn put_back(&mut self, ahead: Bytes) {
        self.ahead = ahead;
    }

    /// Whether there is something to read right now.
    pub(super) fn has_more(&mut self) -> bool {
        if self.ahead.is_empty() {
            let mut byte = [0];
            if let Ok(1) = self.stream.try_read(&mut byte) {
                self.ahead = Bytes::copy_from_slice(&byte);
            }
        }
        !self.ahead.is_empty()
    }

    /// Reads and forgets what still comes, for a while.
    pub(super) async fn linger(mut self) {
        let mut piece = vec![0; 64 * 1024];
        let reading =
            async { while let Ok(Ok(1..)) = timeout(LINGER[0], self.read(&mut piece)).await {} };
        // Either way it is over.
        let _ = timeout(LINGER[1], reading).await;
    }

    /// Fails what has been pending for too long.
    fn poll_patience<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.unread = None;
            return polled;
        }
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        ready!(unread.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
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
        if this.link.muted.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(buf.len()));
        }
        let allowed = ready!(this.poll_allowance(cx)).min(buf.len());
        let polled = Pin::new(&mut this.stream).poll_write(cx, &buf[..allowed]);
        let written = ready!(this.poll_patience(polled, cx))?;
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if this.link.muted.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(total));
        }
        let allowed = ready!(this.poll_allowance(cx));
        let polled = if allowed >= total {
            Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
        } else {
            let first: &[u8] = bufs
                .iter()
                .find(|buf| !buf.is_empty())
                .map_or(&[], |buf| buf);
            let part = &first[..allowed.min(first.len())];
            Pin::new(&mut this.stream).poll_write(cx, part)
        };
        let written = ready!(this.poll_patience(polled, cx))?;
        this.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        // The answer is out: it was given right behind the end's being said.
        if this.link.ending() == Some(Ending::Silent) {
            this.link.close();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Answers follow, in spite of the end's being announced.
        if this.link.ending() == Some(Ending::Announced(Rest::Answer)) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_wakes_up_late_catches_up() {
        let bandwidth = Bandwidth::new(5_000_000);
        let start = Instant::now();
        for _ in 0..100 {
            sleep_until(bandwidth.book(SEND, 50_000)).await;
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        assert!(start.elapsed() <= Duration::from_millis(1010));
        // Nobody saves up what he did not use.
        tokio::time::advance(Duration::from_secs(10)).await;
        let start = Instant::now();
        sleep_until(bandwidth.book(SEND, 5_000_000)).await;
        assert!(start.elapsed() >= Duration::from_millis(900));
    }
}
