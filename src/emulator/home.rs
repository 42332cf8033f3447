//! Where a server runs: on a thread of its own, or on the runtime that it was started in.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Dispatch;
use tracing::dispatcher::{DefaultGuard, get_default, set_default};
use tracing::subscriber::NoSubscriber;

/// How long a drop waits for the thread to close its sockets, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(1);

const NAME: &str = "oss-append-emulator";

/// The runtime of a server. On a thread of its own, what runs there ends when this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    runtime: Handle,
    thread: Option<OwnThread>,
}

#[derive(Debug)]
struct OwnThread {
    /// `None` once it has been told to end.
    running: Option<DropGuard>,
    /// Hangs up when nothing listens any more.
    ended: Mutex<Receiver<()>>,
}

impl Home {
    /// The runtime of the caller.
    pub(super) fn current() -> io::Result<Self> {
        Ok(Self {
            runtime: Handle::try_current().map_err(io::Error::other)?,
            thread: None,
        })
    }

    /// A runtime on a thread of its own.
    pub(super) fn own_thread() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(NAME)
            .build()?;
        let handle = runtime.handle().clone();
        let running = CancellationToken::new();
        let (told, subscriber) = (running.clone(), get_default(Dispatch::clone));
        let (ends, ended) = sync_channel(0);
        std::thread::Builder::new()
            .name(NAME.into())
            .spawn(move || run(runtime, &told, &subscriber, ends))?;
        Ok(Self {
            runtime: handle,
            thread: Some(OwnThread {
                running: Some(running.drop_guard()),
                ended: Mutex::new(ended),
            }),
        })
    }

    /// Runs a task there.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(task)
    }

    /// Ends the thread of its own, if there is one.
    pub(super) fn end(&mut self) {
        drop(self.thread.take());
    }

    /// Runs there what may wait for a disk.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let done = self.runtime.spawn_blocking(work).await;
        done.map_err(io::Error::other).flatten()
    }
}

/// The thread.
fn run(runtime: Runtime, told: &CancellationToken, starter: &Dispatch, ends: SyncSender<()>) {
    let _default = adopt(starter);
    runtime.block_on(told.cancelled());
    // Work on a disk that has begun is done to its end, and not waited for.
    runtime.shutdown_background();
    drop(ends);
}

/// Logs to the subscriber of whoever started the server, unless there is one for all threads.
fn adopt(starter: &Dispatch) -> Option<DefaultGuard> {
    let is_needed = get_default(Dispatch::is::<NoSubscriber>) && !starter.is::<NoSubscriber>();
    is_needed.then(|| set_default(starter))
}

/// Nothing listens any more on return.
impl Drop for OwnThread {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Ok(ended) = self.ended.get_mut() {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}
