//! The log: a directory of segments that is appended to at one end and released at the other.
//!
//! Invariants:
//! - The bytes on disk are always a log that can be opened. Nothing that counts is overwritten,
//!   except the older of the two plans in a segment.
//! - `held` and the index have the same segments. The index changes only when an append is done.
//! - What a failed append left behind is removed before anything else is appended, so it can
//!   never come to lie behind newer frames.
//! - A plan is durable elsewhere before the segment that holds it is removed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use super::disk::{Disk, DiskFile};
use super::error::{ErrorKind, SpoolError};
use super::format::{
    self, FrameHeader, FramePlan, HEADER_BLOCK, HEADER_SIZE, HeaderFound, MAX_LABELS, MAX_PLAN,
    PlanSlot, SLOT_SIZE, SLOTS, SegmentHeader,
};
use super::reader::{Indexed, Reader, SharedIndex};
use super::segment::{self, Bounds, Damage, Fault, Place, Segment, Walk};
use super::size::Size;

/// A frame up to this size is put together in memory and written with one call.
const SMALL_FRAME: u64 = 64 * 1024;

/// How a log is kept.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// A segment that has reached this size gets no more frames.
    pub(crate) segment_size: u64,
    /// The largest size of all files together.
    pub(crate) max_size: u64,
    /// The size of all logs that share this bound, where it is not for one alone.
    pub(crate) size_of_all: Option<Arc<AtomicU64>>,
    /// Who the bytes are for. At most 3800 bytes.
    pub(crate) owner: Vec<u8>,
    /// Before segments are deleted, the plan that outlives them is synced. Without that a loss of
    /// power can bring back a plan whose position is before the first segment.
    pub(crate) syncs: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            max_size: u64::MAX,
            size_of_all: None,
            owner: Vec::new(),
            syncs: true,
        }
    }
}

/// What the user of the log wants to know after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The position it is about.
    pub(crate) position: u64,
    /// Anything, of at most 1900 bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Where a segment begins, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentStart {
    /// Position of its first byte.
    pub(crate) base: u64,
    /// The note given to [`SegmentLog::cut`]. Empty if there was none, or if it is damaged.
    pub(crate) note: Vec<u8>,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub(crate) created: u64,
}

/// What was there when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Position of the first byte. 0 if there is no segment.
    pub(crate) start: u64,
    /// Position behind the last byte.
    pub(crate) end: u64,
    /// The newest plan.
    pub(crate) plan: Option<Plan>,
    /// The segments, in the order of the stream.
    pub(crate) segments: Vec<SegmentStart>,
    /// Bytes on disk of unfinished frames at the very end. They were cut off.
    pub(crate) torn: u64,
    /// What is damaged. Damage inside of any but the last segment is only found by reading it.
    pub(crate) damage: Vec<Damage>,
}

/// A segment as the log knows it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) segment: Arc<Segment>,
    name: String,
    /// Where the next frame goes.
    len: u64,
    /// Sequence numbers of the plans in the slots, 0 for none.
    pub(super) plans: [u64; 2],
    /// Whether its first byte goes on with a record.
    within: bool,
    /// Whether there is anything that is not known to be durable.
    pub(super) unsynced: bool,
    /// How often it was written to.
    pub(super) writes: u64,
    /// Why it may never be durable. See [`SegmentLog::sync`].
    pub(super) doubtful: Option<SpoolError>,
}

impl Held {
    /// It is about to be written to.
    fn writing(&mut self) {
        self.unsynced = true;
        self.writes += 1;
    }
}

/// The newest plan.
#[derive(Debug)]
pub(super) struct NewestPlan {
    pub(super) plan: Plan,
    /// The segment it is in.
    pub(super) base: u64,
    pub(super) durable: bool,
    /// Whether it must be written anew to become durable.
    pub(super) rewrite: bool,
}

/// The state that a failed append returns to.
#[derive(Debug)]
struct Mark {
    segments: usize,
    end: u64,
    size: u64,
    /// Length of the last segment.
    len: u64,
    within: bool,
    cut: Option<Vec<u8>>,
    /// Whether the last segment is written to.
    in_last: bool,
}

/// An append-only log of bytes in a directory.
#[derive(Debug)]
pub(crate) struct SegmentLog {
    pub(super) disk: Arc<dyn Disk>,
    options: LogOptions,
    index: SharedIndex,
    pub(super) held: VecDeque<Held>,
    end: u64,
    size: Size,
    /// Whether no record ends where the log ends.
    within: bool,
    /// The note of the segment that is to be begun.
    cut: Option<Vec<u8>>,
    /// Highest sequence number of a plan that was ever written.
    pub(super) sequence: u64,
    pub(super) newest: Option<NewestPlan>,
    /// Whether files were made or removed and the directory was not synced.
    pub(super) unsynced: bool,
    /// How often files were made or removed.
    pub(super) changes: u64,
    /// Segments of failed appends that could not be removed, newest first.
    leftover: Vec<Held>,
    /// Whether the last file has bytes of a failed append behind its length.
    untrimmed: bool,
    scratch: Vec<u8>,
}

impl SegmentLog {
    /// Opens the log on a disk.
    ///
    /// Reads the headers of all segments and the frames of the last one. An unfinished frame at
    /// the end is cut off. If this fails because of a version or an owner then nothing is changed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        options: LogOptions,
    ) -> Result<(Self, Found), SpoolError> {
        if options.owner.len() > MAX_LABELS {
            let rule = ErrorKind::Invalid("the owner is longer than 3800 bytes");
            return Err(SpoolError::new(rule, "open", disk.describe("")));
        }
        let mut opened = load(disk.as_ref(), &options.owner)?;
        let mut found = Found::default();
        remove_empty(disk.as_ref(), &mut opened)?;
        let (end, within) = finish_last(disk.as_ref(), &mut opened, &mut found)?;
        find_missing(&opened, &mut found)?;
        found.damage.sort_by_key(|damage| damage.lost.start);
        found.start = opened.first().map_or(0, |first| first.held.segment.base);
        found.end = end;

        let newest = opened
            .iter_mut()
            .flat_map(|opened| {
                let base = opened.held.segment.base;
                opened.plans.drain(..).map(move |slot| (base, slot))
            })
            .max_by_key(|(_, slot)| slot.sequence);
        let sequence = newest.as_ref().map_or(0, |(_, slot)| slot.sequence);
        let newest = newest.map(|(base, slot)| NewestPlan {
            plan: Plan {
                position: slot.position,
                bytes: slot.bytes,
            },
            base,
            durable: false,
            rewrite: false,
        });
        found.plan = newest.as_ref().map(|newest| newest.plan.clone());

        let mut held = VecDeque::with_capacity(opened.len());
        for opened in opened {
            found.segments.push(SegmentStart {
                base: opened.held.segment.base,
                note: opened.note,
                created: opened.held.segment.created,
            });
            held.push_back(opened.held);
        }
        let size = held.iter().map(|held: &Held| held.len).sum();
        let log = Self {
            disk,
            size: Size::new(size, options.size_of_all.clone()),
            options,
            index: SharedIndex::default(),
            held,
            end,
            within,
            cut: None,
            sequence,
            newest,
            unsynced: true,
            changes: 0,
            leftover: Vec::new(),
            untrimmed: false,
            scratch: Vec::new(),
        };
        log.publish();
        Ok((log, found))
    }

    /// Position of the first byte that is there.
    pub(crate) fn start(&self) -> u64 {
        self.held
            .front()
            .map_or(self.end, |first| first.segment.base)
    }

    /// Position behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether the first byte that is there goes on with a record.
    pub(crate) fn begins_within(&self) -> bool {
        self.held.front().is_some_and(|first| first.within)
    }

    /// Whether what comes next goes on with a record.
    pub(crate) fn ends_within(&self) -> bool {
        self.within
    }

    /// Size of all files.
    pub(crate) fn size(&self) -> u64 {
        self.size.own()
    }

    /// Whether what counts for the bound takes more than half of that.
    pub(crate) fn is_tight(&self) -> bool {
        self.size.counted() > self.options.max_size / 2
    }

    /// Removes the directory, if there is nothing in it.
    pub(crate) fn remove_empty(&self) {
        if self.held.is_empty() && self.leftover.is_empty() {
            self.disk.remove_empty();
        }
    }

    /// Goes on at `position`, where a record is `within` or not: what was before is dealt with. Nothing
    /// may be there.
    pub(crate) fn begin_at(&mut self, position: u64, within: bool) {
        debug_assert!(self.held.is_empty());
        self.end = position;
        self.within = within;
        self.publish();
    }

    /// Deletes all there is. The first segment, with the plan, goes last.
    pub(crate) fn clear(&mut self) -> Result<(), SpoolError> {
        self.tidy()?;
        while let Some(last) = self.held.back() {
            remove(self.disk.as_ref(), &last.name)?;
            let len = last.len;
            self.changed();
            self.size.set(self.size.own() - len);
            self.held.pop_back();
            self.index.lock().segments.pop_back();
        }
        self.newest = None;
        self.cut = None;
        Ok(())
    }

    /// When the first segment was begun, if it has any bytes.
    pub(crate) fn oldest(&self) -> Option<SystemTime> {
        let first = &self.held.front()?.segment;
        (first.base < self.end).then(|| segment::time(first.created))
    }

    /// Appends bytes, which are given in pieces.
    ///
    /// `ends` are the offsets in the bytes where records end, ascending. The last may equal their
    /// length. If it fails then nothing was appended, and it can be called again.
    pub(crate) fn append(&mut self, chunks: &[&[u8]], ends: &[u64]) -> Result<(), SpoolError> {
        let payload = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.check(payload, ends)?;
        if payload == 0 {
            return Ok(());
        }
        self.tidy()?;
        let needed = self.size.counted();
        let needed = needed.saturating_add(self.cost(payload, ends));
        if needed > self.options.max_size {
            let max = self.options.max_size;
            let full = ErrorKind::Full { needed, max };
            return Err(SpoolError::new(
                full,
                "append to the spool in",
                self.disk.describe(""),
            ));
        }
        let mark = self.mark();
        let mut source = Source::new(chunks);
        let now = segment::now();
        for frame in format::divide(payload, ends) {
            if let Err(error) = self.append_frame(&frame, ends, &mut source, now) {
                self.roll_back(mark);
                return Err(error);
            }
        }
        self.publish();
        Ok(())
    }

    /// Lets the next append begin a new segment with this note.
    ///
    /// The note is shortened if it and the owner have more than 3800 bytes.
    pub(crate) fn cut(&mut self, mut note: Vec<u8>) {
        note.truncate(MAX_LABELS - self.options.owner.len());
        self.cut = Some(note);
    }

    /// Keeps a plan, and forgets the one before.
    ///
    /// It needs no space on the disk, unless there is no segment. It is durable after the next
    /// sync, or at once if `sync` is set.
    pub(crate) fn plan(
        &mut self,
        position: u64,
        plan: &[u8],
        sync: bool,
    ) -> Result<(), SpoolError> {
        if plan.len() > MAX_PLAN {
            let rule = ErrorKind::Invalid("the plan is longer than 1900 bytes");
            return Err(SpoolError::new(
                rule,
                "keep a plan in",
                self.disk.describe(""),
            ));
        }
        if self.held.is_empty() {
            self.tidy()?;
            let mark = self.mark();
            let begun = self.begin_segment(segment::now());
            if let Err(error) = begun.and_then(|()| self.write_plan(position, plan)) {
                self.roll_back(mark);
                return Err(error);
            }
            self.publish();
        } else {
            self.write_plan(position, plan)?;
        }
        if sync {
            self.sync_plan(0)?;
            self.sync_disk()?;
        }
        Ok(())
    }

    /// Whether a segment has only bytes before `durable`, so that it can go.
    pub(crate) fn can_release(&self, durable: u64) -> bool {
        let next = self.held.get(1);
        next.is_some_and(|next| next.segment.base <= durable)
    }

    /// Deletes the segments that have only bytes before `durable`, and returns how many bytes of
    /// disk that frees.
    ///
    /// If the newest plan is in one of these, then `plan` for the position `durable` is written to
    /// one that stays. The last segment stays, unless everything is durable and `all` is set. Then
    /// the plan goes too.
    pub(crate) fn release(
        &mut self,
        durable: u64,
        plan: &[u8],
        all: bool,
    ) -> Result<u64, SpoolError> {
        let bases = self.held.iter().skip(1).map(|held| held.segment.base);
        let gone = bases.take_while(|base| *base <= durable).count();
        if gone > 0 {
            self.secure_plan(gone, durable, plan)?;
        }
        let mut freed = 0;
        for _ in 0..gone {
            freed += self.remove_first()?;
        }
        if all && durable >= self.end && self.held.len() == 1 {
            freed += self.remove_first()?;
            self.newest = None;
            self.untrimmed = false;
        }
        Ok(freed)
    }

    /// A reader that begins at this position.
    pub(crate) fn reader(&self, from: u64) -> Reader {
        Reader::new(self.index.clone(), from)
    }

    fn check(&self, payload: u64, ends: &[u64]) -> Result<(), SpoolError> {
        let ascending = ends.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = ends.first().is_none_or(|first| *first > 0)
            && ends.last().is_none_or(|last| *last <= payload);
        let rule = if !ascending || !inside {
            "the record ends are not ascending offsets in what is appended"
        } else if self.end.checked_add(payload).is_none() {
            "the stream would be longer than 2^64 bytes"
        } else {
            return Ok(());
        };
        Err(SpoolError::new(
            ErrorKind::Invalid(rule),
            "append to the spool in",
            self.disk.describe(""),
        ))
    }

    /// A segment has room for at least one frame, whatever the options say.
    fn segment_size(&self) -> u64 {
        self.options.segment_size.max(HEADER_BLOCK + 1)
    }

    fn last_len(&self) -> u64 {
        self.held.back().map_or(0, |last| last.len)
    }

    fn last_is_empty(&self) -> bool {
        self.held
            .back()
            .is_some_and(|last| last.segment.base == self.end)
    }

    /// Whether the next frame begins a segment.
    fn due(&self) -> bool {
        let Some(last) = self.held.back() else {
            return true;
        };
        let full = last.len >= self.segment_size() || last.doubtful.is_some();
        self.cut.is_some() || (full && !self.last_is_empty())
    }

    /// What an append takes on disk.
    fn cost(&self, payload: u64, ends: &[u64]) -> u64 {
        let mut due = self.due();
        let mut reuse = self.last_is_empty();
        let mut len = self.last_len();
        let mut cost = 0;
        for frame in format::divide(payload, ends) {
            if due && !reuse {
                cost += HEADER_BLOCK;
                len = HEADER_BLOCK;
            }
            cost += frame.size();
            len += frame.size();
            due = len >= self.segment_size();
            reuse = false;
        }
        cost
    }

    fn mark(&self) -> Mark {
        Mark {
            segments: self.held.len(),
            end: self.end,
            size: self.size.own(),
            len: self.last_len(),
            within: self.within,
            cut: self.cut.clone(),
            in_last: !self.due() || self.last_is_empty(),
        }
    }

    /// Makes the log what it was, on disk too if possible. If not then [`Self::tidy`] does it later.
    fn roll_back(&mut self, mark: Mark) {
        while self.held.len() > mark.segments {
            self.leftover.extend(self.held.pop_back());
        }
        if let Some(last) = self.held.back_mut() {
            last.len = mark.len;
            self.untrimmed |= mark.in_last;
        }
        self.end = mark.end;
        self.size.set(mark.size);
        self.within = mark.within;
        self.cut = mark.cut;
        // The error that led here is the one to report.
        let _ = self.tidy();
    }

    /// Removes what failed appends left behind.
    fn tidy(&mut self) -> Result<(), SpoolError> {
        // Newest first, so that there is never a gap between the files.
        while let Some(left) = self.leftover.first() {
            let removed = remove(self.disk.as_ref(), &left.name);
            // A file that is too short for a header does not count. One that begins where the log
            // ends is overwritten when a segment is begun there, and until then it has only bytes
            // that were to be appended.
            if let Err(error) = removed
                && left.segment.set_len(0).is_err()
                && left.segment.base != self.end
            {
                return Err(error);
            }
            self.leftover.remove(0);
        }
        if self.untrimmed {
            if let Some(last) = self.held.back() {
                last.segment.set_len(last.len)?;
            }
            self.untrimmed = false;
        }
        Ok(())
    }

    /// Lets readers see what was appended.
    fn publish(&self) {
        let mut index = self.index.lock();
        if let Some(last) = index.segments.len().checked_sub(1) {
            index.segments[last].len = self.held[last].len;
        }
        for held in self.held.range(index.segments.len()..) {
            index.segments.push_back(Indexed {
                segment: held.segment.clone(),
                len: held.len,
            });
        }
        index.end = self.end;
    }

    fn append_frame(
        &mut self,
        frame: &FramePlan,
        ends: &[u64],
        source: &mut Source<'_>,
        now: u64,
    ) -> Result<(), SpoolError> {
        if self.due() {
            self.begin_segment(now)?;
        }
        let Some(last) = self.held.back_mut() else {
            return Ok(());
        };
        let Range { start, end } = frame.payload;
        let age = now.saturating_sub(last.segment.created);
        let header = FrameHeader {
            len: (end - start) as u32,
            inner: frame.inner.len() as u32,
            ends_record: frame.ends_record,
            position: self.end,
            age: u32::try_from(age).unwrap_or(u32::MAX),
        };
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(&header.encode());
        for inner in &ends[frame.inner.clone()] {
            scratch.extend_from_slice(&((inner - start) as u32).to_le_bytes());
        }
        last.writing();
        if frame.size() <= SMALL_FRAME {
            source.take(end - start, |part| scratch.extend_from_slice(part));
            let crc = format::checksum(&scratch[format::FRAME_HEADER..]);
            scratch.extend_from_slice(&crc.to_le_bytes());
            last.segment.write(last.len, &mut [IoSlice::new(scratch)])?;
        } else {
            let mut digest = format::digest();
            digest.update(&scratch[format::FRAME_HEADER..]);
            let mut slices = vec![IoSlice::new(scratch)];
            source.take(end - start, |part| {
                digest.update(part);
                slices.push(IoSlice::new(part));
            });
            let crc = digest.finalize().to_le_bytes();
            slices.push(IoSlice::new(&crc));
            last.segment.write(last.len, &mut slices)?;
        }
        last.len += frame.size();
        self.size.set(self.size.own() + frame.size());
        self.end += end - start;
        self.within = !frame.ends_record;
        Ok(())
    }

    /// Begins a segment at the end of the log.
    fn begin_segment(&mut self, now: u64) -> Result<(), SpoolError> {
        let mut header = SegmentHeader {
            base: self.end,
            previous: self.end,
            created: now,
            within: self.within,
            owner: self.options.owner.clone(),
            note: self.cut.take().unwrap_or_default(),
        };
        let before = self.held.iter().rev().map(|held| held.segment.base);
        if let Some(previous) = before.clone().find(|base| *base != self.end) {
            header.previous = previous;
        }
        if self.last_is_empty()
            && let Some(last) = self.held.back_mut()
        {
            // The segment is new already and only gets another note. Its plans stay.
            header.created = last.segment.created;
            last.writing();
            return last.segment.write(0, &mut [IoSlice::new(&header.encode())]);
        }
        let name = format::segment_name(self.end);
        let handle = self.create(&name)?;
        let segment = Segment::new(self.end, now, self.disk.describe(&name), handle);
        self.changed();
        self.held.push_back(Held {
            segment: Arc::new(segment),
            name,
            len: HEADER_BLOCK,
            plans: [0; 2],
            within: header.within,
            unsynced: true,
            writes: 1,
            doubtful: None,
        });
        self.size.set(self.size.own() + HEADER_BLOCK);
        let mut block = header.encode();
        block.resize(HEADER_BLOCK as usize, 0);
        match self.held.back() {
            Some(last) => last.segment.write(0, &mut [IoSlice::new(&block)]),
            None => Ok(()),
        }
    }

    fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>, SpoolError> {
        let created = match self.disk.create(name) {
            // A failed append left it, and it could not be removed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.open(name).and_then(|file| {
                    file.set_len(0)?;
                    Ok(file)
                })
            }
            created => created,
        };
        created.map_err(|error| SpoolError::io(error, "create", self.disk.describe(name)))
    }

    /// Files were made or removed.
    fn changed(&mut self) {
        self.unsynced = true;
        self.changes += 1;
    }

    /// Writes a plan to the last segment, of which there is one.
    pub(super) fn write_plan(&mut self, position: u64, plan: &[u8]) -> Result<(), SpoolError> {
        let Some(last) = self.held.back_mut() else {
            return Ok(());
        };
        // The number is not used again even if this fails, since it may be on the disk then.
        self.sequence += 1;
        let bytes = PlanSlot {
            sequence: self.sequence,
            position,
            bytes: plan.to_vec(),
        };
        let slot = usize::from(last.plans[1] < last.plans[0]);
        let encoded = bytes.encode();
        last.segment
            .write(SLOTS[slot], &mut [IoSlice::new(&encoded)])?;
        last.plans[slot] = self.sequence;
        self.newest = Some(NewestPlan {
            plan: Plan {
                position,
                bytes: bytes.bytes,
            },
            base: last.segment.base,
            durable: false,
            rewrite: false,
        });
        Ok(())
    }

    /// Sees to it that the newest plan outlives the first `gone` segments, and is of a position that is
    /// in those that stay.
    fn secure_plan(&mut self, gone: usize, durable: u64, plan: &[u8]) -> Result<(), SpoolError> {
        let Some(newest) = &self.newest else {
            return Ok(());
        };
        let first = self.held[gone].segment.base;
        if newest.base < first || newest.plan.position < first {
            self.plan(durable, plan, false)?;
        }
        if !self.options.syncs {
            return Ok(());
        }
        self.sync_plan(gone)?;
        self.sync_disk()
    }

    /// Removes the first segment.
    fn remove_first(&mut self) -> Result<u64, SpoolError> {
        let Some(first) = self.held.front() else {
            return Ok(0);
        };
        remove(self.disk.as_ref(), &first.name)?;
        let freed = first.len;
        self.changed();
        self.size.set(self.size.own() - freed);
        self.held.pop_front();
        self.index.lock().segments.pop_front();
        Ok(freed)
    }
}

/// Takes what is appended piece by piece from its chunks.
struct Source<'a> {
    chunks: std::slice::Iter<'a, &'a [u8]>,
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    fn new(chunks: &'a [&'a [u8]]) -> Self {
        Self {
            chunks: chunks.iter(),
            rest: &[],
        }
    }

    fn take(&mut self, mut len: u64, mut part: impl FnMut(&'a [u8])) {
        while len > 0 {
            if self.rest.is_empty() {
                let Some(next) = self.chunks.next() else {
                    return;
                };
                self.rest = next;
                continue;
            }
            let (taken, rest) = self.rest.split_at(
                self.rest
                    .len()
                    .min(usize::try_from(len).unwrap_or(usize::MAX)),
            );
            part(taken);
            self.rest = rest;
            len -= taken.len() as u64;
        }
    }
}

/// Removes a file. It is fine if it is gone already.
fn remove(disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SpoolError::io(error, "remove", disk.describe(name)))
        }
        _ => Ok(()),
    }
}

/// A segment that was found when the log was opened.
struct Opened {
    held: Held,
    /// Base of the segment before it, if its header is good.
    previous: Option<u64>,
    header: Condition,
    note: Vec<u8>,
    plans: Vec<PlanSlot>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Good,
    /// Magic or version is damaged, and the rest can be read.
    Mended,
    Damaged,
}

/// Opens all segments and reads their headers. Changes nothing.
fn load(disk: &dyn Disk, owner: &[u8]) -> Result<Vec<Opened>, SpoolError> {
    let names = disk
        .list()
        .map_err(|error| SpoolError::io(error, "list", disk.describe("")))?;
    let mut names: Vec<(u64, String)> = names
        .into_iter()
        .filter_map(|name| Some((format::parse_segment_name(&name)?, name)))
        .collect();
    names.sort();
    let mut all: Vec<Opened> = Vec::with_capacity(names.len());
    let mut block = vec![0; HEADER_BLOCK as usize];
    for (base, name) in names {
        let opened = load_one(disk, owner, base, name, &mut block)?;
        all.push(opened);
    }
    // A time that is lost is about the one of a neighbour.
    let mut near = all
        .iter()
        .find(|opened| opened.header != Condition::Damaged)
        .map_or_else(segment::now, |opened| opened.held.segment.created);
    for opened in &mut all {
        if opened.header == Condition::Damaged {
            let segment = opened.held.segment.with_created(near);
            opened.held.segment = Arc::new(segment);
        }
        near = opened.held.segment.created;
    }
    Ok(all)
}

fn load_one(
    disk: &dyn Disk,
    owner: &[u8],
    base: u64,
    name: String,
    block: &mut [u8],
) -> Result<Opened, SpoolError> {
    let file = disk.describe(&name);
    let handle = disk
        .open(&name)
        .map_err(|error| SpoolError::io(error, "open", &file))?;
    let mut segment = Segment::new(base, 0, file, handle);
    let len = segment.len()?;
    let filled = segment.read(0, block)?;
    let block = &block[..filled];
    let refuse = |kind, segment: Segment| Err(SpoolError::new(kind, "open", segment.file));
    let mut opened = match SegmentHeader::decode(block) {
        HeaderFound::Good { header, mended } => {
            if header.owner != owner {
                return refuse(ErrorKind::Owner(header.owner), segment);
            }
            if header.base != base {
                let rule = "its name is not the one it was created with; give it back its name";
                return refuse(ErrorKind::Invalid(rule), segment);
            }
            segment = segment.with_created(header.created);
            Opened {
                previous: Some(header.previous),
                header: if mended {
                    Condition::Mended
                } else {
                    Condition::Good
                },
                note: header.note,
                plans: Vec::new(),
                held: Held {
                    within: header.within,
                    ..hold(segment, name, len)
                },
            }
        }
        HeaderFound::Version(found) => {
            // Any bytes are taken for damage only if a frame of ours is behind them.
            let mut frame = [0; format::FRAME_HEADER];
            let read = segment.read(HEADER_BLOCK, &mut frame)?;
            let ours = FrameHeader::decode(&frame[..read])
                .is_some_and(|frame| found.is_none() && frame.position == base);
            if !ours {
                return refuse(ErrorKind::Version { found }, segment);
            }
            damaged(segment, name, len)
        }
        HeaderFound::Damaged => damaged(segment, name, len),
    };
    for (slot, offset) in SLOTS.into_iter().enumerate() {
        let offset = offset as usize;
        let bytes = block.get(offset..block.len().min(offset + SLOT_SIZE));
        if let Some(plan) = bytes.and_then(PlanSlot::decode) {
            opened.held.plans[slot] = plan.sequence;
            opened.plans.push(plan);
        }
    }
    Ok(opened)
}

fn damaged(segment: Segment, name: String, len: u64) -> Opened {
    Opened {
        held: hold(segment, name, len),
        previous: None,
        header: Condition::Damaged,
        note: Vec::new(),
        plans: Vec::new(),
    }
}

fn hold(segment: Segment, name: String, len: u64) -> Held {
    Held {
        segment: Arc::new(segment),
        name,
        len,
        plans: [0; 2],
        within: false,
        // Who wrote it may not have come to sync it.
        unsynced: true,
        writes: 0,
        doubtful: None,
    }
}

/// Removes files that are too short to hold anything.
fn remove_empty(disk: &dyn Disk, all: &mut Vec<Opened>) -> Result<(), SpoolError> {
    for opened in all.iter().rev() {
        if opened.held.len < HEADER_BLOCK && opened.plans.is_empty() {
            remove(disk, &opened.held.name)?;
        }
    }
    all.retain(|opened| opened.held.len >= HEADER_BLOCK || !opened.plans.is_empty());
    Ok(())
}

/// Finds the end of the log, and whether that is within a record, and cuts off what is unfinished.
fn finish_last(
    disk: &dyn Disk,
    all: &mut Vec<Opened>,
    found: &mut Found,
) -> Result<(u64, bool), SpoolError> {
    let (mut end, mut within) = (0, false);
    while let Some(last) = all.last_mut() {
        let segment = &last.held.segment;
        let len = last.held.len;
        let bounds = Bounds { len, end: u64::MAX };
        let Walk {
            end: place,
            ends_record,
            damage,
        } = segment::walk(segment, bounds)?;
        let nothing = place == Place::first(segment.base) && damage.is_empty();
        if nothing && last.header == Condition::Damaged && last.plans.is_empty() {
            // It was being created.
            remove(disk, &last.held.name)?;
            all.pop();
            continue;
        }
        if place.offset < len {
            segment.set_len(place.offset)?;
            found.torn = len - place.offset;
        }
        last.held.len = place.offset;
        found.damage.extend(damage);
        end = place.position;
        within = ends_record.map_or(last.held.within, |ends| !ends);
        break;
    }
    Ok((end, within))
}

/// Notes headers that are damaged, and segments that are gone.
fn find_missing(all: &[Opened], found: &mut Found) -> Result<(), SpoolError> {
    for opened in all {
        if opened.header != Condition::Good {
            let segment = &opened.held.segment;
            let nothing = segment.base..segment.base;
            found.damage.push(segment.damage(0, nothing, Fault::Header));
        }
    }
    for pair in all.windows(2) {
        let (segment, len) = (&pair[0].held.segment, pair[0].held.len);
        let end = pair[1].held.segment.base;
        let chained = pair[1]
            .previous
            .is_none_or(|previous| previous == segment.base);
        if chained && end - segment.base <= len.saturating_sub(HEADER_BLOCK) {
            continue;
        }
        let Walk { end: place, .. } = segment::walk(segment, Bounds { len, end })?;
        if place.position < end {
            let lost = place.position..end;
            found
                .damage
                .push(segment.damage(place.offset, lost, Fault::Missing));
        }
    }
    Ok(())
}

/// Size of the header that `begin_segment` rewrites. The plan slots must be behind it.
const _: () = assert!(HEADER_SIZE as u64 <= SLOTS[0]);
