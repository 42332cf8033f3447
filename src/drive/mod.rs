//! `ObjectAppender`: one object, unbuffered. It retries, and after every failure finds out what
//! really happened.

mod attempt;
pub(crate) mod gate;
mod open;
pub(crate) mod options;
pub(crate) mod replay;
pub(crate) mod retry;
mod seal;
pub(crate) mod stats;

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use self::attempt::Pending;
pub use self::open::ObjectAppenderBuilder;
use self::options::AppenderOptions;
use self::replay::Replay;
use self::stats::{AppendStats, Counters};
use crate::error::{Error, Landed, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::proven::Proven;

/// Appends to one object, each call at once and without a buffer, so that every byte is in it
/// exactly once and in order.
///
/// This is the engine below [`OssAppendWriter`](crate::OssAppendWriter), for callers that make
/// their own batches. An append returns when OSS has acknowledged it with the expected position
/// and CRC-64, or when a look at the object has proven it. Failures are retried within
/// [`delivery_timeout`](ObjectAppenderBuilder::delivery_timeout).
///
/// After an error that is not [`InvalidInput`](crate::ErrorKind::InvalidInput) the appender stays
/// failed: every call returns that error, and [`into_unsent`](Self::into_unsent) gives the batch
/// back that is not durable.
///
/// # Cancel safety
/// Dropping the future of [`append`](Self::append) neither loses nor doubles the batch: the
/// appender keeps it and settles its fate in the next call of any method, or in
/// [`settle`](Self::settle).
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), oss_append::Error> {
/// use oss_append::ObjectAppender;
///
/// let object = "oss://logs/app.log".parse()?;
/// let mut appender = ObjectAppender::builder(client, object).open().await?;
/// let receipt = appender.append("one line\n").await?;
/// assert_eq!(receipt.range.end, appender.position());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ObjectAppender<S> {
    store: S,
    object: ObjectPath,
    options: Arc<AppenderOptions>,
    counters: Arc<Counters>,
    /// The end of what was given to us: proven, or in a replay perhaps only compared.
    given: Proven,
    /// Whether the object is known to exist.
    exists: bool,
    /// The mark of what we create.
    mark: Option<u128>,
    /// The mark that was seen on the object.
    creator: Option<String>,
    /// The mark of an object that we have created and not looked at yet, if that is asked for.
    unchecked_mark: bool,
    /// In a box, since few have one.
    replay: Option<Box<Replay>>,
    /// In a box, since an idle appender has none.
    pending: Option<Box<Pending>>,
    /// The object has been replaced while the pending batch was in doubt.
    lost: Option<Error>,
    failed: Option<Error>,
    /// OSS asked us to send nothing before this time.
    not_before: Option<Instant>,
}

/// Where the bytes of one [`append`](ObjectAppender::append) are in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendReceipt {
    /// The bytes' range in the object.
    pub range: Range<u64>,
    /// The CRC-64 of the object up to the end of the range, where known.
    pub crc64: Option<u64>,
    /// Whether the bytes are proven to be in the object. False only in a replay, for bytes whose
    /// comparison by checksum is not complete before the object's old end is reached;
    /// [`verify`](ObjectAppender::verify) completes it at once.
    pub durable: bool,
}

impl<S: AppendStore> ObjectAppender<S> {
    /// Prepares to open `object` in `store`.
    pub fn builder(store: S, object: ObjectPath) -> ObjectAppenderBuilder<S> {
        ObjectAppenderBuilder::new(store, object)
    }

    /// Appends `batch` in one request and returns when it is in the object. An empty batch makes
    /// no request.
    ///
    /// # Errors
    /// Every kind of [`Error`] but those of the writer; [`Error::landed`] says whether the batch
    /// is in the object.
    ///
    /// # Cancel safety
    /// Safe: see the type. [`unsettled`](Self::unsettled) shows the batch that was kept.
    pub async fn append(&mut self, batch: impl Into<Batch>) -> Result<AppendReceipt> {
        self.settle().await?;
        let batch = batch.into();
        if batch.is_empty() {
            return Ok(self.receipt(self.given.position, 0));
        }
        self.pending = Some(Box::new(Pending::new(batch, self.given.position)));
        self.settle_pending().await
    }

    /// Finds out the fate of the batch that a dropped `append` left behind, and completes it.
    /// `None` if there is none.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn settle(&mut self) -> Result<Option<AppendReceipt>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.pending.is_none() {
            return Ok(None);
        }
        self.settle_pending().await.map(Some)
    }

    /// The batch that a dropped or failed `append` left behind, as far as it is not proven to be
    /// in the object.
    pub fn unsettled(&self) -> Option<&Batch> {
        self.pending.as_deref().map(Pending::batch)
    }

    /// Gives back what was given and is not proven to be in the object, and its position. In a
    /// replay, bytes from [`durable_position`](Self::durable_position) up to there have been
    /// compared with the object and not been proven; the source has to supply them again.
    pub fn into_unsent(self) -> Option<(u64, Batch)> {
        let position = self.given.position;
        self.pending
            .map(|pending| (position, pending.batch().clone()))
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        &self.object
    }

    /// The position of the next append: the object's length as far as we know it.
    pub fn position(&self) -> u64 {
        self.given.position
    }

    /// Up to here the object is proven to hold what was given. Behind
    /// [`position`](Self::position) only in a replay.
    pub fn durable_position(&self) -> u64 {
        self.replay
            .as_ref()
            .map_or(self.given.position, |replay| replay.verified())
    }

    /// The CRC-64 of the object up to [`position`](Self::position), where known.
    pub fn crc64(&self) -> Option<u64> {
        self.given.crc
    }

    /// The end of what is proven: [`durable_position`](Self::durable_position), with the CRC-64 of
    /// the object up to there, where known. A later process can [replay] from here.
    ///
    /// [replay]: ObjectAppenderBuilder::replay
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(self.object.clone(), self.proven())
    }

    pub(crate) fn proven(&self) -> Proven {
        match self.durable_position() {
            durable if durable == self.given.position => self.given,
            durable => Proven::unknown(durable),
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> AppendStats {
        self.counters.snapshot()
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    fn receipt(&self, start: u64, len: u64) -> AppendReceipt {
        let end = start + len;
        AppendReceipt {
            range: start..end,
            // Behind our bytes in a shared object may be those of others.
            crc64: self.given.crc.filter(|_| self.given.position == end),
            durable: self.durable_position() >= end,
        }
    }

    /// Whether this replays what a predecessor has written, of which a request may still land.
    pub(crate) fn is_replaying(&self) -> bool {
        self.replay.is_some()
    }

    /// Goes on after [`resume`](Self::resume) with the append that had failed, of `len` bytes.
    pub(crate) async fn complete(&mut self, len: u64) -> Result<AppendReceipt> {
        let settled = self.settle().await?;
        Ok(settled.unwrap_or_else(|| self.receipt(self.given.position - len, len)))
    }

    /// Takes a failure back: the next call goes on with the pending batch, which settles its fate.
    pub(crate) fn resume(&mut self) {
        self.failed = None;
        if let Some(pending) = &mut self.pending {
            pending.resume();
        }
    }

    /// Fails for good. `landed` is that of the pending batch, if it is known better than by what
    /// was sent for it.
    fn fail(&mut self, error: Error, landed: Option<Landed>) -> Error {
        let mut error = error
            .with_operation("append")
            .with_object(&self.object)
            .with_position(self.given.position);
        if let Some(pending) = &self.pending {
            let by_requests = match self.replay.is_some() || pending.is_in_doubt() {
                true => Landed::InDoubt,
                false => Landed::No,
            };
            let landed = landed.unwrap_or(by_requests);
            error = error.with_landed(landed);
            if landed == Landed::Yes {
                let durable = self.durable_position();
                self.given = self.given.after(pending.batch());
                self.counters.durable(self.durable_position() - durable);
                self.pending = None;
            }
        } else if let Some(landed) = landed {
            error = error.with_landed(landed);
        }
        self.counters.error(&error);
        self.failed = Some(error.clone());
        error
    }
}
