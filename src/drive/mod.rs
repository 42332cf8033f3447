//! `ObjectAppender`: one object, unbuffered. It retries, and after every failure finds out what
//! really happened.

pub(crate) mod again;
pub(crate) mod ask;
mod attempt;
mod beginning;
pub(crate) mod driver;
pub(crate) mod events;
pub(crate) mod gate;
pub(crate) mod intent;
mod open;
pub(crate) mod options;
pub(crate) mod rate;
mod run;
pub(crate) mod stats;
pub(crate) mod thread;
pub(crate) mod wait;
pub(crate) mod window;

use std::ops::Range;

use self::driver::Driver;
pub use self::open::ObjectAppenderBuilder;
use self::stats::AppendStats;
use crate::engine::action::Finished;
use crate::engine::window::Window;
use crate::error::Result;
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::position::ObjectPosition;

/// Appends to one object, each call at once and without a buffer, so that every byte is in it
/// exactly once and in order.
///
/// This is the engine below [`OssAppendWriter`](crate::OssAppendWriter), for callers that make
/// their own batches. An append returns when OSS has acknowledged it with the expected position
/// and CRC-64, or when a look at the object has proven it. Failures are retried within
/// [`delivery_timeout`](ObjectAppenderBuilder::delivery_timeout).
///
/// After an error other than [`InvalidInput`](crate::ErrorKind::InvalidInput) the appender stays
/// failed: every call returns that error, and [`into_unsent`](Self::into_unsent) gives back the
/// batch that is not durable.
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
    driver: Driver<S>,
    window: Window,
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
    fn new(driver: Driver<S>) -> Self {
        Self {
            window: Window::new(driver.engine().proven(), driver.engine().is_replaying()),
            driver,
        }
    }

    /// Prepares to open `object` in `store`.
    pub fn builder(store: S, object: ObjectPath) -> ObjectAppenderBuilder<S> {
        ObjectAppenderBuilder::new(store, object)
    }

    /// Appends `batch` and returns when it is in the object: in one request, or in several on a link
    /// that is too slow for that. An empty batch makes no request.
    ///
    /// Every kind of [`Error`](crate::Error) except those of the writer.
    /// [`Error::landed`](crate::Error::landed) says whether the batch is in the object.
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a batch that is longer than the store
    /// takes at once ([`StoreLimits::max_append`](crate::StoreLimits)).
    ///
    /// # Cancel safety
    /// Safe: see the type. [`unsettled`](Self::unsettled) shows the batch that was kept.
    pub async fn append(&mut self, batch: impl Into<Batch>) -> Result<AppendReceipt> {
        self.settle().await?;
        let batch = batch.into();
        self.driver.check_append(&batch)?;
        if batch.is_empty() {
            return Ok(self.receipt(self.driver.position(), 0));
        }
        self.window.offer(batch, self.driver.now());
        self.settle_window().await
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
        let is_idle = self.window.first().is_none();
        let settled = self.settle_window().await?;
        Ok((!is_idle).then_some(settled))
    }

    async fn settle_window(&mut self) -> Result<AppendReceipt> {
        let settled = self.driver.settle(&mut self.window).await;
        let Finished { batch, .. } = self.told(settled)?;
        let (start, len) = batch.unwrap_or((self.driver.position(), 0));
        Ok(self.receipt(start, len))
    }

    /// Proves everything given so far, by reading back what the replay has only compared by
    /// checksum, and not yet to its end. Outside of a replay there is nothing to prove.
    ///
    /// [`ReplayDiffers`](crate::ErrorKind::ReplayDiffers) if the object holds something else;
    /// otherwise as [`append`](Self::append).
    ///
    /// # Cancel safety
    /// Safe: what was proven stays proven, the rest is read again by the next call.
    pub async fn verify(&mut self) -> Result<()> {
        let verified = self.driver.verify(&mut self.window).await;
        self.told(verified)
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
        let ended = self.driver.end_replay(&mut self.window).await;
        self.told(ended)
    }

    /// Seals the object at its current length. Sealing it again succeeds. An object that was never
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
        let sealed = self.driver.seal().await;
        self.told(sealed)
    }

    /// The batch that a dropped or failed `append` left behind, as far as it is not proven to be
    /// in the object.
    pub fn unsettled(&self) -> Option<Batch> {
        self.window.given()
    }

    /// Gives back what was given and is not proven to be in the object, and its position. In a
    /// replay, bytes from [`durable_position`](Self::durable_position) up to there have been
    /// compared with the object and not been proven; the source has to supply them again.
    pub fn into_unsent(self) -> Option<(u64, Batch)> {
        Some((self.position(), self.unsettled()?))
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        self.driver.object()
    }

    /// The position of the next append: the object's length as far as we know it.
    pub fn position(&self) -> u64 {
        self.driver.position().bytes()
    }

    /// Up to here the object is proven to hold what was given. Less than
    /// [`position`](Self::position) only in a replay.
    pub fn durable_position(&self) -> u64 {
        self.driver.engine().durable_position().bytes()
    }

    /// The CRC-64 of the object up to [`position`](Self::position), where known.
    pub fn crc64(&self) -> Option<u64> {
        self.driver.engine().given().crc
    }

    /// The end of what is proven: [`durable_position`](Self::durable_position), with the CRC-64 of
    /// the object up to there, where known. A later process can [replay] from here.
    ///
    /// [replay]: ObjectAppenderBuilder::replay
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::at(self.object().clone(), self.driver.engine().proven())
    }

    /// What was done so far.
    pub fn stats(&self) -> AppendStats {
        self.driver.counters().snapshot()
    }

    /// Reports the end of trouble that is over for another reason.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        self.driver.counters().told(self.object(), result)
    }

    fn receipt(&self, start: ObjectPosition, len: u64) -> AppendReceipt {
        let end = start + len;
        AppendReceipt {
            range: start.bytes()..end.bytes(),
            // Behind our bytes in a shared object may be those of others.
            crc64: self.crc64().filter(|_| self.driver.position() == end),
            durable: self.driver.engine().durable_position() >= end,
        }
    }
}
