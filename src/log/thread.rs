//! The appender's thread: opens the log, serves it, and delivers what is left at its end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::advice::advice;
use super::appender::{Notice, Shared};
use super::builder::WhenFull;
use super::quiet::silence;
use super::report::LogReport;
use super::teller::Teller;
use super::watch::Watcher;
use crate::error::{Error, ErrorKind, Result};
use crate::rolling::{RollingWriter, RollingWriterBuilder};
use crate::store::AppendStore;

const NAME: &str = "oss-append-log";

/// Practically forever, and small enough to be added to any moment.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Whether the log is open.
pub(super) type Started = oneshot::Receiver<Result<Arc<Shared>>>;
pub(super) type HasStarted = Result<Result<Arc<Shared>>, oneshot::error::RecvError>;

/// What the thread is started with.
pub(super) struct Job<S> {
    pub(super) rolling: RollingWriterBuilder<S>,
    /// How long the first object is looked for; `None`: not before the first record.
    pub(super) look: Option<Duration>,
    pub(super) when_full: WhenFull,
    pub(super) notice: Notice,
    pub(super) teller: Arc<Teller>,
    pub(super) trouble_after: Duration,
}

/// How the thread is spoken with.
pub(super) struct Line {
    pub(super) started: Started,
    /// Takes how long the end may take.
    pub(super) stop: oneshot::Sender<Duration>,
    pub(super) reported: Receiver<LogReport>,
}

impl<S: AppendStore> Job<S> {
    pub(super) fn start(self) -> io::Result<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(silence)
            .thread_name(NAME)
            .build()?;
        let runtime = OwnRuntime(Some(runtime));
        let (starts, started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (report, reported) = sync_channel(1);
        let run = move || {
            silence();
            self.run(runtime, starts, stopped, &report);
        };
        std::thread::Builder::new().name(NAME.into()).spawn(run)?;
        Ok(Line {
            started,
            stop,
            reported,
        })
    }

    fn run(
        self,
        runtime: OwnRuntime,
        mut starts: oneshot::Sender<Result<Arc<Shared>>>,
        stopped: oneshot::Receiver<Duration>,
        reported: &SyncSender<LogReport>,
    ) {
        let opening = open(self.rolling, self.look);
        let opened = runtime.get().block_on(async {
            tokio::select! {
                opened = opening => opened,
                // Whoever started it has given up.
                () = starts.closed() => Err(Error::new(ErrorKind::Closed)),
            }
        });
        let rolling = match opened {
            Ok(rolling) => rolling,
            Err(error) => {
                let advice = advice(&error);
                return drop(starts.send(Err(error.with_advice(advice))));
            }
        };
        let shared = Arc::new(Shared::new(rolling, self.when_full, self.notice));
        if starts.send(Ok(Arc::clone(&shared))).is_err() {
            return;
        }
        let watcher = Watcher::new(&shared, &self.teller, self.trouble_after);
        let failure = runtime.get().block_on(deliver(&shared, watcher, stopped));
        // From here on nothing more is taken, so that the report is the last word.
        drop(runtime);
        // Nobody may be left to hear it.
        let _ = reported.send(LogReport::of(&shared, failure));
    }
}

/// Opens the objects; looks for the first within this time, or starts without looking.
async fn open<S: AppendStore>(
    rolling: RollingWriterBuilder<S>,
    look: Option<Duration>,
) -> Result<RollingWriter> {
    let rolling = rolling
        .record_per_write()
        .spool_at_once()
        .keep_trying(true)
        .writer(|writer| writer.delivery_timeout(FOR_EVER));
    match look {
        Some(within) => rolling.open_within(within).await,
        None => rolling.start(),
    }
}

/// Serves the log until its guard ends it, then delivers what is left. A guard that was leaked never
/// ends it. Gives back what the appender failed for, if it did.
async fn deliver(
    shared: &Shared,
    mut watcher: Watcher<'_>,
    stopped: oneshot::Receiver<Duration>,
) -> Option<Error> {
    let failure = tokio::select! {
        failure = serve(shared, stopped) => failure,
        never = watcher.run() => match never {},
    };
    watcher.end();
    failure
}

async fn serve(shared: &Shared, stopped: oneshot::Receiver<Duration>) -> Option<Error> {
    let timeout = tokio::select! {
        Ok(timeout) = stopped => timeout,
        never = announce(shared) => match never {},
    };
    let mut writer = shared.rolling.handle().clone();
    let delivery = async {
        while !shared.try_announce() {
            if writer.sync().await.is_err() {
                break;
            }
        }
        writer.shutdown().await
    };
    let ended = tokio::time::timeout(timeout, delivery).await.ok()?;
    ended.err()
}

/// Reports dropped records as soon as there is room, even if nothing more is logged.
async fn announce(shared: &Shared) -> Infallible {
    let mut writer = shared.rolling.handle().clone();
    loop {
        shared.drop.notified().await;
        while !shared.try_announce() {
            if writer.sync().await.is_err() {
                // It takes no more.
                return std::future::pending().await;
            }
        }
    }
}

/// A runtime whose drop waits for nothing: not for a name that is being looked up, and it may be
/// within another runtime.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until the drop")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
