//! Many clients at once: one winner a race, and a history in which each sees what came before.

use std::sync::Arc;
use std::time::Instant;

use oss_append::emulator::Emulator;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::raw::{BUCKET, Client, Request, append};

const CLIENTS: usize = 8;

/// A server in memory, and one with a directory.
async fn servers() -> [(Emulator, Option<tempfile::TempDir>); 2] {
    let directory = tempfile::tempdir().unwrap();
    let builder = || Emulator::builder().bucket(BUCKET);
    let in_memory = builder().start().await.unwrap();
    let in_directory = builder().directory(directory.path()).start().await.unwrap();
    [(in_memory, None), (in_directory, Some(directory))]
}

/// The statuses of requests that are sent at the same time.
async fn at_once(client: &Client, request: impl Fn(usize) -> Request) -> Vec<u16> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (client, barrier, request) = (client.clone(), Arc::clone(&barrier), request(n));
        clients.spawn(async move {
            barrier.wait().await;
            client.send(request).await.status
        });
    }
    let mut statuses = clients.join_all().await;
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn a_race_has_one_winner() {
    let mut expected = vec![409; CLIENTS];
    expected[0] = 200;
    for (emulator, _directory) in servers().await {
        let client = Client::new(emulator.address());
        for round in 0..10 {
            let key = format!("appended-{round}");
            for position in 0..3 {
                let statuses = at_once(&client, |n| append(&key, position, &[n as u8])).await;
                assert_eq!(statuses, expected);
            }
            assert_eq!(emulator.length(BUCKET, &key), Some(3));
            let key = format!("put-{round}");
            let put = |n: usize| {
                let put = Request::new("PUT", &key).header("x-oss-forbid-overwrite", "true");
                put.body([n as u8])
            };
            assert_eq!(at_once(&client, put).await, expected);
        }
    }
}

/// What a client has done: from when to when, and the object's length that it has seen.
struct Seen {
    from: Instant,
    to: Instant,
    length: u64,
    /// Its own append has led to that length.
    appended: bool,
}

#[tokio::test]
async fn whoever_looks_sees_all_that_was_acknowledged_before() {
    for (emulator, _directory) in servers().await {
        let client = Client::new(emulator.address());
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS as u8 {
            let client = client.clone();
            clients.spawn(async move {
                let (mut history, mut position) = (Vec::new(), 0);
                for step in 0..40 {
                    let from = Instant::now();
                    let looks = step % 3 == 0;
                    let answer = match looks {
                        true => client.head("k").await,
                        false => client.append("k", position, &[n; 10]).await,
                    };
                    let to = Instant::now();
                    let next = answer.header("x-oss-next-append-position");
                    let length = next.map_or(0, |next| next.parse().unwrap());
                    let appended = !looks && answer.status == 200;
                    history.push(Seen {
                        from,
                        to,
                        length,
                        appended,
                    });
                    position = length;
                }
                history
            });
        }
        let history: Vec<Seen> = clients.join_all().await.into_iter().flatten().collect();
        let appends: Vec<&Seen> = history.iter().filter(|seen| seen.appended).collect();
        let mut lengths: Vec<u64> = appends.iter().map(|seen| seen.length).collect();
        lengths.sort_unstable();
        let expected: Vec<u64> = (1..=appends.len() as u64).map(|n| n * 10).collect();
        assert_eq!(lengths, expected);
        for seen in &history {
            for append in &appends {
                if append.to < seen.from {
                    assert!(append.length <= seen.length, "an append was not seen");
                }
                if append.from > seen.to {
                    assert!(
                        append.length > seen.length,
                        "an append was seen before it began"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_in_a_bucket_that_is_gone() {
    for (emulator, _directory) in servers().await {
        let client = Client::new(emulator.address());
        let in_bucket = |request: Request| request.bucket("fleeting");
        for round in 0..30 {
            let put = in_bucket(Request::new("PUT", ""));
            assert_eq!(client.send(put).await.status, 200);
            let statuses = at_once(&client, |n| match n {
                0 => in_bucket(Request::new("DELETE", "")),
                n => in_bucket(append(&format!("k{n}"), 0, b"x")),
            });
            let acknowledged = statuses
                .await
                .iter()
                .filter(|status| **status == 200)
                .count();
            let mut stored = 0;
            for n in 1..CLIENTS {
                let key = format!("k{n}");
                if emulator.object("fleeting", &key).is_some() {
                    stored += 1;
                    emulator.delete("fleeting", &key).unwrap();
                }
            }
            assert_eq!(stored, acknowledged, "in round {round}");
        }
    }
}
