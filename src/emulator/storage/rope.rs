//! The bytes of an object in memory: appends copy nothing that is there already.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Smaller pieces are gathered, so that a million tiny appends are no million allocations.
const SMALL: usize = 64 * 1024;

/// A gathered segment is closed at this size.
const SEGMENT: usize = 1024 * 1024;

/// A growing sequence of bytes.
#[derive(Debug, Default)]
pub(super) struct Rope {
    /// Each with the position of its first byte.
    segments: Vec<(u64, Bytes)>,
    tail: BytesMut,
    length: u64,
}

impl Rope {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            self.length += bytes.len() as u64;
            if self.tail.len() >= SEGMENT {
                self.close_tail();
            }
        } else {
            self.close_tail();
            let start = self.length;
            self.length += bytes.len() as u64;
            self.segments.push((start, bytes));
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail).freeze();
            self.segments.push((self.length - tail.len() as u64, tail));
        }
    }

    /// The pieces of a range, which must lie within the rope.
    pub(super) fn slice(&self, range: Range<u64>) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let first = self
            .segments
            .partition_point(|(start, bytes)| start + bytes.len() as u64 <= range.start);
        for (start, bytes) in &self.segments[first..] {
            if *start >= range.end {
                return pieces;
            }
            pieces.push(bytes.slice(overlap(*start, bytes.len(), &range)));
        }
        let start = self.length - self.tail.len() as u64;
        let tail = &self.tail[overlap(start, self.tail.len(), &range)];
        if !tail.is_empty() {
            pieces.push(Bytes::copy_from_slice(tail));
        }
        pieces
    }
}

/// The part of a piece at `start` that lies in `range`.
fn overlap(start: u64, length: usize, range: &Range<u64>) -> Range<usize> {
    let within = |position: u64| {
        usize::try_from(position.saturating_sub(start))
            .unwrap_or(length)
            .min(length)
    };
    within(range.start)..within(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_range_reads_what_was_pushed(
            sizes in proptest::collection::vec(0usize..3 * SMALL, 0..24),
            bounds: (u64, u64),
        ) {
            let mut rope = Rope::default();
            let mut plain = Vec::new();
            for (n, size) in sizes.into_iter().enumerate() {
                let piece = vec![n as u8; size];
                plain.extend_from_slice(&piece);
                rope.push(piece.into());
            }
            let limit = plain.len() as u64 + 1;
            let (a, b) = (bounds.0 % limit, bounds.1 % limit);
            let range = a.min(b)..a.max(b);
            let expected = &plain[range.start as usize..range.end as usize];
            prop_assert_eq!(rope.slice(range).concat(), expected);
        }
    }
}
