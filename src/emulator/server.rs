//! Accepting connections: starting, pausing, and ending.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection;
use super::home::Home;
use super::shared::Shared;

use crate::values::locks::MutexExt;

/// How long requests under way have to end in a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The server's socket and its connections.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
    home: Home,
}

#[derive(Debug)]
struct Running {
    stop: Stop,
    task: JoinHandle<()>,
}

/// How the connections are told to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    pub(super) token: CancellationToken,
    abrupt: Arc<AtomicBool>,
}

impl Stop {
    /// Whether connections are to end at once.
    pub(super) fn is_abrupt(&self) -> bool {
        self.abrupt.load(Ordering::Relaxed)
    }

    /// Waits until connections must have ended.
    pub(super) async fn expired(&self) {
        self.token.cancelled().await;
        if !self.is_abrupt() {
            tokio::time::sleep(GRACE).await;
        }
    }
}

impl Server {
    pub(super) async fn start(
        shared: Arc<Shared>,
        address: SocketAddr,
        home: Home,
    ) -> io::Result<Self> {
        let listener = home.spawn(TcpListener::bind(address)).await??;
        let server = Self {
            shared,
            address: listener.local_addr()?,
            running: Mutex::default(),
            home,
        };
        server.run(listener);
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a task where the server runs.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.home.spawn(task)
    }

    fn run(&self, listener: TcpListener) {
        let stop = Stop::default();
        let accepting = accept(Arc::clone(&self.shared), listener, stop.clone());
        let task = self.home.spawn(accepting);
        *self.lock() = Some(Running { stop, task });
    }

    /// Stops listening and ends all connections: at once, or when their requests are answered.
    pub(super) async fn stop(&self, abrupt: bool) {
        let running = self.lock().take();
        if let Some(Running { stop, task }) = running {
            stop.abrupt.store(abrupt, Ordering::Relaxed);
            stop.token.cancel();
            // The only other outcome is that the runtime ends, which stops it too.
            let _ = task.await;
        }
    }

    /// Listens again where it did before.
    pub(super) async fn resume(&self) -> io::Result<()> {
        if self.lock().is_none() {
            let listener = self.home.spawn(bind_again(self.address)).await??;
            self.run(listener);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.locked()
    }

    /// Stops at once, without waiting for what a disk is busy with.
    pub(super) fn end(&mut self) {
        if let Some(Running { stop, .. }) = self.lock().take() {
            stop.abrupt.store(true, Ordering::Relaxed);
            stop.token.cancel();
        }
        self.home.end();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process that is being spawned at this moment has the old socket too, until it has become another
/// program.
async fn bind_again(address: SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..1000 {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bound => return bound,
        }
    }
    TcpListener::bind(address).await
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.token.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(connection::accepted(shared, stream, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
