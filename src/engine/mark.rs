//! The mark of a writer on the objects that it creates.

/// The random value with which a writer marks what it creates. Bytes, since a number of this size
/// would be aligned to 16.
pub(crate) type Mark = [u8; 16];

/// A mark as it is in the metadata.
pub(crate) fn shown(mark: Mark) -> String {
    hex::encode(mark)
}
