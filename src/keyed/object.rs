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
use crate::writer::{ManyObjects, OssAppendWriter, OssAppendWriterBuilder};

const SEALED_KEY: &str =
    "seal_on_shutdown is not for keys: one that comes again could not be written to";

/// Starts the bare writer of a key, with all that it does told to `observer` and each request
/// through `gate`. Makes no request before there is something to append.
pub(super) fn start<S: AppendStore>(
    builder: OssAppendWriterBuilder<Arc<S>, ManyObjects>,
    gate: Arc<Semaphore>,
    observer: Arc<dyn Observer>,
    runtime: &Handle,
) -> Result<OssAppendWriter> {
    let object = builder.object().clone();
    let context = |error: Error| error.with_operation("open").with_object(&object);
    let builder = builder.pass_through(gate).whole();
    let mut parts = builder.later(Records::Writes, None).map_err(context)?;
    parts.options.observer = Some(observer);
    parts.options.keep_memory = Duration::ZERO;
    Ok(parts.start(runtime))
}

/// The same for a key with a sequence of objects.
pub(super) fn start_sequence<S: AppendStore>(
    builder: RollingWriterBuilder<S>,
    gate: Arc<Semaphore>,
    observer: Arc<dyn Observer>,
    runtime: &Handle,
) -> Result<OssAppendWriter> {
    let prepared = builder.writer(|writer| writer.pass_through(gate));
    let mut parts = prepared.prepare()?.parts;
    if parts.options.seal {
        return Err(Error::invalid_input(SEALED_KEY)
            .with_operation("open")
            .with_object(&parts.object));
    }
    parts.options.observer = Some(observer);
    parts.options.keep_memory = Duration::ZERO;
    Ok(parts.start(runtime))
}
