//! OpenDAL's append writer as a contestant.

use bytes::Bytes;
use futures::AsyncWriteExt as _;
use opendal::services::Oss;
use opendal::{Operator, Writer};

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::produce::{self, Producer};

/// An append writer whose connection is there. `chunk`: how many bytes it gathers.
async fn writer(ground: &Ground, chunk: Option<usize>) -> Writer {
    let service = Oss::default()
        .endpoint(&ground.url)
        .addressing_style("path")
        .bucket(BUCKET)
        .access_key_id("id")
        .access_key_secret("secret");
    let operator = Operator::new(service).unwrap();
    assert!(!operator.exists(&ground.object).await.unwrap());
    let writer = operator.writer_with(&ground.object).append(true);
    match chunk {
        Some(chunk) => writer.chunk(chunk).await.unwrap(),
        None => writer.await.unwrap(),
    }
}

/// Pieces of `piece` bytes by its adapter for `AsyncWrite` of futures-io.
pub(crate) async fn async_write(
    ground: Ground,
    chunk: Option<usize>,
    producer: Producer,
    bytes: u64,
    piece: usize,
) -> Measured {
    let writer = writer(&ground, chunk).await;
    let mut writer = writer.into_futures_async_write();
    let bytes = ground.bytes(bytes);
    let data = produce::piece(piece);
    let timer = Timer::start();
    let mut pieces = producer.pieces(bytes, piece);
    while let Some(len) = pieces.next().await {
        writer.write_all(&data[..len]).await.unwrap();
    }
    writer.close().await.unwrap();
    timer.stop(bytes)
}

/// `Bytes` of `piece` bytes.
pub(crate) async fn write(
    ground: Ground,
    chunk: Option<usize>,
    bytes: u64,
    piece: usize,
) -> Measured {
    let mut writer = writer(&ground, chunk).await;
    let bytes = ground.bytes(bytes);
    let data = Bytes::from(produce::piece(piece));
    let timer = Timer::start();
    let mut pieces = Producer::Ready.pieces(bytes, piece);
    while let Some(len) = pieces.next().await {
        writer.write(data.slice(..len)).await.unwrap();
    }
    writer.close().await.unwrap();
    timer.stop(bytes)
}
