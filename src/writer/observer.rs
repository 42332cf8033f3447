//! Somebody who is told what a worker does.

use std::fmt;

use super::unsent::Unsent;
use crate::error::Error;

/// Called by the worker alone, without the writer's lock, before those who wait for the same are
/// woken.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// So many bytes are durable, of all that the writer has accepted.
    fn durable(&self, bytes: u64);

    /// The worker has ended; if it has failed, that is why, and what is not durable.
    fn ended(&self, failure: Option<(Error, Unsent)>);
}
