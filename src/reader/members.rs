//! Decompresses gzip members and zstd frames, one after another, of bytes that come in pieces.
//!
//! The format of each is told by its own first bytes, so that an object of both is read too. Nothing
//! here waits or reads: where bytes are missing, the decoders are told that there are none now
//! (`WouldBlock`), and go on when there are more.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use flate2::bufread::GzDecoder;

use crate::error::{Error, ErrorKind};
use crate::values::format::StoredFormat;

/// How much is decompressed at a time: the most that a frame's block can hold.
pub(super) const PIECE: usize = 128 * 1024;

pub(super) struct Members {
    decoder: Decoder,
    /// Where the present member begins.
    start: u64,
    /// Whatever is decompressed comes here first.
    content: Vec<u8>,
}

enum Decoder {
    /// What begins here is not known yet.
    Between(Input),
    Gzip(GzDecoder<Input>),
    Zstd(zstd::Decoder<'static, Input>),
    /// It has failed.
    Broken,
}

/// Stored bytes that have come and are not decompressed.
#[derive(Debug, Default)]
struct Input {
    bytes: Bytes,
    /// Where they begin in the object.
    position: u64,
    /// No more will come.
    ended: bool,
}

/// What one piece of work has given.
#[derive(Debug)]
pub(super) struct Decompressed {
    /// At most [`PIECE`] bytes.
    pub(super) content: Bytes,
    /// The start of a member: the content of all that is before it is given out with this.
    pub(super) position: u64,
    pub(super) next: Next,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// There is more content.
    GoOn,
    /// Stored bytes are missing.
    Feed,
    /// All was decompressed.
    End,
    Fail(Error),
}

impl Members {
    /// Of an object in which the first of them begins at `start`.
    pub(super) fn new(start: u64) -> Self {
        let input = Input {
            position: start,
            ..Input::default()
        };
        Self {
            decoder: Decoder::Between(input),
            start,
            content: vec![0; PIECE],
        }
    }

    /// Takes the stored bytes that come next.
    pub(super) fn feed(&mut self, bytes: Bytes) {
        if let Some(input) = self.decoder.input() {
            input.bytes = match input.bytes.is_empty() {
                true => bytes,
                // Too few to tell what begins with them.
                false => [&input.bytes[..], &bytes].concat().into(),
            };
        }
    }

    /// No more will come.
    pub(super) fn end(&mut self) {
        if let Some(input) = self.decoder.input() {
            input.ended = true;
        }
    }

    /// Decompresses until there is a piece or nothing more to be had.
    pub(super) fn work(&mut self) -> Decompressed {
        let mut length = 0;
        let next = loop {
            if length == self.content.len() {
                break Next::GoOn;
            }
            match self.step(length) {
                Ok(Step::Given(more)) => length += more,
                Ok(Step::Turned) => {}
                Ok(Step::End) => break Next::End,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Next::Feed,
                Err(error) => break Next::Fail(self.failed(error)),
            }
        };
        Decompressed {
            content: Bytes::copy_from_slice(&self.content[..length]),
            position: self.start,
            next,
        }
    }

    /// Decompresses to behind the first `length` bytes of the content.
    fn step(&mut self, length: usize) -> io::Result<Step> {
        let given = match &mut self.decoder {
            Decoder::Between(input) => {
                if input.bytes.is_empty() && input.ended {
                    return Ok(Step::End);
                }
                if input.bytes.len() < StoredFormat::NEEDED && !input.ended {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.begin()?;
                return Ok(Step::Turned);
            }
            Decoder::Gzip(decoder) => decoder.read(&mut self.content[length..])?,
            Decoder::Zstd(decoder) => decoder.read(&mut self.content[length..])?,
            Decoder::Broken => return Ok(Step::End),
        };
        if given == 0 {
            self.decoder = Decoder::Between(self.take());
            self.start = self.position();
            return Ok(Step::Turned);
        }
        Ok(Step::Given(given))
    }

    /// Begins the next member.
    fn begin(&mut self) -> io::Result<()> {
        let input = self.take();
        let format = StoredFormat::of(&input.bytes);
        self.decoder = match format {
            StoredFormat::Gzip => Decoder::Gzip(GzDecoder::new(input)),
            StoredFormat::Zstd => Decoder::Zstd(zstd::Decoder::with_buffer(input)?.single_frame()),
            StoredFormat::Other => {
                self.decoder = Decoder::Between(input);
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        Ok(())
    }

    /// Takes what has come out of the decoder.
    fn take(&mut self) -> Input {
        match std::mem::replace(&mut self.decoder, Decoder::Broken) {
            Decoder::Between(input) => input,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
            Decoder::Broken => Input::default(),
        }
    }

    /// How far the object was decompressed.
    fn position(&mut self) -> u64 {
        let start = self.start;
        self.decoder.input().map_or(start, |input| input.position)
    }

    fn failed(&mut self, cause: io::Error) -> Error {
        let kind = ErrorKind::Decompression {
            start: self.start,
            format: match self.decoder {
                Decoder::Gzip(_) => StoredFormat::Gzip,
                Decoder::Zstd(_) => StoredFormat::Zstd,
                Decoder::Between(_) | Decoder::Broken => StoredFormat::Other,
            },
            cut: cause.kind() == io::ErrorKind::UnexpectedEof,
        };
        let error = Error::new(kind).with_position(self.position());
        self.decoder = Decoder::Broken;
        match cause.get_ref() {
            Some(_) => error.with_source(cause),
            // It says no more than the kind.
            None => error,
        }
    }
}

enum Step {
    Given(usize),
    /// A member has begun or ended.
    Turned,
    End,
}

impl Decoder {
    fn input(&mut self) -> Option<&mut Input> {
        match self {
            Self::Between(input) => Some(input),
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
            Self::Broken => None,
        }
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buf.len());
        buf[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.bytes.is_empty() && !self.ended {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(&self.bytes),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.advance(amount);
        self.position += amount as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::GzBuilder::new()
            .filename("a name")
            .comment("and more")
            .extra("an extra field")
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn skipped() -> Vec<u8> {
        [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat()
    }

    /// What comes of these pieces, with the positions that are told, and how it ends.
    fn decompress(start: u64, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u64>, Option<Error>) {
        let mut members = Members::new(start);
        let mut pieces = pieces.iter();
        let (mut content, mut positions) = (Vec::new(), Vec::new());
        loop {
            let done = members.work();
            assert!(done.content.len() <= PIECE);
            content.extend_from_slice(&done.content);
            positions.push(done.position);
            match done.next {
                Next::GoOn => {}
                Next::Feed => match pieces.next() {
                    Some(piece) => members.feed(Bytes::copy_from_slice(piece)),
                    None => members.end(),
                },
                Next::End => return (content, positions, None),
                Next::Fail(error) => return (content, positions, Some(error)),
            }
        }
    }

    #[test]
    fn all_members_come_however_they_are_cut_on_the_way() {
        let noise: Vec<u8> = (0..2000_u32).map(|n| (n * n / 7) as u8).collect();
        let stored = [
            gzip(b"one "),
            skipped(),
            zstd(b"two "),
            gzip(b""),
            zstd(&noise),
            gzip(&noise),
            zstd(b""),
        ]
        .concat();
        let expected = [&b"one two "[..], &noise, &noise].concat();
        for length in [1, 2, 3, 5, 64, 1000, stored.len()] {
            let pieces: Vec<_> = stored.chunks(length).collect();
            let (content, positions, error) = decompress(100, &pieces);
            assert!(content == expected, "by {length}: {error:?}");
            assert!(error.is_none() && positions.is_sorted());
            assert_eq!(positions.last(), Some(&(100 + stored.len() as u64)));
        }
    }

    #[test]
    fn what_is_told_with_a_piece_is_the_start_of_the_member_that_goes_on() {
        let (first, second) = (gzip(b"one"), gzip(b"two"));
        let start = 7 + first.len() as u64;
        let cut = second.len() - 9;
        let (_, positions, _) = decompress(7, &[&first, &second[..cut], &second[cut..]]);
        assert_eq!(
            positions,
            [
                7,
                start,
                start,
                start + second.len() as u64,
                start + second.len() as u64
            ]
        );
    }

    #[test]
    fn what_is_packed_tightly_comes_in_pieces() {
        let zeros = vec![0; 20 * PIECE + 1];
        for stored in [gzip(&zeros), zstd(&zeros)] {
            assert!(stored.len() < PIECE);
            let (content, positions, error) = decompress(0, &[&stored]);
            assert!(content == zeros && error.is_none());
            assert!(positions.len() > 20);
            assert!(positions[..20].iter().all(|position| *position == 0));
        }
    }

    #[test]
    fn every_cut_and_every_damage_is_found() {
        for (format, member) in [
            (StoredFormat::Gzip, gzip(b"content")),
            (StoredFormat::Zstd, zstd(b"content")),
        ] {
            let stored = [&zstd(b"before")[..], &member].concat();
            let start = (stored.len() - member.len()) as u64;
            for cut in 4..member.len() {
                let end = start as usize + cut;
                let (content, _, error) = decompress(0, &[&stored[..end]]);
                assert!(
                    content.starts_with(b"before") && b"beforecontent".starts_with(&content[..])
                );
                let error = error.expect("it is cut");
                assert_eq!(
                    error.kind(),
                    &ErrorKind::Decompression {
                        start,
                        format,
                        cut: true
                    }
                );
                assert_eq!(error.position(), Some(end as u64));
            }
            // The last bytes are a checksum, of gzip a length too.
            let mut damaged = stored.clone();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            let (_, _, error) = decompress(0, &[&damaged]);
            let error = error.expect("it is damaged");
            assert_eq!(
                error.kind(),
                &ErrorKind::Decompression {
                    start,
                    format,
                    cut: false
                }
            );
        }
    }

    #[test]
    fn what_is_not_compressed_is_told_behind_what_is() {
        for rest in [&b"a line\n"[..], b"x", b"\x1f"] {
            let stored = [&gzip(b"content")[..], rest].concat();
            let start = (stored.len() - rest.len()) as u64;
            let (content, _, error) = decompress(0, &[&stored]);
            assert_eq!(content, b"content");
            let error = error.unwrap();
            let format = StoredFormat::Other;
            assert_eq!(
                error.kind(),
                &ErrorKind::Decompression {
                    start,
                    format,
                    cut: false
                }
            );
            assert_eq!(error.position(), Some(start));
        }
        assert!(decompress(0, &[]).2.is_none());
    }
}
