//! The pure rules: no IO, no clock, no tokio. Time and randomness come in as arguments.

pub(crate) mod answer;
pub(crate) mod flush;
pub(crate) mod period;
pub(crate) mod reconcile;
pub(crate) mod recovery;
pub(crate) mod schedule;
