//! What all connections of a server share.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::account::Traits;
use super::auth::keys::Keys;
use super::body::Received;
use super::clock::Clock;
use super::fault::Faults;
use super::log::Log;
use super::object::Properties;
use super::operations::append;
use super::pipelining::Pipelining;
use super::refusal::Refusal;
use super::storage::Storage;
use super::wire::Bandwidth;

use crate::values::locks::MutexExt;

/// How long a connection may be idle, and a head may take. OSS's documents do not say it.
const PATIENCE: Duration = Duration::from_secs(60);

/// As many bytes as a head has at most, as a rule.
const MOST_OF_HEAD: usize = 64 * 1024;

/// The state of a server.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) storage: Storage,
    pub(super) keys: RwLock<Keys>,
    pub(super) region: String,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    pub(super) log: Log,
    /// Nothing may be changed.
    pub(super) read_only: bool,
    /// Only this machine can reach it.
    pub(super) local: bool,
    pub(super) max_object_size: u64,
    /// What the account allows.
    pub(super) traits: Traits,
    /// Of one connection.
    pub(super) max_requests: u64,
    pub(super) pipelining: Pipelining,
    pub(super) latency: Mutex<Duration>,
    pub(super) bandwidth: Option<Arc<Bandwidth>>,
    pub(super) gate: Gate,
    /// Work that goes on when its connection is gone.
    pub(super) tasks: Tasks,
    /// Cancelled when the server ends for good.
    pub(super) closed: CancellationToken,
}

impl Shared {
    pub(super) fn latency(&self) -> Duration {
        *self.latency.locked()
    }

    /// How long a connection may be idle, and a head may take: longer where it is the bandwidth that
    /// makes it slow.
    pub(super) fn patience(&self) -> Duration {
        let bandwidth = self.bandwidth.as_ref();
        let slow = bandwidth.map(|bandwidth| bandwidth.time_for(MOST_OF_HEAD));
        PATIENCE + slow.unwrap_or_default()
    }

    /// Ends what waits for something else than its connection.
    pub(super) fn end(&self) {
        self.closed.cancel();
        self.gate.end();
    }

    /// Works on the storage, off the runtime's threads if the storage may wait for a disk. The
    /// work is done to its end, even if the caller goes away.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if !self.storage.blocks() {
            return work(self);
        }
        let shared = Arc::clone(self);
        let running = self.tasks.begin();
        tokio::task::spawn_blocking(move || {
            let result = work(&shared);
            drop(running);
            result
        })
        .await
        .unwrap_or_else(|error| Err(Refusal::internal(error)))
    }

    /// Appends bytes as another client would, at whatever length the object has. They are copied:
    /// an owner of the program's is not dropped in a locked object.
    pub(super) fn append_foreign(
        &self,
        bucket: &str,
        key: &str,
        bytes: &[u8],
    ) -> Result<u64, Refusal> {
        let body = Received::from_bytes(Bytes::copy_from_slice(bytes), false);
        append::anywhere(self, bucket, key, body).map(|object| object.length)
    }

    /// Puts an object under retention, if it is there.
    pub(super) fn retain(&self, bucket: &str, key: &str) -> Result<(), Refusal> {
        let found = self.storage.bucket(bucket);
        let found = found.ok_or_else(|| Refusal::no_such_bucket(bucket))?;
        self.storage.with_slot(&found, key, |slot| {
            let Some(object) = slot.properties().cloned() else {
                return Ok(());
            };
            let retained = Properties {
                retained: true,
                ..object
            };
            Ok(slot.set_properties(retained)?)
        })
    }
}

/// Counts the work that is not done yet.
#[derive(Debug)]
pub(super) struct Tasks {
    running: Mutex<Option<mpsc::Sender<()>>>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Tasks {
    pub(super) fn new() -> Self {
        let (running, ended) = mpsc::channel(1);
        Self {
            running: Mutex::new(Some(running)),
            ended: tokio::sync::Mutex::new(ended),
        }
    }

    /// Counts a piece of work until what is returned is dropped.
    pub(super) fn begin(&self) -> Option<mpsc::Sender<()>> {
        self.running.locked().clone()
    }

    /// Waits until all work is done that has begun.
    pub(super) async fn finish(&self) {
        self.running.locked().take();
        // Nobody sends anything: it ends when the last sender is dropped.
        self.ended.lock().await.recv().await;
    }
}

type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where requests wait to be released.
pub(super) struct Gate {
    /// `None` once the server has ended.
    held: Mutex<Option<Vec<Held>>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::new(Some(Vec::new())),
        }
    }

    /// Does this work at the next release, or drops it when the server ends.
    pub(super) fn defer(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(held) = &mut *self.lock() {
            held.push(Box::pin(work));
        }
    }

    /// Waits for the next release; `false` if the server ends instead.
    pub(super) async fn wait(&self) -> bool {
        let (open, opened) = oneshot::channel();
        self.defer(async move {
            // Nobody waits any more if the server ended.
            let _ = open.send(());
        });
        opened.await.is_ok()
    }

    /// Lets everything through that waits now, in order, and returns how much that was.
    pub(super) async fn release(&self) -> usize {
        let held = self.lock().as_mut().map(std::mem::take).unwrap_or_default();
        let count = held.len();
        for work in held {
            work.await;
        }
        count
    }

    /// Drops everything that waits. It may own the server's state, which then could never end.
    pub(super) fn end(&self) {
        let held = self.lock().take();
        drop(held);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Held>>> {
        self.held.locked()
    }
}
