//! Several appends under way at a time over HTTP: on one connection, one behind the other.

use std::io::Result;

use oss_append::emulator::Emulator;
use oss_append::{AppendStore, Backoff, OssAppendWriter, OssAppendWriterBuilder, OssClient, crc64};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::emulated::{content, start};
use crate::support::proxy::{End, Fate, Proxy, replace};
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
    let proxied = emulator
        .client()
        .proxy("http://127.0.0.1:9")
        .build()
        .unwrap();
    let over_tls = OssClient::builder()
        .region("cn-hangzhou")
        .credentials(oss_append::credentials::StaticCredentials::new(
            "id", "secret",
        ))
        .build()
        .unwrap();
    for client in [&given, &proxied, &over_tls] {
        assert!(client.lane(&object()).is_none());
    }
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
        .addressing(oss_append::client::Addressing::Path)
        .without_proxy()
        .resolve("OSS.test", ["127.0.0.1:1".parse().unwrap()]);
    let mut writer = writer(client.build().unwrap()).open().await.unwrap();
    writer.write_all(&bytes(100)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == bytes(100));
}
