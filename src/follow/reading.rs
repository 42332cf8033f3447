//! One file that is being read: how far, and whether what was read is still there.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::files::{Files, Identity};
use super::lines;
use super::source::Source;
use crate::values::crc64::{checksum, combine};

/// How many bytes before the position are compared before it goes on.
const KEPT: usize = 4096;

/// An object, as long as it is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its number in the sequence; 1 without `{seq}`.
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) crc64: u64,
}

/// What a look at the file has found.
#[derive(Debug)]
pub(super) enum Read {
    /// The next bytes, which are to be [sent](Reading::sent).
    Bytes(Bytes),
    /// No whole line; there may be a part of one.
    Nothing,
    /// What was read is not there any more: the file was truncated.
    Replaced,
}

/// A file and how much of it is in objects.
pub(super) struct Reading<F: Files> {
    /// Where it was when it was opened.
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) source: Source<F>,
    /// Where the first byte is that is sent; `None` while that is not known.
    pub(super) start: Option<u64>,
    /// Up to here it is in objects.
    pub(super) position: u64,
    /// Of the bytes that are in objects.
    pub(super) crc64: u64,
    /// The last of them.
    kept: Bytes,
    /// The longest that it was seen to be.
    pub(super) longest: u64,
    /// Behind this it is not read.
    pub(super) limit: Option<u64>,
    /// Nobody writes to it: a copy, or what was compressed.
    pub(super) finished: bool,
    /// The object that the next bytes go to; `None`: the next one.
    pub(super) head: Option<Head>,
}

impl<F: Files> Reading<F> {
    /// From its beginning.
    pub(super) fn new(path: PathBuf, identity: Identity, source: Source<F>) -> Self {
        Self {
            path,
            identity,
            source,
            start: None,
            position: 0,
            crc64: 0,
            kept: Bytes::new(),
            longest: 0,
            limit: None,
            finished: false,
            head: None,
        }
    }

    /// Goes on behind the first `len` bytes, if those have this checksum.
    pub(super) fn skip(&mut self, files: &F, len: u64, crc64: u64) -> io::Result<bool> {
        let Some(start) = self.find_start(files)? else {
            return Ok(len == 0);
        };
        let kept = len.min(KEPT as u64);
        // Read before the checksum is, which proves it.
        let block = self.source.read(files, start + len - kept, kept as usize)?;
        if self.source.crc64(files, start, len)? != Some(crc64) {
            return Ok(false);
        }
        self.kept = block.into();
        self.position = start + len;
        self.crc64 = crc64;
        Ok(true)
    }

    /// How many of its bytes are in objects.
    pub(super) fn sent_len(&self) -> u64 {
        self.position - self.start.unwrap_or(self.position)
    }

    fn find_start(&mut self, files: &F) -> io::Result<Option<u64>> {
        // Until something was sent it may be truncated unnoticed.
        if self.kept.is_empty() {
            self.start = self.source.start(files)?;
            self.position = self.start.unwrap_or(0);
        }
        Ok(self.start)
    }

    /// The next whole lines, at most `most` bytes. With `all`, also the part of a line at the end.
    pub(super) fn read(&mut self, files: &F, most: usize, all: bool) -> io::Result<Read> {
        let len = self.source.state(files)?.len;
        self.longest = self.longest.max(len);
        if self.find_start(files)?.is_none() {
            return Ok(Read::Nothing);
        }
        let limit = self.limit.unwrap_or(u64::MAX);
        let most = usize::try_from(limit.saturating_sub(self.position))
            .unwrap_or(usize::MAX)
            .min(most);
        let kept = self.kept.len();
        let from = self.position - kept as u64;
        // The length decides nothing: `stat` was seen to be wrong where the file is not.
        let bytes = Bytes::from(self.source.read(files, from, kept + most)?);
        let Some(new) = bytes
            .strip_prefix(&self.kept[..])
            .map(|new| bytes.slice_ref(new))
        else {
            return Ok(Read::Replaced);
        };
        let sent = match all {
            true => new.len(),
            false => lines::whole(&new, most),
        };
        if sent == 0 {
            return Ok(Read::Nothing);
        }
        // If the file was truncated while it was read, and has been filled again, this differs.
        let again = &bytes[..bytes.len().min(kept + KEPT)];
        if !self.source.is_packed() && self.source.read(files, from, again.len())? != again {
            return Ok(Read::Replaced);
        }
        Ok(Read::Bytes(new.slice(..sent)))
    }

    /// These bytes, the next ones, are in its object.
    pub(super) fn sent(&mut self, bytes: &Bytes) {
        let (crc, len) = (checksum(bytes), bytes.len() as u64);
        self.crc64 = combine(self.crc64, crc, len);
        self.position += len;
        if let Some(head) = &mut self.head {
            head.crc64 = combine(head.crc64, crc, len);
            head.length += len;
        }
        let kept = match bytes.len().checked_sub(KEPT) {
            // Not a slice of the whole batch, which it would keep in memory.
            Some(from) => bytes[from..].to_vec(),
            None => {
                let both = [&self.kept[..], bytes].concat();
                both[both.len().saturating_sub(KEPT)..].to_vec()
            }
        };
        self.kept = kept.into();
    }

    /// Whether it has bytes that are in no object.
    pub(super) fn has_more(&self, files: &F) -> io::Result<bool> {
        Ok(self
            .source
            .state(files)?
            .len
            .min(self.limit.unwrap_or(u64::MAX))
            > self.position)
    }
}
