//! What flush promises in each mode, and how many appends it costs. Promise 6: thresholds hold
//! with nobody polling.

use std::time::Duration;

use futures::FutureExt;
use oss_append::{FlushMode, OssAppendWriter};
use tokio::time::Instant;
use tracing::Level;

use crate::copy::Trickle;
use crate::support::log::{Log, set_default};
use crate::support::store::{Fault, Op, SimStore};
use crate::support::{MS, SEC, writer};

async fn with_mode(store: &SimStore, mode: FlushMode) -> OssAppendWriter {
    writer(store).flush_mode(mode).open().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lingering_byte_is_appended_on_time_with_nobody_polling() {
    let store = SimStore::new();
    let mut writer = writer(&store).linger(SEC).open().await.unwrap();
    let start = Instant::now();
    writer.write_all(b"x").await.unwrap();
    tokio::time::sleep(SEC / 2).await;
    writer.write_all(b"y").await.unwrap();
    tokio::time::sleep(SEC).await;
    assert_eq!(store.text(), "xy");
    let request = store.world().requests.last().cloned().unwrap();
    assert!(matches!(request.op, Op::Append { len: 2, .. }));
    assert_eq!(request.at, start + SEC, "counted from the first byte");
}

#[tokio::test(start_paused = true)]
async fn a_single_byte_is_enough_to_end_the_rest_of_an_idle_writer() {
    let store = SimStore::new();
    let mut writer = writer(&store).linger(SEC).open().await.unwrap();
    for written in ["x", "xx"] {
        tokio::time::sleep(SEC).await;
        writer.write_all(b"x").await.unwrap();
        tokio::time::sleep(SEC + MS).await;
        assert_eq!(store.text(), written);
    }
}

#[tokio::test(start_paused = true)]
async fn no_linger_appends_as_soon_as_idle() {
    let store = SimStore::new();
    let mut writer = writer(&store).linger(Duration::ZERO).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.wait_durable(1).await.unwrap();
    assert_eq!(store.text(), "x");
}

#[tokio::test(start_paused = true)]
async fn the_batch_size_starts_an_append_with_nobody_polling() {
    let store = SimStore::new();
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    writer.write_all(b"123").await.unwrap();
    tokio::time::sleep(MS).await;
    assert_eq!(store.text(), "");
    writer.write_all(b"4").await.unwrap();
    tokio::time::sleep(MS).await;
    assert_eq!(store.text(), "1234");
}

/// Writes and flushes one byte twenty times, which no flush waits for: all of the allowance.
async fn use_up(writer: &mut OssAppendWriter) {
    for _ in 0..20 {
        writer.write_all(b"-").await.unwrap();
        writer.flush().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_small_flushes_do_not_wait_and_then_one_an_interval_is_durable() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    let start = Instant::now();
    use_up(&mut writer).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(store.appends().len(), 20);
    for interval in 1..4 {
        writer.write_all(b"a").await.unwrap();
        writer.flush().await.unwrap();
        assert_eq!(start.elapsed(), interval * 200 * MS);
        assert_eq!(store.content().len(), 20 + interval as usize);
    }
    tokio::time::sleep(4 * SEC).await;
    let start = Instant::now();
    use_up(&mut writer).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "saved up again");
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_4_kib_waits_for_nothing_but_its_append() {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    let mut writer = with_mode(&store, FlushMode::default()).await;
    use_up(&mut writer).await;
    let start = Instant::now();
    for _ in 0..100 {
        writer.write_all(&[b'x'; 4096]).await.unwrap();
        writer.flush().await.unwrap();
    }
    assert_eq!(start.elapsed(), 100 * 5 * MS);
    writer.write_all(&[b'x'; 4095]).await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    // Those of another handle count as well.
    let mut other = writer.clone();
    other.write_all(b"y").await.unwrap();
    let start = Instant::now();
    other.flush().await.unwrap();
    assert_eq!(start.elapsed(), 5 * MS);
}

/// The events that a program would see of `oss_append::flush`.
async fn told_of(program: impl Future<Output = ()>) -> usize {
    let log = Log::default();
    let guard = set_default(log.subscriber(Level::WARN));
    program.await;
    drop(guard);
    let text = log.text();
    let lines = text.lines();
    let lines = lines.filter(|line| line.contains("WARN") && line.contains("oss_append::flush"));
    let lines: Vec<_> = lines.collect();
    let remedies = ["`records`", "`feed`", "Handoff", "write more", "`enqueue`"];
    for remedy in remedies {
        assert!(lines.iter().all(|line| line.contains(remedy)), "{text}");
    }
    lines.len()
}

#[tokio::test(start_paused = true)]
async fn a_program_that_keeps_waiting_in_small_flushes_is_told_of_it_once() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    let few = told_of(async {
        for _ in 0..69 {
            writer.write_all(b"a line\n").await.unwrap();
            writer.flush().await.unwrap();
        }
    });
    assert_eq!(few.await, 0);
    let many = told_of(async {
        for _ in 0..200 {
            writer.write_all(b"a line\n").await.unwrap();
            writer.flush().await.unwrap();
        }
    });
    assert_eq!(many.await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_trickle_and_a_program_that_syncs_are_not_told_anything() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    let told = told_of(async {
        let mut source = Trickle::new(100 * SEC);
        tokio::io::copy(&mut source, &mut writer).await.unwrap();
        for _ in 0..500 {
            writer.write_all(b"a line\n").await.unwrap();
            writer.sync().await.unwrap();
        }
    });
    assert_eq!(told.await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_durable_flush_appends_each_time() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    let start = Instant::now();
    for _ in 0..5 {
        writer.write_all(b"a").await.unwrap();
        writer.flush().await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(store.appends().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_handoff_flush_returns_at_once_and_forces_nothing() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::Handoff).await;
    writer.write_all(b"a").await.unwrap();
    assert!(writer.flush().now_or_never().unwrap().is_ok());
    tokio::time::sleep(SEC / 2).await;
    assert_eq!(store.appends().len(), 0);
    writer.sync().await.unwrap();
    assert_eq!(store.text(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_handoff_flush_still_tells_of_a_failure() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::Handoff).await;
    store.fault(Fault::error(403, "AccessDenied"));
    writer.write_all(b"a").await.unwrap();
    writer.sync().await.unwrap_err();
    writer.flush().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_sync_does_not_wait_for_the_interval_and_uses_no_allowance() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    let start = Instant::now();
    for _ in 0..50 {
        writer.write_all(b"a").await.unwrap();
        writer.sync().await.unwrap();
    }
    use_up(&mut writer).await;
    writer.write_all(b"a").await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(store.appends().len(), 71);
}

#[tokio::test(start_paused = true)]
async fn a_sync_after_a_dropped_flush_does_not_wait_for_it() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    use_up(&mut writer).await;
    writer.write_all(b"b").await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    let start = Instant::now();
    writer.sync().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_flush_with_nothing_new_is_ready_without_io() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    assert!(writer.flush().now_or_never().unwrap().is_ok());
    writer.write_all(b"a").await.unwrap();
    writer.flush().await.unwrap();
    let requests = store.ops().len();
    assert!(writer.flush().now_or_never().unwrap().is_ok());
    assert!(writer.sync().now_or_never().unwrap().is_ok());
    assert_eq!(store.ops().len(), requests);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_its_own_bytes_and_not_only_for_the_append_in_flight() {
    let store = SimStore::new();
    store.world().latency = 50 * MS;
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    writer.write_all(b"a").await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    tokio::time::sleep(10 * MS).await;
    writer.write_all(b"b").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(store.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_what_is_in_flight_forces_nothing_that_comes_later() {
    let store = SimStore::new();
    store.world().latency = 10 * MS;
    let mut writer = writer(&store).batch_size(4).open().await.unwrap();
    writer.write_all(b"1234").await.unwrap();
    tokio::time::sleep(MS).await;
    assert_eq!(store.appends(), [(0, 4)], "in flight");
    writer.sync().await.unwrap();
    writer.write_all(b"5").await.unwrap();
    tokio::time::sleep(SEC / 2).await;
    assert_eq!(store.appends(), [(0, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_given_up_and_followed_by_a_write_covers_the_write() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    writer.write_all(b"a").await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    writer.write_all(b"b").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(store.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn writes_of_other_handles_do_not_move_a_flush_on() {
    let store = SimStore::new();
    store.world().latency = 100 * MS;
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    let mut other = writer.clone();
    writer.write_all(b"a").await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    tokio::time::sleep(MS).await;
    // In the next append, which comes after the one that the flush waits for.
    other.write_all(b"b").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(store.text(), "a");
    other.flush().await.unwrap();
    assert_eq!(store.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_one_that_was_given_up_answers_for_its_own_handle_and_a_sync_for_all() {
    let store = SimStore::new();
    store.world().latency = 100 * MS;
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    let mut other = writer.clone();
    writer.write_all(b"a").await.unwrap();
    assert!(writer.flush().now_or_never().is_none());
    tokio::time::sleep(MS).await;
    other.write_all(b"b").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(store.text(), "a");
    assert!(
        writer.flush().now_or_never().is_none(),
        "begun after the other's write"
    );
    writer.sync().await.unwrap();
    assert_eq!(store.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_beside_clones_that_never_stop_writing() {
    let store = SimStore::new();
    store.world().latency = 20 * MS;
    let mut writer = with_mode(&store, FlushMode::Durable).await;
    let mut other = writer.clone();
    let busy = tokio::spawn(async move {
        loop {
            other.write_all(b"b").await.unwrap();
            tokio::time::sleep(MS).await;
        }
    });
    tokio::time::sleep(50 * MS).await;
    writer.write_all(b"a").await.unwrap();
    let start = Instant::now();
    let mut flush = std::pin::pin!(writer.flush());
    // Polled far more often than appends land.
    while flush.as_mut().now_or_never().is_none() {
        tokio::time::sleep(MS).await;
    }
    assert!(start.elapsed() <= 100 * MS, "{:?}", start.elapsed());
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn writing_works_while_a_flush_is_pending_and_does_not_postpone_it() {
    let store = SimStore::new();
    let mut writer = with_mode(&store, FlushMode::default()).await;
    let start = Instant::now();
    use_up(&mut writer).await;
    for _ in 0..19 {
        writer.write_all(b"b").await.unwrap();
        assert!(writer.flush().now_or_never().is_none());
        tokio::time::sleep(10 * MS).await;
    }
    assert_eq!(store.appends().len(), 20);
    writer.flush().await.unwrap();
    assert_eq!(start.elapsed(), 200 * MS);
    assert_eq!(store.appends().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn wait_durable_waits_and_forces_nothing() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"abc").await.unwrap();
    let start = Instant::now();
    writer.wait_durable(2).await.unwrap();
    assert_eq!(start.elapsed(), SEC, "the linger");
    writer.wait_durable(3).await.unwrap();
    assert!(writer.wait_durable(4).now_or_never().is_none());
    writer.shutdown().await.unwrap();
    assert!(writer.wait_durable(4).await.is_err());
}
