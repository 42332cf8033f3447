//! What a log line costs the thread that logs it, beside `tracing_appender::non_blocking`.
//!
//! ```text
//! cargo bench --bench log [-- LINES [ROUNDS]]
//! ```
//!
//! All write the same lines of 120 bytes, by the `io::Write` that their `MakeWriter` gives out.
//! What is behind takes everything and throws it away, so the lines alone are measured. Rounds of
//! all contestants alternate in one run; the table has the medians, the extremes, and the median of
//! the ratios within a round. `lossy` drops what finds no room, and says how much.

#[path = "support/discard.rs"]
mod discard;

use std::io::Write;
use std::time::Instant;

use discard::Discard;
use oss_append::{OssLogAppender, RollingWriter, WhenFull};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::fmt::MakeWriter;

const LINE: &[u8] = &[b'x'; 120];

/// The time per line in nanoseconds, and how many were dropped.
type Round = (f64, u64);

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
    println!("| threads | mode | this crate | tracing_appender | ratio |");
    println!("|---|---|---|---|---|");
    for threads in [1, 2] {
        for lossy in [false, true] {
            let mut ours = Vec::new();
            let mut theirs = Vec::new();
            // The first round warms up.
            for round in 0..=rounds {
                let pair = match round % 2 {
                    0 => {
                        let ours = this_crate(threads, lines, lossy);
                        (ours, tracing_appender(threads, lines, lossy))
                    }
                    _ => {
                        let theirs = tracing_appender(threads, lines, lossy);
                        (this_crate(threads, lines, lossy), theirs)
                    }
                };
                if round > 0 {
                    ours.push(pair.0);
                    theirs.push(pair.1);
                }
            }
            let ratios = ours.iter().zip(&theirs).map(|(a, b)| a.0 / b.0).collect();
            println!(
                "| {threads} | {} | {} | {} | {:.2} |",
                if lossy { "lossy" } else { "lossless" },
                show(&ours),
                show(&theirs),
                median(ratios),
            );
        }
    }
}

fn show(rounds: &[Round]) -> String {
    let times: Vec<f64> = rounds.iter().map(|round| round.0).collect();
    let dropped: u64 = rounds.iter().map(|round| round.1).sum();
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    let most = times.iter().copied().fold(0.0, f64::max);
    let drops = match dropped {
        0 => String::new(),
        dropped => format!(", {} dropped a round", dropped / rounds.len() as u64),
    };
    format!("{:.0} ns ({least:.0} to {most:.0}{drops})", median(times))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn this_crate(threads: usize, lines: usize, lossy: bool) -> Round {
    let objects = RollingWriter::builder(Discard::default(), "bucket", "log-{uuid}")
        .writer(|writer| writer.max_object_size(u64::MAX));
    let when_full = if lossy {
        WhenFull::Drop
    } else {
        WhenFull::Block
    };
    let (appender, guard) = OssLogAppender::builder(objects)
        .when_full(when_full)
        .start()
        .unwrap();
    let time = measure(threads, lines, &appender);
    let report = guard.shutdown(std::time::Duration::from_secs(60));
    assert_eq!(report.undelivered, 0);
    (time, report.dropped.records)
}

fn tracing_appender(threads: usize, lines: usize, lossy: bool) -> Round {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(lossy)
        .finish(std::io::sink());
    let time = measure(threads, lines, &writer);
    let dropped = writer.error_counter().dropped_lines() as u64;
    drop(guard);
    (time, dropped)
}

/// The time per line of each thread.
fn measure<M>(threads: usize, lines: usize, writer: &M) -> f64
where
    M: for<'a> MakeWriter<'a> + Sync,
{
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut line = LINE.to_vec();
                line[119] = b'\n';
                for _ in 0..lines {
                    writer.make_writer().write_all(&line).unwrap();
                }
            });
        }
    });
    start.elapsed().as_nanos() as f64 / lines as f64
}
