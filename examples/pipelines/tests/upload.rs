//! The upload handler: what it answers, what is in the object then, and who has to wait.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use oss_append::crc64;
use oss_append::emulator::{Action, Emulator, ErrorAnswer, Fault, Operation};
use oss_append_pipelines::upload::Uploads;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

const BUCKET: &str = "uploads";
const MIB: u64 = 1024 * 1024;
/// What an upload may hold in memory.
const MEMORY: u64 = MIB;

/// The service, and the OSS behind it.
struct Service {
    emulator: Emulator,
    address: std::net::SocketAddr,
}

impl Service {
    async fn start() -> Self {
        let emulator = Emulator::builder().bucket(BUCKET).start().await.unwrap();
        let uploads = Uploads {
            client: emulator.client().build().unwrap(),
            bucket: BUCKET.into(),
            memory: MEMORY,
            patience: Duration::from_millis(500),
        };
        // Small buffers of the system, so that they hide nothing.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, uploads.router()).into_future());
        Self { emulator, address }
    }

    /// Uploads all of it, and gives the status and the answer.
    async fn put(&self, key: &str, body: &Bytes) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.put(format!("http://{}/upload/{key}", self.address));
        let pieces: Vec<_> = body
            .chunks(10_000)
            .map(|piece| body.slice_ref(piece))
            .collect();
        let body = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let answer = request
            .body(reqwest::Body::wrap_stream(body))
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let told = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, told)
    }

    /// A client that has announced a body of this length, and has sent nothing of it.
    async fn begin(&self, key: &str, length: u64) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(64 * 1024).unwrap();
        let mut client = socket.connect(self.address).await.unwrap();
        let head =
            format!("PUT /upload/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client
    }

    async fn wait_for(&self, key: &str, content: &Bytes) {
        let there = |_: &[_]| self.content(key).as_ref() == Some(content);
        let waiting = self.emulator.wait_for(there);
        timeout(Duration::from_secs(30), waiting).await.unwrap();
    }

    fn content(&self, key: &str) -> Option<Bytes> {
        Some(self.emulator.object(BUCKET, key)?.bytes)
    }
}

fn content(length: u32) -> Bytes {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// The answer to an upload that is durable.
fn created(content: &Bytes) -> (u16, Value) {
    let crc64 = crc64::checksum(content).to_string();
    (201, json!({ "length": content.len(), "crc64": crc64 }))
}

#[tokio::test]
async fn an_upload_is_answered_with_its_length_and_crc_when_it_is_durable() {
    let service = Service::start().await;
    let content = content(3_000_000);
    assert_eq!(service.put("a/b%20c", &content).await, created(&content));
    assert_eq!(service.content("a/b c").unwrap(), content);
}

#[tokio::test]
async fn an_empty_upload_makes_an_empty_object() {
    let service = Service::start().await;
    let empty = Bytes::new();
    assert_eq!(service.put("empty", &empty).await, created(&empty));
    assert_eq!(service.content("empty").unwrap(), empty);
}

#[tokio::test]
async fn a_client_that_is_faster_than_oss_has_to_wait() {
    let service = Service::start().await;
    service.emulator.set_latency(Duration::from_millis(20));
    let length = 16 * MIB;
    let mut client = service.begin("key", length).await;
    let piece = [b'x'; 16 * 1024];
    let (mut sent, mut lead) = (0, 0);
    while sent < length {
        client.write_all(&piece).await.unwrap();
        sent += piece.len() as u64;
        let durable = service.emulator.length(BUCKET, "key").unwrap_or(0);
        lead = lead.max(sent - durable);
    }
    assert!(lead > MEMORY / 2, "it was never faster: {lead}");
    // The rest is in the buffers of the system and of hyper.
    assert!(lead < 2 * MEMORY, "{lead} bytes were taken and not durable");
}

#[tokio::test]
async fn what_a_client_sent_before_it_went_away_is_kept_and_the_next_put_goes_on_behind_it() {
    let service = Service::start().await;
    let content = content(2_000_000);
    let begun = content.slice(..700_000);
    let mut client = service.begin("key", content.len() as u64).await;
    client.write_all(&begun).await.unwrap();
    drop(client);
    service.wait_for("key", &begun).await;

    service.emulator.clear_requests();
    assert_eq!(service.put("key", &content).await, created(&content));
    assert_eq!(service.content("key").unwrap(), content);
    let appended = service
        .emulator
        .requests()
        .iter()
        .filter_map(|r| r.position)
        .min();
    assert_eq!(appended, Some(700_000));
}

#[tokio::test]
async fn an_upload_is_stored_even_if_its_client_does_not_wait_for_the_answer() {
    let service = Service::start().await;
    service.emulator.set_latency(Duration::from_millis(50));
    let content = content(2_000_000);
    let mut client = service.begin("key", content.len() as u64).await;
    client.write_all(&content).await.unwrap();
    drop(client);
    service.wait_for("key", &content).await;
}

#[tokio::test]
async fn an_upload_that_is_repeated_changes_nothing() {
    let service = Service::start().await;
    let content = content(100_000);
    service.put("key", &content).await;
    assert_eq!(service.put("key", &content).await, created(&content));
    assert_eq!(service.content("key").unwrap(), content);
}

#[tokio::test]
async fn other_content_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let old = content(100_000);
    service.put("key", &old).await;
    for other in [old.slice(1..), old.slice(..50_000), Bytes::new()] {
        let (status, told) = service.put("key", &other).await;
        assert_eq!(status, 409, "{told}");
        assert_eq!(service.content("key").unwrap(), old);
    }
}

#[tokio::test]
async fn an_object_that_is_not_appendable_is_refused_and_not_touched() {
    let service = Service::start().await;
    service.emulator.put(BUCKET, "key", "normal").unwrap();
    let (status, told) = service.put("key", &content(3_000_000)).await;
    assert_eq!(status, 409);
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("not appendable"), "{error}");
    assert_eq!(service.content("key").unwrap(), "normal");
}

#[tokio::test]
async fn a_client_that_sends_everything_first_gets_its_refusal_too() {
    let service = Service::start().await;
    service.emulator.put(BUCKET, "key", "normal").unwrap();
    let content = content(3_000_000);
    let mut client = service.begin("key", content.len() as u64).await;
    client.write_all(&content).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 409");
}

#[tokio::test]
async fn a_bad_key_is_refused_before_oss_is_asked() {
    let service = Service::start().await;
    for key in ["%2Fabsolute", "line%0Abreak", &"x".repeat(1024)] {
        let (status, told) = service.put(key, &content(10)).await;
        assert_eq!(status, 400, "{told}");
    }
    assert!(service.emulator.requests().is_empty());
}

#[tokio::test]
async fn what_oss_refuses_is_told_with_its_code_and_request_id() {
    let service = Service::start().await;
    let denied = Action::Error(ErrorAnswer::new(403));
    let second = Fault::new(Operation::AppendObject, denied)
        .skip(1)
        .forever();
    service.emulator.inject(second);
    let content = content(5_000_000);
    let (status, told) = service.put("key", &content).await;
    assert_eq!(status, 502);
    assert_eq!(told["oss_code"], "AccessDenied");
    assert!(!told["oss_request_id"].as_str().unwrap().is_empty());
    let kept = service.content("key").unwrap();
    assert_eq!(told["durable"], kept.len());
    assert_eq!(kept, content[..kept.len()]);
}

#[tokio::test]
async fn an_oss_that_cannot_be_reached_is_told_after_the_patience() {
    let service = Service::start().await;
    service.emulator.pause().await;
    let (status, told) = service.put("key", &content(5_000_000)).await;
    assert_eq!(status, 503, "{told}");
    assert_eq!(told["oss_code"], Value::Null);
}
