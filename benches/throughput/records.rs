//! Records of 120 bytes, through `FramedWrite` and through the sink of this crate.

use bytes::Bytes;
use futures::SinkExt;
use tokio_util::codec::{AnyDelimiterCodec, BytesCodec, FramedWrite};

use crate::contest::{Ground, Measured, Timer};
use crate::{ours, produce};

const RECORD: usize = 120;

/// `FramedWrite::feed`, with the defaults.
pub(crate) async fn framed_feed(ground: Ground, bytes: u64) -> Measured {
    let writer = ours::open(&ground, ours::defaults).await;
    let record = Bytes::from(produce::piece(RECORD));
    let records = ground.bytes(bytes) / RECORD as u64;
    let timer = Timer::start();
    let mut sink = FramedWrite::new(writer, BytesCodec::new());
    for _ in 0..records {
        sink.feed(record.clone()).await.unwrap();
    }
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();
    timer.stop(records * RECORD as u64)
}

/// `FramedWrite::send`, with the defaults.
pub(crate) async fn framed_send(ground: Ground, records: u64) -> Measured {
    let writer = ours::open(&ground, ours::defaults).await;
    let record = Bytes::from(produce::piece(RECORD));
    let timer = Timer::start();
    let mut sink = FramedWrite::new(writer, BytesCodec::new());
    for _ in 0..records {
        sink.send(record.clone()).await.unwrap();
    }
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();
    timer.stop(records * RECORD as u64)
}

/// Writes and flushes so many records, with the defaults.
pub(crate) async fn write_and_flush(ground: Ground, records: u64) -> Measured {
    let mut writer = ours::open(&ground, ours::defaults).await;
    let record = produce::piece(RECORD);
    let timer = Timer::start();
    for _ in 0..records {
        writer.write_all(&record).await.unwrap();
        writer.flush().await.unwrap();
    }
    timer.stop(records * RECORD as u64)
}

/// `feed` of the writer's own sink of records.
pub(crate) async fn feed(
    ground: Ground,
    options: impl Fn(ours::Builder) -> ours::Builder,
    bytes: u64,
) -> Measured {
    let mut writer = ours::open(&ground, options).await;
    let record = Bytes::from(produce::piece(RECORD));
    let records = ground.bytes(bytes) / RECORD as u64;
    let timer = Timer::start();
    let mut sink = writer.records(BytesCodec::new());
    for _ in 0..records {
        sink.feed(record.clone()).await.unwrap();
    }
    SinkExt::<Bytes>::close(&mut sink).await.unwrap();
    writer.shutdown().await.unwrap();
    timer.stop(records * RECORD as u64)
}

/// `feed` of lines, to which the encoder adds their end: an `x`, as the sink takes every byte for
/// one.
pub(crate) async fn feed_lines(
    ground: Ground,
    options: impl Fn(ours::Builder) -> ours::Builder,
    bytes: u64,
) -> Measured {
    let mut writer = ours::open(&ground, options).await;
    let line = "x".repeat(RECORD - 1);
    let records = ground.bytes(bytes) / RECORD as u64;
    let timer = Timer::start();
    let ends = || b"x".to_vec();
    let mut sink = writer.records(AnyDelimiterCodec::new(ends(), ends()));
    for _ in 0..records {
        sink.feed(&line).await.unwrap();
    }
    SinkExt::<&str>::close(&mut sink).await.unwrap();
    writer.shutdown().await.unwrap();
    timer.stop(records * RECORD as u64)
}

/// `send` of the writer's own sink of records, which does not wait for its append.
pub(crate) async fn send(ground: Ground, bytes: u64) -> Measured {
    let mut writer = ours::open(&ground, ours::defaults).await;
    let record = Bytes::from(produce::piece(RECORD));
    let records = ground.bytes(bytes) / RECORD as u64;
    let timer = Timer::start();
    let mut sink = writer.records(BytesCodec::new());
    for _ in 0..records {
        sink.send(record.clone()).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    timer.stop(records * RECORD as u64)
}
