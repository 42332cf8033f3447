//! Where the worker's batches go: one object, or a sequence of them.

use std::future::{Future, ready};

use jiff::Timestamp;

use super::place::Place;
use crate::drive::{AppendReceipt, ObjectAppender};
use crate::error::{Error, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::proven::Proven;

/// Takes batches, one at a time, and makes each durable exactly once.
pub(crate) trait Destination: Send + 'static {
    /// Makes sure that an object is there to be appended to. `period` is that of the next byte,
    /// where there are periods.
    fn open(&mut self, period: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send {
        let _ = period;
        ready(Ok(()))
    }

    /// What the present object may still take; `None` if none is open.
    fn room(&self) -> Option<Room> {
        Some(Room::UNLIMITED)
    }

    /// Appends `batch` and returns when that is settled. `places` gets where its bytes are, also
    /// those that have landed before a failure. `continues`: it goes on with a record whose
    /// beginning has been appended.
    fn append(
        &mut self,
        batch: Batch,
        continues: bool,
        places: &mut Vec<Place>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Proves what was only compared yet.
    fn verify(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Finishes the present object, if one is open: what comes next goes in another.
    fn roll(&mut self, reason: RollReason) -> impl Future<Output = Result<()>> + Send {
        let _ = reason;
        ready(Ok(()))
    }

    /// Nothing more comes: proves all that is only compared yet.
    fn complete(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Ends with the present object.
    fn finish(&mut self, seal: bool) -> impl Future<Output = Result<()>> + Send;

    /// What makes the writer fail although all requests succeed: a callback has panicked.
    fn failure(&mut self) -> Option<Error> {
        None
    }

    /// Proves as much as can be of what was only compared, although the destination has failed.
    fn prove_compared(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Whether this replays what a predecessor has written, of which a request may still land.
    fn is_replaying(&self) -> bool {
        false
    }

    /// How many bytes have been compared and not yet proven.
    fn lag(&self) -> u64 {
        0
    }

    /// The end of what is proven in the present object.
    fn proven(&self) -> Proven;

    /// What is not proven of the last batch.
    fn unsent(&self) -> Option<Batch>;
}

/// What an object may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    /// The most bytes of several records in one append.
    pub(crate) most: u64,
    /// Whether the object is empty: a record that does not even fit in there goes in nevertheless.
    pub(crate) empty: bool,
}

impl Room {
    const UNLIMITED: Self = Self {
        bytes: u64::MAX,
        most: u64::MAX,
        empty: true,
    };
}

/// Why an object was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollReason {
    /// It has its size.
    Size,
    /// Its period has ended.
    Period,
    /// [`roll`](crate::RollingWriter::roll) was called.
    Asked,
    /// It took no more appends: somebody else sealed it, appended to it, removed or replaced it,
    /// or it is as long as OSS allows.
    Closed,
    /// The writer was shut down, or dropped.
    Shutdown,
}

/// What is known of the place of a batch before it is appended.
pub(crate) struct Appending {
    len: u64,
    position: u64,
    crc64: Option<u64>,
}

impl Appending {
    /// `batch` is about to be appended by `appender`, which has settled everything before.
    pub(crate) fn new<S: AppendStore>(appender: &ObjectAppender<S>, batch: &Batch) -> Self {
        Self {
            len: batch.len(),
            position: appender.position(),
            crc64: appender.crc64(),
        }
    }

    /// The length of the batch.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where the batch is; after a failure, where that of it is which has landed.
    pub(crate) fn place<S: AppendStore>(
        self,
        appender: &ObjectAppender<S>,
        appended: &Result<AppendReceipt>,
    ) -> Option<Place> {
        let len = self.len - appender.unsettled().map_or(0, Batch::len);
        let position = match appended {
            Ok(receipt) => receipt.range.start,
            Err(_) => appender.position() - len,
        };
        (len > 0).then(|| Place {
            object: appender.object().clone(),
            position,
            len,
            before: self.crc64.filter(|_| position == self.position),
            member: None,
        })
    }
}

impl<S: AppendStore> Destination for ObjectAppender<S> {
    async fn append(&mut self, batch: Batch, _: bool, places: &mut Vec<Place>) -> Result<()> {
        // An appender that has failed before does not take the batch.
        self.settle().await?;
        let appending = Appending::new(self, &batch);
        let appended = Self::append(self, batch).await;
        places.extend(appending.place(self, &appended));
        appended.map(drop)
    }

    async fn verify(&mut self) -> Result<()> {
        Self::verify(self).await.map(drop)
    }

    async fn complete(&mut self) -> Result<()> {
        self.end_replay().await
    }

    async fn finish(&mut self, seal: bool) -> Result<()> {
        if seal {
            self.seal().await?;
        }
        Ok(())
    }

    async fn prove_compared(&mut self) {
        Self::prove_compared(self).await;
    }

    fn is_replaying(&self) -> bool {
        Self::is_replaying(self)
    }

    fn lag(&self) -> u64 {
        Self::lag(self)
    }

    fn proven(&self) -> Proven {
        Self::proven(self)
    }

    fn unsent(&self) -> Option<Batch> {
        self.unsettled().cloned()
    }
}
