//! The client against scripted answers: what it sends, and what it makes of what it gets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use oss_append::client::PresignMethod;
use oss_append::credentials::{Credentials, CredentialsProvider, StaticCredentials};
use oss_append::{
    AppendRequest, AppendStore, Batch, Error, ErrorKind, ObjectAcl, ObjectKind, ObjectOptions,
    ObjectPath, OssClient, OssClientBuilder, Progress, RequestOptions, TransportCause,
};

#[path = "support/scripted_server.rs"]
mod scripted_server;

use scripted_server::{Play, SLOW_PIECE, ScriptedServer, answer, head};

const ID: &str = "LTAI-the-access-key-id";
const SECRET: &str = "the-access-key-secret";
const TOKEN: &str = "the-session-token";

const APPENDED: [(&str, &str); 6] = [
    ("x-oss-next-append-position", "11"),
    ("x-oss-hash-crc64ecma", "18020588380933092773"),
    ("ETag", "\"0F7230CAA4BE94CCBDC99C5500000000\""),
    ("x-oss-version-id", "null"),
    ("x-oss-request-id", "5C3D9778CC1C2AEDF85B"),
    ("x-oss-qos-delay-time", "250"),
];

fn builder(server: &ScriptedServer) -> OssClientBuilder {
    OssClient::builder()
        .region("cn-hangzhou")
        .endpoint(server.endpoint())
        .credentials(StaticCredentials::with_session_token(ID, SECRET, TOKEN))
}

async fn client(script: impl IntoIterator<Item = Play>) -> (OssClient, ScriptedServer) {
    let server = ScriptedServer::start(script).await;
    (builder(&server).build().unwrap(), server)
}

fn object() -> ObjectPath {
    ObjectPath::new("logs", "a/b.txt").unwrap()
}

fn ok() -> Play {
    Play::Send(answer("200 OK", &APPENDED, ""))
}

fn error_document(code: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>{code}</Code>\n  \
         <Message>It went wrong.</Message>\n  <RequestId>ID</RequestId>\n  {more}\n</Error>\n"
    )
}

#[track_caller]
fn cause(error: &Error) -> TransportCause {
    match error.kind() {
        ErrorKind::Transport { cause, .. } => *cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_append_that_may_create_the_object_carries_its_properties_and_a_later_one_does_not() {
    let (client, server) = client([ok(), ok()]).await;
    let options = ObjectOptions::new()
        .acl(ObjectAcl::Private)
        .cache_control("no-cache")
        .meta("origin", "sensor")
        .and_then(|options| options.tag("team", "a b"))
        .unwrap();
    for position in [0, 11] {
        client
            .append_object(&object(), "hello world")
            .position(position)
            .options(options.clone())
            .send()
            .await
            .unwrap();
    }
    let [first, later] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(first.line(), "POST /logs/a/b.txt?append&position=0");
    assert_eq!(later.line(), "POST /logs/a/b.txt?append&position=11");
    for (name, value) in [
        ("x-oss-object-acl", "private"),
        ("cache-control", "no-cache"),
        ("x-oss-meta-origin", "sensor"),
        ("x-oss-tagging", "team=a%20b"),
    ] {
        assert_eq!(first.header(name), Some(value));
        assert_eq!(later.header(name), None, "{name}");
    }
    for request in [&first, &later] {
        assert_eq!(request.body, b"hello world");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-length", "11"),
            ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-oss-security-token", TOKEN),
            (
                "user-agent",
                concat!("oss-append/", env!("CARGO_PKG_VERSION")),
            ),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        let authorization = request.header("authorization").unwrap();
        assert!(authorization.starts_with("OSS4-HMAC-SHA256 Credential=LTAI-the-access-key-id/"));
        assert!(authorization.contains("/cn-hangzhou/oss/aliyun_v4_request,Signature="));
    }
}

#[tokio::test]
async fn a_store_append_that_creates_nothing_carries_no_properties() {
    let (client, server) = client([ok()]).await;
    let mut request = AppendRequest::new(object(), 0, "hello world");
    request.options = RequestOptions::new()
        .traffic_limit(819_200)
        .unwrap()
        .requester_pays(true)
        .content_md5(true);
    client.append(request).await.unwrap();
    let request = server.request();
    for (name, value) in [
        ("x-oss-traffic-limit", "819200"),
        ("x-oss-request-payer", "requester"),
        ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
    assert!(
        !request
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("x-oss-meta"))
    );
    assert_eq!(request.header("x-oss-tagging"), None);
}

#[tokio::test]
async fn a_body_has_its_exact_length_and_reports_its_progress() {
    let (client, server) = client([ok(), ok()]).await;
    let chunks: Batch = (0..100).map(|n| Bytes::from(vec![n; 3000])).collect();
    let progress = Progress::new();
    let append = client.append_object(&object(), chunks.clone());
    append.progress(progress.clone()).send().await.unwrap();
    client.append_object(&object(), "").send().await.unwrap();

    let [large, empty] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(large.header("content-length"), Some("300000"));
    assert_eq!(large.body, chunks.chunks().concat());
    assert_eq!(progress.bytes(), 300_000);
    assert_eq!(empty.header("content-length"), Some("0"));
    for request in [large, empty] {
        assert_eq!(request.header("transfer-encoding"), None);
    }
}

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
async fn a_redirect_is_not_followed() {
    let elsewhere = ScriptedServer::start([ok()]).await;
    let location = format!("{}/elsewhere?secret=1", elsewhere.endpoint());
    let moved = || {
        Play::Send(answer(
            "307 Temporary Redirect",
            &[("Location", &location)],
            "",
        ))
    };
    let origin = ScriptedServer::start([moved(), moved()]).await;

    let client = builder(&origin).build().unwrap();
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!(said.status, 307);
    assert_eq!(
        said.endpoint,
        Some(format!("{}/elsewhere", elsewhere.endpoint()))
    );
    assert!(elsewhere.requests().is_empty());

    // A client of the caller's own that follows all the same is found out.
    let following = builder(&origin)
        .http_client(reqwest::Client::new())
        .build()
        .unwrap();
    let error = following.head_object(&object()).send().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BadAnswer { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn no_connection_is_told_from_a_broken_one() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (client, server) = client([
        Play::SendAndClose(Vec::new()),
        Play::SendAndClose(b"HTTP/1.1 2".to_vec()),
        Play::SendAndClose(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
    ])
    .await;
    for _ in 0..3 {
        let error = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        assert_eq!(cause(&error), TransportCause::Broken, "{error}");
    }
    assert_eq!(server.requests().len(), 3, "nothing is sent twice");

    let client = builder(&server).endpoint(nobody).build().unwrap();
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(cause(&error), TransportCause::Connect, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stands_still_is_given_up() {
    let (client, server) = client([Play::Stall]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(cause(&error), TransportCause::Timeout, "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_counts() {
    let body = error_document("PositionNotEqualToLength", "");
    let early = Play::SendEarly(answer("409 Conflict", &[], &body));
    let (client, _server) = client([early]).await;
    let large = Bytes::from(vec![1; 8 * SLOW_PIECE]);
    let error = client
        .append_object(&object(), large)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.service_error().unwrap().status, 409);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_is_not_cut_off() {
    let slow = Duration::from_secs(25);
    let play = Play::ReadSlowly(6, slow, answer("200 OK", &APPENDED, ""));
    let (client, server) = client([play]).await;
    let body = Bytes::from(vec![1; 8 * SLOW_PIECE]);
    client
        .append_object(&object(), body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(server.request().body.len(), body.len());
}

#[tokio::test(start_paused = true)]
async fn a_slow_download_is_not_cut_off_and_one_that_stands_still_is() {
    let headers = [("Content-Length", "6")];
    let drip = |bytes: &[u8]| {
        Play::Drip(
            head("200 OK", &headers),
            bytes.to_vec(),
            Duration::from_secs(25),
        )
    };
    let stalled = drip(b"sta");
    let (client, _server) = client([drip(b"slowly"), stalled, Play::Stall]).await;
    let got = client.get_object(&object()).send().await.unwrap();
    assert_eq!(got.bytes(6).await.unwrap(), "slowly");

    let got = client.get_object(&object()).send().await.unwrap();
    let error = got.bytes(6).await.unwrap_err();
    assert_eq!(cause(&error), TransportCause::Timeout);
    assert_eq!(error.object(), Some(&object()));
}

#[tokio::test]
async fn an_endless_error_document_is_read_to_a_limit() {
    let (client, _server) =
        client([Play::SendForever(head("500 Internal Server Error", &[]))]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    let said = error.service_error().unwrap();
    assert_eq!((said.status, &*said.code), (500, ""));
}

#[tokio::test(start_paused = true)]
async fn an_error_document_that_trickles_is_given_up() {
    let head = head("500 Internal Server Error", &[("Content-Length", "10000")]);
    let document = error_document("InternalError", "").into_bytes();
    let trickle = [document, vec![b' '; 5000]].concat();
    let play = Play::Drip(head, trickle, Duration::from_millis(100));
    let (client, _server) = client([play]).await;
    let error = client
        .append_object(&object(), "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "InternalError");
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
async fn keys_reach_the_wire_unchanged() {
    let keys = [
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("x/../y", "x%2F..%2Fy"),
        ("./+ é/", ".%2F%2B%20%C3%A9%2F"),
        ("a//b/", "a//b/"),
    ];
    let (client, server) = client(keys.map(|_| ok())).await;
    for (key, target) in keys {
        let object = ObjectPath::new("logs", key).unwrap();
        client.append_object(&object, "x").send().await.unwrap();
        let sent = server.requests().pop().unwrap();
        assert_eq!(sent.target, format!("/logs/{target}?append&position=0"));
    }
}

#[tokio::test]
async fn a_range_is_read_as_a_stream() {
    let partial = |range, body| {
        Play::Send(answer(
            "206 Partial Content",
            &[("Content-Range", range)],
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
        Play::Send(answer("200 OK", &[], "0123456789")),
        partial("bytes 3-5/10", "345"),
        Play::Send(answer("200 OK", &[], "0123456789")),
        Play::SendAndClose(
            [
                head("200 OK", &[("Content-Length", "10")]),
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

#[tokio::test]
async fn the_other_operations_have_their_own_requests() {
    let sealed = [("x-oss-sealed-time", "Sat, 16 Dec 2023 16:20:57 GMT")];
    let (client, server) = client([
        Play::Send(answer("200 OK", &sealed, "")),
        Play::Send(answer("200 OK", &[("x-oss-hash-crc64ecma", "7")], "")),
        Play::Send(head("204 No Content", &[("x-oss-delete-marker", "true")])),
        Play::Send(answer("200 OK", &[], "")),
    ])
    .await;
    let seal = client
        .seal_append_object(&object(), 7)
        .send()
        .await
        .unwrap();
    assert!(seal.sealed_time.is_some());
    let put = client.put_object(&object(), "x").forbid_overwrite(true);
    assert_eq!(put.send().await.unwrap().crc64, Some(7));
    assert!(
        client
            .delete_object(&object())
            .send()
            .await
            .unwrap()
            .delete_marker
    );
    client.create_bucket("logs").send().await.unwrap();

    let lines: Vec<String> = server.requests().iter().map(|r| r.line()).collect();
    assert_eq!(
        lines,
        [
            "POST /logs/a/b.txt?position=7&seal",
            "PUT /logs/a/b.txt",
            "DELETE /logs/a/b.txt",
            "PUT /logs/",
        ]
    );
    assert_eq!(
        server.requests()[1].header("x-oss-forbid-overwrite"),
        Some("true")
    );
    for (request, length) in server.requests().iter().zip(["0", "1", "", "0"]) {
        assert_eq!(request.header("content-length").unwrap_or_default(), length);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let (client, server) = client([]).await;
    let options = ObjectOptions::new().content_type("text/plain\r\nx-oss-object-acl: public-read");
    let error = client
        .append_object(&object(), "x")
        .options(options)
        .send()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("content-type"), "{error}");
    let error = client.create_bucket("No_Bucket").send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    let broken = StaticCredentials::new("id\n", "secret");
    let client = builder(&server).credentials(broken).build().unwrap();
    let error = client.head_object(&object()).send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Credentials { .. }));
    let empty = StaticCredentials::new("id", "");
    let client = builder(&server).credentials(empty).build().unwrap();
    let error = client.head_object(&object()).send().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Credentials { .. }));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_refused_signing_time_corrects_the_clock_once() {
    let skewed = || {
        let time = "<ServerTime>2031-05-04T03:02:01.000Z</ServerTime>";
        let body = error_document("RequestTimeTooSkewed", time);
        Play::Send(answer("403 Forbidden", &[], &body))
    };
    let (client, server) = client([skewed(), skewed(), ok()]).await;
    let corrected = async || {
        let error = client
            .append_object(&object(), "x")
            .send()
            .await
            .unwrap_err();
        error.service_error().unwrap().clock_corrected
    };
    assert!(corrected().await);
    assert!(
        !corrected().await,
        "the time was right: signing again would change nothing"
    );
    client.append_object(&object(), "x").send().await.unwrap();
    let date = server.requests()[2]
        .header("x-oss-date")
        .unwrap()
        .to_owned();
    assert!(date.starts_with("20310504T0302"), "{date}");
}

#[derive(Debug, Default)]
struct Rotating {
    serial: Mutex<u32>,
    refused: Mutex<Vec<String>>,
}

impl CredentialsProvider for Rotating {
    fn credentials(&self) -> BoxFuture<'_, oss_append::Result<Credentials>> {
        Box::pin(async {
            let mut serial = self.serial.lock().unwrap();
            *serial += 1;
            Ok(Credentials::new(format!("id-{serial}"), "secret"))
        })
    }

    fn invalidate(&self, refused: &Credentials) {
        self.refused
            .lock()
            .unwrap()
            .push(refused.access_key_id().to_owned());
    }
}

#[tokio::test]
async fn the_provider_is_asked_for_each_request_and_told_what_was_refused() {
    let expired = answer(
        "403 Forbidden",
        &[],
        &error_document("SecurityTokenExpired", ""),
    );
    let denied = answer("403 Forbidden", &[], &error_document("AccessDenied", ""));
    let server = ScriptedServer::start([ok(), Play::Send(expired), Play::Send(denied)]).await;
    let provider = Arc::new(Rotating::default());
    let client = builder(&server)
        .credentials(provider.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        let _ = client.append_object(&object(), "x").send().await;
    }
    assert_eq!(*provider.refused.lock().unwrap(), ["id-2"]);
    assert!(
        server.requests()[2]
            .header("authorization")
            .unwrap()
            .contains("Credential=id-3/")
    );
}

#[tokio::test]
async fn no_secret_shows_in_errors_and_debug() {
    let echo = format!(
        "<SignatureProvided>sig-{SECRET}</SignatureProvided>\
         <StringToSign>x-oss-security-token:{TOKEN}</StringToSign>"
    );
    let (client, server) = client([
        Play::Send(answer(
            "403 Forbidden",
            &[],
            &error_document("SignatureDoesNotMatch", &echo),
        )),
        Play::Send(answer(
            "502 Bad Gateway",
            &[],
            &format!("<html>{TOKEN}</html>"),
        )),
        Play::SendAndClose(Vec::new()),
    ])
    .await;
    let mut shown = format!("{client:?} {:?}", builder(&server));
    for _ in 0..3 {
        let request = client.append_object(&object(), "the-payload");
        shown.push_str(&format!("{request:?}"));
        let error = request.send().await.unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        chain.for_each(|cause| shown.push_str(&format!(" {cause} {cause:?}")));
    }
    let url = client
        .presign(PresignMethod::Get, &object(), Duration::from_secs(60))
        .await
        .unwrap();
    assert!(url.contains(TOKEN), "a presigned URL has to carry it");
    for hidden in [
        SECRET,
        TOKEN,
        "the-access-key-id",
        "Signature=",
        "the-payload",
    ] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}
