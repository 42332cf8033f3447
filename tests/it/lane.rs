//! Several appends under way at a time over HTTP: on one connection, one behind the other.

use std::io::Result;

use oss_append::TransportCause::{Connect, Tls};
use oss_append::client::Addressing;
use oss_append::emulator::Emulator;
use oss_append::{
    AppendRequest, AppendStore, Backoff, OssAppendWriter, OssAppendWriterBuilder, OssClient, crc64,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::connect::ConnectProxy;
use crate::support::emulated::{content, start};
use crate::support::proxy::{End, Fate, Proxy, replace};
use crate::support::tls::{Authority, TlsServer};
use crate::support::{MS, SEC, bytes, object};

/// Each append carries ten bytes.
fn writer(client: OssClient) -> OssAppendWriterBuilder<OssClient> {
    OssAppendWriter::builder(client, object())
        .batch_size(10)
        .max_append_size(10)
        .buffer_capacity(1000)
        .backoff(Backoff::new(MS, 10 * MS))
        .max_in_flight(4)
}

fn through(proxy: &Proxy, emulator: &Emulator) -> OssClient {
    let client = emulator.client().endpoint(proxy.url());
    client.attempt_timeout(2 * SEC).build().unwrap()
}

/// Reads until all of `count` requests have come: their heads, and bodies of ten bytes.
async fn read_appends(stream: &mut TcpStream, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let ends = bytes
            .windows(4)
            .enumerate()
            .filter(|(_, four)| four == b"\r\n\r\n");
        let last = ends.map(|(at, _)| at + 4).nth(count - 1);
        if last.is_some_and(|end| bytes.len() >= end + 10) {
            return Ok(bytes);
        }
        assert!(stream.read_buf(&mut bytes).await? > 0, "it ended early");
    }
}

#[tokio::test]
async fn four_appends_come_before_the_first_is_answered() {
    let data = bytes(45);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = OssClient::builder()
        .endpoint(url)
        .region("cn-test")
        .credentials(oss_append::credentials::StaticCredentials::new(
            "id", "secret",
        ));
    let client = client.pool_idle_timeout(50 * MS).build().unwrap();
    let told = data.clone();
    let server = tokio::spawn(async move {
        let (mut looked, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            looked.read_buf(&mut head).await.unwrap();
        }
        let crc = crc64::checksum(&told[..5]);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-oss-object-type: Appendable\r\n\
             x-oss-request-id: 1\r\nx-oss-next-append-position: 5\r\n\
             x-oss-hash-crc64ecma: {crc}\r\n\r\n"
        );
        looked.write_all(answer.as_bytes()).await.unwrap();
        let (mut lane, _) = listener.accept().await.unwrap();
        let requests = read_appends(&mut lane, 4).await.unwrap();
        for end in [15, 25, 35, 45] {
            let crc = crc64::checksum(&told[..end]);
            // Without a length, with one, and in chunks, behind an answer that is none.
            let answer = match end {
                15 => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
                       transfer-encoding: chunked\r\n"
                    .to_owned(),
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n".to_owned(),
            };
            let body = match end {
                15 => "3;x=y\r\nabc\r\n0\r\ntrailer: 1\r\n\r\n",
                _ => "ok",
            };
            let answer = format!(
                "{answer}x-oss-next-append-position: {end}\r\nx-oss-hash-crc64ecma: {crc}\r\n\r\n\
                 {body}"
            );
            lane.write_all(answer.as_bytes()).await.unwrap();
        }
        // Nobody needs it any more, although the client lives on.
        let ended = tokio::time::timeout(20 * SEC, lane.read(&mut [0])).await;
        assert_eq!(ended.expect("the connection is closed").unwrap(), 0);
        requests
    });
    let mut writer = writer(client.clone()).open().await.unwrap();
    writer.write_all(&data[5..]).await.unwrap();
    writer.shutdown().await.unwrap();
    let requests = server.await.unwrap();
    let text = String::from_utf8_lossy(&requests);
    for position in [5, 15, 25, 35] {
        assert!(text.contains(&format!("?append&position={position} HTTP/1.1\r\n")));
    }
    assert_eq!(text.matches("\r\ncontent-length: 10\r\n").count(), 4);
    assert_eq!(text.matches("\r\nhost: 127.0.0.1:").count(), 4);
}

#[tokio::test]
async fn one_connection_is_enough_however_often_the_writer_pauses() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = writer(through(&proxy, &emulator)).open().await.unwrap();
    let data = bytes(500);
    for piece in data.chunks(100) {
        writer.write_all(piece).await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
    // One for what is asked about the object.
    assert_eq!(proxy.connections(), 2);
}

/// As servers do at their limit of requests a connection.
#[tokio::test]
async fn behind_an_announced_close_it_goes_on_on_the_next_connection() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut count = 0;
    proxy.always(move |method| {
        count += usize::from(method == "POST");
        match method == "POST" && count.is_multiple_of(5) {
            true => Fate::changed(
                |answer| replace(answer, "\r\n\r\n", "\r\nconnection: close\r\n\r\n"),
                End::Close,
            ),
            false => Fate::Pass,
        }
    });
    let mut writer = writer(through(&proxy, &emulator)).open().await.unwrap();
    let data = bytes(1000);
    writer.write_all(&data).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
    assert!(proxy.connections() > 10);
}

#[tokio::test]
async fn what_is_refused_with_others_behind_it_is_told_as_it_is() {
    let emulator = start().await;
    let mut writer = writer(emulator.client().build().unwrap())
        .open()
        .await
        .unwrap();
    writer.write_all(b"first").await.unwrap();
    writer.sync().await.unwrap();
    let client = emulator.client().build().unwrap();
    client
        .seal_append_object(&object(), 5)
        .send()
        .await
        .unwrap();
    writer.write_all(&bytes(40)).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.kind(), &oss_append::ErrorKind::Sealed);
    assert_eq!(error.landed(), Some(oss_append::Landed::No));
    assert_eq!(content(&emulator), b"first");
    assert_eq!(writer.into_unsent().unwrap().chunks.concat(), bytes(40));
}

#[tokio::test]
async fn a_client_that_does_not_know_how_it_connects_has_no_lanes() {
    let emulator = start().await;
    assert!(emulator.client().build().unwrap().lane(&object()).is_some());
    let given = emulator
        .client()
        .http_client(reqwest::Client::new())
        .build()
        .unwrap();
    assert!(given.lane(&object()).is_none());
    // It works all the same.
    let mut writer = writer(given).open().await.unwrap();
    writer.write_all(&bytes(100)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == bytes(100));
}

#[tokio::test]
async fn a_server_that_is_gone_leaves_what_was_not_sent_out_of_doubt() {
    let emulator = start().await;
    let builder = writer(emulator.client().build().unwrap()).delivery_timeout(SEC);
    let mut writer = builder.open().await.unwrap();
    writer.write_all(&bytes(40)).await.unwrap();
    writer.sync().await.unwrap();
    emulator.pause().await;
    writer.write_all(&bytes(30)).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert!(
        matches!(error.kind(), oss_append::ErrorKind::RetriesExhausted { .. }),
        "{error}"
    );
    let unsent = writer.into_unsent().unwrap();
    assert_eq!((unsent.position, unsent.chunks.concat()), (40, bytes(30)));
}

#[tokio::test]
async fn a_lane_connects_to_where_the_other_requests_of_its_client_do() {
    let emulator = start().await;
    let port = emulator.address().port();
    // The port of the URL counts.
    let client = emulator
        .client()
        .endpoint(format!("http://oss.test:{port}"))
        .addressing(Addressing::Path)
        .without_proxy()
        .resolve("OSS.test", ["127.0.0.1:1".parse().unwrap()]);
    let mut writer = writer(client.build().unwrap()).open().await.unwrap();
    writer.write_all(&bytes(100)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == bytes(100));
}

/// A name that no resolver knows.
const NAME: &str = "oss.example.invalid";

/// Writes by appends of ten bytes, several at a time.
async fn write_all(client: OssClient, emulator: &Emulator) {
    assert!(client.lane(&object()).is_some());
    let mut writer = writer(client).open().await.unwrap();
    writer.write_all(&bytes(200)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(emulator) == bytes(200));
}

#[tokio::test]
async fn a_lane_over_tls_trusts_and_shows_what_the_client_does() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.asking(NAME)).await;
    let (certificate, key) = authority.client_certificate();
    let client = emulator
        .client()
        .endpoint(format!("https://{NAME}:{}", server.address.port()))
        .addressing(Addressing::Path)
        .without_proxy()
        .resolve(NAME, [server.address])
        .root_certificates(authority.pem())
        .platform_roots(false)
        .client_certificate(certificate, key);
    write_all(client.build().unwrap(), &emulator).await;
    assert_eq!(server.connections(), 2, "that of the client, and the lane");
}

#[tokio::test]
async fn a_lane_goes_through_the_tunnel_of_a_proxy() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, authority.identity(NAME)).await;
    // user:pass/word
    let expected = "Basic dXNlcjpwYXNzL3dvcmQ=";
    let proxy = ConnectProxy::start(server.address, Some(expected)).await;
    let client = emulator
        .client()
        .endpoint(format!("https://{NAME}:9443"))
        .addressing(Addressing::Path)
        .root_certificates(authority.pem())
        .platform_roots(false)
        .proxy(format!("http://user:pass%2Fword@{}", proxy.address));
    write_all(client.build().unwrap(), &emulator).await;
    let asked = format!("CONNECT {NAME}:9443 HTTP/1.1");
    assert_eq!(proxy.asked(), [asked.clone(), asked]);
}

#[tokio::test]
async fn a_lane_through_a_proxy_without_a_tunnel_names_the_server_in_each_request() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let address = proxy.url().replace("http://", "");
    let client = emulator
        .client()
        .endpoint(format!("http://{NAME}"))
        .addressing(Addressing::Path)
        .proxy(format!("http://user:pass@{address}"));
    write_all(client.build().unwrap(), &emulator).await;
    assert_eq!(proxy.connections(), 2);

    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = emulator
        .client()
        .endpoint(format!("http://{NAME}:81"))
        .addressing(Addressing::Path)
        .proxy(format!("http://user:pass@{}", server.local_addr().unwrap()));
    let mut lane = client.build().unwrap().lane(&object()).unwrap();
    let _answer = lane.append(AppendRequest::new(object(), 0, bytes(10)));
    let (mut stream, _) = server.accept().await.unwrap();
    let asked = read_appends(&mut stream, 1).await.unwrap();
    let asked = String::from_utf8_lossy(&asked);
    let begins = format!("POST http://{NAME}:81/bucket/object?append&position=0 HTTP/1.1\r\n");
    assert!(asked.starts_with(&begins), "{asked}");
    assert!(asked.contains(&format!("\r\nhost: {NAME}:81\r\n")));
    assert!(asked.contains("\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n"));
}

#[tokio::test]
async fn a_lane_tells_why_there_is_no_connection_and_no_secret() {
    let (emulator, authority) = (start().await, Authority::new());
    let server = TlsServer::start(&emulator, Authority::new().identity(NAME)).await;
    let proxy = ConnectProxy::start(server.address, Some("Basic bm90OnRoaXM=")).await;
    let client = |server: std::net::SocketAddr| {
        emulator
            .client()
            .endpoint(format!("https://{NAME}:{}", server.port()))
            .addressing(Addressing::Path)
            .resolve(NAME, [server])
            .root_certificates(authority.pem())
            .platform_roots(false)
    };
    let nobody = crate::support::nobody();
    let by_proxy = client(server.address).proxy(format!("http://u:hush@{}", proxy.address));
    for (client, cause, what) in [
        (client(server.address).without_proxy(), Tls, "certificate"),
        (client(nobody).without_proxy(), Connect, "refused"),
        (
            by_proxy,
            Connect,
            "the proxy refused a tunnel: it answered 407",
        ),
        (
            client(server.address).proxy(format!("http://u:hush@{nobody}")),
            Connect,
            "refused",
        ),
    ] {
        let mut lane = client.build().unwrap().lane(&object()).unwrap();
        let error = lane
            .append(AppendRequest::new(object(), 0, bytes(10)))
            .await
            .unwrap_err();
        let oss_append::ErrorKind::Transport { cause: found, .. } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(*found, cause, "{error}");
        let told = format!("{}{error:?}", crate::support::causes(&error));
        assert!(told.contains(what) && told.contains(NAME), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
}
