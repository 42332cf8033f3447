//! A batch: the bytes of one append, as a rope that is frozen and shared without copying.

use std::fmt;
use std::sync::Arc;

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
    chunks: Arc<[Bytes]>,
    len: u64,
    crc: u64,
}

impl Batch {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The CRC-64 of the bytes.
    pub fn crc64(&self) -> u64 {
        self.crc
    }

    /// The pieces, none of them empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The pieces, if nobody else shares them.
    pub(crate) fn into_chunks(mut self) -> Vec<Bytes> {
        Arc::get_mut(&mut self.chunks)
            .map(|chunks| chunks.iter_mut().map(std::mem::take).collect())
            .unwrap_or_default()
    }

    /// The CRC-64 of the first `len` bytes.
    pub(crate) fn prefix_crc(&self, len: u64) -> u64 {
        let mut crc = crc64::Crc64::new();
        let mut left = len;
        for chunk in &*self.chunks {
            let take = left.min(chunk.len() as u64);
            crc.update(&chunk[..take as usize]);
            left -= take;
        }
        crc.finish()
    }

    /// The batch without its first `len` bytes.
    pub(crate) fn skip(&self, len: u64) -> Self {
        let mut left = len;
        self.chunks
            .iter()
            .map(|chunk| {
                let cut = left.min(chunk.len() as u64);
                left -= cut;
                chunk.slice(cut as usize..)
            })
            .collect()
    }
}

impl FromIterator<Bytes> for Batch {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let chunks: Arc<[Bytes]> = chunks.into_iter().filter(|c| !c.is_empty()).collect();
        let mut crc = crc64::Crc64::new();
        let mut len = 0;
        for chunk in &*chunks {
            crc.update(chunk);
            len += chunk.len() as u64;
        }
        Self {
            chunks,
            len,
            crc: crc.finish(),
        }
    }
}

impl From<Vec<Bytes>> for Batch {
    fn from(chunks: Vec<Bytes>) -> Self {
        chunks.into_iter().collect()
    }
}

macro_rules! from_bytes_like {
    ($($from:ty),*) => {$(
        impl From<$from> for Batch {
            fn from(bytes: $from) -> Self {
                Self::from_iter([Bytes::from(bytes)])
            }
        }
    )*};
}

from_bytes_like!(Bytes, Vec<u8>, String, &'static [u8], &'static str);

/// Shows the length and the checksum, never the bytes.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len)
            .field("crc64", &self.crc)
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
            prop_assert_eq!(batch.crc64(), crc64::checksum(&whole));

            let cut = at.index(whole.len() + 1);
            prop_assert_eq!(batch.prefix_crc(cut as u64), crc64::checksum(&whole[..cut]));
            let rest = batch.skip(cut as u64);
            prop_assert_eq!(rest.chunks().concat(), &whole[cut..]);
            prop_assert_eq!(rest.crc64(), crc64::checksum(&whole[cut..]));
        }
    }
}
