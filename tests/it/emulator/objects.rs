//! HeadObject, GetObject, GetObjectMeta, PutObject, DeleteObject and the listings.

use crate::support::raw::{BUCKET, Client, Request, append, start};

#[tokio::test]
async fn a_failed_head_has_its_error_in_a_header() {
    let (_emulator, client) = start().await;
    let missing = client.head("k").await;
    assert_eq!(missing.summary(), "404 NoSuchKey 0026-00000001");
    assert_eq!(missing.element("Key").unwrap(), "k");
    assert_eq!(
        missing.element("HostId").unwrap(),
        client.address.to_string()
    );
    assert_eq!(
        missing.element("RequestId").as_deref(),
        missing.header("x-oss-request-id")
    );
    let bucket = Request::new("HEAD", "k").bucket("missing");
    let refused = client.send(bucket).await;
    assert_eq!(refused.summary(), "404 NoSuchBucket 0015-00000101");
    assert_eq!(refused.element("BucketName").unwrap(), "missing");
    assert_eq!(
        refused.element("RecommendDoc").unwrap(),
        "https://api.aliyun.com/troubleshoot?q=0015-00000101"
    );
}

#[tokio::test]
async fn ranges_are_read() {
    let (_emulator, client) = start().await;
    client.append("k", 0, b"01234").await;
    client.append("k", 5, b"56789").await;
    let get = async |range: &str, standard: bool| {
        let mut request = Request::new("GET", "k").header("range", range);
        if standard {
            request = request.header("x-oss-range-behavior", "standard");
        }
        client.send(request).await
    };
    let middle = get("bytes=3-6", true).await;
    assert_eq!((middle.status, &*middle.body), (206, &b"3456"[..]));
    assert_eq!(middle.header("content-range"), Some("bytes 3-6/10"));
    let crc = oss_append::crc64::checksum(b"0123456789").to_string();
    assert_eq!(middle.header("x-oss-hash-crc64ecma"), Some(&*crc));
    assert_eq!(get("bytes=-2", true).await.body, b"89");
    assert_eq!(get("bytes=8-20", true).await.body, b"89");
    assert_eq!(get("bytes=10-", true).await.summary(), "416 InvalidRange");
    for range in ["bytes=8-20", "bytes=10-", "nonsense"] {
        let whole = get(range, false).await;
        assert_eq!((whole.status, whole.body.len()), (200, 10), "{range}");
        assert_eq!(whole.header("content-range"), None);
    }
}

#[tokio::test]
async fn conditions_are_checked() {
    let (_emulator, client) = start().await;
    client.append("k", 0, b"abc").await;
    let head = client.head("k").await;
    let (etag, date) = (
        head.header("etag").unwrap(),
        head.header("last-modified").unwrap(),
    );
    let past = "Sat, 16 Dec 2023 16:20:57 GMT";
    for (name, value, status) in [
        ("if-match", etag, 200),
        ("if-match", "\"x\"", 412),
        ("if-none-match", "\"x\"", 200),
        ("if-none-match", etag, 304),
        ("if-modified-since", past, 200),
        ("if-modified-since", date, 304),
        ("if-unmodified-since", date, 200),
        ("if-unmodified-since", past, 412),
    ] {
        for method in ["GET", "HEAD"] {
            let request = Request::new(method, "k").header(name, value);
            let answer = client.send(request).await;
            assert_eq!(answer.status, status, "{method} {name}: {value}");
        }
    }
}

#[tokio::test]
async fn meta_says_little() {
    let (_emulator, client) = start().await;
    client.append("k", 0, b"abc").await;
    for method in ["GET", "HEAD"] {
        let request = Request::new(method, "k").query("objectMeta", "");
        let meta = client.send(request).await;
        assert_eq!(meta.status, 200);
        assert!(meta.header("etag").is_some());
        assert_eq!(meta.header("x-oss-object-type"), None);
        assert_eq!(meta.header("x-oss-next-append-position"), None);
    }
}

#[tokio::test]
async fn a_put_replaces_an_appendable_object() {
    let (emulator, client) = start().await;
    client.append("k", 0, b"old").await;
    let put = client.send(Request::new("PUT", "k").body("new")).await;
    assert_eq!(
        put.header("etag"),
        Some("\"22AF645D1859CB5CA6DA0C484F1F37EA\"")
    );
    assert_eq!(put.header("content-md5"), Some("Iq9kXRhZy1ym2gxITx836g=="));
    let head = client.head("k").await;
    assert_eq!(head.header("x-oss-object-type"), Some("Normal"));
    assert_eq!(head.header("x-oss-next-append-position"), None);
    assert_eq!(emulator.object(BUCKET, "k").unwrap().bytes, "new");
    let kept = Request::new("PUT", "k")
        .body("x")
        .header("x-oss-forbid-overwrite", "true");
    assert_eq!(
        client.send(kept).await.summary(),
        "409 FileAlreadyExists 0026-00000002"
    );
}

#[tokio::test]
async fn deleting_succeeds_whether_or_not_there_is_an_object() {
    let (emulator, client) = start().await;
    client.append("k", 0, b"x").await;
    for _ in 0..2 {
        assert_eq!(client.send(Request::new("DELETE", "k")).await.status, 204);
        assert!(emulator.object(BUCKET, "k").is_none());
    }
    assert_eq!(client.append("k", 0, b"y").await.status, 200);
}

#[tokio::test]
async fn listings_name_keys_types_and_sizes() {
    let (emulator, client) = start().await;
    client.append("a/1", 0, b"abc").await;
    emulator.put(BUCKET, "b&c", "x").unwrap();
    let first = || {
        let request = Request::new("GET", "").query("max-keys", "1");
        request.query("encoding-type", "url")
    };
    let page = client.send(first().query("list-type", "2")).await;
    assert_eq!(page.element("Key").unwrap(), "a%2F1");
    assert_eq!(page.element("Type").unwrap(), "Appendable");
    assert_eq!(page.element("Size").unwrap(), "3");
    let token = page.element("NextContinuationToken").unwrap();
    let rest = Request::new("GET", "")
        .query("list-type", "2")
        .query("continuation-token", &token);
    let rest = client.send(rest).await;
    assert_eq!(rest.element("Key").unwrap(), "b&amp;c");
    assert_eq!(rest.element("IsTruncated").unwrap(), "false");
    let page = client.send(first()).await;
    assert_eq!(page.element("NextMarker").unwrap(), "a%2F1");
    let grouped = client
        .send(Request::new("GET", "").query("delimiter", "/"))
        .await;
    assert_eq!(
        grouped.element("CommonPrefixes").unwrap(),
        "<Prefix>a/</Prefix>"
    );
}

#[tokio::test]
async fn buckets_are_made_and_deleted() {
    let (_emulator, client) = start().await;
    let bucket = |method: &str| client.send(Request::new(method, "").bucket("fresh"));
    assert_eq!(bucket("PUT").await.status, 200);
    assert_eq!(bucket("PUT").await.status, 200);
    client.send(append("k", 0, b"x").bucket("fresh")).await;
    assert_eq!(
        bucket("DELETE").await.summary(),
        "409 BucketNotEmpty 0015-00000301"
    );
    client
        .send(Request::new("DELETE", "k").bucket("fresh"))
        .await;
    assert_eq!(bucket("DELETE").await.status, 204);
    assert_eq!(bucket("GET").await.element("Code").unwrap(), "NoSuchBucket");
    let all = client.send(Request::new("GET", "").bucket("")).await;
    assert_eq!(all.element("Name").unwrap(), BUCKET);
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let (_emulator, client) = start().await;
    client.append("k", 0, b"x").await;
    for resource in ["acl", "tagging", "uploads", "x-oss-process", "symlink"] {
        let request = Request::new("GET", "k").query(resource, "");
        assert_eq!(client.send(request).await.summary(), "501 NotImplemented");
    }
    for request in [Request::new("POST", "k"), Request::new("PATCH", "k")] {
        assert_eq!(client.send(request).await.summary(), "405 MethodNotAllowed");
    }
}

#[tokio::test]
async fn strange_keys_are_distinct() {
    let (emulator, client) = start().await;
    let keys = strange_keys();
    for key in &keys {
        assert_eq!(client.append(key, 0, key.as_bytes()).await.status, 200);
    }
    for key in &keys {
        assert_eq!(client.get(key).await.body, key.as_bytes());
        assert_eq!(emulator.length(BUCKET, key), Some(key.len() as u64));
    }
}

/// Keys that a file system would not like.
pub(crate) fn strange_keys() -> Vec<String> {
    let long = "k".repeat(1023);
    [
        "a",
        "a/b",
        "a/b/",
        "a//b",
        "a/../b",
        "../../etc/x",
        "a\\b",
        "A",
        "ü",
        "%2F",
        "a b+c",
    ]
    .into_iter()
    .map(Into::into)
    .chain([long])
    .collect()
}

/// Appends `keys`' own names to them.
pub(crate) async fn append_all(client: &Client, keys: &[String]) {
    for key in keys {
        assert_eq!(client.append(key, 0, key.as_bytes()).await.status, 200);
    }
}
