//! What is compressed is decompressed, and compressed anew as one member or frame.
//!
//! The codecs block, so they run on a thread, with a bounded channel on either side.

use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use tokio::sync::mpsc;

use super::run::{Content, Run, Source};
use crate::drive::thread::in_thread;
use crate::error::{Error, ErrorKind, Result};
use crate::reader::ObjectReader;
use crate::stage::compression::Compression;
use crate::values::crc64::{Crc64, combine};
use crate::values::format::StoredFormat;
use crate::values::path::ObjectPath;

/// How many pieces that were read wait to be decompressed.
const PIECES: usize = 4;

impl Run {
    /// Makes the new object of the content, compressed anew. It is read back before this returns.
    pub(super) async fn recompress(
        &self,
        source: &Source,
        compression: Compression,
    ) -> Result<Content> {
        if self.properties(source).is_encoded()
            && matches!(compression, Compression::Zstd { level } if level >= 20)
        {
            return Err(Error::invalid_input(
                "the object has a content encoding, and HTTP clients decode no window as large as \
                 that of zstd from level 20 on: take level 19",
            ));
        }
        let upload = self.initiate(source).await?;
        let made = async {
            let (parts, plain, made) = self.recompress_parts(&upload, source, compression).await?;
            self.complete(&upload, parts, source, made).await?;
            self.compare(plain).await?;
            Ok(made)
        };
        let made = made.await;
        self.ended(&upload, made).await
    }

    /// Uploads the parts. Gives also what is in them, and what they are together.
    async fn recompress_parts(
        &self,
        upload: &super::copy::Upload,
        source: &Source,
        compression: Compression,
    ) -> Result<(Vec<crate::client::UploadedPart>, Content, Content)> {
        let size = self.part_size(source.content.length);
        let reader = self.read_source(source).await?;
        let (give, mut given) = mpsc::channel(1);
        let recoded = with_bytes(reader, move |stored| {
            let mut parts = Parts::new(size, give);
            let plain = recompress(stored, compression, &mut parts)?;
            Ok((plain, parts.finish()?))
        });
        let parts = stream::poll_fn(move |cx| given.poll_recv(cx)).map(Ok);
        // The thread ends where the parts are not wanted any more.
        let (recoded, uploaded) = tokio::join!(recoded, self.upload_parts(upload, parts));
        let uploaded = uploaded?;
        let (plain, made) = recoded.map_err(|failed| failed.of(&self.options.source))?;
        Ok((uploaded, plain, made))
    }

    /// Compares what is in the new object with what is in the old one.
    pub(super) async fn check_recompressed(&self, source: &Source) -> Result<()> {
        let reader = self.read_source(source).await?;
        let plain = with_bytes(reader, content).await;
        let plain = plain.map_err(|failed| failed.of(&self.options.source))?;
        self.compare(plain).await
    }

    /// Reads the new object back.
    async fn compare(&self, expected: Content) -> Result<()> {
        let reader = self.read(&self.target).await?;
        let found = with_bytes(reader, content).await;
        let found = found.map_err(|failed| failed.of(&self.target))?;
        match found == expected {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Checksum {
                expected_position: expected.length,
                found_position: found.length,
                expected_crc64: Some(expected.crc64),
                found_crc64: Some(found.crc64),
            })
            .with_object(&self.target)
            .with_advice(Some(
                "its content is not that of the object that was compacted, which is kept",
            ))),
        }
    }
}

/// Why bytes did not become others.
enum Failed {
    Read(Error),
    Codec(io::Error),
}

impl Failed {
    fn of(self, object: &ObjectPath) -> Error {
        match self {
            Self::Read(error) => error,
            Self::Codec(error) => Error::invalid_input(format!(
                "what is in {object} cannot be decompressed whole, or compressed: {error}"
            ))
            .with_source(error),
        }
    }
}

/// Gives the bytes of an object to `work`, on a thread.
async fn with_bytes<T: Send + 'static>(
    mut reader: ObjectReader,
    work: impl FnOnce(&mut Received) -> io::Result<T> + Send + 'static,
) -> Result<T, Failed> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let worked = in_thread(move || {
        let mut received = Received {
            pieces,
            rest: Bytes::new(),
            ended: false,
        };
        work(&mut received)
    });
    let read = async move {
        while let Some(piece) = reader.next().await {
            // Whoever does not take it tells why.
            if sender.send(Some(piece?)).await.is_err() {
                break;
            }
        }
        // The end, which a sender that is dropped is not.
        let _ = sender.send(None).await;
        Ok::<_, Error>(())
    };
    let (worked, read) = tokio::join!(worked, read);
    read.map_err(Failed::Read)?;
    worked.map_err(Failed::Codec)
}

/// The bytes as they come, for a thread.
struct Received {
    pieces: mpsc::Receiver<Option<Bytes>>,
    rest: Bytes,
    ended: bool,
}

impl BufRead for Received {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.rest = piece,
                Some(None) => self.ended = true,
                // Reading has failed, and says why.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.rest)
    }

    fn consume(&mut self, amount: usize) {
        let _ = self.rest.split_to(amount);
    }
}

impl Read for Received {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buf.len());
        buf[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// What is written, in parts of the same length but for the last.
struct Parts {
    size: usize,
    part: Vec<u8>,
    give: mpsc::Sender<Bytes>,
    made: Content,
}

impl Parts {
    fn new(size: u64, give: mpsc::Sender<Bytes>) -> Self {
        Self {
            size: usize::try_from(size).unwrap_or(usize::MAX),
            part: Vec::new(),
            give,
            made: Content {
                length: 0,
                crc64: 0,
            },
        }
    }

    fn give(&mut self) -> io::Result<()> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let (length, crc64) = (part.len() as u64, crate::values::crc64::checksum(&part));
        self.made = Content {
            length: self.made.length + length,
            crc64: combine(self.made.crc64, crc64, length),
        };
        let given = self.give.blocking_send(part);
        given.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Gives the last part, and tells what all are together.
    fn finish(mut self) -> io::Result<Content> {
        if !self.part.is_empty() {
            self.give()?;
        }
        Ok(self.made)
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.size - self.part.len());
        self.part.extend_from_slice(&bytes[..length]);
        if self.part.len() == self.size {
            self.give()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses what is in `stored` to `out`. Gives what that is.
fn recompress(
    stored: &mut impl BufRead,
    compression: Compression,
    out: impl Write,
) -> io::Result<Content> {
    match compression {
        Compression::Gzip { level } => {
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            let plain = decode(stored, &mut encoder)?;
            encoder.finish()?;
            Ok(plain)
        }
        Compression::Zstd { level } => {
            let mut encoder = zstd::Encoder::new(out, level)?;
            encoder.include_checksum(true)?;
            let plain = decode(stored, &mut encoder)?;
            encoder.finish()?;
            Ok(plain)
        }
    }
}

/// What is in `stored`.
fn content(stored: &mut impl BufRead) -> io::Result<Content> {
    decode(stored, io::sink())
}

/// Writes what is in `stored` to `out`: all gzip members and zstd frames of it, one after another, or
/// the bytes themselves where they do not begin as one.
fn decode(stored: &mut impl BufRead, out: impl Write) -> io::Result<Content> {
    let mut plain = Plain {
        out,
        length: 0,
        crc: Crc64::new(),
    };
    let mut is_first = true;
    loop {
        let mut first = Vec::new();
        let needed = StoredFormat::NEEDED as u64;
        stored.by_ref().take(needed).read_to_end(&mut first)?;
        let member = first.as_slice().chain(&mut *stored);
        match StoredFormat::of(&first) {
            _ if first.is_empty() => break,
            StoredFormat::Gzip => {
                io::copy(&mut flate2::bufread::GzDecoder::new(member), &mut plain)?;
            }
            StoredFormat::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(member)?.single_frame();
                io::copy(&mut decoder, &mut plain)?;
            }
            StoredFormat::Other if is_first => {
                io::copy(&mut { member }, &mut plain)?;
            }
            StoredFormat::Other => {
                let reason = "what follows a member or frame is neither";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        is_first = false;
    }
    Ok(Content {
        length: plain.length,
        crc64: plain.crc.finish(),
    })
}

/// Counts and sums up what is written.
struct Plain<W> {
    out: W,
    length: u64,
    crc: Crc64,
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.length += length as u64;
        self.crc.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
