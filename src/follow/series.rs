//! All files that one path leads to, one after the other, and which of their bytes go to which object
//! next. It reads files and decides; it knows no clock, no store and no tokio.
//!
//! # Invariants
//! - A file is sent from its beginning on, without gaps, and the next file only when it is at its end.
//! - With `{seq}` an object holds bytes of one file alone. So its length and CRC-64 tell which file
//!   that is, and how far it was sent.
//! - A file stays open from when it is noticed until it is sent, so that neither its removal nor its
//!   inode number, given to another, matters.
//! - Bytes are [`sent`](Series::sent) when they are proven to be in the object, and only that moves the
//!   position on.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::files::{Files, State};
use super::lines;
use super::place::{self, Beginning, Found, Objects};
use super::reading::{Head, Read, Reading};
use super::siblings::{self, Listing, Sibling};
use super::stop::Stop;
use crate::error::Error;

/// So many objects are compared with the files where no file begins with the newest: as many as a year
/// of daily rotations has.
const MOST_HEADS: usize = 400;

/// What does not change while a path is followed.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Each file has objects of its own.
    pub(super) numbered: bool,
    /// The most bytes of one append.
    pub(super) most: usize,
    pub(super) max_object_size: u64,
    /// How long a file that was rotated has to be still until the next is begun.
    pub(super) drain: Duration,
    /// Only what is there at the start.
    pub(super) once: bool,
    /// Where there is no object yet, files that were rotated before are left out.
    pub(super) skip_rotated: bool,
    /// Where no file begins with the newest object, its file is taken for lost.
    pub(super) allow_gap: bool,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// These bytes are to be appended to the object, and [`sent`](Series::sent) then.
    Append { head: Head, bytes: Bytes },
    /// Nothing, until something has changed.
    Idle,
    /// Everything is sent that there was at the start.
    Done,
}

/// What was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Sends this file, from this position on.
    Begun { file: PathBuf, position: u64 },
    /// It was truncated. What had been read up to there is followed by `rest` of the copy, if one was
    /// found.
    Truncated {
        file: PathBuf,
        position: u64,
        copy: Option<PathBuf>,
    },
    /// These bytes of a file cannot be had any more; `to` is the end as far as it was seen.
    Lost {
        file: PathBuf,
        from: u64,
        to: Option<u64>,
    },
    /// The file begins with so many zeros, which are not sent.
    Hole { file: PathBuf, zeros: u64 },
    /// It cannot be read: compressed in another way, or broken.
    Unreadable { file: PathBuf },
    /// Its writer has written to it after the next file had begun.
    Late { file: PathBuf, bytes: u64 },
    /// There is no such file now.
    Gone,
}

/// Which file the bytes under way are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Current,
    Late,
}

/// The files of one path.
pub(super) struct Series<F: Files> {
    files: F,
    path: PathBuf,
    rules: Rules,
    current: Option<Reading<F>>,
    next: VecDeque<Reading<F>>,
    /// The file before: its writer may not have noticed yet that there is another.
    previous: Option<Reading<F>>,
    /// The newest object, or its place before there is one.
    newest: Head,
    placed: bool,
    /// Since when a rotated file has been at its end.
    still: Option<Duration>,
    under_way: Option<(From, Bytes)>,
    notices: Vec<Notice>,
    is_gone: bool,
}

impl<F: Files> Series<F> {
    pub(super) fn new(files: F, path: PathBuf, rules: Rules) -> Self {
        Self {
            files,
            path,
            rules,
            current: None,
            next: VecDeque::new(),
            previous: None,
            newest: Head {
                number: 1,
                length: 0,
                crc64: 0,
            },
            placed: false,
            still: None,
            under_way: None,
            notices: Vec::new(),
            is_gone: false,
        }
    }

    /// What was noticed since the last call.
    pub(super) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Finds the place in the files where the objects end.
    pub(super) fn place(&mut self, objects: &mut dyn Objects) -> Result<(), Stop> {
        let mut heads: Vec<Head> = objects.newest().map_err(object)?.into_iter().collect();
        // Nothing is known by an object without bytes.
        let empty = heads.first().filter(|head| head.length == 0).copied();
        if let Some(empty) = empty {
            heads.clear();
            self.add_older(&mut heads, empty.number, objects)?;
        }
        let listing = self.siblings()?;
        let siblings = &listing.files;
        let (found, from) = loop {
            let beginnings = self.beginnings(siblings)?;
            let has_older = heads.last().is_some_and(|head| head.number > 1);
            let found = match &heads[..] {
                [] => Found::Nowhere,
                [head, ..] if !self.rules.numbered => place::single(&beginnings, head)?,
                heads => place::numbered(&beginnings, heads, has_older, self.full())?,
            };
            let found = match (found, heads.first()) {
                (Found::Nowhere, Some(head)) if self.rules.numbered => {
                    place::shorter(&beginnings, head, objects)?
                }
                (found, _) => found,
            };
            if let Found::Behind { .. } | Found::Nowhere = found {
                self.must_be_unchanged(&listing)?;
            }
            let from = match found {
                Found::At { file, .. } => Some(file),
                Found::Behind { file } => Some(file + 1),
                Found::Older => None,
                Found::Nowhere if heads.is_empty() && self.rules.skip_rotated => {
                    let current = siblings.iter().position(|file| file.is_current);
                    Some(current.unwrap_or(siblings.len()))
                }
                Found::Nowhere if heads.is_empty() => Some(0),
                Found::Nowhere if self.rules.allow_gap && self.rules.numbered => {
                    match place::unsent(&beginnings, &heads)? {
                        None if has_older && heads.len() < MOST_HEADS => None,
                        from => Some(from.unwrap_or(0)),
                    }
                }
                Found::Nowhere => {
                    return Err(Stop::Conflict {
                        number: heads[0].number,
                        length: heads[0].length,
                    });
                }
            };
            match from {
                Some(from) => {
                    place::no_copies(&beginnings[from..])?;
                    break (found, from);
                }
                None => {
                    let oldest = heads.last().map_or(1, |head| head.number);
                    self.add_older(&mut heads, oldest, objects)?;
                }
            }
        };
        self.begin(listing.files, found, from, heads.first(), empty)
    }

    /// What was not found may only have been renamed or copied meanwhile.
    fn must_be_unchanged(&self, listing: &Listing<F>) -> Result<(), Stop> {
        match siblings::are_unchanged(&self.files, &self.path, listing)? {
            true => Ok(()),
            false => Err(Stop::Unsteady(self.path.clone())),
        }
    }

    /// Adds the object before number `before`; one that is missing has no bytes.
    fn add_older(
        &self,
        heads: &mut Vec<Head>,
        before: u64,
        objects: &mut dyn Objects,
    ) -> Result<(), Stop> {
        if self.rules.numbered && before > 1 {
            let none = Head {
                number: before - 1,
                length: 0,
                crc64: 0,
            };
            let older = objects.numbered(before - 1).map_err(object)?;
            heads.push(older.unwrap_or(none));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        siblings: Vec<Sibling<F>>,
        found: Found,
        from: usize,
        newest: Option<&Head>,
        empty: Option<Head>,
    ) -> Result<(), Stop> {
        let mut chain: VecDeque<_> = siblings.into_iter().map(reading).collect();
        let before = chain.drain(..from).next_back();
        self.previous = before.map(finished);
        self.newest.number = 0;
        if let Some(newest) = newest {
            self.newest = *newest;
        }
        match (found, chain.front_mut()) {
            (Found::At { sent, crc64, .. }, Some(first)) => {
                let skipped = first.skip(&self.files, sent, crc64);
                if !skipped.map_err(|error| Stop::File(first.path.clone(), error))? {
                    return Err(Stop::Unsteady(self.path.clone()));
                }
                first.head = Some(self.newest);
            }
            (Found::Nowhere, _) if newest.is_some() => self.notices.push(Notice::Lost {
                file: self.path.clone(),
                from: self.newest.length,
                to: None,
            }),
            _ => {}
        }
        if let Some(empty) = empty
            && self.rules.numbered
        {
            // The next object begins where that one stands.
            self.newest.number = empty.number - 1;
        }
        if self.rules.once {
            limit(&self.files, &mut chain)?;
        }
        self.current = chain.pop_front();
        self.next = chain;
        self.placed = self.current.is_some();
        self.notices.extend(begun(self.current.as_ref()));
        Ok(())
    }

    /// Objects that are as long go on in the next one.
    fn full(&self) -> u64 {
        let most = self.rules.most as u64;
        self.rules.max_object_size.saturating_sub(most)
    }

    fn siblings(&mut self) -> Result<Listing<F>, Stop> {
        let mut unreadable = Vec::new();
        let found = siblings::list(&self.files, &self.path, &mut unreadable);
        let unreadable = unreadable.into_iter();
        self.notices
            .extend(unreadable.map(|file| Notice::Unreadable { file }));
        found
    }

    fn beginnings<'a>(&'a self, siblings: &'a [Sibling<F>]) -> Result<Vec<Beginning<'a, F>>, Stop> {
        let files = siblings.iter();
        files.map(|file| Beginning::of(&self.files, file)).collect()
    }

    /// Whether a place in the files is known: else it has to be [found](Self::place).
    pub(super) fn is_placed(&self) -> bool {
        self.placed
    }

    /// What is to be done now. The time counts from anywhere.
    pub(super) fn look(&mut self, now: Duration, objects: &mut dyn Objects) -> Result<Step, Stop> {
        debug_assert!(self.under_way.is_none(), "the last bytes are not settled");
        loop {
            if self.current.is_none() {
                if self.next.is_empty() && !self.rules.once {
                    self.leads(objects)?;
                }
                self.begin_next();
            }
            let Some(current) = &mut self.current else {
                return Ok(match self.rules.once {
                    true => Step::Done,
                    false => Step::Idle,
                });
            };
            let ends = self.rules.once || current.finished;
            let read = current.read(&self.files, self.rules.most, ends);
            let read = read.map_err(|error| Stop::File(current.path.clone(), error))?;
            match read {
                Read::Bytes(bytes) => {
                    self.still = None;
                    if current.sent_len() > 0 || self.follows(&bytes, objects)? {
                        return self.append(From::Current, bytes);
                    }
                }
                Read::Replaced => self.truncated(objects)?,
                Read::Nothing if self.rules.once => match self.next.is_empty() {
                    true => return Ok(Step::Done),
                    false => self.advance(),
                },
                Read::Nothing => {
                    if let Some(bytes) = self.late()? {
                        return self.append(From::Late, bytes);
                    }
                    let leads = self.leads(objects)?;
                    if !self.may_advance(leads, now)? {
                        return Ok(Step::Idle);
                    }
                    if let Some(bytes) = self.rest()? {
                        return self.append(From::Current, bytes);
                    }
                    self.advance();
                }
            }
        }
    }

    /// The bytes of the last step are in their object.
    pub(super) fn sent(&mut self) {
        let Some((from, bytes)) = self.under_way.take() else {
            return;
        };
        let reading = match from {
            From::Current => &mut self.current,
            From::Late => &mut self.previous,
        };
        if let Some(reading) = reading {
            reading.sent(&bytes);
            if let Some(head) = reading.head
                && head.number >= self.newest.number
            {
                self.newest = head;
            }
        }
    }

    /// Into which object the bytes go, and how many of them. Where an object ends follows from the lines
    /// alone: an append of a process that was killed may still land, and has to be right then.
    fn append(&mut self, from: From, mut bytes: Bytes) -> Result<Step, Stop> {
        let newest = self.newest;
        let reading = match from {
            From::Current => &mut self.current,
            From::Late => &mut self.previous,
        };
        let reading = reading.as_mut().expect("a file that was read");
        let mut head = match reading.head {
            Some(head) if self.rules.numbered => head,
            None if self.rules.numbered => after(newest),
            _ => Head {
                number: 1,
                ..newest
            },
        };
        let most = self.rules.max_object_size;
        let mut fits = fitting(&bytes, most.saturating_sub(head.length));
        if fits == 0 && head.length > 0 && self.rules.numbered && from == From::Current {
            head = after(newest);
            fits = fitting(&bytes, most);
        }
        if fits == 0 && head.length > 0 {
            // Behind a late file stands the next one.
            return Err(Stop::Full {
                number: head.number,
                length: head.length,
            });
        }
        if fits == 0 {
            // A line that no object has room for.
            fits = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        }
        bytes.truncate(fits);
        reading.head = Some(head);
        if let (0, Some(zeros @ 1..)) = (reading.sent_len(), reading.start) {
            self.notices.push(Notice::Hole {
                file: reading.path.clone(),
                zeros,
            });
        }
        self.under_way = Some((from, bytes.clone()));
        Ok(Step::Append { head, bytes })
    }

    /// What the path leads to now: whether that is the file that is read. Another file is noted, with
    /// all between the two.
    fn leads(&mut self, objects: &mut dyn Objects) -> Result<Option<bool>, Stop> {
        let state = match self.files.look(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.is_gone, true) {
                    self.notices.push(Notice::Gone);
                }
                return Ok(None);
            }
            state => state.map_err(|error| Stop::File(self.path.clone(), error))?,
        };
        self.is_gone = false;
        if !state.is_file {
            return Err(Stop::NotAFile(self.path.clone()));
        }
        let is = |reading: &Reading<F>| reading.identity == state.identity;
        if self.current.as_ref().is_some_and(is) {
            return Ok(Some(true));
        }
        if self.next.iter().any(is) {
            return Ok(Some(false));
        }
        if self.previous.as_ref().is_some_and(is) {
            // It was renamed back, after another had been begun.
            self.next.extend(self.previous.take());
            return Ok(Some(false));
        }
        self.note_new(state, objects)?;
        Ok(Some(false))
    }

    /// Whether nothing stands between the file before and the one that is read, of which nothing was
    /// sent yet: it may have been copied and truncated since it was noted. What was missed is put
    /// before it.
    fn follows(&mut self, bytes: &Bytes, objects: &mut dyn Objects) -> Result<bool, Stop> {
        let listing = self.siblings()?;
        let files = &listing.files;
        let from = match &self.previous {
            Some(previous) => self.find(previous, files, objects)?.map(|last| last + 1),
            None => Some(0),
        };
        let own = self.current.as_ref().map(|current| current.identity);
        let to = files.iter().position(|file| Some(file.identity) == own);
        let is_known = |file: &Sibling<F>| {
            let mut noted = self.next.iter();
            file.len == 0 || noted.any(|known| known.identity == file.identity)
        };
        let missed = from.unwrap_or(files.len())..to.unwrap_or(0);
        if let Some(between) = files.get(missed.clone())
            && !between.iter().all(is_known)
        {
            place::no_copies(&self.beginnings(&files[missed.start..])?)?;
            let is_new: Vec<bool> = files.iter().map(|file| !is_known(file)).collect();
            let files = listing.files.into_iter().zip(is_new).take(missed.end);
            let missed = files.skip(missed.start).filter(|(_, is_new)| *is_new);
            let missed: Vec<_> = missed.map(|(file, _)| reading(file)).collect();
            for reading in self
                .current
                .take()
                .into_iter()
                .chain(missed.into_iter().rev())
            {
                self.next.push_front(reading);
            }
            self.begin_next();
            return Ok(false);
        }
        let Some(current) = &self.current else {
            return Ok(false);
        };
        // If it was truncated meanwhile, the list was too early.
        let most = bytes.len().min(4096);
        let start = current.start.unwrap_or(0);
        let again = current.source.read(&self.files, start, most);
        match again.map_err(|error| Stop::File(current.path.clone(), error))? == bytes[..most] {
            true => Ok(true),
            false => Err(Stop::Unsteady(self.path.clone())),
        }
    }

    /// The path leads to a file that was not there before.
    fn note_new(&mut self, state: State, objects: &mut dyn Objects) -> Result<(), Stop> {
        let listing = self.siblings()?;
        let siblings = &listing.files;
        let is_new = |file: &Sibling<F>| file.is_current && file.identity == state.identity;
        let Some(current) = siblings.iter().position(is_new) else {
            // It leads elsewhere by now.
            return Err(Stop::Unsteady(self.path.clone()));
        };
        let from = match self.find_last(siblings, objects)? {
            Some(last) => last + 1,
            None => {
                self.must_be_unchanged(&listing)?;
                current
            }
        };
        place::no_copies(&self.beginnings(siblings)?[from..])?;
        let new = listing.files.into_iter().skip(from);
        self.next.extend(
            new.filter(|file| file.len > 0 || file.is_current)
                .map(reading),
        );
        Ok(())
    }

    /// Which of the files is the last that is known: by itself, or by a copy of it.
    fn find_last(
        &self,
        siblings: &[Sibling<F>],
        objects: &mut dyn Objects,
    ) -> Result<Option<usize>, Stop> {
        let chain = self.next.iter().rev().chain(&self.current);
        for known in chain.chain(&self.previous) {
            if let Some(found) = self.find(known, siblings, objects)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Which of the files is this one, or a copy of it.
    fn find(
        &self,
        known: &Reading<F>,
        siblings: &[Sibling<F>],
        objects: &mut dyn Objects,
    ) -> Result<Option<usize>, Stop> {
        let by_itself = siblings
            .iter()
            .position(|file| file.identity == known.identity);
        if by_itself.is_some() {
            return Ok(by_itself);
        }
        let found = match known.sent_len() {
            0 => self.find_whole(siblings, known)?,
            _ => self.find_content(siblings, known, objects)?,
        };
        Ok(match found {
            Found::At { file, .. } | Found::Behind { file } => Some(file),
            Found::Nowhere | Found::Older => None,
        })
    }

    /// Which of the files begins with all bytes of this one, of which nothing was sent yet.
    fn find_whole(&self, siblings: &[Sibling<F>], known: &Reading<F>) -> Result<Found, Stop> {
        let failed = |error| Stop::File(known.path.clone(), error);
        let (files, source) = (&self.files, &known.source);
        let Some(start) = source.start(files).map_err(failed)? else {
            return Ok(Found::Nowhere);
        };
        let len = source.state(files).map_err(failed)?.len;
        let length = len.saturating_sub(start);
        let Some(crc64) = source.crc64(files, start, length).map_err(failed)? else {
            return Ok(Found::Nowhere);
        };
        let head = Head {
            number: self.newest.number,
            length,
            crc64,
        };
        place::numbered(&self.beginnings(siblings)?, &[head], false, u64::MAX)
    }

    /// Which of the files begins with what was sent of this one, or is the beginning of that.
    fn find_content(
        &self,
        siblings: &[Sibling<F>],
        reading: &Reading<F>,
        objects: &mut dyn Objects,
    ) -> Result<Found, Stop> {
        let head = Head {
            number: reading.head.map_or(self.newest.number, |head| head.number),
            length: reading.sent_len(),
            crc64: reading.crc64,
        };
        let beginnings = self.beginnings(siblings)?;
        match place::numbered(&beginnings, &[head], false, u64::MAX)? {
            // Whether the object holds this file alone, so that they can be compared.
            Found::Nowhere if reading.head.is_some_and(|own| own.length == head.length) => {
                place::shorter(&beginnings, &head, objects)
            }
            found => Ok(found),
        }
    }

    /// The file that is read was truncated: what was not read of it may stand in a copy.
    fn truncated(&mut self, objects: &mut dyn Objects) -> Result<(), Stop> {
        let mut listing = self.siblings()?;
        let Some(old) = &self.current else {
            return Ok(());
        };
        let others = &mut listing.files;
        others.retain(|file| file.is_current || file.identity != old.identity);
        let is_current = |file: &Sibling<F>| file.is_current && file.identity == old.identity;
        let current = others.iter().position(|file| file.is_current);
        let found = self.find_content(others, old, objects)?;
        if !matches!(found, Found::At { .. }) {
            self.must_be_unchanged(&listing)?;
        }
        let others = listing.files;
        let (copy, from) = match found {
            Found::At { file, .. } => (Some(file), file + 1),
            Found::Behind { file } => (None, file + 1),
            Found::Nowhere | Found::Older => (None, current.unwrap_or(others.len())),
        };
        let (file, position) = (old.path.clone(), old.position);
        self.notices.push(Notice::Truncated {
            file: file.clone(),
            position,
            copy: copy.map(|copy| others[copy].path.clone()),
        });
        let was_last = others.iter().any(is_current);
        if was_last {
            place::no_copies(&self.beginnings(&others)?[from..])?;
        }
        let (len, crc64, head, longest) = (old.sent_len(), old.crc64, old.head, old.longest);
        let mut rest = None;
        let mut new = VecDeque::new();
        for (n, sibling) in others.into_iter().enumerate() {
            if n + 1 == from && copy.is_none() {
                self.previous = Some(finished(reading(sibling)));
            } else if Some(n) == copy {
                let mut copied = reading(sibling);
                let skipped = copied.skip(&self.files, len, crc64);
                if !skipped.map_err(|error| Stop::File(copied.path.clone(), error))? {
                    return Err(Stop::Unsteady(self.path.clone()));
                }
                copied.head = head;
                rest = Some(finished(copied));
            } else if n >= from && was_last && (sibling.len > 0 || sibling.is_current) {
                new.push_back(reading(sibling));
            }
        }
        if found == Found::Nowhere {
            self.notices.push(Notice::Lost {
                file,
                from: position,
                to: Some(longest).filter(|longest| *longest > position),
            });
        }
        // What was noted before the truncation came after this file as well.
        self.next.extend(new);
        if self.rules.once {
            limit(&self.files, self.next.iter_mut().chain(&mut rest))?;
        }
        self.still = None;
        self.current = rest;
        if self.current.is_none() {
            self.begin_next();
        }
        Ok(())
    }

    /// Whether the file that is read has ended, and another has begun.
    fn may_advance(&mut self, leads: Option<bool>, now: Duration) -> Result<bool, Stop> {
        let Some(current) = &self.current else {
            return Ok(false);
        };
        if current.finished {
            return Ok(!self.next.is_empty());
        }
        if leads == Some(true) {
            self.still = None;
            return Ok(false);
        }
        let mut has_begun = false;
        for reading in &self.next {
            let more = reading.has_more(&self.files);
            has_begun |= more.map_err(|error| Stop::File(reading.path.clone(), error))?;
        }
        let still = *self.still.get_or_insert(now);
        Ok(has_begun && now.saturating_sub(still) >= self.rules.drain)
    }

    /// The part of a line at the end of a file that has ended.
    fn rest(&mut self) -> Result<Option<Bytes>, Stop> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let read = current.read(&self.files, self.rules.most, true);
        match read.map_err(|error| Stop::File(current.path.clone(), error))? {
            Read::Bytes(bytes) => Ok(Some(bytes)),
            Read::Nothing | Read::Replaced => Ok(None),
        }
    }

    /// What was written to the file before, after the next was begun.
    fn late(&mut self) -> Result<Option<Bytes>, Stop> {
        let Some(late) = self.previous.as_mut().filter(|previous| !previous.finished) else {
            return Ok(None);
        };
        // It may have been removed or compressed in place.
        let Ok(Read::Bytes(bytes)) = late.read(&self.files, self.rules.most, true) else {
            return Ok(None);
        };
        self.notices.push(Notice::Late {
            file: late.path.clone(),
            bytes: bytes.len() as u64,
        });
        if self.rules.numbered {
            return Ok(Some(bytes));
        }
        // In one object it has no place any more.
        self.notices.push(Notice::Lost {
            file: late.path.clone(),
            from: late.position,
            to: Some(late.position + bytes.len() as u64),
        });
        late.sent(&bytes);
        Ok(None)
    }

    fn advance(&mut self) {
        self.previous = self.current.take();
        self.begin_next();
    }

    fn begin_next(&mut self) {
        self.still = None;
        self.current = self.next.pop_front();
        self.notices.extend(begun(self.current.as_ref()));
    }
}

/// How many of the first bytes may be appended where so many have room: all, or whole lines.
fn fitting(bytes: &[u8], room: u64) -> usize {
    match usize::try_from(room) {
        Ok(room) if bytes.len() > room => lines::whole(&bytes[..room], usize::MAX),
        _ => bytes.len(),
    }
}

fn after(newest: Head) -> Head {
    Head {
        number: newest.number + 1,
        length: 0,
        crc64: 0,
    }
}

/// The next bytes to read are those that there are now.
fn limit<'a, F: Files + 'a>(
    files: &F,
    chain: impl IntoIterator<Item = &'a mut Reading<F>>,
) -> Result<(), Stop> {
    for reading in chain {
        if reading.limit.is_none() {
            let state = reading.source.state(files);
            let state = state.map_err(|error| Stop::File(reading.path.clone(), error))?;
            reading.limit = Some(state.len);
        }
    }
    Ok(())
}

fn begun<F: Files>(reading: Option<&Reading<F>>) -> Option<Notice> {
    reading.map(|reading| Notice::Begun {
        file: reading.path.clone(),
        position: reading.position,
    })
}

fn object(error: Error) -> Stop {
    Stop::Object(Box::new(error))
}

fn finished<F: Files>(mut reading: Reading<F>) -> Reading<F> {
    reading.finished = true;
    reading
}

fn reading<F: Files>(sibling: Sibling<F>) -> Reading<F> {
    let finished = sibling.source.is_packed();
    let mut reading = Reading::new(sibling.path, sibling.identity, sibling.source);
    reading.finished = finished;
    reading
}
