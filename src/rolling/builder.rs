//! The options of a rolling writer, and its opening.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::finished::{FinishedObject, OnFinished};
use super::roller::{Plan, Roller};
use super::standing::Standing;
use super::template::KeyTemplate;
use super::writer::RollingWriter;
use crate::drive::stats::Counters;
use crate::engine::period::Periods;
#[cfg(feature = "tracing")]
use crate::error::TransportCause;
use crate::error::{Error, Result};
use crate::stage::Stage;
use crate::stage::compression::{Compression, incompressible};
use crate::store::AppendStore;
use crate::values::path::ObjectPath;
use crate::writer::buffer::records::Records;
use crate::writer::parts::{Parts, SpoolStart};
use crate::writer::periods::{PeriodClock, WallClock};
use crate::writer::spooling::{Spool, SpoolOwner};
use crate::writer::{ManyObjects, OssAppendWriterBuilder};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Options for opening a [`RollingWriter`].
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the writer"]
pub struct RollingWriterBuilder<S> {
    store: Arc<S>,
    bucket: String,
    template: String,
    writer: OssAppendWriterBuilder<Arc<S>, ManyObjects>,
    records: Records,
    roll_size: Option<u64>,
    every: Option<Duration>,
    utc_offset: i32,
    seal: bool,
    seal_last: bool,
    keep_trying: bool,
    on_finished: Option<OnFinished>,
    clock: WallClock,
    spool: Option<Spool>,
}

impl<S: AppendStore> RollingWriterBuilder<S> {
    pub(crate) fn new(store: Arc<S>, bucket: String, template: String) -> Self {
        let sequence = ObjectPath::unchecked(&bucket, &template);
        Self {
            writer: OssAppendWriterBuilder::new(Arc::clone(&store), sequence),
            store,
            bucket,
            template,
            records: Records::Ending(b'\n'),
            roll_size: None,
            every: None,
            utc_offset: 0,
            seal: false,
            seal_last: false,
            keep_trying: false,
            on_finished: None,
            clock: WallClock::default(),
            spool: None,
        }
    }

    /// Sets the options that each object is written with: batch size, buffer, timeouts, object
    /// options, sharing, and so on.
    pub fn writer(
        mut self,
        configure: impl FnOnce(
            OssAppendWriterBuilder<Arc<S>, ManyObjects>,
        ) -> OssAppendWriterBuilder<Arc<S>, ManyObjects>,
    ) -> Self {
        self.writer = configure(self.writer);
        self
    }

    /// Rolls before an object gets longer than this, in bytes. Only a record that is longer by
    /// itself makes an object longer, and one that is written in pieces with a flush between; and the
    /// first that is sent of what an earlier process has left in a spool.
    ///
    /// With compression these are compressed bytes. How long an append becomes is not known before
    /// it has been compressed, so that an object can end by that much sooner.
    ///
    /// Default: 63/64 of [`max_object_size`](OssAppendWriterBuilder::max_object_size) (about 4.9
    /// GB), so that a record that was begun can be completed.
    pub fn roll_size(mut self, bytes: u64) -> Self {
        self.roll_size = Some(bytes);
        self
    }

    /// Rolls at the end of each period of this length, from 1 ms to 366 days. Periods are counted
    /// from midnight of 1970-01-01, in UTC or at the [offset](Self::utc_offset), so that those that
    /// divide a day begin at the same times every day. Default: no periods.
    ///
    /// A record belongs to the period in which it was written, also if its append comes later.
    /// Periods without records have no objects.
    pub fn roll_every(mut self, period: Duration) -> Self {
        self.every = Some(period);
        self
    }

    /// Rolls at every full hour.
    pub fn hourly(self) -> Self {
        self.roll_every(HOUR)
    }

    /// Rolls at midnight.
    pub fn daily(self) -> Self {
        self.roll_every(DAY)
    }

    /// The offset from UTC, in seconds to the east, of the times in keys and of the beginnings of
    /// periods: `8 * 3600` for China. Default: 0.
    pub fn utc_offset(mut self, seconds: i32) -> Self {
        self.utc_offset = seconds;
        self
    }

    /// The byte that ends a record. Default: `\n`.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.records = Records::Ending(delimiter);
        self
    }

    /// Takes each write for a record, whatever is in it. A write of more than `max_append_size`
    /// bytes is refused then.
    pub fn record_per_write(mut self) -> Self {
        self.records = Records::Writes;
        self
    }

    /// Rolls anywhere, without regard to records: for formats that have none, such as compressed
    /// streams. When another writer uses the same template without [`shared`], a write can end up
    /// partly in one object and partly in the next; with it, writes stay whole.
    ///
    /// [`shared`]: OssAppendWriterBuilder::shared
    pub fn unaligned(mut self) -> Self {
        self.records = Records::Bytes;
        self
    }

    /// Seals each object when it is finished by a roll, so that nobody can append to it any more.
    /// Default: off.
    ///
    /// The last object is not sealed at shutdown, since the next run may continue it, unless
    /// [`seal_on_shutdown`](Self::seal_on_shutdown) is set.
    pub fn seal_finished(mut self, seal: bool) -> Self {
        self.seal = seal;
        self
    }

    /// Seals the last object at `shutdown`, so that nobody can append to it any more. Default: off.
    pub fn seal_on_shutdown(mut self, seal: bool) -> Self {
        self.seal_last = seal;
        self
    }

    /// Goes on trying after a failure that a new object does not mend, for as long as it takes:
    /// OSS refuses the credentials, the bucket is gone, and so on. Default: off, such a failure is
    /// final. [`stats`](RollingWriter::stats) tell what is wrong meanwhile.
    ///
    /// The batch that failed stays where it belongs: it is settled in its object before anything
    /// comes after it.
    ///
    /// The writer still fails when a key that follows from the template is not valid, when none of
    /// 10,000 objects in a row can be appended to, and when a callback or the clock panics. So it does
    /// when an object has other bytes than the spool, after a loss of power that took what was not
    /// synced: the next start goes on in the next object.
    pub fn keep_trying(mut self, keep_trying: bool) -> Self {
        self.keep_trying = keep_trying;
        self
    }

    /// Calls `register` with each object that has been finished, when everything that was written
    /// to it is durable: to enter it in a catalogue, for example. It is called by the writer's
    /// worker, so it should not take long (send it through a channel). If it panics, the writer
    /// fails with [`WorkerLost`](crate::ErrorKind::WorkerLost), whose source has the panic's text.
    pub fn on_finished(
        mut self,
        register: impl Fn(FinishedObject) + Send + Sync + 'static,
    ) -> Self {
        self.on_finished = Some(OnFinished::new(register));
        self
    }

    /// Keeps what was accepted in a directory until it is durable. Default: in memory alone.
    ///
    /// What an earlier process has left there is sent first, to the object that it was meant for, as
    /// far as that does not have it; bytes of a period that has ended since go in the objects of that
    /// period. If the object has been sealed, deleted, replaced, or somebody else has appended to it,
    /// the rest goes in the next: all records but those that the object has, whole and where they
    /// were to be. Which object a record goes in is decided when it is sent, so that
    /// [`roll_size`](Self::roll_size) and the template may be others than before.
    ///
    /// Not for [shared](OssAppendWriterBuilder::shared) objects.
    #[cfg(feature = "spool")]
    #[cfg_attr(docsrs, doc(cfg(feature = "spool")))]
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// The spool of one key among others.
    #[cfg(feature = "keyed")]
    pub(crate) fn spool_of_key(mut self, spool: Spool) -> Result<Self> {
        match self.spool.replace(spool) {
            None => Ok(self),
            Some(_) => Err(Error::invalid_input(
                "the writers of keys have their spools from the KeyedWriterBuilder: give them no \
                 other",
            )),
        }
    }

    /// A log puts each record on disk before its call returns.
    #[cfg(feature = "tracing")]
    pub(crate) fn spool_at_once(mut self) -> Self {
        self.spool = self.spool.map(Spool::at_once);
        self
    }

    /// Where the time comes from that periods and keys go by. Default: the system's clock.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = WallClock::new(move || {
            // Beyond the year 9999 all times are the same.
            Timestamp::try_from(now()).unwrap_or(Timestamp::MAX)
        });
        self
    }

    /// Looks for the object to begin with, and starts the writer's worker on the current tokio
    /// runtime. No object is created before the first byte.
    ///
    /// The newest object of the present period is continued if that can be, else the next number is
    /// taken. It is found by listing (needs the permission `oss:ListObjects`), or without that
    /// permission by trying the numbers: that finds the end of an unbroken sequence.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a template or options that do not go
    /// together, or outside of a tokio runtime; what OSS said for a missing bucket or permission.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(self) -> Result<RollingWriter> {
        let mut prepared = self.prepare()?;
        let parts = &mut prepared.parts;
        let period = parts.clock.as_mut().map(PeriodClock::next);
        let passed = parts.stage.recover().await?;
        parts.recovered(passed);
        parts.stage.open(period).await?;
        Ok(RollingWriter::start(prepared))
    }

    /// Starts the writer without looking: the first byte opens the first object.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), as [`open`](Self::open).
    pub fn start(self) -> Result<RollingWriter> {
        self.prepare().map(RollingWriter::start)
    }

    /// Opens as [`open`](Self::open) does, within this time. Whatever it is told to keep trying for
    /// later, a refusal is an error now.
    #[cfg(feature = "tracing")]
    pub(crate) async fn open_within(self, within: Duration) -> Result<RollingWriter> {
        let mut prepared = self.prepare()?;
        let parts = &mut prepared.parts;
        let period = parts.clock.as_mut().map(PeriodClock::next);
        let opening = async {
            let passed = parts.stage.recover().await?;
            parts.stage.open_once(period).await?;
            Ok(passed)
        };
        let opened = tokio::time::timeout(within, opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let last = parts.counters.snapshot().last_error;
            Err(last.unwrap_or_else(|| {
                Error::transport(
                    TransportCause::Timeout,
                    format!("no answer within {within:?}"),
                )
            }))
        });
        let passed =
            opened.map_err(|error| error.with_operation("open").with_object(&parts.object))?;
        parts.recovered(passed);
        Ok(RollingWriter::start(prepared))
    }

    /// Checks the options, and sets up what a writer is started with.
    pub(crate) fn prepare(self) -> Result<Prepared<S>> {
        let sequence = self.writer.object().clone();
        self.check()
            .map_err(|error| error.with_operation("open").with_object(&sequence))
    }

    fn check(self) -> Result<Prepared<S>> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| {
            Error::invalid_input("a writer needs a tokio runtime").with_source(error)
        })?;
        let writer = self.writer.apart().whole();
        let writer = writer.with_spool(self.spool.clone());
        let mut options = writer.options()?;
        options.seal = self.seal_last;
        let compression = writer.compression_used();
        let sequence = writer.object().clone();
        let mut appender = writer.appender();
        let appender_options = Arc::make_mut(&mut appender.options);
        appender_options.rules.settles_in_place = true;
        appender_options.ending = options.ending.clone();
        appender_options.keeps_trying = self.keep_trying;
        appender.options.check()?;
        let periods = match self.every {
            Some(every) => Some(Periods::new(every, self.utc_offset)?),
            None => None,
        };
        let shared = appender.options.rules.shared;
        let limit = appender.options.rules.object_limit();
        let roll_size = self.roll_size.unwrap_or(limit - limit / 64);
        if roll_size == 0 || roll_size > limit {
            return Err(Error::invalid_input(format!(
                "roll_size {roll_size} must be from 1 to max_object_size {limit}"
            )));
        }
        options.max_group = roll_size / 64;
        let max_append_size = options.schedule.max_append_size;
        // What cannot be compressed gets a little longer.
        let most = compression.map_or(limit, |_| incompressible(limit));
        if max_append_size > most {
            return Err(Error::invalid_input(format!(
                "max_append_size {max_append_size} must be at most {most} with a max_object_size \
                 of {limit}, or an append would fit in no object"
            )));
        }
        let template = KeyTemplate::new(&self.template)?;
        template.check(periods.as_ref(), self.roll_size.is_some(), self.utc_offset)?;
        let by_size = template.is_numbered() || template.is_unique();
        let counters = Arc::new(Counters::new(&sequence, &appender.options.events));
        let standing = Arc::new(Standing::default());
        let plan = Plan {
            store: self.store,
            bucket: self.bucket,
            template,
            utc_offset: self.utc_offset,
            // Where there is no other key, the object's limit is the end.
            roll_size: if by_size { roll_size } else { u64::MAX },
            seal: self.seal,
            keep_trying: self.keep_trying.then_some(appender.options.rules.backoff),
            on_finished: self.on_finished,
            clock: self.clock.clone(),
            compressed: compression.is_some(),
            begins_object: false,
            appender,
        };
        let mut stage = Roller::new(plan, Arc::clone(&counters), Arc::clone(&standing));
        let mut clock = periods.map(|periods| PeriodClock::new(periods, self.clock));
        let spool = match self.spool {
            Some(spool) => {
                let open = spool.open_now(&SpoolOwner::sequence(
                    &sequence,
                    compression.map(Compression::format),
                ))?;
                open.tell(&sequence, &counters);
                stage.keep_intents(&open, compression);
                if let Some(clock) = &mut clock {
                    open.resume(clock);
                }
                Some(Box::new(SpoolStart { open, passed: None }))
            }
            None => None,
        };
        // With the most bytes that always fit in an object.
        let compression = compression.map(|compression| (compression, incompressible(roll_size)));
        let records = match self.records {
            Records::Bytes if shared => Records::Writes,
            records => records,
        };
        Ok(Prepared {
            runtime,
            can_roll: by_size,
            standing,
            parts: Parts {
                object: sequence,
                options,
                counters,
                records,
                stage,
                compression,
                clock,
                spool,
            },
        })
    }
}

/// What a writer is started with.
pub(crate) struct Prepared<S> {
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) can_roll: bool,
    pub(crate) standing: Arc<Standing>,
    pub(crate) parts: Parts<Roller<S>>,
}
