//! Clients that have a call for AppendObject and no writer: a loop over it, with bodies that are
//! ready.

use aliyun_oss_rs::OssClient;
use bytes::Bytes;
use ossify::ops::object::base::AppendObjectOperations as _;
use ossify::{Client, UrlStyle};

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::produce;

/// With ossify, which takes each success for an error: it reads numbers of headers as text. So the
/// position is counted here, and the sink's count of appends shows whether they were taken.
pub(crate) async fn ossify(ground: Ground, bytes: u64, body: usize) -> Measured {
    let client = Client::builder()
        .endpoint(&ground.url)
        .region("cn-hangzhou")
        .bucket(BUCKET)
        .access_key_id("id")
        .access_key_secret("secret")
        .url_style(UrlStyle::Path)
        .build()
        .unwrap();
    let bytes = ground.bytes(bytes);
    let data = Bytes::from(produce::piece(body));
    let timer = Timer::start();
    let mut position = 0;
    while position < bytes {
        let len = (bytes - position).min(body as u64) as usize;
        let answer = client
            .append_object(&ground.object, position, data.slice(..len), None)
            .await;
        assert!(matches!(answer, Ok(_) | Err(ossify::Error::InvalidJson(_))));
        position += len as u64;
    }
    timer.stop(bytes)
}

/// With aliyun-oss-rs, whose positions have 32 bits and whose bodies are vectors.
pub(crate) async fn aliyun_oss_rs(ground: Ground, bytes: u64, body: usize) -> Measured {
    let host = ground.url.trim_start_matches("http://");
    let object = OssClient::new("id", "secret", "cn-hangzhou")
        .bucket(BUCKET)
        .set_custom_domain(host, false)
        .object(&ground.object);
    let bytes = ground.bytes(bytes);
    let data = produce::piece(body);
    let timer = Timer::start();
    let mut position = 0;
    while position < bytes {
        let len = (bytes - position).min(body as u64) as usize;
        let next = object
            .append_object()
            .set_position(u32::try_from(position).unwrap())
            .send_content(data[..len].to_vec())
            .await
            .unwrap();
        position = next.unwrap().parse().unwrap();
    }
    timer.stop(bytes)
}
