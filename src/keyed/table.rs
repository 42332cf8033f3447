//! The open keys and the failed ones: what the one lock of a keyed writer protects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::stats::KeyedStats;
use crate::engine::flush::Waits;
use crate::error::{Error, ErrorKind, Result};
use crate::writer::OssAppendWriter;

/// What part of the memory is asked for beyond what is needed now, when it is short.
const PRESSED_AHEAD: u64 = 16;

/// How long a key that is being closed counts as a place that is about to be free. One that takes
/// longer is in trouble, and nobody else waits for it.
pub(super) const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Something that happens once, and that any number of tasks wait for.
#[derive(Debug)]
pub(super) struct Signal {
    /// Has no permits, and is closed when it has happened.
    closed: Semaphore,
}

impl Signal {
    pub(super) fn new() -> Self {
        Self {
            closed: Semaphore::new(0),
        }
    }

    /// It has happened. This wakes tasks, so no lock may be held.
    pub(super) fn raise(&self) {
        self.closed.close();
    }

    pub(super) async fn raised(&self) {
        let _closed = self.closed.acquire().await;
    }
}

/// The writer of a key that is open.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) writer: OssAppendWriter,
    /// The key is not open any more.
    pub(super) gone: Signal,
}

impl Slot {
    pub(super) fn new(writer: OssAppendWriter) -> Self {
        Self {
            writer,
            gone: Signal::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Tells this opening of the key from others.
    pub(super) id: u64,
    pub(super) slot: Arc<Slot>,
    /// Since when it is being closed.
    closing: Option<Instant>,
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
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Bytes in memory.
    pub(super) fn held(&self) -> u64 {
        self.accepted - self.durable
    }

    /// Bytes that were asked to be issued and are not durable yet.
    fn moving(&self) -> u64 {
        self.asked.saturating_sub(self.durable)
    }

    /// Bytes that nothing has been done about yet.
    fn resting(&self) -> u64 {
        self.accepted - self.asked.max(self.durable)
    }
}

/// How far a key has to come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Durable(u64),
    OnDisk(u64),
}

/// What a flush waits for.
#[derive(Debug, Default)]
pub(super) struct Issued {
    /// The keys, and up to where of each.
    pub(super) keys: Vec<(Arc<str>, Arc<Slot>, Target)>,
    /// One of them is held up, since many small flushes have come before this one.
    pub(super) held_up: bool,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) open: HashMap<Arc<str>, Entry>,
    /// The open keys that are not being closed, the least recently used first.
    by_use: BTreeMap<u64, Arc<str>>,
    turns: u64,
    pub(super) failed: BTreeMap<Arc<str>, Error>,
    /// Flushes that were held up.
    pub(super) waits: Waits,
    /// Nothing more is taken.
    pub(super) closed: bool,
    /// The keys of `open` that are being closed: since when, and the id of the opening.
    closing: BTreeSet<(Instant, u64)>,
    /// The keys that a write is about to open, which has a place for that or waits for one. The
    /// signal is raised when it has opened the key or has given up.
    pub(super) opening: HashMap<Arc<str>, Arc<Signal>>,
    /// How many bytes wait for memory.
    pub(super) wanted_bytes: u64,
    records: u64,
    accepted: u64,
    durable: u64,
    lost: u64,
    /// The bytes of all open keys that were asked to be issued and are not durable yet.
    moving: u64,
    /// Each key has a spool: what it holds may be on disk, and stay there.
    has_spools: bool,
    /// The keys that were opened for what an earlier process has left, and are not through with that.
    left: HashMap<Arc<str>, OwnedSemaphorePermit>,
    /// When anything became durable last.
    progress: Option<Instant>,
}

impl Table {
    pub(super) fn new(has_spools: bool) -> Self {
        Self {
            has_spools,
            ..Self::default()
        }
    }

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
            closing: None,
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

    /// The spool of an open `key` has so many bytes of an earlier process. If it was opened for them,
    /// it has a `turn` for that until they are durable.
    pub(super) fn found(&mut self, key: &Arc<str>, bytes: u64, turn: Option<OwnedSemaphorePermit>) {
        if let Some(entry) = self.open.get_mut(key) {
            entry.accepted += bytes;
            self.accepted += bytes;
            if let Some(turn) = turn.filter(|_| bytes > 0) {
                self.left.insert(Arc::clone(key), turn);
            }
        }
    }

    /// The part of the memory that each writer may use has become smaller.
    pub(super) fn have_less_memory(&self) {
        for entry in self.open.values() {
            entry.slot.writer.has_less_memory();
        }
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
            self.was_used(key, Instant::now());
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
        if entry.held() == 0 && !self.left.is_empty() {
            self.left.remove(key);
        }
        if more > 0 && self.has_spools {
            self.progress = Some(Instant::now());
        }
        more
    }

    /// Makes the workers issue all that is not durable.
    pub(super) fn issue_all(&mut self, at_once: bool) -> Issued {
        let mut issued = Issued::default();
        for (key, entry) in &mut self.open {
            if entry.accepted > entry.durable {
                let writer = &entry.slot.writer;
                let target = if !at_once && writer.flushes_to_disk() {
                    Target::OnDisk(entry.accepted)
                } else if at_once {
                    let target = writer.issue();
                    self.moving -= entry.moving();
                    entry.asked = target;
                    self.moving += entry.moving();
                    Target::Durable(target)
                } else {
                    let (target, held_up) = writer.issue_as_flush();
                    issued.held_up |= held_up;
                    Target::Durable(target)
                };
                let slot = Arc::clone(&entry.slot);
                issued.keys.push((Arc::clone(key), slot, target));
            }
        }
        issued
    }

    /// The open keys of which something is not on disk.
    pub(super) fn unspooled(&self) -> Issued {
        let unspooled = self.open.iter().filter(|(_, entry)| entry.held() > 0);
        let keys = unspooled.map(|(key, entry)| {
            let target = Target::OnDisk(entry.accepted);
            (Arc::clone(key), Arc::clone(&entry.slot), target)
        });
        Issued {
            keys: keys.collect(),
            held_up: false,
        }
    }

    /// Closes the open `key`: what it holds is issued, and nothing more is taken.
    pub(super) fn close(&mut self, key: &str) {
        if let Some(entry) = self.open.get_mut(key)
            && entry.closing.is_none()
        {
            let now = Instant::now();
            entry.closing = Some(now);
            self.closing.insert((now, entry.id));
            self.moving -= entry.moving();
            entry.asked = entry.accepted;
            self.moving += entry.moving();
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
            let entry = self.open.get(key)?;
            let due = entry.used.checked_add(timeout)?;
            if due > now {
                return Some(due);
            }
            let key = Arc::clone(key);
            match self.has_spools && entry.held() > 0 {
                // It would take nothing more before all of it is durable.
                true => self.was_used(&key, now),
                false => self.close(&key),
            }
        }
        None
    }

    fn was_used(&mut self, key: &str, now: Instant) {
        let Some(entry) = self.open.get_mut(key) else {
            return;
        };
        entry.used = now;
        if let Some(name) = self.by_use.remove(&entry.turn) {
            entry.turn = self.turns;
            self.by_use.insert(self.turns, name);
            self.turns += 1;
        }
    }

    /// Closes the least recently used keys, so that those who want places get them, and `ahead`
    /// more: those that come next need not wait as long.
    pub(super) fn make_places(&mut self, max_open: usize, ahead: usize) {
        let wanted = self.opening.len();
        if wanted == 0 {
            return;
        }
        let mut coming = max_open.saturating_sub(self.open.len()) + self.closing_in_time();
        if coming >= wanted {
            return;
        }
        if self.has_spools && !self.makes_progress() {
            return self.make_places_of_idle(wanted - coming);
        }
        while coming < wanted + ahead
            && let Some((_, key)) = self.by_use.first_key_value()
        {
            let key = Arc::clone(key);
            self.close(&key);
            coming += 1;
        }
    }

    /// Whether what a key holds can be expected to be durable soon.
    fn makes_progress(&self) -> bool {
        self.held() == 0 || (self.progress).is_some_and(|last| last.elapsed() < CLOSES_WITHIN)
    }

    /// Closes so many keys that hold nothing. The others go on, as their records have room on disk.
    fn make_places_of_idle(&mut self, wanted: usize) {
        let idle = self.by_use.values().filter(|key| {
            let entry = self.open.get(*key);
            entry.is_some_and(|entry| entry.held() == 0)
        });
        let idle: Vec<_> = idle.take(wanted).cloned().collect();
        for key in idle {
            self.close(&key);
        }
    }

    /// How many keys are being closed and can be expected to be gone soon.
    fn closing_in_time(&self) -> usize {
        match Instant::now().checked_sub(CLOSES_WITHIN) {
            Some(overdue) => self.closing.range((overdue, u64::MAX)..).count(),
            None => self.closing.len(),
        }
    }

    /// Whether the open `key` holds no more, with `len` more bytes, than is left to the others: so no
    /// number of keys takes all of the memory. One that holds nothing may take what there is. False:
    /// what it holds has been issued.
    pub(super) fn check_share(&mut self, key: &str, len: u64, capacity: u64) -> bool {
        if self.has_spools {
            return true;
        }
        let free = capacity.saturating_sub(self.held());
        let Some(entry) = self.open.get_mut(key) else {
            return true;
        };
        if entry.held() == 0 || len > free || entry.held() + len <= free - len {
            return true;
        }
        self.moving -= entry.moving();
        entry.asked = entry.slot.writer.issue();
        self.moving += entry.moving();
        false
    }

    /// Has as much issued as those wait for who want memory, from the keys that hold the most. With
    /// all of it on its way, or free, nobody waits for nothing.
    pub(super) fn press(&mut self, capacity: u64) {
        if self.has_spools {
            return;
        }
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
            entry.asked = entry.slot.writer.issue();
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
        self.left.remove(key);
        let entry = self.open.remove(key)?;
        if let Some(since) = entry.closing {
            self.closing.remove(&(since, id));
        }
        // A closed key costs nothing.
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to(self.open.len() * 2);
        }
        self.moving -= entry.moving();
        self.lost += entry.held();
        Some(entry)
    }

    pub(super) fn stats(&self) -> KeyedStats {
        let idle = |entry: &&Entry| entry.held() == 0;
        KeyedStats {
            open: self.open.len(),
            idle: self.open.values().filter(idle).count(),
            closing: self.closing.len(),
            failed_keys: self.failed.len(),
            records: self.records,
            accepted: self.accepted,
            durable: self.durable,
            buffered: self.held(),
            spooled: match self.has_spools {
                true => (self.open.values())
                    .map(|entry| entry.slot.writer.spooled_bytes())
                    .sum(),
                false => 0,
            },
            failed: self.lost,
        }
    }
}
