//! Positions, by what they count.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(u64);

        impl $name {
            /// How many bytes are before it.
            pub(crate) const fn bytes(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Add<u64> for $name {
            type Output = Self;

            fn add(self, bytes: u64) -> Self {
                Self(self.0 + bytes)
            }
        }

        impl AddAssign<u64> for $name {
            fn add_assign(&mut self, bytes: u64) {
                self.0 += bytes;
            }
        }

        impl Sub<u64> for $name {
            type Output = Self;

            fn sub(self, bytes: u64) -> Self {
                Self(self.0 - bytes)
            }
        }

        /// How many bytes are between the two.
        impl Sub for $name {
            type Output = u64;

            fn sub(self, other: Self) -> u64 {
                self.0 - other.0
            }
        }
    };
}

position! {
    /// A count of bytes in what one writer has taken in since its opening, as its callers gave them:
    /// before any compression, over all objects of a sequence, and without what others append.
    ///
    /// The default is before the first byte.
    StreamPosition
}

position! {
    /// An offset in one object, in bytes as they are stored.
    ///
    /// The default is the object's beginning.
    ObjectPosition
}

impl ObjectPosition {
    /// Behind so many bytes.
    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
impl StreamPosition {
    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }
}
