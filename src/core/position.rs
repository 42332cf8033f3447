//! What is proven of an object: its length, and the CRC-64 chain over it.

use super::batch::Batch;
use super::crc64;

/// A proven prefix of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Its length in bytes: the position of the next append.
    pub(crate) position: u64,
    /// Its CRC-64; unknown behind an endpoint that gives none.
    pub(crate) crc: Option<u64>,
}

impl Proven {
    /// The object before its first byte.
    pub(crate) const EMPTY: Self = Self {
        position: 0,
        crc: Some(0),
    };

    /// A prefix of that length, whose checksum is not known.
    pub(crate) fn unknown(position: u64) -> Self {
        Self {
            position,
            crc: (position == 0).then_some(0),
        }
    }

    /// What is to be proven by appending `batch`.
    pub(crate) fn after(self, batch: &Batch) -> Self {
        self.extended(batch.len(), batch.crc64())
    }

    /// What is to be proven by appending the first `len` bytes of `batch`.
    pub(crate) fn after_prefix(self, batch: &Batch, len: u64) -> Self {
        if len == batch.len() {
            return self.after(batch);
        }
        self.extended(len, batch.prefix_crc(len))
    }

    fn extended(self, len: u64, crc: u64) -> Self {
        Self {
            position: self.position + len,
            crc: self.crc.map(|own| crc64::combine(own, crc, len)),
        }
    }

    /// Whether `crc` is the checksum of this prefix; `None` if one of the two is unknown.
    pub(crate) fn has_crc(self, crc: Option<u64>) -> Option<bool> {
        Some(self.crc? == crc?)
    }
}

/// What a success answer says about the append that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Next position and CRC-64 are those expected.
    Proven,
    /// One of the two is missing or cannot be checked: only a look at the object can tell.
    Unproven,
    /// One of the two is wrong: the object holds bytes that we did not send.
    Wrong,
}

/// Judges a success answer: it counts only if its next position and its CRC-64 are both expected.
pub(crate) fn judge_answer(
    expected: Proven,
    next_position: Option<u64>,
    crc: Option<u64>,
) -> Answered {
    match (next_position, expected.has_crc(crc)) {
        (Some(next), _) if next != expected.position => Answered::Wrong,
        (_, Some(false)) => Answered::Wrong,
        (Some(_), Some(true)) => Answered::Proven,
        (None, _) | (_, None) => Answered::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_equals_the_checksum_of_the_whole() {
        let hello = Proven::EMPTY.after(&Batch::from("hello "));
        let whole = hello.after(&Batch::from("world"));
        assert_eq!(whole.position, 11);
        assert_eq!(whole.crc, Some(crc64::checksum(b"hello world")));
        assert_eq!(hello.after_prefix(&Batch::from("world"), 5), whole);
        assert_eq!(hello.after_prefix(&Batch::from("world wide"), 5), whole);
    }

    #[test]
    fn positions_beyond_four_gib_are_exact() {
        let far = Proven {
            position: (4 << 30) - 1,
            crc: Some(7),
        };
        assert_eq!(far.after(&Batch::from("ab")).position, (4 << 30) + 1);
    }

    #[test]
    fn a_success_counts_only_with_position_and_checksum() {
        let expected = Proven {
            position: 10,
            crc: Some(77),
        };
        let unknown = Proven {
            crc: None,
            ..expected
        };
        for (expected, next, crc, verdict) in [
            (expected, Some(10), Some(77), Answered::Proven),
            (expected, Some(10), Some(78), Answered::Wrong),
            (expected, Some(11), Some(77), Answered::Wrong),
            (expected, Some(11), None, Answered::Wrong),
            (expected, Some(10), None, Answered::Unproven),
            (expected, None, Some(77), Answered::Unproven),
            (expected, None, Some(78), Answered::Wrong),
            (expected, None, None, Answered::Unproven),
            (unknown, Some(10), Some(77), Answered::Unproven),
            (unknown, Some(9), Some(77), Answered::Wrong),
        ] {
            assert_eq!(judge_answer(expected, next, crc), verdict);
        }
    }
}
