//! `OssAppendWriter` as a `Sink<Bytes>`. Adapters of other crates are in `adapters.rs`.

use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use oss_append::{Error, ErrorKind};
use tokio::io::AsyncWriteExt;

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, SEC, small_writer, writer};

fn items(count: u32) -> Vec<Bytes> {
    (0..count)
        .map(|n| Bytes::from(format!("item {n} {}\n", "x".repeat(n as usize % 90))))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn forwarded_items_land_in_order() {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    let writer = writer(&store)
        .batch_size(64)
        .max_append_size(100)
        .buffer_capacity(200)
        .open()
        .await
        .unwrap();
    let items = items(300);
    let source = stream::iter(items.clone()).map(Ok);
    source.forward(writer).await.unwrap();
    assert_eq!(store.content(), items.concat());
}

#[tokio::test(start_paused = true)]
async fn an_item_larger_than_the_buffer_goes_through() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    let large = Bytes::from((0..1000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    writer.send(large.clone()).await.unwrap();
    writer.feed(Bytes::from("end")).await.unwrap();
    SinkExt::<Bytes>::close(&mut writer).await.unwrap();
    assert_eq!(store.content(), [&large[..], b"end"].concat());
}

#[tokio::test(start_paused = true)]
async fn an_item_without_room_survives_the_drop_of_its_handle() {
    let store = SimStore::new();
    store.world().latency = MS;
    let mut writer = small_writer(&store).open().await.unwrap();
    writer.feed(Bytes::from(vec![1; 99])).await.unwrap();
    writer.feed(Bytes::from(vec![2; 99])).await.unwrap();
    assert_eq!(writer.stats().accepted, 99);
    drop(writer);
    tokio::time::sleep(SEC).await;
    assert_eq!(store.content(), [[1; 99], [2; 99]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_item_without_room_is_given_back_by_a_failed_writer() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    store.fault(Fault::error(403, "AccessDenied"));
    writer.feed(Bytes::from(vec![1; 99])).await.unwrap();
    writer.feed(Bytes::from(vec![2; 99])).await.unwrap();
    let error = SinkExt::<Bytes>::flush(&mut writer).await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(unsent.chunks.concat(), [[1; 99], [2; 99]].concat());
}

#[tokio::test(start_paused = true)]
async fn an_item_without_room_is_waited_for_when_a_clone_shuts_the_writer_down() {
    for last in [&[3][..], &[3; 99]] {
        let store = SimStore::new();
        store.world().latency = MS;
        let mut writer = small_writer(&store).open().await.unwrap();
        let mut clone = writer.clone();
        writer.feed(Bytes::from(vec![1; 100])).await.unwrap();
        clone.feed(Bytes::copy_from_slice(last)).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(store.content(), [&[1; 100], last].concat());
        let stats = writer.stats();
        assert_eq!(
            (stats.accepted, stats.durable),
            (100 + last.len() as u64, stats.accepted)
        );
        let error = SinkExt::<Bytes>::flush(&mut clone).await;
        assert!(error.is_ok(), "its item is durable");
        assert!(clone.feed(Bytes::from("late")).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_without_room_of_any_clone_is_given_back_by_a_failed_writer() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).open().await.unwrap();
    let mut clone = writer.clone();
    store.fault(Fault::error(403, "AccessDenied"));
    writer.feed(Bytes::from(vec![1; 99])).await.unwrap();
    clone.feed(Bytes::from(vec![2; 99])).await.unwrap();
    writer.sync().await.unwrap_err();
    let stats = writer.stats();
    assert_eq!(
        (stats.accepted, stats.failed, stats.buffered),
        (198, 198, 0)
    );
    let unsent = writer.into_unsent().unwrap();
    assert_eq!(unsent.chunks.concat(), [[1; 99], [2; 99]].concat());
    assert!(clone.into_unsent().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_whole_is_refused_and_nothing_of_it_taken() {
    let store = SimStore::new();
    let mut writer = small_writer(&store).shared(true).open().await.unwrap();
    let error = writer.feed(Bytes::from(vec![1; 51])).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    assert!(error.to_string().contains("max_append_size 50"), "{error}");
    writer.shutdown().await.unwrap();
    assert_eq!(writer.stats().accepted, 0);
}

#[tokio::test(start_paused = true)]
async fn sinks_and_writes_keep_their_order() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .batch_size(10)
        .max_append_size(10)
        .buffer_capacity(20)
        .open()
        .await
        .unwrap();
    writer.feed(Bytes::from("0123456789")).await.unwrap();
    writer.feed(Bytes::from("abcdefghijklmnop")).await.unwrap();
    writer.write_all(b"!").await.unwrap();
    writer.write_bytes(Bytes::from("?")).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "0123456789abcdefghijklmnop!?");
}

#[tokio::test(start_paused = true)]
async fn the_writers_own_calls_win_over_those_of_both_traits() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.feed(Bytes::from("an item, ")).await.unwrap();
    assert_eq!(writer.write(b"a write, ").await.unwrap(), 9);
    let written: oss_append::Result<()> = writer.write_all(b"bytes").await;
    written.unwrap();
    let flushed: oss_append::Result<()> = writer.flush().await;
    flushed.unwrap();
    assert_eq!(store.text(), "an item, a write, bytes");
    let ended: oss_append::Result<()> = writer.shutdown().await;
    ended.unwrap();
    let late = writer.write_all(b"late").await.unwrap_err();
    assert_eq!(late.kind(), &ErrorKind::Closed);
    let into_io = async { Ok::<(), std::io::Error>(writer.write_all(b"late").await?) };
    let late = into_io.await.unwrap_err();
    assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_gave_before_its_error_is_not_lost() {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    let mut writer = small_writer(&store).open().await.unwrap();
    let items = items(50);
    let broken = Err(Error::invalid_input("the source broke"));
    let mut source = stream::iter(items.clone().into_iter().map(Ok).chain([broken]));
    let error = writer.send_all(&mut source).await.unwrap_err();
    assert_eq!(error.to_string(), "the source broke");
    writer.shutdown().await.unwrap();
    assert_eq!(store.content(), items.concat());
}
