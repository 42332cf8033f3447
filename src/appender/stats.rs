//! Counters of an appender, readable while it works.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::Error;

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

#[derive(Debug, Default)]
pub(crate) struct Counters {
    durable: AtomicU64,
    appends: AtomicU64,
    retries: AtomicU64,
    reconciles: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<Error>,
    success: Option<SystemTime>,
}

impl Counters {
    pub(crate) fn durable(&self, bytes: u64) {
        self.durable.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn append(&self) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.last().success = Some(SystemTime::now());
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reconcile(&self) {
        self.reconciles.fetch_add(1, Ordering::Relaxed);
    }

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

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
