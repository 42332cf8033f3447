//! A batch: the bytes of one append, as a rope that is frozen and shared without copying.

use std::fmt;
use std::io::IoSlice;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};

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
    pub(crate) fn sum(&self) -> Option<Sum> {
        let unknown = self.shared.crc.get().is_none();
        unknown.then(|| Sum {
            rest: self.cursor(),
            crc: crc64::Crc64::new(),
        })
    }

    /// One after the other, with the checksum that follows from theirs.
    pub(crate) fn join<'a>(batches: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let chunks = batches.clone().flat_map(|batch| batch.chunks().to_vec());
        let joined: Self = chunks.collect();
        let crc = batches.fold(0, |crc, batch| {
            crc64::combine(crc, batch.crc64(), batch.len())
        });
        let _ = joined.shared.crc.set(crc);
        joined
    }

    /// A walk over the bytes from the first one on.
    pub(crate) fn cursor(&self) -> BatchCursor {
        BatchCursor {
            left: self.len(),
            batch: self.clone(),
            chunk: 0,
            offset: 0,
        }
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
        let mut cursor = self.cursor();
        cursor.truncate(len);
        while cursor.has_remaining() {
            let piece = cursor.chunk();
            crc.update(piece);
            cursor.advance(piece.len());
        }
        crc.finish()
    }

    /// The first `len` bytes of the batch.
    pub(crate) fn prefix(&self, len: u64) -> Self {
        let mut cursor = self.cursor();
        cursor.truncate(len);
        cursor.collect()
    }

    /// The batch without its first `len` bytes.
    pub(crate) fn skip(&self, len: u64) -> Self {
        let mut cursor = self.cursor();
        cursor.go_past(len);
        cursor.collect()
    }
}

/// A walk over the bytes of a batch, without copying. As an iterator it gives the pieces that are
/// left.
#[derive(Clone, Debug)]
pub(crate) struct BatchCursor {
    batch: Batch,
    /// Where the next byte is.
    chunk: usize,
    offset: usize,
    /// How many bytes come yet.
    left: u64,
}

impl BatchCursor {
    /// Ends the walk after at most `len` bytes more.
    pub(crate) fn truncate(&mut self, len: u64) {
        self.left = self.left.min(len);
    }

    /// Goes past at most `len` bytes.
    fn go_past(&mut self, len: u64) {
        let mut left = len.min(self.left);
        while left > 0 {
            let piece = self
                .chunk()
                .len()
                .min(left.try_into().unwrap_or(usize::MAX));
            self.advance(piece);
            left -= piece as u64;
        }
    }

    /// The next bytes that are together, at most `most` of them.
    pub(crate) fn next_piece(&mut self, most: usize) -> Option<Bytes> {
        let len = self.chunk().len().min(most);
        let chunk = self.batch.chunks().get(self.chunk).filter(|_| len > 0)?;
        let piece = chunk.slice(self.offset..self.offset + len);
        self.advance(len);
        Some(piece)
    }

    /// Whether `bytes` come next. Goes past them if they do.
    pub(crate) fn matches(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let own = self.chunk();
            let len = own.len().min(bytes.len());
            if len == 0 || own[..len] != bytes[..len] {
                return false;
            }
            bytes = &bytes[len..];
            self.advance(len);
        }
        true
    }
}

impl Buf for BatchCursor {
    fn remaining(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    fn chunk(&self) -> &[u8] {
        let chunk = self.batch.chunks().get(self.chunk);
        let rest = chunk.map_or(&[][..], |chunk| &chunk[self.offset..]);
        &rest[..rest.len().min(self.remaining())]
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let chunks = self.batch.chunks().get(self.chunk..).unwrap_or_default();
        let (mut left, mut offset, mut count) = (self.remaining(), self.offset, 0);
        for (place, chunk) in to.iter_mut().zip(chunks) {
            let rest = &chunk[std::mem::take(&mut offset)..];
            let rest = &rest[..rest.len().min(left)];
            *place = IoSlice::new(rest);
            (left, count) = (left - rest.len(), count + 1);
            if left == 0 {
                break;
            }
        }
        count
    }

    fn advance(&mut self, count: usize) {
        let mut count = count;
        self.left = (self.left.checked_sub(count as u64)).expect("no more than what is left");
        while let Some(chunk) = self.batch.chunks().get(self.chunk) {
            let rest = chunk.len() - self.offset;
            if count < rest {
                self.offset += count;
                return;
            }
            count -= rest;
            (self.chunk, self.offset) = (self.chunk + 1, 0);
        }
    }
}

impl Iterator for BatchCursor {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.next_piece(usize::MAX)
    }
}

/// A checksum that is computed a part at a time.
pub(crate) struct Sum {
    rest: BatchCursor,
    crc: crc64::Crc64,
}

impl Sum {
    /// The most bytes of a part: they take some microseconds.
    pub(crate) const PART: usize = 128 * 1024;

    /// Adds the next part. True once the checksum is known.
    pub(crate) fn add_part(&mut self) -> bool {
        let mut left = Self::PART;
        while left > 0 && self.rest.has_remaining() {
            let piece = self.rest.chunk();
            let len = piece.len().min(left);
            self.crc.update(&piece[..len]);
            self.rest.advance(len);
            left -= len;
        }
        if self.rest.has_remaining() {
            return false;
        }
        let _ = self.rest.batch.shared.crc.set(self.crc.finish());
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

    #[test]
    fn pieces_are_written_together_from_where_the_cursor_is() {
        let batch: Batch = ["ab", "cde", "f"].into_iter().map(Bytes::from).collect();
        for start in 0..=6 {
            for end in start..=6 {
                let mut cursor = batch.cursor();
                cursor.advance(start);
                cursor.truncate((end - start) as u64);
                for most in 0..4 {
                    let mut slices = vec![IoSlice::new(b"not set"); most];
                    let count = cursor.chunks_vectored(&mut slices);
                    let together = slices[..count]
                        .iter()
                        .flat_map(|slice| slice.iter().copied());
                    let together: Vec<u8> = together.collect();
                    let expected = &b"abcdef"[start..end];
                    assert!(expected.starts_with(&together), "{together:?}");
                    assert!(most < 3 || together == expected, "{together:?}");
                    assert!(most == 0 || expected.is_empty() || !together.is_empty());
                }
            }
        }
    }

    #[test]
    fn content_is_compared_across_pieces() {
        let batch: Batch = ["ab", "cde", "f"].into_iter().map(Bytes::from).collect();
        let pieces = |pieces: &[&str]| {
            let mut cursor = batch.cursor();
            pieces.iter().all(|piece| cursor.matches(piece.as_bytes()))
        };
        assert!(pieces(&["abcdef"]));
        assert!(pieces(&["a", "bcd", "ef"]));
        assert!(!pieces(&["a", "bXd", "ef"]));
        assert!(!pieces(&["abcdefg"]));
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

            let mut cursor = batch.cursor();
            prop_assert!(cursor.matches(&whole[..cut]));
            prop_assert_eq!(cursor.remaining(), whole.len() - cut);
            prop_assert!(!cursor.clone().matches(&[&whole[cut..], b"x"].concat()));
            prop_assert_eq!(cursor.copy_to_bytes(whole.len() - cut), &whole[cut..]);
            prop_assert_eq!(cursor.next_piece(1), None);
        }
    }
}
