//! Any value of any option works, or is refused.

use std::time::Duration;

use oss_append::{ErrorKind, FlushMode, KeyedWriterBuilder, ManyObjects, OssAppendWriterBuilder};

use super::{HANGS, large};
use crate::support::bucket::SimBucket;

type Builder = KeyedWriterBuilder<SimBucket>;
type Writer = OssAppendWriterBuilder<std::sync::Arc<SimBucket>, ManyObjects>;

/// Writes to some keys with these options. What is refused is refused as invalid.
async fn works_or_is_refused(what: &str, configure: impl FnOnce(Builder) -> Builder) {
    let bucket = SimBucket::new();
    let refused = |kind: &ErrorKind| {
        assert!(
            matches!(kind, ErrorKind::InvalidInput { .. }),
            "{what}: {kind:?}"
        );
    };
    let writer = match configure(large(&bucket)).start() {
        Ok(writer) => writer,
        Err(error) => return refused(error.kind()),
    };
    let mut accepted = 0;
    for key in ["a", "b", "c", "d"] {
        let written = tokio::time::timeout(HANGS, writer.write(key, "x".into())).await;
        match written.unwrap_or_else(|_| panic!("{what} hangs")) {
            Ok(receipt) => {
                drop(receipt);
                accepted += 1;
            }
            Err(error) => refused(error.kind()),
        }
    }
    let ended = tokio::time::timeout(HANGS, writer.shutdown()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{what} hangs"));
    ended.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(writer.stats().durable, accepted, "{what}");
}

#[tokio::test(start_paused = true)]
async fn any_value_of_an_option_works_or_is_refused() {
    for n in [0, 1, usize::MAX] {
        works_or_is_refused("max_open", |b| b.max_open(n)).await;
        works_or_is_refused("max_concurrent_appends", |b| b.max_concurrent_appends(n)).await;
        works_or_is_refused("max_failed_keys", |b| b.max_failed_keys(n)).await;
        works_or_is_refused("buffer_capacity", |b| b.buffer_capacity(n as u64)).await;
        let all = |b: Builder| {
            b.max_open(n)
                .max_concurrent_appends(n)
                .max_failed_keys(n)
                .buffer_capacity(n as u64)
        };
        works_or_is_refused("all limits", all).await;
    }
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        works_or_is_refused("idle_timeout", |b| b.idle_timeout(time)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn any_value_of_an_option_of_a_key_works_or_is_refused() {
    let sizes: [fn(Writer, u64) -> Writer; 4] = [
        Writer::batch_size,
        Writer::max_append_size,
        Writer::buffer_capacity,
        Writer::max_object_size,
    ];
    for (number, set) in sizes.into_iter().enumerate() {
        for n in [0, 1, u64::MAX - 1, u64::MAX] {
            let what = format!("size {number} of {n}");
            works_or_is_refused(&what, |b| b.writer(move |_, w| set(w, n))).await;
        }
    }
    for time in [Duration::ZERO, Duration::MAX] {
        works_or_is_refused("linger", |b| b.writer(move |_, w| w.linger(time))).await;
        let mode = FlushMode::Coalesced { min_interval: time };
        works_or_is_refused("flush_mode", |b| b.writer(move |_, w| w.flush_mode(mode))).await;
        works_or_is_refused("roll_every", |b| {
            let names = b.objects(|key| format!("{key}/%Y-%m-%d-{{seq}}"));
            names.rolling(move |_, rolling| rolling.roll_every(time))
        })
        .await;
    }
    for size in [0, 1, u64::MAX] {
        works_or_is_refused("roll_size", |b| {
            let names = b.objects(|key| format!("{key}/{{seq}}"));
            names.rolling(move |_, rolling| rolling.roll_size(size))
        })
        .await;
    }
    for offset in [i32::MIN, i32::MAX] {
        works_or_is_refused("utc_offset", |b| {
            let names = b.objects(|key| format!("{key}/%Y-%m-%d-{{seq}}"));
            names.rolling(move |_, rolling| rolling.daily().utc_offset(offset))
        })
        .await;
    }
}
