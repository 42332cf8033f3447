//! How fairly writers share an object, and what that costs: beside plain loops that append, look
//! where the end is after a conflict, and append there at once.
//!
//! ```text
//! cargo bench --bench fairness -- --help
//! ```

mod rivals;
mod store;

use std::collections::HashSet;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use rivals::Kind;
use store::{Counts, Store};

/// Lets several writers share an object in memory, by a simulated clock: the numbers are the same
/// on every machine.
///
/// Each writer appends a record, waits until it is durable, and then for its next: at random from 0
/// to twice the mean, or not at all. A wait is the time from the write until the record is durable
/// or has failed. Without `--bench`, as `cargo test --benches` runs it, the simulated time is short.
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench fairness --")]
struct Arguments {
    /// Simulated seconds of each run [default: 600]
    #[arg(long)]
    seconds: Option<u64>,
    /// Milliseconds that a request takes in the mean
    #[arg(long, default_value_t = 20)]
    latency: u64,
    /// By how many percent a request is faster or slower at most. Without any, those that wait for
    /// each other go on in step for ever
    #[arg(long, default_value_t = 10)]
    jitter: u32,
    /// Of the random times
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON array in place of the tables
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true)]
    bench: bool,
}

/// The mean of the pauses between the records of a writer.
const PAUSE: Duration = Duration::from_secs(1);

/// What is run: how many writers, and whether they pause between records.
struct Case {
    writers: usize,
    pause: Duration,
    request: Duration,
    /// The part by which a request may be faster or slower.
    jitter: f64,
    time: Duration,
    seed: u64,
}

/// What came of it.
struct Outcome {
    kind: Kind,
    records: usize,
    /// The fewest and the most of a writer.
    shares: (usize, usize),
    counts: Counts,
    longest: Duration,
    failed: Vec<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let seconds = if arguments.bench { 600 } else { 20 };
    let time = Duration::from_secs(arguments.seconds.unwrap_or(seconds));
    let request = Duration::from_millis(arguments.latency);
    let mut cases = Vec::new();
    for (pause, sizes) in [(PAUSE, &[4, 16, 32][..]), (Duration::ZERO, &[2, 4, 8, 16])] {
        if !arguments.json {
            print_head(pause, request, time);
        }
        for &writers in sizes {
            let case = Case {
                writers,
                pause,
                request,
                jitter: f64::from(arguments.jitter.min(100)) / 100.0,
                time,
                seed: arguments.seed,
            };
            let outcomes = [Kind::Loop, Kind::Writer].map(|kind| simulate(&case, kind));
            if arguments.json {
                cases.push(as_json(&case, &outcomes));
            } else {
                print_rows(&case, &outcomes);
            }
        }
    }
    if arguments.json {
        println!("{}", Value::Array(cases));
    }
}

fn simulate(case: &Case, kind: Kind) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run(case, kind))
}

async fn run(case: &Case, kind: Kind) -> Outcome {
    let store = Store::new(case.request, case.jitter, case.seed);
    let mut running = JoinSet::new();
    for number in 0..case.writers {
        let random = fastrand::Rng::with_seed(case.seed + number as u64);
        let (pause, time) = (case.pause, case.time);
        running.spawn(append_for(store.clone(), kind, number, pause, time, random));
    }
    let shares = running.join_all().await;
    let records: Vec<usize> = shares.iter().map(|share| share.records).collect();
    let written = records.iter().sum();
    let failed = shares.iter().filter_map(|share| share.failed.clone());
    let failed: Vec<String> = failed.collect();
    let content = String::from_utf8(store.content()).unwrap();
    let lines: HashSet<&str> = content.lines().collect();
    assert_eq!(
        lines.len(),
        content.lines().count(),
        "a record is there twice"
    );
    // What has failed may be there.
    assert!((written..=written + failed.len()).contains(&lines.len()));
    Outcome {
        kind,
        records: written,
        shares: (
            records.iter().copied().min().unwrap_or_default(),
            records.iter().copied().max().unwrap_or_default(),
        ),
        counts: store.counts(),
        longest: shares
            .iter()
            .map(|share| share.longest)
            .max()
            .unwrap_or_default(),
        failed,
    }
}

/// What one writer got.
struct Share {
    records: usize,
    longest: Duration,
    failed: Option<String>,
}

async fn append_for(
    store: Store,
    kind: Kind,
    number: usize,
    pause: Duration,
    time: Duration,
    mut random: fastrand::Rng,
) -> Share {
    let start = Instant::now();
    let mut share = Share {
        records: 0,
        longest: Duration::ZERO,
        failed: None,
    };
    let mut rival = kind.open(store).await.unwrap();
    tokio::time::sleep(pause.mul_f64(random.f64() * 2.0)).await;
    while start.elapsed() < time {
        let began = Instant::now();
        // No two records are alike.
        let record = format!("{number:03} {:06}\n", share.records);
        let appended = rival.append(&record).await;
        share.longest = share.longest.max(began.elapsed());
        if let Err(error) = appended {
            share.failed = Some(error.to_string());
            break;
        }
        share.records += 1;
        tokio::time::sleep(pause.mul_f64(random.f64() * 2.0)).await;
    }
    share
}

fn print_head(pause: Duration, request: Duration, time: Duration) {
    let every = match pause.is_zero() {
        true => "Records as fast as they can be appended".to_owned(),
        false => format!("A record each at random times, {pause:?} apart in the mean"),
    };
    println!("\n{every}; {request:?} a request, {time:?} of simulated time");
    println!(
        "| writers | | records | fewest to most of one | appends sent | refused | looks | appends a \
         record | ratio | longest wait, s | failed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
}

fn print_rows(case: &Case, outcomes: &[Outcome; 2]) {
    for outcome in outcomes {
        let Counts {
            appends,
            refused,
            looks,
        } = outcome.counts;
        println!(
            "| {} | {} | {} | {} to {} | {appends} | {refused} | {looks} | {:.2} | {:.2} | {:.2} | {} |",
            case.writers,
            outcome.kind.name(),
            outcome.records,
            outcome.shares.0,
            outcome.shares.1,
            outcome.appends_a_record(),
            outcome.appends_a_record() / outcomes[0].appends_a_record(),
            outcome.longest.as_secs_f64(),
            outcome.failed.len(),
        );
    }
    for failure in outcomes.iter().flat_map(|outcome| outcome.failed.first()) {
        println!(
            "\nThe first failure of {} writers: {failure}\n",
            case.writers
        );
    }
}

fn as_json(case: &Case, outcomes: &[Outcome; 2]) -> Value {
    let rivals = outcomes.iter().map(|outcome| {
        json!({
            "name": outcome.kind.name(),
            "records": outcome.records,
            "fewest": outcome.shares.0,
            "most": outcome.shares.1,
            "appends": outcome.counts.appends,
            "refused": outcome.counts.refused,
            "looks": outcome.counts.looks,
            "ratio": outcome.appends_a_record() / outcomes[0].appends_a_record(),
            "longest_wait_seconds": outcome.longest.as_secs_f64(),
            "failed": outcome.failed,
        })
    });
    json!({
        "writers": case.writers,
        "mean_pause_seconds": case.pause.as_secs_f64(),
        "request_seconds": case.request.as_secs_f64(),
        "simulated_seconds": case.time.as_secs_f64(),
        "rivals": rivals.collect::<Vec<_>>(),
    })
}

impl Outcome {
    fn appends_a_record(&self) -> f64 {
        self.counts.appends as f64 / self.records as f64
    }
}
