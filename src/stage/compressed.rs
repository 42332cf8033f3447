//! The stage that compresses: each batch becomes one gzip member or one zstd frame.

use std::future::Future;

use jiff::Timestamp;

use super::compression::Compression;
use super::destination::{Destination, RollReason, Room};
use super::place::{Member, Place};
use crate::error::{Error, Landed, Result};
use crate::values::batch::Batch;
use crate::values::proven::Proven;

/// Compresses each batch on its way to `inner`. Towards the worker all counts are those of raw
/// bytes, but for the checkpoint.
pub(crate) struct Compressed<D> {
    inner: D,
    compression: Compression,
    /// Several records go in one append up to this.
    most: u64,
    /// The batch that is being appended, as it was given.
    raw: Option<Batch>,
}

impl<D> Compressed<D> {
    pub(crate) fn new(inner: D, compression: Compression, most: u64) -> Self {
        Self {
            inner,
            compression,
            most,
            raw: None,
        }
    }
}

impl<D: Destination> Destination for Compressed<D> {
    fn open(&mut self, period: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send {
        self.inner.open(period)
    }

    /// Nobody knows how long a batch is before it has been compressed: where it goes is found out
    /// then.
    fn room(&self) -> Option<Room> {
        self.inner.room().map(|room| Room {
            bytes: if room.bytes == 0 { 0 } else { u64::MAX },
            most: self.most,
            empty: room.empty,
        })
    }

    async fn append(
        &mut self,
        batch: Batch,
        continues: bool,
        places: &mut Vec<Place>,
    ) -> Result<()> {
        let len = batch.len();
        self.raw = Some(batch.clone());
        let stored = self.compression.compress(batch).await?;
        let whole = stored.len();
        let mut parts = Vec::new();
        let appended = self.inner.append(stored, continues, &mut parts).await;
        let left = match appended {
            Ok(()) => 0,
            Err(_) => self.inner.unsent().map_or(0, |left| left.len()),
        };
        if left == 0 {
            self.raw = None;
            places.extend(self.member(&parts, len));
        }
        appended.map_err(|error| match left {
            // A part of a member is worth nothing, and yet it is there.
            left if left > 0 && left < whole => error.with_landed(Landed::InDoubt),
            _ => error,
        })
    }

    fn verify(&mut self) -> impl Future<Output = Result<()>> + Send {
        self.inner.verify()
    }

    fn roll(&mut self, reason: RollReason) -> impl Future<Output = Result<()>> + Send {
        self.inner.roll(reason)
    }

    fn complete(&mut self) -> impl Future<Output = Result<()>> + Send {
        self.inner.complete()
    }

    fn finish(&mut self, seal: bool) -> impl Future<Output = Result<()>> + Send {
        self.inner.finish(seal)
    }

    fn failure(&mut self) -> Option<Error> {
        self.inner.failure()
    }

    fn proven(&self) -> Proven {
        self.inner.proven()
    }

    fn unsent(&self) -> Option<Batch> {
        self.raw.clone()
    }
}

impl<D: Destination> Compressed<D> {
    /// Where the member with the `len` bytes is, whose parts are at `places`.
    fn member(&self, places: &[Place], len: u64) -> Option<Place> {
        let (first, last) = (places.first()?, places.last()?);
        let end = last.position + last.len;
        let Proven { position, crc } = self.inner.proven();
        Some(Place {
            object: first.object.clone(),
            position: first.position,
            len,
            before: None,
            member: Some(Member {
                len: end - first.position,
                crc64: crc.filter(|_| position == end),
            }),
        })
    }
}
