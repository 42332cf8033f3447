//! Bulk reading straight into the buffer.

use std::future::poll_fn;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::writer::OssAppendWriter;
use crate::error::{Error, ErrorKind, Result};

/// A segment with less room than this is not worth reading into.
const MIN_READ: usize = 4 * 1024;

/// How far a [`copy_from_with`](OssAppendWriter::copy_from_with) has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// Bytes read and accepted by this copy.
    pub read: u64,
    /// Everything before this position of the object is durable.
    pub durable_position: u64,
}

impl OssAppendWriter {
    /// Reads `reader` to its end, straight into the buffer, and returns when everything is
    /// durable: the number of bytes read.
    ///
    /// Unlike `tokio::io::copy` it never flushes because the reader stalls: appends are issued
    /// by size and linger alone, and once at the end.
    ///
    /// In a [shared](crate::OssAppendWriterBuilder::shared) object each read, of at most
    /// `max_append_size` bytes, stays whole; what others append may come between two of them.
    ///
    /// # Errors
    /// The writer's failure; [`Closed`](ErrorKind::Closed) after a shutdown. If the reader fails,
    /// what was read is made durable first, then [`Reader`](ErrorKind::Reader) is returned with the
    /// reader's error as its source.
    ///
    /// When the writer fails, or a clone shuts it down, during a read, the bytes of that read are
    /// not accepted any more: [`into_unsent`](Self::into_unsent) of this handle gives them back
    /// after all others.
    ///
    /// # Cancel safety
    /// Safe for the writer: what was read was accepted. `reader` must not lose bytes if its
    /// `poll_read` is not polled again; no usual reader does.
    pub async fn copy_from<R>(&mut self, reader: &mut R) -> Result<u64>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        self.copy_from_with(reader, |_| {}).await
    }

    /// As [`copy_from`](Self::copy_from), and reports to `on_progress` after each read how far it
    /// is.
    ///
    /// # Errors
    /// As [`copy_from`](Self::copy_from).
    ///
    /// # Cancel safety
    /// As [`copy_from`](Self::copy_from).
    pub async fn copy_from_with<R>(
        &mut self,
        reader: &mut R,
        mut on_progress: impl FnMut(CopyProgress),
    ) -> Result<u64>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        let mut read = 0;
        let mut segment = BytesMut::new();
        let outcome = loop {
            let room = poll_fn(|cx| self.poll_room(cx)).await?;
            if segment.capacity() < MIN_READ {
                segment = self.shared().lock().buffer.segment();
            }
            // No more than can be taken in as a whole, where what is read is a record.
            let most = match self.shared().keeps_bytes() {
                true => room.min(self.intake().longest()),
                false => room,
            };
            match (&mut *reader).take(most).read_buf(&mut segment).await {
                Ok(0) => break Ok(read),
                Ok(len) => {
                    // Taken in before the next await, so that a dropped future loses nothing.
                    let bytes = segment.split().freeze();
                    if let Err(error) = self.take_item(&bytes) {
                        self.refused = Some(bytes);
                        return Err(error);
                    }
                    read += len as u64;
                    on_progress(CopyProgress {
                        read,
                        durable_position: self.durable_position(),
                    });
                }
                Err(error) => break Err(error),
            }
        };
        self.sync().await?;
        outcome.map_err(|error| {
            Error::new(ErrorKind::Reader { kind: error.kind() })
                .with_operation("copy")
                .with_object(self.object())
                .with_source(error)
        })
    }
}
