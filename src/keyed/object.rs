//! The writer of a key.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::rolling::RollingWriterBuilder;
use crate::store::AppendStore;
use crate::writer::buffer::records::Records;
use crate::writer::observer::Observer;
use crate::writer::parts::Worker;
use crate::writer::spooling::Spool;
use crate::writer::{ManyObjects, OssAppendWriter, OssAppendWriterBuilder};

const SEALED_KEY: &str =
    "seal_on_shutdown is not for keys: one that comes again could not be written to";

/// What the writer of a key is made with.
pub(super) struct Surroundings {
    /// Each request goes through it.
    pub(super) gate: Arc<Semaphore>,
    /// Learns all that the writer does.
    pub(super) observer: Arc<dyn Observer>,
    /// Where what comes in is kept.
    pub(super) spool: Option<Spool>,
    pub(super) runtime: Handle,
}

/// Makes the bare writer of a key. It makes no request before there is something to append.
pub(super) fn prepare<S: AppendStore>(
    builder: OssAppendWriterBuilder<Arc<S>, ManyObjects>,
    with: Surroundings,
) -> Result<(OssAppendWriter, Worker)> {
    let object = builder.object().clone();
    let context = |error: Error| error.with_operation("open").with_object(&object);
    let builder = builder.pass_through(with.gate).whole();
    let builder = builder.with_spool(with.spool);
    let mut parts = builder.later(Records::Writes).map_err(context)?;
    parts.options.observer = Some(with.observer);
    parts.options.keep_memory = Duration::ZERO;
    Ok(parts.prepare(&with.runtime))
}

/// The same for a key with a sequence of objects.
pub(super) fn prepare_sequence<S: AppendStore>(
    builder: RollingWriterBuilder<S>,
    with: Surroundings,
) -> Result<(OssAppendWriter, Worker)> {
    let mut builder = builder.writer(|writer| writer.pass_through(with.gate));
    if let Some(spool) = with.spool {
        builder = builder.spool_of_key(spool)?;
    }
    let mut parts = builder.prepare()?.parts;
    if parts.options.seal {
        return Err(Error::invalid_input(SEALED_KEY)
            .with_operation("open")
            .with_object(&parts.object));
    }
    parts.options.observer = Some(with.observer);
    parts.options.keep_memory = Duration::ZERO;
    Ok(parts.prepare(&with.runtime))
}
