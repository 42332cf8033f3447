//! What a failed writer gives back.

use std::fmt;

use bytes::Bytes;

/// The bytes that a failed writer had accepted and that are not durable, in order.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Unsent {
    /// The position in the object at which the first of them is missing; with compression the
    /// count of raw bytes before it since the opening. In a shared object:
    /// counted without what others have appended since the opening. After a replay that differs:
    /// what was compared before this position is not kept, the replay's source has it.
    pub position: u64,
    /// How many of the first bytes may be in the object nevertheless: the append that failed could
    /// not be looked into. Zero if the rest is certainly missing. With compression these are in the
    /// object as a whole or not at all, or OSS has torn the append: then its beginning is there,
    /// and nothing can be read from there on.
    pub in_doubt: u64,
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
        self.chunks.is_empty()
    }
}

/// Shows the counts, never the bytes.
impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent")
            .field("position", &self.position)
            .field("in_doubt", &self.in_doubt)
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
            chunks: vec![Bytes::from("ab"), Bytes::from("cde")],
        };
        assert_eq!(unsent.len(), 5);
        assert!(!unsent.is_empty());
        let shown = format!("{unsent:?}");
        assert_eq!(shown, "Unsent { position: 7, in_doubt: 2, len: 5 }");
        assert!(Unsent::default().is_empty());
    }
}
