//! A batch: the bytes of one append, as a rope that is frozen and shared without copying.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::crc64;

/// The bytes of one append: a list of [`Bytes`], its length and its CRC-64.
///
/// Cloning shares the bytes. Made from anything that `Bytes` is made from, or from a list of them:
///
/// ```
/// use bytes::Bytes;
/// use oss_append::Batch;
///
/// let batch: Batch = [Bytes::from("hello "), Bytes::from("world")].into_iter().collect();
/// assert_eq!(batch.len(), 11);
/// assert_eq!(batch.crc64(), Batch::from("hello world").crc64());
/// ```
#[derive(Clone)]
pub struct Batch {
    shared: Arc<Shared>,
}

struct Shared {
    /// None of them is empty.
    chunks: Vec<Bytes>,
    len: u64,
    /// Once somebody has asked for it.
    crc: OnceLock<u64>,
}

impl Batch {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        self.shared.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The CRC-64 of the bytes.
    ///
    /// The first call reads them all; what it has found is kept, for all clones.
    pub fn crc64(&self) -> u64 {
        *self.shared.crc.get_or_init(|| self.prefix_crc(self.len()))
    }

    /// What there is to do before [`crc64`](Self::crc64) is known, for those who have other work
    /// in between; `None` if it is known.
    pub(crate) fn sum(&self) -> Option<Sum<'_>> {
        let unknown = self.shared.crc.get().is_none();
        unknown.then(|| Sum {
            batch: self,
            crc: crc64::Crc64::new(),
            chunk: 0,
            offset: 0,
        })
    }

    /// The pieces, none of them empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.shared.chunks
    }

    /// The pieces, if nobody else shares them.
    pub(crate) fn into_chunks(self) -> Vec<Bytes> {
        Arc::into_inner(self.shared)
            .map(|shared| shared.chunks)
            .unwrap_or_default()
    }

    /// The CRC-64 of the first `len` bytes.
    pub(crate) fn prefix_crc(&self, len: u64) -> u64 {
        let mut crc = crc64::Crc64::new();
        let mut left = len;
        for chunk in self.chunks() {
            let take = left.min(chunk.len() as u64);
            crc.update(&chunk[..take as usize]);
            left -= take;
        }
        crc.finish()
    }

    /// The first `len` bytes of the batch.
    pub(crate) fn prefix(&self, len: u64) -> Self {
        let mut left = len;
        let chunks = self.chunks().iter().map_while(|chunk| {
            let take = left.min(chunk.len() as u64);
            left -= take;
            (take > 0).then(|| chunk.slice(..take as usize))
        });
        chunks.collect()
    }

    /// The batch without its first `len` bytes.
    pub(crate) fn skip(&self, len: u64) -> Self {
        let mut left = len;
        self.chunks()
            .iter()
            .map(|chunk| {
                let cut = left.min(chunk.len() as u64);
                left -= cut;
                chunk.slice(cut as usize..)
            })
            .collect()
    }
}

/// A checksum that is computed a part at a time.
pub(crate) struct Sum<'a> {
    batch: &'a Batch,
    crc: crc64::Crc64,
    /// What comes next.
    chunk: usize,
    offset: usize,
}

impl Sum<'_> {
    /// The most bytes of a part: they take some microseconds.
    pub(crate) const PART: usize = 128 * 1024;

    /// Adds the next part. True once the checksum is known.
    pub(crate) fn add_part(&mut self) -> bool {
        let mut left = Self::PART;
        while let Some(chunk) = self.batch.chunks().get(self.chunk) {
            let take = left.min(chunk.len() - self.offset);
            self.crc.update(&chunk[self.offset..self.offset + take]);
            left -= take;
            self.offset += take;
            if self.offset < chunk.len() {
                return false;
            }
            self.chunk += 1;
            self.offset = 0;
        }
        let _ = self.batch.shared.crc.set(self.crc.finish());
        true
    }
}

impl FromIterator<Bytes> for Batch {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        Self::from(Vec::from_iter(chunks))
    }
}

impl From<Vec<Bytes>> for Batch {
    fn from(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        let len = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self {
            shared: Arc::new(Shared {
                chunks,
                len,
                crc: OnceLock::new(),
            }),
        }
    }
}

macro_rules! from_bytes_like {
    ($($from:ty),*) => {$(
        impl From<$from> for Batch {
            fn from(bytes: $from) -> Self {
                Self::from(vec![Bytes::from(bytes)])
            }
        }
    )*};
}

from_bytes_like!(Bytes, Vec<u8>, String, &'static [u8], &'static str);

/// Shows the length and the checksum, never the bytes.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("crc64", &self.crc64())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pieces_are_given_out_to_the_last_that_has_them() {
        let batch = Batch::from(vec![Bytes::from("hello "), Bytes::from("world")]);
        let sent = batch.clone();
        assert!(batch.into_chunks().is_empty());
        assert_eq!(sent.into_chunks(), ["hello ", "world"]);
    }

    #[test]
    fn debug_shows_length_and_checksum_and_no_bytes() {
        let shown = format!("{:?}", Batch::from("abc"));
        assert_eq!(shown, "Batch { len: 3, crc64: 3231342946509354535 }");
    }

    proptest! {
        #[test]
        fn prefix_and_rest_make_the_whole(parts: Vec<Vec<u8>>, at: prop::sample::Index) {
            let whole = parts.concat();
            let batch: Batch = parts.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(batch.len(), whole.len() as u64);
            let mut sum = batch.sum().unwrap();
            while !sum.add_part() {}
            prop_assert!(batch.sum().is_none());
            prop_assert_eq!(batch.crc64(), crc64::checksum(&whole));

            let cut = at.index(whole.len() + 1);
            prop_assert_eq!(batch.prefix_crc(cut as u64), crc64::checksum(&whole[..cut]));
            let first = batch.prefix(cut as u64);
            prop_assert_eq!(first.chunks().concat(), &whole[..cut]);
            let rest = batch.skip(cut as u64);
            prop_assert_eq!(rest.chunks().concat(), &whole[cut..]);
            prop_assert_eq!(rest.crc64(), crc64::checksum(&whole[cut..]));
        }
    }
}
