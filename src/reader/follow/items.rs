//! Lines and other items of what is followed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream;
use futures::stream::{BoxStream, StreamExt as _};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder};

use super::followed::Followed;
use super::following::Piece;
use crate::error::{Error, Result};
use crate::values::crc64::Crc64;
use crate::values::defaults;
use crate::values::path::ObjectPath;

/// What comes of an object, or of several one after the other.
pub(in crate::reader) enum Event {
    Piece(Piece),
    /// The object has been given out to its end.
    End,
}

/// Without an end if the objects have none.
pub(in crate::reader) type Events = BoxStream<'static, Result<Event>>;

/// The lines of what is followed, as bytes without their line feeds. Made by
/// [`ObjectFollower::lines`](crate::ObjectFollower::lines), and likewise for a sequence of objects.
///
/// What has no line feed yet is waited for. At the end of an object, which is sealed or followed by
/// the next of its sequence, it is a line without one.
///
/// # Errors
/// Those of what is followed, and [`InvalidInput`](crate::ErrorKind::InvalidInput) for a line of more
/// than 16 MiB ([`defaults::MAX_LINE`]). The stream ends after an error.
///
/// # Cancel safety
/// `next` that is dropped loses nothing.
pub struct FollowedLines {
    items: Items<AnyDelimiterCodec>,
}

impl FollowedLines {
    pub(in crate::reader) fn new(events: Events) -> Self {
        let lines =
            AnyDelimiterCodec::new_with_max_length(b"\n".into(), Vec::new(), defaults::MAX_LINE);
        Self {
            items: Items::new(events, lines),
        }
    }
}

impl Stream for FollowedLines {
    type Item = Result<Followed<Bytes>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = ready!(self.items.poll_item(cx));
        Poll::Ready(line.map(|line| {
            line.map_err(|failed| match failed {
                Failed::Reading(error) => error,
                Failed::Decoding(AnyDelimiterCodecError::Io(error)) => {
                    Error::invalid_input(error.to_string())
                }
                Failed::Decoding(AnyDelimiterCodecError::MaxChunkLengthExceeded) => {
                    self.items.too_long()
                }
            })
        }))
    }
}

/// The items that a [`Decoder`] makes of what is followed. Made by
/// [`ObjectFollower::decode`](crate::ObjectFollower::decode), and likewise for a sequence of objects.
///
/// No item goes over the end of an object: at that end, the decoder is asked by
/// [`decode_eof`](Decoder::decode_eof) for what is left.
///
/// # Errors
/// Those of the decoder. An error of what is followed is given as an `io::Error` inside it:
/// [`Error::from_io`](crate::Error::from_io) gives it back. The stream ends after an error.
///
/// # Cancel safety
/// `next` that is dropped loses nothing.
pub struct FollowedItems<D> {
    items: Items<D>,
}

impl<D: Decoder> FollowedItems<D> {
    pub(in crate::reader) fn new(events: Events, decoder: D) -> Self {
        Self {
            items: Items::new(events, decoder),
        }
    }
}

impl<D: Decoder + Unpin> Stream for FollowedItems<D> {
    type Item = Result<Followed<D::Item>, D::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.items.poll_item(cx));
        Poll::Ready(item.map(|item| {
            item.map_err(|failed| match failed {
                Failed::Reading(error) => io::Error::from(error).into(),
                Failed::Decoding(error) => error,
            })
        }))
    }
}

type Item<T, E> = Result<Followed<T>, Failed<E>>;

enum Failed<E> {
    Reading(Error),
    Decoding(E),
}

struct Items<D> {
    events: Events,
    decoder: D,
    /// What has come and is not decoded.
    buffer: BytesMut,
    /// The same, as it came: for the CRC-64 of what the decoder takes.
    pieces: VecDeque<Bytes>,
    /// The object of that, and where in it the next item begins.
    object: Option<ObjectPath>,
    start: u64,
    /// How far the decoder has come, and the CRC-64 up to there.
    position: u64,
    crc: Option<Crc64>,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// The decoder has asked for more.
    Hungry,
    /// There may be an item in the buffer.
    Fed,
    /// Nothing comes after what is in the buffer, of this object.
    Ending,
    Ended,
}

impl<D: Decoder> Items<D> {
    fn new(events: Events, decoder: D) -> Self {
        Self {
            events,
            decoder,
            buffer: BytesMut::new(),
            pieces: VecDeque::new(),
            object: None,
            start: 0,
            position: 0,
            crc: None,
            state: State::Hungry,
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item<D::Item, D::Error>>> {
        loop {
            let decoded = match self.state {
                State::Ended => return Poll::Ready(None),
                State::Hungry => {
                    match ready!(self.events.poll_next_unpin(cx)) {
                        None => self.state = State::Ended,
                        Some(Ok(Event::Piece(piece))) => self.feed(piece),
                        Some(Ok(Event::End)) => self.state = State::Ending,
                        Some(Err(error)) => {
                            self.state = State::Ended;
                            return Poll::Ready(Some(Err(Failed::Reading(error))));
                        }
                    }
                    continue;
                }
                State::Fed => self.decode(D::decode),
                State::Ending => self.decode(D::decode_eof),
            };
            match decoded {
                Ok(Some(item)) => return Poll::Ready(Some(Ok(item))),
                Ok(None) => {
                    if self.state == State::Ending {
                        self.forget();
                    }
                    self.state = State::Hungry;
                }
                Err(error) => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(Failed::Decoding(error))));
                }
            }
        }
    }

    fn feed(&mut self, (before, piece): Piece) {
        if self.buffer.is_empty() {
            // What is known of the place may be more than before.
            self.crc = before.map(Crc64::behind);
            self.position = piece.start;
        }
        if self.object.as_ref() != Some(&piece.object) {
            self.object = Some(piece.object);
            self.start = piece.start;
        }
        self.buffer.extend_from_slice(&piece.item);
        self.pieces.push_back(piece.item);
        self.state = State::Fed;
    }

    /// Asks the decoder for an item, and notes how far it has come.
    #[allow(clippy::type_complexity, reason = "the methods of a decoder")]
    fn decode(
        &mut self,
        decode: fn(&mut D, &mut BytesMut) -> Result<Option<D::Item>, D::Error>,
    ) -> Result<Option<Followed<D::Item>>, D::Error> {
        let before = self.buffer.len();
        let item = decode(&mut self.decoder, &mut self.buffer)?;
        self.take(before.saturating_sub(self.buffer.len()));
        let (Some(item), Some(object)) = (item, &self.object) else {
            return Ok(None);
        };
        let start = std::mem::replace(&mut self.start, self.position);
        Ok(Some(Followed {
            object: object.clone(),
            start,
            end: self.position,
            crc64: self.crc.as_ref().map(Crc64::finish),
            item,
        }))
    }

    /// The decoder has taken so many bytes.
    fn take(&mut self, mut bytes: usize) {
        self.position += bytes as u64;
        while bytes > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let taken = bytes.min(piece.len());
            if let Some(crc) = &mut self.crc {
                crc.update(&piece[..taken]);
            }
            piece.advance(taken);
            bytes -= taken;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// The object has ended.
    fn forget(&mut self) {
        self.buffer.clear();
        self.pieces.clear();
        self.object = None;
    }

    fn too_long(&self) -> Error {
        let error = Error::invalid_input(format!(
            "a line has more than {} bytes: read it by pieces, or by a decoder of your own",
            defaults::MAX_LINE
        ));
        let error = error.with_operation("follow").with_position(self.start);
        match &self.object {
            Some(object) => error.with_object(object),
            None => error,
        }
    }
}

impl fmt::Debug for FollowedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.debug(f.debug_struct("FollowedLines"))
    }
}

impl<D> fmt::Debug for FollowedItems<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.debug(f.debug_struct("FollowedItems"))
    }
}

impl<D> Items<D> {
    /// Without what was read.
    fn debug(&self, mut shown: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let object = self.object.as_ref().map(ToString::to_string);
        shown
            .field("object", &object)
            .field("position", &self.start)
            .finish_non_exhaustive()
    }
}
