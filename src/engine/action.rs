//! The inputs and outputs of an engine: goals, actions and events.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::budget::{Trip, Wait};
use super::flush::Time;
use crate::error::{Error, Result};
use crate::store::request::AppendAnswer;
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;
use crate::values::position::ObjectPosition;

/// What is to be achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The fate of the pending batch is known.
    Settle,
    /// The object has been looked at, and was at least this long, or has been looked at again.
    Look(ObjectPosition),
    /// What a replay has only compared has been proven by reading it back.
    Verify,
    /// The same as far as one attempt goes.
    Prove,
    /// The object is sealed at its present length.
    Seal,
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Append these bytes at this position; `creates`: the object is not there yet. Where several
    /// appends may be under way, this one is sent behind those that are, and it is for
    /// [`Await`](Self::Await) to wait for its answer.
    Append {
        position: ObjectPosition,
        body: Batch,
        creates: bool,
    },
    /// Wait for the answer to the first of the appends that are under way.
    Await,
    /// Look at the object.
    Head,
    /// Begin to read this range.
    Read(Range<ObjectPosition>),
    /// Go on with that.
    ReadOn,
    /// Seal the object at this length.
    Seal(ObjectPosition),
    /// Wait before the next request.
    Wait(Wait),
    /// The goal is achieved, or cannot be.
    Done(Result<()>),
}

/// How what was to be done went.
#[derive(Debug)]
pub(crate) enum Event {
    /// The request had to wait for its turn.
    Queued(Duration),
    /// A request has come to its end; how it went comes next.
    Ended(Trip),
    /// The first of the appends that are under way was answered, or failed.
    Answered(Result<AppendAnswer>),
    /// A look was answered, or failed.
    Looked(Result<Option<ObjectInfo>>),
    /// More of the range came, or could not be had.
    Read(Result<Bytes>),
    /// A request to seal was answered, or failed.
    Sealed(Result<()>),
    /// The wait is over, which was to end at this time.
    Waited(Time),
    /// Nobody works on the goal any more: the future was dropped.
    Dropped,
}

impl Event {
    /// The failure, if it is one.
    pub(crate) fn failure(&self) -> Option<&Error> {
        match self {
            Self::Answered(answer) => answer.as_ref().err(),
            Self::Looked(looked) => looked.as_ref().err(),
            Self::Read(read) => read.as_ref().err(),
            Self::Sealed(sealed) => sealed.as_ref().err(),
            Self::Queued(_) | Self::Ended(_) | Self::Waited(_) | Self::Dropped => None,
        }
    }
}

/// What has happened since this was asked last, for those who count.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Bytes proven to be in the object.
    pub(crate) durable: u64,
    /// An append was proven, so long after its first attempt.
    pub(crate) appended: Option<Duration>,
    /// The append is not the first for its batch.
    pub(crate) retried: bool,
    /// The object is looked at to find out what happened.
    pub(crate) reconciles: bool,
    /// What is told as the last failure.
    pub(crate) error: Option<Error>,
}

/// What is known once a goal is achieved.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What the last look has shown.
    pub(crate) seen: Option<Box<ObjectInfo>>,
    /// Where the batch begins that has been settled, and how long it was.
    pub(crate) batch: Option<(ObjectPosition, u64)>,
}
