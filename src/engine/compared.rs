//! What a replay has compared with the object but not proven, as far as there is room for it.

use std::collections::VecDeque;

use crate::values::batch::Batch;

/// The last bytes that were only compared. If the replay fails, they can be given back; those before
/// them the source has to supply again.
#[derive(Debug, Default)]
pub(super) struct Compared {
    batches: VecDeque<Batch>,
    len: u64,
}

impl Compared {
    /// How many bytes are kept.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Keeps `batches`, and of all only the last `most` bytes. What is let go has to be dropped after
    /// the lock.
    #[must_use]
    pub(super) fn keep(&mut self, batches: impl Iterator<Item = Batch>, most: u64) -> Vec<Batch> {
        for batch in batches {
            self.len += batch.len();
            self.batches.push_back(batch);
        }
        let mut spent = Vec::new();
        while self.len > most
            && let Some(first) = self.batches.pop_front()
        {
            let over = self.len - most;
            self.len -= over.min(first.len());
            if over < first.len() {
                self.batches.push_front(first.skip(over));
            }
            spent.push(first);
        }
        spent
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> VecDeque<Batch> {
        self.len = 0;
        std::mem::take(&mut self.batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut compared = Compared::default();
        let text = |compared: &Compared| -> String {
            let chunks = compared.batches.iter().flat_map(Batch::chunks);
            chunks.map(|chunk| String::from_utf8_lossy(chunk)).collect()
        };
        for (batch, most, kept) in [
            (Some("abc"), 10, "abc"),
            (Some("defg"), 5, "cdefg"),
            (None, 4, "defg"),
            (Some("hi"), 1, "i"),
            (None, 0, ""),
        ] {
            drop(compared.keep(batch.map(Batch::from).into_iter(), most));
            assert_eq!(
                (text(&compared), compared.len()),
                (kept.into(), kept.len() as u64)
            );
        }
    }
}
