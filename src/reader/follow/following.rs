//! One object from where it is begun, as far as it has been given out.
//!
//! In turns: a look tells how long the object is, then what is new is read up to that length. Both
//! are done as an `ObjectReader` does them from a checkpoint, with all of its retries and comparisons:
//! each look has to show at least what was given out, of the same object, and at the end of a turn the
//! bytes since the object's start have to have the CRC-64 that the look has told. Where reading began
//! at a bare position, that is so from the second turn on: the first look tells the CRC-64.

use std::future::poll_fn;

use bytes::Bytes;

use super::followed::Followed;
use crate::client::is_missing_object;
use crate::error::{Conflict, ConflictCause, Error, ErrorKind, Result};
use crate::reader::fixed::Fixed;
use crate::reader::parts::ReadAhead;
use crate::reader::reading::Reading;
use crate::reader::source::Source;
use crate::reader::span::Span;
use crate::reader::transfer::{BEGIN_AGAIN, Manner};
use crate::values::crc64::Crc64;
use crate::values::info::ObjectKind;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(in crate::reader) enum Start {
    At(Proven),
    /// So many bytes before the end. An object that comes later is begun at its start.
    Last(u64),
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reader) struct Looked {
    /// There is something to read.
    pub(in crate::reader) grown: bool,
    /// Nothing will come after that.
    pub(in crate::reader) sealed: bool,
}

/// A piece of the object, with the CRC-64 of what is before it, where that is known.
pub(in crate::reader) type Piece = (Option<u64>, Followed<Bytes>);

pub(in crate::reader) struct Following<S> {
    source: S,
    manner: Manner,
    start: Start,
    /// An object that does not exist yet is waited for.
    waits: bool,
    /// How far it has been given out, once it has been begun.
    place: Option<Place>,
    /// What the last look has found.
    found: Option<Fixed>,
    /// What is left to read of that.
    reading: Option<Reading<S>>,
}

/// A position in the object, with the CRC-64 of what is before it where that is known.
struct Place {
    position: u64,
    crc: Option<Crc64>,
}

impl Place {
    fn at(proven: Proven) -> Self {
        Self {
            position: proven.position.bytes(),
            crc: proven.crc.map(Crc64::behind),
        }
    }

    fn proven(&self) -> Proven {
        Proven {
            position: ObjectPosition::new(self.position),
            crc: self.crc64(),
        }
    }

    fn crc64(&self) -> Option<u64> {
        self.crc.as_ref().map(Crc64::finish)
    }
}

impl<S: Source> Following<S> {
    pub(in crate::reader) fn new(source: S, manner: Manner, start: Start, waits: bool) -> Self {
        Self {
            source,
            manner,
            start,
            waits,
            place: None,
            found: None,
            reading: None,
        }
    }

    /// How far the object has been given out.
    pub(in crate::reader) fn proven(&self) -> Proven {
        match (&self.place, self.start) {
            (Some(place), _) => place.proven(),
            (None, Start::At(proven)) => proven,
            (None, Start::Last(_)) => Proven::EMPTY,
        }
    }

    /// Looks at the object, after all that the look before has found was given out. `None`: it does
    /// not exist yet.
    pub(in crate::reader) async fn look(&mut self) -> Result<Option<Looked>> {
        debug_assert!(self.reading.is_none(), "there is more of the last look");
        let span = match (&self.place, self.start) {
            (Some(place), _) => Span::After(place.proven()),
            (None, Start::At(proven)) => Span::After(proven),
            (None, Start::Last(bytes)) => Span::Last(bytes),
        };
        let one = ReadAhead {
            parts: 1,
            part_size: u64::MAX,
        };
        let (source, manner) = (self.source.clone(), self.manner.clone());
        let mut reading = Reading::new(source, manner, span, one);
        let opened = poll_fn(|cx| reading.poll_open(cx)).await;
        let (object, range) = match opened {
            Err(error) if is_missing_object(&error) => return self.missing(error).map(|()| None),
            opened => opened.map_err(|error| self.about(error))?,
        };
        if let Some(before) = &self.found {
            let same = before.check_next(&object);
            same.map_err(|conflict| self.conflict(conflict))?;
        }
        if let ObjectKind::Other(name) = object.kind() {
            let name = Some(name.clone()).filter(|name| !name.is_empty());
            return Err(self.about(Error::not_appendable(name)));
        }
        if self.place.is_none() {
            let start = match self.start {
                Start::At(proven) => proven,
                Start::Last(_) => Proven::unknown(ObjectPosition::new(range.start)),
            };
            self.place = Some(Place::at(start));
        }
        let looked = Looked {
            grown: !range.is_empty(),
            sealed: object.is_sealed(),
        };
        self.found = Some(object);
        match looked.grown {
            true => self.reading = Some(reading),
            false => self.reached(),
        }
        Ok(Some(looked))
    }

    /// The next piece of what the last look has found; `None`: all has been given out.
    pub(in crate::reader) async fn piece(&mut self) -> Result<Option<Piece>> {
        let (Some(reading), Some(place)) = (&mut self.reading, &mut self.place) else {
            return Ok(None);
        };
        let Some(item) = poll_fn(|cx| reading.poll_chunk(cx)).await? else {
            self.reading = None;
            self.reached();
            return Ok(None);
        };
        let (before, start) = (place.crc64(), place.position);
        place.position += item.len() as u64;
        if let Some(crc) = &mut place.crc {
            crc.update(&item);
        }
        let piece = Followed {
            object: self.manner.object.clone(),
            start,
            end: place.position,
            crc64: place.crc64(),
            item,
        };
        Ok(Some((before, piece)))
    }

    /// All that the last look has found was given out: what it has told of the object's CRC-64 is of
    /// that.
    fn reached(&mut self) {
        if let (Some(place), Some(found)) = (&mut self.place, &self.found)
            && place.crc.is_none()
        {
            place.crc = found.crc64().map(Crc64::behind);
        }
    }

    /// There is no such object.
    fn missing(&mut self, error: Error) -> Result<()> {
        let known = self.proven().position.bytes();
        if self.found.is_some() || known > 0 {
            let conflict = Conflict::new(ConflictCause::Gone, known, None);
            return Err(self.conflict(conflict).with_source(error));
        }
        if !self.waits {
            return Err(error);
        }
        // When it comes, all of it is new.
        self.start = Start::At(Proven::EMPTY);
        Ok(())
    }

    fn conflict(&self, conflict: Conflict) -> Error {
        let error = Error::new(ErrorKind::Conflict(conflict));
        self.about(error.with_advice(Some(BEGIN_AGAIN)))
    }

    fn about(&self, error: Error) -> Error {
        let error = error.with_operation("follow");
        let error = error.with_object(&self.manner.object);
        match &self.place {
            Some(place) => error.with_position(place.position),
            None => error,
        }
    }
}
