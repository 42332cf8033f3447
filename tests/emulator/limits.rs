//! Object size, latency, bandwidth, and being unreachable.

use std::io::ErrorKind;
use std::time::Duration;

use oss_append::emulator::Emulator;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{BUCKET, Client, Request, append};

#[tokio::test]
async fn an_object_does_not_grow_past_its_limit() {
    let builder = Emulator::builder().bucket(BUCKET).max_object_size(10);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    assert_eq!(client.append("k", 0, b"012345678").await.status, 200);
    assert_eq!(
        client.append("k", 9, b"90").await.summary(),
        "400 InvalidArgument"
    );
    assert_eq!(client.append("k", 9, b"9").await.status, 200);
    assert_eq!(client.append("k", 10, b"").await.status, 200);
    let put = Request::new("PUT", "k").body([0; 11]);
    assert_eq!(client.send(put).await.summary(), "400 EntityTooLarge");
    assert_eq!(emulator.length(BUCKET, "k"), Some(10));
}

#[tokio::test(start_paused = true)]
async fn latency_passes_in_tokios_time() {
    let hour = Duration::from_secs(3600);
    let builder = Emulator::builder().bucket(BUCKET).latency(hour);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    let start = Instant::now();
    assert_eq!(client.append("k", 0, b"x").await.status, 200);
    assert!(start.elapsed() >= hour);
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_limited_in_both_directions() {
    let builder = Emulator::builder().bucket(BUCKET).bandwidth(1000);
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    let start = Instant::now();
    assert_eq!(client.append("k", 0, &[7; 100_000]).await.status, 200);
    let sent = start.elapsed();
    assert!(sent >= Duration::from_secs(99), "{sent:?}");
    assert_eq!(client.get("k").await.body, [7; 100_000]);
    let received = start.elapsed() - sent;
    assert!(received >= Duration::from_secs(99), "{received:?}");
}

#[tokio::test]
async fn a_paused_server_is_unreachable_and_comes_back_with_its_objects() {
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    let client = Client::new(emulator.address());
    client.append("k", 0, b"abc").await;
    let idle = TcpStream::connect(client.address).await.unwrap();
    emulator.pause().await;
    idle.readable().await.unwrap();
    // Closed by the server, softly or not.
    assert!(matches!(idle.try_read(&mut [0; 1]), Ok(0) | Err(_)));
    let refused = client.try_send(append("k", 3, b"d")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    emulator.resume().await.unwrap();
    assert_eq!(client.append("k", 3, b"d").await.status, 200);
}

#[tokio::test]
async fn a_dropped_server_stops() {
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    let client = Client::new(emulator.address());
    drop(emulator);
    while TcpStream::connect(client.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shutdown_ends_idle_connections() {
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    let idle = TcpStream::connect(emulator.address()).await.unwrap();
    emulator.shutdown().await;
    idle.readable().await.unwrap();
    assert!(matches!(idle.try_read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bucket = Emulator::builder().bucket("No").start().await.unwrap_err();
    assert!(bucket.to_string().contains("bucket name"), "{bucket}");
    let taken = Emulator::builder().start().await.unwrap();
    let again = Emulator::builder().listen(taken.address()).start().await;
    assert!(again.unwrap_err().to_string().contains("listen on"));
}
