//! Many producers on real threads, with little room: every byte arrives once and in order, and
//! nobody waits for ever.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use oss_append::{FlushMode, OssAppendWriter};
use tokio::io::AsyncWriteExt;

use crate::support::store::SimStore;
use crate::support::writer;

const PRODUCERS: u8 = 8;
const STEPS: usize = 400;

/// Only there to end a test that hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// What one producer writes: its number in the upper bits, and below it a count that shows where a
/// byte is missing, doubled or out of its turn.
fn byte(producer: u8, index: usize) -> u8 {
    producer << 5 | (index % 31) as u8
}

/// Writes, flushes, syncs and waits at random, and gives up some of that half-way. How many bytes
/// were accepted.
async fn produce(mut writer: OssAppendWriter, producer: u8) -> usize {
    let mut rng = Rng::with_seed(producer.into());
    let mut accepted = 0;
    for _ in 0..STEPS {
        let piece: Vec<u8> = (accepted..accepted + rng.usize(1..20))
            .map(|index| byte(producer, index))
            .collect();
        match rng.u8(..12) {
            0..4 => accepted += writer.write(&piece).await.unwrap(),
            4 | 5 => {
                writer.write_all(&piece).await.unwrap();
                accepted += piece.len();
            }
            6 | 7 => {
                let len = piece.len();
                writer.write_bytes(Bytes::from(piece)).await.unwrap();
                accepted += len;
            }
            8 => {
                let write = writer.write_bytes(Bytes::from(piece.clone()));
                if given_up(write).await.is_some() {
                    accepted += piece.len();
                }
            }
            9 => writer.flush().await.unwrap(),
            10 => drop(given_up(writer.sync()).await),
            _ => writer.wait_durable(writer.position() / 2).await.unwrap(),
        }
    }
    if producer.is_multiple_of(2) {
        writer.sync().await.unwrap();
    }
    accepted
}

/// Polls `future` once more after others had their turn, then drops it.
async fn given_up<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::select! {
        biased;
        done = future => Some(done.unwrap()),
        () = tokio::task::yield_now() => None,
    }
}

async fn run(flush_mode: FlushMode, linger: Duration) {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .batch_size(16)
        .max_append_size(32)
        .buffer_capacity(64)
        .linger(linger)
        .flush_mode(flush_mode)
        .open()
        .await
        .unwrap();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| tokio::spawn(produce(writer.clone(), producer)))
        .collect();
    let mut accepted = Vec::new();
    for producer in producers {
        accepted.push(producer.await.unwrap());
    }
    writer.shutdown().await.unwrap();

    let content = store.content();
    for (producer, accepted) in (0..PRODUCERS).zip(&accepted) {
        let arrived = content.iter().copied().filter(|b| b >> 5 == producer);
        let written = (0..*accepted).map(|index| byte(producer, index));
        assert!(arrived.eq(written), "producer {producer}");
    }
    let total = accepted.iter().sum::<usize>() as u64;
    let stats = writer.stats();
    assert_eq!(content.len() as u64, total);
    assert_eq!((stats.accepted, stats.durable), (total, total));
    assert_eq!((stats.buffered, stats.compared, stats.failed), (0, 0, 0));
    assert_eq!(stats.appends, store.appends().len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_each_producer_wrote_arrives_once_and_in_its_order() {
    let modes = [
        (FlushMode::Durable, Duration::MAX),
        (FlushMode::Durable, Duration::ZERO),
        (FlushMode::Handoff, Duration::from_millis(1)),
        (
            FlushMode::Coalesced {
                min_interval: Duration::from_micros(100),
            },
            Duration::from_millis(1),
        ),
    ];
    for (mode, linger) in modes {
        tokio::time::timeout(WATCHDOG, run(mode, linger))
            .await
            .unwrap_or_else(|_| panic!("{mode:?} with {linger:?} hangs"));
    }
}
