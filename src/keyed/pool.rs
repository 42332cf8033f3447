//! What the handles of a keyed writer and the workers of its keys share: the table of keys, the
//! places for open ones, and the memory.
//!
//! A write waits for a place first, then for memory, and holds neither while it waits for its key.
//! Memory becomes free by appends alone, which need no place; so nobody waits in a circle.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use super::failed::{FailedKey, KeyedError, OnFailed};
use super::table::{Slot, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::writer::observer::Observer;
use crate::writer::{OssAppendWriter, Receipt, Unsent};

/// Starts the writer of a key.
pub(super) type Open =
    Box<dyn Fn(&str, Arc<dyn Observer>) -> Result<OssAppendWriter> + Send + Sync>;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_open: usize,
    /// How many more keys are closed than have to be.
    pub(super) ahead: usize,
    pub(super) idle_timeout: Duration,
    pub(super) buffer_capacity: u64,
    pub(super) max_failed_keys: usize,
}

pub(super) struct Pool {
    open: Open,
    limits: Limits,
    on_failed: Option<OnFailed>,
    /// Places for open keys.
    places: Arc<Semaphore>,
    /// Bytes of memory.
    memory: Semaphore,
    table: Mutex<Table>,
    /// Tells the sweeper that there is a key to wait for.
    used: Arc<Notify>,
    sweeper: OnceLock<AbortHandle>,
}

/// What a write has to do next.
enum Step {
    Written(Receipt),
    WaitForPlace,
    Prepare,
    WaitForMemory,
    WaitForRoom(Arc<Slot>),
    WaitForEnd(Arc<Slot>),
}

impl Pool {
    pub(super) fn start(
        open: Open,
        limits: Limits,
        on_failed: Option<OnFailed>,
        runtime: &Handle,
    ) -> Arc<Self> {
        let memory = usize::try_from(limits.buffer_capacity).unwrap_or(usize::MAX);
        let pool = Arc::new(Self {
            open,
            limits,
            on_failed,
            places: Arc::new(Semaphore::new(limits.max_open)),
            memory: Semaphore::new(memory.min(Semaphore::MAX_PERMITS)),
            table: Mutex::default(),
            used: Arc::new(Notify::new()),
            sweeper: OnceLock::new(),
        });
        let sweeping = sweep(Arc::downgrade(&pool), Arc::clone(&pool.used));
        let sweeper = runtime.spawn(sweeping).abort_handle();
        let _ = pool.sweeper.set(sweeper);
        pool
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn write(self: &Arc<Self>, key: &str, record: Bytes) -> Result<Receipt> {
        let context = |error: Error| error.with_operation("write");
        let mut turn = Turn::new(self, self.check_len(&record).map_err(context)?);
        loop {
            match self.try_write(key, &record, &mut turn).map_err(context)? {
                Step::Written(receipt) => return Ok(receipt),
                // Closed is the same as asked to go on: the table tells why.
                Step::WaitForPlace => {
                    // Whoever has the place may wait for this very memory.
                    turn.let_go_of_memory();
                    let place = Arc::clone(&self.places).acquire_owned().await;
                    turn.place = place.ok();
                }
                Step::Prepare => turn.prepared = Some(self.prepare(key).map_err(context)?),
                Step::WaitForMemory => {
                    turn.memory = self.memory.acquire_many(turn.permits()).await.ok();
                }
                Step::WaitForRoom(slot) => {
                    turn.let_go();
                    slot.writer.wait_room(turn.len).await;
                }
                Step::WaitForEnd(slot) => {
                    turn.let_go();
                    slot.gone().await;
                }
            }
        }
    }

    fn check_len(&self, record: &Bytes) -> Result<u64> {
        let len = record.len() as u64;
        let most = self.limits.buffer_capacity.min(u32::MAX.into());
        if len == 0 || len > most {
            return Err(Error::invalid_input(format!(
                "a record has 1 to {most} bytes (buffer_capacity), this one has {len}"
            )));
        }
        Ok(len)
    }

    fn prepare(self: &Arc<Self>, key: &str) -> Result<Prepared> {
        let key: Arc<str> = key.into();
        let id = fastrand::u64(..);
        let watcher = Watcher {
            pool: Arc::downgrade(self),
            key: Arc::clone(&key),
            id,
        };
        let writer = (self.open)(&key, Arc::new(watcher))?;
        Ok(Prepared { key, id, writer })
    }

    /// Goes as far as it can without waiting.
    fn try_write<'a>(&'a self, key: &str, record: &Bytes, turn: &mut Turn<'a>) -> Result<Step> {
        let mut guard = self.lock();
        let table = &mut *guard;
        table.check(key)?;
        let slot = match table.open.get(key) {
            Some(entry) if entry.closing => {
                return Ok(Step::WaitForEnd(Arc::clone(&entry.slot)));
            }
            Some(entry) => {
                let slot = Arc::clone(&entry.slot);
                match slot.writer.has_room(turn.len) {
                    Ok(true) => Some(slot),
                    Ok(false) => return Ok(Step::WaitForRoom(slot)),
                    Err(error) => return ended_or(error, slot),
                }
            }
            None => {
                table.check_failed(self.limits.max_failed_keys)?;
                if !std::mem::replace(&mut turn.wants_place, true) {
                    table.wanted_places += 1;
                }
                if turn.place.is_none() {
                    turn.place = Arc::clone(&self.places).try_acquire_owned().ok();
                }
                if turn.place.is_none() {
                    table.make_places(self.limits.max_open, self.limits.ahead);
                    return Ok(Step::WaitForPlace);
                }
                if turn.prepared.is_none() {
                    return Ok(Step::Prepare);
                }
                None
            }
        };
        if turn.memory.is_none() {
            turn.memory = self.memory.try_acquire_many(turn.permits()).ok();
        }
        if turn.memory.is_none() {
            if !std::mem::replace(&mut turn.wants_memory, true) {
                table.wanted_bytes += turn.len;
            }
            table.press(self.limits.buffer_capacity);
            return Ok(Step::WaitForMemory);
        }
        let receipt = match (slot, turn.prepared.take(), turn.place.take()) {
            (Some(slot), prepared, place) => {
                (turn.prepared, turn.place) = (prepared, place);
                match slot.writer.try_enqueue(record) {
                    Ok(Some(receipt)) => receipt,
                    Ok(None) => return Ok(Step::WaitForRoom(slot)),
                    Err(error) => return ended_or(error, slot),
                }
            }
            (None, Some(new), Some(place)) => {
                let Some(receipt) = new.writer.try_enqueue(record)? else {
                    return Err(Error::invalid_input("the key's buffer is too small for it"));
                };
                let slot = Arc::new(Slot::new(new.writer));
                table.insert(new.key, new.id, slot, place);
                receipt
            }
            (None, ..) => unreachable!("it has a place and is prepared"),
        };
        if let Some(memory) = turn.memory.take() {
            memory.forget();
        }
        let first = table.accepted(key, turn.len);
        turn.want_nothing(table);
        // What was accepted may be in the way of others.
        self.make_way(table);
        drop(guard);
        if first {
            self.used.notify_one();
        }
        Ok(Step::Written(receipt))
    }

    /// Sees to it that nobody waits for nothing.
    fn make_way(&self, table: &mut Table) {
        if table.wanted_bytes > 0 {
            table.press(self.limits.buffer_capacity);
        }
        table.make_places(self.limits.max_open, self.limits.ahead);
    }

    fn free(&self, bytes: u64) {
        self.memory
            .add_permits(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Issues what has been accepted, and waits until it is durable.
    pub(super) async fn flush(&self, at_once: bool) -> Result<(), KeyedError> {
        let waited = self.lock().issue_all(at_once);
        let mut failed = Vec::new();
        for (key, slot, target) in waited {
            if let Err(error) = slot.writer.wait_durable(target).await {
                failed.push((key, error));
            }
        }
        self.check_failed(failed)
    }

    /// Takes nothing more, and waits until all keys have been closed.
    pub(super) async fn shutdown(&self) -> Result<(), KeyedError> {
        self.close();
        self.places.close();
        self.memory.close();
        loop {
            let next = self
                .lock()
                .open
                .values()
                .next()
                .map(|e| Arc::clone(&e.slot));
            match next {
                Some(slot) => slot.gone().await,
                None => return self.check_failed(Vec::new()),
            }
        }
    }

    fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        table.close_all();
    }

    fn check_failed(&self, seen: Vec<(Arc<str>, Error)>) -> Result<(), KeyedError> {
        let mut failed = self.lock().failed.clone();
        failed.extend(seen);
        let named = |(key, error): (Arc<str>, Error)| (key.to_string(), error);
        KeyedError::check(failed.into_iter().map(named).collect())
    }
}

/// What to do after a writer took nothing: it is closed or has failed, which the table does not know
/// yet, or the record is at fault.
fn ended_or(error: Error, slot: Arc<Slot>) -> Result<Step> {
    match error.kind() {
        ErrorKind::InvalidInput { .. } => Err(error),
        _ => Ok(Step::WaitForEnd(slot)),
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
        let table = self.lock();
        for entry in table.open.values() {
            entry.slot.writer.drop_quietly();
        }
        if table.held() > 0 {
            tracing::warn!(
                keys = table.open.len(),
                bytes = table.held(),
                "KeyedWriter dropped with bytes that are not durable; call shutdown first"
            );
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .field("stats", &self.lock().stats())
            .finish_non_exhaustive()
    }
}

/// Closes the keys that are idle for too long.
async fn sweep(pool: Weak<Pool>, used: Arc<Notify>) {
    loop {
        let Some(pool) = pool.upgrade() else { return };
        let next = pool.lock().close_idle(pool.limits.idle_timeout);
        drop(pool);
        match next {
            Some(time) => tokio::time::sleep_until(time).await,
            None => used.notified().await,
        }
    }
}

/// The writer of a key that has no place in the table yet.
struct Prepared {
    key: Arc<str>,
    id: u64,
    writer: OssAppendWriter,
}

/// One write on its way, with what it has got for that so far.
struct Turn<'a> {
    pool: &'a Pool,
    len: u64,
    place: Option<OwnedSemaphorePermit>,
    prepared: Option<Prepared>,
    memory: Option<SemaphorePermit<'a>>,
    /// Whether it is counted among those who want a place, and memory.
    wants_place: bool,
    wants_memory: bool,
}

impl<'a> Turn<'a> {
    fn new(pool: &'a Pool, len: u64) -> Self {
        Self {
            pool,
            len,
            place: None,
            prepared: None,
            memory: None,
            wants_place: false,
            wants_memory: false,
        }
    }

    fn permits(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    fn want_nothing(&mut self, table: &mut Table) {
        if std::mem::take(&mut self.wants_place) {
            table.wanted_places -= 1;
        }
        if std::mem::take(&mut self.wants_memory) {
            table.wanted_bytes -= self.len;
        }
    }

    fn let_go_of_memory(&mut self) {
        if std::mem::take(&mut self.wants_memory) {
            self.pool.lock().wanted_bytes -= self.len;
        }
        self.memory = None;
    }

    /// Gives back what it has.
    fn let_go(&mut self) {
        if self.wants_place || self.wants_memory {
            let pool = self.pool;
            self.want_nothing(&mut pool.lock());
        }
        self.place = None;
        self.prepared = None;
        self.memory = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Tells the pool what the worker of a key does.
#[derive(Debug)]
struct Watcher {
    pool: Weak<Pool>,
    key: Arc<str>,
    /// Of this opening of the key.
    id: u64,
}

impl Observer for Watcher {
    fn durable(&self, bytes: u64) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let more = pool.lock().durable(&self.key, self.id, bytes);
        if more > 0 {
            pool.free(more);
            pool.make_way(&mut pool.lock());
        }
    }

    fn ended(&self, failure: Option<(Error, Unsent)>) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let _removal = Removal {
            pool: &pool,
            watcher: self,
        };
        let Some((error, unsent)) = failure else {
            return;
        };
        let known = pool.lock().fail(&self.key, self.id, error.clone());
        if let (true, Some(on_failed)) = (known, &pool.on_failed) {
            on_failed.call(FailedKey {
                key: self.key.to_string(),
                error,
                unsent,
            });
        }
    }
}

/// Takes a key out of the table, also after a panic of who was told of it.
struct Removal<'a> {
    pool: &'a Pool,
    watcher: &'a Watcher,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        let Self { pool, watcher } = self;
        let removed = pool.lock().remove(&watcher.key, watcher.id);
        let Some(entry) = removed else { return };
        let slot = Arc::clone(&entry.slot);
        let held = entry.accepted - entry.durable;
        // Its place is free before those who wait for its end try again.
        drop(entry);
        slot.is_gone();
        pool.free(held);
        pool.make_way(&mut pool.lock());
    }
}
