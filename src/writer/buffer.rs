//! The bytes that wait for an append: a rope of pooled segments and of `Bytes` taken as they are.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::engine::flush::Time;

/// The smallest and the largest segment. They grow with what is buffered, so that a writer with a
/// trickle stays small and one with a flood allocates seldom.
const MIN_SEGMENT: usize = 4 * 1024;
const MAX_SEGMENT: usize = 256 * 1024;

/// `Bytes` shorter than this are copied: a short piece would cost more to carry than to copy.
const MIN_SHARED: usize = 4 * 1024;

/// The most bytes of short records that are kept together.
const MAX_GROUP: u64 = 4 * 1024;

/// What an append may not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// Nothing: batches end anywhere.
    Bytes,
    /// What is written at once.
    Writes,
    /// What ends with this byte, and what is written as a `Bytes` at once.
    Ending(u8),
}

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

#[derive(Debug)]
struct RecordEnds {
    taken: u64,
    /// All ends but the last.
    ends: VecDeque<u64>,
    /// The end before the last, or what has been taken.
    start: u64,
    /// The last end; `start` if there is none.
    last: u64,
    /// Short records are kept together up to this length, so that a buffer full of them does not
    /// hold a multiple of its bytes in ends.
    group: u64,
    /// The last end stays where it is: what follows is not kept together with it.
    fixed: bool,
    /// The beginning of a record has been taken without its end.
    begun: bool,
}

impl RecordEnds {
    #[inline]
    fn push(&mut self, end: u64) {
        if self.last == self.start {
            self.fixed = self.begun;
        } else if self.fixed || end - self.start > self.group {
            self.close_group();
        }
        self.last = end;
    }

    #[cold]
    fn close_group(&mut self) {
        self.ends.push_back(self.last);
        self.start = self.last;
        self.fixed = false;
    }

    /// The first end, if there is one.
    fn first(&self) -> Option<u64> {
        let last = (self.last > self.start).then_some(self.last);
        self.ends.front().copied().or(last)
    }

    fn pop(&mut self) {
        if self.ends.pop_front().is_none() {
            self.start = self.last;
        }
        self.begun = false;
    }

    /// The first `len` bytes of the first record are taken, and not its end.
    fn begin(&mut self, len: u64) {
        debug_assert!(self.first().is_none_or(|end| end > self.taken + len));
        self.taken += len;
        self.begun = true;
        if self.ends.is_empty() {
            // The rest is a record of its own, which nothing is kept together with.
            self.fixed = true;
            self.start = self.taken;
            self.last = self.last.max(self.taken);
        }
    }
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
            ends: max_group.map(|max| RecordEnds {
                taken: 0,
                ends: VecDeque::new(),
                start: 0,
                last: 0,
                group: max.min(MAX_GROUP),
                fixed: false,
                begun: false,
            }),
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

    /// Copies `data` in, and notes the records that end with `delimiter` in it.
    pub(super) fn copy_records(
        &mut self,
        mut data: &[u8],
        delimiter: u8,
        now: impl Fn() -> Time + Copy,
    ) {
        let ends = |part: &[u8]| part.iter().rposition(|byte| *byte == delimiter);
        let group = self
            .ends
            .as_ref()
            .map_or(MAX_GROUP, |records| records.group);
        while !data.is_empty() {
            // Not only the last end of all, or a batch could not end before it.
            let window = data.len().min(usize::try_from(group).unwrap_or(usize::MAX));
            let end = ends(&data[..window]).or_else(|| {
                let rest = data[window..].iter();
                let next = rest.copied().position(|byte| byte == delimiter)?;
                Some(window + next)
            });
            let Some(end) = end else {
                return self.copy(data, now);
            };
            self.copy(&data[..=end], now);
            self.end_record();
            data = &data[end + 1..];
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

    /// Notes that a record ends here.
    #[inline]
    pub(super) fn end_record(&mut self) {
        if let Some(records) = &mut self.ends {
            records.push(records.taken + self.len);
        }
    }

    /// An empty segment to be filled elsewhere, and given to [`share`](Self::share) as `Bytes`.
    pub(super) fn segment(&mut self) -> BytesMut {
        self.pool
            .pop()
            .unwrap_or_else(|| BytesMut::with_capacity(MAX_SEGMENT))
    }

    /// Takes up to `max` bytes out, in order; no more than up to the last record that ends there,
    /// if records must stay whole.
    pub(super) fn take(&mut self, max: u64) -> Vec<Bytes> {
        let len = self.whole_records(max.min(self.len));
        self.take_len(len)
    }

    /// Takes up to `max` bytes of the first record out, which is longer than that or has not ended.
    pub(super) fn take_unfinished(&mut self, max: u64) -> Vec<Bytes> {
        let len = max.min(self.len);
        if let Some(records) = &mut self.ends {
            records.begin(len);
        }
        self.take_len(len)
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

    /// The length of what comes first and may not be cut; `None` if its end has not come.
    pub(super) fn first_record(&self) -> Option<u64> {
        match &self.ends {
            Some(records) => records.first().map(|end| end - records.taken),
            None => (self.len > 0).then_some(1),
        }
    }

    /// Whether the beginning of a record has been taken without its end.
    pub(super) fn is_mid_record(&self) -> bool {
        self.ends.as_ref().is_some_and(|records| records.begun)
    }

    /// The length of all whole records. None of them is kept together with what follows.
    pub(super) fn cut(&mut self) -> u64 {
        let Some(records) = &mut self.ends else {
            return self.len;
        };
        records.fixed = true;
        records.last - records.taken
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

    /// Keeps `segments` of what has been dealt with at `now` for reuse, as many as there is room for
    /// beside what waits.
    pub(super) fn release(&mut self, segments: Vec<BytesMut>, now: Time) {
        let room = self.capacity.saturating_sub(self.len);
        let most = usize::try_from(room).unwrap_or(usize::MAX) / MAX_SEGMENT;
        self.pool.extend(segments);
        self.pool.truncate(most);
        let spare = !self.pool.is_empty() || self.tail.capacity() > 0;
        self.spare_since = (self.len == 0 && spare).then_some(now);
    }

    /// Since when there is memory that nobody uses.
    pub(super) fn spare_since(&self) -> Option<Time> {
        self.spare_since.filter(|_| self.len == 0)
    }

    /// Gives back the memory that nobody uses. Nothing must be waiting.
    pub(super) fn give_back(&mut self) {
        self.pool = Vec::new();
        self.tail = BytesMut::new();
        self.chunks = VecDeque::new();
        self.spare_since = None;
    }

    fn whole_records(&mut self, max: u64) -> u64 {
        let Some(records) = &mut self.ends else {
            return max;
        };
        let limit = records.taken + max;
        let mut end = records.taken;
        while let Some(next) = records.first()
            && next <= limit
        {
            end = next;
            records.pop();
        }
        let len = end - records.taken;
        records.taken = end;
        len
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

/// The segments among `chunks`, empty. Drops the rest, whose owners may do anything then, so not
/// under the lock.
pub(super) fn reclaim(chunks: Vec<Bytes>) -> Vec<BytesMut> {
    let owned = chunks
        .into_iter()
        .filter_map(|chunk| chunk.try_into_mut().ok());
    let segments = owned.filter_map(|mut segment| {
        segment.clear();
        let whole = segment.try_reclaim(MAX_SEGMENT);
        (whole && segment.capacity() == MAX_SEGMENT).then_some(segment)
    });
    segments.collect()
}

#[cfg(test)]
mod tests {
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

        #[test]
        fn whole_records_are_never_cut(
            records in prop::collection::vec(prop_oneof![1..20usize, 1..2000usize], 1..80),
            max in 2000..6000u64,
        ) {
            let mut buffer = Buffer::new(1 << 20, Some(2000 / 64));
            let mut ends = vec![0];
            for len in &records {
                buffer.copy(&vec![7; *len], at(0));
                buffer.end_record();
                ends.push(ends[ends.len() - 1] + *len as u64);
            }
            let mut position = 0;
            while buffer.len() > 0 {
                let len: u64 = buffer.take(max).iter().map(|part| part.len() as u64).sum();
                prop_assert!(len > 0 && len <= max);
                position += len;
                prop_assert!(ends.contains(&position));
            }
        }
    }

    /// The longest append.
    const MAX: u64 = 640;

    #[derive(Clone, Debug)]
    enum Step {
        Record(u64),
        /// A piece of a record that has not ended.
        Piece(u64),
        Cut,
        Take(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = || prop_oneof![1..10u64, 1..=5 * MAX];
        prop_oneof![
            4 => len().prop_map(Step::Record),
            1 => len().prop_map(Step::Piece),
            1 => Just(Step::Cut),
            3 => (MAX / 2..=MAX).prop_map(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn every_end_of_a_record_is_kept_whatever_the_lengths(
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut buffer = Buffer::new(1 << 20, Some(MAX / 64));
            let (mut given, mut taken) = (0, 0);
            // Where records end, and where nothing may be kept together.
            let (mut ends, mut cuts) = (vec![0], Vec::new());
            let last = (0..40).map(|_| Step::Take(MAX));
            for step in steps.into_iter().chain([Step::Record(1)]).chain(last) {
                match step {
                    Step::Record(len) | Step::Piece(len) => {
                        buffer.copy(&vec![7; len as usize], at(0));
                        given += len;
                        if let Step::Record(_) = step {
                            buffer.end_record();
                            ends.push(given);
                        }
                    }
                    Step::Cut => {
                        let at = taken + buffer.cut();
                        let whole = *ends.last().unwrap();
                        prop_assert_eq!(at, whole.max(taken));
                        if at == whole {
                            cuts.push(at);
                        }
                    }
                    Step::Take(_) if buffer.len() == 0 => {}
                    Step::Take(max) => {
                        // As the worker does.
                        let parts = match buffer.first_record() {
                            Some(first) if buffer.is_mid_record() && first <= max => {
                                buffer.take(first)
                            }
                            Some(first) if !buffer.is_mid_record() && first <= max => {
                                buffer.take(max)
                            }
                            _ => buffer.take_unfinished(max),
                        };
                        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
                        prop_assert!(len > 0 && len <= max);
                        taken += len;
                    }
                }
                prop_assert_eq!(buffer.is_mid_record(), !ends.contains(&taken));
                let next = ends.iter().copied().find(|end| *end > taken);
                let first = buffer.first_record().map(|first| taken + first);
                prop_assert_eq!(first.is_some(), next.is_some());
                if let (Some(first), Some(next)) = (first, next) {
                    prop_assert!(ends.contains(&first));
                    prop_assert!(first == next || first - taken <= MAX / 64);
                    prop_assert!(first == next || !buffer.is_mid_record());
                    prop_assert!(!cuts.iter().any(|cut| (taken + 1..first).contains(cut)));
                }
            }
        }
    }

    #[test]
    fn the_ends_of_short_records_take_little_memory() {
        const RECORDS: u64 = 100_000;
        let mut buffer = Buffer::new(1 << 20, Some(1 << 14));
        for _ in 0..RECORDS {
            buffer.copy(b"\n", at(0));
            buffer.end_record();
        }
        let records = buffer.ends.as_ref().unwrap();
        assert_eq!(records.last, RECORDS);
        assert!(records.ends.len() <= 50, "{} ends", records.ends.len());
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

    #[test]
    fn segments_are_reused_until_their_memory_is_given_back() {
        let mut buffer = Buffer::new(1 << 20, None);
        buffer.copy(&vec![0; 3 * MAX_SEGMENT], at(0));
        assert_eq!(buffer.spare_since(), None);
        let parts = buffer.take(2 * MAX_SEGMENT as u64);
        buffer.release(reclaim(parts), Time::ZERO);
        assert_eq!(buffer.pool.len(), 2);
        assert_eq!(buffer.spare_since(), None);
        buffer.copy(&vec![0; 2 * MAX_SEGMENT], at(0));
        assert!(buffer.pool.is_empty());

        let rest = buffer.take(u64::MAX);
        buffer.release(reclaim(rest), Time::from_millis(7));
        assert_eq!(buffer.spare_since(), Some(Time::from_millis(7)));
        assert!(!buffer.pool.is_empty());
        buffer.copy(b"a", at(8));
        assert_eq!(buffer.spare_since(), None);
        let last = buffer.take(1);
        buffer.release(reclaim(last), Time::from_millis(9));
        buffer.give_back();
        assert!(buffer.pool.is_empty());
        assert_eq!(buffer.tail.capacity(), 0);
        assert_eq!(buffer.spare_since(), None);
    }

    #[test]
    fn what_waits_and_what_is_kept_for_reuse_are_within_the_capacity() {
        let mut buffer = Buffer::new(1 << 20, None);
        buffer.copy(&vec![0; 1 << 20], at(0));
        let parts = buffer.take(u64::MAX);
        buffer.share(&vec![0; 3 * MAX_SEGMENT].into(), at(0));
        buffer.release(reclaim(parts), Time::ZERO);
        assert_eq!(buffer.pool.len(), 1);
        buffer.share(&vec![0; MAX_SEGMENT].into(), at(0));
        buffer.release(Vec::new(), Time::ZERO);
        assert!(buffer.pool.is_empty());
    }

    #[test]
    fn the_memory_of_shared_bytes_is_not_kept_for_reuse() {
        let mut buffer = Buffer::new(4 << 20, None);
        buffer.share(&vec![0; 1 << 20].into(), at(0));
        buffer.copy(b"more", at(0));
        let parts = buffer.take(1 << 20);
        buffer.release(reclaim(parts), Time::ZERO);
        assert!(buffer.pool.is_empty());
    }
}
