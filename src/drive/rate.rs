//! A limit on appends a second.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::values::locks::MutexExt as _;

/// A limit on the append requests a second of all writers that it is given to.
///
/// OSS bills requests, and limits how many a second it takes from an account and under one prefix
/// of keys (2,000 under sequential keys, see
/// <https://www.alibabacloud.com/help/en/oss/user-guide/oss-performance-best-practices>). Where the
/// limit applies, more bytes gather for each append. Requests that are repeated after a failure
/// count too. Clones share one limit.
///
/// ```
/// use oss_append::AppendLimit;
/// # use oss_append::{ObjectPath, OssAppendWriter, testing::MemoryStore};
///
/// // For the whole process.
/// let limit = AppendLimit::per_second(100);
/// # let (store, object) = (MemoryStore::new(), ObjectPath::new("bucket", "key")?);
/// let builder = OssAppendWriter::builder(store, object).append_limit(&limit);
/// # Ok::<(), oss_append::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AppendLimit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    interval: Duration,
    /// When the next append may be sent.
    next: Mutex<Option<Instant>>,
}

/// How far those that are late may catch up, since timers are: more may be sent at once than the
/// limit allows in this time.
const LAG: Duration = Duration::from_millis(10);

impl AppendLimit {
    /// At most this many a second, at least 1, evenly spaced.
    pub fn per_second(appends: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                interval: Duration::from_secs(1) / appends.max(1),
                next: Mutex::default(),
            }),
        }
    }

    /// Takes the next place, and tells when that is.
    pub(super) fn book(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.shared.next.locked();
        let earliest = now.checked_sub(LAG).unwrap_or(now);
        let place = next.map_or(now, |next| next.max(earliest));
        *next = Some(place + self.shared.interval);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_are_evenly_spaced_and_little_is_caught_up() {
        let limit = AppendLimit::per_second(4);
        let start = Instant::now();
        let places = |count| -> Vec<_> {
            let places = (0..count).map(|_| limit.book());
            places.map(|place| (place - start).as_millis()).collect()
        };
        assert_eq!(places(4), [0, 250, 500, 750]);
        tokio::time::advance(Duration::from_millis(1005)).await;
        assert_eq!(places(2), [1000, 1250]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(places(2), [10_995, 11_245]);
    }
}
