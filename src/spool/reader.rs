//! Reading the log, in order, while it is written.
//!
//! A reader holds the files it needs and shares only a small index with the log, so it can be on
//! another thread. It reads nothing that is not in the index, and the log puts into it only what
//! was written in full, and what is never written again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use super::error::SpoolError;
use super::segment::{self, Bounds, Damage, Fault, Place, Segment, Step, Window};

/// Small frames are put together up to this size.
const PIECE: usize = 256 * 1024;

/// What is written in full, for readers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In the order of the stream. Each ends where the next one begins.
    pub(crate) segments: VecDeque<Indexed>,
    /// Position behind the last byte.
    pub(crate) end: u64,
}

/// A segment in the index.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) segment: Arc<Segment>,
    /// Length of the file as far as it is written in full.
    pub(crate) len: u64,
}

/// The index, as log and readers share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedIndex(Arc<Mutex<Index>>);

impl SharedIndex {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes that were appended.
    Bytes {
        /// Position of the first one.
        position: u64,
        /// The bytes. There is at least one.
        bytes: Bytes,
        /// Offsets in the bytes where records end, ascending. The last may equal their length.
        ends: Vec<u64>,
        /// When the first of them was appended.
        written: SystemTime,
    },
    /// Bytes that cannot be read.
    Lost {
        /// Their positions.
        range: Range<u64>,
        /// What is damaged. It may begin before the range if the reader began inside of it.
        damage: Damage,
    },
}

/// Reads the log from a position on.
#[derive(Debug)]
pub(crate) struct Reader {
    index: SharedIndex,
    /// What comes next.
    position: u64,
    /// Where that is: the segment's base, and the place in it of a frame not behind `position`.
    at: Option<(u64, Place)>,
    window: Window,
}

/// Where a position is.
enum Found {
    /// It is not written yet.
    Nowhere,
    /// It was released. The first position that was not is given.
    Released(u64),
    /// In this segment.
    In(Arc<Segment>, Bounds),
}

impl Reader {
    pub(super) fn new(index: SharedIndex, from: u64) -> Self {
        Self {
            index,
            position: from,
            at: None,
            window: Window::default(),
        }
    }

    /// The position of what comes next.
    #[cfg(test)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next part of the stream. `None` if nothing is there yet.
    ///
    /// Only frames that begin before `limit` exist for it. The last of them may end behind it, and
    /// so may a range that is lost. A piece never has bytes of two segments. After an error it can
    /// be called again.
    // It is no iterator, since there can be more after `None`.
    #[allow(clippy::should_implement_trait)]
    pub(crate) fn next(&mut self, limit: u64) -> Result<Option<Piece>, SpoolError> {
        loop {
            match self.find(limit) {
                Found::Nowhere => return Ok(None),
                Found::Released(first) => {
                    let range = self.position..first;
                    self.position = first;
                    let damage = Damage {
                        file: "released segment".to_owned(),
                        offset: 0,
                        lost: range.clone(),
                        what: Fault::Released,
                    };
                    return Ok(Some(Piece::Lost { range, damage }));
                }
                Found::In(segment, bounds) => {
                    if let Some(piece) = self.next_in(&segment, bounds, limit)? {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    fn find(&self, limit: u64) -> Found {
        let index = self.index.lock();
        if self.position >= limit.min(index.end) {
            return Found::Nowhere;
        }
        let behind = index
            .segments
            .partition_point(|indexed| indexed.segment.base <= self.position);
        let next = index.segments.get(behind).map(|next| next.segment.base);
        let Some(at) = behind.checked_sub(1) else {
            return Found::Released(next.unwrap_or(index.end));
        };
        let Indexed { segment, len } = &index.segments[at];
        let end = next.unwrap_or(index.end);
        Found::In(segment.clone(), Bounds { len: *len, end })
    }

    /// The next part in this segment. `None` if it is at the end of it, or at the limit.
    fn next_in(
        &mut self,
        segment: &Segment,
        bounds: Bounds,
        limit: u64,
    ) -> Result<Option<Piece>, SpoolError> {
        let mut place = match self.at {
            Some((base, place)) if base == segment.base => place,
            _ => {
                self.window.clear();
                Place::first(segment.base)
            }
        };
        let start = self.position;
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut written = None;
        while place.position < bounds.end && self.position < limit {
            let step = match self.window.step(segment, place, bounds, self.position) {
                Ok(step) => step,
                // What was read is given first. The next call meets the error again.
                Err(_) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            };
            match step {
                Step::Frame(header) => {
                    let next = Place {
                        offset: place.offset + header.size(),
                        position: header.end(),
                    };
                    if header.end() > self.position {
                        if !bytes.is_empty() && bytes.len() + header.len as usize > PIECE {
                            break;
                        }
                        if bytes.is_empty() {
                            let there = self.window.available(place.offset).min(PIECE);
                            bytes.reserve(there.max(header.len as usize));
                            written = Some(segment.created.saturating_add(u64::from(header.age)));
                        }
                        let frame = self.window.frame(place.offset, &header);
                        let skip = self.position - place.position;
                        let before = bytes.len() as u64;
                        bytes.extend_from_slice(&frame[header.payload()][skip as usize..]);
                        let inner = header.inner_ends(frame).map(u64::from);
                        ends.extend(
                            inner
                                .filter(|end| *end > skip)
                                .map(|end| before + end - skip),
                        );
                        if header.ends_record {
                            ends.push(bytes.len() as u64);
                        }
                        self.position = header.end();
                    }
                    place = next;
                    self.at = Some((segment.base, place));
                }
                Step::Bad { .. } if !bytes.is_empty() => break,
                Step::Bad { what, next } => {
                    let next = next.unwrap_or(Place {
                        offset: bounds.len,
                        position: bounds.end,
                    });
                    let lost = place.position..next.position;
                    let damage = segment.damage(place.offset, lost, what);
                    place = next;
                    self.at = Some((segment.base, place));
                    if place.position > self.position {
                        let range = self.position..place.position;
                        self.position = place.position;
                        return Ok(Some(Piece::Lost { range, damage }));
                    }
                }
            }
        }
        Ok(written.map(|written| Piece::Bytes {
            position: start,
            bytes: Bytes::from(bytes),
            ends,
            written: segment::time(written),
        }))
    }
}
