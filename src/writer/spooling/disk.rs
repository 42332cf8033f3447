//! The disk of a writer: what comes in is written to it, what memory could not hold is loaded from
//! it, and what is durable goes.
//!
//! All of this blocks, and takes the disk's lock before the writer's. The task of the spool has it done
//! by threads for that; a thread that logs writes its own record.

use std::cmp;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::many::Many;
use super::options::{Spool, SpoolSync};
use super::plan::Plan;
use super::rest::Wake;
use super::state::{Load, Pending, SpoolState};
use crate::drive::intent::{Intent, Intents};
use crate::drive::thread::in_thread;
use crate::engine::schedule::Schedule;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::{Piece, Reader, SegmentLog, SpoolError};
use crate::values::locks::MutexExt as _;
use crate::values::position::StreamPosition;
use crate::values::proven::Proven;
use crate::writer::buffer::records::Records;
use crate::writer::shared::{Phase, Shared, State};

/// The files of one writer.
#[derive(Debug)]
pub(crate) struct Spooled {
    /// `None` when the writer has ended: its directory is free then.
    disk: Mutex<Option<Disk>>,
    loader: Mutex<Option<Loader>>,
    /// What was kept last. Changed only by whoever has the disk.
    pub(super) intent: Mutex<Option<Kept>>,
    /// Where the last object had to end that has been ended.
    cut: Mutex<Option<u64>>,
    /// Where the writer's first byte is in the log.
    pub(super) base: u64,
    /// The most that is written at a time, so that it always fits when everything else has gone.
    most: u64,
    /// The beginning of the first record that is to be sent is in an object.
    begins_within: AtomicBool,
    /// Nothing is on disk, and nothing has to be. Changed only by whoever has the disk and the writer's
    /// lock.
    pub(super) rests: AtomicBool,
    /// The same, and nothing waits for that to change. Changed under the writer's lock.
    pub(super) in_memory: AtomicBool,
    /// It rests while memory suffices.
    pub(super) by_need: bool,
    pub(super) sync: SpoolSync,
    /// Whoever logs a record puts it on disk.
    pub(super) at_once: bool,
    /// It is one of many.
    many: Option<Many>,
    /// Something is to be done with the disk.
    pub(super) work: Notify,
    /// The directory.
    pub(super) place: String,
}

/// What an append was meant for, and the cut before it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    intent: Intent,
    cut: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) log: SegmentLog,
    /// What was taken from the writer and could not be written.
    pub(super) unwritten: Option<Pending>,
}

/// Reads what memory could not hold.
#[derive(Debug)]
struct Loader {
    reader: Reader,
    /// Where it is in the log.
    at: u64,
    /// What it has read and what is not loaded.
    piece: Option<Piece>,
}

impl Spooled {
    pub(super) fn new(log: SegmentLog, base: u64, cut: Option<u64>, options: &Spool) -> Self {
        let rests = options.by_need && log.size() == 0;
        Self {
            rests: AtomicBool::new(rests),
            in_memory: AtomicBool::new(rests),
            by_need: options.by_need,
            disk: Mutex::new(Some(Disk {
                log,
                unwritten: None,
            })),
            loader: Mutex::new(None),
            intent: Mutex::new(None),
            cut: Mutex::new(cut),
            base,
            most: options.segment_size,
            sync: options.sync,
            at_once: options.at_once,
            many: options.many.clone(),
            begins_within: AtomicBool::new(false),
            work: Notify::new(),
            place: options.directory.display().to_string(),
        }
    }

    /// More is to be put on disk.
    #[inline]
    pub(in crate::writer) fn came_in(&self) {
        if !self.at_once {
            self.work.notify_one();
        }
    }

    /// How many bytes of memory the writer may use, of those that it was given.
    #[inline]
    pub(in crate::writer) fn part_of(&self, capacity: u64) -> u64 {
        match &self.many {
            Some(many) => many.part().min(capacity),
            None => capacity,
        }
    }

    /// Something was issued or settled: there is room for more in memory, and on disk.
    pub(in crate::writer) fn settled(&self) {
        self.work.notify_one();
    }

    /// Keeps `intent` on disk.
    fn keep_now(&self, intent: Intent) -> Result<()> {
        let mut disk = self.disk.locked();
        let Some(disk) = &mut *disk else {
            return Err(Error::new(ErrorKind::Closed));
        };
        let cut = *self.cut.locked();
        if self.is_resting() {
            *self.intent.locked() = Some(Kept { intent, cut });
            return Ok(());
        }
        let plan = Plan::of(&intent, self.base, cut);
        let synced = self.sync != SpoolSync::Never;
        let kept = disk.log.plan(plan.position, &plan.to_bytes(), synced);
        kept.map_err(error_of)?;
        *self.intent.locked() = Some(Kept { intent, cut });
        Ok(())
    }

    fn covers(&self, intent: &Intent) -> bool {
        let known = self.intent.locked();
        (known.as_ref()).is_some_and(|known| known.intent.covers(intent))
    }

    /// The object ends that has what is before `at`: what is kept from now on is meant for a later one.
    pub(in crate::writer) fn ends_object(&self, at: StreamPosition) {
        *self.cut.locked() = Some(self.base + at.bytes());
    }

    /// Writes all that has come in and is not on disk; unless it rests, and need not be woken.
    pub(super) fn write(&self, shared: &Shared, wake: Wake) -> Result<()> {
        let mut disk = self.disk.locked();
        match &mut *disk {
            Some(disk) if self.is_resting() => self.write_from_rest(shared, disk, wake),
            Some(disk) => self.write_on(shared, disk),
            None => Ok(()),
        }
    }

    /// Writes all that has come in and is not on disk.
    pub(super) fn write_on(&self, shared: &Shared, disk: &mut Disk) -> Result<()> {
        loop {
            let pending = disk.unwritten.take().or_else(|| {
                let mut state = shared.lock();
                let State {
                    spool,
                    buffer,
                    window,
                    ..
                } = &mut *state;
                spool.as_mut()?.take_pending(buffer, window, self.most)
            });
            let Some(mut pending) = pending else {
                return Ok(());
            };
            if let Some(note) = pending.cut.take() {
                disk.log.cut(note);
            }
            let chunks: Vec<&[u8]> = pending.chunks.iter().map(|chunk| &chunk[..]).collect();
            if let Err(error) = disk.log.append(&chunks, &pending.ends) {
                disk.unwritten = Some(pending);
                return Err(error_of(error));
            }
            if self.sync == SpoolSync::Always {
                disk.log.sync().map_err(error_of)?;
            }
            let (size, oldest) = (disk.log.size(), disk.log.oldest());
            self.wrote(shared, &pending, size, oldest);
        }
    }

    fn wrote(&self, shared: &Shared, pending: &Pending, size: u64, oldest: Option<SystemTime>) {
        let mut state = shared.lock();
        let schedule = Schedule {
            batch_size: shared.batch_size(),
            ..shared.options.schedule
        };
        let ready = |state: &State| {
            let spool = state.spool.as_ref();
            spool.map_or(Some(0), |spool| {
                spool.to_issue(&state.buffer, &state.window, &schedule)
            })
        };
        let before = ready(&state);
        if let Some(spool) = &mut state.spool {
            spool.wrote(pending);
            if self.sync == SpoolSync::Always {
                spool.synced = spool.on_disk();
            }
            (spool.size, spool.oldest, spool.problem) = (size, oldest, None);
        }
        let now = ready(&state);
        let makes_a_difference = match (before, now) {
            (None, now) => now.is_some(),
            (Some(before), Some(now)) => before < schedule.batch_size && now >= schedule.batch_size,
            (Some(_), None) => false,
        };
        if makes_a_difference {
            shared.work.notify_one();
        }
        // Also where nobody waits yet: whoever is about to sees by this that something has changed.
        let wake = state.wake();
        drop(state);
        wake.all();
    }

    /// Syncs what is on disk, if it is not. Others write meanwhile.
    pub(super) fn sync(&self, shared: &Shared) -> Result<()> {
        let mut locked = self.disk.locked();
        let Some(disk) = &mut *locked else {
            return Ok(());
        };
        let on_disk = {
            let state = shared.lock();
            let spool = state.spool.as_ref();
            spool
                .filter(|spool| spool.synced < spool.on_disk())
                .map(|spool| spool.on_disk())
        };
        let Some(on_disk) = on_disk else {
            return Ok(());
        };
        let syncing = disk.log.begin_sync().map_err(error_of)?;
        drop(locked);
        let synced = syncing.run();
        if let Some(disk) = &mut *self.disk.locked() {
            disk.log.end_sync(synced).map_err(error_of)?;
        }
        let mut state = shared.lock();
        if let Some(spool) = &mut state.spool {
            spool.synced = spool.synced.max(on_disk);
        }
        let wake = state.wake();
        drop(state);
        shared.work.notify_one();
        wake.all();
        Ok(())
    }

    /// Syncs what an earlier process has left, who may not have come to do it.
    pub(super) fn sync_left(&self) -> Result<()> {
        match &mut *self.disk.locked() {
            Some(disk) if self.sync != SpoolSync::Never => disk.log.sync().map_err(error_of),
            _ => Ok(()),
        }
    }

    /// Gives back the space of what is durable: whole files, and the last one too if that is `wanted`
    /// and all of it is durable.
    pub(super) fn release(&self, shared: &Shared, wanted: bool) -> Result<()> {
        let mut locked = self.disk.locked();
        let Some(disk) = &mut *locked else {
            return Ok(());
        };
        let (durable, proven) = {
            let state = shared.lock();
            (state.window.durable(), state.window.proven())
        };
        let position = self.base + durable.bytes();
        // Others need the room that it does not.
        let wanted = wanted || self.many.is_some() && disk.log.is_tight();
        let wanted = wanted || self.by_need && !self.is_resting();
        let all = wanted && position == disk.log.end() && disk.log.size() > 0;
        if !all && !disk.log.can_release(position) {
            return Ok(());
        }
        let is_meant = self.intent.locked().is_some();
        let plan = match self.plan_at(durable, proven) {
            Some(plan) => plan.to_bytes(),
            // A file that was begun, and has nothing in it that was to be sent.
            None if !is_meant && all && !shared.is_held() => Vec::new(),
            // Nothing was sent, or what was settled before is not durable yet.
            None => return Ok(()),
        };
        let kept = match all {
            // The plan goes too.
            true => self.intent.locked().take(),
            false => None,
        };
        let mut freed = disk.log.release(position, &plan, all);
        let goes_on = !shared.lock().is_closing()
            && shared.records != Records::Bytes
            && disk.log.ends_within();
        if freed.is_ok() && kept.is_some() && disk.log.size() == 0 && goes_on {
            // The rest of a record goes where its beginning is.
            let synced = self.sync != SpoolSync::Never;
            let planned = disk.log.plan(position, &plan, synced);
            freed = freed.and_then(|freed| planned.map(|()| freed));
        }
        let (size, oldest) = (disk.log.size(), disk.log.oldest());
        let freed = freed.map_err(error_of)?;
        if all {
            self.rest(shared, disk)?;
        }
        drop(locked);
        if freed > 0
            && let Some(spool) = &mut shared.lock().spool
        {
            (spool.size, spool.oldest) = (size, oldest);
        }
        Ok(())
    }

    /// What is meant for the bytes from `durable` on, before which the object is `proven`.
    pub(super) fn plan_at(&self, durable: StreamPosition, proven: Proven) -> Option<Plan> {
        let Kept { intent, cut } = self.intent.locked().clone()?;
        match intent.settled.cmp(&durable) {
            // What is proven belongs to that object when a part of what was meant for it is settled.
            cmp::Ordering::Less => {
                let intent = Intent {
                    settled: durable,
                    proven,
                    packed: None,
                    ..intent
                };
                Some(Plan::of(&intent, self.base, cut))
            }
            cmp::Ordering::Equal => Some(Plan::of(&intent, self.base, cut)),
            cmp::Ordering::Greater => None,
        }
    }

    /// Loads what memory could not hold into the buffer, as far as there is room.
    pub(super) fn load(&self, shared: &Shared) -> Result<()> {
        if self.is_resting() {
            self.take_back(shared);
            return Ok(());
        }
        let mut loader = self.loader.locked();
        if self.many.is_some() {
            shared.let_go_of_memory();
        }
        loop {
            let wanted = {
                let state = shared.lock();
                let spool = state.spool.as_ref();
                spool.and_then(|spool| {
                    // The next append is to be ready when the one that is under way has ended.
                    let most = shared.capacity();
                    spool.to_load(&state.buffer, &state.window, &shared.options.schedule, most)
                })
            };
            let Some(Load {
                from,
                most,
                limit,
                is_empty,
            }) = wanted
            else {
                return Ok(());
            };
            let (at, limit) = (self.base + from.bytes(), self.base + limit.bytes());
            if loader.as_ref().is_none_or(|loader| loader.at != at) {
                let Some((reader, _)) = self.reader(at) else {
                    return Ok(());
                };
                *loader = Some(Loader {
                    reader,
                    at,
                    piece: None,
                });
            }
            let Some(loader) = &mut *loader else {
                return Ok(());
            };
            if loader.piece.is_none() {
                let until = limit.min(at.saturating_add(most));
                loader.piece = loader.reader.next(until).map_err(error_of)?;
            }
            match loader.piece.take() {
                Some(Piece::Bytes {
                    bytes,
                    ends,
                    written,
                    ..
                }) => {
                    let len = bytes.len() as u64;
                    loader.at += len;
                    let mut state = shared.lock();
                    let age = written.elapsed().unwrap_or_default();
                    let since = shared.now().saturating_sub(age);
                    let State {
                        spool,
                        buffer,
                        window,
                        ..
                    } = &mut *state;
                    buffer.load(bytes, &ends, since);
                    if let Some(spool) = spool {
                        spool.loaded(len, window);
                    }
                    drop(state);
                    shared.work.notify_one();
                }
                Some(Piece::Lost { range, damage }) if is_empty => {
                    let len = range.end.min(limit) - at;
                    loader.at += len;
                    self.lost(shared, len, &damage.to_string());
                }
                // Nothing is passed over before what comes first is settled.
                lost @ Some(Piece::Lost { .. }) => {
                    loader.piece = lost;
                    let mut state = shared.lock();
                    if let Some(spool) = &mut state.spool {
                        spool.lost_is_next = true;
                    }
                    drop(state);
                    shared.work.notify_one();
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
    }

    /// The next `len` bytes cannot be read.
    fn lost(&self, shared: &Shared, len: u64, damage: &str) {
        let mut state = shared.lock();
        let State { spool, window, .. } = &mut *state;
        if let Some(spool) = spool {
            spool.lost += len;
            spool.lost_is_next = false;
            spool.pass_over(len, window);
        }
        let wake = state.wake();
        drop(state);
        shared.counters.events().trace(|| {
            tracing::warn!(
                target: crate::drive::events::TARGET,
                object = %shared.object,
                bytes = len,
                "bytes of the spool are lost, what comes behind them is delivered: {damage}"
            );
        });
        shared.work.notify_one();
        wake.all();
    }

    /// How long until something has to be done without being asked for.
    pub(super) fn next(&self, shared: &Shared) -> Option<Duration> {
        let mut state = shared.lock();
        let State { spool, window, .. } = &mut *state;
        let spool = spool.as_mut()?;
        let (stall, has_room) = spool.watch(window, shared.capacity(), shared.now());
        let retry = spool.problem.is_some().then_some(Duration::from_secs(1));
        let sync = match self.sync {
            SpoolSync::Every(interval) if spool.synced < spool.on_disk() => Some(interval),
            _ => None,
        };
        let next = retry.into_iter().chain(sync).chain(stall).min();
        let wake = has_room.then(|| state.wake());
        drop(state);
        if let Some(wake) = wake {
            wake.all();
        }
        next
    }

    /// The position of the writer's first byte in the log.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The position of the first byte that is there.
    pub(super) fn start(&self) -> u64 {
        let disk = self.disk.locked();
        disk.as_ref().map_or(0, |disk| disk.log.start())
    }

    /// Whether that goes on with a record.
    pub(super) fn starts_within(&self) -> bool {
        let disk = self.disk.locked();
        disk.as_ref().is_some_and(|disk| disk.log.begins_within())
    }

    pub(super) fn set_begins_within(&self, is_within: bool) {
        self.begins_within.store(is_within, Ordering::Relaxed);
    }

    /// Whether the beginning of the first record that is to be sent is in an object.
    pub(in crate::writer) fn begins_within(&self) -> bool {
        self.begins_within.load(Ordering::Relaxed)
    }

    /// How far a position in the log is behind the writer's first byte.
    pub(crate) fn offset(&self, position: u64) -> u64 {
        position.saturating_sub(self.base)
    }

    /// How many bytes are on disk, from the writer's first on.
    pub(super) fn on_disk(&self) -> u64 {
        let disk = self.disk.locked();
        disk.as_ref().map_or(0, |disk| disk.log.end() - self.base)
    }

    /// Reads what is on disk from `at` on, and where that ends now.
    pub(super) fn reader(&self, at: u64) -> Option<(Reader, u64)> {
        let disk = self.disk.locked();
        let log = &disk.as_ref()?.log;
        Some((log.reader(at), log.end()))
    }

    /// Lets others have the directory: nothing more is done with it.
    pub(in crate::writer) fn close(&self) {
        let disk = self.disk.locked().take();
        if let (Some(disk), Some(_)) = (disk, &self.many) {
            // There may be many more keys than are open at a time.
            disk.log.remove_empty();
        }
    }
}

/// Keeps what is intended in a spool.
#[derive(Debug)]
pub(crate) struct Keeper(pub(crate) Arc<Spooled>);

impl Intents for Keeper {
    fn keep(&self, intent: Intent) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.0.covers(&intent) {
                return Ok(());
            }
            let spooled = Arc::clone(&self.0);
            in_thread(move || spooled.keep_now(intent)).await
        })
    }
}

impl Shared {
    /// Puts all that has come in on disk, on this thread.
    pub(in crate::writer) fn write_through(self: &Arc<Self>) {
        let Some(spool) = &self.spool else {
            return;
        };
        if self.is_forked() {
            // The files are those of the other process.
            return;
        }
        if spool.is_in_memory() {
            return;
        }
        if let Err(error) = spool.write(self, Wake::IfNeeded) {
            self.note_problem(error);
            spool.work.notify_one();
        }
    }

    /// How many bytes of memory what is accepted and not durable may take.
    #[inline]
    pub(in crate::writer) fn capacity(&self) -> u64 {
        let capacity = self.options.buffer_capacity;
        (self.spool.as_ref()).map_or(capacity, |spool| spool.part_of(capacity))
    }

    /// How much is gathered for one append, as far as memory allows.
    pub(in crate::writer) fn batch_size(&self) -> u64 {
        let batch_size = self.options.schedule.batch_size;
        match &self.spool {
            Some(_) => batch_size.min(self.capacity() / 2),
            None => batch_size,
        }
    }

    /// Keeps no more in memory than may be, where delivery has stopped and the disk has it.
    fn let_go_of_memory(&self) {
        let capacity = self.capacity();
        let mut state = self.lock();
        let State {
            spool,
            buffer,
            window,
            ..
        } = &mut *state;
        let Some(spool) = spool else { return };
        // Dropped after the lock.
        let _gone = spool.let_go(buffer, window, capacity, || self.new_buffer());
        if let (Some(_), Some(disk)) = (&spool.overflow, &self.spool) {
            disk.is_needed();
        }
        drop(state);
    }

    /// Somebody waits for room, and the spool is to see to it.
    pub(in crate::writer) fn note_wait(&self) {
        if let Some(spool) = &self.spool {
            spool.work.notify_one();
        }
    }

    /// Nothing can be put on disk, or it can be again.
    pub(super) fn note_problem(&self, error: Error) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Open | Phase::Closing { .. }) {
            return;
        }
        let Some(spool) = &mut state.spool else {
            return;
        };
        let is_new = spool.problem.is_none();
        spool.problem = Some(error.clone());
        drop(state);
        self.work.notify_one();
        if is_new {
            self.counters.events().trace(|| {
                tracing::warn!(
                    target: crate::drive::events::TARGET,
                    object = %self.object,
                    "nothing more can be put in the spool: {error}"
                );
            });
        }
    }
}

impl Shared {
    /// Whether it has to be found out how much of the spool is in OSS.
    pub(in crate::writer) fn is_held(&self) -> bool {
        let state = self.lock();
        state.spool.as_ref().is_some_and(|spool| spool.held)
    }

    /// That has been found out: so many bytes, the first, are.
    pub(in crate::writer) fn recovered(&self, passed: u64) {
        let mut state = self.lock();
        let State {
            spool,
            buffer,
            window,
            ..
        } = &mut *state;
        if let Some((spool, disk)) = spool.as_mut().zip(self.spool.as_ref()) {
            spool.recovered(passed, disk.begins_within(), buffer, window);
        }
        let wake = state.wake();
        drop(state);
        wake.all();
        if let Some(spool) = &self.spool {
            spool.work.notify_one();
        }
    }
}

impl SpoolState {
    /// Everything before this is on disk, as far as whoever waits for that wants it.
    pub(in crate::writer) fn kept(&self, sync: SpoolSync) -> StreamPosition {
        match sync {
            SpoolSync::Never => self.on_disk(),
            SpoolSync::Every(_) | SpoolSync::Always => self.synced,
        }
    }
}

/// The error of this crate.
pub(crate) fn error_of(error: SpoolError) -> Error {
    let out_of_space = error.is_out_of_space();
    Error::new(ErrorKind::Spool {
        reason: error.to_string(),
        out_of_space,
    })
    .with_source(error)
}
