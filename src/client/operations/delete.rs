//! DeleteObject.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/deleteobject>

use http::Method;

use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::Result;
use crate::values::path::ObjectPath;

/// One removal, made by [`OssClient::delete_object`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct DeleteObjectRequest {
    client: OssClient,
    object: ObjectPath,
}

/// The answer to a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteObjectResult {
    /// Whether a delete marker was made, on buckets with versioning.
    pub delete_marker: bool,
    /// The version id, on buckets with versioning.
    pub version_id: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl DeleteObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self { client, object }
    }

    /// Sends the request, once. It succeeds whether the object existed or not.
    ///
    /// # Errors
    /// As described at [`OssClient`].
    ///
    /// # Cancel safety
    /// If the future is dropped the object may or may not be removed. It is safe to repeat.
    pub async fn send(self) -> Result<DeleteObjectResult> {
        let context = Context::new("delete", &self.object);
        self.send_delete()
            .await
            .map_err(|error| context.wrap(error))
    }

    async fn send_delete(self) -> Result<DeleteObjectResult> {
        let answer = Call::object("delete", Method::DELETE, &self.object)
            .send(&self.client)
            .await?;
        let result = DeleteObjectResult {
            delete_marker: answer.text("x-oss-delete-marker").as_deref() == Some("true"),
            version_id: answer.text("x-oss-version-id"),
            request_id: answer.text("x-oss-request-id"),
        };
        answer.finish().await;
        Ok(result)
    }
}
