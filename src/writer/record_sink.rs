//! `RecordSink`: what an `Encoder` makes of each item is one record.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use futures::Sink;
use tokio_util::codec::Encoder;

use super::receipt::Receipt;
use super::writer::OssAppendWriter;
use crate::engine::flush::Flush;
use crate::error::{Error, Result};

/// What an encoder's error may be.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// A `futures::Sink` for records, made by
/// [`OssAppendWriter::records`](OssAppendWriter::records) and
/// `RollingWriter::records`: what the encoder makes of each item is one record.
///
/// It has a handle of its own to the writer, as a clone has.
///
/// | call | meaning |
/// |---|---|
/// | `feed` | waits for room, and takes the item in |
/// | `send` | the same, and waits until the record is in the writer's buffer; **not** until it is durable |
/// | `flush` | waits until all records are in the writer's buffer; forces no append |
/// | [`enqueue`](Self::enqueue) | as `send`, and gives a receipt that tells when the record is durable |
/// | [`sync`](Self::sync) | everything accepted is durable on return |
/// | `close` | the same; the writer stays open |
///
/// So no call costs a request of its own: appends are issued by size and time.
/// `tokio_util::codec::FramedWrite`, in contrast, flushes the writer after each `send` and every 8
/// KiB.
///
/// # Records
/// A record goes into one append where the writer keeps records whole: in a
/// [shared](crate::OssAppendWriterBuilder::shared) object no other writer's bytes get into the
/// middle of it, and a sequence of objects does not roll there, whatever bytes the record has. The
/// encoder writes the delimiter, if there is one. An item that is encoded to nothing is not a
/// record, and nothing is written for it.
///
/// # Backpressure
/// The sink is not ready while the buffer of the writer is full. A record that needs more room than
/// there is waits outside the buffer, one for each sink. It counts as
/// [`accepted`](crate::WriterStats::accepted) when it gets in, at the latest when the sink is
/// dropped or the writer is shut down. If the writer fails,
/// [`into_unsent`](OssAppendWriter::into_unsent) gives back what the sink had accepted.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an item that the encoder refuses, with its
/// error as the source, and for a record of more than
/// [`buffer_capacity`](crate::OssAppendWriterBuilder::buffer_capacity) bytes, or
/// [`max_append_size`](crate::OssAppendWriterBuilder::max_append_size) where records are kept whole.
/// Nothing of that item is written, what was taken before stays, and the sink goes on. All other
/// errors are the writer's failure, or [`Closed`](crate::ErrorKind::Closed) after a shutdown.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use futures::SinkExt;
/// use oss_append::OssAppendWriter;
/// use tokio_util::codec::LinesCodec;
///
/// let object = "oss://logs/2026/app.log".parse()?;
/// let mut writer = OssAppendWriter::builder(client, object).open().await?;
/// let mut lines = writer.records(LinesCodec::new());
/// lines.feed("one").await?;
/// let receipt = lines.enqueue("two").await?;
/// lines.sync().await?;
/// println!("{:?}", receipt.written().await?.range);
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "sinks do nothing unless items are sent to them"]
pub struct RecordSink<E> {
    writer: OssAppendWriter,
    encoder: E,
    /// The record that is being encoded.
    encoded: BytesMut,
    /// After the last record there was room for more, so that nobody has to look.
    has_room: bool,
}

/// Nothing is pinned in it.
impl<E> Unpin for RecordSink<E> {}

impl<E> RecordSink<E> {
    pub(crate) fn new(writer: OssAppendWriter, encoder: E) -> Self {
        Self {
            writer,
            encoder,
            encoded: BytesMut::new(),
            has_room: false,
        }
    }

    /// Accepts `item` as one record, as soon as there is room, and returns a receipt that tells
    /// when it is durable and where.
    ///
    /// # Errors
    /// As [above](Self#errors); also [`InvalidInput`](crate::ErrorKind::InvalidInput) for an item
    /// that is encoded to nothing.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing of the item, though
    /// the encoder may have seen it.
    pub async fn enqueue<I>(&mut self, item: I) -> Result<Receipt>
    where
        E: Encoder<I>,
        E::Error: Into<Source>,
    {
        self.has_room = false;
        let encoded = encode(&mut self.encoder, item, &mut self.encoded);
        encoded.map_err(|error| error.with_object(self.writer.object()))?;
        self.writer.enqueue(self.encoded.split().freeze()).await
    }

    /// Makes everything accepted so far durable, through whichever handle it came, at once and in
    /// every flush mode.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe: the append stays on its way.
    pub async fn sync(&mut self) -> Result<()> {
        self.writer.sync().await
    }
}

/// Encodes `item` as a record, the only one in `to`.
#[inline]
pub(crate) fn encode<I, E>(encoder: &mut E, item: I, to: &mut BytesMut) -> Result<()>
where
    E: Encoder<I>,
    E::Error: Into<Source>,
{
    // What the record before has left.
    to.clear();
    encoder
        .encode(item, to)
        .map_err(|error| refused(error.into()))
}

#[cold]
fn refused(error: Source) -> Error {
    Error::invalid_input(format!("the encoder refuses the item: {error}"))
        .with_operation("encode")
        .with_source(error)
}

/// See [`RecordSink`] for what flushing and closing mean.
impl<I, E> Sink<I> for RecordSink<E>
where
    E: Encoder<I>,
    E::Error: Into<Source>,
{
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if !this.has_room {
            ready!(this.writer.poll_room(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: I) -> Result<()> {
        let this = self.get_mut();
        this.has_room = false;
        let encoded = encode(&mut this.encoder, item, &mut this.encoded);
        encoded.map_err(|error| error.with_object(this.writer.object()))?;
        this.has_room = match this.writer.try_record(&this.encoded) {
            Some(has_room) => has_room,
            None => this.writer.take_record(&mut this.encoded)?,
        };
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let writer = &mut self.get_mut().writer;
        ready!(writer.poll_item(cx))?;
        Poll::Ready(writer.shared().lock().check_failed())
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().writer.poll_flushed(cx, Flush::SYNC)
    }
}
