//! UploadPart and UploadPartCopy.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpart>,
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpartcopy>

use std::ops::Range;

use http::Method;

use super::document::read_fields;
use super::{check_id, check_number};
use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::{Error, Result};
use crate::store::options::RequestOptions;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;
use crate::wire::encoding::encode_path;

/// One part that is uploaded, made by [`OssClient::upload_part`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct UploadPartRequest {
    client: OssClient,
    object: ObjectPath,
    upload_id: String,
    number: u16,
    body: Batch,
    options: RequestOptions,
    progress: Progress,
}

/// The answer to an uploaded part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadPartResult {
    /// The tag of the part, by which completing names it.
    pub etag: String,
    /// The CRC-64 of the part.
    pub crc64: Option<u64>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl UploadPartRequest {
    pub(in crate::client) fn new(
        client: OssClient,
        object: ObjectPath,
        upload_id: String,
        number: u16,
        body: Batch,
    ) -> Self {
        Self {
            client,
            object,
            upload_id,
            number,
            body,
            options: RequestOptions::default(),
            progress: Progress::new(),
        }
    }

    /// Sets the traffic limit, who pays, and whether the body's MD5 is sent. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.options = options;
        self
    }

    /// Counts the bytes that have been handed to the connection. Default: they are not counted.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Sends the request, once. A part of the same number that was uploaded before is replaced.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchUpload` (404) if the upload was completed or aborted, or
    /// never was; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a number that is not 1 to
    /// 10,000. A part that is too small is only refused when the upload is completed.
    ///
    /// # Cancel safety
    /// If the future is dropped the part may or may not be there. It is safe to repeat.
    pub async fn send(self) -> Result<UploadPartResult> {
        let context = Context::new("upload part", &self.object);
        self.send_part().await.map_err(|error| context.wrap(error))
    }

    async fn send_part(self) -> Result<UploadPartResult> {
        check_number(self.number)?;
        check_id(&self.upload_id)?;
        let mut call = Call::object("upload part", Method::PUT, &self.object)
            .query("partNumber", &self.number.to_string())
            .query("uploadId", &self.upload_id);
        call.headers.set_request(&self.options, Some(&self.body));
        let answer = call
            .body(self.body, self.progress)
            .send(&self.client)
            .await?;
        let Some(etag) = answer.text("etag").filter(|etag| !etag.is_empty()) else {
            return Err(answer.bad("it names no tag of the part"));
        };
        let result = UploadPartResult {
            etag,
            crc64: answer.number("x-oss-hash-crc64ecma")?,
            request_id: answer.request_id(),
        };
        answer.finish().await;
        Ok(result)
    }
}

/// One part that OSS copies from another object, made by [`OssClient::upload_part_copy`].
///
/// # Appendable sources
/// OSS's page on UploadPartCopy said until 2024, and in some languages later, that an object made by
/// AppendObject cannot be copied. The page of December 2025 and those of 2026 say no such thing, and
/// name no error for it. So a caller has to expect a refusal, and to upload the bytes then.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct UploadPartCopyRequest {
    client: OssClient,
    object: ObjectPath,
    upload_id: String,
    number: u16,
    source: ObjectPath,
    range: Option<Range<u64>>,
    if_match: Option<String>,
    options: RequestOptions,
}

/// The answer to a copied part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadPartCopyResult {
    /// The tag of the part, by which completing names it.
    pub etag: String,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl UploadPartCopyRequest {
    pub(in crate::client) fn new(
        client: OssClient,
        object: ObjectPath,
        upload_id: String,
        number: u16,
        source: ObjectPath,
    ) -> Self {
        Self {
            client,
            object,
            upload_id,
            number,
            source,
            range: None,
            if_match: None,
            options: RequestOptions::default(),
        }
    }

    /// Copies these bytes of the source alone (`x-oss-copy-source-range`). Default: all. OSS copies
    /// the whole source where the range is not within it, as it does for a GET.
    pub fn range(mut self, range: Range<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// Copies what this tag is of alone (`x-oss-copy-source-if-match`), else OSS refuses with 412.
    /// The tag of an appendable object changes with each append. Default: whatever is there.
    pub fn if_match(mut self, etag: impl Into<String>) -> Self {
        self.if_match = Some(etag.into());
        self
    }

    /// Sets who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends the request, once. A part of the same number that was uploaded before is replaced.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchUpload` (404) if the upload was completed or aborted, or
    /// never was; `NoSuchKey` (404) if there is no source; `PreconditionFailed` (412) if it is not of
    /// the tag; [`InvalidInput`](crate::ErrorKind::InvalidInput) for a number that is not 1 to 10,000
    /// or an empty range.
    ///
    /// # Cancel safety
    /// If the future is dropped the part may or may not be there. It is safe to repeat.
    pub async fn send(self) -> Result<UploadPartCopyResult> {
        let context = Context::new("copy part", &self.object);
        self.send_copy().await.map_err(|error| context.wrap(error))
    }

    async fn send_copy(self) -> Result<UploadPartCopyResult> {
        check_number(self.number)?;
        check_id(&self.upload_id)?;
        let source = format!(
            "/{}/{}",
            self.source.bucket(),
            encode_path(self.source.key())
        );
        let mut call = Call::object("copy part", Method::PUT, &self.object)
            .query("partNumber", &self.number.to_string())
            .query("uploadId", &self.upload_id)
            .header("x-oss-copy-source", source);
        if let Some(range) = self.range {
            if range.is_empty() {
                return Err(Error::invalid_input("the range to copy is empty"));
            }
            let range = format!("bytes={}-{}", range.start, range.end - 1);
            call = call.header("x-oss-copy-source-range", range);
        }
        if let Some(etag) = self.if_match {
            call = call.header("x-oss-copy-source-if-match", etag);
        }
        call.headers.set_request(&self.options, None);
        let mut answer = call.send(&self.client).await?;
        let mut fields = read_fields(&mut answer, &self.client, "CopyPartResult").await?;
        let etag = fields.remove("ETag").unwrap_or_default();
        match etag.is_empty() {
            true => Err(answer.bad("it names no tag of the part")),
            false => Ok(UploadPartCopyResult {
                etag,
                request_id: answer.request_id(),
            }),
        }
    }
}
