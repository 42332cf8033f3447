//! The operations: each reads its arguments from a request before the body comes, and is then
//! applied to the storage.

pub(super) mod append;
mod buckets;
mod listing;
mod multipart;
mod objects;

use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::answer::Answer;
use super::body::Received;
use super::object::Attributes;
use super::operation::Operation;
use super::refusal::Refusal;
use super::shared::Shared;
use super::storage::{Bucket, Slot};
use super::target::{Query, Target};

/// The most bytes of a body that is not an object's. A document with 1,000 of the longest keys, each
/// character escaped, has no more.
const MOST_OF_DOCUMENT: u64 = 8 * 1024 * 1024;

/// A request that is well-formed and allowed.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) parts: Parts,
    pub(super) arguments: Arguments,
}

/// What an operation needs beyond its target.
#[derive(Debug)]
pub(super) enum Arguments {
    None,
    Append {
        position: u64,
        attributes: Attributes,
    },
    Seal {
        position: u64,
    },
    Put {
        attributes: Attributes,
    },
    Part {
        number: u16,
    },
}

impl Arguments {
    /// Reads and checks the arguments of an operation.
    pub(super) fn read(
        operation: Operation,
        target: &Target,
        query: &Query,
        parts: &Parts,
    ) -> Result<Self, Refusal> {
        match operation {
            Operation::AppendObject => append::arguments(target, query, parts),
            Operation::SealAppendObject => append::seal_arguments(target, query),
            Operation::PutObject => objects::put_arguments(target, parts),
            Operation::InitiateMultipartUpload => multipart::initiate_arguments(target, parts),
            Operation::UploadPart | Operation::UploadPartCopy => {
                multipart::part_arguments(target, query)
            }
            _ => Ok(Self::None),
        }
    }

    /// The position of an append or a seal.
    pub(super) fn position(&self) -> Option<u64> {
        match self {
            Self::Append { position, .. } | Self::Seal { position } => Some(*position),
            Self::None | Self::Put { .. } | Self::Part { .. } => None,
        }
    }
}

impl Call {
    /// Does what the request asks for.
    pub(super) fn apply(self, shared: &Shared, body: Received) -> Result<Answer, Refusal> {
        match self.operation {
            Operation::AppendObject => append::append(shared, self, body),
            Operation::SealAppendObject => append::seal(shared, &self),
            Operation::HeadObject | Operation::GetObject => objects::get(shared, &self),
            Operation::GetObjectMeta => objects::meta(shared, &self),
            Operation::PutObject => objects::put(shared, self, body),
            Operation::DeleteObject => objects::delete(shared, &self),
            Operation::DeleteMultipleObjects => objects::delete_multiple(shared, &self, body),
            Operation::ListObjects => listing::objects(shared, &self),
            Operation::ListObjectsV2 => listing::objects_v2(shared, &self),
            Operation::InitiateMultipartUpload => multipart::initiate(shared, self),
            Operation::UploadPart => multipart::part(shared, &self, body),
            Operation::UploadPartCopy => multipart::part_copy(shared, &self),
            Operation::CompleteMultipartUpload => multipart::complete(shared, &self, body),
            Operation::AbortMultipartUpload => multipart::abort(shared, &self),
            Operation::ListParts => multipart::list_parts(shared, &self),
            Operation::ListMultipartUploads => multipart::list_uploads(shared, &self),
            Operation::PutBucket => buckets::put(shared, &self, body),
            Operation::DeleteBucket => buckets::delete(shared, &self),
            Operation::GetBucketInfo => buckets::info(shared, &self),
            Operation::ListBuckets => buckets::list(shared, &self),
            Operation::Unknown => Err(Refusal::method_not_allowed(&self.parts.method)),
        }
    }

    /// The most bytes that its body may have.
    pub(super) fn most_of_body(&self, shared: &Shared) -> u64 {
        let of_object = matches!(self.parts.method, Method::PUT | Method::POST);
        match &self.target.key {
            Some(_) if of_object => shared.max_object_size,
            _ => MOST_OF_DOCUMENT,
        }
    }

    /// Refuses a body that has more.
    pub(super) fn too_large(&self, shared: &Shared) -> Refusal {
        match self.operation {
            Operation::AppendObject => append::too_large(shared),
            _ => objects::too_large(shared),
        }
    }

    fn bucket_name(&self) -> &str {
        self.target.bucket.as_deref().unwrap_or_default()
    }

    fn key(&self) -> &str {
        self.target.key.as_deref().unwrap_or_default()
    }

    fn bucket(&self, shared: &Shared) -> Result<Arc<Bucket>, Refusal> {
        bucket(shared, self.bucket_name())
    }
}

fn bucket(shared: &Shared, name: &str) -> Result<Arc<Bucket>, Refusal> {
    shared
        .storage
        .bucket(name)
        .ok_or_else(|| Refusal::no_such_bucket(name))
}

/// Refuses to change an object that is under retention.
pub(super) fn check_mutable(slot: &Slot<'_>) -> Result<(), Refusal> {
    match slot.properties() {
        Some(object) if object.retained => Err(Refusal::immutable()),
        _ => Ok(()),
    }
}

/// The least and the most of `x-oss-traffic-limit`, in bit/s.
///
/// Source: <https://help.aliyun.com/en/oss/user-guide/0004-00000502>
const TRAFFIC_LIMITS: std::ops::RangeInclusive<u64> = 819_200..=838_860_800;

/// Checks the headers and parameters that mean the same with every operation.
pub(super) fn check_common(
    operation: Operation,
    query: &Query,
    parts: &Parts,
) -> Result<(), Refusal> {
    const LIMIT: &str = "x-oss-traffic-limit";
    let in_header = parts.headers.get(LIMIT).map(|value| value.as_bytes());
    let in_query = query.get(LIMIT).map(str::as_bytes);
    if in_header.is_some() && in_query.is_some() {
        return Err(Refusal::invalid_argument(
            "x-oss-traffic-limit should be specified either in query string or header, not both.",
        )
        .ec("0004-00000501"));
    }
    let limit = in_header.or(in_query);
    let number = |limit| str::from_utf8(limit).ok()?.parse().ok();
    if limit.is_some_and(|limit| number(limit).is_none_or(|bits| !TRAFFIC_LIMITS.contains(&bits))) {
        return Err(Refusal::invalid_argument(
            "x-oss-traffic-limit is invalid, should be specified between 819200(100KB/s) and \
             838860800(100MB/s).",
        )
        .ec("0004-00000502"));
    }
    if !operation.stores() && parts.headers.contains_key("x-oss-server-side-encryption") {
        return Err(Refusal::invalid_argument(
            "x-oss-server-side-encryption goes with uploads only.",
        )
        .ec("0005-00000002"));
    }
    Ok(())
}

/// Refuses conditions, which OSS knows only on reads.
fn no_conditions(parts: &Parts) -> Result<(), Refusal> {
    for name in [
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "If-Unmodified-Since",
    ] {
        if parts.headers.contains_key(name) {
            return Err(Refusal::bad_request(
                "NotImplemented",
                "A header you provided implies functionality that is not implemented.",
            )
            .ec("0017-00000245")
            .element("Header", name));
        }
    }
    Ok(())
}
