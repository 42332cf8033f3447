//! How the worker ends when it cannot work, and what it says.

use std::net::TcpListener;

use oss_append::emulator::{Action, Emulator, Fault, Operation};

use crate::acks::Acks;
use crate::worker::{Worker, bare, command};
use crate::world::World;

const SHARED: [&str; 1] = ["shared"];
const PARTITION: [&str; 3] = [
    "partition",
    "--subject=events.1",
    "--object=partitions/1.ndjson",
];

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn help_tells_the_guarantees_and_the_exit_codes() {
    for (arguments, told) in [
        (&["--help"][..], ["shared", "partition", "Exit codes"]),
        (
            &["shared", "--help"],
            ["At least once", "max_ack_pending", "written again"],
        ),
        (
            &["partition", "--help"],
            ["Exactly once", "in order", "exit code 3"],
        ),
    ] {
        let output = bare(arguments).output().await.unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{help}");
        for told in told {
            assert!(help.contains(told), "no {told:?} in: {help}");
        }
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_code_2() {
    Worker::start(bare(&["--bucket=bucket", "shared"]))
        .end()
        .await
        .expect(2)
        .says("--stream");
    // No OSS at all.
    Worker::start(bare(&["--bucket=bucket", "--stream=EVENTS", "shared"]))
        .end()
        .await
        .expect(2)
        .says("region");
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_exit_code_4_and_no_secret_is_told() {
    let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
    let url = format!("nats://user:hidden-password@{}", nobody());
    for recipe in [&SHARED[..], &PARTITION] {
        let worker = Worker::start(command(&emulator, &url, recipe));
        let ended = worker.end().await.expect(4).says("NATS: no connection");
        assert!(!ended.said.contains("hidden-password"), "{}", ended.said);
    }
    assert_eq!(emulator.requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stays_away_is_exit_code_4() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let patience = "--nats-timeout=1s";
    let mut workers = [
        world.worker(&[&[patience], &SHARED[..]].concat()),
        world.worker(&[&[patience], &PARTITION[..]].concat()),
    ];
    workers[0].hear("consumer oss").await;
    workers[1].hear("goes on at").await;
    world.nats.stop().await;
    for worker in workers {
        worker.end().await.expect(4).says("none for 1s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nats_does_not_have_is_exit_code_4() {
    let Some(world) = World::start().await else {
        return;
    };
    let nats = world.nats.url();
    let mut other = bare(&["--stream=OTHER", "--bucket=bucket", "shared"]);
    for (name, value) in command(&world.emulator, &nats, &[]).as_std().get_envs() {
        other.env(name, value.unwrap_or_default());
    }
    Worker::start(other)
        .end()
        .await
        .expect(4)
        .says("the stream OTHER");

    // A consumer that goes for good: made again, it would begin with the first message.
    let mut worker = world.worker(&["--nats-timeout=1s", "shared"]);
    worker.hear("consumer oss").await;
    let stream = world.context.get_stream("EVENTS").await.unwrap();
    stream.delete_consumer("oss").await.unwrap();
    worker.end().await.expect(4).says("NATS: pull");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oss_that_stays_away_is_exit_code_5_and_nothing_is_acknowledged() {
    let Some(world) = World::start().await else {
        return;
    };
    let acks = Acks::watch(&world.client, "EVENTS", "oss").await;
    let patience = "--oss-timeout=1s";
    let mut workers = [
        world.worker(&[&[patience], &SHARED[..]].concat()),
        world.worker(&[&[patience], &PARTITION[..]].concat()),
    ];
    workers[0].hear("consumer oss").await;
    workers[1].hear("goes on at").await;
    world.emulator.pause().await;
    world.publish(1..=100).await;
    for worker in workers {
        worker.end().await.expect(5).says("gave up");
    }
    assert_eq!(acks.told().count, 0);
    let at_start = world.worker(&PARTITION);
    at_start.end().await.expect(5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_gives_up() {
    let Some(world) = World::start().await else {
        return;
    };
    let held = Fault::new(Operation::AppendObject, Action::Hold);
    world.emulator.inject(held.forever());
    world.publish(1..=100).await;
    let arguments = ["--linger=1ms", "--batch-size=100"];
    let mut workers = [
        world.worker(&[&arguments, &SHARED[..]].concat()),
        world.worker(&[&arguments, &PARTITION[..]].concat()),
    ];
    world.appends("", 0, 2).await;
    for worker in &mut workers {
        worker.signal();
        worker.hear("signal again").await;
        worker.signal();
    }
    for worker in workers {
        worker.end().await.expect(130).says("given up");
    }
}
