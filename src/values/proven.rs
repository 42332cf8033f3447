//! What is proven of an object: its length, and the CRC-64 chain over it.

use super::batch::Batch;
use super::crc64;
use super::position::ObjectPosition;

/// A proven prefix of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Its length in bytes: the position of the next append.
    pub(crate) position: ObjectPosition,
    /// Its CRC-64; unknown behind an endpoint that gives none.
    pub(crate) crc: Option<u64>,
}

impl Default for Proven {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Proven {
    /// The object before its first byte.
    pub(crate) const EMPTY: Self = Self {
        position: ObjectPosition::new(0),
        crc: Some(0),
    };

    /// A prefix of that length, whose checksum is not known.
    pub(crate) fn unknown(position: ObjectPosition) -> Self {
        Self {
            position,
            crc: (position.bytes() == 0).then_some(0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_equals_the_checksum_of_the_whole() {
        let hello = Proven::EMPTY.after(&Batch::from("hello "));
        let whole = hello.after(&Batch::from("world"));
        assert_eq!(whole.position.bytes(), 11);
        assert_eq!(whole.crc, Some(crc64::checksum(b"hello world")));
        assert_eq!(hello.after_prefix(&Batch::from("world"), 5), whole);
        assert_eq!(hello.after_prefix(&Batch::from("world wide"), 5), whole);
    }

    #[test]
    fn positions_beyond_four_gib_are_exact() {
        let far = Proven {
            position: ObjectPosition::new((4 << 30) - 1),
            crc: Some(7),
        };
        assert_eq!(
            far.after(&Batch::from("ab")).position.bytes(),
            (4 << 30) + 1
        );
    }
}
