//! Many threads at once.

use std::io::Write;
use std::sync::{Arc, Barrier};
use std::thread;

use oss_append::{LogReport, LogStats, OssLogAppender, WhenFull};

use super::{WATCHDOG, objects, told};
use crate::support::bucket::SimBucket;

const THREADS: usize = 2_000;
const RECORDS: usize = 10;
const STACK: usize = 64 * 1024;

fn record(thread: usize, n: usize) -> String {
    format!(
        "thread {thread:04} record {n} {}\n",
        "x".repeat(thread % 50)
    )
}

/// Every thread logs its records, all at once.
fn crowd(when_full: WhenFull) -> (String, LogReport, LogStats) {
    let bucket = SimBucket::new();
    let objects = objects(&bucket).roll_size(100_000).writer(|writer| {
        writer
            .batch_size(1_000)
            .max_append_size(10_000)
            .buffer_capacity(20_000)
    });
    let (appender, guard) = OssLogAppender::builder(objects)
        .when_full(when_full)
        .start_unchecked()
        .unwrap();
    let together = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (appender, together) = (appender.clone(), Arc::clone(&together));
            let thread = thread::Builder::new().stack_size(STACK);
            let logs = move || {
                let mut writer = appender.writer();
                together.wait();
                for n in 0..RECORDS {
                    let record = record(number, n);
                    let (begin, end) = record.as_bytes().split_at(number % record.len());
                    writer.write_all(begin).unwrap();
                    writer.write_all(end).unwrap();
                }
            };
            thread.spawn(logs).unwrap()
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let report = guard.shutdown(WATCHDOG);
    assert!(report.is_complete(), "{report:?}");
    (bucket.text(), report, appender.stats())
}

/// Checks that the records that arrived are whole, once and in the order of each thread; how many
/// arrived, and what the notices tell of.
fn check(text: &str) -> (usize, (u64, u64)) {
    let mut next = [0; THREADS];
    let mut arrived = 0;
    let mut sum = (0, 0);
    for line in text.lines() {
        if let Some((records, bytes)) = told(line) {
            sum = (sum.0 + records, sum.1 + bytes);
            continue;
        }
        let mut words = line.split(' ').skip(1).step_by(2);
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect(line);
        let (thread, n): (usize, usize) = (number(), number());
        assert_eq!(format!("{line}\n"), record(thread, n));
        assert!(n >= next[thread], "{line}");
        next[thread] = n + 1;
        arrived += 1;
    }
    (arrived, sum)
}

#[test]
fn nothing_is_lost_when_they_wait() {
    let (text, report, stats) = crowd(WhenFull::Block);
    assert_eq!(check(&text), (THREADS * RECORDS, (0, 0)));
    assert_eq!(report.dropped.records, 0);
    assert_eq!(stats.records, (THREADS * RECORDS) as u64);
}

#[test]
fn the_counts_add_up_when_they_do_not_wait() {
    let (text, report, stats) = crowd(WhenFull::Drop);
    let (arrived, (records, bytes)) = check(&text);
    let dropped = report.dropped;
    assert_eq!((records, bytes), (dropped.records, dropped.bytes));
    assert_eq!(arrived as u64 + records, (THREADS * RECORDS) as u64);
    let all: usize = (0..THREADS).map(|t| RECORDS * record(t, 0).len()).sum();
    let notices: usize = text
        .lines()
        .filter(|line| told(line).is_some())
        .map(|line| line.len() + 1)
        .sum();
    assert_eq!(text.len() - notices + bytes as usize, all);
    assert_eq!(stats.records as usize, text.lines().count());
    assert_eq!(stats.dropped, dropped);
}
