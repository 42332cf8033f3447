//! `RollingWriter`: the handle.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Sink;
use tokio::io::AsyncWrite;

use super::builder::{Prepared, RollingWriterBuilder};
use super::standing::{Standing, State};
use crate::error::{Error, Result};
use crate::stage::RollReason;
use crate::store::AppendStore;
use crate::values::checkpoint::Checkpoint;
use crate::writer::{DurablePositions, OssAppendWriter, Receipt, RecordSink, Unsent, WriterStats};

/// Streams records into a sequence of objects: a tokio [`AsyncWrite`] and a `Sink` of `Bytes` that
/// goes on in the next object when the present one has its size, when a period ends, when it is
/// asked to, and when the present one takes no more appends.
///
/// Everything that holds for an [`OssAppendWriter`] holds for the sequence: what is written is
/// gathered and appended, each byte lands exactly once and in order, and the buffer's capacity is
/// the limit for all of it, also during a roll.
///
/// # Keys
/// Objects are named by a [`KeyTemplate`](crate::KeyTemplate), such as
/// `app/%Y-%m-%d/{host}-{seq:4}.log`. They are created by their first byte.
///
/// # Records
/// A record is never split between two objects by a roll, and not between two appends either, so
/// that nothing gets in its midst. By default records are lines; see
/// [`delimiter`](RollingWriterBuilder::delimiter),
/// [`record_per_write`](RollingWriterBuilder::record_per_write) and
/// [`unaligned`](RollingWriterBuilder::unaligned). An item of the `Sink`, and what is given to
/// [`write_record`](Self::write_record), is always a record, of at most `max_append_size` bytes.
///
/// A record that is written in pieces is kept back until its end comes, or until `linger`, a flush
/// or its length (`batch_size`) sends its beginning on. The rest then goes in the same object. It is
/// split in one case: the object takes no more appends between the two, as it is with a record that
/// is longer than an object may be.
///
/// # Alone or with others
/// A template is one writer's own, unless
/// [`shared`](crate::OssAppendWriterBuilder::shared) is set. A writer that finds appends of another
/// one in its object goes on in an object of its own, and so does one whose first append finds that
/// another has created the object. One thing is not noticed: that two writers which continue the
/// same object append the same bytes at the same position. They are there once then, and both
/// writers call them durable. Put `{host}` and `{pid}`, or `{uuid}`, in the template to keep writers
/// apart.
///
/// # When an object takes no more
/// An object that is full, sealed, under retention, deleted or replaced, or that somebody else has
/// appended to, is the end of that object and not of the sequence: the next record goes to the
/// object with the next number. A template without `{seq}` and `{uuid}` gets a number for that, see
/// [`KeyNames::key`](crate::KeyNames::key).
///
/// A record goes there only when it is not in the object before and cannot get into that any more.
/// While OSS has not answered a request, and the object does not prove what became of it, the same
/// bytes are sent to the same place again.
///
/// # Restart
/// The newest object of the present period is continued if that can be (it is appendable, not
/// sealed, and shorter than `roll_size`), else the next number is taken. It is found by listing.
/// Without the permission for that, numbers are tried from the first on, which finds the end of a
/// sequence that has no gaps.
///
/// # The clock
/// Times are those at which records are written. When the clock is set back, the last period goes
/// on until it ends by the new time: none comes twice. When it jumps ahead, over however many
/// periods, there is one roll, within a minute.
///
/// # Clones, failure, dropping, cancel safety
/// As for [`OssAppendWriter`]. When several clones write, each record should be written in one
/// piece, or the pieces of different records get mixed up.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use oss_append::RollingWriter;
///
/// let mut writer = RollingWriter::builder(client, "my-bucket", "app/%Y-%m-%d/%H-{seq}.log")
///     .hourly()
///     .roll_size(1 << 30)
///     .on_finished(|done| println!("{}: {} bytes", done.object, done.range.end))
///     .open()
///     .await?;
/// writer.write_all(b"a line\n").await?;
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RollingWriter {
    inner: OssAppendWriter,
    standing: Arc<Standing>,
    can_roll: bool,
}

/// What a rolling writer has done, and where it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RollingStats {
    /// The counts over all objects.
    pub writer: WriterStats,
    /// Objects that have been finished.
    pub finished: u64,
    /// The object that is open, with its length and CRC-64 as they were last proven.
    pub open: Option<Checkpoint>,
}

impl RollingWriter {
    /// Prepares to write to objects in `bucket` that are named by `template`, see
    /// [`KeyTemplate`](crate::KeyTemplate). The store has to be one of its own, or shared by an
    /// `Arc`; an [`OssClient`](crate::OssClient) is cheap to clone.
    pub fn builder<S: AppendStore>(
        store: S,
        bucket: impl Into<String>,
        template: impl Into<String>,
    ) -> RollingWriterBuilder<S> {
        RollingWriterBuilder::new(Arc::new(store), bucket.into(), template.into())
    }

    pub(super) fn start<S: AppendStore>(prepared: Prepared<S>) -> Self {
        Self {
            inner: prepared.parts.start(&prepared.runtime),
            standing: prepared.standing,
            can_roll: prepared.can_roll,
        }
    }

    /// Copies all of `data` into the buffer; waits while that is full. The records in it are told
    /// apart as [above](Self#records).
    ///
    /// The same as [`AsyncWriteExt::write_all`](tokio::io::AsyncWriteExt::write_all), with the error
    /// of this crate.
    ///
    /// # Errors
    /// As [`OssAppendWriter::write_all`].
    ///
    /// # Cancel safety
    /// As [`OssAppendWriter::write_all`]: the beginning of `data` may have been accepted.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<()> {
        self.inner.write_all(data).await
    }

    /// Waits until everything written through this handle before is durable, as the
    /// [`FlushMode`](crate::FlushMode) says.
    ///
    /// The same as [`AsyncWriteExt::flush`](tokio::io::AsyncWriteExt::flush), with the error of this
    /// crate.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe: the append stays asked for.
    pub async fn flush(&mut self) -> Result<()> {
        self.inner.flush().await
    }

    /// Takes nothing more from any clone, and waits until everything accepted is durable. May be
    /// called again.
    ///
    /// The same as [`AsyncWriteExt::shutdown`](tokio::io::AsyncWriteExt::shutdown), with the error of
    /// this crate.
    ///
    /// # Errors
    /// The writer's failure. [`into_unsent`](Self::into_unsent) then gives back what is not durable.
    ///
    /// # Cancel safety
    /// Safe: the shutdown goes on, and can be waited for by another call.
    pub async fn shutdown(&mut self) -> Result<()> {
        self.inner.shutdown().await
    }

    /// Writes one record, without copying unless it is short. It is never split.
    ///
    /// # Errors
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for more than `max_append_size` bytes, of
    /// which nothing is written then.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has written nothing.
    pub async fn write_record(&mut self, record: Bytes) -> Result<()> {
        self.inner.write_bytes(record).await
    }

    /// Takes one record in and gives a receipt, see [`OssAppendWriter::enqueue`]. It tells which
    /// object the record is in.
    ///
    /// # Errors
    /// As [`OssAppendWriter::enqueue`].
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has written nothing.
    pub async fn enqueue(&mut self, record: Bytes) -> Result<Receipt> {
        self.inner.enqueue(record).await
    }

    /// A `Sink` whose items are records, as `encoder` makes them: any
    /// [`Encoder`](tokio_util::codec::Encoder) of tokio-util. It is another handle to this writer, as
    /// a clone is, and never flushes it. A record is never split, unless the writer is
    /// [`unaligned`](RollingWriterBuilder::unaligned).
    pub fn records<E>(&self, encoder: E) -> RecordSink<E> {
        RecordSink::new(self.inner.clone(), encoder)
    }

    /// The counts of durable bytes as a stream, see [`OssAppendWriter::durable`].
    pub fn durable(&self) -> DurablePositions {
        self.inner.durable()
    }

    /// Finishes the present object now: what is written from here on goes in the next. Returns when
    /// that is done; if no object is open, there is nothing to do.
    ///
    /// In the midst of a record that is written in pieces, the whole record goes in the next
    /// object; if its beginning is in the present one already, so does its rest, and this returns
    /// without waiting for that.
    ///
    /// # Errors
    /// The writer's failure; [`Closed`](crate::ErrorKind::Closed) after a shutdown;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a template without `{seq}` and
    /// `{uuid}`, by which the next object would be the present one.
    ///
    /// # Cancel safety
    /// Safe: the roll stays asked for.
    pub async fn roll(&mut self) -> Result<()> {
        if !self.can_roll {
            return Err(Error::invalid_input(
                "there is no other key to roll to: add {seq} to the template",
            )
            .with_operation("roll")
            .with_object(self.inner.object()));
        }
        self.inner.cut(RollReason::Asked).await
    }

    /// Makes everything accepted so far durable, at once and in every flush mode.
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn sync(&mut self) -> Result<()> {
        self.inner.sync().await
    }

    /// Waits until everything accepted so far is in the writer's [spool](crate::SpoolStats), see
    /// [`OssAppendWriter::spooled`].
    ///
    /// # Errors
    /// The writer's failure.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn spooled(&mut self) -> Result<()> {
        self.inner.spooled().await
    }

    /// The count of bytes that are in the spool or durable, over all objects.
    pub fn spooled_position(&self) -> u64 {
        self.inner.spooled_position()
    }

    /// The count of bytes accepted, over all objects.
    pub fn position(&self) -> u64 {
        self.inner.position()
    }

    /// The count of bytes that are durable, over all objects.
    pub fn durable_position(&self) -> u64 {
        self.inner.durable_position()
    }

    /// What was done so far, what is held, and which object is open.
    pub fn stats(&self) -> RollingStats {
        let State { open, finished } = self.standing.now();
        RollingStats {
            writer: self.inner.stats(),
            finished,
            open,
        }
    }

    /// Gives back the bytes that a failed writer had accepted and that are not durable; none after
    /// a successful shutdown. Their [`position`](Unsent::position) counts over all objects.
    ///
    /// # Errors
    /// Gives the writer itself back if it has neither failed nor been shut down.
    pub fn into_unsent(self) -> Result<Unsent, Self> {
        let Self {
            inner,
            standing,
            can_roll,
        } = self;
        inner.into_unsent().map_err(|inner| Self {
            inner,
            standing,
            can_roll,
        })
    }

    /// The writer to the sequence.
    #[cfg(feature = "tracing")]
    pub(crate) fn handle(&self) -> &OssAppendWriter {
        &self.inner
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut OssAppendWriter> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl AsyncWrite for RollingWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self.inner(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

/// Each item is one record. Flushing and closing are those of `AsyncWrite`.
impl Sink<Bytes> for RollingWriter {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner().poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: Bytes) -> Result<()> {
        self.inner().start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Sink::poll_flush(self.inner(), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner().poll_close(cx)
    }
}
