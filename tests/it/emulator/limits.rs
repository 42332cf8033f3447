//! Object size, latency, bandwidth, and being unreachable.

use std::io::ErrorKind;
use std::time::Duration;

use oss_append::emulator::{Emulator, EmulatorBuilder};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::raw::{BUCKET, Client, Request, Signing, append, start};

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
    assert_eq!(
        client.send(put).await.summary(),
        "400 InvalidArgument 0017-00000102"
    );
    assert_eq!(emulator.length(BUCKET, "k"), Some(10));
}

#[tokio::test]
async fn public_acls_are_refused_where_public_access_is_blocked() {
    let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
    let client = Client::new(emulator.address());
    for method in ["POST", "PUT"] {
        let request = |acl: &str| {
            let request = match method {
                "POST" => Request::new("POST", "k")
                    .query("append", "")
                    .query("position", "0"),
                _ => Request::new("PUT", "k"),
            };
            request.header("x-oss-object-acl", acl).body("x")
        };
        for acl in ["public-read", "public-read-write"] {
            let refused = client.send(request(acl)).await;
            assert_eq!(refused.summary(), "403 AccessDenied 0016-00000901");
            let message = refused.element("Message").unwrap();
            assert_eq!(message, "Put public object acl is not allowed");
        }
        assert_eq!(client.send(request("private")).await.status, 200);
        emulator.delete(BUCKET, "k").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn latency_passes_in_tokios_time() {
    let hour = Duration::from_secs(3600);
    let builder = Emulator::builder().bucket(BUCKET).latency(hour);
    let emulator = builder.on_current_runtime().start().await.unwrap();
    let client = Client::new(emulator.address());
    let start = Instant::now();
    assert_eq!(client.append("k", 0, b"x").await.status, 200);
    assert!(start.elapsed() >= hour);
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_limited_in_both_directions() {
    let builder = Emulator::builder().bucket(BUCKET).bandwidth(1000);
    let emulator = builder.on_current_runtime().start().await.unwrap();
    let client = Client::new(emulator.address());
    let start = Instant::now();
    assert_eq!(client.append("k", 0, &[7; 10_000]).await.status, 200);
    let sent = start.elapsed();
    assert!(sent >= Duration::from_secs(9), "{sent:?}");
    assert_eq!(client.get("k").await.body, [7; 10_000]);
    let received = start.elapsed() - sent;
    assert!(received >= Duration::from_secs(9), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn the_bandwidth_is_used_to_the_full() {
    let builder = Emulator::builder().bucket(BUCKET).bandwidth(5_000_000);
    let emulator = builder.on_current_runtime().start().await.unwrap();
    let client = Client::new(emulator.address());
    let start = Instant::now();
    let put = Request::new("PUT", "k").body(vec![7; 10_000_000]);
    assert_eq!(client.send(put).await.status, 200);
    let sent = start.elapsed();
    assert_eq!(client.get("k").await.body.len(), 10_000_000);
    for took in [sent, start.elapsed() - sent] {
        let off = took.abs_diff(Duration::from_secs(2));
        assert!(off <= Duration::from_millis(110), "{took:?}");
    }
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
async fn every_option_value_works() {
    let start = async |set: &dyn Fn(EmulatorBuilder) -> EmulatorBuilder| {
        let emulator = set(Emulator::builder().bucket(BUCKET))
            .start()
            .await
            .unwrap();
        let client = Client::new(emulator.address());
        (emulator, client)
    };
    for rate in [0, 1, u64::MAX - 1, u64::MAX] {
        tokio::time::pause();
        let (_emulator, client) =
            start(&|builder| builder.bandwidth(rate).on_current_runtime()).await;
        assert_eq!(client.append("k", 0, b"hello").await.status, 200, "{rate}");
        tokio::time::resume();
    }
    for (size, status) in [(0, 400), (5, 200), (u64::MAX, 200)] {
        let (_emulator, client) = start(&|builder| builder.max_object_size(size)).await;
        assert_eq!(client.append("k", 0, b"hello").await.status, status);
    }
    for latency in [Duration::from_secs(u64::MAX), Duration::MAX] {
        let (emulator, client) = start(&|builder| builder.latency(latency)).await;
        let answer = client.append("k", 0, b"hello");
        let waited = tokio::time::timeout(Duration::from_millis(50), answer).await;
        assert!(waited.is_err(), "it is answered after {latency:?}");
        emulator.set_latency(Duration::ZERO);
        assert_eq!(client.get("k").await.body, b"hello");
    }
}

#[tokio::test]
async fn no_time_of_the_server_whatever_breaks_it() {
    let year = 365 * 24 * 3600;
    let offsets = [1, 20, 4000, 7970, 8000, 100_000].map(|years| years * year);
    let signs = [1, -1];
    let offsets = offsets
        .iter()
        .flat_map(|offset| signs.map(|sign| sign * offset));
    for offset in offsets.chain([i64::MIN, -1, 1, i64::MAX]) {
        let (emulator, client) = start().await;
        emulator.set_clock_offset(offset);
        emulator.append_foreign(BUCKET, "k", "hello").unwrap();
        emulator.seal(BUCKET, "k").unwrap();
        for signing in [Signing::V4, Signing::V4Query, Signing::V1, Signing::V1Query] {
            let client = client.signing(signing);
            for request in [
                append("k", 5, b"x"),
                Request::new("GET", ""),
                Request::new("GET", "k")
                    .header("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ] {
                let answer = client.try_send(request).await;
                assert!(answer.is_ok(), "{offset}");
            }
        }
        emulator.set_clock_offset(0);
        assert_eq!(client.get("k").await.body, b"hello", "{offset}");
        assert_eq!(client.send(Request::new("GET", "")).await.status, 200);
    }
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bucket = Emulator::builder().bucket("No").start().await.unwrap_err();
    assert!(bucket.to_string().contains("bucket name"), "{bucket}");
    let taken = Emulator::builder().start().await.unwrap();
    let again = Emulator::builder().listen(taken.address()).start().await;
    assert!(again.unwrap_err().to_string().contains("listen on"));
}
