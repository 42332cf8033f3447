//! What goes wrong with one request to a [`MemoryStore`](super::MemoryStore).

use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Refusal, ServiceError, TransportCause};

/// What goes wrong with one request.
///
/// A fault has two sides: what becomes of the request, and what is answered. The first says something
/// only about appends and seals.
#[derive(Clone, Debug)]
#[must_use = "give it to a store"]
pub struct Fault {
    pub(super) apply: Apply,
    pub(super) answer: Answer,
    pub(super) delay: Duration,
    pub(super) slow_answer: Duration,
    pub(super) asks_to_wait: Option<Duration>,
    pub(super) foreign: Option<Bytes>,
    pub(super) wrong_crc: bool,
    pub(super) without_evidence: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apply {
    Whole,
    Nothing,
    Prefix(usize),
    Late,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// What became of it.
    True,
    Error(Error),
    Never,
    Panic,
}

impl Fault {
    fn new(apply: Apply, answer: Answer) -> Self {
        Self {
            apply,
            answer,
            delay: Duration::ZERO,
            slow_answer: Duration::ZERO,
            asks_to_wait: None,
            foreign: None,
            wrong_crc: false,
            without_evidence: false,
        }
    }

    /// Nothing goes wrong, to begin with.
    pub fn none() -> Self {
        Self::new(Apply::Whole, Answer::True)
    }

    /// The request is applied, and its answer is lost.
    pub fn lost_answer() -> Self {
        Self::new(Apply::Whole, Answer::Error(broken()))
    }

    /// The request is lost before it is applied, and so there is no answer.
    pub fn lost_request() -> Self {
        Self::new(Apply::Nothing, Answer::Error(broken()))
    }

    /// Nobody is there: nothing was sent.
    pub fn unreachable() -> Self {
        let error = Error::transport(TransportCause::Connect, "connection refused");
        Self::new(Apply::Nothing, Answer::Error(error))
    }

    /// There is no answer, and the append is applied later, by
    /// [`land_late`](super::MemoryStore::land_late), if its position is right then.
    pub fn late() -> Self {
        Self::new(Apply::Late, Answer::Error(broken()))
    }

    /// Only the first `len` bytes of the append are applied, and the answer is lost.
    pub fn torn(len: usize) -> Self {
        Self::new(Apply::Prefix(len), Answer::Error(broken()))
    }

    /// The request is not applied, and refused with this.
    pub fn refused(error: Error) -> Self {
        Self::new(Apply::Nothing, Answer::Error(error))
    }

    /// The request is applied, and yet answered with this.
    pub fn applied_and(error: Error) -> Self {
        Self::new(Apply::Whole, Answer::Error(error))
    }

    /// The store is too busy for the request, which is not applied.
    pub fn throttled() -> Self {
        let answer = ServiceError::new(503, "SlowDown").with_refusal(Refusal::Throttled);
        Self::refused(Error::service(answer))
    }

    /// The request is applied, and nothing ever comes back.
    pub fn never() -> Self {
        Self::new(Apply::Whole, Answer::Never)
    }

    /// The store panics.
    pub fn panics() -> Self {
        Self::new(Apply::Nothing, Answer::Panic)
    }

    #[cfg(test)]
    pub(crate) fn is_late(&self) -> bool {
        self.apply == Apply::Late
    }

    #[cfg(test)]
    pub(crate) fn is_torn(&self) -> bool {
        matches!(self.apply, Apply::Prefix(_))
    }

    /// Before anything else, waits so long on tokio's clock.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// After all else, waits so long on tokio's clock before the answer is given.
    pub fn slow_answer(mut self, delay: Duration) -> Self {
        self.slow_answer = delay;
        self
    }

    /// The answer to the append asks to wait so long before the next request.
    pub fn asks_to_wait(mut self, wait: Duration) -> Self {
        self.asks_to_wait = Some(wait);
        self
    }

    /// Just before, somebody else appends these bytes to the object.
    pub fn foreign(mut self, bytes: impl Into<Bytes>) -> Self {
        self.foreign = Some(bytes.into());
        self
    }

    /// The answer names a CRC-64 that is not that of the object.
    pub fn wrong_crc(mut self) -> Self {
        self.wrong_crc = true;
        self
    }

    /// The answer names neither CRC-64 nor tag.
    pub fn without_evidence(mut self) -> Self {
        self.without_evidence = true;
        self
    }
}

fn broken() -> Error {
    Error::transport(TransportCause::Broken, "connection reset")
}
