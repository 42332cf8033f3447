//! The parts that a writer is built from.

use std::future::Future;
use std::sync::Arc;

#[cfg(feature = "keyed")]
use futures::future::BoxFuture;

use super::buffer::records::Records;
use super::builder::WriterOptions;
use super::periods::PeriodClock;
use super::shared::Shared;
use super::spooling::OpenSpool;
use super::worker;
use super::writer::OssAppendWriter;
use crate::drive::stats::Counters;
use crate::engine::window::Window;
use crate::stage::Stage;
use crate::stage::compression::Compression;
use crate::values::path::ObjectPath;

pub(crate) struct Parts<D> {
    /// The object, or the name of a sequence of objects.
    pub(crate) object: ObjectPath,
    pub(crate) options: WriterOptions,
    pub(crate) counters: Arc<Counters>,
    pub(crate) records: Records,
    /// Where the batches go.
    pub(crate) stage: D,
    /// How the batches are compressed, and how much of several records goes in one.
    pub(crate) compression: Option<(Compression, u64)>,
    /// When objects end by the clock.
    pub(crate) clock: Option<PeriodClock>,
    /// Where what comes in is kept on disk. In a box, since few have it.
    pub(crate) spool: Option<Box<SpoolStart>>,
}

/// A spool that a writer begins with.
pub(crate) struct SpoolStart {
    pub(crate) open: OpenSpool,
    /// So many bytes of it, the first, are durable; `None` if that is not known.
    pub(crate) passed: Option<u64>,
}

impl<D: Stage> Parts<D> {
    /// So many bytes of the spool, the first, were found to be durable.
    #[cfg(feature = "rolling")]
    pub(crate) fn recovered(&mut self, passed: u64) {
        if let Some(spool) = &mut self.spool {
            spool.passed = Some(passed);
        }
    }

    /// A writer, and the worker that somebody has to run. Its first byte is at `start`, as callers
    /// count.
    pub(super) fn assemble(
        self,
        start: u64,
        window: Window,
    ) -> (OssAppendWriter, impl Future<Output = ()> + Send + use<D>) {
        let shared = Arc::new(Shared::new(
            self.object,
            self.options,
            start,
            window,
            self.counters,
            self.records,
            self.spool,
        ));
        let writer = OssAppendWriter::new(Arc::clone(&shared));
        let worker = worker::run_compressed(shared, self.stage, self.compression, self.clock);
        (writer, worker)
    }

    /// A writer of which nothing is known to be there, and its worker. That does nothing before it is
    /// [run](Worker::run) if there is a spool; else it has nothing to do before something comes in.
    #[cfg(feature = "keyed")]
    pub(crate) fn prepare(self, runtime: &tokio::runtime::Handle) -> (OssAppendWriter, Worker) {
        let is_spooled = self.spool.is_some();
        let (writer, worker) = self.assemble(0, Window::default());
        if is_spooled {
            return (writer, Worker(Some(Box::pin(worker))));
        }
        // Not in a box, which would take more room.
        worker::spawn(runtime, worker);
        (writer, Worker(None))
    }

    /// A writer of which nothing is known to be there, and whose worker runs on `runtime`.
    pub(crate) fn start(self, runtime: &tokio::runtime::Handle) -> OssAppendWriter {
        let (writer, worker) = self.assemble(0, Window::default());
        worker::spawn(runtime, worker);
        writer
    }
}

/// The worker of a writer, unless it is running. Dropped, it fails that.
#[cfg(feature = "keyed")]
pub(crate) struct Worker(Option<BoxFuture<'static, ()>>);

#[cfg(feature = "keyed")]
impl Worker {
    pub(crate) fn run(self, runtime: &tokio::runtime::Handle) {
        if let Some(worker) = self.0 {
            worker::spawn(runtime, worker);
        }
    }
}
