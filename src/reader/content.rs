//! What a reader gives out: the bytes as they are stored, or what they hold.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

#[cfg(feature = "compression")]
use super::decompressing::Decompressing;
use super::reading::Reading;
use super::source::Source;
use crate::error::Result;

pub(super) enum Content<S> {
    Stored(Box<Reading<S>>),
    #[cfg(feature = "compression")]
    Decompressed(Box<Decompressing<S>>),
}

/// The next bytes.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// Where the object is to be read on once all of them were given out; `None`: so many bytes
    /// further.
    pub(super) position: Option<u64>,
}

impl<S: Source> Content<S> {
    /// Whether what is read is compared.
    pub(super) fn compares(&self) -> bool {
        match self {
            Self::Stored(reading) => reading.compares(),
            #[cfg(feature = "compression")]
            Self::Decompressed(content) => content.compares(),
        }
    }

    /// The next bytes; `None` behind the last. Once it has failed it stays so.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>>> {
        match self {
            Self::Stored(reading) => {
                let bytes = ready!(reading.poll_chunk(cx))?;
                let position = None;
                Poll::Ready(Ok(bytes.map(|bytes| Piece { bytes, position })))
            }
            #[cfg(feature = "compression")]
            Self::Decompressed(content) => content.poll_piece(cx),
        }
    }
}
