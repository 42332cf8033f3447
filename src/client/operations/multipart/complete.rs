//! CompleteMultipartUpload.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/completemultipartupload>

use std::fmt::Write as _;

use http::Method;

use super::document::read_fields;
use super::{UploadedPart, check_id, check_number};
use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::error::{Error, Result};
use crate::store::options::{ObjectAcl, RequestOptions};
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;

/// The end of a multipart upload, made by [`OssClient::complete_multipart_upload`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct CompleteMultipartUploadRequest {
    client: OssClient,
    object: ObjectPath,
    upload_id: String,
    parts: Vec<UploadedPart>,
    acl: Option<ObjectAcl>,
    forbid_overwrite: bool,
    options: RequestOptions,
}

/// The answer to the end of an upload: what the object is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompleteMultipartUploadResult {
    /// The CRC-64 of the object.
    pub crc64: Option<u64>,
    /// The tag of the content.
    pub etag: Option<String>,
    /// The version id, on buckets with versioning.
    pub version_id: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl CompleteMultipartUploadRequest {
    pub(in crate::client) fn new(
        client: OssClient,
        object: ObjectPath,
        upload_id: String,
        parts: Vec<UploadedPart>,
    ) -> Self {
        Self {
            client,
            object,
            upload_id,
            parts,
            acl: None,
            forbid_overwrite: false,
            options: RequestOptions::default(),
        }
    }

    /// Sets the ACL of the object. Default: that of the bucket.
    pub fn acl(mut self, acl: ObjectAcl) -> Self {
        self.acl = Some(acl);
        self
    }

    /// Refuses to replace an object (`x-oss-forbid-overwrite`). Default: it is replaced, appendable or
    /// not.
    pub fn forbid_overwrite(mut self, forbid: bool) -> Self {
        self.forbid_overwrite = forbid;
        self
    }

    /// Sets who pays. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.options = options;
        self
    }

    /// Sends the request, once.
    ///
    /// OSS may take a while, and goes on with a request whose connection is lost. After a lost answer
    /// only a look at the object tells whether it is there: the upload id is gone with the first
    /// success, and to send this again is answered by `NoSuchUpload`.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchUpload` (404) if the upload was completed or aborted, or
    /// never was; `InvalidPart` (400) for a part that is not there or has another tag,
    /// `InvalidPartOrder` (400) for numbers that do not ascend, `EntityTooSmall` (400) for a part of
    /// less than 100 KB that is not the last; `FileAlreadyExists` (409) if the object exists and must
    /// not be replaced; [`InvalidInput`](crate::ErrorKind::InvalidInput) for no parts at all, or a
    /// number that is not 1 to 10,000.
    ///
    /// # Cancel safety
    /// If the future is dropped the object may or may not be there.
    pub async fn send(self) -> Result<CompleteMultipartUploadResult> {
        let context = Context::new("complete upload", &self.object);
        let sent = self.send_complete().await;
        sent.map_err(|error| context.wrap(error))
    }

    async fn send_complete(self) -> Result<CompleteMultipartUploadResult> {
        check_id(&self.upload_id)?;
        if self.parts.is_empty() {
            return Err(Error::invalid_input("an upload has at least one part"));
        }
        self.parts
            .iter()
            .try_for_each(|part| check_number(part.number))?;
        let mut call = Call::object("complete upload", Method::POST, &self.object)
            .query("uploadId", &self.upload_id)
            .header("content-type", "application/xml");
        if let Some(acl) = self.acl {
            call.headers.set("x-oss-object-acl", acl.as_str());
        }
        if self.forbid_overwrite {
            call.headers.set("x-oss-forbid-overwrite", "true");
        }
        let body = Batch::from(document(&self.parts));
        call.headers.set_request(&self.options, Some(&body));
        let mut answer = call.body(body, Progress::new()).send(&self.client).await?;
        let root = "CompleteMultipartUploadResult";
        let mut fields = read_fields(&mut answer, &self.client, root).await?;
        Ok(CompleteMultipartUploadResult {
            crc64: answer.number("x-oss-hash-crc64ecma")?,
            etag: answer.text("etag").or_else(|| fields.remove("ETag")),
            version_id: answer.text("x-oss-version-id"),
            request_id: answer.request_id(),
        })
    }
}

/// The list of the parts.
fn document(parts: &[UploadedPart]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for UploadedPart { number, etag } in parts {
        let etag = quick_xml::escape::escape(etag.as_str());
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        );
    }
    text + "</CompleteMultipartUpload>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts_is_xml_whatever_the_tags_are() {
        let parts = [UploadedPart::new(1, "\"A\""), UploadedPart::new(5, "<&")];
        assert_eq!(
            document(&parts),
            "<CompleteMultipartUpload>\
             <Part><PartNumber>1</PartNumber><ETag>&quot;A&quot;</ETag></Part>\
             <Part><PartNumber>5</PartNumber><ETag>&lt;&amp;</ETag></Part>\
             </CompleteMultipartUpload>"
        );
    }
}
