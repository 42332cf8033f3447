//! Exactly once: what the workers of partitions leave in their objects.

use futures::StreamExt;
use futures::future::join_all;

use crate::kills::{self, Seed};
use crate::messages::{self, PARTITIONS};
use crate::worker::Worker;
use crate::world::{World, publish};

fn key(partition: u64) -> String {
    format!("partitions/{partition}.ndjson")
}

fn worker(world: &World, partition: u64) -> Worker {
    worker_with(world, partition, "--linger=20ms")
}

fn worker_with(world: &World, partition: u64, linger: &str) -> Worker {
    let subject = format!("--subject=events.{partition}");
    let object = format!("--object={}", key(partition));
    let batch = "--batch-size=8000";
    world.worker(&[linger, batch, "partition", &subject, &object])
}

/// Waits until all of a partition is in its object; checks it.
async fn complete(world: &World, partition: u64, last: u64) {
    let expected = messages::partition(partition, last);
    world.length(&key(partition), expected.len()).await;
    assert!(world.object(&key(partition)) == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_any_moment_write_everything_exactly_once_and_in_order() {
    const MESSAGES: u64 = 100_000;
    const KILLS_EACH: u64 = 6;
    // Appends are cut by their size, in the midst of records.
    const LINGER: &str = "--linger=300ms";
    let Some(world) = World::start_with(kills::slow()).await else {
        return;
    };
    let seed = Seed::new();
    kills::disturb(&world.emulator, &mut seed.random(PARTITIONS));
    let publishing = tokio::spawn({
        let context = world.context.clone();
        async move { publish(&context, 1..=MESSAGES).await }
    });
    let lives = (0..PARTITIONS).map(|partition| {
        let (world, mut random) = (&world, seed.random(partition));
        async move {
            let (key, expected) = (key(partition), messages::partition(partition, MESSAGES));
            let mut torn = 0;
            for _ in 0..KILLS_EACH {
                let from = world.seen().await;
                let mut worker = worker_with(world, partition, LINGER);
                let moment = async {
                    let appends = random.usize(0..36);
                    world.requests(&key, from, 1, None).await;
                    world.appends(&key, from, appends).await;
                    kills::instant(&mut random).await;
                };
                worker.until(moment).await;
                worker.kill().await;
                let stored = world.object(&key);
                assert!(
                    expected.starts_with(&stored),
                    "{} bytes differ",
                    stored.len()
                );
                assert!(
                    stored.len() < expected.len(),
                    "a kill came when all was done"
                );
                torn += u32::from(!stored.ends_with(b"\n"));
            }
            torn
        }
    });
    let torn: u32 = join_all(lives).await.into_iter().sum();
    assert!(torn > 0, "no kill left a half record");

    let last: Vec<_> = (0..PARTITIONS)
        .map(|partition| worker_with(&world, partition, LINGER))
        .collect();
    publishing.await.unwrap();
    for partition in 0..PARTITIONS {
        complete(&world, partition, MESSAGES).await;
    }
    join_all(last.into_iter().map(Worker::terminate)).await;
    for partition in 0..PARTITIONS {
        complete(&world, partition, MESSAGES).await;
    }
    let kills = PARTITIONS * KILLS_EACH;
    println!("{kills} kills, {torn} of them left a half record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_loses_and_doubles_nothing() {
    const MESSAGES: u64 = 20_000;
    let Some(world) = World::start_with(kills::slow()).await else {
        return;
    };
    let seed = Seed::new();
    let mut random = seed.random(0);
    world.publish(1..=MESSAGES).await;
    for _ in 0..5 {
        let from = world.seen().await;
        let mut worker = worker(&world, 1);
        let appends = random.usize(0..15);
        let moment = async {
            world.appends(&key(1), from, appends).await;
            kills::instant(&mut random).await;
        };
        worker.hear("goes on at").await;
        worker.until(moment).await;
        worker.terminate().await;
        let stored = world.object(&key(1));
        assert!(messages::partition(1, MESSAGES).starts_with(&stored));
        assert!(stored.is_empty() || stored.ends_with(b"\n"));
    }
    let worker = worker(&world, 1);
    complete(&world, 1, MESSAGES).await;
    worker.terminate().await;
    complete(&world, 1, MESSAGES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_before_a_half_record_was_read_again_is_no_failure() {
    let Some(world) = World::start().await else {
        return;
    };
    world.publish(1..=1).await;
    // The next message of this partition is number 5, which is not published yet.
    let (whole, half) = (messages::line(1), &messages::line(5)[..20]);
    let stored = format!("{whole}{half}");
    world
        .emulator
        .append_foreign("bucket", &key(1), stored.clone())
        .unwrap();
    let mut stopped = worker(&world, 1);
    stopped.hear("behind message 1").await;
    let ended = stopped.terminate().await;
    ended.says("the next start goes on");
    assert_eq!(world.object(&key(1)), stored.as_bytes());

    let going = worker(&world, 1);
    world.publish(2..=100).await;
    complete(&world, 1, 100).await;
    going.terminate().await;
    complete(&world, 1, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_worker_of_a_partition_doubles_nothing() {
    let Some(world) = World::start().await else {
        return;
    };
    // The second is quicker, so that the first must meet its appends.
    let mut workers = vec![worker(&world, 1), worker_with(&world, 1, "--linger=1ms")];
    for worker in &mut workers {
        worker.hear("goes on at").await;
    }
    let mut last = 0;
    let loser = loop {
        world.publish(last + 1..=last + 400).await;
        last += 400;
        complete(&world, 1, last).await;
        if let Some(ended) = workers.iter_mut().position(Worker::has_ended) {
            break workers.remove(ended);
        }
        assert!(last < 100_000, "both write, and neither notices");
    };
    loser.end().await.expect(3).says("another writer");
    // One is left, and goes on.
    world.publish(last + 1..=last + 400).await;
    complete(&world, 1, last + 400).await;
    for worker in workers {
        worker.terminate().await;
    }
    complete(&world, 1, last + 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_not_the_partitions_is_left_alone() {
    let Some(world) = World::start().await else {
        return;
    };
    world.publish(1..=100).await;
    let ours = messages::partition(1, 50);
    let half = messages::line(53);
    const DIFFERS: &str = "is not what the object holds";
    for (bytes, message) in [
        (b"foreign".to_vec(), DIFFERS),
        ([&ours, &b"foreign"[..]].concat(), DIFFERS),
        // As long as the half of a record, and almost the same.
        (
            [&ours, &half.replace("events", "eventz").as_bytes()[..30]].concat(),
            DIFFERS,
        ),
        ([&ours, &b"foreign\n"[..]].concat(), "not a record"),
        ([&ours, &half.as_bytes()[10..]].concat(), "not a record"),
        (messages::partition(2, 50), "of the partition events.2"),
        (messages::partition(1, 200), "it is another one"),
    ] {
        world.emulator.delete("bucket", &key(1)).unwrap();
        world
            .emulator
            .append_foreign("bucket", &key(1), bytes.clone())
            .unwrap();
        let ended = worker(&world, 1).end().await;
        ended.expect(3).says(message);
        assert_eq!(world.object(&key(1)), bytes, "{message}");
    }
    world.emulator.put("bucket", &key(1), ours.clone()).unwrap();
    let ended = worker(&world, 1).end().await;
    ended.expect(3).says("appendable");
    assert_eq!(world.object(&key(1)), ours);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_of_oss_and_nats_lose_and_double_nothing() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let mut worker = worker(&world, 1);
    world.publish(1..=1_000).await;
    complete(&world, 1, 1_000).await;

    world.emulator.pause().await;
    world.publish(1_001..=2_000).await;
    world.emulator.resume().await.unwrap();
    complete(&world, 1, 2_000).await;

    world.nats.stop().await;
    worker.hear("the connection is lost").await;
    world.nats.restart().await;
    worker.hear("connected again").await;
    let client = async_nats::connect(world.nats.url()).await.unwrap();
    world.context = async_nats::jetstream::new(client);
    world.publish(2_001..=3_000).await;
    complete(&world, 1, 3_000).await;
    worker.terminate().await;
    complete(&world, 1, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_nats_has_forgotten_is_made_again_where_it_was() {
    let Some(world) = World::start().await else {
        return;
    };
    let stream = world.context.get_stream("EVENTS").await.unwrap();
    let mut last = 0;
    // The second time it has not given any message yet.
    for published in [1_000, 0] {
        let made = "$JS.EVENT.ADVISORY.CONSUMER.CREATED.EVENTS.>";
        let mut made = world.client.subscribe(made).await.unwrap();
        let mut worker = worker(&world, 1);
        let consumer = worker.until(made.next()).await.unwrap();
        let consumer = consumer.subject.rsplit('.').next().unwrap().to_owned();
        world.publish(last + 1..=last + published).await;
        last += published;
        complete(&world, 1, last).await;
        stream.delete_consumer(&consumer).await.unwrap();
        worker.hear("trying again").await;
        worker.until(made.next()).await.unwrap();
        world.publish(last + 1..=last + 1_000).await;
        last += 1_000;
        complete(&world, 1, last).await;
        worker.terminate().await;
        complete(&world, 1, last).await;
    }
}
