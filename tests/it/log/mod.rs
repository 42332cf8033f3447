//! The log appender: what it takes, what it drops, and how it ends. It runs on a thread of its own
//! with the real clock, so the tests wait for what happens and never for time.

mod begun;
mod close;
mod end;
mod events;
mod extremes;
mod full;
mod goes_on;
mod panics;
mod processes;
mod quiet;
mod records;
mod start;
mod threads;
mod told;
mod trouble;

use std::time::{Duration, Instant};

use oss_append::{Backoff, Dropped, OssAppendWriterBuilder, RollingWriter, RollingWriterBuilder};

use crate::support::bucket::SimBucket;
use crate::support::store::unreachable;

/// Only there to end a test that hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// The room in the buffer of [`objects`].
const ROOM: u64 = 800;

/// Objects of `bucket`, written through a small buffer and without loss of time.
fn objects(bucket: &SimBucket) -> RollingWriterBuilder<SimBucket> {
    RollingWriter::builder(bucket.clone(), "bucket", "log-{seq:4}").writer(|writer| {
        eager(writer)
            .batch_size(100)
            .max_append_size(ROOM / 2)
            .buffer_capacity(ROOM)
    })
}

/// Loses no time between its attempts.
fn eager<S: oss_append::AppendStore, O>(
    writer: OssAppendWriterBuilder<S, O>,
) -> OssAppendWriterBuilder<S, O> {
    writer.linger(Duration::ZERO).backoff(Backoff::new(
        Duration::from_millis(1),
        Duration::from_millis(5),
    ))
}

/// A bucket whose first object cannot be reached.
fn bucket_that_is_down() -> SimBucket {
    let bucket = SimBucket::new();
    bucket.object("log-0001").go_down(unreachable());
    bucket
}

/// Makes the first object reachable again.
fn come_back(bucket: &SimBucket) {
    bucket.object("log-0001").come_back();
}

/// Waits until `condition` holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WATCHDOG, "never: {what}");
        std::thread::yield_now();
    }
}

/// The usual notice.
fn notice(Dropped { records, bytes, .. }: Dropped) -> String {
    format!("oss-append: {records} log records ({bytes} bytes) were dropped here\n")
}

/// How many records and bytes a line tells of, if it is a notice.
fn told(line: &str) -> Option<(u64, u64)> {
    let (records, rest) = line
        .strip_prefix("oss-append: ")?
        .split_once(" log records (")?;
    let bytes = rest.strip_suffix(" bytes) were dropped here")?;
    Some((records.parse().unwrap(), bytes.parse().unwrap()))
}
