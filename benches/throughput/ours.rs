//! This crate as a contestant.

use std::time::{Duration, Instant};

use bytes::Bytes;
use oss_append::credentials::StaticCredentials;
use oss_append::{OssAppendWriter, OssAppendWriterBuilder, OssClient};

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::produce::{self, Producer};

pub(crate) type Builder = OssAppendWriterBuilder<OssClient>;

pub(crate) const MIB: u64 = 1 << 20;

/// Appends of one size, the next one gathering meanwhile.
pub(crate) fn of_size(size: u64) -> impl Fn(Builder) -> Builder + Copy {
    move |builder| {
        builder
            .batch_size(size)
            .max_append_size(size)
            .buffer_capacity(2 * size)
    }
}

/// The same, and so many of them under way at a time.
pub(crate) fn ahead(size: u64, appends: u16) -> impl Fn(Builder) -> Builder + Copy {
    move |builder| {
        of_size(size)(builder)
            .max_in_flight(appends)
            .buffer_capacity((u64::from(appends) + 1) * size.max(MIB))
    }
}

/// The defaults, and so many appends under way at a time.
pub(crate) fn window(appends: u16) -> impl Fn(Builder) -> Builder + Copy {
    move |builder| builder.max_in_flight(appends)
}

pub(crate) fn defaults(builder: Builder) -> Builder {
    builder
}

pub(crate) fn client(ground: &Ground) -> OssClient {
    OssClient::builder()
        .endpoint(&ground.url)
        .region("cn-hangzhou")
        .credentials(StaticCredentials::new("id", "secret"))
        .build()
        .unwrap()
}

/// A writer whose connection is there.
pub(crate) async fn open(ground: &Ground, options: impl Fn(Builder) -> Builder) -> OssAppendWriter {
    let object = format!("oss://{BUCKET}/{}", ground.object).parse().unwrap();
    let builder = OssAppendWriter::builder(client(ground), object).max_object_size(u64::MAX);
    options(builder).open().await.unwrap()
}

/// Writes pieces of `piece` bytes, as fast as `producer` gives them.
pub(crate) async fn write(
    ground: Ground,
    options: impl Fn(Builder) -> Builder,
    producer: Producer,
    bytes: u64,
    piece: usize,
) -> Measured {
    let mut writer = open(&ground, options).await;
    let bytes = ground.bytes(bytes);
    let data = produce::piece(piece);
    let timer = Timer::start();
    let mut pieces = producer.pieces(bytes, piece);
    while let Some(len) = pieces.next().await {
        writer.write_all(&data[..len]).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    timer.stop(bytes)
}

/// Gives pieces of `piece` bytes away, without a copy.
pub(crate) async fn write_bytes(
    ground: Ground,
    options: impl Fn(Builder) -> Builder,
    bytes: u64,
    piece: usize,
) -> Measured {
    let mut writer = open(&ground, options).await;
    let bytes = ground.bytes(bytes);
    let data = Bytes::from(produce::piece(piece));
    let timer = Timer::start();
    let mut pieces = Producer::Ready.pieces(bytes, piece);
    while let Some(len) = pieces.next().await {
        writer.write_bytes(data.slice(..len)).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    timer.stop(bytes)
}

/// `tokio::io::copy` from a file.
pub(crate) async fn copy(ground: Ground, bytes: u64) -> Measured {
    let mut writer = open(&ground, defaults).await;
    let (mut file, bytes) = produce::file(ground.bytes(bytes)).await;
    let timer = Timer::start();
    tokio::io::copy(&mut file, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
    timer.stop(bytes)
}

/// `copy_from` a file.
pub(crate) async fn copy_from(ground: Ground, bytes: u64) -> Measured {
    let mut writer = open(&ground, defaults).await;
    let (mut file, bytes) = produce::file(ground.bytes(bytes)).await;
    let timer = Timer::start();
    writer.copy_from(&mut file).await.unwrap();
    writer.shutdown().await.unwrap();
    timer.stop(bytes)
}

/// Writes a record of 1 KiB each millisecond. The time is that of a record until it is durable, of
/// which so many percent take no longer.
pub(crate) async fn latency(ground: Ground, appends: u16, percent: usize) -> Measured {
    const RECORD: usize = 1024;
    let options = |builder: Builder| builder.max_in_flight(appends).linger(Duration::ZERO);
    let mut writer = open(&ground, options).await;
    let records = ground.bytes(4096 * RECORD as u64) / RECORD as u64;
    let data = Bytes::from(produce::piece(RECORD));
    let timer = Timer::start();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut waits = Vec::new();
    for _ in 0..records {
        ticks.tick().await;
        let receipt = writer.enqueue(data.clone()).await.unwrap();
        let accepted = Instant::now();
        waits.push(tokio::spawn(async move {
            receipt.written().await.unwrap();
            accepted.elapsed()
        }));
    }
    let mut took = Vec::new();
    for wait in waits {
        took.push(wait.await.unwrap());
    }
    writer.shutdown().await.unwrap();
    timer
        .stop(records * RECORD as u64)
        .instead(produce::percentile(took, percent))
}
