//! Counters of an appender, readable while it works and told to the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::engine::action::Told;
use crate::error::Error;
use crate::metrics;
use crate::values::locks::MutexExt as _;
use crate::values::path::ObjectPath;

/// What an appender has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AppendStats {
    /// Bytes proven to be in the object: appended, or in a replay found there.
    pub durable: u64,
    /// Appends that are proven to be in the object.
    pub appends: u64,
    /// Append requests beyond the first of each batch.
    pub retries: u64,
    /// Looks at the object to find out what happened.
    pub reconciles: u64,
    /// The last failure of a request, whether it was overcome or not.
    pub last_error: Option<Error>,
    /// When an append was last proven.
    pub last_success: Option<SystemTime>,
}

#[derive(Debug)]
pub(crate) struct Counters {
    bucket: Arc<str>,
    durable: AtomicU64,
    appends: AtomicU64,
    retries: AtomicU64,
    reconciles: AtomicU64,
    /// The store sends one append at a time now.
    has_no_lane: AtomicBool,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<Error>,
    success: Option<SystemTime>,
}

impl Counters {
    pub(crate) fn new(object: &ObjectPath) -> Self {
        metrics::describe();
        Self {
            bucket: Arc::clone(object.shared_bucket()),
            durable: AtomicU64::default(),
            appends: AtomicU64::default(),
            retries: AtomicU64::default(),
            reconciles: AtomicU64::default(),
            has_no_lane: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// Counts what an engine has told.
    pub(super) fn count(&self, told: Told) {
        if told.reconciles {
            self.reconcile();
        }
        if told.retried {
            self.retry();
        }
        if told.durable > 0 {
            self.durable(told.durable);
        }
        if let Some(took) = told.appended {
            self.append(took);
        }
        if let Some(error) = told.error {
            self.error(&error);
        }
    }

    pub(super) fn durable(&self, bytes: u64) {
        self.durable.fetch_add(bytes, Ordering::Relaxed);
        metrics::durable_bytes(&self.bucket, bytes);
    }

    /// An append was proven, so long after its first attempt.
    fn append(&self, took: Duration) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        metrics::append(&self.bucket, took);
        self.last().success = Some(SystemTime::now());
    }

    fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        metrics::retry(&self.bucket);
    }

    fn reconcile(&self) {
        self.reconciles.fetch_add(1, Ordering::Relaxed);
        metrics::reconcile(&self.bucket);
    }

    /// A request failed: once for each, overcome or not.
    pub(crate) fn failed_request(&self, error: &Error) {
        metrics::failed_request(&self.bucket, error.kind());
    }

    /// What is told as the last failure.
    pub(crate) fn error(&self, error: &Error) {
        self.last().error = Some(error.clone());
    }

    pub(crate) fn snapshot(&self) -> AppendStats {
        let last = self.last();
        AppendStats {
            durable: self.durable.load(Ordering::Relaxed),
            appends: self.appends.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            reconciles: self.reconciles.load(Ordering::Relaxed),
            last_error: last.error.clone(),
            last_success: last.success,
        }
    }

    /// Whether the store has a lane to the object at present.
    pub(super) fn note_lane(&self, has: bool) {
        self.has_no_lane.store(!has, Ordering::Relaxed);
    }

    /// How many of `most` appends may be under way at a time at present.
    pub(crate) fn in_flight(&self, most: u16) -> u16 {
        match self.has_no_lane.load(Ordering::Relaxed) {
            true => 1,
            false => most,
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.locked()
    }
}
