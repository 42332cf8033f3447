//! AbortMultipartUpload.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/abortmultipartupload>

use http::Method;

use super::check_id;
use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::Result;
use crate::values::path::ObjectPath;

/// The removal of an upload with its parts, made by [`OssClient::abort_multipart_upload`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct AbortMultipartUploadRequest {
    client: OssClient,
    object: ObjectPath,
    upload_id: String,
}

impl AbortMultipartUploadRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath, upload_id: String) -> Self {
        Self {
            client,
            object,
            upload_id,
        }
    }

    /// Sends the request, once. A part that is being uploaded at the same moment may be kept: OSS's
    /// documents say to abort again until there are none.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchUpload` (404) if the upload was completed or aborted, or
    /// never was.
    ///
    /// # Cancel safety
    /// If the future is dropped the upload may or may not be there. It is safe to repeat.
    pub async fn send(self) -> Result<()> {
        let context = Context::new("abort upload", &self.object);
        self.send_abort().await.map_err(|error| context.wrap(error))
    }

    async fn send_abort(self) -> Result<()> {
        check_id(&self.upload_id)?;
        let answer = Call::object("abort upload", Method::DELETE, &self.object)
            .query("uploadId", &self.upload_id)
            .send(&self.client)
            .await?;
        answer.finish().await;
        Ok(())
    }
}
