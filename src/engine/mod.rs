//! The rules: no IO, no clock, no tokio. Time and randomness come in as arguments.
//!
//! [`machine`] is where to start: the state of one object and what is done next. What an answer
//! proves is in [`answer`], what a look proves in [`reconcile`], what may be done after a failed
//! request in [`recovery`], how long it is tried in [`budget`]. [`schedule`] and [`flush`] decide
//! when an append is due.

pub(crate) mod answer;
pub(crate) mod budget;
pub(crate) mod flush;
pub(crate) mod machine;
mod pending;
pub(crate) mod period;
pub(crate) mod reconcile;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod schedule;
mod seal;
pub(crate) mod settle;
#[cfg(test)]
mod simulation;
