//! A writer whose bytes are kept on disk until they are durable.
//!
//! What comes in is put on disk by the spool's task, or by the thread that logs, before it is sent;
//! what memory cannot hold is read back when its turn comes. How the files look is in
//! [`crate::spool`], how a spool that is used by need goes to rest in [`rest`], how far everything has come in [`state`], what an earlier process left in
//! [`open`].

mod contents;
mod disk;
#[cfg_attr(
    not(feature = "keyed"),
    allow(dead_code, reason = "only keys have spools beside each other")
)]
pub(crate) mod many;
mod note;
mod open;
mod options;
mod plan;
mod rest;
// In the published package the tests of the library have no features of their own.
#[cfg(all(test, feature = "compression", feature = "keyed", feature = "testing"))]
mod simulation;
mod state;
mod stats;
mod task;
#[cfg(all(test, feature = "compression", feature = "keyed", feature = "testing"))]
mod tests;
mod wait;

pub use self::contents::{SpoolContents, SpoolOwner};
pub(crate) use self::disk::{Keeper, Spooled};
pub(crate) use self::open::{OpenSpool, Recovered, Source, SpoolLeft};
pub use self::options::{Spool, SpoolSync};
pub(crate) use self::plan::Plan;
pub(super) use self::state::SpoolState;
pub use self::stats::SpoolStats;
pub(super) use self::task::{end, run};
