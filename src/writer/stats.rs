//! A snapshot of what a writer has done and what it still holds.

use std::time::{Duration, SystemTime};

use crate::error::Error;

/// What a writer has done since it was opened. The counts add up: `accepted` is always
/// `durable + buffered + compared + failed`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriterStats {
    /// Bytes taken from callers.
    pub accepted: u64,
    /// Bytes proven to be in the object.
    pub durable: u64,
    /// Bytes proven to be in the object as they are there: with compression fewer than `durable`,
    /// else as many.
    pub stored: u64,
    /// Bytes in memory: waiting, or in an append whose outcome is open.
    pub buffered: u64,
    /// Bytes of a replay that agree with the object by checksum so far, but are not proven before
    /// the comparison is complete. Zero outside of a replay.
    pub compared: u64,
    /// Bytes that are not durable and that a failed writer does not send any more.
    pub failed: u64,
    /// How long ago the oldest byte was accepted that is neither durable nor compared; `None` if
    /// there is none. Grows during an outage.
    pub oldest: Option<Duration>,
    /// Appends that are proven to be in the object.
    pub appends: u64,
    /// Append requests beyond the first of each batch.
    pub retries: u64,
    /// Looks at the object to find out what happened to an append.
    pub reconciles: u64,
    /// The most appends that may be under way at a time at present:
    /// [`max_in_flight`](crate::OssAppendWriterBuilder::max_in_flight), or 1 while the store sends
    /// one at a time.
    pub max_in_flight: u16,
    /// The last failure of a request, whether it was overcome or not.
    pub last_error: Option<Error>,
    /// When an append was last proven.
    pub last_success: Option<SystemTime>,
}
