//! The embedded server answers requests of any kind with an error, or closes; and goes on.

use oss_append::emulator::{Emulator, Fault, Operation};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::{Client, Request, append, md5, read_answer, start};
use crate::{cases, panics, runtime};

/// A server whose bucket anybody may write to, so that a request gets far without a signature.
async fn open_server() -> (Emulator, Client) {
    panics::watch();
    let (emulator, client) = start().await;
    let public = Request::new("PUT", "").header("x-oss-acl", "public-read-write");
    assert_eq!(client.send(public).await.status, 200);
    assert_eq!(client.append("object", 0, b"content").await.status, 200);
    (emulator, client)
}

/// Sends bytes, and takes whatever comes until the server closes.
async fn throw(client: &Client, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    // It may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
        "{answer:?}"
    );
    answer
}

async fn still_serves(client: &Client) {
    assert_eq!(client.get("object").await.body, b"content");
    assert_eq!(panics::count(), 0);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET",
        "POST",
        "PUT",
        "HEAD",
        "DELETE",
        "OPTIONS",
        "CONNECT",
        "\0",
        " ",
        "/",
        "/bucket/",
        "*",
        "http://",
        "bucket.x/",
        "object",
        "other",
        "%",
        "%00",
        "%zz",
        "%ff",
        "?",
        "&",
        "=",
        "append",
        "position=0",
        "position=18446744073709551615",
        "delete",
        "uploads",
        "list-type=2",
        "max-keys=0",
        "continuation-token=////",
        "delimiter=%C3",
        "encoding-type=url",
        "seal",
        "objectMeta",
        "x-oss-signature-version=OSS4-HMAC-SHA256",
        "x-oss-signature=a",
        "x-oss-credential=a/20231216/cn-hangzhou/oss/aliyun_v4_request",
        "x-oss-expires=-1",
        "x-oss-date=20231216T162057Z",
        "OSSAccessKeyId=a",
        "Expires=9223372036854775807",
        "Signature=a",
        "security-token=",
        " HTTP/1.1\r\n",
        "\r\n",
        "\r\n\r\n",
        "host: x\r\n",
        "host: bucket.a:99999\r\n",
        "host: [::1\r\n",
        "range: bytes=0-18446744073709551615\r\n",
        "range: bytes=-0\r\n",
        "if-modified-since: Sat, 01 Jan 0000 00:00:00 GMT\r\n",
        "authorization: OSS4-HMAC-SHA256 Credential=a/b/c/d/aliyun_v4_request\r\n",
        "authorization: OSS :\r\n",
        "date: 1e99\r\n",
        "x-oss-date: 00000000T000000Z\r\n",
        "content-md5: =\r\n",
        "x-oss-tagging: %ff=%\r\n",
        "x-oss-meta-: \r\n",
        "x-oss-meta-a: \r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: -1\r\n",
        "content-length: 5\r\n",
        "transfer-encoding: chunked\r\n",
        "expect: 100-continue\r\n",
        "x-oss-object-acl: no\r\n",
        "0\r\n\r\n",
        "zz\r\n",
        "ffffffffffffffffff\r\n",
        "<Delete><Key>",
        "&a;</Key>",
        "\u{202e}",
    ]);
    prop_oneof![
        8 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

#[test]
fn no_bytes_whatever_stop_the_server() {
    let runtime = runtime();
    let (_emulator, client) = runtime.block_on(open_server());
    let tails = (
        prop::sample::select(vec!["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH"]),
        prop::collection::vec(piece(), 0..6),
        prop::collection::vec(piece(), 0..6),
    );
    proptest::test_runner::TestRunner::new(cases(200))
        .run(&tails, |(method, one, two)| {
            let (one, two) = (one.concat(), two.concat());
            let shaped = [
                &b"GET /bucket/other?"[..],
                &one,
                b" HTTP/1.1\r\nhost: x\r\n",
                &two,
                b"\r\n\r\n",
            ];
            let chosen = [
                method.as_bytes(),
                b" /bucket/other?append&position=0&delete HTTP/1.1\r\nhost: x\r\n",
                &one,
                b"\r\n",
                &two,
            ];
            runtime.block_on(async {
                throw(&client, &[&*one, &two].concat()).await;
                throw(&client, &shaped.concat()).await;
                throw(&client, &chosen.concat()).await;
                still_serves(&client).await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn framing_that_lies_has_no_effect() {
    let (emulator, client) = open_server().await;
    let line = "POST /bucket/lie?append&position=0 HTTP/1.1\r\nhost: x\r\n";
    for rest in [
        "content-length: 5\r\n\r\nabc",
        "content-length: 18446744073709551615\r\n\r\nabc",
        "content-length: 18446744073709551616\r\n\r\nabc",
        "content-length: -1\r\n\r\nabc",
        "content-length: 3, 4\r\n\r\nabcd",
        "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
        "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "transfer-encoding: gzip\r\n\r\nabc",
    ] {
        let answer = throw(&client, format!("{line}{rest}").as_bytes()).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{rest}");
        assert!(emulator.object("bucket", "lie").is_none(), "{rest}");
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let (_emulator, client) = open_server().await;
    let (long, line) = (
        "x".repeat(1 << 20),
        "GET /bucket/object HTTP/1.1\r\nhost: x\r\n",
    );
    for request in [
        format!("{line}a: {long}\r\n\r\n"),
        format!("{line}{}\r\n", "a: b\r\n".repeat(5000)),
        format!("GET /bucket/{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("{long} / HTTP/1.1\r\n\r\n"),
        long.clone(),
    ] {
        let answer = throw(&client, request.as_bytes()).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    still_serves(&client).await;
}

#[tokio::test]
async fn slow_clients_hold_up_nobody() {
    let (_emulator, client) = open_server().await;
    let mut slow = Vec::new();
    for start in [
        "G",
        "POST /bucket/object?append&position=7 HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
        "POST /bucket/object?append&position=7 HTTP/1.1\r\nhost: x\r\n\
         transfer-encoding: chunked\r\n\r\n4\r\nha",
        "POST /bucket/object?delete HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    ] {
        for _ in 0..8 {
            let mut stream = TcpStream::connect(client.address).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            slow.push(stream);
        }
    }
    still_serves(&client).await;
    assert_eq!(client.append("object", 7, b"!").await.status, 200);
}

#[tokio::test]
async fn delete_documents_of_any_kind_delete_only_what_they_name() {
    let (_emulator, client) = open_server().await;
    let deep = "<a>".repeat(50_000);
    let many = "<Object><Key>other</Key></Object>".repeat(1001);
    let bomb = "<!DOCTYPE d [<!ENTITY a \"object\"><!ENTITY b \"&a;&a;\">]>\
        <Delete><Object><Key>&a;</Key></Object></Delete>";
    for document in [
        "",
        "\0",
        "<Delete>",
        "<Delete></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>obj",
        "{\"Key\": \"object\"}",
        bomb,
        &deep,
        &many,
    ] {
        let request = Request::new("POST", "")
            .query("delete", "")
            .header("content-md5", &md5(document.as_bytes()))
            .body(document);
        client.send(request).await;
        still_serves(&client).await;
    }
}

#[tokio::test]
async fn the_longest_durations_of_a_fault_do_not_overflow() {
    let (emulator, client) = open_server().await;
    for fault in [
        "append:error=503,retry-after=18446744073709551615s 1ns",
        "append:error=503,qos-delay=18446744073709551615s 999ms",
    ] {
        emulator.inject(fault.parse::<Fault>().unwrap());
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        let request = client.render(append("object", 7, b"x"));
        stream.write_all(&request).await.unwrap();
        assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 503);
    }
    assert_eq!(emulator.count(Operation::AppendObject), 3);
    still_serves(&client).await;
}
