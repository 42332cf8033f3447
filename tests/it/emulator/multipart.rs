//! Multipart uploads, by the client: what becomes of them, and each error that OSS documents.

use oss_append::client::UploadedPart;
use oss_append::crc64::checksum;
use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{Error, ObjectAcl, ObjectOptions, ObjectPath, OssClient};

use crate::support::bytes;
use crate::support::raw::{BUCKET, Client, Request, Signing};

/// The least bytes of a part that is not the last.
const LEAST: usize = 100 * 1024;

fn object(key: &str) -> ObjectPath {
    ObjectPath::new(BUCKET, key).unwrap()
}

async fn in_memory() -> (Emulator, OssClient) {
    let builder = Emulator::builder().bucket(BUCKET);
    let builder = builder.block_public_access(false);
    let emulator = builder.start().await.unwrap();
    let client = emulator.client().build().unwrap();
    (emulator, client)
}

async fn initiate(client: &OssClient, key: &str) -> String {
    let initiated = client.initiate_multipart_upload(&object(key)).send().await;
    initiated.unwrap().upload_id
}

async fn upload(client: &OssClient, key: &str, id: &str, number: u16, body: &[u8]) -> UploadedPart {
    let request = client.upload_part(&object(key), id, number, body.to_vec());
    let part = request.send().await.unwrap();
    assert_eq!(part.crc64, Some(checksum(body)));
    UploadedPart::new(number, part.etag)
}

#[track_caller]
fn code(error: &Error) -> (u16, &str) {
    let answer = error.service_error().expect("an answer of the service");
    (answer.status, &answer.code)
}

async fn makes_one_object(emulator: &Emulator, client: &OssClient) {
    let all = bytes(17 * 1024 * 1024 + LEAST + 7);
    let (first, rest) = all.split_at(17 * 1024 * 1024);
    let options = ObjectOptions::new()
        .content_type("text/x-test")
        .meta("origin", "here")
        .unwrap();
    let begun = client
        .initiate_multipart_upload(&object("whole"))
        .options(options)
        .send();
    let id = begun.await.unwrap().upload_id;
    // In any order, with a gap, and one of them twice.
    let last = upload(client, "whole", &id, 9, &rest[LEAST..]).await;
    let middle = upload(client, "whole", &id, 3, &rest[..LEAST]).await;
    upload(client, "whole", &id, 1, b"replaced").await;
    let first = upload(client, "whole", &id, 1, first).await;
    assert!(emulator.object(BUCKET, "whole").is_none());
    let done = client
        .complete_multipart_upload(&object("whole"), &id, [first, middle, last])
        .acl(ObjectAcl::PublicRead)
        .send()
        .await
        .unwrap();
    assert_eq!(done.crc64, Some(checksum(&all)));
    let meta = client.head_object(&object("whole")).send().await.unwrap();
    assert_eq!((meta.length, meta.crc64), (all.len() as u64, done.crc64));
    assert_eq!(meta.etag, done.etag);
    assert_eq!(meta.kind, oss_append::ObjectKind::Other("Multipart".into()));
    assert_eq!(meta.content_type.as_deref(), Some("text/x-test"));
    assert_eq!(meta.metadata["origin"], "here");
    let stored = emulator.object(BUCKET, "whole").unwrap();
    assert!(stored.bytes == all);
    assert_eq!(stored.acl, "public-read");
}

#[tokio::test]
async fn parts_become_one_object() {
    let (emulator, client) = in_memory().await;
    makes_one_object(&emulator, &client).await;
}

#[tokio::test]
async fn parts_become_one_object_in_a_directory_that_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        Emulator::builder()
            .bucket(BUCKET)
            .block_public_access(false)
            .directory(directory.path())
    };
    let emulator = open().start().await.unwrap();
    let client = emulator.client().build().unwrap();
    makes_one_object(&emulator, &client).await;
    let before = emulator.object(BUCKET, "whole").unwrap();
    initiate(&client, "unfinished").await;
    emulator.shutdown().await;
    let spooled = std::fs::read_dir(directory.path().join("spool")).unwrap();
    assert_eq!(spooled.count(), 0);
    let emulator = open().start().await.unwrap();
    assert!(emulator.object(BUCKET, "whole").unwrap().bytes == before.bytes);
    assert!(emulator.object(BUCKET, "unfinished").is_none());
}

#[tokio::test]
async fn ranges_of_an_object_are_copied() {
    let (emulator, client) = in_memory().await;
    let all = bytes(2 * LEAST + 5);
    let source = object("a b/%+ü");
    (emulator.append_foreign(BUCKET, source.key(), all.clone())).unwrap();
    let etag = client
        .head_object(&source)
        .send()
        .await
        .unwrap()
        .etag
        .unwrap();
    let id = initiate(&client, "copy").await;
    let mut parts = Vec::new();
    for (number, range) in [(1, 0..LEAST as u64), (2, LEAST as u64..all.len() as u64)] {
        let copied = client
            .upload_part_copy(&object("copy"), &id, number, &source)
            .range(range)
            .if_match(&etag)
            .send();
        parts.push(UploadedPart::new(number, copied.await.unwrap().etag));
    }
    emulator
        .append_foreign(BUCKET, source.key(), "more")
        .unwrap();
    let changed = client
        .upload_part_copy(&object("copy"), &id, 3, &source)
        .if_match(&etag)
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&changed), (412, "PreconditionFailed"));
    let missing = client
        .upload_part_copy(&object("copy"), &id, 3, &object("nowhere"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&missing), (404, "NoSuchKey"));
    let done = client.complete_multipart_upload(&object("copy"), &id, parts);
    assert_eq!(done.send().await.unwrap().crc64, Some(checksum(&all)));
    assert!(emulator.object(BUCKET, "copy").unwrap().bytes == all);
}

#[tokio::test]
async fn what_cannot_be_completed_is_refused_and_the_upload_kept() {
    let (emulator, client) = in_memory().await;
    let target = object("k");
    let id = initiate(&client, "k").await;
    let small = upload(&client, "k", &id, 1, b"small").await;
    let large = upload(&client, "k", &id, 2, &bytes(LEAST)).await;
    let complete = |parts: Vec<UploadedPart>| client.complete_multipart_upload(&target, &id, parts);
    let never = UploadedPart::new(7, small.etag.clone());
    let other = UploadedPart::new(1, large.etag.clone());
    for (parts, expected) in [
        (vec![large.clone(), small.clone()], "InvalidPartOrder"),
        (vec![large.clone(), large.clone()], "InvalidPartOrder"),
        (vec![small.clone(), large.clone()], "EntityTooSmall"),
        (vec![never], "InvalidPart"),
        (vec![other], "InvalidPart"),
    ] {
        let refused = complete(parts).send().await.unwrap_err();
        assert_eq!(code(&refused), (400, expected));
    }
    emulator.put(BUCKET, "k", "there").unwrap();
    let exists = complete(vec![large.clone()]).forbid_overwrite(true);
    let exists = exists.send().await.unwrap_err();
    assert_eq!(code(&exists), (409, "FileAlreadyExists"));
    let begun = client
        .initiate_multipart_upload(&target)
        .forbid_overwrite(true);
    assert_eq!(
        code(&begun.send().await.unwrap_err()),
        (409, "FileAlreadyExists")
    );
    // Everything is there yet.
    complete(vec![large.clone()]).send().await.unwrap();
    assert_eq!(emulator.length(BUCKET, "k"), Some(LEAST as u64));
    let again = complete(vec![large]).send().await.unwrap_err();
    assert_eq!(code(&again), (404, "NoSuchUpload"));
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let (emulator, client) = in_memory().await;
    let id = initiate(&client, "k").await;
    let part = upload(&client, "k", &id, 1, b"x").await;
    client
        .abort_multipart_upload(&object("k"), &id)
        .send()
        .await
        .unwrap();
    let none = |error: Error| assert_eq!(code(&error), (404, "NoSuchUpload"));
    none(
        client
            .abort_multipart_upload(&object("k"), &id)
            .send()
            .await
            .unwrap_err(),
    );
    none(
        client
            .upload_part(&object("k"), &id, 1, "x")
            .send()
            .await
            .unwrap_err(),
    );
    let complete = client.complete_multipart_upload(&object("k"), &id, [part]);
    none(complete.send().await.unwrap_err());
    // An id is good for its own key alone.
    let id = initiate(&client, "k").await;
    none(
        client
            .upload_part(&object("other"), &id, 1, "x")
            .send()
            .await
            .unwrap_err(),
    );
    assert!(emulator.object(BUCKET, "k").is_none());
}

#[tokio::test]
async fn unfinished_uploads_are_listed_page_by_page() {
    let (_emulator, client) = in_memory().await;
    let mut expected = Vec::new();
    for key in ["a/1", "a/1", "a/ü+%", "b"] {
        expected.push((key.to_owned(), initiate(&client, key).await));
    }
    let request = client.list_multipart_uploads(BUCKET);
    let mut listed: Vec<_> = request.clone().send().await.unwrap().uploads;
    listed.sort_by(|a, b| (&a.key, &a.upload_id).cmp(&(&b.key, &b.upload_id)));
    expected.sort();
    let named: Vec<_> = listed
        .iter()
        .map(|u| (u.key.clone(), u.upload_id.clone()))
        .collect();
    assert_eq!(named, expected);
    let of_a = request.prefix("a/").send().await.unwrap();
    assert_eq!(of_a.uploads.len(), 3);
    assert_eq!(of_a.next, None);
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let (emulator, client) = in_memory().await;
    let k = object("k");
    let part = UploadedPart::new(10_001, "x");
    for refused in [
        client.upload_part(&k, "id", 0, "x").send().await.map(drop),
        client
            .upload_part(&k, "id", 10_001, "x")
            .send()
            .await
            .map(drop),
        client.upload_part(&k, "", 1, "x").send().await.map(drop),
        client
            .upload_part_copy(&k, "id", 1, &k)
            .range(5..5)
            .send()
            .await
            .map(drop),
        client
            .complete_multipart_upload(&k, "id", [])
            .send()
            .await
            .map(drop),
        client
            .complete_multipart_upload(&k, "id", [part])
            .send()
            .await
            .map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(
            matches!(error.kind(), oss_append::ErrorKind::InvalidInput { .. }),
            "{error}"
        );
    }
    assert_eq!(emulator.requests().len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_none_of_oss_completes_nothing() {
    let (emulator, client) = in_memory().await;
    let id = initiate(&client, "k").await;
    let part = upload(&client, "k", &id, 1, b"x").await;
    let lost = Fault::new(Operation::CompleteMultipartUpload, Action::DropAnswer);
    emulator.inject(lost);
    let complete = client.complete_multipart_upload(&object("k"), &id, [part]);
    assert!(complete.send().await.unwrap_err().is_retryable());
    assert_eq!(emulator.length(BUCKET, "k"), Some(1));
}

#[tokio::test]
async fn other_clients_see_the_parts_and_are_told_what_is_wrong() {
    let (emulator, client) = in_memory().await;
    let id = initiate(&client, "k").await;
    upload(&client, "k", &id, 2, b"abc").await;
    for signing in [Signing::V4, Signing::V4Query] {
        let raw = Client::new(emulator.address()).signing(signing);
        let listed = raw
            .send(Request::new("GET", "k").query("uploadId", &id))
            .await;
        assert_eq!(listed.status, 200);
        for (name, value) in [
            ("PartNumber", "2".to_owned()),
            ("Size", "3".into()),
            ("HashCrc64ecma", checksum(b"abc").to_string()),
            ("IsTruncated", "false".into()),
        ] {
            assert_eq!(listed.element(name).unwrap(), value, "{name}");
        }
        let complete =
            |body: &str| raw.send(Request::new("POST", "k").query("uploadId", &id).body(body));
        assert_eq!(complete("<A>").await.summary(), "400 MalformedXML");
        let put = Request::new("PUT", "k")
            .query("partNumber", "0")
            .query("uploadId", &id);
        assert_eq!(
            raw.send(put.body("x")).await.summary(),
            "400 InvalidArgument"
        );
        let twisted = Request::new("GET", "k").query("uploads", "");
        assert_eq!(raw.send(twisted).await.summary(), "501 NotImplemented");
    }
}
