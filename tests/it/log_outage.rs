//! OSS is away for a while, over real sockets, while four threads go on logging.
//!
//! `OSS_APPEND_OUTAGE_SECONDS` sets for how long (default 1).

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oss_append::emulator::Emulator;
use oss_append::{
    Backoff, LogReport, LogStats, OssClient, OssLogAppender, RollingWriter, RollingWriterBuilder,
};
use tokio::task::spawn_blocking;

use crate::support::emulated::{objects, start};
use crate::support::{MS, SEC};

/// This is what is tested, and not a time in which something has to happen.
const OUTAGE: Duration = SEC;

const THREADS: usize = 4;
const KIB: u64 = 1024;
const ROLL_SIZE: u64 = 128 * KIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_the_buffer_bridges_loses_nothing() {
    let emulator = start().await;
    // At most 80 kB a second: the buffer holds three minutes of that.
    let rate = Rate {
        length: 100,
        pause: 5 * MS,
    };
    let bridged = |stats: &LogStats| stats.rolling.writer.last_error.is_some();
    let outcome = outage(&emulator, sequence(&emulator), rate, bridged).await;
    assert_eq!(outcome.report.dropped.records, 0);
    assert_eq!(outcome.notices, []);
    assert_eq!(outcome.taken, outcome.logged.iter().sum::<u64>());
    for (thread, logged) in outcome.logged.into_iter().enumerate() {
        assert!(outcome.arrived[thread].iter().copied().eq(0..logged));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_fills_the_buffer_drops_what_the_log_tells_of() {
    let emulator = start().await;
    let rate = Rate {
        length: 500,
        pause: MS,
    };
    let small = sequence(&emulator).writer(|writer| {
        writer
            .batch_size(32 * KIB)
            .max_append_size(64 * KIB)
            .buffer_capacity(256 * KIB)
    });
    let filled = |stats: &LogStats| stats.dropped.records > 0;
    let outcome = outage(&emulator, small, rate, filled).await;
    let dropped = outcome.report.dropped;
    assert!(dropped.records > 0);
    assert_eq!(dropped.bytes, dropped.records * rate.length as u64);
    let told = outcome.notices.iter().fold((0, 0), |sum, notice| {
        let (records, bytes) = notice;
        (sum.0 + records, sum.1 + bytes)
    });
    assert_eq!(told, (dropped.records, dropped.bytes));

    // Those that arrived are each there once if their numbers rise.
    let taken = outcome.taken - outcome.notices.len() as u64;
    let logged: u64 = outcome.logged.iter().sum();
    assert_eq!(taken + dropped.records, logged);
    let arrived: usize = outcome.arrived.iter().map(Vec::len).sum();
    assert_eq!(arrived as u64, taken);
    for (thread, numbers) in outcome.arrived.into_iter().enumerate() {
        assert!(numbers.is_sorted_by(|a, b| a < b), "thread {thread}");
        assert!(numbers.last() < Some(&outcome.logged[thread]));
    }
}

fn sequence(emulator: &Emulator) -> RollingWriterBuilder<OssClient> {
    RollingWriter::builder(emulator.client().build().unwrap(), "bucket", "log/{seq:6}")
        .roll_size(ROLL_SIZE)
        .writer(|writer| writer.linger(20 * MS).backoff(Backoff::new(MS, 200 * MS)))
}

/// How a thread logs.
#[derive(Clone, Copy)]
struct Rate {
    length: usize,
    /// After each record.
    pause: Duration,
}

/// What was logged and what came of it.
struct Outcome {
    /// How many records each thread logged.
    logged: Vec<u64>,
    /// The numbers of those that arrived, by thread, in order.
    arrived: Vec<Vec<u64>>,
    /// The records and bytes that each notice in the log tells of.
    notices: Vec<(u64, u64)>,
    /// Records taken, notices included.
    taken: u64,
    report: LogReport,
}

/// Logs from before an outage until after it. It ends when its time is over and it had its `effect`.
async fn outage(
    emulator: &Emulator,
    sequence: RollingWriterBuilder<OssClient>,
    rate: Rate,
    effect: impl Fn(&LogStats) -> bool,
) -> Outcome {
    let (appender, guard) = OssLogAppender::builder(sequence).start_unchecked().unwrap();
    let end = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (appender, end) = (appender.clone(), Arc::clone(&end));
            std::thread::spawn(move || log_until(&end, &appender, thread, rate))
        })
        .collect();
    let reached = async |condition: &dyn Fn(&LogStats) -> bool| {
        while !condition(&appender.stats()) {
            tokio::time::sleep(10 * MS).await;
        }
    };

    reached(&|stats| stats.rolling.finished > 0).await;
    emulator.pause().await;
    tokio::time::sleep(outage_time()).await;
    reached(&effect).await;
    let away = appender.stats().rolling;
    assert!(away.writer.buffered > 0);
    emulator.resume().await.unwrap();

    // It catches up, and goes on.
    reached(&|stats| stats.rolling.writer.durable > away.writer.accepted).await;
    reached(&|stats| stats.rolling.finished > away.finished).await;
    end.store(true, Ordering::Relaxed);
    let ended = spawn_blocking(move || {
        let logged = threads.into_iter().map(|thread| thread.join().unwrap());
        (logged.collect(), guard.shutdown(60 * SEC))
    });
    let (logged, report) = ended.await.unwrap();
    assert!(report.is_complete(), "{report}");
    let mut outcome = Outcome {
        logged,
        arrived: vec![Vec::new(); THREADS],
        notices: Vec::new(),
        taken: appender.stats().records,
        report,
    };
    for object in objects(emulator, "log/").await {
        assert!(object.info.length <= ROLL_SIZE);
        // A record that was split between objects shows here.
        for line in std::str::from_utf8(&object.bytes).unwrap().lines() {
            outcome.read(line, rate);
        }
    }
    outcome
}

fn outage_time() -> Duration {
    match std::env::var("OSS_APPEND_OUTAGE_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().expect("OSS_APPEND_OUTAGE_SECONDS")),
        Err(_) => OUTAGE,
    }
}

/// Returns how many records it logged.
fn log_until(end: &AtomicBool, appender: &OssLogAppender, thread: usize, rate: Rate) -> u64 {
    let mut log = appender.writer();
    for number in 0.. {
        if end.load(Ordering::Relaxed) {
            return number;
        }
        writeln!(log, "{}", record(thread, number, rate)).unwrap();
        std::thread::sleep(rate.pause);
    }
    unreachable!("the numbers do not end");
}

/// With its line break as long as it should be.
fn record(thread: usize, number: u64, rate: Rate) -> String {
    let text = format!("thread {thread} record {number} ");
    format!("{text:.<width$}", width = rate.length - 1)
}

impl Outcome {
    #[track_caller]
    fn read(&mut self, line: &str, rate: Rate) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["thread", thread, "record", number, _] => {
                let (thread, number) = (thread.parse().unwrap(), number.parse().unwrap());
                assert_eq!(line, record(thread, number, rate));
                self.arrived[thread].push(number);
            }
            [
                "oss-append:",
                records,
                "log",
                "records",
                bytes,
                "bytes)",
                "were",
                "dropped",
                "here",
            ] => {
                let bytes = bytes.trim_start_matches('(').parse().unwrap();
                self.notices.push((records.parse().unwrap(), bytes));
            }
            _ => panic!("{line:?}"),
        }
    }
}
