//! Metrics: each has exactly the value of the statistics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use oss_append::metrics::*;
use oss_append::{Backoff, Checkpoint, Error, ObjectPath};
use oss_append::{OssAppendWriter, RollingWriter, ServiceError, WriterStats};
use tokio::runtime::Builder;

use crate::support::bucket::SimBucket;
use crate::support::store::{Fault, Op, SimStore, broken, service, unreachable};
use crate::support::{MS, SEC, appender, object, small_writer, writer};

/// What has been recorded, summed over all snapshots: taking one sets the recorder to zero.
struct Recorded {
    snapshots: Snapshotter,
    /// By name and labels, as `name{bucket,kind}`.
    values: BTreeMap<String, f64>,
    durations: Vec<f64>,
}

impl Recorded {
    fn update(&mut self) {
        for (key, _, _, value) in self.snapshots.snapshot().into_vec() {
            let key = key.key();
            let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            let sum = self.values.entry(name).or_default();
            match value {
                DebugValue::Counter(count) => *sum += count as f64,
                DebugValue::Gauge(value) => *sum += value.0,
                DebugValue::Histogram(values) => {
                    *sum += values.len() as f64;
                    self.durations.extend(values.iter().map(|value| value.0));
                }
            }
        }
    }

    /// The value with these labels; for a histogram how many were recorded.
    fn labelled(&mut self, name: &str, labels: &str) -> u64 {
        self.update();
        let value = self.values.get(&format!("{name}{{{labels}}}"));
        let value = value.copied().unwrap_or_default();
        assert!(value >= 0.0 && value.fract() == 0.0, "{name}: {value}");
        value as u64
    }

    /// The value for the bucket that the tests write to.
    fn value(&mut self, name: &str) -> u64 {
        self.labelled(name, "bucket")
    }

    /// The kinds under which a failure was counted, and how often.
    fn kinds(&mut self, name: &str) -> Vec<(String, u64)> {
        self.update();
        let prefix = format!("{name}{{bucket,");
        let found = self.values.iter().filter_map(|(name, value)| {
            let kind = name.strip_prefix(&prefix)?.strip_suffix('}')?;
            Some((kind.to_owned(), *value as u64))
        });
        found.collect()
    }
}

/// Runs `test` on this thread, with all that its tasks record. Their runtime has ended before the
/// recorder is gone.
fn recorded(test: impl AsyncFnOnce(&mut Recorded)) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let mut recorded = Recorded {
        snapshots: recorder.snapshotter(),
        values: BTreeMap::new(),
        durations: Vec::new(),
    };
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(test(&mut recorded));
        drop(runtime);
    });
    recorded.update();
    recorded
}

fn assert_counts(recorded: &mut Recorded, stats: &[WriterStats]) {
    let sum = |count: fn(&WriterStats) -> u64| stats.iter().map(count).sum::<u64>();
    let pairs = [
        (DURABLE_BYTES, sum(|stats| stats.durable)),
        (APPENDS, sum(|stats| stats.appends)),
        (APPEND_DURATION, sum(|stats| stats.appends)),
        (RETRIES, sum(|stats| stats.retries)),
        (RECONCILES, sum(|stats| stats.reconciles)),
        (BUFFERED_BYTES, sum(|stats| stats.buffered)),
    ];
    for (name, expected) in pairs {
        assert_eq!(recorded.value(name), expected, "{name}");
    }
}

#[test]
fn counts_are_those_of_the_statistics_over_all_writers() {
    recorded(async |recorded| {
        let mut all = Vec::new();
        for mishap in [
            vec![],
            vec![Fault::lost_answer()],
            vec![Fault::lost_request(), Fault::refused(), Fault::never()],
            vec![Fault::torn(3), Fault::torn(2), Fault::late()],
            vec![Fault::error(503, "SlowDown"), Fault::applied_never()],
            vec![Fault::none(), Fault::torn(4), Fault::error(403, "No")],
            vec![
                Fault::none(),
                Fault::lost_answer().foreign_after("theirs"),
                Fault::none(),
            ],
        ] {
            let store = SimStore::new();
            for fault in mishap {
                store.fault(fault);
            }
            let mut writer = small_writer(&store).open().await.unwrap();
            for piece in 0..20 {
                if writer.write_all(&[piece; 7]).await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
            all.push(writer.stats());
            assert_counts(recorded, &all);
        }
        assert!(all.iter().all(|stats| stats.appends > 0));
        assert!(all.iter().any(|stats| stats.failed > 0));
        assert!(all.iter().any(|stats| stats.retries > 0));
        assert!(all.iter().any(|stats| stats.reconciles > 0));
        let expected = [("conflict".into(), 1), ("service".into(), 1)];
        assert_eq!(recorded.kinds(FAILED_WRITERS), expected);
    });
}

#[test]
fn records_in_a_shared_object_count_without_those_of_others() {
    recorded(async |recorded| {
        let store = SimStore::holding("old ");
        store
            .fault(Fault::none().foreign_before("theirs "))
            .fault(Fault::lost_answer().foreign_after("theirs again "));
        let mut writer = writer(&store).shared(true).open().await.unwrap();
        for record in ["ours ", "our second "] {
            writer.write_all(record.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
        }
        assert_eq!(recorded.value(DURABLE_BYTES), 16);
        assert_counts(recorded, &[writer.stats()]);
    });
}

#[test]
fn what_a_replay_finds_counts_when_it_is_proven() {
    const INPUT: &str = "the quick brown fox jumps over the lazy dog";
    for without_crc in [false, true] {
        recorded(async |recorded| {
            let store = SimStore::holding(&INPUT[..20]);
            store.world().without_crc = without_crc;
            if without_crc {
                store.fail_read(broken());
            }
            let builder = small_writer(&store).replay(Checkpoint::start(object()));
            let mut writer = builder.open().await.unwrap();
            writer.write_all(&INPUT.as_bytes()[..12]).await.unwrap();
            tokio::time::sleep(5 * SEC).await;
            let found = if without_crc { 12 } else { 0 };
            assert_eq!(writer.stats().durable, found);
            assert_counts(recorded, &[writer.stats()]);
            writer.write_all(&INPUT.as_bytes()[12..]).await.unwrap();
            writer.shutdown().await.unwrap();
            assert_eq!(recorded.value(DURABLE_BYTES), INPUT.len() as u64);
            assert_counts(recorded, &[writer.stats()]);
        });
    }
}

#[test]
fn what_was_only_compared_counts_with_the_append_that_proves_it() {
    recorded(async |recorded| {
        let store = SimStore::holding("there");
        store.world().without_crc = true;
        let builder = appender(&store).replay(Checkpoint::start(object()));
        let mut appender = builder.open().await.unwrap();
        // The comparison is given up before it has read anything.
        store.fail_read(broken());
        assert!(appender.append("there").now_or_never().is_none());
        assert_eq!((appender.position(), appender.stats().durable), (5, 0));
        store.world().without_crc = false;
        appender.append(" and more").await.unwrap();
        assert_eq!(appender.durable_position(), 14);
        assert_eq!(appender.stats().durable, 14);
        assert_eq!(recorded.value(DURABLE_BYTES), 14);
    });
}

#[test]
fn an_appender_counts_too_and_tells_its_bytes() {
    recorded(async |recorded| {
        let store = SimStore::holding("old");
        let mut appender = appender(&store).open().await.unwrap();
        appender.append("12345").await.unwrap();
        store.fault(Fault::torn(2));
        appender.append("6789").await.unwrap();
        let sealed = Fault::lost_answer().after(|object| object.as_mut().unwrap().sealed = true);
        store.fault(sealed);
        let error = appender.append("landed").await.unwrap_err();
        assert_eq!(error.landed(), Some(oss_append::Landed::Yes));
        let stats = appender.stats();
        assert_eq!((stats.durable, stats.appends), (15, 2));
        assert_eq!(recorded.value(DURABLE_BYTES), stats.durable);
        assert_eq!(recorded.value(APPENDS), stats.appends);
        assert_eq!(recorded.value(RETRIES), stats.retries);
        assert_eq!(recorded.value(RECONCILES), stats.reconciles);
        assert!(recorded.kinds(FAILED_WRITERS).is_empty());
    });
}

#[test]
fn an_append_takes_from_its_first_attempt_until_it_is_proven() {
    let mut recorded = recorded(async |_| {
        let store = SimStore::new();
        store.world().latency = 250 * MS;
        let mut busy = ServiceError::new(503, "SlowDown");
        busy.retry_after = Some(2 * SEC);
        store
            .fault(Fault::none())
            .fault(Fault::lost_answer())
            .fault(Fault::answered(Error::service(busy)));
        let at_once = Backoff::new(Duration::ZERO, Duration::ZERO);
        let mut appender = appender(&store).backoff(at_once).open().await.unwrap();
        for batch in ["one", "two", "three"] {
            tokio::time::sleep(SEC).await;
            appender.append(batch).await.unwrap();
        }
    });
    for expected in [2.5, 0.25, 0.25] {
        let took = recorded.durations.pop().unwrap();
        assert!((expected..expected + 0.01).contains(&took), "{took}");
    }
    assert!(recorded.durations.is_empty());
}

#[test]
fn each_failed_request_counts_once_by_its_kind() {
    recorded(async |recorded| {
        let store = SimStore::new();
        store
            .fault(Fault::lost_request())
            .fault(Fault::refused())
            .fault(Fault::never())
            .fault(Fault::error(500, "InternalError"))
            .fail_head(unreachable())
            .fail_head(service(503, "SlowDown"));
        let mut writer = writer(&store).open().await.unwrap();
        writer.write_all(b"x").await.unwrap();
        writer.shutdown().await.unwrap();
        let mut kinds = recorded.kinds(FAILED_REQUESTS);
        assert!(recorded.kinds(FAILED_WRITERS).is_empty());
        kinds.sort();
        let expected = [
            ("service", 2),
            ("transport_broken", 1),
            ("transport_connect", 2),
            ("transport_timeout", 1),
        ];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(kinds, expected);
    });
}

#[test]
fn a_writer_that_gives_up_counts_its_requests_and_itself() {
    let store = SimStore::new();
    let mut recorded = recorded(async |recorded| {
        let mut writer = writer(&store)
            .delivery_timeout(30 * SEC)
            .open()
            .await
            .unwrap();
        store.go_down(unreachable());
        writer.write_all(b"never sent").await.unwrap();
        writer.sync().await.unwrap_err();
        // Asked again it has not failed again.
        writer.sync().await.unwrap_err();
        let stats = writer.stats();
        assert_eq!((stats.failed, stats.buffered), (10, 0));
        assert_counts(recorded, &[stats]);
    });
    // The first request is the look that opened it.
    let failed = store.ops().len() as u64 - 1;
    assert!(failed > 5);
    assert_eq!(
        recorded.kinds(FAILED_REQUESTS),
        [("transport_connect".to_owned(), failed)]
    );
    assert_eq!(
        recorded.kinds(FAILED_WRITERS),
        [("retries_exhausted".to_owned(), 1)]
    );
}

#[test]
fn the_buffers_of_several_writers_add_up_and_leave_nothing_behind() {
    recorded(async |recorded| {
        let stores = [SimStore::new(), SimStore::new(), SimStore::new()];
        let mut writers = Vec::new();
        for store in &stores {
            store.world().latency = 30 * SEC;
            let builder = writer(store).attempt_timeout(100 * SEC).batch_size(10);
            writers.push(builder.open().await.unwrap());
        }
        for (writer, len) in writers.iter_mut().zip([10, 20, 30]) {
            writer.write_all(&vec![b'x'; len]).await.unwrap();
        }
        tokio::time::sleep(MS).await;
        assert_eq!(recorded.value(BUFFERED_BYTES), 60);
        // They fill up while an append is on its way.
        for writer in &mut writers {
            writer.write_all(&[b'y'; 5]).await.unwrap();
        }
        tokio::time::sleep(SEC + MS).await;
        assert_eq!(recorded.value(BUFFERED_BYTES), 75);
        stores[1].go_down(service(403, "AccessDenied"));
        tokio::time::sleep(30 * SEC).await;
        let stats: Vec<_> = writers.iter().map(OssAppendWriter::stats).collect();
        assert_eq!([5, 0, 5], [0, 1, 2].map(|i| stats[i].buffered));
        assert_eq!(stats[1].failed, 25);
        assert_counts(recorded, &stats);
        drop(writers.pop());
        writers[0].shutdown().await.unwrap();
        tokio::time::sleep(30 * SEC).await;
        assert_eq!(recorded.value(BUFFERED_BYTES), 0);
        assert_eq!(stores[2].content().len(), 35);
    });
}

#[test]
fn what_waits_for_a_long_linger_shows_within_a_second() {
    recorded(async |recorded| {
        let store = SimStore::new();
        let mut writer = writer(&store).linger(60 * SEC).open().await.unwrap();
        for _ in 0..5 {
            writer.write_all(b"ten bytes\n").await.unwrap();
            tokio::time::sleep(SEC + MS).await;
            assert_counts(recorded, &[writer.stats()]);
        }
        assert_eq!(recorded.value(BUFFERED_BYTES), 50);
        assert_eq!(store.ops(), [Op::Head]);
    });
}

#[test]
fn a_worker_that_is_lost_takes_its_buffer_from_the_gauge() {
    let mut left = None;
    let mut recorded = recorded(async |recorded| {
        let store = SimStore::new();
        store.world().latency = 3600 * SEC;
        let mut writer = small_writer(&store).open().await.unwrap();
        writer.write_all(b"flying and waiting").await.unwrap();
        tokio::time::sleep(MS).await;
        assert_eq!(recorded.value(BUFFERED_BYTES), 18);
        left = Some(writer);
    });
    let stats = left.unwrap().stats();
    assert_eq!((stats.buffered, stats.failed), (0, 18));
    assert_eq!(recorded.value(BUFFERED_BYTES), 0);
    assert_eq!(
        recorded.kinds(FAILED_WRITERS),
        [("worker_lost".to_owned(), 1)]
    );
}

#[test]
fn a_rolling_writer_counts_over_all_its_objects() {
    recorded(async |recorded| {
        let bucket = SimBucket::new();
        let mut writer = RollingWriter::builder(bucket.clone(), "bucket", "log-{seq}")
            .roll_size(20)
            .keep_trying(true)
            .writer(|writer| writer.backoff(Backoff::new(SEC, SEC)))
            .open()
            .await
            .unwrap();
        let sealed = Fault::torn(4).after(|object| object.as_mut().unwrap().sealed = true);
        bucket.object("log-2").fault(sealed);
        bucket.object("log-3").fault(Fault::error(403, "No"));
        for line in 0..8 {
            let line = format!("line {line}.....\n");
            writer.write_all(line.as_bytes()).await.unwrap();
            writer.sync().await.unwrap();
        }
        writer.roll().await.unwrap();
        let stats = writer.stats();
        assert_eq!(stats.finished, bucket.keys().len() as u64);
        assert_eq!(recorded.value(FINISHED_OBJECTS), stats.finished);
        assert_eq!(recorded.value(DURABLE_BYTES), 8 * 12);
        assert_counts(recorded, &[stats.writer]);
        assert!(recorded.kinds(FAILED_WRITERS).is_empty());
        writer.shutdown().await.unwrap();
        assert_eq!(recorded.value(FINISHED_OBJECTS), writer.stats().finished);
    });
}

#[test]
fn buckets_are_told_apart() {
    let mut recorded = recorded(async |_| {
        for (name, bytes) in [("first", "123"), ("second", "12345")] {
            let object = ObjectPath::new(name, "object").unwrap();
            let builder = OssAppendWriter::builder(SimStore::new(), object);
            let mut writer = builder.open().await.unwrap();
            writer.write_all(bytes.as_bytes()).await.unwrap();
            writer.shutdown().await.unwrap();
        }
    });
    assert_eq!(recorded.labelled(DURABLE_BYTES, "first"), 3);
    assert_eq!(recorded.labelled(DURABLE_BYTES, "second"), 5);
}

/// What the recorder is told about each metric: a row of the guide's table, and the unit.
#[derive(Clone, Default)]
struct Descriptions(Arc<Mutex<Vec<(String, Unit)>>>);

impl Descriptions {
    fn note(&self, kind: &str, name: KeyName, unit: Option<Unit>, what: SharedString) {
        let row = format!("| `{}` | {kind} | {what} |", name.as_str());
        self.0.lock().unwrap().push((row, unit.expect("a unit")));
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.note("counter", name, unit, what);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.note("gauge", name, unit, what);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.note("histogram", name, unit, what);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// What a writer describes when it is opened.
fn described() -> Vec<(String, Unit)> {
    let descriptions = Descriptions::default();
    metrics::with_local_recorder(&descriptions, || {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let opened = runtime.block_on(writer(&SimStore::new()).open());
        drop(opened.unwrap());
    });
    let mut described = std::mem::take(&mut *descriptions.0.lock().unwrap());
    described.dedup();
    described
}

#[test]
fn the_guide_tells_of_each_metric_what_the_recorder_is_told() {
    let guide = include_str!("../../src/guide/operations.md");
    let is_row = |line: &&str| line.starts_with("| `oss_append_");
    let told: Vec<_> = guide.lines().filter(is_row).collect();

    let described = described();

    let rows: Vec<_> = described.iter().map(|(row, _)| row.as_str()).collect();
    assert_eq!(told, rows);
}

#[test]
fn names_tell_their_units() {
    for (row, unit) in described() {
        let name = row.split('`').nth(1).unwrap();
        let expected = match name.trim_end_matches("_total").rsplit('_').next() {
            Some("bytes") => Unit::Bytes,
            Some("seconds") => Unit::Seconds,
            _ => Unit::Count,
        };
        assert_eq!(unit, expected, "{name}");
    }
}
