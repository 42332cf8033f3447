//! What a log appender has taken and what it had to drop.

use crate::rolling::RollingStats;

/// What a log appender has done since its start.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogStats {
    /// Records that were taken, notices of dropped ones included.
    pub records: u64,
    /// Records that were not.
    pub dropped: Dropped,
    /// The writer below: bytes, appends, objects, and the last error.
    pub rolling: RollingStats,
}

/// Records that found no room, were too long for one append, or came after the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// How many.
    pub records: u64,
    /// Their length together.
    pub bytes: u64,
}

impl Dropped {
    pub(super) fn add(&mut self, len: usize) {
        self.records += 1;
        self.bytes += len as u64;
    }

    pub(super) fn is_empty(self) -> bool {
        self.records == 0
    }
}
