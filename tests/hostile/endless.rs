//! An answer without end costs neither memory nor the client's life.

use std::time::Duration;

use futures::StreamExt as _;
use oss_append::{AppendStore as _, ErrorKind, OssClient, TransportCause};

use crate::memory::most_held;
use crate::source::{PLENTY, Source};
use crate::{builder, client, object};

const CHUNK: &[u8] = b"400\r\n";

/// A chunk of 1 KiB.
fn chunk() -> Vec<u8> {
    [CHUNK, &[b'x'; 1024], b"\r\n"].concat()
}

#[track_caller]
fn is_broken(error: &oss_append::Error) {
    match error.kind() {
        ErrorKind::Transport { cause, .. } => assert_eq!(*cause, TransportCause::Broken),
        other => panic!("{other:?}"),
    }
}

async fn source(head: &str, piece: &[u8]) -> (OssClient, Source) {
    let source = Source::start(head, piece).await;
    (client(source.endpoint()), source)
}

#[tokio::test]
async fn an_endless_error_body_is_left() {
    for head in [
        "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 500 Oh\r\nContent-Length: 18446744073709551000\r\n\r\n",
        "HTTP/1.1 500 Oh\r\n\r\n<Error><Code>A</Code><Message>",
    ] {
        let (client, source) = source(head, &chunk()).await;
        let error = client.append_object(&object(), "x").send().await;
        assert_eq!(error.unwrap_err().service_error().unwrap().status, 500);
        assert!(source.taken().await < PLENTY, "{head}");
    }
}

#[tokio::test]
async fn an_endless_success_body_is_left() {
    let head = "HTTP/1.1 200 OK\r\nx-oss-next-append-position: 1\r\nx-oss-hash-crc64ecma: 2\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let (client, source) = source(head, &chunk()).await;
    let answer = client.append_object(&object(), "x").send().await.unwrap();
    assert_eq!((answer.next_position, answer.crc64), (Some(1), Some(2)));
    assert!(source.taken().await < PLENTY);
}

#[tokio::test]
async fn an_endless_listing_is_left() {
    let entry = "<Contents><Key>a</Key><Size>1</Size></Contents>";
    for (head, piece) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            chunk(),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551000\r\n\r\n",
            chunk(),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>", entry.into()),
        (
            "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><Contents><Key>",
            chunk(),
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>",
            b"<a>".repeat(300),
        ),
    ] {
        let (client, source) = source(head, &piece).await;
        let error = client.list("bucket", "", None).await.unwrap_err();
        let bad = matches!(error.kind(), ErrorKind::BadAnswer { .. });
        assert!(bad && error.to_string().contains("8388608"), "{error}");
        assert!(source.taken().await < PLENTY, "{head}");
    }
}

#[tokio::test]
async fn a_head_with_an_endless_body_is_answered_without_it() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-oss-object-type: Appendable\r\n\r\n";
    let (client, source) = source(head, &chunk()).await;
    assert_eq!(
        client.head_object(&object()).send().await.unwrap().length,
        5
    );
    drop(client);
    assert!(source.taken().await < PLENTY);
}

#[tokio::test]
async fn endless_headers_break_the_connection() {
    let long_line = [b'x'; 1024];
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n", &b"x-oss-meta-a: b\r\n"[..]),
        ("HTTP/1.1 200 OK\r\nx-oss-err: ", &long_line),
        ("HTTP/1.1 200 ", &long_line),
        ("", &long_line),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            &long_line,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"trailer: b\r\n",
        ),
    ] {
        let (client, source) = source(head, piece).await;
        match client.append_object(&object(), "x").send().await {
            // The headers were there: they are all that counts.
            Ok(answer) => assert_eq!(answer.next_position, None),
            Err(error) => is_broken(&error),
        }
        assert!(source.taken().await < PLENTY, "{head}");
    }
}

#[tokio::test]
async fn a_read_stops_at_its_range() {
    for head in [
        "HTTP/1.1 206 OK\r\nx-oss-request-id: 1\r\nContent-Range: bytes 5-14/99\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 206 OK\r\nx-oss-request-id: 1\r\nContent-Range: bytes 5-14/99\r\n\r\n",
        "HTTP/1.1 206 OK\r\nx-oss-request-id: 1\r\nContent-Range: bytes 5-14/99\r\nContent-Length: 9000000000\r\n\r\n",
    ] {
        let (client, source) = source(head, &chunk()).await;
        let mut stream = client.read_range(&object(), 5..15).await.unwrap();
        let mut read = 0;
        while let Some(bytes) = stream.next().await {
            read += bytes.unwrap().len();
        }
        assert_eq!(read, 10);
        drop(stream);
        assert!(source.taken().await < PLENTY, "{head}");
    }
}

#[tokio::test]
async fn a_read_of_another_or_an_impossible_range_is_not_begun() {
    for range in [
        "bytes 5-15/99",
        "bytes 4-14/99",
        "bytes 5-14/9",
        "bytes 5-14/*",
        "bytes 5-14/18446744073709551615",
        "bytes 14-5/99",
    ] {
        let head = format!("HTTP/1.1 206 OK\r\nContent-Range: {range}\r\n\r\n");
        let (client, source) = source(&head, &chunk()).await;
        let Err(error) = client.read_range(&object(), 5..15).await else {
            panic!("{range}");
        };
        assert!(
            matches!(error.kind(), ErrorKind::BadAnswer { .. }),
            "{range}"
        );
        assert!(source.taken().await < PLENTY, "{range}");
    }
}

/// Answers that announce the real one.
fn informational() -> [String; 3] {
    [
        "HTTP/1.1 100 Continue\r\n\r\n".into(),
        format!(
            "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
            "x".repeat(1024)
        ),
        format!("HTTP/1.1 199 So\r\n{}\r\n", "a: b\r\n".repeat(900)),
    ]
}

#[tokio::test]
async fn informational_answers_without_end_are_no_sign_of_life() {
    for piece in informational() {
        let source = Source::of(usize::MAX, "", piece.as_bytes()).await;
        let impatient = Duration::from_millis(300);
        let client = builder(source.endpoint()).attempt_timeout(impatient);
        let client = client.build().unwrap();
        let error = client.append_object(&object(), "x").send().await;
        match error.unwrap_err().kind() {
            ErrorKind::Transport { cause, .. } => assert_eq!(*cause, TransportCause::Timeout),
            other => panic!("{other:?}"),
        }
        // It is left at once, and not taken from for ever.
        source.taken().await;
    }
}

#[tokio::test]
async fn informational_answers_are_not_kept() {
    let [_, long, many] = informational();
    for piece in [long, many] {
        // At its end the source closes: there was no answer.
        let plenty = 8 << 20;
        let source = Source::of(plenty, "", piece.as_bytes()).await;
        let client = client(source.endpoint());
        let sent = most_held(async { client.append_object(&object(), "x").send().await });
        let (error, held) = sent.await;
        is_broken(&error.unwrap_err());
        assert!(source.taken().await >= plenty);
        assert!(held < 2 << 20, "{held} bytes were held");
    }
}
