//! The bytes of a span in order: one request after the other, each where the last one has ended.
//!
//! It is polled, and works while it is: no task of its own, so that dropping it ends all. Only the
//! time for which it waits counts as time without progress, not that for which nobody polls between
//! two chunks.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{BoxStream, StreamExt as _};
use tokio::time::Instant;

use super::fixed::{Fixed, Seen};
use super::idle::Idle;
use super::source::{Part, Source};
use super::span::{First, Span};
use crate::client::Wanted;
use crate::drive::stats::{Counters, Hope};
use crate::engine::budget::{Budget, MAX_ASKED, asked};
use crate::engine::flush::Time;
use crate::engine::rules::Rules;
use crate::error::{Conflict, Error, ErrorKind, Refusal, Result, TransportCause};
use crate::values::path::ObjectPath;
use crate::wire::failure::stalled;

/// What to do about an object that is not the one any more.
pub(super) const BEGIN_AGAIN: &str = "read it again from where this began";

/// Who is told, and how patiently is tried.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) object: ObjectPath,
    pub(super) rules: Arc<Rules>,
    pub(super) counters: Arc<Counters>,
}

pub(super) struct Transfer<S> {
    source: S,
    manner: Manner,
    span: Span,
    /// No more bytes than these are read by this.
    most: u64,
    /// It has to be asked what the object is.
    looks: bool,
    /// What the object is, and which bytes of it are read; `None` before the first answer.
    found: Option<(Fixed, Range<u64>)>,
    /// The next byte that is given out, and the end of those that this reads.
    position: u64,
    end: u64,
    state: State,
    /// The time limit of what is waited for, and how long that was to be.
    idle: Idle,
    patience: Duration,
    budget: Budget,
    origin: Instant,
    /// A chunk was given out, and the next has not been asked for.
    away: bool,
    /// A request has failed since the last chunk.
    failing: bool,
}

enum State {
    /// Something is to be asked.
    Due,
    /// A failure was not long ago.
    Paused,
    Looking(BoxFuture<'static, Result<Seen>>),
    Asking(BoxFuture<'static, Result<Part>>),
    Receiving {
        body: BoxStream<'static, Result<Bytes>>,
        /// So much of it is wanted yet.
        left: u64,
        /// The time limit is set.
        waits: bool,
    },
}

impl<S: Source> Transfer<S> {
    /// Reads at most so many bytes, the first of the span.
    pub(super) fn new(source: S, manner: Manner, span: Span, most: u64) -> Self {
        Self {
            source,
            manner,
            span,
            most,
            looks: false,
            found: None,
            position: 0,
            end: 0,
            state: State::Due,
            idle: Idle::default(),
            patience: Duration::ZERO,
            budget: Budget::new(Time::ZERO),
            origin: Instant::now(),
            away: false,
            failing: false,
        }
    }

    /// Reads these bytes of an object that is known.
    pub(super) fn part(source: S, manner: Manner, object: Fixed, range: Range<u64>) -> Self {
        Self {
            position: range.start,
            end: range.end,
            found: Some((object, range)),
            ..Self::new(source, manner, Span::ALL, u64::MAX)
        }
    }

    /// What the object is and which bytes of it are read, as soon as that is known.
    pub(super) fn found(&self) -> Option<&(Fixed, Range<u64>)> {
        self.found.as_ref()
    }

    /// The same, waited for.
    pub(super) fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Fixed, Range<u64>)>> {
        loop {
            if let Some(found) = &self.found {
                self.away = true;
                return Poll::Ready(Ok(found.clone()));
            }
            ready!(self.poll_step(cx))?;
        }
    }

    /// Where the bytes end that this reads.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next bytes; `None` behind the last. An error is for good.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if std::mem::take(&mut self.away) {
            let now = self.now();
            self.budget.restart(now);
        }
        loop {
            if self.is_done() {
                self.recovered();
                return Poll::Ready(Ok(None));
            }
            if let Some(chunk) = ready!(self.poll_step(cx))? {
                self.away = true;
                return Poll::Ready(Ok(Some(chunk)));
            }
        }
    }

    /// Whether all that this reads was given out.
    pub(super) fn is_done(&self) -> bool {
        self.found.is_some() && self.position == self.end
    }

    /// One step: a request, an answer, a chunk that is given out, a failure that was not the last.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let failure = match &mut self.state {
            State::Due => {
                self.ask()?;
                return Poll::Ready(Ok(None));
            }
            State::Paused => {
                ready!(self.idle.poll(cx));
                self.ended_in_time();
                self.state = State::Due;
                return Poll::Ready(Ok(None));
            }
            State::Looking(look) => match look.poll_unpin(cx) {
                Poll::Ready(Ok(seen)) => {
                    self.state = State::Due;
                    self.seen(seen)?;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Err(error)) => error,
                Poll::Pending => ready!(self.poll_stalled(cx)),
            },
            State::Asking(answer) => match answer.poll_unpin(cx) {
                Poll::Ready(Ok(part)) => {
                    self.answered(part)?;
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Err(error)) => error,
                Poll::Pending => ready!(self.poll_stalled(cx)),
            },
            State::Receiving { body, left, waits } => match body.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(mut chunk))) => {
                    *waits = false;
                    chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= chunk.len() as u64;
                    if *left == 0 {
                        self.state = State::Due;
                    }
                    return Poll::Ready(Ok(self.received(chunk)));
                }
                Poll::Ready(Some(Err(error))) => error,
                Poll::Ready(None) => Error::transport(
                    TransportCause::Broken,
                    format!("the answer ended {left} bytes early"),
                ),
                Poll::Pending => {
                    if !std::mem::replace(waits, true) {
                        self.be_patient();
                    }
                    ready!(self.poll_stalled(cx))
                }
            },
        };
        self.failed(failure)?;
        Poll::Ready(Ok(None))
    }

    /// Begins the next request.
    fn ask(&mut self) -> Result<()> {
        self.be_patient();
        let (wanted, etag) = match &self.found {
            None => match self
                .span
                .first(self.most)
                .map_err(|error| self.last(error))?
            {
                First::Read(wanted) if !self.looks => (wanted, None),
                _ => {
                    self.state = State::Looking(self.source.look());
                    return Ok(());
                }
            },
            Some((object, _)) => {
                let (start, end) = (self.position, Some(self.end));
                (Wanted { start, end }, object.if_match())
            }
        };
        self.state = State::Asking(self.source.read(wanted, etag));
        Ok(())
    }

    /// Notes or checks what the object is.
    fn seen(&mut self, seen: Seen) -> Result<()> {
        match &self.found {
            Some((object, _)) => {
                let checked = object.check(&seen);
                checked.map_err(|conflict| self.conflict(conflict))
            }
            None => {
                let object = Fixed::new(seen);
                let range = self
                    .span
                    .of(&object)
                    .map_err(|error| self.last(error.with_advice(Some(BEGIN_AGAIN))))?;
                self.position = range.start;
                self.end = range.end.min(range.start.saturating_add(self.most));
                self.found = Some((object, range));
                Ok(())
            }
        }
    }

    fn answered(&mut self, part: Part) -> Result<()> {
        self.state = State::Due;
        self.seen(part.seen)?;
        let left = part.range.end.min(self.end).saturating_sub(self.position);
        if left > 0 {
            self.state = State::Receiving {
                body: part.body,
                left,
                waits: false,
            };
        }
        Ok(())
    }

    fn received(&mut self, chunk: Bytes) -> Option<Bytes> {
        if chunk.is_empty() {
            return None;
        }
        self.position += chunk.len() as u64;
        self.recovered();
        Some(chunk)
    }

    /// Tells that trouble is over, if there was any.
    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.manner.counters.succeeded(&self.manner.object, false);
        }
    }

    /// A request has failed. Decides when the next is made; an error if none is.
    fn failed(&mut self, error: Error) -> Result<()> {
        self.state = State::Due;
        if let Some(conflict) = self.conflict_by(&error) {
            return Err(self.conflict(conflict).with_source(error));
        }
        if self.is_empty_by(&error) {
            self.looks = true;
            return Ok(());
        }
        let Manner {
            object,
            rules,
            counters,
        } = &self.manner;
        let now = self.origin.elapsed();
        let (failure, asked) = (error.clone(), asked(&error));
        let paused = self.budget.pause(rules, error, asked, fastrand::f64(), now);
        let paused = paused.map_err(|error| self.last(error))?;
        let hope = Hope::to_read(self.budget.left(rules, now));
        counters.failed(object, &failure, hope);
        self.failing = true;
        if let Some(wait) = paused {
            let wait = wait.own.max(wait.asked.min(MAX_ASKED));
            self.idle.set(Instant::now().checked_add(wait));
            self.state = State::Paused;
        }
        Ok(())
    }

    /// What a refusal says about an object that was there before.
    fn conflict_by(&self, error: &Error) -> Option<Conflict> {
        let ((object, _), answer) = (self.found.as_ref()?, error.service_error()?);
        match (answer.status, answer.code.as_str()) {
            _ if answer.refusal == Refusal::NoSuchObject => Some(object.gone()),
            (412, "PreconditionFailed") | (416, "InvalidRange") => Some(object.replaced(None)),
            _ => None,
        }
    }

    /// Whether a refusal may only say that the object has no bytes: no range begins in that.
    fn is_empty_by(&self, error: &Error) -> bool {
        let is_refused = error
            .service_error()
            .is_some_and(|answer| answer.status == 416);
        let from_start = matches!(
            self.span.first(self.most),
            Ok(First::Read(Wanted { start: 0, .. }))
        );
        self.found.is_none() && !self.looks && from_start && is_refused
    }

    fn conflict(&self, conflict: Conflict) -> Error {
        let error = Error::new(ErrorKind::Conflict(conflict));
        self.last(error.with_advice(Some(BEGIN_AGAIN)))
    }

    /// The error that ends it.
    fn last(&self, error: Error) -> Error {
        let Manner {
            object, counters, ..
        } = &self.manner;
        let error = error.with_operation("read").with_object(object);
        let error = match self.found {
            Some(_) => error.with_position(self.position),
            None => error,
        };
        if self.failing {
            counters.gave_up(object, &error);
        }
        error
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// Sets the time limit for something that begins now.
    fn be_patient(&mut self) {
        self.patience = self.budget.patience(&self.manner.rules, self.now());
        self.idle.set(Instant::now().checked_add(self.patience));
    }

    /// Ready with a failure once nothing has moved for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        ready!(self.idle.poll(cx));
        self.ended_in_time();
        Poll::Ready(stalled(self.patience).with_operation("get"))
    }

    /// Something ends now that was to end at the time limit.
    fn ended_in_time(&mut self) {
        if let Some(deadline) = self.idle.deadline() {
            let due = deadline.saturating_duration_since(self.origin);
            self.budget.ended_at(due, self.origin.elapsed());
        }
    }
}
