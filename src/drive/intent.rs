//! Callbacks that learn, before an append is sent, what it is meant for.

use std::fmt;

use futures::future::BoxFuture;

use crate::error::Result;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;
use crate::values::proven::Proven;

/// Where the next bytes of a writer are going to be appended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Intent {
    /// The first of them: everything before it is settled.
    pub(crate) settled: StreamPosition,
    pub(crate) object: ObjectPath,
    /// The object before them.
    pub(crate) proven: Proven,
    /// With compression, what was made of them.
    pub(crate) packed: Option<Packed>,
    /// In a sequence: which object it is.
    pub(crate) number: Option<u64>,
    /// In a sequence: the time that its name was made of, in seconds since the Unix epoch.
    pub(crate) time: Option<i64>,
}

impl Intent {
    /// Whether whoever knows of this knows of `next` too: plain bytes go on in the same object.
    pub(crate) fn covers(&self, next: &Self) -> bool {
        let same = self.object == next.object && self.settled <= next.settled;
        let plain = self.packed.is_none() && next.packed.is_none();
        let (before, after) = (self.proven.position, next.proven.position);
        self == next
            || same && plain && before <= after && after - before == next.settled - self.settled
    }
}

/// A compressed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// So many bytes.
    pub(crate) given: u64,
    /// What they were compressed to.
    pub(crate) stored: u64,
    /// The checksum of the object with that.
    pub(crate) crc64: Option<u64>,
}

/// Keeps what is intended, so that it is known after the process has died.
pub(crate) trait Intents: fmt::Debug + Send + Sync {
    /// Returns when `intent` is kept. What was kept before need not be kept again.
    fn keep(&self, intent: Intent) -> BoxFuture<'_, Result<()>>;
}
