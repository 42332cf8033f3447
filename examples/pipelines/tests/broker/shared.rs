//! At least once: what workers that share a consumer leave in the bucket.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::acks::Acks;
use crate::kills::{self, Seed};
use crate::world::{World, publish};

const CONSUMER: &str = "oss";

/// The worker `name`, which writes to `shared/NAME/…`.
fn arguments(name: &str, more: &[&str]) -> Vec<String> {
    let objects = format!("--objects=shared/{name}/{{seq}}.ndjson");
    let all = ["--linger=20ms", "shared", &objects];
    all.iter().chain(more).map(|a| a.to_string()).collect()
}

fn worker(world: &World, name: &str, more: &[&str]) -> crate::worker::Worker {
    let arguments = arguments(name, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.worker(&arguments)
}

const MESSAGES: u64 = 100_000;
const WORKERS: u64 = 4;
const KILLS_EACH: usize = 6;
const MAX_ACK_PENDING: usize = 2_000;
const LIMITS: [&str; 3] = ["--max-ack-pending=2000", "--ack-wait=5s", "--in-flight=100"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_any_moment_lose_nothing_and_double_only_what_was_outstanding() {
    let Some(world) = World::start_with(kills::slow()).await else {
        return;
    };
    let seed = Seed::new();
    kills::disturb(&world.emulator, &mut seed.random(WORKERS));
    let acks = Acks::watch(&world.client, "EVENTS", CONSUMER).await;
    let publishing = tokio::spawn({
        let context = world.context.clone();
        async move { publish(&context, 1..=MESSAGES).await }
    });

    let lives = (0..WORKERS).map(|slot| {
        let (world, mut random) = (&world, seed.random(slot));
        async move {
            let mut killed = Vec::new();
            for life in 0..KILLS_EACH {
                let name = format!("w{slot}-{life}");
                let mut worker = worker(world, &name, &LIMITS);
                let moment = async {
                    let appends = random.usize(1..36);
                    world.appends(&format!("shared/{name}/"), 0, appends).await;
                    kills::instant(&mut random).await;
                };
                worker.until(moment).await;
                worker.kill().await;
                killed.push(name);
            }
            killed
        }
    });
    let killed: BTreeSet<String> = join_all(lives).await.into_iter().flatten().collect();
    assert!(killed.len() >= 20);
    let unfinished = acks.told().count < MESSAGES;
    assert!(unfinished, "kills came when all was done");

    let last: Vec<_> = (0..WORKERS)
        .map(|slot| worker(&world, &format!("w{slot}-last"), &LIMITS))
        .collect();
    publishing.await.unwrap();
    acks.wait_for("all is acknowledged", |told| told.count == MESSAGES)
        .await;
    join_all(last.into_iter().map(|worker| worker.terminate())).await;

    let lines = world.lines().await;
    let mut copies: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for (name, seqs) in &lines {
        for seq in seqs {
            copies.entry(*seq).or_default().push(name);
        }
    }
    let missing: Vec<_> = (1..=MESSAGES).filter(|s| !copies.contains_key(s)).collect();
    assert!(
        missing.is_empty(),
        "{} are missing: {missing:?}",
        missing.len()
    );
    assert_eq!(
        copies.len() as u64,
        MESSAGES,
        "messages that nobody has published"
    );

    let told = acks.told();
    let mut doubled: BTreeMap<&str, usize> = BTreeMap::new();
    for (seq, names) in &copies {
        let all: BTreeSet<_> = names.iter().collect();
        assert_eq!(
            all.len(),
            names.len(),
            "{seq} is twice in one life: {names:?}"
        );
        // Whoever was killed with it outstanding has not acknowledged it: NATS knows of one.
        assert_eq!(told.acked[*seq as usize], 1, "{seq}: {names:?}");
        let of_killed: Vec<_> = names.iter().filter(|n| killed.contains(**n)).collect();
        let needless = names.len() - of_killed.len();
        assert!(needless <= 1, "{seq} is doubled without a kill: {names:?}");
        if names.len() > 1 {
            for name in of_killed {
                *doubled.entry(name).or_default() += 1;
            }
        }
    }
    for (name, count) in &doubled {
        assert!(*count <= MAX_ACK_PENDING, "{name}: {count}");
    }
    let lines: usize = lines.values().map(Vec::len).sum();
    println!(
        "{} kills, {} of {MESSAGES} messages are there more than once, at most {} of one kill",
        killed.len(),
        lines - MESSAGES as usize,
        doubled.values().max().unwrap_or(&0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_loses_and_doubles_nothing_and_leaves_nothing_to_others() {
    const MESSAGES: u64 = 20_000;
    let Some(world) = World::start_with(kills::slow()).await else {
        return;
    };
    let seed = Seed::new();
    let mut random = seed.random(0);
    let acks = Acks::watch(&world.client, "EVENTS", CONSUMER).await;
    world.publish(1..=MESSAGES).await;
    let stops = 5;
    for life in 0..=stops {
        let name = format!("w{life}");
        let mut worker = worker(&world, &name, &["--in-flight=300"]);
        if life < stops {
            let appends = random.usize(0..10);
            let moment = async {
                world.appends(&format!("shared/{name}/"), 0, appends).await;
                kills::instant(&mut random).await;
            };
            worker.hear("consumer oss").await;
            worker.until(moment).await;
        } else {
            acks.wait_for("all is acknowledged", |told| told.count == MESSAGES)
                .await;
        }
        let ended = worker.terminate().await;
        let info = world.consumer(CONSUMER).await.get_info().await.unwrap();
        assert_eq!(info.num_ack_pending, 0, "{}", ended.said);
        let told = acks.told();
        let acked = (1..=MESSAGES).filter(|seq| told.acked.get(*seq as usize) == Some(&1));
        let mut written: Vec<u64> = world.lines().await.into_values().flatten().collect();
        written.sort_unstable();
        assert!(written.iter().copied().eq(acked), "{}", ended.said);
    }
    assert_eq!(acks.told().count, MESSAGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_oss_longer_than_ack_wait_doubles_nothing() {
    const MESSAGES: u64 = 2_000;
    let Some(world) = World::start().await else {
        return;
    };
    let acks = Acks::watch(&world.client, "EVENTS", CONSUMER).await;
    let more = ["--ack-wait=3s", "--in-flight=500"];
    let mut workers = [worker(&world, "a", &more), worker(&world, "b", &more)];
    world.publish(1..=100).await;
    acks.wait_for("it works", |told| told.count == 100).await;
    world.emulator.pause().await;
    world.publish(101..=MESSAGES).await;
    // Thrice within `ack_wait` NATS is told that a message is in work.
    let long = |told: &crate::acks::Told| told.progressed.iter().any(|times| *times >= 5);
    acks.wait_for("the outage is longer than ack_wait", long)
        .await;
    for worker in &mut workers {
        assert!(!worker.has_ended());
    }
    world.emulator.resume().await.unwrap();
    acks.wait_for("all is acknowledged", |told| told.count == MESSAGES)
        .await;
    for worker in workers {
        worker.terminate().await;
    }
    let mut written: Vec<u64> = world.lines().await.into_values().flatten().collect();
    written.sort_unstable();
    assert!(written.into_iter().eq(1..=MESSAGES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_go_on_when_nats_comes_back() {
    const MESSAGES: u64 = 2_000;
    let Some(mut world) = World::start().await else {
        return;
    };
    let mut worker = worker(&world, "a", &["--ack-wait=2s"]);
    worker.hear("consumer oss").await;
    let acks = Acks::watch(&world.client, "EVENTS", CONSUMER).await;
    world.publish(1..=1_000).await;
    acks.wait_for("it works", |told| told.count == 1_000).await;
    world.nats.stop().await;
    worker.hear("the connection is lost").await;
    world.nats.restart().await;
    worker.hear("connected again").await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    world.context = async_nats::jetstream::new(client.clone());
    let acks = Acks::watch(&client, "EVENTS", CONSUMER).await;
    world.publish(1_001..=MESSAGES).await;
    acks.wait_for("the rest is acknowledged", |told| {
        (1_001..=MESSAGES).all(|seq| told.acked.get(seq as usize).is_some_and(|n| *n > 0))
    })
    .await;
    worker.terminate().await;
    let written: BTreeSet<u64> = world.lines().await.into_values().flatten().collect();
    assert!(written.into_iter().eq(1..=MESSAGES));
}
