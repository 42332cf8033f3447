//! Where records end in the buffer: what an append may not cut.
//!
//! The ends of short records are stored together, so that a buffer full of them does not take a
//! multiple of its bytes for ends; a cut between two of them is stored all the same. A record whose
//! beginning has been taken out goes on with its rest, and is not stored together with others.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Buffer;
use crate::engine::flush::Time;

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
    #[cfg_attr(
        not(feature = "rolling"),
        allow(dead_code, reason = "only sequences have them")
    )]
    Ending(u8),
}

#[derive(Debug)]
pub(super) struct RecordEnds {
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
    /// Of nothing yet. Short records are kept together up to `max_group`.
    pub(super) fn new(max_group: u64) -> Self {
        Self {
            taken: 0,
            ends: VecDeque::new(),
            start: 0,
            last: 0,
            group: max_group.min(MAX_GROUP),
            fixed: false,
            begun: false,
        }
    }

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

    /// The ends in `from..=to`, in what has not been taken, counted from `from`.
    pub(super) fn between(&self, from: u64, to: u64) -> Vec<u64> {
        let (from, to) = (self.taken + from, self.taken + to);
        let first = self.ends.partition_point(|end| *end <= from);
        let last = (self.last > self.start).then_some(self.last);
        let ends = self.ends.range(first..).copied().chain(last);
        let ends = ends.skip_while(|end| *end <= from);
        ends.take_while(|end| *end <= to)
            .map(|end| end - from)
            .collect()
    }

    /// The last end in what has not been taken.
    pub(super) fn last_end(&self) -> Option<u64> {
        let last = (self.last > self.start).then_some(self.last);
        let last = last.or_else(|| self.ends.back().copied());
        last.map(|end| end - self.taken)
    }

    /// The first `len` bytes are taken, whatever record they are of.
    pub(super) fn drain(&mut self, len: u64) {
        self.taken += len;
        let gone = self.ends.partition_point(|end| *end <= self.taken);
        self.ends.drain(..gone);
        if self.ends.is_empty() && self.last <= self.taken {
            (self.start, self.last) = (self.taken, self.taken);
        }
        self.begun = false;
    }

    /// What comes in behind `len` bytes that have not been taken has these ends.
    pub(super) fn load(&mut self, len: u64, ends: &[u64]) {
        for end in ends {
            self.push(self.taken + len + end);
        }
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
    /// Copies `data` in, and notes the records that end with `delimiter` in it.
    pub(in crate::writer) fn copy_records(
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

    /// Notes that a record ends here.
    #[inline]
    pub(in crate::writer) fn end_record(&mut self) {
        if let Some(records) = &mut self.ends {
            records.push(records.taken + self.len);
        }
    }

    /// Takes up to `max` bytes out, in order; no more than up to the last record that ends there,
    /// if records must stay whole.
    pub(in crate::writer) fn take(&mut self, max: u64) -> Vec<Bytes> {
        let len = self.whole_records(max.min(self.len));
        self.take_len(len)
    }

    /// Takes up to `max` bytes of the first record out, which is longer than that or has not ended.
    pub(in crate::writer) fn take_unfinished(&mut self, max: u64) -> Vec<Bytes> {
        let len = max.min(self.len);
        if let Some(records) = &mut self.ends {
            records.begin(len);
        }
        self.take_len(len)
    }

    /// The length of what comes first and may not be cut; `None` if its end has not come.
    pub(in crate::writer) fn first_record(&self) -> Option<u64> {
        match &self.ends {
            Some(records) => records.first().map(|end| end - records.taken),
            None => (self.len > 0).then_some(1),
        }
    }

    /// Whether the beginning of a record has been taken without its end.
    pub(in crate::writer) fn is_mid_record(&self) -> bool {
        self.ends.as_ref().is_some_and(|records| records.begun)
    }

    /// What comes first goes on with a record whose beginning was taken by an earlier process.
    pub(in crate::writer) fn resume_record(&mut self) {
        if let Some(records) = &mut self.ends {
            records.begun = true;
        }
    }

    /// The length of all whole records. None of them is kept together with what follows.
    pub(in crate::writer) fn cut(&mut self) -> u64 {
        let Some(records) = &mut self.ends else {
            return self.len;
        };
        records.fixed = true;
        records.last - records.taken
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> impl Fn() -> Time {
        move || Time::from_millis(millis)
    }

    proptest! {
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
}
