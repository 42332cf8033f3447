//! A log with a spool through an outage: OSS is away for a minute while 200 MB are logged, with a
//! buffer of 16 MiB. Nothing is dropped, memory stays as it is, and all of it is delivered afterwards.
//!
//! ```text
//! cargo run --release --example log_spool [-- SECONDS]
//! ```
//!
//! It prints how things stand every three seconds, reads the log back from the embedded server, and
//! fails if a line is missing, doubled, or out of order.

use std::error::Error;
use std::time::{Duration, Instant};

use oss_append::emulator::Emulator;
use oss_append::{LogStats, OssLogAppender, RollingWriter, Spool, WhenFull};

const BYTES: u64 = 200_000_000;
const BUFFER: u64 = 16 << 20;
const BUCKET: &str = "examplebucket";
/// So many lines are logged at a time.
const BURST: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(60), |seconds| seconds.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let emulator = runtime.block_on(Emulator::builder().bucket(BUCKET).start())?;
    let directory = tempfile::tempdir()?;

    let objects = RollingWriter::builder(emulator.client().build()?, BUCKET, "log-{seq:4}")
        .writer(|writer| writer.buffer_capacity(BUFFER))
        .roll_size(50_000_000);
    let (log, guard) = OssLogAppender::builder(objects)
        .when_full(WhenFull::Block)
        .spool(Spool::new(directory.path()))
        .start_blocking()?;

    println!("OSS goes away for {seconds} s, and {BYTES} bytes are logged meanwhile");
    runtime.block_on(emulator.pause());
    let begun = Instant::now();
    let lines = BYTES / line(0).len() as u64;
    let mut told = begun;
    for number in 0..lines {
        log.record(line(number).as_bytes());
        if number % BURST == 0 {
            // As fast as it has to be, and no faster.
            let due = Duration::from_secs(seconds).mul_f64(number as f64 / lines as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        tell(&mut told, begun, &log.stats());
    }

    println!("OSS is back");
    runtime.block_on(emulator.resume())?;
    while log.stats().rolling.writer.durable < lines * line(0).len() as u64 {
        std::thread::sleep(Duration::from_millis(50));
        tell(&mut told, begun, &log.stats());
    }
    let report = guard.shutdown(Duration::from_secs(60));
    println!(
        "{} records dropped, {} bytes undelivered",
        report.dropped.records, report.undelivered
    );
    check(&emulator, lines)
}

/// Each as long as any other.
fn line(number: u64) -> String {
    format!(
        "{number:012} a line of a log that goes on whatever happens to the network, to OSS or to us\n"
    )
}

fn tell(told: &mut Instant, begun: Instant, stats: &LogStats) {
    if told.elapsed() < Duration::from_secs(3) {
        return;
    }
    *told = Instant::now();
    let writer = &stats.rolling.writer;
    let spool = writer.spool.as_ref().map_or(0, |spool| spool.bytes);
    println!(
        "{:5.0} s: {:4} MB logged, {:4} MB in the spool, {:4} MB durable, {:3} MiB of memory",
        begun.elapsed().as_secs_f64(),
        writer.accepted / 1_000_000,
        spool / 1_000_000,
        writer.durable / 1_000_000,
        memory(),
    );
}

/// What the process has in memory, the embedded server with all objects included; 0 where nobody
/// tells.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}

fn check(emulator: &Emulator, lines: u64) -> Result<(), Box<dyn Error>> {
    let mut next = 0;
    for number in 1.. {
        let Some(object) = emulator.object(BUCKET, &format!("log-{number:04}")) else {
            break;
        };
        for found in object.bytes.split_inclusive(|byte| *byte == b'\n') {
            if found != line(next).as_bytes() {
                return Err(format!("line {next} is not where it belongs").into());
            }
            next += 1;
        }
    }
    if next != lines {
        return Err(format!("{next} of {lines} lines were delivered").into());
    }
    println!("all {lines} lines are there, once and in order");
    Ok(())
}
