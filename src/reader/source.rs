//! Where answers come from.

use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use super::fixed::Seen;
use crate::client::{OssClient, Wanted};
use crate::error::Result;
use crate::store::options::RequestOptions;
use crate::values::path::ObjectPath;

/// An object that can be asked for: one request a call.
pub(super) trait Source: Clone + Send + Unpin + 'static {
    /// Asks what the object is.
    fn look(&self) -> BoxFuture<'static, Result<Seen>>;

    /// Asks for bytes of it: if `etag` is given, only of what that is the tag of.
    fn read(&self, wanted: Wanted, etag: Option<String>) -> BoxFuture<'static, Result<Part>>;
}

/// The answer to a read, as far as its headers tell.
pub(super) struct Part {
    /// What the object is.
    pub(super) seen: Seen,
    /// Which bytes come: it begins where it was to begin, and ends no later.
    pub(super) range: Range<u64>,
    /// The bytes. Fewer or more may come.
    pub(super) body: BoxStream<'static, Result<Bytes>>,
}

/// An object in OSS.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) client: OssClient,
    pub(super) object: ObjectPath,
    pub(super) options: RequestOptions,
}

impl Source for Stored {
    fn look(&self) -> BoxFuture<'static, Result<Seen>> {
        let Self { client, object, .. } = self.clone();
        async move {
            let meta = client.head_object(&object).send().await?;
            meta.check_origin("head", &object)?;
            Ok(meta.into())
        }
        .boxed()
    }

    fn read(&self, wanted: Wanted, etag: Option<String>) -> BoxFuture<'static, Result<Part>> {
        let object = self.object.clone();
        let request = (self.client.get_object(&object).wanted(wanted))
            .if_match(etag)
            .request_options(self.options.clone());
        async move {
            let answer = request.send().await?;
            answer.meta.check_origin("get", &object)?;
            Ok(Part {
                seen: answer.meta.into(),
                range: answer.range,
                body: answer.body.boxed(),
            })
        }
        .boxed()
    }
}
