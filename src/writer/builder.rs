//! The writer's options and its opening.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::buffer::records::Records;
use super::later::OpenedLater;
use super::observer::Observer;
use super::parts::{Parts, SpoolStart};
use super::spooling::{Spool, SpoolLeft, SpoolOwner};
use super::worker;
use super::writer::OssAppendWriter;
#[cfg(feature = "keyed")]
use crate::drive::events::Events;
use crate::drive::gate::Gate;
use crate::drive::options::{
    AppenderOptions, OpenMode, appender_option_setters, open_mode_setters,
};
use crate::drive::stats::Counters;
use crate::drive::{ObjectAppender, ObjectAppenderBuilder};
use crate::engine::flush::FlushMode;
use crate::engine::schedule::Schedule;
use crate::engine::window::Window;
use crate::error::{Error, Result};
use crate::stage::compression::{Compression, incompressible};
use crate::store::AppendStore;
use crate::values::defaults;
use crate::values::path::ObjectPath;

/// The checked options of a writer.
#[derive(Clone, Debug)]
pub(crate) struct WriterOptions {
    pub(crate) schedule: Schedule,
    pub(super) buffer_capacity: u64,
    pub(super) flush_mode: FlushMode,
    pub(crate) seal: bool,
    /// The most flights at a time.
    pub(super) max_in_flight: u16,
    /// What is sent together is not cut later.
    pub(super) whole: bool,
    /// Short records may be kept together up to this length.
    pub(crate) max_group: u64,
    /// How long a writer that has become idle keeps the memory of its buffer.
    pub(crate) keep_memory: Duration,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Each request waits for its turn, and a batch is made when its turn has come.
    pub(super) gate: Option<Arc<Gate>>,
    /// The time from which it counts.
    pub(crate) origin: Instant,
    /// Cancelled when nothing more comes: waits are cut short then.
    pub(crate) ending: CancellationToken,
}

/// Fresh memory costs several times what a copy into it does. This bridges the pauses between
/// bursts, and the linger of a trickle.
const KEEP_MEMORY: Duration = Duration::from_secs(5);

/// Options of a writer to one object, see [`OssAppendWriterBuilder`].
#[derive(Clone, Copy, Debug)]
pub struct OneObject;

/// Options of a writer to many objects, see [`OssAppendWriterBuilder`].
///
/// ```compile_fail,E0599
/// # fn example(client: oss_append::OssClient) {
/// oss_append::RollingWriter::builder(client, "logs", "%Y/%m/%d-{seq}.log")
///     .writer(|writer| writer.create_new());
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ManyObjects;

/// Options for opening an [`OssAppendWriter`].
///
/// Rolling and keyed writers have the same options for each of their objects. The type is then
/// `OssAppendWriterBuilder<S, ManyObjects>`, which lacks the options that make sense only for [one
/// object](OneObject).
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the writer"]
pub struct OssAppendWriterBuilder<S, O = OneObject> {
    objects: PhantomData<O>,
    appender: ObjectAppenderBuilder<S>,
    compression: Option<Compression>,
    batch_size: Option<u64>,
    max_append_size: Option<u64>,
    buffer_capacity: Option<u64>,
    linger: Duration,
    flush_mode: FlushMode,
    seal: bool,
    spool: Option<Spool>,
}

impl<S: AppendStore, O> OssAppendWriterBuilder<S, O> {
    pub(crate) fn new(store: S, object: ObjectPath) -> Self {
        Self {
            objects: PhantomData,
            appender: ObjectAppender::builder(store, object),
            compression: None,
            batch_size: None,
            max_append_size: None,
            buffer_capacity: None,
            linger: defaults::LINGER,
            flush_mode: FlushMode::default(),
            seal: false,
            spool: None,
        }
    }

    appender_option_setters!(appender.options);

    /// Starts an append when this many bytes have gathered and none is in flight, counted before
    /// any compression. Default: 1 MiB, or `max_append_size` if that is less.
    pub fn batch_size(mut self, bytes: u64) -> Self {
        self.batch_size = Some(bytes);
        self
    }

    /// The most bytes of one append, counted before any compression: what gathers while another
    /// append is in flight goes in one request up to this size. On a slow link appends are shorter,
    /// so that each is answered within a third of [`attempt_timeout`](Self::attempt_timeout).
    /// Default: 8 MiB, or `batch_size` if that is more, or half of `buffer_capacity` if that is
    /// less.
    pub fn max_append_size(mut self, bytes: u64) -> Self {
        self.max_append_size = Some(bytes);
        self
    }

    /// The most bytes in memory, buffered and in flight, counted before any compression. When it is
    /// reached, `poll_write` is pending. At least twice `max_append_size`. Default: 16 MiB, or
    /// twice `max_append_size` if that is more.
    pub fn buffer_capacity(mut self, bytes: u64) -> Self {
        self.buffer_capacity = Some(bytes);
        self
    }

    /// The longest time that a byte waits for its append while none is in flight, counted from the
    /// first byte of the batch. It runs even if nobody polls. Zero: as soon as none is in flight.
    /// Default: 1 s.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// What `poll_flush` does. Default: [`FlushMode::Coalesced`] with 200 ms. For many small
    /// records use [`records`](OssAppendWriter::records), which does not flush, instead of
    /// `FramedWrite`, which flushes on each `send` and every 8 KiB.
    pub fn flush_mode(mut self, mode: FlushMode) -> Self {
        self.flush_mode = mode;
        self
    }

    /// Compresses what is written: each append is one complete gzip member or zstd frame. `zcat` or
    /// `zstdcat` can read the object after each append, also after a crash, and it can be continued
    /// by opening it again. Default: off.
    ///
    /// Larger appends compress better: use a long `linger` and few flushes. What is kept whole in
    /// one append without compression (writes to a [shared](Self::shared) object, records of a
    /// sequence) is in one member. An object that no byte was appended to is empty, which the tools
    /// report as an unexpected end.
    ///
    /// # What is counted
    /// `batch_size`, `max_append_size` and `buffer_capacity` count raw bytes. So do the writer's
    /// positions, its statistics except [`stored`](crate::WriterStats::stored), and
    /// [`into_unsent`](OssAppendWriter::into_unsent), which gives back whole batches. Positions
    /// count from the opening.
    ///
    /// [`checkpoint`](OssAppendWriter::checkpoint), positions in errors,
    /// [`Written`](crate::Written) and `max_object_size` count bytes of the object, that is
    /// compressed bytes. In addition to the buffer there is one compressed batch in memory.
    ///
    /// # The object
    /// A new object gets the `Content-Type` `application/gzip` or `application/zstd` unless
    /// [`object_options`](Self::object_options) have another, and no `Content-Encoding` unless they
    /// have one. The user metadata `oss-append-compression` says how it is compressed
    /// ([`ObjectOptions::COMPRESSION`](crate::ObjectOptions::COMPRESSION)). [`Compression`] says
    /// which tools and libraries read all of it, and which stop after the first append.
    ///
    /// An existing object is continued if it was begun with the same compression. That is known
    /// from the metadata, or, if others have created the object, from its first 4 bytes, which are
    /// read. Otherwise [`open`](OssAppendWriterBuilder::open) fails with a
    /// [`Conflict`](crate::ErrorKind::Conflict) ([`Format`](crate::ConflictCause::Format)), and a
    /// sequence goes on with its next number.
    ///
    /// In the same way, a writer that does not compress fails when it is about to append to a
    /// compressed object, unless what it was given is compressed in the same way. See
    /// [`Format`](crate::ConflictCause::Format).
    ///
    /// A replay cannot be compressed, since it compares what is written with what is stored:
    /// [`open`](OssAppendWriterBuilder::open) refuses it.
    #[cfg(feature = "compression")]
    #[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The object to be opened.
    pub fn object(&self) -> &ObjectPath {
        self.appender.object()
    }

    /// Tells these what happens.
    #[cfg(feature = "keyed")]
    pub(crate) fn events(mut self, events: Arc<Events>) -> Self {
        Arc::make_mut(&mut self.appender.options).events = events;
        self
    }

    /// Each request waits for one of `turns`.
    #[cfg(feature = "keyed")]
    pub(crate) fn pass_through(mut self, turns: Arc<tokio::sync::Semaphore>) -> Self {
        let options = Arc::make_mut(&mut self.appender.options);
        options.gate = Gate::of_writer(options.gate.as_deref(), Some(turns));
        self
    }

    /// What is appended together stays together: records, of which a part is worth nothing.
    #[cfg(feature = "rolling")]
    pub(crate) fn whole(mut self) -> Self {
        Arc::make_mut(&mut self.appender.options).rules.whole = true;
        self
    }

    /// Has limits of its own on the way to what others share.
    pub(crate) fn apart(mut self) -> Self {
        let options = &self.appender.options;
        if options.gate.is_some() {
            let gate = Gate::of_writer(options.gate.as_deref(), None);
            Arc::make_mut(&mut self.appender.options).gate = gate;
        }
        self
    }

    /// The object's appender.
    pub(crate) fn appender(self) -> ObjectAppenderBuilder<S> {
        let mut appender = self.appender;
        if let Some(compression) = self.compression {
            let options = Arc::make_mut(&mut appender.options);
            options.compresses = Some(compression.format());
            Arc::make_mut(&mut options.create).compress(compression.format());
        }
        appender
    }

    #[cfg(feature = "rolling")]
    pub(crate) fn compression_used(&self) -> Option<Compression> {
        self.compression
    }

    /// The most bytes that a store takes at once. What cannot be compressed gets a little longer.
    fn most_in_an_append(&self) -> u64 {
        match self.appender.options.rules.limits().max_append {
            None => u64::MAX,
            Some(most) if self.compression.is_some() => incompressible(most),
            Some(most) => most.max(1),
        }
    }

    pub(crate) fn options(&self) -> Result<WriterOptions> {
        let half = |capacity: u64| (capacity / 2).max(1);
        let max_append_size = self.max_append_size.unwrap_or(
            defaults::MAX_APPEND_SIZE
                .max(self.batch_size.unwrap_or(0))
                .min(self.buffer_capacity.map_or(u64::MAX, half)),
        );
        let batch_size = self
            .batch_size
            .unwrap_or(defaults::BATCH_SIZE.min(max_append_size));
        // The defaults do not matter to a store that takes less, and neither does what was asked for.
        let most = self.most_in_an_append();
        let too_small = batch_size == 0 || max_append_size < batch_size;
        let (batch_size, max_append_size) = match too_small {
            true => (batch_size, max_append_size),
            false => (batch_size.min(most), max_append_size.min(most)),
        };
        let buffer_capacity = self
            .buffer_capacity
            .unwrap_or(defaults::BUFFER_CAPACITY.max(max_append_size.saturating_mul(2)));
        if let Some(compression) = self.compression {
            compression.check()?;
            if self.appender.options.create.is_encoded() {
                compression.check_encoded(max_append_size)?;
            }
            if let OpenMode::Replay(_) = self.appender.options.mode {
                return Err(Error::invalid_input(
                    "a replay compares what is written with the object, which is not possible if \
                     that is compressed",
                ));
            }
        }
        if self.spool.is_some() {
            spool_goes_with(&self.appender.options)?;
        } else if self.flush_mode == FlushMode::Spooled {
            return Err(Error::invalid_input(
                "FlushMode::Spooled is for writers with a spool",
            ));
        }
        if too_small {
            return Err(Error::invalid_input(format!(
                "batch_size {batch_size} must be from 1 to max_append_size {max_append_size}"
            )));
        }
        if buffer_capacity / 2 < max_append_size {
            return Err(Error::invalid_input(format!(
                "buffer_capacity {buffer_capacity} must be at least twice max_append_size \
                 {max_append_size}, so that the next batch can fill while one is in flight"
            )));
        }
        Ok(WriterOptions {
            schedule: Schedule {
                batch_size,
                max_append_size,
                linger: self.linger,
            },
            buffer_capacity,
            flush_mode: self.flush_mode,
            seal: self.seal,
            max_in_flight: 1,
            whole: self.appender.options.rules.is_whole() || self.compression.is_some(),
            max_group: u64::MAX,
            keep_memory: KEEP_MEMORY,
            observer: None,
            gate: self.appender.options.gate.clone(),
            origin: self.appender.options.origin,
            ending: CancellationToken::new(),
        })
    }
}

impl<S: AppendStore> OssAppendWriterBuilder<S> {
    open_mode_setters!(appender.options);

    /// The most appends in flight at a time: the next one is sent before the previous one is
    /// answered, if the store has [lanes](AppendStore::lane). Then `batch_size` bytes are sent as
    /// soon as they have gathered, and the round trip does not limit the throughput. Default: 1.
    ///
    /// Each append is sent with the position where the previous one ends, and lands only there. As
    /// long as nobody else appends to the object, it is always a prefix of what was written,
    /// whatever is lost, late or repeated on the way. If somebody else appends exactly as many
    /// bytes as one of our appends has, the appends sent behind that one land behind the other's
    /// bytes: the writer fails with a [`Conflict`](crate::ErrorKind::Conflict) that names where
    /// ours are ([`Conflict::apart`](crate::Conflict::apart)).
    ///
    /// It stays one at a time for [shared](Self::shared) objects, for a [replay](Self::replay)
    /// until its first own append is durable, with compression, and without a CRC-64 of the whole
    /// object ([`Evidence`](crate::Evidence)). An [`OssClient`](crate::OssClient) has lanes unless
    /// it was given an HTTP client of the program's own, or connects with the platform's TLS
    /// library (feature `native-tls`) or through a SOCKS proxy. A warning tells if the store has no
    /// lanes.
    ///
    /// Nobody has tried yet what the real service does with pipelined requests.
    pub fn max_in_flight(mut self, appends: u16) -> Self {
        let options = Arc::make_mut(&mut self.appender.options);
        options.rules.max_in_flight = appends.max(1);
        self
    }

    /// Keeps accepted bytes in a directory until they are durable. Default: only in memory.
    ///
    /// If an earlier process has left bytes there, those that the object does not have yet are sent
    /// first. [`open`](Self::open) finds that out, and fails with a
    /// [`Conflict`](crate::ErrorKind::Conflict), [`ReplayDiffers`](crate::ErrorKind::ReplayDiffers)
    /// or [`ReplayTooShort`](crate::ErrorKind::ReplayTooShort) if the object is not the one that
    /// process appended to. The spool then stays as it is.
    ///
    /// Not for [shared](Self::shared) objects, and not together with [`replay`](Self::replay).
    #[cfg(feature = "spool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// Seals the object at `shutdown`, so that nobody can append to it any more. Default: off.
    pub fn seal_on_shutdown(mut self, seal: bool) -> Self {
        self.seal = seal;
        self
    }

    /// Looks at the object, opens it, and starts the writer's worker on the current tokio runtime.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for options that do not go together, or
    /// outside of a tokio runtime; otherwise as
    /// [`ObjectAppenderBuilder::open`](crate::ObjectAppenderBuilder::open). Nothing has been
    /// accepted yet, so nothing can be lost.
    ///
    /// # Cancel safety
    /// Safe; with [`create_new`](Self::create_new) the empty object may have been created.
    pub async fn open(mut self) -> Result<OssAppendWriter> {
        self = self.apart();
        let object = self.object().clone();
        let context = |error: Error| error.with_operation("open").with_object(&object);
        let options = self.options().map_err(context)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            context(Error::invalid_input("a writer needs a tokio runtime").with_source(error))
        })?;
        let (writer, worker) = self.opened(options).await?;
        worker::spawn(&runtime, worker);
        Ok(writer)
    }

    /// Starts the writer without looking at the object, for a program that has to start while OSS
    /// is away. The worker opens the object: at once if there is a spool, otherwise with the first
    /// append. It tries again for [`delivery_timeout`](Self::delivery_timeout), and reports
    /// problems like those of delivery ([`on_event`](Self::on_event),
    /// [`stats`](OssAppendWriter::stats)). What [`open`](Self::open) would refuse then makes the
    /// writer fail.
    ///
    /// [`position`](OssAppendWriter::position) counts from the first byte of the writer, or from
    /// the first byte that an earlier process has left in the spool. It does not include what the
    /// object held before, and neither does a [`checkpoint`](OssAppendWriter::checkpoint) until the
    /// first byte is durable.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for options that do not go together, for a
    /// [`replay`](Self::replay), or outside of a tokio runtime; kind
    /// [`Spool`](crate::ErrorKind::Spool) if the directory cannot be opened. Opening it takes a few
    /// blocking system calls.
    pub fn start(mut self) -> Result<OssAppendWriter> {
        self = self.apart();
        let object = self.object().clone();
        let context = |error: Error| error.with_operation("open").with_object(&object);
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            context(Error::invalid_input("a writer needs a tokio runtime").with_source(error))
        })?;
        if let OpenMode::Replay(_) = self.appender.options.mode {
            return Err(context(Error::invalid_input(
                "a replay has to know the object before it begins: use open",
            )));
        }
        let records = self.records();
        let max_in_flight = match self.compression {
            Some(_) => 1,
            None => self.appender.options.rules.most_in_flight(),
        };
        let mut parts = self.later(records).map_err(context)?;
        parts.options.max_in_flight = max_in_flight;
        Ok(parts.start(&runtime))
    }

    fn records(&self) -> Records {
        match self.appender.options.rules.shared {
            true => Records::Writes,
            false => Records::Bytes,
        }
    }

    /// The writer, and the worker that somebody has to run.
    pub(super) async fn opened(
        self,
        mut options: WriterOptions,
    ) -> Result<(OssAppendWriter, impl Future<Output = ()> + Send + use<S>)> {
        let object = self.object().clone();
        let records = self.records();
        let compression = self.compression;
        let spool = match &self.spool {
            Some(spool) => {
                let open = spool.open(self.spool_owner()).await;
                Some(open.map_err(|error| error.with_operation("open").with_object(&object))?)
            }
            None => None,
        };
        let appender = self.appender_of(&options);
        let counters = Arc::new(Counters::new(&object, &appender.options.events));
        let opened = match &spool {
            Some(spool) => {
                spool.tell(&object, &counters);
                SpoolLeft::new(spool, compression)
                    .open_driver(appender, Arc::clone(&counters))
                    .await
            }
            None => {
                let driver = appender.open_driver(Arc::clone(&counters)).await;
                driver.map(|driver| (driver, 0))
            }
        };
        let (driver, passed) = counters.told(&object, opened)?;
        counters.tell_ignored(&object);
        // Where the first byte is, of those that an earlier process had written.
        let start = match compression {
            Some(_) => 0,
            None => driver.position().bytes() - passed,
        };
        options.max_in_flight = driver.max_in_flight();
        let engine = driver.engine();
        let window = Window::new(engine.proven(), engine.is_replaying());
        let parts = Parts {
            object,
            options,
            counters,
            records,
            stage: driver,
            compression: compression.map(|compression| (compression, u64::MAX)),
            clock: None,
            spool: spool.map(|open| {
                Box::new(SpoolStart {
                    open,
                    passed: Some(passed),
                })
            }),
        };
        Ok(parts.assemble(start, window))
    }
}

impl<S: AppendStore, O> OssAppendWriterBuilder<S, O> {
    fn spool_owner(&self) -> SpoolOwner {
        SpoolOwner::object(self.object(), self.compression.map(Compression::format))
    }

    /// With the spool of a sequence, or of one key among others.
    #[cfg(any(feature = "keyed", feature = "rolling"))]
    pub(crate) fn with_spool(mut self, spool: Option<Spool>) -> Self {
        self.spool = spool;
        self
    }

    /// The parts of a writer whose worker opens the object. Opens the spool, which blocks.
    pub(crate) fn later(self, records: Records) -> Result<Parts<OpenedLater<S>>> {
        let object = self.object().clone();
        let options = self.options()?;
        let spool = match &self.spool {
            Some(spool) => Some(spool.open_now(&self.spool_owner())?),
            None => None,
        };
        let compression = self.compression;
        let appender = self.appender_of(&options);
        appender.options.check()?;
        let counters = Arc::new(Counters::new(&object, &appender.options.events));
        let left = spool.as_ref().map(|spool| {
            spool.tell(&object, &counters);
            SpoolLeft::new(spool, compression)
        });
        let stage = OpenedLater::new(appender, Arc::clone(&counters), left);
        Ok(Parts {
            object,
            options,
            counters,
            records,
            stage,
            compression: compression.map(|compression| (compression, u64::MAX)),
            clock: None,
            spool: spool.map(|open| Box::new(SpoolStart { open, passed: None })),
        })
    }

    /// The object's appender, for a writer with these options.
    fn appender_of(self, options: &WriterOptions) -> ObjectAppenderBuilder<S> {
        let compresses = self.compression.is_some();
        let mut appender = self.appender();
        let appender_options = Arc::make_mut(&mut appender.options);
        appender_options.ending = options.ending.clone();
        if compresses {
            appender_options.rules.max_in_flight = 1;
        }
        appender
    }
}

/// Whether what is accepted can be kept in a spool.
fn spool_goes_with(options: &AppenderOptions) -> Result<()> {
    if options.rules.shared {
        return Err(Error::invalid_input(
            "a shared object cannot have a spool: what was sent before a crash can only be found \
             again where nobody else appends",
        ));
    }
    if let OpenMode::Replay(_) = options.mode {
        return Err(Error::invalid_input(
            "a replay cannot have a spool: both say what is to be written again",
        ));
    }
    Ok(())
}
