//! Reads an object and decompresses what comes, piece by piece, each on a thread for work that blocks.
//!
//! One piece at a time is decompressed, and the next only once that was given out: whatever the ratio
//! is, no more is in memory than one piece, what has come of one answer, and a decoder's window.

use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};

use super::content::Piece;
use super::members::{Decompressed, Members, Next};
use super::reading::Reading;
use super::source::Source;
use crate::drive::thread::in_thread;
use crate::error::{Error, Result};
use crate::values::path::ObjectPath;

/// What to do about bytes that cannot be decompressed.
const READ_AGAIN: &str = "if reading it again finds the same, it is stored like that";

pub(super) struct Decompressing<S> {
    reading: Reading<S>,
    object: ObjectPath,
    state: State,
}

enum State {
    /// Stored bytes are to come.
    Feeding(Box<Members>),
    Working(BoxFuture<'static, (Box<Members>, Decompressed)>),
    Ended,
    Failed(Error),
}

impl<S: Source> Decompressing<S> {
    /// Of what is read from `start` on, where a member begins.
    pub(super) fn new(reading: Reading<S>, object: ObjectPath, start: u64) -> Self {
        Self {
            reading,
            object,
            state: State::Feeding(Box::new(Members::new(start))),
        }
    }

    /// Whether the stored bytes are compared.
    pub(super) fn compares(&self) -> bool {
        self.reading.compares()
    }

    /// The next content; `None` behind the last. Once it has failed it stays so.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>>> {
        loop {
            match &mut self.state {
                State::Feeding(_) => {
                    let chunk = ready!(self.reading.poll_chunk(cx));
                    self.fed(chunk);
                }
                State::Working(work) => {
                    let (members, done) = ready!(work.poll_unpin(cx));
                    let piece = Piece {
                        bytes: done.content,
                        position: Some(done.position),
                    };
                    self.state = match done.next {
                        Next::GoOn => work_on(members),
                        Next::Feed => State::Feeding(members),
                        Next::End => State::Ended,
                        Next::Fail(error) => State::Failed(self.failed(error)),
                    };
                    if !piece.bytes.is_empty() {
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
                State::Ended => return Poll::Ready(Ok(None)),
                State::Failed(error) => return Poll::Ready(Err(error.clone())),
            }
        }
    }

    /// Takes the stored bytes that have come, or their end.
    fn fed(&mut self, chunk: Result<Option<Bytes>>) {
        self.state = match (mem::replace(&mut self.state, State::Ended), chunk) {
            (State::Feeding(mut members), Ok(chunk)) => {
                match chunk {
                    Some(bytes) => members.feed(bytes),
                    None => members.end(),
                }
                work_on(members)
            }
            (_, Err(error)) => State::Failed(error),
            (state, Ok(_)) => state,
        };
    }

    fn failed(&self, error: Error) -> Error {
        error
            .with_operation("read")
            .with_object(&self.object)
            .with_advice(Some(READ_AGAIN))
    }
}

/// Decompresses the next piece.
fn work_on(mut members: Box<Members>) -> State {
    let work = in_thread(move || {
        let done = members.work();
        (members, done)
    });
    State::Working(work.boxed())
}
