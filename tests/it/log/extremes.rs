//! Any value of any option works, or is refused.

use std::sync::Arc;
use std::time::Duration;

use oss_append::{
    ErrorKind, FlushMode, ManyObjects, OssAppendWriterBuilder, OssLogAppender, RollingWriter,
    RollingWriterBuilder, WhenFull,
};

use super::WATCHDOG;
use crate::support::bucket::SimBucket;

type Rolling = RollingWriterBuilder<SimBucket>;
type Writer = OssAppendWriterBuilder<Arc<SimBucket>, ManyObjects>;

/// Logs with these options.
fn works_or_is_refused(what: &str, configure: impl FnOnce(Rolling) -> Rolling) {
    let bucket = SimBucket::new();
    let objects = RollingWriter::builder(bucket.clone(), "bucket", "%Y-%m-%d-{seq:4}");
    let objects = configure(objects.daily());
    let builder = OssLogAppender::builder(objects).when_full(WhenFull::Block);
    let (appender, guard) = match builder.start_unchecked() {
        Ok(started) => started,
        Err(error) => {
            let invalid = matches!(error.kind(), ErrorKind::InvalidInput { .. });
            return assert!(invalid, "{what}: {error}");
        }
    };
    for _ in 0..3 {
        appender.record(b"a\n");
    }
    let report = guard.shutdown(WATCHDOG);
    assert_eq!(report.undelivered, 0, "{what}: {report}");
    let taken = 6 - report.dropped.bytes;
    assert_eq!(bucket.text().len() as u64 - taken, 0, "{what}");
}

#[test]
fn any_value_of_an_option_works_or_is_refused() {
    let sizes: [fn(Writer, u64) -> Writer; 4] = [
        Writer::batch_size,
        Writer::max_append_size,
        Writer::buffer_capacity,
        Writer::max_object_size,
    ];
    for (number, set) in sizes.into_iter().enumerate() {
        for n in [0, 2, u64::MAX - 1, u64::MAX] {
            let what = format!("size {number} of {n}");
            works_or_is_refused(&what, |rolling| rolling.writer(|w| set(w, n)));
        }
    }
    for time in [Duration::ZERO, Duration::MAX] {
        works_or_is_refused("linger", |rolling| rolling.writer(|w| w.linger(time)));
        let mode = FlushMode::Coalesced { min_interval: time };
        works_or_is_refused("flush_mode", |rolling| {
            rolling.writer(|w| w.flush_mode(mode))
        });
        works_or_is_refused("roll_every", |rolling| rolling.roll_every(time));
    }
    for size in [0, 1, u64::MAX] {
        works_or_is_refused("roll_size", |rolling| rolling.roll_size(size));
    }
    for offset in [i32::MIN, i32::MAX] {
        works_or_is_refused("utc_offset", |rolling| rolling.utc_offset(offset));
    }
}
