//! Replay: what is written again is compared with what the object holds, and skipped.
//!
//! What was only compared is not durable: the comparison by checksum is complete where the object
//! ended when it was looked at. It is proven there, or by reading it back, or it stays unproven and
//! the writer says so. Until the first append of our own is proven, a request of the predecessor
//! may still land.

use std::collections::VecDeque;

use futures::StreamExt;

use super::ObjectAppender;
use super::attempt::shrunk;
use super::retry::Budget;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::crc64::{self, Crc64};
use crate::values::progress::Progress;
use crate::values::proven::Proven;

/// A replay, until the first append of our own is proven. Until then an append of a crashed
/// predecessor may still land.
#[derive(Debug)]
pub(crate) struct Replay {
    start: u64,
    /// The object's end, as last seen: up to here is compared.
    until: Proven,
    /// Up to here the object is proven to hold what was given.
    verified: u64,
    /// What was given beyond `verified`.
    unverified: VecDeque<Part>,
}

/// Bytes that were compared and not proven.
#[derive(Clone, Copy, Debug)]
struct Part {
    len: u64,
    crc: u64,
}

impl Part {
    /// The first `len` bytes of `batch`.
    fn of(batch: &Batch, len: u64) -> Self {
        let crc = match len == batch.len() {
            true => batch.crc64(),
            false => batch.prefix_crc(len),
        };
        Self { len, crc }
    }

    fn followed_by(self, next: Self) -> Self {
        Self {
            len: self.len + next.len,
            crc: crc64::combine(self.crc, next.crc, next.len),
        }
    }
}

/// The most parts that are kept of what is only compared: more of them become half as many.
const MAX_PARTS: usize = 64;

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

    /// Keeps what is known of bytes that are only compared.
    fn push(&mut self, part: Part) {
        if self.unverified.len() == MAX_PARTS {
            let parts = Vec::from(std::mem::take(&mut self.unverified));
            let pairs = parts.chunks(2);
            let joined = pairs.filter_map(|pair| pair.iter().copied().reduce(Part::followed_by));
            self.unverified = joined.collect();
        }
        self.unverified.push_back(part);
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
        replay.push(Part::of(batch, take));
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
                    return Err(self.fail(error, None));
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
        while let Some(&front) = replay.unverified.front() {
            let next = async { body.next().await.unwrap_or_else(|| Err(shrunk())) };
            let mut chunk = budget
                .attempt(&self.options, &self.counters, &progress, next)
                .await?;
            progress.advance(chunk.len() as u64);
            let mut part = front;
            while part.len - read <= chunk.len() as u64 {
                crc.update(&chunk.split_to((part.len - read) as usize));
                if crc.finish() != part.crc {
                    return Err(replay.differs());
                }
                self.counters.durable(part.len);
                replay.verified += part.len;
                replay.unverified.pop_front();
                budget.restart();
                (crc, read) = (Crc64::new(), 0);
                match replay.unverified.front() {
                    Some(&front) => part = front,
                    None => return Ok(()),
                }
            }
            read += chunk.len() as u64;
            crc.update(&chunk);
        }
        Ok(())
    }

    /// Reads back what was only compared, once and although the appender has failed, so that as
    /// much as possible of it is known to be durable.
    pub(crate) async fn prove_compared(&mut self) {
        if self.lag() > 0 {
            let _ = self.read_and_compare(&mut Budget::new()).await;
        }
    }

    /// How many bytes have been compared and not been proven.
    pub(crate) fn lag(&self) -> u64 {
        self.given.position - self.durable_position()
    }

    /// Ends a replay: the object must end where the written bytes do, and be what is known of it.
    /// Outside of a replay there is nothing to do.
    ///
    /// # Errors
    /// [`ReplayTooShort`](ErrorKind::ReplayTooShort) if the object goes on; a
    /// [`Conflict`](ErrorKind::Conflict) if it is gone, or was replaced; else as
    /// [`verify`](Self::verify).
    ///
    /// # Cancel safety
    /// Safe to drop and to call again.
    pub async fn end_replay(&mut self) -> Result<()> {
        self.settle().await?;
        let Some(replay) = &self.replay else {
            return Ok(());
        };
        // An append of the predecessor may have landed since the object was opened.
        let known = replay.until.position;
        let seen = match self.head_of(known.max(self.given.position)).await {
            Ok(seen) => seen,
            Err(error) => return Err(self.fail(error, None)),
        };
        let given = self.given.position;
        let found = seen.as_ref().map(|seen| seen.length);
        let object = known.max(found.unwrap_or(0));
        if given < object {
            let error = Error::new(ErrorKind::ReplayTooShort { given, object });
            return Err(self.fail(error, None));
        }
        let conflict = match seen {
            None if given == 0 => return Ok(()),
            None => Conflict::new(ConflictCause::Gone, given, None),
            Some(seen) if seen.length == given => match self.given.has_crc(seen.crc64) {
                Some(true) => {
                    self.compared_to_its_end();
                    return Ok(());
                }
                Some(false) => Conflict::new(ConflictCause::Replaced, given, found),
                None => return self.verify().await,
            },
            Some(_) => Conflict::new(ConflictCause::Replaced, given, found),
        };
        Err(self.fail(Error::new(ErrorKind::Conflict(conflict)), None))
    }

    /// What was given is the whole object, by its length and checksum.
    fn compared_to_its_end(&mut self) {
        let lag = self.lag();
        if let Some(replay) = &mut self.replay {
            replay.verified = self.given.position;
            replay.unverified.clear();
            self.counters.durable(lag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_compared_takes_little_memory_however_small_its_parts_are() {
        let mut replay = Replay::new(0, Proven::unknown(1 << 40));
        let mut whole = Proven::EMPTY;
        for number in 0..10_000_u64 {
            let part = Batch::from(vec![number as u8; 1 + number as usize % 7]);
            replay.push(Part::of(&part, part.len()));
            whole = whole.after(&part);
            assert!(replay.unverified.len() <= MAX_PARTS);
        }
        let kept = replay.unverified.iter().copied();
        let kept = kept.reduce(Part::followed_by).unwrap();
        assert_eq!((kept.len, Some(kept.crc)), (whole.position, whole.crc));
    }
}
