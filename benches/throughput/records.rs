//! Records of 120 bytes, through `FramedWrite` and through the sink of this crate.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::SinkExt;
use tokio_util::codec::{BytesCodec, Encoder, FramedWrite};

use crate::contest::{Ground, Measured, Timer};
use crate::{ours, produce};

const RECORD: usize = 120;

/// As `LinesCodec` of tokio-util, but that an `x` ends a line: the sink takes every byte for one.
struct Lines;

impl Encoder<&str> for Lines {
    type Error = std::io::Error;

    fn encode(&mut self, line: &str, to: &mut BytesMut) -> Result<(), Self::Error> {
        to.reserve(line.len() + 1);
        to.put_slice(line.as_bytes());
        to.put_u8(b'x');
        Ok(())
    }
}

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

/// `feed` of lines, to which the encoder adds their end.
pub(crate) async fn feed_lines(
    ground: Ground,
    options: impl Fn(ours::Builder) -> ours::Builder,
    bytes: u64,
) -> Measured {
    let mut writer = ours::open(&ground, options).await;
    let line = "x".repeat(RECORD - 1);
    let records = ground.bytes(bytes) / RECORD as u64;
    let timer = Timer::start();
    let mut sink = writer.records(Lines);
    for _ in 0..records {
        sink.feed(line.as_str()).await.unwrap();
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
