//! Memory of the buffer that is used again, and given back when nobody needs it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Buffer, MAX_SEGMENT};
use crate::engine::flush::Time;

impl Buffer {
    /// Keeps `segments` of what has been dealt with at `now` for reuse, as many as there is room for
    /// beside what waits.
    pub(in crate::writer) fn release(&mut self, segments: Vec<BytesMut>, now: Time) {
        let room = self.capacity.saturating_sub(self.len);
        let most = usize::try_from(room).unwrap_or(usize::MAX) / MAX_SEGMENT;
        self.pool.extend(segments);
        self.pool.truncate(most);
        let spare = !self.pool.is_empty() || self.tail.capacity() > 0;
        self.spare_since = (self.len == 0 && spare).then_some(now);
    }

    /// Since when there is memory that nobody uses.
    pub(in crate::writer) fn spare_since(&self) -> Option<Time> {
        self.spare_since.filter(|_| self.len == 0)
    }

    /// Gives back the memory that nobody uses. Nothing must be waiting.
    pub(in crate::writer) fn give_back(&mut self) {
        self.pool = Vec::new();
        self.tail = BytesMut::new();
        self.chunks = VecDeque::new();
        self.spare_since = None;
    }
}

/// The segments among `chunks`, empty. Drops the rest, whose owners may do anything then, so not
/// under the lock.
pub(in crate::writer) fn reclaim(chunks: Vec<Bytes>) -> Vec<BytesMut> {
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

    fn at(millis: u64) -> impl Fn() -> Time {
        move || Time::from_millis(millis)
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
