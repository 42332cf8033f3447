//! What a failed writer gives back.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// The bytes that a failed writer had accepted and that are not durable, in order.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Unsent {
    /// The position in the object at which the first of them belongs. With compression it is the
    /// count of raw bytes before it since the opening. In a shared object it does not count what
    /// others have appended since the opening.
    pub position: u64,
    /// How many of the first bytes may be in the object all the same, or may still land: OSS has
    /// not answered a request for them, and the object does not prove what became of it. Zero if
    /// the bytes are not in the object and cannot get there any more.
    ///
    /// A replay does not know how much its predecessor has sent. Until an append of its own is
    /// durable, this is everything that is given back. With compression, the bytes in doubt are in
    /// the object as a whole or not at all, unless OSS has torn the append: then its beginning is
    /// there, and nothing can be read from there on.
    pub in_doubt: u64,
    /// What is missing before `position`, by the same count: bytes that a replay has compared with
    /// the object, that are not proven to be durable, and that are not in memory any more. The
    /// source has to supply them again. Empty unless a replay has failed.
    pub missing: Range<u64>,
    /// What the writer's [spool](crate::SpoolStats) keeps for the next start, by the same count:
    /// everything that is not durable and was written to disk. `chunks` come after it. Empty
    /// without a spool.
    pub spooled: Range<u64>,
    /// The bytes.
    pub chunks: Vec<Bytes>,
}

impl Unsent {
    /// The number of bytes.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Whether everything accepted is durable.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.missing.is_empty() && self.spooled.is_empty()
    }
}

/// Shows the counts, never the bytes.
impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent")
            .field("position", &self.position)
            .field("in_doubt", &self.in_doubt)
            .field("missing", &self.missing)
            .field("spooled", &self.spooled)
            .field("len", &self.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_its_bytes_and_shows_none_of_them() {
        let unsent = Unsent {
            position: 7,
            in_doubt: 2,
            missing: 4..7,
            spooled: 0..0,
            chunks: vec![Bytes::from("ab"), Bytes::from("cde")],
        };
        assert_eq!(unsent.len(), 5);
        assert!(!unsent.is_empty());
        let shown = format!("{unsent:?}");
        assert_eq!(
            shown,
            "Unsent { position: 7, in_doubt: 2, missing: 4..7, spooled: 0..0, len: 5 }"
        );
        assert!(Unsent::default().is_empty());
    }
}
