//! The bytes of one file, plain or compressed by gzip, with what stands before its first byte left
//! out.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::files::{Files, State};
use crate::values::crc64::{self, Crc64};

const PIECE: usize = 256 * 1024;

/// The first bytes of a gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An open file. It stays the same one, whatever becomes of its name.
pub(super) struct Source<F: Files> {
    file: F::File,
    /// The length of what it was compressed from.
    unpacked: Option<u64>,
}

/// The bytes of a file from one offset on.
struct From<'a, F: Files> {
    files: &'a F,
    file: &'a F::File,
    at: u64,
}

impl<F: Files> Read for From<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.files.read_at(self.file, into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<F: Files> Source<F> {
    /// A file that somebody may be writing.
    pub(super) fn plain(file: F::File) -> Self {
        Self {
            file,
            unpacked: None,
        }
    }

    /// A file that a rotation has left, compressed or not. A compressed one is read through: one that
    /// is not complete yet is an error.
    pub(super) fn rotated(files: &F, file: F::File) -> io::Result<Self> {
        let mut source = Self::plain(file);
        let mut first = [0; 2];
        let read = files.read_at(&source.file, &mut first, 0)?;
        if read == 2 && first == GZIP {
            let len = io::copy(&mut source.unpack(files), &mut io::sink())?;
            source.unpacked = Some(len);
        }
        Ok(source)
    }

    pub(super) fn state(&self, files: &F) -> io::Result<State> {
        let mut state = files.state(&self.file)?;
        state.len = self.unpacked.unwrap_or(state.len);
        Ok(state)
    }

    pub(super) fn is_packed(&self) -> bool {
        self.unpacked.is_some()
    }

    fn unpack<'a>(&'a self, files: &'a F) -> impl Read + 'a {
        MultiGzDecoder::new(BufReader::new(self.plain_from(files, 0)))
    }

    fn plain_from<'a>(&'a self, files: &'a F, at: u64) -> From<'a, F> {
        From {
            files,
            file: &self.file,
            at,
        }
    }

    /// The bytes from `at` on. Of a compressed file those before are unpacked once more.
    fn from<'a>(&'a self, files: &'a F, at: u64) -> io::Result<Box<dyn Read + 'a>> {
        if self.unpacked.is_none() {
            return Ok(Box::new(self.plain_from(files, at)));
        }
        let mut unpacked = self.unpack(files);
        io::copy(&mut unpacked.by_ref().take(at), &mut io::sink())?;
        Ok(Box::new(unpacked))
    }

    /// At most `most` bytes from `at` on, fewer only at the end.
    pub(super) fn read(&self, files: &F, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = self.state(files)?.len.saturating_sub(at);
        let likely = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        // One more, so that the end is found without more room.
        let mut bytes = Vec::with_capacity(likely.saturating_add(1));
        self.from(files, at)?
            .take(most as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Where the first byte is that is not zero; `None` if there is none yet. A writer without
    /// `O_APPEND` leaves zeros, as long as the file was, when that is truncated.
    pub(super) fn start(&self, files: &F) -> io::Result<Option<u64>> {
        let mut reader = self.from(files, 0)?;
        let (mut at, mut piece) = (0, Vec::new());
        loop {
            piece.clear();
            let most = if at == 0 { 4096 } else { PIECE };
            if reader.by_ref().take(most as u64).read_to_end(&mut piece)? == 0 {
                return Ok(None);
            }
            match piece.iter().position(|byte| *byte != 0) {
                Some(first) => return Ok(Some(at + first as u64)),
                None => at += piece.len() as u64,
            }
        }
    }

    /// The CRC-64 of `len` bytes from `start` on; `None` if there are fewer.
    pub(super) fn crc64(&self, files: &F, start: u64, len: u64) -> io::Result<Option<u64>> {
        let mut reader = self.from(files, start)?.take(len);
        let (mut crc, mut piece) = (Crc64::new(), Vec::with_capacity(PIECE));
        let mut left = len;
        while left > 0 {
            piece.clear();
            let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            if read == 0 {
                return Ok(None);
            }
            crc.update(&piece);
            left -= read as u64;
        }
        Ok(Some(crc.finish()))
    }
}

/// The CRC-64 of the parts of a whole, each with its length.
pub(super) fn combined(parts: impl IntoIterator<Item = (u64, u64)>) -> u64 {
    parts
        .into_iter()
        .fold(0, |crc, (len, part)| crc64::combine(crc, part, len))
}
