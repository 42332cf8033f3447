//! What `append` writes to: one object, or a sequence of them.

use bytes::BytesMut;
use oss_append::{OssAppendWriter, Result, RollingWriter, WriterStats};
use tokio::io::AsyncReadExt;

use crate::append::request_failed;
use crate::failure::Failure;
use crate::input::{Input, unreadable};

const READ_BUFFER: usize = 256 * 1024;

/// A clone is another handle of the same.
#[derive(Clone)]
pub(crate) enum Writer {
    Object(OssAppendWriter),
    Sequence(RollingWriter),
}

impl Writer {
    pub(crate) fn stats(&self) -> WriterStats {
        match self {
            Self::Object(writer) => writer.stats(),
            Self::Sequence(writer) => writer.stats().writer,
        }
    }

    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Object(writer) => writer.write_all(bytes).await,
            Self::Sequence(writer) => writer.write_all(bytes).await,
        }
    }

    /// Makes all durable that was written.
    pub(crate) async fn sync(&mut self) -> Result<()> {
        match self {
            Self::Object(writer) => writer.sync().await,
            Self::Sequence(writer) => writer.sync().await,
        }
    }

    /// Waits until all that was written is in the spool.
    pub(crate) async fn spooled(&mut self) -> Result<()> {
        match self {
            Self::Object(writer) => writer.spooled().await,
            Self::Sequence(writer) => writer.spooled().await,
        }
    }

    pub(crate) async fn shutdown(&mut self) -> Result<(), Failure> {
        let ended = match self {
            Self::Object(writer) => writer.shutdown().await,
            Self::Sequence(writer) => writer.shutdown().await,
        };
        ended.map_err(|error| request_failed(&error))
    }

    /// Writes all of `input`, and returns when it is durable, also after a failure of the input.
    pub(crate) async fn copy(&mut self, input: &mut Input) -> Result<(), Failure> {
        let writer = match self {
            Self::Object(writer) => {
                let copied = writer.copy_from(input).await;
                return copied.map(drop).map_err(|error| request_failed(&error));
            }
            Self::Sequence(writer) => writer,
        };
        let mut piece = BytesMut::with_capacity(READ_BUFFER);
        let ended = loop {
            piece.clear();
            match input.read_buf(&mut piece).await {
                Ok(0) => break Ok(()),
                Ok(_) => writer
                    .write_all(&piece)
                    .await
                    .map_err(|error| request_failed(&error))?,
                Err(error) => break Err(unreadable(&error)),
            }
        };
        let synced = writer.sync().await;
        synced.map_err(|error| request_failed(&error))?;
        ended
    }
}
