//! What is being done towards a goal.

use std::ops::Range;
use std::time::Duration;

use super::action::{Finished, Goal, Told};
use super::budget::Budget;
use super::flush::Time;
use super::look::Compare;
use super::replay::PartsRead;
use crate::error::{Error, Result};
use crate::values::position::ObjectPosition;

/// What is being done towards a goal.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) goal: Goal,
    pub(super) task: Task,
    pub(super) step: Step,
    /// That of everything but the appends of a batch.
    pub(super) budget: Budget,
    pub(super) began: Time,
    /// How long the request took that has come to its end last.
    pub(super) took: Duration,
    /// What a wait that is under way is for.
    pub(super) waits: Then,
    pub(super) stale_looks: u32,
    pub(super) finished: Finished,
    pub(super) told: Told,
}

/// What it is within the goal.
#[derive(Debug)]
pub(super) enum Task {
    /// The goal itself.
    Main,
    /// The range tells what a look could not. In a box, since few goals come to that.
    Content(Box<Compare>),
    /// Looking whether an object that we have created has our mark.
    Created,
    /// Reading back what was only compared.
    ReadBack(PartsRead),
    /// The same in one attempt, before this failure is told.
    Prove(PartsRead, Option<Error>),
    /// Looking whether the object is sealed after all, since this has failed. The look has a budget
    /// of its own.
    Unsealed(Error, Budget),
}

#[derive(Debug)]
pub(super) enum Step {
    /// Decide what comes next.
    Next,
    /// A request, or a wait, is under way.
    Under,
    /// Wait before the next attempt, because of this failure; at least as long as that.
    Pause(Error, Duration, Then),
    /// Wait because OSS has asked for it.
    Asked,
    /// Wait before another look.
    LookAgain,
    Read(Range<ObjectPosition>),
    /// The next part of the range.
    ReadOn,
    Done(Result<()>),
}

/// What has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Append,
    /// A look at the object, to find out what happened to an append.
    Look,
    /// An append that was not applied is sent again.
    SendAgain,
    /// Anything else.
    Goal,
    /// Nothing: OSS has asked for a wait.
    Asked,
}
