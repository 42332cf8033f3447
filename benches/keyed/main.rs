//! What many open keys cost, how fast they are and how fair, and far more keys than may be open:
//! all through the embedded server, in a process of its own.

#[path = "../../tests/support/allocated.rs"]
mod allocated;
mod fairness;
mod many;
mod memory;
#[path = "../support/numbers.rs"]
mod numbers;
mod server;
mod speed;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures a keyed writer against the embedded server, which runs in a process of its own.
///
/// Memory is what this process has allocated. Times that are compared are taken in rounds, in which
/// the contestants take turns, each with a new server; the tables have medians, in brackets the
/// extremes. Without `--bench`, as `cargo test --benches` runs it, all is tried with small numbers.
#[derive(Parser)]
#[command(bin_name = "cargo bench --bench keyed --")]
struct Arguments {
    /// What to measure [default: all]
    #[arg(value_enum)]
    phases: Vec<Phase>,
    /// Keys that are open at a time [default: 10000]
    #[arg(long)]
    keys: Option<usize>,
    /// Records of 200 bytes in each round of `speed` [default: 500000]
    #[arg(long)]
    records: Option<usize>,
    /// Rounds of `speed` and `fairness` [default: 3]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each half of a round of `fairness` [default: 4]
    #[arg(long)]
    seconds: Option<u64>,
    /// Records a second of all slow keys in `fairness` [default: 500]
    #[arg(long)]
    rate: Option<u32>,
    /// Keys of `many` [default: 100000]
    #[arg(long)]
    many: Option<usize>,
    /// How many of those may be open [default: 1000]
    #[arg(long)]
    max_open: Option<usize>,
    /// Milliseconds that each answer of the server is delayed
    #[arg(long, default_value_t = 0)]
    latency: u64,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    serve: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// What an open and idle key costs
    Memory,
    /// Records per second over all keys
    Speed,
    /// How long slow keys wait beside a hot one
    Fairness,
    /// Far more keys than may be open, with a check of every object
    Many,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> ExitCode {
    let latency = Duration::from_millis(arguments.latency);
    if arguments.serve {
        server::serve(latency).await;
        return ExitCode::SUCCESS;
    }
    let number = |given: Option<usize>, full: usize, small: usize| {
        given.unwrap_or(if arguments.bench { full } else { small })
    };
    let keys = number(arguments.keys, 10_000, 100);
    let records = number(arguments.records, 500_000, 1000);
    let rounds = number(arguments.rounds, 3, 1);
    let seconds = arguments
        .seconds
        .unwrap_or(if arguments.bench { 4 } else { 1 });
    let rate = arguments.rate.unwrap_or(500);
    let many = number(arguments.many, 100_000, 100);
    let max_open = number(arguments.max_open, 1000, 10);

    let phase = |phase| arguments.phases.is_empty() || arguments.phases.contains(&phase);
    if phase(Phase::Memory) {
        memory::measure(keys, latency).await;
    }
    if phase(Phase::Speed) {
        speed::measure(keys, records, rounds, latency).await;
    }
    if phase(Phase::Fairness) {
        fairness::measure(keys, Duration::from_secs(seconds), rate, rounds, latency).await;
    }
    if phase(Phase::Many) && !many::measure(many, max_open, latency).await {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
