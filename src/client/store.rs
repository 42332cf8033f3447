//! The client as an [`AppendStore`]: the same requests as the public operations.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::OssClient;
use super::lane::HttpLane;
use super::operations::append::{AppendObjectRequest, SealAppendObjectRequest};
use super::operations::get::GetObjectRequest;
use super::operations::head::HeadObjectRequest;
use super::operations::list::{ListObjectsRequest, ListedObject};
use crate::error::{Error, ErrorKind, Refusal, Result};
use crate::store::AppendStore;
use crate::store::lane::Lane;
use crate::store::listing::KeyPage;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

impl AppendStore for OssClient {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        AppendObjectRequest::from_store(self.clone(), request)
            .send()
            .await
    }

    /// A client that was given an HTTP client of its own has none, and there is none over TLS by the
    /// platform's library or through a SOCKS proxy.
    fn lane(&self, object: &ObjectPath) -> Option<Box<dyn Lane>> {
        let connections = self.inner.connections.as_ref()?;
        if !connections.reach(&self.inner.endpoint, object.bucket()) {
            return None;
        }
        let bucket = Arc::clone(object.shared_bucket());
        Some(Box::new(HttpLane::new(self, connections, bucket)))
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let request = HeadObjectRequest::new(self.clone(), object.clone());
        match request.send().await {
            Ok(meta) => {
                meta.check_origin("head", object)?;
                Ok(Some(meta.into_info()))
            }
            Err(error) if is_missing_object(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let request = GetObjectRequest::new(self.clone(), object.clone()).range(range);
        match request.send().await {
            Ok(answer) => {
                answer.meta.check_origin("get", object)?;
                Ok(answer.body.boxed())
            }
            Err(error) if is_behind_the_end(&error) => Ok(stream::empty().boxed()),
            Err(error) => Err(error),
        }
    }

    async fn seal(&self, object: &ObjectPath, position: u64) -> Result<()> {
        SealAppendObjectRequest::new(self.clone(), object.clone(), position)
            .send()
            .await
            .map(drop)
    }

    /// Asks again behind a page that is empty although more follow, which OSS may answer.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Option<KeyPage>> {
        let after = after.unwrap_or_default();
        let mut request = ListObjectsRequest::new(self.clone(), bucket.to_owned())
            .prefix(prefix)
            .start_after(after)
            .max_keys(LIST_PAGE);
        for _ in 0..MAX_EMPTY_PAGES {
            let listing = request.clone().send().await?;
            match listing.next_continuation_token {
                Some(token) if listing.objects.is_empty() => {
                    request = request.continuation_token(token);
                }
                next => {
                    check_order(&listing.objects, prefix, after)
                        .map_err(|reason| bad_listing(reason, listing.request_id))?;
                    let last = listing.objects.last().map(|object| object.key.clone());
                    let objects = listing.objects.into_iter().map(ListedObject::into_key);
                    return Ok(Some(KeyPage::new(objects.collect(), next.and(last))));
                }
            }
        }
        Err(bad_listing("one empty page follows another", None))
    }
}

/// The most keys of a page, and the most that OSS gives.
const LIST_PAGE: u16 = 1000;

/// The most empty pages in a row.
const MAX_EMPTY_PAGES: u32 = 100;

/// Refuses a page that is not what was asked for: whoever goes on behind it would go in circles, or
/// miss keys.
fn check_order(objects: &[ListedObject], prefix: &str, after: &str) -> Result<(), &'static str> {
    let mut before = after;
    for object in objects {
        if !object.key.starts_with(prefix) {
            return Err("it has keys without the prefix");
        }
        if *object.key <= *before {
            return Err("its keys are not in order");
        }
        before = &object.key;
    }
    Ok(())
}

fn bad_listing(reason: &str, request_id: Option<String>) -> Error {
    Error::new(ErrorKind::BadAnswer {
        status: 200,
        reason: reason.into(),
        request_id,
    })
    .with_operation("list")
}

/// The EC of `NoSuchKey`.
const NO_SUCH_KEY_EC: &str = "0026-00000001";

/// Whether OSS itself says that the bucket has no such object. A 404 of something between, or of a
/// missing bucket, says nothing about the object.
pub(crate) fn is_missing_object(error: &Error) -> bool {
    error.service_error().is_some_and(|answer| {
        // OSS names the code in a header; where that got lost on the way, its EC or at least its
        // request id must be there.
        let without_code = || match &answer.ec {
            Some(ec) => ec == NO_SUCH_KEY_EC,
            None => answer.request_id.is_some(),
        };
        answer.refusal == Refusal::NoSuchObject
            || (answer.status == 404 && answer.code.is_empty() && without_code())
    })
}

fn is_behind_the_end(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.status == 416)
}
