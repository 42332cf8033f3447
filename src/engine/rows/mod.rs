//! The engine's behaviour, row by row: a situation, what happens, what is done next, and what is
//! settled, durable and in doubt afterwards. No runtime, no store, no clock.
//!
//! A [`Row`] stands for both the caller and the store. A method named after an action
//! ([`appends`](Row::appends)) expects that the engine wants it next; one named after an event
//! ([`answered`](Row::answered)) tells the engine how it went. After each of them the invariants of
//! the window are checked, and that as many bytes are durable as were told to be.
//!
//! Most rows are about an object that holds `hello ` and a batch of `world`.

mod ahead;
mod cut;
mod evidence;
mod given_up;
mod look;
mod marks;
mod replay;
mod row;
mod seal;
mod settle;
mod shared;
mod time;
mod verify;
mod window;

use std::time::Duration;

use bytes::Bytes;

use self::row::Row;
use super::action::{Event, Goal};
use super::flush::Time;
use super::mark::{Mark, shown};
use super::replay::Ended;
use crate::error::{
    Conflict, ConflictCause, Error, ErrorKind, Landed, ServiceError, TransportCause,
};
use crate::store::ability::{Evidence, StoreLimits};
use crate::store::request::AppendAnswer;
use crate::values::crc64;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// What marks the objects that the writer creates.
const MARK: Mark = [7; 16];

/// The delivery timeout of the default rules.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The connection broke before an answer came.
fn broken() -> Error {
    Error::transport(TransportCause::Broken, "reset")
}

/// Nothing was sent.
fn no_connection() -> Error {
    Error::transport(TransportCause::Connect, "refused")
}

fn service(status: u16, code: &str) -> Error {
    Error::service(ServiceError::new(status, code))
}

/// Refused for good.
fn denied() -> Error {
    service(403, "AccessDenied")
}

/// Refused since the object is sealed.
fn closed() -> Error {
    service(409, "AppendSealedObjectNotAllowed")
}

/// The object's length is not the append's position.
fn mismatch(length: u64) -> Error {
    let mut answer = ServiceError::new(409, "PositionNotEqualToLength");
    answer.next_append_position = Some(length);
    Error::service(answer)
}

/// OSS asks to wait.
fn busy(retry_after: Duration) -> Error {
    let mut answer = ServiceError::new(503, "ServiceUnavailable");
    answer.retry_after = Some(retry_after);
    Error::service(answer)
}

fn kind(error: Error) -> ErrorKind {
    error.kind().clone()
}

fn conflict(cause: ConflictCause, expected: u64, found: impl Into<Option<u64>>) -> ErrorKind {
    ErrorKind::Conflict(Conflict::new(cause, expected, found.into()))
}

fn exhausted(attempts: u32, stalled: Duration) -> ErrorKind {
    ErrorKind::RetriesExhausted { attempts, stalled }
}

fn object(content: &str) -> ObjectInfo {
    let crc64 = crc64::checksum(content.as_bytes());
    ObjectInfo::appendable(content.len() as u64, Some(crc64))
}

/// The same, from an endpoint that gives no checksum.
fn without_crc(content: &str) -> ObjectInfo {
    ObjectInfo::appendable(content.len() as u64, None)
}

fn tagged(tag: &str, content: &str) -> ObjectInfo {
    ObjectInfo {
        etag: Some(tag.into()),
        ..without_crc(content)
    }
}

fn sealed(content: &str) -> ObjectInfo {
    ObjectInfo {
        sealed: true,
        ..object(content)
    }
}

fn not_appendable(content: &str) -> ObjectInfo {
    ObjectInfo {
        kind: ObjectKind::Other("Normal".into()),
        ..object(content)
    }
}

fn created_by(creator: &str, content: &str) -> ObjectInfo {
    ObjectInfo {
        creator: Some(creator.into()),
        ..object(content)
    }
}

/// An answer that names this as the object's content.
fn answer(content: &str) -> AppendAnswer {
    AppendAnswer::new(content.len() as u64, crc64::checksum(content.as_bytes()))
}
