//! `OssAppendWriter` behind the adapters of other crates: `FramedWrite` with several codecs,
//! futures-io's `AsyncWrite`, and `std::io::Write`.

use std::io::{self, Write};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt, stream};
use oss_append::{FlushMode, OssAppendWriter};
use tokio::time::Instant;
use tokio_util::codec::{
    Decoder, Encoder, FramedWrite, LengthDelimitedCodec, LinesCodec, LinesCodecError,
};
use tokio_util::compat::TokioAsyncWriteCompatExt;
use tokio_util::io::SyncIoBridge;

use crate::support::store::{Fault, SimStore};
use crate::support::{MS, ours, small_writer, writer};

const KIB: u64 = 1024;

/// Frames from nothing to more than the 8 KiB after which `FramedWrite` hands on.
fn frames() -> Vec<Bytes> {
    let frame = |n: usize| (0..n * n * 7 % 20_011).map(|m| (n + m) as u8).collect();
    (0..60).map(frame).collect()
}

/// A writer whose buffer is shorter than a frame.
async fn narrow(store: &SimStore, mode: FlushMode) -> OssAppendWriter {
    let builder = writer(store).batch_size(1000).max_append_size(3000);
    let builder = builder.buffer_capacity(6000).flush_mode(mode);
    builder.open().await.unwrap()
}

/// A store whose appends take their time.
fn slow() -> SimStore {
    let store = SimStore::new();
    store.world().latency = 5 * MS;
    store
}

#[tokio::test(start_paused = true)]
async fn framed_lines_are_written() {
    let store = SimStore::new();
    let writer = writer(&store).open().await.unwrap();
    let mut lines = FramedWrite::new(writer, LinesCodec::new());
    lines.send("one").await.unwrap();
    lines.send("two").await.unwrap();
    SinkExt::<&str>::close(&mut lines).await.unwrap();
    assert_eq!(store.text(), "one\ntwo\n");
}

#[tokio::test(start_paused = true)]
async fn length_delimited_frames_come_back_whole_and_in_order() {
    let store = slow();
    let writer = narrow(&store, FlushMode::Handoff).await;
    let mut sink = FramedWrite::new(writer, LengthDelimitedCodec::new());
    let mut source = stream::iter(frames()).map(Ok);
    sink.send_all(&mut source).await.unwrap();
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();

    let mut content = BytesMut::from(&store.content()[..]);
    let mut codec = LengthDelimitedCodec::new();
    for (number, frame) in frames().into_iter().enumerate() {
        let found = codec.decode(&mut content).unwrap().unwrap();
        assert!(found == frame, "frame {number}");
    }
    assert!(content.is_empty());
}

/// Encodes each frame as its number, and then its bytes in reverse.
struct Reversed(u32);

impl Encoder<Bytes> for Reversed {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, to: &mut BytesMut) -> io::Result<()> {
        to.put_u32(self.0);
        to.extend(frame.iter().rev());
        self.0 += 1;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoder_of_ones_own_gets_each_item_once_and_in_order() {
    let store = slow();
    let writer = narrow(&store, FlushMode::Handoff).await;
    let mut sink = FramedWrite::new(writer, Reversed(0));
    for frame in frames() {
        sink.feed(frame).await.unwrap();
    }
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();

    let mut expected = Vec::new();
    for (number, frame) in (0..).zip(frames()) {
        expected.put_u32(number);
        expected.extend(frame.iter().rev());
    }
    assert!(store.content() == expected);
}

/// Feeds a thousand frames of 1 KiB, closes, and tells how long each append was and how long all
/// of it took.
async fn in_bulk(mode: FlushMode) -> (Vec<u64>, Duration) {
    let store = SimStore::new();
    let builder = writer(&store)
        .batch_size(100 * KIB)
        .max_append_size(100 * KIB);
    let builder = builder.buffer_capacity(200 * KIB).flush_mode(mode);
    let writer = builder.open().await.unwrap();
    let start = Instant::now();
    let mut sink = FramedWrite::new(writer, LengthDelimitedCodec::new());
    for _ in 0..1000 {
        sink.feed(Bytes::from_static(&[b'x'; 1020])).await.unwrap();
    }
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();
    assert_eq!(store.content().len() as u64, 1000 * KIB);
    let appends = store.appends().iter().map(|(_, len)| *len).collect();
    (appends, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn framed_bulk_in_handoff_appends_by_size_alone_and_a_close_makes_it_durable() {
    let (appends, elapsed) = in_bulk(FlushMode::Handoff).await;
    assert_eq!(appends, [100 * KIB; 10]);
    assert_eq!(elapsed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn framed_bulk_in_the_default_mode_waits_for_the_append_of_each_8_kib_and_no_interval() {
    let (appends, elapsed) = in_bulk(FlushMode::default()).await;
    assert_eq!(appends, [8 * KIB; 125]);
    assert_eq!(elapsed, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_futures_io_writes_and_closes_is_durable() {
    use futures::AsyncWriteExt;

    let store = slow();
    let writer = narrow(&store, FlushMode::Handoff).await;
    let mut writer = writer.compat_write();
    let frames = frames();
    for frame in &frames {
        writer.write_all(frame).await.unwrap();
    }
    writer.close().await.unwrap();
    assert!(store.content() == frames.concat());
}

#[tokio::test(start_paused = true)]
async fn what_futures_io_copies_is_durable_without_a_close() {
    let store = slow();
    let writer = narrow(&store, FlushMode::default()).await;
    let input = frames().concat();
    let mut writer = writer.compat_write();
    let copied = futures::io::copy(&input[..], &mut writer).await.unwrap();
    assert_eq!(copied, input.len() as u64);
    assert!(store.content() == input);
}

// Paused time stands still while a blocking thread runs.
#[tokio::test]
async fn what_a_blocking_writer_flushes_is_durable() {
    let store = SimStore::new();
    let writer = narrow(&store, FlushMode::default()).await;
    let input = frames().concat();
    let mut bridge = SyncIoBridge::new(writer);
    let blocking = tokio::task::spawn_blocking(move || {
        bridge.write_all(&input)?;
        bridge.flush()?;
        // Kept, so that no drop makes it durable.
        io::Result::Ok((input, bridge))
    });
    let (input, _bridge) = blocking.await.unwrap().unwrap();
    assert!(store.content() == input);
}

#[tokio::test(start_paused = true)]
async fn the_writers_error_comes_out_of_every_adapter() {
    async fn failing() -> OssAppendWriter {
        let store = SimStore::new();
        store.fault(Fault::error(403, "AccessDenied"));
        small_writer(&store).open().await.unwrap()
    }
    let check = |error: io::Error| {
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(ours(error).service_error().unwrap().code, "AccessDenied");
    };
    let item = Bytes::from("item");

    let mut frames = FramedWrite::new(failing().await, LengthDelimitedCodec::new());
    check(frames.send(item.clone()).await.unwrap_err());
    check(SinkExt::<Bytes>::close(&mut frames).await.unwrap_err());

    let mut encoded = FramedWrite::new(failing().await, Reversed(0));
    check(encoded.send(item.clone()).await.unwrap_err());

    let mut lines = FramedWrite::new(failing().await, LinesCodec::new());
    match lines.send("line").await {
        Err(LinesCodecError::Io(error)) => check(error),
        other => panic!("{other:?}"),
    }

    let mut compat = failing().await.compat_write();
    let copied = futures::io::copy(&item[..], &mut compat).await;
    check(copied.unwrap_err());
    let closed = futures::AsyncWriteExt::close(&mut compat).await;
    check(closed.unwrap_err());

    let mut bridge = SyncIoBridge::new(failing().await);
    let blocking = tokio::task::spawn_blocking(move || {
        bridge.write_all(b"item").and_then(|()| bridge.flush())
    });
    check(blocking.await.unwrap().unwrap_err());
}
