//! Opening a spool: what an earlier process has left in it, and how much of that is in the object.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use super::contents::SpoolOwner;
use super::disk::{Keeper, Spooled, error_of};
use super::note::Note;
use super::options::{Spool, SpoolSync};
use super::plan::Plan;
use crate::drive::ObjectAppenderBuilder;
use crate::drive::driver::Driver;
use crate::drive::events::TARGET;
use crate::drive::intent::Packed;
use crate::drive::options::OpenMode;
use crate::drive::stats::Counters;
use crate::drive::thread::in_thread;
use crate::engine::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::spool::{
    Damage, Disk, Folder, Found, LogOptions, Piece, Reader, SegmentLog, SpoolError,
};
use crate::stage::RollReason;
use crate::stage::compression::Compression;
use crate::store::AppendStore;
use crate::values::batch::Batch;
use crate::values::checkpoint::Checkpoint;
use crate::values::path::ObjectPath;
use crate::values::position::StreamPosition;
use crate::writer::periods::PeriodClock;
use crate::writer::shared::Cut;

/// A spool that is open.
#[derive(Debug)]
pub(crate) struct OpenSpool {
    pub(crate) spooled: Arc<Spooled>,
    /// How many bytes are on disk that may have to be sent. They are the first of the writer.
    pub(crate) on_disk: u64,
    pub(super) size: u64,
    pub(super) oldest: Option<SystemTime>,
    /// What the process before meant to append last.
    pub(crate) plan: Option<Plan>,
    /// Where objects have to end that the process before has not ended.
    pub(crate) notes: Vec<Note>,
    /// Nothing was sent of what is there, and it does not go in the object before.
    pub(crate) begins_object: bool,
    /// The period of the first byte, or a time in it.
    first: Option<Timestamp>,
    torn: u64,
    pub(super) damage: Vec<Damage>,
}

impl Spool {
    /// Opens the directory for the bytes of `owner`.
    pub(crate) async fn open(&self, owner: SpoolOwner) -> Result<OpenSpool> {
        let options = self.clone();
        in_thread(move || options.open_now(&owner)).await
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.segment_size == 0 || self.max_size / 2 < self.segment_size {
            return Err(Error::invalid_input(format!(
                "the segment_size {} of a spool must be from 1 to half of its max_size {}",
                self.segment_size, self.max_size
            )));
        }
        Ok(())
    }

    pub(super) fn open_as(&self, owner: Vec<u8>) -> Result<(SegmentLog, Found), SpoolError> {
        let options = LogOptions {
            segment_size: self.segment_size,
            max_size: self.max_size,
            size_of_all: self.many.as_ref().map(|many| Arc::clone(&many.size)),
            owner,
            syncs: self.sync != SpoolSync::Never,
        };
        SegmentLog::open(self.disk()?, options)
    }

    /// Opens it, if it is for `owner`, or is redirected to that.
    fn open_for(&self, owner: &SpoolOwner) -> Result<(SegmentLog, Found)> {
        let owner = match &self.key {
            Some(key) => owner.with_key(key),
            None => owner.clone(),
        };
        let opened = self.open_as(owner.to_string().into_bytes());
        let other = match &opened {
            Err(error) if self.redirects => error.other_owner().map(<[u8]>::to_vec),
            _ => None,
        };
        let Some(other) = other else {
            return opened.map_err(error_of);
        };
        let found = SpoolOwner::of(&other)?;
        let same_but_for_name = SpoolOwner {
            name: owner.name.clone(),
            key: owner.key.clone(),
            ..found.clone()
        };
        if owner.is_sequence || same_but_for_name != owner {
            return Err(Error::invalid_input(format!(
                "what is for the {found} cannot go in the {owner}: a spool is redirected from one \
                 object to another with the same compression"
            )));
        }
        self.open_as(other).map_err(error_of)
    }

    fn disk(&self) -> Result<Arc<dyn Disk>, SpoolError> {
        #[cfg(test)]
        if let Some(disk) = &self.disk {
            return Ok(Arc::new(disk.clone()));
        }
        Ok(Arc::new(Folder::open(&self.directory)?))
    }

    pub(crate) fn open_now(&self, owner: &SpoolOwner) -> Result<OpenSpool> {
        self.check()?;
        let (mut log, mut found) = self.open_for(owner)?;
        let plan = match &found.plan {
            Some(plan) => Some(Plan::from_bytes(plan.position, &plan.bytes).ok_or_else(|| {
                Error::new(ErrorKind::Spool {
                    reason: format!(
                        "the plan in the spool {} cannot be read: it was not written by this \
                         version",
                        self.directory.display()
                    ),
                    out_of_space: false,
                })
            })?),
            None => None,
        };
        let is_unfinished = |plan: &Plan| plan.is_unfinished(found.end);
        let plan = match plan {
            Some(plan) if is_unfinished(&plan) => {
                // As if it had rested when the process ended, before any of that was there.
                log.clear().map_err(error_of)?;
                log.begin_at(0, false);
                found = Found {
                    torn: found.torn + (found.end - found.start),
                    ..Found::default()
                };
                None
            }
            plan => plan,
        };
        if self.by_need && log.size() == 0 {
            // What an earlier process has deleted does not come back when more has been sent.
            log.sync_disk().map_err(error_of)?;
        }
        let plan = plan.map(|plan| plan.not_before(found.start));
        let known = plan.as_ref().map_or(found.start, |plan| plan.position);
        let plan = plan.filter(|plan| !self.redirects || plan.object == owner.name);
        // Behind the end, if what was sent was not synced and the power failed.
        let base = known.max(found.start).min(found.end);
        let segments = found.segments.iter();
        let mut notes: Vec<Note> = segments
            .filter_map(|segment| Note::from_bytes(&segment.note))
            .collect();
        let begins_object = plan.is_none() && begins_object(&notes, found.start);
        // Before what is there is no object to be ended. Behind the end is none, as above.
        let cut = plan.as_ref().map_or(Some(found.start), |plan| plan.cut);
        let cut = cut.map(|cut| cut.min(found.end));
        notes.retain(|note| cut.is_none_or(|cut| note.at > cut));
        let created = found.segments.first().map(|segment| segment.created / 1000);
        let created = created.and_then(|second| i64::try_from(second).ok());
        let first = plan.as_ref().and_then(|plan| plan.time).or(created);
        Ok(OpenSpool {
            on_disk: found.end - base,
            size: log.size(),
            oldest: log.oldest(),
            first: first.and_then(|second| Timestamp::from_second(second).ok()),
            notes,
            begins_object,
            plan,
            torn: found.torn,
            damage: found.damage,
            spooled: Arc::new(Spooled::new(log, base, cut, self)),
        })
    }
}

/// Whether a roll was asked for before the first byte that is there.
fn begins_object(notes: &[Note], start: u64) -> bool {
    let mut notes = notes.iter();
    notes.any(|note| note.at <= start && note.reason == RollReason::Asked)
}

/// An object of which is known how far it holds what is in a spool.
pub(crate) struct Recovered<S> {
    pub(crate) driver: Driver<S>,
    /// So many bytes of the writer, the first, are durable.
    pub(crate) passed: u64,
}

impl OpenSpool {
    /// Where the objects end that the process before had not begun.
    pub(in crate::writer) fn cuts(&self) -> VecDeque<Cut> {
        let base = StreamPosition::default();
        let cuts = self.notes.iter().map(|note| Cut {
            // In the midst of a record of which a part is sent, behind its end.
            at: base + self.spooled.offset(note.at),
            reason: note.reason,
        });
        cuts.collect()
    }

    /// Has the bytes that are there belong to the periods in which they were accepted.
    pub(crate) fn resume(&self, clock: &mut PeriodClock) {
        if let Some(first) = self.first.filter(|_| self.on_disk > 0) {
            clock.resume(first, self.notes.iter().filter_map(|note| note.period));
        }
    }

    /// Tells what was found to be lost.
    pub(crate) fn tell(&self, object: &ObjectPath, counters: &Counters) {
        counters.events().trace(|| {
            let spool = &self.spooled.place;
            if self.torn > 0 {
                tracing::info!(
                    target: TARGET,
                    %object,
                    %spool,
                    bytes = self.torn,
                    "a write to the spool was torn when the process ended: what there was of it is \
                     cut off"
                );
            }
            for damage in &self.damage {
                tracing::warn!(target: TARGET, %object, %spool, "the spool is damaged: {damage}");
            }
        });
    }
}

/// What an earlier process has left in a spool for one object.
#[derive(Debug)]
pub(crate) struct SpoolLeft {
    spooled: Arc<Spooled>,
    plan: Option<Plan>,
    compression: Option<Compression>,
}

impl SpoolLeft {
    pub(in crate::writer) fn new(open: &OpenSpool, compression: Option<Compression>) -> Self {
        Self {
            spooled: Arc::clone(&open.spooled),
            plan: open.plan.clone(),
            compression,
        }
    }

    /// Opens the object. Tells how many bytes of the spool, the first, it holds.
    pub(in crate::writer) async fn open_driver<S: AppendStore>(
        &self,
        mut appender: ObjectAppenderBuilder<S>,
        counters: Arc<Counters>,
    ) -> Result<(Driver<S>, u64)> {
        let keeper = Arc::new(Keeper(Arc::clone(&self.spooled)));
        Arc::make_mut(&mut appender.options).intents = Some(keeper);
        let Some(plan) = &self.plan else {
            // Nothing was sent of what is there.
            return Ok((appender.open_driver(counters).await?, 0));
        };
        let Recovered { driver, passed } = self
            .spooled
            .recover(plan, appender, counters, self.compression)
            .await?;
        driver
            .found(StreamPosition::default() + passed, None, None)
            .await?;
        Ok((driver, passed))
    }
}

impl Spooled {
    /// Finds out how much of the spool is in the object that it was meant for last. What may land
    /// yet of an append that the process before has sent is recognised later: the driver goes on as
    /// in a replay.
    pub(crate) async fn recover<S: AppendStore>(
        self: &Arc<Self>,
        plan: &Plan,
        appender: ObjectAppenderBuilder<S>,
        counters: Arc<Counters>,
        compression: Option<Compression>,
    ) -> Result<Recovered<S>> {
        self.set_begins_within(false);
        let mut appender = appender.for_object(plan.object.clone());
        let options = Arc::make_mut(&mut appender.options);
        options.mode = OpenMode::Replay(Box::new(Checkpoint::at(plan.object.clone(), plan.proven)));
        let driver = appender.open_driver(counters).await?;
        if plan.packed.is_some() {
            // It may be appended below.
            let spooled = Arc::clone(self);
            in_thread(move || spooled.sync_left()).await?;
        }
        let mut recovery = Recovery {
            driver,
            source: Source::new(self, plan.position),
            window: Window::default(),
        };
        let compared = match (plan.packed, compression) {
            (None, _) => recovery.compare().await,
            (Some(packed), compression) => recovery.compare_packed(packed, compression).await,
        };
        let at = plan.proven.position.bytes();
        let compared = compared.map_err(|error| {
            error
                .with_operation("open the spool")
                .with_object(&plan.object)
                .with_position(at)
        })?;
        let end = plan.position + compared;
        self.set_begins_within(self.is_within_record(end).await);
        Ok(Recovered {
            driver: recovery.driver,
            // Of what was sent and not synced, a loss of power may have taken a part.
            passed: self.offset(end).min(self.on_disk()),
        })
    }

    /// Whether what is before `at` in the spool ends with the beginning of a record.
    async fn is_within_record(&self, at: u64) -> bool {
        let Some(before) = at.checked_sub(1).filter(|before| *before >= self.start()) else {
            // What is before it is gone.
            return at == self.start() && self.starts_within();
        };
        let mut source = Source::new(self, before);
        // What cannot be read is no matter here.
        matches!(source.peek(1).await, Ok(Some(_))) && source.whole_before(1) == 0
    }
}

/// Compares what is in a spool with an object.
struct Recovery<S> {
    driver: Driver<S>,
    source: Source,
    window: Window,
}

impl<S: AppendStore> Recovery<S> {
    /// Compares so much of the spool as the object has. Tells how much that is.
    async fn compare(&mut self) -> Result<u64> {
        let mut compared = 0;
        while let Some(left) = self.driver.left_to_replay() {
            let batch = self.source.take(left.min(MOST)).await?;
            if batch.is_empty() {
                return Err(self.too_short(left));
            }
            compared += batch.len();
            self.offer(batch).await?;
        }
        self.driver.verify(&mut self.window).await?;
        Ok(compared)
    }

    async fn offer(&mut self, batch: Batch) -> Result<()> {
        self.window.offer(batch, self.driver.now());
        self.driver.settle(&mut self.window).await.map(drop)
    }

    /// Has the same bytes appended that the process before has sent, unless they are there.
    async fn compare_packed(
        &mut self,
        packed: Packed,
        compression: Option<Compression>,
    ) -> Result<u64> {
        let given = self.source.take(packed.given).await?;
        let before = self.driver.engine().given();
        let stored = match compression {
            Some(compression) if given.len() == packed.given => {
                Some(compression.compress(given).await?)
            }
            _ => None,
        };
        let same = stored.filter(|stored| {
            stored.len() == packed.stored && before.after(stored).crc == packed.crc64
        });
        match (same, self.driver.left_to_replay()) {
            (Some(same), _) => {
                self.offer(same).await?;
                self.driver.verify(&mut self.window).await?;
                match self.driver.left_to_replay() {
                    // Nothing was to be sent behind it, as far as the spool knows.
                    Some(left) => Err(self.too_short(left)),
                    None => Ok(packed.given),
                }
            }
            // Other settings, or another version of the library, made other bytes of it.
            (None, None) => Ok(0),
            (None, Some(left)) if left == packed.stored => {
                match self.driver.pass_replay(packed.crc64) {
                    true => Ok(packed.given),
                    false => Err(self.differs(left)),
                }
            }
            (None, Some(left)) => Err(self.differs(left)),
        }
    }

    /// The object has so many bytes more than the spool.
    fn too_short(&self, left: u64) -> Error {
        let given = self.driver.position().bytes();
        Error::new(ErrorKind::ReplayTooShort {
            given,
            object: given + left,
        })
        .with_advice(Some(TOO_SHORT))
    }

    fn differs(&self, left: u64) -> Error {
        let start = self.driver.position().bytes();
        Error::new(ErrorKind::ReplayDiffers {
            start,
            end: start + left,
        })
    }
}

/// The most that is compared at a time.
const MOST: u64 = 1 << 20;

const TOO_SHORT: &str = "somebody else has appended to the object, or the machine has lost what was \
                         not synced; the spool is as it was";

/// What is in a spool, from a position on.
pub(crate) struct Source {
    reader: Option<Reader>,
    start: u64,
    at: u64,
    end: u64,
    /// Where records end, counted from the start.
    ends: VecDeque<u64>,
    /// The last of them that has been passed.
    whole: u64,
    /// What was read and is not taken.
    rest: Bytes,
}

impl Source {
    pub(crate) fn new(spooled: &Spooled, at: u64) -> Self {
        let (reader, end) = spooled.reader(at).unzip();
        Self {
            reader,
            start: at,
            at,
            end: end.unwrap_or(at),
            ends: VecDeque::new(),
            whole: 0,
            rest: Bytes::new(),
        }
    }

    /// The next bytes, up to `most`: fewer only at the end.
    async fn take(&mut self, most: u64) -> Result<Batch> {
        let mut taken = Vec::new();
        let mut left = most;
        while left > 0 {
            if self.rest.is_empty() && !self.fill().await? {
                break;
            }
            let len = left.min(self.rest.len() as u64);
            // It is no more than what is there.
            taken.push(self.rest.split_to(len as usize));
            left -= len;
        }
        Ok(Batch::from(taken))
    }

    /// What comes next, up to `most` bytes; `None` at the end.
    pub(crate) async fn peek(&mut self, most: usize) -> Result<Option<Bytes>> {
        if self.rest.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        Ok(Some(self.rest.slice(..most.min(self.rest.len()))))
    }

    /// Passes over what was seen.
    pub(crate) fn skip(&mut self, len: usize) {
        drop(self.rest.split_to(len));
    }

    /// The end of the last record that is within the first `len` bytes of all.
    pub(crate) fn whole_before(&mut self, len: u64) -> u64 {
        while let Some(end) = self.ends.front().copied().filter(|end| *end <= len) {
            self.whole = end;
            self.ends.pop_front();
        }
        self.whole
    }

    async fn fill(&mut self) -> Result<bool> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(false);
        };
        let end = self.end;
        let read = move || {
            let piece = reader.next(end);
            (reader, piece)
        };
        let (reader, piece) = in_thread(read).await;
        self.reader = Some(reader);
        match piece.map_err(error_of)? {
            Some(Piece::Bytes { bytes, ends, .. }) => {
                let before = self.at - self.start;
                self.ends.extend(ends.into_iter().map(|end| before + end));
                self.at += bytes.len() as u64;
                self.rest = bytes;
                Ok(true)
            }
            Some(Piece::Lost { damage, .. }) => Err(Error::new(ErrorKind::Spool {
                reason: format!(
                    "what the object holds cannot be compared with the spool, which is damaged: \
                     {damage}"
                ),
                out_of_space: false,
            })),
            None => Ok(false),
        }
    }
}
