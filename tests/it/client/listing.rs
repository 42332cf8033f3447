//! What a listing asks, what is made of its answers, and pages over an embedded server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oss_append::client::ListedObject;
use oss_append::emulator::Emulator;
use oss_append::{AppendStore, ErrorKind, KeyPage, ObjectKind, OssClient, Result, TransportCause};

use super::{cause, client, error_document};
use crate::support::server::{Play, answer, head};

const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<ListBucketResult xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">
  <Name>logs</Name>
  <Prefix>a%2F</Prefix>
  <MaxKeys>1000</MaxKeys>
  <Delimiter>%2F</Delimiter>
  <EncodingType>url</EncodingType>
  <StartAfter>a%2F0</StartAfter>
  <KeyCount>3</KeyCount>
  <IsTruncated>true</IsTruncated>
  <NextContinuationToken>CgJiYw--</NextContinuationToken>
  <Contents>
    <Key>a%2Fb%20c.log</Key>
    <LastModified>2023-12-16T16:20:50.000Z</LastModified>
    <SealedTime>2023-12-16T16:20:57.000Z</SealedTime>
    <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
    <Type>Appendable</Type>
    <Size>344606</Size>
    <StorageClass>Standard</StorageClass>
    <Owner><ID>0022012</ID><DisplayName>user-example</DisplayName></Owner>
  </Contents>
  <Contents><Key>a%2Fc</Key><Type>Normal</Type><Size>0</Size></Contents>
  <CommonPrefixes><Prefix>a%2Fd%2F</Prefix></CommonPrefixes>
</ListBucketResult>
";

fn page(keys: &[&str], next: Option<&str>) -> Play {
    let entries: Vec<String> = keys
        .iter()
        .map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>"))
        .collect();
    let next = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    let body = format!(
        "<ListBucketResult><IsTruncated>{}</IsTruncated>{}{}</ListBucketResult>",
        next.is_some(),
        next.unwrap_or_default(),
        entries.concat()
    );
    Play::Send(answer("200 OK", &[("x-oss-request-id", "ID")], &body))
}

#[tokio::test]
async fn a_listing_asks_for_what_was_set_and_nothing_else() {
    let (client, server) = client([page(&[], None), page(&[], None)]).await;
    client.list_objects("logs").send().await.unwrap();
    let request = client.list_objects("logs").prefix("ü/a b%");
    let request = request.start_after("ü/a b%1").delimiter("/").max_keys(7);
    let request = request.continuation_token("Cg+J/iYw==");
    request.send().await.unwrap();
    let lines: Vec<String> = server.requests().iter().map(|r| r.line()).collect();
    assert_eq!(
        lines,
        [
            "GET /logs/?encoding-type=url&list-type=2",
            "GET /logs/?continuation-token=Cg%2BJ%2FiYw%3D%3D&delimiter=%2F&encoding-type=url\
             &list-type=2&max-keys=7&prefix=%C3%BC%2Fa%20b%25&start-after=%C3%BC%2Fa%20b%251",
        ]
    );
}

#[tokio::test]
async fn a_listing_that_cannot_be_is_refused_before_it_is_sent() {
    let (client, server) = client([]).await;
    let list = || client.list_objects("logs");
    for request in [
        client.list_objects("No_Bucket"),
        list().max_keys(0),
        list().max_keys(1001),
        list().prefix("k".repeat(1024)),
        list().start_after("é".repeat(512)),
    ] {
        let error = request.send().await.unwrap_err();
        let refused = matches!(error.kind(), ErrorKind::InvalidInput { .. });
        assert!(refused && error.operation() == Some("list"), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn everything_that_a_listing_says_is_read() {
    let ok = answer("200 OK", &[("x-oss-request-id", "5C3D")], PAGE);
    let (client, _server) = client([Play::Send(ok)]).await;
    let listing = client.list_objects("logs").send().await.unwrap();
    let [first, second] = <[ListedObject; 2]>::try_from(listing.objects).unwrap();
    assert_eq!((&*first.key, first.length), ("a/b c.log", 344_606));
    assert_eq!(first.kind, ObjectKind::Appendable);
    assert_eq!(first.etag.unwrap(), "\"5B3C1A2E053D763E1B002CC607C5A0FE\"");
    assert_eq!(first.storage_class.unwrap(), "Standard");
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_702_743_650);
    assert_eq!(first.last_modified, Some(modified));
    assert_eq!(first.sealed_time, Some(modified + Duration::from_secs(7)));
    assert_eq!((&*second.key, second.length), ("a/c", 0));
    assert_eq!(second.kind, ObjectKind::Other("Normal".into()));
    assert_eq!((second.etag, second.last_modified), (None, None));
    assert_eq!(listing.common_prefixes, ["a/d/"]);
    assert_eq!(listing.next_continuation_token.unwrap(), "CgJiYw--");
    assert_eq!(listing.request_id.unwrap(), "5C3D");
}

#[tokio::test]
async fn a_page_is_complete_or_none() {
    let portal = answer("200 OK", &[], "<html>welcome</html>");
    let length = (PAGE.len() + 1).to_string();
    let cut = [head("200 OK", &[("Content-Length", &length)]), PAGE.into()].concat();
    let cut_document = &PAGE[..PAGE.len() - 10];
    let ends_early = [
        head("200 OK", &[("Connection", "close")]),
        cut_document.into(),
    ]
    .concat();
    let (client, _server) = client([
        Play::Send(portal),
        Play::SendAndClose(ends_early),
        Play::SendAndClose(cut),
    ])
    .await;
    for _ in 0..2 {
        let error = client.list_objects("logs").send().await.unwrap_err();
        let bad = matches!(error.kind(), ErrorKind::BadAnswer { status: 200, .. });
        assert!(bad, "{error}");
    }
    let error = client.list_objects("logs").send().await.unwrap_err();
    assert_eq!(cause(&error), TransportCause::Broken);
}

#[tokio::test]
async fn a_store_asks_again_behind_an_empty_page_and_for_whole_pages() {
    let (client, server) = client([
        page(&[], Some("one")),
        page(&[], Some("two")),
        page(&["a/1", "a/2"], Some("three")),
        page(&[], None),
    ])
    .await;
    let first = client
        .list("logs", "a/", Some("a/0"))
        .await
        .unwrap()
        .unwrap();
    let keys: Vec<&str> = first.objects.iter().map(|o| &*o.key).collect();
    assert_eq!(keys, ["a/1", "a/2"]);
    let last = client
        .list("logs", "a/", first.next.as_deref())
        .await
        .unwrap();
    assert_eq!(last, Some(KeyPage::default()));
    let wanted = |more: &str, start: &str| {
        format!(
            "GET /logs/?{more}encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F\
             &start-after=a%2F{start}"
        )
    };
    let lines: Vec<String> = server.requests().iter().map(|r| r.line()).collect();
    assert_eq!(
        lines,
        [
            wanted("", "0"),
            wanted("continuation-token=one&", "0"),
            wanted("continuation-token=two&", "0"),
            wanted("", "2"),
        ]
    );
}

#[tokio::test]
async fn a_store_does_not_go_in_circles() {
    let pages = [
        page(&["a/1", "b"], None),
        page(&["a/2", "a/1"], None),
        page(&["a/1", "a/1"], None),
        page(&["a/0"], Some("more")),
    ];
    let (client, _server) = client(pages).await;
    for _ in 0..4 {
        let error = client.list("logs", "a/", Some("a/0")).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::BadAnswer { .. }),
            "{error}"
        );
    }
    let endless = (0..200).map(|_| page(&[], Some("more")));
    let (client, server) = super::client(endless).await;
    let error = client.list("logs", "a/", None).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::BadAnswer { .. }),
        "{error}"
    );
    assert_eq!(server.requests().len(), 100);
}

#[tokio::test]
async fn a_missing_bucket_is_no_empty_page() {
    let document = error_document("NoSuchBucket", "");
    let (client, _server) = client([Play::Send(answer("404 Not Found", &[], &document))]).await;
    let error = client.list("logs", "a/", None).await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "NoSuchBucket");
}

async fn emulated() -> (OssClient, Emulator) {
    let emulator = Emulator::builder().bucket("bucket").start().await.unwrap();
    (emulator.client().build().unwrap(), emulator)
}

/// All keys with the prefix, page by page, with the number of pages.
async fn all(store: &impl AppendStore, prefix: &str) -> Result<(Vec<(String, u64)>, usize)> {
    let (mut keys, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = store.list("bucket", prefix, after.as_deref()).await?;
        let page = page.expect("a store that lists");
        keys.extend(page.objects.into_iter().map(|o| (o.key, o.length)));
        pages += 1;
        after = page.next;
        if after.is_none() {
            return Ok((keys, pages));
        }
    }
}

#[tokio::test]
async fn odd_keys_are_listed_as_they_are_in_the_order_of_their_bytes() {
    let (client, emulator) = emulated().await;
    let long = "ü".repeat(511);
    let mut keys = [
        " ", "a b", "a%20b", "a+b", "a&b", "<a>", "%", "%zz", "ü", "u\u{308}", "日志/", "a//b",
        "A", "\u{ffff}", "🦀", "'\"", &long,
    ];
    for key in keys {
        emulator
            .append_foreign("bucket", key, key.to_owned())
            .unwrap();
    }
    keys.sort_unstable();
    let (listed, _) = all(&Arc::new(client.clone()), "").await.unwrap();
    let expected = keys.map(|key| (key.to_owned(), key.len() as u64));
    assert_eq!(listed, expected);
    for (index, key) in keys.iter().enumerate() {
        let page = client.list("bucket", "", Some(key)).await.unwrap().unwrap();
        assert_eq!(page.objects.len(), keys.len() - index - 1, "behind {key:?}");
        let page = client.list("bucket", key, None).await.unwrap().unwrap();
        assert!(page.objects.iter().any(|o| o.key == *key), "{key:?}");
    }
}

#[tokio::test]
async fn pages_follow_one_another_to_the_end() {
    let (client, emulator) = emulated().await;
    for number in 0..2001 {
        let key = format!("logs/{number:05}");
        emulator.append_foreign("bucket", &key, "x").unwrap();
    }
    emulator.put("bucket", "logs", "before").unwrap();
    emulator.put("bucket", "logs0", "behind").unwrap();
    let (listed, pages) = all(&client, "logs/").await.unwrap();
    assert_eq!((listed.len(), pages), (2001, 3));
    assert_eq!(all(&client, "nothing").await.unwrap(), (Vec::new(), 1));

    let mut request = client
        .list_objects("bucket")
        .prefix("logs")
        .max_keys(2)
        .delimiter("/");
    let listing = request.clone().send().await.unwrap();
    assert_eq!(listing.common_prefixes, ["logs/"]);
    assert_eq!(listing.objects[0].kind, ObjectKind::Other("Normal".into()));
    request = request.continuation_token(listing.next_continuation_token.unwrap());
    let listing = request.send().await.unwrap();
    assert_eq!(listing.objects[0].key, "logs0");
    assert_eq!(
        (listing.objects.len(), listing.next_continuation_token),
        (1, None)
    );
}
