//! The bytes of a span in order, by one request at a time or by several.
//!
//! The first part comes as it arrives. With read-ahead, those behind it are read by tasks of their
//! own, each part into memory, and given out in their order. Dropping it ends the tasks.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::fixed::Fixed;
use super::source::Source;
use super::span::Span;
use super::transfer::{Manner, Transfer};
use crate::error::{Error, ErrorKind, Result};

/// How much is read at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadAhead {
    /// The most parts that are under way or in memory.
    pub(super) parts: usize,
    /// The bytes of each.
    pub(super) part_size: u64,
}

pub(super) struct Parts<S> {
    source: S,
    manner: Manner,
    ahead: ReadAhead,
    first: Transfer<S>,
    /// Where the next part begins that nobody reads yet; `None` before the first answer.
    next: Option<u64>,
    /// One task each.
    under_way: VecDeque<JoinSet<Result<Vec<Bytes>>>>,
    /// What is left of the part whose turn it is.
    chunks: vec::IntoIter<Bytes>,
}

impl<S: Source> Parts<S> {
    pub(super) fn new(source: S, manner: Manner, span: Span, ahead: ReadAhead) -> Self {
        let most = match ahead.parts {
            1 => u64::MAX,
            _ => ahead.part_size,
        };
        Self {
            first: Transfer::new(source.clone(), manner.clone(), span, most),
            source,
            manner,
            ahead,
            next: None,
            under_way: VecDeque::new(),
            chunks: Vec::new().into_iter(),
        }
    }

    /// What the object is and which bytes of it are read, once that is known.
    pub(super) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Fixed, Range<u64>)>> {
        let found = ready!(self.first.poll_found(cx))?;
        self.next = Some(self.first.end());
        Poll::Ready(Ok(found))
    }

    /// The next bytes; `None` behind the last. An error is for good.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            self.begin();
            if let Some(chunk) = self.chunks.next() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            if let Some(chunk) = ready!(self.first.poll_chunk(cx))? {
                return Poll::Ready(Ok(Some(chunk)));
            }
            let Some(task) = self.under_way.front_mut() else {
                return Poll::Ready(Ok(None));
            };
            let part = match ready!(task.poll_join_next(cx)) {
                Some(Ok(part)) => part?,
                Some(Err(error)) => return Poll::Ready(Err(lost().with_source(error))),
                None => return Poll::Ready(Err(lost())),
            };
            self.under_way.pop_front();
            self.chunks = part.into_iter();
        }
    }

    /// Begins to read as many parts as there may be.
    fn begin(&mut self) {
        let (Some((object, range)), Some(next)) = (self.first.found(), &mut self.next) else {
            return;
        };
        let has_turn = !self.first.is_done() || self.chunks.len() > 0;
        while *next < range.end && self.under_way.len() + usize::from(has_turn) < self.ahead.parts {
            let end = range.end.min(next.saturating_add(self.ahead.part_size));
            let (source, manner) = (self.source.clone(), self.manner.clone());
            let mut part = Transfer::part(source, manner, object.clone(), *next..end);
            let mut task = JoinSet::new();
            task.spawn(async move {
                let mut chunks = Vec::new();
                while let Some(chunk) = poll_fn(|cx| part.poll_chunk(cx)).await? {
                    chunks.push(chunk);
                }
                Ok(chunks)
            });
            self.under_way.push_back(task);
            *next = end;
        }
    }
}

/// A task has not come to its end.
fn lost() -> Error {
    Error::new(ErrorKind::WorkerLost).with_operation("read")
}
