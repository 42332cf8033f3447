//! The floor: a loop of POSTs of bodies that are ready, by the same HTTP client, with nothing else:
//! no signature, no checksum, no buffer, no second try.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Client;

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::produce::{self, Producer};

/// A client that is connected.
async fn connected(ground: &Ground) -> (Client, String) {
    let client = Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .build()
        .unwrap();
    let url = format!("{}/{BUCKET}/{}", ground.url, ground.object);
    let looked = client.head(&url).send().await.unwrap();
    assert_eq!(looked.status(), 404);
    (client, url)
}

async fn append(client: &Client, url: &str, position: u64, body: Bytes) {
    let url = format!("{url}?append&position={position}");
    let answer = client.post(url).body(body).send().await.unwrap();
    assert!(answer.status().is_success());
    answer.bytes().await.unwrap();
}

/// Sends bodies of `body` bytes.
pub(crate) async fn post(ground: Ground, bytes: u64, body: usize) -> Measured {
    let (client, url) = connected(&ground).await;
    let bytes = ground.bytes(bytes);
    let data = Bytes::from(produce::piece(body));
    let timer = Timer::start();
    let mut position = 0;
    let mut bodies = Producer::Ready.pieces(bytes, body);
    while let Some(len) = bodies.next().await {
        append(&client, &url, position, data.slice(..len)).await;
        position += len as u64;
    }
    timer.stop(bytes)
}

/// Gathers a body, sends it, gathers the next one: what a loop without a buffer does.
pub(crate) async fn produce_and_post(
    ground: Ground,
    producer: Producer,
    bytes: u64,
    piece: usize,
    body: usize,
) -> Measured {
    let (client, url) = connected(&ground).await;
    let bytes = ground.bytes(bytes);
    let data = produce::piece(piece);
    let timer = Timer::start();
    let mut position = 0;
    let mut bodies = Producer::Ready.pieces(bytes, body);
    while let Some(len) = bodies.next().await {
        let mut gathered = Vec::with_capacity(len);
        let mut pieces = producer.pieces(len as u64, piece);
        while let Some(len) = pieces.next().await {
            gathered.extend_from_slice(&data[..len]);
        }
        append(&client, &url, position, gathered.into()).await;
        position += len as u64;
    }
    timer.stop(bytes)
}

/// Produces, and sends nothing.
pub(crate) async fn produce(
    ground: Ground,
    producer: Producer,
    bytes: u64,
    piece: usize,
) -> Measured {
    let bytes = ground.bytes(bytes);
    let timer = Timer::start();
    let mut pieces = producer.pieces(bytes, piece);
    while pieces.next().await.is_some() {}
    timer.stop(bytes)
}

/// Copies a file to nowhere, as `tokio::io::copy` does.
pub(crate) async fn copy_to_nowhere(ground: Ground, bytes: u64) -> Measured {
    let (mut file, bytes) = produce::file(ground.bytes(bytes)).await;
    let timer = Timer::start();
    tokio::io::copy(&mut file, &mut tokio::io::sink())
        .await
        .unwrap();
    timer.stop(bytes)
}

/// Sends records one after the other. The time is that of one, of which so many percent take no
/// longer.
pub(crate) async fn latency(ground: Ground, record: usize, percent: usize) -> Measured {
    let (client, url) = connected(&ground).await;
    let records = ground.bytes(128 * record as u64).div_ceil(record as u64);
    let data = Bytes::from(produce::piece(record));
    let timer = Timer::start();
    let mut took = Vec::new();
    for number in 0..records {
        let sent = Instant::now();
        append(&client, &url, number * record as u64, data.clone()).await;
        took.push(sent.elapsed());
    }
    timer
        .stop(records * record as u64)
        .instead(produce::percentile(took, percent))
}
