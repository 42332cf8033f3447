//! How long the records of slow keys take to be durable, beside a key that is written to as quickly
//! as it can be, and without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use oss_append::KeyedWriter;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::numbers::Spread;
use crate::server::{BUCKET, Server};
use crate::store::Store;

const RECORD: Bytes = Bytes::from_static(&[b'x'; 1000]);

/// Milliseconds, and what the hot key took in.
struct Round {
    median: f64,
    p99: f64,
    most: f64,
    hot: f64,
}

pub(crate) async fn measure(
    keys: usize,
    duration: Duration,
    rate: u32,
    rounds: usize,
    latency: Duration,
) {
    println!(
        "\n{rate} records/s of {} bytes over {} slow keys, with a linger of zero: ms from the write \
         until it is durable, {rounds} rounds of {duration:?}",
        RECORD.len(),
        keys - 1,
    );
    println!("| | p50 | p99 | max | hot key, MB/s |");
    println!("|---|---|---|---|---|");
    let mut alone = Vec::new();
    let mut beside = Vec::new();
    for round in 0..rounds {
        for turn in 0..2 {
            let hot = (round + turn) % 2 == 1;
            let result = run(keys, duration, rate, hot, latency).await;
            if hot { &mut beside } else { &mut alone }.push(result);
        }
    }
    for (name, rounds) in [("alone", &alone), ("beside a hot key", &beside)] {
        let spread = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {} |",
            spread(&|round| round.median),
            spread(&|round| round.p99),
            spread(&|round| round.most),
            spread(&|round| round.hot / 1e6),
        );
    }
    let ratio = |value: &dyn Fn(&Round) -> f64| {
        Spread::of(beside.iter().zip(&alone).map(|(a, b)| value(a) / value(b)))
    };
    println!(
        "| ratio | {:.2} | {:.2} | {:.2} | |",
        ratio(&|round| round.median),
        ratio(&|round| round.p99),
        ratio(&|round| round.most),
    );
}

async fn run(keys: usize, duration: Duration, rate: u32, hot: bool, latency: Duration) -> Round {
    let server = Server::start(latency);
    let writer = KeyedWriter::builder(Store::new(server.client()), BUCKET)
        .max_open(keys)
        .writer(|_, writer| writer.linger(Duration::ZERO).max_object_size(u64::MAX))
        .start()
        .unwrap();
    let names: Vec<String> = (1..keys).map(|key| format!("slow/{key:06}")).collect();
    for name in &names {
        drop(writer.write(name, RECORD).await.unwrap());
    }
    writer.sync().await.unwrap();

    let stop = Arc::new(AtomicBool::new(!hot));
    let (stopped, of_hot) = (Arc::clone(&stop), writer.clone());
    let hot = tokio::spawn(async move {
        let mut bytes = 0;
        while !stopped.load(Ordering::Relaxed) {
            drop(of_hot.write("hot", RECORD).await.unwrap());
            bytes += RECORD.len();
        }
        bytes as f64
    });
    let start = Instant::now();
    let mut times = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut order = names.iter().cycle();
    while start.elapsed() < duration {
        // Counts from when it was due, also when that was noticed late.
        let due = ticks.tick().await.into_std();
        let (writer, name) = (writer.clone(), order.next().unwrap().clone());
        times.spawn(async move {
            let receipt = writer.write(&name, RECORD).await.unwrap();
            receipt.written().await.unwrap();
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    let mut times = times.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let elapsed = start.elapsed().as_secs_f64();
    let hot = hot.await.unwrap() / elapsed;
    writer.shutdown().await.unwrap();
    times.sort_by(f64::total_cmp);
    Round {
        median: percentile(&times, 50),
        p99: percentile(&times, 99),
        most: times[times.len() - 1],
        hot,
    }
}

/// The value below which so many of a hundred are.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
