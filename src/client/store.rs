//! The client as an [`AppendStore`]: the same requests as the public operations.

use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::OssClient;
use super::operations::append::{AppendObjectRequest, SealAppendObjectRequest};
use super::operations::get::GetObjectRequest;
use super::operations::head::{HeadObjectRequest, ObjectMeta};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{AppendAnswer, AppendRequest, AppendStore, ObjectInfo, ObjectKind, ObjectPath};

impl AppendStore for OssClient {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        AppendObjectRequest::from_store(self.clone(), request)
            .send()
            .await
    }

    async fn head(&self, object: &ObjectPath) -> Result<Option<ObjectInfo>> {
        let request = HeadObjectRequest::new(self.clone(), object.clone());
        match request.send().await {
            Ok(meta) => {
                check_origin(&meta, "head", object)?;
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
                check_origin(&answer.meta, "get", object)?;
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
}

/// Refuses a success that is not of OSS, such as a login portal's page: it says nothing about the
/// object.
fn check_origin(meta: &ObjectMeta, operation: &'static str, object: &ObjectPath) -> Result<()> {
    let has_type = meta.kind != ObjectKind::Other(String::new());
    if has_type || meta.request_id.is_some() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::BadAnswer {
        status: 200,
        reason: "it has no object type and no request id, so it is not of OSS".into(),
        request_id: None,
    })
    .with_operation(operation)
    .with_object(object))
}

/// The EC of `NoSuchKey`.
const NO_SUCH_KEY_EC: &str = "0026-00000001";

/// Whether OSS itself says that the bucket has no such object. A 404 of something between, or of a
/// missing bucket, says nothing about the object.
fn is_missing_object(error: &Error) -> bool {
    error.service_error().is_some_and(|answer| {
        let code_says_so = match &*answer.code {
            "NoSuchKey" => true,
            // OSS names the code in a header; where that got lost on the way, its EC or at least
            // its request id must be there.
            "" => match &answer.ec {
                Some(ec) => ec == NO_SUCH_KEY_EC,
                None => answer.request_id.is_some(),
            },
            _ => false,
        };
        answer.status == 404 && code_says_so
    })
}

fn is_behind_the_end(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.status == 416)
}
