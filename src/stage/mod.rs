//! What stands between the buffer of a writer and the appender of an object: which object a batch
//! goes to, and in which form.
//!
//! A worker gives its batches to a [`Destination`](destination::Destination), one at a time. That of
//! a plain writer is the appender itself; others stand before it and forward to what is behind them.

pub(crate) mod compressed;
#[cfg_attr(
    not(feature = "compression"),
    allow(unreachable_pub, reason = "public with the feature")
)]
pub(crate) mod compression;
pub(crate) mod destination;
pub(crate) mod place;
