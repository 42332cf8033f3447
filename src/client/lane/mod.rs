//! Appends to one object on one connection, sent without waiting for answers: HTTP/1.1 pipelining
//! (RFC 9112, section 9.3.2).
//!
//! Each lane has a connection of its own, and two tasks: one signs and writes requests in the order
//! in which they were given, the other reads the answers. When no answer can be told apart any more,
//! whatever was sent and not answered is [`Broken`](crate::TransportCause::Broken). A lane that is
//! dropped writes nothing more; what was sent is still read, for those who wait for it.
//!
//! When all that was sent has been answered, its connection is kept for the next lane.

mod answer;
mod connect;
mod connection;
mod pipelining;
mod reader;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::instrument::WithSubscriber as _;

pub(super) use self::answer::Success;
use self::answer::{Answer, Answers};
use self::connect::{Connection, Writing};
pub(super) use self::connect::{Connector, Route, Stream};
pub(super) use self::connection::{Connections, Target, write_head};
use self::reader::Reader;
use super::OssClient;
use super::body::BatchBody;
use super::operations::append::{append_answer, append_call};
use super::request::{Context, Signed};
use crate::error::{Error, Result, TransportCause};
use crate::store::lane::Lane;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::wire::failure::stalled;

/// What a task of the lane has reported one append.
type Answered = Result<(Answer, Signed)>;

/// An append that is to be sent.
struct Job {
    request: AppendRequest,
    answer: oneshot::Sender<Answered>,
}

/// An append that is signed.
struct Ready {
    head: Vec<u8>,
    body: BatchBody,
    sent: Sent,
}

/// An append that has been sent.
struct Sent {
    signed: Signed,
    /// The position behind it.
    end: u64,
    /// An append before it was not answered yet.
    is_behind: bool,
    answer: oneshot::Sender<Answered>,
}

pub(super) struct HttpLane {
    client: OssClient,
    connections: Arc<Connections>,
    bucket: Arc<str>,
    /// There is none before the first append.
    link: Option<Link>,
    /// How many appends have been sent whose futures are not done.
    open: Arc<AtomicUsize>,
}

/// The two tasks, as a lane has them.
pub(super) struct Link {
    jobs: mpsc::UnboundedSender<Job>,
    /// Nothing more is answered.
    ended: Arc<AtomicBool>,
    /// Nothing more is written once this is dropped.
    _writing: DropGuard,
}

impl Link {
    fn new(client: &OssClient, connections: &Arc<Connections>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let (dropped, ended) = (CancellationToken::new(), Arc::default());
        let worker = Worker {
            client: client.clone(),
            connections: Arc::clone(connections),
            queue,
            dropped: dropped.clone(),
            ended: Arc::clone(&ended),
            unanswered: Arc::default(),
        };
        // What a writer of logs does is logged nowhere.
        tokio::spawn(worker.run().with_current_subscriber());
        Self {
            jobs,
            ended,
            _writing: dropped.drop_guard(),
        }
    }

    /// Whether it can be used on.
    fn is_usable(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && !self.jobs.is_closed()
    }
}

/// An append whose future is not done.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl HttpLane {
    /// A lane to an object in `bucket`.
    pub(super) fn new(
        client: &OssClient,
        connections: &Arc<Connections>,
        bucket: Arc<str>,
    ) -> Self {
        Self {
            client: client.clone(),
            connections: Arc::clone(connections),
            bucket,
            link: None,
            open: Arc::default(),
        }
    }

    fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Where the next append goes. Another connection does only where nothing is under way.
    fn link(&mut self) -> &Link {
        if self.is_idle() {
            self.link.take_if(|link| !link.is_usable());
        }
        let (client, connections) = (&self.client, &self.connections);
        let kept = || connections.take(&self.bucket);
        (self.link).get_or_insert_with(|| kept().unwrap_or_else(|| Link::new(client, connections)))
    }
}

impl Drop for HttpLane {
    fn drop(&mut self) {
        let is_idle = self.is_idle();
        if let Some(link) = self.link.take().filter(|_| is_idle) {
            self.connections.keep(&self.bucket, link);
        }
    }
}

impl Lane for HttpLane {
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>> {
        let (answer, answered) = oneshot::channel();
        let context = Context::new("append", &request.object).at(request.position);
        let progress = request.progress.clone();
        let job = Job { request, answer };
        let sent = self.link().jobs.send(job).is_ok();
        let open = Open::new(&self.open);
        let (client, others) = (self.client.clone(), Arc::clone(&self.open));
        let connections = Arc::clone(&self.connections);
        async move {
            let idle = client.inner.attempt_timeout;
            let answer = async {
                if !sent {
                    return Err(ended());
                }
                let Some(answered) = progress.guard(idle, answered).await else {
                    if others.load(Ordering::Relaxed) > 1 {
                        connections.pipelining.failed("nothing moved");
                    }
                    return Err(stalled(idle));
                };
                match answered.map_err(|_| ended())?? {
                    (Answer::Success(success), signed) => Ok(signed.applied(&client, success)),
                    (Answer::Other(other), signed) => {
                        append_answer(signed.judge(&client, other.into()).await?).await
                    }
                }
            };
            let answer = answer.await.map_err(|error| context.wrap(error));
            drop(open);
            answer
        }
        .boxed()
    }
}

/// Nobody can tell what became of an append.
fn ended() -> Error {
    Error::transport(
        TransportCause::Broken,
        "the connection ended before this append was answered",
    )
}

/// The task of a lane that writes.
struct Worker {
    client: OssClient,
    connections: Arc<Connections>,
    queue: mpsc::UnboundedReceiver<Job>,
    /// The lane is gone.
    dropped: CancellationToken,
    ended: Arc<AtomicBool>,
    /// How many appends have been sent that the reader has not read the answer of.
    unanswered: Arc<AtomicUsize>,
}

impl Worker {
    /// Works until the lane is dropped and all that was sent is answered, or the connection ends.
    async fn run(mut self) {
        let Some(first) = self.job().await else {
            return;
        };
        let connected = async {
            let target = Target::new(&self.client, &first.request.object)?;
            let connector = &self.connections.connector;
            let connection = connector.connect(&connection::uri(&target.url)?).await?;
            Ok((target, connection))
        };
        let (target, connection) = match connected.await {
            Ok(connected) => connected,
            Err(error) => {
                let _ = first.answer.send(Err(error));
                return;
            }
        };
        let Connection { read, write, route } = connection;
        let (sent, waiting) = mpsc::unbounded_channel();
        let reader = Reader {
            answers: Answers::new(read),
            waiting,
            unanswered: Arc::clone(&self.unanswered),
            ended: Arc::clone(&self.ended),
            connections: Arc::clone(&self.connections),
        };
        tokio::spawn(reader.run().with_current_subscriber());
        let way = Way { target, route };
        self.write_all(first, way, write, sent).await;
    }

    async fn job(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            () = self.dropped.cancelled() => None,
            job = self.queue.recv() => job,
        }
    }

    /// Signs an append. One that cannot be is answered at once, and ends the lane: what comes behind
    /// it has another position.
    async fn sign(&self, job: Job, way: &mut Way) -> Option<Ready> {
        let Job { request, answer } = job;
        let signed = async {
            if way.target.object != request.object {
                way.target = Target::new(&self.client, &request.object)?;
            }
            let call = append_call(&request);
            call.signed_head(&self.client, &way.target, &way.route)
                .await
        };
        match signed.await {
            Ok((head, signed)) => Some(Ready {
                head,
                sent: Sent {
                    signed,
                    end: request.position.saturating_add(request.body.len()),
                    is_behind: false,
                    answer,
                },
                body: BatchBody::new(
                    request.body,
                    request.progress,
                    self.client.inner.pace.clone(),
                ),
            }),
            Err(error) => {
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    /// Writes requests as they come.
    async fn write_all(
        &mut self,
        first: Job,
        mut way: Way,
        mut write: Writing,
        sent: mpsc::UnboundedSender<Sent>,
    ) {
        let mut next = Some(first);
        while let Some(job) = next {
            let Some(mut ready) = self.sign(job, &mut way).await else {
                return;
            };
            ready.sent.is_behind = self.unanswered.fetch_add(1, Ordering::Relaxed) > 0;
            // Known to the reader first: its answer may come before it is written whole.
            if sent.send(ready.sent).is_err() {
                return;
            }
            let written = tokio::select! {
                written = connection::write(&mut write, ready.head, ready.body) => written.is_ok(),
                // Nothing more is read, so nothing can be answered.
                () = sent.closed() => return,
                () = self.dropped.cancelled() => false,
            };
            if !written {
                // What was sent before may still be answered.
                let _ = write.shutdown().await;
                return;
            }
            next = tokio::select! {
                biased;
                () = sent.closed() => return,
                next = self.job() => next,
            };
        }
    }
}

/// Where requests go.
struct Way {
    target: Target,
    route: Route,
}
