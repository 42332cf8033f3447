//! What the client makes of well-formed answers.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use oss_append::{AppendStore, ErrorKind, ObjectKind, TransportCause};

use super::{cause, client, error_document, object, ok};
use crate::support::server::{Play, answer, head};

#[tokio::test]
async fn the_answer_to_an_append_is_read() {
    let (client, _server) = client([ok()]).await;
    let answer = client
        .append_object(&object(), "hello world")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.next_position, Some(11));
    assert_eq!(answer.crc64, Some(18_020_588_380_933_092_773));
    assert_eq!(
        answer.etag.as_deref(),
        Some("\"0F7230CAA4BE94CCBDC99C5500000000\"")
    );
    assert_eq!(answer.version_id.as_deref(), Some("null"));
    assert_eq!(answer.request_id.as_deref(), Some("5C3D9778CC1C2AEDF85B"));
    assert_eq!(answer.delay, Some(Duration::from_millis(250)));
}

#[tokio::test]
async fn a_success_that_says_nothing_is_returned_and_one_that_says_nonsense_is_an_error() {
    let (client, _server) = client([
        Play::Send(answer("200 OK", &[], "<html>welcome</html>")),
        Play::Send(answer(
            "200 OK",
            &[("x-oss-next-append-position", "-1")],
            "",
        )),
    ])
    .await;
    let empty = client.append_object(&object(), "x").send().await.unwrap();
    assert_eq!((empty.next_position, empty.crc64), (None, None));

    let error = client
        .append_object(&object(), "x")
        .position(5)
        .send()
        .await
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::BadAnswer { status: 200, .. }
    ));
    assert_eq!(error.operation(), Some("append"));
    assert_eq!(error.object(), Some(&object()));
    assert_eq!(error.position(), Some(5));
}

#[tokio::test]
async fn a_refusal_says_everything_that_oss_said() {
    let body = error_document("PositionNotEqualToLength", "<EC>0026-00000016</EC>");
    let headers = [("x-oss-next-append-position", "42"), ("Retry-After", "2")];
    let (client, _server) = client([Play::Send(answer("409 Conflict", &headers, &body))]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!(
        (said.status, &*said.code),
        (409, "PositionNotEqualToLength")
    );
    assert_eq!(said.message, "It went wrong.");
    assert_eq!(said.ec.as_deref(), Some("0026-00000016"));
    assert_eq!(said.request_id.as_deref(), Some("ID"));
    assert_eq!(said.next_append_position, Some(42));
    assert_eq!(said.retry_after, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_head_tells_what_the_object_is() {
    let headers = [
        ("Content-Length", "344606"),
        ("Content-Type", "text/plain"),
        ("x-oss-object-type", "Appendable"),
        ("x-oss-hash-crc64ecma", "5"),
        ("x-oss-next-append-position", "344606"),
        ("x-oss-sealed-time", "Sat, 16 Dec 2023 16:20:57 GMT"),
        ("Last-Modified", "Sat, 16 Dec 2023 16:20:50 GMT"),
        ("x-oss-storage-class", "Standard"),
        ("x-oss-meta-origin", "sensor"),
    ];
    let script = [(); 2].map(|()| Play::Send(head("200 OK", &headers)));
    let (client, server) = client(script).await;
    let meta = client.head_object(&object()).send().await.unwrap();
    assert_eq!(meta.length, 344_606);
    assert_eq!(meta.kind, ObjectKind::Appendable);
    assert_eq!(
        (meta.crc64, meta.next_append_position),
        (Some(5), Some(344_606))
    );
    assert!(meta.sealed);
    let sealed_later = meta
        .sealed_time
        .unwrap()
        .duration_since(meta.last_modified.unwrap());
    assert_eq!(sealed_later.unwrap(), Duration::from_secs(7));
    assert_eq!(meta.metadata["origin"], "sensor");

    let info = client.head(&object()).await.unwrap().unwrap();
    assert_eq!(
        (info.length, info.crc64, info.sealed),
        (344_606, Some(5), true)
    );
    assert_eq!(server.requests()[1].line(), "HEAD /logs/a/b.txt");
    assert_eq!(
        server.requests()[1].connection,
        0,
        "the connection is used again"
    );
}

#[tokio::test]
async fn a_success_of_something_between_says_nothing_about_the_object() {
    let portal = || {
        Play::Send(answer(
            "200 OK",
            &[("Content-Type", "text/html")],
            "welcome",
        ))
    };
    let page = Play::Send(head("200 OK", &[("Content-Length", "7")]));
    let (client, _server) = client([page, portal()]).await;
    let looked = client.head(&object()).await.map(drop);
    let read = client.read_range(&object(), 0..7).await.map(drop);
    for error in [looked.unwrap_err(), read.unwrap_err()] {
        assert!(
            matches!(error.kind(), ErrorKind::BadAnswer { .. }),
            "{error}"
        );
        assert_eq!(error.object(), Some(&object()));
    }
}

#[tokio::test]
async fn a_head_takes_as_much_metadata_as_an_object_may_have() {
    let names: Vec<String> = (0..900).map(|n| format!("x-oss-meta-{n}")).collect();
    let mut headers = vec![("Content-Length", "0")];
    headers.extend(names.iter().map(|name| (name.as_str(), "value")));
    let (client, _server) = client([Play::Send(head("200 OK", &headers))]).await;
    let meta = client.head_object(&object()).send().await.unwrap();
    assert_eq!(meta.metadata.len(), 900);
}

#[tokio::test]
async fn only_oss_itself_can_say_that_there_is_no_object() {
    let document = |code| BASE64_STANDARD.encode(error_document(code, ""));
    let (no_key, no_bucket) = (document("NoSuchKey"), document("NoSuchBucket"));
    for (headers, missing) in [
        (vec![("x-oss-err", &*no_key)], true),
        (vec![("x-oss-request-id", "ID")], true),
        (
            vec![("x-oss-request-id", "ID"), ("x-oss-ec", "0026-00000001")],
            true,
        ),
        (
            vec![("x-oss-request-id", "ID"), ("x-oss-ec", "0015-00000101")],
            false,
        ),
        (
            vec![("x-oss-err", &*no_bucket), ("x-oss-request-id", "ID")],
            false,
        ),
        (
            vec![("Server", "proxy"), ("Content-Type", "text/html")],
            false,
        ),
    ] {
        let (client, _server) = client([Play::Send(head("404 Not Found", &headers))]).await;
        match client.head(&object()).await {
            Ok(info) => assert!(missing && info.is_none(), "{headers:?}"),
            Err(error) => {
                assert!(!missing, "{headers:?}");
                assert_eq!(error.service_error().unwrap().status, 404);
            }
        }
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let (client, server) = client([
        ok(),
        Play::Send(answer(
            "404 Not Found",
            &[],
            &error_document("NoSuchKey", ""),
        )),
        Play::Send(answer("200 OK", &[], "a body that nobody wants")),
        Play::Send(answer("200 OK", &[], "wanted")),
        ok(),
    ])
    .await;
    client.append_object(&object(), "x").send().await.unwrap();
    client.get_object(&object()).send().await.unwrap_err();
    client.append_object(&object(), "x").send().await.unwrap();
    let got = client.get_object(&object()).send().await.unwrap();
    assert_eq!(got.bytes(100).await.unwrap(), "wanted");
    client.append_object(&object(), "x").send().await.unwrap();
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.connection == 0)
    );
}

#[tokio::test]
async fn a_range_is_read_as_a_stream() {
    const ID: (&str, &str) = ("x-oss-request-id", "5C3D9778CC1C2AEDF85B");
    let partial = |range, body| {
        Play::Send(answer(
            "206 Partial Content",
            &[ID, ("Content-Range", range)],
            body,
        ))
    };
    let past = answer(
        "416 Requested Range Not Satisfiable",
        &[],
        &error_document("InvalidRange", ""),
    );
    let (client, server) = client([
        partial("bytes 2-5/10", "2345"),
        partial("bytes 8-9/10", "89"),
        Play::Send(past),
        Play::Send(answer("200 OK", &[ID], "0123456789")),
        partial("bytes 3-5/10", "345"),
        Play::Send(answer("200 OK", &[ID], "0123456789")),
        Play::SendAndClose(
            [
                head("200 OK", &[ID, ("Content-Length", "10")]),
                b"0123".to_vec(),
            ]
            .concat(),
        ),
    ])
    .await;
    let object = object();
    let read = async |range| -> oss_append::Result<Vec<u8>> {
        let mut stream = client.read_range(&object, range).await?;
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    };
    assert_eq!(read(2..6).await.unwrap(), b"2345");
    assert_eq!(read(8..20).await.unwrap(), b"89", "the object ends early");
    assert_eq!(
        read(10..20).await.unwrap(),
        b"",
        "the range begins at its end"
    );
    assert_eq!(
        read(0..3).await.unwrap(),
        b"012",
        "a server that knows no ranges"
    );
    assert_eq!(read(5..5).await.unwrap(), b"", "nothing is asked");
    for _ in 0..2 {
        let error = read(2..6).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::BadAnswer { .. }),
            "{error}"
        );
    }
    let error = read(0..10).await.unwrap_err();
    assert_eq!(cause(&error), TransportCause::Broken, "{error}");

    let first = &server.requests()[0];
    assert_eq!(first.header("range"), Some("bytes=2-5"));
    assert_eq!(first.header("x-oss-range-behavior"), Some("standard"));
}

#[tokio::test]
async fn a_read_into_memory_is_bounded() {
    let whole = || {
        Play::Send(answer(
            "200 OK",
            &[("x-oss-hash-crc64ecma", "9")],
            "0123456789",
        ))
    };
    let (client, _server) = client([whole(), whole()]).await;
    let got = client.get_object(&object()).send().await.unwrap();
    assert_eq!((got.meta.length, got.meta.crc64), (10, Some(9)));
    assert_eq!((got.range.clone(), got.body.remaining()), (0..10, 10));
    assert_eq!(got.bytes(10).await.unwrap(), "0123456789");

    let got = client.get_object(&object()).send().await.unwrap();
    let error = got.bytes(9).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
}
