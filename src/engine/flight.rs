//! One append whose fate is not known.

use super::budget::Budget;
use super::flush::Time;
use crate::error::Error;
use crate::values::batch::Batch;
use crate::values::position::ObjectPosition;

/// A batch on its way. It outlives whatever works on it, and the object that it was first meant for.
#[derive(Debug)]
pub(crate) struct Flight {
    /// What is to be appended of it: frozen from the first attempt on, and shorter by what has been
    /// settled since.
    pub(super) body: Batch,
    /// With compression, what `body` was made of.
    pub(super) packed: Option<Box<Packed>>,
    /// No byte of it is older.
    pub(super) since: Time,
    /// Where its first byte is in the object, or is to be; `None` until it has its turn.
    pub(super) start: Option<ObjectPosition>,
    /// The length of `body` before anything was settled or cut off.
    pub(super) len: u64,
    pub(super) budget: Budget,
    /// When the first attempt was made.
    pub(super) first_attempt: Option<Time>,
    /// A request for it was sent that OSS has not answered: it may have landed, or land later.
    pub(super) in_doubt: bool,
    /// It is only in doubt since something on the way may have sent it twice: OSS has refused one.
    pub(super) may_be_twice: bool,
    /// It was in doubt before the attempt that is under way.
    pub(super) was_in_doubt: bool,
    /// The object must be looked at before the next attempt.
    pub(super) look: bool,
    /// The failure that made us look.
    pub(super) cause: Option<Error>,
    /// A request for it was sent, and whoever works on it waits for the answer.
    pub(super) under_way: bool,
    /// It was refused for good; the look only tells whether an earlier attempt landed.
    pub(super) refused: bool,
}

/// A compressed batch.
#[derive(Debug)]
pub(super) struct Packed {
    /// What the caller gave.
    given: Batch,
    /// The whole of what that was compressed to.
    pub(super) whole: Batch,
}

impl Flight {
    pub(super) fn new(body: Batch, since: Time) -> Self {
        Self {
            start: None,
            len: body.len(),
            body,
            packed: None,
            since,
            budget: Budget::new(since),
            first_attempt: None,
            in_doubt: false,
            may_be_twice: false,
            was_in_doubt: false,
            look: false,
            cause: None,
            under_way: false,
            refused: false,
        }
    }

    pub(super) fn since(&self) -> Time {
        self.since
    }

    /// What is not settled of what the caller gave. Compressed bytes are settled together.
    pub(crate) fn given(&self) -> &Batch {
        match &self.packed {
            Some(packed) => &packed.given,
            None => &self.body,
        }
    }

    /// The same, when there is nothing else to know.
    pub(super) fn into_given(self) -> Batch {
        match self.packed {
            Some(packed) => packed.given,
            None => self.body,
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// The length of what was given, and all of what that was compressed to, if it was and nothing
    /// of it is settled.
    pub(crate) fn packed_whole(&self) -> Option<(u64, &Batch)> {
        let packed = self.packed.as_ref().filter(|_| !self.is_torn())?;
        Some((packed.given.len(), &packed.whole))
    }

    /// Appends `whole` instead of what was given, which it was made of.
    pub(super) fn pack(&mut self, whole: Batch) {
        self.len = whole.len();
        let given = std::mem::replace(&mut self.body, whole.clone());
        self.packed = Some(Box::new(Packed { given, whole }));
    }

    /// It was cut from the flight before it, and nothing was sent for it alone.
    pub(super) fn is_rest(&self) -> bool {
        self.first_attempt.is_none() && !self.is_packed() && self.body.len() < self.len
    }

    /// A part of it is there that is worth nothing without the rest.
    pub(crate) fn is_torn(&self) -> bool {
        let packed = self.packed.as_ref();
        packed.is_some_and(|packed| self.body.len() < packed.whole.len())
    }

    /// The object's length that a position mismatch named.
    pub(super) fn named_length(&self) -> Option<u64> {
        self.cause.as_ref()?.service_error()?.next_append_position
    }
}
