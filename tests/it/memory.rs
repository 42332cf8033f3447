//! Promise 4: buffered and in-flight bytes never exceed the capacity, and a full buffer holds the
//! caller back.

use bytes::Bytes;
use futures::FutureExt;
use tokio::io::AsyncWriteExt;

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, SEC, small_writer, writer};

#[tokio::test(start_paused = true)]
async fn a_full_buffer_takes_a_part_and_then_is_pending() {
    let store = SimStore::new();
    store.world().latency = SEC;
    let mut writer = small_writer(&store).open().await.unwrap();
    assert_eq!(writer.write(&[1; 70]).await.unwrap(), 70);
    assert_eq!(writer.write(&[2; 70]).await.unwrap(), 30);
    assert!(writer.write(&[3; 70]).now_or_never().is_none());
    assert!(
        writer
            .write_bytes(Bytes::from("x"))
            .now_or_never()
            .is_none()
    );
    assert_eq!(writer.stats().buffered, 100);

    // Still full while the bytes are in flight; room again once they are durable.
    tokio::time::sleep(SEC / 2).await;
    assert!(writer.write(&[3; 70]).now_or_never().is_none());
    assert_eq!(writer.write(&[3; 70]).await.unwrap(), 50);
}

#[tokio::test(start_paused = true)]
async fn the_capacity_is_never_exceeded() {
    let store = SimStore::new();
    store.world().latency = 3 * MS;
    let mut writer = writer(&store)
        .batch_size(100)
        .max_append_size(300)
        .buffer_capacity(1000)
        .open()
        .await
        .unwrap();
    let watcher = writer.clone();
    let mut other = writer.clone();
    let input: Vec<u8> = (0..30_000_u32).map(|n| (n % 251) as u8).collect();
    let copied = input.clone();
    let task = tokio::spawn(async move {
        for chunk in copied.chunks(333) {
            other
                .write_bytes(Bytes::copy_from_slice(chunk))
                .await
                .unwrap();
        }
    });
    for (round, chunk) in input.chunks(777).enumerate() {
        if round % 5 == 0 {
            store.fault(Fault::lost_answer());
            store.fault(Fault::lost_request());
        }
        writer.write_all(chunk).await.unwrap();
        assert!(watcher.stats().buffered <= 1000);
    }
    task.await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.content().len(), 60_000);
}

#[tokio::test(start_paused = true)]
async fn a_whole_record_may_fill_the_buffer_to_its_last_byte() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).shared(true).open().await.unwrap();
    for _ in 0..2 {
        let written = writer.write(&[1; 50]).now_or_never();
        assert_eq!(written.unwrap().unwrap(), 50);
    }
    assert!(writer.write(&[1]).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_need_the_whole_buffer_do_not_wait_for_the_linger() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .batch_size(50)
        .max_append_size(50)
        .buffer_capacity(100)
        .open()
        .await
        .unwrap();
    writer.write_all(b"x").await.unwrap();
    let start = tokio::time::Instant::now();
    writer.write_bytes(Bytes::from(vec![1; 100])).await.unwrap();
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn bytes_beyond_the_capacity_go_through_piece_by_piece() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    let large: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
    writer.write_bytes(large.clone().into()).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.content(), large);
}
