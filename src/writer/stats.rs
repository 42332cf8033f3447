//! A snapshot of what a writer has done and what it still holds.

use std::time::{Duration, SystemTime};

use super::spooling::SpoolStats;
use crate::error::Error;
use crate::store::ignored::IgnoredOption;

/// What a writer has done since it was opened. The counts add up: `accepted` is always
/// `durable + buffered + compared + failed`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriterStats {
    /// Bytes taken from callers.
    pub accepted: u64,
    /// Bytes proven to be in the object.
    pub durable: u64,
    /// Bytes proven to be in the object, counted as they are stored: with compression fewer than
    /// `durable`, otherwise as many.
    pub stored: u64,
    /// Bytes that wait, or are in an append whose outcome is open: in memory, or on disk if there
    /// is a [spool](Self::spool).
    pub buffered: u64,
    /// Bytes of a replay that agree with the object by checksum so far, but are not proven before
    /// the comparison is complete. Zero outside of a replay.
    pub compared: u64,
    /// Bytes that are not durable and that a failed writer does not send any more.
    pub failed: u64,
    /// The age of the oldest byte that is neither durable nor compared; `None` if there is none.
    /// Grows during an outage.
    pub oldest: Option<Duration>,
    /// How long ago the writer was set up.
    pub age: Duration,
    /// Appends that are proven to be in the object.
    pub appends: u64,
    /// Append requests beyond the first of each batch.
    pub retries: u64,
    /// Looks at the object to find out what happened to an append.
    pub reconciles: u64,
    /// The most appends that may be in flight at the moment:
    /// [`max_in_flight`](crate::OssAppendWriterBuilder::max_in_flight), or 1 while the store sends
    /// one at a time.
    pub max_in_flight: u16,
    /// Requests of any sort that failed, overcome or not: appends, looks, lists.
    pub failed_requests: u64,
    /// How long the current trouble has lasted: requests fail, and since the first failure nothing
    /// was delivered. `None` while all is well.
    pub failing: Option<Duration>,
    /// The last failure of a request, whether it was overcome or not.
    pub last_error: Option<Error>,
    /// When an append was last proven.
    pub last_success: Option<SystemTime>,
    /// Options for new objects that have no effect on the object that was opened last, since it
    /// already existed and differs. An event of `tracing` reports them too, at level WARN with the
    /// target `oss_append::delivery`. ACL and tags are not compared: a look at an object does not
    /// show them.
    pub ignored_options: Vec<IgnoredOption>,
    /// The state of the spool, if there is one.
    pub spool: Option<SpoolStats>,
}

impl WriterStats {
    /// Append requests a second since the writer was set up, each of which OSS bills: those of
    /// [`appends`](Self::appends) and [`retries`](Self::retries).
    pub fn appends_per_second(&self) -> f64 {
        match self.age.as_secs_f64() {
            0.0 => 0.0,
            seconds => (self.appends + self.retries) as f64 / seconds,
        }
    }

    /// What these come to in 30 days.
    pub fn appends_per_month(&self) -> f64 {
        self.appends_per_second() * 30.0 * 86_400.0
    }
}
