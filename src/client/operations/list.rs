//! ListObjectsV2.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2>

use std::time::SystemTime;

use http::Method;

use crate::client::OssClient;
use crate::client::listing;
use crate::client::request::{Call, Context};
use crate::error::{Error, Result};
use crate::store::listing::ListedKey;
use crate::values::info::ObjectKind;
use crate::values::path::{ObjectPath, check_bucket};

/// The most keys of one answer.
const MAX_KEYS: u16 = 1000;

/// The question for one page of a bucket's keys, made by [`OssClient::list_objects`].
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient) -> oss_append::Result<()> {
/// let mut request = client.list_objects("my-bucket").prefix("logs/");
/// loop {
///     let page = request.clone().send().await?;
///     for object in page.objects {
///         println!("{} has {} bytes", object.key, object.length);
///     }
///     let Some(token) = page.next_continuation_token else {
///         return Ok(());
///     };
///     request = request.continuation_token(token);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct ListObjectsRequest {
    client: OssClient,
    bucket: String,
    prefix: String,
    start_after: String,
    delimiter: String,
    max_keys: Option<u16>,
    continuation_token: Option<String>,
}

/// One page of a bucket's keys, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectListing {
    /// The objects. There may be fewer than were asked for, even none, although more follow.
    pub objects: Vec<ListedObject>,
    /// What the keys that a delimiter groups have in common, up to and with the delimiter.
    pub common_prefixes: Vec<String>,
    /// What to ask the next page with; `None`: this is the last.
    pub next_continuation_token: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedObject {
    /// The key. Not every key that a bucket may hold is one that [`ObjectPath`] takes.
    pub key: String,
    /// The length in bytes.
    pub length: u64,
    /// Whether it is an appendable object. The name of the other type is empty if OSS told none.
    pub kind: ObjectKind,
    /// The opaque tag of the content.
    pub etag: Option<String>,
    /// When the object was written or appended to last.
    pub last_modified: Option<SystemTime>,
    /// When the object was sealed, where OSS tells.
    pub sealed_time: Option<SystemTime>,
    /// The storage class by OSS's name for it.
    pub storage_class: Option<String>,
}

impl ListedObject {
    pub(in crate::client) fn into_key(self) -> ListedKey {
        ListedKey::new(self.key, self.length, self.kind)
    }
}

impl ListObjectsRequest {
    pub(in crate::client) fn new(client: OssClient, bucket: String) -> Self {
        Self {
            client,
            bucket,
            prefix: String::new(),
            start_after: String::new(),
            delimiter: String::new(),
            max_keys: None,
            continuation_token: None,
        }
    }

    /// Lists the keys alone that begin with this. Default: all.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Begins behind this key, whether or not it exists. A continuation token counts more.
    pub fn start_after(mut self, key: impl Into<String>) -> Self {
        self.start_after = key.into();
        self
    }

    /// Groups the keys that agree up to the first delimiter behind the prefix. Default: no groups.
    pub fn delimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = delimiter.into();
        self
    }

    /// Sets the most keys and groups of the page, 1 to 1000. Default: 100, as OSS has it.
    pub fn max_keys(mut self, max_keys: u16) -> Self {
        self.max_keys = Some(max_keys);
        self
    }

    /// Goes on where the page ended that named this token. The other options must be the same.
    pub fn continuation_token(mut self, token: impl Into<String>) -> Self {
        self.continuation_token = Some(token.into());
        self
    }

    /// Sends the request, once. The whole page is read, up to 8 MiB.
    ///
    /// # Errors
    /// As described at [`OssClient`]; `NoSuchBucket` (404) if there is no such bucket, and
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the prefix or the key to begin behind
    /// is longer than a key can be, or `max_keys` is not 1 to 1000. An answer that is cut off, not
    /// a listing or longer than any is an error: a page is complete or none.
    ///
    /// # Cancel safety
    /// Nothing is lost: asking has no effect.
    pub async fn send(self) -> Result<ObjectListing> {
        let context = Context::without_object("list");
        self.send_list().await.map_err(|error| context.wrap(error))
    }

    async fn send_list(self) -> Result<ObjectListing> {
        self.check()?;
        let mut call = Call::bucket("list", Method::GET, &self.bucket)
            .query("list-type", "2")
            // Not every key can stand in XML as it is.
            .query("encoding-type", "url")
            // A cache on a custom domain would give an earlier state.
            .header("cache-control", "no-cache");
        for (name, value) in [
            ("prefix", self.prefix),
            ("start-after", self.start_after),
            ("delimiter", self.delimiter),
        ] {
            if !value.is_empty() {
                call = call.query(name, &value);
            }
        }
        if let Some(max_keys) = self.max_keys {
            call = call.query("max-keys", &max_keys.to_string());
        }
        if let Some(token) = self.continuation_token {
            call = call.query("continuation-token", &token);
        }
        let answer = call.send(&self.client).await?;
        listing::read(answer, self.client.inner.attempt_timeout).await
    }

    fn check(&self) -> Result<()> {
        check_bucket(&self.bucket)?;
        for (name, value) in [("prefix", &self.prefix), ("start", &self.start_after)] {
            if value.len() > ObjectPath::MAX_KEY_LEN {
                return Err(Error::invalid_input(format!(
                    "the {name} of a listing has {} bytes: at most {} are allowed",
                    value.len(),
                    ObjectPath::MAX_KEY_LEN
                )));
            }
        }
        match self.max_keys {
            Some(most) if !(1..=MAX_KEYS).contains(&most) => Err(Error::invalid_input(format!(
                "a page of a listing has 1 to {MAX_KEYS} keys, not {most}"
            ))),
            _ => Ok(()),
        }
    }
}
