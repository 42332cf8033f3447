//! Logs from many threads as fast as they can, to many objects, and checks that every line arrived:
//! once, whole, and in the order of its thread.
//!
//! ```text
//! cargo run --release --example log_storm [EVENTS [THREADS]]
//! ```
//!
//! EVENTS are 2,000,000 of about 120 bytes unless told otherwise, and THREADS 8. It runs an embedded
//! OSS server, which holds them all in memory, unless OSS_BUCKET is set.

#[path = "support/oss.rs"]
mod oss;

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use oss::Oss;
use oss_append::{ObjectPath, OssClient, OssLogAppender, RollingWriter, WhenFull};

const MIB: u64 = 1024 * 1024;
const ROLL_SIZE: u64 = 32 * MIB;
const DELIVERY: Duration = Duration::from_secs(600);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let events: u64 = arguments.next().transpose()?.unwrap_or(2_000_000);
    let threads = arguments.next().transpose()?.unwrap_or(8).max(1);

    let oss = Oss::connect()?;
    let folder = format!("log_storm/{:016x}/", fastrand::u64(..));
    let template = format!("{folder}{{seq:6}}.log");
    let log = RollingWriter::builder(oss.client()?, oss.bucket(), template).roll_size(ROLL_SIZE);
    let (appender, guard) = OssLogAppender::builder(log)
        .when_full(WhenFull::Block)
        .start_blocking()?;
    tracing_subscriber::fmt()
        .with_writer(appender.clone())
        .with_ansi(false)
        .init();

    println!("{events} events from {threads} threads");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in 0..share(events, threads, thread) {
                    log_event(thread, number);
                }
            });
        }
    });
    let logged = start.elapsed();
    let report = guard.shutdown(DELIVERY);
    let delivered = start.elapsed();

    let stats = appender.stats();
    println!(
        "logged in {:.2} s: {:.0} events/s",
        logged.as_secs_f64(),
        events as f64 / logged.as_secs_f64()
    );
    println!(
        "durable after {:.2} s: {:.1} MiB ({:.1} MiB/s), {} appends, {} retries",
        delivered.as_secs_f64(),
        mib(report.delivered),
        mib(report.delivered) / delivered.as_secs_f64(),
        stats.rolling.writer.appends,
        stats.rolling.writer.retries
    );
    if !report.is_complete() || report.dropped.records > 0 {
        return Err(report.to_string().into());
    }

    let start = Instant::now();
    let mut check = Check::new(threads);
    let client = oss.client()?;
    let objects = oss.wait_for(check_objects(&client, oss.bucket(), &folder, &mut check))?;
    for thread in 0..threads {
        let (seen, logged) = (check.next[thread as usize], share(events, threads, thread));
        if seen != logged {
            return Err(format!("thread {thread} logged {logged} lines, {seen} arrived").into());
        }
    }
    println!(
        "read back in {:.2} s: {} lines in {objects} objects, each once, whole, and in the order \
         of its thread",
        start.elapsed().as_secs_f64(),
        check.lines
    );
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

/// How many of the events are those of `thread`.
fn share(events: u64, threads: u64, thread: u64) -> u64 {
    events / threads + u64::from(thread < events % threads)
}

fn log_event(thread: u64, number: u64) {
    tracing::info!(
        thread,
        number,
        "the quick brown fox jumps over the lazy dog's back"
    );
}

/// What `log_event` writes, behind the time.
fn expect(line: &mut String, thread: u64, number: u64) {
    line.clear();
    // A `String` takes everything.
    let _ = write!(
        line,
        "  INFO log_storm: the quick brown fox jumps over the lazy dog's back thread={thread} \
         number={number}"
    );
}

/// Checks all objects in the order of their keys, and tells how many there are.
async fn check_objects(
    client: &OssClient,
    bucket: &str,
    folder: &str,
    check: &mut Check,
) -> Result<usize> {
    let mut request = client.list_objects(bucket).prefix(folder);
    let mut objects = 0;
    loop {
        let page = request.clone().send().await?;
        for found in &page.objects {
            if found.length > ROLL_SIZE {
                return Err(format!("{} has {} bytes", found.key, found.length).into());
            }
            let object = ObjectPath::new(bucket, &found.key)?;
            let mut wrong = None;
            oss::lines(client, &object, .., |line| {
                if wrong.is_none() {
                    wrong = check.line(line).err();
                }
            })
            .await?;
            if let Some(wrong) = wrong {
                return Err(format!("{object}: {wrong}").into());
            }
            objects += 1;
        }
        let Some(token) = page.next_continuation_token else {
            return Ok(objects);
        };
        request = request.continuation_token(token);
    }
}

/// What has arrived so far.
struct Check {
    /// The number that comes next, by thread. Only with it, each line is there once and in order.
    next: Vec<u64>,
    lines: u64,
    expected: String,
}

impl Check {
    fn new(threads: u64) -> Self {
        Self {
            next: vec![0; threads as usize],
            lines: 0,
            expected: String::new(),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(line).unwrap_or_default();
        let thread = text
            .split_once(" thread=")
            .and_then(|(_, rest)| rest.split_once(' '))
            .and_then(|(thread, _)| thread.parse::<u64>().ok())
            .filter(|thread| *thread < self.next.len() as u64);
        let told = || {
            format!(
                "line {}, {:?}",
                self.lines + 1,
                String::from_utf8_lossy(line)
            )
        };
        let Some(thread) = thread else {
            return Err(format!("{} is not a line of ours", told()));
        };
        let next = &mut self.next[thread as usize];
        expect(&mut self.expected, thread, *next);
        let time = text.strip_suffix(&self.expected).map(str::len);
        if time != Some("2026-01-01T00:00:00.000000Z".len()) {
            let expected = &self.expected;
            return Err(format!("{} comes where {expected:?} should", told()));
        }
        *next += 1;
        self.lines += 1;
        Ok(())
    }
}
