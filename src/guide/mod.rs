//! Guides: how to use the crate, what it does when something fails, and what was measured.
//!
//! | guide | read it to |
//! |---|---|
//! | [`logging`] | send a program's logs to OSS |
//! | [`pipelines`] | move records from a broker, a file or a stream, with receipts and without doubles |
//! | [`spool`] | bridge outages and kills with a directory on disk |
//! | [`failures`] | know what is promised, and what happens when something goes wrong |
//! | [`performance`] | see what was measured, and choose sizes |
//! | [`testing`] | test a program against the embedded server |
//! | [`operations`] | run it: the command, options, credentials, permissions, metrics |
//!
//! Their examples are compiled, and run where they can be, by the tests of this crate.

// The texts are always shown; their examples are compiled where their features are on.
#[cfg_attr(any(not(doctest), feature = "tracing"), doc = include_str!("logging.md"))]
pub mod logging {}

#[cfg_attr(
    any(
        not(doctest),
        all(feature = "compression", feature = "emulator", feature = "keyed")
    ),
    doc = include_str!("pipelines.md")
)]
pub mod pipelines {}

#[cfg_attr(
    any(not(doctest), all(feature = "emulator", feature = "spool")),
    doc = include_str!("spool.md")
)]
pub mod spool {}

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[cfg_attr(any(not(doctest), feature = "emulator"), doc = include_str!("testing.md"))]
pub mod testing {}

#[doc = include_str!("operations.md")]
pub mod operations {}
