//! Replay: what is written again is compared with what the object holds, and skipped.

use std::collections::VecDeque;

use futures::StreamExt;

use super::ObjectAppender;
use super::attempt::shrunk;
use super::retry::Budget;
use crate::core::batch::Batch;
use crate::core::crc64::Crc64;
use crate::core::position::Proven;
use crate::error::{Error, ErrorKind, Landed, Result};
use crate::progress::Progress;
use crate::store::AppendStore;

/// A replay, until the first append of our own is proven. Until then an append of a crashed
/// predecessor may still land.
#[derive(Debug)]
pub(crate) struct Replay {
    start: u64,
    /// The object's end, as last seen: up to here is compared.
    until: Proven,
    /// Up to here the object is proven to hold what was given.
    verified: u64,
    /// What was given beyond `verified`: length and CRC-64 of each batch.
    unverified: VecDeque<(u64, u64)>,
}

impl Replay {
    pub(crate) fn new(start: u64, until: Proven) -> Self {
        Self {
            start,
            until,
            verified: start,
            unverified: VecDeque::new(),
        }
    }

    pub(crate) fn verified(&self) -> u64 {
        self.verified
    }

    /// The object has grown: compare up to its new end.
    pub(crate) fn extend(&mut self, until: Proven) {
        self.until = until;
    }

    fn differs(&self) -> Error {
        Error::new(ErrorKind::ReplayDiffers {
            start: self.start,
            end: self.until.position,
        })
    }
}

/// How a comparison by checksum went.
pub(crate) enum Compared {
    /// Nothing to compare: the object ends here.
    AtEnd,
    /// These first bytes of the batch are in the object already, if its content is ours.
    Skip(u64),
}

impl<S: AppendStore> ObjectAppender<S> {
    /// Compares the beginning of `batch` with the object, as far as that reaches.
    pub(crate) fn compare(&mut self, batch: &Batch) -> Result<Compared> {
        let Some(replay) = &mut self.replay else {
            return Ok(Compared::AtEnd);
        };
        let left = replay.until.position - self.given.position;
        if left == 0 {
            return Ok(Compared::AtEnd);
        }
        let take = left.min(batch.len());
        let next = self.given.after_prefix(batch, take);
        if take == left {
            match next.has_crc(replay.until.crc) {
                Some(false) => return Err(replay.differs()),
                Some(true) => {
                    self.counters.durable(next.position - replay.verified);
                    replay.verified = next.position;
                    replay.unverified.clear();
                    self.given = next;
                    return Ok(Compared::Skip(take));
                }
                None => {}
            }
        }
        let crc = if take == batch.len() {
            batch.crc64()
        } else {
            batch.prefix_crc(take)
        };
        replay.unverified.push_back((take, crc));
        self.given = next;
        Ok(Compared::Skip(take))
    }

    /// Whether what was compared can only be proven by reading it back.
    pub(crate) fn must_read_back(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| {
            !replay.unverified.is_empty()
                && (self.given.crc.is_none() || replay.until.crc.is_none())
        })
    }

    /// Proves everything given so far, by reading back what the replay has only compared by
    /// checksum and not yet to its end. Outside of a replay there is nothing to prove.
    ///
    /// # Errors
    /// [`ReplayDiffers`](ErrorKind::ReplayDiffers) if the object holds something else; else as
    /// [`append`](Self::append).
    ///
    /// # Cancel safety
    /// Safe: what was proven stays proven, the rest is read again by the next call.
    pub async fn verify(&mut self) -> Result<()> {
        self.settle().await?;
        self.read_back_compared().await
    }

    pub(super) async fn read_back_compared(&mut self) -> Result<()> {
        let mut budget = Budget::new();
        while self
            .replay
            .as_ref()
            .is_some_and(|r| !r.unverified.is_empty())
        {
            if let Err(error) = self.read_and_compare(&mut budget).await {
                if matches!(error.kind(), ErrorKind::ReplayDiffers { .. }) {
                    return Err(self.fail(error, Some(Landed::No)));
                }
                if let Err(error) = budget.pause(&self.options, &self.counters, error).await {
                    return Err(self.fail(error, None));
                }
            }
        }
        if let Some(replay) = &self.replay
            && replay.until.position == self.given.position
        {
            self.given.crc = self.given.crc.or(replay.until.crc);
        }
        Ok(())
    }

    async fn read_and_compare(&mut self, budget: &mut Budget) -> Result<()> {
        let Some(replay) = &mut self.replay else {
            return Ok(());
        };
        let progress = Progress::new();
        let range = replay.verified..self.given.position;
        let request = self.store.read_range(&self.object, range);
        let mut body = budget
            .attempt(&self.options, &self.counters, &progress, request)
            .await?;
        let mut crc = Crc64::new();
        let mut read = 0;
        while let Some(&(len, expected)) = replay.unverified.front() {
            let next = async { body.next().await.unwrap_or_else(|| Err(shrunk())) };
            let mut chunk = budget
                .attempt(&self.options, &self.counters, &progress, next)
                .await?;
            progress.advance(chunk.len() as u64);
            let mut span = (len, expected);
            while span.0 - read <= chunk.len() as u64 {
                crc.update(&chunk.split_to((span.0 - read) as usize));
                if crc.finish() != span.1 {
                    return Err(replay.differs());
                }
                self.counters.durable(span.0);
                replay.verified += span.0;
                replay.unverified.pop_front();
                budget.restart();
                (crc, read) = (Crc64::new(), 0);
                match replay.unverified.front() {
                    Some(&front) => span = front,
                    None => return Ok(()),
                }
            }
            read += chunk.len() as u64;
            crc.update(&chunk);
        }
        Ok(())
    }

    /// Ends a replay: the object must end where the written bytes do. Outside of a replay there is
    /// nothing to do.
    ///
    /// # Errors
    /// [`ReplayTooShort`](ErrorKind::ReplayTooShort) if the object goes on; else as
    /// [`verify`](Self::verify).
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn end_replay(&mut self) -> Result<()> {
        self.settle().await?;
        let Some(replay) = &self.replay else {
            return Ok(());
        };
        // An append of a crashed predecessor may have landed since the object was opened.
        let known = replay.until.position;
        let seen = match self.head(&mut Budget::new()).await {
            Ok(seen) => seen.map_or(0, |seen| seen.length),
            Err(error) => return Err(self.fail(error, None)),
        };
        let object = known.max(seen);
        if self.given.position < object {
            let given = self.given.position;
            let error = Error::new(ErrorKind::ReplayTooShort { given, object });
            return Err(self.fail(error, None));
        }
        self.verify().await
    }
}
