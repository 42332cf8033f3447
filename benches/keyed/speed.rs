//! Records per second over keys that are open, beside a plain map of writers with the same
//! settings, and beside one writer that takes all of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use oss_append::{KeyedWriter, ObjectPath, OssAppendWriter};

use crate::allocated::allocated;
use crate::numbers::{Spread, processor_time};
use crate::server::{BUCKET, Server};
use crate::store::Store;

const RECORD: Bytes = Bytes::from_static(&[b'x'; 200]);

#[derive(Clone, Copy)]
enum Contestant {
    Keyed,
    Map,
    Single,
}

const CONTESTANTS: [(Contestant, &str); 3] = [
    (Contestant::Keyed, "keyed writer"),
    (Contestant::Map, "map of writers"),
    (Contestant::Single, "one writer"),
];

struct Round {
    elapsed: f64,
    processor: f64,
    appends: f64,
    /// The most bytes that were allocated, as far as was looked.
    memory: f64,
}

pub(crate) async fn measure(keys: usize, records: usize, rounds: usize, latency: Duration) {
    println!(
        "\n{records} records of {} bytes over {keys} open keys, {rounds} rounds, until all are \
         durable",
        RECORD.len()
    );
    println!(
        "| keys | | records/s | MB/s | appends | processor, ns a record | memory, MiB | time, by \
         that of the map |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let names: Vec<String> = (0..keys).map(|key| format!("tenants/{key:06}")).collect();
    for (name, order) in [
        ("uniform", uniform(keys, records)),
        ("Zipf", zipf(keys, records)),
    ] {
        let mut results: [Vec<Round>; 3] = Default::default();
        for round in 0..rounds {
            for turn in 0..3 {
                let number = (round + turn) % 3;
                let server = Server::start(latency);
                let store = Store::new(server.client());
                let contestant = CONTESTANTS[number].0;
                results[number].push(run(contestant, store, &names, &order).await);
            }
        }
        for (results_of, (_, contestant)) in results.iter().zip(CONTESTANTS) {
            let spread = |value: &dyn Fn(&Round) -> f64| Spread::of(results_of.iter().map(value));
            let rate = |round: &Round| records as f64 / round.elapsed;
            let ratios = results_of.iter().zip(&results[1]);
            println!(
                "| {name} | {contestant} | {} | {:.1} | {} | {} | {:.1} | {:.2} |",
                spread(&rate),
                spread(&|round| rate(round) * RECORD.len() as f64 / 1e6),
                spread(&|round| round.appends),
                spread(&|round| round.processor / records as f64 * 1e9),
                spread(&|round| round.memory / (1 << 20) as f64),
                Spread::of(ratios.map(|(ours, map)| ours.elapsed / map.elapsed)),
            );
        }
    }
}

/// Each key as often as any other.
fn uniform(keys: usize, records: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..records).map(|_| random.usize(..keys)).collect()
}

/// The key of rank n in proportion to 1/n.
fn zipf(keys: usize, records: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut key = || {
        let at = random.f64() * sum;
        sums.partition_point(|sum| *sum <= at).min(keys - 1)
    };
    (0..records).map(|_| key()).collect()
}

/// Opens all keys with a record each, then writes and waits until everything is durable.
async fn run(contestant: Contestant, store: Store, names: &[String], order: &[usize]) -> Round {
    match contestant {
        Contestant::Keyed => {
            let writer = KeyedWriter::builder(store.clone(), BUCKET)
                .max_open(names.len())
                .start()
                .unwrap();
            for name in names {
                drop(writer.write(name, RECORD).await.unwrap());
            }
            writer.sync().await.unwrap();
            let mut meter = Meter::new(&store);
            for (number, key) in order.iter().enumerate() {
                drop(writer.write(&names[*key], RECORD).await.unwrap());
                meter.look(number);
            }
            writer.sync().await.unwrap();
            let round = meter.end();
            writer.shutdown().await.unwrap();
            round
        }
        Contestant::Map => {
            let mut writers = HashMap::new();
            for name in names {
                let mut writer = open(&store, name).await;
                drop(writer.enqueue(RECORD).await.unwrap());
                writers.insert(name.clone(), writer);
            }
            sync_all(&mut writers).await;
            let mut meter = Meter::new(&store);
            for (number, key) in order.iter().enumerate() {
                let writer = writers.get_mut(&names[*key]).unwrap();
                drop(writer.enqueue(RECORD).await.unwrap());
                meter.look(number);
            }
            sync_all(&mut writers).await;
            meter.end()
        }
        Contestant::Single => {
            let mut writer = open(&store, "single").await;
            drop(writer.enqueue(RECORD).await.unwrap());
            writer.sync().await.unwrap();
            let mut meter = Meter::new(&store);
            for number in 0..order.len() {
                drop(writer.enqueue(RECORD).await.unwrap());
                meter.look(number);
            }
            writer.sync().await.unwrap();
            meter.end()
        }
    }
}

async fn open(store: &Store, name: &str) -> OssAppendWriter {
    let object = ObjectPath::new(BUCKET, name).unwrap();
    let builder = OssAppendWriter::builder(store.clone(), object);
    builder.open().await.unwrap()
}

async fn sync_all(writers: &mut HashMap<String, OssAppendWriter>) {
    for result in join_all(writers.values_mut().map(OssAppendWriter::sync)).await {
        result.unwrap();
    }
}

struct Meter<'a> {
    store: &'a Store,
    start: Instant,
    processor: f64,
    appends: usize,
    memory: usize,
}

impl<'a> Meter<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            processor: processor_time(),
            appends: store.appends(),
            memory: 0,
            start: Instant::now(),
        }
    }

    fn look(&mut self, number: usize) {
        if number % 1000 == 999 {
            self.memory = self.memory.max(allocated());
        }
    }

    fn end(self) -> Round {
        Round {
            elapsed: self.start.elapsed().as_secs_f64(),
            processor: processor_time() - self.processor,
            appends: (self.store.appends() - self.appends) as f64,
            memory: self.memory as f64,
        }
    }
}
