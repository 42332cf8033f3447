//! PutObject.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/putobject>

use http::Method;

use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::Result;
use crate::store::options::{ObjectOptions, RequestOptions};
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;

/// One write of a whole object, made by [`OssClient::put_object`].
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
/// # -> oss_append::Result<()> {
/// client.put_object(&object, "all of it").forbid_overwrite(true).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct PutObjectRequest {
    client: OssClient,
    object: ObjectPath,
    body: Batch,
    object_options: ObjectOptions,
    request_options: RequestOptions,
    forbid_overwrite: bool,
    progress: Progress,
}

/// The answer to a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutObjectResult {
    /// The CRC-64 of the object.
    pub crc64: Option<u64>,
    /// The tag of the content.
    pub etag: Option<String>,
    /// The version id, on buckets with versioning.
    pub version_id: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl PutObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath, body: Batch) -> Self {
        Self {
            client,
            object,
            body,
            object_options: ObjectOptions::default(),
            request_options: RequestOptions::default(),
            forbid_overwrite: false,
            progress: Progress::new(),
        }
    }

    /// Sets the object's properties. Default: the content type is guessed from the key.
    pub fn options(mut self, options: ObjectOptions) -> Self {
        self.object_options = options;
        self
    }

    /// Sets the traffic limit, who pays, and whether the body's MD5 is sent. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.request_options = options;
        self
    }

    /// Refuses to replace an object (`x-oss-forbid-overwrite`). Default: it is replaced.
    pub fn forbid_overwrite(mut self, forbid: bool) -> Self {
        self.forbid_overwrite = forbid;
        self
    }

    /// Counts the bytes that have been handed to the connection. Default: they are not counted.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Sends the request, once.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `FileAlreadyExists` (409) if the object exists and must not
    /// be replaced.
    ///
    /// # Cancel safety
    /// If the future is dropped the object may or may not be written. It is safe to repeat.
    pub async fn send(self) -> Result<PutObjectResult> {
        let context = Context::new("put", &self.object);
        self.send_put().await.map_err(|error| context.wrap(error))
    }

    async fn send_put(self) -> Result<PutObjectResult> {
        let mut call = Call::object("put", Method::PUT, &self.object);
        call.headers
            .set_creation(self.object.key(), &self.object_options);
        call.headers
            .set_request(&self.request_options, Some(&self.body));
        if self.forbid_overwrite {
            call.headers.set("x-oss-forbid-overwrite", "true");
        }
        let answer = call
            .body(self.body, self.progress)
            .send(&self.client)
            .await?;
        let result = PutObjectResult {
            crc64: answer.number("x-oss-hash-crc64ecma")?,
            etag: answer.text("etag"),
            version_id: answer.text("x-oss-version-id"),
            request_id: answer.text("x-oss-request-id"),
        };
        answer.finish().await;
        Ok(result)
    }
}
