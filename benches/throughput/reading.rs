//! The way back: objects that are read to nowhere.

use std::process::Stdio;

use futures::StreamExt as _;
use oss_append::{ObjectPath, ObjectReader, ObjectReaderBuilder};
use tokio::process::Command;

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::ours;

/// An object of so many bytes.
fn object(ground: &Ground, bytes: u64) -> ObjectPath {
    let key = format!("{}-of-{bytes}", ground.object);
    ObjectPath::new(BUCKET, key).unwrap()
}

/// Reads an object whose bytes are compared, over a connection that is there.
pub(crate) async fn object_reader(
    ground: Ground,
    options: impl Fn(ObjectReaderBuilder) -> ObjectReaderBuilder,
    bytes: u64,
) -> Measured {
    let bytes = ground.bytes(bytes);
    let (client, object) = (ours::client(&ground), object(&ground, bytes));
    client.head_object(&object).send().await.unwrap();
    let timer = Timer::start();
    let reader = options(ObjectReader::builder(client, object));
    let mut reader = reader.open().await.unwrap();
    assert!(reader.is_compared());
    let mut read = 0;
    while let Some(chunk) = reader.next().await {
        read += chunk.unwrap().len() as u64;
    }
    assert_eq!(read, bytes);
    timer.stop(bytes)
}

/// The floor: one GET by the same HTTP client, with nothing else: no signature, no checksum, no second
/// try.
pub(crate) async fn get(ground: Ground, bytes: u64) -> Measured {
    let bytes = ground.bytes(bytes);
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .build()
        .unwrap();
    let url = format!("{}/{BUCKET}/{}", ground.url, object(&ground, bytes).key());
    client.head(&url).send().await.unwrap();
    let timer = Timer::start();
    let mut answer = client.get(&url).send().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        read += chunk.len() as u64;
    }
    assert_eq!(read, bytes);
    timer.stop(bytes)
}

/// The command, from its start to its end. Its processor time and memory are not measured.
pub(crate) async fn cat(ground: Ground, bytes: u64) -> Measured {
    let bytes = ground.bytes(bytes);
    let timer = Timer::start();
    let status = Command::new(env!("CARGO_BIN_EXE_oss-append"))
        .args(["cat", &object(&ground, bytes).to_string()])
        .env("OSS_ENDPOINT", &ground.url)
        .env("OSS_REGION", "cn-hangzhou")
        .env("OSS_ACCESS_KEY_ID", "id")
        .env("OSS_ACCESS_KEY_SECRET", "secret")
        .stdout(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success());
    timer.stop(bytes)
}
