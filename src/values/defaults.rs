//! What is used where a builder is told nothing else: the default values of all options that are
//! numbers or durations.
//!
//! They are here for programs that show them, such as in the help of a command.

use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Bytes that start an append, [`batch_size`](crate::OssAppendWriterBuilder::batch_size).
pub const BATCH_SIZE: u64 = MIB;
/// The most bytes of one append,
/// [`max_append_size`](crate::OssAppendWriterBuilder::max_append_size).
pub const MAX_APPEND_SIZE: u64 = 8 * MIB;
/// The most bytes in the memory of a writer,
/// [`buffer_capacity`](crate::OssAppendWriterBuilder::buffer_capacity).
pub const BUFFER_CAPACITY: u64 = 16 * MIB;
/// The longest time that a byte waits for its append,
/// [`linger`](crate::OssAppendWriterBuilder::linger).
pub const LINGER: Duration = Duration::from_secs(1);
/// The most appends that are under way at a time,
/// [`max_in_flight`](crate::OssAppendWriterBuilder::max_in_flight): one, until more is known to be
/// taken by the real service.
pub const MAX_IN_FLIGHT: u16 = 1;
/// The time between two appends that flushes force, in
/// [`FlushMode::Coalesced`](crate::FlushMode::Coalesced).
pub const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// How long a request may stand still,
/// [`attempt_timeout`](crate::OssAppendWriterBuilder::attempt_timeout) of writers and
/// [of clients](crate::OssClientBuilder::attempt_timeout).
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a writer goes on without progress,
/// [`delivery_timeout`](crate::OssAppendWriterBuilder::delivery_timeout).
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest wait after the first failure, see [`Backoff`](crate::Backoff).
pub const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// The longest wait after many failures in a row, see [`Backoff`](crate::Backoff).
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The most bytes of an object,
/// [`max_object_size`](crate::OssAppendWriterBuilder::max_object_size): the documents of OSS say
/// both 5 GB and 5 GiB, this is the smaller.
pub const MAX_OBJECT_SIZE: u64 = 5_000_000_000;

/// How many parts are read at a time, [`read_ahead`](crate::ObjectReaderBuilder::read_ahead).
pub const READ_AHEAD: usize = 1;
/// The bytes of a part that is read while others are,
/// [`part_size`](crate::ObjectReaderBuilder::part_size).
pub const PART_SIZE: u64 = 8 * MIB;

/// How soon a follower looks again after something has come,
/// [`poll_interval`](crate::ObjectFollowerBuilder::poll_interval).
pub const POLL_MIN: Duration = Duration::from_millis(200);
/// How often a follower looks at least while nothing comes,
/// [`poll_interval`](crate::ObjectFollowerBuilder::poll_interval).
pub const POLL_MAX: Duration = Duration::from_secs(5);
/// The most bytes of a line, [`ObjectFollower::lines`](crate::ObjectFollower::lines).
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// How long making a connection may take,
/// [`connect_timeout`](crate::OssClientBuilder::connect_timeout).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept,
/// [`pool_idle_timeout`](crate::OssClientBuilder::pool_idle_timeout). A pooled connection that the
/// server or a middlebox has dropped breaks the next request on it; OSS keeps idle connections for
/// longer than this.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// The most keys that are open at a time, [`max_open`](crate::KeyedWriterBuilder::max_open).
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub const MAX_OPEN: usize = 1000;
/// How long a key stays open that is not written to,
/// [`idle_timeout`](crate::KeyedWriterBuilder::idle_timeout).
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes in memory for all keys together,
/// [`buffer_capacity`](crate::KeyedWriterBuilder::buffer_capacity) of a keyed writer.
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub const KEYED_BUFFER_CAPACITY: u64 = 64 * MIB;
/// The most requests of all keys at a time,
/// [`max_concurrent_appends`](crate::KeyedWriterBuilder::max_concurrent_appends).
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub const MAX_CONCURRENT_APPENDS: usize = 16;
/// The most keys that have failed before no further ones are opened,
/// [`max_failed_keys`](crate::KeyedWriterBuilder::max_failed_keys).
#[cfg(feature = "keyed")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyed")))]
pub const MAX_FAILED_KEYS: usize = 10_000;

/// How long the start of a log may take,
/// [`start_timeout`](crate::OssLogAppenderBuilder::start_timeout).
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing of a log may be delivered before that is told,
/// [`trouble_after`](crate::OssLogAppenderBuilder::trouble_after).
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub const TROUBLE_AFTER: Duration = Duration::from_secs(10);
/// How long the guard of a log tries to deliver what is left,
/// [`shutdown_timeout`](crate::OssLogAppenderBuilder::shutdown_timeout).
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// [`MAX_IN_FLIGHT`], or what the tests of this package ask for, to run all of them with more.
pub(crate) fn max_in_flight() -> u16 {
    #[cfg(feature = "internals")]
    {
        static ASKED: std::sync::OnceLock<Option<u16>> = std::sync::OnceLock::new();
        let asked = || {
            std::env::var("OSS_APPEND_INTERNALS_MAX_IN_FLIGHT")
                .ok()?
                .parse()
                .ok()
        };
        ASKED.get_or_init(asked).unwrap_or(MAX_IN_FLIGHT)
    }
    #[cfg(not(feature = "internals"))]
    MAX_IN_FLIGHT
}
