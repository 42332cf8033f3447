//! Counters, gauges and histograms of what writers do, for whatever recorder the program has
//! installed for the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Each constant below is the name of one of them, and tells its kind and what it counts. The
//! recorder is given the same text as a description.
//!
//! Each is the sum over all writers to a bucket, and has the label `bucket`. The label `kind` is the
//! name of the [`ErrorKind`], in snake case: `retries_exhausted`, `service`; for
//! [`Transport`](ErrorKind::Transport) with its cause: `transport_timeout`.
//!
//! An [`ObjectAppender`](crate::ObjectAppender) counts as a writer does, but has no buffer; and it
//! does not count as a failed writer, since its caller has the error and decides.
//!
//! Units and descriptions are given to the recorder whenever a writer is opened, so install it
//! before.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, TransportCause};

/// What is told about a metric, once for its documentation and for the recorder.
macro_rules! table {
    ($($(#[doc = $more:literal])* $constant:ident: $kind:ident, $unit:ident, $name:literal, $what:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`, a ", stringify!($kind), ": ", $what, ".")]
            #[doc = ""]
            $(#[doc = $more])*
            pub const $constant: &str = $name;
        )*

        /// Gives the recorder the units and descriptions.
        #[cfg(feature = "metrics")]
        fn describe_all() {
            $(describe_one!($kind, $name, ::metrics::Unit::$unit, $what);)*
        }
    };
}

#[cfg(feature = "metrics")]
macro_rules! describe_one {
    (counter, $($what:tt)*) => { ::metrics::describe_counter!($($what)*) };
    (gauge, $($what:tt)*) => { ::metrics::describe_gauge!($($what)*) };
    (histogram, $($what:tt)*) => { ::metrics::describe_histogram!($($what)*) };
}

table! {
    /// The sum of [`WriterStats::stored`](crate::WriterStats::stored).
    DURABLE_BYTES: counter, Bytes, "oss_append_durable_bytes_total",
        "bytes proven to be in an object, as they are there";
    /// The sum of [`WriterStats::appends`](crate::WriterStats::appends).
    APPENDS: counter, Count, "oss_append_appends_total",
        "appends proven to be in an object";
    APPEND_DURATION: histogram, Seconds, "oss_append_append_duration_seconds",
        "time from the first attempt of each append until it was proven";
    /// The sum of [`WriterStats::retries`](crate::WriterStats::retries).
    RETRIES: counter, Count, "oss_append_retries_total",
        "append requests beyond the first of each batch";
    /// The sum of [`WriterStats::reconciles`](crate::WriterStats::reconciles).
    RECONCILES: counter, Count, "oss_append_reconciles_total",
        "looks at an object to find out what happened to an append";
    /// Requests of any sort, that OSS refused or that got no answer.
    FAILED_REQUESTS: counter, Count, "oss_append_failed_requests_total",
        "requests that failed, overcome or not, by `kind`";
    FAILED_WRITERS: counter, Count, "oss_append_failed_writers_total",
        "writers that failed for good, by `kind`";
    /// The sum of [`WriterStats::buffered`](crate::WriterStats::buffered) over all writers, at most
    /// a second old.
    BUFFERED_BYTES: gauge, Bytes, "oss_append_buffered_bytes",
        "bytes in memory, waiting or in flight";
    /// The sum of `SpoolStats::bytes` over all writers, at most a second old.
    SPOOLED_BYTES: gauge, Bytes, "oss_append_spooled_bytes",
        "bytes kept on disk until they are durable";
    /// The sum of `RollingStats::finished`.
    FINISHED_OBJECTS: counter, Count, "oss_append_finished_objects_total",
        "objects that rolling writers have finished";
    DROPPED_RECORDS: counter, Count, "oss_append_dropped_records_total",
        "log records that were dropped because there was no room for them";
}

pub(crate) use facade::describe;

pub(crate) fn durable_bytes(bucket: &Arc<str>, bytes: u64) {
    facade::count(DURABLE_BYTES, bucket, None, bytes);
}

pub(crate) fn append(bucket: &Arc<str>, took: Duration) {
    facade::count(APPENDS, bucket, None, 1);
    facade::record(APPEND_DURATION, bucket, took);
}

pub(crate) fn retry(bucket: &Arc<str>) {
    facade::count(RETRIES, bucket, None, 1);
}

pub(crate) fn reconcile(bucket: &Arc<str>) {
    facade::count(RECONCILES, bucket, None, 1);
}

pub(crate) fn failed_request(bucket: &Arc<str>, error: &ErrorKind) {
    facade::count(FAILED_REQUESTS, bucket, Some(label(error)), 1);
}

pub(crate) fn failed_writer(bucket: &Arc<str>, error: &ErrorKind) {
    facade::count(FAILED_WRITERS, bucket, Some(label(error)), 1);
}

#[cfg(feature = "rolling")]
pub(crate) fn finished_object(bucket: &Arc<str>) {
    facade::count(FINISHED_OBJECTS, bucket, None, 1);
}

#[cfg(any(feature = "tracing", test))]
pub(crate) fn dropped_records(bucket: &Arc<str>, records: u64) {
    facade::count(DROPPED_RECORDS, bucket, None, records);
}

/// The part of one writer in the gauges of what is held. It leaves them when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffered {
    bucket: Arc<str>,
    shown: Held,
}

/// What a writer holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Bytes in memory.
    pub(crate) memory: u64,
    /// Bytes on disk.
    pub(crate) disk: u64,
}

impl Buffered {
    /// How often a busy writer shows what it holds; `None` without metrics.
    pub(crate) const INTERVAL: Option<Duration> = if cfg!(feature = "metrics") {
        Some(Duration::from_secs(1))
    } else {
        None
    };

    pub(crate) fn new(bucket: Arc<str>) -> Self {
        let shown = Held::default();
        Self { bucket, shown }
    }

    pub(crate) fn show(&mut self, held: Held) {
        let before = std::mem::replace(&mut self.shown, held);
        if held.memory != before.memory {
            facade::shift(BUFFERED_BYTES, &self.bucket, before.memory, held.memory);
        }
        if held.disk != before.disk {
            facade::shift(SPOOLED_BYTES, &self.bucket, before.disk, held.disk);
        }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.show(Held::default());
    }
}

fn label(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::TooManyAppends { .. } => "object_full",
        ErrorKind::Transport { cause, .. } => match cause {
            TransportCause::Connect => "transport_connect",
            TransportCause::UnknownHost => "transport_unknown_host",
            TransportCause::Tls => "transport_tls",
            TransportCause::Timeout => "transport_timeout",
            TransportCause::Broken => "transport_broken",
        },
        other => other.name(),
    }
}

/// Everything that needs the crate `metrics`. No handle is kept: a recorder may be installed at any
/// time, and may forget what has been idle for long. It is the program's, so a panic in it ends no
/// writer.
#[cfg(feature = "metrics")]
mod facade {
    use std::sync::Arc;
    use std::time::Duration;

    use metrics::{Label, SharedString, counter, gauge, histogram};

    use super::describe_all;
    use crate::callback::caught;

    pub(crate) fn describe() {
        caught(describe_all);
    }

    fn labels(bucket: &Arc<str>, kind: Option<&'static str>) -> Vec<Label> {
        let bucket = Label::new("bucket", SharedString::from_shared(Arc::clone(bucket)));
        let kind = kind.map(|kind| Label::from_static_parts("kind", kind));
        std::iter::once(bucket).chain(kind).collect()
    }

    pub(super) fn count(
        name: &'static str,
        bucket: &Arc<str>,
        kind: Option<&'static str>,
        by: u64,
    ) {
        caught(|| counter!(name, labels(bucket, kind)).increment(by));
    }

    pub(super) fn record(name: &'static str, bucket: &Arc<str>, took: Duration) {
        caught(|| histogram!(name, labels(bucket, None)).record(took));
    }

    pub(super) fn shift(name: &'static str, bucket: &Arc<str>, from: u64, to: u64) {
        caught(|| {
            let gauge = gauge!(name, labels(bucket, None));
            if to > from {
                gauge.increment((to - from) as f64);
            } else {
                gauge.decrement((from - to) as f64);
            }
        });
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use std::sync::Arc;
    use std::time::Duration;

    #[inline(always)]
    pub(crate) fn describe() {}

    #[inline(always)]
    pub(super) fn count(_: &'static str, _: &Arc<str>, _: Option<&'static str>, _: u64) {}

    #[inline(always)]
    pub(super) fn record(_: &'static str, _: &Arc<str>, _: Duration) {}

    #[inline(always)]
    pub(super) fn shift(_: &'static str, _: &Arc<str>, _: u64, _: u64) {}
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use ::metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;

    struct Panics;

    impl Recorder for Panics {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
            panic!("in the recorder");
        }

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            panic!("in the recorder");
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            panic!("in the recorder");
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("in the recorder");
        }
    }

    #[test]
    fn a_panic_in_the_recorder_ends_nothing() {
        ::metrics::with_local_recorder(&Panics, || {
            describe();
            append(&"logs".into(), Duration::ZERO);
            Buffered::new("logs".into()).show(Held { memory: 1, disk: 0 });
        });
    }

    #[test]
    fn dropped_records_are_counted() {
        let recorder = DebuggingRecorder::new();
        let snapshots = recorder.snapshotter();
        ::metrics::with_local_recorder(&recorder, || {
            dropped_records(&"logs".into(), 2);
            dropped_records(&"logs".into(), 3);
        });
        let [(key, .., value)] = &snapshots.snapshot().into_vec()[..] else {
            panic!("one metric");
        };
        assert_eq!(key.key().name(), DROPPED_RECORDS);
        assert_eq!(value, &DebugValue::Counter(5));
    }
}
