//! Positions, by what they count.

use std::ops::{Add, AddAssign, Sub};

/// A count of bytes in what one writer has taken in since its opening, as its callers gave them:
/// before any compression, over all objects of a sequence, and without what others append.
///
/// The default is before the first byte. An offset in an object is another thing: `Proven::position` and the ranges of places are those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamPosition(u64);

impl StreamPosition {
    /// Behind so many bytes.
    #[cfg(test)]
    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// How many bytes are before it.
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
}

impl Add<u64> for StreamPosition {
    type Output = Self;

    fn add(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl AddAssign<u64> for StreamPosition {
    fn add_assign(&mut self, bytes: u64) {
        self.0 += bytes;
    }
}

impl Sub<u64> for StreamPosition {
    type Output = Self;

    fn sub(self, bytes: u64) -> Self {
        Self(self.0 - bytes)
    }
}

/// How many bytes are between the two.
impl Sub for StreamPosition {
    type Output = u64;

    fn sub(self, other: Self) -> u64 {
        self.0 - other.0
    }
}
