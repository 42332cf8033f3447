//! The small interface between the exactness layer and the wire: what an object store for appends
//! must be able to do, and the values that cross it.

pub(crate) mod ability;
pub(crate) mod ignored;
pub(crate) mod lane;
pub(crate) mod listing;
pub(crate) mod options;
pub(crate) mod request;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use self::ability::{Evidence, StoreLimits};
use self::lane::Lane;
use self::listing::KeyPage;
use self::request::{AppendAnswer, AppendRequest};
#[cfg(doc)]
use crate::error::Refusal;
use crate::error::Result;
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

/// A store of appendable objects: one request per call, no retries.
///
/// [`OssClient`](crate::OssClient) implements it over HTTP, and with the feature `testing`
/// `testing::MemoryStore` in memory. Every method returns the outcome of exactly one attempt, since
/// the layer above has to see each.
///
/// # The contract
/// Exactness rests on these rules. The suite `testing::Conformance` (feature `testing`) checks each
/// of them with any store; run it against your own.
///
/// 1. **An append is applied whole or not at all, and only at the object's length.** The length is
///    compared and the bytes are added in one step: of several appends at one position exactly one
///    is applied. An append at position 0 creates the object if there is none, and so does an empty
///    one. (A store that tears appends is survived: the look after a lost answer finds the part.)
/// 2. **A success means that the append was applied**, and its answer names the object's new length.
///    It is given after the bytes are as durable as they will be.
/// 3. **A refusal says what it means by its [`Refusal`].** Wherever that is not
///    [`InDoubt`](crate::Refusal::InDoubt) or [`Between`](crate::Refusal::Between), the request was
///    not applied and will not be.
/// 4. **Whatever is not known is an error that says so**: a lost connection and a timeout are
///    [`ErrorKind::Transport`](crate::ErrorKind::Transport) (with
///    [`Connect`](crate::TransportCause::Connect) only if nothing was sent), an answer that cannot be
///    read is [`ErrorKind::BadAnswer`](crate::ErrorKind::BadAnswer). The object is looked at then.
/// 5. **Looks and reads show what is there at this moment**: at least every append that was answered
///    before. No cache stands between. A missing object is told apart from a failure and from a
///    missing bucket.
/// 6. **An append that was sent may be applied later**, after its answer was lost or its future
///    dropped, but never behind another append: its position is wrong by then. A sealed object takes
///    nothing any more, not even what was sent before.
/// 7. **Only what is promised is believed**: [`evidence`](Self::evidence) and
///    [`limits`](Self::limits) are the same in every call.
///
/// ## What a refusal looks like
/// | what has happened | how the store says it |
/// |---|---|
/// | the position is not the object's length | [`Refusal::Position`], best with [`next_append_position`](crate::ServiceError::next_append_position) |
/// | the object is sealed | [`Refusal::Sealed`], and [`ObjectInfo::sealed`] |
/// | the object was not made by appends | [`Refusal::NotAppendable`], and [`ObjectInfo::kind`] is [`Other`](crate::ObjectKind::Other) |
/// | a policy keeps the object as it is | [`Refusal::Immutable`] |
/// | the bucket is missing | [`Refusal::NoSuchBucket`] |
/// | there are too many requests, and this one was not applied | [`Refusal::Throttled`], best with [`retry_after`](crate::ServiceError::retry_after) |
/// | the store has failed, and may have applied it | [`Refusal::InDoubt`] |
///
/// ## What an answer proves
/// By the declared [`Evidence`]: with [`Crc64`](Evidence::Crc64), position and checksum of the whole
/// object; an answer without them is followed by a look. With [`Tag`](Evidence::Tag) and
/// [`Length`](Evidence::Length), the position is the store's word for this very append. An answer
/// that names another position or checksum than expected is an error for good: the object holds
/// what nobody sent.
///
/// After a lost answer, the object is looked at. With [`Crc64`](Evidence::Crc64) the checksum tells
/// whether the append is in it. Neither a tag, which cannot be computed beforehand, nor a length can
/// tell: the bytes at the append's position are read back and compared. An equal tag at an equal
/// length proves that nothing has changed since; another tag there, that the object was replaced.
///
/// # Cancel safety
/// A dropped `append` or `seal` future may or may not have taken effect.
pub trait AppendStore: Send + Sync + 'static {
    /// Appends `request.body` at `request.position`, or refuses.
    ///
    /// While the body moves, the store advances [`request.progress`](AppendRequest::progress): an
    /// append in which nothing moves for an attempt timeout is given up.
    ///
    /// # Errors
    /// As the contract says. A position that is not the object's length is
    /// [`Refusal::Position`], also where there is no object.
    fn append(&self, request: AppendRequest) -> impl Future<Output = Result<AppendAnswer>> + Send;

    /// What the object is at this moment; `None` if there is no such object.
    ///
    /// # Errors
    /// A missing bucket is an error; a missing object is not.
    fn head(&self, object: &ObjectPath) -> impl Future<Output = Result<Option<ObjectInfo>>> + Send;

    /// Reads the bytes of `range`. The stream ends early if the object does, and is empty for a
    /// range beyond its end.
    ///
    /// # Errors
    /// [`Refusal::NoSuchObject`] if there is no object.
    fn read_range(
        &self,
        object: &ObjectPath,
        range: Range<u64>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes>>>> + Send;

    /// Seals the object, whose length must be `position`. Sealing a sealed object succeeds.
    ///
    /// # Errors
    /// [`Refusal::Position`] if the object has another length. A store that cannot seal refuses it
    /// as [`Refusal::Other`].
    fn seal(&self, object: &ObjectPath, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// The keys that begin with `prefix`, after `after`, in the order of their bytes: one page.
    /// `None`: this store cannot list, which is the default.
    ///
    /// Asking again with the [`next`](KeyPage::next) of each page reaches the end. A key that is
    /// there all the while is in exactly one of the pages.
    ///
    /// # Errors
    /// A missing bucket is an error, not an empty page.
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Option<KeyPage>>> + Send {
        let _ = (bucket, prefix, after);
        std::future::ready(Ok(None))
    }

    /// A way on which several appends to `object` can be in flight at a time. `None`: this store
    /// has none, which is the default.
    ///
    /// Whether there are lanes must be the same in every call.
    fn lane(&self, object: &ObjectPath) -> Option<Box<dyn Lane>> {
        let _ = object;
        None
    }

    /// The limits of this store, the same in every call. Default: none.
    fn limits(&self) -> StoreLimits {
        StoreLimits::default()
    }

    /// What its answers prove, the same in every call. Default: the CRC-64 of the whole object, as
    /// with OSS.
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

    fn lane(&self, object: &ObjectPath) -> Option<Box<dyn Lane>> {
        (**self).lane(object)
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
