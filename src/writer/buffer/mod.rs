//! The bytes that wait for an append: a rope of pooled segments and of `Bytes` taken as they are.
//!
//! [`records`] knows what an append may not cut, [`reuse`] what happens to free memory. Nothing
//! that could be the last of a caller's `Bytes` is dropped here: that is done without the writer's
//! lock.

pub(crate) mod records;
pub(super) mod reuse;
mod spooled;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use self::records::RecordEnds;
use crate::engine::flush::Time;

/// The smallest and the largest segment. They grow with what is buffered, so that a writer with a
/// trickle stays small and one with a flood allocates seldom.
const MIN_SEGMENT: usize = 4 * 1024;
const MAX_SEGMENT: usize = 256 * 1024;

/// `Bytes` shorter than this are copied: a short piece would cost more to carry than to copy.
pub(super) const MIN_SHARED: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Buffer {
    /// Full segments and shared `Bytes`, in order.
    chunks: VecDeque<Chunk>,
    /// The segment that is being filled, behind all `chunks`.
    tail: BytesMut,
    /// When the first byte of the tail came.
    tail_since: Time,
    /// Bytes in `chunks` and `tail`.
    len: u64,
    /// Empty segments for reuse.
    pool: Vec<BytesMut>,
    capacity: u64,
    /// When the last byte was dealt with, if none has come since and there is memory left.
    spare_since: Option<Time>,
    /// Where records end, counted in all bytes ever written; kept only if records must stay whole.
    ends: Option<RecordEnds>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    since: Time,
}

impl Buffer {
    /// A buffer of `capacity` bytes. With `max_group` it knows where records end, and keeps short
    /// ones together up to that length.
    pub(super) fn new(capacity: u64, max_group: Option<u64>) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            tail_since: Time::ZERO,
            len: 0,
            pool: Vec::new(),
            capacity,
            spare_since: None,
            ends: max_group.map(RecordEnds::new),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// When the oldest byte came; no byte is older. `None` if there is none.
    pub(super) fn since(&self) -> Option<Time> {
        match self.chunks.front() {
            Some(chunk) => Some(chunk.since),
            None => (!self.tail.is_empty()).then_some(self.tail_since),
        }
    }

    /// Copies `data` in. `now` is asked only when a segment gets its first byte.
    #[inline]
    pub(super) fn copy(&mut self, data: &[u8], now: impl Fn() -> Time) {
        self.len += data.len() as u64;
        let free = self.tail.capacity() - self.tail.len();
        if data.len() <= free && !self.tail.is_empty() {
            return self.tail.extend_from_slice(data);
        }
        self.copy_on(data, now);
    }

    fn copy_on(&mut self, mut data: &[u8], now: impl Fn() -> Time) {
        while !data.is_empty() {
            let free = self.tail.capacity() - self.tail.len();
            if free == 0 {
                self.next_segment();
                continue;
            }
            if self.tail.is_empty() {
                self.tail_since = now();
            }
            let take = free.min(data.len());
            self.tail.extend_from_slice(&data[..take]);
            data = &data[take..];
        }
    }

    /// Takes `bytes` in, without copying unless they are few. Drops none: that is for the caller to
    /// do, without the lock.
    pub(super) fn share(&mut self, bytes: &Bytes, now: impl Fn() -> Time) {
        if bytes.len() < MIN_SHARED {
            return self.copy(bytes, now);
        }
        self.end_tail();
        self.len += bytes.len() as u64;
        self.chunks.push_back(Chunk {
            bytes: bytes.clone(),
            since: now(),
        });
    }

    /// An empty segment to be filled elsewhere, and given to [`share`](Self::share) as `Bytes`.
    pub(super) fn segment(&mut self) -> BytesMut {
        self.pool
            .pop()
            .unwrap_or_else(|| BytesMut::with_capacity(MAX_SEGMENT))
    }

    fn take_len(&mut self, mut left: u64) -> Vec<Bytes> {
        self.len -= left;
        let mut taken = Vec::with_capacity(self.chunks.len() + 1);
        while left > 0 {
            let part = match self.chunks.front_mut() {
                Some(chunk) if chunk.bytes.len() as u64 > left => {
                    chunk.bytes.split_to(left as usize)
                }
                Some(_) => match self.chunks.pop_front() {
                    Some(chunk) => chunk.bytes,
                    None => break,
                },
                None => self
                    .tail
                    .split_to(left.min(self.tail.len() as u64) as usize)
                    .freeze(),
            };
            left -= part.len() as u64;
            taken.push(part);
        }
        taken
    }

    /// Counts the age of what is left from `time` on.
    pub(super) fn age_from(&mut self, time: Time) {
        for chunk in &mut self.chunks {
            chunk.since = time;
        }
        self.tail_since = time;
    }

    /// Takes everything out, records whole or not.
    pub(super) fn take_all(&mut self) -> Vec<Bytes> {
        self.ends = None;
        self.take_len(self.len)
    }

    fn next_segment(&mut self) {
        self.end_tail();
        let len = usize::try_from(self.len).unwrap_or(MAX_SEGMENT);
        self.tail = match len.clamp(MIN_SEGMENT, MAX_SEGMENT).next_power_of_two() {
            MAX_SEGMENT => self.segment(),
            len => BytesMut::with_capacity(len),
        };
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(Chunk {
                bytes: self.tail.split().freeze(),
                since: self.tail_since,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reuse::reclaim;
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> impl Fn() -> Time {
        move || Time::from_millis(millis)
    }

    #[derive(Clone, Debug)]
    enum Op {
        Copy(Vec<u8>),
        Share(Vec<u8>),
        Take(u64),
        Release,
    }

    fn op() -> impl Strategy<Value = Op> {
        // That repeat after 256: what is lost or moved shows, and a byte each need not be drawn.
        let bytes = |max: usize| {
            (0..max, any::<u8>()).prop_map(|(len, first)| {
                let values = (first..=u8::MAX).chain(0..first).cycle();
                values.take(len).collect::<Vec<u8>>()
            })
        };
        prop_oneof![
            bytes(20_000).prop_map(Op::Copy),
            bytes(20_000).prop_map(Op::Share),
            (0..60_000u64).prop_map(Op::Take),
            Just(Op::Release),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(ops in prop::collection::vec(op(), 0..60)) {
            let mut buffer = Buffer::new(1 << 20, None);
            let (mut given, mut got, mut out) = (Vec::new(), Vec::new(), Vec::new());
            for op in ops {
                match op {
                    Op::Copy(bytes) => {
                        given.extend_from_slice(&bytes);
                        buffer.copy(&bytes, at(0));
                    }
                    Op::Share(bytes) => {
                        given.extend_from_slice(&bytes);
                        buffer.share(&bytes.into(), at(0));
                    }
                    Op::Take(max) => {
                        let before = buffer.len();
                        let parts = buffer.take(max);
                        let taken: u64 = parts.iter().map(|part| part.len() as u64).sum();
                        prop_assert_eq!(taken, max.min(before));
                        got.extend_from_slice(&parts.concat());
                        out.extend(parts);
                    }
                    Op::Release => buffer.release(reclaim(std::mem::take(&mut out)), Time::ZERO),
                }
                prop_assert_eq!(buffer.len(), (given.len() - got.len()) as u64);
                prop_assert_eq!(buffer.since().is_some(), buffer.len() > 0);
            }
            got.extend_from_slice(&buffer.take(u64::MAX).concat());
            prop_assert_eq!(got, given);
        }
    }

    #[test]
    fn the_age_is_that_of_the_oldest_byte() {
        let mut buffer = Buffer::new(1 << 20, None);
        assert_eq!(buffer.since(), None);
        buffer.copy(b"a", at(3));
        buffer.copy(b"b", at(9));
        assert_eq!(buffer.since(), Some(Time::from_millis(3)));
        buffer.take(2);
        assert_eq!(buffer.since(), None);
        buffer.copy(b"c", at(12));
        assert_eq!(buffer.since(), Some(Time::from_millis(12)));
    }

    #[test]
    fn long_bytes_are_shared_and_not_copied() {
        let mut buffer = Buffer::new(1 << 20, None);
        let long = Bytes::from(vec![1; MIN_SHARED]);
        buffer.copy(b"a", at(0));
        buffer.share(&long, at(0));
        let parts = buffer.take(u64::MAX);
        assert_eq!(parts[1].as_ptr(), long.as_ptr());
    }

    #[test]
    fn short_bytes_are_copied_and_free_what_they_were_a_part_of() {
        let mut buffer = Buffer::new(1 << 20, None);
        let whole = Bytes::from(vec![1; 1 << 20]);
        buffer.share(&whole.slice(..4095), at(0));
        assert!(whole.is_unique());
    }

    #[test]
    fn a_trickle_takes_small_segments_and_a_flood_large_ones() {
        let mut buffer = Buffer::new(4 << 20, None);
        buffer.copy(b"a", at(0));
        assert_eq!(buffer.tail.capacity(), 4 << 10);
        for _ in 0..1024 {
            buffer.copy(&[1; 1024], at(0));
        }
        let parts = buffer.take(u64::MAX);
        assert_eq!(parts.iter().map(Bytes::len).max(), Some(256 << 10));
        assert!(parts.len() <= 12, "{} segments", parts.len());
    }
}
