//! The one object of a key, opened by its first append.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::drive::ObjectAppenderBuilder;
use crate::drive::driver::Driver;
use crate::drive::stats::Counters;
use crate::drive::window::WindowAccess;
use crate::error::{Error, Result};
use crate::rolling::RollingWriterBuilder;
use crate::stage::{RollReason, Space, Stage};
use crate::store::AppendStore;
use crate::writer::buffer::records::Records;
use crate::writer::observer::Observer;
use crate::writer::parts::Parts;
use crate::writer::{ManyObjects, OssAppendWriter, OssAppendWriterBuilder};

struct KeyObject<S> {
    counters: Arc<Counters>,
    state: State<S>,
}

#[allow(clippy::large_enum_variant, reason = "there is a box around it")]
enum State<S> {
    Closed(ObjectAppenderBuilder<Arc<S>>),
    Open(Driver<Arc<S>>),
}

impl<S: AppendStore> KeyObject<S> {
    fn driver(&mut self) -> Option<&mut Driver<Arc<S>>> {
        match &mut self.state {
            State::Closed(_) => None,
            State::Open(driver) => Some(driver),
        }
    }
}

impl<S: AppendStore> Stage for KeyObject<S> {
    /// Keys have no spool.
    async fn recover(&mut self) -> Result<u64> {
        Ok(0)
    }

    async fn open(&mut self, _: Option<Timestamp>) -> Result<()> {
        if let State::Closed(builder) = &self.state {
            let counters = Arc::clone(&self.counters);
            let driver = builder.clone().open_driver(counters).await?;
            driver.counters().tell_ignored(driver.object());
            self.state = State::Open(driver);
        }
        Ok(())
    }

    fn space(&self) -> Option<Space> {
        match &self.state {
            State::Closed(_) => None,
            State::Open(driver) => driver.space(),
        }
    }

    async fn settle(&mut self, window: &mut impl WindowAccess, continues: bool) -> Result<()> {
        self.open(None).await?;
        match self.driver() {
            Some(driver) => Stage::settle(driver, window, continues).await,
            None => unreachable!("it has been opened"),
        }
    }

    async fn verify(&mut self, window: &mut impl WindowAccess) -> Result<()> {
        match self.driver() {
            Some(driver) => driver.verify(window).await,
            None => Ok(()),
        }
    }

    /// A key has one object.
    async fn roll(&mut self, _: RollReason) -> Result<()> {
        Ok(())
    }

    /// A key that comes again goes on with the object.
    async fn finish(&mut self, window: &mut impl WindowAccess, _: bool) -> Result<()> {
        match self.driver() {
            Some(driver) => driver.end_replay(window).await,
            None => Ok(()),
        }
    }

    fn failure(&mut self) -> Option<Error> {
        None
    }

    async fn prove_compared(&mut self, window: &mut impl WindowAccess) {
        if let Some(driver) = self.driver() {
            driver.prove_compared(window).await;
        }
    }
}

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
    let mut options = builder.options().map_err(context)?;
    let compression = builder.compression_used();
    let mut appender = builder.appender();
    Arc::make_mut(&mut appender.options).ending = options.ending.clone();
    appender.options.check().map_err(context)?;
    options.observer = Some(observer);
    options.keep_memory = Duration::ZERO;
    let counters = Arc::new(Counters::new(&object, &appender.options.events));
    let stage = KeyObject {
        counters: Arc::clone(&counters),
        state: State::Closed(appender),
    };
    let parts = Parts {
        object,
        options,
        counters,
        records: Records::Writes,
        stage,
        compression: compression.map(|compression| (compression, u64::MAX)),
        clock: None,
        spool: None,
    };
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
