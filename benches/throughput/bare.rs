//! The floor: a loop of POSTs of bodies that are ready, by the same HTTP client, with nothing else:
//! no signature, no checksum, no buffer, no second try.

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
    while position < bytes {
        let len = (bytes - position).min(body as u64);
        append(&client, &url, position, data.slice(..len as usize)).await;
        position += len;
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
    let mut pace = producer.start();
    let mut position = 0;
    while position < bytes {
        let len = (bytes - position).min(body as u64) as usize;
        let mut gathered = Vec::with_capacity(len);
        while gathered.len() < len {
            let take = piece.min(len - gathered.len());
            pace.wait_for(take as u64).await;
            gathered.extend_from_slice(&data[..take]);
        }
        append(&client, &url, position, gathered.into()).await;
        position += len as u64;
        pace = producer.start();
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
    let mut pace = producer.start();
    let mut left = bytes;
    while left > 0 {
        let len = left.min(piece as u64);
        pace.wait_for(len).await;
        left -= len;
    }
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
