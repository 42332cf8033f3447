//! Replay: what is written again is compared with what the object holds, and skipped.
//!
//! What was only compared is not durable: the comparison by checksum is complete only where the
//! object ended when it was looked at. It is proven there or by reading it back, or it stays
//! unproven and the writer says so. Until the first append of our own is proven, a request of the
//! predecessor may still land.

use std::collections::VecDeque;

use bytes::Bytes;

use super::action::{Action, Goal};
use super::job::{Step, Task, Then};
use super::machine::{Engine, Moment};
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::values::batch::Batch;
use crate::values::crc64::{self, Crc64};
use crate::values::info::ObjectInfo;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// A replay, until the first append of our own is proven. Until then an append of a crashed
/// predecessor may still land.
#[derive(Debug)]
pub(crate) struct Replay {
    start: ObjectPosition,
    /// The object's end, as last seen: up to here is compared.
    until: Proven,
    /// Up to here the object is proven to hold what was given.
    verified: ObjectPosition,
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
    pub(crate) fn new(start: ObjectPosition, until: Proven) -> Self {
        Self {
            start,
            until,
            verified: start,
            unverified: VecDeque::new(),
        }
    }

    pub(crate) fn verified(&self) -> ObjectPosition {
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
            start: self.start.bytes(),
            end: self.until.position.bytes(),
        })
    }
}

/// How a comparison by checksum went.
pub(crate) enum Overlap {
    /// Nothing to compare: the object ends here.
    AtEnd,
    /// These first bytes of the batch are in the object already, up to there, if its content is
    /// ours.
    Skip(u64, Proven),
}

/// How far the parts that were only compared have been read back.
#[derive(Debug, Default)]
pub(super) struct PartsRead {
    crc: Crc64,
    /// How many bytes of the first part.
    read: u64,
}

/// How an end of a replay is to be judged.
pub(crate) enum Ended {
    /// So many bytes more are proven by that.
    Well(u64),
    /// What was compared has to be read back.
    Verify,
    Badly(Error),
}

impl Engine {
    /// The length up to which the object must at least be for a replay to end.
    pub(crate) fn replayed(&self) -> Option<ObjectPosition> {
        let replay = self.replay.as_ref()?;
        Some(replay.until.position.max(self.given.position))
    }

    /// How many bytes the object has that are to be compared, if there are any.
    pub(crate) fn left_to_replay(&self) -> Option<u64> {
        let replay = self.replay.as_ref()?;
        let left = replay.until.position.max(self.given.position) - self.given.position;
        (left > 0).then_some(left)
    }

    /// Takes the rest of the object for what was to be compared, if that is its checksum.
    pub(crate) fn pass_replay(&mut self, crc: Option<u64>) -> bool {
        let Some(replay) = &mut self.replay else {
            return false;
        };
        let same = crc.is_some() && crc == replay.until.crc;
        if same {
            self.given = replay.until;
            replay.verified = replay.until.position;
            replay.unverified.clear();
        }
        same
    }
}

impl Moment<'_> {
    /// Compares the beginning of `batch` with the object, as far as that reaches.
    pub(super) fn compare(&mut self, batch: &Batch) -> Result<Overlap> {
        let Some(replay) = &mut self.engine.replay else {
            return Ok(Overlap::AtEnd);
        };
        let left = replay.until.position - self.engine.given.position;
        if left == 0 {
            return Ok(Overlap::AtEnd);
        }
        let take = left.min(batch.len());
        let next = self.engine.given.after_prefix(batch, take);
        let complete = match take == left {
            true => next.has_crc(replay.until.crc),
            false => None,
        };
        match complete {
            Some(false) => return Err(replay.differs()),
            Some(true) => {
                let more = next.position - replay.verified;
                replay.verified = next.position;
                replay.unverified.clear();
                self.told_mut(|told| told.durable += more);
            }
            None => replay.push(Part::of(batch, take)),
        }
        Ok(Overlap::Skip(take, next))
    }

    /// Whether what was compared can only be proven by reading it back.
    pub(super) fn must_read_back(&self) -> bool {
        self.engine.replay.as_ref().is_some_and(|replay| {
            !replay.unverified.is_empty()
                && (self.engine.given.crc.is_none() || replay.until.crc.is_none())
        })
    }

    /// Reads back what was only compared, until all of it is proven.
    pub(super) fn read_back(&mut self) -> Option<Action> {
        let unverified = self
            .engine
            .replay
            .as_ref()
            .filter(|r| !r.unverified.is_empty());
        if let Some(replay) = unverified {
            return Some(Action::Read(replay.verified..self.engine.given.position));
        }
        if let Some(replay) = &self.engine.replay
            && replay.until.position == self.engine.given.position
        {
            self.engine.given.crc = self.engine.given.crc.or(replay.until.crc);
        }
        self.back_to_the_goal();
        None
    }

    fn back_to_the_goal(&mut self) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        job.task = Task::Main;
        job.step = match job.goal {
            Goal::Verify | Goal::Prove => Step::Done(Ok(())),
            _ => Step::Next,
        };
    }

    /// Reads back what was only compared, in one attempt.
    pub(super) fn prove(&mut self) -> Option<Action> {
        match &self.engine.replay {
            Some(replay) if self.engine.lag() > 0 => {
                Some(Action::Read(replay.verified..self.engine.given.position))
            }
            _ => {
                self.proved();
                None
            }
        }
    }

    /// The attempt to prove what was compared is over.
    fn proved(&mut self) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        match std::mem::replace(&mut job.task, Task::Main) {
            Task::Prove(_, Some(differs)) => self.fail(differs, None),
            _ => self.done(Ok(())),
        }
    }

    /// More of a range came, or it has ended.
    pub(super) fn read(&mut self, read: Result<Bytes>) {
        let Some(job) = &mut self.engine.job else {
            return;
        };
        job.step = Step::Next;
        match (std::mem::replace(&mut job.task, Task::Main), read) {
            (Task::Content(compare), Ok(chunk)) => {
                self.compare_content(compare, &chunk);
            }
            (Task::Content(_), Err(error)) => self.pause(error, Then::Look),
            (Task::ReadBack(parts), Ok(chunk)) => match self.compare_parts(parts, &chunk) {
                Ok(Some(parts)) => self.read_on(Task::ReadBack(parts)),
                Ok(None) => self.read_on(Task::ReadBack(PartsRead::default())),
                Err(differs) => self.fail(differs, None),
            },
            (Task::ReadBack(_), Err(error)) => {
                job.task = Task::ReadBack(PartsRead::default());
                self.pause(error, Then::Goal);
            }
            (Task::Prove(parts, failure), Ok(chunk)) => match self.compare_parts(parts, &chunk) {
                Ok(Some(parts)) => self.read_on(Task::Prove(parts, failure)),
                _ => {
                    self.task(Task::Prove(PartsRead::default(), failure));
                    self.proved();
                }
            },
            (Task::Prove(parts, failure), Err(_)) => {
                job.task = Task::Prove(parts, failure);
                self.proved();
            }
            (task, _) => job.task = task,
        }
    }

    fn task(&mut self, task: Task) {
        if let Some(job) = &mut self.engine.job {
            job.task = task;
        }
    }

    /// Goes on reading, unless everything is proven by now.
    fn read_on(&mut self, task: Task) {
        let is_over = self
            .engine
            .replay
            .as_ref()
            .is_none_or(|r| r.unverified.is_empty());
        let Some(job) = &mut self.engine.job else {
            return;
        };
        job.task = task;
        job.step = match is_over {
            true => Step::Next,
            false => Step::ReadOn,
        };
    }

    /// Compares what was read back with what is known of the parts. `None`: all are proven.
    fn compare_parts(
        &mut self,
        mut parts: PartsRead,
        mut chunk: &[u8],
    ) -> Result<Option<PartsRead>> {
        let Some(replay) = &mut self.engine.replay else {
            return Ok(None);
        };
        let mut proven = 0;
        let mut outcome = Ok(None);
        while let Some(part) = replay.unverified.front().copied() {
            let left = part.len - parts.read;
            if left > chunk.len() as u64 {
                parts.crc.update(chunk);
                parts.read += chunk.len() as u64;
                outcome = Ok(Some(parts));
                break;
            }
            let (own, rest) = chunk.split_at(left as usize);
            parts.crc.update(own);
            if parts.crc.finish() != part.crc {
                outcome = Err(replay.differs());
                break;
            }
            proven += part.len;
            replay.verified += part.len;
            replay.unverified.pop_front();
            (parts, chunk) = (PartsRead::default(), rest);
        }
        if proven > 0
            && let Some(job) = &mut self.engine.job
        {
            job.told.durable += proven;
            job.budget.restart(self.now);
        }
        outcome
    }

    /// Ends a replay by a last look: the object must end where the written bytes do, and be what is
    /// known of it.
    pub(crate) fn end_replay(&mut self, seen: Option<ObjectInfo>) -> Ended {
        let Some(replay) = &mut self.engine.replay else {
            return Ended::Well(0);
        };
        let given = self.engine.given.position;
        let found = seen.as_ref().map(ObjectInfo::end);
        let object = replay.until.position.max(found.unwrap_or_default());
        if given < object {
            return Ended::Badly(Error::new(ErrorKind::ReplayTooShort {
                given: given.bytes(),
                object: object.bytes(),
            }));
        }
        let cause = match seen {
            None if given.bytes() == 0 => return Ended::Well(0),
            None => ConflictCause::Gone,
            Some(seen) if seen.end() == given => match self.engine.given.has_crc(seen.crc64) {
                Some(true) => {
                    // What was given is the whole object, by its length and checksum.
                    let more = given - replay.verified;
                    replay.verified = given;
                    replay.unverified.clear();
                    self.note();
                    return Ended::Well(more);
                }
                Some(false) => ConflictCause::Replaced,
                None => return Ended::Verify,
            },
            Some(_) => ConflictCause::Replaced,
        };
        let conflict = Conflict::new(cause, given.bytes(), found.map(ObjectPosition::bytes));
        Ended::Badly(Error::new(ErrorKind::Conflict(conflict)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_compared_takes_little_memory_however_small_its_parts_are() {
        let mut replay = Replay::new(
            ObjectPosition::new(0),
            Proven::unknown(ObjectPosition::new(1 << 40)),
        );
        let mut whole = Proven::EMPTY;
        for number in 0..10_000_u64 {
            let part = Batch::from(vec![number as u8; 1 + number as usize % 7]);
            replay.push(Part::of(&part, part.len()));
            whole = whole.after(&part);
            assert!(replay.unverified.len() <= MAX_PARTS);
        }
        let kept = replay.unverified.iter().copied();
        let kept = kept.reduce(Part::followed_by).unwrap();
        assert_eq!(
            (kept.len, Some(kept.crc)),
            (whole.position.bytes(), whole.crc)
        );
    }
}
