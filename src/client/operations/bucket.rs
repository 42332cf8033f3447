//! PutBucket.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/putbucket>

use http::Method;

use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::Result;
use crate::values::path::check_bucket;

/// The creation of a bucket, made by [`OssClient::create_bucket`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct CreateBucketRequest {
    client: OssClient,
    bucket: String,
}

impl CreateBucketRequest {
    pub(in crate::client) fn new(client: OssClient, bucket: String) -> Self {
        Self { client, bucket }
    }

    /// Sends the request, once. The bucket is private and of standard storage, as OSS makes it.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `BucketAlreadyExists` (409) if it is somebody else's.
    ///
    /// # Cancel safety
    /// If the future is dropped the bucket may or may not be created. It is safe to repeat.
    pub async fn send(self) -> Result<()> {
        let context = Context::without_object("create bucket");
        self.send_create()
            .await
            .map_err(|error| context.wrap(error))
    }

    async fn send_create(self) -> Result<()> {
        check_bucket(&self.bucket)?;
        let answer = Call::bucket("create bucket", Method::PUT, &self.bucket)
            .send(&self.client)
            .await?;
        answer.finish().await;
        Ok(())
    }
}
