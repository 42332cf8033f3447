//! `ObjectReader`: what a program reads from.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::builder::ObjectReaderBuilder;
use super::content::{Content, Piece};
use super::fixed::Fixed;
use super::source::Stored;
use crate::client::OssClient;
use crate::error::Result;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;

/// Reads an object, or a range of it, whatever breaks meanwhile: a tokio [`AsyncRead`] and
/// [`AsyncBufRead`], and a [`Stream`] of [`Bytes`].
///
/// ```no_run
/// use oss_append::{ObjectReader, OssClient};
/// use tokio::io::AsyncReadExt as _;
///
/// # async fn example(client: OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// let object = "oss://my-bucket/logs/app.log".parse()?;
/// let mut reader = ObjectReader::builder(client, object).open().await?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text).await?;
/// # Ok(())
/// # }
/// ```
///
/// # What is read
/// The first answer fixes what the object is: its length and CRC-64. If others append meanwhile,
/// what they add is not read; a later reader [goes on](ObjectReaderBuilder::checkpoint) from
/// [`checkpoint`](Self::checkpoint).
///
/// A request that fails, stands still or ends early is followed by another for what is missing,
/// as patiently as a writer tries to deliver: see
/// [`delivery_timeout`](ObjectReaderBuilder::delivery_timeout). Each answer has to be of the same
/// object. One that was replaced, shortened or removed is an error, and so are bytes that do not have
/// the object's CRC-64.
///
/// That is compared at the end of a whole object, and of what was appended after a checkpoint with
/// its CRC-64, before the last bytes are given out. For other ranges OSS names no checksum:
/// [`is_compared`](Self::is_compared) tells. Without it, an appendable object that is replaced by a
/// longer one between two requests is found by its type and by the mark of
/// [its creator](crate::ObjectOptions::CREATOR) alone.
///
/// # Decompression
/// With `ObjectReaderBuilder::decompress` (feature `compression`) the reader gives out
/// what the object's gzip members and zstd frames hold. Each append of a writer with
/// `Compression` is one of these, and is where a receipt or a checkpoint says, so that a reader may
/// begin there:
///
/// ```no_run
/// # #[cfg(feature = "compression")] {
/// use oss_append::{Checkpoint, ObjectReader, OssClient};
/// use tokio::io::AsyncBufReadExt as _;
///
/// # async fn example(client: OssClient, done: Checkpoint) -> Result<(), Box<dyn std::error::Error>> {
/// let object = "oss://my-bucket/logs/app.log.zst".parse()?;
/// let reader = ObjectReader::builder(client, object)
///     .checkpoint(done)
///     .decompress(true)
///     .open()
///     .await?;
/// let next = reader.checkpoint();
/// let mut lines = reader.lines();
/// while let Some(line) = lines.next_line().await? {
///     println!("{line}");
/// }
/// // All of it was right: the next reader begins at `next`.
/// # let _: Checkpoint = next;
/// # Ok(())
/// # }
/// # }
/// ```
///
/// # Errors
/// What a program sees is an error, or the right bytes, and after those the end. As an
/// [`AsyncRead`], the reader gives its error as an `io::Error`
/// ([`Error::from_io`](crate::Error::from_io) gives it back), and gives it again each time. As a
/// [`Stream`], it ends after the error.
///
/// - [`Conflict`](crate::ErrorKind::Conflict): the object was
///   [replaced](crate::ConflictCause::Replaced) or [removed](crate::ConflictCause::Gone) while it was
///   read.
/// - [`ReadDiffers`](crate::ErrorKind::ReadDiffers): the bytes do not have the object's CRC-64.
///   Those that were given out before are not to be trusted.
/// - [`Decompression`](crate::ErrorKind::Decompression): what is to be decompressed is not compressed,
///   damaged, or cut. The content before it was given out.
/// - [`RetriesExhausted`](crate::ErrorKind::RetriesExhausted): not a byte came for as long as the
///   `delivery_timeout` says.
/// - What OSS said, where trying again would not help.
///
/// # Cancel safety
/// A read that is dropped loses nothing: what has come stays in the reader. Requests are made while
/// the reader is polled, and with [`read_ahead`](ObjectReaderBuilder::read_ahead) by its tasks;
/// dropping it ends them and closes their connections, unless it is at its end.
pub struct ObjectReader {
    object: ObjectPath,
    /// What the object was when reading began.
    found: Fixed,
    range: Range<u64>,
    content: Content<Stored>,
    /// What has come and is not given out.
    rest: Piece,
    /// Where the object is to be read on from `rest` on.
    position: u64,
    /// Nothing more comes of the stream.
    ended: bool,
}

impl ObjectReader {
    /// Prepares to read `object`: all of it, unless told otherwise.
    pub fn builder(client: OssClient, object: ObjectPath) -> ObjectReaderBuilder {
        ObjectReaderBuilder::new(client, object)
    }

    pub(super) fn new(
        object: ObjectPath,
        found: Fixed,
        range: Range<u64>,
        content: Content<Stored>,
    ) -> Self {
        Self {
            object,
            found,
            position: range.start,
            range,
            content,
            rest: Piece::default(),
            ended: false,
        }
    }

    /// The object.
    pub fn object(&self) -> &ObjectPath {
        &self.object
    }

    /// Which bytes of the object are read, by their positions.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The position in the object of the next byte that is given out. Of what is
    /// [decompressed](#decompression), where the member begins that it is in, or one before that.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The length of the object in bytes, as it was when reading began.
    pub fn object_length(&self) -> u64 {
        self.found.length()
    }

    /// Whether what is read is compared with the object's CRC-64: it is the whole object, or all
    /// that was appended after a checkpoint with its CRC-64, and OSS has named that of the object. If
    /// so, the end is given only where they are equal.
    pub fn is_compared(&self) -> bool {
        self.content.compares()
    }

    /// The end of what is read, to read on from there later. It has the object's CRC-64 if it is the
    /// object's end.
    pub fn checkpoint(&self) -> Checkpoint {
        let end = Checkpoint::new(self.object.clone(), self.range.end);
        match self.found.crc64() {
            Some(crc64) if self.range.end == self.found.length() => end.crc64(crc64),
            _ => end,
        }
    }

    /// Ready once there is something in `rest`, or nothing comes any more.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.rest.bytes.is_empty() {
            match ready!(self.content.poll_piece(cx))? {
                Some(piece) => self.rest = piece,
                // Also behind members that hold nothing.
                None => self.position = self.range.end,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// So many bytes of `rest` are given out.
    fn given(&mut self, amount: usize) -> Bytes {
        let given = self.rest.bytes.split_to(amount);
        self.position = match self.rest.position {
            None => self.position + amount as u64,
            Some(position) if self.rest.bytes.is_empty() => position,
            Some(_) => self.position,
        };
        given
    }
}

impl AsyncRead for ObjectReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = {
            let rest = ready!(self.as_mut().poll_fill_buf(cx))?;
            let length = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..length]);
            length
        };
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for ObjectReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let reader = self.get_mut();
        ready!(reader.poll_rest(cx))?;
        Poll::Ready(Ok(&reader.rest.bytes))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.given(amount);
    }
}

/// The bytes as they come, never an empty piece.
impl Stream for ObjectReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Err(error) = ready!(self.poll_rest(cx)) {
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        let length = self.rest.bytes.len();
        let chunk = self.given(length);
        self.ended = chunk.is_empty();
        Poll::Ready((!chunk.is_empty()).then_some(Ok(chunk)))
    }
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader")
            .field("object", &format_args!("{}", self.object))
            .field("range", &self.range)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
