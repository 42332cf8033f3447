//! One append and its answer, as they cross the interface.

use std::sync::Arc;
use std::time::Duration;

use super::options::{ObjectOptions, RequestOptions};
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;

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
