//! What stands between the buffer of a writer and the engine of an object: which object the flights
//! of its window go to, and in which form.
//!
//! Batches go down: the worker issues them as flights of the window, and has a [`Stage`] settle
//! them. Outcomes come up through the window as soon as they are known: the bytes that were settled
//! with their place, and how far the object is proven. A stage's error ends the writer. The stage
//! of a plain writer is the driver of its object; other stages stand before it and forward to it.
//!
//! No stage keeps bytes of its own: everything in doubt is in the window.

pub(crate) mod compressed;
#[cfg_attr(
    not(feature = "compression"),
    allow(unreachable_pub, reason = "public with the feature")
)]
pub(crate) mod compression;
mod single;

use std::future::Future;

use jiff::Timestamp;

use crate::drive::window::WindowAccess;
use crate::error::{Error, Result};

/// Settles what is in the window of a writer, each byte exactly once.
///
/// What has become of the bytes is told by the window: settled with the place, or durable. A stage
/// keeps none of them, and whoever stands before another forwards each call. Nothing has a default,
/// so that none can be forgotten.
pub(crate) trait Stage: Send + 'static {
    /// Finds out how much of what an earlier process has left in a spool is durable, before anything
    /// else is done: so many bytes, the first.
    fn recover(&mut self) -> impl Future<Output = Result<u64>> + Send;

    /// Makes sure that an object is there to be appended to. `period` is that of the next byte,
    /// where there are periods.
    fn open(&mut self, period: Option<Timestamp>) -> impl Future<Output = Result<()>> + Send;

    /// What the present object may still take; `None` if none is open.
    fn space(&self) -> Option<Space>;

    /// Appends what is in the flights of the window, and returns when that is settled. `continues`:
    /// it goes on with a record whose beginning has been appended.
    fn settle(
        &mut self,
        window: &mut impl WindowAccess,
        continues: bool,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Proves what was only compared yet.
    fn verify(&mut self, window: &mut impl WindowAccess)
    -> impl Future<Output = Result<()>> + Send;

    /// Finishes the present object, if one is open: what comes next goes in another.
    fn roll(&mut self, reason: RollReason) -> impl Future<Output = Result<()>> + Send;

    /// Nothing more comes: proves all that is only compared yet, and ends with the present object.
    fn finish(
        &mut self,
        window: &mut impl WindowAccess,
        seal: bool,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What makes the writer fail although all requests succeed: a callback has panicked.
    fn failure(&mut self) -> Option<Error>;

    /// Proves as much as can be of what was only compared, although the stage has failed.
    fn prove_compared(&mut self, window: &mut impl WindowAccess)
    -> impl Future<Output = ()> + Send;
}

/// What an object may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) bytes: u64,
    /// The most bytes of several records in one append.
    pub(crate) most: u64,
    /// Whether the object is empty: a record that does not even fit in there goes in nevertheless.
    pub(crate) empty: bool,
}

impl Space {
    pub(crate) const UNLIMITED: Self = Self {
        bytes: u64::MAX,
        most: u64::MAX,
        empty: true,
    };
}

/// Why an object was finished.
#[cfg_attr(
    not(feature = "rolling"),
    allow(dead_code, unreachable_pub, reason = "public with the feature")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollReason {
    /// It has its size.
    Size,
    /// Its period has ended.
    Period,
    /// [`roll`](crate::RollingWriter::roll) was called.
    Asked,
    /// It took no more appends: somebody else sealed it, appended to it, removed or replaced it,
    /// or it is as long as OSS allows.
    Closed,
    /// The writer was shut down, or dropped.
    Shutdown,
}
