//! InitiateMultipartUpload.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/initiatemultipartupload>

use http::Method;

use super::document::read_fields;
use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::Result;
use crate::store::options::{ObjectOptions, RequestOptions};
use crate::values::path::ObjectPath;

/// The beginning of a multipart upload, made by [`OssClient::initiate_multipart_upload`].
///
/// ```
/// use oss_append::ObjectPath;
/// use oss_append::client::UploadedPart;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oss_append::Result<()> {
/// # let emulator = oss_append::emulator::Emulator::builder().bucket("logs").start().await?;
/// # let client = emulator.client().build()?;
/// let object = ObjectPath::new("logs", "whole.log")?;
/// let upload = client.initiate_multipart_upload(&object).send().await?;
/// let part = client.upload_part(&object, &upload.upload_id, 1, "hello").send().await?;
/// let parts = [UploadedPart::new(1, part.etag)];
/// client.complete_multipart_upload(&object, &upload.upload_id, parts).send().await?;
/// assert_eq!(client.head_object(&object).send().await?.length, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct InitiateMultipartUploadRequest {
    client: OssClient,
    object: ObjectPath,
    object_options: ObjectOptions,
    request_options: RequestOptions,
    forbid_overwrite: bool,
}

/// The answer to the beginning of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitiateMultipartUploadResult {
    /// What the upload is named by.
    pub upload_id: String,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl InitiateMultipartUploadRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self {
            client,
            object,
            object_options: ObjectOptions::default(),
            request_options: RequestOptions::default(),
            forbid_overwrite: false,
        }
    }

    /// Sets the properties that the object will have. Default: the content type is guessed from the
    /// key. An ACL is not among them:
    /// [`CompleteMultipartUploadRequest::acl`](super::complete::CompleteMultipartUploadRequest::acl)
    /// sets that.
    pub fn options(mut self, options: ObjectOptions) -> Self {
        self.object_options = options;
        self
    }

    /// Sets who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.request_options = options;
        self
    }

    /// Refuses to begin where there is an object (`x-oss-forbid-overwrite`). One that comes later is
    /// only noticed if completing forbids it too. Default: it is replaced.
    pub fn forbid_overwrite(mut self, forbid: bool) -> Self {
        self.forbid_overwrite = forbid;
        self
    }

    /// Sends the request, once.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `FileAlreadyExists` (409) if the object exists and must not be
    /// replaced.
    ///
    /// # Cancel safety
    /// If the future is dropped there may be an upload that nobody knows the id of. It is found by
    /// [`OssClient::list_multipart_uploads`]. It is safe to repeat.
    pub async fn send(self) -> Result<InitiateMultipartUploadResult> {
        let context = Context::new("initiate upload", &self.object);
        let sent = self.send_initiate().await;
        sent.map_err(|error| context.wrap(error))
    }

    async fn send_initiate(mut self) -> Result<InitiateMultipartUploadResult> {
        self.object_options.acl = None;
        let mut call =
            Call::object("initiate upload", Method::POST, &self.object).query("uploads", "");
        call.headers
            .set_creation(self.object.key(), &self.object_options);
        call.headers.set_request(&self.request_options, None);
        if self.forbid_overwrite {
            call.headers.set("x-oss-forbid-overwrite", "true");
        }
        let mut answer = call.send(&self.client).await?;
        let root = "InitiateMultipartUploadResult";
        let mut fields = read_fields(&mut answer, &self.client, root).await?;
        let upload_id = fields.remove("UploadId").unwrap_or_default();
        match upload_id.is_empty() {
            true => Err(answer.bad("it names no upload id")),
            false => Ok(InitiateMultipartUploadResult {
                upload_id,
                request_id: answer.request_id(),
            }),
        }
    }
}
