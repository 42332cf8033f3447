//! `KeyedRecordSink`: what an `Encoder` makes of each item is one record for the item's key.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt as _, Sink};
use tokio_util::codec::Encoder;

use super::writer::KeyedWriter;
use crate::error::{Error, Result};
use crate::writer::Receipt;
use crate::writer::record_sink::encode;

/// A `futures::Sink` of items with their keys, made by [`KeyedWriter::records`]: what the encoder
/// makes of each item is one record for the object of its key, as if given to
/// [`KeyedWriter::write`].
///
/// An item is `(key, item)`. All keys use the same encoder, so it must not carry anything from one
/// item to the next, such as a number or a dictionary. If it does, make a sink for each key.
///
/// | call | meaning |
/// |---|---|
/// | `feed` | takes the item in; the next one waits until it is in the buffer of its key |
/// | `send`, `flush` | wait until it is in that buffer; **not** until it is durable |
/// | [`enqueue`](Self::enqueue) | as `send`, and gives a receipt that tells when the record is durable |
/// | [`sync`](Self::sync) | everything accepted for all keys is durable on return |
/// | `close` | the same; the writer stays open |
///
/// # Errors
/// Those of [`KeyedWriter::write`], and [`InvalidInput`](crate::ErrorKind::InvalidInput) for an
/// item that the encoder refuses, with its error as the source. The call that accepts the item
/// returns them, or the next call if the item had to wait. That item is not written, and the sink
/// goes on. `close` returns the error of the first key that has failed.
///
/// # Dropping
/// An item that waits for room when the sink is dropped is still written, as long as the runtime
/// lives.
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> Result<(), Box<dyn std::error::Error>> {
/// use futures::SinkExt;
/// use oss_append::KeyedWriter;
/// use tokio_util::codec::LinesCodec;
///
/// let writer = KeyedWriter::builder(client, "my-bucket")
///     .objects(|tenant| format!("tenants/{tenant}/events.log"))
///     .start()?;
/// let mut lines = writer.records(LinesCodec::new());
/// lines.feed(("alice", "signed in")).await?;
/// let receipt = lines.enqueue("bob", "signed out").await?;
/// println!("{:?}", receipt.written().await?.range);
/// writer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "sinks do nothing unless items are sent to them"]
pub struct KeyedRecordSink<E> {
    writer: KeyedWriter,
    encoder: E,
    /// The record that is being encoded.
    encoded: BytesMut,
    under_way: Option<UnderWay>,
}

/// What has to be done before anything else.
enum UnderWay {
    Write(BoxFuture<'static, Result<Receipt>>),
    Sync(BoxFuture<'static, Result<()>>),
}

/// Nothing is pinned in it.
impl<E> Unpin for KeyedRecordSink<E> {}

impl<E> KeyedRecordSink<E> {
    pub(super) fn new(writer: KeyedWriter, encoder: E) -> Self {
        Self {
            writer,
            encoder,
            encoded: BytesMut::new(),
            under_way: None,
        }
    }

    /// Accepts `item` as one record for the object of `key`, and returns a receipt that tells when
    /// it is durable and where.
    ///
    /// # Errors
    /// As [above](Self#errors). The error of an item that had to wait comes first; then nothing of
    /// this one was accepted.
    ///
    /// # Cancel safety
    /// Safe: a future that was dropped before it returned has accepted nothing of the item, though
    /// the encoder may have seen it.
    pub async fn enqueue<I>(&mut self, key: impl AsRef<str>, item: I) -> Result<Receipt>
    where
        E: Encoder<I>,
        E::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        std::future::poll_fn(|cx| self.poll_under_way(cx)).await?;
        encode(&mut self.encoder, item, &mut self.encoded)?;
        let record = self.encoded.split().freeze();
        self.writer.write(key.as_ref(), record).await
    }

    /// Makes everything accepted so far durable, at once and in every flush mode.
    ///
    /// # Errors
    /// The error of an item that had to wait; otherwise that of the first key that has failed and
    /// was not [forgiven](KeyedWriter::forgive). [`KeyedWriter::sync`] returns all of them.
    ///
    /// # Cancel safety
    /// Safe: the appends stay on their way.
    pub async fn sync(&mut self) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_sync(cx)).await
    }

    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let done = match &mut self.under_way {
            None => return Poll::Ready(Ok(())),
            Some(UnderWay::Write(write)) => ready!(write.poll_unpin(cx)).map(drop),
            Some(UnderWay::Sync(sync)) => ready!(sync.poll_unpin(cx)),
        };
        self.under_way = None;
        Poll::Ready(done)
    }

    fn poll_sync(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(UnderWay::Write(_)) = self.under_way {
            ready!(self.poll_under_way(cx))?;
        }
        let writer = &self.writer;
        self.under_way.get_or_insert_with(|| {
            let writer = writer.clone();
            let sync = async move { writer.sync().await.map_err(|error| error.first()) };
            UnderWay::Sync(sync.boxed())
        });
        self.poll_under_way(cx)
    }

    /// Takes `record` in, now or as what is under way.
    fn take(&mut self, key: &str, record: Bytes) -> Result<()> {
        if record.is_empty() || self.writer.try_write(key, &record)? {
            return Ok(());
        }
        let (writer, key) = (self.writer.clone(), key.to_owned());
        let write = async move { writer.write(&key, record).await };
        self.under_way = Some(UnderWay::Write(write.boxed()));
        Ok(())
    }
}

/// See [`KeyedRecordSink`] for what flushing and closing mean.
impl<K, I, E> Sink<(K, I)> for KeyedRecordSink<E>
where
    K: AsRef<str>,
    E: Encoder<I>,
    E::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // A producer that never has to wait lets others go on too.
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let ready = self.get_mut().poll_under_way(cx);
        if ready.is_ready() {
            coop.made_progress();
        }
        ready
    }

    fn start_send(self: Pin<&mut Self>, (key, item): (K, I)) -> Result<()> {
        let this = self.get_mut();
        if this.under_way.is_some() {
            return Err(Error::invalid_input(
                "start_send was called although the sink was not ready",
            ));
        }
        encode(&mut this.encoder, item, &mut this.encoded)?;
        let record = this.encoded.split().freeze();
        this.take(key.as_ref(), record)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().poll_under_way(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.get_mut().poll_sync(cx)
    }
}

impl<E: fmt::Debug> fmt::Debug for KeyedRecordSink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRecordSink")
            .field("writer", &self.writer)
            .field("encoder", &self.encoder)
            .finish_non_exhaustive()
    }
}

impl<E> Drop for KeyedRecordSink<E> {
    fn drop(&mut self) {
        if let Some(UnderWay::Write(write)) = self.under_way.take() {
            // Whoever wants to know how it ends flushes the sink.
            self.writer.spawn(write.map(drop));
        }
    }
}
