//! The small interface between the exactness layer and the wire: what an object store for appends
//! must be able to do, and the values that cross it.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::core::batch::Batch;
use crate::error::{Error, Result};
use crate::options::{ObjectOptions, RequestOptions};
use crate::progress::Progress;

/// A store of appendable objects: one request a call, no retries.
///
/// [`OssClient`](crate::OssClient) implements it over HTTP; simulations implement it in memory.
/// Every method tells the outcome of exactly one attempt, since the layer above has to see each.
///
/// # Cancel safety
/// A dropped `append` or `seal` future may or may not have taken effect.
pub trait AppendStore: Send + Sync + 'static {
    /// Appends `request.body` at `request.position`.
    fn append(&self, request: AppendRequest) -> impl Future<Output = Result<AppendAnswer>> + Send;

    /// What the object is at this moment; `None` if there is no such object.
    ///
    /// # Errors
    /// A missing bucket is an error, no missing object.
    fn head(&self, object: &ObjectPath) -> impl Future<Output = Result<Option<ObjectInfo>>> + Send;

    /// Reads the bytes of `range`. The stream ends early if the object does.
    fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes>>>> + Send;

    /// Seals the object, whose length must be `position`. Sealing a sealed object succeeds.
    fn seal(&self, object: &ObjectPath, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// The keys that begin with `prefix`, in the order of their bytes, behind `after`: one page.
    /// `None`: this store cannot list, which is what the method does unless it is implemented.
    ///
    /// To ask for the next page behind the [`next`](KeyPage::next) of each comes to the end. A key
    /// that is there all the while is in exactly one of the pages.
    ///
    /// # Errors
    /// A missing bucket is an error, no empty page.
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Option<KeyPage>>> + Send {
        let _ = (bucket, prefix, after);
        std::future::ready(Ok(None))
    }
}

impl<S: AppendStore> AppendStore for Arc<S> {
    fn append(&self, request: AppendRequest) -> impl Future<Output = Result<AppendAnswer>> + Send {
        (**self).append(request)
    }

    fn head(&self, object: &ObjectPath) -> impl Future<Output = Result<Option<ObjectInfo>>> + Send {
        (**self).head(object)
    }

    fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes>>>> + Send {
        (**self).read_range(object, range)
    }

    fn seal(&self, object: &ObjectPath, position: u64) -> impl Future<Output = Result<()>> + Send {
        (**self).seal(object, position)
    }

    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Option<KeyPage>>> + Send {
        (**self).list(bucket, prefix, after)
    }
}

/// The address of an object: a bucket and a key, both checked. Cheap to clone.
///
/// Displayed as `oss://BUCKET/KEY` and parsed from it; the key is taken literally, without
/// percent-decoding.
///
/// ```
/// use oss_append::ObjectPath;
///
/// let object: ObjectPath = "oss://logs/2026/app.log".parse()?;
/// assert_eq!((object.bucket(), object.key()), ("logs", "2026/app.log"));
/// assert!(ObjectPath::new("logs", "/leading-slash").is_err());
/// # Ok::<(), oss_append::Error>(())
/// ```
///
/// With the feature `serde` it is that text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
pub struct ObjectPath {
    bucket: Arc<str>,
    key: Arc<str>,
}

impl ObjectPath {
    /// The longest key in bytes.
    pub const MAX_KEY_LEN: usize = 1023;

    /// An object by bucket and key.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the bucket is not 3 to 63 characters
    /// of `a-z0-9-`, neither beginning nor ending with `-`; or the key is not 1 to 1023 bytes, or
    /// begins with `/` or `\`, or has a control character, or is `.` or `..` alone (no URL
    /// library can send those two unchanged).
    pub fn new(bucket: impl AsRef<str>, key: impl AsRef<str>) -> Result<Self> {
        let (bucket, key) = (bucket.as_ref(), key.as_ref());
        check_bucket(bucket)?;
        check_key(key)?;
        Ok(Self {
            bucket: bucket.into(),
            key: key.into(),
        })
    }

    /// A name that is shown and never sent.
    pub(crate) fn unchecked(bucket: &str, key: &str) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
        }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object's key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks a bucket's name by OSS's rule.
pub(crate) fn check_bucket(bucket: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(allowed)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-');
    if good {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "bucket name {bucket:?} is not valid: 3 to 63 of a-z, 0-9 and -, neither first nor last a -"
    )))
}

pub(crate) fn check_key(key: &str) -> Result<()> {
    let problem = if key.is_empty() {
        "is empty".into()
    } else if key.len() > ObjectPath::MAX_KEY_LEN {
        format!(
            "has {} bytes: at most {} are allowed",
            key.len(),
            ObjectPath::MAX_KEY_LEN
        )
    } else if key.starts_with(['/', '\\']) {
        format!("{key:?} begins with a slash or backslash")
    } else if key.chars().any(char::is_control) {
        format!("{key:?} has a control character")
    } else if key == "." || key == ".." {
        format!("{key:?} cannot be addressed over HTTP")
    } else {
        return Ok(());
    };
    Err(Error::invalid_input(format!("object key {problem}")))
}

impl FromStr for ObjectPath {
    type Err = Error;

    fn from_str(target: &str) -> Result<Self> {
        let malformed =
            || Error::invalid_input(format!("{target:?} is not of the form oss://BUCKET/KEY"));
        let (bucket, key) = target
            .strip_prefix("oss://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(malformed)?;
        Self::new(bucket, key)
    }
}

impl TryFrom<String> for ObjectPath {
    type Error = Error;

    fn try_from(target: String) -> Result<Self> {
        target.parse()
    }
}

impl From<ObjectPath> for String {
    fn from(object: ObjectPath) -> Self {
        object.to_string()
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oss://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Debug for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// One append: which bytes, where, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AppendRequest {
    /// The object to append to.
    pub object: ObjectPath,
    /// The object's length before the append.
    pub position: u64,
    /// The bytes.
    pub body: Batch,
    /// The options for a new object, present only if this append may create it.
    pub create: Option<Arc<ObjectOptions>>,
    /// The options of each request.
    pub options: RequestOptions,
    /// Where the store reports how much of the body has moved, so that a transfer that still
    /// moves is not taken for a dead one.
    pub progress: Progress,
}

impl AppendRequest {
    /// An append of `body` at `position`, with default options, that creates nothing.
    pub fn new(object: ObjectPath, position: u64, body: impl Into<Batch>) -> Self {
        Self {
            object,
            position,
            body: body.into(),
            create: None,
            options: RequestOptions::default(),
            progress: Progress::new(),
        }
    }
}

/// What a store answered to a successful append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendAnswer {
    /// The object's length after the append (`x-oss-next-append-position`), if the answer named it.
    pub next_position: Option<u64>,
    /// The CRC-64 of the whole object (`x-oss-hash-crc64ecma`), if the answer named it.
    pub crc64: Option<u64>,
    /// The object's opaque tag.
    pub etag: Option<String>,
    /// The version id, on buckets with versioning.
    pub version_id: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// How long OSS wants us to wait before the next request (`x-oss-qos-delay-time`).
    pub delay: Option<Duration>,
}

impl AppendAnswer {
    /// An answer that names the next position and the CRC-64.
    pub fn new(next_position: u64, crc64: u64) -> Self {
        Self {
            next_position: Some(next_position),
            crc64: Some(crc64),
            ..Self::default()
        }
    }
}

/// What an object is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The length in bytes.
    pub length: u64,
    /// The CRC-64 of the whole object, if known.
    pub crc64: Option<u64>,
    /// Whether it is an appendable object.
    pub kind: ObjectKind,
    /// Whether it has been sealed.
    pub sealed: bool,
    /// Who created it: the value of the user metadata [`ObjectOptions::CREATOR`], if the store
    /// keeps metadata and the object has it.
    pub creator: Option<String>,
}

impl ObjectInfo {
    /// An appendable object that is not sealed.
    pub fn appendable(length: u64, crc64: Option<u64>) -> Self {
        Self {
            length,
            crc64,
            kind: ObjectKind::Appendable,
            sealed: false,
            creator: None,
        }
    }
}

/// The type of an object, by `x-oss-object-type`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Made by AppendObject: can be appended to.
    Appendable,
    /// Any other type, by OSS's name for it, such as `Normal`.
    Other(String),
}

impl ObjectKind {
    /// The type that OSS calls so.
    pub(crate) fn named(name: String) -> Self {
        match name.eq_ignore_ascii_case("Appendable") {
            true => Self::Appendable,
            false => Self::Other(name),
        }
    }
}

/// One page of the keys of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// The objects, in the order of their keys' bytes.
    pub objects: Vec<ListedKey>,
    /// Behind which key the next page begins; `None`: this is the last.
    pub next: Option<String>,
}

impl KeyPage {
    /// A page of these objects, in the order of their keys' bytes.
    pub fn new(objects: Vec<ListedKey>, next: Option<String>) -> Self {
        Self { objects, next }
    }
}

/// What a listing tells of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedKey {
    /// The key. Not every key that a bucket may hold is one that [`ObjectPath`] takes.
    pub key: String,
    /// The length in bytes.
    pub length: u64,
    /// Whether it is an appendable object.
    pub kind: ObjectKind,
}

impl ListedKey {
    /// An object by its key, length and type.
    pub fn new(key: impl Into<String>, length: u64, kind: ObjectKind) -> Self {
        Self {
            key: key.into(),
            length,
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_taken_literally() {
        let object: ObjectPath = "oss://bucket/a%20b?c=d/../ü".parse().unwrap();
        assert_eq!(object.key(), "a%20b?c=d/../ü");
        assert_eq!(object.to_string(), "oss://bucket/a%20b?c=d/../ü");
    }

    #[test]
    fn malformed_paths_are_refused() {
        for target in [
            "bucket/key",
            "oss://bucket",
            "oss://bucket/",
            "oss:///key",
            "oss://Bucket/key",
            "oss://ab/key",
            "oss://-ab/key",
            "oss://bucket//key",
            "oss://bucket/\\key",
            "oss://bucket/a\nb",
            "oss://bucket/a\u{7f}b",
            "oss://bucket/..",
            "oss://bucket/.",
        ] {
            let error = target.parse::<ObjectPath>().unwrap_err();
            assert!(
                matches!(error.kind(), crate::ErrorKind::InvalidInput { .. }),
                "{target:?}"
            );
        }
    }

    #[test]
    fn the_longest_key_has_1023_bytes() {
        assert!(ObjectPath::new("bucket", "k".repeat(1023)).is_ok());
        assert!(ObjectPath::new("bucket", "k".repeat(1024)).is_err());
        assert!(ObjectPath::new("bucket", "é".repeat(512)).is_err());
    }

    /// Does what every store must, and no more.
    struct Plain;

    impl AppendStore for Plain {
        async fn append(&self, _: AppendRequest) -> Result<AppendAnswer> {
            Ok(AppendAnswer::default())
        }

        async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
            Ok(None)
        }

        async fn read_range(
            &self,
            _: &ObjectPath,
            _: Range<u64>,
        ) -> Result<BoxStream<'static, Result<Bytes>>> {
            Ok(Box::pin(futures::stream::empty()))
        }

        async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_cannot_list_unless_it_says_so() {
        let listed = Arc::new(Plain).list("bucket", "prefix", None).await;
        assert_eq!(listed.unwrap(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_target_is_shown_as_it_was_given_or_refused(any: String, key in any::<String>()) {
            for target in [any, format!("oss://bucket/{key}"), format!("oss://{key}/bucket")] {
                if let Ok(object) = target.parse::<ObjectPath>() {
                    prop_assert_eq!(object.to_string(), target);
                }
            }
        }
    }
}
