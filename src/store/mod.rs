//! The small interface between the exactness layer and the wire: what an object store for appends
//! must be able to do, and the values that cross it.

pub(crate) mod ability;
pub(crate) mod listing;
pub(crate) mod options;
pub(crate) mod request;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use self::ability::{Evidence, StoreLimits};
use self::listing::KeyPage;
use self::request::{AppendAnswer, AppendRequest};
use crate::error::Result;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

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

    /// The limits of this store, the same in every call. None, unless this is implemented.
    fn limits(&self) -> StoreLimits {
        StoreLimits::default()
    }

    /// What its answers prove, the same in every call. The CRC-64 of the whole object, as with OSS,
    /// unless this is implemented.
    fn evidence(&self) -> Evidence {
        Evidence::default()
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

    fn limits(&self) -> StoreLimits {
        (**self).limits()
    }

    fn evidence(&self) -> Evidence {
        (**self).evidence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
