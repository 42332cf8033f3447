//! How much of the disk a log takes, and with it the logs that share a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The size of all files of a log, in bytes. It is part of that of all as long as the log is open.
#[derive(Debug)]
pub(super) struct Size {
    own: u64,
    /// The logs that share a bound, this one included.
    all: Option<Arc<AtomicU64>>,
}

impl Size {
    pub(super) fn new(own: u64, all: Option<Arc<AtomicU64>>) -> Self {
        let mut size = Self { own: 0, all };
        size.set(own);
        size
    }

    pub(super) fn own(&self) -> u64 {
        self.own
    }

    /// What counts for the bound.
    pub(super) fn counted(&self) -> u64 {
        match &self.all {
            Some(all) => all.load(Ordering::Relaxed),
            None => self.own,
        }
    }

    pub(super) fn set(&mut self, own: u64) {
        if let Some(all) = &self.all {
            // Both wrap, so it does not matter which is greater.
            all.fetch_add(own.wrapping_sub(self.own), Ordering::Relaxed);
        }
        self.own = own;
    }
}

impl Drop for Size {
    fn drop(&mut self) {
        self.set(0);
    }
}
