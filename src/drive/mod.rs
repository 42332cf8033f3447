//! `ObjectAppender`: one object, unbuffered. It retries, and after every failure finds out what
//! really happened.

pub(crate) mod attempt;
pub(crate) mod gate;
mod open;
pub(crate) mod options;
mod run;
pub(crate) mod stats;
pub(crate) mod wait;

use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

pub use self::open::ObjectAppenderBuilder;
use self::options::AppenderOptions;
use self::stats::{AppendStats, Counters};
use crate::engine::flush::Time;
use crate::engine::machine::{Engine, Goal};
use crate::engine::replay::Ended;
use crate::error::{Error, Result};
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
    options: Arc<AppenderOptions>,
    counters: Arc<Counters>,
    engine: Engine,
    /// The time from which the engine counts.
    origin: Instant,
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
            return Ok(self.receipt(self.position(), 0));
        }
        self.engine.offer(batch, self.now());
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
        if let Some(error) = self.engine.failed() {
            return Err(error.clone());
        }
        if self.engine.pending().is_none() {
            return Ok(None);
        }
        self.settle_pending().await.map(Some)
    }

    async fn settle_pending(&mut self) -> Result<AppendReceipt> {
        let settled = self.run(Goal::Settle).await?;
        let (start, len) = settled.batch.unwrap_or((self.position(), 0));
        Ok(self.receipt(start, len))
    }

    /// Proves everything given so far, by reading back what the replay has only compared by
    /// checksum and not yet to its end. Outside of a replay there is nothing to prove.
    ///
    /// # Errors
    /// [`ReplayDiffers`](crate::ErrorKind::ReplayDiffers) if the object holds something else; else
    /// as [`append`](Self::append).
    ///
    /// # Cancel safety
    /// Safe: what was proven stays proven, the rest is read again by the next call.
    pub async fn verify(&mut self) -> Result<()> {
        self.settle().await?;
        self.run(Goal::Verify).await.map(drop)
    }

    /// Reads back what was only compared, once and although the appender has failed, so that as
    /// much as possible of it is known to be durable.
    pub(crate) async fn prove_compared(&mut self) {
        if self.lag() > 0 {
            let _ = self.run(Goal::Prove).await;
        }
    }

    /// Ends a replay: the object must end where the written bytes do, and be what is known of it.
    /// Outside of a replay there is nothing to do.
    ///
    /// # Errors
    /// [`ReplayTooShort`](crate::ErrorKind::ReplayTooShort) if the object goes on; a
    /// [`Conflict`](crate::ErrorKind::Conflict) if it is gone, or was replaced; else as
    /// [`verify`](Self::verify).
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn end_replay(&mut self) -> Result<()> {
        self.settle().await?;
        let Some(length) = self.engine.replayed() else {
            return Ok(());
        };
        // An append of the predecessor may have landed since the object was opened.
        let seen = match self.run(Goal::Look(length)).await {
            Ok(looked) => looked.seen,
            Err(error) => return Err(self.fail(error)),
        };
        match self.engine.end_replay(seen) {
            Ended::Well(more) => {
                self.counters.durable(more);
                Ok(())
            }
            Ended::Verify => self.verify().await,
            Ended::Badly(error) => Err(self.fail(error)),
        }
    }

    /// Seals the object at its present length. Sealing it again succeeds; an object that was never
    /// created is left alone.
    ///
    /// Needs the permission `oss:SealAppendObject`, and the account must be allowed to seal
    /// (<https://www.alibabacloud.com/help/en/oss/developer-reference/sealappendobject>).
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if the object is not as long as it should be;
    /// [`Service`](crate::ErrorKind::Service) with the code `OperationNotSupported` if sealing is
    /// not enabled. The appended bytes stay durable either way.
    ///
    /// # Cancel safety
    /// Safe: the object may have been sealed, and the next call finds that out.
    pub async fn seal(&mut self) -> Result<()> {
        self.end_replay().await?;
        match self.engine.exists() {
            true => self.run(Goal::Seal).await.map(drop),
            false => Ok(()),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        let error = self.engine.failure(error, None);
        self.counters.error(&error);
        error
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// The batch that a dropped or failed `append` left behind, as far as it is not proven to be
    /// in the object.
    pub fn unsettled(&self) -> Option<&Batch> {
        self.engine.pending()
    }

    /// Gives back what was given and is not proven to be in the object, and its position. In a
    /// replay, bytes from [`durable_position`](Self::durable_position) up to there have been
    /// compared with the object and not been proven; the source has to supply them again.
    pub fn into_unsent(self) -> Option<(u64, Batch)> {
        let batch = self.engine.pending()?.clone();
        Some((self.position(), batch))
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        self.engine.object()
    }

    /// The position of the next append: the object's length as far as we know it.
    pub fn position(&self) -> u64 {
        self.engine.given().position
    }

    /// Up to here the object is proven to hold what was given. Behind
    /// [`position`](Self::position) only in a replay.
    pub fn durable_position(&self) -> u64 {
        self.engine.durable_position()
    }

    /// The CRC-64 of the object up to [`position`](Self::position), where known.
    pub fn crc64(&self) -> Option<u64> {
        self.engine.given().crc
    }

    /// The end of what is proven: [`durable_position`](Self::durable_position), with the CRC-64 of
    /// the object up to there, where known. A later process can [replay] from here.
    ///
    /// [replay]: ObjectAppenderBuilder::replay
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(self.object().clone(), self.proven())
    }

    pub(crate) fn proven(&self) -> Proven {
        match self.durable_position() {
            durable if durable == self.position() => self.engine.given(),
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
            crc64: self.crc64().filter(|_| self.position() == end),
            durable: self.durable_position() >= end,
        }
    }

    /// Whether this replays what a predecessor has written, of which a request may still land.
    pub(crate) fn is_replaying(&self) -> bool {
        self.engine.is_replaying()
    }

    /// Goes on after [`resume`](Self::resume) with the append that had failed, of `len` bytes.
    pub(crate) async fn complete(&mut self, len: u64) -> Result<AppendReceipt> {
        let settled = self.settle().await?;
        Ok(settled.unwrap_or_else(|| self.receipt(self.position() - len, len)))
    }

    /// How many bytes have been compared and not been proven.
    pub(crate) fn lag(&self) -> u64 {
        self.engine.lag()
    }

    /// Takes a failure back: the next call goes on with the pending batch, which settles its fate.
    pub(crate) fn resume(&mut self) {
        self.engine.resume();
    }
}
