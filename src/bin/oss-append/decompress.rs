//! Decompresses what an object holds: all gzip members and zstd frames of it, one after another.
//!
//! What form each has is told by its own first bytes, so that an object of both is read too.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use oss_append::{AppendStore as _, Error, ObjectPath, OssClient, StoredFormat};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::failure::Failure;

/// How much is decompressed at a time, and how many of these wait to be written.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 4;

/// Decompresses `stored`, which begins at `start` of `object`, on a thread of its own. What comes
/// before a failure is given before that.
pub(crate) fn decompress(
    object: &ObjectPath,
    start: u64,
    stored: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> mpsc::Receiver<Result<Bytes, Failure>> {
    let stored = Box::pin(stored.map_err(io::Error::other));
    let stored = SyncIoBridge::new(StreamReader::new(stored));
    let (pieces, received) = mpsc::channel(PIECES);
    let object = object.clone();
    tokio::task::spawn_blocking(move || {
        let mut members = Members {
            stored: Counted {
                inner: stored,
                count: 0,
            },
            start,
        };
        // Nobody reads on where a piece cannot be sent.
        let decoded = members.decode(|piece| pieces.blocking_send(Ok(piece)).is_ok());
        if let Err(failed) = decoded {
            let _ = pieces.blocking_send(Err(failed.of(&object)));
        }
    });
    received
}

/// The form in which the object is, by its first bytes.
pub(crate) async fn stored_format(
    client: &OssClient,
    object: &ObjectPath,
) -> Result<StoredFormat, Error> {
    let first = 0..StoredFormat::NEEDED as u64;
    let read = client.read_range(object, first).await?;
    let first: Vec<Bytes> = read.try_collect().await?;
    Ok(StoredFormat::of(&first.concat()))
}

/// Members and frames, one after another.
struct Members<R> {
    stored: Counted<R>,
    /// Where they begin in the object.
    start: u64,
}

/// Why there is no more.
struct Failed {
    /// Where the member begins, and as what it does.
    member: u64,
    format: StoredFormat,
    /// How far it was read.
    position: u64,
    cause: io::Error,
}

impl<R: BufRead> Members<R> {
    /// Gives all that they hold to `give`, until that wants no more.
    fn decode(&mut self, mut give: impl FnMut(Bytes) -> bool) -> Result<(), Failed> {
        loop {
            let member = self.position();
            let mut format = StoredFormat::Other;
            let decoded = self.decode_one(&mut format, &mut give);
            match decoded {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(cause) => {
                    return Err(Failed {
                        member,
                        format,
                        position: self.position(),
                        cause,
                    });
                }
            }
        }
    }

    /// Decodes the next. Whether there may be another.
    fn decode_one(
        &mut self,
        format: &mut StoredFormat,
        give: &mut impl FnMut(Bytes) -> bool,
    ) -> io::Result<bool> {
        let mut first = Vec::new();
        let needed = StoredFormat::NEEDED as u64;
        (&mut self.stored).take(needed).read_to_end(&mut first)?;
        if first.is_empty() {
            return Ok(false);
        }
        *format = StoredFormat::of(&first);
        // The decoders begin with what was read for that.
        let stored = first.as_slice().chain(&mut self.stored);
        match format {
            StoredFormat::Gzip => pour(flate2::bufread::GzDecoder::new(stored), give),
            StoredFormat::Zstd => pour(zstd::Decoder::with_buffer(stored)?.single_frame(), give),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn position(&self) -> u64 {
        self.start + self.stored.count
    }
}

/// Gives all that `decoder` does. Whether more is wanted.
fn pour(mut decoder: impl Read, give: &mut impl FnMut(Bytes) -> bool) -> io::Result<bool> {
    loop {
        let mut piece = vec![0; PIECE];
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(length) => {
                piece.truncate(length);
                if !give(piece.into()) {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Failed {
    fn of(self, object: &ObjectPath) -> Failure {
        let Self {
            member,
            format,
            position,
            cause,
        } = self;
        if let Some(error) = Error::from_io(&cause) {
            return Failure::of_request(error, "oss:GetObject");
        }
        if format == StoredFormat::Other {
            return Failure::local(format!(
                "{object} is not compressed by gzip or zstd from position {member} on; what is \
                 before that was written"
            ));
        }
        let end = match cause.kind() {
            io::ErrorKind::UnexpectedEof => format!("it is cut at {position}"),
            _ => format!("it cannot be decompressed, which was found before {position}: {cause}"),
        };
        Failure::local(format!(
            "{object}: what is compressed by {format} at position {member} is not whole: {end}; \
             what is before that was written"
        ))
    }
}

/// A reader that counts what was read of it.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buf)?;
        self.count += length as u64;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.inner.consume(amount);
    }
}
