//! One round of one contestant, in a process of its own.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Case, Ground};
use crate::numbers::processor_time;

/// Measures from here on.
pub(crate) struct Timer {
    start: Instant,
    processor: f64,
}

/// What was measured.
pub(crate) struct Measured {
    elapsed: Duration,
    /// Seconds of processor time.
    processor: f64,
    bytes: u64,
}

impl Timer {
    pub(crate) fn start() -> Self {
        Self {
            processor: processor_time(),
            start: Instant::now(),
        }
    }

    /// `bytes` have got where they should.
    pub(crate) fn stop(self, bytes: u64) -> Measured {
        Measured {
            elapsed: self.start.elapsed(),
            processor: processor_time() - self.processor,
            bytes,
        }
    }
}

impl Measured {
    /// What took `elapsed`, as something else than the timer says.
    pub(crate) fn instead(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }
}

/// Runs what `[case, run, url]` says and prints a line of JSON.
pub(super) fn run(cases: &[Case], arguments: &[String], small: bool) {
    let number = |text: &str| text.parse::<usize>().unwrap();
    let run = &cases[number(&arguments[0])].runs[number(&arguments[1])];
    let ground = Ground {
        url: arguments[2].clone(),
        object: format!("object-{}", std::process::id()),
        small,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let work = runtime.spawn((run.work)(ground));
    let measured = runtime.block_on(work).unwrap();
    let line = json!({
        "seconds": measured.elapsed.as_secs_f64(),
        "processor": measured.processor,
        "bytes": measured.bytes,
        "peak": peak_memory(),
    });
    println!("{line}");
}

/// The most memory that this process has had resident, in bytes; 0 if that is not known.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}
