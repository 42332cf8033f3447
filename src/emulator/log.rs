//! What was asked of the server, for tests to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::operation::Operation;

use crate::values::locks::MutexExt;

/// Older requests are forgotten.
const MOST: usize = 100_000;

/// A request that the server received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestRecord {
    /// What was asked for.
    pub operation: Operation,
    /// The bucket, if the request named one.
    pub bucket: Option<String>,
    /// The key, if the request named one.
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
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Entries {
    records: VecDeque<RequestRecord>,
    /// How many were forgotten.
    forgotten: u64,
}

/// One request's place in the log.
#[derive(Debug)]
pub(super) struct Entry {
    log: Log,
    number: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            entries: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn begin(&self, record: RequestRecord) -> Entry {
        let mut entries = self.lock();
        if entries.records.len() == MOST {
            entries.records.pop_front();
            entries.forgotten += 1;
        }
        let number = entries.forgotten + entries.records.len() as u64;
        entries.records.push_back(record);
        drop(entries);
        self.changed.send_replace(());
        Entry {
            log: self.clone(),
            number,
        }
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        self.lock().records.iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        let mut entries = self.lock();
        entries.forgotten += entries.records.len() as u64;
        entries.records.clear();
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
    /// Changes the record and returns it, unless it has been forgotten.
    pub(super) fn update(&self, change: impl FnOnce(&mut RequestRecord)) -> Option<RequestRecord> {
        let mut entries = self.log.lock();
        let index = self.number.checked_sub(entries.forgotten);
        let record = index
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| entries.records.get_mut(index))
            .map(|record| {
                change(record);
                record.clone()
            });
        drop(entries);
        self.log.changed.send_replace(());
        record
    }
}
