//! Taking the stream of requests apart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use httparse::Status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::framing::{self, Body, Head, MAX_PART};
use super::{Due, MOST, PIPE};
use crate::emulator::connection;
use crate::emulator::pipelining::Pipelining;
use crate::emulator::server::Stop;
use crate::emulator::shared::Shared;
use crate::emulator::wire::{Link, Wire};

/// The side of a connection where requests come in.
pub(super) struct Intake {
    shared: Arc<Shared>,
    stream: Stream,
    link: Arc<Link>,
    due: mpsc::Sender<Due>,
    /// A request has one until its answer is being sent.
    slots: Arc<Semaphore>,
    stop: Stop,
    /// Cancelled when nobody waits any more, so that stalled requests end.
    over: CancellationToken,
}

/// What the client sends.
struct Stream {
    read: ReadHalf<Wire>,
    /// What has come and was not passed on.
    bytes: BytesMut,
}

impl Intake {
    pub(super) fn new(
        shared: Arc<Shared>,
        read: ReadHalf<Wire>,
        link: Arc<Link>,
        due: mpsc::Sender<Due>,
        slots: Arc<Semaphore>,
        stop: &Stop,
        over: &CancellationToken,
    ) -> Self {
        let bytes = BytesMut::new();
        Self {
            shared,
            stream: Stream { read, bytes },
            link,
            due,
            slots,
            stop: stop.clone(),
            over: over.clone(),
        }
    }

    /// Takes requests until there are no more, and returns when the client has ended. What it
    /// takes is at work in `requests`.
    pub(super) async fn run(mut self, requests: &mut JoinSet<()>) {
        self.take_requests(requests).await;
        let Self {
            due,
            mut stream,
            over,
            ..
        } = self;
        // The connection ends behind the last answer.
        drop(due);
        while stream.more().await.is_ok() {
            stream.bytes.clear();
        }
        over.cancel();
    }

    async fn take_requests(&mut self, requests: &mut JoinSet<()>) {
        let mut number = 0;
        loop {
            let head = tokio::select! {
                head = self.stream.head() => head,
                () = self.stop.token.cancelled() => return,
                () = idle(&self.slots, self.shared.patience()) => return,
            };
            let Ok(head) = head else { return };
            let at_work = self.slots.available_permits() < MOST;
            if at_work && self.shared.pipelining == Pipelining::Unanswered {
                self.link.close();
                return;
            }
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let last = self.link.count_request();
            let mut pipe = self.begin(number, slot, last, requests);
            let passed = self.stream.pass_request(&head, &mut pipe).await;
            // A request that is not whole is one all the same. If it is done already, all is well.
            let _ = pipe.shutdown().await;
            if passed.is_err() || head.last || last {
                return;
            }
            number += 1;
            while requests.try_join_next().is_some() {}
        }
    }

    /// Sets a request to work, and returns where it is to be passed on.
    fn begin(
        &self,
        number: u64,
        slot: OwnedSemaphorePermit,
        last: bool,
        requests: &mut JoinSet<()>,
    ) -> WriteHalf<DuplexStream> {
        let (near, far) = duplex(PIPE);
        let (mut answer, pipe) = tokio::io::split(near);
        let allowed = if last { 1 } else { u64::MAX };
        let link = Arc::new(Link::new(self.over.clone(), allowed));
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let control = Arc::clone(&link);
        requests.spawn(async move {
            connection::serve(&shared, &control, far, true, &stop).await;
        });
        let due = self.due.clone();
        requests.spawn(async move {
            let mut first = BytesMut::with_capacity(1024);
            // A pipe does not fail.
            let _ = answer.read_buf(&mut first).await;
            let begun = Due {
                number,
                link,
                first,
                answer,
                slot,
            };
            // Nobody takes it when the connection is gone.
            let _ = due.send(begun).await;
        });
        pipe
    }
}

/// Returns when no request is at work after a while.
async fn idle(slots: &Semaphore, patience: Duration) {
    loop {
        tokio::time::sleep(patience).await;
        if slots.available_permits() == MOST {
            return;
        }
    }
}

impl Stream {
    /// Waits for a head, and leaves it where it is.
    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = framing::head(&self.bytes) {
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn pass_request(
        &mut self,
        head: &Head,
        pipe: &mut WriteHalf<DuplexStream>,
    ) -> io::Result<()> {
        self.pass(head.length as u64, pipe).await?;
        match head.body {
            Body::Length(length) => self.pass(length, pipe).await,
            Body::Chunked => self.pass_chunks(pipe).await,
        }
    }

    async fn pass_chunks(&mut self, pipe: &mut WriteHalf<DuplexStream>) -> io::Result<()> {
        loop {
            let (line, size) = self.part(framing::chunk).await?;
            self.pass(line as u64, pipe).await?;
            if size == 0 {
                break;
            }
            self.pass(size.saturating_add(2), pipe).await?;
        }
        let trailers = self.part(framing::trailers).await?;
        self.pass(trailers as u64, pipe).await
    }

    /// Waits for a part that is read whole, and leaves it where it is.
    async fn part<T>(&mut self, read: impl Fn(&[u8]) -> httparse::Result<T>) -> io::Result<T> {
        loop {
            match read(&self.bytes) {
                Ok(Status::Complete(part)) => return Ok(part),
                Ok(Status::Partial) if self.bytes.len() < MAX_PART => self.more().await?,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Passes the next bytes on.
    async fn pass(&mut self, bytes: u64, pipe: &mut WriteHalf<DuplexStream>) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            if self.bytes.is_empty() {
                self.more().await?;
            }
            let length = self
                .bytes
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            pipe.write_all(&self.bytes[..length]).await?;
            self.bytes.advance(length);
            left -= length as u64;
        }
        Ok(())
    }

    async fn more(&mut self) -> io::Result<()> {
        self.bytes.reserve(PIPE);
        match self.read.read_buf(&mut self.bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
