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
    /// Bytes of the buffer that are set aside for records whose end has not come.
    pub begun: u64,
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
    pub(super) fn add(&mut self, len: u64) {
        self.records += 1;
        self.bytes += len;
    }

    /// What is left without `part` of them.
    pub(super) fn without(self, part: Self) -> Self {
        Self {
            records: self.records - part.records,
            bytes: self.bytes - part.bytes,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.records == 0
    }
}
