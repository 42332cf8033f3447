//! What a spool copies out of a buffer, takes out of it, and puts in.

use bytes::Bytes;

use super::{Buffer, Chunk};
use crate::engine::flush::Time;

/// Fewer bytes of the segment that is being filled are copied, so that it can go on being filled.
const MIN_SPLIT: u64 = 16 * 1024;

impl Buffer {
    /// The bytes of `from..to`, which stay where they are.
    pub(in crate::writer) fn look(&mut self, from: u64, to: u64) -> Vec<Bytes> {
        let tail_start = self.len - self.tail.len() as u64;
        if to > tail_start && to - from.max(tail_start) >= MIN_SPLIT {
            self.end_tail();
        }
        let mut found = Vec::new();
        let mut end = self.len - self.tail.len() as u64;
        if to > end {
            let part = &self.tail[(from.max(end) - end) as usize..(to - end) as usize];
            found.push(Bytes::copy_from_slice(part));
        }
        // What is looked for came last.
        for chunk in self.chunks.iter().rev() {
            if end <= from {
                break;
            }
            let start = end - chunk.bytes.len() as u64;
            if start < to {
                let part = (from.max(start) - start) as usize..(to.min(end) - start) as usize;
                found.push(chunk.bytes.slice(part));
            }
            end = start;
        }
        found.reverse();
        found
    }

    /// Where records end in `from..=to`, counted from `from`.
    pub(in crate::writer) fn ends(&self, from: u64, to: u64) -> Vec<u64> {
        match &self.ends {
            Some(records) => records.between(from, to),
            None => Vec::new(),
        }
    }

    /// Where the last record ends, if one does.
    pub(in crate::writer) fn last_end(&self) -> Option<u64> {
        match &self.ends {
            Some(records) => records.last_end(),
            None => (self.len > 0).then_some(self.len),
        }
    }

    /// Takes the first `len` bytes out, wherever that cuts a record.
    pub(in crate::writer) fn drain(&mut self, len: u64) -> Vec<Bytes> {
        if let Some(records) = &mut self.ends {
            records.drain(len);
        }
        self.take_len(len)
    }

    /// Puts `bytes` in as they are, in which records end there. They are no older than `since`.
    pub(in crate::writer) fn load(&mut self, bytes: Bytes, ends: &[u64], since: Time) {
        if bytes.is_empty() {
            return;
        }
        self.end_tail();
        if let Some(records) = &mut self.ends {
            records.load(self.len, ends);
        }
        self.len += bytes.len() as u64;
        self.chunks.push_back(Chunk { bytes, since });
    }
}
