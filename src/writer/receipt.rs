//! Receipts: where a record is, once it is durable.

use std::collections::BTreeMap;
use std::future::{IntoFuture, poll_fn};
use std::ops::Range;
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::shared::{Phase, Shared};
use super::waiter::Waiter;
use crate::engine::place::Place;
use crate::engine::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::values::batch::Batch;
use crate::values::checkpoint::Checkpoint;
use crate::values::crc64::Crc64;
use crate::values::path::ObjectPath;
use crate::values::position::{ObjectPosition, StreamPosition};
use crate::values::proven::Proven;

/// A promise that one record will be durable, given by
/// [`OssAppendWriter::enqueue`](crate::OssAppendWriter::enqueue).
///
/// It is a position in the writer's stream: cheap to have in thousands, and cheap to drop. It may
/// be awaited in any order, from any task, also after the writer was dropped.
#[derive(Debug)]
#[must_use = "a receipt that is not awaited tells nothing; drop it, or call `written`"]
pub struct Receipt {
    shared: Arc<Shared>,
    /// The record in the writer's stream.
    range: Range<StreamPosition>,
    crc64: bool,
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The object that it is in; if it is in several, the one that its end is in.
    pub object: ObjectPath,
    /// Its bytes in the object. With compression, the bytes of the gzip member or zstd frame that
    /// holds the record, and perhaps others before and after it; if the record is in several, the
    /// bytes of all of them.
    pub range: Range<u64>,
    /// The parts of the record before `range`, in order. Empty unless a roll has split the record
    /// between objects: in an `unaligned` sequence, or because an object took no more appends in
    /// the middle of a record longer than `max_append_size`.
    pub earlier: Vec<WrittenPart>,
    /// The CRC-64 of the object up to the end of the record, or with compression up to the end of
    /// the member. Only if it is known and was [asked for](Receipt::with_crc64) in time.
    pub crc64: Option<u64>,
}

/// A part of a record that is in more than one place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenPart {
    /// The object that it is in.
    pub object: ObjectPath,
    /// Its bytes in the object, as those of [`Written::range`].
    pub range: Range<u64>,
}

impl Written {
    /// The end of the record, as a point to [replay](crate::OssAppendWriterBuilder::replay) from.
    pub fn checkpoint(&self) -> Checkpoint {
        let proven = Proven {
            position: ObjectPosition::new(self.range.end),
            crc: self.crc64,
        };
        Checkpoint::at(self.object.clone(), proven)
    }
}

/// Waits as [`written`](Receipt::written) does.
impl IntoFuture for Receipt {
    type Output = Result<Written>;
    type IntoFuture = BoxFuture<'static, Result<Written>>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.written().await }.boxed()
    }
}

impl Receipt {
    pub(super) fn new(shared: Arc<Shared>, range: Range<StreamPosition>) -> Self {
        Self {
            shared,
            range,
            crc64: false,
        }
    }

    /// Where the record ends, counted like
    /// [`durable_position`](crate::OssAppendWriter::durable_position): the record is durable when
    /// that has reached it.
    pub fn position(&self) -> u64 {
        self.shared.shown(self.range.end)
    }

    /// Asks for the CRC-64 of the object up to the end of the record, from which a checkpoint can
    /// be made. It costs a second checksum of the record's append. It stays unknown if the record
    /// was durable before this was called, if the object has no CRC-64, or if others have appended
    /// in between.
    pub fn with_crc64(mut self) -> Self {
        if !self.crc64 {
            self.crc64 = true;
            self.shared.lock().places.want(self.range.end);
        }
        self
    }

    /// Waits until the record is durable, and tells where it is. It forces nothing: the append
    /// comes by size or time, or by a flush.
    ///
    /// # Errors
    /// The writer's failure, if the record is not durable. A failure after the record became
    /// durable is not reported here.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn written(&self) -> Result<Written> {
        let waiter = Waiter::new(&self.shared);
        poll_fn(|cx| {
            let state = self.shared.lock();
            if state.places.durable(&state.window) >= self.range.end {
                let written = state.places.find(&self.range);
                return Poll::Ready(written.ok_or_else(|| Error::new(ErrorKind::Closed)));
            }
            state.check_failed()?;
            if matches!(state.phase, Phase::Closed) {
                return Poll::Ready(Err(Error::new(ErrorKind::Closed)));
            }
            waiter.wait(state, cx)
        })
        .await
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.places.forget(&self.range, self.crc64);
    }
}

/// Which bytes of the stream are where, as long as anybody may ask.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Runs by their starts in the stream: those that hold a part of a record with a receipt.
    runs: BTreeMap<StreamPosition, Place>,
    /// The records that have receipts: their ends by their starts.
    receipts: BTreeMap<StreamPosition, StreamPosition>,
    /// The checksums that were asked for, by their ends in the stream, with how many ask.
    checksums: BTreeMap<StreamPosition, (usize, Option<u64>)>,
    /// It is known where everything before this is.
    noted: StreamPosition,
}

impl Places {
    /// A receipt is given for the record in `range`.
    pub(super) fn give_receipt(&mut self, range: &Range<StreamPosition>) {
        self.receipts.insert(range.start, range.end);
    }

    fn want(&mut self, end: StreamPosition) {
        self.checksums.entry(end).or_default().0 += 1;
    }

    /// It is known where everything before `end` is, as far as anybody may ask.
    pub(super) fn noted(&mut self, end: StreamPosition) {
        self.noted = end;
    }

    /// What is before this is durable, and it is known where it is.
    fn durable(&self, window: &Window) -> StreamPosition {
        window.durable().min(self.noted)
    }

    /// Whether anybody may ask for what comes now.
    pub(super) fn are_wanted(&self) -> bool {
        !self.receipts.is_empty()
    }

    /// The ends in `range` whose checksums are wanted.
    pub(super) fn wanted(&self, range: Range<StreamPosition>) -> Vec<StreamPosition> {
        let after = range.start + 1..range.end + 1;
        self.checksums.range(after).map(|(end, _)| *end).collect()
    }

    pub(super) fn checksum(&mut self, end: StreamPosition, crc64: u64) {
        if let Some((_, known)) = self.checksums.get_mut(&end) {
            *known = Some(crc64);
        }
    }

    /// The bytes from `start` on in the stream are there.
    pub(super) fn push(&mut self, start: StreamPosition, place: Place) {
        if let Some(mut last) = self.runs.last_entry()
            && last.get().member.is_none()
            && place.member.is_none()
            && last.get().object == place.object
            && *last.key() + last.get().len == start
            && last.get().position + last.get().len == place.position
        {
            last.get_mut().len += place.len;
        } else if self.has_receipt(start, place.len) {
            self.runs.insert(start, place);
        }
    }

    /// Whether a record with a receipt is in the run, or a part of one.
    fn has_receipt(&self, start: StreamPosition, len: u64) -> bool {
        let last = self.receipts.range(..start + len).next_back();
        last.is_some_and(|(_, end)| *end > start)
    }

    fn find(&self, range: &Range<StreamPosition>) -> Option<Written> {
        let (first, _) = self.runs.range(..=range.start).next_back()?;
        let mut parts: Vec<WrittenPart> = Vec::new();
        let mut at = range.start;
        for (start, place) in self.runs.range(first..&range.end) {
            if at < *start || at >= *start + place.len {
                return None;
            }
            let begin = place.begin(at - *start).bytes();
            at = range.end.min(*start + place.len);
            let end = place.end(at - *start).bytes();
            match parts.last_mut() {
                Some(last) if last.object == place.object && last.range.end == begin => {
                    last.range.end = end;
                }
                _ => parts.push(WrittenPart {
                    object: place.object.clone(),
                    range: begin..end,
                }),
            }
        }
        let WrittenPart {
            object,
            range: last,
        } = parts.pop().filter(|_| at == range.end)?;
        Some(Written {
            object,
            range: last,
            earlier: parts,
            crc64: self.checksums.get(&range.end).and_then(|(_, crc)| *crc),
        })
    }

    fn forget(&mut self, range: &Range<StreamPosition>, crc64: bool) {
        if crc64 && let Some((asked, _)) = self.checksums.get_mut(&range.end) {
            *asked -= 1;
            if *asked == 0 {
                self.checksums.remove(&range.end);
            }
        }
        self.receipts.remove(&range.start);
        // With compression each append is a run: those that nobody can ask for go.
        let held = self.runs.range(..range.end).rev();
        let unused: Vec<StreamPosition> = held
            .take_while(|(start, place)| **start + place.len > range.start)
            .filter(|(start, place)| !self.has_receipt(**start, place.len))
            .map(|(start, _)| *start)
            .collect();
        for start in unused {
            self.runs.remove(&start);
        }
    }
}

/// The checksums of an object up to `ends`, given in the stream, in order. `batch` begins at `start`
/// in the stream, and the object has the checksum `before` there.
pub(super) fn checksums(
    batch: &Batch,
    start: StreamPosition,
    before: u64,
    ends: &[StreamPosition],
) -> Vec<u64> {
    let mut found = Vec::with_capacity(ends.len());
    let mut ends = ends.iter().copied().peekable();
    let mut crc = Crc64::behind(before);
    let mut at = start;
    for chunk in batch.chunks() {
        let mut chunk = &chunk[..];
        while let Some(end) = ends.next_if(|end| *end <= at + chunk.len() as u64) {
            let (part, rest) = chunk.split_at(usize::try_from(end - at).unwrap_or(chunk.len()));
            crc.update(part);
            (chunk, at) = (rest, end);
            found.push(crc.finish());
        }
        crc.update(chunk);
        at += chunk.len() as u64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::place::Member;

    fn at(bytes: u64) -> StreamPosition {
        StreamPosition::new(bytes)
    }

    fn record(range: Range<u64>) -> Range<StreamPosition> {
        at(range.start)..at(range.end)
    }

    fn member(position: u64, len: u64) -> Place {
        Place {
            object: ObjectPath::unchecked("bucket", "object"),
            position: ObjectPosition::new(position),
            len,
            before: None,
            member: Some(Member {
                len: 5,
                crc64: None,
            }),
        }
    }

    #[test]
    fn places_are_kept_no_longer_than_somebody_may_ask() {
        let mut places = Places::default();
        places.give_receipt(&record(0..10));
        for number in 0..1000 {
            // There is always a receipt.
            places.give_receipt(&record((number + 1) * 10..(number + 2) * 10));
            places.push(at(number * 10), member(number * 5, 10));
            let range = record(number * 10..number * 10 + 10);
            let written = places.find(&range).unwrap();
            assert_eq!(written.range, number * 5..number * 5 + 5);
            places.forget(&range, false);
            assert!(places.runs.is_empty());
        }
        assert!(places.are_wanted());
        places.forget(&record(10_000..10_010), false);
        assert!(!places.are_wanted());
    }

    #[test]
    fn a_receipt_that_is_held_keeps_no_other_places() {
        let mut places = Places::default();
        for number in 0..1000 {
            let range = record(number * 10..number * 10 + 10);
            if number % 10 == 0 {
                places.give_receipt(&range);
            }
            places.push(range.start, member(number * 5, 10));
            if number % 10 == 0 && number > 0 {
                places.forget(&range, false);
            }
        }
        assert_eq!(places.runs.len(), 1);
        assert_eq!(places.find(&record(0..10)).unwrap().range, 0..5);
    }

    #[test]
    fn members_are_told_apart_even_where_they_are_as_long_as_what_they_hold() {
        let mut places = Places::default();
        places.give_receipt(&record(0..100));
        for number in 0..3 {
            places.push(at(number * 5), member(number * 5, 5));
        }
        assert_eq!(places.find(&record(6..8)).unwrap().range, 5..10);
        assert_eq!(places.find(&record(4..8)).unwrap().range, 0..10);
        assert_eq!(places.find(&record(10..16)), None);
        // Somebody else is between these.
        places.push(at(15), member(20, 5));
        let written = places.find(&record(12..16)).unwrap();
        assert_eq!(written.earlier[0].range, 10..15);
        assert_eq!(written.range, 20..25);
        assert_eq!(places.find(&record(15..16)).unwrap().range, 20..25);
    }
}
