//! What a log line costs the thread that logs it, beside `tracing_appender::non_blocking`.
//!
//! ```text
//! cargo bench --bench log [-- LINES [ROUNDS]]
//! ```
//!
//! All write the same lines of 120 bytes, by the `io::Write` that their `MakeWriter` gives out.
//! What is behind takes everything and throws it away, so the lines alone are measured. Rounds of
//! both contestants alternate in one run. The table has the medians of the time that passes, in
//! brackets the extremes, and of the processor time that the logging threads use, which a busy
//! machine disturbs less; and the medians of the ratios within a round. `lossy` drops what finds no
//! room, and says how much.

#[path = "support/discard.rs"]
mod discard;

use std::io::Write;
use std::time::Instant;

use discard::Discard;
use oss_append::{OssLogAppender, OssLogAppenderBuilder, RollingWriter, Spool, WhenFull};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::fmt::MakeWriter;

const LINE: &[u8] = &[b'x'; 120];

/// Nanoseconds per line, and how many lines were dropped.
#[derive(Clone, Copy)]
struct Round {
    elapsed: f64,
    processor: f64,
    dropped: u64,
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .map(|argument| argument.parse().expect("a number"));
    let lines = arguments.next().unwrap_or(300_000);
    let rounds = arguments.next().unwrap_or(15);
    println!(
        "{lines} lines of {} bytes a thread, {rounds} rounds",
        LINE.len()
    );
    println!(
        "| threads | mode | this crate | tracing_appender | ratio of time | of processor time |"
    );
    println!("|---|---|---|---|---|---|");
    for threads in [1, 2] {
        for lossy in [false, true] {
            let mode = if lossy { "lossy" } else { "lossless" };
            let row = contest(
                rounds,
                || this_crate(threads, lines, lossy),
                || tracing_appender(threads, lines, lossy),
            );
            println!("| {threads} | {mode} | {row} |");
        }
    }
    println!();
    println!("| threads | with a spool | without | ratio of time | of processor time |");
    println!("|---|---|---|---|---|");
    for threads in [1, 2] {
        let row = contest(
            rounds,
            || with_a_spool(threads, lines),
            || this_crate(threads, lines, false),
        );
        println!("| {threads} | {row} |");
    }
}

/// Both take turns. The first round warms up.
fn contest(rounds: usize, one: impl Fn() -> Round, other: impl Fn() -> Round) -> String {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let pair = match round % 2 {
            0 => {
                let one = one();
                (one, other())
            }
            _ => {
                let other = other();
                (one(), other)
            }
        };
        if round > 0 {
            ones.push(pair.0);
            others.push(pair.1);
        }
    }
    let pairs = || ones.iter().zip(&others);
    format!(
        "{} | {} | {:.2} | {:.2}",
        show(&ones),
        show(&others),
        median(pairs().map(|(one, other)| one.elapsed / other.elapsed)),
        median(pairs().map(|(one, other)| one.processor / other.processor)),
    )
}

/// The same with a spool: each line is on disk when its call returns.
fn with_a_spool(threads: usize, lines: usize) -> Round {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::new(directory.path()).max_size(u64::MAX);
    logged(threads, lines, false, |log| log.spool(spool))
}

fn show(rounds: &[Round]) -> String {
    let times = || rounds.iter().map(|round| round.elapsed);
    let dropped: u64 = rounds.iter().map(|round| round.dropped).sum();
    let drops = match dropped {
        0 => String::new(),
        dropped => format!("; {} dropped a round", dropped / rounds.len() as u64),
    };
    format!(
        "{:.0} ns ({:.0} to {:.0}), processor {:.0} ns{drops}",
        median(times()),
        times().fold(f64::INFINITY, f64::min),
        times().fold(0.0, f64::max),
        median(rounds.iter().map(|round| round.processor)),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn this_crate(threads: usize, lines: usize, lossy: bool) -> Round {
    logged(threads, lines, lossy, |log| log)
}

fn logged(
    threads: usize,
    lines: usize,
    lossy: bool,
    options: impl FnOnce(OssLogAppenderBuilder<Discard>) -> OssLogAppenderBuilder<Discard>,
) -> Round {
    let objects = RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}")
        .writer(|writer| writer.max_object_size(u64::MAX));
    let when_full = if lossy {
        WhenFull::Drop
    } else {
        WhenFull::Block
    };
    let log = OssLogAppender::builder(objects).when_full(when_full);
    let (appender, guard) = options(log).start_unchecked().unwrap();
    let mut round = measure(threads, lines, &appender);
    let report = guard.shutdown(std::time::Duration::from_secs(60));
    assert_eq!(report.undelivered, 0);
    round.dropped = report.dropped.records;
    round
}

fn tracing_appender(threads: usize, lines: usize, lossy: bool) -> Round {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(lossy)
        .finish(std::io::sink());
    let mut round = measure(threads, lines, &writer);
    round.dropped = writer.error_counter().dropped_lines() as u64;
    drop(guard);
    round
}

/// What a line costs each thread.
fn measure<M>(threads: usize, lines: usize, writer: &M) -> Round
where
    M: for<'a> MakeWriter<'a> + Sync,
{
    let log = || {
        let mut line = LINE.to_vec();
        line[119] = b'\n';
        let start = thread_time();
        for _ in 0..lines {
            writer.make_writer().write_all(&line).unwrap();
        }
        thread_time() - start
    };
    let start = Instant::now();
    let processor: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(log)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    Round {
        elapsed: start.elapsed().as_nanos() as f64 / lines as f64,
        processor: processor / (threads * lines) as f64,
        dropped: 0,
    }
}

/// The processor time of this thread in nanoseconds.
#[cfg(unix)]
fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Not known.
#[cfg(not(unix))]
fn thread_time() -> f64 {
    f64::NAN
}
