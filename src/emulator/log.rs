//! What was asked of the server, for tests to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::operation::Operation;

use crate::values::locks::MutexExt;

/// How many requests are remembered unless it was said.
pub(super) const MOST: usize = 100_000;

/// The most bytes of a key that are remembered. OSS takes no longer ones.
const MOST_OF_KEY: usize = 1023;

/// A request that the server received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// What was asked for.
    pub operation: Operation,
    /// The bucket, if the request named one.
    pub bucket: Option<String>,
    /// The key, if the request named one. The first 1,023 bytes of it: no object has a longer one.
    pub key: Option<String>,
    /// The position of an append or a seal, if it was well-formed.
    pub position: Option<u64>,
    /// The length of the body, once it was received whole.
    pub body_length: Option<u64>,
    /// The status of the answer. `None` until there is one, and if a fault prevented it.
    pub status: Option<u16>,
    /// OSS's code for an error answer.
    pub code: Option<String>,
    /// The name of the [`Action`](super::Action) that struck it, such as `drop-answer`.
    pub fault: Option<&'static str>,
}

/// All requests, oldest first. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Log {
    entries: Arc<Mutex<Entries>>,
    /// How many are remembered.
    most: usize,
    changed: watch::Sender<()>,
}

type Entries = VecDeque<Arc<Mutex<RequestRecord>>>;

/// One request, whether the log still has it or not.
#[derive(Debug)]
pub(super) struct Entry {
    log: Log,
    record: Arc<Mutex<RequestRecord>>,
}

impl Log {
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: Arc::default(),
            most,
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn begin(&self, mut record: RequestRecord) -> Entry {
        if let Some(key) = &mut record.key
            && key.len() > MOST_OF_KEY
        {
            let mut end = MOST_OF_KEY;
            while !key.is_char_boundary(end) {
                end -= 1;
            }
            key.truncate(end);
            key.shrink_to_fit();
        }
        let record = Arc::new(Mutex::new(record));
        if self.most > 0 {
            let mut entries = self.lock();
            if entries.len() == self.most {
                entries.pop_front();
            }
            entries.push_back(Arc::clone(&record));
            drop(entries);
            self.changed.send_replace(());
        }
        Entry {
            log: self.clone(),
            record,
        }
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        let entries = self.lock();
        entries.iter().map(|entry| entry.locked().clone()).collect()
    }

    /// The last of them.
    pub(super) fn last(&self, most: usize) -> Vec<RequestRecord> {
        let entries = self.lock();
        let first = entries.len().saturating_sub(most);
        let last = entries.range(first..);
        last.map(|entry| entry.locked().clone()).collect()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Waits until the requests fulfil a condition.
    pub(super) async fn wait_for(&self, mut condition: impl FnMut(&[RequestRecord]) -> bool) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            // The condition may ask the server itself.
            let records = self.records();
            if condition(&records) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.locked()
    }
}

impl Entry {
    /// Changes the record.
    pub(super) fn update(&self, change: impl FnOnce(&mut RequestRecord)) {
        change(&mut self.record.locked());
        if self.log.most > 0 {
            self.log.changed.send_replace(());
        }
    }

    /// The record as it is now.
    pub(super) fn record(&self) -> RequestRecord {
        self.record.locked().clone()
    }
}
