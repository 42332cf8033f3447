//! One of the writers, by what they have in common.

use bytes::Bytes;
use oss_append::{
    Checkpoint, Error, ErrorKind, OssAppendWriter, Receipt, RollingWriter, Unsent, WriterStats,
};
use tokio::io::AsyncWriteExt;

use crate::support::ours;

pub enum Writer {
    Plain(OssAppendWriter),
    Rolling(RollingWriter),
}

/// The same call of whichever it is.
macro_rules! either {
    ($writer:expr, $inner:ident => $call:expr) => {
        match $writer {
            Writer::Plain($inner) => $call,
            Writer::Rolling($inner) => $call,
        }
    };
}

impl Writer {
    pub fn position(&self) -> u64 {
        either!(self, writer => writer.position())
    }

    pub fn durable_position(&self) -> u64 {
        either!(self, writer => writer.durable_position())
    }

    pub fn stats(&self) -> WriterStats {
        match self {
            Self::Plain(writer) => writer.stats(),
            Self::Rolling(writer) => writer.stats().writer,
        }
    }

    pub fn checkpoint(&self) -> Checkpoint {
        match self {
            Self::Plain(writer) => writer.checkpoint(),
            Self::Rolling(_) => unreachable!("a sequence is not replayed"),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        either!(self, writer => writer.write(bytes).await.map_err(ours))
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        either!(self, writer => writer.write_all(bytes).await)
    }

    pub async fn write_bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        match self {
            Self::Plain(writer) => writer.write_bytes(bytes).await,
            Self::Rolling(writer) => writer.write_record(bytes).await,
        }
    }

    pub async fn enqueue(&mut self, record: Bytes) -> Result<Receipt, Error> {
        either!(self, writer => writer.enqueue(record).await)
    }

    pub async fn sync(&mut self) -> Result<(), Error> {
        either!(self, writer => writer.sync().await)
    }

    pub async fn flush(&mut self) -> Result<(), Error> {
        either!(self, writer => writer.flush().await)
    }

    pub async fn shutdown(&mut self) -> Result<(), Error> {
        either!(self, writer => writer.shutdown().await)
    }

    /// `None`: there is nothing to roll to.
    pub async fn roll(&mut self) -> Option<Result<(), Error>> {
        let Self::Rolling(writer) = self else {
            return None;
        };
        match writer.roll().await {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput { .. }) => None,
            rolled => Some(rolled),
        }
    }

    pub fn into_unsent(self) -> Option<Unsent> {
        either!(self, writer => writer.into_unsent().ok())
    }
}
