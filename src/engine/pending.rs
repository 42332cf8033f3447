//! The batch whose fate is open.

use super::budget::Budget;
use super::flush::Time;
use crate::error::Error;
use crate::values::batch::Batch;

/// A batch whose fate is not known yet. It outlives whatever works on it.
#[derive(Debug)]
pub(super) struct Pending {
    /// What of it is not proven to be in the object.
    pub(super) batch: Batch,
    /// Where its first byte is, or is to be.
    pub(super) start: u64,
    /// Its length when it was given.
    pub(super) len: u64,
    pub(super) budget: Budget,
    /// When the first attempt was made.
    pub(super) first_attempt: Option<Time>,
    /// A request for it was sent that OSS has not answered: it may have landed, or land later.
    pub(super) in_doubt: bool,
    /// The same before the attempt that is under way.
    pub(super) was_in_doubt: bool,
    /// The object must be looked at before the next attempt.
    pub(super) look: bool,
    /// The failure that made us look.
    pub(super) cause: Option<Error>,
    /// It was refused for good; the look only tells whether an earlier attempt landed.
    pub(super) refused: bool,
}

impl Pending {
    pub(super) fn new(batch: Batch, start: u64, now: Time) -> Self {
        Self {
            len: batch.len(),
            batch,
            start,
            budget: Budget::new(now),
            first_attempt: None,
            in_doubt: false,
            was_in_doubt: false,
            look: false,
            cause: None,
            refused: false,
        }
    }

    /// Takes it up again after it was given up.
    pub(super) fn resume(&mut self) {
        self.refused = false;
        self.cause = None;
        self.look = self.in_doubt;
    }

    /// The object's length that a position mismatch named.
    pub(super) fn named_length(&self) -> Option<u64> {
        self.cause.as_ref()?.service_error()?.next_append_position
    }
}
