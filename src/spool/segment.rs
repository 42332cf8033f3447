//! One open segment: reading and writing at offsets, and walking its frames.
//!
//! A walk goes from frame to frame and checks what it meets. Where something is wrong it says what
//! is lost and where the next good frame is. Opening the log and reading it use the same walk, so
//! that both see the same bytes.

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::disk::DiskFile;
use super::error::SpoolError;
use super::format::{self, FRAME_HEADER, FrameHeader, HEADER_BLOCK};

/// How much is read at once, if a frame does not need more.
pub(crate) const READ_SIZE: u64 = 256 * 1024;

/// A part of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file, with its directory.
    pub(crate) file: String,
    /// Where in the file.
    pub(crate) offset: u64,
    /// The positions in the stream that are lost. Empty if no byte of the stream is.
    pub(crate) lost: Range<u64>,
    /// What is wrong there.
    pub(crate) what: Fault,
}

/// What is wrong with a damaged part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The header of a segment. Its note, and maybe a plan, are lost, but no bytes of the stream.
    Header,
    /// The header of a frame, so that its length is not known.
    Frame,
    /// The payload of a frame.
    Payload,
    /// The file ends too early, or the segment behind it is gone.
    Missing,
    /// The bytes were released, and are read nevertheless.
    Released,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header of the segment is damaged",
            Self::Frame => "the header of a frame is damaged",
            Self::Payload => "the payload of a frame is damaged",
            Self::Missing => "the file ends too early, or the segment behind it is gone",
            Self::Released => "these bytes were released",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        if self.lost.is_empty() {
            f.write_str(", nothing of the stream is lost")
        } else {
            write!(
                f,
                ", bytes {}..{} of the stream are lost",
                self.lost.start, self.lost.end
            )
        }
    }
}

/// The time that many milliseconds after the Unix epoch.
pub(crate) fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(ms))
        .unwrap_or(UNIX_EPOCH)
}

/// Milliseconds from the Unix epoch until now.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An open segment.
pub(crate) struct Segment {
    /// Position of its first byte.
    pub(crate) base: u64,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// The file, with its directory.
    pub(crate) file: String,
    handle: Arc<dyn DiskFile>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("base", &self.base)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Segment {
    pub(crate) fn new(base: u64, created: u64, file: String, handle: Arc<dyn DiskFile>) -> Self {
        Self {
            base,
            created,
            file,
            handle,
        }
    }

    /// The same file with another time.
    pub(crate) fn with_created(&self, created: u64) -> Self {
        Self {
            base: self.base,
            created,
            file: self.file.clone(),
            handle: self.handle.clone(),
        }
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> Result<u64, SpoolError> {
        self.handle
            .len()
            .map_err(|error| SpoolError::io(error, "get the length of", &self.file))
    }

    /// Writes all of it.
    pub(crate) fn write(
        &self,
        mut offset: u64,
        mut bufs: &mut [IoSlice<'_>],
    ) -> Result<(), SpoolError> {
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            let written = self.handle.write_at(offset, bufs).and_then(|written| {
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(written)
            });
            let written = written
                .map_err(|error| SpoolError::io(error, "write to", &self.file).at(offset))?;
            offset += written as u64;
            IoSlice::advance_slices(&mut bufs, written);
        }
        Ok(())
    }

    /// Fills the buffer, unless the file ends, and returns how much was read.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize, SpoolError> {
        let mut filled = 0;
        while filled < buf.len() {
            let at = offset + filled as u64;
            let read = self.handle.read_at(at, &mut buf[filled..]);
            match read.map_err(|error| SpoolError::io(error, "read", &self.file).at(at))? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Cuts the file.
    pub(crate) fn set_len(&self, len: u64) -> Result<(), SpoolError> {
        self.handle
            .set_len(len)
            .map_err(|error| SpoolError::io(error, "cut", &self.file).at(len))
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        self.handle
            .sync()
            .map_err(|error| SpoolError::io(error, "sync", &self.file))
    }

    pub(crate) fn damage(&self, offset: u64, lost: Range<u64>, what: Fault) -> Damage {
        Damage {
            file: self.file.clone(),
            offset,
            lost,
            what,
        }
    }
}

/// A part of a segment in memory.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    /// Offset of the first byte.
    start: u64,
    /// How many bytes are valid.
    filled: usize,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of the file that count.
    pub(crate) len: u64,
    /// Position behind its last byte.
    pub(crate) end: u64,
}

/// A place in a segment: where a frame is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Position in the stream.
    pub(crate) position: u64,
}

impl Place {
    /// Where the first frame of a segment is.
    pub(crate) fn first(base: u64) -> Self {
        Self {
            offset: HEADER_BLOCK,
            position: base,
        }
    }
}

/// What was met at a place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good frame, which [`Window::frame`] gives.
    Frame(FrameHeader),
    /// Something else. The next frame is at that place, if there is one.
    Bad { what: Fault, next: Option<Place> },
}

impl Window {
    /// Forgets what was read.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// How many bytes from this offset on are there already.
    pub(crate) fn available(&self, offset: u64) -> usize {
        let end = self.start + self.filled as u64;
        if offset < self.start || offset >= end {
            return 0;
        }
        (end - offset) as usize
    }

    /// The frame that was just met at this offset.
    pub(crate) fn frame(&self, offset: u64, header: &FrameHeader) -> &[u8] {
        let at = (offset - self.start) as usize;
        &self.bytes[at..at + header.size() as usize]
    }

    /// That many bytes at an offset, or fewer at the end.
    #[inline]
    fn get(
        &mut self,
        segment: &Segment,
        offset: u64,
        need: u64,
        len: u64,
    ) -> Result<&[u8], SpoolError> {
        let need = need.min(len.saturating_sub(offset)) as usize;
        if need == 0 {
            return Ok(&[]);
        }
        if self.available(offset) < need {
            self.fill(segment, offset, need as u64, len)?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..self.filled.min(at + need)])
    }

    #[cold]
    fn fill(
        &mut self,
        segment: &Segment,
        offset: u64,
        need: u64,
        len: u64,
    ) -> Result<(), SpoolError> {
        let kept = self.available(offset);
        self.bytes.copy_within(self.filled - kept..self.filled, 0);
        self.start = offset;
        self.filled = kept;
        let want = need.max(READ_SIZE).min(len - offset) as usize;
        if self.bytes.len() < want {
            self.bytes.resize(want, 0);
        }
        let read = segment.read(offset + kept as u64, &mut self.bytes[kept..want])?;
        self.filled = kept + read;
        Ok(())
    }

    /// Looks at a place. The payload of a frame that ends before `from` is not checked.
    pub(crate) fn step(
        &mut self,
        segment: &Segment,
        place: Place,
        bounds: Bounds,
        from: u64,
    ) -> Result<Step, SpoolError> {
        let Place { offset, position } = place;
        let missing = Step::Bad {
            what: Fault::Missing,
            next: None,
        };
        let header = self.get(segment, offset, FRAME_HEADER as u64, bounds.len)?;
        if header.len() < FRAME_HEADER {
            return Ok(missing);
        }
        let header = match FrameHeader::decode(header) {
            Some(header) if header.position >= position && header.end() <= bounds.end => header,
            _ => {
                let next = self.search(segment, place, bounds)?;
                let what = Fault::Frame;
                return Ok(Step::Bad { what, next });
            }
        };
        if header.position > position {
            let position = header.position;
            return Ok(Step::Bad {
                what: Fault::Frame,
                next: Some(Place { offset, position }),
            });
        }
        if header.end() <= from {
            return Ok(Step::Frame(header));
        }
        let frame = self.get(segment, offset, header.size(), bounds.len)?;
        if (frame.len() as u64) < header.size() {
            return Ok(missing);
        }
        if !header.body_is_valid(frame) {
            return Ok(Step::Bad {
                what: Fault::Payload,
                next: Some(Place {
                    offset: offset + header.size(),
                    position: header.end(),
                }),
            });
        }
        Ok(Step::Frame(header))
    }

    /// The place of the next frame header behind a place where there is none.
    fn search(
        &mut self,
        segment: &Segment,
        place: Place,
        bounds: Bounds,
    ) -> Result<Option<Place>, SpoolError> {
        let mut offset = place.offset + 1;
        loop {
            let bytes = self.get(segment, offset, READ_SIZE, bounds.len)?;
            if bytes.len() < FRAME_HEADER {
                return Ok(None);
            }
            // A header at the end of these bytes is found whole with the next ones.
            let whole = bytes.len() - FRAME_HEADER + 1;
            let mut at = 0;
            while let Some(found) = format::find_frame(&bytes[at..]) {
                at += found;
                if at >= whole {
                    break;
                }
                if let Some(header) = FrameHeader::decode(&bytes[at..]) {
                    let offset = offset + at as u64;
                    // What is lost was in the bytes between, so it cannot be more than these.
                    let between = offset - place.offset;
                    let lost = header.position.checked_sub(place.position);
                    if header.end() <= bounds.end && lost.is_some_and(|lost| lost <= between) {
                        let position = header.position;
                        return Ok(Some(Place { offset, position }));
                    }
                }
                at += 1;
            }
            offset += whole as u64;
        }
    }
}

/// What a walk over all frames of a segment found.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Where the last good frame ends, or the first would be.
    pub(crate) end: Place,
    /// Whether a record ends with the last good frame; `None` if there is none.
    pub(crate) ends_record: Option<bool>,
    /// What is damaged and has a good frame behind it.
    pub(crate) damage: Vec<Damage>,
}

/// Walks over all frames of a segment, and checks them.
pub(crate) fn walk(segment: &Segment, bounds: Bounds) -> Result<Walk, SpoolError> {
    let mut window = Window::default();
    let mut place = Place::first(segment.base);
    let mut found = Walk {
        end: place,
        ends_record: None,
        damage: Vec::new(),
    };
    let mut doubtful = Vec::new();
    while place.offset < bounds.len && place.position < bounds.end {
        match window.step(segment, place, bounds, 0)? {
            Step::Frame(header) => {
                found.damage.append(&mut doubtful);
                place.offset += header.size();
                place.position = header.end();
                found.end = place;
                found.ends_record = Some(header.ends_record);
            }
            Step::Bad {
                what,
                next: Some(next),
            } => {
                let lost = place.position..next.position;
                let whole = what == Fault::Payload;
                doubtful.push(segment.damage(place.offset, lost, what));
                place = next;
                if whole {
                    // A write that was torn would not have reached its end: this was kept once.
                    found.damage.append(&mut doubtful);
                    found.end = place;
                }
            }
            Step::Bad { next: None, .. } => break,
        }
    }
    Ok(found)
}
