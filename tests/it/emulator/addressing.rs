//! Where the bucket stands in a request.

use crate::support::raw::{BUCKET, Request, start};

#[tokio::test]
async fn the_host_may_name_the_bucket() {
    let (emulator, client) = start().await;
    for (n, host) in [
        "bucket.oss-cn-hangzhou.aliyuncs.com",
        "bucket.localhost:80",
        "bucket.example",
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("a/{n}");
        let request = Request::new("POST", &key)
            .query("append", "")
            .query("position", "0")
            .body("x")
            .virtual_host(host);
        assert_eq!(client.send(request).await.status, 200, "{host}");
        assert_eq!(emulator.object(BUCKET, &key).unwrap().bytes, "x");
    }
}

#[tokio::test]
async fn a_bucket_can_be_made_by_its_host() {
    let (_emulator, client) = start().await;
    let make = Request::new("PUT", "")
        .bucket("fresh")
        .virtual_host("fresh.oss-cn-hangzhou.aliyuncs.com");
    assert_eq!(client.send(make).await.status, 200);
    let list = Request::new("GET", "").bucket("fresh");
    assert_eq!(client.send(list).await.element("Name").unwrap(), "fresh");
}

#[tokio::test]
async fn a_host_without_a_bucket_is_the_service() {
    let (_emulator, client) = start().await;
    let list = Request::new("GET", "")
        .bucket("")
        .virtual_host("oss-cn-hangzhou.aliyuncs.com");
    let answer = client.send(list).await;
    assert_eq!(answer.element("Name").unwrap(), BUCKET);
    assert!(answer.element("Buckets").is_some());
}

#[tokio::test]
async fn bucket_names_are_checked() {
    let (_emulator, client) = start().await;
    for bucket in ["ab", "-abc", "Abc", "a_c"] {
        let make = Request::new("PUT", "").bucket(bucket);
        assert_eq!(
            client.send(make).await.summary(),
            "400 InvalidBucketName 0015-00000001"
        );
    }
}
