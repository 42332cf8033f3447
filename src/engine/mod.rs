//! The rules: no IO, no clock, no tokio. Time and randomness come in as arguments.
//!
//! [`machine`] is where to start: the state of one object and what is done next. What an answer
//! proves is in [`answer`], what a look proves in [`reconcile`], what may be done after a failed
//! request in [`recovery`], how long it is tried in [`budget`]. [`schedule`] and [`flush`] decide
//! when an append is due, and [`beginning`] what may follow what an object holds already.

pub(crate) mod action;
pub(crate) mod answer;
pub(crate) mod beginning;
pub(crate) mod budget;
mod compared;
pub(crate) mod fit;
pub(crate) mod flight;
pub(crate) mod flush;
mod job;
mod look;
pub(crate) mod machine;
pub(crate) mod mark;
#[cfg_attr(
    not(feature = "rolling"),
    allow(dead_code, unreachable_pub, reason = "public with the feature")
)]
pub(crate) mod period;
pub(crate) mod place;
pub(crate) mod reconcile;
pub(crate) mod recovery;
#[cfg(feature = "rolling")]
mod release;
pub(crate) mod replay;
// In the published package the tests of the library have no features of their own.
#[cfg(all(test, feature = "rolling"))]
mod rows;
pub(crate) mod rules;
pub(crate) mod schedule;
mod seal;
mod settle;
#[cfg(all(test, feature = "rolling"))]
mod simulation;
pub(crate) mod window;
