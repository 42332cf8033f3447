//! `Followed`: what came, and where it is.

use std::ops::Range;

use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;

/// Something that was read from a growing object, with its place: a piece of its bytes, a line, or
/// an item of a decoder.
///
/// Store [`checkpoint`](Self::checkpoint) together with what you make of the item, in one
/// transaction, and go on from it after a restart: so each item is processed exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Followed<T> {
    /// The object.
    pub object: ObjectPath,
    /// The position in the object of the item's first byte.
    pub start: u64,
    /// The position after the item's last byte, where the next one begins. Of a line it is after the
    /// line feed.
    pub end: u64,
    /// The CRC-64 of the object's bytes up to `end`, by what was read. `None` where reading began at
    /// a position whose CRC-64 is not known, until the object's end has been reached once.
    pub crc64: Option<u64>,
    /// The item.
    pub item: T,
}

impl<T> Followed<T> {
    /// Which bytes of the object it is.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The point after the item, to go on from there. With its CRC-64, an object that does not begin
    /// with the same bytes any more is refused then.
    pub fn checkpoint(&self) -> Checkpoint {
        let end = Checkpoint::new(self.object.clone(), self.end);
        match self.crc64 {
            Some(crc64) => end.crc64(crc64),
            None => end,
        }
    }
}
