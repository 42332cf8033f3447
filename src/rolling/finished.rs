//! What is told about an object that has been finished.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::stage::RollReason;
use crate::values::path::ObjectPath;
use crate::writer::worker::panicked;

/// An object that a [`RollingWriter`](crate::RollingWriter) has finished: everything that it wrote
/// to it is durable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FinishedObject {
    /// The object.
    pub object: ObjectPath,
    /// Where our bytes are: it begins at 0 unless the object was continued. The end is the object's
    /// length, as last proven. In a shared object the bytes of others are among them.
    pub range: Range<u64>,
    /// The CRC-64 of the whole object up to the end of `range`, where known.
    pub crc64: Option<u64>,
    /// When the object was opened.
    pub first: SystemTime,
    /// When its last append was acknowledged.
    pub last: SystemTime,
    /// Why it was finished.
    pub reason: RollReason,
    /// Whether we have sealed it.
    pub sealed: bool,
    /// Why it could not be sealed, if it should have been. Its bytes are durable nevertheless.
    pub seal_error: Option<Error>,
}

/// Called with each finished object.
#[derive(Clone)]
pub(super) struct OnFinished(Arc<dyn Fn(FinishedObject) + Send + Sync>);

impl OnFinished {
    pub(super) fn new(call: impl Fn(FinishedObject) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// Tells of `object`. A panic is an error, and goes no further.
    pub(super) fn call(&self, object: FinishedObject) -> Result<()> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(object)))
            .map_err(|panic| panicked("on_finished", &*panic))
    }
}

impl fmt::Debug for OnFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnFinished")
    }
}
