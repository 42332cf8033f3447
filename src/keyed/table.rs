//! The keys that are open, and those that have failed: what the one lock of a keyed writer protects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::stats::KeyedStats;
use crate::error::{Error, ErrorKind, Result};
use crate::writer::OssAppendWriter;

/// What part of the memory is asked for beyond what is needed now, when it is short.
const PRESSED_AHEAD: u64 = 16;

/// The writer of a key that is open.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) writer: OssAppendWriter,
    /// Has no permits; it is closed when the key is.
    gone: Semaphore,
}

impl Slot {
    pub(super) fn new(writer: OssAppendWriter) -> Self {
        Self {
            writer,
            gone: Semaphore::new(0),
        }
    }

    pub(super) fn is_gone(&self) {
        self.gone.close();
    }

    /// Waits until the key is not open any more.
    pub(super) async fn gone(&self) {
        let _closed = self.gone.acquire().await;
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Tells this opening of the key from others.
    pub(super) id: u64,
    pub(super) slot: Arc<Slot>,
    pub(super) closing: bool,
    /// Bytes taken in, durable, and asked to be issued without delay.
    pub(super) accepted: u64,
    pub(super) durable: u64,
    asked: u64,
    /// Its place in the order of use, and when that was.
    turn: u64,
    used: Instant,
    _place: OwnedSemaphorePermit,
}

impl Entry {
    /// Bytes that were asked to be issued and are not durable yet.
    fn moving(&self) -> u64 {
        self.asked.saturating_sub(self.durable)
    }

    /// Bytes that nothing has been done about yet.
    fn resting(&self) -> u64 {
        self.accepted - self.asked.max(self.durable)
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) open: HashMap<Arc<str>, Entry>,
    /// The open keys that are not being closed, the least recently used first.
    by_use: BTreeMap<u64, Arc<str>>,
    turns: u64,
    pub(super) failed: BTreeMap<Arc<str>, Error>,
    /// Nothing more is taken.
    pub(super) closed: bool,
    /// How many keys of `open` are being closed.
    closing: usize,
    /// How many writes want a place for a new key, and have it or wait for it.
    pub(super) wanted_places: usize,
    /// How many bytes wait for memory.
    pub(super) wanted_bytes: u64,
    records: u64,
    accepted: u64,
    durable: u64,
    lost: u64,
    /// The bytes of all open keys that were asked to be issued and are not durable yet.
    moving: u64,
}

impl Table {
    pub(super) fn check(&self, key: &str) -> Result<()> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed));
        }
        match self.failed.get(key) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Whether another key may be opened, and fail.
    pub(super) fn check_failed(&self, most: usize) -> Result<()> {
        match self.failed.first_key_value() {
            Some((_, error)) if self.failed.len() >= most => {
                let keys = self.failed.len();
                let kind = ErrorKind::TooManyFailedKeys { keys };
                Err(Error::new(kind).with_source(error.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn held(&self) -> u64 {
        self.accepted - self.durable - self.lost
    }

    pub(super) fn insert(
        &mut self,
        key: Arc<str>,
        id: u64,
        slot: Arc<Slot>,
        place: OwnedSemaphorePermit,
    ) {
        let entry = Entry {
            id,
            slot,
            closing: false,
            accepted: 0,
            durable: 0,
            asked: 0,
            turn: self.turns,
            used: Instant::now(),
            _place: place,
        };
        self.by_use.insert(self.turns, Arc::clone(&key));
        self.turns += 1;
        self.open.insert(key, entry);
    }

    /// A record of `len` bytes was given to the writer of an open `key`. True: before that, the
    /// sweeper had nothing to wait for.
    pub(super) fn accepted(&mut self, key: &str, len: u64) -> bool {
        self.records += 1;
        self.accepted += len;
        let only = self.by_use.len() == 1;
        if let Some(entry) = self.open.get_mut(key) {
            let first = only && entry.accepted == 0;
            entry.accepted += len;
            entry.used = Instant::now();
            if let Some(name) = self.by_use.remove(&entry.turn) {
                entry.turn = self.turns;
                self.by_use.insert(self.turns, name);
                self.turns += 1;
            }
            return first;
        }
        false
    }

    /// So much of this opening of `key` is durable: how much more than before.
    pub(super) fn durable(&mut self, key: &str, id: u64, durable: u64) -> u64 {
        let Some(entry) = self.open.get_mut(key).filter(|entry| entry.id == id) else {
            return 0;
        };
        let more = durable - entry.durable;
        self.moving -= entry.moving();
        entry.durable = durable;
        self.moving += entry.moving();
        self.durable += more;
        more
    }

    /// Makes the workers issue all that is not durable: the keys, and up to where of each.
    pub(super) fn issue_all(&mut self, at_once: bool) -> Vec<(Arc<str>, Arc<Slot>, u64)> {
        let mut issued = Vec::new();
        for (key, entry) in &mut self.open {
            if entry.accepted > entry.durable {
                let target = entry.slot.writer.issue(at_once);
                if at_once {
                    self.moving -= entry.moving();
                    entry.asked = target;
                    self.moving += entry.moving();
                }
                issued.push((Arc::clone(key), Arc::clone(&entry.slot), target));
            }
        }
        issued
    }

    /// Closes the open `key`: what it holds is issued, and nothing more is taken.
    pub(super) fn close(&mut self, key: &str) {
        if let Some(entry) = self.open.get_mut(key)
            && !entry.closing
        {
            entry.closing = true;
            self.moving -= entry.moving();
            entry.asked = entry.accepted;
            self.moving += entry.moving();
            self.closing += 1;
            self.by_use.remove(&entry.turn);
            entry.slot.writer.close();
        }
    }

    pub(super) fn close_all(&mut self) {
        let keys: Vec<_> = self.by_use.values().cloned().collect();
        for key in keys {
            self.close(&key);
        }
    }

    /// Closes the keys that were not used for `timeout`, and tells when the next will be due.
    pub(super) fn close_idle(&mut self, timeout: Duration) -> Option<Instant> {
        let now = Instant::now();
        while let Some((_, key)) = self.by_use.first_key_value() {
            let due = self.open.get(key)?.used.checked_add(timeout)?;
            if due > now {
                return Some(due);
            }
            let key = Arc::clone(key);
            self.close(&key);
        }
        None
    }

    /// Closes the least recently used keys, so that those who want places get them, and `ahead`
    /// more: those that come next need not wait as long.
    pub(super) fn make_places(&mut self, max_open: usize, ahead: usize) {
        if self.wanted_places == 0 {
            return;
        }
        let free = max_open.saturating_sub(self.open.len());
        if free + self.closing >= self.wanted_places {
            return;
        }
        while free + self.closing < self.wanted_places + ahead
            && let Some((_, key)) = self.by_use.first_key_value()
        {
            let key = Arc::clone(key);
            self.close(&key);
        }
    }

    /// Has as much issued as those wait for who want memory, from the keys that hold the most. With
    /// all of it on its way, or free, nobody waits for nothing.
    pub(super) fn press(&mut self, capacity: u64) {
        let wanted = self.wanted_bytes.min(capacity);
        let free = capacity - self.held().min(capacity);
        if free + self.moving >= wanted {
            return;
        }
        // More than that, since all keys have to be looked through each time, and since one append
        // after another is slow where several can be under way.
        let enough = (wanted + capacity / PRESSED_AHEAD).min(capacity);
        let mut resting: Vec<_> = self
            .open
            .values_mut()
            .filter(|entry| entry.resting() > 0)
            .collect();
        resting.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.resting()));
        for entry in resting {
            if free + self.moving >= enough {
                return;
            }
            self.moving -= entry.moving();
            entry.asked = entry.slot.writer.issue(true);
            self.moving += entry.moving();
        }
    }

    /// This opening of `key` has failed: nothing more is taken for it. False: it is not known.
    pub(super) fn fail(&mut self, key: &Arc<str>, id: u64, error: Error) -> bool {
        if self.open.get(key).is_none_or(|entry| entry.id != id) {
            return false;
        }
        self.close(key);
        self.failed.insert(Arc::clone(key), error);
        true
    }

    /// This opening of `key` has come to its end, and what it holds is lost.
    pub(super) fn remove(&mut self, key: &str, id: u64) -> Option<Entry> {
        if self.open.get(key)?.id != id {
            return None;
        }
        self.close(key);
        self.closing -= 1;
        let entry = self.open.remove(key)?;
        // A closed key costs nothing.
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to(self.open.len() * 2);
        }
        self.moving -= entry.moving();
        self.lost += entry.accepted - entry.durable;
        Some(entry)
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let idle = |entry: &&Entry| entry.accepted == entry.durable;
        KeyedStats {
            open: self.open.len(),
            idle: self.open.values().filter(idle).count(),
            closing: self.closing,
            failed_keys: self.failed.len(),
            records: self.records,
            accepted: self.accepted,
            durable: self.durable,
            buffered: self.held(),
            failed: self.lost,
        }
    }
}
