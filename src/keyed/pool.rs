//! What the handles of a keyed writer and the workers of its keys share: the table of keys, the
//! places for open ones, and the memory.
//!
//! A write first waits for a place, then for memory, and holds neither while it waits for its key.
//! Only appends free memory, and they need no place; so there is no circular wait.
//!
//! No key waits for the trouble of another. For each key that is not open one write waits for a
//! place, and the others wait for that write. If a key does not close in time, another one is
//! closed for its place. A key takes no more memory than it leaves to the others. The lock is never
//! held across a wait or a call of a caller's code.
//!
//! With a spool, each key has one of its own. Then nothing waits for memory: the writers of the
//! keys have equal parts of it, and what does not fit goes by the disk. A thread that may block
//! opens a key, which is in the table before its worker does anything.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::failed::{FailedKey, KeyedError, OnFailed};
use super::table::{CLOSES_WITHIN, Issued, Signal, Slot, Table, Target};
use crate::callback::caught;
use crate::engine::flush::SLOWED_DOWN;
use crate::error::{Error, ErrorKind, Result};
use crate::values::locks::MutexExt as _;
use crate::writer::intake::Admission;
use crate::writer::observer::Observer;
use crate::writer::parts::Worker;
use crate::writer::spooling::Spool;
use crate::writer::spooling::many::KeySpools;
use crate::writer::{OssAppendWriter, Receipt, Unsent};

/// Makes the writer of a key.
pub(super) type Open = Box<
    dyn Fn(&str, Arc<dyn Observer>, Option<Spool>) -> Result<(OssAppendWriter, Worker)>
        + Send
        + Sync,
>;

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
    pub(super) limits: Limits,
    pub(super) on_failed: Option<OnFailed>,
    /// Places for open keys.
    pub(super) places: Arc<Semaphore>,
    /// Bytes of memory.
    memory: Semaphore,
    /// Nothing more is taken.
    stopped: Signal,
    table: Mutex<Table>,
    /// Tells the sweeper that there is a key to wait for.
    pub(super) used: Arc<Notify>,
    sweeper: OnceLock<AbortHandle>,
    pub(super) spools: Option<KeySpools>,
    /// What an earlier process has left is being delivered, or there is nothing.
    pub(super) left: Signal,
    pub(super) runtime: Handle,
    /// The time from which it counts.
    origin: Instant,
}

/// What a write has to do next.
enum Step {
    Written(Receipt),
    /// Another write is about to open the key.
    WaitForOpening(Arc<Signal>),
    WaitForPlace,
    Prepare,
    WaitForMemory,
    /// The key holds its share of the memory, and so much of it is durable.
    WaitForShare(Arc<Slot>, u64),
    WaitForRoom(Arc<Slot>),
    WaitForEnd(Arc<Slot>),
}

impl Pool {
    pub(super) fn start(
        open: Open,
        limits: Limits,
        on_failed: Option<OnFailed>,
        spools: Option<KeySpools>,
        runtime: &Handle,
    ) -> Arc<Self> {
        let memory = usize::try_from(limits.buffer_capacity).unwrap_or(usize::MAX);
        let pool = Arc::new(Self {
            open,
            limits,
            on_failed,
            places: Arc::new(Semaphore::new(limits.max_open)),
            memory: Semaphore::new(memory.min(Semaphore::MAX_PERMITS)),
            stopped: Signal::new(),
            table: Mutex::new(Table::new(spools.is_some())),
            used: Arc::new(Notify::new()),
            sweeper: OnceLock::new(),
            spools,
            left: Signal::new(),
            runtime: runtime.clone(),
            origin: Instant::now(),
        });
        let sweeping = sweep(Arc::downgrade(&pool), Arc::clone(&pool.used));
        let sweeper = runtime.spawn(sweeping).abort_handle();
        let _ = pool.sweeper.set(sweeper);
        pool
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.locked()
    }

    pub(super) async fn write(self: &Arc<Self>, key: &str, record: Bytes) -> Result<Receipt> {
        let context = |error: Error| error.with_operation("write");
        let mut turn = Turn::new(self, self.check_len(&record).map_err(context)?);
        loop {
            match self.try_write(key, &record, &mut turn).map_err(context)? {
                Step::Written(receipt) => return Ok(receipt),
                // Whoever has the place, or the key, may wait for the very memory that this has.
                Step::WaitForOpening(opening) => {
                    turn.let_go_of_memory();
                    self.unless_stopped(opening.raised()).await;
                }
                Step::WaitForPlace => {
                    turn.let_go_of_memory();
                    turn.place = tokio::select! {
                        biased;
                        () = self.stopped.raised() => None,
                        place = self.wait_for_place() => place,
                    };
                }
                Step::Prepare => match (&self.spools, turn.opening.take(), turn.place.take()) {
                    (Some(_), Some(opening), Some(place)) => {
                        let opened = self.open_beside(opening, place, None).await;
                        opened.map_err(context)?;
                    }
                    (_, opening, place) => {
                        (turn.opening, turn.place) = (opening, place);
                        turn.prepared = Some(self.prepare(key).map_err(context)?);
                    }
                },
                // Closed is the same as asked to go on: the table tells why.
                Step::WaitForMemory => {
                    turn.memory = self.memory.acquire_many(turn.permits()).await.ok();
                }
                Step::WaitForShare(slot, durable) => {
                    turn.let_go_of_memory();
                    let progress = slot.writer.wait_durable(durable + 1);
                    self.unless_stopped(progress).await;
                }
                Step::WaitForRoom(slot) => {
                    turn.let_go_of_memory();
                    let waiter = slot.writer.waiter();
                    let room = poll_fn(|cx| {
                        waiter.poll_admission(cx, |intake| intake.admit(turn.len, true))
                    });
                    self.unless_stopped(room).await;
                }
                Step::WaitForEnd(slot) => {
                    turn.let_go_of_memory();
                    self.unless_stopped(slot.gone.raised()).await;
                }
            }
        }
    }

    /// Takes `record` in for an open key, if nothing has to be waited for; tells whether it did.
    pub(super) fn try_write_now(self: &Arc<Self>, key: &str, record: &Bytes) -> Result<bool> {
        let context = |error: Error| error.with_operation("write");
        let mut turn = Turn::new(self, self.check_len(record).map_err(context)?);
        let step = self.try_write(key, record, &mut turn).map_err(context)?;
        Ok(matches!(step, Step::Written(_)))
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Waits for `event`, or until nothing more is taken.
    async fn unless_stopped<T>(&self, event: impl Future<Output = T>) {
        tokio::select! {
            biased;
            () = self.stopped.raised() => {}
            _ = event => {}
        }
    }

    /// Waits for a place, and has others closed when those that were to make one take too long.
    pub(super) async fn wait_for_place(&self) -> Option<OwnedSemaphorePermit> {
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place.ok(),
                () = tokio::time::sleep(CLOSES_WITHIN) => self.make_way(&mut self.lock()),
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
        let (prepared, worker) = self.make(key.into())?;
        worker.run(&self.runtime);
        Ok(prepared)
    }

    pub(super) fn make(self: &Arc<Self>, key: Arc<str>) -> Result<(Prepared, Worker)> {
        let id = fastrand::u64(..);
        let watcher = Watcher {
            pool: Arc::downgrade(self),
            key: Arc::clone(&key),
            id,
        };
        let spool = self.spools.as_ref().map(|spools| spools.of(&key));
        let (writer, worker) = (self.open)(&key, Arc::new(watcher), spool)?;
        Ok((Prepared { key, id, writer }, worker))
    }

    /// Goes as far as it can without waiting.
    fn try_write<'a>(
        self: &'a Arc<Self>,
        key: &str,
        record: &Bytes,
        turn: &mut Turn<'a>,
    ) -> Result<Step> {
        let mut guard = self.lock();
        let table = &mut *guard;
        table.check(key)?;
        let slot = match table.open.get(key) {
            Some(entry) if entry.is_closing() => {
                return Ok(Step::WaitForEnd(Arc::clone(&entry.slot)));
            }
            Some(entry) => {
                let (slot, durable) = (Arc::clone(&entry.slot), entry.durable);
                let admission = slot.writer.intake().admit(turn.len, true);
                match admission {
                    Admission::Now(_) => {}
                    Admission::Wait => return Ok(Step::WaitForRoom(slot)),
                    Admission::Never(error) => return ended_or(error, slot),
                }
                if !table.check_share(key, turn.len, self.limits.buffer_capacity) {
                    return Ok(Step::WaitForShare(slot, durable));
                }
                Some(slot)
            }
            None => {
                if turn.opening.is_none() {
                    if let Some(opening) = table.opening.get(key) {
                        return Ok(Step::WaitForOpening(Arc::clone(opening)));
                    }
                    turn.opening = Some(Opening::begin(self, table, key));
                }
                table.check_failed(self.limits.max_failed_keys)?;
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
        let needs_memory = self.spools.is_none();
        if needs_memory && turn.memory.is_none() {
            turn.memory = self.memory.try_acquire_many(turn.permits()).ok();
        }
        if needs_memory && turn.memory.is_none() {
            if !std::mem::replace(&mut turn.wants_memory, true) {
                table.wanted_bytes += turn.len;
            }
            table.press(self.limits.buffer_capacity);
            return Ok(Step::WaitForMemory);
        }
        let receipt = match (slot, &turn.prepared) {
            (Some(slot), _) => match enqueue(&slot.writer, record) {
                Ok(receipt) => receipt,
                Err(Admission::Never(error)) => return ended_or(error, slot),
                Err(_) => return Ok(Step::WaitForRoom(slot)),
            },
            // If it is refused, the writer is dropped with the turn, and so without the lock.
            (None, Some(new)) => match enqueue(&new.writer, record) {
                Ok(receipt) => receipt,
                Err(Admission::Never(error)) => return Err(error),
                Err(_) => {
                    return Err(Error::invalid_input("the key's buffer is too small for it"));
                }
            },
            (None, None) => unreachable!("it is prepared"),
        };
        if let (Some(new), Some(place)) = (turn.prepared.take(), turn.place.take()) {
            let slot = Arc::new(Slot::new(new.writer));
            table.insert(new.key, new.id, slot, place);
        }
        if let Some(memory) = turn.memory.take() {
            memory.forget();
        }
        let first = table.accepted(key, turn.len);
        turn.want_no_memory(table);
        let opened = turn.opening.take().map(|opening| opening.end(table));
        // What was accepted may be in the way of others.
        self.make_way(table);
        drop(guard);
        if let Some(opened) = opened {
            opened.raise();
        }
        if first {
            self.used.notify_one();
        }
        Ok(Step::Written(receipt))
    }

    /// Sees to it that nobody waits for nothing.
    pub(super) fn make_way(&self, table: &mut Table) {
        if table.wanted_bytes > 0 {
            table.press(self.limits.buffer_capacity);
        }
        table.make_places(self.limits.max_open, self.limits.ahead);
    }

    fn free(&self, bytes: u64) {
        if self.spools.is_some() {
            return;
        }
        self.memory
            .add_permits(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Issues what has been accepted, and waits until it is durable.
    pub(super) async fn flush(&self, at_once: bool) -> Result<(), KeyedError> {
        let issued = self.lock().issue_all(at_once);
        let held_up = issued.held_up;
        let done = self.wait_for(issued).await;
        if held_up && self.lock().waits.note(self.origin.elapsed()) {
            tracing::warn!(target: "oss_append::flush", "{SLOWED_DOWN}");
        }
        done
    }

    /// Waits until what has been accepted is on disk.
    pub(super) async fn spooled(&self) -> Result<(), KeyedError> {
        let unspooled = match self.spools {
            Some(_) => self.lock().unspooled(),
            None => Issued::default(),
        };
        self.wait_for(unspooled).await
    }

    async fn wait_for(&self, issued: Issued) -> Result<(), KeyedError> {
        let mut failed = Vec::new();
        for (key, slot, target) in issued.keys {
            let reached = match target {
                Target::Durable(target) => slot.writer.wait_durable(target).await,
                Target::OnDisk(target) => slot.writer.wait_spooled(target).await,
            };
            if let Err(error) = reached {
                failed.push((key, error));
            }
        }
        self.check_failed(failed)
    }

    /// Takes nothing more, and waits until all keys have been closed.
    pub(super) async fn shutdown(&self) -> Result<(), KeyedError> {
        self.close();
        self.stopped.raise();
        self.memory.close();
        if self.spools.is_some() {
            self.left.raised().await;
        }
        loop {
            let next = {
                let table = self.lock();
                let open = table.open.values().next();
                // Writes give up, and what is in a spool is opened yet.
                let opening = table.opening.values().next();
                match (open, opening) {
                    (Some(entry), _) => Ok(Arc::clone(&entry.slot)),
                    (None, Some(opening)) => Err(Arc::clone(opening)),
                    (None, None) => break,
                }
            };
            match next {
                Ok(slot) => slot.gone.raised().await,
                Err(opening) => opening.raised().await,
            }
        }
        self.places.close();
        if let Some(spools) = &self.spools {
            spools.many().close();
        }
        self.check_failed(Vec::new())
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

/// Takes `record` in, whole, or not.
fn enqueue(writer: &OssAppendWriter, record: &Bytes) -> Result<Receipt, Admission> {
    if let Some(receipt) = writer.try_enqueue(record) {
        return Ok(receipt);
    }
    let mut intake = writer.intake();
    match intake.admit(record.len() as u64, true) {
        Admission::Now(_) => Ok(intake.enqueue(record)),
        other => Err(other),
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
        let (keys, bytes) = {
            let table = self.lock();
            for entry in table.open.values() {
                entry.slot.writer.drop_quietly();
            }
            (table.open.len(), table.held())
        };
        if bytes > 0 {
            tracing::warn!(
                keys,
                bytes,
                "KeyedWriter dropped with bytes that are not durable; call shutdown first"
            );
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.lock().stats();
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .field("stats", &stats)
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
pub(super) struct Prepared {
    pub(super) key: Arc<str>,
    pub(super) id: u64,
    pub(super) writer: OssAppendWriter,
}

/// One write on its way, with what it has got for that so far.
struct Turn<'a> {
    pool: &'a Arc<Pool>,
    len: u64,
    /// It is the one that opens its key.
    opening: Option<Opening>,
    place: Option<OwnedSemaphorePermit>,
    prepared: Option<Prepared>,
    memory: Option<SemaphorePermit<'a>>,
    /// Whether it is counted among those who want memory.
    wants_memory: bool,
}

impl<'a> Turn<'a> {
    fn new(pool: &'a Arc<Pool>, len: u64) -> Self {
        Self {
            pool,
            len,
            opening: None,
            place: None,
            prepared: None,
            memory: None,
            wants_memory: false,
        }
    }

    fn permits(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    fn want_no_memory(&mut self, table: &mut Table) {
        if std::mem::take(&mut self.wants_memory) {
            table.wanted_bytes -= self.len;
        }
    }

    fn let_go_of_memory(&mut self) {
        if self.wants_memory {
            let pool = self.pool;
            self.want_no_memory(&mut pool.lock());
        }
        self.memory = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.let_go_of_memory();
    }
}

/// The right to open a key. Others that write to it wait until this has ended.
pub(super) struct Opening {
    pool: Arc<Pool>,
    pub(super) key: Arc<str>,
    /// `None` once it has ended.
    over: Option<Arc<Signal>>,
}

impl Opening {
    /// There must be none for `key` yet.
    pub(super) fn begin(pool: &Arc<Pool>, table: &mut Table, key: &str) -> Self {
        let (key, over) = (Arc::<str>::from(key), Arc::new(Signal::new()));
        table.opening.insert(Arc::clone(&key), Arc::clone(&over));
        Self {
            pool: Arc::clone(pool),
            key,
            over: Some(over),
        }
    }

    /// The key is open. The signal is to be raised without the lock.
    pub(super) fn end(mut self, table: &mut Table) -> Arc<Signal> {
        table.opening.remove(&self.key);
        self.over.take().expect("it ends once")
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(over) = self.over.take() {
            self.pool.lock().opening.remove(&self.key);
            over.raise();
        }
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
            let failed = FailedKey {
                key: self.key.to_string(),
                error,
                unsent,
            };
            // A panic would keep those from being woken who wait for this key.
            caught(|| on_failed.call(failed));
        }
    }
}

/// Takes a key out of the table at the end.
struct Removal<'a> {
    pool: &'a Pool,
    watcher: &'a Watcher,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        let Self { pool, watcher } = self;
        let mut table = pool.lock();
        let removed = table.remove(&watcher.key, watcher.id);
        let open = table.open.len();
        drop(table);
        let Some(entry) = removed else { return };
        if let Some(spools) = &pool.spools {
            spools.many().set_writers(open);
        }
        let slot = Arc::clone(&entry.slot);
        let held = entry.held();
        // Its place is free before those who wait for its end try again.
        drop(entry);
        slot.gone.raise();
        pool.free(held);
        pool.make_way(&mut pool.lock());
    }
}
