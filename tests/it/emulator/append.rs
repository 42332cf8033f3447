//! AppendObject and SealAppendObject.

use oss_append::crc64::checksum;
use oss_append::emulator::Operation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{BUCKET, Client, Request, append, md5, read_answer, start};

#[tokio::test]
async fn appends_continue_one_another() {
    let (emulator, client) = start().await;
    let first = client.append("k", 0, b"hello ").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("x-oss-next-append-position"), Some("6"));
    let second = client.append("k", 6, b"world").await;
    assert_eq!(second.header("x-oss-next-append-position"), Some("11"));
    let crc = checksum(b"hello world").to_string();
    assert_eq!(second.header("x-oss-hash-crc64ecma"), Some(&*crc));
    assert_ne!(first.header("etag"), second.header("etag"));
    assert_eq!(second.header("x-oss-request-id").unwrap().len(), 24);
    assert_eq!(second.header("server"), Some("AliyunOSS"));
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "hello world");
    assert_eq!(client.get("k").await.body, b"hello world");
}

#[tokio::test]
async fn a_wrong_position_is_refused_and_names_the_length() {
    let (emulator, client) = start().await;
    client.append("k", 0, b"hello").await;
    for position in [0, 4, 6] {
        let answer = client.append("k", position, b"x").await;
        assert_eq!(
            answer.summary(),
            "409 PositionNotEqualToLength 0026-00000016"
        );
        assert_eq!(answer.header("x-oss-next-append-position"), Some("5"));
        assert_eq!(answer.header("x-oss-hash-crc64ecma"), None);
    }
    let missing = client.append("missing", 1, b"x").await;
    assert_eq!(missing.header("x-oss-next-append-position"), Some("0"));
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "hello");
    assert!(emulator.object(BUCKET, "missing").is_none());
}

#[tokio::test]
async fn of_appends_at_one_position_exactly_one_wins() {
    let (emulator, client) = start().await;
    let racers: Vec<_> = (0..8u8)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.append("k", 0, &[n; 100_000]).await.status })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        match racer.await.unwrap() {
            200 => won += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(won, 1);
    let bytes = emulator.object(BUCKET, "k").unwrap().bytes;
    assert_eq!(bytes.len(), 100_000);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
}

#[tokio::test]
async fn the_type_counts_before_the_position() {
    let (emulator, client) = start().await;
    emulator.put(BUCKET, "k", "abc").unwrap();
    for position in [0, 3] {
        let answer = client.append("k", position, b"x").await;
        assert_eq!(answer.summary(), "409 ObjectNotAppendable 0026-00000017");
    }
}

#[tokio::test]
async fn the_position_must_be_a_number_from_0() {
    let (_emulator, client) = start().await;
    let append = || Request::new("POST", "k").query("append", "").body("x");
    let missing = client.send(append()).await;
    assert_eq!(missing.summary(), "400 MissingArgument 0016-00000501");
    for position in ["-1", "+1", "x", "", "1.0", "18446744073709551616"] {
        let answer = client.send(append().query("position", position)).await;
        assert_eq!(answer.summary(), "400 InvalidArgument 0016-00000502");
    }
    let twice = append().query("position", "0").query("position", "0");
    assert_eq!(client.send(twice).await.summary(), "400 InvalidArgument");
}

#[tokio::test]
async fn a_sealed_object_takes_no_appends() {
    let (emulator, client) = start().await;
    client.append("k", 0, b"hello").await;
    let seal = |position: &str| {
        let request = Request::new("POST", "k").query("seal", "").body("");
        client.send(request.query("position", position))
    };
    assert_eq!(
        seal("4").await.summary(),
        "409 PositionNotEqualToLength 0026-00000016"
    );
    let sealed = seal("5").await;
    assert_eq!(sealed.status, 200);
    emulator.set_clock_offset(60);
    let again = seal("5").await;
    let time = sealed.header("x-oss-sealed-time").unwrap();
    assert_eq!(again.header("x-oss-sealed-time"), Some(time));
    assert_eq!(
        client.head("k").await.header("x-oss-sealed-time"),
        Some(time)
    );
    let refused = client.append("k", 5, b"x").await;
    assert_eq!(refused.summary(), "400 AppendSealedObjectNotAllowed");
    assert!(emulator.object(BUCKET, "k").unwrap().info.sealed);
}

#[tokio::test]
async fn an_object_under_retention_can_only_be_read() {
    const IMMUTABLE: &str = "409 FileImmutable 0026-00000005";
    let (emulator, client) = start().await;
    client.append("k", 0, b"hello").await;
    emulator.retain(BUCKET, "k").unwrap();

    for position in [5, 0, 9] {
        let answer = client.append("k", position, b"x").await;
        assert_eq!(answer.summary(), IMMUTABLE);
        let position = answer.header("x-oss-next-append-position");
        assert_eq!(position, None);
    }
    for request in [
        Request::new("PUT", "k").body("x"),
        Request::new("DELETE", "k"),
        Request::new("POST", "k")
            .query("seal", "")
            .query("position", "5")
            .body(""),
    ] {
        assert_eq!(client.send(request).await.summary(), IMMUTABLE);
    }
    let delete = "<Delete><Object><Key>k</Key></Object></Delete>";
    let request = Request::new("POST", "").query("delete", "").body(delete);
    let answer = client.send(request).await;
    assert_eq!((answer.status, answer.element("Deleted")), (200, None));
    for refused in [
        emulator.append_foreign(BUCKET, "k", "x").map(drop),
        emulator.put(BUCKET, "k", "x"),
        emulator.seal(BUCKET, "k"),
        emulator.delete(BUCKET, "k"),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.service_error().unwrap().code, "FileImmutable");
    }

    assert_eq!(client.get("k").await.body, b"hello");
    assert!(emulator.retain("missing", "k").is_err());
    emulator.retain(BUCKET, "missing").unwrap();
    assert_eq!(client.append("missing", 0, b"x").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_not_what_its_md5_says_has_no_effect() {
    let (emulator, client) = start().await;
    let send = |digest: &str| client.send(append("k", 0, b"abc").header("content-md5", digest));
    assert_eq!(
        send(&md5(b"abd")).await.summary(),
        "400 InvalidDigest 0017-00000503"
    );
    assert_eq!(
        send("abc").await.summary(),
        "400 InvalidDigest 0017-00000502"
    );
    assert!(emulator.object(BUCKET, "k").is_none());
    assert_eq!(send(&md5(b"abc")).await.status, 200);
}

#[tokio::test]
async fn a_short_body_has_no_effect() {
    let (emulator, client) = start().await;
    let request = client.render(append("k", 0, b"0123456789"));
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream
        .write_all(&request[..request.len() - 5])
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    // The server has given up this request when it closes the connection.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(emulator.object(BUCKET, "k").is_none());
    assert_eq!(emulator.requests()[0].body_length, None);
}

#[tokio::test]
async fn a_body_needs_a_length_or_chunks() {
    let (emulator, client) = start().await;
    let bare = append("k", 0, b"").unframed();
    assert_eq!(
        client.send(bare).await.summary(),
        "411 MissingContentLength 0017-00000101"
    );
    let chunked = append("k", 0, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .unframed()
        .header("transfer-encoding", "chunked");
    assert_eq!(client.send(chunked).await.status, 200);
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "abcde");
}

#[tokio::test]
async fn a_client_may_wait_for_100_continue() {
    let (_emulator, client) = start().await;
    let request = append("k", 0, b"abc").header("expect", "100-continue");
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let head = client.render_head(request);
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 100);
    stream.write_all(b"abc").await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_refused_client_that_waits_for_100_continue_need_not_send() {
    let (_emulator, client) = start().await;
    let request = append("k", 0, b"abc")
        .bucket("missing")
        .header("expect", "100-continue");
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    let head = client.render_head(request);
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 404);
}

#[tokio::test]
async fn appending_nothing_creates_and_then_changes_nothing() {
    let (_emulator, client) = start().await;
    let created = client.append("k", 0, b"").await;
    assert_eq!(created.header("x-oss-next-append-position"), Some("0"));
    assert_eq!(created.header("x-oss-hash-crc64ecma"), Some("0"));
    let again = client.append("k", 0, b"").await;
    assert_eq!(again.header("etag"), created.header("etag"));
    assert_eq!(client.append("k", 0, b"abc").await.status, 200);
    assert_eq!(client.append("k", 3, b"").await.status, 200);
    assert_eq!(client.append("k", 0, b"").await.status, 409);
}

#[tokio::test]
async fn creation_headers_count_only_at_the_creation() {
    let (emulator, client) = start().await;
    let with = |position, value: &str| {
        append("k", position, b"a")
            .header("content-type", &format!("text/{value}"))
            .header("cache-control", value)
            .header("x-oss-meta-name", value)
            .header("x-oss-tagging", &format!("tag={value}"))
            .header(
                "x-oss-object-acl",
                if value == "one" { "private" } else { "default" },
            )
            .header(
                "x-oss-storage-class",
                if value == "one" { "IA" } else { "Standard" },
            )
            .header(
                "x-oss-server-side-encryption",
                if value == "one" { "AES256" } else { "KMS" },
            )
    };
    for (position, value) in [(0, "one"), (1, "two")] {
        let answer = client.send(with(position, value)).await;
        assert_eq!(
            answer.header("x-oss-server-side-encryption"),
            Some("AES256")
        );
    }
    let object = emulator.object(BUCKET, "k").unwrap();
    assert_eq!(object.metadata["name"], "one");
    assert_eq!(object.tags["tag"], "one");
    let head = client.head("k").await;
    for (name, value) in [
        ("content-type", "text/one"),
        ("cache-control", "one"),
        ("x-oss-meta-name", "one"),
        ("x-oss-tagging-count", "1"),
        ("x-oss-storage-class", "IA"),
        ("x-oss-object-type", "Appendable"),
        ("x-oss-next-append-position", "2"),
        ("content-length", "2"),
    ] {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_an_append_cannot_have_is_refused() {
    let (_emulator, client) = start().await;
    let refused = |request| async { client.send(request).await.summary() };
    let plain = || append("k", 0, b"a");
    for class in ["ColdArchive", "DeepColdArchive"] {
        let request = plain().header("x-oss-storage-class", class);
        assert_eq!(refused(request).await, "400 InvalidArgument 0016-00000503");
    }
    let version = plain().query("versionId", "1");
    assert_eq!(refused(version).await, "400 InvalidArgument 0016-00000504");
    let conditional = client.send(plain().header("if-match", "x")).await;
    assert_eq!(conditional.summary(), "400 NotImplemented 0017-00000245");
    assert_eq!(conditional.element("Header").unwrap(), "If-Match");
    let long = append(&"k".repeat(1024), 0, b"a");
    assert_eq!(refused(long).await, "400 InvalidObjectName 0016-00000002");
    let nameless = append("", 0, b"a");
    assert_eq!(
        refused(nameless).await,
        "400 InvalidObjectName 0016-00000001"
    );
    let rooted = append("/k", 0, b"a");
    assert_eq!(refused(rooted).await, "400 InvalidObjectName 0016-00000005");
    let bucket = plain().bucket("missing");
    assert_eq!(refused(bucket).await, "404 NoSuchBucket 0015-00000101");
}

#[tokio::test]
async fn requests_are_noted() {
    let (emulator, client) = start().await;
    client.append("k", 0, b"abc").await;
    client.append("k", 0, b"abc").await;
    client.head("k").await;
    let requests = emulator.requests();
    let refused = &requests[1];
    assert_eq!(refused.operation, Operation::AppendObject);
    assert_eq!(refused.key.as_deref(), Some("k"));
    assert_eq!((refused.position, refused.body_length), (Some(0), Some(3)));
    assert_eq!(refused.status, Some(409));
    assert_eq!(refused.code.as_deref(), Some("PositionNotEqualToLength"));
    assert_eq!(emulator.count(Operation::HeadObject), 1);
}

#[tokio::test]
async fn a_connection_is_kept() {
    let (_emulator, client) = start().await;
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    for position in 0..3 {
        let request = client.render(append("k", position, b"a"));
        stream.write_all(&request).await.unwrap();
        assert_eq!(read_answer(&mut stream, false).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_and_the_server_lives() {
    let (_emulator, client) = start().await;
    for request in [
        &b"POST /bucket/%zz?append&position=0 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"[..],
        b"POST /bucket/k?append&position=%f HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /bucket/%ff?append HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        b"POST /B/k?append HTTP/1.1\r\nhost: \xff\r\ncontent-length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: OSS4-HMAC-SHA256 \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: OSS4-HMAC-SHA256 Credential=////\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let answer = read_answer(&mut stream, false).await.unwrap();
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(request));
    }
    assert_eq!(
        Client::new(client.address)
            .append("k", 0, b"a")
            .await
            .status,
        200
    );
}
