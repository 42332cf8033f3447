//! HeadObject, and the properties of an object as its headers tell them.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/headobject>

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::Method;

use crate::client::OssClient;
use crate::client::request::{Call, Context};
use crate::client::response::Answer;
use crate::error::{Error, Result};
use crate::store::options::ObjectOptions;
use crate::values::info::{ObjectInfo, ObjectKind, ObjectProperties};
use crate::values::path::ObjectPath;
use crate::wire::dates::system_time;

/// A question for an object's properties, made by [`OssClient::head_object`].
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
/// # -> oss_append::Result<()> {
/// let meta = client.head_object(&object).send().await?;
/// println!("{} bytes, CRC-64 {:?}", meta.length, meta.crc64);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct HeadObjectRequest {
    client: OssClient,
    object: ObjectPath,
}

/// The properties of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectMeta {
    /// The length of the whole object in bytes.
    pub length: u64,
    /// Whether it is an appendable object (`x-oss-object-type`). The name of the other type is
    /// empty if OSS told none.
    pub kind: ObjectKind,
    /// The CRC-64 of the whole object; some old or copied objects have none.
    pub crc64: Option<u64>,
    /// Where the next append goes, of an appendable object.
    pub next_append_position: Option<u64>,
    /// Whether the object is sealed.
    pub sealed: bool,
    /// When the object was sealed.
    pub sealed_time: Option<SystemTime>,
    /// The opaque tag of the content.
    pub etag: Option<String>,
    /// When the object was written or appended to last.
    pub last_modified: Option<SystemTime>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
    /// The storage class by OSS's name for it.
    pub storage_class: Option<String>,
    /// The encryption on the server by OSS's name for it.
    pub encryption: Option<String>,
    /// The number of tags, where the caller may know it.
    pub tag_count: Option<u64>,
    /// The version id, on buckets with versioning.
    pub version_id: Option<String>,
    /// The user metadata, without `x-oss-meta-` before the names.
    pub metadata: BTreeMap<String, String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl ObjectMeta {
    /// Reads the headers of an answer about an object that has `length` bytes.
    pub(super) fn read(answer: &Answer, length: u64) -> Result<Self> {
        let text = |name| answer.text(name);
        let date = |name| system_time(&answer.text(name)?);
        let next_append_position = answer.length("x-oss-next-append-position")?;
        let kind = match text("x-oss-object-type") {
            Some(_) => ObjectKind::named(answer.shown("x-oss-object-type").unwrap_or_default()),
            // OSS names a next position for appendable objects alone.
            None if next_append_position.is_some() => ObjectKind::Appendable,
            None => ObjectKind::Other(String::new()),
        };
        let metadata = answer
            .headers()
            .keys()
            .filter_map(|name| {
                let short = name.as_str().strip_prefix("x-oss-meta-")?;
                Some((short.to_owned(), answer.text(name.as_str())?))
            })
            .collect();
        Ok(Self {
            length,
            kind,
            crc64: answer.number("x-oss-hash-crc64ecma")?,
            next_append_position,
            sealed: text("x-oss-sealed-time").is_some(),
            sealed_time: date("x-oss-sealed-time"),
            etag: text("etag"),
            last_modified: date("last-modified"),
            content_type: text("content-type"),
            cache_control: text("cache-control"),
            content_disposition: text("content-disposition"),
            content_encoding: text("content-encoding"),
            expires: text("expires"),
            storage_class: text("x-oss-storage-class"),
            encryption: text("x-oss-server-side-encryption"),
            tag_count: answer.number("x-oss-tagging-count")?,
            version_id: text("x-oss-version-id"),
            metadata,
            request_id: answer.request_id(),
        })
    }

    /// Refuses a success that is not of OSS, such as a login portal's page: it says nothing about
    /// the object.
    pub(crate) fn check_origin(&self, operation: &'static str, object: &ObjectPath) -> Result<()> {
        let has_type = self.kind != ObjectKind::Other(String::new());
        if has_type || self.request_id.is_some() {
            return Ok(());
        }
        let reason = "it has no object type and no request id, so it is not of OSS";
        Err(Error::bad_answer(200, reason)
            .with_operation(operation)
            .with_object(object))
    }

    pub(crate) fn into_info(self) -> ObjectInfo {
        ObjectInfo {
            length: self.length,
            crc64: self.crc64,
            kind: self.kind,
            sealed: self.sealed,
            creator: self.metadata.get(ObjectOptions::CREATOR).cloned(),
            etag: self.etag,
            appends: None,
            properties: Some(Box::new(ObjectProperties {
                content_type: self.content_type,
                cache_control: self.cache_control,
                content_disposition: self.content_disposition,
                content_encoding: self.content_encoding,
                expires: self.expires,
                storage_class: self.storage_class,
                encryption: self.encryption,
                metadata: self.metadata,
            })),
        }
    }
}

impl HeadObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath) -> Self {
        Self { client, object }
    }

    /// Sends the request, once.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchKey` or `NoSuchBucket` (404) if there is no such
    /// object or bucket.
    ///
    /// # Cancel safety
    /// Nothing is lost: asking has no effect.
    pub async fn send(self) -> Result<ObjectMeta> {
        let context = Context::new("head", &self.object);
        self.send_head().await.map_err(|error| context.wrap(error))
    }

    async fn send_head(self) -> Result<ObjectMeta> {
        let answer = Call::object("head", Method::HEAD, &self.object)
            // A cache on a custom domain would tell of an earlier length.
            .header("cache-control", "no-cache")
            .send(&self.client)
            .await?;
        let Some(length) = answer.length("content-length")? else {
            return Err(answer.bad("it names no content length"));
        };
        ObjectMeta::read(&answer, length)
    }
}
