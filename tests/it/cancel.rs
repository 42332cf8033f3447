//! Promise 5: dropping any future of ours at any await point loses and doubles nothing.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use oss_append::Checkpoint;
use tokio::io::AsyncWriteExt;

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, appender, object, writer};

/// Polls `future` at most `polls` times, letting time and tasks go on in between.
async fn poll_times<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        tokio::time::sleep(MS).await;
    }
    None
}

fn fault(n: usize) -> Fault {
    match n % 6 {
        0 => Fault::lost_answer(),
        1 => Fault::lost_request(),
        2 => Fault::late(),
        3 => Fault::torn(1),
        4 => Fault::applied_error(503, "ServiceUnavailable"),
        _ => Fault::none(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_append_is_settled_by_the_next_call() {
    for kind in 0..6 {
        for polls in 1..12 {
            let store = SimStore::new();
            store.world().latency = 2 * MS;
            let mut appender = appender(&store).open().await.unwrap();
            store.fault(fault(kind));
            let receipt = poll_times(appender.append("first"), polls).await;
            assert_eq!(appender.unsettled().is_none(), receipt.is_some());
            appender.append(", second").await.unwrap();
            store.land_late();
            assert_eq!(store.text(), "first, second", "kind {kind}, polls {polls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn settle_gives_the_receipt_of_a_dropped_append() {
    let store = SimStore::holding("123");
    store.world().latency = 2 * MS;
    let mut appender = appender(&store).open().await.unwrap();
    assert!(poll_times(appender.append("first"), 1).await.is_none());
    assert_eq!(appender.unsettled().unwrap().len(), 5);
    let receipt = appender.settle().await.unwrap().unwrap();
    assert_eq!(receipt.range, 3..8);
    assert_eq!(appender.settle().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn dropped_writes_flushes_and_syncs_lose_and_double_nothing() {
    let store = SimStore::new();
    store.world().latency = 3 * MS;
    let mut writer = writer(&store)
        .batch_size(16)
        .max_append_size(32)
        .buffer_capacity(64)
        .open()
        .await
        .unwrap();
    let mut expected = Vec::new();
    for round in 0..400_usize {
        if round % 3 == 0 {
            store.fault(fault(round / 3));
        }
        let polls = 1 + round % 3;
        let piece: Vec<u8> = (0..=round % 40).map(|n| (n + round) as u8).collect();
        match round % 5 {
            0 | 1 => {
                if let Some(written) = poll_times(writer.write(&piece), polls).await {
                    expected.extend_from_slice(&piece[..written.unwrap()]);
                }
            }
            2 => {
                let bytes = Bytes::from(piece.clone());
                if let Some(written) = poll_times(writer.write_bytes(bytes), polls).await {
                    written.unwrap();
                    expected.extend_from_slice(&piece);
                }
            }
            3 => drop(poll_times(writer.flush(), polls).await),
            _ => drop(poll_times(writer.sync(), polls).await),
        }
        assert_eq!(writer.position(), expected.len() as u64, "round {round}");
    }
    let closing = writer.shutdown().now_or_never();
    assert!(closing.is_none());
    writer.shutdown().await.unwrap();
    store.land_late();
    assert_eq!(store.content(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_open_leaves_nothing_behind() {
    let store = SimStore::new();
    drop(poll_times(writer(&store).create_new().open(), 1).await);
    // Perhaps the empty object was created; then it can be opened as usual.
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_replay_goes_on_where_it_was() {
    for polls in 1..6 {
        let store = SimStore::holding("one two ");
        store.world().latency = 2 * MS;
        let mut appender = appender(&store)
            .replay(Checkpoint::start(object()))
            .open()
            .await
            .unwrap();
        drop(poll_times(appender.append("one tw"), polls).await);
        drop(poll_times(appender.verify(), polls).await);
        appender.settle().await.unwrap();
        drop(poll_times(appender.append("o three"), polls).await);
        appender.settle().await.unwrap();
        appender.end_replay().await.unwrap();
        assert_eq!(store.text(), "one two three");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_is_forgotten() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    for _ in 0..10_000 {
        assert!(writer.wait_durable(1).now_or_never().is_none());
    }
    let held = format!("{writer:?}");
    assert!(held.len() < 10_000, "waiters pile up: {}", held.len());
    writer.write_all(b"x").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), writer.wait_durable(1))
        .await
        .unwrap()
        .unwrap();
}
